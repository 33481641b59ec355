//! Hostnames whose instance or owner changes: what is said of them at once, and what is served no more.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::{Domain, condition, domain::DomainStatus, labels};
use faults::{
    domains::{Neighbour, Owner},
    stage::{self, PATIENCE},
    stories::{self, Goal, INSTANCE},
};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

/// A condition's status and reason.
fn said<'a>(status: &'a DomainStatus, type_: &str) -> (&'a str, &'a str) {
    let found = condition::find(&status.conditions, type_);
    found.map_or(("", ""), |it| (it.status.as_str(), it.reason.as_str()))
}

#[test]
fn a_domain_is_told_at_once_that_its_instance_is_gone_and_that_it_is_there_again() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Default::default()).await?;
        owner.ask_for("alone").await?;
        owner.becomes_ready("alone", false).await?;
        // It is looked at once more while all is well: the next look by itself is in an hour.
        owner.look_again("alone", 1).await?;
        let begun = Instant::now();
        loop {
            let next = owner.status("alone").await?.next_look_at;
            let in_half_an_hour = Timestamp::now() + SignedDuration::from_mins(30);
            if next.is_some_and(|next| next.0 > in_half_an_hour) {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "it is not looked at");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ground = &owner.life.ground;
        ground
            .instances
            .delete(INSTANCE, &Default::default())
            .await?;
        owner.proof_says("alone", "NoInstance").await?;
        let status = owner.status("alone").await?;
        for type_ in [condition::READY, condition::ROUTED] {
            let said = said(&status, type_);
            ensure!(said == ("False", "NoInstance"), "{type_}: {said:?}");
        }
        ensure!(status.target.is_none(), "{:?}", status.target);
        stories::order(&ground.instances, "demo", "1.0").await?;
        owner.life.reach(Goal::Running).await?;
        owner.becomes_ready("alone", false).await
    });
}

impl Rival<'_> {
    /// Asks for a hostname of somebody else's, with a certificate that is not there yet.
    async fn ask_for(&self, label: &str, hostname: &str) -> Result<()> {
        let domain = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Domain",
            "metadata": { "name": label },
            "spec": { "hostname": hostname, "instance": INSTANCE, "certificateSecret": "own" },
        });
        let params = PatchParams::apply("kubectl");
        let all = &self.0.domains;
        all.patch(label, &params, &Patch::Apply(domain)).await?;
        Ok(())
    }

    async fn status(&self, label: &str) -> Result<DomainStatus> {
        let found: Domain = self.0.domains.get(label).await?;
        Ok(found.status.unwrap_or_default())
    }

    /// Has a name looked at until it is so.
    async fn looks_until(
        &self,
        label: &str,
        is_so: impl Fn(&DomainStatus) -> bool,
    ) -> Result<DomainStatus> {
        let begun = Instant::now();
        for look in 0.. {
            let number = format!("{:?}-{look}", begun);
            let patch = json!({ "metadata": { "annotations": { labels::LOOK_NOW: number } } });
            let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
            self.0.domains.patch(label, &params, &patch).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let status = self.status(label).await?;
                if status.looked_for.as_ref() == Some(&number) {
                    if is_so(&status) {
                        return Ok(status);
                    }
                    break;
                }
                ensure!(begun.elapsed() < PATIENCE, "nobody looks: {status:?}");
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{:?}",
                self.status(label).await?
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        unreachable!("it ends in time")
    }
}

/// Waits until for some seconds nobody looks at Domains that have proven their name and cannot have it.
async fn come_to_rest(domains: &[(&Api<Domain>, &str)]) -> Result<()> {
    let begun = Instant::now();
    let mut before = Vec::new();
    loop {
        let mut looks = Vec::new();
        for (all, label) in domains {
            let status = all.get(label).await?.status.unwrap_or_default();
            looks.push(status.looked_at);
        }
        if looks == before {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "they are looked at all the time: {looks:?}"
        );
        before = looks;
        // Shorter than any wait of the schedule.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// Puts the next look of a Domain's own off.
async fn looks_tomorrow(all: &Api<Domain>, label: &str) -> Result<()> {
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    let patch = Patch::Merge(json!({ "status": { "nextLookAt": tomorrow } }));
    all.patch_status(label, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

#[test]
fn a_domain_that_comes_into_its_name_is_looked_at_at_once_however_long_it_has_waited() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Default::default()).await?;
        owner.ask_for("left").await?;
        owner.becomes_ready("left", false).await?;
        let same = json!({ "hostname": format!("left.{}", owner.zone) });
        owner.ask_for_with("next", same).await?;
        let begun = Instant::now();
        while said(&owner.status("next").await?, "HostnameHeld") != ("False", "HostnameTaken") {
            ensure!(begun.elapsed() < PATIENCE, "both have it");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        looks_tomorrow(&owner.domains, "next").await?;
        owner.give_up("left").await?;
        owner.becomes_ready("next", false).await
    });
}

/// Who wants a name that another organization has.
struct Rival<'a>(&'a Neighbour);

