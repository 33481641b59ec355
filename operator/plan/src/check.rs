//! May this wish be granted? Small checks, each named after the fact it looks for; the first
//! violation is the answer. What comes out is a wish in which nothing can be missing any more, so
//! that building objects from it cannot fail.

use std::collections::BTreeMap;

use crds::{
    AppDefinition, AppDefinitionSpec, AppInstance,
    app_definition::{Engine, SecurityException, Size},
    app_instance::Volume,
    labels,
    organization::PodSecurity,
    quantity,
};
use kube_core::ResourceExt;

use crate::{
    Context, Observed, Rejection,
    context::OrganizationFacts,
    definition, engine, names, quota,
    rollout::{self, Rollout},
    template::Values,
};

/// A wish that can be granted, with everything that it refers to looked up.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The instance's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID, for owner references.
    pub uid: String,
    /// The definition's name.
    pub app: String,
    /// The object itself.
    pub instance: &'a AppInstance,
    /// What the app is.
    pub definition: &'a AppDefinitionSpec,
    /// Facts around it.
    pub context: &'a Context<'a>,
    /// The size ordered.
    pub size: &'a Size,
    /// Which version runs, and what is to be done about it.
    pub rollout: Rollout,
    /// The default host.
    pub host: String,
    /// Environment of pods and jobs: name to text or secret.
    pub environment: Vec<(String, Variable)>,
    /// Size of each volume by the definition's name for it; `database` for the database's.
    pub storage: BTreeMap<String, String>,
}

impl Wish<'_> {
    /// How many of the app's pods there should be.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        replicas(self.instance)
    }
}

/// How many of an instance's pods there should be: none while it is stopped.
pub(crate) fn replicas(instance: &AppInstance) -> i32 {
    if instance.spec.stopped {
        0
    } else {
        instance.spec.replicas.unwrap_or(1)
    }
}

/// Where a variable's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// This text.
    Text(String),
    /// This key of this Secret.
    Secret {
        /// Name of the Secret.
        name: String,
        /// Key in it.
        key: &'static str,
    },
}

/// The key under which a generated secret lies in its Secret; the database's are
/// [`DATABASE_PASSWORD_KEY`] and `root-password`.
pub const SECRET_KEY: &str = "value";
/// The key of the database user's password.
pub const DATABASE_PASSWORD_KEY: &str = "password";
/// The key of the database superuser's password.
pub const DATABASE_ROOT_PASSWORD_KEY: &str = "root-password";
/// The name of the database's volume in `spec.storage`.
pub const DATABASE_VOLUME: &str = "database";

/// Checks a wish and looks up what it refers to.
///
/// # Errors
/// The first fact that stands against it.
pub fn check<'a>(
    instance: &'a AppInstance,
    definition: Option<&'a AppDefinition>,
    context: &'a Context<'a>,
) -> Result<Wish<'a>, Rejection> {
    let namespace = instance.namespace().unwrap_or_default();
    let organization =
        context
            .organization
            .as_ref()
            .ok_or_else(|| Rejection::NotInAnOrganization {
                namespace: namespace.clone(),
            })?;
    organization_takes_more(instance, organization)?;
    quota_has_room(instance, organization)?;
    let app = instance.spec.app.clone();
    let spec = &definition
        .ok_or_else(|| Rejection::UnknownApp { app: app.clone() })?
        .spec;
    definition_is_sound(&app, spec)?;
    pod_security_allows(&app, spec, &organization.name, organization.pod_security)?;
    database_image_is_known(spec, context)?;
    let size = size_is_known(&app, spec, instance.spec.size.as_deref())?;
    size_has_room(instance, size, organization, context.observed)?;
    replicas_are_possible(&app, spec, instance.spec.replicas)?;
    data_is_this_apps(instance, &namespace, context)?;
    let rollout = rollout::decide(instance, spec, context.observed)?;
    let storage = storage_is_possible(&app, spec, instance, context.observed)?;
    secrets_are_not_lost(instance, spec, &namespace, context)?;
    volumes_are_not_lost(instance, &storage, &namespace, context.observed)?;
    storage_has_room(&storage, organization, context.observed)?;
    let host = default_host(instance, context);
    let environment = environment(instance, &app, spec, &host, context, &organization.name)?;
    Ok(Wish {
        name: instance.name_any(),
        namespace,
        uid: instance.uid().unwrap_or_default(),
        app,
        instance,
        definition: spec,
        context,
        size,
        rollout,
        host,
        environment,
        storage,
    })
}

