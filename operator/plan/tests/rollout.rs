//! Which version runs, and which job comes first.

use plan::{DesiredState, Rejection, rollout::is_under_way};

use crate::support::{Instance, World, instance, job_done, job_failed, job_under_way, pod, world};

fn shop() -> Instance {
    instance("shop").of("wordpress")
}

/// A catalogue with three versions, of which 2 can be reached from 1, and 3 from 2.
fn three_versions() -> World {
    world("wordpress").change(|spec| {
        spec.versions = [("3", vec!["2"]), ("2", vec!["1"]), ("1", vec![])]
            .map(|(version, from)| crds::app_definition::Version {
                version: version.to_owned(),
                image: format!("wordpress:{version}"),
                upgradable_from: from.into_iter().map(str::to_owned).collect(),
            })
            .into();
    })
}

fn without_jobs(world: World) -> World {
    world.change(|spec| spec.jobs.clear())
}

fn job(state: &DesiredState) -> Option<&str> {
    state.jobs.first()?.metadata.name.as_deref()
}

fn job_image(state: &DesiredState) -> &str {
    let template = &state.jobs[0].spec.as_ref().unwrap().template;
    let containers = &template.spec.as_ref().unwrap().containers;
    containers[0].image.as_deref().unwrap()
}

fn serving_image(state: &DesiredState) -> Option<&str> {
    let template = &state.workload.as_ref()?.spec.as_ref()?.template;
    template.spec.as_ref()?.containers[0].image.as_deref()
}

fn rejected(result: Result<DesiredState, Rejection>) -> Rejection {
    result.expect_err("it should have been rejected")
}

#[test]
fn a_new_instance_is_installed_before_it_serves() {
    let state = world("wordpress").plan(&shop()).unwrap();
    assert_eq!(job(&state), Some("shop-install-6-8"));
    assert_eq!(job_image(&state), "registry.example/tutti/wordpress:6.8");
    assert_eq!(state.workload, None);
    assert!(
        state.cron_jobs.is_empty(),
        "nothing to do on a schedule yet"
    );
    assert_eq!(state.version, None);
}

#[test]
fn an_app_without_an_install_job_serves_at_once_and_is_installed_when_it_has_answered() {
    let bare = without_jobs(world("wordpress"));
    let state = bare.plan(&shop()).unwrap();
    assert_eq!(job(&state), None);
    assert!(state.workload.is_some());
    assert_eq!(state.version, None, "what never ran can be replaced");
    assert!(state.volumes.iter().all(|claim| {
        let annotations = claim.metadata.annotations.clone().unwrap_or_default();
        !annotations.contains_key(crds::labels::DATA_VERSION)
    }));
    let answering = bare.see(|seen| {
        seen.workload = Some(plan::context::WorkloadSeen {
            ready: 1,
            ..Default::default()
        });
    });
    let state = answering.plan(&shop()).unwrap();
    assert_eq!(state.version.as_deref(), Some("6.8"));
}

#[test]
fn an_installed_instance_serves_and_its_schedule_begins() {
    let world = world("wordpress").see(|seen| {
        seen.jobs.insert("shop-install-6-8".into(), job_done());
    });
    let state = world.plan(&shop()).unwrap();
    assert_eq!(job(&state), None);
    assert_eq!(state.version.as_deref(), Some("6.8"));
    assert_eq!(state.cron_jobs.len(), 1);
    // The job is gone later; status remembers.
    let world = crate::support::world("wordpress");
    assert_eq!(world.plan(&shop().installed("6.8")).unwrap(), state);
}

#[test]
fn a_failed_installation_is_planned_further_and_nothing_serves() {
    let world = world("wordpress").see(|seen| {
        let failed = job_failed("BackoffLimitExceeded");
        seen.jobs.insert("shop-install-6-8".into(), failed);
    });
    let state = world.plan(&shop()).unwrap();
    assert_eq!(job(&state), Some("shop-install-6-8"));
    assert_eq!(state.workload, None);
}

