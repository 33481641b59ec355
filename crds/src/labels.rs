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
/// On an AppInstance: names of generated Secrets that may be generated anew although they were
/// lost, separated by commas. See `docs/operations/instances.md`.
pub const REGENERATE_SECRET: &str = "tutti.dev/regenerate-secret";
/// On a retained PersistentVolumeClaim or Secret: the app version whose data it holds.
pub const DATA_VERSION: &str = "tutti.dev/data-version";

/// The value of [`MANAGED_BY`], and the field manager of every server-side apply.
pub const MANAGER: &str = "tutti-operator";
/// Holds an AppInstance until its volumes and secrets were kept or removed as it asked.
pub const INSTANCE_FINALIZER: &str = "tutti.dev/instance";
/// Holds an Organization until its namespace was kept or removed as it asked.
pub const ORGANIZATION_FINALIZER: &str = "tutti.dev/organization";
