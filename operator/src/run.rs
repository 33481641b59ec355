//! The operator as it runs: watches, the controllers behind them, and which replica leads.
//!
//! ```text
//! watches ──> Cache                       (every replica)
//!    └─ touched ──> queue ──> reconcile   (the leader)
//! ```

use std::{collections::HashMap, fmt::Debug, sync::Arc, time::Duration};

use anyhow::Context as _;
use crds::{AppDefinition, AppInstance, Domain, Organization, Route, condition, labels};
use futures_util::{StreamExt as _, TryFuture, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        applier,
        controller::{self, Action},
        reflector::{ObjectRef, Store, store, store::Writer},
        watcher,
    },
};
use plan::{
    check::is_granted,
    context::DomainSeen,
    domain::report::{HOSTNAME_HELD, SERVED},
    names, quota,
};
use prometheus_client::registry::Registry;
use service::{Admin, Liveness, LogFilter, Readiness};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cache::{
        Cache, InstanceKey, fence_watch,
        watch::{self, News},
    },
    client,
    config::Config,
    definitions,
    domain::{
        self, certificates, config::DomainsConfig, gateways::Gateways, holders::KEPT_HOSTNAME,
        targets::Targets,
    },
    hostnames, instance, leader,
    metrics::Metrics,
    organizations, platform_secrets,
};

/// Requests of one object that come within this time are one: a pass writes a dozen children,
/// whose echoes come back one by one.
const DEBOUNCE: Duration = Duration::from_millis(5);
/// How long work under way may take to end when we are told to.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A call that was not answered for this long is given up and made again later: longer than a busy
/// API server takes. The client's own patience has no end.
const CALL_PATIENCE: Duration = Duration::from_secs(30);

/// What an operator works with: from the environment for [`run`], by hand for tests.
pub struct Setting {
    /// How the API server is reached.
    pub cluster: kube::Config,
    /// Flags.
    pub config: Config,
    /// Counted here.
    pub metrics: Metrics,
    /// Set when everything was listed.
    pub readiness: Readiness,
    /// Leads at once, whoever else does: for tests of exactly that.
    pub is_unelected: bool,
    /// How long a call may go unanswered.
    pub call_patience: Duration,
    /// What time it is for certificates and domains, which live for months.
    pub clock: Clock,
    /// Ends it.
    pub stop: CancellationToken,
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Runs until told to end.
///
/// # Errors
/// When the API server cannot be reached at the start, or the leadership is lost.
pub async fn run(config: Config, log_filter: LogFilter) -> anyhow::Result<()> {
    let stop = service::shutdown::signal()?;
    let cluster = kube::Config::infer().await.context(
        "there is no cluster to talk to: run in a pod with a ServiceAccount, or set KUBECONFIG",
    )?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let readiness = Readiness::default();
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: choose another address with --listen",
            config.listen
        )
    })?;
    let admin = Admin {
        registry: Arc::new(registry),
        readiness: readiness.clone(),
        liveness: Liveness::default(),
        log_filter: Some(log_filter),
    };
    let admin_stop = CancellationToken::new();
    let admin = tokio::spawn(service::admin::serve(listener, admin, admin_stop.clone()));
    operate(Setting {
        cluster,
        config,
        metrics,
        readiness,
        is_unelected: false,
        call_patience: CALL_PATIENCE,
        clock: Arc::new(Timestamp::now),
        stop,
    })
    .await?;
    admin_stop.cancel();
    let _ = admin.await;
    tracing::info!("ended");
    Ok(())
}

