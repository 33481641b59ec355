//! Follows SsoClients: registers each, writes its Secret, and reports in its status.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{SsoClient, SsoClientSpec, SsoClientStatus, labels};
use kube::{
    Api, Client as Cluster, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::reflector::Store,
};
use serde_json::json;
use service::telemetry::with_causes;
use sqlx::{PgConnection, PgTransaction};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Client,
    secrets::{MANAGER, Secrets},
    standing::Standing,
    store,
};
use crate::{
    app::{App, Shared},
    audit::{self, Actor, Deed, Origin},
    cluster::{self, Key},
    error::Failure,
    identifier::Kind,
    organizations::{self, Organization},
};

/// Changes that come close together are looked at together.
const PACE: Duration = Duration::from_millis(100);
/// How long it is waited after something did not go well.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether each Secret is there. A watch would tell at once, and would need the right to read
/// every Secret.
pub const LOOK_AFTER: Duration = Duration::from_secs(120);

/// Why a client is not registered yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    Database(#[from] Failure),
    #[error("the API server does not do it")]
    Cluster(#[from] kube::Error),
    #[error("another object of the name is registered still, or already")]
    Another,
}

impl From<sqlx::Error> for NotYet {
    fn from(error: sqlx::Error) -> Self {
        Failure::from(error).into()
    }
}

/// What was seen of an object when all was well with it, and which secret it had then.
struct Known {
    seen: Seen,
    client: Client,
}

type Seen = (
    Option<String>,
    SsoClientSpec,
    Option<String>,
    Option<String>,
);

/// Registers until told to stop; every `look_after` it looks after the Secrets.
pub async fn follow(app: Shared, cluster: Cluster, look_after: Duration, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    // It ends with this function.
    let mut tasks = JoinSet::new();
    let objects = cluster::watch::watch(&cluster, &changed, &mut tasks);
    let registrar = Registrar {
        app: &app,
        cluster,
        known: BTreeMap::new(),
    };
    stop.run_until_cancelled(registrar.register(&objects, &changed, look_after))
        .await;
}

struct Registrar<'a> {
    app: &'a App,
    cluster: Cluster,
    known: BTreeMap<Key, Known>,
}

