//! Certificates while authorities refuse, fall and forget, and while the operator dies (R11, R12,
//! R15), with a real DNS server, a real gateway and real authorities.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::{condition, labels::REVOKE};
use faults::{
    between::Blow,
    domains::{AWAY, BINDING, FIRST, Owner, SECOND},
    mischief::{BLOWS, Mischief},
    stage::{self, PATIENCE, Stage},
    stories::change,
};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use lab::loopback::Temper;
use rustls::SignatureAlgorithm;
use serde_json::json;

/// Names that are wanted of an authority that refuses so many of a hundred nonces (RFC 8555 §6.5).
async fn certified(stage: &'static Stage, names: usize, refused_nonces: u8) -> Result<usize> {
    let temper = Temper {
        refused_nonces,
        slowness: Duration::from_secs(u64::from(refused_nonces == 5)),
    };
    let owner = Owner::found(stage, temper).await?;
    let begun = Instant::now();
    for number in 0..names {
        owner.ask_for(&format!("n{number}")).await?;
    }
    let patience = PATIENCE * 2 + Duration::from_secs(names as u64);
    let mut ready = 0;
    while ready < names && begun.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(200)).await;
        ready = owner.count_ready().await?;
    }
    eprintln!(
        "{refused_nonces} % of nonces refused: {ready} of {names} names in {:?}, {} requests",
        begun.elapsed(),
        owner.authority.requests()
    );
    let orders = owner.authority.orders();
    ensure!(
        orders <= names as u64,
        "{orders} orders were made for {names} names"
    );
    owner.internet.check_keys()?;
    Ok(ready)
}

#[test]
fn names_are_certified_by_an_authority_that_refuses_nonces_or_is_slow() {
    stage::test(async |stage| {
        let names = if stage::is_long() { 1000 } else { 20 };
        ensure!(certified(stage, names, 5).await? == names);
        ensure!(certified(stage, names, 50).await? == names);
        let found = certified(stage, names, 90).await?;
        ensure!(
            found * 100 >= names * 99,
            "{found} of {names} at 90 % refused nonces"
        );
        Ok(())
    });
}

/// A name with a blow at one request; whether the blow fell.
async fn struck(owner: &Owner, label: &str, blow: Blow) -> Result<bool> {
    owner.authority.arm(blow);
    owner.ask_for(label).await?;
    let ready = owner.becomes_ready(label, blow != Blow::None).await;
    ready.with_context(|| format!("{blow:?}"))?;
    let orders = owner.authority.orders();
    let most = if blow == Blow::None { 1 } else { 2 };
    ensure!(orders <= most, "{blow:?}: {orders} orders were made");
    Ok(owner.authority.has_fallen())
}

#[test]
fn an_authority_that_is_killed_between_any_two_requests_costs_one_more_order_at_most() {
    stage::test(async |stage| {
        let kinds: [fn(u64) -> Blow; 3] = [Blow::KilledBefore, Blow::KilledAfter, Blow::AnswerLost];
        let tracks = kinds.into_iter().enumerate().map(async |(kind, blow)| {
            let owner = Owner::found(stage, Temper::default()).await?;
            // Its account is made with the first.
            struck(&owner, "first", Blow::None).await?;
            struck(&owner, "clean", Blow::None).await?;
            let requests = owner.authority.requests();
            let mut points = 0;
            for number in 1..=requests {
                let label = format!("k{kind}-{number}");
                points += u64::from(struck(&owner, &label, blow(number)).await?);
            }
            eprintln!("{:?} and on: {points} of {requests} requests", blow(1));
            ensure!(points * 4 >= requests * 3, "what did the others test?");
            owner.internet.check_keys()
        });
        join_all(tracks).await.into_iter().collect()
    });
}

