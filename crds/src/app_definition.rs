//! AppDefinition: what an app is. Data, not code: a new app needs no line of ours.
//!
//! Cluster-scoped, one per app, written in `apps/<name>/app.yaml`. What it says becomes objects
//! in `operator/plan`. References between its lists and patterns are checked by `plan::definition`,
//! which `lab app lint` runs too; all else is checked here, by schema and CEL.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity;

/// What an app's name matches: it becomes a label, and part of other names.
pub const NAME: &str = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$";
/// The same in words.
pub const NAME_DEMAND: &str =
    "an app's name is 1 to 40 lower-case letters, digits and dashes, and begins with a letter";

/// In a rule: a path that can be read in one way.
fn is_plain(path: &str) -> String {
    format!("{path}.matches('^(/[^/]+)+$') && !{path}.matches('/[.]{{1,2}}(/|$)')")
}

/// In a rule: a path that an app may have for itself.
fn is_not_the_kernels(path: &str) -> String {
    format!("!{path}.matches('^/(proc|sys|dev)(/|$)')")
}

/// What an app is: images and versions, port, health, volumes, database, environment, sizes,
/// security needs and jobs. Changing it takes effect at once, without a restart of anything of
/// the platform.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[kube(
    group = "tutti.dev",
    version = "v1alpha1",
    kind = "AppDefinition",
    status = "AppDefinitionStatus",
    derive = "PartialEq",
    shortname = "appdef",
    category = "tutti",
    doc = "What an app is: images and versions, port, health, volumes, database, environment, sizes, security needs and jobs.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title"),
    printcolumn(name = "Versions", type_ = "string", json_path = ".status.versions"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.database.engine"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(format!("self.metadata.name.matches('{NAME}')"))
        .message(format!("metadata.name: {NAME_DEMAND}").as_str()),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.admin) || !has(self.admin.passwordSecret) || (has(self.secrets) && self.secrets.exists(s, s.name == self.admin.passwordSecret))")
        .message("admin.passwordSecret: names no entry of secrets; add it there"),
    validation = Rule::new("!has(self.env) || self.env.all(e, !has(e.secret) || e.secret == 'database-password' || (has(self.secrets) && self.secrets.exists(s, s.name == e.secret)))")
        .message("env: a secret is named that is neither in secrets nor 'database-password'; add it to secrets"),
    validation = Rule::new("self.database.engine != 'none' || !has(self.env) || self.env.all(e, (!has(e.secret) || e.secret != 'database-password') && (!has(e.value) || !e.value.contains('${database.')))")
        .message("env: refers to the database, but database.engine is 'none'"),
    validation = Rule::new("self.database.engine == 'none' || self.sizes.all(s, has(s.database))")
        .message("sizes: a size does not say what the database may use; add database to it"),
    validation = Rule::new("self.port.number >= 1024 || (has(self.security.exceptions) && 'BindLowPorts' in self.security.exceptions)")
        .message("port.number: below 1024; choose another, or add the exception BindLowPorts"),
    validation = Rule::new("self.database.engine != 'none' || self.sizes.all(s, !has(s.database))")
        .message("sizes: a size says what the database may use, but database.engine is 'none'; remove it there, or choose an engine"),
    validation = Rule::new("(has(self.sso) && has(self.sso.protocol) && self.sso.protocol == 'oidc') || !has(self.env) || self.env.all(e, !has(e.sso))")
        .message("env: sso is for apps that sign people in by OpenID Connect: set sso.protocol to 'oidc', or remove it there"),
)]
pub struct AppDefinitionSpec {
    /// What the app is called in front of people, such as `WordPress`.
    #[schemars(length(min = 1, max = 80))]
    pub title: String,

    /// One or two sentences for a customer who chooses an app.
    #[schemars(length(min = 1, max = 1000))]
    pub description: String,

    /// An icon: an `https://` address or a `data:image/…` URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536), regex(pattern = "^(https://|data:image/)"))]
    pub icon: Option<String>,

