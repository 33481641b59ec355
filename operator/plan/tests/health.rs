//! What is said of an instance: each reason once, and what holds for all of them.

use crds::condition::{self, Condition};
use plan::{
    Observed,
    context::{ClientSeen, PodSeen, WorkloadSeen},
    health::{Refusal, Report, State, route, wants_log},
};

use crate::support::{
    Instance, World, accepted, ago, instance, job_done, job_failed, job_under_way, now, pod, ready,
    sign_in_by_openid_connect, world,
};

fn shop() -> Instance {
    instance("shop").of("wordpress").installed("6.8")
}

/// A WordPress that runs as wished.
fn running() -> World {
    world("wordpress").after(&shop())
}

/// One whose app does not answer yet.
fn starting() -> World {
    running().see(|seen| {
        let workload = seen.workload.as_mut().unwrap();
        workload.ready = 0;
        workload.updated = 1;
        seen.pods.push(pod("shop-1", "web"));
    })
}

fn the_app(world: World, edit: impl FnOnce(&mut PodSeen)) -> World {
    world.see(|seen| edit(&mut seen.pods[0]))
}

fn the_workload(world: World, edit: impl FnOnce(&mut WorkloadSeen)) -> World {
    world.see(|seen| edit(seen.workload.as_mut().unwrap()))
}

fn the_database(world: World, edit: impl FnOnce(&mut WorkloadSeen)) -> World {
    world.see(|seen| edit(seen.database.as_mut().unwrap()))
}

fn find<'a>(report: &'a Report, type_: &str) -> &'a Condition {
    condition::find(&report.conditions, type_)
        .unwrap_or_else(|| panic!("no condition {type_} in {:?}", report.conditions))
}

fn has(report: &Report, type_: &str) -> bool {
    condition::find(&report.conditions, type_).is_some()
}

/// `Ready` and the part that it comes from say the same.
#[track_caller]
fn told<'a>(report: &'a Report, part: &str, reason: &str) -> &'a str {
    let ready = find(report, condition::READY);
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", reason)
    );
    let part = find(report, part);
    assert_eq!(
        (part.status.as_str(), part.reason.as_str()),
        ("False", reason)
    );
    assert_eq!(part.message, ready.message);
    &ready.message
}

#[track_caller]
fn stuck<'a>(report: &'a Report, part: &str, reason: &str) -> &'a str {
    assert!(has(report, condition::STALLED), "{:?}", report.conditions);
    assert!(!has(report, condition::RECONCILING));
    told(report, part, reason)
}

#[track_caller]
fn on_its_way<'a>(report: &'a Report, part: &str, reason: &str) -> &'a str {
    assert!(
        has(report, condition::RECONCILING),
        "{:?}",
        report.conditions
    );
    assert!(!has(report, condition::STALLED));
    told(report, part, reason)
}

#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

// ---- it runs

#[test]
fn an_instance_that_answers_is_ready_and_says_where() {
    let report = running().report(&shop());
    let ready = find(&report, condition::READY);
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("True", "Running")
    );
    assert_eq!(
        ready.message,
        "wordpress 6.8 answers at https://shop-x7k2m9p4qa.apps.example"
    );
    let types: Vec<&str> = report.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(
        types,
        [
            "Ready",
            "SecretsReady",
            "StorageReady",
            "DatabaseReady",
            "WorkloadReady",
            "RouteReady"
        ]
    );
    assert!(report.conditions.iter().all(|c| c.status == "True"));
    assert_eq!(report.backend.state, State::Well);
    assert_eq!(report.look_again, None);
}

#[test]
fn a_new_instance_says_at_once_what_it_waits_for() {
    let report = world("wordpress").report(&instance("shop").of("wordpress"));
    assert_eq!(report.conditions[0].type_, "Ready");
    on_its_way(&report, condition::SECRETS_READY, "SecretBeingGenerated");
    assert_eq!(
        find(&report, condition::STORAGE_READY).reason,
        "VolumeBeingMade"
    );
    assert_eq!(
        find(&report, condition::DATABASE_READY).reason,
        "DatabaseStarting"
    );
    assert_eq!(
        find(&report, condition::WORKLOAD_READY).reason,
        "Installing"
    );
    assert_eq!(
        find(&report, condition::ROUTE_READY).reason,
        "HostnameBeingClaimed"
    );
}

#[test]
fn an_app_without_database_and_volumes_has_no_condition_about_them() {
    let plain = world("wordpress")
        .without_database()
        .change(|spec| spec.volumes.clear());
    let report = plain.after(&shop()).report(&shop());
    assert!(!has(&report, condition::DATABASE_READY));
    assert!(!has(&report, condition::STORAGE_READY));
    assert_eq!(report.conditions[0].status, "True");
}

// ---- the app's pods

#[test]
fn an_app_that_idm_has_not_registered_says_so_before_its_pods_do() {
    let world = world("wordpress").change(sign_in_by_openid_connect);
    let unregistered = world.after(&shop()).see(|seen| seen.client = None);
    let look = "kubectl describe ssoclient shop -n acme";
    let report = unregistered.report(&shop());
    let message = on_its_way(&report, condition::SECRETS_READY, "SignInNotRegistered");
    says(
        message,
        &["idm has not registered the app for sign-in yet", look],
    );
    // Who visits it notices nothing: it answers.
    assert_eq!(report.backend.state, State::Well);

    let says_no = |reason: &str, message: &str| {
        let client = ClientSeen {
            ready: Some(ready("False", reason, message)),
            secret_digest: None,
        };
        let world = unregistered.clone().see(|seen| seen.client = Some(client));
        world.report(&shop())
    };
    let report = says_no("SecretTaken", "secret: there is a Secret shop-sso");
    let message = stuck(&report, condition::SECRETS_READY, "SignInNotRegistered");
    says(message, &["secret: there is a Secret shop-sso", look]);
    let report = says_no("NoOrganization", "namespace acme is of no organization");
    let message = on_its_way(&report, condition::SECRETS_READY, "SignInNotRegistered");
    says(message, &["namespace acme is of no organization", look]);

    let waits = crate::support::world("wordpress").change(sign_in_by_openid_connect);
    let report = waits.see(|seen| {
        seen.client = None;
        let secrets = ["shop-admin-password", "shop-salt", "shop-database"];
        seen.secrets = secrets.map(str::to_owned).into();
    });
    let report = report.report(&instance("shop").of("wordpress"));
    on_its_way(&report, condition::SECRETS_READY, "SignInNotRegistered");
    assert_eq!(report.backend.message, "This site is being set up.");
}

