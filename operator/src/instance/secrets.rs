//! Generated Secrets: created once, their bytes never changed, their labels and annotations kept.
//! One that was lost is not made anew unasked; one that only lost its labels is
//! found again (`lost.rs`).

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use plan::{SecretWish, digest};
use serde_json::{Value, json};

use super::{
    Instances,
    apply::{Trouble, Writer, metadata, trouble},
};
use crate::{
    cache::{
        Child, InstanceKey, Kind, Seen,
        child::{Applied, Kept, is_of},
    },
    failure::name_taken,
    random::letters_and_digits,
};
use crds::{condition::SECRETS_READY, labels};

const TYPE: &str = "Opaque";

impl Writer<'_> {
    /// Creates a generated Secret where there is none; keeps the labels of one that is there.
    pub(super) async fn provide_secret(&self, wish: &SecretWish) -> Result<(), Trouble> {
        let name = wish.metadata.name.clone().unwrap_or_default();
        if let Some(known) = self.known(Kind::Secret, &name) {
            return self.keep_labels(wish, &name, known).await;
        }
        let data = wish.lengths.iter().map(|(key, length)| {
            (
                key.clone(),
                ByteString(letters_and_digits(*length).into_bytes()),
            )
        });
        let mut secret = Secret {
            metadata: wish.metadata.clone(),
            data: Some(data.collect()),
            // Not immutable: kubelets never look again at an immutable Secret, and would hand an
            // old value to new pods when it was generated anew.
            type_: Some(TYPE.to_owned()),
            ..Secret::default()
        };
        let plan = (labels::PLAN.to_owned(), digest::of(&wish.metadata));
        secret.annotations_mut().extend([plan]);
        let params = PostParams {
            field_manager: Some(labels::MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.api::<Secret>().create(&params, &secret).await {
            Ok(answer) => {
                let seen = seen(&answer.metadata);
                self.wrote(Kind::Secret, &name, &answer.metadata, seen);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.take_up(wish, &name).await
            }
            Err(error) => Err(trouble(SECRETS_READY, Kind::Secret, &name, error)),
        }
    }

    /// It was created before, and no watch has told yet; or it is somebody else's.
    async fn take_up(&self, wish: &SecretWish, name: &str) -> Result<(), Trouble> {
        let found = metadata(self.operator, self.key, Kind::Secret, name).await;
        match found.map_err(|error| trouble(SECRETS_READY, Kind::Secret, name, error))? {
            Some(found) if is_of(&found, self.key) => {
                let child = child(&found);
                self.keep_labels(wish, name, &child).await?;
                note(self.operator, self.key, name, child);
                Ok(())
            }
            Some(_) => Err(Trouble::Refused(name_taken(
                SECRETS_READY,
                "Secret",
                name,
                "is not this instance's",
            ))),
            // Deleted in this moment: the next pass sees that.
            None => Ok(()),
        }
    }

    async fn keep_labels(
        &self,
        wish: &SecretWish,
        name: &str,
        known: &Child,
    ) -> Result<(), Trouble> {
        let digest = digest::of(&wish.metadata);
        let body = || {
            let mut body = json!({ "apiVersion": "v1", "kind": "Secret" });
            body["metadata"] = serde_json::to_value(&wish.metadata).unwrap_or_default();
            body["metadata"]["annotations"][labels::PLAN] = digest.as_str().into();
            body
        };
        let whole = || {
            let mut body = body();
            let data = wish
                .lengths
                .keys()
                .map(|key| (key.clone(), Value::from("")));
            body["data"] = Value::Object(data.collect());
            body["type"] = TYPE.into();
            body
        };
        if known.is_as_planned(&digest, whole) || known.is_deleting {
            return Ok(());
        }
        let mut body = body();
        // Where it is gone meanwhile, an empty one must not take its place.
        body["metadata"]["uid"] = known.uid.as_str().into();
        let params = PatchParams::apply(labels::MANAGER).force();
        let api = self.api::<Secret>();
        match api
            .patch_metadata(name, &params, &Patch::Apply(&body))
            .await
        {
            Ok(answer) => {
                let seen = seen(&answer.metadata);
                self.wrote(Kind::Secret, name, &answer.metadata, seen);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(trouble(SECRETS_READY, Kind::Secret, name, error)),
        }
    }
}

pub(super) fn note(operator: &Instances, key: &InstanceKey, name: &str, child: Child) {
    operator.cache.note(key, Kind::Secret, name, child);
}

pub(super) fn child(metadata: &ObjectMeta) -> Child {
    Child {
        applied: Applied::of(metadata),
        seen: seen(metadata),
    }
}

fn seen(metadata: &ObjectMeta) -> Seen {
    Seen::Secret(Kept::of(metadata))
}
