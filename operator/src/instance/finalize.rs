//! Delete: closes the site, keeps or removes volumes and secrets as the instance asked, then lets it
//! go. Everything else goes with its owner. Short and idempotent: each pass does what is left.

use crds::{AppInstance, app_instance::DeletionPolicy, labels};
use futures_util::future::join_all;
use kube::{
    Api, Resource as _, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        controller::Action,
        events::{Event, EventType},
        reflector::ObjectRef,
    },
};
use plan::names::claims;

use super::{
    Instances,
    apply::{delete_child, observed_metadata},
};
use crate::{
    cache::{
        Child, Children, InstanceKey, Kind, Seen,
        child::{Applied, Kept, is_made_for},
    },
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
    let mut kept = operator.cache.children(key);
    // First of all nobody is let in any more: a site whose database goes before it shows errors.
    let routes = kept.extract_if(.., |(kind, _), _| *kind == Kind::Route);
    delete(operator, key, &routes.collect()).await?;
    kept.retain(|(kind, _), child| is_data(*kind) && is_not_anothers(instance, child));
    if instance.spec.deletion_policy == DeletionPolicy::Delete {
        let unseen = without_labels(instance, key, operator, &kept).await?;
        kept.extend(unseen);
    }
    let names: Vec<String> = kept
        .keys()
        .map(|(kind, name)| format!("{kind:?} {name}"))
        .collect();
    let (reason, note) = match instance.spec.deletion_policy {
        DeletionPolicy::Delete => {
            delete(operator, key, &kept).await?;
            ("DataDeleted", format!("deleted: {}", names.join(", ")))
        }
        DeletionPolicy::Retain => (
            "DataRetained",
            format!("kept for a new instance of this name: {}", names.join(", ")),
        ),
    };
    let event = Event {
        type_: EventType::Normal,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Delete".to_owned(),
        secondary: None,
    };
    if !names.is_empty() {
        operator.news.publish(event, instance.object_ref(&()));
    }
    give_finalizer_back(instance, operator).await?;
    operator.troubles.forget(key);
    tracing::info!(reason, "deleted");
    Ok(Action::await_change())
}

async fn delete(
    operator: &Instances,
    key: &InstanceKey,
    children: &Children,
) -> Result<(), Failure> {
    let deletions = children
        .iter()
        .filter(|(_, child)| !child.is_deleting)
        .map(|((kind, name), child)| delete_child(operator, key, *kind, name, child));
    join_all(deletions).await.into_iter().collect()
}

fn is_data(kind: Kind) -> bool {
    matches!(kind, Kind::PersistentVolumeClaim | Kind::Secret)
}

/// Somebody may have labelled as this instance's what remembers another's address.
fn is_not_anothers(instance: &AppInstance, child: &Child) -> bool {
    let remembered = match &child.seen {
        Seen::Volume { kept, .. } | Seen::Secret(kept) => kept.host.as_ref(),
        _ => None,
    };
    let given = instance.status.as_ref().and_then(|it| it.host.as_ref());
    given.is_none() || remembered.is_none() || remembered == given
}

/// Volumes and Secrets whose labels were taken away or changed: out of the watch's sight, and still this
/// instance's, whose address they remember.
async fn without_labels(
    instance: &AppInstance,
    key: &InstanceKey,
    operator: &Instances,
    known: &Children,
) -> Result<Children, Failure> {
    let status = instance.status.clone().unwrap_or_default();
    let app = ObjectRef::new(&instance.spec.app);
    let definition = operator.cache.definitions.get(&app);
    let claims = definition.iter().flat_map(|it| claims(&key.name, &it.spec));
    let secrets = status.secrets.iter().cloned();
    let slots = claims
        .map(|name| (Kind::PersistentVolumeClaim, name))
        .chain(secrets.map(|name| (Kind::Secret, name)))
        .filter(|slot| !known.contains_key(slot));
    let host = &status.host;
    let uid = instance.metadata.uid.as_deref().unwrap_or_default();
    let looks = slots.map(|(kind, name)| async move {
        let found = observed_metadata(operator, key, kind, &name).await?;
        let ours = found
            .filter(|found| is_made_for(found, uid))
            .filter(|found| host.is_some() && Kept::of(found).host == *host);
        Ok(ours.map(|found| {
            let child = Child {
                applied: Applied::of(&found),
                seen: Seen::Presence,
            };
            ((kind, name), child)
        }))
    });
    let found = join_all(looks).await.into_iter();
    found.filter_map(Result::transpose).collect()
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
