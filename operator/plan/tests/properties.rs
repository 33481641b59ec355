//! What holds for every plan, tried on generated definitions, instances and edits.

use std::collections::BTreeMap;

use crds::{
    AppDefinition, AppDefinitionSpec, AppInstance,
    app_definition::{
        Access, Credential, Database, DatabaseResources, Egress, Engine, EnvVar, GeneratedSecret,
        Health, Job, Network, Port, Protocol, Resources, Security, SecurityException, Setting,
        Size, Sso, SsoProtocol, Version, Volume, When,
    },
    organization::PodSecurity,
};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::{DesiredState, definition, names as children};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    names::assert_label,
    support::{Instance, World, instance, job_done, world},
};

// ---- what is generated

fn resources(cpu: &str, memory: &str) -> Resources {
    Resources {
        cpu: cpu.to_owned(),
        memory: memory.to_owned(),
    }
}

fn size(name: &str, memory: &str, engine: Engine) -> Size {
    Size {
        name: name.to_owned(),
        requests: resources("50m", "64Mi"),
        limits: resources("1000m", memory),
        database: (engine != Engine::None).then(|| DatabaseResources {
            requests: resources("25m", "0.1Gi"),
            limits: resources("1", memory),
        }),
    }
}

fn volume(name: &str, access: Access) -> Volume {
    Volume {
        name: name.to_owned(),
        path: format!("/srv/{name}"),
        size: "1Gi".to_owned(),
        access,
    }
}

fn job(name: &str, when: When, volumes: bool) -> Job {
    Job {
        name: name.to_owned(),
        when,
        schedule: (when == When::Periodic).then(|| "@hourly".to_owned()),
        command: vec!["/app".to_owned(), name.to_owned()],
        timeout_seconds: 86_400,
        volumes,
    }
}

/// Templates, good ones and ones that name what may not be there.
const TEMPLATES: [&str; 8] = [
    "",
    "plain",
    "$(EARLIER) $$ $",
    "${instance.url}/${instance.name}.${instance.host}",
    "${organization.name}",
    "${database.host}:${database.port}/${database.name}?${database.user}",
    "$${settings.title}(X)",
    "${settings.absent}",
];

fn env() -> impl Strategy<Value = Vec<EnvVar>> {
    let value = select(&TEMPLATES[..]).prop_map(|value| (Some(value.to_owned()), None, None));
    let secret = select(&["key", "admin-password", "database-password", "absent"][..])
        .prop_map(|secret| (None, Some(secret.to_owned()), None));
    let sso = select(&[Credential::ClientId, Credential::ClientSecret][..])
        .prop_map(|credential| (None, None, Some(credential)));
    let variable = prop_oneof![6 => value, 2 => secret, 1 => sso];
    vec(variable, 0..6).prop_map(|variables| {
        let named = variables.into_iter().enumerate();
        named
            .map(|(index, (value, secret, sso))| EnvVar {
                name: format!("V{index}"),
                value,
                secret,
                sso,
            })
            .collect()
    })
}

fn security() -> impl Strategy<Value = Security> {
    use SecurityException::{BindLowPorts, RootUser, WritableRootFilesystem};
    let exceptions = select(vec![
        vec![],
        vec![],
        vec![WritableRootFilesystem],
        vec![BindLowPorts],
        vec![RootUser, WritableRootFilesystem, BindLowPorts],
    ]);
    let paths = select(vec![
        vec![],
        vec!["/tmp"],
        vec!["/tmp", "/run"],
        vec!["/tmp", "/tmp"],
    ]);
    (exceptions, paths, 0..3_i64).prop_map(|(exceptions, paths, user)| Security {
        run_as_user: user * 33,
        run_as_group: user * 33,
        writable_paths: paths.into_iter().map(str::to_owned).collect(),
        exceptions,
    })
}

