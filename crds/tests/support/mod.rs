//! An API server with our kinds, and objects to try on it.

use std::{fs, path::Path};

use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use lab::control_plane::ControlPlane;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Our kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    AppDefinition,
    AppInstance,
    Organization,
    Route,
    Domain,
    SsoClient,
}

impl Kind {
    fn is_namespaced(self) -> bool {
        matches!(
            self,
            Self::AppInstance | Self::Route | Self::Domain | Self::SsoClient
        )
    }

    fn resource(self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(
            crds::GROUP,
            "v1alpha1",
            &format!("{self:?}"),
        ))
    }
}

/// An object under construction, good or bad.
#[derive(Clone, Debug)]
pub struct Object {
    kind: Kind,
    value: Value,
}

impl Object {
    pub fn new(kind: Kind, name: &str) -> Self {
        let value = json!({
            "apiVersion": format!("{}/v1alpha1", crds::GROUP),
            "kind": format!("{kind:?}"),
            "metadata": { "name": name },
            "spec": {},
        });
        Self { kind, value }
    }

    /// As one of our own types writes it.
    pub fn from(kind: Kind, object: &impl Serialize) -> Self {
        let value = serde_json::to_value(object).unwrap();
        Self { kind, value }
    }

    /// With this value at this JSON pointer, whose parent is there.
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = self.value.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
            fields => fields[field] = value,
        }
        self
    }

    /// Without the value at this JSON pointer.
    pub fn without(mut self, pointer: &str) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = self.value.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(field);
        self
    }

    fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap()
    }
}

/// Every `apps/*/app.yaml` as it is written.
pub fn catalogue() -> Vec<Object> {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps");
    let found: Vec<Object> = fs::read_dir(apps)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("app.yaml"))
        .filter(|file| file.is_file())
        .map(|file| Object {
            kind: Kind::AppDefinition,
            value: serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap(),
        })
        .collect();
    assert!(!found.is_empty());
    found
}

