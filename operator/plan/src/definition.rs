//! Is a definition sound? What schema and CEL cannot see: references between its lists.
//!
//! The operator says the answer in the definition's status, `lab app lint` on the terminal.

use std::{cmp::Ordering, sync::LazyLock};

use crds::{
    AppDefinitionSpec,
    app_definition::{Engine, SecurityException, SsoProtocol, When},
    quantity,
};

use crate::schedule;

/// Something wrong with a definition: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field below `spec`, such as `versions[1].upgradableFrom[0]`.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
    /// The condition's reason.
    pub reason: &'static str,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "spec.{}: {}", self.field, self.message)
    }
}

/// Everything that is wrong with a definition; empty when it is sound. What CEL says is said here
/// too: `lab app lint` has no API server to ask.
#[must_use]
pub fn problems(spec: &AppDefinitionSpec) -> Vec<Problem> {
    let mut found = Found::default();
    names(spec, &mut found);
    versions(spec, &mut found);
    settings(spec, &mut found);
    environment(spec, &mut found);
    sizes(spec, &mut found);
    storage(spec, &mut found);
    http(spec, &mut found);
    paths(spec, &mut found);
    security(spec, &mut found);
    jobs(spec, &mut found);
    sign_in(spec, &mut found);
    found.problems
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
}

impl Found {
    fn say(&mut self, field: impl Into<String>, reason: &'static str, message: impl Into<String>) {
        self.problems.push(Problem {
            field: field.into(),
            message: message.into(),
            reason,
        });
    }
}

/// Names that occur twice in a list, and those that are taken by the platform.
fn names(spec: &AppDefinitionSpec, found: &mut Found) {
    fn of<T>(items: &[T], name: impl Fn(&T) -> &String) -> Vec<&str> {
        items.iter().map(|item| name(item).as_str()).collect()
    }
    let lists = [
        ("versions", "version", of(&spec.versions, |v| &v.version)),
        ("volumes", "name", of(&spec.volumes, |v| &v.name)),
        ("secrets", "name", of(&spec.secrets, |s| &s.name)),
        ("settings", "name", of(&spec.settings, |s| &s.name)),
        ("env", "name", of(&spec.env, |e| &e.name)),
        ("sizes", "name", of(&spec.sizes, |s| &s.name)),
        ("jobs", "name", of(&spec.jobs, |j| &j.name)),
    ];
    for (list, key, names) in lists {
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = names[..index].iter().position(|other| other == name) {
                found.say(
                    format!("{list}[{index}].{key}"),
                    "DuplicateName",
                    format!("{name:?} is the name of {list}[{first}] already; choose another"),
                );
            }
            let taken_for = match (list, *name) {
                ("volumes", "database") => "the database's own volume",
                ("volumes", name) if name.starts_with("scratch-") => "security.writablePaths",
                ("secrets", "database" | "database-password" | "identity" | "sso") => {
                    "what the platform makes"
                }
                ("jobs", name) if name == "to" || name.starts_with("to-") => {
                    "upgrades to a version"
                }
                _ => continue,
            };
            found.say(
                format!("{list}[{index}].{key}"),
                "ReservedName",
                format!("{name:?} is reserved for {taken_for}; choose another"),
            );
        }
    }
}

/// Versions in `upgradableFrom` that are not listed are fine: a version that is no longer on offer
/// may still be installed somewhere.
fn versions(spec: &AppDefinitionSpec, found: &mut Found) {
    if spec.versions.is_empty() {
        found.say(
            "versions",
            "BrokenVersions",
            "an app has at least one version",
        );
    }
    for (index, version) in spec.versions.iter().enumerate() {
        for (at, from) in version.upgradable_from.iter().enumerate() {
            if from == &version.version {
                found.say(
                    format!("versions[{index}].upgradableFrom[{at}]"),
                    "BrokenVersions",
                    format!("a version cannot be upgraded to itself; remove {from} here"),
                );
            }
        }
        if !is_image(&version.image) {
            found.say(
                format!("versions[{index}].image"),
                "BrokenVersions",
                format!(
                    "{:?} is no image: name:tag or name@sha256:… is wanted, where the name may \
                     begin with a registry host",
                    version.image
                ),
            );
        }
    }
}