/// A name during which the operator dies at one write; whether it died.
async fn deadly(owner: &mut Owner, label: &str, death: Mischief) -> Result<bool> {
    let told = format!("{death:?}");
    owner.authority.arm(Blow::None);
    owner.life.operator.proxy.arm(death);
    owner.ask_for(label).await?;
    let begun = Instant::now();
    while !owner.is_ready(label).await? && !owner.life.operator.is_dead() {
        ensure!(begun.elapsed() < PATIENCE, "{told}: neither ready nor dead");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let is_dead = owner.life.operator.is_dead();
    if is_dead {
        owner.life.restart().await?;
    }
    let ready = owner.becomes_ready(label, false).await;
    ready.with_context(|| told.clone())?;
    let orders = owner.authority.orders();
    ensure!(orders <= 2, "{told}: {orders} orders were made");
    owner.internet.check_keys()?;
    Ok(is_dead || owner.life.operator.proxy.has_fired())
}

#[test]
fn an_operator_that_dies_at_any_write_keeps_key_and_certificate_together() {
    stage::test(async |stage| {
        let tracks = BLOWS.into_iter().enumerate().map(async |(kind, blow)| {
            let mut owner = Owner::found(stage, Temper::default()).await?;
            deadly(&mut owner, "first", Mischief::Calm).await?;
            deadly(&mut owner, "clean", Mischief::Calm).await?;
            let writes = owner.life.operator.proxy.writes();
            let mut points = 0;
            for number in 1..=writes {
                let label = format!("d{kind}-{number}");
                points += u64::from(deadly(&mut owner, &label, blow.at(number)).await?);
            }
            eprintln!("{blow:?}: {points} of {writes} writes");
            ensure!(points * 4 >= writes * 3, "what did the others test?");
            Ok(())
        });
        join_all(tracks).await.into_iter().collect()
    });
}

/// Tries in a month (R14).
const MOST_TRIES: u64 = 35;

#[test]
fn an_authority_that_is_away_for_a_month_is_asked_seldom_while_the_old_certificate_is_served() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "month", Blow::None).await?;
        let before = owner.status("month").await?.certificate;
        let before = before.context("no certificate")?;
        let renewal = before.renew_at.as_ref().context("it is never renewed")?.0;
        // Past the day of renewal, and as long as the certificate lives.
        let month = SignedDuration::from_hours(30 * 24);
        let end = (renewal + month).min(before.not_after.0 - SignedDuration::from_hours(1));
        ensure!(
            end.duration_since(renewal) > SignedDuration::from_hours(28 * 24),
            "{before:?}"
        );
        owner.authority.arm(Blow::Away);
        let step = SignedDuration::from_hours(if stage::is_long() { 1 } else { 5 });
        let mut clock = renewal + SignedDuration::from_mins(1);
        while clock < end {
            owner.move_clock("month", clock).await?;
            clock += step;
        }
        let tries = owner.authority.requests();
        let status = owner.status("month").await?;
        let certified = condition::find(&status.conditions, "Certified");
        ensure!(
            certified.is_some_and(|it| it.status == "True" && it.reason == "RenewalWaits"),
            "{certified:?}"
        );
        ensure!(owner.is_ready("month").await?, "it is not served any more");
        let kept = status.certificate.context("the certificate is gone")?;
        ensure!(kept.serial == before.serial, "it is another one");
        ensure!(
            (5..=MOST_TRIES).contains(&tries),
            "{tries} tries in a month"
        );
        eprintln!("{tries} tries in a month");

        // It is back, and is asked when it is its turn.
        owner.authority.arm(Blow::None);
        owner
            .move_clock("month", end + SignedDuration::from_hours(31))
            .await?;
        let begun = Instant::now();
        loop {
            let status = owner.status("month").await?;
            let renewed = status.certificate.filter(|it| it.serial != before.serial);
            if renewed.is_some() {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "it is not renewed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ensure!(owner.authority.orders() == 1, "one order is enough");
        owner.internet.check_keys()
    });
}

