//! What users of others complained about, as `docs/operations/domains.md` has it, where it is decided
//! here: one test each, named after the complaint. What is decided on answers is so on recorded ones.

use crds::{
    condition::{self, Time},
    domain::{Challenge, OrderFailure},
};
use jiff::SignedDuration;
use plan::domain::{
    certificate,
    holder::{Contender, choose},
    limits::{Kind, Limit, Limits, Refused, Request},
    line::{Line, Turn},
    order,
    report::CERTIFIED,
};

use super::{
    look,
    recorded::{self, says_what_is_recorded},
    report::{WWW, certificate, domain, is, later, now, pass, right, seen},
    rows,
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
    says_what_is_recorded("coolify-6262");
}

#[test]
fn coolify_7628_a_machine_of_before_that_is_still_led_to_is_named() {
    says_what_is_recorded("coolify-7628");
}

#[test]
fn coolify_8220_a_domain_of_a_customers_own_is_proven_by_one_record_in_any_case_of_letters() {
    says_what_is_recorded("coolify-8220");
}

#[test]
fn mortise_77_while_a_certificate_is_pending_every_step_and_the_next_look_are_shown() {
    says_what_is_recorded("mortise-77");
    let (site, _) = pass(domain(WWW), &seen(look(&[])), now());
    let status = site.status.unwrap();
    assert!(status.next_look_at.is_some_and(|at| at.0 > now()));
    assert!(!status.records.is_empty());
}

#[test]
fn kubero_738_of_two_who_claim_a_name_the_one_who_proves_it_has_it() {
    says_what_is_recorded("kubero-738");
    let claims = |namespace: &str, is_proven| Contender {
        namespace: namespace.to_owned(),
        organization: format!("organization-{namespace}"),
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
    says_what_is_recorded("cert-manager-5917");
    says_what_is_recorded("cert-manager-5098");
}

#[test]
fn cert_manager_5917_a_cache_that_is_stale_is_named_with_the_seconds_that_are_left() {
    says_what_is_recorded("cert-manager-5917-stale");
}

#[test]
fn cert_manager_1364_a_cluster_that_does_not_reach_its_own_public_address_says_so() {
    says_what_is_recorded("cert-manager-1364");
    // DNS-01 makes no such request.
    let mut wish = domain(WWW);
    wish.spec.challenge = Some(Challenge::Dns01);
    let mut hairpin = seen(right());
    hairpin.reach = None;
    assert!(pass(wish, &hairpin, now()).1.may_order);
}

#[test]
fn cert_manager_1485_a_bad_name_blocks_no_other_one() {
    says_what_is_recorded("cert-manager-1485");
    let (_, good) = pass(domain(WWW), &seen(right()), now());
    assert!(good.may_order);
}

#[test]
fn caddy_5008_who_only_points_here_gets_no_certificate() {
    says_what_is_recorded("caddy-5008");
    says_what_is_recorded("caddy-5008-address");
}

#[test]
fn certmagic_303_who_took_over_what_a_forgotten_record_leads_to_has_not_proven_it() {
    says_what_is_recorded("certmagic-303");
}

#[test]
fn external_dns_3715_a_record_that_is_there_already_is_named_with_who_said_so() {
    says_what_is_recorded("external-dns-3715");
}

#[test]
fn external_dns_262_the_proof_stands_beside_the_cname_and_not_in_its_place() {
    says_what_is_recorded("external-dns-262");
}

#[test]
fn knative_14871_a_wildcard_is_a_hostname_like_others() {
    says_what_is_recorded("knative-14871");
    let brought = certificate::brought(Ok(later(24 * 60)), now());
    assert_eq!(brought.reason, "Brought");
}

/// Each of them, and of what they are, so that no file lies about.
#[test]
fn every_recorded_answer_is_of_a_complaint_of_the_operations_page_and_has_a_test() {
    let page: String = rows("| complaint | here |")
        .iter()
        .map(|row| row[0])
        .collect();
    let tests = include_str!("complaints.rs");
    let names = recorded::names();
    assert!(names.len() >= 16, "{names:?}");
    for name in names {
        assert!(tests.contains(&format!("\"{name}\"")), "{name} has no test");
        for complaint in recorded::read(&name).complaints {
            let (whose, number) = complaint.rsplit_once(' ').unwrap();
            let is_told = page
                .split(['(', ')'])
                .any(|those| is_among(those, whose, number));
            assert!(is_told, "{name}: {complaint} is not in the page");
        }
    }
}

/// Whether one is among `Coolify 8220, coolify-cli 10`: a number alone is of whom was named last.
fn is_among(those: &str, whose: &str, number: &str) -> bool {
    let mut named = "";
    those.split(", ").any(|one| {
        let (who, which) = one.rsplit_once(' ').unwrap_or((named, one));
        named = who;
        (who, which) == (whose, number)
    })
}
