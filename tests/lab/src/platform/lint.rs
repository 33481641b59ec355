//! `lab app lint`: what is wrong with an app's folder, and where, before anything is built.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::catalogue;
use crate::tell;

/// Checks the folders; prints every problem with its field.
pub fn lint(folders: &[PathBuf]) -> Result<()> {
    let mut found = 0;
    for folder in folders {
        let problems = problems(folder)?;
        found += usize::from(!problems.is_empty());
        for problem in &problems {
            tell!("{}: {problem}", folder.join("app.yaml").display());
        }
        if problems.is_empty() {
            tell!("{}: sound", folder.display());
        }
    }
    if found > 0 {
        bail!(
            "{found} of {} not sound; mend what is named above",
            folders.len()
        );
    }
    Ok(())
}

fn problems(folder: &Path) -> Result<Vec<String>> {
    let mut problems: Vec<String> = schema_problems(folder)?;
    let definition = match catalogue::read(folder) {
        Ok(definition) => definition,
        // What the schema forbids has been named with its path.
        Err(_) if !problems.is_empty() => {
            problems.push("the rest is checked when what is named above is mended".to_owned());
            return Ok(problems);
        }
        Err(error) => return Ok(vec![format!("{error:#}")]),
    };
    problems.extend(catalogue::misnamed(folder, &definition));
    problems.extend(
        plan::definition::problems(&definition.spec)
            .iter()
            .map(ToString::to_string),
    );
    let images = folder.join("build.yaml");
    if images.is_file() {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let builds = catalogue::builds(folder)?;
        for version in &definition.spec.versions {
            let prefix = format!("{name}:");
            if let Some(tag) = version.image.strip_prefix(&prefix)
                && !builds.iter().any(|build| build.tag == tag)
            {
                problems.push(format!(
                    "versions: image {} is not among the tags of {}",
                    version.image,
                    images.display()
                ));
            }
        }
    }
    Ok(problems)
}

/// What the API server would say: fields that do not exist are told by name, because serde passes
/// over them.
fn schema_problems(folder: &Path) -> Result<Vec<String>> {
    use kube::CustomResourceExt as _;
    let file = folder.join("app.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "cannot read {}: an app is a folder with an app.yaml, such as apps/wordpress",
            file.display()
        )
    })?;
    let written: serde_json::Value = serde_saphyr::from_str(&text)
        .with_context(|| format!("{} does not parse", file.display()))?;
    let crd = serde_json::to_value(crds::AppDefinition::crd())?;
    let schema = crd
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .context("the kind has no schema")?
        .clone();
    let mut problems = Vec::new();
    unknown_fields(&written["spec"], &schema, "spec", &mut problems);
    let validator = jsonschema::validator_for(&schema).context("the kind's schema")?;
    for error in validator.iter_errors(&written["spec"]) {
        let place = error.instance_path().to_string().replace('/', ".");
        problems.push(format!("spec{place}: {error}"));
    }
    Ok(problems)
}

fn unknown_fields(
    value: &serde_json::Value,
    schema: &serde_json::Value,
    path: &str,
    problems: &mut Vec<String>,
) {
    match value {
        serde_json::Value::Object(fields) => {
            let Some(known) = schema["properties"].as_object() else {
                return;
            };
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => unknown_fields(value, schema, &path, problems),
                    None => problems.push(format!("{path}: there is no such field")),
                }
            }
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown_fields(
                    item,
                    &schema["items"],
                    &format!("{path}[{index}]"),
                    problems,
                );
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../apps")
    }

    #[test]
    fn the_catalogue_is_sound() {
        for app in ["wordpress", "mediawiki"] {
            assert_eq!(
                problems(&apps().join(app)).unwrap(),
                Vec::<String>::new(),
                "{app}"
            );
        }
    }

    #[test]
    fn a_version_needs_a_tag_of_its_own_and_not_one_that_contains_it() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("wordpress");
        std::fs::create_dir(&app).unwrap();
        std::fs::copy(apps().join("wordpress/app.yaml"), app.join("app.yaml")).unwrap();
        let builds = "# not 6.8\n- { tag: \"6.8.1\" }\n- { tag: \"6.1\", args: { X: \"6.8\" } }\n";
        std::fs::write(app.join("build.yaml"), builds).unwrap();
        let problems = problems(&app).unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("image wordpress:6.8 is not among"));
    }

    #[test]
    fn a_value_that_the_api_server_would_refuse_is_named_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("wordpress");
        std::fs::create_dir(&app).unwrap();
        let text = std::fs::read_to_string(apps().join("wordpress/app.yaml")).unwrap();
        for (right, wrong, told) in [
            (
                "path: /healthz",
                "path: healthz",
                "spec.health.path: \"healthz\"",
            ),
            ("number: 8080", "number: 80800", "spec.port.number: 80800"),
        ] {
            assert!(text.contains(right), "{right}");
            std::fs::write(app.join("app.yaml"), text.replace(right, wrong)).unwrap();
            let problems = problems(&app).unwrap();
            assert!(
                problems.len() == 1 && problems[0].starts_with(told),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_quantity_that_is_none_is_named_with_its_mend() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("wordpress");
        std::fs::create_dir(&app).unwrap();
        let text = std::fs::read_to_string(apps().join("wordpress/app.yaml")).unwrap();
        assert!(text.contains("size: 2Gi"));
        let text = text.replace("size: 2Gi", "size: 2Gb");
        std::fs::write(app.join("app.yaml"), text).unwrap();
        let problems = problems(&app).unwrap();
        let mend = "\"2Gb\" is no quantity; write a number and a unit, such as 512Mi or 10Gi";
        assert!(
            !problems.is_empty() && problems.iter().all(|told| told.ends_with(mend)),
            "{problems:?}"
        );
    }

    #[test]
    fn a_field_that_does_not_exist_is_named_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("wordpress");
        std::fs::create_dir(&app).unwrap();
        let text = std::fs::read_to_string(apps().join("wordpress/app.yaml")).unwrap();
        std::fs::write(
            app.join("app.yaml"),
            text.replace("startupSeconds", "startSeconds"),
        )
        .unwrap();
        assert_eq!(
            problems(&app).unwrap(),
            ["spec.health.startSeconds: there is no such field"]
        );
        // Also one that must be there.
        let text = text.replace("  versions:", "  verions:");
        std::fs::write(app.join("app.yaml"), text).unwrap();
        let problems = problems(&app).unwrap();
        assert_eq!(problems[0], "spec.verions: there is no such field");
        assert!(problems[1].contains("versions"), "{problems:?}");
    }
}
