//! A name that somebody registered cannot have a CNAME: it is proven by a TXT record, led here by
//! the gateway's addresses, and `www` leads on to it.

use anyhow::{Context, Result, ensure};
use crds::Domain;
use journeys::{App, PAGE, Site, Story};
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

#[tokio::test]
async fn an_apex_is_proven_by_txt_and_www_leads_on_to_it() -> Result<()> {
    let story = Story::begin("apex").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    let apex = format!("{}.test", organization.name);
    let www = format!("www.{apex}");
    organization
        .order(
            "site",
            json!({"app": app.name, "version": "1", "domains": [apex, www]}),
        )
        .await?;
    let instance = organization.ready("site").await?;
    let target = instance.status.and_then(|status| status.host);
    let target = target.context("no default host")?;

    let asked = organization.domain(&apex, "NotProven").await?.records;
    ensure!(
        asked.len() == 1 && asked[0].type_ == "TXT",
        "an apex cannot have a CNAME: {asked:?}"
    );
    story.set_record(&asked[0].name, "TXT", &asked[0].value)?;
    // Proven, and not led here yet: now its addresses are asked for.
    let asked = organization.domain(&apex, "NoRecord").await?.records;
    let address = asked.iter().find(|record| record.type_ == "A");
    let address = address.context("no A record is asked for")?;
    ensure!(
        address.value == story.lab.node_address.to_string(),
        "{asked:?}"
    );
    story.set_record(&address.name, "A", &address.value)?;
    story.set_record(&www, "CNAME", &target)?;
    organization.domain(&apex, "Served").await?;
    organization.domain(&www, "Served").await?;

    // What the instance made can be told more, which stays.
    let domains = organization.objects::<Domain>();
    let all = domains.list(&ListParams::default()).await?;
    let name = all
        .iter()
        .find(|domain| domain.spec.hostname == www)
        .map(|domain| domain.name_any())
        .context("no Domain for www")?;
    let more = json!({"spec": {"redirectTo": apex, "hstsSeconds": 3600}});
    domains
        .patch(&name, &PatchParams::default(), &Patch::Merge(more))
        .await?;
    let site = Site::of_domain(&story.lab, &www)?;
    journeys::within(30, "www leads on", || async {
        let answer = site.page("/a?b=c").await?;
        let wanted = match story.lab.https_port {
            443 => format!("https://{apex}/a?b=c"),
            port => format!("https://{apex}:{port}/a?b=c"),
        };
        ensure!(
            answer.status == 301 && answer.header("location") == wanted,
            "{answer:?}"
        );
        Ok(())
    })
    .await?;
    let answer = Site::of_domain(&story.lab, &apex)?.page(PAGE).await?;
    ensure!(answer.status == 200, "{answer:?}");
    organization.end().await
}