    /// The home page of the app's makers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^https?://"))]
    pub website: Option<String>,

    /// Where the catalogue shows it, such as `website` or `accounting`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 40)))]
    pub categories: Vec<String>,

    /// The versions on offer, newest first.
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".to_owned()]),
        validation = Rule::new("self.size() > 0").message("versions: an app has at least one version"))]
    pub versions: Vec<Version>,

    /// Where the app listens.
    pub port: Port,

    /// How one sees that it works.
    pub health: Health,

    /// What is kept when its pods come and go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub volumes: Vec<Volume>,

    /// The database that each instance gets for itself.
    #[serde(default)]
    pub database: Database,

    /// Secrets generated once for each instance, and never changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub secrets: Vec<GeneratedSecret>,

    /// What a customer may set in `AppInstance.spec.settings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 30))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub settings: Vec<Setting>,

    /// The environment of the app's pods and jobs. A later entry may use an earlier one as
    /// `$(NAME)`, as Kubernetes does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 60))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub env: Vec<EnvVar>,

    /// The sizes that one may order; the first is the default.
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]),
        validation = Rule::new("self.size() > 0").message("sizes: an app has at least one size"))]
    pub sizes: Vec<Size>,

    /// Who the app runs as, and what it cannot live without.
    pub security: Security,

    /// What the app may talk to.
    #[serde(default)]
    pub network: Network,

    /// The app cannot do HTTPS on its default host: there, plain HTTP is answered as well as HTTPS.
    #[serde(default)]
    pub plain_http: bool,

    /// How many pods may serve at once; leave it out when there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: Option<i32>,

    /// What the gateway lets through for this app.
    #[serde(default)]
    pub http: HttpLimits,

    /// What is run beside the app: once at installation, once per upgrade, or on a schedule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]),
        validation = Rule::new("self.filter(j, j.when == 'install').size() <= 1 && self.filter(j, j.when == 'upgrade').size() <= 1")
            .message("jobs: at most one job may say 'when: install' and at most one 'when: upgrade'"))]
    pub jobs: Vec<Job>,

    /// How a person signs in for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,

    /// How the app signs people in through the platform.
    #[serde(default)]
    pub sso: Sso,
}

/// One version on offer.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.upgradableFrom) || !(self.version in self.upgradableFrom)").message("versions: a version cannot be upgraded to itself; remove it from its upgradableFrom"))]
pub struct Version {
    /// Its name, such as `6.8`.
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = "^[0-9A-Za-z]([-._0-9A-Za-z]*[0-9A-Za-z])?$")
    )]
    pub version: String,
    /// The image. Without a registry host (`wordpress:6.8`) it is looked up in the platform's own
    /// registry. A digest (`wordpress@sha256:…`) makes it immutable.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new(r"self.matches('^([a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+(([.]|__?|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|__?|-+)[a-z0-9]+)*)*(:[0-9A-Za-z_][-._0-9A-Za-z]{0,127}|(:[0-9A-Za-z_][-._0-9A-Za-z]{0,127})?@sha256:[0-9a-f]{64})$')")
        .message("versions: image is name:tag or name@sha256:…, where the name may begin with a registry host"))]
    pub image: String,
    /// The versions that an instance can be upgraded from to this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 20)))]
    pub upgradable_from: Vec<String>,
}

/// Where the app listens.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The port inside the pod. Below 1024 needs the exception `BindLowPorts`.
    #[schemars(range(min = 1, max = 65535))]
    pub number: i32,
    /// What is spoken there: `http` is HTTP/1.1, WebSocket included; `h2c` is HTTP/2 without TLS.
    #[serde(default)]
    pub protocol: Protocol,
}

/// What an app speaks on its port.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, WebSocket included.
    #[default]
    Http,
    /// HTTP/2 without TLS.
    H2c,
}

