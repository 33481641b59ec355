//! What users of others complained about, as `docs/operations/domains.md` has it, where it is decided
//! here: one test each, named after the complaint.

use crds::{
    condition::{self, Time},
    domain::{Challenge, OrderFailure},
};
use jiff::SignedDuration;
use plan::{
    domain::{
        answers::{Answer, Failure},
        certificate,
        holder::{Contender, choose},
        limits::{Kind, Limit, Limits, Refused, Request},
        line::{Line, Turn},
        order, proof_value,
        reach::Reach,
        report::{CERTIFIED, OWNERSHIP_PROVEN, POINTS_HERE, REACHABLE},
    },
    health::State,
};

use super::{
    GATEWAY, TARGET, a, cname, look,
    report::{WWW, certificate, domain, is, later, now, pass, right, seen},
    txt, view,
};

fn request(hostname: &str, kind: Kind) -> Request {
    Request {
        hostname: hostname.to_owned(),
        registered: "acme.example".to_owned(),
        kind,
        since: now(),
    }
}

#[test]
fn coolify_4280_a_renewal_that_fails_is_said_with_the_authoritys_words() {
    let mut site = domain(WWW);
    let mut status = site.status.clone().unwrap_or_default();
    status.certificate = Some(certificate(later(240)));
    status.failure = Some(OrderFailure {
        count: 3,
        at: Time(now()),
        message: "letsencrypt: the key is too short".to_owned(),
    });
    site.status = Some(status);
    let (site, _) = pass(site, &seen(right()), now());
    is(&site, CERTIFIED, "True", "RenewalFailed");
    let conditions = site.status.unwrap().conditions;
    let said = condition::find(&conditions, CERTIFIED).unwrap();
    assert!(said.message.contains("3 times"), "{}", said.message);
    assert!(said.message.contains("too short"), "{}", said.message);
}

#[test]
fn coolify_6262_a_wildcard_without_dns_01_is_refused_before_anything_is_ordered() {
    let (wild, checked) = pass(domain("*.acme.example"), &seen(right()), now());
    assert!(!checked.may_order);
    is(&wild, "Ready", "False", "WildcardNeedsDns01");
}

#[test]
fn kubero_while_a_certificate_is_pending_every_step_and_the_next_look_are_shown() {
    let (site, _) = pass(domain(WWW), &seen(look(&[])), now());
    is(&site, "Ready", "False", "NotProven");
    let status = site.status.unwrap();
    assert!(status.next_look_at.is_some_and(|at| at.0 > now()));
    assert!(!status.records.is_empty());
    for step in [POINTS_HERE, REACHABLE, CERTIFIED] {
        let step = condition::find(&status.conditions, step);
        assert!(step.is_some_and(|it| it.status == "Unknown" || it.status == "False"));
    }
}

#[test]
fn kubero_738_of_two_who_claim_a_name_the_one_who_proves_it_has_it() {
    let claims = |namespace: &str, is_proven| Contender {
        namespace: namespace.to_owned(),
        name: "www".to_owned(),
        uid: namespace.to_owned(),
        created: Some(now()),
        is_proven,
        was_holder: !is_proven,
    };
    let both = [claims("first", false), claims("owner", true)];
    let holder = choose(&both, None, None, now());
    assert_eq!(holder.map(|it| it.namespace.as_str()), Some("owner"));
}

#[test]
fn cert_manager_5867_an_order_that_is_refused_with_429_waits_and_has_not_failed() {
    let mut line = Line::new(Limits::default());
    let www = request(WWW, Kind::First);
    let until = line.refused(WWW, Refused::Name, "slow down", Some(later(1)), now());
    assert_eq!(until, Some(later(1)));
    assert!(matches!(line.turn(&www, now()), Turn::InLine(place) if place.turn == later(1)));
    assert_eq!(line.turn(&www, later(1)), Turn::Now);
}

#[test]
fn cert_manager_4727_tries_come_ever_later() {
    let pauses = [1, 2, 3, 20].map(|count| {
        let ends = order::pause_ends((count, Some(now())));
        ends.duration_since(now()).as_mins()
    });
    assert_eq!(pauses, [2, 4, 8, 30 * 60]);
}