impl Registrar<'_> {
    async fn register(mut self, objects: &Store<SsoClient>, changed: &Notify, every: Duration) {
        // Until all were listed none is known to be gone.
        if objects.wait_until_ready().await.is_err() {
            return;
        }
        self.app.migrated().await;
        let mut looked_after = Instant::now();
        loop {
            let is_well = self.look(&objects.state()).await;
            // Whatever comes first: a change, or time.
            let wait = if is_well { every } else { every.min(AGAIN) };
            if tokio::time::timeout(wait, changed.notified()).await.is_ok() {
                tokio::time::sleep(PACE).await;
            }
            if looked_after.elapsed() >= every {
                self.look_after_secrets(&objects.state()).await;
                looked_after = Instant::now();
            }
        }
    }

    /// Looks at each; whether all are as they should be.
    async fn look(&mut self, objects: &[Arc<SsoClient>]) -> bool {
        let there: BTreeMap<Key, Option<String>> = objects
            .iter()
            .map(|object| (key(object), object.uid()))
            .collect();
        let mut is_well = true;
        if let Err(error) = self.forget(&there).await {
            is_well = false;
            let causes = with_causes(error.to_string(), &error);
            tracing::warn!("SsoClients that are gone cannot be forgotten yet: {causes}");
        }
        self.known.retain(|key, _| there.contains_key(key));
        for object in objects {
            let key = key(object);
            let spec = object.spec.clone();
            let seen = (object.uid(), spec, asked_for(object), missed(object));
            if self.known.get(&key).is_some_and(|known| known.seen == seen) {
                continue;
            }
            match self.one(object).await {
                Ok(Some(client)) => drop(self.known.insert(key, Known { seen, client })),
                Ok(None) => is_well = false,
                Err(error) => {
                    is_well = false;
                    let causes = with_causes(error.to_string(), &error);
                    tracing::warn!(
                        organization = key.0,
                        name = key.1,
                        "an SsoClient waits: {causes}"
                    );
                }
            }
        }
        is_well
    }

    /// What lost its Secret is looked at anew.
    async fn look_after_secrets(&mut self, objects: &[Arc<SsoClient>]) {
        for object in objects {
            let key = key(object);
            let Some(known) = self.known.get(&key) else {
                continue;
            };
            // When it cannot be known all is as it was.
            if let Ok(there) = Secrets::of(&self.cluster, object).find().await
                && !there.is_some_and(|there| there.holds(&known.client))
            {
                self.known.remove(&key);
            }
        }
    }

    /// Registers one, and says how it stands; the client when all is well.
    async fn one(&self, object: &SsoClient) -> Result<Option<Client>, NotYet> {
        let (namespace, _) = key(object);
        let mut transaction = self.app.begin().await?;
        let organization = organizations::store::find(&mut transaction, &namespace).await?;
        let Some(organization) = organization else {
            drop(transaction);
            let standing = Standing::NoOrganization(namespace);
            self.report(object, None, &standing).await?;
            return Ok(None);
        };
        match self.enrol(transaction, object, &organization).await {
            Ok((object, client, standing)) => {
                let is_told = self.report(&object, Some(&client), &standing).await?;
                let is_well = is_told && standing == Standing::Ready;
                Ok(Some(client).filter(|_| is_well))
            }
            Err(NotYet::Cluster(kube::Error::Api(status))) if (400..500).contains(&status.code) => {
                let standing = Standing::SecretRefused(status.message.clone());
                self.report(object, None, &standing).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn enrol(
        &self,
        mut transaction: PgTransaction<'static>,
        seen: &SsoClient,
        organization: &Organization,
    ) -> Result<(SsoClient, Client, Standing), NotYet> {
        let (app, key) = (self.app, key(seen));
        let uid = seen.uid().unwrap_or_default();
        let new_uid = app.uid(Kind::Client);
        let held = store::hold(&mut transaction, &key, &uid, &new_uid, app.now()).await?;
        let (before, is_new) = held;
        if before.object != uid {
            return Err(NotYet::Another);
        }
        // Asked for while nobody else registers it: by what was seen before, we would take back what another replica
        // has made of something newer.
        let api: Api<SsoClient> = Api::namespaced(self.cluster.clone(), &key.0);
        let object = api.get_opt(&key.1).await?;
        let Some(object) = object.filter(|object| object.uid().as_deref() == Some(&*uid)) else {
            return Err(NotYet::Another);
        };
        let mut client = before.clone();
        let standing = self.provide(&mut transaction, &object, &mut client).await?;
        let spec = &object.spec;
        client.instance.clone_from(&spec.instance);
        client.redirect_uris.clone_from(&spec.redirect_uris);
        let after = &spec.post_logout_redirect_uris;
        client.post_logout_redirect_uris.clone_from(after);
        if client != before {
            store::set(&mut transaction, &client).await?;
            let deed = if is_new {
                Deed::ClientMade
            } else if client.digest != before.digest {
                Deed::ClientSecretReplaced
            } else {
                Deed::ClientChanged
            };
            tell(app, &mut transaction, deed, &client, Some(organization)).await?;
        }
        transaction.commit().await?;
        Ok((object, client, standing))
    }

    /// Sees to it that the application can read its credentials.
    async fn provide(
        &self,
        on: &mut PgConnection,
        object: &SsoClient,
        client: &mut Client,
    ) -> Result<Standing, NotYet> {
        let app = self.app;
        let secrets = Secrets::of(&self.cluster, object);
        let there = secrets.find().await?;
        if there.as_ref().is_some_and(|it| !it.is_ours) {
            return Ok(Standing::SecretTaken(object.spec.secret.clone()));
        }
        let asked_for = asked_for(object);
        match there {
            Some(there) if there.holds(client) && !client.needs_secret(asked_for.as_deref()) => {
                secrets.correct(&there, client, &app.settings).await?;
            }
            // Nobody can read the one that is known: it was removed, or is not the one that was written.
            there => {
                let secret = app.token();
                // The cluster before the database: what the application reads is always the newest.
                secrets.write(there, client, &secret, &app.settings).await?;
                let digest = secret.digest();
                let because = asked_for.as_deref().or(client.rotated_for.as_deref());
                store::set_secret(on, &client.uid, &digest, because, app.now()).await?;
                client.rotated_for = because.map(str::to_owned);
                client.digest = Some(digest);
            }
        }
        Ok(Standing::Ready)
    }

    /// Forgets clients whose object is gone. The API server is asked: of one that another replica has registered
    /// already our own watch may not know yet.
    async fn forget(&self, there: &BTreeMap<Key, Option<String>>) -> Result<(), NotYet> {
        let mut connection = self.app.connection().await?;
        let mut gone = store::objects(&mut connection).await?;
        drop(connection);
        gone.retain(|(key, uid)| there.get(key).and_then(Option::as_ref) != Some(uid));
        for (key, object) in &gone {
            let api: Api<SsoClient> = Api::namespaced(self.cluster.clone(), &key.0);
            let there = api.get_metadata_opt(&key.1).await?;
            if there.is_some_and(|there| there.uid().as_ref() == Some(object)) {
                continue;
            }
            self.remove(key, object).await?;
        }
        Ok(())
    }

    async fn remove(&self, key: &Key, object: &str) -> Result<(), Failure> {
        let mut transaction = self.app.begin().await?;
        let organization = organizations::store::find(&mut transaction, &key.0).await?;
        // Another replica may have been quicker.
        if let Some(client) = store::remove(&mut transaction, key, object).await? {
            let (organization, deed) = (organization.as_ref(), Deed::ClientRemoved);
            tell(self.app, &mut transaction, deed, &client, organization).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Writes the status, when it says something else. Whether it was written to what was seen: the API server takes
    /// no uid with a status, and an object that has taken the name of one that is gone is not registered by that.
    async fn report(
        &self,
        object: &SsoClient,
        client: Option<&Client>,
        standing: &Standing,
    ) -> kube::Result<bool> {
        let before = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        let ready = standing.condition(&before.conditions, generation, self.app.now());
        let mut status = SsoClientStatus {
            observed_generation: generation,
            conditions: vec![ready],
            ..SsoClientStatus::default()
        };
        if let Some(client) = client {
            status.client_id = Some(client.uid.clone());
            status.rotated_for.clone_from(&client.rotated_for);
            status.secret_digest = client.digest.map(|digest| digest.hex());
        }
        if status == before {
            return Ok(true);
        }
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<SsoClient> = Api::namespaced(self.cluster.clone(), &namespace);
        let change = json!({
            "apiVersion": SsoClient::api_version(&()),
            "kind": SsoClient::kind(&()),
            "metadata": { "name": object.name_any(), "resourceVersion": object.resource_version() },
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        let name = object.name_any();
        match api
            .patch_status(&name, &params, &Patch::Apply(&change))
            .await
        {
            // It is gone, or was written since.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            other => other.map(|_| true),
        }
    }
}

fn key(object: &SsoClient) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// The value of the annotation that asks for another secret.
fn asked_for(object: &SsoClient) -> Option<String> {
    object.annotations().get(labels::ROTATE_SECRET).cloned()
}

/// The operator watches Secrets, and tells of one that is gone.
fn missed(object: &SsoClient) -> Option<String> {
    object.annotations().get(labels::SECRET_GONE).cloned()
}

/// Writes a deed of the cluster's into the audit.
async fn tell(
    app: &App,
    on: &mut PgConnection,
    deed: Deed,
    client: &Client,
    organization: Option<&Organization>,
) -> Result<(), Failure> {
    let new = audit::New {
        organization: organization.map(|it| it.uid.as_str()),
        details: &[("name", &client.name)],
        ..audit::New::by(Actor::Cluster, deed, Some(&client.uid))
    };
    audit::store::append(on, Origin::default(), new, app.now()).await
}