#[test]
fn an_authority_that_says_when_to_come_again_is_not_asked_before_whatever_a_person_wishes() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "first", Blow::None).await?;
        owner.authority.arm(Blow::Busy(3600));
        owner.ask_for("busy").await?;
        owner.certified_says("busy", &["503", "again at"]).await?;
        let requests = owner.authority.requests();
        for look in 0..3 {
            owner.look_again("busy", look).await?;
        }
        owner
            .move_clock("busy", Timestamp::now() + SignedDuration::from_mins(50))
            .await?;
        ensure!(
            owner.authority.requests() == requests,
            "{} requests after the refusal",
            owner.authority.requests() - requests
        );
        owner.authority.arm(Blow::None);
        owner
            .move_clock("busy", Timestamp::now() + SignedDuration::from_mins(61))
            .await?;
        owner.becomes_ready("busy", false).await
    });
}

#[test]
fn a_directory_that_answers_with_a_page_is_named_on_the_domain_with_what_mends_it() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        owner.authority.arm(Blow::Page);
        owner.ask_for("page").await?;
        let address = owner.authority.address.to_string();
        let words = ["first", "not ACME", &address, "acme.directories"];
        owner.certified_says("page", &words).await?;
        owner.authority.arm(Blow::None);
        owner.becomes_ready("page", true).await
    });
}

#[test]
fn a_certificate_that_somebody_deleted_or_changed_is_made_anew_at_the_next_look() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "gone", Blow::None).await?;
        let certificate = async || {
            let found = owner.status("gone").await?.certificate;
            found.context("no certificate")
        };
        let mut last = certificate().await?;
        let name = last.secret.clone();
        for look in 1..=2 {
            if look == 1 {
                owner.presented().delete(&name, &Default::default()).await?;
            } else {
                let other = rcgen::generate_simple_self_signed(["gone.example".to_owned()])?;
                let pair = json!({ "stringData": {
                    "tls.crt": other.cert.pem(), "tls.key": other.signing_key.serialize_pem(),
                } });
                let change = Patch::Merge(pair);
                let params = PatchParams::default();
                owner.presented().patch(&name, &params, &change).await?;
            }
            owner.look_again("gone", look).await?;
            let begun = Instant::now();
            while certificate().await.is_ok_and(|it| it.serial == last.serial)
                || !owner.is_ready("gone").await?
            {
                ensure!(
                    begun.elapsed() < PATIENCE,
                    "look {look}: it is not made anew"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            last = certificate().await?;
        }
        owner.internet.check_keys()
    });
}

#[test]
fn a_certificate_is_revoked_where_its_authority_says_so_and_only_on_request() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "revoked", Blow::None).await?;
        let serial = async || {
            let found = owner.status("revoked").await?.certificate;
            anyhow::Ok(found.context("no certificate")?.serial)
        };
        let first = serial().await?;
        owner.annotate("revoked", REVOKE, &first).await?;
        let words = ["not revoked", REVOKE, "<reason>/<serial>"];
        owner.certified_says("revoked", &words).await?;
        let valid = ("Valid".to_owned(), None);
        ensure!(owner.authority.says_of(&first).await? == valid);
        // Another's serial number is a mistake that is told, too.
        owner
            .annotate("revoked", REVOKE, "superseded/00:aa")
            .await?;
        let words = ["not revoked", "\"00aa\"", first.as_str()];
        owner.certified_says("revoked", &words).await?;
        ensure!(owner.authority.says_of(&first).await? == valid);
        // As openssl prints it.
        let octets: Vec<&str> = first
            .as_bytes()
            .chunks(2)
            .map(|two| str::from_utf8(two))
            .collect::<Result<_, _>>()?;
        let wish = format!("superseded/{}", octets.join(":").to_uppercase());
        owner.annotate("revoked", REVOKE, &wish).await?;
        let begun = Instant::now();
        while serial().await? == first || !owner.is_ready("revoked").await? {
            ensure!(begun.elapsed() < PATIENCE, "it is not replaced");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = owner.authority.says_of(&first).await?;
        ensure!(said == ("Revoked".to_owned(), Some(4)), "{said:?}");
        let second = serial().await?;
        ensure!(owner.authority.says_of(&second).await? == valid);
        owner.give_up("revoked").await?;
        let said = owner.authority.says_of(&second).await?;
        ensure!(said == valid, "by deleting its Domain: {said:?}");
        Ok(())
    });
}

