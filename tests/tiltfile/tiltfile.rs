//! Evaluates the Tiltfile without Tilt: stand-ins for its built-ins (`builtins.rs`) take the names
//! and arguments that Tilt's take and no others, and look whether the files, charts, values, images
//! and objects that they are given exist. What Tilt then does with them is not tried.

mod builtins;
mod repository;

use std::collections::BTreeSet;

use builtins::{Tilt, evaluate};

fn tiltfile() -> String {
    std::fs::read_to_string(repository::path("Tiltfile")).expect("the Tiltfile can be read")
}

/// What `make -s env` exports for Tilt.
const LAB: [(&str, &str); 3] = [
    ("TUTTI_REGISTRY", "localhost:5000/tutti"),
    ("TUTTI_HTTPS_PORT", "8443"),
    ("TUTTI_VALUES", "charts/tutti/ci/default-values.yaml"),
];

#[test]
fn on_the_lab_the_images_go_to_its_registry() {
    let tilt = Tilt::with_environment(&LAB);
    evaluate(&tiltfile(), &tilt).unwrap();
    let seen = tilt.seen.borrow();
    assert_eq!(seen.registry.as_deref(), Some("localhost:5000/tutti"));
    assert!(seen.contexts.contains(&"tutti-lab".to_owned()));
    let lab_values = "charts/tutti/ci/lab-values.yaml".to_owned();
    assert!(seen.values.contains(&lab_values), "{:?}", seen.values);
    assert!(
        seen.links
            .contains(&"https://tutti.localhost:8443/".to_owned()),
        "{:?}",
        seen.links
    );
}

#[test]
fn on_another_cluster_tilt_finds_the_registry_by_itself() {
    let tilt = Tilt::with_environment(&[
        ("CONTEXT", "kind-dev"),
        ("REGISTRY", "registry.example/tutti"),
        ("ZONE", "apps.test"),
    ]);
    evaluate(&tiltfile(), &tilt).unwrap();
    let seen = tilt.seen.borrow();
    assert_eq!(seen.registry, None);
    let apps = "platform.imageRegistry=registry.example/tutti";
    assert!(seen.values.iter().any(|it| it == apps), "{:?}", seen.values);
    let is_labs = |value: &String| value.contains("lab-values");
    assert!(!seen.values.iter().any(is_labs), "{:?}", seen.values);
    assert!(seen.contexts.contains(&"kind-dev".to_owned()));
    assert!(
        seen.links.contains(&"https://apps.test:443/".to_owned()),
        "{:?}",
        seen.links
    );
}

#[test]
fn our_services_are_built_updated_and_shown() {
    let tilt = Tilt::with_environment(&LAB);
    evaluate(&tiltfile(), &tilt).unwrap();
    let seen = tilt.seen.borrow();
    assert_eq!(
        seen.images,
        ["tutti/operator", "tutti/gateway", "tutti/idm"]
    );
    assert_eq!(
        seen.live_updated,
        ["tutti/operator", "tutti/gateway", "tutti/idm"]
    );
    assert_eq!(seen.workloads, ["operator", "gateway", "postgresql", "idm"]);
    assert_eq!(seen.charts, ["charts/tutti-crds", "charts/tutti"]);
}

#[test]
fn a_binary_is_built_anew_for_every_source_of_ours_that_it_is_made_of() {
    let tilt = Tilt::with_environment(&LAB);
    evaluate(&tiltfile(), &tilt).unwrap();
    let seen = tilt.seen.borrow();
    assert_eq!(seen.sources.len(), 3, "{:?}", seen.sources);
    for (package, watched) in &seen.sources {
        let mut watched: BTreeSet<String> = watched.iter().cloned().collect();
        assert!(watched.remove("Cargo.lock"), "{package}");
        assert_eq!(watched, repository::sources(package).unwrap(), "{package}");
    }
}

/// The stand-ins are worth something only if they refuse what Tilt would refuse.
#[test]
fn mistakes_in_the_tiltfile_are_found() {
    let mistakes = [
        // An argument or a function that Tilt does not have.
        ("live_update=", "live_updates=", "live_updates"),
        (
            "resource_deps=",
            "resource_dependencies=",
            "resource_dependencies",
        ),
        ("k8s_yaml(", "k8s_yamls(", "k8s_yamls"),
        ("os.getenv(", "os.get_env(", "get_env"),
        ("link_path=", "linkpath=", "linkpath"),
        // An argument of the wrong kind.
        (
            "port_forward(8081, 8081",
            "port_forward('8081', 8081",
            "port_forward",
        ),
        (
            "live_update=[sync(",
            "live_update=['x', sync(",
            "live_update",
        ),
        ("links=link(", "links=port_forward(80) or link(", "links"),
        // Something that is not there.
        ("'charts/tutti-crds'", "'charts/crds'", "charts/crds"),
        ("ci/lab-values.yaml", "ci/lab.yaml", "ci/lab.yaml"),
        (
            "operator.readOnlyRootFilesystem",
            "operator.readOnlyRoot",
            "operator.readOnlyRoot",
        ),
        (
            "'operator/plan/src'",
            "'operator/plans/src'",
            "operator/plans/src",
        ),
        ("'tutti/' + name", "'tuttis/' + name", "tuttis/operator"),
        (
            "k8s_resource('operator'",
            "k8s_resource('manager'",
            "manager",
        ),
        (
            "'kinds', 'build-operator'",
            "'crds', 'build-operator'",
            "crds",
        ),
        ("port_forward(8082, 8081", "port_forward(8082, 9090", "9090"),
        ("'organizations'", "'organisations'", "organisations"),
        ("'--package', name", "'--package', name + 's'", "operators"),
        ("'/app/' + name)", "'app/' + name)", "app/operator"),
    ];
    for (right, wrong, named) in mistakes {
        let text = tiltfile();
        assert!(
            text.contains(right),
            "the Tiltfile does not hold {right} any more"
        );
        let tilt = Tilt::with_environment(&LAB);
        let Err(error) = evaluate(&text.replace(right, wrong), &tilt) else {
            panic!("{wrong} was not found");
        };
        let error = format!("{error:?}");
        assert!(
            error.contains(named),
            "{wrong}: the error does not name {named}:\n{error}"
        );
    }
}