/// How one sees that the app works.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Path that is asked for.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/"))]
    pub path: String,
    /// The only status that says it works. Without it any of 200 to 399 does, and redirects are
    /// followed, as Kubernetes' own probes do; with it the probe is a `curl` in the container, which
    /// the image has to have, beside `sh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// How long the first healthy answer may take, in seconds.
    #[serde(default = "default_startup_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub startup_seconds: i32,
}

fn default_startup_seconds() -> i32 {
    120
}

/// A volume of the app.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name; `AppInstance.spec.storage` sets its size by it.
    #[schemars(
        length(min = 1, max = 15),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self != 'database'").message("volumes: 'database' is the name of the database's own volume; choose another"),
        validation = Rule::new("!self.startsWith('scratch-')").message("volumes: names that begin with 'scratch-' are those of security.writablePaths; choose another"))]
    pub name: String,
    /// Where it is mounted.
    #[schemars(length(min = 2, max = 256), regex(pattern = "^/[^:]+$"))]
    #[x_kube(validation = Rule::new(is_plain("self")).message("volumes: a path is plain: no '//', '/./', '/../' and no slash at the end"),
        validation = Rule::new(is_not_the_kernels("self")).message("volumes: /proc, /sys and /dev belong to the kernel; choose another folder"))]
    pub path: String,
    /// Its size unless the instance asks for more.
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::SIZE.rule("size"))]
    pub size: String,
    /// Whether pods on several nodes may write to it at once (`ReadWriteMany`; the storage class must
    /// be able to). Cannot be changed: a volume that is there keeps its own.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("volumes: access cannot be changed, volumes that are there keep theirs; add another volume"))]
    pub access: Access,
}

/// Access mode of a volume.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Access {
    /// Pods on one node.
    #[default]
    ReadWriteOnce,
    /// Pods on any node; needs a storage class that can.
    ReadWriteMany,
}

/// The database of each instance.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.engine == 'none' || has(self.version)").message("database.version: say which version of the engine the app wants"),
    validation = Rule::new("self.engine != 'postgresql' || !has(self.version) || !has(oldSelf.version) || self.version.split('.')[0] == oldSelf.version.split('.')[0]")
        .message("database.version: the data of one major version of PostgreSQL cannot be read by another; make another AppDefinition"),
    validation = Rule::new("self.engine != 'mariadb' || !has(self.version) || !has(oldSelf.version) || !self.version.matches('^[0-9]{1,4}[.][0-9]{1,4}([.].*)?$') || !oldSelf.version.matches('^[0-9]{1,4}[.][0-9]{1,4}([.].*)?$') || int(self.version.split('.')[0]) > int(oldSelf.version.split('.')[0]) || (int(self.version.split('.')[0]) == int(oldSelf.version.split('.')[0]) && int(self.version.split('.')[1]) >= int(oldSelf.version.split('.')[1]))")
        .message("database.version: an older MariaDB does not read the data of a newer one; make another AppDefinition"))]
pub struct Database {
    /// Which engine; `none` when the app needs no database. Cannot be changed: instances have data in
    /// it.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("database.engine: cannot be changed, instances have data in it; make another AppDefinition"))]
    pub engine: Engine,
    /// Which version of it, such as `11.8`. The major version of PostgreSQL cannot be changed, and
    /// MariaDB's cannot be lowered: the other one does not read its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = "^[0-9A-Za-z]([-._0-9A-Za-z]*[0-9A-Za-z])?$")
    )]
    pub version: Option<String>,
    /// Size of its volume unless the instance asks for more (`spec.storage.database`).
    #[serde(default = "default_database_size")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::SIZE.rule("size"))]
    pub size: String,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            engine: Engine::None,
            version: None,
            size: default_database_size(),
        }
    }
}

fn default_database_size() -> String {
    "2Gi".to_owned()
}

/// The engines that the platform runs.
#[derive(
    JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// MariaDB.
    Mariadb,
    /// PostgreSQL.
    Postgresql,
    /// The app needs no database.
    #[default]
    None,
}