#[test]
fn an_error_of_the_authority_at_one_order_keeps_nobody_else_from_a_certificate() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "first", Blow::None).await?;
        owner.authority.arm(Blow::Stumbling);
        owner.ask_for("broken").await?;
        owner.certified_says("broken", &["500", "again at"]).await?;
        for label in ["whole", "another"] {
            owner.ask_for(label).await?;
            owner.becomes_ready(label, false).await?;
        }
        ensure!(!owner.is_ready("broken").await?, "what did this test?");
        owner.authority.arm(Blow::None);
        owner.becomes_ready("broken", true).await?;
        ensure!(owner.authority.orders() == 0, "the order was made anew");
        owner.internet.check_keys()
    });
}

#[test]
fn while_no_gateway_is_ready_none_is_listed_and_the_first_is_heard_of() {
    stage::test(async |stage| {
        let owner = Owner::found_without_gateways(stage).await?;
        owner.ask_for("early").await?;
        owner
            .certified_says("early", &["no gateway is ready"])
            .await?;
        let calls = owner.life.operator.proxy.calls();
        let lists = calls.iter().filter(|call| {
            call.path.contains(&format!("/{AWAY}/pods?")) && !call.path.contains("watch=true")
        });
        let lists = lists.count();
        ensure!(lists <= 1, "{lists} lists, of which the watch needs one");
        let internet = owner.internet.loopback;
        internet.announce_gateway(&stage.client, AWAY).await?;
        let begun = Instant::now();
        while owner.status("early").await?.certificate.is_none() {
            ensure!(begun.elapsed() < PATIENCE, "no certificate");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    });
}

#[test]
fn a_paused_instance_keeps_no_route_for_a_name_whose_proof_is_lost() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "lost", Blow::None).await?;
        let routes = owner.routes().await?;
        let hostname = format!("lost.{}", owner.zone);
        ensure!(routes.contains(&hostname), "{routes:?}");
        change(&owner.life.ground.instances, json!({ "paused": true })).await?;
        owner
            .update(format!("update delete *.{}.\n", owner.zone))
            .await?;
        let now = Timestamp::now();
        owner
            .move_clock("lost", now + SignedDuration::from_hours(2))
            .await?;
        // Its owner has a week to set the record again.
        let routes = owner.routes().await?;
        ensure!(routes.contains(&hostname), "{routes:?}");
        owner
            .move_clock("lost", now + SignedDuration::from_hours(8 * 24))
            .await?;
        let begun = Instant::now();
        while owner.routes().await?.contains(&hostname) {
            ensure!(begun.elapsed() < PATIENCE, "its Route stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = owner.status("lost").await?;
        ensure!(status.certificate.is_some(), "its certificate is gone, too");
        Ok(())
    });
}

#[test]
fn a_kept_name_stays_kept_when_its_last_owner_claims_it_again_and_proves_nothing() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "kept", Blow::None).await?;
        ensure!(
            owner.kept("kept").await?.is_none(),
            "it is kept while it is held"
        );
        owner.give_up("kept").await?;
        let note = owner.kept("kept").await?;
        let uid = note.as_ref().and_then(|note| note.get("organizationUid"));
        ensure!(uid.is_some_and(|uid| !uid.is_empty()), "{note:?}");
        let proof = format!("kept.{}. 5 CNAME {}.", owner.zone, owner.target);
        // A record of its own hides the wildcard that proves it.
        let hiding = format!("update add kept.{}. 5 TXT hidden\n", owner.zone);
        owner.update(hiding.clone()).await?;
        owner.ask_for("kept").await?;
        owner.proof_says("kept", "NotProven").await?;
        ensure!(owner.kept("kept").await? == note, "it is kept no more");
        owner.give_up("kept").await?;
        ensure!(
            owner.kept("kept").await? == note,
            "it is kept for longer, or no more"
        );
        owner
            .update(hiding.replace("add", "delete") + &format!("update add {proof}\n"))
            .await?;
        owner.ask_for("kept").await?;
        owner.becomes_ready("kept", true).await?;
        ensure!(
            owner.kept("kept").await?.is_none(),
            "it is proven, and kept"
        );
        Ok(())
    });
}

