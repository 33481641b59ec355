//! What is said of a domain, step by step, and whether visitors are let in.

use crds::{
    Domain, DomainSpec,
    condition::{self, Time},
    domain::{Certificate, Challenge, DomainStatus, OrderFailure},
};
use jiff::{SignedDuration, Timestamp};
use plan::{
    domain::{
        answers::{Answer, Failure, Look},
        caa::Certifier,
        certificate::{self, Awaited},
        delegation, order, proof_value,
        reach::Reach,
        report::{
            self, CERTIFIED, Checked, DELEGATED, Facts, HOSTNAME_HELD, Holder, OWNERSHIP_PROVEN,
            POINTS_HERE, Progress, REACHABLE, SERVED,
        },
    },
    health::State,
};

use super::{GATEWAY, TARGET, a, cname, look, none, txt};

pub const WWW: &str = "www.acme.example";

pub fn now() -> Timestamp {
    "2030-01-02T03:04:05Z".parse().unwrap()
}

pub fn later(hours: i64) -> Timestamp {
    now() + SignedDuration::from_hours(hours)
}

pub fn domain(hostname: &str) -> Domain {
    let mut domain = Domain::new("www", DomainSpec::new(hostname, "shop"));
    domain.metadata.generation = Some(1);
    domain
}

/// What a pass sees.
#[derive(Clone)]
pub struct Seen {
    pub look: Option<Look>,
    pub reach: Option<Reach>,
    pub holder: Holder,
    pub target: Option<&'static str>,
    pub delegation: Option<(&'static str, &'static str)>,
}

pub fn seen(look: Look) -> Seen {
    Seen {
        look: Some(look),
        reach: Some(Reach::Ours),
        holder: Holder::This,
        target: Some(TARGET),
        delegation: None,
    }
}

/// One pass; the domain as it is afterwards.
pub fn pass(mut domain: Domain, seen: &Seen, at: Timestamp) -> (Domain, Checked) {
    let facts = Facts {
        target: seen.target,
        organization_uid: "uid-of-acme",
        zone: "apps.tutti.example",
        holder: seen.holder.clone(),
        look: seen.look.as_ref(),
        reach: seen.reach.as_ref(),
        certifier: Certifier {
            name: None,
            identities: &[],
            account: None,
            method: "http-01",
        },
        delegation: seen.delegation,
        is_platforms: false,
    };
    let checked = report::check(&domain, &facts);
    let status = domain.status.clone().unwrap_or_default();
    let progress = Progress {
        certified: certificate::judge(&status, &Awaited::default(), at),
        served: status
            .certificate
            .as_ref()
            .map(|_| report::served(&domain.spec.hostname, Ok(()))),
    };
    let status = report::conclude(&domain, None, &checked, &progress, status, (at, 0.5));
    domain.status = Some(status);
    (domain, checked)
}

