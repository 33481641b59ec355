//! `lab app lint`: what is wrong with an app's folder, and where, before anything is built.

mod schema;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use crds::AppDefinition;

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
            "not sound: {found} of {} folders; mend what is named above",
            folders.len()
        );
    }
    Ok(())
}

fn problems(folder: &Path) -> Result<Vec<String>> {
    let found = schema::problems(folder)?;
    let mut problems: Vec<String> = found.iter().map(ToString::to_string).collect();
    let definition = match catalogue::read(folder) {
        Ok(definition) => definition,
        // What the schema forbids has been named with its path.
        Err(_) if !problems.is_empty() => {
            problems.push("the rest is checked when what is named above is mended".to_owned());
            return Ok(problems);
        }
        Err(error) => return Ok(vec![format!("{error:#}")]),
    };
    let is_known = |field: &str| found.iter().any(|known| known.field == field);
    let misnamed = catalogue::misnamed(folder, &definition);
    problems.extend(misnamed.filter(|_| !is_known("metadata.name")));
    let is_new =
        |problem: &plan::definition::Problem| !is_known(&format!("spec.{}", problem.field));
    let of_plan = plan::definition::problems(&definition.spec);
    problems.extend(
        of_plan
            .iter()
            .filter(|it| is_new(it))
            .map(ToString::to_string),
    );
    problems.extend(missing_tags(folder, &definition)?);
    Ok(problems)
}

