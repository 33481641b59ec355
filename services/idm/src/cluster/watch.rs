//! Follows organizations, definitions, instances and Routes, and mirrors what people see of them into the database.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use crds::{
    AppDefinition, AppDefinitionSpec, AppInstance, Organization as Object, Route,
    app_definition::SsoProtocol,
    condition::{self, ACCEPTED},
    labels,
};
use futures_util::StreamExt as _;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use service::telemetry::with_causes;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Instance, Key, Lane, Seen, Shown, store};
use crate::{
    app::{App, Shared},
    audit::{self, Actor, Deed, Origin},
    error::Failure,
    identifier::Kind,
    organizations::{self, Organization},
};

/// Changes that come close together are written together.
const PACE: Duration = Duration::from_millis(100);
/// How long it is waited after the database did not take them.
const AGAIN: Duration = Duration::from_secs(5);

/// What is known of the cluster; complete once each was listed.
struct Watched {
    organizations: Store<Object>,
    apps: Store<AppDefinition>,
    instances: Store<AppInstance>,
    routes: Store<Route>,
}

/// Mirrors until told to stop.
pub async fn follow(app: Shared, client: Client, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    // They end with this function.
    let mut tasks = JoinSet::new();
    let watched = Watched {
        organizations: watch(&client, &changed, &mut tasks),
        apps: watch(&client, &changed, &mut tasks),
        instances: watch(&client, &changed, &mut tasks),
        routes: watch(&client, &changed, &mut tasks),
    };
    stop.run_until_cancelled(mirror(&app, &watched, &changed))
        .await;
}

async fn mirror(app: &App, watched: &Watched, changed: &Notify) {
    // Until everything was listed nothing is known to be gone.
    let listed = tokio::try_join!(
        watched.organizations.wait_until_ready(),
        watched.apps.wait_until_ready(),
        watched.instances.wait_until_ready(),
        watched.routes.wait_until_ready(),
    );
    if listed.is_err() {
        return;
    }
    app.migrated().await;
    let mut known = None;
    loop {
        match write(app, &watched.seen(), &mut known).await {
            Ok(()) => {
                changed.notified().await;
                tokio::time::sleep(PACE).await;
            }
            Err(error) => {
                let causes = with_causes(error.to_string(), &error);
                tracing::warn!("what is in the cluster cannot be written down yet: {causes}");
                known = None;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

impl Watched {
    fn seen(&self) -> Seen {
        let organizations = self.organizations.state();
        let apps = self.apps.state();
        let instances = self.instances.state();
        let instance = |object: &Arc<AppInstance>| {
            let key = (object.namespace().unwrap_or_default(), object.name_any());
            let instance = Instance {
                app: object.spec.app.clone(),
                url: object.status.as_ref().and_then(|it| it.url.clone()),
            };
            (key, instance)
        };
        Seen {
            organizations: organizations
                .iter()
                .map(|object| (object.name_any(), object.spec.title.clone()))
                .collect(),
            apps: apps
                .iter()
                .map(|object| (object.name_any(), kind(&object.spec)))
                .collect(),
            instances: instances.iter().map(instance).collect(),
            lanes: self
                .routes
                .state()
                .iter()
                .filter_map(|it| lane(it))
                .collect(),
        }
    }
}

fn kind(definition: &AppDefinitionSpec) -> super::Kind {
    let sso = &definition.sso;
    let login_path = sso.login_path.clone();
    super::Kind {
        title: definition.title.clone(),
        login_path: login_path.filter(|_| sso.protocol != SsoProtocol::None),
    }
}

/// What a Route says, when the gateway serves it and it is an instance's.
fn lane(route: &Route) -> Option<Lane> {
    let conditions = &route.status.as_ref()?.conditions;
    if !condition::is_true(conditions, ACCEPTED) {
        return None;
    }
    let instance = route.labels().get(labels::INSTANCE)?.clone();
    Some(Lane {
        hostname: route.spec.hostname.clone(),
        path: route.spec.path_prefix.clone(),
        instance: (route.namespace()?, instance),
    })
}

/// Follows one kind, and tells when something changed.
pub fn watch<K>(client: &Client, changed: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let changed = Arc::clone(changed);
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer);
    tasks.spawn(events.for_each(move |event| {
        match event {
            Ok(_) => changed.notify_one(),
            Err(error) => tracing::warn!(
                kind = %K::kind(&()),
                "the watch is interrupted: {}",
                with_causes(error.to_string(), &error)
            ),
        }
        std::future::ready(())
    }));
    reader
}

/// What was written last: nothing is asked of the database when nothing changed.
struct Known {
    organizations: BTreeMap<String, String>,
    shown: BTreeMap<Key, Shown>,
    hostnames: BTreeMap<String, Key>,
}

/// Writes what differs from what is known, or from what the database has. Organizations whose object is gone
/// keep their people.
async fn write(app: &App, seen: &Seen, known: &mut Option<Known>) -> Result<(), Failure> {
    let (shown, hostnames) = (seen.shown(), seen.hostnames());
    let is_known = known.as_ref().is_some_and(|it| {
        it.organizations == seen.organizations && it.shown == shown && it.hostnames == hostnames
    });
    if is_known {
        return Ok(());
    }
    let mut transaction = app.begin().await?;
    for (name, title) in &seen.organizations {
        let before = organizations::store::find(&mut transaction, name).await?;
        match before {
            Some(before) if before.title == *title => {}
            Some(before) => {
                let renamed = Organization {
                    title: title.clone(),
                    ..before
                };
                store::set_title(&mut transaction, &renamed).await?;
            }
            None => make(app, &mut transaction, name, title).await?,
        }
    }
    let before = store::instances(&mut transaction).await?;
    for (key, shown) in &shown {
        if before.get(key) != Some(shown) {
            store::set_instance(&mut transaction, key, shown).await?;
        }
    }
    for key in before.keys().filter(|key| !shown.contains_key(*key)) {
        store::remove_instance(&mut transaction, key).await?;
    }
    let before = store::hostnames(&mut transaction).await?;
    for (hostname, key) in &hostnames {
        if before.get(hostname) != Some(key) {
            store::set_hostname(&mut transaction, hostname, key).await?;
        }
    }
    for hostname in before.keys().filter(|it| !hostnames.contains_key(*it)) {
        store::remove_hostname(&mut transaction, hostname).await?;
    }
    transaction.commit().await?;
    *known = Some(Known {
        organizations: seen.organizations.clone(),
        shown,
        hostnames,
    });
    Ok(())
}

/// An organization that somebody made with kubectl; staff invites its first people.
async fn make(
    app: &App,
    transaction: &mut sqlx::PgConnection,
    name: &str,
    title: &str,
) -> Result<(), Failure> {
    let organization = Organization {
        uid: app.uid(Kind::Organization),
        name: name.to_owned(),
        title: title.to_owned(),
    };
    let now = app.now();
    if !organizations::store::insert(transaction, &organization, now).await? {
        return Ok(());
    }
    let uid = Some(organization.uid.as_str());
    let new = audit::New {
        organization: uid,
        details: &[("name", name)],
        ..audit::New::by(Actor::Cluster, Deed::OrganizationMade, uid)
    };
    audit::store::append(transaction, Origin::default(), new, now).await?;
    Ok(())
}
