//! Follows SsoClients: registers each, writes its Secret, and reports in its status.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use crds::{
    SsoClient, SsoClientSpec, SsoClientStatus,
    condition::{Condition, READY, Time},
    labels,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client as Cluster, Resource as _, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::reflector::Store,
};
use serde_json::json;
use service::telemetry::with_causes;
use sqlx::PgConnection;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Client, store};
use crate::{
    app::{App, Shared},
    audit::{self, Actor, Deed, Origin},
    cluster::{self, Key},
    error::Failure,
    identifier::Kind,
    organizations::{self, Organization},
    secret::Token,
};

/// Who writes Secrets and status, for the API server.
const MANAGER: &str = "tutti-idm";
/// Changes that come close together are looked at together.
const PACE: Duration = Duration::from_millis(100);
/// How long it is waited after something did not go well.
const AGAIN: Duration = Duration::from_secs(5);

/// Why a client is not registered yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    Database(#[from] Failure),
    #[error("the API server does not do it")]
    Cluster(#[from] kube::Error),
}

impl From<sqlx::Error> for NotYet {
    fn from(error: sqlx::Error) -> Self {
        Failure::from(error).into()
    }
}

/// How a client stands: what its condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    /// Its namespace is of no organization that we know.
    NoOrganization(String),
    /// There is a Secret of the name, and it is somebody else's.
    SecretTaken(String),
}

impl Standing {
    fn reason(&self) -> &'static str {
        match self {
            Self::Ready => "Registered",
            Self::NoOrganization(_) => "NoOrganization",
            Self::SecretTaken(_) => "SecretTaken",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Ready => "people can sign in by it".to_owned(),
            Self::NoOrganization(namespace) => format!(
                "namespace {namespace} is of no organization; write the SsoClient into the namespace of one"
            ),
            Self::SecretTaken(secret) => format!(
                "secret: there is a Secret {secret} that is not of this SsoClient; remove it, or make an SsoClient with another name in secret"
            ),
        }
    }
}

/// What was seen of an object when all was well with it.
type Known = BTreeMap<Key, (Option<String>, SsoClientSpec, Option<String>)>;

/// Registers until told to stop.
pub async fn follow(app: Shared, client: Cluster, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    // It ends with this function.
    let mut tasks = JoinSet::new();
    let objects = cluster::watch::watch(&client, &changed, &mut tasks);
    stop.run_until_cancelled(register(&app, &client, &objects, &changed))
        .await;
}

async fn register(app: &App, client: &Cluster, objects: &Store<SsoClient>, changed: &Notify) {
    // Until all were listed none is known to be gone.
    if objects.wait_until_ready().await.is_err() {
        return;
    }
    while !app.is_migrated.load(Relaxed) {
        tokio::time::sleep(PACE).await;
    }
    let mut known = Known::new();
    loop {
        if look(app, client, &objects.state(), &mut known).await {
            changed.notified().await;
            tokio::time::sleep(PACE).await;
        } else {
            // Whatever comes first: a change, or time.
            let _ = tokio::time::timeout(AGAIN, changed.notified()).await;
        }
    }
}

