//! What there is in a namespace, without what differs from run to run: two ends of the same story
//! are equal.

use std::{collections::BTreeMap, sync::LazyLock};

use anyhow::Result;
use crds::labels;
use futures_util::future::try_join_all;
use k8s_openapi::api::{
    core::v1::{LimitRange, PersistentVolumeClaim, ResourceQuota, Secret},
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use regex::Regex;
use serde_json::{Value, json};

use crate::world::KINDS;

/// Objects by kind and name.
pub type EndState = BTreeMap<String, Value>;

/// What there is.
pub async fn of(client: &Client, namespace: &str) -> Result<EndState> {
    let mut resources: Vec<ApiResource> = KINDS.map(|kind| kind.api_resource()).to_vec();
    resources.push(ApiResource::erase::<crds::AppInstance>(&()));
    resources.push(ApiResource::erase::<ResourceQuota>(&()));
    resources.push(ApiResource::erase::<LimitRange>(&()));
    resources.push(ApiResource::erase::<RoleBinding>(&()));
    let lists = try_join_all(resources.iter().map(|resource| async move {
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, resource);
        let found = api.list(&Default::default()).await?;
        Ok::<_, kube::Error>((resource.kind.clone(), found.items))
    }))
    .await?;
    let mut state = EndState::new();
    for (kind, items) in lists {
        for item in items {
            let name = format!("{kind}/{}", item.name_any());
            state.insert(name, plain(&kind, &item, namespace)?);
        }
    }
    Ok(state)
}

fn plain(kind: &str, object: &DynamicObject, namespace: &str) -> Result<Value> {
    static HOST: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"shop-[a-z0-9]{10}\.tutti\.test").ok());
    static UID: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").ok()
    });
    static DIGEST: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#""[0-9a-f]{20}""#).ok());
    let meta = &object.metadata;
    let mut value = json!({
        "metadata": {
            "labels": meta.labels,
            "annotations": meta.annotations,
            "ownerReferences": meta.owner_references,
            "finalizers": meta.finalizers,
            "isDeleting": meta.deletion_timestamp.is_some(),
        },
        "spec": object.data.get("spec"),
    });
    if kind == "RoleBinding" {
        value["binds"] = json!([object.data["roleRef"], object.data["subjects"]]);
    }
    match kind {
        "AppInstance" | "Route" => value["status"] = without_times(&object.data["status"]),
        "Secret" => {
            let data = object.data["data"].as_object().into_iter().flatten();
            let lengths = data.map(|(key, value)| (key.clone(), value.to_string().len()));
            value["data"] = json!(lengths.collect::<BTreeMap<_, _>>());
        }
        "Service" => {
            if let Some(spec) = value["spec"].as_object_mut() {
                spec.retain(|key, _| !key.starts_with("clusterIP"));
            }
        }
        _ => {}
    }
    let mut text = value.to_string().replace(namespace, "NAMESPACE");
    for (pattern, word) in [(&HOST, "HOST"), (&UID, "UID"), (&DIGEST, "\"DIGEST\"")] {
        if let Some(pattern) = pattern.as_ref() {
            text = pattern.replace_all(&text, word).into_owned();
        }
    }
    Ok(serde_json::from_str(&text)?)
}

fn without_times(status: &Value) -> Value {
    let mut status = status.clone();
    let conditions = status["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastTransitionTime");
        }
    }
    if let Some(conditions) = status["conditions"].as_array_mut() {
        // What the DNS says comes when it comes.
        conditions.retain(|condition| condition["type"] != crds::condition::DOMAINS_READY);
        conditions.sort_by_key(|condition| condition["type"].to_string());
    }
    status
}

/// How two ends differ, one line each; empty when they do not.
pub fn differences(expected: &EndState, found: &EndState) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, wanted) in expected {
        match found.get(name) {
            None => lines.push(format!("{name} is missing")),
            Some(value) => compare(name, wanted, value, &mut lines),
        }
    }
    for name in found.keys().filter(|name| !expected.contains_key(*name)) {
        lines.push(format!("{name} is too much"));
    }
    lines
}

fn compare(path: &str, wanted: &Value, found: &Value, lines: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                let other = found.get(key).unwrap_or(&Value::Null);
                compare(&format!("{path}.{key}"), value, other, lines);
            }
            for (key, value) in found.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                compare(&format!("{path}.{key}"), &Value::Null, value, lines);
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), wanted, found, lines);
            }
        }
        _ if wanted == found => {}
        _ => lines.push(format!("{path}: {wanted} was expected, {found} was found")),
    }
}

/// What must never be made twice or changed: Secrets and volumes, with uid and bytes.
#[derive(Debug, Clone, Default)]
pub struct Keepsakes(BTreeMap<String, String>);

impl Keepsakes {
    /// What there is now.
    pub async fn of(client: &Client, namespace: &str) -> Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let volumes: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
        let mut found = BTreeMap::new();
        // Those of idm can be made again.
        let lasting = format!("{}!={}", labels::MANAGED_BY, labels::IDM);
        let lasting = ListParams::default().labels(&lasting);
        for secret in secrets.list(&lasting).await? {
            let bytes = serde_json::to_string(&secret.data)?;
            let content = format!("{} {bytes}", secret.uid().unwrap_or_default());
            found.insert(format!("Secret/{}", secret.name_any()), content);
        }
        for volume in volumes.list(&Default::default()).await? {
            let uid = volume.uid().unwrap_or_default();
            found.insert(format!("Volume/{}", volume.name_any()), uid);
        }
        Ok(Self(found))
    }

    /// What of these is not as it was; what is gone counts only where it must not go.
    pub fn losses(&self, later: &Self, may_be_gone: bool) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|(name, content)| match later.0.get(name) {
                None if may_be_gone => None,
                None => Some(format!("{name} is gone")),
                Some(other) if other != content => Some(format!("{name} is another one")),
                Some(_) => None,
            })
            .collect()
    }
}