/// Versions whose image is called like the folder, and is not among those that it gives.
fn missing_tags(folder: &Path, definition: &AppDefinition) -> Result<Vec<String>> {
    let images = folder.join("build.yaml");
    if !images.is_file() {
        return Ok(Vec::new());
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}:");
    let builds = catalogue::builds(folder)?;
    let is_given = |tag: &str| builds.iter().any(|build| build.tag == tag);
    let mut problems = Vec::new();
    for (index, version) in definition.spec.versions.iter().enumerate() {
        if let Some(tag) = version.image.strip_prefix(&prefix)
            && !is_given(tag)
        {
            problems.push(format!(
                "spec.versions[{index}].image: {} is not among the tags of {}",
                version.image,
                images.display()
            ));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../apps")
    }

    fn wordpress() -> String {
        std::fs::read_to_string(apps().join("wordpress/app.yaml")).unwrap()
    }

    /// A folder for an app of this name.
    fn folder(name: &str) -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let app = parent.path().join(name);
        std::fs::create_dir(&app).unwrap();
        (parent, app)
    }

    /// What is said of WordPress with this definition.
    fn said_of(definition: &str) -> Result<Vec<String>> {
        let (_parent, app) = folder("wordpress");
        std::fs::write(app.join("app.yaml"), definition).unwrap();
        problems(&app)
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
    fn the_app_of_the_walk_in_the_documentation_is_sound() {
        let walk = include_str!("../../../../docs/adding-an-app.md");
        let block = |begins: &str| {
            let blocks = walk.split("```yaml\n").skip(1);
            let mut texts = blocks.filter_map(|text| Some(text.split_once("```")?.0));
            texts.find(|text| text.starts_with(begins)).unwrap()
        };
        let (_parent, app) = folder("files");
        std::fs::write(app.join("app.yaml"), block("apiVersion")).unwrap();
        std::fs::write(app.join("build.yaml"), block("# Which image tags")).unwrap();
        assert_eq!(problems(&app).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_version_needs_a_tag_of_its_own_and_not_one_that_contains_it() {
        let (_parent, app) = folder("wordpress");
        std::fs::write(app.join("app.yaml"), wordpress()).unwrap();
        let builds = "# not 6.8\n- { tag: \"6.8.1\" }\n- { tag: \"6.1\", args: { X: \"6.8\" } }\n";
        std::fs::write(app.join("build.yaml"), builds).unwrap();
        let problems = problems(&app).unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let told = "spec.versions[0].image: wordpress:6.8 is not among";
        assert!(problems[0].starts_with(told), "{problems:?}");
    }

    #[test]
    fn a_value_that_the_api_server_would_refuse_is_named_with_its_path() {
        let text = wordpress();
        for (right, wrong, told) in [
            (
                "path: /healthz",
                "path: healthz",
                "spec.health.path: \"healthz\"",
            ),
            ("number: 8080", "number: 80800", "spec.port.number: 80800"),
        ] {
            assert!(text.contains(right), "{right}");
            let problems = said_of(&text.replace(right, wrong)).unwrap();
            assert!(
                problems.len() == 1 && problems[0].starts_with(told),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn whatever_is_wrong_is_said_once_in_words_and_with_the_path_that_kubectl_gives() {
        let text = wordpress();
        for (right, wrong, told) in [
            (
                "version: \"6.1\"\n",
                "version: \"6.1!\"\n",
                "spec.versions[1].version: \"6.1!\" does not fit; letters, digits, dots, dashes and \
                 underscores are wanted, a letter or a digit first and last",
            ),
            (
                "path: /var/lib/wordpress",
                "path: var/lib/wordpress",
                "spec.volumes[0].path: \"var/lib/wordpress\" does not fit; a path is wanted that begins \
                 with a slash and has no colon",
            ),
            (
                "version: \"6.1\"\n",
                "version: \"6.8\"\n",
                "spec.versions[1].version: \"6.8\" is the name of versions[0] already; choose another",
            ),
            (
                "number: 8080",
                "number: 80800",
                "spec.port.number: 80800 is too large; 65535 is the largest",
            ),
            (
                "length: 24",
                "length: 3",
                "spec.secrets[0].length: 3 is too small; 8 is the smallest",
            ),
            (
                "engine: mariadb",
                "engine: mysql",
                "spec.database.engine: \"mysql\" is not to be had; choose mariadb, postgresql or none",
            ),
            (
                "startupSeconds: 180",
                "startupSeconds: three",
                "spec.health.startupSeconds: \"three\" stands where a whole number is wanted",
            ),
            (
                "categories: [website, blog]",
                "categories: website",
                "spec.categories: \"website\" stands where a list is wanted",
            ),
            (
                "  title: WordPress\n",
                "",
                "spec.title: must be there and is missing",
            ),
            (
                "kind: AppDefinition",
                "kind: AppDef",
                "kind: \"AppDef\" is not what an app is; write AppDefinition",
            ),
            (
                "apiVersion: tutti.dev/v1alpha1",
                "apiVersion: tutti.dev/v1",
                "apiVersion: \"tutti.dev/v1\" is not what an app is; write tutti.dev/v1alpha1",
            ),
            ("\nspec:", "\nspecs:", "specs: there is no such field"),
            (
                "  name: wordpress\n",
                "  name: wordpress\n  nmae: wordpress\n",
                "metadata.nmae: there is no such field",
            ),
            (
                "  name: wordpress\n",
                "  labels: {}\n",
                "metadata.name: must be there and is missing",
            ),
            (
                "  name: wordpress\n",
                "  name: 6\n",
                "metadata.name: 6 stands where a text (in quotes, if it looks like a number) is wanted",
            ),
            (
                "  name: wordpress\n",
                "  name: press\n",
                "metadata.name: \"press\" is not what its folder is called; name it wordpress",
            ),
            (
                "metadata:\n  name: wordpress\n",
                "metadata: wordpress\n",
                "metadata: \"wordpress\" stands where a group of fields is wanted",
            ),
            (
                "metadata:\n  name: wordpress\n",
                "",
                "metadata.name: must be there and is missing",
            ),
        ] {
            assert!(text.contains(right), "{right}");
            let problems = said_of(&text.replacen(right, wrong, 1)).unwrap();
            assert_eq!(problems[0], told, "{problems:?}");
            let paths = problems
                .iter()
                .filter_map(|problem| problem.split_once(": "));
            let paths: Vec<&str> = paths.map(|(path, _)| path).collect();
            let mut once = paths.clone();
            once.dedup();
            assert_eq!(paths, once, "{problems:?}");
        }
    }

    #[test]
    fn a_name_that_the_api_server_would_refuse_is_told_as_it_would_be_there() {
        for name in ["WordPress", "my.wiki", "1wiki", &"x".repeat(53)] {
            let (_parent, app) = folder(name);
            let text = wordpress().replace("name: wordpress\n", &format!("name: \"{name}\"\n"));
            std::fs::write(app.join("app.yaml"), text).unwrap();
            let problems = problems(&app).unwrap();
            let told = format!("metadata.name: {}", crds::app_definition::NAME_DEMAND);
            assert_eq!(problems[0], told, "{name}");
            assert_eq!(problems.len(), 1, "{problems:?}");
        }
    }

    #[test]
    fn a_file_holds_one_object() {
        let text = wordpress();
        for (file, count) in [
            (format!("{text}---\n{text}"), "2 objects"),
            (String::new(), "no object"),
            ("# nothing yet\n".to_owned(), "no object"),
            ("---\n".to_owned(), "no object"),
        ] {
            let told = format!("{:#}", said_of(&file).unwrap_err());
            let ending = format!("holds {count}; one is wanted, the app");
            assert!(told.ends_with(&ending), "{told}");
        }
    }

    #[test]
    fn a_quantity_that_is_none_is_named_with_its_mend() {
        let text = wordpress();
        assert!(text.contains("size: 2Gi"));
        let problems = said_of(&text.replace("size: 2Gi", "size: 2Gb")).unwrap();
        let mend = "\"2Gb\" is no quantity; write a number and a unit, such as 512Mi or 10Gi";
        assert!(
            !problems.is_empty() && problems.iter().all(|told| told.ends_with(mend)),
            "{problems:?}"
        );
    }

    #[test]
    fn a_field_that_does_not_exist_is_named_with_its_path() {
        let text = wordpress();
        assert_eq!(
            said_of(&text.replace("startupSeconds", "startSeconds")).unwrap(),
            ["spec.health.startSeconds: there is no such field"]
        );
        // Also one that must be there.
        let problems = said_of(&text.replace("  versions:", "  verions:")).unwrap();
        assert_eq!(problems[0], "spec.verions: there is no such field");
        assert!(problems[1].contains("versions"), "{problems:?}");
    }
}