#[test]
fn a_wrong_key_for_updates_is_named_and_stops_nobody_else() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Temper::default()).await?;
        let status = async |reason: &str| {
            let begun = Instant::now();
            loop {
                let status = owner.status("wild").await?;
                let ready = condition::find(&status.conditions, condition::READY);
                if ready.is_some_and(|ready| ready.reason == reason) {
                    return Ok(status);
                }
                ensure!(begun.elapsed() < PATIENCE, "{ready:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        owner.ask_for_by("wild", "dns-01").await?;
        let asked = status("NotDelegated").await?.records;
        let record = asked.first().context("no record is asked for")?;
        let (name, value) = (&record.name, &record.value);
        // With a name below it, the name itself is not under the wildcard any more (RFC 4592 §2.2.2).
        let (zone, target) = (&owner.zone, &owner.target);
        let records = format!(
            "update add {name}. 5 CNAME {value}\nupdate add wild.{zone}. 5 CNAME {target}.\n"
        );
        owner.update(records).await?;
        owner.look_again("wild", 1).await?;
        owner
            .certified_says("wild", &["keySecret", "dns-update", "does not exist"])
            .await?;
        owner.give_key("no base64!").await?;
        owner.certified_says("wild", &["not base64"]).await?;
        owner.give_key("c29tZWJvZHkgZWxzZSdzIGtleQ==").await?;
        let words = ["DNS server", "key \"lab\"", "acme.dns01.rfc2136"];
        owner.certified_says("wild", &words).await?;
        // By the other kind of challenge names are certified meanwhile.
        struck(&owner, "other", Blow::None).await?;
        owner
            .give_key(&owner.internet.loopback.update_key()?)
            .await?;
        owner.becomes_ready("wild", false).await
    });
}

#[test]
fn another_authority_steps_in_while_the_first_is_away_and_steps_back() {
    stage::test(async |stage| {
        let owner = Owner::found_with_another(stage).await?;
        let certified_by = async |label: &str| {
            owner.becomes_ready(label, false).await?;
            let certificate = owner.status(label).await?.certificate;
            let authority = certificate.and_then(|it| it.authority);
            authority.context("nobody certified it")
        };
        let by = async |label: &str| {
            owner.ask_for(label).await?;
            certified_by(label).await
        };
        let first = by("before").await?;
        ensure!(first == FIRST, "{first} was asked first");
        owner.authority.arm(Blow::Away);
        let second = by("meanwhile").await?;
        ensure!(second == SECOND, "{second} was asked meanwhile");
        owner.authority.arm(Blow::None);
        // Before its silence is over only somebody who knows more, and waits for it, has it asked.
        owner.look_again("before", 1).await?;
        let second = by("still").await?;
        ensure!(
            second == SECOND,
            "{second} was asked for one that waits for nobody"
        );
        owner.ask_at_once_for("afterwards").await?;
        let back = certified_by("afterwards").await?;
        ensure!(back == FIRST, "{back} was asked afterwards");
        owner.internet.check_keys()
    });
}

