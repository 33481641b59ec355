//! Somebody edits or deletes by hand what the operator made (R7): it is as planned again within
//! seconds, while the operator runs and when it was away; what others added stays.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use faults::{
    end_state::{self, EndState, Keepsakes},
    incarnation::Manner,
    mischief::Mischief,
    run::Life,
    stage::{self, PATIENCE, Stage},
    stories::{self, Goal, INSTANCE, Story},
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use operator::cache::Kind;
use serde_json::{Value, json};

/// A deed of somebody who should not have done it: JSON patches, as `kubectl edit` sends them.
struct Edit {
    kind: Kind,
    name: &'static str,
    patch: Value,
}

fn edit(kind: Kind, name: &'static str, patch: Value) -> Edit {
    Edit { kind, name, patch }
}

fn replace(path: &str, value: Value) -> Value {
    json!([{ "op": "add", "path": path, "value": value }])
}

fn remove(path: &str) -> Value {
    json!([{ "op": "remove", "path": path }])
}

/// Every kind, with every sort of edit.
fn edits() -> Vec<Edit> {
    const CONTAINER: &str = "/spec/template/spec/containers/0";
    let labels = "/metadata/labels";
    let plan = remove("/metadata/annotations/tutti.dev~1plan");
    let all = [
        (Kind::Deployment, "shop"),
        (Kind::StatefulSet, "shop-database"),
        (Kind::CronJob, "shop-tidy"),
        (Kind::Service, "shop"),
        (Kind::ServiceAccount, "shop"),
        (Kind::NetworkPolicy, "shop"),
        (Kind::PodDisruptionBudget, "shop"),
        (Kind::Route, "shop"),
        (Kind::SsoClient, "shop"),
        (Kind::PersistentVolumeClaim, "shop-files"),
    ];
    let mut edits = Vec::new();
    for (kind, name) in all {
        edits.push(edit(kind, name, plan.clone()));
        for label in [
            "app.kubernetes.io~1name",
            "app.kubernetes.io~1managed-by",
            "app.kubernetes.io~1instance",
        ] {
            edits.push(edit(kind, name, remove(&format!("{labels}/{label}"))));
        }
        edits.push(edit(
            kind,
            name,
            replace(&format!("{labels}/app.kubernetes.io~1name"), json!("other")),
        ));
        edits.push(edit(
            kind,
            name,
            replace(
                &format!("{labels}/app.kubernetes.io~1managed-by"),
                json!("somebody"),
            ),
        ));
        if kind != Kind::PersistentVolumeClaim {
            edits.push(edit(kind, name, remove("/metadata/ownerReferences")));
        }
    }
    let host = "/metadata/annotations/tutti.dev~1host";
    edits.extend([
        edit(Kind::PersistentVolumeClaim, "shop-files", remove(host)),
        edit(
            Kind::PersistentVolumeClaim,
            "shop-files",
            replace(host, json!("a.tutti.test")),
        ),
        edit(
            Kind::Deployment,
            "shop",
            replace("/spec/replicas", json!(5)),
        ),
        edit(
            Kind::SsoClient,
            "shop",
            replace("/spec/redirectUris", json!(["https://evil.example/"])),
        ),
        // What is empty or false in the plan is ours, too.
        edit(
            Kind::Deployment,
            "shop",
            replace("/spec/paused", json!(true)),
        ),
        edit(
            Kind::NetworkPolicy,
            "shop-database",
            replace("/spec/egress", json!([{}])),
        ),
        edit(
            Kind::Deployment,
            "shop",
            remove(&format!("{CONTAINER}/readinessProbe")),
        ),
        edit(
            Kind::Deployment,
            "shop",
            remove(&format!("{CONTAINER}/env/0")),
        ),
        edit(
            Kind::Deployment,
            "shop",
            replace(&format!("{CONTAINER}/image"), json!("evil:1")),
        ),
        edit(
            Kind::Deployment,
            "shop",
            remove(&format!("{CONTAINER}/securityContext")),
        ),
        edit(
            Kind::StatefulSet,
            "shop-database",
            remove(&format!("{CONTAINER}/livenessProbe")),
        ),
        edit(
            Kind::StatefulSet,
            "shop-database",
            replace("/spec/replicas", json!(0)),
        ),
        edit(
            Kind::CronJob,
            "shop-tidy",
            replace("/spec/schedule", json!("* * * * *")),
        ),
        edit(Kind::CronJob, "shop-tidy", remove("/spec/timeZone")),
        edit(
            Kind::Service,
            "shop",
            replace("/spec/ports/0/targetPort", json!(1)),
        ),
        // By port and protocol the list has another entry then, of the same name.
        edit(
            Kind::Service,
            "shop",
            replace("/spec/ports/0/port", json!(81)),
        ),
        edit(
            Kind::Service,
            "shop",
            remove("/spec/selector/app.kubernetes.io~1component"),
        ),
        edit(
            Kind::ServiceAccount,
            "shop",
            replace("/automountServiceAccountToken", json!(true)),
        ),
        edit(
            Kind::ServiceAccount,
            "shop",
            remove("/automountServiceAccountToken"),
        ),
        edit(
            Kind::NetworkPolicy,
            "shop",
            replace("/spec/ingress", json!([{}])),
        ),
        edit(Kind::NetworkPolicy, "shop", remove("/spec/policyTypes/1")),
        edit(
            Kind::PodDisruptionBudget,
            "shop",
            replace("/spec/maxUnavailable", json!(2)),
        ),
        edit(Kind::Route, "shop", replace("/spec/plainHttp", json!(true))),
        edit(
            Kind::Route,
            "shop",
            replace("/spec/backend/service", json!("other")),
        ),
        edit(Kind::Route, "shop", remove("/spec/timeouts")),
    ]);
    edits
}

