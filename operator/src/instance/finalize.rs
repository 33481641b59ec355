//! Delete: keeps or removes volumes and secrets as the instance asked, then lets it go. Everything
//! else goes with its owner. Short and idempotent: each pass does what is left.

use crds::{AppInstance, app_instance::DeletionPolicy, labels};
use futures_util::future::join_all;
use kube::{
    Api, Resource as _, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        controller::Action,
        events::{Event, EventType},
    },
};

use super::{Instances, apply::delete_child};
use crate::{
    cache::{InstanceKey, Kind},
    failure::Failure,
};

/// One pass of the deletion.
///
/// # Errors
/// When the API server cannot be asked; the deletion is tried again.
pub async fn finalize(
    instance: &AppInstance,
    key: &InstanceKey,
    operator: &Instances,
) -> Result<Action, Failure> {
    if !instance
        .finalizers()
        .iter()
        .any(|f| f == labels::INSTANCE_FINALIZER)
    {
        return Ok(Action::await_change());
    }
    let children = operator.cache.children(key);
    let kept: Vec<_> = children
        .iter()
        .filter(|((kind, _), _)| matches!(kind, Kind::PersistentVolumeClaim | Kind::Secret))
        .collect();
    let names: Vec<String> = kept
        .iter()
        .map(|((kind, name), _)| format!("{kind:?} {name}"))
        .collect();
    let (reason, note) = match instance.spec.deletion_policy {
        DeletionPolicy::Delete => {
            let deletions = kept
                .iter()
                .filter(|(_, child)| !child.is_deleting)
                .map(|((kind, name), child)| delete_child(operator, key, *kind, name, child));
            join_all(deletions)
                .await
                .into_iter()
                .collect::<Result<(), Failure>>()?;
            ("DataDeleted", format!("deleted: {}", names.join(", ")))
        }
        DeletionPolicy::Retain => (
            "DataRetained",
            format!(
                "kept for a new instance of this name: {}",
                if names.is_empty() {
                    "nothing".to_owned()
                } else {
                    names.join(", ")
                }
            ),
        ),
    };
    let event = Event {
        type_: EventType::Normal,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Delete".to_owned(),
        secondary: None,
    };
    operator.news.publish(event, instance.object_ref(&()));
    give_finalizer_back(instance, operator).await?;
    operator.troubles.forget(key);
    tracing::info!(reason, "deleted");
    Ok(Action::await_change())
}

async fn give_finalizer_back(instance: &AppInstance, operator: &Instances) -> Result<(), Failure> {
    let name = instance.name_any();
    let api: Api<AppInstance> = Api::namespaced(
        operator.client.clone(),
        &instance.namespace().unwrap_or_default(),
    );
    let rest: Vec<&String> = instance
        .finalizers()
        .iter()
        .filter(|f| *f != labels::INSTANCE_FINALIZER)
        .collect();
    // With the resourceVersion: a finalizer that somebody added meanwhile is not lost.
    let patch = serde_json::json!({
        "metadata": {
            "finalizers": rest,
            "uid": instance.uid(),
            "resourceVersion": instance.resource_version(),
        },
    });
    match api
        .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Failure::Finalizer {
            name,
            source: Box::new(source),
        }),
    }
}