/// Watches, waits to lead, and leads, until told to end.
///
/// # Errors
/// See [`run`].
pub async fn operate(setting: Setting) -> anyhow::Result<()> {
    let Setting {
        cluster,
        config,
        metrics,
        readiness,
        is_unelected,
        call_patience,
        clock,
        stop,
    } = setting;
    let client = client::impatient(cluster.clone(), call_patience, &metrics)?;
    let mut tasks: JoinSet<()> = JoinSet::new();
    // Watches are silent for minutes, and look after themselves.
    let watches = client::counted(cluster.clone(), &metrics)?;
    let (cache, queues) = start_watches(&watches, &config, &readiness, &mut tasks);
    if is_unelected {
        wait_until_loaded(&readiness).await;
        return lead(&client, &config, cache, queues, &metrics, clock, stop).await;
    }

    let leader::Leadership {
        mut is_leading,
        task,
    } = leader::contend(cluster, &config.leadership, &metrics).await?;
    let led = async {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            led = is_leading.wait_for(|leading| *leading) => drop(led?),
        }
        wait_until_loaded(&readiness).await;
        tracing::info!(identity = config.leadership.identity, "leading");
        metrics.set_leading(true);
        // Told to end, it begins nothing any more, and returns when what is under way has ended.
        let work = lead(
            &client,
            &config,
            cache,
            queues,
            &metrics,
            clock,
            stop.clone(),
        );
        tokio::select! {
            led = work => led,
            lost = is_leading.wait_for(|leading| !*leading) => {
                lost?;
                anyhow::bail!("the lease was lost: ending at once, another replica leads")
            }
        }
    };
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(SHUTDOWN).await;
    };
    tokio::select! {
        led = led => led?,
        // With one watch less the cache would tell of things as they were: better to start anew.
        ended = tasks.join_next() => anyhow::bail!("a watch has ended: {ended:?}"),
        () = patience => tracing::warn!("what was under way did not end in time"),
    }
    // Gives the lease back, so that another replica need not wait for it to run out.
    drop(is_leading);
    let _ = tokio::time::timeout(SHUTDOWN, task).await;
    Ok(())
}

/// The queues of the controllers.
struct Queues {
    /// For those that make what instances wait for.
    touch_instance: UnboundedSender<InstanceKey>,
    instances: UnboundedReceiver<InstanceKey>,
    organizations: UnboundedReceiver<String>,
    definitions: UnboundedReceiver<String>,
    hostnames: UnboundedReceiver<String>,
    touch_domain: UnboundedSender<ObjectRef<Domain>>,
    domains: UnboundedReceiver<ObjectRef<Domain>>,
    kept_hostnames: Store<ConfigMap>,
    gateways: Store<Pod>,
}