/// Fails when some rule's message does not stand in the text of the tests.
pub fn every_rule_is_asserted_in(tests: &str) {
    fn walk(value: &Value, look: &mut impl FnMut(&str)) {
        match value {
            Value::Object(fields) => {
                let rules = fields
                    .get("x-kubernetes-validations")
                    .and_then(Value::as_array);
                for rule in rules.into_iter().flatten() {
                    look(rule["message"].as_str().unwrap_or_default());
                }
                fields.values().for_each(|value| walk(value, look));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
            _ => {}
        }
    }
    let mut rules = 0;
    for crd in crds::all() {
        walk(&serde_json::to_value(&crd).unwrap(), &mut |message| {
            rules += 1;
            assert!(tests.contains(message), "no test asserts: {message}");
        });
    }
    assert!(rules > 20, "only {rules} rules were found");
}

/// The API server of all tests in this file, and a namespace of the test's own.
pub struct Server {
    plane: &'static ControlPlane,
    client: Client,
    namespace: String,
}

/// Starts it when the first test asks.
pub async fn server() -> Server {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await.unwrap();
    INSTALLED
        .get_or_try_init(|| async { plane.install(&crds::all()).await })
        .await
        .unwrap();
    let client = plane.client().await.unwrap();
    let namespace = plane.namespace(&client, "kinds").await.unwrap();
    Server {
        plane,
        client,
        namespace,
    }
}

impl Server {
    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let resource = kind.resource();
        if kind.is_namespaced() {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// As `kubectl apply --server-side` does it: a field that does not exist is refused.
    async fn apply(&self, object: &Object) -> Result<Value, String> {
        let params = PatchParams::apply("tests").dry_run().validation_strict();
        let patch = Patch::Apply(&object.value);
        match self
            .api(object.kind)
            .patch(object.name(), &params, &patch)
            .await
        {
            Ok(made) => Ok(serde_json::to_value(made).unwrap()),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The object would be taken; returns it with its defaults.
    #[track_caller]
    pub fn accepts(&self, object: Object) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let outcome = self.apply(&object).await;
            outcome.unwrap_or_else(|told| panic!("{caller}: refused: {told}\n{}", object.value))
        }
    }

    /// As `kubectl create` does it: the object reaches the rules as it is.
    pub async fn post(&self, object: &Object) -> Result<Value, String> {
        let new: DynamicObject = serde_json::from_value(object.value.clone()).unwrap();
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match self.api(object.kind).create(&params, &new).await {
            Ok(made) => Ok(serde_json::to_value(made).unwrap()),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The object is refused, with these words.
    #[track_caller]
    pub fn refuses(&self, object: Object, words: &str) -> impl Future<Output = ()> {
        let refusal = self.refusal(object, words);
        async { drop(refusal.await) }
    }

    /// The object is refused, with these words and no second sentence.
    #[track_caller]
    pub fn refuses_with_this_only(&self, object: Object, words: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let refusal = self.refusal(object, words);
        async move {
            let told = refusal.await;
            // Several causes stand in brackets.
            let is_one = !told.contains(" is invalid: [");
            assert!(is_one, "{caller}: it said more than that: {told}");
        }
    }

    /// What is said of an object that is refused with these words.
    #[track_caller]
    fn refusal(&self, object: Object, words: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            match self.post(&object).await {
                Ok(_) => panic!("{caller}: accepted: {}", object.value),
                Err(told) => {
                    assert!(told.contains(words), "{caller}: it said: {told}");
                    told
                }
            }
        }
    }

    /// Makes an object that stays until the end of the tests.
    pub async fn create(&self, object: Object) -> Object {
        let new: DynamicObject = serde_json::from_value(object.value.clone()).unwrap();
        let made = self
            .api(object.kind)
            .create(&PostParams::default(), &new)
            .await;
        Object::from(object.kind, &made.unwrap())
    }

    /// Sets the status, as a controller does; the object as it is then.
    pub async fn set_status(&self, there: &Object, status: Value) -> Object {
        let patch = Patch::Merge(json!({ "status": status }));
        let params = PatchParams::default();
        let made = self
            .api(there.kind)
            .patch_status(there.name(), &params, &patch)
            .await;
        Object::from(there.kind, &made.unwrap())
    }

    async fn replace(&self, changed: &Object) -> Result<(), String> {
        let object: DynamicObject = serde_json::from_value(changed.value.clone()).unwrap();
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let api = self.api(changed.kind);
        match api.replace(changed.name(), &params, &object).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    }

    /// An object that is there may become this.
    #[track_caller]
    pub fn accepts_change(&self, changed: Object) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let outcome = self.replace(&changed).await;
            outcome.unwrap_or_else(|told| panic!("{caller}: refused: {told}\n{}", changed.value));
        }
    }

    /// An object that is there may not become this, with these words.
    #[track_caller]
    pub fn refuses_change(&self, changed: Object, words: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            match self.replace(&changed).await {
                Ok(()) => panic!("{caller}: accepted: {}", changed.value),
                Err(told) => assert!(told.contains(words), "{caller}: it said: {told}"),
            }
        }
    }

    /// Scales by the subresource, as `kubectl scale` does; returns what the spec then says.
    pub async fn scale(&self, there: &Object, replicas: i32) -> i64 {
        let api = self.api(there.kind);
        let patch = json!({ "spec": { "replicas": replicas } });
        let params = PatchParams::default();
        api.patch_scale(there.name(), &params, &Patch::Merge(&patch))
            .await
            .unwrap();
        let after = api.get(there.name()).await.unwrap();
        after.data["spec"]["replicas"].as_i64().unwrap()
    }

    /// What `kubectl explain` prints.
    pub async fn explain(&self, field: &str) -> String {
        let output = tokio::process::Command::new(&self.plane.kubectl)
            .arg("--kubeconfig")
            .arg(&self.plane.kubeconfig)
            .args(["explain", field])
            .output()
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}
