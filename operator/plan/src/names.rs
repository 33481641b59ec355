//! Names of the objects made for an instance. All within Kubernetes' 63 characters, because an
//! instance's name has at most 40 (CEL on AppInstance), and a job's at most 10.

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

/// The PersistentVolumeClaim of a volume.
#[must_use]
pub fn volume(instance: &str, volume: &str) -> String {
    format!("{instance}-{volume}")
}

/// An install or periodic job.
#[must_use]
pub fn job(instance: &str, job: &str) -> String {
    format!("{instance}-{job}")
}

/// The job that upgrades to a version: one object per version, so that it runs once for each.
#[must_use]
pub fn upgrade_job(instance: &str, version: &str) -> String {
    let version: String = version
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    format!("{instance}-to-{version}")
}

/// The Route of a customer's own domain. The name holds a digest, because a hostname may be
/// longer than an object's name may be.
#[must_use]
pub fn domain_route(instance: &str, hostname: &str) -> String {
    format!("{instance}-{}", crate::digest::of_text(hostname))
}

/// The label of the default host: the name that a person knows, and letters nobody guesses.
#[must_use]
pub fn default_host(instance: &str, token: &str, zone: &str) -> String {
    format!("{instance}-{token}.{zone}")
}
