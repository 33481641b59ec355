//! Builders: `instance("shop").of("wordpress").stopped()`, and the world around it.

use std::{
    collections::BTreeMap,
    fs,
    ops::{Deref, DerefMut},
    path::Path,
    sync::LazyLock,
};

use crds::{
    AppDefinition, AppInstance, AppInstanceSpec, AppInstanceStatus,
    app_definition::{Credential, Engine, EnvVar, Sso, SsoProtocol},
    labels,
    organization::PodSecurity,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::{
    Context, DesiredState, Observed, Platform, Rejection,
    context::{
        ClientSeen, DomainSeen, Idm, JobSeen, OrganizationFacts, PodSeen, VolumeSeen, WorkloadSeen,
    },
    health::{self, Refusal, Report},
    quota::Promise,
};

/// The organization, and so the namespace, of every test.
pub const ORGANIZATION: &str = "acme";
/// The letters that nobody guesses, here the same for all.
pub const TOKEN: &str = "x7k2m9p4qa";

/// The moment at which every test takes place.
pub fn now() -> Timestamp {
    "2030-01-02T03:04:05Z".parse().unwrap()
}

/// So many seconds before [`now`].
pub fn ago(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

/// A wish under construction. It is an [`AppInstance`] wherever one is wanted.
#[derive(Clone, Debug)]
pub struct Instance(AppInstance);

/// An instance of this name in the organization's namespace, one edit old.
pub fn instance(name: &str) -> Instance {
    Instance(AppInstance {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(ORGANIZATION.to_owned()),
            uid: Some(format!("uid-of-{name}")),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        spec: AppInstanceSpec::default(),
        status: None,
    })
}

impl Instance {
    /// Of this app of the catalogue, in its newest version.
    pub fn of(mut self, app: &str) -> Self {
        app.clone_into(&mut self.spec.app);
        if let Some(definition) = catalogue().get(app) {
            self.spec.version = definition.spec.versions[0].version.clone();
        }
        self
    }

    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.spec.version);
        self
    }

    pub fn size(mut self, size: &str) -> Self {
        self.spec.size = Some(size.to_owned());
        self
    }

    pub fn replicas(mut self, replicas: i32) -> Self {
        self.spec.replicas = Some(replicas);
        self
    }

    pub fn domain(mut self, hostname: &str) -> Self {
        self.spec.domains.push(hostname.to_owned());
        self
    }

    pub fn storage(mut self, volume: &str, size: &str) -> Self {
        self.spec.storage.insert(volume.to_owned(), size.to_owned());
        self
    }

    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.spec.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn stopped(mut self) -> Self {
        self.spec.stopped = true;
        self
    }

    pub fn paused(mut self) -> Self {
        self.spec.paused = true;
        self
    }

    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        let annotations = self.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With this version installed, as status remembers.
    pub fn installed(mut self, version: &str) -> Self {
        self.status.get_or_insert_default().version = Some(version.to_owned());
        self
    }

    /// With these Secrets generated, as status remembers.
    pub fn generated(mut self, secrets: &[&str]) -> Self {
        let names = secrets.iter().map(|name| (*name).to_owned()).collect();
        self.status.get_or_insert_default().secrets = names;
        self
    }

    /// With this default host, as status remembers.
    pub fn host(mut self, host: &str) -> Self {
        self.status.get_or_insert_default().host = Some(host.to_owned());
        self
    }

    /// With this status.
    pub fn status(mut self, status: AppInstanceStatus) -> Self {
        self.status = Some(status);
        self
    }
}

impl Deref for Instance {
    type Target = AppInstance;

    fn deref(&self) -> &AppInstance {
        &self.0
    }
}

impl DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut AppInstance {
        &mut self.0
    }
}

/// Everything around an instance: platform, organization, definition, and what was seen.
#[derive(Clone, Debug)]
pub struct World {
    pub platform: Platform,
    pub organization: Option<OrganizationFacts>,
    pub definition: Option<AppDefinition>,
    pub observed: Observed,
}

/// A world in which this app of the catalogue can be ordered; if it signs people in by the platform, idm has
/// registered it.
pub fn world(app: &str) -> World {
    let definition = catalogue().remove(app);
    let is_client = |it: &AppDefinition| it.spec.sso.protocol == SsoProtocol::Oidc;
    let client = definition.as_ref().is_some_and(is_client);
    World {
        platform: platform(),
        organization: Some(OrganizationFacts {
            is_fenced: true,
            is_leaving: false,
            name: ORGANIZATION.to_owned(),
            pod_security: PodSecurity::Restricted,
            most_instances: 20,
            earlier_instances: 0,
            room: None,
        }),
        definition,
        observed: Observed {
            client: client.then(|| registered(SECRET_DIGEST)),
            ..Observed::default()
        },
    }
}

