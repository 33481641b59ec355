//! What each app of the catalogue becomes in a cluster, in words that a reviewer reads.
//!
//! `golden/<app>-small.yaml` is the whole plan of a running instance; `golden/<app>-changes.txt`
//! says what is otherwise in its other states and sizes. To write them anew after a change that is
//! meant:
//!
//! ```text
//! UPDATE_GOLDEN=1 cargo test -p plan golden
//! ```

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use plan::DesiredState;
use serde_json::Value;

use crate::support::{
    Instance, SECRET_DIGEST, World, catalogue, instance, platform, registered,
    sign_in_by_openid_connect, world,
};

/// Left out of golden files: the same on every object, or said in the line above it.
const NOISE: [&str; 2] = ["namespace", "ownerReferences"];

/// Objects by kind and name, as they are in the file.
type Objects = BTreeMap<String, (Value, &'static str)>;

fn objects(state: &DesiredState) -> Objects {
    // Without `..`: a new kind of child that is not in the golden files does not compile.
    let DesiredState {
        secrets,
        account,
        volumes,
        network_policies,
        services,
        database,
        workload,
        jobs,
        cron_jobs,
        budgets,
        domains,
        routes,
        clients,
        host: _,
        url,
        size: _,
        version,
        memory_limit: _,
        health: _,
        promised: _,
    } = state;
    let mut objects = Objects::new();
    let mut add = |value: Value| {
        let kind = value["kind"].as_str().unwrap_or("Secret").to_owned();
        let (value, fate) = without_noise(value);
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        objects.insert(format!("{kind} {name}"), (value, fate));
    };
    macro_rules! add_all {
        ($($list:expr),*) => {
            $($list.iter().for_each(|object| add(serde_json::to_value(object).unwrap()));)*
        };
    }
    add(serde_json::to_value(account).unwrap());
    add_all!(
        secrets,
        volumes,
        network_policies,
        services,
        database,
        workload,
        jobs,
        cron_jobs,
        budgets,
        domains,
        routes,
        clients
    );
    let status = serde_json::json!({ "url": url, "version": version });
    objects.insert(
        "status".to_owned(),
        (status, "what the instance says of itself"),
    );
    objects
}

fn without_noise(mut value: Value) -> (Value, &'static str) {
    let metadata = value["metadata"].as_object_mut().unwrap();
    let fate = if metadata.contains_key("ownerReferences") {
        "goes with its instance"
    } else {
        "outlives its instance unless deletionPolicy is Delete"
    };
    for noise in NOISE {
        metadata.remove(noise);
    }
    (value, fate)
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap()
}

fn whole(objects: &Objects) -> String {
    objects
        .iter()
        .map(|(title, (value, fate))| format!("---\n# {title}: {fate}\n{}", yaml(value)))
        .collect()
}

/// What of `other` differs from `base`: objects that go and come, and fields that change.
fn changes(base: &Objects, other: &Objects) -> String {
    let mut text = String::new();
    for title in base.keys().filter(|title| !other.contains_key(*title)) {
        writeln!(text, "- {title}").unwrap();
    }
    for (title, (value, _)) in other {
        let Some((before, _)) = base.get(title) else {
            writeln!(text, "+ {title}").unwrap();
            for line in yaml(value).lines() {
                writeln!(text, "    {line}").unwrap();
            }
            continue;
        };
        let (before, after) = (leaves(before), leaves(value));
        let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
        paths.sort();
        paths.dedup();
        let nothing = "nothing".to_owned();
        let changed: Vec<String> = paths
            .into_iter()
            .map(|path| (path, before.get(path), after.get(path)))
            .filter(|(_, before, after)| before != after)
            .map(|(path, before, after)| {
                let (before, after) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
                format!("    {path}: {before} -> {after}\n")
            })
            .collect();
        if !changed.is_empty() {
            write!(text, "~ {title}\n{}", changed.concat()).unwrap();
        }
    }
    text
}

fn leaves(value: &Value) -> BTreeMap<String, String> {
    fn visit(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    visit(&format!("{path}.{name}"), value, found);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    // Named items are found again where others are put before them.
                    let key = item["name"].as_str().map(str::to_owned);
                    let key = key.unwrap_or_else(|| index.to_string());
                    visit(&format!("{path}[{key}]"), item, found);
                }
            }
            leaf => {
                let path = path.trim_start_matches('.').to_owned();
                found.insert(path, leaf.to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    visit("", value, &mut found);
    found
}

#[track_caller]
fn compare(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    if known == text {
        return;
    }
    let line = known
        .lines()
        .zip(text.lines())
        .position(|(known, new)| known != new)
        .unwrap_or_else(|| known.lines().count().min(text.lines().count()));
    let shown = |text: &str| {
        let lines: Vec<&str> = text.lines().skip(line.saturating_sub(3)).take(8).collect();
        lines.join("\n")
    };
    panic!(
        "{file} is not what is planned now, from line {} on.\n\nin the file:\n{}\n\nplanned:\n{}\n\n\
         If that is meant: UPDATE_GOLDEN=1 cargo test -p plan golden, and review the difference.",
        line + 1,
        shown(&known),
        shown(text),
    );
}

fn planned(world: &World, instance: &Instance) -> Objects {
    let state = world.plan(instance);
    objects(&state.unwrap_or_else(|rejection| panic!("{rejection}")))
}

#[test]
fn golden_every_app_becomes_what_its_file_says() {
    for (app, definition) in catalogue() {
        let spec = &definition.spec;
        let newest = &spec.versions[0];
        let blog = || instance("blog").of(&app).installed(&newest.version);
        let base = planned(&world(&app), &blog());
        compare(
            &format!("{app}-{}.yaml", spec.sizes[0].name),
            &format!(
                "# {} {}, running, in size {}. See golden.rs.\n{}",
                spec.title,
                newest.version,
                spec.sizes[0].name,
                whole(&base)
            ),
        );

        let mut text = format!(
            "What is otherwise than in {app}-{}.yaml: - goes, + comes, ~ changes. See golden.rs.\n",
            spec.sizes[0].name
        );
        let mut section = |title: &str, world: &World, instance: &Instance| {
            let changes = changes(&base, &planned(world, instance));
            write!(text, "\n== {title}\n{changes}").unwrap();
        };
        for size in &spec.sizes[1..] {
            let title = format!("size {}", size.name);
            section(&title, &world(&app), &blog().size(&size.name));
        }
        let new = instance("blog").of(&app);
        section("not installed yet", &world(&app), &new);
        for from in &newest.upgradable_from {
            let title = format!("upgrade from {from}");
            section(
                &title,
                &world(&app),
                &instance("blog").of(&app).installed(from),
            );
        }
        section("stopped", &world(&app), &blog().stopped());
        let domains = blog().domain("acme.example").domain("www.acme.example");
        section("with domains", &world(&app), &domains);
        let asking = world(&app)
            .change(sign_in_by_openid_connect)
            .see(|seen| seen.client = None);
        section("signs people in, and is not registered", &asking, &blog());
        let registered = asking.see(|seen| seen.client = Some(registered(SECRET_DIGEST)));
        section("signs people in", &registered, &blog());
        let wide = world(&app).change(|spec| spec.max_replicas = None);
        section("two pods, if it could", &wide, &blog().replicas(2));
        compare(&format!("{app}-changes.txt"), &text);
    }
}

#[test]
fn golden_an_organization_becomes_a_fenced_namespace() {
    let organization: crds::Organization = serde_json::from_value(serde_json::json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Organization",
        "metadata": { "name": "acme" },
        "spec": { "title": "Acme Ltd" },
    }))
    .unwrap();
    let plan::organization::DesiredOrganization {
        namespace,
        quota,
        limits,
        network_policy,
        binding,
    } = plan::organization::desired(&organization, platform().idm.as_ref());
    let mut text = "# The organization acme with default quota. See golden.rs.\n".to_owned();
    for object in [
        serde_json::to_value(namespace).unwrap(),
        serde_json::to_value(quota).unwrap(),
        serde_json::to_value(limits).unwrap(),
        serde_json::to_value(network_policy).unwrap(),
        serde_json::to_value(binding).unwrap(),
    ] {
        write!(text, "---\n{}", yaml(&object)).unwrap();
    }
    compare("organization.yaml", &text);
}
