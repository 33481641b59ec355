//! Rejection: why a wish is not granted. The person who wrote the object can fix it.

use crate::quota::{self, Lack};

/// Why a wish is not granted. The variant's name is the condition's reason; the text names the
/// field or the fact, and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The namespace belongs to no Organization.
    #[error(
        "namespace {namespace:?} belongs to no organization; move the instance into the namespace of one (kubectl get org), or make one: an Organization has a namespace of its own name{}",
        handing_over(namespace)
    )]
    NotInAnOrganization {
        /// The namespace.
        namespace: String,
    },
    /// The organization's namespace has no closed network (yet).
    #[error(
        "organization {organization:?} has no namespace with a closed network yet; it begins as soon as it has (see: kubectl describe org {organization})"
    )]
    OrganizationNotFenced {
        /// The organization.
        organization: String,
    },
    /// The organization is being deleted.
    #[error(
        "organization {organization:?} is being deleted, nothing new begins in it, and this instance keeps it from going; delete this one, and order it in another organization, or again when this one is gone"
    )]
    OrganizationIsLeaving {
        /// The organization.
        organization: String,
    },
    /// The organization has as many instances as it may have.
    #[error(
        "organization {organization:?} may have {most} instances (its spec.quota.instances) and has them; raise that, or delete an instance that is not needed"
    )]
    QuotaExceeded {
        /// The organization.
        organization: String,
        /// Its `spec.quota.instances`.
        most: usize,
    },
    /// `spec.app` names no definition.
    #[error("spec.app: there is no AppDefinition {app:?}; `kubectl get appdef` lists them")]
    UnknownApp {
        /// What was asked for.
        app: String,
    },
    /// The definition contradicts itself.
    #[error(
        "AppDefinition {app:?} is broken: {problem}; mend the definition, nothing here needs to change"
    )]
    DefinitionInvalid {
        /// The definition.
        app: String,
        /// The first thing found wrong, with its field.
        problem: String,
    },
    /// `spec.version` names no version of the definition.
    #[error("spec.version: {app} has no version {version:?}; it has {known}")]
    UnknownVersion {
        /// The app.
        app: String,
        /// What was asked for.
        version: String,
        /// What there is.
        known: String,
    },
    /// What is kept under this name is another app's.
    #[error(
        "spec.app: the data kept under the name {instance:?} is {kept}'s, and {app} can do nothing with it; make an instance of {kept}, choose another name, or delete the data: kubectl delete pvc,secret -n {namespace} -l app.kubernetes.io/instance={instance}"
    )]
    DataOfAnotherApp {
        /// The app asked for.
        app: String,
        /// The app whose data it is.
        kept: String,
        /// The instance.
        instance: String,
        /// Its namespace.
        namespace: String,
    },
    /// The definition does not know how to get from one version to the other.
    #[error(
        "spec.version: {from} is installed and cannot be upgraded to {to}, {way}; set spec.version to {from} or to what can be reached from it. What runs is left as it is"
    )]
    CannotUpgrade {
        /// What is installed.
        from: String,
        /// What was asked for.
        to: String,
        /// From where one gets there, in words.
        way: String,
    },
    /// `spec.size` names no size of the definition.
    #[error("spec.size: {app} has no size {size:?}; it has {known}")]
    UnknownSize {
        /// The app.
        app: String,
        /// What was asked for.
        size: String,
        /// What there is.
        known: String,
    },
    /// The organization's quota has no room for this size.
    #[error(
        "spec.size: {size} needs {} of organization {organization:?}'s spec.quota.{}, and {} is left; choose a smaller size here, stop or shrink another instance, or raise the quota. Nothing is made or changed until then",
        lack.needed, lack.what, lack.left
    )]
    SizeOverQuota {
        /// What was asked for.
        size: String,
        /// The organization.
        organization: String,
        /// Of what.
        lack: Lack,
    },
    /// The organization's quota has no room for the volumes.
    #[error(
        "spec.storage: with {volumes} the volumes of this instance take {} of organization {organization:?}'s spec.quota.storage, and {} is left; ask for less (spec.storage.<volume>), delete volumes that nobody needs (kubectl get pvc -n {organization}), or raise the quota. What there is stays as it is",
        lack.needed, lack.left
    )]
    StorageOverQuota {
        /// What is to be made or to grow, with its size.
        volumes: String,
        /// The organization.
        organization: String,
        /// Of what.
        lack: Lack,
    },
    /// `spec.replicas` is more than the app can.
    #[error("spec.replicas: {app} cannot run on so many pods at once; ask for {most} at most")]
    TooManyReplicas {
        /// The app.
        app: String,
        /// The definition's `maxReplicas`.
        most: i32,
    },
    /// `spec.settings` names no setting of the definition.
    #[error("spec.settings.{name}: {app} has no such setting; it has {known}")]
    UnknownSetting {
        /// The app.
        app: String,
        /// What was set.
        name: String,
        /// What there is.
        known: String,
    },
    /// A setting's value does not match the definition's pattern.
    #[error(
        "spec.settings.{name} ({title}): the value does not match {pattern}; change it, or leave the setting out"
    )]
    InvalidSetting {
        /// The setting.
        name: String,
        /// What it is called in front of people.
        title: String,
        /// What it must match.
        pattern: String,
    },
    /// `spec.storage` names no volume of the definition.
    #[error("spec.storage.{name}: {app} has no such volume; it has {known}")]
    UnknownVolume {
        /// The app.
        app: String,
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A volume would become smaller.
    #[error(
        "spec.storage.{name}: volumes only grow; it has {present}, and {asked} was asked for; ask for {present} or more"
    )]
    StorageCannotShrink {
        /// The volume.
        name: String,
        /// Its present size.
        present: String,
        /// What was asked for.
        asked: String,
    },
    /// The app must run as root, which the organization does not allow.
    #[error(
        "{app} must run as root, and organization {organization:?} does not allow that; set the organization's spec.podSecurity to baseline, or choose another app"
    )]
    PodSecurityForbids {
        /// The app.
        app: String,
        /// The organization.
        organization: String,
    },
    /// Generated secrets were lost.
    #[error(
        "deleted: {names}. What was protected by that still needs it; restore it from a backup, or have it generated anew (where the app keeps the old one, such as the password of an account in it, it is changed in the app): kubectl annotate appi/{instance} -n {namespace} --overwrite tutti.dev/regenerate-secret={names}"
    )]
    SecretMissing {
        /// Names of the Secrets, separated by commas.
        names: String,
        /// The instance.
        instance: String,
        /// Its namespace.
        namespace: String,
    },
    /// Volumes were lost.
    #[error(
        "deleted: {names}, with all that was on it. Nothing is put in its place unasked: restore it from a backup, under its name and with its labels, or begin again without what was on it, with an empty one: kubectl annotate appi/{instance} -n {namespace} --overwrite tutti.dev/recreate-volume={uids}"
    )]
    VolumeMissing {
        /// Names of the claims, separated by commas.
        names: String,
        /// Their UIDs, likewise.
        uids: String,
        /// The instance.
        instance: String,
        /// Its namespace.
        namespace: String,
    },
    /// The platform has no image for the engine.
    #[error(
        "this platform has no image for database engine {engine}; its operator sets one in the chart's value platform.databaseImages.{engine}"
    )]
    NoDatabaseImage {
        /// The engine.
        engine: String,
    },
}

