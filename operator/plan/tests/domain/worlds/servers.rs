//! What is seen of a world: servers that lie, fail, lag behind and answer in mixed case.

use std::net::IpAddr;

use plan::domain::{
    answers::{Answer, Data, Failure, Look, Record, View, plain},
    proof_value,
};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    super::{GATEWAY, a, cname, txt},
    world::{Claimant, World},
};

/// What a liar says: that everything is as the claimant would have it.
fn lie(world: &World, claimant: &Claimant, server: &str) -> View {
    let (asked, challenge) = (world.asked(), world.challenge());
    let (here, target) = (cname(&asked, claimant.target), a(claimant.target, GATEWAY));
    let proof = proof_value(claimant.uid, world.claim.hostname);
    View {
        server: server.to_owned(),
        ipv4: Answer::Records(vec![here.clone(), target]),
        ipv6: Answer::NoRecords(vec![here]),
        proof: Answer::Records(vec![txt(&challenge, &proof)]),
    }
}

fn answers(view: &mut View) -> [&mut Answer; 3] {
    [&mut view.ipv4, &mut view.ipv6, &mut view.proof]
}

/// A server fails at one question, or at several.
fn fail(view: &mut View, throw: &mut StdRng) {
    let failures = [
        Failure::ServerFailed,
        Failure::Bogus,
        Failure::Refused,
        Failure::NotAuthoritative,
        Failure::TimedOut,
        Failure::Malformed,
    ];
    let failure = *failures.choose(throw).unwrap();
    let which = throw.random_range(1..8);
    for (bit, answer) in answers(view).into_iter().enumerate() {
        if which >> bit & 1 == 1 {
            *answer = Answer::Failed(failure);
        }
    }
}

/// A server answers in another case (RFC 4343), and it is read as everything is.
fn shout(view: &mut View, throw: &mut StdRng) {
    let mut heard = |name: &mut String| {
        let mix = |letter: char| {
            if throw.random_bool(0.5) {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        };
        let said: String = name.chars().map(mix).chain(['.']).collect();
        *name = plain(&said);
    };
    for answer in answers(view) {
        let (Answer::Records(records) | Answer::NoSuchName(records) | Answer::NoRecords(records)) =
            answer
        else {
            continue;
        };
        for Record { name, data, .. } in records {
            heard(name);
            if let Data::Cname(target) = data {
                heard(target);
            }
        }
    }
}

/// What is seen of a world in which everybody does what he should.
pub fn honest(world: &World) -> Look {
    Look {
        authorities: ["ns1.acme.example", "ns2.acme.example"]
            .map(|server| world.view(server, true))
            .into(),
        resolvers: ["9.9.9.9", "1.1.1.1", "8.8.8.8"]
            .map(|server| world.view(server, false))
            .into(),
        gateway: vec![GATEWAY.parse::<IpAddr>().unwrap()],
        ..Look::default()
    }
}

/// What a claimant's look shows of a world, and whether nobody lies, fails or lags behind. Of two
/// authoritative servers one lies at most. Of three resolvers one lies or lags behind, or all repeat what
/// the liar told them, while the other authoritative server is heard.
pub fn seen(
    world: &World,
    before: &World,
    claimant: &Claimant,
    throw: &mut StdRng,
) -> (Look, bool) {
    let mut look = honest(world);
    for view in look.authorities.iter_mut().chain(&mut look.resolvers) {
        if throw.random_bool(0.2) {
            shout(view, throw);
        }
    }
    if throw.random_bool(0.6) {
        return (look, true);
    }
    // One that resolvers have asked, too.
    if throw.random_bool(0.2) {
        look.authorities[0] = lie(world, claimant, "ns1.acme.example");
        for view in &mut look.resolvers {
            if throw.random_bool(0.7) {
                *view = lie(world, claimant, &view.server);
            }
        }
        return (look, false);
    }
    if throw.random_bool(0.5) {
        look.authorities[0] = lie(world, claimant, "ns1.acme.example");
    }
    if throw.random_bool(0.3) {
        look.authorities[1] = before.view("ns2.acme.example", true);
    }
    match throw.random_range(0..4) {
        0 | 1 => look.resolvers[0] = lie(world, claimant, "9.9.9.9"),
        2 => look.resolvers[1] = before.view("1.1.1.1", false),
        _ => {}
    }
    for view in look.authorities.iter_mut().chain(&mut look.resolvers) {
        if throw.random_bool(0.15) {
            fail(view, throw);
        }
    }
    if throw.random_bool(0.1) {
        look.authorities.clear();
        look.no_authority = Some(Failure::NoServer);
    }
    (look, false)
}