#[test]
fn an_app_that_starts_is_given_until_its_deadline() {
    let report = starting().report(&shop());
    let message = on_its_way(&report, condition::WORKLOAD_READY, "Starting");
    // 180 seconds to start and 60 around it, of which 10 have passed.
    assert_eq!(
        message,
        "the app is starting; it is given until 03:07:55 UTC"
    );
    assert_eq!(report.look_again, Some(ago(-230)));
}

#[test]
fn an_app_that_does_not_answer_in_time_is_stuck() {
    let late = the_app(starting(), |pod| pod.created = Some(ago(241)));
    let report = late.report(&shop());
    stuck(&report, condition::WORKLOAD_READY, "AppDoesNotAnswer");
    assert_eq!(report.look_again, None);
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_with_the_field_to_mend() {
    for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"] {
        let world = the_app(starting(), |pod| {
            pod.waiting = Some((reason.into(), "wordpress:6.9: not found".into()));
        });
        let report = world.report(&shop());
        let message = stuck(&report, condition::WORKLOAD_READY, "ImageCannotBePulled");
        says(
            message,
            &["shop-1", "wordpress:6.9: not found", "versions[].image"],
        );
    }
}

#[test]
fn a_crash_loop_is_told_with_exit_code_and_last_line() {
    let crashed = the_app(starting(), |pod| {
        pod.waiting = Some(("CrashLoopBackOff".into(), "back-off 10s".into()));
        pod.terminated = Some(("Error".into(), 3));
        pod.restarts = 2;
    });
    assert!(wants_log(&crashed.observed.pods[0]));
    let report = the_app(crashed, |pod| {
        pod.last_log_line = Some("no such table".into())
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "CrashLooping");
    says(
        message,
        &["shop-1", "exit code 3", "it said last: no such table"],
    );
}

#[test]
fn an_app_that_is_ended_because_its_health_does_not_answer_is_no_crash_loop() {
    // An end with 0 does not come here.
    for terminated in [
        None,
        Some(("Error".into(), 143)),
        Some(("Error".into(), 137)),
    ] {
        let report = the_app(starting(), |pod| {
            pod.waiting = Some(("CrashLoopBackOff".into(), "back-off 10s".into()));
            pod.terminated = terminated;
            pod.restarts = 2;
        })
        .report(&shop());
        let message = stuck(&report, condition::WORKLOAD_READY, "AppDoesNotAnswer");
        says(
            message,
            &[
                "GET /healthz on port 8080",
                "200 to 399",
                "180 s",
                "--previous",
            ],
        );
    }
}

#[test]
fn a_first_restart_is_no_crash_loop() {
    let once = the_app(starting(), |pod| {
        pod.terminated = Some(("Error".into(), 1));
        pod.restarts = 1;
    });
    assert!(!wants_log(&once.observed.pods[0]));
    on_its_way(&once.report(&shop()), condition::WORKLOAD_READY, "Starting");
}

#[test]
fn an_app_that_ran_out_of_memory_is_told_with_its_limit() {
    let report = the_app(starting(), |pod| {
        pod.terminated = Some(("OOMKilled".into(), 137));
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "OutOfMemory");
    says(message, &["512Mi", "spec.size"]);
}

#[test]
fn a_pod_that_no_node_takes_is_told_with_the_schedulers_words() {
    let report = the_app(starting(), |pod| {
        pod.unschedulable = Some("0/1 nodes are available: 1 Insufficient memory.".into());
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "NoNodeFits");
    says(message, &["1 Insufficient memory", "spec.size"]);
}

#[test]
fn a_node_without_disk_is_told_with_a_mend_that_fits() {
    let report = the_app(starting(), |pod| {
        pod.unschedulable = Some(
            "0/1 nodes are available: 1 node(s) had untolerated taint \
             {node.kubernetes.io/disk-pressure: }."
                .into(),
        );
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "NoNodeFits");
    says(message, &["disk-pressure", "free disk space"]);
    assert!(!message.contains("size"), "{message}");

    // As Kubernetes 1.35 says it.
    let report = the_app(starting(), |pod| {
        let unnamed = "0/1 nodes are available: 1 node(s) had untolerated taint(s).";
        pod.unschedulable = Some(unnamed.into());
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "NoNodeFits");
    says(
        message,
        &["out of disk", "describe nodes", "free disk space"],
    );
    assert!(!message.contains("size"), "{message}");
}

#[test]
fn a_pod_that_waits_for_its_volume_is_not_stuck_until_that_takes_too_long() {
    let report = the_app(starting(), |pod| {
        pod.unschedulable = Some("pod has unbound immediate PersistentVolumeClaims".into());
    })
    .report(&shop());
    let message = on_its_way(&report, condition::WORKLOAD_READY, "WaitingForVolume");
    says(message, &["shop-1", "it is given until"]);
    let report = the_app(starting(), |pod| {
        pod.unschedulable = Some("pod has unbound immediate PersistentVolumeClaims".into());
        pod.created = Some(ago(301));
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "VolumeNotMade");
    says(message, &["StorageClass", "kubectl get sc"]);
}

#[test]
fn a_pod_whose_volume_is_gone_is_told_where_to_look() {
    for why in [
        "0/1 nodes are available: persistentvolumeclaim \"shop-content\" not found.",
        "0/1 nodes are available: persistentvolumeclaim \"shop-content\" is being deleted.",
    ] {
        let report = the_app(starting(), |pod| pod.unschedulable = Some(why.into()));
        let report = report.report(&shop());
        let message = stuck(&report, condition::WORKLOAD_READY, "VolumeMissing");
        says(message, &["that is", "shop-content; StorageReady"]);
        assert!(!message.contains("nodes"), "{message}");
    }
}

#[test]
fn an_evicted_pod_is_told_with_the_nodes_reason() {
    let report = the_app(starting(), |pod| {
        pod.evicted = Some("The node was low on resource: ephemeral-storage.".into());
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "Evicted");
    says(message, &["ephemeral-storage", "free disk"]);
}

#[test]
fn a_container_that_cannot_be_configured_or_started_is_told() {
    for (waiting, reason) in [
        ("CreateContainerConfigError", "ConfigurationMissing"),
        ("CreateContainerError", "ContainerCannotStart"),
        ("RunContainerError", "ContainerCannotStart"),
    ] {
        let report = the_app(starting(), |pod| {
            pod.waiting = Some((waiting.into(), "the fact".into()));
        })
        .report(&shop());
        says(
            stuck(&report, condition::WORKLOAD_READY, reason),
            &["the fact"],
        );
    }
}

#[test]
fn credentials_for_sign_in_that_are_gone_are_idms_to_make_and_not_the_definitions_to_mend() {
    let report = the_app(starting(), |pod| {
        let gone = "secret \"shop-sso\" not found";
        pod.waiting = Some(("CreateContainerConfigError".into(), gone.into()));
    })
    .report(&shop());
    let message = on_its_way(&report, condition::WORKLOAD_READY, "ConfigurationMissing");
    says(
        message,
        &[
            "idm makes it anew",
            "kubectl annotate ssoclient shop -n",
            "tutti.dev/rotate-secret",
        ],
    );
}

#[test]
fn trouble_of_a_pod_that_goes_away_is_nobodys_business() {
    let report = the_app(starting(), |pod| {
        pod.is_deleting = true;
        pod.evicted = Some("drained".into());
    })
    .report(&shop());
    on_its_way(&report, condition::WORKLOAD_READY, "Starting");
}

#[test]
fn a_pod_that_ends_so_that_the_next_one_has_room_is_no_trouble() {
    let rolling = |edit: fn(&mut WorkloadSeen)| {
        let refused = the_workload(running(), |seen| {
            seen.failure = Some("pods \"shop-1\" is forbidden: exceeded quota: tutti".into());
            seen.updated = 0;
        });
        the_workload(refused, edit)
    };
    let next = rolling(|_| {});
    let report = next.report(&shop());
    let message = on_its_way(&report, condition::WORKLOAD_READY, "RollingOut");
    says(message, &["one ends before the next is started"]);
    let ended = |seen: &mut WorkloadSeen| (seen.max_unavailable, seen.replicas) = (1, 0);
    let ending = rolling(ended).see(|seen| {
        seen.pods.push(PodSeen {
            is_deleting: true,
            ..pod("shop-0", "web")
        });
    });
    let report = ending.report(&shop());
    on_its_way(&report, condition::WORKLOAD_READY, "RollingOut");
    // And then it had none.
    let report = rolling(ended).report(&shop());
    stuck(&report, condition::WORKLOAD_READY, "QuotaExceeded");
}

#[test]
fn a_quota_that_is_used_up_is_told_with_kubernetes_numbers() {
    let words = "pods \"shop-1\" is forbidden: exceeded quota: tutti, requested: \
                 requests.memory=192Mi, used: requests.memory=16Gi, limited: requests.memory=16Gi";
    let app = the_workload(starting(), |seen| seen.failure = Some(words.into())).report(&shop());
    let message = stuck(&app, condition::WORKLOAD_READY, "QuotaExceeded");
    says(message, &["limited: requests.memory=16Gi", "spec.quota"]);
    let database = the_database(starting(), |seen| seen.failure = Some(words.into()));
    let report = database.report(&shop());
    stuck(&report, condition::DATABASE_READY, "QuotaExceeded");
}

#[test]
fn pods_that_the_namespace_does_not_admit_are_told() {
    let words = "pods \"shop-1\" is forbidden: violates PodSecurity \"restricted:latest\": \
                 runAsNonRoot != true";
    let report = the_workload(starting(), |seen| seen.failure = Some(words.into())).report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "PodSecurityForbids");
    says(message, &["runAsNonRoot != true", "spec.podSecurity"]);
}

#[test]
fn pods_that_cannot_be_created_for_another_reason_are_told_in_kubernetes_words() {
    let report = the_workload(starting(), |seen| {
        seen.failure = Some("webhook x says no".into())
    })
    .report(&shop());
    let message = stuck(&report, condition::WORKLOAD_READY, "PodsCannotBeCreated");
    says(message, &["webhook x says no", "tried again"]);
}

#[test]
fn two_writes_that_met_while_pods_were_created_are_no_trouble() {
    let words = "Operation cannot be fulfilled on resourcequotas \"tutti\": the object has been \
                 modified; please apply your changes to the latest version and try again";
    let report = the_workload(starting(), |seen| seen.failure = Some(words.into())).report(&shop());
    on_its_way(&report, condition::WORKLOAD_READY, "PodsBeingCreated");
}

#[test]
fn a_rolling_update_says_how_far_it_is_and_visitors_notice_nothing() {
    let wide = world("wordpress").change(|spec| spec.max_replicas = None);
    let shop = shop().replicas(3);
    let rolling = the_workload(wide.after(&shop), |seen| {
        seen.updated = 1;
        seen.replicas = 4;
    });
    let report = rolling.report(&shop);
    let message = on_its_way(&report, condition::WORKLOAD_READY, "RollingOut");
    says(message, &["1 of 3 pods"]);
    assert_eq!(report.backend.state, State::Well);
}

#[test]
fn a_workload_whose_controller_lags_behind_is_not_taken_as_done() {
    let report = the_workload(running(), |seen| seen.is_current = false).report(&shop());
    on_its_way(&report, condition::WORKLOAD_READY, "RollingOut");
}

// ---- the database

#[test]
fn a_database_that_starts_is_given_until_its_deadline() {
    let world = the_database(running(), |seen| seen.ready = 0)
        .see(|seen| seen.pods.push(pod("shop-database-0", "database")));
    let report = world.report(&shop());
    let message = on_its_way(&report, condition::DATABASE_READY, "DatabaseStarting");
    assert_eq!(
        message,
        "the database is starting; it is given until 03:08:55 UTC"
    );
    assert_eq!(report.look_again, Some(ago(-290)));
    let late = world.see(|seen| seen.pods[0].created = Some(ago(301)));
    stuck(
        &late.report(&shop()),
        condition::DATABASE_READY,
        "DatabaseDoesNotAnswer",
    );
}

#[test]
fn a_databases_trouble_comes_before_the_apps_and_names_the_databases_field() {
    let world = the_database(starting(), |seen| seen.ready = 0).see(|seen| {
        let mut database = pod("shop-database-0", "database");
        database.waiting = Some(("ErrImagePull".into(), "not found".into()));
        seen.pods.push(database);
        seen.pods[0].evicted = Some("low on memory".into());
    });
    let report = world.report(&shop());
    let message = stuck(&report, condition::DATABASE_READY, "ImageCannotBePulled");
    says(message, &["shop-database-0", "database.version"]);
    assert_eq!(find(&report, condition::WORKLOAD_READY).reason, "Evicted");
}

#[test]
fn a_database_out_of_memory_is_told_with_its_own_limit() {
    let world = the_database(running(), |seen| seen.ready = 0).see(|seen| {
        let mut database = pod("shop-database-0", "database");
        database.terminated = Some(("OOMKilled".into(), 137));
        seen.pods.push(database);
    });
    let report = world.report(&shop());
    says(
        stuck(&report, condition::DATABASE_READY, "OutOfMemory"),
        &["384Mi"],
    );
}

// ---- jobs

fn with_job(instance: &Instance, name: &str, job: plan::context::JobSeen) -> World {
    world("wordpress").after(instance).see(|seen| {
        seen.jobs.insert(name.to_owned(), job);
    })
}

#[test]
fn an_installation_says_that_it_is_under_way_and_until_when() {
    let new = instance("shop").of("wordpress");
    let report = with_job(&new, "shop-install-6-8", job_under_way()).report(&new);
    let message = on_its_way(&report, condition::WORKLOAD_READY, "Installing");
    says(message, &["shop-install-6-8", "until 03:08:55 UTC"]);
    assert_eq!(report.backend.reason, "Starting");
}

#[test]
fn an_installation_that_is_tried_again_says_what_became_of_the_last_attempt() {
    let new = instance("shop").of("wordpress");
    let attempt = |name: &str, seconds, said: &str| PodSeen {
        created: Some(ago(seconds)),
        terminated: Some(("Error".into(), 7)),
        last_log_line: Some(said.to_owned()),
        ..pod(name, "job")
    };
    let world = with_job(&new, "shop-install-6-8", job_under_way()).see(|seen| {
        seen.pods = vec![
            attempt("shop-install-6-8-aaaaa", 20, "no database."),
            attempt("shop-install-6-8-bbbbb", 10, "no such table."),
            // A periodic job's says nothing of it.
            attempt("shop-cron-29-ccccc", 5, "else."),
        ];
    });
    let report = world.report(&new);
    let message = on_its_way(&report, condition::WORKLOAD_READY, "Installing");
    let words = "2 of 4 attempts ended, the last one with exit code 7; it said last: no such table";
    says(message, &["until", words]);
}

#[test]
fn an_installation_whose_pod_the_quota_refuses_says_so() {
    let new = instance("shop").of("wordpress");
    let refused = plan::context::JobSeen {
        podless: Some("pods \"shop-install-6-8-x\" is forbidden: exceeded quota: tutti".into()),
        ..job_under_way()
    };
    let report = with_job(&new, "shop-install-6-8", refused).report(&new);
    let message = stuck(&report, condition::WORKLOAD_READY, "QuotaExceeded");
    says(message, &["exceeded quota: tutti", "raise spec.quota"]);
}

#[test]
fn an_installation_whose_command_does_not_exist_is_told_with_the_runtimes_words() {
    let new = instance("shop").of("wordpress");
    let failed = job_failed("BackoffLimitExceeded");
    let world = with_job(&new, "shop-install-6-8", failed).see(|seen| {
        let mut failed = pod("shop-install-6-8-aaaaa", "job");
        failed.terminated = Some(("StartError".into(), 128));
        let words = "failed to create containerd task: exec: \"nope\": no such file";
        failed.start_error = Some(words.into());
        seen.pods.push(failed);
    });
    let report = world.report(&new);
    let message = stuck(&report, condition::WORKLOAD_READY, "InstallFailed");
    says(
        message,
        &["cannot be started (exec: \"nope\": no such file): mend it in the AppDefinition. To try"],
    );
}

#[test]
fn a_failed_installation_is_told_with_the_last_line_and_how_to_try_again() {
    let new = instance("shop").of("wordpress");
    let world =
        with_job(&new, "shop-install-6-8", job_failed("BackoffLimitExceeded")).see(|seen| {
            for (name, age, line) in [
                ("shop-install-6-8-aaaaa", 60, "first try"),
                ("shop-install-6-8-bbbbb", 20, "second try"),
                ("shop-cron-29-ccccc", 1, "of a periodic job"),
            ] {
                let mut failed = pod(name, "job");
                failed.created = Some(ago(age));
                failed.terminated = Some(("Error".into(), 1));
                assert!(
                    wants_log(&failed),
                    "a job's pod is not restarted, it has failed"
                );
                failed.last_log_line = Some(line.into());
                seen.pods.push(failed);
            }
        });
    let report = world.report(&new);
    let message = stuck(&report, condition::WORKLOAD_READY, "InstallFailed");
    assert_eq!(
        message,
        "the installation failed: BackoffLimitExceeded; it said last: second try. To try again: \
         kubectl delete job/shop-install-6-8 -n acme"
    );
}

#[test]
fn a_failed_upgrade_is_told_and_the_old_version_goes_on_answering() {
    let old = instance("shop").of("wordpress").installed("6.1");
    let report = with_job(&old, "shop-to-6-8", job_failed("DeadlineExceeded")).report(&old);
    let message = stuck(&report, condition::WORKLOAD_READY, "UpgradeFailed");
    says(
        message,
        &["the upgrade failed: DeadlineExceeded", "job/shop-to-6-8"],
    );
    assert_eq!(report.backend.state, State::Well);
    let report = with_job(&old, "shop-to-6-8", job_under_way()).report(&old);
    on_its_way(&report, condition::WORKLOAD_READY, "Upgrading");
}

#[test]
fn an_upgrade_is_called_so_even_when_nothing_serves() {
    let kept = world("wordpress")
        .change(|spec| spec.versions.truncate(1))
        .see(|seen| seen.data_version = Some("6.1".to_owned()));
    let new = instance("shop").of("wordpress");
    let report = kept.after(&new).report(&new);
    on_its_way(&report, condition::WORKLOAD_READY, "Upgrading");
}

#[test]
fn trouble_of_a_jobs_pod_is_told_before_the_job_gives_up() {
    let new = instance("shop").of("wordpress");
    let world = with_job(&new, "shop-install-6-8", job_under_way()).see(|seen| {
        let mut waiting = pod("shop-install-6-8-aaaaa", "job");
        waiting.waiting = Some(("ImagePullBackOff".into(), "not found".into()));
        seen.pods.push(waiting);
    });
    let report = world.report(&new);
    stuck(&report, condition::WORKLOAD_READY, "ImageCannotBePulled");
}

#[test]
fn trouble_of_a_periodic_job_does_not_hold_up_an_upgrade() {
    let old = instance("shop").of("wordpress").installed("6.1");
    let world = with_job(&old, "shop-to-6-8", job_under_way()).see(|seen| {
        let mut cron = pod("shop-cron-29001234-aaaaa", "job");
        cron.terminated = Some(("OOMKilled".into(), 137));
        seen.pods.push(cron);
    });
    on_its_way(&world.report(&old), condition::WORKLOAD_READY, "Upgrading");
}

#[test]
fn a_job_that_is_done_is_spoken_of_no_more() {
    let new = instance("shop").of("wordpress");
    let world = world("wordpress").see(|seen| {
        seen.jobs.insert("shop-install-6-8".into(), job_done());
    });
    let report = world.after(&new).report(&new);
    assert_eq!(report.conditions[0].reason, "Running");
}

// ---- periodic jobs

/// A run of the periodic job that was begun so long ago.
fn with_run(world: World, name: &str, seconds: i64, job: plan::context::JobSeen) -> World {
    world.see(|seen| {
        let run = plan::context::RunSeen {
            cron_job: "shop-cron".into(),
            job: plan::context::JobSeen {
                created: Some(ago(seconds)),
                ..job
            },
        };
        seen.runs.insert(name.into(), run);
    })
}

/// What is told of the periodic jobs of an instance that is ready whatever they do.
#[track_caller]
fn periodic(world: &World) -> Option<Condition> {
    let report = world.report(&shop());
    assert_eq!(find(&report, condition::READY).reason, "Running");
    assert!(!has(&report, condition::STALLED));
    assert_eq!(report.backend.state, State::Well);
    condition::find(&report.conditions, condition::PERIODIC_JOBS_READY).cloned()
}

fn refused() -> plan::context::JobSeen {
    let words = "Error creating: pods \"shop-cron-29001234-x\" is forbidden: exceeded quota: tutti";
    plan::context::JobSeen {
        podless: Some(words.into()),
        ..job_under_way()
    }
}

fn failed_run() -> plan::context::JobSeen {
    plan::context::JobSeen {
        has_pods: true,
        ..job_failed("Job has reached the specified backoff limit")
    }
}

#[test]
fn a_periodic_job_whose_pod_the_quota_refuses_is_told_beside_ready() {
    let world = with_run(running(), "shop-cron-29001234", 10, refused());
    let told = periodic(&world).unwrap();
    assert_eq!(
        (told.status.as_str(), told.reason.as_str()),
        ("False", "PeriodicJobNotStarted")
    );
    assert!(plan::health::WARNINGS.contains(&told.reason.as_str()));
    says(
        &told.message,
        &[
            "shop-cron did not run",
            "exceeded quota: tutti",
            "raise spec.quota",
        ],
    );
}

#[test]
fn the_quotas_words_are_told_also_when_the_run_was_given_up() {
    let given_up = plan::context::JobSeen {
        failed: Some("Job was active longer than specified deadline".into()),
        ..refused()
    };
    let world = with_run(running(), "shop-cron-29001234", 300, given_up);
    let first = periodic(&world).unwrap();
    says(&first.message, &["exceeded quota: tutti"]);
    // The next one, of which nothing is known yet, and then its own refusal in the same words.
    let world = with_run(world, "shop-cron-29001239", 1, job_under_way());
    assert_eq!(periodic(&world).unwrap(), first);
    let world = with_run(world, "shop-cron-29001239", 4, refused());
    assert_eq!(periodic(&world).unwrap(), first);
}

#[test]
fn a_periodic_job_that_failed_is_told_with_its_last_line_until_one_ends_well() {
    let world = with_run(running(), "shop-cron-29001234", 300, failed_run()).see(|seen| {
        let mut cron = pod("shop-cron-29001234-aaaaa", "job");
        cron.last_log_line = Some("no route to host.".into());
        seen.pods.push(cron);
    });
    let told = periodic(&world).unwrap();
    assert_eq!(
        (told.status.as_str(), told.reason.as_str()),
        ("False", "PeriodicJobFailed")
    );
    assert!(plan::health::WARNINGS.contains(&told.reason.as_str()));
    says(
        &told.message,
        &[
            "shop-cron failed: Job has reached the specified backoff limit; it said last: no route to host.",
            "kubectl logs -n acme",
        ],
    );

    let under_way = with_run(world.clone(), "shop-cron-29001239", 10, job_under_way());
    assert_eq!(periodic(&under_way).unwrap(), told);

    let done = with_run(world, "shop-cron-29001239", 10, job_done());
    let told = periodic(&done).unwrap();
    assert_eq!(
        (told.status.as_str(), told.message.as_str()),
        ("True", "1 periodic job ended well the last time")
    );
}

#[test]
fn of_periodic_jobs_nothing_is_said_before_one_has_ended_and_while_the_app_rests() {
    assert_eq!(periodic(&running()), None);
    let world = with_run(running(), "shop-cron-29001234", 10, job_under_way());
    assert_eq!(periodic(&world), None);
    let two_writes_met = plan::context::JobSeen {
        podless: Some("the object has been modified; please apply your changes".into()),
        ..job_under_way()
    };
    let world = with_run(running(), "shop-cron-29001234", 10, two_writes_met);
    assert_eq!(periodic(&world), None);

    let world = with_run(running(), "shop-cron-29001234", 10, refused());
    for at_rest in [shop().stopped(), shop().replicas(0)] {
        assert!(!has(
            &world.report(&at_rest),
            condition::PERIODIC_JOBS_READY
        ));
    }
}

// ---- storage and hostnames

#[test]
fn a_lost_volume_is_told_with_the_mend() {
    let world = running().see(|seen| {
        "Lost".clone_into(&mut seen.volumes.get_mut("content").unwrap().phase);
    });
    let report = world.report(&shop());
    let message = stuck(&report, condition::STORAGE_READY, "VolumeLost");
    says(message, &["shop-content", "backup"]);
}

#[test]
fn a_volume_that_somebody_deletes_is_told_while_there_is_time() {
    let world = running().see(|seen| {
        seen.volumes.get_mut("database").unwrap().is_deleting = true;
    });
    let report = world.report(&shop());
    let message = stuck(&report, condition::STORAGE_READY, "VolumeBeingDeleted");
    says(message, &["shop-database", "Back up what is on it now"]);
}

#[test]
fn a_volume_that_grows_says_from_where_to_where() {
    let grown = shop().storage("content", "20Gi");
    let report = running().report(&grown);
    let message = on_its_way(&report, condition::STORAGE_READY, "Growing");
    assert_eq!(message, "volume content grows from 5Gi to 20Gi");
    // The API server writes the same size in another way.
    let asked = running().see(|seen| {
        "20480Mi".clone_into(&mut seen.volumes.get_mut("content").unwrap().requested);
    });
    assert_eq!(asked.report(&grown).conditions[0].reason, "Running");
    // Asked for is not given.
    let has = |capacity: &str, resize: Option<&str>| {
        running().see(|seen| {
            let content = seen.volumes.get_mut("content").unwrap();
            content.requested = "20Gi".into();
            content.capacity = Some(capacity.into());
            content.resize = resize.map(str::to_owned);
        })
    };
    let report = has("5Gi", Some("waiting for a pod to be started")).report(&grown);
    let message = on_its_way(&report, condition::STORAGE_READY, "Growing");
    assert_eq!(
        message,
        "volume content grows from 5Gi to 20Gi; Kubernetes says: waiting for a pod to be started"
    );
    let done = has("20Gi", None).report(&grown);
    assert_eq!(done.conditions[0].reason, "Running");
}

#[test]
fn a_volume_is_not_mistaken_for_another_whose_name_ends_like_it() {
    let two = world("wordpress").change(|spec| {
        let mut other = spec.volumes[0].clone();
        other.name = "my-content".to_owned();
        other.path = "/srv".to_owned();
        spec.volumes.push(other);
    });
    let world = two.after(&shop()).see(|seen| {
        seen.volumes.remove("my-content");
    });
    let report = world.report(&shop());
    let message = on_its_way(&report, condition::STORAGE_READY, "VolumeBeingMade");
    says(message, &["shop-my-content"]);
}

#[test]
fn a_hostname_that_another_holds_is_told_in_the_routes_own_words() {
    let with_domain = shop().domain("www.acme.example");
    let world = world("wordpress").after(&with_domain).see(|seen| {
        let taken = accepted(
            "False",
            "www.acme.example is held by another organization already",
        );
        seen.routes.insert("www.acme.example".into(), vec![taken]);
    });
    let report = world.report(&with_domain);
    let message = stuck(&report, condition::ROUTE_READY, "HostnameTaken");
    assert_eq!(
        message,
        "www.acme.example is held by another organization already"
    );
    assert_eq!(
        report.backend.state,
        State::Well,
        "its other addresses answer"
    );
}

#[test]
fn a_hostname_that_nobody_decided_about_yet_is_being_claimed() {
    let world = running().see(|seen| {
        seen.routes.values_mut().for_each(Vec::clear);
    });
    on_its_way(
        &world.report(&shop()),
        condition::ROUTE_READY,
        "HostnameBeingClaimed",
    );
}

// ---- refusals and rejections

#[test]
fn what_the_api_server_refused_belongs_to_its_part_and_beats_what_was_seen() {
    let refusal = Refusal {
        part: condition::STORAGE_READY,
        reason: "StorageCannotGrow",
        message: "the storage class cannot".to_owned(),
    };
    let report = running().report_with(&shop(), &[refusal]);
    let message = stuck(&report, condition::STORAGE_READY, "StorageCannotGrow");
    assert_eq!(message, "the storage class cannot");
}

#[test]
fn a_rejected_wish_says_why_and_what_runs_goes_on_answering() {
    let report = running().report(&shop().size("huge"));
    let ready = find(&report, condition::READY);
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "UnknownSize")
    );
    assert!(has(&report, condition::STALLED));
    assert_eq!(report.backend.state, State::Well);
    let nothing_runs = world("wordpress").report(&shop().size("huge"));
    assert_eq!(nothing_runs.backend.reason, "UnknownSize");
}

// ---- at rest

#[test]
fn stopping_ends_in_stopped_which_is_neither_trouble_nor_under_way() {
    let stopped = shop().stopped();
    let report = running().report(&stopped);
    assert!(has(&report, condition::RECONCILING));
    assert_eq!(find(&report, condition::WORKLOAD_READY).reason, "Stopping");
    assert_eq!(
        find(&report, condition::DATABASE_READY).reason,
        "DatabaseStopping"
    );
    assert_eq!(report.backend.reason, "Stopped");

    let report = world("wordpress").after(&stopped).report(&stopped);
    let ready = find(&report, condition::READY);
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "Stopped")
    );
    says(&ready.message, &["spec.stopped"]);
    assert!(!has(&report, condition::RECONCILING));
    assert!(!has(&report, condition::STALLED));
    assert_eq!(report.look_again, None);
}

#[test]
fn no_pods_on_request_is_not_called_running() {
    let none = shop().replicas(0);
    let report = world("wordpress").after(&none).report(&none);
    let ready = find(&report, condition::READY);
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "ScaledToZero")
    );
    says(&ready.message, &["spec.replicas"]);
    assert!(!has(&report, condition::RECONCILING));
    assert!(!has(&report, condition::STALLED));
    assert_eq!(report.backend.reason, "Stopped");
}

