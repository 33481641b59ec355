//! Forwards TCP ports: on the host from 127.0.0.1 to the platform's ports on node 1, on a worker
//! node from `localhost:5000` to the registry.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Error, Result, bail, ensure};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::{
    network,
    process::{Process, tail, wait_until},
    state::{Record, State, current_boot},
};

/// The NodePorts that the platform's gateway answers on.
pub const HTTP_NODE_PORT: u16 = 30080;
/// See [`HTTP_NODE_PORT`].
pub const HTTPS_NODE_PORT: u16 = 30443;
const NAME: &str = "forwarder";

/// One forwarded port, written `127.0.0.1:80=10.213.0.11:30080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where connections are taken.
    pub listen: SocketAddr,
    /// Where they lead.
    pub target: SocketAddr,
}

impl FromStr for Forward {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (listen, target) = text
            .split_once('=')
            .with_context(|| format!("{text} is not of the form LISTEN=TARGET"))?;
        Ok(Self {
            listen: listen
                .parse()
                .with_context(|| format!("not an address: {listen}"))?,
            target: target
                .parse()
                .with_context(|| format!("not an address: {target}"))?,
        })
    }
}

/// Forwards until the process is ended.
pub fn serve(forwards: Vec<Forward>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for forward in forwards {
            let listener = tokio::net::TcpListener::bind(forward.listen).await;
            match listener {
                Ok(listener) => {
                    tasks.spawn(accept(listener, forward.target));
                }
                // Browsers ask [::1] first for *.localhost and then 127.0.0.1: the one is enough.
                Err(error) if forward.listen.is_ipv6() => {
                    println!("not listening on {}: {error}", forward.listen);
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot listen on {}", forward.listen));
                }
            }
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, target: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((mut near, _)) => {
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else {
                        // Dropping `near` tells the client what it would have seen at the target.
                        return;
                    };
                    let _ = near.set_nodelay(true);
                    let _ = far.set_nodelay(true);
                    // Copies each direction to its own end, so a half-closed connection works.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
            // Out of file descriptors, for one: wait for some to be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The forwarder of the host, if it runs.
pub fn running(record: &Record) -> Option<&Process> {
    record
        .processes
        .get(NAME)
        .filter(|process| record.boot == current_boot() && process.is_alive())
}

/// Whether nobody listens on a port of 127.0.0.1.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The ports that the platform would answer on, for HTTP and HTTPS, if the forwarder began now.
pub fn choose_ports(record: &Record) -> Result<(u16, u16)> {
    let http = choose_port(record.http_port, 80, 8080, &BTreeSet::new(), is_free)?;
    let taken = BTreeSet::from([http]);
    let https = choose_port(record.https_port, 443, 8443, &taken, is_free)?;
    Ok((http, https))
}

/// Starts the host's forwarder unless it runs; says whether it did.
pub fn provide(state: &State, record: &mut Record) -> Result<bool> {
    if running(record).is_some() {
        return Ok(false);
    }
    let (http, https) = choose_ports(record)?;
    let target = network::node_address(record.index, 1);
    let log = state.path("logs/forwarder.log");
    fs::create_dir_all(state.path("logs"))?;
    let output = fs::File::create(&log)?;
    let mut command = Command::new("setsid");
    command.arg(state.program("lab")).arg("forward");
    for (port, node_port) in [(http, HTTP_NODE_PORT), (https, HTTPS_NODE_PORT)] {
        for host in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let listen = SocketAddr::new(host, port);
            command.arg(format!("{listen}={target}:{node_port}"));
        }
    }
    // So that the registry's name means the same on this machine; not needed by the lab itself.
    if is_free(network::REGISTRY_PORT) {
        let port = network::REGISTRY_PORT;
        command.arg(format!("127.0.0.1:{port}={target}:{port}"));
    }
    let child = command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start the forwarder")?;
    record.http_port = Some(http);
    record.https_port = Some(https);
    record
        .processes
        .insert(NAME.to_owned(), Process::of(child.id() as i32)?);
    state.save(record)?;
    let listens = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, https)).is_ok();
    // Binding two ports takes milliseconds; the rest is for a machine under load.
    ensure!(
        wait_until(Duration::from_secs(10), listens),
        "the forwarder does not listen: {}",
        tail(&log)
    );
    Ok(true)
}

/// Ends the host's forwarder.
pub fn stop(record: &Record) -> bool {
    let Some(process) = running(record) else {
        return false;
    };
    process.signal(Signal::KILL);
    process.wait_gone(Duration::from_secs(5))
}

/// The recorded port if it is free (links that were printed stay right), else the usual one, else
/// the first free one from `other` on.
fn choose_port(
    recorded: Option<u16>,
    usual: u16,
    other: u16,
    taken: &BTreeSet<u16>,
    is_free: impl Fn(u16) -> bool,
) -> Result<u16> {
    let found = recorded
        .into_iter()
        .chain([usual])
        .chain(other..other + 100)
        .find(|port| !taken.contains(port) && is_free(*port));
    match found {
        Some(port) => Ok(port),
        None => bail!("neither {usual} nor a port from {other} on is free on 127.0.0.1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_is_taken_when_it_is_free() {
        let none = BTreeSet::new();
        assert_eq!(choose_port(None, 80, 8080, &none, |_| true).unwrap(), 80);
        assert_eq!(
            choose_port(None, 80, 8080, &none, |port| port > 8080).unwrap(),
            8081
        );
        assert_eq!(
            choose_port(Some(8085), 80, 8080, &none, |_| true).unwrap(),
            8085
        );
        assert!(choose_port(None, 80, 8080, &none, |_| false).is_err());
    }

    #[test]
    fn two_forwards_never_share_a_port() {
        let taken = BTreeSet::from([8443]);
        assert_eq!(
            choose_port(None, 443, 8443, &taken, |port| port != 443).unwrap(),
            8444
        );
    }

    #[test]
    fn a_forward_is_read_from_its_text() {
        let forward: Forward = "[::1]:80=10.213.0.11:30080".parse().unwrap();
        assert!(forward.listen.is_ipv6());
        assert!("80".parse::<Forward>().is_err());
    }

    #[tokio::test]
    async fn a_half_closed_connection_still_gets_its_answer() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = server.accept().await.unwrap();
            let mut heard = String::new();
            socket.read_to_string(&mut heard).await.unwrap();
            socket
                .write_all(heard.to_uppercase().as_bytes())
                .await
                .unwrap();
        });
        let near = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = near.local_addr().unwrap();
        tokio::spawn(accept(near, target));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "HELLO");
    }
}
