//! An organization's namespace and fence: the operator is killed at each write of a founding, and
//! somebody edits or deletes what it made.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::labels;
use faults::{
    end_state::{self, EndState},
    incarnation::{Incarnation, Manner},
    mischief::BLOWS,
    run::{Ground, check_state},
    stage::{self, PATIENCE, Stage},
};
use k8s_openapi::api::{
    core::v1::{LimitRange, Namespace, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use plan::organization::FENCE;
use serde_json::json;

use crate::edits::person;

fn fence() -> [ApiResource; 4] {
    [
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<ResourceQuota>(&()),
        ApiResource::erase::<LimitRange>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
    ]
}

/// What a founding comes to, the namespace's own labels included.
async fn end(ground: &Ground) -> Result<EndState> {
    let client = ground.stage.client.clone();
    let namespace = Api::<Namespace>::all(client.clone())
        .get(&ground.namespace)
        .await?;
    let mut state = end_state::of(&client, &ground.namespace).await?;
    let mut own = namespace.metadata.labels.unwrap_or_default();
    own.remove("kubernetes.io/metadata.name");
    for value in own.values_mut().filter(|value| **value == ground.namespace) {
        "NAMESPACE".clone_into(value);
    }
    state.insert("Namespace".to_owned(), json!(own));
    Ok(state)
}

async fn comes_to(ground: &Ground, wanted: &EndState) -> Result<()> {
    let begun = Instant::now();
    loop {
        let checked = check_state(wanted, &end(ground).await?);
        if checked.is_ok() || begun.elapsed() > PATIENCE {
            return checked;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn founded(stage: &'static Stage, name: &str) -> Result<(Ground, Incarnation)> {
    let ground = Ground::new(stage, name);
    let operator = Incarnation::start(stage, &ground.namespace, &Manner::default()).await?;
    ground.found(&operator).await?;
    Ok((ground, operator))
}

#[test]
fn a_founding_that_is_killed_at_any_write_ends_as_if_it_had_not_been() {
    stage::test(async |stage| {
        let (clean, _operator) = founded(stage, "clean").await?;
        let wanted = end(&clean).await?;
        let mut points = 0;
        for blow in BLOWS {
            for write in 1.. {
                let ground = Ground::new(stage, "founding");
                let manner = Manner::default();
                let mut operator = Incarnation::start(stage, &ground.namespace, &manner).await?;
                operator.proxy.arm(blow.at(write));
                let told = || format!("{blow:?} at write {write}");
                tokio::select! {
                    founded = ground.found(&operator) => founded.with_context(told)?,
                    () = dead(&operator) => {}
                }
                if !operator.proxy.has_fired() {
                    break;
                }
                points += 1;
                if operator.is_dead() {
                    operator = Incarnation::start(stage, &ground.namespace, &manner).await?;
                }
                ground.found(&operator).await.with_context(told)?;
                comes_to(&ground, &wanted).await.with_context(told)?;
            }
        }
        // Finalizer, namespace, four objects of the fence and status, three times.
        ensure!(points >= 21, "{points} points: what were they?");
        Ok(())
    });
}

async fn dead(operator: &Incarnation) {
    while !operator.is_dead() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_fence_that_was_edited_or_deleted_is_whole_again_and_so_are_labels() {
    stage::test(async |stage| {
        let (ground, _operator) = founded(stage, "fence").await?;
        let wanted = end(&ground).await?;
        let client = stage.client.clone();
        for resource in fence() {
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), &ground.namespace, &resource);
            api.delete(FENCE, &DeleteParams::default()).await?;
            comes_to(&ground, &wanted)
                .await
                .with_context(|| format!("{} deleted", resource.kind))?;
            let edit = match resource.kind.as_str() {
                "ResourceQuota" => json!({ "spec": { "hard": { "requests.memory": "9Ti" } } }),
                "LimitRange" => json!({ "spec": { "limits": [] } }),
                "RoleBinding" => json!({ "subjects": [] }),
                _ => json!({ "spec": { "ingress": [{}] } }),
            };
            api.patch(FENCE, &person(), &Patch::Merge(&edit)).await?;
            comes_to(&ground, &wanted)
                .await
                .with_context(|| format!("{} edited", resource.kind))?;
        }
        let api: Api<Namespace> = Api::all(client);
        for label in [
            labels::ORGANIZATION,
            labels::MANAGED_BY,
            "pod-security.kubernetes.io/enforce",
        ] {
            for value in [json!(null), json!("baseline")] {
                let edit = json!({ "metadata": { "labels": { label: value } } });
                api.patch(&ground.namespace, &person(), &Patch::Merge(&edit))
                    .await?;
                comes_to(&ground, &wanted)
                    .await
                    .with_context(|| format!("label {label} is {value}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn nothing_is_made_in_a_namespace_that_the_organization_could_not_take() {
    stage::test(async |stage| {
        let ground = Ground::new(stage, "taken");
        let namespaces: Api<Namespace> = Api::all(stage.client.clone());
        let theirs = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": ground.namespace },
        });
        let somebody = PatchParams::apply("somebody");
        namespaces
            .patch(&ground.namespace, &somebody, &Patch::Apply(theirs))
            .await?;
        let before = end(&ground).await?;
        let organizations: Api<crds::Organization> = Api::all(stage.client.clone());
        let ours = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Organization",
            "metadata": { "name": ground.namespace },
            "spec": { "title": "Acme" },
        });
        organizations
            .patch(&ground.namespace, &somebody, &Patch::Apply(ours))
            .await?;
        faults::stories::order(&ground.instances, "demo", "1.0").await?;
        let _operator = Incarnation::start(stage, &ground.namespace, &Manner::default()).await?;
        let begun = Instant::now();
        let ready = loop {
            let instance = ground.instances.get(faults::stories::INSTANCE).await?;
            let conditions = instance.status.unwrap_or_default().conditions;
            if let Some(ready) = crds::condition::find(&conditions, crds::condition::READY) {
                break ready.clone();
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "nothing is said of the instance"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        ensure!(ready.reason == "OrganizationNotFenced", "{ready:?}");
        let mut after = end(&ground).await?;
        after.retain(|name, _| !name.starts_with("AppInstance/"));
        check_state(&before, &after)?;

        // Handed over, as the message says, it begins.
        let label = json!({ "metadata": { "labels": { labels::ORGANIZATION: ground.namespace } } });
        namespaces
            .patch(&ground.namespace, &person(), &Patch::Merge(&label))
            .await?;
        let begun = Instant::now();
        loop {
            let instance = ground.instances.get(faults::stories::INSTANCE).await?;
            if plan::check::is_granted(&instance) {
                return Ok(());
            }
            // The namespace is looked at again every half minute.
            ensure!(begun.elapsed() < PATIENCE, "{:?}", instance.status);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}
