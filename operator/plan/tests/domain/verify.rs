//! Answers as the world gives them, one trouble each.

use plan::{
    domain::{
        Verdict,
        answers::{Answer, Data, Failure, Look, Record, View},
        caa::{self, Certifier},
        name,
        pointing::points_here,
        proof_value,
        verify::{Question, ownership},
    },
    health::State,
};

use super::{GATEWAY, TARGET, a, aaaa, cname, look, none, record, txt, view};

const WWW: &str = "www.acme.example";
const APEX: &str = "acme.example";

fn proof() -> String {
    proof_value("uid-of-acme", WWW)
}

fn ask<'a>(hostname: &'a str, proof: &'a str) -> Question<'a> {
    Question {
        hostname,
        asked: hostname,
        target: TARGET,
        proof,
    }
}

fn owned(hostname: &str, look: &Look) -> (State, &'static str) {
    let proof = proof_value("uid-of-acme", hostname);
    let verdict = ownership(&ask(hostname, &proof), look);
    (verdict.finding.state, verdict.finding.reason)
}

fn pointed(hostname: &str, look: &Look) -> (State, &'static str) {
    let proof = proof();
    let verdict = points_here(&ask(hostname, &proof), look);
    let is_waiting = matches!(verdict.finding.state, State::OnItsWay(_));
    (
        if is_waiting {
            State::OnItsWay(None)
        } else {
            verdict.finding.state
        },
        verdict.finding.reason,
    )
}

const WELL: State = State::Well;
const STUCK: State = State::Stuck;
const WAITING: State = State::OnItsWay(None);

#[test]
fn a_cname_to_the_own_target_proves_and_points_here() {
    let records = [cname(WWW, TARGET), a(TARGET, GATEWAY)];
    assert_eq!(owned(WWW, &look(&records)), (WELL, "ProvenByCname"));
    assert_eq!(pointed(WWW, &look(&records)), (WELL, "PointsHere"));
    // The authoritative servers do not know where the target leads: that is not their zone.
    assert_eq!(
        pointed(WWW, &look(&[cname(WWW, TARGET)])),
        (WELL, "PointsHere")
    );
}

#[test]
fn a_cname_by_way_of_the_owners_own_names_proves() {
    let records = [
        cname(WWW, "web.acme.example"),
        cname("web.acme.example", TARGET),
    ];
    assert_eq!(owned(WWW, &look(&records)), (WELL, "ProvenByCname"));
}

#[test]
fn a_forgotten_cname_that_somebody_else_leads_here_proves_nothing() {
    let records = [
        cname(WWW, "acme-shop.cloudhost.example"),
        cname("acme-shop.cloudhost.example", TARGET),
        a(TARGET, GATEWAY),
    ];
    let verdict = ownership(&ask(WWW, &proof()), &look(&records));
    assert_eq!(verdict.finding.reason, "ProofThroughAnother");
    assert_eq!(verdict.finding.state, STUCK);
    // The same by way of a wildcard, for the name of the proof.
    let at = format!("_tutti-challenge.{WWW}");
    let records = [
        cname(&at, "x.cloudhost.example"),
        txt("x.cloudhost.example", &proof()),
    ];
    let mut look = look(&[]);
    for view in look.authorities.iter_mut().chain(&mut look.resolvers) {
        view.proof = Answer::Records(records.to_vec());
    }
    assert_eq!(owned(WWW, &look), (STUCK, "ProofThroughAnother"));
}

#[test]
fn the_addresses_of_the_gateway_point_here_and_prove_nothing() {
    let records = [a(APEX, GATEWAY)];
    assert_eq!(owned(APEX, &look(&records)), (STUCK, "NotProven"));
    assert_eq!(pointed(APEX, &look(&records)), (WELL, "PointsHere"));
}

#[test]
fn a_txt_record_proves_before_anything_points_here() {
    let value = proof_value("uid-of-acme", APEX);
    let records = [
        a(APEX, "198.51.100.7"),
        txt(&format!("_tutti-challenge.{APEX}"), &value),
    ];
    assert_eq!(owned(APEX, &look(&records)), (WELL, "ProvenByTxt"));
    assert_eq!(pointed(APEX, &look(&records)), (STUCK, "PointsElsewhere"));
}

