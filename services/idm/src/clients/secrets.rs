//! The Secret that an application reads its credentials from. Its metadata tells all that we need to know of it again:
//! whose it is, and which client secret is in it.

use std::collections::BTreeMap;

use crds::{SsoClient, labels};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client as Cluster, Resource as _, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::Client;
use crate::{app::Settings, secret::Token};

/// Who writes Secrets and status, for the API server.
pub const MANAGER: &str = labels::IDM;

/// The Secret of one application.
pub struct Secrets<'a> {
    api: Api<Secret>,
    object: &'a SsoClient,
}

/// A Secret that is there.
pub struct There {
    uid: Option<String>,
    /// Whether it is of this object.
    pub is_ours: bool,
    /// Of the client secret that was written into it last.
    digest: Option<String>,
}

impl There {
    /// Whether the application can read in it what we know it by.
    #[must_use]
    pub fn holds(&self, client: &Client) -> bool {
        let known = client.digest.map(|digest| digest.hex());
        self.is_ours && known.is_some() && self.digest == known
    }
}

impl<'a> Secrets<'a> {
    #[must_use]
    pub fn of(cluster: &Cluster, object: &'a SsoClient) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        Self {
            api: Api::namespaced(cluster.clone(), &namespace),
            object,
        }
    }

    /// Without what is in it.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn find(&self) -> kube::Result<Option<There>> {
        let found = self.api.get_metadata_opt(&self.object.spec.secret).await?;
        let ours = self.object.uid();
        Ok(found.map(|found| There {
            uid: found.uid(),
            is_ours: found
                .owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == ours.as_ref()),
            digest: found.annotations().get(labels::SECRET_DIGEST).cloned(),
        }))
    }

    /// Makes it, or changes the one that was found and no other.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn write(
        &self,
        there: Option<There>,
        client: &Client,
        secret: &Token,
        settings: &Settings,
    ) -> kube::Result<()> {
        let mut data = about(client, settings);
        data.insert("clientSecret", secret.expose());
        let annotations = BTreeMap::from([(labels::SECRET_DIGEST, secret.digest().hex())]);
        if let Some(there) = there {
            let metadata = json!({ "uid": there.uid, "annotations": annotations });
            let change = json!({ "metadata": metadata, "stringData": data });
            return self.patch(&change).await;
        }
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let made = Secret {
            metadata: ObjectMeta {
                name: Some(self.object.spec.secret.clone()),
                labels: Some([owned((labels::MANAGED_BY, MANAGER))].into()),
                annotations: Some(
                    annotations
                        .iter()
                        .map(|(name, value)| owned((*name, value.as_str())))
                        .collect(),
                ),
                owner_references: self.object.controller_owner_ref(&()).map(|it| vec![it]),
                ..ObjectMeta::default()
            },
            string_data: Some(data.into_iter().map(owned).collect()),
            ..Secret::default()
        };
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.api.create(&params, &made).await?;
        Ok(())
    }

    /// Has one that is well say what is configured now. Where it does already the API server writes nothing.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn correct(
        &self,
        there: &There,
        client: &Client,
        settings: &Settings,
    ) -> kube::Result<()> {
        let metadata = json!({ "uid": there.uid });
        let change = json!({ "metadata": metadata, "stringData": about(client, settings) });
        self.patch(&change).await
    }

    async fn patch(&self, change: &serde_json::Value) -> kube::Result<()> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let name = &self.object.spec.secret;
        self.api
            .patch_metadata(name, &params, &Patch::Merge(change))
            .await?;
        Ok(())
    }
}

/// What is no secret in it.
fn about<'a>(client: &'a Client, settings: &'a Settings) -> BTreeMap<&'static str, &'a str> {
    let mut about = BTreeMap::from([
        ("clientId", client.uid.as_str()),
        ("issuer", settings.public_origin.as_str()),
    ]);
    let backchannel = settings.backchannel.as_deref();
    about.extend(backchannel.map(|url| ("backchannel", url)));
    about
}
