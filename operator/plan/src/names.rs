//! Names of the objects made for an instance. All within Kubernetes' 63 characters, because an
//! instance's name has at most 40 (CEL on AppInstance), and a job's at most 10.

use crds::{AppDefinitionSpec, app_definition::Engine};

use crate::check::DATABASE_VOLUME;

/// Kubernetes' limit for labels of a DNS name, and for values of labels, which names of jobs
/// become.
const LONGEST: usize = 63;

/// The database's StatefulSet, Service and Secret.
#[must_use]
pub fn database(instance: &str) -> String {
    format!("{instance}-database")
}

/// A generated Secret.
#[must_use]
pub fn secret(instance: &str, secret: &str) -> String {
    format!("{instance}-{secret}")
}

/// How the name of a Secret ends that holds an app's credentials at idm. It is reserved.
pub const SSO_SUFFIX: &str = "-sso";

/// The Secret with an app's credentials at idm.
#[must_use]
pub fn sso_secret(instance: &str) -> String {
    format!("{instance}{SSO_SUFFIX}")
}

/// The PersistentVolumeClaim of a volume.
#[must_use]
pub fn volume(instance: &str, volume: &str) -> String {
    format!("{instance}-{volume}")
}

/// All PersistentVolumeClaims of an instance of this app.
#[must_use]
pub fn claims(instance: &str, definition: &AppDefinitionSpec) -> Vec<String> {
    let volumes = definition.volumes.iter().map(|it| it.name.as_str());
    let database = (definition.database.engine != Engine::None).then_some(DATABASE_VOLUME);
    let all = volumes.chain(database);
    all.map(|name| volume(instance, name)).collect()
}

/// A periodic job.
#[must_use]
pub fn job(instance: &str, job: &str) -> String {
    format!("{instance}-{job}")
}

/// The job that installs a version: one object per version, so that it can be told which one an
/// installation under way is for.
#[must_use]
pub fn install_job(instance: &str, job: &str, version: &str) -> String {
    with_version(&format!("{instance}-{job}"), version)
}

/// The job that upgrades to a version: one object per version, so that it runs once for each.
#[must_use]
pub fn upgrade_job(instance: &str, version: &str) -> String {
    with_version(&format!("{instance}-to"), version)
}

/// Appends a version, readable where no other version would read the same and the whole is short
/// enough, as a digest otherwise.
fn with_version(prefix: &str, version: &str) -> String {
    let is_plain = version
        .chars()
        .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.'));
    if is_plain && prefix.len() + 1 + version.len() <= LONGEST {
        format!("{prefix}-{}", version.replace('.', "-"))
    } else {
        let digest = crate::digest::of_text(version);
        // A letter no hexadecimal number begins with: a version cannot be mistaken for a digest
        // unless somebody means to.
        format!("{prefix}-v{}", &digest[..10])
    }
}

/// The Domain of a customer's own hostname, and its Route. The name holds a digest, because a
/// hostname may be longer than an object's name may be.
#[must_use]
pub fn domain(instance: &str, hostname: &str) -> String {
    format!("{instance}-{}", crate::digest::of_text(hostname))
}

/// What tokens of default hosts are made of: letters and digits without those that look alike.
pub const TOKEN_ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Characters of a token: 50 bits that nobody guesses.
pub const TOKEN_LENGTH: usize = 10;

/// Whether a host is one that [`default_host`] makes for this instance, in whatever zone.
#[must_use]
pub fn is_default_host(host: &str, instance: &str) -> bool {
    let token = host
        .split_once('.')
        .and_then(|(label, _)| label.strip_prefix(instance)?.strip_prefix('-'));
    token.is_some_and(|token| {
        token.len() == TOKEN_LENGTH && token.bytes().all(|c| TOKEN_ALPHABET.contains(&c))
    })
}

/// The label of the default host: the name that a person knows, and letters nobody guesses.
#[must_use]
pub fn default_host(instance: &str, token: &str, zone: &str) -> String {
    format!("{instance}-{token}.{zone}")
}