#[test]
fn the_txt_record_of_another_organization_or_hostname_proves_nothing() {
    for value in [
        proof_value("uid-of-another", WWW),
        proof_value("uid-of-acme", "shop.acme.example"),
        "tutti=".to_owned(),
    ] {
        let records = [txt(&format!("_tutti-challenge.{WWW}"), &value)];
        assert_eq!(
            owned(WWW, &look(&records)),
            (STUCK, "ProofOfAnother"),
            "{value}"
        );
    }
}

#[test]
fn what_is_wanted_is_ready_to_paste() {
    let proof = proof();
    let verdict = ownership(&ask(WWW, &proof), &look(&[]));
    let wanted: Vec<String> = verdict.wanted.iter().map(ToString::to_string).collect();
    assert_eq!(
        wanted,
        [
            format!("{WWW} 300 CNAME {TARGET}."),
            format!("_tutti-challenge.{WWW} 300 TXT \"{proof}\""),
        ]
    );
    assert!(
        verdict.finding.message.contains(&wanted[0]),
        "{}",
        verdict.finding.message
    );
    let value = proof_value("uid-of-acme", APEX);
    let at_apex = ownership(&ask(APEX, &value), &look(&[]));
    assert_eq!(at_apex.wanted.len(), 1, "no CNAME is possible at an apex");
    let pointing = points_here(&ask(APEX, &value), &look(&[]));
    let wanted: Vec<String> = pointing.wanted.iter().map(ToString::to_string).collect();
    assert_eq!(wanted, [format!("{APEX} 300 A {GATEWAY}")]);
}

#[test]
fn what_was_found_is_told_with_those_who_said_it() {
    let verdict = points_here(&ask(WWW, &proof()), &look(&[cname(WWW, "old.example")]));
    assert_eq!(
        verdict.found,
        [format!(
            "{WWW} CNAME old.example (ns1.acme.example, ns2.acme.example, 9.9.9.9, 1.1.1.1)"
        )]
    );
}

#[test]
fn servers_that_do_not_agree_are_waited_for() {
    let here = [cname(WWW, TARGET)];
    let mut look = look(&here);
    look.authorities[1] = view("ns2.acme.example", &[a(WWW, "198.51.100.7")]);
    assert_eq!(owned(WWW, &look).1, "AuthoritiesDisagree");
    assert_eq!(pointed(WWW, &look), (WAITING, "AuthoritiesDisagree"));
}

#[test]
fn a_stale_cache_is_told_with_the_seconds_that_are_left() {
    let mut look = look(&[cname(WWW, TARGET)]);
    let mut old = a(WWW, "198.51.100.7");
    old.ttl = 280;
    look.resolvers[1] = view("1.1.1.1", &[old]);
    let verdict = points_here(&ask(WWW, &proof()), &look);
    assert_eq!(verdict.finding.reason, "CachesAreStale");
    assert!(
        verdict
            .finding
            .message
            .contains("1.1.1.1 still keeps what was before, for 280 seconds at most"),
        "{}",
        verdict.finding.message
    );
    // One of two is not more than half of them.
    assert_eq!(owned(WWW, &look).1, "ProofNotYetEverywhere");
}

#[test]
fn one_resolver_of_three_that_is_out_of_order_holds_nothing_up() {
    let records = [cname(WWW, TARGET)];
    let mut look = look(&records);
    let mut broken = view("8.8.8.8", &[]);
    for answer in [&mut broken.ipv4, &mut broken.ipv6, &mut broken.proof] {
        *answer = Answer::Failed(Failure::TimedOut);
    }
    look.resolvers.push(broken);
    assert_eq!(owned(WWW, &look), (WELL, "ProvenByCname"));
    assert_eq!(pointed(WWW, &look), (WELL, "PointsHere"));
}

#[test]
fn an_address_beside_ours_is_told_also_when_it_is_of_the_other_family() {
    let both = [a(APEX, GATEWAY), a(APEX, "198.51.100.7")];
    assert_eq!(
        pointed(APEX, &look(&both)),
        (STUCK, "PointsPartlyElsewhere")
    );
    let forgotten = [a(APEX, GATEWAY), aaaa(APEX, "2001:db8::7")];
    assert_eq!(
        pointed(APEX, &look(&forgotten)),
        (STUCK, "PointsPartlyElsewhere")
    );
}