#[test]
fn cert_manager_6010_a_renewal_that_names_what_it_replaces_waits_for_nobody() {
    let mut line = Line::new(Limits {
        orders: Some(Limit {
            most: 1,
            period: SignedDuration::from_hours(1),
        }),
        ..Limits::default()
    });
    assert_eq!(
        line.turn(&request("a.acme.example", Kind::First), now()),
        Turn::Now
    );
    let late = line.turn(&request("b.acme.example", Kind::First), now());
    assert!(matches!(late, Turn::InLine(_)));
    let renewal = request(WWW, Kind::AnnouncedRenewal);
    assert_eq!(line.turn(&renewal, now()), Turn::Now);
}

#[test]
fn cert_manager_5917_who_sees_something_else_is_named_and_stands_in_nobodys_way_alone() {
    // A resolver inside a company has addresses of its own.
    let inside = view("10.0.0.53", &[cname(WWW, TARGET), a(TARGET, "10.1.2.3")]);
    let mut split = right();
    split.resolvers.push(inside);
    let (site, checked) = pass(domain(WWW), &seen(split), now());
    assert!(checked.may_order);
    let status = site.status.unwrap();
    assert!(
        status
            .found
            .iter()
            .any(|it| it.contains("10.0.0.53") && it.contains("10.1.2.3")),
        "{:?}",
        status.found
    );
    // One that fails is no reason to wait.
    let mut broken = right();
    broken.resolvers.push(view("10.0.0.53", &[]));
    let last = broken.resolvers.last_mut().unwrap();
    (last.ipv4, last.ipv6) = (
        Answer::Failed(Failure::TimedOut),
        Answer::Failed(Failure::TimedOut),
    );
    last.proof = Answer::Failed(Failure::TimedOut);
    let (_, checked) = pass(domain(WWW), &seen(broken), now());
    assert!(checked.may_order);
}

#[test]
fn cert_manager_1364_a_cluster_that_does_not_reach_its_own_public_address_says_so() {
    let mut hairpin = seen(right());
    hairpin.reach = Some(Reach::Unreachable {
        why: "connection timed out".to_owned(),
    });
    let (site, checked) = pass(domain(WWW), &hairpin, now());
    assert!(!checked.may_order);
    is(&site, REACHABLE, "False", "Unreachable");
    // DNS-01 makes no such request.
    let mut wish = domain(WWW);
    wish.spec.challenge = Some(Challenge::Dns01);
    hairpin.reach = None;
    assert!(pass(wish, &hairpin, now()).1.may_order);
}

#[test]
fn cert_manager_1485_a_bad_name_blocks_no_other_one() {
    let (_, bad) = pass(domain("bad.acme.example"), &seen(look(&[])), now());
    let (_, good) = pass(domain(WWW), &seen(right()), now());
    assert!(!bad.may_order && good.may_order);
}

#[test]
fn caddy_5008_who_only_points_here_gets_no_certificate() {
    let points = look(&[a("acme.example", GATEWAY)]);
    let (site, checked) = pass(domain("acme.example"), &seen(points), now());
    assert!(!checked.may_order && !checked.is_proven);
    is(&site, OWNERSHIP_PROVEN, "False", "NotProven");
}

#[test]
fn external_dns_3715_a_record_that_is_there_already_is_named_with_who_said_so() {
    let proof = txt(
        &format!("_tutti-challenge.{WWW}"),
        &proof_value("uid-of-acme", WWW),
    );
    let old = look(&[a(WWW, "198.51.100.7"), proof]);
    let mut there = seen(old);
    there.reach = None;
    let (site, _) = pass(domain(WWW), &there, now());
    is(&site, POINTS_HERE, "False", "PointsElsewhere");
    let found = site.status.unwrap().found;
    let is_named = |it: &String| it.contains("198.51.100.7") && it.contains("ns1.acme.example");
    assert!(found.iter().any(is_named), "{found:?}");
}

#[test]
fn external_dns_262_the_proof_stands_beside_the_cname_and_not_in_its_place() {
    let both = look(&[
        cname(WWW, TARGET),
        a(TARGET, GATEWAY),
        txt(
            &format!("_tutti-challenge.{WWW}"),
            &proof_value("uid-of-acme", WWW),
        ),
    ]);
    assert!(pass(domain(WWW), &seen(both), now()).1.may_order);
}

#[test]
fn knative_14871_a_wildcard_is_a_hostname_like_others() {
    let judged = plan::domain::name::judge("*.acme.example", "apps.tutti.example", true);
    assert_eq!(judged.state, State::Well);
    let brought = certificate::brought(Ok(later(24 * 60)), now());
    assert_eq!(brought.reason, "Brought");
}
