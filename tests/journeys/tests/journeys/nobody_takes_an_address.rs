//! Only the platform gives addresses: who may edit everything in an organization's namespace can
//! neither put another address on kept data nor take the one away that is there.

use anyhow::{Result, ensure};
use journeys::{App, Story, within};
use k8s_openapi::api::{
    core::v1::Secret,
    rbac::v1::{RoleBinding, RoleRef, Subject},
};
use kube::{
    Api, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

const EDITOR: &str = "journeys-editor";
const ADDRESS: &str = "tutti.dev/host";

#[tokio::test]
async fn nobody_takes_an_address_by_writing_it_on_a_secret() -> Result<()> {
    let story = Story::begin("address").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    organization
        .order("mine", json!({"app": app.name, "version": "1"}))
        .await?;
    organization.ready("mine").await?;
    let binding = RoleBinding {
        metadata: ObjectMeta {
            name: Some(EDITOR.to_owned()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: "edit".to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "User".to_owned(),
            name: EDITOR.to_owned(),
            ..Subject::default()
        }]),
    };
    organization
        .objects::<RoleBinding>()
        .create(&PostParams::default(), &binding)
        .await?;
    let secrets: Api<Secret> = Api::namespaced(editor(&story).await?, &organization.name);
    within(10, "the editor may write Secrets", || async {
        Ok(annotate(&secrets, "mine-token", "example.com/mine", json!("1")).await?)
    })
    .await?;
    let before = secrets.get("mine-token").await?.annotations()[ADDRESS].clone();

    let named: Secret = serde_json::from_value(json!({
        "metadata": {"name": "taken-token", "annotations": {ADDRESS: "login.tutti.localhost"}},
    }))?;
    refused(
        secrets
            .create(&PostParams::default(), &named)
            .await
            .map(drop),
    )?;
    for address in [json!("login.tutti.localhost"), Value::Null] {
        refused(annotate(&secrets, "mine-token", ADDRESS, address).await)?;
    }
    let after = secrets.get("mine-token").await?.annotations()[ADDRESS].clone();
    ensure!(before == after, "{before} became {after}");
    organization.end().await
}

/// A client of somebody who may edit, and nothing more.
async fn editor(story: &Story) -> Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(&story.lab.kubeconfig)?;
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.auth_info.impersonate = Some(EDITOR.to_owned());
    Ok(kube::Client::try_from(config)?)
}

async fn annotate(
    secrets: &Api<Secret>,
    name: &str,
    key: &str,
    value: Value,
) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    secrets
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

fn refused(outcome: Result<(), kube::Error>) -> Result<()> {
    match outcome {
        Ok(()) => anyhow::bail!("somebody who may edit wrote an address"),
        Err(error) => {
            let text = error.to_string();
            ensure!(text.contains("only the platform gives addresses"), "{text}");
            Ok(())
        }
    }
}