#[test]
fn caa_records_allow_one_account_after_a_restart_and_no_other_authority() {
    stage::test(async |stage| {
        let mut owner = Owner::found_with_another(stage).await?;
        struck(&owner, "before", Blow::None).await?;
        let (account, _) = account(&owner).await?;
        let account = account.as_str().context("it has no address")?;
        owner
            .update(format!(
                "update add {}. 5 CAA 0 issue \"first.test; accounturi={account}\"\n",
                owner.zone
            ))
            .await?;
        owner
            .configure(json!({ "caaIdentities": ["first.test"] }))
            .await?;
        struck(&owner, "ours", Blow::None).await?;

        owner.authority.arm(Blow::Away);
        owner.ask_for("theirs").await?;
        let begun = Instant::now();
        loop {
            let status = owner.status("theirs").await?;
            ensure!(
                status.order.is_none() && status.certificate.is_none(),
                "the other was asked"
            );
            let ready = condition::find(&status.conditions, condition::READY);
            if ready.is_some_and(|ready| ready.reason == "CaaForbids") {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{ready:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// Address and key of the operator's account with the first authority.
async fn account(owner: &Owner) -> Result<(serde_json::Value, serde_json::Value)> {
    let secret = owner.secrets().get("acme-account-first").await?;
    let text = secret.data.context("it is empty")?;
    let text = text.get("account.json").context("no account")?;
    let account: serde_json::Value = serde_json::from_slice(&text.0)?;
    Ok((account["id"].clone(), account["key_pkcs8"].clone()))
}

#[test]
fn an_account_gets_another_key_and_certifies_on_whatever_is_lost_meanwhile() {
    stage::test(async |stage| {
        let mut owner = Owner::found(stage, Temper::default()).await?;
        struck(&owner, "first", Blow::None).await?;
        let before = account(&owner).await?;
        let mut generation = 1;
        let contacts = ["mailto:new@acme.test"];
        let change = json!({ "keyGeneration": generation, "contacts": contacts });
        owner.configure(change).await?;
        struck(&owner, "calm", Blow::None).await?;
        let after = account(&owner).await?;
        ensure!(before.0 == after.0, "it is another account");
        ensure!(before.1 != after.1, "it has the old key");

        // The directory, a nonce, the change itself, the first order.
        for number in 1..=4 {
            generation += 1;
            let change = json!({ "keyGeneration": generation });
            owner.configure(change).await?;
            let label = format!("lost-{number}");
            struck(&owner, &label, Blow::AnswerLost(number)).await?;
        }
        for (kind, blow) in BLOWS.into_iter().enumerate() {
            // The finalizer of the Domain, its state, the account.
            for number in 1..=3 {
                generation += 1;
                let change = json!({ "keyGeneration": generation });
                owner.configure(change).await?;
                let label = format!("dead-{kind}-{number}");
                deadly(&mut owner, &label, blow.at(number)).await?;
            }
        }
        owner.internet.check_keys()
    });
}

#[test]
fn an_authority_that_wants_to_know_us_gives_short_lived_certificates_of_rsa_keys() {
    stage::test(async |stage| {
        let mut owner = Owner::found_bound(stage).await?;
        owner
            .ask_for_with("rsa", json!({ "key": "RSA-2048" }))
            .await?;
        owner
            .certified_says("rsa", &["first", "externalAccountBinding"])
            .await?;
        let (id, key) = BINDING;
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "binding" },
            "stringData": { "keyId": id, "key": key },
        });
        let params = PatchParams::apply("kubectl");
        owner
            .secrets()
            .patch("binding", &params, &Patch::Apply(secret))
            .await?;
        let change = json!({ "externalAccountSecret": "binding", "profile": "shortlived" });
        owner.configure(change).await?;
        owner.becomes_ready("rsa", true).await?;
        let certificate = owner.status("rsa").await?.certificate;
        let certificate = certificate.context("no certificate")?;
        let life = certificate
            .not_after
            .0
            .duration_since(certificate.not_before.0);
        ensure!(life.as_hours() <= 6 * 24, "it lives {life}");
        let renewal = certificate.renew_at.as_ref();
        let renewal = renewal.context("it is never renewed")?.0;
        let at = renewal.duration_since(certificate.not_before.0);
        ensure!(
            at > life / 2 && renewal < certificate.not_after.0,
            "of {life} it is renewed after {at}"
        );
        let kind = owner.kind_of_key(&certificate.secret).await?;
        ensure!(kind == SignatureAlgorithm::RSA, "the key is {kind:?}");
        owner.internet.check_keys()?;

        // Six days pass: it is renewed, in time, and not more than that.
        owner
            .move_clock("rsa", renewal + SignedDuration::from_mins(1))
            .await?;
        let begun = Instant::now();
        loop {
            let renewed = owner.status("rsa").await?.certificate;
            if renewed.is_some_and(|it| it.serial != certificate.serial) {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "it is not renewed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    });
}