impl Rejection {
    /// Whether others may make room without any news of this instance.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        matches!(
            self,
            Self::SizeOverQuota { .. } | Self::StorageOverQuota { .. }
        )
    }

    /// The condition's reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotInAnOrganization { .. } => "NotInAnOrganization",
            Self::OrganizationNotFenced { .. } => "OrganizationNotFenced",
            Self::OrganizationIsLeaving { .. } => "OrganizationIsLeaving",
            Self::QuotaExceeded { .. }
            | Self::SizeOverQuota { .. }
            | Self::StorageOverQuota { .. } => quota::EXCEEDED,
            Self::UnknownApp { .. } => "UnknownApp",
            Self::DefinitionInvalid { .. } => "DefinitionInvalid",
            Self::UnknownVersion { .. } => "UnknownVersion",
            Self::DataOfAnotherApp { .. } => "DataOfAnotherApp",
            Self::CannotUpgrade { .. } => "CannotUpgrade",
            Self::UnknownSize { .. } => "UnknownSize",
            Self::TooManyReplicas { .. } => "TooManyReplicas",
            Self::UnknownSetting { .. } => "UnknownSetting",
            Self::InvalidSetting { .. } => "InvalidSetting",
            Self::UnknownVolume { .. } => "UnknownVolume",
            Self::StorageCannotShrink { .. } => "StorageCannotShrink",
            Self::PodSecurityForbids { .. } => "PodSecurityForbids",
            Self::SecretMissing { .. } => "SecretMissing",
            Self::VolumeMissing { .. } => "VolumeMissing",
            Self::NoDatabaseImage { .. } => "NoDatabaseImage",
        }
    }
}

/// How a namespace that exists becomes an organization's, for those that can.
fn handing_over(namespace: &str) -> String {
    if crds::organization::is_reserved(namespace) {
        return String::new();
    }
    format!(
        ". One that exists already is handed over with: kubectl label namespace {namespace} \
         tutti.dev/organization={namespace}"
    )
}