/// Whether a text names an image and which one of that name: by tag or digest.
fn is_image(text: &str) -> bool {
    // https://github.com/distribution/reference, as in the rule on AppDefinition.
    const COMPONENT: &str = "[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*";
    static IMAGE: LazyLock<Option<regex::Regex>> = LazyLock::new(|| {
        let host = "[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?(:[0-9]{1,5})?";
        let tag = ":[0-9A-Za-z_][-._0-9A-Za-z]{0,127}";
        let digest = "@sha256:[0-9a-f]{64}";
        regex::Regex::new(&format!(
            "^({host}/)?{COMPONENT}(/{COMPONENT})*({tag}|({tag})?{digest})$"
        ))
        .ok()
    });
    IMAGE.as_ref().is_some_and(|image| image.is_match(text))
}

fn settings(spec: &AppDefinitionSpec, found: &mut Found) {
    for (index, setting) in spec.settings.iter().enumerate() {
        let Some(pattern) = &setting.pattern else {
            continue;
        };
        match whole_match(pattern) {
            Err(error) => found.say(
                format!("settings[{index}].pattern"),
                "BrokenSetting",
                format!("{pattern:?} is no regular expression: {error}"),
            ),
            Ok(regex) if !regex.is_match(&setting.default) => found.say(
                format!("settings[{index}].default"),
                "BrokenSetting",
                format!(
                    "{:?} does not match the setting's own pattern {pattern}",
                    setting.default
                ),
            ),
            Ok(_) => {}
        }
    }
}

fn environment(spec: &AppDefinitionSpec, found: &mut Found) {
    for (index, variable) in spec.env.iter().enumerate() {
        match (&variable.value, &variable.secret, variable.sso) {
            (Some(value), None, None) => {
                for message in template_problems(spec, value) {
                    found.say(
                        format!("env[{index}].value"),
                        "BrokenTemplate",
                        format!("{}: {message}", variable.name),
                    );
                }
            }
            (None, Some(secret), None) => {
                let message = if secret == DATABASE_PASSWORD {
                    if spec.database.engine != Engine::None {
                        continue;
                    }
                    "there is no database: database.engine is none".to_owned()
                } else if spec.secrets.iter().any(|known| known.name == *secret) {
                    continue;
                } else {
                    format!("there is no entry {secret:?} in secrets")
                };
                found.say(
                    format!("env[{index}].secret"),
                    "UnknownSecret",
                    format!("{}: {message}", variable.name),
                );
            }
            (None, None, Some(_)) => {
                if spec.sso.protocol != SsoProtocol::Oidc {
                    found.say(
                        format!("env[{index}].sso"),
                        "BrokenSso",
                        format!(
                            "{}: is for apps that sign people in by OpenID Connect: set sso.protocol to oidc, or \
                             remove it here",
                            variable.name
                        ),
                    );
                }
            }
            _ => found.say(
                format!("env[{index}]"),
                "BrokenTemplate",
                format!(
                    "{}: give it exactly one of value, secret and sso",
                    variable.name
                ),
            ),
        }
    }
}

/// `env[].secret` for the password of the database's user.
const DATABASE_PASSWORD: &str = "database-password";

fn template_problems(spec: &AppDefinitionSpec, template: &str) -> Vec<String> {
    template_names(template)
        .into_iter()
        .filter_map(|name| {
            let name = match name {
                Err(rest) => return Some(format!("\"${{{rest}\" is never closed by \"}}\"")),
                Ok(name) => name,
            };
            if let Some(setting) = name.strip_prefix("settings.") {
                let is_known = spec.settings.iter().any(|known| known.name == setting);
                (!is_known)
                    .then(|| format!("\"${{{name}}}\": there is no entry {setting:?} in settings"))
            } else if !is_known_name(name) {
                Some(format!("\"${{{name}}}\" stands for nothing"))
            } else if name.starts_with("database.") && spec.database.engine == Engine::None {
                Some(format!(
                    "\"${{{name}}}\": there is no database: database.engine is none"
                ))
            } else {
                None
            }
        })
        .collect()
}