/// A secret that is generated once for each instance: letters and digits.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct GeneratedSecret {
    /// Its name.
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("!(self in ['database-password', 'database', 'identity', 'sso'])")
        .message("secrets: 'database-password', 'database', 'identity' and 'sso' are made by the platform; choose another name"))]
    pub name: String,
    /// How many characters, from 8 to 128. 24 letters and digits are 142 bits.
    #[serde(default = "default_secret_length")]
    #[schemars(range(min = 8, max = 128))]
    pub length: u8,
}

fn default_secret_length() -> u8 {
    24
}

/// Something that a customer may set.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Its name, as in `AppInstance.spec.settings` and `${settings.<name>}`.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z][a-zA-Z0-9]*$"))]
    pub name: String,
    /// What it is called in front of people.
    #[schemars(length(min = 1, max = 80))]
    pub title: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
    /// The value when the instance says nothing.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub default: String,
    /// A regular expression (RE2) that the whole value has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub pattern: Option<String>,
}

/// One variable of the environment: a template, a secret, or what the app signs people in with.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.value), has(self.secret), has(self.sso)].exists_one(given, given)").message("env: give each entry exactly one of value, secret and sso"))]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$")
    )]
    pub name: String,
    /// A text in which `${instance.name}`, `${instance.host}`, `${instance.url}`,
    /// `${organization.name}`, `${database.host}`, `${database.port}`, `${database.name}`,
    /// `${database.user}` and `${settings.<name>}` are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new(r"self.matches('^([^$]|[$]+[^${]|[$]*[$][{](instance[.](name|host|url)|organization[.]name|database[.](host|port|name|user)|settings[.][a-z][a-zA-Z0-9]*)[}])*[$]*$')")
        .message("env: broken template: after '${' one of instance.name, instance.host, instance.url, organization.name, database.host, database.port, database.name, database.user, settings.<name> and '}' is wanted"))]
    pub value: Option<String>,
    /// The name of an entry of `secrets`, or `database-password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub secret: Option<String>,
    /// What the app signs people in with at idm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sso: Option<Credential>,
}

/// What an app signs people in with at idm, where `sso.protocol` is `oidc`: `clientId`, `clientSecret`, `issuer`, or
/// `backchannel`, where the app's server finds idm inside of the cluster. Left out where the platform has no idm.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Credential {
    /// Its `client_id`.
    ClientId,
    /// What it proves itself by.
    ClientSecret,
    /// Who idm is, and where browsers find it: `https://id.example.com`.
    Issuer,
    /// Where the app's server finds idm inside of the cluster.
    Backchannel,
}

impl Credential {
    /// Its key in the Secret that idm makes.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::ClientId => "clientId",
            Self::ClientSecret => "clientSecret",
            Self::Issuer => "issuer",
            Self::Backchannel => "backchannel",
        }
    }
}

/// A size that one may order.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = quantity::promise_rule("cpu"), validation = quantity::promise_rule("memory"))]
pub struct Size {
    /// Its name, such as `small`.
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What each pod of the app is promised.
    pub requests: Resources,
    /// What each pod of the app may use at most.
    pub limits: Resources,
    /// The same for the database. Required where the app has one, and not allowed where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseResources>,
}

/// Requests and limits of the database.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = quantity::promise_rule("cpu"), validation = quantity::promise_rule("memory"))]
pub struct DatabaseResources {
    /// What the database is promised.
    pub requests: Resources,
    /// What it may use at most.
    pub limits: Resources,
}

/// CPU and memory.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Cores, such as `250m` or `2`.
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::CPU.rule("cpu"))]
    pub cpu: String,
    /// Bytes, such as `256Mi`.
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::BYTES.rule("memory"))]
    pub memory: String,
}