#[test]
fn a_paused_instance_that_waits_says_for_whom() {
    let report = starting().report(&shop().paused());
    let ready = find(&report, condition::READY);
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "Paused")
    );
    says(&ready.message, &["spec.paused", "the app is starting"]);
    assert!(!has(&report, condition::RECONCILING), "nobody works on it");
    assert_eq!(report.backend.reason, "Paused");
    // One that runs, runs; one that is in trouble, is.
    assert_eq!(
        running().report(&shop().paused()).conditions[0].status,
        "True"
    );
    let evicted = the_app(starting(), |pod| pod.evicted = Some("low".into()));
    stuck(
        &evicted.report(&shop().paused()),
        condition::WORKLOAD_READY,
        "Evicted",
    );
}

// ---- what holds for all

/// Many ways to stand, each with its instance.
fn many() -> Vec<(Instance, World)> {
    let log = "wp-config.php: password hunter2";
    let crashed = the_app(starting(), |pod| {
        pod.waiting = Some(("CrashLoopBackOff".into(), String::new()));
        pod.last_log_line = Some(log.into());
    });
    let new = instance("shop").of("wordpress");
    let failed = with_job(&new, "shop-install-6-8", job_failed(log)).see(|seen| {
        let mut failed = pod("shop-install-6-8-aaaaa", "job");
        failed.last_log_line = Some(log.into());
        seen.pods.push(failed);
    });
    let quota = the_workload(starting(), |seen| {
        seen.failure = Some("exceeded quota: tutti".into());
    });
    vec![
        (shop(), running()),
        (shop(), starting()),
        (shop(), crashed),
        (new, failed),
        (shop(), quota),
        (shop().stopped(), running()),
        (shop().size("huge"), world("wordpress")),
        (shop().paused(), starting()),
        (
            shop(),
            world("wordpress").see(|seen| *seen = Observed::default()),
        ),
    ]
}