#[test]
fn a_stopped_instance_is_neither_installed_nor_upgraded() {
    let world = world("wordpress");
    assert_eq!(job(&world.plan(&shop().stopped()).unwrap()), None);
    let state = world.plan(&shop().installed("6.1").stopped()).unwrap();
    assert_eq!(job(&state), None);
    assert_eq!(state.version.as_deref(), Some("6.1"));
}

#[test]
fn an_upgrade_runs_its_job_while_the_old_version_serves() {
    let state = world("wordpress").plan(&shop().installed("6.1")).unwrap();
    assert_eq!(job(&state), Some("shop-to-6-8"));
    assert_eq!(job_image(&state), "registry.example/tutti/wordpress:6.8");
    assert_eq!(
        serving_image(&state),
        Some("registry.example/tutti/wordpress:6.1")
    );
    assert_eq!(state.version.as_deref(), Some("6.1"));
}

#[test]
fn an_upgrade_whose_job_is_done_serves_the_new_version() {
    let world = world("wordpress").see(|seen| {
        seen.jobs.insert("shop-to-6-8".into(), job_done());
    });
    let state = world.plan(&shop().installed("6.1")).unwrap();
    assert_eq!(job(&state), None);
    assert_eq!(state.version.as_deref(), Some("6.8"));
}

#[test]
fn an_upgrade_whose_job_failed_leaves_the_old_version_serving() {
    let world = world("wordpress").see(|seen| {
        let failed = job_failed("BackoffLimitExceeded");
        seen.jobs.insert("shop-to-6-8".into(), failed);
    });
    let state = world.plan(&shop().installed("6.1")).unwrap();
    assert_eq!(job(&state), Some("shop-to-6-8"));
    assert_eq!(state.version.as_deref(), Some("6.1"));
}

#[test]
fn an_upgrade_without_a_job_is_a_rolling_update() {
    let state = without_jobs(world("wordpress"))
        .plan(&shop().installed("6.1"))
        .unwrap();
    assert_eq!(job(&state), None);
    assert_eq!(
        serving_image(&state),
        Some("registry.example/tutti/wordpress:6.8")
    );
}

#[test]
fn a_version_that_needs_no_job_is_installed_when_its_pods_answer_and_can_be_taken_back_until_then()
{
    let (first, second) = (
        shop().installed("1").version("1"),
        shop().installed("1").version("2"),
    );
    let world = without_jobs(three_versions()).after(&first);
    let version = |world: &World| world.plan(&second).unwrap().version;
    assert_eq!(version(&world).as_deref(), Some("1"), "nothing is written");
    let rolling = world.after(&second).see(|seen| {
        let workload = seen.workload.as_mut().unwrap();
        (workload.replicas, workload.updated, workload.ready) = (2, 1, 1);
    });
    assert_eq!(
        version(&rolling).as_deref(),
        Some("1"),
        "the old pod answers"
    );
    let back = rolling.plan(&first).unwrap();
    assert_eq!(
        serving_image(&back),
        Some("registry.example/tutti/wordpress:1")
    );
    let there = rolling.see(|seen| seen.workload.as_mut().unwrap().replicas = 1);
    assert_eq!(version(&there).as_deref(), Some("2"));
}

#[test]
fn a_version_that_left_the_definition_keeps_its_image_during_the_upgrade() {
    let world = world("wordpress")
        .change(|spec| spec.versions.truncate(1))
        .see(|seen| {
            seen.workload = Some(plan::context::WorkloadSeen {
                image: "registry.example/tutti/wordpress:6.1".to_owned(),
                ..Default::default()
            });
        });
    let state = world.plan(&shop().installed("6.1")).unwrap();
    assert_eq!(job(&state), Some("shop-to-6-8"));
    assert_eq!(
        serving_image(&state),
        Some("registry.example/tutti/wordpress:6.1")
    );
}