/// A server of the zone gives the CNAME and no address, because that is another zone's.
#[test]
fn where_a_cname_leads_out_of_the_zone_is_asked_of_resolvers() {
    let cdn = "acme.cdn.example";
    let leads_to = |address: Option<&str>| {
        let end = address.map(|address| a(cdn, address));
        let all: Vec<Record> = [cname(WWW, cdn)].into_iter().chain(end).collect();
        view("9.9.9.9", &all)
    };
    let found = |resolvers: &[View]| {
        let mut look = look(&[cname(WWW, cdn)]);
        look.resolvers = resolvers.to_vec();
        pointed(WWW, &look)
    };
    let (there, here) = (leads_to(Some("198.51.100.7")), leads_to(Some(GATEWAY)));
    let nowhere = leads_to(None);
    let mut failing = nowhere.clone();
    failing.ipv4 = Answer::Failed(Failure::ServerFailed);
    let elsewhere = (STUCK, "PointsElsewhere");
    assert_eq!(found(&[there.clone(), there.clone()]), elsewhere);
    assert_eq!(found(&[there.clone(), nowhere.clone()]), elsewhere);
    assert_eq!(found(&[there.clone(), failing.clone()]), elsewhere);
    let partly = (STUCK, "PointsPartlyElsewhere");
    assert_eq!(found(&[there, here.clone()]), partly);
    assert_eq!(found(&[here.clone(), here.clone()]), (WELL, "PointsHere"));
    let stale = (WAITING, "CachesAreStale");
    assert_eq!(found(&[here, nowhere.clone()]), stale);
    assert_eq!(found(&[nowhere.clone(), nowhere]), (STUCK, "NoRecord"));
    let failed = (STUCK, "DnsServerFailed");
    assert_eq!(found(&[failing.clone(), failing]), failed);
}

#[test]
fn circles_and_long_chains_are_told() {
    let circle = [cname(WWW, "a.acme.example"), cname("a.acme.example", WWW)];
    assert_eq!(pointed(WWW, &look(&circle)), (STUCK, "ChainLoops"));
    assert_eq!(owned(WWW, &look(&circle)), (STUCK, "ChainLoops"));
    let name = |n: usize| {
        if n == 0 {
            WWW.to_owned()
        } else {
            format!("n{n}.acme.example")
        }
    };
    // Eight lead somewhere, and a ninth proves nothing.
    for (cnames, reason) in [(8, "ProvenByCname"), (9, "ChainTooLong")] {
        let mut way: Vec<Record> = (1..cnames).map(|n| cname(&name(n - 1), &name(n))).collect();
        way.push(cname(&name(cnames - 1), TARGET));
        assert_eq!(owned(WWW, &look(&way)).1, reason, "{cnames}");
    }
    let long: Vec<Record> = (0..12).map(|n| cname(&name(n), &name(n + 1))).collect();
    assert_eq!(pointed(WWW, &look(&long)), (STUCK, "ChainTooLong"));
    assert_eq!(owned(WWW, &look(&long)), (STUCK, "ChainTooLong"));
}

#[test]
fn where_one_name_leads_proves_no_wildcard() {
    let (hostname, asked) = ("*.acme.example", "tutti-check.acme.example");
    let proof = proof_value("uid-of-acme", hostname);
    let question = Question {
        asked,
        ..ask(hostname, &proof)
    };
    let taken = ownership(&question, &look(&[cname(asked, TARGET)]));
    assert_eq!(
        (taken.finding.state, taken.finding.reason),
        (STUCK, "NotProven")
    );
    let kinds: Vec<&str> = taken.wanted.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, ["TXT"]);
}

#[test]
fn a_name_that_leaves_no_room_for_a_txt_name_is_offered_the_cname_alone() {
    let hostname = format!("{}.acme.example", ["x".repeat(58).as_str(); 4].join("."));
    assert_eq!(
        name::judge(&hostname, "apps.example", false).state,
        State::Well
    );
    let proof = proof_value("uid-of-acme", &hostname);
    let wanted = ownership(&ask(&hostname, &proof), &look(&[])).wanted;
    let kinds: Vec<&str> = wanted.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, ["CNAME"], "{}", hostname.len());
}