prop_compose! {
    /// Definitions that the schema admits; most are sound, some contradict themselves.
    fn any_definition()(
        engine in select(&[Engine::None, Engine::Mariadb, Engine::Postgresql][..]),
        access in select(&[Access::ReadWriteOnce, Access::ReadWriteMany][..]),
        volumes in 0..3_usize,
        env in env(),
        security in security(),
        number in select(&[8080, 80, 65_535][..]),
        egress in select(&[Egress::Internet, Egress::None][..]),
        plain_http in any::<bool>(),
        max_replicas in select(&[None, Some(1), Some(100)][..]),
        jobs in proptest::sample::subsequence(
            vec![
                job("install", When::Install, true),
                job("a-b-c-d-e", When::Periodic, true),
                job("upgrade", When::Upgrade, true),
                job("cron", When::Periodic, false),
            ],
            0..=4,
        ),
        pattern in select(&[None, Some("^.*$"), Some("[a-z]*"), Some("(")][..]),
        protocol in select(&[SsoProtocol::None, SsoProtocol::Oidc, SsoProtocol::Oidc][..]),
    ) -> AppDefinitionSpec {
        AppDefinitionSpec {
            title: "Any".to_owned(),
            description: "Anything.".to_owned(),
            icon: None,
            website: None,
            categories: Vec::new(),
            versions: [("2", vec!["1"]), ("1", vec![])].map(|(version, from)| Version {
                version: version.to_owned(),
                image: format!("any:{version}"),
                upgradable_from: from.into_iter().map(str::to_owned).collect(),
            }).into(),
            port: Port { number, protocol: Protocol::Http },
            health: Health { path: "/".to_owned(), status: Some(401), startup_seconds: 3600 },
            volumes: ["data", "my-data"][..volumes.min(2)]
                .iter().map(|name| volume(name, access)).collect(),
            database: Database { engine, version: Some("1".to_owned()), ..Database::default() },
            secrets: ["key", "admin-password"].map(|name| GeneratedSecret {
                name: name.to_owned(), length: 24,
            }).into(),
            settings: vec![Setting {
                name: "title".to_owned(),
                title: "Title".to_owned(),
                description: None,
                default: String::new(),
                pattern: pattern.map(str::to_owned),
            }],
            env,
            sizes: vec![size("small", "256Mi", engine), size("large", "3Gi", engine)],
            security,
            network: Network { egress },
            plain_http,
            max_replicas,
            http: crds::app_definition::HttpLimits::default(),
            jobs,
            admin: None,
            sso: Sso {
                protocol,
                login_path: Some("/login".to_owned()),
                callback_path: Some("/callback".to_owned()),
                logout_path: None,
            },
        }
    }
}

fn sound_definition() -> impl Strategy<Value = AppDefinitionSpec> {
    any_definition().prop_filter("sound", |spec| definition::problems(spec).is_empty())
}

