//! Labels, annotations and finalizers that Tutti writes on objects.
//!
//! The `app.kubernetes.io/*` ones follow the Kubernetes recommended labels.

/// Who manages an object; the value is always [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The app that an object belongs to, such as `wordpress`.
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// The AppInstance that an object belongs to; part of every selector.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// What the object is within its instance: `web`, `database`, `job`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The app's version that the object runs.
pub const APP_VERSION: &str = "app.kubernetes.io/version";
/// The organization that a namespace belongs to.
pub const ORGANIZATION: &str = "tutti.dev/organization";
/// On a job: which of the definition's jobs it runs.
pub const JOB: &str = "tutti.dev/job";
/// On a child: the digest of the plan that was last applied to it.
pub const PLAN: &str = "tutti.dev/plan";
/// On a pod template: the digest of what it must be restarted for.
pub const RESTART_FOR: &str = "tutti.dev/restart-for";
/// On a pod template: which client secret of idm's it reads; another one restarts the pods.
pub const CLIENT_SECRET: &str = "tutti.dev/client-secret";
/// On an AppInstance: names of generated Secrets that may be generated anew although they were
/// lost, separated by commas. See `docs/operations/instances.md`.
pub const REGENERATE_SECRET: &str = "tutti.dev/regenerate-secret";
/// On an AppInstance: UIDs of volumes that were lost and may be replaced by empty ones, separated by
/// commas. See `docs/operations/instances.md`.
pub const RECREATE_VOLUME: &str = "tutti.dev/recreate-volume";
/// On a retained PersistentVolumeClaim or Secret: the app version whose data it holds.
pub const DATA_VERSION: &str = "tutti.dev/data-version";
/// On a Domain: any new value asks for a look at the DNS at once. See `docs/operations/domains.md`.
pub const LOOK_NOW: &str = "tutti.dev/look-now";
/// On the Secret of a customer's certificate: the hostname that it is for, and no other.
pub const HOSTNAME: &str = "tutti.dev/hostname";
/// On a Domain: `<reason>/<serial>` revokes the certificate of this serial number and has another one
/// ordered. See `docs/operations/domains.md`.
pub const REVOKE: &str = "tutti.dev/revoke";
/// On an SsoClient: any new value has its client secret replaced. See `docs/operations/people.md`.
pub const ROTATE_SECRET: &str = "tutti.dev/rotate-secret";
/// On an SsoClient: its Secret is gone, the operator has seen. Its value is the digest of the client secret that was in it.
pub const SECRET_GONE: &str = "tutti.dev/secret-gone";
/// On the Secret of an SsoClient: the SHA-256 of the client secret that idm wrote into it last.
pub const SECRET_DIGEST: &str = "tutti.dev/secret-digest";

/// The value of [`MANAGED_BY`], and the field manager of every server-side apply.
pub const MANAGER: &str = "tutti-operator";
/// The same of what idm writes.
pub const IDM: &str = "tutti-idm";
/// Holds an AppInstance until its volumes and secrets were kept or removed as it asked.
pub const INSTANCE_FINALIZER: &str = "tutti.dev/instance";
/// Holds a Domain until its certificate is put away and its hostname is kept for its owner.
pub const DOMAIN_FINALIZER: &str = "tutti.dev/domain";
/// Holds an Organization until its namespace was kept or removed as it asked.
pub const ORGANIZATION_FINALIZER: &str = "tutti.dev/organization";