#[test]
fn nothing_is_told_apart_from_failure() {
    assert_eq!(pointed(WWW, &look(&[])), (STUCK, "NoRecord"));
    for (failure, reason, state) in [
        (Failure::ServerFailed, "DnsServerFailed", STUCK),
        (Failure::Refused, "DnsServerFailed", STUCK),
        (Failure::NotAuthoritative, "DnsServerFailed", STUCK),
        (Failure::Bogus, "DnssecBroken", STUCK),
        (Failure::TimedOut, "DnsSilent", WAITING),
        (Failure::Malformed, "DnsSilent", WAITING),
    ] {
        let mut look = look(&[]);
        for view in look.authorities.iter_mut().chain(&mut look.resolvers) {
            for answer in [&mut view.ipv4, &mut view.ipv6, &mut view.proof] {
                *answer = Answer::Failed(failure);
            }
        }
        assert_eq!(pointed(WWW, &look), (state, reason), "{failure}");
        assert!(
            matches!(owned(WWW, &look), (State::OnItsWay(_), _)),
            "{failure}"
        );
    }
}

#[test]
fn signatures_that_do_not_fit_are_told_although_the_servers_answer() {
    let mut look = look(&[cname(WWW, TARGET)]);
    look.resolvers[0].ipv4 = Answer::Failed(Failure::Bogus);
    assert_eq!(pointed(WWW, &look), (STUCK, "DnssecBroken"));
}

#[test]
fn a_server_that_fails_for_one_family_only_is_no_proof_that_it_points_here() {
    let mut look = look(&[a(APEX, GATEWAY)]);
    for view in look.authorities.iter_mut().chain(&mut look.resolvers) {
        view.ipv6 = Answer::Failed(Failure::ServerFailed);
    }
    assert_eq!(pointed(APEX, &look), (STUCK, "DnsServerFailed"));
}

#[test]
fn without_any_authoritative_server_nothing_is_proven() {
    let mut look = look(&[cname(WWW, TARGET)]);
    look.authorities.clear();
    for (failure, reason, told) in [
        (Failure::ServerFailed, "AuthoritiesSilent", "SERVFAIL"),
        (Failure::NoServer, "AuthoritiesSilent", "no server"),
        (Failure::Bogus, "DnssecBroken", "DNSSEC signatures"),
    ] {
        look.no_authority = Some(failure);
        let finding = ownership(&ask(WWW, &proof()), &look).finding;
        assert_eq!(finding.reason, reason, "{failure}");
        assert!(finding.message.contains(told), "{}", finding.message);
    }
}

fn caa_record(name: &str, critical: bool, tag: &str, value: &str) -> Record {
    record(
        name,
        Data::Caa {
            critical,
            tag: tag.to_owned(),
            value: value.to_owned(),
        },
    )
}

fn allowed(hostname: &str, sets: &[(&str, Answer)]) -> &'static str {
    judged(hostname, sets).finding.reason
}

fn judged(hostname: &str, sets: &[(&str, Answer)]) -> Verdict {
    let identities = ["letsencrypt.org".to_owned()];
    let certifier = Certifier {
        name: None,
        identities: &identities,
        account: Some("https://ca.example/acct/1"),
        method: "http-01",
    };
    let proof = proof();
    let mut look = look(&[]);
    look.caa = sets
        .iter()
        .map(|(name, answer)| ((*name).to_owned(), answer.clone()))
        .collect();
    caa::judge(&ask(hostname, &proof), &look, &certifier)
}

#[test]
fn a_critical_caa_record_that_nobody_knows_is_to_be_removed_and_none_to_be_added() {
    let set = vec![
        caa_record(WWW, false, "issue", "letsencrypt.org"),
        caa_record(WWW, true, "future", "x"),
    ];
    let verdict = judged(WWW, &[(WWW, Answer::Records(set))]);
    assert_eq!(verdict.finding.reason, "CaaForbids");
    let said = &verdict.finding.message;
    assert!(said.contains("CAA 128 future"), "{said}");
    assert!(said.contains("remove it"), "{said}");
    assert_eq!(verdict.wanted, []);
}