#[test]
fn a_version_that_is_not_in_the_definition_is_refused_with_those_that_are() {
    let rejection = rejected(world("wordpress").plan(&shop().version("5.0")));
    assert_eq!(
        rejection.to_string(),
        "spec.version: wordpress has no version \"5.0\"; it has 6.8 and 6.1"
    );
}

#[test]
fn a_version_that_cannot_be_reached_is_refused_with_the_way_there() {
    let rejection = rejected(three_versions().plan(&shop().version("3").installed("1")));
    assert_eq!(rejection.reason(), "CannotUpgrade");
    let message = rejection.to_string();
    assert!(message.contains("reached from 2"), "{message}");
    assert!(message.contains("set spec.version to 1"), "{message}");
    // Nor is a version taken back.
    let back = rejected(three_versions().plan(&shop().version("1").installed("2")));
    assert!(
        back.to_string()
            .contains("which no version can be upgraded to"),
        "{back}"
    );
}

#[test]
fn kept_data_of_the_same_version_is_installed_over() {
    let world = world("wordpress").see(|seen| seen.data_version = Some("6.8".to_owned()));
    let state = world.plan(&shop()).unwrap();
    assert_eq!(job(&state), Some("shop-install-6-8"));
    let done = world.see(|seen| {
        seen.jobs.insert("shop-install-6-8".into(), job_done());
    });
    let state = done.plan(&shop()).unwrap();
    assert_eq!(state.version.as_deref(), Some("6.8"));
}

#[test]
fn kept_data_of_an_older_version_is_upgraded() {
    let world = world("wordpress").see(|seen| seen.data_version = Some("6.1".to_owned()));
    let state = world.plan(&shop()).unwrap();
    assert_eq!(job(&state), Some("shop-to-6-8"));
    assert_eq!(state.version.as_deref(), Some("6.1"));
}

#[test]
fn kept_data_of_a_version_that_nothing_leads_from_is_refused() {
    let world = world("wordpress").see(|seen| seen.data_version = Some("5.0".to_owned()));
    let rejection = rejected(world.plan(&shop()));
    assert_eq!(rejection.reason(), "CannotUpgrade");
    assert!(rejection.to_string().contains("5.0 is installed"));
}

#[test]
fn status_is_believed_before_what_lies_on_volumes() {
    let world = world("wordpress").see(|seen| seen.data_version = Some("6.1".to_owned()));
    let state = world.plan(&shop().installed("6.8")).unwrap();
    assert_eq!(job(&state), None);
}

#[test]
fn a_wish_that_changes_during_the_installation_waits_for_its_end_and_is_then_an_upgrade() {
    let install = "shop-install-6-1".to_owned();
    let under_way = world("wordpress").see(|seen| {
        seen.jobs.insert(install.clone(), job_under_way());
        seen.pods.push(pod("shop-install-6-1-abcde", "job"));
    });
    assert!(is_under_way(&under_way.observed, &install));
    let state = under_way.plan(&shop()).unwrap();
    assert_eq!(job(&state), Some("shop-install-6-1"));
    assert_eq!(job_image(&state), "registry.example/tutti/wordpress:6.1");

    let done = under_way.see(|seen| {
        seen.jobs.insert(install.clone(), job_done());
    });
    let state = done.plan(&shop()).unwrap();
    assert_eq!(job(&state), Some("shop-to-6-8"), "6.1 is what lies there");
    assert_eq!(state.version.as_deref(), Some("6.1"));
}

/// An upgrade from 6.1 to 6.8, whose job is at work.
fn upgrading() -> World {
    world("wordpress").see(|seen| {
        seen.jobs.insert("shop-to-6-8".into(), job_under_way());
        seen.pods.push(pod("shop-to-6-8-abcde", "job"));
    })
}

