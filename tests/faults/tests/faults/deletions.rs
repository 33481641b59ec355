//! A namespace that is deleted goes, with the instances in it (R10): against an API server with the
//! real controllers of namespaces and garbage.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crds::Organization;
use faults::{
    incarnation::Manner,
    mischief::Mischief,
    run::Life,
    stage::{self, PATIENCE, Stage},
    stories::Story,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use lab::control_plane::ControlPlane;
use serde_json::json;

#[test]
fn a_namespace_that_is_deleted_goes_and_an_organization_takes_its_own_along() {
    stage::test(async |_| {
        let plane = ControlPlane::builder().controllers().start().await?;
        // It lives as long as the process: a stage has no end.
        let stage: &'static Stage =
            Box::leak(Box::new(Stage::on(Box::leak(Box::new(plane))).await?));
        let namespaces: Api<Namespace> = Api::all(stage.client.clone());

        let mut life = Life::begin(stage, "pulled", &Manner::default()).await?;
        life.tell(Story::Provision, Mischief::Calm).await?;
        let name = life.ground.namespace.clone();
        let uid = namespaces.get(&name).await?.uid();
        namespaces.delete(&name, &DeleteParams::default()).await?;
        let took = gone(&namespaces, &name, uid).await?;
        eprintln!("a namespace with an instance in it was gone after {took:?}");

        let mut life = Life::begin(stage, "closed", &Manner::default()).await?;
        life.tell(Story::Provision, Mischief::Calm).await?;
        let organizations: Api<Organization> = Api::all(stage.client.clone());
        let name = life.ground.namespace.clone();
        let policy = json!({ "spec": { "deletionPolicy": "Delete" } });
        organizations
            .patch(&name, &PatchParams::default(), &Patch::Merge(policy))
            .await?;
        organizations
            .delete(&name, &DeleteParams::default())
            .await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(
            namespaces
                .get_opt(&name)
                .await?
                .is_some_and(|n| n.metadata.deletion_timestamp.is_none()),
            "a namespace with a live instance was deleted"
        );
        let uid = namespaces.get(&name).await?.uid();
        life.tell(Story::Destroy, Mischief::Calm).await?;
        let took = gone(&namespaces, &name, uid).await?;
        eprintln!("an organization was gone after {took:?}");
        ensure!(
            organizations.get_opt(&name).await?.is_none(),
            "the organization remains"
        );
        Ok(())
    });
}

/// Waits until this very namespace is gone: its organization makes another one.
async fn gone(namespaces: &Api<Namespace>, name: &str, uid: Option<String>) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let found = namespaces.get_opt(name).await?;
        let Some(namespace) = found.filter(|found| found.uid() == uid) else {
            return Ok(begun.elapsed());
        };
        ensure!(
            begun.elapsed() < PATIENCE,
            "it does not go: {}",
            serde_json::to_string(&namespace.status)?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