#[test]
fn a_name_that_two_have_proven_is_the_firsts_until_his_proof_goes_and_takes_his_certificate_along()
{
    stage::test(async |stage| {
        let owner = Owner::found_beside_another(stage).await?;
        let rival = Rival(owner.neighbour()?);
        let hostname = format!("moving.{}", owner.zone);
        let leads_to = |target: &str| format!("update add {hostname}. 5 CNAME {target}.\n");
        owner.update(leads_to(&owner.target)).await?;
        owner.ask_for("moving").await?;
        owner.becomes_ready("moving", false).await?;
        let certificate = owner.status("moving").await?.certificate;
        let secret = certificate.context("no certificate")?.secret;
        // That he wishes for it twice saves nothing.
        owner
            .ask_for_with("again", json!({ "hostname": hostname }))
            .await?;

        // The other one is shown what stands in the DNS, and what to set.
        rival.ask_for("moving", &hostname).await?;
        let is_told = |status: &DomainStatus| {
            said(status, "HostnameHeld") == ("False", "HostnameTaken")
                && status.found.iter().any(|it| it.contains(&owner.target))
        };
        let told = rival.looks_until("moving", is_told).await?;
        let proof = told.records.first().context("no record is asked for")?;
        let (name, value) = (&proof.name, &proof.value);
        ensure!(proof.type_ == "TXT", "{proof:?}");

        // Both have proven it now: nothing changes for whoever has it.
        owner
            .update(format!("update add {name}. 5 TXT {value}\n"))
            .await?;
        let is_seen = |status: &DomainStatus| {
            is_told(status) && status.found.iter().any(|it| it.contains(value))
        };
        rival.looks_until("moving", is_seen).await?;
        owner.look_again("moving", 1).await?;
        owner.becomes_ready("moving", false).await?;
        let waiting = [(&owner.domains, "again"), (&rival.0.domains, "moving")];
        come_to_rest(&waiting).await?;
        ensure!(
            owner.presented().get_opt(&secret).await?.is_some(),
            "the certificate is gone"
        );

        // The CNAME moves, and with it the name.
        let gone = format!("update delete {hostname}. CNAME\n");
        owner.update(gone + &leads_to(&rival.0.target)).await?;
        let is_his = |status: &DomainStatus| {
            said(status, "HostnameHeld").0 == "True" && said(status, "OwnershipProven").0 == "True"
        };
        // He is not asked to look, and would not by himself before tomorrow: that the other's proof is gone
        // is what he waits for.
        looks_tomorrow(&rival.0.domains, "moving").await?;
        let begun = Instant::now();
        let mut look = 2;
        let his = loop {
            owner.look_again("moving", look).await?;
            look += 1;
            let status = rival.status("moving").await?;
            if is_his(&status) {
                break status;
            }
            ensure!(begun.elapsed() < PATIENCE, "he does not look: {status:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let missing = said(&his, "Certified");
        ensure!(
            missing == ("False", "BroughtCertificateUnusable"),
            "{missing:?}"
        );
        let begun = Instant::now();
        loop {
            let status = owner.status("moving").await?;
            let presented = owner.presented().get_opt(&secret).await?;
            let is_over = said(&status, condition::READY) == ("False", "HostnameTaken")
                && said(&status, condition::ROUTED).0 == "False"
                && status.certificate.is_none();
            if is_over && presented.is_none() && !owner.routes().await?.contains(&hostname) {
                break;
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the certificate is there: {}; {status:?}",
                presented.is_some()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        owner.internet.check_keys()
    });
}