fn start_watches(
    client: &Client,
    config: &Config,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
) -> (Cache, Queues) {
    let (instances, instances_writer) = store::<AppInstance>();
    let (definitions, definitions_writer) = store::<AppDefinition>();
    let (organizations, organizations_writer) = store::<Organization>();
    let (routes, routes_writer) = store::<Route>();
    let (domains, domains_writer) = store::<Domain>();
    let (kept_hostnames, kept_writer) = store::<ConfigMap>();
    let (credentials, credentials_writer) = store::<PartialObjectMeta<Secret>>();
    let cache = Cache::new(
        instances,
        definitions,
        organizations,
        routes,
        domains,
        credentials,
    );
    let (touch_instance, instances) = unbounded_channel::<InstanceKey>();
    let (touch_organization, organizations) = unbounded_channel::<String>();
    let (touch_definition, definitions) = unbounded_channel::<String>();
    let (touch_hostname, hostnames) = unbounded_channel::<String>();
    let (touch_domain, domains) = unbounded_channel::<ObjectRef<Domain>>();

    // Sends fail only when the process ends and nobody listens any more.
    let (instance, all, organization) = (
        touch_instance.clone(),
        cache.instances.clone(),
        touch_organization.clone(),
    );
    let (domain, waiting) = (touch_domain.clone(), cache.clone());
    let look_again = move |key: &InstanceKey| {
        for waiting in waiting.domains_of(key) {
            let _ = domain.send(ObjectRef::from_obj(waiting.as_ref()));
        }
    };
    let mut targets = Targets::default();
    let mut known: HashMap<InstanceKey, Fingerprint> = HashMap::new();
    watch::reflect(
        client,
        instances_writer,
        "AppInstance",
        readiness,
        tasks,
        move |news| {
            let (object, is_there) = match news {
                News::There(object) => (object, true),
                News::Gone(object) => (object, false),
                // One that went unseen needs nothing any more, its children are told of; but its
                // Domains are not, and it may have made room.
                News::Listed => {
                    targets.forget_unseen(&all).iter().for_each(&look_again);
                    return touch_all(&all, &instance, |other| !is_granted(other));
                }
            };
            let key = InstanceKey {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
            };
            if targets.note(&key, is_there.then_some(&object)) {
                look_again(&key);
            }
            // Our own status writes come back here; they change nothing that is reconciled.
            if is_new(&mut known, &key, &object, is_there) {
                // One that waited for room in the organization's quota may have it now.
                if !is_there {
                    touch_all(&all, &instance, |other| {
                        other.metadata.namespace.as_ref() == Some(&key.namespace)
                            && !is_granted(other)
                    });
                }
                let _ = organization.send(key.namespace.clone());
                let _ = instance.send(key);
            }
        },
    );

    let (instance, all, definition) = (
        touch_instance.clone(),
        cache.instances.clone(),
        touch_definition,
    );
    let mut known: HashMap<String, Fingerprint> = HashMap::new();
    watch::reflect(
        client,
        definitions_writer,
        "AppDefinition",
        readiness,
        tasks,
        move |news| {
            let (object, is_there) = match news {
                News::There(object) => (object, true),
                News::Gone(object) => (object, false),
                News::Listed => return touch_all(&all, &instance, |_| true),
            };
            let name = object.name_any();
            if is_new(&mut known, &name, &object, is_there) {
                touch_all(&all, &instance, |other| other.spec.app == name);
                let _ = definition.send(name);
            }
        },
    );

    let (instance, all, organization) = (
        touch_instance.clone(),
        cache.instances.clone(),
        touch_organization.clone(),
    );
    let mut known: HashMap<String, Fingerprint> = HashMap::new();
    watch::reflect(
        client,
        organizations_writer,
        "Organization",
        readiness,
        tasks,
        move |news| {
            let (object, is_there) = match news {
                News::There(object) => (object, true),
                News::Gone(object) => (object, false),
                News::Listed => return touch_all(&all, &instance, |_| true),
            };
            let name = object.name_any();
            if is_new(&mut known, &name, &object, is_there) {
                touch_all(&all, &instance, |other| {
                    other.metadata.namespace.as_ref() == Some(&name)
                });
                let _ = organization.send(name);
            }
        },
    );

    let all = cache.routes.clone();
    watch::reflect(
        client,
        routes_writer,
        "Route",
        readiness,
        tasks,
        move |news| match news {
            News::There(object) | News::Gone(object) => {
                let _ = touch_hostname.send(object.spec.hostname);
            }
            // The holder of a hostname may have gone unseen.
            News::Listed => {
                for route in all.state() {
                    let _ = touch_hostname.send(route.spec.hostname.clone());
                }
            }
        },
    );
    watch_domains(
        client,
        domains_writer,
        &cache,
        readiness,
        (&touch_instance, &touch_domain),
        tasks,
    );
    watch_brought(client, &cache, readiness, &touch_domain, tasks);
    let gateways = watch_gateways(client, config, &cache, readiness, &touch_domain, tasks);
    let (all, domain) = (cache.domains.clone(), touch_domain.clone());
    let namespace = &config.leadership.namespace;
    let notes = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    watch::reflect_these(
        notes,
        watcher::Config::default().labels(KEPT_HOSTNAME),
        kept_writer,
        "kept hostnames",
        readiness,
        tasks,
        move |news: News<ConfigMap>| {
            // A hostname that is free now is somebody's wish, perhaps.
            if !matches!(news, News::There(_)) {
                for waiting in all.state() {
                    if !is_held(&waiting) {
                        let _ = domain.send(ObjectRef::from_obj(waiting.as_ref()));
                    }
                }
            }
        },
    );
    watch::children(client, &cache, readiness, &touch_instance, tasks);
    let (instance, all) = (touch_instance.clone(), cache.instances.clone());
    watch::reflect_these(
        Api::<PartialObjectMeta<Secret>>::all(client.clone()),
        watcher::Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::IDM)),
        credentials_writer,
        "Secrets of idm's",
        readiness,
        tasks,
        move |news| match news {
            News::There(secret) | News::Gone(secret) => {
                let name = secret.name_any();
                if let Some(name) = name.strip_suffix(names::SSO_SUFFIX) {
                    let _ = instance.send(InstanceKey {
                        namespace: secret.namespace().unwrap_or_default(),
                        name: name.to_owned(),
                    });
                }
            }
            News::Listed => touch_all(&all, &instance, |_| true),
        },
    );
    let (instance, all, organization) = (
        touch_instance.clone(),
        cache.instances.clone(),
        touch_organization.clone(),
    );
    fence_watch::fences(client, &cache, readiness, tasks, move |namespace| {
        // Instances wait for the fence, or for room in the quota.
        touch_all(&all, &instance, |other| {
            other.metadata.namespace.as_ref() == Some(&namespace)
                && (!is_granted(other) || waits_for_room(other))
        });
        let _ = organization.send(namespace);
    });
    (
        cache,
        Queues {
            touch_instance,
            instances,
            organizations,
            definitions,
            hostnames,
            touch_domain,
            domains,
            kept_hostnames,
            gateways,
        },
    )
}