#[test]
fn ready_comes_first_and_every_condition_is_complete() {
    for (instance, world) in many() {
        let report = world.report(&instance);
        assert_eq!(report.conditions[0].type_, condition::READY);
        for condition in &report.conditions {
            assert!(!condition.message.is_empty(), "{condition:?}");
            assert!(
                condition
                    .reason
                    .starts_with(|c: char| c.is_ascii_uppercase())
                    && condition.reason.chars().all(|c| c.is_ascii_alphanumeric()),
                "{condition:?}"
            );
            assert_eq!(condition.observed_generation, Some(1));
            assert_eq!(condition.last_transition_time.0, now());
            let same = report
                .conditions
                .iter()
                .filter(|c| c.type_ == condition.type_);
            assert_eq!(same.count(), 1, "{} twice", condition.type_);
        }
    }
}

#[test]
fn kstatus_conditions_are_there_only_when_true_and_never_both() {
    for (instance, world) in many() {
        let report = world.report(&instance);
        let kstatus: Vec<&Condition> = [condition::RECONCILING, condition::STALLED]
            .iter()
            .filter_map(|type_| condition::find(&report.conditions, type_))
            .collect();
        assert!(kstatus.len() <= 1, "{kstatus:?}");
        assert!(kstatus.iter().all(|c| c.status == "True"));
        assert!(report.conditions[0].status == "False" || kstatus.is_empty());
    }
}