impl World {
    /// The same with another definition.
    pub fn change(mut self, edit: impl FnOnce(&mut crds::AppDefinitionSpec)) -> Self {
        edit(&mut self.definition.as_mut().unwrap().spec);
        self
    }

    /// The same for an app without a database.
    pub fn without_database(self) -> Self {
        self.change(without_database)
    }

    /// The same with other things seen.
    pub fn see(mut self, edit: impl FnOnce(&mut Observed)) -> Self {
        edit(&mut self.observed);
        self
    }

    /// What the instance becomes.
    pub fn plan(&self, instance: &AppInstance) -> Result<DesiredState, Rejection> {
        let context = Context {
            platform: &self.platform,
            organization: self.organization.clone(),
            observed: &self.observed,
            host_token: TOKEN,
        };
        plan::desired_state(instance, self.definition.as_ref(), &context)
    }

    /// What is said of the instance.
    pub fn report(&self, instance: &AppInstance) -> Report {
        self.report_with(instance, &[])
    }

    /// The same where the API server refused something.
    pub fn report_with(&self, instance: &AppInstance, refusals: &[Refusal]) -> Report {
        let plan = self.plan(instance);
        health::report(instance, plan.as_ref(), &self.observed, refusals, now())
    }

    /// The world after everything was made as planned, and answers.
    pub fn after(mut self, instance: &AppInstance) -> Self {
        let routed = |hostname: &String| DomainSeen {
            hostname: hostname.clone(),
            is_routed: true,
            ..DomainSeen::default()
        };
        self.observed.domains = instance.spec.domains.iter().map(routed).collect();
        self.observed.client = Some(registered(SECRET_DIGEST));
        let Ok(desired) = self.plan(instance) else {
            return self;
        };
        let observed = &mut self.observed;
        let wished = desired.secrets.iter();
        observed.secrets = wished.filter_map(|s| s.metadata.name.clone()).collect();
        let prefix = format!("{}-", instance.metadata.name.as_deref().unwrap());
        for claim in &desired.volumes {
            let name = claim.metadata.name.as_deref().unwrap();
            let requests = claim.spec.as_ref().unwrap().resources.as_ref().unwrap();
            observed.volumes.insert(
                name.strip_prefix(&prefix).unwrap().to_owned(),
                VolumeSeen {
                    requested: requests.requests.as_ref().unwrap()["storage"].0.clone(),
                    phase: "Bound".to_owned(),
                    ..VolumeSeen::default()
                },
            );
        }
        observed.database = desired.database.as_ref().map(|database| {
            let spec = database.spec.as_ref().unwrap();
            running(spec.replicas.unwrap(), &spec.template)
        });
        observed.workload = desired.workload.as_ref().map(|workload| {
            let spec = workload.spec.as_ref().unwrap();
            running(spec.replicas.unwrap(), &spec.template)
        });
        observed.routes = desired
            .routes
            .iter()
            .map(|route| (route.spec.hostname.clone(), vec![accepted("True", "held")]))
            .collect();
        for job in &desired.jobs {
            let name = job.metadata.name.clone().unwrap();
            observed.jobs.entry(name).or_default();
        }
        self
    }
}

/// Takes the database from a definition, and all that speaks of it.
pub fn without_database(spec: &mut crds::AppDefinitionSpec) {
    spec.database.engine = Engine::None;
    spec.env.clear();
    for size in &mut spec.sizes {
        size.database = None;
    }
}

/// Has an app sign people in by itself.
pub fn sign_in_by_itself(spec: &mut crds::AppDefinitionSpec) {
    spec.sso = Sso::default();
    spec.env.retain(|entry| entry.sso.is_none());
}

