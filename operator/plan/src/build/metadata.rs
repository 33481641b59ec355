//! Names, labels and owners that all children share.

use std::collections::BTreeMap;

use crds::{AppInstance, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube_core::Resource;

use crate::check::Wish;

/// Component of the app's own pods.
pub const COMPONENT_WEB: &str = "web";
/// Component of the database.
pub const COMPONENT_DATABASE: &str = "database";
/// Component of jobs.
pub const COMPONENT_JOB: &str = "job";
/// On kept children: the default host of the instance, so that a new one of its name has it again.
pub const HOST_ANNOTATION: &str = "tutti.dev/host";

/// Labels of a child.
pub(super) fn labels(wish: &Wish<'_>, component: &str) -> BTreeMap<String, String> {
    let mut labels = selector(&wish.name, component);
    labels.insert(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned());
    labels.insert(labels::APP_NAME.to_owned(), wish.app.clone());
    labels
}

/// Labels by which a component's pods are found: what selectors hold, and never changes.
pub(crate) fn selector(instance: &str, component: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::INSTANCE.to_owned(), instance.to_owned()),
        (labels::COMPONENT.to_owned(), component.to_owned()),
    ])
}

/// The same as a selector object.
pub(super) fn label_selector(wish: &Wish<'_>, component: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector(&wish.name, component)),
        ..LabelSelector::default()
    }
}

/// Metadata of a child that goes when its instance goes.
pub(super) fn owned(wish: &Wish<'_>, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        owner_references: Some(vec![owner(wish)]),
        ..kept(wish, name, component)
    }
}

/// Metadata of a child that may outlive its instance: the finalizer decides.
pub(super) fn kept(wish: &Wish<'_>, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(wish.namespace.clone()),
        labels: Some(labels(wish, component)),
        ..ObjectMeta::default()
    }
}

fn owner(wish: &Wish<'_>) -> OwnerReference {
    OwnerReference {
        api_version: AppInstance::api_version(&()).into_owned(),
        kind: AppInstance::kind(&()).into_owned(),
        name: wish.name.clone(),
        uid: wish.uid.clone(),
        controller: Some(true),
        // Nothing of an instance has to be gone before it is: blocking would need a right of its own.
        block_owner_deletion: None,
    }
}