/// Domains, and who has to know of them: each its own controller, and its instance when it may be
/// served, or not any more. A Domain also looks again when its instance has got an address.
fn watch_domains(
    client: &Client,
    writer: Writer<Domain>,
    cache: &Cache,
    readiness: &Readiness,
    (touch_instance, touch_domain): (
        &UnboundedSender<InstanceKey>,
        &UnboundedSender<ObjectRef<Domain>>,
    ),
    tasks: &mut JoinSet<()>,
) {
    let (instance, domain) = (touch_instance.clone(), touch_domain.clone());
    let all = cache.domains.clone();
    let mut known: HashMap<ObjectRef<Domain>, (Fingerprint, InstanceKey, DomainSeen)> =
        HashMap::new();
    watch::reflect(client, writer, "Domain", readiness, tasks, move |news| {
        let (object, is_there) = match news {
            News::There(object) => (object, true),
            News::Gone(object) => (object, false),
            // Who held a hostname may have gone unseen.
            News::Listed => {
                for waiting in all.state() {
                    if !is_held(&waiting) {
                        let _ = domain.send(ObjectRef::from_obj(waiting.as_ref()));
                    }
                }
                return;
            }
        };
        let key = ObjectRef::from_obj(&object);
        let seen = DomainSeen::of(&object);
        let fingerprint = Fingerprint::of(&object);
        let bound = InstanceKey {
            namespace: object.namespace().unwrap_or_default(),
            name: object.spec.instance.clone(),
        };
        let before = if is_there {
            let now = (fingerprint.clone(), bound.clone(), seen.clone());
            known.insert(key.clone(), now)
        } else {
            known.remove(&key)
        };
        let is_new = before.as_ref().is_none_or(|(it, ..)| *it != fingerprint);
        let is_other = !is_there || before.as_ref().is_none_or(|(.., it)| *it != seen);
        // One that was bound to another instance leaves that one.
        if let Some((_, left, _)) = before.filter(|(_, it, _)| *it != bound) {
            let _ = instance.send(left);
            let _ = instance.send(bound);
        } else if is_other {
            let _ = instance.send(bound);
        }
        if is_new && is_there {
            let _ = domain.send(key);
        }
    });
}

/// Certificates that customers bring, in Secrets of `kubectl create secret tls`: a Domain that names one
/// which is new looks at once.
fn watch_brought(
    client: &Client,
    cache: &Cache,
    readiness: &Readiness,
    touch_domain: &UnboundedSender<ObjectRef<Domain>>,
    tasks: &mut JoinSet<()>,
) {
    let (all, touch) = (cache.domains.clone(), touch_domain.clone());
    // Not those that are made here.
    let others = format!("{}!={}", labels::COMPONENT, certificates::COMPONENT);
    let config = watcher::Config::default()
        .fields("type=kubernetes.io/tls")
        .labels(&others);
    let name = "brought certificates";
    watch::hear::<Secret>(client, config, name, readiness, tasks, move |news| {
        let (News::There(secret) | News::Gone(secret)) = news else {
            return;
        };
        for domain in all.state() {
            if domain.metadata.namespace == secret.metadata.namespace
                && domain.spec.certificate_secret == secret.metadata.name
            {
                let _ = touch.send(ObjectRef::from_obj(domain.as_ref()));
            }
        }
    });
}