#[test]
fn behind_a_cname_it_is_where_that_leads_that_a_caa_record_can_be_set() {
    let behind = |owner: &str| {
        let set = vec![
            cname(WWW, owner),
            caa_record(owner, false, "issue", "other.example"),
        ];
        judged(WWW, &[(WWW, Answer::Records(set))])
    };
    let own = behind("site.acme.example");
    assert_eq!(own.wanted[0].name, "site.acme.example");
    let others = behind("acme.hosting.example");
    assert_eq!(others.wanted, [], "a zone of somebody else");
    let said = &others.finding.message;
    assert!(
        said.contains("have whoever owns acme.hosting.example add"),
        "{said}"
    );
    assert!(said.contains("CAA 0 issue \"letsencrypt.org\""), "{said}");
}

#[test]
fn caa_records_are_read_as_authorities_read_them() {
    let set = |records: &[(bool, &str, &str)]| {
        let all: Vec<Record> = records
            .iter()
            .map(|(critical, tag, value)| caa_record(APEX, *critical, tag, value))
            .collect();
        vec![(WWW, none()), (APEX, Answer::Records(all))]
    };
    let one = |value: &str| allowed(WWW, &set(&[(false, "issue", value)]));
    assert_eq!(allowed(WWW, &[(WWW, none()), (APEX, none())]), "NoCaa");
    assert_eq!(one("letsencrypt.org"), "CaaAllows");
    assert_eq!(one("LetsEncrypt.org"), "CaaAllows");
    assert_eq!(one("other.example"), "CaaForbids");
    assert_eq!(one(";"), "CaaForbids");
    let beside = |tag| {
        let ours = (false, "issue", "letsencrypt.org");
        allowed(WWW, &set(&[ours, (true, tag, "x")]))
    };
    assert_eq!(beside("iodef"), "CaaAllows");
    assert_eq!(beside("issuevmc"), "CaaForbids", "boulder does not know it");
    assert_eq!(
        one("letsencrypt.org; validationmethods=dns-01"),
        "CaaForbids"
    );
    assert_eq!(
        one("letsencrypt.org; validationmethods=dns-01,http-01"),
        "CaaAllows"
    );
    assert_eq!(
        one("letsencrypt.org; accounturi=https://ca.example/acct/1"),
        "CaaAllows"
    );
    assert_eq!(
        one("letsencrypt.org; accounturi=https://ca.example/acct/2"),
        "CaaForbids"
    );
    assert_eq!(
        allowed(
            WWW,
            &set(&[(false, "issue", ";"), (false, "issue", "letsencrypt.org")])
        ),
        "CaaAllows"
    );
    assert_eq!(
        allowed(WWW, &set(&[(false, "iodef", "mailto:a@acme.example")])),
        "CaaAllows"
    );
    assert_eq!(
        allowed(
            WWW,
            &set(&[(true, "future", "x"), (false, "issue", "letsencrypt.org")])
        ),
        "CaaForbids"
    );
    assert_eq!(
        allowed(
            WWW,
            &set(&[(false, "future", "x"), (false, "issue", "letsencrypt.org")])
        ),
        "CaaAllows"
    );
    // The nearest set counts, and not what stands above it.
    assert_eq!(
        allowed(
            WWW,
            &[
                (
                    WWW,
                    Answer::Records(vec![caa_record(WWW, false, "issue", "letsencrypt.org")])
                ),
                (
                    APEX,
                    Answer::Records(vec![caa_record(APEX, false, "issue", ";")])
                ),
            ]
        ),
        "CaaAllows"
    );
    assert_eq!(
        allowed(WWW, &[(WWW, Answer::Failed(Failure::TimedOut))]),
        "CaaCannotBeRead"
    );
    let wild = [(
        APEX,
        Answer::Records(vec![
            caa_record(APEX, false, "issue", "letsencrypt.org"),
            caa_record(APEX, false, "issuewild", ";"),
        ]),
    )];
    assert_eq!(allowed(WWW, &wild), "CaaAllows");
    assert_eq!(allowed("*.acme.example", &wild), "CaaForbids");
}

#[test]
fn an_authority_that_does_not_look_at_caa_is_never_forbidden_by_it() {
    let certifier = Certifier {
        name: None,
        identities: &[],
        account: None,
        method: "http-01",
    };
    let mut look = look(&[]);
    look.caa = vec![(
        WWW.to_owned(),
        Answer::Records(vec![caa_record(WWW, false, "issue", ";")]),
    )];
    let proof = proof();
    assert_eq!(
        caa::judge(&ask(WWW, &proof), &look, &certifier)
            .finding
            .reason,
        "NoCaa"
    );
}
