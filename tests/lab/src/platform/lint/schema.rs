//! What the API server would refuse by the schema of the kind, in words, and with the paths that kubectl
//! gives. Fields that do not exist are told as well: serde passes over them.

use std::{fmt, path::Path};

use anyhow::{Context, Result, bail};
use crds::{
    AppDefinition,
    app_definition::{NAME, NAME_DEMAND},
};
use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind},
    paths::LocationSegment,
};
use kube::{CustomResourceExt as _, Resource as _};
use serde_json::{Value, json};

/// How much of a value is repeated: enough to find it.
const SHOWN: usize = 60;

/// What each pattern of the schema demands.
const PATTERNS: [(&str, &str); 9] = [
    (
        "^[0-9A-Za-z]([-._0-9A-Za-z]*[0-9A-Za-z])?$",
        "letters, digits, dots, dashes and underscores are wanted, a letter or a digit first and last",
    ),
    (
        "^[A-Za-z_][A-Za-z0-9_]*$",
        "letters, digits and underscores are wanted, no digit first",
    ),
    (
        "^[a-z]([-a-z0-9]*[a-z0-9])?$",
        "lower-case letters, digits and dashes are wanted, a letter first and no dash last",
    ),
    (
        "^[a-z][a-zA-Z0-9]*$",
        "letters and digits are wanted, a lower-case letter first",
    ),
    ("^/", "a path is wanted that begins with a slash"),
    (
        "^/[^:]+$",
        "a path is wanted that begins with a slash and has no colon",
    ),
    (
        "^https?://",
        "an address is wanted that begins with https:// or http://",
    ),
    (
        "^(https://|data:image/)",
        "an address is wanted that begins with https:// or data:image/",
    ),
    (
        "^(@(hourly|daily|weekly|monthly|yearly)|([-0-9*,/A-Za-z]+ +){4}[-0-9*,/A-Za-z]+)$",
        "five fields are wanted (minute, hour, day of month, month, day of week), such as */5 * * * *, or \
         @hourly, @daily, @weekly, @monthly or @yearly",
    ),
];

/// Something that the schema forbids.
pub struct Problem {
    /// The field, such as `spec.versions[1].image`.
    pub field: String,
    /// What is wrong with it, and what is wanted.
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

impl Problem {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Everything that the schema forbids in the definition of a folder.
///
/// # Errors
/// When there is no definition, or none that can be read.
pub fn problems(folder: &Path) -> Result<Vec<Problem>> {
    let written = read(folder)?;
    let schema = schema()?;
    let mut problems = Vec::new();
    head(&written, &mut problems);
    metadata(&written["metadata"], &mut problems);
    let Some(spec) = written.get("spec") else {
        problems.push(missing("spec"));
        return Ok(problems);
    };
    unknown_fields(spec, &schema, "spec", &mut problems);
    let validator = jsonschema::validator_for(&schema).context("the kind's schema")?;
    problems.extend(validator.iter_errors(spec).map(|error| told(&error)));
    Ok(problems)
}

fn read(folder: &Path) -> Result<Value> {
    let file = folder.join("app.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "cannot read {}: an app is a folder with an app.yaml, such as apps/wordpress",
            file.display()
        )
    })?;
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text)
        .with_context(|| format!("{} does not parse", file.display()))?;
    // Nothing between two dashes, or none but comments.
    objects.retain(|object| !object.is_null());
    let count = match objects.len() {
        0 => "no object".to_owned(),
        count => format!("{count} objects"),
    };
    match objects.pop() {
        Some(only) if objects.is_empty() => Ok(only),
        _ => bail!("{} holds {count}; one is wanted, the app", file.display()),
    }
}

/// The schema of the kind's `spec`.
fn schema() -> Result<Value> {
    let crd = serde_json::to_value(AppDefinition::crd())?;
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .cloned()
        .context("the kind has no schema")
}

/// What stands beside `spec`.
fn head(written: &Value, problems: &mut Vec<Problem>) {
    for (field, wanted) in [
        ("apiVersion", AppDefinition::api_version(&())),
        ("kind", AppDefinition::kind(&())),
    ] {
        match &written[field] {
            Value::Null => problems.push(missing(field)),
            found if found.as_str() == Some(&*wanted) => {}
            found => problems.push(Problem::new(
                field,
                format!("{} is not what an app is; write {wanted}", shown(found)),
            )),
        }
    }
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    let fields = written.as_object().into_iter().flatten();
    let unknown = fields.filter(|(name, _)| !known.contains(&name.as_str()));
    problems.splice(0..0, unknown.map(|(name, _)| no_such(name)));
}