#[test]
fn visitors_are_told_neither_log_lines_nor_names_nor_limits() {
    for (instance, world) in many() {
        let backend = world.report(&instance).backend;
        for secret in ["hunter2", "shop", "acme", "quota", "Mi", "spec.", "kubectl"] {
            assert!(!backend.message.contains(secret), "{}", backend.message);
        }
        assert!(
            backend
                .message
                .starts_with(|c: char| c.is_ascii_uppercase())
        );
    }
}

#[test]
fn a_transition_time_is_kept_while_the_status_stays() {
    let before = starting().report(&shop());
    let mut conditions = before.conditions;
    for condition in &mut conditions {
        condition.last_transition_time = condition::Time(ago(3600));
    }
    let remembered = shop().status(crds::AppInstanceStatus {
        version: Some("6.8".to_owned()),
        conditions,
        ..crds::AppInstanceStatus::default()
    });
    let still = the_app(starting(), |pod| pod.evicted = Some("low".into())).report(&remembered);
    let ready = find(&still, condition::READY);
    assert_eq!(ready.reason, "Evicted", "another reason");
    assert_eq!(ready.last_transition_time.0, ago(3600), "the same status");
    let now_well = running().report(&remembered);
    assert_eq!(
        find(&now_well, condition::READY).last_transition_time.0,
        now()
    );
    assert_eq!(
        find(&now_well, condition::DATABASE_READY)
            .last_transition_time
            .0,
        ago(3600)
    );
}