/// Somebody's edit of a spec; the API server would let each of them through.
#[derive(Clone, Debug)]
enum Edit {
    Stopped(bool),
    Paused(bool),
    Size(Option<&'static str>),
    Replicas(Option<i32>),
    Domains(Vec<&'static str>),
    Title(Option<String>),
    UnknownSetting(bool),
    /// Volumes only grow; the API server sees to that.
    Grow(&'static str, u32),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<bool>().prop_map(Edit::Stopped),
        any::<bool>().prop_map(Edit::Paused),
        select(&[None, Some("small"), Some("large"), Some("absent")][..]).prop_map(Edit::Size),
        select(&[None, Some(0), Some(1), Some(2), Some(100)][..]).prop_map(Edit::Replicas),
        proptest::sample::subsequence(
            vec!["www.acme.example", "acme.example", "x.apps.example"],
            0..=3
        )
        .prop_map(Edit::Domains),
        proptest::option::of("[ -~äß$(){}]{0,12}").prop_map(Edit::Title),
        any::<bool>().prop_map(Edit::UnknownSetting),
        (
            select(&["data", "my-data", "database", "absent"][..]),
            0..4_u32
        )
            .prop_map(|(volume, more)| Edit::Grow(volume, more)),
    ]
}

fn apply(instance: &mut AppInstance, edit: &Edit) {
    let spec = &mut instance.spec;
    match edit {
        Edit::Stopped(is) => spec.stopped = *is,
        Edit::Paused(is) => spec.paused = *is,
        Edit::Size(size) => spec.size = size.map(str::to_owned),
        Edit::Replicas(replicas) => spec.replicas = *replicas,
        Edit::Domains(domains) => {
            spec.domains = domains.iter().map(|d| (*d).to_owned()).collect();
        }
        Edit::Title(Some(title)) => {
            spec.settings.insert("title".to_owned(), title.clone());
        }
        Edit::Title(None) => {
            spec.settings.remove("title");
        }
        Edit::UnknownSetting(true) => {
            spec.settings.insert("absent".to_owned(), "x".to_owned());
        }
        Edit::UnknownSetting(false) => {
            spec.settings.remove("absent");
        }
        Edit::Grow(volume, more) => {
            let size = spec.storage.entry((*volume).to_owned()).or_default();
            let present: u32 = size.trim_end_matches("Gi").parse().unwrap_or(2);
            *size = format!("{}Gi", present + more);
        }
    }
    instance.metadata.generation = instance.metadata.generation.map(|before| before + 1);
}

/// Instances at any point of their life.
fn any_instance() -> impl Strategy<Value = Instance> {
    let version = select(&["1", "2", "3"][..]);
    let installed = select(&[None, Some("1"), Some("2"), Some("0")][..]);
    let name = prop_oneof!["[a-z][-a-z0-9]{38}[a-z0-9]", "[a-z]{1,8}"];
    (name, version, installed, vec(edit(), 0..8)).prop_map(|(name, version, installed, edits)| {
        let mut instance = instance(&name).of("any").version(version);
        if let Some(installed) = installed {
            instance = instance.installed(installed);
        }
        edits.iter().for_each(|edit| apply(&mut instance, edit));
        instance
    })
}

fn world_of(spec: AppDefinitionSpec) -> World {
    let mut world = world("any");
    world.organization.as_mut().unwrap().pod_security = PodSecurity::Baseline;
    world.definition = Some(AppDefinition {
        metadata: ObjectMeta {
            name: Some("any".to_owned()),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    });
    world
}

// ---- what is looked at

/// Name, labels and annotations of every planned object.
fn metadata(state: &DesiredState) -> Vec<&ObjectMeta> {
    let mut all = vec![&state.account.metadata];
    all.extend(state.secrets.iter().map(|o| &o.metadata));
    all.extend(state.volumes.iter().map(|o| &o.metadata));
    all.extend(state.network_policies.iter().map(|o| &o.metadata));
    all.extend(state.services.iter().map(|o| &o.metadata));
    all.extend(state.database.iter().map(|o| &o.metadata));
    all.extend(state.workload.iter().map(|o| &o.metadata));
    all.extend(state.jobs.iter().map(|o| &o.metadata));
    all.extend(state.cron_jobs.iter().map(|o| &o.metadata));
    all.extend(state.budgets.iter().map(|o| &o.metadata));
    all.extend(state.routes.iter().map(|o| &o.metadata));
    all.extend(state.clients.iter().map(|o| &o.metadata));
    all
}

fn templates(state: &DesiredState) -> Vec<&PodTemplateSpec> {
    let mut all: Vec<&PodTemplateSpec> = Vec::new();
    all.extend(
        state
            .database
            .iter()
            .map(|o| &o.spec.as_ref().unwrap().template),
    );
    all.extend(
        state
            .workload
            .iter()
            .map(|o| &o.spec.as_ref().unwrap().template),
    );
    all.extend(
        state
            .jobs
            .iter()
            .map(|o| &o.spec.as_ref().unwrap().template),
    );
    all.extend(state.cron_jobs.iter().map(|o| {
        let template = &o.spec.as_ref().unwrap().job_template;
        &template.spec.as_ref().unwrap().template
    }));
    all
}

fn pods(state: &DesiredState) -> Vec<&PodSpec> {
    templates(state)
        .into_iter()
        .map(|template| template.spec.as_ref().unwrap())
        .collect()
}

/// Why Pod Security `restricted` would not admit a pod.
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
fn violations(pod: &PodSpec, may_be_root: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut forbid = |holds: bool, what: &str| {
        if holds {
            found.push(what.to_owned());
        }
    };
    forbid(pod.host_network == Some(true), "hostNetwork");
    forbid(pod.host_pid == Some(true), "hostPID");
    forbid(pod.host_ipc == Some(true), "hostIPC");
    for volume in pod.volumes.iter().flatten() {
        let is_allowed = volume.empty_dir.is_some() || volume.persistent_volume_claim.is_some();
        forbid(!is_allowed, "a volume that is neither emptyDir nor a claim");
    }
    let context = pod.security_context.clone().unwrap_or_default();
    let seccomp = context.seccomp_profile.map(|profile| profile.type_);
    forbid(seccomp.as_deref() != Some("RuntimeDefault"), "seccomp");
    // Of the safe ones that `baseline` lists, those that we might want.
    let is_safe = |name: &str| name.starts_with("net.ipv4.tcp_keepalive_");
    let mut sysctls = context.sysctls.iter().flatten();
    forbid(sysctls.any(|sysctl| !is_safe(&sysctl.name)), "sysctls");
    if !may_be_root {
        forbid(context.run_as_non_root != Some(true), "runAsNonRoot");
        forbid(context.run_as_user == Some(0), "runAsUser 0");
    }
    let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    for container in containers {
        let context = container.security_context.clone().unwrap_or_default();
        forbid(context.privileged == Some(true), "privileged");
        forbid(
            context.allow_privilege_escalation != Some(false),
            "allowPrivilegeEscalation",
        );
        let capabilities = context.capabilities.unwrap_or_default();
        let dropped = capabilities.drop.unwrap_or_default();
        forbid(!dropped.iter().any(|c| c == "ALL"), "capabilities kept");
        let added = capabilities.add.unwrap_or_default();
        forbid(
            added.iter().any(|c| c != "NET_BIND_SERVICE"),
            "capabilities added",
        );
        forbid(context.proc_mount.is_some(), "procMount");
        let ports = container.ports.iter().flatten();
        forbid(
            ports.into_iter().any(|port| port.host_port.is_some()),
            "hostPort",
        );
        if !may_be_root {
            forbid(context.run_as_user == Some(0), "runAsUser 0 of a container");
            forbid(
                context.run_as_non_root == Some(false),
                "runAsNonRoot of a container",
            );
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_wish_and_no_definition_makes_a_plan_panic(
        spec in any_definition(), instance in any_instance(),
    ) {
        let world = world_of(spec);
        let before = world.report(&instance);
        prop_assert_eq!(&before.conditions[0].type_, "Ready");
        let _ = world.after(&instance).report(&instance);
    }

    #[test]
    fn a_sound_definition_is_never_called_invalid(
        spec in sound_definition(), instance in any_instance(),
    ) {
        if let Err(rejection) = world_of(spec).plan(&instance) {
            prop_assert_ne!(rejection.reason(), "DefinitionInvalid", "{}", rejection);
        }
    }

    #[test]
    fn the_same_wish_is_always_the_same_plan(
        spec in sound_definition(), instance in any_instance(),
    ) {
        let world = world_of(spec);
        let again: AppInstance =
            serde_json::from_value(serde_json::to_value(&*instance).unwrap()).unwrap();
        prop_assert_eq!(world.plan(&instance), world.clone().plan(&again));
    }

    #[test]
    fn every_object_has_a_name_and_labels_that_kubernetes_takes_and_no_two_are_alike(
        spec in sound_definition(), instance in any_instance(),
    ) {
        let Ok(state) = world_of(spec).plan(&instance) else { return Ok(()) };
        for metadata in metadata(&state) {
            assert_label(metadata.name.as_deref().unwrap());
            prop_assert_eq!(metadata.namespace.as_deref(), Some("acme"));
        }
        let templates = templates(&state);
        let pods = templates.iter().map(|template| template.metadata.as_ref().unwrap());
        for metadata in metadata(&state).into_iter().chain(pods) {
            for (key, value) in metadata.labels.iter().flatten() {
                prop_assert!(value.len() <= 63, "{}={}", key, value);
            }
        }
        for pod in self::pods(&state) {
            let volumes: Vec<&String> = pod.volumes.iter().flatten().map(|v| &v.name).collect();
            let distinct: std::collections::BTreeSet<_> = volumes.iter().collect();
            prop_assert_eq!(distinct.len(), volumes.len(), "two volumes of one name");
            for mount in pod.containers[0].volume_mounts.iter().flatten() {
                prop_assert!(volumes.contains(&&mount.name), "{} is not there", mount.name);
            }
        }
        for cron in &state.cron_jobs {
            prop_assert!(cron.metadata.name.as_ref().unwrap().len() <= 52);
        }
    }

    #[test]
    fn every_pod_is_admitted_by_pod_security_restricted_unless_its_app_must_be_root(
        spec in sound_definition(), instance in any_instance(),
    ) {
        let may_be_root = spec.security.exceptions.contains(&SecurityException::RootUser);
        let Ok(state) = world_of(spec).plan(&instance) else { return Ok(()) };
        let database = state.database.iter().map(|database| {
            database.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
        });
        for pod in database {
            prop_assert_eq!(violations(pod, false), Vec::<String>::new());
        }
        for pod in pods(&state) {
            prop_assert_eq!(violations(pod, may_be_root), Vec::<String>::new());
            prop_assert_eq!(pod.automount_service_account_token, Some(false));
            for container in &pod.containers {
                let resources = container.resources.as_ref().unwrap();
                prop_assert!(resources.requests.is_some(), "a quota would refuse it");
            }
        }
    }

    #[test]
    fn secrets_are_referred_to_and_never_written_out(
        spec in sound_definition(), instance in any_instance(),
    ) {
        let secret: Vec<String> = spec.env.iter()
            .filter(|variable| variable.secret.is_some() || variable.sso.is_some())
            .map(|variable| variable.name.clone())
            .collect();
        let Ok(state) = world_of(spec).after(&instance).plan(&instance) else { return Ok(()) };
        let ours = state.secrets.iter().filter_map(|secret| secret.metadata.name.as_ref());
        let idms = state.clients.iter().map(|client| &client.spec.secret);
        let made: Vec<&String> = ours.chain(idms).collect();
        for pod in pods(&state) {
            for variable in pod.containers[0].env.iter().flatten() {
                let reference = variable
                    .value_from.as_ref()
                    .and_then(|source| source.secret_key_ref.as_ref());
                let names_one = variable.name.to_ascii_uppercase().contains("PASSWORD")
                    || secret.contains(&variable.name);
                prop_assert_eq!(names_one, reference.is_some(), "{}", variable.name);
                if let Some(reference) = reference {
                    prop_assert!(made.contains(&&reference.name), "{} is not made", reference.name);
                    prop_assert_eq!(&variable.value, &None);
                }
            }
        }
        let json = serde_json::to_value(&state).unwrap();
        prop_assert!(json.pointer("/secrets/0/data").is_none());
        prop_assert!(json.pointer("/secrets/0/stringData").is_none());
    }

    #[test]
    fn every_child_is_found_by_its_selector(
        spec in sound_definition(), instance in any_instance(),
    ) {
        let Ok(state) = world_of(spec).plan(&instance) else { return Ok(()) };
        let holds = |selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>| {
            selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        let labels = |template: &PodTemplateSpec| {
            template.metadata.as_ref().unwrap().labels.clone().unwrap()
        };
        if let Some(workload) = &state.workload {
            let spec = workload.spec.as_ref().unwrap();
            let selector = spec.selector.match_labels.as_ref().unwrap();
            prop_assert!(holds(selector, &labels(&spec.template)));
        }
        if let Some(database) = &state.database {
            let spec = database.spec.as_ref().unwrap();
            let selector = spec.selector.match_labels.as_ref().unwrap();
            prop_assert!(holds(selector, &labels(&spec.template)));
        }
        // No Service sends people to a job's pod, or to the wrong component.
        for service in &state.services {
            let selector = service.spec.as_ref().unwrap().selector.as_ref().unwrap();
            let reached: Vec<_> =
                templates(&state).into_iter().filter(|t| holds(selector, &labels(t))).collect();
            prop_assert!(reached.len() <= 1);
        }
    }

    /// R6: how a spec came to be what it is does not matter, wherever the edits led.
    #[test]
    fn a_plan_depends_on_the_last_spec_and_not_on_the_way_there(
        spec in sound_definition(), edits in vec(edit(), 0..12),
    ) {
        let world = world_of(spec);
        let mut walked = instance("shop").of("any").version("2");
        let start = world.after_life(&mut walked);
        let mut direct = walked.clone();

        // The operator makes every spec on the way true that can be.
        let mut there = start.clone();
        for edit in &edits {
            apply(&mut walked, edit);
            if !walked.spec.paused {
                there = there.after_life(&mut walked);
            }
        }
        // One that is paused keeps what was made before: it counts what comes when it goes on.
        if walked.spec.paused {
            walked.spec.paused = false;
            there = there.after_life(&mut walked);
        }
        // A fresh object with the last spec, which saw nothing on the way.
        direct.spec = walked.spec.clone();
        let sight = start.after_life(&mut direct);
        let (there, sight) = (there.plan(&walked), sight.plan(&direct));
        // Volumes grew on the way only where the last spec says so too.
        prop_assert_eq!(there, sight);
    }

    #[test]
    fn there_and_back_again_is_where_it_was(spec in sound_definition(), edit in edit()) {
        prop_assume!(!matches!(edit, Edit::Grow(..)));
        let world = world_of(spec);
        let mut shop = instance("shop").of("any").version("2");
        let world = world.after_life(&mut shop);
        let before = world.plan(&shop);
        let spec = shop.spec.clone();
        apply(&mut shop, &edit);
        let world = world.after_life(&mut shop);
        shop.spec = spec;
        // Domains go with the wish for them.
        let world = world.after_life(&mut shop);
        prop_assert_eq!(world.plan(&shop), before);
    }
}

impl World {
    /// What the operator does with a wish: makes it true, installs it, and remembers in status.
    fn after_life(self, instance: &mut Instance) -> Self {
        let mut world = self;
        for _ in 0..3 {
            let Ok(state) = world.plan(instance) else {
                return world;
            };
            world = world.after(instance);
            for job in &state.jobs {
                let name = job.metadata.name.clone().unwrap();
                world.observed.jobs.insert(name, job_done());
            }
            let status = instance.status.get_or_insert_default();
            status.host = Some(state.host);
            status.url = Some(state.url);
            status.version = state.version.or_else(|| status.version.clone());
            status.secrets = world.observed.secrets.iter().cloned().collect();
        }
        // Jobs that are planned no more are removed.
        world.observed.jobs.clear();
        world
    }
}

#[test]
fn the_generated_definitions_are_sound_often_enough_to_mean_something() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let sound = (0..200)
        .map(|_| any_definition().new_tree(&mut runner).unwrap().current())
        .filter(|spec| definition::problems(spec).is_empty())
        .count();
    assert!(sound > 20, "{sound} of 200");
    assert!(sound < 200, "none contradicts itself");
}

#[test]
fn names_of_children_begin_with_their_instance() {
    for name in [
        children::database("shop"),
        children::volume("shop", "data"),
        children::secret("shop", "key"),
        children::job("shop", "cron"),
    ] {
        assert!(name.starts_with("shop-"), "{name}");
    }
}