/// Looks at each; whether all are as they should be.
async fn look(app: &App, cluster: &Cluster, objects: &[Arc<SsoClient>], known: &mut Known) -> bool {
    let mut is_well = true;
    for object in objects {
        let key = key(object);
        let seen = (object.uid(), object.spec.clone(), asked_for(object));
        if known.get(&key) == Some(&seen) {
            continue;
        }
        match one(app, cluster, object).await {
            Ok(Standing::Ready) => drop(known.insert(key, seen)),
            Ok(_) => is_well = false,
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
    let is_there = |key: &Key| objects.iter().any(|object| self::key(object) == *key);
    known.retain(|key, _| is_there(key));
    match forget(app, is_there).await {
        Ok(()) => is_well,
        Err(error) => {
            let causes = with_causes(error.to_string(), &error);
            tracing::warn!("SsoClients that are gone cannot be forgotten yet: {causes}");
            false
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

async fn one(app: &App, cluster: &Cluster, object: &SsoClient) -> Result<Standing, NotYet> {
    let key = key(object);
    let mut transaction = app.begin().await?;
    let organization = organizations::store::find(&mut transaction, &key.0).await?;
    let Some(organization) = organization else {
        drop(transaction);
        let standing = Standing::NoOrganization(key.0);
        report(app, cluster, object, None, &standing).await?;
        return Ok(standing);
    };
    let (before, is_new) =
        store::hold(&mut transaction, &key, &app.uid(Kind::Client), app.now()).await?;
    let secrets = Secrets::of(cluster, object);
    let there = secrets.find().await?;
    let standing = if there.as_ref().is_some_and(|it| !it.is_ours) {
        Standing::SecretTaken(object.spec.secret.clone())
    } else {
        Standing::Ready
    };
    let mut client = before.clone();
    if standing == Standing::Ready {
        let asked_for = asked_for(object);
        // One that somebody has removed is made anew: nobody can read the old one any more.
        if there.is_none() || client.needs_secret(asked_for.as_deref()) {
            let secret = app.token();
            let digest = secret.digest();
            // The cluster before the database: what the application reads is always the newest.
            let issuer = &app.settings.public_origin;
            secrets.write(there, &client.uid, &secret, issuer).await?;
            store::set_secret(
                &mut transaction,
                &client.uid,
                &digest,
                asked_for.as_deref(),
                app.now(),
            )
            .await?;
            client.digest = Some(digest);
            client.rotated_for = asked_for;
        }
    }
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
        tell(app, &mut transaction, deed, &client, &organization).await?;
    }
    transaction.commit().await?;
    report(app, cluster, object, Some(&client), &standing).await?;
    Ok(standing)
}

/// Writes a deed of the cluster's into the audit.
async fn tell(
    app: &App,
    on: &mut PgConnection,
    deed: Deed,
    client: &Client,
    organization: &Organization,
) -> Result<(), Failure> {
    let new = audit::New {
        organization: Some(&organization.uid),
        details: &[("name", &client.name)],
        ..audit::New::by(Actor::Cluster, deed, Some(&client.uid))
    };
    audit::store::append(on, Origin::default(), new, app.now()).await
}

/// Forgets clients whose object is gone.
async fn forget(app: &App, is_there: impl Fn(&Key) -> bool) -> Result<(), Failure> {
    let mut connection = app.connection().await?;
    let mut gone = store::keys(&mut connection).await?;
    drop(connection);
    gone.retain(|key| !is_there(key));
    for key in &gone {
        let mut transaction = app.begin().await?;
        let organization = organizations::store::find(&mut transaction, &key.0).await?;
        // Another replica may have been quicker.
        if let Some(uid) = store::remove(&mut transaction, key).await? {
            let new = audit::New {
                organization: organization.as_ref().map(|it| it.uid.as_str()),
                details: &[("name", &key.1)],
                ..audit::New::by(Actor::Cluster, Deed::ClientRemoved, Some(&uid))
            };
            audit::store::append(&mut transaction, Origin::default(), new, app.now()).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

/// The Secret of one client.
struct Secrets<'a> {
    api: Api<Secret>,
    object: &'a SsoClient,
}

/// A Secret that is there.
struct There {
    uid: Option<String>,
    is_ours: bool,
}

impl<'a> Secrets<'a> {
    fn of(cluster: &Cluster, object: &'a SsoClient) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        Self {
            api: Api::namespaced(cluster.clone(), &namespace),
            object,
        }
    }

    /// Without what is in it.
    async fn find(&self) -> kube::Result<Option<There>> {
        let found = self.api.get_metadata_opt(&self.object.spec.secret).await?;
        let ours = self.object.uid();
        Ok(found.map(|found| There {
            uid: found.uid(),
            is_ours: found
                .owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == ours.as_ref()),
        }))
    }

    /// Makes it, or changes the one that was found and no other.
    async fn write(
        &self,
        there: Option<There>,
        client: &str,
        secret: &Token,
        issuer: &str,
    ) -> kube::Result<()> {
        let data = BTreeMap::from([
            ("clientId".to_owned(), client.to_owned()),
            ("clientSecret".to_owned(), secret.expose().to_owned()),
            ("issuer".to_owned(), issuer.to_owned()),
        ]);
        let name = &self.object.spec.secret;
        if let Some(there) = there {
            let change = json!({ "metadata": { "uid": there.uid }, "stringData": data });
            let params = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            self.api.patch(name, &params, &Patch::Merge(change)).await?;
            return Ok(());
        }
        let made = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(BTreeMap::from([(
                    labels::MANAGED_BY.to_owned(),
                    MANAGER.to_owned(),
                )])),
                owner_references: self.object.controller_owner_ref(&()).map(|it| vec![it]),
                ..ObjectMeta::default()
            },
            string_data: Some(data),
            ..Secret::default()
        };
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.api.create(&params, &made).await?;
        Ok(())
    }
}

/// Writes the status, when it says something else.
async fn report(
    app: &App,
    cluster: &Cluster,
    object: &SsoClient,
    client: Option<&Client>,
    standing: &Standing,
) -> kube::Result<()> {
    let before = object.status.clone().unwrap_or_default();
    let ready = condition(app, object, &before, standing);
    let status = SsoClientStatus {
        observed_generation: object.metadata.generation,
        client_id: client.map(|client| client.uid.clone()),
        rotated_for: client.and_then(|client| client.rotated_for.clone()),
        conditions: vec![ready],
    };
    if status == before {
        return Ok(());
    }
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<SsoClient> = Api::namespaced(cluster.clone(), &namespace);
    let change = json!({
        "apiVersion": SsoClient::api_version(&()),
        "kind": SsoClient::kind(&()),
        "metadata": { "name": object.name_any() },
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    api.patch_status(&object.name_any(), &params, &Patch::Apply(&change))
        .await?;
    Ok(())
}

fn condition(
    app: &App,
    object: &SsoClient,
    before: &SsoClientStatus,
    standing: &Standing,
) -> Condition {
    let status = if *standing == Standing::Ready {
        "True"
    } else {
        "False"
    };
    let since = crds::condition::find(&before.conditions, READY)
        .filter(|condition| condition.status == status)
        .map_or_else(
            || Time(app.now()),
            |condition| condition.last_transition_time.clone(),
        );
    Condition {
        type_: READY.to_owned(),
        status: status.to_owned(),
        reason: standing.reason().to_owned(),
        message: standing.message(),
        observed_generation: object.metadata.generation,
        last_transition_time: since,
    }
}