/// Nothing begins in a namespace that the organization could not take, or has not closed yet, nor in
/// an organization that is going away. What runs is looked after all the same.
fn organization_takes_more(
    instance: &AppInstance,
    organization: &OrganizationFacts,
) -> Result<(), Rejection> {
    if is_granted(instance) {
        return Ok(());
    }
    if organization.is_leaving {
        return Err(Rejection::OrganizationIsLeaving {
            organization: organization.name.clone(),
        });
    }
    if !organization.is_fenced {
        return Err(Rejection::OrganizationNotFenced {
            organization: organization.name.clone(),
        });
    }
    Ok(())
}

/// What was granted once stays granted, however small the quota becomes.
fn quota_has_room(
    instance: &AppInstance,
    organization: &OrganizationFacts,
) -> Result<(), Rejection> {
    if !is_granted(instance) && organization.earlier_instances >= organization.most_instances {
        return Err(Rejection::QuotaExceeded {
            organization: organization.name.clone(),
            most: organization.most_instances,
        });
    }
    Ok(())
}

/// Whether an instance was granted once: it was given its default host then.
#[must_use]
pub fn is_granted(instance: &AppInstance) -> bool {
    instance.status.as_ref().is_some_and(|s| s.host.is_some())
}

fn definition_is_sound(app: &str, spec: &AppDefinitionSpec) -> Result<(), Rejection> {
    match definition::problems(spec).first() {
        Some(problem) => Err(Rejection::DefinitionInvalid {
            app: app.to_owned(),
            problem: problem.to_string(),
        }),
        None => Ok(()),
    }
}

fn pod_security_allows(
    app: &str,
    spec: &AppDefinitionSpec,
    organization: &str,
    pod_security: PodSecurity,
) -> Result<(), Rejection> {
    if spec
        .security
        .exceptions
        .contains(&SecurityException::RootUser)
        && pod_security == PodSecurity::Restricted
    {
        return Err(Rejection::PodSecurityForbids {
            app: app.to_owned(),
            organization: organization.to_owned(),
        });
    }
    Ok(())
}