#[test]
fn a_deadline_at_the_end_of_time_does_not_overflow() {
    let world = the_app(starting(), |pod| pod.created = Some(jiff::Timestamp::MAX));
    on_its_way(
        &world.report(&shop()),
        condition::WORKLOAD_READY,
        "Starting",
    );
}

// ---- routes of an instance

#[test]
fn a_route_is_ready_when_its_hostname_is_held_and_its_backend_answers() {
    let answering = running().report(&shop()).backend;
    let starting = starting().report(&shop()).backend;
    let held = vec![accepted("True", "")];
    let taken = vec![accepted("False", "")];
    for (known, backend, status, reason) in [
        (&held, &answering, "True", "Answering"),
        (&held, &starting, "False", "Starting"),
        (&taken, &answering, "False", "HostnameTaken"),
        (&vec![], &answering, "False", "HostnameBeingClaimed"),
        (&vec![], &starting, "False", "Starting"),
    ] {
        let [ready, _] = route(known, backend, now());
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str()),
            (status, reason)
        );
    }
}

#[test]
fn a_wish_that_cannot_be_granted_leaves_what_was_said_of_the_parts() {
    let world = running();
    let mut shop = shop();
    let before = world.report(&shop).conditions;
    shop.status.as_mut().unwrap().conditions = before.clone();
    shop.spec.size = Some("huge".to_owned());
    let report = world.report(&shop);
    assert_eq!(find(&report, condition::READY).reason, "UnknownSize");
    assert_eq!(report.conditions[0].type_, condition::READY);
    for part in [condition::DATABASE_READY, condition::WORKLOAD_READY] {
        assert_eq!(Some(find(&report, part)), condition::find(&before, part));
    }
    assert!(has(&report, condition::STALLED));

    let mut bereft = shop.clone().generated(&["shop-database"]);
    bereft.spec.size = None;
    let lost = running().see(|seen| seen.secrets.clear()).report(&bereft);
    let secrets = find(&lost, condition::SECRETS_READY);
    assert_eq!(
        (secrets.status.as_str(), secrets.reason.as_str()),
        ("False", "SecretMissing")
    );

    let broken = the_database(running(), |seen| seen.ready = 0).report(&shop);
    let database = find(&broken, condition::DATABASE_READY);
    assert_eq!(
        (database.status.as_str(), database.reason.as_str()),
        ("False", "NotLookedAfter")
    );
    assert_eq!(find(&broken, condition::WORKLOAD_READY).status, "True");
}

