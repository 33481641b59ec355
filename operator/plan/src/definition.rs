//! Is a definition sound? What schema and CEL cannot see: references between its lists.
//!
//! The operator says the answer in the definition's status, `lab app lint` on the terminal.

use std::collections::BTreeSet;

use crds::{
    AppDefinitionSpec,
    app_definition::{Engine, SecurityException},
    quantity,
};

/// Something wrong with a definition: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `versions[1].upgradableFrom`.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
    /// The condition's reason.
    pub reason: &'static str,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

/// Everything that is wrong with a definition; empty when it is sound.
#[must_use]
pub fn problems(spec: &AppDefinitionSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |field: String, reason: &'static str, message: String| {
        found.push(Problem {
            field,
            message,
            reason,
        });
    };

    for (index, version) in spec.versions.iter().enumerate() {
        for from in &version.upgradable_from {
            if from == &version.version {
                say(
                    format!("versions[{index}].upgradableFrom"),
                    "BrokenVersions",
                    format!("{from} cannot be upgraded to itself; remove it"),
                );
            }
        }
        // Versions in upgradableFrom that are not listed are fine: a version that is no longer on
        // offer may still be installed somewhere.
        let tag_or_digest = version.image.rsplit('/').next().unwrap_or_default();
        if !tag_or_digest.contains(':') && !version.image.contains('@') {
            say(
                format!("versions[{index}].image"),
                "BrokenVersions",
                format!(
                    "{} has neither tag nor digest; say which image is meant",
                    version.image
                ),
            );
        }
    }
    let settings: BTreeSet<&str> = spec.settings.iter().map(|s| s.name.as_str()).collect();
    for (index, setting) in spec.settings.iter().enumerate() {
        let Some(pattern) = &setting.pattern else {
            continue;
        };
        match whole_match(pattern) {
            Err(error) => say(
                format!("settings[{index}].pattern"),
                "BrokenSetting",
                format!("{pattern:?} is no regular expression: {error}"),
            ),
            Ok(regex) if !regex.is_match(&setting.default) => say(
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

    for (index, variable) in spec.env.iter().enumerate() {
        let Some(value) = &variable.value else {
            continue;
        };
        for name in template_names(value) {
            match name {
                Err(rest) => say(
                    format!("env[{index}].value"),
                    "BrokenTemplate",
                    format!("{}: \"${{{rest}\" is never closed by \"}}\"", variable.name),
                ),
                Ok(name) => {
                    if let Some(setting) = name.strip_prefix("settings.")
                        && !settings.contains(setting)
                    {
                        say(
                            format!("env[{index}].value"),
                            "BrokenTemplate",
                            format!(
                                "{}: \"${{{name}}}\": there is no entry {setting:?} in settings",
                                variable.name
                            ),
                        );
                    } else if !is_known_name(name) {
                        say(
                            format!("env[{index}].value"),
                            "BrokenTemplate",
                            format!("{}: \"${{{name}}}\" stands for nothing", variable.name),
                        );
                    }
                }
            }
        }
    }

    for (index, size) in spec.sizes.iter().enumerate() {
        if spec.database.engine != Engine::None && size.database.is_none() {
            say(
                format!("sizes[{index}].database"),
                "BrokenSize",
                format!("size {} does not say what the database may use", size.name),
            );
        }
        let pairs = [(&size.requests, &size.limits, String::new())]
            .into_iter()
            .chain(
                size.database
                    .iter()
                    .map(|d| (&d.requests, &d.limits, "database.".to_owned())),
            );
        for (requests, limits, prefix) in pairs {
            for (name, request, limit) in [
                ("cpu", &requests.cpu, &limits.cpu),
                ("memory", &requests.memory, &limits.memory),
            ] {
                if quantity::compare(request, limit).is_none_or(std::cmp::Ordering::is_gt) {
                    say(
                        format!("sizes[{index}].{prefix}requests.{name}"),
                        "BrokenSize",
                        format!("{request} is more than the limit of {limit}"),
                    );
                }
            }
        }
    }

    let paths: Vec<(String, &str)> = spec
        .volumes
        .iter()
        .map(|v| (format!("volume {}", v.name), v.path.as_str()))
        .chain(
            spec.security
                .writable_paths
                .iter()
                .map(|p| ("writablePaths".to_owned(), p.as_str())),
        )
        .collect();
    for (index, (owner, path)) in paths.iter().enumerate() {
        for (other, other_path) in &paths[..index] {
            if path == other_path {
                say(
                    "security.writablePaths".to_owned(),
                    "BrokenVolume",
                    format!("{path} is named twice: {other} and {owner}"),
                );
            }
        }
    }

    if spec.port.number < 1024
        && !spec
            .security
            .exceptions
            .contains(&SecurityException::BindLowPorts)
    {
        say(
            "port.number".to_owned(),
            "BrokenPort",
            format!(
                "{} is below 1024; choose another, or add BindLowPorts to security.exceptions",
                spec.port.number
            ),
        );
    }
    found
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
    ) || name.starts_with("settings.")
}

/// The names in a template; an unclosed one as `Err` with what follows `${`.
fn template_names(template: &str) -> Vec<Result<&str, &str>> {
    template
        .split("${")
        .skip(1)
        .map(|part| part.split_once('}').map(|(name, _)| name).ok_or(part))
        .collect()
}