/// Who the app runs as. Without exceptions it satisfies the Pod Security Standard `restricted`
/// and has a read-only root file system.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.runAsUser != 0 || (has(self.exceptions) && 'RootUser' in self.exceptions)")
    .message("security.runAsUser: 0 is root; choose another user, or add the exception RootUser"))]
pub struct Security {
    /// User id.
    #[schemars(range(min = 0, max = 2147483647_i64))]
    pub run_as_user: i64,
    /// Group id, and the group that volumes belong to.
    #[schemars(range(min = 0, max = 2147483647_i64))]
    pub run_as_group: i64,
    /// Folders that are writable and empty in each new pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 12),
        inner(length(min = 2, max = 256), regex(pattern = "^/[^:]+$"))
    )]
    #[x_kube(validation = Rule::new(format!("self.all(path, {})", is_plain("path"))).message("security.writablePaths: a path is plain: no '//', '/./', '/../' and no slash at the end"),
        validation = Rule::new(format!("self.all(path, {})", is_not_the_kernels("path"))).message("security.writablePaths: /proc, /sys and /dev belong to the kernel; choose another folder"))]
    pub writable_paths: Vec<String>,
    /// What the app cannot live without. `RootUser`: it runs as root, only in organizations whose
    /// `podSecurity` is `baseline`. `WritableRootFilesystem`: its root file system is writable.
    /// `BindLowPorts`: it listens on a port below 1024 (capability `NET_BIND_SERVICE`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub exceptions: Vec<SecurityException>,
}

/// A rule of the platform that an app may be excepted from.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum SecurityException {
    /// It runs as root; only in organizations whose `podSecurity` is `baseline`.
    RootUser,
    /// Its root file system is writable.
    WritableRootFilesystem,
    /// It listens on a port below 1024 (capability `NET_BIND_SERVICE`).
    BindLowPorts,
}

/// What the app may talk to, beside its database and DNS.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// `Internet`: public addresses; private ranges and the cluster stay closed. `None`: nowhere.
    #[serde(default)]
    pub egress: Egress,
}

/// Where an app's connections may go.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Egress {
    /// Public addresses; private ranges and the cluster stay closed.
    #[default]
    Internet,
    /// Nowhere.
    None,
}

/// What the gateway lets through for an app.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct HttpLimits {
    /// The largest request body.
    #[serde(default = "default_body_limit")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::BODY.rule("bodyLimit"))]
    pub body_limit: String,
    /// The largest head of a request, as far as the gateway's own limit allows it.
    #[serde(default = "default_header_limit")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::HEAD.rule("headerLimit"))]
    pub header_limit: String,
    /// How long a client may take to send the head of a request, in seconds, as far as the gateway's
    /// own limit allows it.
    #[serde(default = "default_header_seconds")]
    #[schemars(range(min = 1, max = 60))]
    pub header_seconds: u32,
    /// How long the app may take to begin its answer, in seconds.
    #[serde(default = "default_response_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub response_seconds: u32,
    /// How long an answer or a WebSocket may go without a byte in either direction, in seconds.
    #[serde(default = "default_idle_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub idle_seconds: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_limit: default_body_limit(),
            header_limit: default_header_limit(),
            header_seconds: default_header_seconds(),
            response_seconds: default_response_seconds(),
            idle_seconds: default_idle_seconds(),
        }
    }
}

fn default_body_limit() -> String {
    "100Mi".to_owned()
}

fn default_header_limit() -> String {
    "32Ki".to_owned()
}

fn default_header_seconds() -> u32 {
    10
}

fn default_response_seconds() -> u32 {
    120
}

fn default_idle_seconds() -> u32 {
    300
}