fn sizes(spec: &AppDefinitionSpec, found: &mut Found) {
    if spec.sizes.is_empty() {
        found.say("sizes", "BrokenSize", "an app has at least one size");
    }
    for (index, size) in spec.sizes.iter().enumerate() {
        let has_database = spec.database.engine != Engine::None;
        let wrong = match &size.database {
            None if has_database => "does not say what the database may use",
            Some(_) if !has_database => {
                "says what the database may use, but database.engine is none; remove it, or choose an \
                 engine"
            }
            _ => "",
        };
        if !wrong.is_empty() {
            found.say(
                format!("sizes[{index}].database"),
                "BrokenSize",
                format!("size {} {wrong}", size.name),
            );
        }
        let app = (&size.requests, &size.limits, "");
        let database = size
            .database
            .as_ref()
            .map(|database| (&database.requests, &database.limits, "database."));
        for (requests, limits, prefix) in std::iter::once(app).chain(database) {
            for (name, form, request, limit) in [
                ("cpu", quantity::CPU, &requests.cpu, &limits.cpu),
                ("memory", quantity::BYTES, &requests.memory, &limits.memory),
            ] {
                let field = |part| format!("sizes[{index}].{prefix}{part}.{name}");
                let mut is_well = true;
                for (part, text) in [("requests", request), ("limits", limit)] {
                    if let Some(complaint) = form.complaint(text) {
                        found.say(field(part), "BrokenSize", complaint);
                        is_well = false;
                    }
                }
                if !is_well {
                    continue;
                }
                let is_nothing = quantity::in_thousandths(limit) == Some(0);
                let (part, message) = match quantity::compare(request, limit) {
                    Some(Ordering::Greater) => (
                        "requests",
                        format!("{request} is more than the limit of {limit}"),
                    ),
                    _ if is_nothing => ("limits", format!("{limit} is nothing at all")),
                    _ => continue,
                };
                found.say(field(part), "BrokenSize", message);
            }
        }
    }
}

fn storage(spec: &AppDefinitionSpec, found: &mut Found) {
    let volumes = spec.volumes.iter().enumerate();
    let volumes = volumes.map(|(index, it)| (format!("volumes[{index}].size"), &it.size, true));
    let database = (
        "database.size".to_owned(),
        &spec.database.size,
        spec.database.engine != Engine::None,
    );
    for (field, size, is_used) in volumes.chain([database]) {
        if let Some(complaint) = quantity::SIZE.complaint(size) {
            found.say(field, "BrokenVolume", complaint);
            continue;
        }
        if is_used && quantity::compare(size, "1Mi") == Some(Ordering::Less) {
            found.say(
                field,
                "BrokenVolume",
                format!("{size:?} is less than 1Mi; give the unit too, such as 10Gi"),
            );
        }
    }
    if spec.database.engine != Engine::None && spec.database.version.is_none() {
        found.say(
            "database.version",
            "BrokenDatabase",
            "say which version of the engine the app wants",
        );
    }
}

fn http(spec: &AppDefinitionSpec, found: &mut Found) {
    for (field, form, limit) in [
        ("http.bodyLimit", quantity::BODY, &spec.http.body_limit),
        ("http.headerLimit", quantity::HEAD, &spec.http.header_limit),
    ] {
        if let Some(complaint) = form.complaint(limit) {
            found.say(field, "BrokenHttp", complaint);
        }
    }
}

/// Where volumes and writable folders are mounted.
fn paths(spec: &AppDefinitionSpec, found: &mut Found) {
    let volumes = spec
        .volumes
        .iter()
        .enumerate()
        .map(|(index, volume)| (format!("volumes[{index}].path"), volume.path.as_str()));
    let writable = spec
        .security
        .writable_paths
        .iter()
        .enumerate()
        .map(|(index, path)| (format!("security.writablePaths[{index}]"), path.as_str()));
    let paths: Vec<(String, &str)> = volumes.chain(writable).collect();
    for (index, (field, path)) in paths.iter().enumerate() {
        let mut parts = path.split('/').skip(1);
        if !path.starts_with('/') || parts.clone().any(|part| matches!(part, "" | "." | "..")) {
            found.say(
                field,
                "BrokenVolume",
                format!(
                    "{path:?} is not plain: no \"//\", \"/./\", \"/../\" and no slash at the end"
                ),
            );
        }
        if let Some(kernel @ ("proc" | "sys" | "dev")) = parts.next() {
            found.say(
                field,
                "BrokenVolume",
                format!("/{kernel} belongs to the kernel; choose another folder"),
            );
        }
        if let Some((other, _)) = paths[..index].iter().find(|(_, other)| other == path) {
            found.say(
                field,
                "BrokenVolume",
                format!("{path} is mounted by {other} already"),
            );
        }
    }
}