#[test]
fn visitors_are_told_how_far_a_start_is() {
    let new = instance("shop").of("wordpress");
    let installing = with_job(&new, "shop-install-6-8", job_under_way()).report(&new);
    assert!(installing.backend.message.contains("being installed"));
    let database = the_database(running(), |seen| seen.ready = 0);
    let database = the_workload(database, |seen| seen.ready = 0).report(&shop());
    assert!(
        database
            .backend
            .message
            .contains("its database comes first")
    );
    assert_eq!(database.backend.reason, "Starting");
}

#[test]
fn a_wish_that_cannot_come_true_is_no_reason_to_tell_visitors_of_a_broken_site() {
    let refusal = Refusal {
        part: condition::STORAGE_READY,
        reason: "StorageCannotGrow",
        message: "the storage class cannot".to_owned(),
    };
    let small = starting().report_with(&shop(), std::slice::from_ref(&refusal));
    assert_eq!(small.backend.reason, "Starting");
    stuck(&small, condition::STORAGE_READY, "StorageCannotGrow");

    let taken = accepted("False", "it is held by another organization already");
    let elsewhere = starting().see(|seen| {
        seen.routes
            .values_mut()
            .for_each(|it| *it = vec![taken.clone()]);
    });
    assert_eq!(elsewhere.report(&shop()).backend.reason, "Starting");

    let asleep = shop().replicas(0);
    let asleep = world("wordpress")
        .after(&asleep)
        .report_with(&asleep, std::slice::from_ref(&refusal));
    assert_eq!(asleep.backend.reason, "Stopped");

    let stopped = shop().stopped();
    let at_rest = world("wordpress").after(&stopped);
    let at_rest = at_rest.report_with(&stopped, &[refusal]);
    assert_eq!(find(&at_rest, condition::READY).reason, "Stopped");
    assert_eq!(
        find(&at_rest, condition::STORAGE_READY).reason,
        "StorageCannotGrow"
    );
}
