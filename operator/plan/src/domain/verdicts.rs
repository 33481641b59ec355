//! What each check of a domain comes to, as far as the first that is not well.

use crds::{
    Domain,
    condition::{self, Condition},
    domain::DomainStatus,
};

use super::{
    Verdict,
    answers::Look,
    caa, delegation, mend, name, pointing, proof_value,
    reach::{self, Reach},
    report::{
        AUTHORITY_ALLOWED, DELEGATED, Facts, HOSTNAME_HELD, Holder, NAME_VALID, OWNERSHIP_PROVEN,
        POINTS_HERE, REACHABLE, REASONS, asked, checks,
    },
    verify::{self, Question},
};
use crate::health::{Finding, State};

/// The checks as far as one that is not well; the others wait for it.
pub(super) fn verdicts(
    domain: &Domain,
    facts: &Facts<'_>,
    before: &DomainStatus,
) -> Vec<(&'static str, Verdict)> {
    let hostname = domain.spec.hostname.as_str();
    let mut verdicts = Vec::new();
    if facts.is_platforms {
        return platforms(domain, facts, before);
    }
    let may_be_wildcard = domain.spec.is_dns01() || domain.spec.certificate_secret.is_some();
    let valid = name::judge(hostname, facts.zone, may_be_wildcard);
    let is_valid = valid.state == State::Well;
    verdicts.push((NAME_VALID, plain(valid)));
    if !is_valid {
        return verdicts;
    }
    let mut held = held(hostname, &facts.holder);
    let is_held = held.state == State::Well;
    if !is_held && facts.target.is_none() {
        let instance = &domain.spec.instance;
        held.message = format!(
            "{}; nothing was looked up before there is an instance {instance:?} with an address",
            held.message
        );
    }
    let proof = proof_value(facts.organization_uid, hostname);
    let wanted = match facts.holder {
        // Whoever came first may have no right to it.
        Holder::Another => verify::wanted_txt(hostname, &proof),
        _ => None,
    };
    let asked = asked(hostname);
    let question = facts.target.map(|target| Question {
        hostname,
        asked: &asked,
        target,
        proof: &proof,
    });
    // Whoever has to win it wants to see what stands against him.
    let seen = question.zip(facts.look).filter(|_| !is_held);
    let found = seen.map(|(question, look)| verify::ownership(&question, look).found);
    let held = Verdict {
        finding: held,
        found: found.unwrap_or_default(),
        wanted: wanted.into_iter().collect(),
    };
    verdicts.push((HOSTNAME_HELD, held));
    if !is_held {
        return verdicts;
    }
    let Some(question) = question else {
        let missing = Finding::stuck(
            "NoInstance",
            format!(
                "there is no instance {:?} in this namespace, or it has no address yet; name one \
                 that is there (kubectl get appi)",
                domain.spec.instance
            ),
        );
        verdicts.push((OWNERSHIP_PROVEN, plain(missing)));
        return verdicts;
    };
    let Some(look) = facts.look else {
        let checks = checks(domain, facts.delegation.is_some());
        return said_before(verdicts, &checks, before);
    };
    let ownership = verify::ownership(&question, look);
    let is_proven = ownership.finding.state == State::Well;
    verdicts.push((OWNERSHIP_PROVEN, ownership));
    if !is_proven {
        return verdicts;
    }
    for check in checks(domain, facts.delegation.is_some()) {
        let verdict = match check {
            POINTS_HERE => leads_here(&question, look, facts.reach),
            AUTHORITY_ALLOWED => caa::judge(&question, look, &facts.certifier),
            DELEGATED => match facts.delegation {
                Some((name, target)) => delegation::judge(look, name, target),
                None => continue,
            },
            REACHABLE => match facts.reach {
                Some(reach) => plain(reach::judge(hostname, reach)),
                None => break,
            },
            _ => continue,
        };
        let is_well = verdict.finding.state == State::Well;
        verdicts.push((check, verdict));
        if !is_well {
            break;
        }
    }
    verdicts
}