/// Has an app read what it signs people in with, as definitions of such apps say it.
pub fn sign_in_by_openid_connect(spec: &mut crds::AppDefinitionSpec) {
    sign_in_by_itself(spec);
    spec.sso.protocol = SsoProtocol::Oidc;
    spec.sso.login_path = Some("/login".to_owned());
    spec.sso.callback_path = Some("/callback".to_owned());
    spec.sso.logout_path = Some("/logout".to_owned());
    let of = |(name, credential): (&str, Credential)| EnvVar {
        name: name.to_owned(),
        value: None,
        secret: None,
        sso: Some(credential),
    };
    let all = [
        ("OIDC_CLIENT_ID", Credential::ClientId),
        ("OIDC_CLIENT_SECRET", Credential::ClientSecret),
        ("OIDC_ISSUER", Credential::Issuer),
        ("OIDC_BACKCHANNEL", Credential::Backchannel),
    ];
    spec.env.extend(all.map(of));
}

fn running(replicas: i32, template: &k8s_openapi::api::core::v1::PodTemplateSpec) -> WorkloadSeen {
    let pod = template.spec.as_ref().unwrap();
    WorkloadSeen {
        is_current: true,
        wished: replicas,
        replicas,
        updated: replicas,
        ready: replicas,
        failure: None,
        image: pod.containers[0].image.clone().unwrap_or_default(),
        promise: Promise::of_pod(pod),
        client_secret: template
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.annotations.as_ref()?.get(labels::CLIENT_SECRET))
            .cloned(),
        max_unavailable: 0,
    }
}

/// Of the client secret that idm has made in [`World::after`].
pub const SECRET_DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

/// An SsoClient by which people can sign in.
pub fn registered(secret_digest: &str) -> ClientSeen {
    ClientSeen {
        ready: Some(ready("True", "Registered", "people can sign in by it")),
        secret_digest: Some(secret_digest.to_owned()),
    }
}

/// The condition `Ready` of something.
pub fn ready(status: &str, reason: &str, message: &str) -> crds::condition::Condition {
    crds::condition::Condition {
        type_: crds::condition::READY.to_owned(),
        reason: reason.to_owned(),
        ..accepted(status, message)
    }
}

/// The condition `Accepted` of a Route.
pub fn accepted(status: &str, message: &str) -> crds::condition::Condition {
    crds::condition::Condition {
        type_: crds::condition::ACCEPTED.to_owned(),
        status: status.to_owned(),
        reason: "Test".to_owned(),
        message: message.to_owned(),
        observed_generation: None,
        last_transition_time: crds::condition::Time(now()),
    }
}

/// A platform as a chart would set it up.
pub fn platform() -> Platform {
    Platform {
        zone: "apps.example".to_owned(),
        https_port: 443,
        image_registry: Some("registry.example/tutti".to_owned()),
        image_pull_secrets: Vec::new(),
        database_images: BTreeMap::from([
            (Engine::Mariadb, "mariadb".to_owned()),
            (Engine::Postgresql, "postgresql".to_owned()),
        ]),
        gateway_namespace: "tutti-system".to_owned(),
        gateway_labels: BTreeMap::from([("app.kubernetes.io/name".into(), "gateway".into())]),
        storage_class: None,
        idm: Some(Idm {
            namespace: "tutti-system".to_owned(),
            labels: BTreeMap::from([("app.kubernetes.io/name".into(), "idm".into())]),
            account: "idm".to_owned(),
            port: 8083,
        }),
    }
}

/// Every app definition of the catalogue, by name.
pub fn catalogue() -> BTreeMap<String, AppDefinition> {
    static CATALOGUE: LazyLock<BTreeMap<String, AppDefinition>> = LazyLock::new(read_catalogue);
    CATALOGUE.clone()
}

fn read_catalogue() -> BTreeMap<String, AppDefinition> {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps");
    fs::read_dir(&apps)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("app.yaml"))
        .filter(|file| file.is_file())
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let definition: AppDefinition = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            (definition.metadata.name.clone().unwrap(), definition)
        })
        .collect()
}

/// A job as it was seen.
pub fn job_under_way() -> JobSeen {
    JobSeen {
        created: Some(ago(10)),
        ..JobSeen::default()
    }
}

/// A job that has ended well.
pub fn job_done() -> JobSeen {
    JobSeen {
        succeeded: true,
        ..job_under_way()
    }
}

/// A job that has failed for good.
pub fn job_failed(why: &str) -> JobSeen {
    JobSeen {
        failed: Some(why.to_owned()),
        ..job_under_way()
    }
}

/// A pod of this component that is not ready, made ten seconds ago.
pub fn pod(name: &str, component: &str) -> PodSeen {
    PodSeen {
        name: name.to_owned(),
        component: component.to_owned(),
        created: Some(ago(10)),
        ..PodSeen::default()
    }
}