/// Fields of `metadata`, as Kubernetes has them.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The name, and that nothing is there that Kubernetes does not know.
fn metadata(metadata: &Value, problems: &mut Vec<Problem>) {
    let fields = match metadata {
        Value::Object(fields) => Some(fields),
        Value::Null => None,
        other => {
            problems.push(misplaced("metadata", other, "a group of fields"));
            return;
        }
    };
    let unknown = fields.into_iter().flatten();
    let unknown = unknown.filter(|(name, _)| !METADATA.contains(&name.as_str()));
    problems.extend(unknown.map(|(name, _)| no_such(&format!("metadata.{name}"))));
    let field = "metadata.name";
    match &metadata["name"] {
        Value::Null => problems.push(missing(field)),
        name @ Value::String(_) => {
            if !jsonschema::is_valid(&json!({ "pattern": NAME }), name) {
                problems.push(Problem::new(field, NAME_DEMAND));
            }
        }
        other => problems.push(misplaced(field, other, TEXT)),
    }
}

fn unknown_fields(value: &Value, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            let Some(known) = schema["properties"].as_object() else {
                return;
            };
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => unknown_fields(value, schema, &path, problems),
                    None => problems.push(no_such(&path)),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                unknown_fields(item, &schema["items"], &path, problems);
            }
        }
        _ => {}
    }
}

fn no_such(field: &str) -> Problem {
    Problem::new(field, "there is no such field")
}

fn missing(field: &str) -> Problem {
    Problem::new(field, "must be there and is missing")
}

fn misplaced(field: &str, value: &Value, wanted: &str) -> Problem {
    let value = shown(value);
    Problem::new(field, format!("{value} stands where {wanted} is wanted"))
}

/// The validator's finding, as a person would say it.
fn told(error: &ValidationError<'_>) -> Problem {
    use ValidationErrorKind as Kind;
    let path =
        error
            .instance_path()
            .iter()
            .fold("spec".to_owned(), |path, segment| match segment {
                LocationSegment::Property(name) => format!("{path}.{name}"),
                LocationSegment::Index(index) => format!("{path}[{index}]"),
            });
    let value = shown(error.instance());
    let message = match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            return missing(&format!("{path}.{name}"));
        }
        Kind::Pattern { pattern } => format!("{value} does not fit; {}", demand(pattern)),
        Kind::Enum { options } => format!("{value} is not to be had; choose {}", choices(options)),
        Kind::Type { kind } => return misplaced(&path, error.instance(), called(kind)),
        Kind::Minimum { limit } => {
            format!("{value} is too small; {} is the smallest", whole(limit))
        }
        Kind::Maximum { limit } => {
            format!("{value} is too large; {} is the largest", whole(limit))
        }
        Kind::MinLength { limit } => {
            format!("{value} is too short; letters wanted: {limit} or more")
        }
        Kind::MaxLength { limit } => format!("{value} is too long; {limit} letters are the most"),
        Kind::MinItems { limit } => format!("there are too few; entries wanted: {limit} or more"),
        Kind::MaxItems { limit } => format!("there are too many; {limit} entries are the most"),
        _ => error.to_string(),
    };
    Problem::new(path, message)
}

fn demand(pattern: &str) -> String {
    let known = PATTERNS.iter().find(|(known, _)| *known == pattern);
    known.map_or_else(
        || format!("what matches {pattern} is wanted"),
        |(_, words)| (*words).to_owned(),
    )
}

fn choices(options: &Value) -> String {
    let options = options.as_array().into_iter().flatten();
    // An optional field may be null, which nobody would write.
    let names: Vec<&str> = options.filter_map(Value::as_str).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "another".to_owned(),
    }
}

/// What a string is called.
const TEXT: &str = "a text (in quotes, if it looks like a number)";

fn called(kind: &TypeKind) -> &'static str {
    let TypeKind::Single(kind) = kind else {
        return "something else";
    };
    match kind.to_string().as_str() {
        "array" => "a list",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "object" => "a group of fields",
        "string" => TEXT,
        _ => "something else",
    }
}

/// A limit without the fraction that it has not.
fn whole(limit: &Value) -> String {
    limit
        .as_f64()
        .map_or_else(|| limit.to_string(), |number| number.to_string())
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_kind_has_words_and_all_words_are_in_use() {
        fn collect(schema: &Value, found: &mut Vec<String>) {
            match schema {
                Value::Object(fields) => {
                    found.extend(
                        fields
                            .get("pattern")
                            .and_then(Value::as_str)
                            .map(str::to_owned),
                    );
                    fields.values().for_each(|value| collect(value, found));
                }
                Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        collect(&schema().unwrap(), &mut found);
        found.sort();
        found.dedup();
        let mut known: Vec<&str> = PATTERNS.iter().map(|(pattern, _)| *pattern).collect();
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