fn api(life: &Life, kind: Kind) -> Api<DynamicObject> {
    let client = life.ground.stage.client.clone();
    Api::namespaced_with(client, &life.ground.namespace, &kind.api_resource())
}

/// A person with kubectl.
pub fn person() -> PatchParams {
    PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    }
}

async fn perform(life: &Life, edit: &Edit) -> Result<()> {
    let patch: json_patch::Patch = serde_json::from_value(edit.patch.clone())?;
    api(life, edit.kind)
        .patch(edit.name, &person(), &Patch::Json::<()>(patch))
        .await
        .with_context(|| format!("{:?} {} {}", edit.kind, edit.name, edit.patch))?;
    Ok(())
}

async fn begin(stage: &'static Stage, name: &str) -> Result<Life> {
    let mut life = Life::begin(stage, name, &Manner::default()).await?;
    for story in [Story::Provision, Story::Scale] {
        life.tell(story, Mischief::Calm).await?;
    }
    Ok(life)
}

/// Deletes an object, and waits until nobody protects it any more.
async fn delete<K>(api: &Api<DynamicObject>, object: &K) -> Result<()>
where
    K: kube::Resource,
{
    let name = object.name_any();
    api.delete(&name, &DeleteParams::background()).await?;
    let begun = Instant::now();
    while api.get_metadata_opt(&name).await?.and_then(|it| it.uid()) == object.uid() {
        ensure!(begun.elapsed() < PATIENCE, "{name} does not go");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok(())
}

/// Waits until everything is as it was.
async fn mended(life: &Life, before: &EndState) -> Result<Duration, String> {
    let begun = Instant::now();
    loop {
        let state = end_state::of(&life.ground.stage.client, &life.ground.namespace).await;
        let differences = match state {
            // An edit of a Route and its return are two generations.
            Ok(state) => end_state::differences(before, &state)
                .into_iter()
                .filter(|line| !line.contains("observedGeneration"))
                .collect(),
            Err(error) => vec![error.to_string()],
        };
        if differences.is_empty() {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > PATIENCE {
            return Err(differences.join("\n    "));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[test]
fn an_edit_by_hand_is_taken_back() {
    stage::test(async |stage| {
        let mut life = begin(stage, "edited").await?;
        let before = life.end().await?;
        let mut failures = Vec::new();
        let mut longest = Duration::ZERO;
        for edit in edits() {
            perform(&life, &edit).await?;
            match mended(&life, &before).await {
                Ok(took) => longest = longest.max(took),
                Err(rest) => {
                    failures.push(format!("{:?} {}: {rest}", edit.kind, edit.patch));
                    // What was not mended must not hide what comes.
                    life = begin(stage, "edited").await?;
                }
            }
        }
        eprintln!(
            "{} edits, the slowest taken back after {longest:?}",
            edits().len()
        );
        ensure!(failures.is_empty(), "{}", failures.join("\n  "));
        Ok(())
    });
}

#[test]
fn an_edit_by_hand_while_the_operator_was_away_is_taken_back() {
    stage::test(async |stage| {
        let mut life = begin(stage, "away").await?;
        let before = life.end().await?;
        let mut failures = Vec::new();
        // One edit of each object at a time: as many restarts as the object with the most edits.
        let mut left = edits();
        let mut starts = 0;
        while !left.is_empty() {
            life.operator.kill();
            starts += 1;
            let mut later = Vec::new();
            let mut now: Vec<Edit> = Vec::new();
            for edit in left {
                let is_edited = now
                    .iter()
                    .any(|other| (other.kind, other.name) == (edit.kind, edit.name));
                if is_edited { &mut later } else { &mut now }.push(edit);
            }
            for edit in &now {
                perform(&life, edit).await?;
            }
            life.restart().await?;
            if let Err(rest) = mended(&life, &before).await {
                let patches: Vec<String> = now
                    .iter()
                    .map(|edit| format!("{:?} {}", edit.kind, edit.patch))
                    .collect();
                failures.push(format!("{}:\n    {rest}", patches.join(", ")));
                // What was not mended must not hide what comes.
                life = begin(stage, "away").await?;
            }
            left = later;
        }
        eprintln!("{} edits in {starts} absences", edits().len());
        ensure!(failures.is_empty(), "{}", failures.join("\n  "));
        Ok(())
    });
}

#[test]
fn a_database_that_differs_where_kubernetes_lets_nothing_be_changed_is_made_anew() {
    stage::test(async |stage| {
        let mut life = begin(stage, "fixed").await?;
        let before = life.end().await?;
        life.operator.kill();
        let api = api(&life, Kind::StatefulSet);
        let mut other = api.get("shop-database").await?;
        delete(&api, &other).await?;
        other.metadata.uid = None;
        other.metadata.resource_version = None;
        other.metadata.managed_fields = None;
        other.data["spec"]["podManagementPolicy"] = json!("OrderedReady");
        api.create(&PostParams::default(), &other).await?;
        life.restart().await?;
        let mended = mended(&life, &before).await;
        mended.map(drop).map_err(|rest| anyhow::anyhow!(rest))
    });
}

#[test]
fn a_child_that_was_deleted_comes_back() {
    stage::test(async |stage| {
        let mut life = begin(stage, "deleted").await?;
        let before = life.end().await?;
        let kinds = faults::world::KINDS
            .into_iter()
            // What holds data is not replaced unasked.
            .filter(|kind| ![Kind::Secret, Kind::PersistentVolumeClaim].contains(kind));
        for kind in kinds {
            for is_away in [false, true] {
                if is_away {
                    life.operator.kill();
                }
                let api = api(&life, kind);
                for object in api.list_metadata(&Default::default()).await? {
                    // The fence is the organization's.
                    if object.name_any() != plan::organization::FENCE {
                        delete(&api, &object).await?;
                    }
                }
                if is_away {
                    life.restart().await?;
                }
                mended(&life, &before)
                    .await
                    .map_err(|rest| anyhow::anyhow!("{kind:?}, away {is_away}: {rest}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn what_others_add_to_a_child_stays() {
    stage::test(async |stage| {
        let mut life = begin(stage, "added").await?;
        let client = stage.client.clone();
        let note = json!({ "metadata": { "annotations": { "acme.example/note": "mine" } } });
        for kind in faults::world::KINDS {
            let api = api(&life, kind);
            for object in api.list_metadata(&Default::default()).await? {
                let name = object.metadata.name.unwrap_or_default();
                api.patch_metadata(&name, &person(), &Patch::Merge(&note))
                    .await?;
            }
        }
        let with_notes = end_state::of(&client, &life.ground.namespace).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        life.restart().await?;
        for story in [Story::Stop, Story::Start] {
            life.tell(story, Mischief::Calm).await?;
        }
        let after = life.end().await?;
        let rest = end_state::differences(&with_notes, &after);
        // Stopping and starting are two generations.
        ensure!(
            rest.iter().all(|line| line.contains("observedGeneration")),
            "{rest:?}"
        );
        Ok(())
    });
}

#[test]
fn a_secret_that_was_deleted_is_told_and_made_anew_only_when_asked() {
    stage::test(async |stage| {
        let life = begin(stage, "secret").await?;
        let before = life.end().await?;
        let secrets = life.ground.objects::<Secret>();
        secrets
            .delete("shop-database", &DeleteParams::default())
            .await?;
        let message = life.ready_says("SecretMissing").await?;
        ensure!(
            message.contains("shop-database") && message.contains("tutti.dev/regenerate-secret"),
            "{message}"
        );
        ensure!(
            secrets.get_opt("shop-database").await?.is_none(),
            "made anew unasked"
        );
        let mut asked = json!({ "metadata": { "annotations": {
            "tutti.dev/regenerate-secret": "shop-database",
        }}});
        life.ground
            .instances
            .patch(INSTANCE, &person(), &Patch::Merge(&asked))
            .await?;
        life.reach(Goal::Running).await?;
        ensure!(
            secrets.get_opt("shop-database").await?.is_some(),
            "not made anew"
        );
        asked["metadata"]["annotations"]["tutti.dev/regenerate-secret"] = Value::Null;
        life.ground
            .instances
            .patch(INSTANCE, &person(), &Patch::Merge(&asked))
            .await?;
        // Pods are told of the new one: that is the only thing which may differ.
        let after = life.end().await?;
        let rest = end_state::differences(&before, &after);
        ensure!(
            rest.iter()
                .all(|line| line.contains("tutti.dev/restart-for")),
            "{rest:?}"
        );
        Ok(())
    });
}

#[test]
fn a_volume_that_was_deleted_is_told_and_made_anew_only_when_asked() {
    stage::test(async |stage| {
        let life = begin(stage, "volume").await?;
        let before = life.end().await?;
        let namespace = &life.ground.namespace;
        let volumes: Api<PersistentVolumeClaim> = Api::namespaced(stage.client.clone(), namespace);
        let first = volumes.get("shop-files").await?;

        // One that only loses its labels, or is said to be another's, is found again, and marked again.
        for labels in [
            Value::Null,
            json!({ "app.kubernetes.io/instance": "other" }),
        ] {
            let unmarked = json!({ "metadata": { "labels": labels }});
            volumes
                .patch("shop-files", &person(), &Patch::Merge(&unmarked))
                .await?;
            mended(&life, &before)
                .await
                .map_err(|rest| anyhow::anyhow!(rest))?;
        }
        ensure!(volumes.get("shop-files").await?.uid() == first.uid());

        let any = api(&life, Kind::PersistentVolumeClaim);
        delete(&any, &first).await?;
        let message = life.ready_says("VolumeMissing").await?;
        let uid = first.uid().unwrap_or_default();
        let asked = format!("tutti.dev/recreate-volume={uid}");
        ensure!(
            message.contains("shop-files") && message.contains(&asked),
            "{message}"
        );
        ensure!(
            volumes.get_opt("shop-files").await?.is_none(),
            "made anew unasked"
        );
        let asked = json!({ "metadata": { "annotations": { "tutti.dev/recreate-volume": uid }}});
        life.ground
            .instances
            .patch(INSTANCE, &person(), &Patch::Merge(&asked))
            .await?;
        life.reach(Goal::Running).await?;
        let second = volumes.get("shop-files").await?;
        ensure!(second.uid() != first.uid());

        // That was about the first one only.
        delete(&any, &second).await?;
        let message = life.ready_says("VolumeMissing").await?;
        ensure!(
            message.contains(&second.uid().unwrap_or_default()),
            "{message}"
        );
        Ok(())
    });
}

#[test]
fn a_secret_that_is_going_away_is_told_without_asking_for_it_again_and_again() {
    stage::test(async |stage| {
        let life = begin(stage, "held").await?;
        let secrets = life.ground.objects::<Secret>();
        let hold = |finalizers: Value| json!({ "metadata": { "finalizers": finalizers } });
        let held = hold(json!(["acme.example/hold"]));
        secrets
            .patch("shop-database", &person(), &Patch::Merge(&held))
            .await?;
        secrets
            .delete("shop-database", &DeleteParams::default())
            .await?;
        life.ready_says("SecretMissing").await?;
        let asked = || {
            let calls = life.operator.proxy.calls();
            calls.iter().filter(|call| !call.is_watching).count()
        };
        let before = asked();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let since = asked() - before;
        ensure!(
            since <= 5,
            "{since} calls in a second in which nothing happened"
        );
        let released = hold(Value::Null);
        secrets
            .patch("shop-database", &person(), &Patch::Merge(&released))
            .await?;
        Ok(())
    });
}

#[test]
fn what_lost_its_labels_or_is_called_anothers_goes_too_when_an_instance_takes_its_data_along() {
    stage::test(async |stage| {
        let life = begin(stage, "unseen").await?;
        // Otherwise the labels come back.
        let wish = json!({ "paused": true, "deletionPolicy": "Delete" });
        stories::change(&life.ground.instances, wish).await?;
        life.ready_says("Running").await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let unseen = remove("/metadata/labels/app.kubernetes.io~1managed-by");
        let anothers = replace(
            "/metadata/labels/app.kubernetes.io~1instance",
            json!("blog"),
        );
        for (kind, name, patch) in [
            (Kind::Secret, "shop-admin-password", &unseen),
            (Kind::Secret, "shop-database", &anothers),
            (Kind::PersistentVolumeClaim, "shop-files", &anothers),
        ] {
            perform(&life, &edit(kind, name, patch.clone())).await?;
        }
        // What remembers another's address is that one's, whatever its labels say.
        let of_another = life.ground.objects::<Secret>();
        let secret = serde_json::from_value(json!({
            "metadata": {
                "name": "others-token",
                "labels": {
                    "app.kubernetes.io/managed-by": "tutti-operator",
                    "app.kubernetes.io/instance": "shop",
                },
                "annotations": { "tutti.dev/host": "others-x7k2m9p4qa.apps.example" },
            },
            "stringData": { "value": "another's" },
        }))?;
        of_another.create(&PostParams::default(), &secret).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let gone = DeleteParams::default();
        life.ground.instances.delete(INSTANCE, &gone).await?;
        life.reach(Goal::Gone).await?;
        let rest = life.end().await?;
        let data: Vec<_> = rest
            .keys()
            .filter(|name| name.starts_with("Secret/shop-") || name.contains("shop-files"))
            .collect();
        ensure!(data.is_empty(), "{data:?} are left");
        let others = of_another.get_metadata_opt("others-token").await?;
        ensure!(
            others.is_some_and(|it| it.metadata.deletion_timestamp.is_none()),
            "it took another's Secret along"
        );
        Ok(())
    });
}

#[test]
fn labels_and_notes_of_a_secret_come_back_and_its_bytes_never_change() {
    stage::test(async |stage| {
        let mut life = begin(stage, "labels").await?;
        let before = life.end().await?;
        let kept = Keepsakes::of(&stage.client, &life.ground.namespace).await?;
        for is_away in [false, true] {
            for path in [
                "/metadata/labels/app.kubernetes.io~1name",
                "/metadata/labels/app.kubernetes.io~1managed-by",
                "/metadata/labels/app.kubernetes.io~1instance",
                "/metadata/annotations/tutti.dev~1host",
            ] {
                if is_away {
                    life.operator.kill();
                }
                perform(
                    &life,
                    &edit(Kind::Secret, "shop-admin-password", remove(path)),
                )
                .await?;
                if is_away {
                    life.restart().await?;
                }
                mended(&life, &before)
                    .await
                    .map_err(|rest| anyhow::anyhow!("{path}, away {is_away}: {rest}"))?;
            }
        }
        let later = Keepsakes::of(&stage.client, &life.ground.namespace).await?;
        let losses = kept.losses(&later, false);
        ensure!(losses.is_empty(), "{losses:?}");
        Ok(())
    });
}