/// The platform's own zone: nobody else can have it, and it is the platform's by configuration.
fn platforms(
    domain: &Domain,
    facts: &Facts<'_>,
    before: &DomainStatus,
) -> Vec<(&'static str, Verdict)> {
    let hostname = domain.spec.hostname.as_str();
    let own = || {
        plain(Finding::well(
            "ThePlatformsOwn",
            format!("{hostname} is the platform's own"),
        ))
    };
    let mut verdicts = vec![
        (NAME_VALID, own()),
        (HOSTNAME_HELD, own()),
        (OWNERSHIP_PROVEN, own()),
    ];
    let checks = checks(domain, false);
    let Some(look) = facts.look else {
        return said_before(verdicts, &checks, before);
    };
    let asked = asked(hostname);
    let question = Question {
        hostname,
        asked: &asked,
        target: hostname,
        proof: "",
    };
    let allowed = caa::judge(&question, look, &facts.certifier);
    let is_well = allowed.finding.state == State::Well;
    verdicts.push((AUTHORITY_ALLOWED, allowed));
    if is_well {
        verdicts.push((POINTS_HERE, own()));
    }
    verdicts
}

fn leads_here(question: &Question<'_>, look: &Look, reach: Option<&Reach>) -> Verdict {
    let seen = pointing::points_here(question, look);
    // Behind a proxy it leads elsewhere, and comes here all the same.
    if seen.finding.reason != "PointsElsewhere" {
        return seen;
    }
    let met = reach.map(|met| reach::judge(question.hostname, met));
    if met.as_ref().is_some_and(|met| met.state == State::Well) {
        return plain(Finding::well(
            "ThroughAProxy",
            format!(
                "{} leads to somebody who passes requests on to the gateway",
                question.hostname
            ),
        ));
    }
    match met {
        // The record may be right, and the mend is at the proxy.
        Some(finding) if finding.reason == "AnsweredByAProxy" => Verdict { finding, ..seen },
        Some(mut finding) if finding.reason == "AddressNotPublic" => {
            finding.message = format!("{}; {}", finding.message, mend(&seen.wanted));
            Verdict { finding, ..seen }
        }
        _ => seen,
    }
}

fn plain(finding: Finding) -> Verdict {
    Verdict {
        finding,
        found: Vec::new(),
        wanted: Vec::new(),
    }
}

/// What the last look gave, where nobody looked since.
fn said_before(
    mut verdicts: Vec<(&'static str, Verdict)>,
    checks: &[&'static str],
    before: &DomainStatus,
) -> Vec<(&'static str, Verdict)> {
    for check in checks.iter().skip(verdicts.len()) {
        let Some(known) = condition::find(&before.conditions, check) else {
            break;
        };
        if known.status == "Unknown" {
            break;
        }
        let finding = remembered(known, &before.conditions);
        let is_well = finding.state == State::Well;
        verdicts.push((
            check,
            Verdict {
                finding,
                found: Vec::new(),
                wanted: Vec::new(),
            },
        ));
        if !is_well {
            break;
        }
    }
    verdicts
}

/// What a condition of the last pass said. Whether it was trouble or a wait, `Stalled` remembers.
pub(super) fn remembered(known: &Condition, before: &[Condition]) -> Finding {
    let was_stuck = condition::find(before, condition::STALLED)
        .is_some_and(|stalled| stalled.reason == known.reason);
    Finding {
        state: if known.status == "True" {
            State::Well
        } else if was_stuck {
            State::Stuck
        } else {
            State::OnItsWay(None)
        },
        reason: known_reason(&known.reason),
        message: known.message.clone(),
    }
}

fn known_reason(reason: &str) -> &'static str {
    REASONS
        .iter()
        .find(|known| **known == reason)
        .copied()
        .unwrap_or("Waiting")
}

fn held(hostname: &str, holder: &Holder) -> Finding {
    match holder {
        Holder::This => Finding::well(
            "HostnameHeld",
            format!("{hostname} is held by this organization"),
        ),
        Holder::Sibling(name) => Finding::stuck(
            "HostnameTaken",
            format!("{hostname} is held by Domain {name} of this namespace already; delete one"),
        ),
        Holder::Another => Finding::stuck(
            "HostnameTaken",
            format!(
                "{hostname} is held by another organization, and its records may prove that; if it is \
                 yours, set the TXT record in status.records and take away the CNAME or TXT record that \
                 proves it theirs; it moves here with the next look (status.nextLookAt, or at once with \
                 the annotation tutti.dev/look-now). Do not have it given up there first: from then on it is kept for \
                 them for 30 days"
            ),
        ),
        Holder::HeldBack(until) => Finding::stuck(
            "HostnameHeldBack",
            format!(
                "{hostname} was another organization's, for which it is kept until {}; the \
                 platform's operators can let it go earlier",
                until.strftime("%Y-%m-%d")
            ),
        ),
    }
}