/// Something that is run in the version's image, with the app's environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.when == 'periodic') == has(self.schedule)").message("jobs: schedule belongs to 'when: periodic', and only there"))]
pub struct Job {
    /// Its name. Short, because the names of its objects are made from it.
    #[schemars(
        length(min = 1, max = 10),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self != 'to' && !self.startsWith('to-')")
        .message("jobs: 'to' and names that begin with 'to-' are those of upgrades to a version; choose another"))]
    pub name: String,
    /// When it runs. `install`: once, before the app starts for the first time; it must do no harm when
    /// run again. `upgrade`: once for each change of version, before the new version's pods start.
    /// `periodic`: on a schedule.
    pub when: When,
    /// For periodic ones: a cron schedule in UTC, such as `*/5 * * * *`. Where it leaves open when
    /// exactly (`*/5`, `@daily`), each instance has a time of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 100),
        regex(
            pattern = "^(@(hourly|daily|weekly|monthly|yearly)|([-0-9*,/A-Za-z]+ +){4}[-0-9*,/A-Za-z]+)$"
        )
    )]
    pub schedule: Option<String>,
    /// What is run.
    #[schemars(length(min = 1, max = 30), inner(length(min = 1, max = 1024)))]
    pub command: Vec<String>,
    /// After this many seconds it has failed.
    #[serde(default = "default_job_timeout")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: i64,
    /// Whether the app's volumes are mounted.
    #[serde(default = "yes")]
    pub volumes: bool,
}

fn default_job_timeout() -> i64 {
    600
}

fn yes() -> bool {
    true
}

/// When a job runs.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Once, before the app starts for the first time. It must do no harm when run again.
    Install,
    /// Once for each change of version, before the new version's pods start.
    Upgrade,
    /// On a schedule.
    Periodic,
}

/// How a person signs in for the first time.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admin {
    /// The user name.
    #[schemars(length(min = 1, max = 80))]
    pub user: String,
    /// The entry of `secrets` that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub password_secret: Option<String>,
    /// The page to sign in at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = "^/"))]
    pub path: Option<String>,
}

/// How the app signs people in through the platform.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.protocol == 'none' || has(self.loginPath)").message("sso.loginPath: say where a sign-in begins"),
    validation = Rule::new("self.protocol != 'oidc' || has(self.callbackPath)").message("sso.callbackPath: say where the answer of OpenID Connect comes back to"),
    validation = Rule::new(r"!has(self.callbackPath) || self.callbackPath.matches('^[!-~]*$') && !['#', '*', '\\'].exists(odd, self.callbackPath.contains(odd))")
        .message("sso.callbackPath: ASCII without spaces, '#', '*' and backslashes: it becomes part of an address that is compared letter by letter"))]
pub struct Sso {
    /// Which protocol it speaks; with `none` the app signs people in by itself.
    #[serde(default)]
    pub protocol: SsoProtocol,
    /// The path at which a sign-in begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = "^/"))]
    pub login_path: Option<String>,
    /// The path that the answer comes back to (SAML: assertion consumer; OIDC: redirect).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = "^/"))]
    pub callback_path: Option<String>,
    /// The path that ends a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = "^/"))]
    pub logout_path: Option<String>,
}

/// Sign-in protocols.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SsoProtocol {
    /// The app signs people in by itself.
    #[default]
    None,
    /// SAML 2.0.
    Saml,
    /// OpenID Connect.
    Oidc,
}

/// What the operator found in the definition.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct AppDefinitionStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The versions on offer, for people: `6.8, 6.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<String>,
    /// `Ready`: instances can be made of it; otherwise the reason says what is wrong and where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

impl AppDefinitionSpec {
    /// The version of this name.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.version == name)
    }

    /// The size of this name, or the default where none is named.
    #[must_use]
    pub fn size(&self, name: Option<&str>) -> Option<&Size> {
        match name {
            Some(name) => self.sizes.iter().find(|size| size.name == name),
            None => self.sizes.first(),
        }
    }

    /// The job that runs at this occasion; periodic ones are several, see [`Self::jobs`].
    #[must_use]
    pub fn job(&self, when: When) -> Option<&Job> {
        self.jobs.iter().find(|job| job.when == when)
    }
}
