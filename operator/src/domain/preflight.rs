//! Our own request through the public name, as an authority would make it, before one is asked. Where
//! it may go and what it comes to is decided in `plan::domain::reach`.

use std::net::{IpAddr, SocketAddr};

use crds::domain::{CHALLENGE_PATH, preflight_answer};
use futures_util::future::join_all;
use hyper::StatusCode;
use plan::domain::{
    answers::Record,
    reach::{self, Reach},
};

use super::exchange::{Given, get};

/// Where authorities ask.
pub const PORT: u16 = 80;

/// A request for an answer of our own.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// The name that is asked for.
    pub hostname: &'a str,
    /// The platform's zone, which the answer depends on.
    pub zone: &'a str,
    /// What is to be answered: another one each time.
    pub token: &'a str,
    /// [`PORT`] everywhere but in tests.
    pub port: u16,
}

impl Preflight<'_> {
    /// Makes it, at the addresses of the name: exactly those that were judged are asked, whatever the
    /// DNS says a moment later. `gateway`: the gateway's own.
    pub async fn reach(&self, records: &[Record], gateway: &[IpAddr]) -> Reach {
        let places = match reach::destinations(records, gateway) {
            Ok(places) => places,
            Err(instead) => return instead,
        };
        let asked = places
            .into_iter()
            .map(|at| async move { (at, self.at(at).await) });
        reach::together(join_all(asked).await)
    }

    async fn at(&self, address: IpAddr) -> Reach {
        let place = SocketAddr::new(address, self.port);
        let path = format!("{CHALLENGE_PATH}{}", self.token);
        match get(place, self.hostname, &path).await {
            Ok(given) => self.met(given),
            Err(why) => Reach::Unreachable {
                why: format!("{place}: {why}"),
            },
        }
    }

    fn met(&self, given: Given) -> Reach {
        let ours = preflight_answer(self.token, self.zone);
        if given.status == StatusCode::OK && given.body.trim() == ours {
            return Reach::Ours;
        }
        if given.status.is_redirection()
            && let Some(to) = given.location.filter(|to| !is_followed(to))
        {
            return Reach::RedirectedAway { to };
        }
        Reach::Another {
            status: given.status.as_u16(),
            server: given.server,
            headers: given.telling,
        }
    }
}

/// Authorities follow to ports 80 and 443 only.
fn is_followed(to: &str) -> bool {
    let Ok(to) = to.parse::<hyper::Uri>() else {
        return false;
    };
    match (to.scheme_str(), to.port_u16()) {
        (None | Some("http"), port) => matches!(port, None | Some(80 | 443)),
        (Some("https"), port) => matches!(port, None | Some(80 | 443)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use plan::domain::answers::Data;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    /// Somebody who says one thing to all who connect, whom it counts.
    struct Door {
        port: u16,
        visitors: Arc<AtomicUsize>,
    }

    impl Door {
        async fn open(address: IpAddr, port: u16, says: String) -> Self {
            let listener = TcpListener::bind((address, port)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let visitors = Arc::new(AtomicUsize::new(0));
            let counted = visitors.clone();
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let mut asked = [0; 1024];
                    let _ = stream.read(&mut asked).await;
                    let _ = stream.write_all(says.as_bytes()).await;
                }
            });
            Self { port, visitors }
        }

        fn visitors(&self) -> usize {
            self.visitors.load(Ordering::SeqCst)
        }
    }

    fn ours() -> String {
        let body = preflight_answer("token", "apps.test");
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn records(addresses: &[IpAddr]) -> Vec<Record> {
        let record = |address: &IpAddr| Record {
            name: "www.acme.test".to_owned(),
            ttl: 60,
            data: match address {
                IpAddr::V4(address) => Data::A(*address),
                IpAddr::V6(address) => Data::Aaaa(*address),
            },
        };
        addresses.iter().map(record).collect()
    }

    async fn asked(port: u16, addresses: &[IpAddr], gateway: &[IpAddr]) -> Reach {
        let preflight = Preflight {
            hostname: "www.acme.test",
            zone: "apps.test",
            token: "token",
            port,
        };
        preflight.reach(&records(addresses), gateway).await
    }

    #[tokio::test]
    async fn an_address_of_the_operators_own_network_is_asked_only_where_it_is_the_gateways() {
        let door = Door::open(IPV4, 0, ours()).await;
        let refused = asked(door.port, &[IPV4], &[]).await;
        assert!(matches!(refused, Reach::NotPublic { .. }), "{refused:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(door.visitors(), 0);
        assert_eq!(asked(door.port, &[IPV4], &[IPV4]).await, Reach::Ours);
        assert_eq!(door.visitors(), 1);
    }

    #[tokio::test]
    async fn by_ipv4_it_is_reached_where_nobody_listens_by_ipv6() {
        let door = Door::open(IPV4, 0, ours()).await;
        let met = asked(door.port, &[IPV4, IPV6], &[IPV4, IPV6]).await;
        let Reach::NotByOne { at, met } = met else {
            panic!("{met:?}")
        };
        assert_eq!(at, IPV6);
        assert!(matches!(*met, Reach::Unreachable { .. }), "{met:?}");
        assert_eq!(door.visitors(), 1);
    }

    #[tokio::test]
    async fn a_redirect_is_told_and_not_followed() {
        let there = Door::open(IPV4, 0, ours()).await;
        let to = format!("http://127.0.0.1:{}/", there.port);
        let leads =
            |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        let away = Door::open(IPV4, 0, leads(&to)).await;
        let met = asked(away.port, &[IPV4], &[IPV4]).await;
        assert_eq!(met, Reach::RedirectedAway { to });
        // Also where an authority would.
        let within = Door::open(IPV4, 0, leads("https://127.0.0.1/")).await;
        let met = asked(within.port, &[IPV4], &[IPV4]).await;
        assert!(matches!(met, Reach::Another { status: 302, .. }), "{met:?}");
        assert_eq!(there.visitors(), 0);
    }
}