fn database_image_is_known(
    spec: &AppDefinitionSpec,
    context: &Context<'_>,
) -> Result<(), Rejection> {
    match engine::facts(spec.database.engine) {
        Some(facts)
            if !context
                .platform
                .database_images
                .contains_key(&spec.database.engine) =>
        {
            Err(Rejection::NoDatabaseImage {
                engine: facts.name.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

fn size_is_known<'a>(
    app: &str,
    spec: &'a AppDefinitionSpec,
    size: Option<&str>,
) -> Result<&'a Size, Rejection> {
    spec.size(size).ok_or_else(|| Rejection::UnknownSize {
        app: app.to_owned(),
        size: size.unwrap_or_default().to_owned(),
        known: list(spec.sizes.iter().map(|s| s.name.as_str())),
    })
}

/// Nothing is made or touched for a size that could not run.
fn size_has_room(
    instance: &AppInstance,
    size: &Size,
    organization: &OrganizationFacts,
    observed: &Observed,
) -> Result<(), Rejection> {
    let lack = organization
        .room
        .and_then(|room| quota::lacks(instance, size, observed, room));
    match lack {
        Some(lack) => Err(Rejection::SizeOverQuota {
            size: size.name.clone(),
            organization: organization.name.clone(),
            lack,
        }),
        None => Ok(()),
    }
}

fn replicas_are_possible(
    app: &str,
    spec: &AppDefinitionSpec,
    replicas: Option<i32>,
) -> Result<(), Rejection> {
    match spec.max_replicas {
        Some(most) if replicas.unwrap_or(1) > most => Err(Rejection::TooManyReplicas {
            app: app.to_owned(),
            most,
        }),
        _ => Ok(()),
    }
}

/// What an instance of another app left under this name is not taken up.
fn data_is_this_apps(
    instance: &AppInstance,
    namespace: &str,
    context: &Context<'_>,
) -> Result<(), Rejection> {
    match &context.observed.app {
        Some(kept) if *kept != instance.spec.app => Err(Rejection::DataOfAnotherApp {
            app: instance.spec.app.clone(),
            kept: kept.clone(),
            instance: instance.name_any(),
            namespace: namespace.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The size of each volume.
pub(crate) fn storage_is_possible(
    app: &str,
    spec: &AppDefinitionSpec,
    instance: &AppInstance,
    observed: &Observed,
) -> Result<BTreeMap<String, String>, Rejection> {
    let mut sizes: BTreeMap<String, String> = spec
        .volumes
        .iter()
        .map(|v| (v.name.clone(), v.size.clone()))
        .collect();
    if spec.database.engine != Engine::None {
        sizes.insert(DATABASE_VOLUME.to_owned(), spec.database.size.clone());
    }
    for (name, asked) in &instance.spec.storage {
        let Some(size) = sizes.get_mut(name) else {
            return Err(Rejection::UnknownVolume {
                app: app.to_owned(),
                name: name.clone(),
                known: list(sizes.keys().map(String::as_str)),
            });
        };
        asked.clone_into(size);
    }
    for (name, asked) in &mut sizes {
        let Some(seen) = observed.volumes.get(name) else {
            continue;
        };
        if !instance.spec.storage.contains_key(name) {
            // Whatever became of the definition's default: that is about new instances.
            seen.requested.clone_into(asked);
        } else if quantity::compare(asked, &seen.requested).is_some_and(std::cmp::Ordering::is_lt) {
            return Err(Rejection::StorageCannotShrink {
                name: name.clone(),
                present: seen.requested.clone(),
                asked: asked.clone(),
            });
        }
    }
    Ok(sizes)
}

/// Nothing is made for volumes that could not be.
fn storage_has_room(
    sizes: &BTreeMap<String, String>,
    organization: &OrganizationFacts,
    observed: &Observed,
) -> Result<(), Rejection> {
    let lack = organization
        .room
        .and_then(|room| quota::lacks_storage(sizes, observed, room));
    match lack {
        Some((volumes, lack)) => Err(Rejection::StorageOverQuota {
            volumes,
            organization: organization.name.clone(),
            lack,
        }),
        None => Ok(()),
    }
}

/// A generated Secret that existed and is gone is not silently replaced: what it protects, such as
/// a database or encrypted data, would be locked for ever.
fn secrets_are_not_lost(
    instance: &AppInstance,
    spec: &AppDefinitionSpec,
    namespace: &str,
    context: &Context<'_>,
) -> Result<(), Rejection> {
    let name = instance.name_any();
    let generated = instance
        .status
        .as_ref()
        .map(|s| s.secrets.as_slice())
        .unwrap_or_default();
    let wanted = secret_names(&name, spec);
    let lost: Vec<&str> = generated
        .iter()
        .map(String::as_str)
        .filter(|secret| wanted.iter().any(|w| w == secret))
        .filter(|secret| !context.observed.secrets.contains(*secret))
        .filter(|secret| !is_forgiven(instance, labels::REGENERATE_SECRET, secret))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Rejection::SecretMissing {
        names: lost.join(","),
        instance: name,
        namespace: namespace.to_owned(),
    })
}

/// A volume that existed and is gone is not silently replaced by an empty one: an app that finds its
/// data gone may begin anew, and hide what was lost. One that is forgiven is named by its UID, so that
/// the next loss is told again.
fn volumes_are_not_lost(
    instance: &AppInstance,
    sizes: &BTreeMap<String, String>,
    namespace: &str,
    observed: &Observed,
) -> Result<(), Rejection> {
    let made = instance
        .status
        .as_ref()
        .map(|s| s.volumes.as_slice())
        .unwrap_or_default();
    let is_missing = |name: &str| {
        let mut missing = sizes
            .keys()
            .filter(|short| !observed.volumes.contains_key(*short));
        missing.any(|short| names::volume(&instance.name_any(), short) == name)
    };
    let lost: Vec<&Volume> = made
        .iter()
        .filter(|volume| is_missing(&volume.name))
        .filter(|volume| !is_forgiven(instance, labels::RECREATE_VOLUME, &volume.uid))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let join = |each: fn(&Volume) -> &str| {
        let each: Vec<&str> = lost.iter().copied().map(each).collect();
        each.join(",")
    };
    Err(Rejection::VolumeMissing {
        names: join(|volume| &volume.name),
        uids: join(|volume| &volume.uid),
        instance: instance.name_any(),
        namespace: namespace.to_owned(),
    })
}

/// Whether an annotation lists what was lost, so that it may be made anew.
fn is_forgiven(instance: &AppInstance, annotation: &str, lost: &str) -> bool {
    let list = instance.annotations().get(annotation);
    list.is_some_and(|list| list.split(',').any(|item| item.trim() == lost))
}

/// Names of all generated Secrets of an instance.
pub(crate) fn secret_names(instance: &str, spec: &AppDefinitionSpec) -> Vec<String> {
    let database = (spec.database.engine != Engine::None).then(|| names::database(instance));
    spec.secrets
        .iter()
        .map(|s| names::secret(instance, &s.name))
        .chain(database)
        .collect()
}

/// The default host, once given, stays: the one of its Route, which cannot be changed; else from
/// status, else as found on children that were kept. Where two operators gave one each at the same
/// time, the Route tells which came first.
/// Whoever may write a Route or a Secret could write any host there, and take a name of the
/// platform: what was not made by [`names::default_host`] counts nothing.
fn default_host(instance: &AppInstance, context: &Context<'_>) -> String {
    let name = instance.name_any();
    let given = instance
        .status
        .as_ref()
        .and_then(|status| status.host.clone());
    let ours = |host: &Option<String>| {
        let host = host.clone();
        host.filter(|host| names::is_default_host(host, &name))
    };
    ours(&context.observed.served_host)
        .or(given)
        .or_else(|| ours(&context.observed.host))
        .unwrap_or_else(|| names::default_host(&name, context.host_token, &context.platform.zone))
}

/// The address that people use: with the port where it is not HTTPS's own.
#[must_use]
pub fn url(host: &str, https_port: u16) -> String {
    if https_port == 443 {
        format!("https://{host}")
    } else {
        format!("https://{host}:{https_port}")
    }
}

fn environment(
    instance: &AppInstance,
    app: &str,
    spec: &AppDefinitionSpec,
    host: &str,
    context: &Context<'_>,
    organization: &str,
) -> Result<Vec<(String, Variable)>, Rejection> {
    let name = instance.name_any();
    let mut values = Values::default();
    values.set("instance.name", &name);
    values.set("instance.host", host);
    values.set("instance.url", url(host, context.platform.https_port));
    values.set("organization.name", organization);
    if let Some(facts) = engine::facts(spec.database.engine) {
        values.set("database.host", names::database(&name));
        values.set("database.port", facts.port.to_string());
        values.set("database.name", engine::DATABASE);
        values.set("database.user", engine::DATABASE);
    }
    for setting in &spec.settings {
        values.set(format!("settings.{}", setting.name), &setting.default);
    }
    for (key, value) in &instance.spec.settings {
        let setting = spec
            .settings
            .iter()
            .find(|s| s.name == *key)
            .ok_or_else(|| Rejection::UnknownSetting {
                app: app.to_owned(),
                name: key.clone(),
                known: list(spec.settings.iter().map(|s| s.name.as_str())),
            })?;
        if let Some(pattern) = &setting.pattern
            && !definition::whole_match(pattern).is_ok_and(|regex| regex.is_match(value))
        {
            return Err(Rejection::InvalidSetting {
                name: key.clone(),
                title: setting.title.clone(),
                pattern: pattern.clone(),
            });
        }
        values.set(format!("settings.{key}"), value);
    }
    let has_idm = context.platform.idm.is_some();
    spec.env
        .iter()
        // Without idm the app signs people in by itself, and is told nothing of another way.
        .filter(|variable| has_idm || variable.sso.is_none())
        .map(|variable| {
            let value = match (&variable.value, &variable.secret, variable.sso) {
                (_, _, Some(credential)) => Variable::Secret {
                    name: names::sso_secret(&name),
                    key: credential.key(),
                },
                (_, Some(secret), None) if secret == "database-password" => Variable::Secret {
                    name: names::database(&name),
                    key: DATABASE_PASSWORD_KEY,
                },
                (_, Some(secret), None) => Variable::Secret {
                    name: names::secret(&name, secret),
                    key: SECRET_KEY,
                },
                (Some(template), None, None) => {
                    Variable::Text(values.render(template).map_err(|error| {
                        Rejection::DefinitionInvalid {
                            app: app.to_owned(),
                            problem: format!("env {}: {error}", variable.name),
                        }
                    })?)
                }
                (None, None, None) => Variable::Text(String::new()),
            };
            Ok((variable.name.clone(), value))
        })
        .collect()
}

/// `a, b and c`, or `none`.
pub(crate) fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.collect();
    match items.as_slice() {
        [] => "none".to_owned(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