/// The gateway's pods. Domains that wait for one are told when the first is ready.
fn watch_gateways(
    client: &Client,
    config: &Config,
    cache: &Cache,
    readiness: &Readiness,
    touch_domain: &UnboundedSender<ObjectRef<Domain>>,
    tasks: &mut JoinSet<()>,
) -> Store<Pod> {
    let (pods, writer) = store::<Pod>();
    let plan::Platform {
        gateway_namespace,
        gateway_labels,
        ..
    } = config.platform();
    let labels = gateway_labels.iter().map(|(key, it)| format!("{key}={it}"));
    let labels: Vec<String> = labels.collect();
    let these = watcher::Config::default().labels(&labels.join(","));
    let api = Api::namespaced(client.clone(), &gateway_namespace);
    let (all, touch) = (cache.domains.clone(), touch_domain.clone());
    let gateways = Gateways::new(pods.clone());
    let mut were_away = true;
    watch::reflect_these(
        api,
        these,
        writer,
        "gateways",
        readiness,
        tasks,
        move |_| {
            let are_away = gateways.are_away();
            let has_come = std::mem::replace(&mut were_away, are_away) && !are_away;
            if !has_come {
                return;
            }
            for domain in all.state() {
                if waits_for_gateways(&domain) {
                    let _ = touch.send(ObjectRef::from_obj(domain.as_ref()));
                }
            }
        },
    );
    pods
}

/// Gateways have to give its answer to an authority, or to present its certificate.
fn waits_for_gateways(domain: &Domain) -> bool {
    domain.status.as_ref().is_some_and(|status| {
        let is_served = condition::is_true(&status.conditions, SERVED);
        status.order.is_some() || (status.certificate.is_some() && !is_served)
    })
}

fn is_held(domain: &Domain) -> bool {
    domain
        .status
        .as_ref()
        .is_some_and(|status| condition::is_true(&status.conditions, HOSTNAME_HELD))
}

/// What of an object leads to a reconciliation when it changes: not its status.
#[derive(Clone, Debug, PartialEq)]
struct Fingerprint {
    uid: Option<String>,
    generation: Option<i64>,
    is_deleting: bool,
    has_finalizer: bool,
    forgiven: [Option<String>; 2],
    look_now: Option<String>,
    revoke: Option<String>,
}

impl Fingerprint {
    fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        let annotation = |key| meta.annotations.as_ref()?.get(key).cloned();
        Self {
            uid: meta.uid.clone(),
            generation: meta.generation,
            is_deleting: meta.deletion_timestamp.is_some(),
            has_finalizer: meta.finalizers.as_ref().is_some_and(|f| !f.is_empty()),
            forgiven: [labels::REGENERATE_SECRET, labels::RECREATE_VOLUME].map(annotation),
            look_now: annotation(labels::LOOK_NOW),
            revoke: annotation(labels::REVOKE),
        }
    }
}

/// Whether an object is other than it was known, or gone.
fn is_new<N: Eq + std::hash::Hash + Clone, K: Resource>(
    known: &mut HashMap<N, Fingerprint>,
    name: &N,
    object: &K,
    is_there: bool,
) -> bool {
    if !is_there {
        known.remove(name);
        return true;
    }
    let fingerprint = Fingerprint::of(object);
    known.insert(name.clone(), fingerprint.clone()) != Some(fingerprint)
}

fn waits_for_room(instance: &AppInstance) -> bool {
    let conditions = instance.status.as_ref().map(|it| it.conditions.as_slice());
    condition::find(conditions.unwrap_or_default(), condition::READY)
        .is_some_and(|ready| ready.reason == quota::EXCEEDED)
}

fn touch_all(
    instances: &Store<AppInstance>,
    touched: &UnboundedSender<InstanceKey>,
    which: impl Fn(&AppInstance) -> bool,
) {
    for instance in instances.state() {
        if which(&instance) {
            let _ = touched.send(InstanceKey {
                namespace: instance.namespace().unwrap_or_default(),
                name: instance.name_any(),
            });
        }
    }
}