#[test]
fn a_wish_that_is_taken_back_during_an_upgrade_waits_for_its_end() {
    let back = shop().version("6.1").installed("6.1");
    let state = upgrading().plan(&back).unwrap();
    assert_eq!(job(&state), Some("shop-to-6-8"));
    assert_eq!(state.version.as_deref(), Some("6.1"));

    // What it left is 6.8, and nothing leads back.
    let done = upgrading().see(|seen| {
        seen.jobs.insert("shop-to-6-8".into(), job_done());
    });
    let state = done.plan(&back).unwrap();
    assert_eq!(job(&state), None);
    assert_eq!(state.version.as_deref(), Some("6.8"));
    assert_eq!(
        serving_image(&state),
        Some("registry.example/tutti/wordpress:6.8")
    );
    let told = shop().version("6.1").installed("6.8");
    assert!(matches!(
        rejected(done.plan(&told)),
        Rejection::CannotUpgrade { .. }
    ));
}

#[test]
fn an_upgrade_that_failed_or_never_began_can_be_taken_back() {
    let back = shop().version("6.1").installed("6.1");
    let failed = upgrading().see(|seen| {
        let failed = job_failed("DeadlineExceeded");
        seen.jobs.insert("shop-to-6-8".into(), failed);
    });
    assert_eq!(job(&failed.plan(&back).unwrap()), None);
    let waiting = upgrading().see(|seen| {
        let why = ("ImagePullBackOff".into(), "not found".into());
        seen.pods[0].waiting = Some(why);
    });
    assert_eq!(job(&waiting.plan(&back).unwrap()), None);
}

#[test]
fn a_further_upgrade_waits_for_the_one_that_has_begun() {
    let upgrading = three_versions().see(|seen| {
        seen.jobs.insert("shop-to-2".into(), job_under_way());
        seen.pods.push(pod("shop-to-2-abcde", "job"));
    });
    let further = shop().version("3").installed("1");
    assert_eq!(job(&upgrading.plan(&further).unwrap()), Some("shop-to-2"));
    let done = upgrading.see(|seen| {
        seen.jobs.insert("shop-to-2".into(), job_done());
    });
    assert_eq!(
        done.plan(&further).unwrap().version.as_deref(),
        Some("2"),
        "that is what lies there"
    );
    let told = shop().version("3").installed("2");
    assert_eq!(job(&done.plan(&told).unwrap()), Some("shop-to-3"));
}

#[test]
fn a_job_that_has_begun_ends_before_its_instance_stops() {
    let state = upgrading()
        .plan(&shop().installed("6.1").stopped())
        .unwrap();
    assert_eq!(job(&state), Some("shop-to-6-8"));
    let replicas = |state: &DesiredState| {
        let database = state.database.as_ref()?.spec.as_ref()?.replicas;
        Some((database?, state.workload.as_ref()?.spec.as_ref()?.replicas?))
    };
    assert_eq!(replicas(&state), Some((1, 0)), "its database is needed");
    let done = upgrading().see(|seen| {
        seen.jobs.insert("shop-to-6-8".into(), job_done());
    });
    let state = done.plan(&shop().installed("6.1").stopped()).unwrap();
    assert_eq!(job(&state), None);
    assert_eq!(replicas(&state), Some((0, 0)));
}

#[test]
fn an_installation_that_never_began_or_has_failed_gives_way_to_another_version() {
    let stuck = world("wordpress").see(|seen| {
        seen.jobs.insert("shop-install-6-1".into(), job_under_way());
        let mut waiting = pod("shop-install-6-1-abcde", "job");
        waiting.waiting = Some(("ImagePullBackOff".into(), "not found".into()));
        seen.pods.push(waiting);
    });
    assert_eq!(job(&stuck.plan(&shop()).unwrap()), Some("shop-install-6-8"));
    let failed = world("wordpress").see(|seen| {
        let failed = job_failed("DeadlineExceeded");
        seen.jobs.insert("shop-install-6-1".into(), failed);
        seen.pods.push(pod("shop-install-6-1-abcde", "job"));
    });
    assert_eq!(
        job(&failed.plan(&shop()).unwrap()),
        Some("shop-install-6-8")
    );
}