fn said(domain: &Domain, type_: &str) -> (String, String) {
    let status = domain.status.as_ref().unwrap();
    let found = condition::find(&status.conditions, type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn told(domain: &Domain, type_: &str) -> String {
    let status = domain.status.as_ref().unwrap();
    let found = condition::find(&status.conditions, type_).unwrap();
    found.message.clone()
}

pub fn is(domain: &Domain, type_: &str, status: &str, reason: &str) {
    assert_eq!(
        said(domain, type_),
        (status.to_owned(), reason.to_owned()),
        "{type_}"
    );
}

pub fn right() -> Look {
    look(&[cname(WWW, TARGET), a(TARGET, GATEWAY)])
}

pub fn certificate(until: Timestamp) -> Certificate {
    Certificate {
        secret: "certificate-x".to_owned(),
        authority: Some("first".to_owned()),
        serial: "01".to_owned(),
        issuer: "an authority".to_owned(),
        not_before: Time(now()),
        not_after: Time(until),
        renew_at: Some(Time(until)),
    }
}

#[test]
fn the_first_step_that_is_not_well_is_the_summary_and_the_others_wait_for_it() {
    let (domain, checked) = pass(domain(WWW), &seen(look(&[])), now());
    is(&domain, "Ready", "False", "NotProven");
    is(&domain, OWNERSHIP_PROVEN, "False", "NotProven");
    is(&domain, condition::ROUTED, "False", "NotProvenYet");
    is(&domain, POINTS_HERE, "Unknown", "Waiting");
    is(&domain, REACHABLE, "Unknown", "Waiting");
    is(&domain, CERTIFIED, "False", "Waiting");
    assert!(!checked.may_order && !checked.is_proven);
    let status = domain.status.unwrap();
    let records: Vec<&str> = status.records.iter().map(|it| it.type_.as_str()).collect();
    assert_eq!(records, ["CNAME", "TXT"]);
    assert!(status.next_look_at.unwrap().0 < now() + SignedDuration::from_secs(20));
}

#[test]
fn a_domain_whose_checks_are_well_may_be_ordered_and_is_let_in() {
    let (domain, checked) = pass(domain(WWW), &seen(right()), now());
    assert!(checked.may_order && checked.is_proven);
    is(&domain, condition::ROUTED, "True", "Proven");
    is(&domain, REACHABLE, "True", "Reachable");
    is(&domain, "Ready", "False", "Waiting");
    // With a certificate that is presented it is ready, and watched once an hour.
    let mut domain = domain;
    domain.status.as_mut().unwrap().certificate = Some(certificate(later(2_000)));
    let (domain, _) = pass(domain, &seen(right()), now());
    is(&domain, "Ready", "True", "Served");
    is(&domain, SERVED, "True", "Served");
    let next = domain.status.unwrap().next_look_at.unwrap().0;
    assert!(next > now() + SignedDuration::from_mins(50), "{next}");
}

#[test]
fn a_pass_without_a_look_says_what_the_last_look_found() {
    let (domain, _) = pass(domain(WWW), &seen(right()), now());
    let blind = Seen {
        look: None,
        reach: None,
        ..seen(right())
    };
    let before = domain.status.clone().unwrap();
    let (domain, checked) = pass(domain, &blind, later(1));
    assert!(checked.may_order);
    assert_eq!(domain.status.unwrap(), before);
}

#[test]
fn a_domain_that_is_not_proven_any_more_is_served_for_a_week_and_then_closed() {
    let (domain, _) = pass(domain(WWW), &seen(right()), now());
    let gone = seen(look(&[]));
    let (domain, checked) = pass(domain, &gone, later(24 * 7 - 1));
    assert!(!checked.may_order);
    is(&domain, condition::ROUTED, "True", "ProofLost");
    is(&domain, "Ready", "False", "NotProven");
    let (domain, _) = pass(domain, &gone, later(24 * 7 + 1));
    is(&domain, condition::ROUTED, "False", "ProofLostForGood");
    let (domain, _) = pass(domain, &seen(right()), later(24 * 8));
    is(&domain, condition::ROUTED, "True", "Proven");
}

#[test]
fn a_domain_that_nobody_proves_costs_a_look_a_day_in_the_end() {
    let nothing = seen(look(&[]));
    let (mut domain, _) = pass(domain(WWW), &nothing, now());
    let mut at = now();
    let mut looks = 0;
    let end = later(24 * 12);
    while at < end {
        assert!(
            !order::wants_look(&domain, false, None, at),
            "an order that cannot be made asks for looks"
        );
        at = domain
            .status
            .as_ref()
            .unwrap()
            .next_look_at
            .clone()
            .unwrap()
            .0;
        (domain, _) = pass(domain, &nothing, at);
        looks += 1;
    }
    // 80 in 20 minutes, 80 in 3 hours, 135 in two days, then one a day.
    assert!((250..350).contains(&looks), "{looks}");
}

#[test]
fn an_order_that_is_due_looks_first() {
    let (mut domain, _) = pass(domain(WWW), &seen(right()), now());
    domain.status.as_mut().unwrap().certificate = Some(certificate(later(2_000)));
    let (domain, _) = pass(domain, &seen(right()), now());
    let soon = later(2_000) - SignedDuration::from_mins(1);
    assert!(
        !order::wants_look(&domain, false, None, soon),
        "not due yet"
    );
    assert!(order::wants_look(&domain, false, None, later(2_001)));
}

#[test]
fn another_authority_is_not_asked_on_the_leave_of_the_first() {
    let (mut domain, _) = pass(domain(WWW), &seen(right()), now());
    domain.status.as_mut().unwrap().looked_at_for = Some("first".to_owned());
    let wants = |authority| order::wants_look(&domain, false, Some(authority), now());
    assert!(!wants("first"));
    assert!(wants("second"));
}

#[test]
fn what_another_organization_holds_is_closed_at_once_and_shows_how_to_win_it() {
    let (mut domain, _) = pass(domain(WWW), &seen(right()), now());
    domain.status.as_mut().unwrap().certificate = Some(certificate(later(2_000)));
    let (mut domain, _) = pass(domain, &seen(right()), now());
    is(&domain, "Ready", "True", "Served");
    // Its certificate goes with the name.
    domain.status.as_mut().unwrap().certificate = None;
    let taken = Seen {
        holder: Holder::Another,
        ..seen(right())
    };
    let (domain, checked) = pass(domain, &taken, later(1));
    assert!(!checked.is_proven && !checked.may_order);
    is(&domain, "Ready", "False", "HostnameTaken");
    is(&domain, "Served", "False", "Waiting");
    is(&domain, condition::ROUTED, "False", "NotProvenYet");
    // What stands in the DNS is what decides.
    let found = &domain.status.as_ref().unwrap().found;
    let leads = format!("{WWW} CNAME {TARGET}");
    assert!(found.iter().any(|fact| fact.contains(&leads)), "{found:?}");
    let shows_how = |domain: Domain| {
        let records = domain.status.unwrap().records;
        assert_eq!(records[0].name, "_tutti-challenge.www.acme.example");
        assert!(records[0].value.contains(&proof_value("uid-of-acme", WWW)));
    };
    shows_how(domain);
    // Also when the instance has no address yet.
    let early = Seen {
        look: None,
        target: None,
        ..taken
    };
    let early = pass(self::domain(WWW), &early, now()).0;
    let message = told(&early, HOSTNAME_HELD);
    assert!(
        message.ends_with(
            "nothing was looked up before there is an instance \"shop\" with an address"
        ),
        "{message}"
    );
    shows_how(early);
}

#[test]
fn a_name_of_the_platforms_and_one_without_an_instance_are_not_looked_up() {
    let (domain, _) = pass(domain("www.apps.tutti.example"), &seen(right()), now());
    is(&domain, "Ready", "False", "NameIsThePlatforms");
    let alone = Seen {
        target: None,
        ..seen(right())
    };
    let (domain, _) = pass(self::domain(WWW), &alone, now());
    is(&domain, "Ready", "False", "NoInstance");
}

#[test]
fn a_domain_whose_instance_goes_says_nothing_else_and_looks_as_soon_as_there_is_one_again() {
    let (domain, _) = pass(domain(WWW), &seen(right()), now());
    let is_due = |domain: &Domain, target| report::is_due(domain, target, None, now());
    assert!(!is_due(&domain, Some(TARGET)));
    assert!(is_due(&domain, Some("shop-another.apps.tutti.example")));
    let gone = Seen {
        look: None,
        target: None,
        ..seen(right())
    };
    let (domain, checked) = pass(domain, &gone, now());
    assert!(!checked.may_order);
    is(&domain, "Ready", "False", "NoInstance");
    is(&domain, OWNERSHIP_PROVEN, "False", "NoInstance");
    is(&domain, condition::ROUTED, "False", "NoInstance");
    is(&domain, POINTS_HERE, "Unknown", "Waiting");
    assert!(!is_due(&domain, None), "there is nothing to look for");
    assert!(is_due(&domain, Some(TARGET)));
    let (domain, _) = pass(domain, &seen(right()), now());
    is(&domain, condition::ROUTED, "True", "Proven");
    assert!(!is_due(&domain, Some(TARGET)));
}

#[test]
fn by_dns_01_a_name_is_certified_before_it_is_led_here() {
    let mut wish = domain(WWW);
    wish.spec.challenge = Some(Challenge::Dns01);
    let challenge = "_acme-challenge.www.acme.example";
    let proof = format!("_tutti-challenge.{WWW}");
    let elsewhere = look(&[
        a(WWW, "198.51.100.7"),
        txt(&proof, &proof_value("uid-of-acme", WWW)),
    ]);
    let mut there = seen(elsewhere.clone());
    there.reach = None;
    there.delegation = Some((challenge, "x.acme.tutti.example"));
    there.look.as_mut().unwrap().delegation = vec![("9.9.9.9".to_owned(), none())];
    let (domain, checked) = pass(wish.clone(), &there, now());
    assert!(!checked.may_order);
    is(&domain, "Ready", "False", "NotDelegated");
    is(&domain, DELEGATED, "False", "NotDelegated");

    let leads = Answer::Records(vec![cname(challenge, "x.acme.tutti.example")]);
    there.look.as_mut().unwrap().delegation = vec![("9.9.9.9".to_owned(), leads)];
    let (domain, checked) = pass(wish, &there, now());
    assert!(
        checked.may_order,
        "its certificate comes before visitors do"
    );
    is(&domain, condition::ROUTED, "True", "Proven");
    is(&domain, "Ready", "False", "PointsElsewhere");
}

#[test]
fn a_name_whose_challenge_would_be_too_long_for_the_dns_is_told_so_and_no_record_to_set() {
    let hostname = format!("{}{}.example", "a.".repeat(116), "b".repeat(9));
    let challenge = format!("_acme-challenge.{hostname}");
    assert!(hostname.len() <= 253 && challenge.len() > 253);
    let said = delegation::judge(&look(&[]), &challenge, "x.acme.tutti.example");
    assert_eq!(said.finding.reason, "NotDelegated");
    let message = &said.finding.message;
    assert!(message.contains("spec.challenge to http-01"), "{message}");
    assert_eq!(said.wanted, []);
}

#[test]
fn a_certificate_that_is_valid_stays_whatever_its_renewal_meets() {
    let mut status = DomainStatus {
        certificate: Some(certificate(later(100))),
        failure: Some(OrderFailure {
            count: 3,
            at: Time(now()),
            message: "CAA forbids".to_owned(),
        }),
        ..DomainStatus::default()
    };
    let judged = certificate::judge(&status, &Awaited::default(), now());
    assert_eq!(judged.reason, "RenewalFailed");
    assert!(judged.message.contains("CAA forbids"));
    let troubled = Awaited {
        trouble: Some("does not answer".to_owned()),
        ..Awaited::default()
    };
    let judged = certificate::judge(&status, &troubled, now());
    assert_eq!(judged.reason, "RenewalWaits");
    // Over, it is said to be so.
    let judged = certificate::judge(&status, &Awaited::default(), later(200));
    assert_eq!(judged.reason, "OrderFailed");
    status.failure = None;
    let judged = certificate::judge(&status, &Awaited::default(), later(200));
    assert_eq!(judged.reason, "CertificateExpired");
}

#[test]
fn a_wish_to_revoke_that_cannot_be_fulfilled_is_said_where_a_person_looks() {
    let (mut site, checked) = pass(domain(WWW), &seen(right()), now());
    let status = DomainStatus {
        certificate: Some(certificate(later(100))),
        ..site.status.clone().unwrap()
    };
    let mistyped = Awaited {
        unrevoked: Some("annotation tutti.dev/revoke: <reason>/<serial> is wanted".to_owned()),
        ..Awaited::default()
    };
    let progress = Progress {
        certified: certificate::judge(&status, &mistyped, now()),
        served: Some(report::served(WWW, Ok(()))),
    };
    let concluded = report::conclude(&site, None, &checked, &progress, status, (now(), 0.5));
    site.status = Some(concluded);
    for type_ in [condition::READY, CERTIFIED] {
        is(&site, type_, "True", "RevocationNotDone");
        let said = told(&site, type_);
        assert!(said.contains("annotation tutti.dev/revoke"), "{said}");
    }
}

#[test]
fn a_name_that_looks_like_another_is_warned_about_beside_whatever_else_is_said() {
    let apple = "xn--80ak6aa92e.com";
    for look in [look(&[]), look(&[cname(apple, TARGET), a(TARGET, GATEWAY)])] {
        let (site, _) = pass(domain(apple), &seen(look), now());
        let said = told(&site, condition::READY);
        assert!(said.contains("which looks like apple.com"), "{said}");
    }
}

#[test]
fn a_place_in_line_is_told_in_words() {
    let place = |number, minutes| certificate::Place {
        number,
        turn: now() + SignedDuration::from_mins(minutes),
        limit: "orders of the account".to_owned(),
    };
    let told = |number, minutes| {
        let in_line = Awaited {
            place: Some(place(number, minutes)),
            ..Awaited::default()
        };
        certificate::judge(&DomainStatus::default(), &in_line, now()).message
    };
    assert!(
        told(12, 4).starts_with("12th in line, about 4 minutes"),
        "{}",
        told(12, 4)
    );
    assert!(told(1, 0).starts_with("1st in line, about a minute"));
    assert!(told(22, 300).starts_with("22nd in line, about 5 hours"));
    assert!(told(113, 5).starts_with("113th in line"));
}

#[test]
fn a_certificate_that_was_brought_is_told_with_its_end_and_warned_about_for_three_weeks() {
    let weeks = 3 * 7 * 24;
    for (hours, reason, told) in [
        (10 * weeks, "Brought", "until 2030-07-31 03:04 UTC"),
        (weeks, "Brought", "until 2030-01-23 03:04 UTC"),
        (
            weeks - 1,
            "BroughtCertificateEndsSoon",
            "until 2030-01-23 02:04 UTC; put a new one into the Secret",
        ),
        (
            1,
            "BroughtCertificateEndsSoon",
            "until 2030-01-02 04:04 UTC; put a new one into the Secret",
        ),
    ] {
        let judged = certificate::brought(Ok(later(hours)), now());
        assert_eq!(
            (judged.state, judged.reason),
            (State::Well, reason),
            "{hours}"
        );
        assert_eq!(judged.message, format!("brought by you, {told}"));
    }
}

#[test]
fn a_certificate_that_was_brought_and_cannot_be_used_is_told_in_the_words_of_who_looked() {
    for what in [
        "spec.certificateSecret: Secret www: it has no tls.key",
        "spec.certificateSecret: Secret www: it holds from 2029-10-01 to 2029-12-30; put one \
         into the Secret that holds now",
    ] {
        let judged = certificate::brought(Err(&what.to_owned()), now());
        assert_eq!(
            (judged.state, judged.reason, judged.message.as_str()),
            (State::Stuck, "BroughtCertificateUnusable", what)
        );
    }
}

#[test]
fn a_pass_without_a_look_does_not_turn_a_wait_into_trouble_or_trouble_into_a_wait() {
    let mut unread = right();
    unread.caa = vec![(WWW.to_owned(), Answer::Failed(Failure::ServerFailed))];
    let mut bogus = right();
    bogus.resolvers[0].ipv4 = Answer::Failed(Failure::Bogus);
    for look in [unread, bogus] {
        let mut there = seen(look);
        let (known, _) = pass(domain(WWW), &there, now());
        let before = known.status.clone();
        (there.look, there.reach) = (None, None);
        assert_eq!(pass(known, &there, later(1)).0.status, before);
    }
}
