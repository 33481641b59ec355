use std::net::Ipv4Addr;

use hickory_proto::rr::{self, rdata};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

use super::*;

/// Records that are asked for: no more than fit a datagram.
const RECORDS: usize = 3;

/// How a server treats those who ask.
#[derive(Clone, Copy)]
enum Manner {
    /// Says all.
    Plain,
    /// Has too much to say for one datagram.
    Lengthy,
    /// Tells nobody who wants signatures to be looked at.
    Bogus,
    /// Gives no answer.
    Silent,
    Refusing,
    /// Has two CNAMEs that lead to each other.
    Looping,
}

/// A server on a loopback address that has some proofs to show.
async fn server(manner: Manner) -> SocketAddr {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let mut answer = answer(&buffer[..length], manner);
            match manner {
                Manner::Silent => continue,
                Manner::Lengthy => {
                    answer.answers.clear();
                    answer.metadata.truncation = true;
                }
                _ => {}
            }
            let answer = answer.to_vec().unwrap();
            udp.send_to(&answer, from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut asked = vec![0; length.into()];
            stream.read_exact(&mut asked).await.unwrap();
            let answer = answer(&asked, manner).to_vec().unwrap();
            let length = u16::try_from(answer.len()).unwrap();
            stream.write_u16(length).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

fn answer(asked: &[u8], manner: Manner) -> Message {
    let asked = Message::from_vec(asked).unwrap();
    let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
    answer.add_queries(asked.queries.iter().cloned());
    answer.metadata.response_code = match manner {
        Manner::Bogus if !asked.metadata.checking_disabled => ResponseCode::ServFail,
        Manner::Refusing => ResponseCode::Refused,
        Manner::Looping => ResponseCode::ServFail,
        _ => ResponseCode::NoError,
    };
    let name = asked.queries[0].name();
    if let Manner::Looping = manner {
        let other = Name::from_ascii("other.acme.test.").unwrap();
        for (from, to) in [(name, &other), (&other, name)] {
            let to = RData::CNAME(rdata::CNAME(to.clone()));
            answer.add_answer(rr::Record::from_rdata(from.clone(), 60, to));
        }
        return answer;
    }
    answer.add_answers((0..RECORDS).map(|number| {
        let text = rdata::TXT::new(vec![format!("tutti={number}")]);
        rr::Record::from_rdata(name.clone(), 60, RData::TXT(text))
    }));
    answer
}

async fn proofs(manners: &[Manner]) -> Vec<Answer> {
    let mut resolvers = Vec::new();
    for manner in manners {
        resolvers.push(server(*manner).await);
    }
    let dns = Dns {
        resolvers: resolvers.into(),
        authority_port: 53,
        patience: Duration::from_millis(500),
    };
    let name = "_tutti-challenge.acme.test";
    let asked = dns
        .resolvers
        .iter()
        .map(|server| dns.answer(*server, name, RecordType::TXT, true));
    join_all(asked).await
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_is_asked_again_by_tcp() {
    for answer in proofs(&[Manner::Plain, Manner::Lengthy]).await {
        assert_eq!(answer.records().len(), RECORDS, "{answer:?}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_told_apart_from_one_that_refuses() {
    let answers = proofs(&[Manner::Silent, Manner::Refusing]).await;
    assert_eq!(answers[0].failure(), Some(Failure::TimedOut));
    assert_eq!(answers[1].failure(), Some(Failure::Refused));
}

#[tokio::test]
async fn cnames_that_lead_round_are_shown_also_by_a_server_that_fails_over_them() {
    let answers = proofs(&[Manner::Looping]).await;
    assert_eq!(answers[0].failure(), None);
    assert_eq!(answers[0].records().len(), 2, "{answers:?}");
}

#[tokio::test]
async fn signatures_that_do_not_hold_are_told_apart_from_a_server_that_fails() {
    let answers = proofs(&[Manner::Bogus]).await;
    assert_eq!(answers[0].failure(), Some(Failure::Bogus));
}

/// What a server is asked.
struct Asked<'a> {
    name: &'a str,
    type_: RecordType,
    /// As resolvers are, and servers of a zone are not.
    is_recursive: bool,
    is_validated: bool,
}

/// What it says.
enum Said {
    Nothing,
    NoSuchName,
    Records(Vec<RData>),
    /// Records from a cache.
    Hearsay(Vec<RData>),
    /// Others have the zone.
    Refers,
    Fails,
    Silence,
}

/// A world: what each server says to what it is asked.
type Says = fn(&Asked<'_>) -> Said;

const TARGET: &str = "shop.apps.test";
const PROOF: &str = "tutti=acme";

fn ns(name: &str) -> Vec<RData> {
    vec![RData::NS(rdata::NS(Name::from_ascii(name).unwrap()))]
}

fn proof() -> Vec<RData> {
    let text = rdata::TXT::new(vec![PROOF.to_owned()]);
    vec![RData::TXT(text)]
}

/// A zone that is in order: `acme.test`, with a TXT record that proves `www.acme.test`.
fn in_order(asked: &Asked<'_>) -> Said {
    match (asked.name, asked.type_) {
        ("ns.acme.test" | "ns.test", RecordType::A) => {
            let here = rdata::A(Ipv4Addr::LOCALHOST);
            Said::Records(vec![RData::A(here)])
        }
        ("acme.test", RecordType::NS) => Said::Records(ns("ns.acme.test.")),
        ("test", RecordType::NS) => Said::Records(ns("ns.test.")),
        ("_tutti-challenge.www.acme.test", RecordType::TXT) => Said::Records(proof()),
        ("www.acme.test", _) => Said::NoSuchName,
        _ => Said::Nothing,
    }
}

/// One server that is the resolver, and every zone's.
async fn internet(says: Says) -> Dns {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            if let Some(answer) = said(&asked, says) {
                udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        }
    });
    Dns {
        resolvers: [address].into(),
        authority_port: address.port(),
        patience: Duration::from_millis(300),
    }
}

fn said(message: &Message, says: Says) -> Option<Message> {
    let query = &message.queries[0];
    let asked = Asked {
        name: &plain(query.name()),
        type_: query.query_type(),
        is_recursive: message.metadata.recursion_desired,
        is_validated: !message.metadata.checking_disabled,
    };
    let said = says(&asked);
    let mut answer = Message::response(message.metadata.id, message.metadata.op_code);
    answer.add_query(query.clone());
    answer.metadata.authoritative =
        !asked.is_recursive && !matches!(said, Said::Hearsay(_) | Said::Refers);
    let own = |data| rr::Record::from_rdata(query.name().clone(), 60, data);
    match said {
        Said::Silence => return None,
        Said::Nothing => {}
        Said::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
        Said::Fails => answer.metadata.response_code = ResponseCode::ServFail,
        Said::Records(records) | Said::Hearsay(records) => {
            answer.add_answers(records.into_iter().map(own));
        }
        Said::Refers => {
            answer.add_authorities(ns("ns.acme.test.").into_iter().map(own));
        }
    }
    Some(answer)
}

/// What is said of who owns `www.acme.test`: reason and message.
async fn ownership(says: Says) -> (&'static str, String) {
    ownership_of("www.acme.test", says).await
}

async fn ownership_of(hostname: &str, says: Says) -> (&'static str, String) {
    let dns = internet(says).await;
    let target = TARGET;
    let look = dns
        .look(Wish {
            hostname,
            asked: hostname,
            target,
        })
        .await;
    let question = plan::domain::verify::Question {
        hostname,
        asked: hostname,
        target,
        proof: PROOF,
    };
    let finding = plan::domain::verify::ownership(&question, &look).finding;
    (finding.reason, finding.message)
}

#[tokio::test]
async fn a_name_that_is_no_zone_has_the_servers_of_the_one_above() {
    let no_data = |asked: &Asked<'_>| match (asked.name, asked.type_) {
        ("www.acme.test", RecordType::NS) => Said::Nothing,
        _ => in_order(asked),
    };
    let worlds: [Says; 2] = [in_order, no_data];
    for says in worlds {
        let (reason, message) = ownership(says).await;
        assert_eq!(reason, "ProvenByTxt", "{message}");
    }
}

#[tokio::test]
async fn a_name_of_a_hundred_labels_has_the_servers_of_the_zone_far_above() {
    let hostname = format!("{}acme.test", "a.".repeat(100));
    let (reason, message) = ownership_of(&hostname, |asked| match asked.type_ {
        RecordType::TXT if asked.name.starts_with("_tutti-challenge.a.a.") => {
            Said::Records(proof())
        }
        _ => in_order(asked),
    })
    .await;
    assert_eq!(reason, "ProvenByTxt", "{message}");
}

#[tokio::test]
async fn a_name_that_leads_to_a_zone_that_fails_has_the_servers_of_the_one_above() {
    let (reason, message) = ownership(|asked| match (asked.name, asked.type_) {
        ("www.acme.test", RecordType::NS) => Said::Fails,
        ("www.acme.test", RecordType::CNAME) => {
            let dead = Name::from_ascii("www.dead.test.").unwrap();
            Said::Records(vec![RData::CNAME(rdata::CNAME(dead))])
        }
        _ => in_order(asked),
    })
    .await;
    assert_eq!(reason, "ProvenByTxt", "{message}");
}

#[tokio::test]
async fn where_the_servers_of_a_zone_fail_the_zone_above_is_not_asked() {
    fn delegated(asked: &Asked<'_>, zone_says: Said) -> Said {
        match asked.name {
            _ if !asked.is_recursive => Said::Refers,
            "acme.test" | "www.acme.test" => zone_says,
            _ => in_order(asked),
        }
    }
    let worlds: [(Says, &str); 2] = [
        (|asked| delegated(asked, Said::Fails), "SERVFAIL"),
        (|asked| delegated(asked, Said::Silence), "no answer in time"),
    ];
    for (says, why) in worlds {
        let (reason, message) = ownership(says).await;
        assert_eq!(reason, "AuthoritiesSilent", "{message}");
        assert!(message.contains(why), "{message}");
    }

    let (reason, message) = ownership(|asked| match asked.type_ {
        _ if !asked.is_recursive => Said::Refers,
        RecordType::NS if asked.name == "acme.test" && asked.is_validated => Said::Fails,
        _ => in_order(asked),
    })
    .await;
    assert_eq!(reason, "DnssecBroken", "{message}");
}

#[tokio::test]
async fn a_server_that_does_not_have_the_zone_proves_nothing_and_is_named() {
    let (reason, message) = ownership(|asked| match asked.type_ {
        RecordType::TXT if !asked.is_recursive => Said::Hearsay(proof()),
        _ if !asked.is_recursive => Said::Hearsay(Vec::new()),
        _ => in_order(asked),
    })
    .await;
    assert_eq!(reason, "AuthoritiesSilent", "{message}");
    assert!(message.contains("ns.acme.test: an answer"), "{message}");
    assert!(message.contains("lame delegation"), "{message}");
}

#[tokio::test]
async fn a_referral_is_no_answer() {
    let (reason, message) = ownership(|asked| match asked.name {
        _ if asked.is_recursive => in_order(asked),
        _ => Said::Refers,
    })
    .await;
    assert_eq!(reason, "AuthoritiesSilent", "{message}");
    assert!(message.contains("ns.acme.test: an answer"), "{message}");
}

#[tokio::test]
async fn a_zone_whose_servers_have_no_address_is_told_from_one_that_is_silent() {
    let (reason, message) = ownership(|asked| match asked.name {
        "ns.acme.test" => Said::NoSuchName,
        _ => in_order(asked),
    })
    .await;
    assert_eq!(reason, "AuthoritiesSilent", "{message}");
    assert!(message.contains("no server with an address"), "{message}");
}