fn security(spec: &AppDefinitionSpec, found: &mut Found) {
    let has = |exception| spec.security.exceptions.contains(&exception);
    if spec.security.run_as_user == 0 && !has(SecurityException::RootUser) {
        found.say(
            "security.runAsUser",
            "BrokenSecurity",
            "0 is root; choose another user, or add RootUser to security.exceptions",
        );
    }
    if spec.port.number < 1024 && !has(SecurityException::BindLowPorts) {
        found.say(
            "port.number",
            "BrokenPort",
            format!(
                "{} is below 1024; choose another, or add BindLowPorts to security.exceptions",
                spec.port.number
            ),
        );
    }
}

fn jobs(spec: &AppDefinitionSpec, found: &mut Found) {
    for (index, job) in spec.jobs.iter().enumerate() {
        match (job.when, &job.schedule) {
            (When::Periodic, Some(schedule)) => {
                if let Err(message) = schedule::check(schedule) {
                    found.say(format!("jobs[{index}].schedule"), "BrokenJob", message);
                }
            }
            (When::Periodic, None) => found.say(
                format!("jobs[{index}].schedule"),
                "BrokenJob",
                format!("job {} is periodic; say when it runs", job.name),
            ),
            (When::Install | When::Upgrade, schedule) => {
                if schedule.is_some() {
                    found.say(
                        format!("jobs[{index}].schedule"),
                        "BrokenJob",
                        format!("job {} is not periodic; remove its schedule", job.name),
                    );
                }
                if let Some(first) = spec.jobs[..index].iter().position(|j| j.when == job.when) {
                    found.say(
                        format!("jobs[{index}].when"),
                        "BrokenJob",
                        format!("jobs[{first}] runs on this occasion already; make one of the two"),
                    );
                }
            }
        }
    }
}

fn sign_in(spec: &AppDefinitionSpec, found: &mut Found) {
    if let Some(secret) = spec.admin.as_ref().and_then(|a| a.password_secret.as_ref())
        && !spec.secrets.iter().any(|known| known.name == *secret)
    {
        found.say(
            "admin.passwordSecret",
            "UnknownSecret",
            format!("there is no entry {secret:?} in secrets"),
        );
    }
    if spec.sso.protocol != SsoProtocol::None && spec.sso.login_path.is_none() {
        found.say("sso.loginPath", "BrokenSso", "say where a sign-in begins");
    }
    if spec.sso.protocol == SsoProtocol::Oidc && spec.sso.callback_path.is_none() {
        found.say(
            "sso.callbackPath",
            "BrokenSso",
            "say where the answer of OpenID Connect comes back to",
        );
    }
    let is_odd = |letter: char| !letter.is_ascii_graphic() || matches!(letter, '#' | '*' | '\\');
    if spec
        .sso
        .callback_path
        .as_ref()
        .is_some_and(|path| path.contains(is_odd))
    {
        found.say(
            "sso.callbackPath",
            "BrokenSso",
            "ASCII without spaces, '#', '*' and backslashes: it becomes part of an address that is compared letter by letter",
        );
    }
}

/// A customer's value must match the whole pattern, not a part of it.
///
/// # Errors
/// When the pattern is no regular expression.
pub fn whole_match(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        // Bounds what a definition's author can make us compile.
        .size_limit(1 << 20)
        .build()
        .map_err(|error| {
            error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned()
        })
}

fn is_known_name(name: &str) -> bool {
    matches!(
        name,
        "instance.name"
            | "instance.host"
            | "instance.url"
            | "organization.name"
            | "database.host"
            | "database.port"
            | "database.name"
            | "database.user"
    )
}

/// The names in a template; an unclosed one as `Err` with what follows `${`.
fn template_names(template: &str) -> Vec<Result<&str, &str>> {
    template
        .split("${")
        .skip(1)
        .map(|part| part.split_once('}').map(|(name, _)| name).ok_or(part))
        .collect()
}