async fn wait_until_loaded(readiness: &Readiness) {
    while !readiness.is_ready() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The controllers, until told to end.
async fn lead(
    client: &Client,
    config: &Config,
    cache: Cache,
    queues: Queues,
    metrics: &Metrics,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let platform = config.platform();
    let secrets = platform_secrets::read(config.platform_secrets.as_deref())?;
    let domains = Arc::new(domain::Domains::new(
        client.clone(),
        cache.clone(),
        domain::Surroundings {
            config: &DomainsConfig::read(config.domains_config.as_deref())?,
            platform: &platform,
            namespace: &config.leadership.namespace,
            kept: queues.kept_hostnames,
            gateways: queues.gateways,
            clock,
        },
        queues.touch_domain,
        metrics.clone(),
    )?);
    let instances = Arc::new(instance::Instances::new(
        client.clone(),
        cache.clone(),
        platform.clone(),
        metrics.clone(),
    ));
    let organizations = Arc::new(organizations::Organizations::new(
        client.clone(),
        cache.clone(),
        queues.touch_instance,
        platform.idm,
        metrics.clone(),
    ));
    let definitions = Arc::new(definitions::Definitions::new(
        client.clone(),
        metrics.clone(),
    ));
    let by_name = |name: String| (name, None);
    let concurrency = config.concurrency;
    tokio::join!(
        platform_secrets::provide(client, &config.leadership.namespace, secrets, stop.clone()),
        control(
            cache.instances.clone(),
            instance::reconcile,
            instance::retry,
            instances,
            queues.instances,
            |key: InstanceKey| (key.name, Some(key.namespace)),
            concurrency,
            metrics,
            stop.clone(),
        ),
        control(
            cache.organizations.clone(),
            organizations::reconcile,
            organizations::retry,
            organizations,
            queues.organizations,
            by_name,
            concurrency,
            metrics,
            stop.clone(),
        ),
        control(
            cache.definitions.clone(),
            definitions::reconcile,
            definitions::retry,
            definitions,
            queues.definitions,
            by_name,
            concurrency,
            metrics,
            stop.clone(),
        ),
        control(
            cache.domains.clone(),
            domain::reconcile,
            domain::retry,
            domains,
            queues.domains,
            |key: ObjectRef<Domain>| (key.name, key.namespace),
            concurrency,
            metrics,
            stop.clone(),
        ),
        hostnames::decide(
            client.clone(),
            cache.routes.clone(),
            queues.hostnames,
            metrics.clone(),
            stop.clone(),
        ),
    );
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("the queue never fails")]
enum Never {}

/// Reconciles what the queue names, until told to end; then lets what is under way end.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one part of a controller, named once"
)]
async fn control<K, C, F, T>(
    objects: Store<K>,
    reconcile: impl Fn(Arc<K>, Arc<C>) -> F,
    retry: impl Fn(Arc<K>, &F::Error, Arc<C>) -> Action,
    context: Arc<C>,
    queue: UnboundedReceiver<T>,
    reference: impl Fn(T) -> (String, Option<String>),
    concurrency: u16,
    metrics: &Metrics,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    F: TryFuture<Ok = Action> + Send + 'static,
    F::Error: std::error::Error + Send + 'static,
    C: Send + Sync + 'static,
    T: 'static,
{
    let kind = K::kind(&()).to_ascii_lowercase();
    let requests = stream::unfold(queue, |mut queue| {
        metrics.set_depth(&kind, queue.len());
        async move { queue.recv().await.map(|item| (item, queue)) }
    })
    .inspect(|_| metrics.added(&kind))
    .map(|item| {
        let (name, namespace) = reference(item);
        let reference = ObjectRef::<K>::new(&name);
        Ok::<_, Never>(match namespace {
            Some(namespace) => reference.within(&namespace),
            None => reference,
        })
    })
    .take_until(stop.cancelled());
    let config = controller::Config::default()
        .concurrency(concurrency)
        .debounce(DEBOUNCE);
    applier(
        |object, context| {
            Box::pin(futures_util::TryFutureExt::into_future(reconcile(
                object, context,
            )))
        },
        retry,
        context,
        objects,
        Box::pin(requests),
        config,
    )
    // Results are counted and logged where they arise; an object that is gone is no error.
    .for_each(|_| std::future::ready(()))
    .await;
}
