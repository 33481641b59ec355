//! Somebody changes the label by which the operator knows what is its own, or removes it, on what a site is
//! made of: the operator, with the rights that the chart gives it, puts it back, and visitors notice nothing.

use std::{fmt::Debug, time::Instant};

use anyhow::{Result, ensure};
use crds::{Route, labels};
use journeys::{App, Organization, PAGE, Story, Visitors, took, within};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Service, networking::v1::NetworkPolicy},
    serde::de::DeserializeOwned,
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_takes_our_labels_away_and_they_come_back_while_the_site_is_served() -> Result<()>
{
    let story = Story::begin_alone("labels").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    let wish = json!({"app": app.name, "version": "1"});
    organization.order("files", wish).await?;
    let url = organization.address("files").await?;
    let site = story.site(&url)?;
    within(30, "the site answers", || async {
        let answer = site.page(PAGE).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await?;
    let pod = organization.pod("files", "web").await?;

    let visitors = Visitors::come(site, PAGE);
    let start = Instant::now();
    for label in [json!("somebody-else"), Value::Null] {
        comes_back::<Deployment>(&organization, &label).await?;
        comes_back::<Service>(&organization, &label).await?;
        comes_back::<NetworkPolicy>(&organization, &label).await?;
        comes_back::<Route>(&organization, &label).await?;
    }
    took("eight labels came back", start);
    organization.ready("files").await?;
    visitors.leave().await?;
    let same = organization.pod("files", "web").await?;
    ensure!(same.uid() == pod.uid(), "the pod was replaced");
    organization.end().await
}

/// Gives the instance's objects of a kind another label, and waits until each has ours again, and is the one
/// that it was.
async fn comes_back<K>(organization: &Organization, label: &Value) -> Result<()>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    let kind = K::kind(&());
    let objects = organization.objects::<K>();
    let of_files = ListParams::default().labels(&format!("{}=files", labels::INSTANCE));
    let all = objects.list_metadata(&of_files).await?.items;
    ensure!(!all.is_empty(), "there is no {kind}");
    for object in all {
        let name = object.name_any();
        let change = json!({"metadata": {"labels": {(labels::MANAGED_BY): label}}});
        let by_hand = PatchParams::default();
        objects
            .patch(&name, &by_hand, &Patch::Merge(change))
            .await?;
        within(
            30,
            &format!("{kind} {name} has its label again"),
            || async {
                let now = objects.get_metadata(&name).await?.metadata;
                ensure!(now.uid == object.metadata.uid, "it is another one");
                let found = now.labels.unwrap_or_default().remove(labels::MANAGED_BY);
                ensure!(found.as_deref() == Some(labels::MANAGER), "it is {found:?}");
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}
