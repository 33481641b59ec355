//! Every reason for which a wish is refused: one that is, and one next to it that is not.

use crds::{
    AppInstanceStatus, app_definition::SecurityException, app_instance::Volume, labels,
    organization::PodSecurity, route::Access,
};
use k8s_openapi::{
    api::core::v1::ResourceQuotaStatus,
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use plan::{
    Observed, Rejection,
    context::{JobSeen, PodSeen, VolumeSeen, WorkloadSeen},
    quota::{Count, Promise},
};

use crate::support::{
    Instance, SECRET_DIGEST, World, instance, job_under_way, registered, sign_in_by_itself,
    sign_in_by_openid_connect, world,
};

fn shop() -> Instance {
    instance("shop").of("wordpress")
}

/// One that runs.
fn installed() -> Instance {
    shop().installed("6.8")
}

/// One that runs, and has its address.
fn granted_before() -> Instance {
    installed().host("shop-x7k2m9p4qa.apps.example")
}

/// WordPress, signing people in by itself.
fn wordpress() -> World {
    world("wordpress")
        .change(sign_in_by_itself)
        .see(|seen| seen.client = None)
}

#[track_caller]
fn refused(world: &World, instance: &Instance) -> (&'static str, String) {
    let rejection = world
        .plan(instance)
        .expect_err("it should have been refused");
    (rejection.reason(), rejection.to_string())
}

#[track_caller]
fn granted(world: &World, instance: &Instance) -> plan::DesiredState {
    world
        .plan(instance)
        .unwrap_or_else(|rejection| panic!("it should have been granted: {rejection}"))
}

fn volume_of(world: World, size: &str) -> World {
    world.see(|seen| {
        let volume = VolumeSeen {
            requested: size.to_owned(),
            phase: "Bound".to_owned(),
            ..VolumeSeen::default()
        };
        seen.volumes.insert("content".to_owned(), volume);
    })
}

fn planned_size(state: &plan::DesiredState, claim: &str) -> String {
    let claim = state
        .volumes
        .iter()
        .find(|volume| volume.metadata.name.as_deref() == Some(claim))
        .unwrap();
    let resources = claim.spec.as_ref().unwrap().resources.as_ref().unwrap();
    resources.requests.as_ref().unwrap()["storage"].0.clone()
}

#[test]
fn an_instance_outside_of_an_organization_is_refused() {
    let mut nowhere = wordpress();
    nowhere.organization = None;
    let (reason, message) = refused(&nowhere, &shop());
    assert_eq!(reason, "NotInAnOrganization");
    assert!(message.contains("\"acme\""), "{message}");
    let handing_over = "kubectl label namespace acme tutti.dev/organization=acme";
    assert!(message.ends_with(handing_over), "{message}");
    // No Organization can have this name.
    let mut shop_there = shop();
    shop_there.metadata.namespace = Some("default".to_owned());
    let (_, message) = refused(&nowhere, &shop_there);
    assert!(!message.contains("kubectl label"), "{message}");
    granted(&wordpress(), &shop());
}

#[test]
fn nothing_begins_without_a_closed_network_or_in_an_organization_that_goes_and_what_runs_goes_on() {
    let mut open = wordpress();
    open.organization.as_mut().unwrap().is_fenced = false;
    let (reason, message) = refused(&open, &shop());
    assert_eq!(reason, "OrganizationNotFenced");
    assert!(message.contains("kubectl describe org acme"), "{message}");

    let mut leaving = wordpress();
    leaving.organization.as_mut().unwrap().is_leaving = true;
    let (reason, message) = refused(&leaving, &shop());
    assert_eq!(reason, "OrganizationIsLeaving");
    assert!(message.contains("is being deleted"), "{message}");

    let mut running = shop();
    running.status = Some(AppInstanceStatus {
        host: Some("shop-x7k2m9p4qa.apps.example".to_owned()),
        ..AppInstanceStatus::default()
    });
    granted(&open, &running);
    granted(&leaving, &running);
}

#[test]
fn an_instance_more_than_the_organization_may_have_is_refused_unless_it_was_granted_before() {
    let mut full = wordpress();
    let organization = full.organization.as_mut().unwrap();
    organization.most_instances = 2;
    organization.earlier_instances = 1;
    granted(&full, &shop());

    full.organization.as_mut().unwrap().earlier_instances = 2;
    let (reason, message) = refused(&full, &shop());
    assert_eq!(reason, "QuotaExceeded");
    assert!(message.contains("spec.quota.instances"), "{message}");
    assert!(message.contains("may have 2 instances"), "{message}");
    granted(&full, &shop().host("shop-x7k2m9p4qa.apps.example"));
}

#[test]
fn an_app_that_nobody_defined_is_refused() {
    let mut empty = wordpress();
    empty.definition = None;
    let (reason, message) = refused(&empty, &shop());
    assert_eq!(reason, "UnknownApp");
    assert_eq!(
        message,
        "spec.app: there is no AppDefinition \"wordpress\"; `kubectl get appdef` lists them"
    );
}

#[test]
fn a_broken_definition_is_told_with_its_field_and_whose_it_is_to_mend() {
    let broken = wordpress().change(|spec| spec.versions[1].image = "wordpress".to_owned());
    let (reason, message) = refused(&broken, &shop());
    assert_eq!(reason, "DefinitionInvalid");
    assert!(message.contains("versions[1].image"), "{message}");
    assert!(
        message.contains("nothing here needs to change"),
        "{message}"
    );
}

#[test]
fn an_unknown_version_is_refused() {
    let (reason, _) = refused(&wordpress(), &shop().version("7.0"));
    assert_eq!(reason, "UnknownVersion");
    granted(&wordpress(), &shop().version("6.1"));
}

#[test]
fn a_version_that_cannot_be_reached_is_refused() {
    let (reason, _) = refused(&wordpress(), &shop().version("6.1").installed("6.8"));
    assert_eq!(reason, "CannotUpgrade");
    granted(&wordpress(), &shop().version("6.8").installed("6.1"));
}

#[test]
fn an_unknown_size_is_refused_and_none_means_the_first() {
    let (reason, message) = refused(&wordpress(), &shop().size("huge"));
    assert_eq!(reason, "UnknownSize");
    assert_eq!(
        message,
        "spec.size: wordpress has no size \"huge\"; it has small, medium and large"
    );
    let world = wordpress();
    assert_eq!(
        granted(&world, &shop()),
        granted(&world, &shop().size("small"))
    );
}

/// A world whose organization has this much left of its quota.
fn with_room(mut world: World, cpu: &str, memory: &str, storage: &str) -> World {
    let quantities = |all: &[(&str, &str)]| {
        let all = all.iter();
        all.map(|(name, size)| ((*name).to_owned(), Quantity((*size).to_owned())))
            .collect()
    };
    let status = ResourceQuotaStatus {
        hard: Some(quantities(&[
            ("requests.cpu", cpu),
            ("requests.memory", memory),
            ("requests.storage", storage),
        ])),
        used: Some(quantities(&[("requests.cpu", "0")])),
    };
    world.organization.as_mut().unwrap().room =
        Count::of(&status).map(|count| count.room(Promise::default(), Promise::default()));
    world
}

#[test]
fn what_is_left_is_what_kubernetes_has_counted() {
    let counted = |used: Option<&str>| {
        let of = |size: &str| {
            let size = Quantity(size.to_owned());
            Some([("requests.memory".to_owned(), size)].into())
        };
        Count::of(&ResourceQuotaStatus {
            hard: of("2Gi"),
            used: used.and_then(of),
        })
    };
    assert_eq!(counted(None), None, "nobody has counted yet");
    let left = |used, seen, due| {
        let of = |memory| Promise::new("0", memory);
        let room = counted(Some(used)).unwrap().room(of(seen), of(due));
        room.left
    };
    let left_is = |memory| Promise::new("0", memory);
    assert_eq!(left("1536Mi", "0", "0"), left_is("512Mi"));
    assert_eq!(
        left("1536Mi", "1Gi", "0"),
        left_is("512Mi"),
        "seen and counted"
    );
    assert_eq!(
        left("512Mi", "1Gi", "0"),
        left_is("1Gi"),
        "seen before the count"
    );
    assert_eq!(left("512Mi", "512Mi", "1Gi"), left_is("512Mi"));
    assert_eq!(
        left("3Gi", "0", "0"),
        Promise::default(),
        "the quota was made smaller"
    );
}

#[test]
fn a_larger_size_without_room_in_the_quota_is_refused_before_anything_is_touched() {
    let small = wordpress().after(&installed());
    let room = |left: &str| with_room(small.clone(), "4", left, "0");
    // Small has 320Mi and medium wants 896Mi.
    let (reason, message) = refused(&room("575Mi"), &granted_before().size("medium"));
    assert_eq!(reason, "QuotaExceeded");
    assert_eq!(
        message,
        "spec.size: medium needs 896Mi of organization \"acme\"'s spec.quota.memory, and 895Mi is \
         left; choose a smaller size here, stop or shrink another instance, or raise the quota. \
         Nothing is made or changed until then"
    );
    granted(&room("576Mi"), &granted_before().size("medium"));
    // What it has, or less, stays granted however small the quota has become.
    granted(&room("0"), &granted_before());
    granted(&room("0"), &granted_before().size("medium").stopped());
    let medium = wordpress().after(&granted_before().size("medium"));
    granted(&with_room(medium, "0", "0", "0"), &granted_before());
}

#[test]
fn pods_that_the_quota_did_not_admit_are_not_asked_room_for() {
    let scaled = wordpress()
        .change(|spec| spec.max_replicas = None)
        .after(&granted_before())
        .see(|seen| seen.workload.as_mut().unwrap().wished = 9);
    granted(
        &with_room(scaled, "4", "576Mi", "0"),
        &granted_before().replicas(9).size("medium"),
    );
}

#[test]
fn a_first_order_without_room_in_the_quota_is_refused_before_anything_is_made() {
    let room = |cpu: &str, memory: &str| with_room(wordpress(), cpu, memory, "1Ti");
    let (reason, message) = refused(&room("4", "319Mi"), &shop());
    assert_eq!(reason, "QuotaExceeded");
    let words = "spec.size: small needs 320Mi of organization \"acme\"'s spec.quota.memory, and 319Mi is left";
    assert!(message.starts_with(words), "{message}");
    let (_, message) = refused(&room("1m", "1Gi"), &shop());
    assert!(
        message.contains("spec.quota.cpu, and 1m is left"),
        "{message}"
    );
    granted(&room("4", "320Mi"), &shop());
    granted(&room("0", "0"), &shop().stopped());
    // What was begun goes on: its own pods take the room.
    let begun = wordpress().after(&shop());
    let with_address = shop().host("shop-x7k2m9p4qa.apps.example");
    granted(&with_room(begun, "0", "0", "0"), &with_address);
}

#[test]
fn a_stopped_instance_without_room_in_the_quota_is_not_half_started() {
    let stopped = wordpress().after(&granted_before().stopped());
    let room = |memory: &str| with_room(stopped.clone(), "4", memory, "1Ti");
    granted(&room("0"), &granted_before().stopped());
    let (reason, message) = refused(&room("319Mi"), &granted_before());
    assert_eq!(reason, "QuotaExceeded");
    assert!(message.contains("needs 320Mi"), "{message}");
    granted(&room("320Mi"), &granted_before());
}

/// What an instance is due in this world.
fn due(world: &World, instance: &Instance) -> Promise {
    plan::quota::due(instance, &granted(world, instance), &world.observed)
}

/// A pod that is promised what those of the small WordPress are.
fn pod_of(component: &str) -> PodSeen {
    let (cpu, memory) = match component {
        "database" => ("25m", "128Mi"),
        _ => ("50m", "192Mi"),
    };
    PodSeen {
        component: component.to_owned(),
        promise: Promise::new(cpu, memory),
        ..PodSeen::default()
    }
}

#[test]
fn what_was_granted_is_due_until_it_is_there() {
    let new = wordpress();
    let all = due(&new, &shop());
    assert_eq!(all.memory, Promise::new("0", "320Mi").memory);
    assert!(all.storage > 0, "its volumes");
    assert_eq!(due(&new, &shop().stopped()).memory, 0);
    // The pod of the installation stands for the app's, which follows it.
    let begun = new.clone().after(&shop());
    assert_eq!(due(&begun, &shop()), Promise { storage: 0, ..all });
    let pods = |components: &[&str]| {
        let pods = components.iter().map(|it| pod_of(it)).collect();
        begun.clone().see(|seen| seen.pods = pods)
    };
    let database = due(&pods(&["database"]), &shop());
    assert_eq!(database, Promise::new("50m", "192Mi"));
    assert_eq!(
        due(&pods(&["database", "job"]), &shop()),
        Promise::default()
    );
}

#[test]
fn what_is_refused_or_has_failed_is_not_kept_room_for() {
    let begun = wordpress().after(&shop());
    let job = |edit: fn(&mut JobSeen)| {
        begun.clone().see(|seen| {
            seen.jobs.values_mut().for_each(edit);
        })
    };
    let refusal = || Some("exceeded quota: tutti".to_owned());
    assert_ne!(due(&job(|_| {}), &shop()), Promise::default());
    let nothing = [
        job(|job| job.failed = Some("BackoffLimitExceeded".to_owned())),
        job(|job| job.podless = Some("exceeded quota: tutti".to_owned())),
        begun
            .clone()
            .see(|seen| seen.database.as_mut().unwrap().failure = refusal()),
    ];
    for world in nothing {
        assert_eq!(due(&world, &shop()), Promise::default());
    }
    let paused = {
        let mut shop = shop();
        shop.spec.paused = true;
        shop
    };
    assert_eq!(due(&begun, &paused), Promise::default());
}

#[test]
fn a_database_that_grows_keeps_the_room_that_it_comes_back_to() {
    let small = wordpress().after(&granted_before());
    let ends_first = |left: &str, size: &str| {
        let world = with_room(small.clone(), "4", left, "0");
        let deployment = granted(&world, &granted_before().size(size))
            .workload
            .unwrap();
        let rolling = deployment.spec.unwrap().strategy.unwrap().rolling_update;
        rolling.unwrap().max_unavailable == Some(IntOrString::Int(1))
    };
    // Medium takes 576Mi more, and the small pod of the app has 192Mi until it ends.
    assert!(ends_first("576Mi", "medium"));
    assert!(ends_first("767Mi", "medium"));
    assert!(!ends_first("768Mi", "medium"));
    assert!(!ends_first("0", "small"), "nothing grows");
}

#[test]
fn a_pod_ends_before_the_next_one_starts_only_where_the_quota_has_no_room_for_both() {
    let running = wordpress().after(&granted_before());
    let ends_first = |world: &World| {
        let deployment = granted(world, &granted_before()).workload.unwrap();
        let rolling = deployment.spec.unwrap().strategy.unwrap().rolling_update;
        let rolling = rolling.unwrap();
        let ends = match rolling.max_unavailable.unwrap() {
            IntOrString::Int(pods) => pods,
            IntOrString::String(share) => panic!("a share of pods: {share}"),
        };
        let surge = IntOrString::Int(i32::from(ends == 0));
        assert_eq!(
            rolling.max_surge,
            Some(surge),
            "Kubernetes takes not both as 0"
        );
        ends
    };
    let seen = |edit: fn(&mut WorkloadSeen)| {
        running
            .clone()
            .see(|seen| edit(seen.workload.as_mut().unwrap()))
    };
    assert_eq!(ends_first(&running), 0);
    assert_eq!(ends_first(&seen(|seen| seen.updated = 0)), 0);
    let of_another_kind = seen(|seen| {
        seen.updated = 0;
        seen.failure = Some("violates PodSecurity".to_owned());
    });
    assert_eq!(ends_first(&of_another_kind), 0);
    let refused = seen(|seen| {
        seen.updated = 0;
        seen.failure = Some("exceeded quota: tutti".to_owned());
    });
    assert_eq!(ends_first(&refused), 1);
    // It stays so until all are there, or the one that ended would be started again.
    let ended = seen(|seen| (seen.max_unavailable, seen.updated, seen.replicas) = (1, 0, 0));
    assert_eq!(ends_first(&ended), 1);
    assert_eq!(ends_first(&seen(|seen| seen.max_unavailable = 1)), 0);
    // Its database comes first: without it no pod of the app answers.
    let waits = running.clone().see(|seen| {
        seen.database.as_mut().unwrap().failure = Some("exceeded quota: tutti".to_owned());
    });
    assert_eq!(ends_first(&waits), 1);
    // Those that were never admitted are away, and one that is there has to end all the same.
    let scaled = seen(|seen| {
        (seen.wished, seen.replicas) = (3, 2);
        seen.failure = Some("exceeded quota: tutti".to_owned());
    });
    assert_eq!(ends_first(&scaled), 2);
    let ending = scaled.see(|seen| {
        seen.pods.push(PodSeen {
            is_deleting: true,
            ..pod_of("web")
        });
    });
    assert_eq!(ends_first(&ending), 1);
}

#[test]
fn volumes_without_room_in_the_quota_are_refused_before_anything_is_made() {
    let with_room = |world: World, storage: &str| with_room(world, "4", "8Gi", storage);
    let wish = shop().storage("content", "10Gi").storage("database", "4Gi");
    let (reason, message) = refused(&with_room(wordpress(), "13000Mi"), &wish);
    assert_eq!(reason, "QuotaExceeded");
    assert_eq!(
        message,
        "spec.storage: with content 10Gi and database 4Gi the volumes of this instance take \
         14Gi of organization \"acme\"'s spec.quota.storage, and 13000Mi is left; ask for less \
         (spec.storage.<volume>), delete volumes that nobody needs (kubectl get pvc -n acme), or \
         raise the quota. What there is stays as it is"
    );
    granted(&with_room(wordpress(), "14Gi"), &wish);
    // Only what grows is named and judged, and what there is stays granted.
    let made = wordpress().after(&wish);
    granted(&with_room(made.clone(), "0"), &wish);
    let larger = wish.storage("content", "11Gi");
    granted(&with_room(made.clone(), "1Gi"), &larger);
    let (_, message) = refused(&with_room(made, "1023Mi"), &larger);
    assert!(
        message.contains("with content 11Gi the volumes"),
        "{message}"
    );
}

#[test]
fn more_pods_than_the_app_can_are_refused() {
    let (reason, message) = refused(&wordpress(), &shop().replicas(2));
    assert_eq!(reason, "TooManyReplicas");
    assert!(message.starts_with("spec.replicas: "), "{message}");
    granted(&wordpress(), &shop().replicas(1));
    let unlimited = wordpress().change(|spec| spec.max_replicas = None);
    granted(&unlimited, &shop().replicas(2));
}

#[test]
fn an_unknown_setting_is_refused() {
    let (reason, message) = refused(&wordpress(), &shop().setting("colour", "red"));
    assert_eq!(reason, "UnknownSetting");
    assert_eq!(
        message,
        "spec.settings.colour: wordpress has no such setting; it has title, language, email and localLogin"
    );
    granted(&wordpress(), &shop().setting("title", "Red"));
}

#[test]
fn a_setting_that_matches_its_pattern_only_in_part_is_refused() {
    for value in ["nobody", "a@b c", "a@b\n", "a@b\nBcc: c@d"] {
        let (reason, message) = refused(&wordpress(), &shop().setting("email", value));
        assert_eq!(reason, "InvalidSetting", "{value:?}");
        assert!(
            message.starts_with("spec.settings.email (E-mail address of the administrator): "),
            "{message}"
        );
    }
    granted(&wordpress(), &shop().setting("email", "a@b"));
    granted(&wordpress(), &shop().setting("email", ""));
}

#[test]
fn storage_for_a_volume_that_the_app_has_not_is_refused() {
    let (reason, message) = refused(&wordpress(), &shop().storage("data", "9Gi"));
    assert_eq!(reason, "UnknownVolume");
    assert_eq!(
        message,
        "spec.storage.data: wordpress has no such volume; it has content and database"
    );
    let state = granted(&wordpress(), &shop().storage("database", "9Gi"));
    assert_eq!(planned_size(&state, "shop-database"), "9Gi");
    let stateless = wordpress().without_database();
    let (reason, _) = refused(&stateless, &shop().storage("database", "9Gi"));
    assert_eq!(reason, "UnknownVolume");
}

#[test]
fn a_volume_that_would_shrink_is_refused_and_sizes_are_compared_by_value() {
    let world = volume_of(wordpress(), "10Gi");
    let (reason, message) = refused(&world, &shop().storage("content", "9Gi"));
    assert_eq!(reason, "StorageCannotShrink");
    assert_eq!(
        message,
        "spec.storage.content: volumes only grow; it has 10Gi, and 9Gi was asked for; ask for \
         10Gi or more"
    );
    for same_or_more in ["10Gi", "10240Mi", "11Gi"] {
        granted(&world, &shop().storage("content", same_or_more));
    }
}

#[test]
fn a_definition_whose_default_changed_leaves_present_volumes_alone() {
    for present in ["10Gi", "1Gi"] {
        let state = granted(&volume_of(wordpress(), present), &shop());
        assert_eq!(planned_size(&state, "shop-content"), present);
    }
}

#[test]
fn a_present_volume_keeps_the_storage_class_that_it_was_made_with() {
    let class = |world: World| {
        let state = granted(&world, &shop());
        let spec = state.volumes[0].spec.clone().unwrap();
        (
            state.volumes[0].metadata.name.clone().unwrap(),
            spec.storage_class_name,
        )
    };
    let fast = |mut world: World| {
        world.platform.storage_class = Some("fast".to_owned());
        world
    };
    let name = "shop-content".to_owned();
    let made = class(fast(wordpress()));
    assert_eq!(made, (name.clone(), Some("fast".to_owned())));
    // The cluster chose, and nobody says otherwise afterwards.
    let chosen = class(fast(volume_of(wordpress(), "5Gi")));
    assert_eq!(chosen, (name.clone(), None));
    let before = volume_of(wordpress(), "5Gi").see(|seen| {
        let volume = seen.volumes.get_mut("content").unwrap();
        volume.class = Some("slow".to_owned());
    });
    assert_eq!(class(before), (name, Some("slow".to_owned())));
}

/// The Domain says so; the instance goes on.
#[test]
fn a_domain_under_the_platforms_own_zone_stops_nothing_and_gets_no_route() {
    for domain in ["x.apps.example", "blog-x7k2m9p4qa.apps.example"] {
        let state = granted(&wordpress(), &shop().domain(domain));
        let routed = state.routes.iter().filter(|it| it.spec.hostname == domain);
        assert_eq!((state.domains.len(), routed.count()), (1, 0), "{domain}");
    }
}

#[test]
fn an_app_that_signs_in_by_openid_connect_has_a_client_for_each_address_that_it_answers_at() {
    let mut shop = shop();
    for domain in ["www.acme.example", "acme.example", "*.acme.example"] {
        shop = shop.domain(domain);
    }
    let world = wordpress().after(&shop).see(|seen| {
        let led_on = seen.domains.iter_mut();
        led_on
            .filter(|domain| domain.hostname == "acme.example")
            .for_each(|domain| domain.redirect_to = Some("www.acme.example".to_owned()));
    });
    assert_eq!(granted(&world, &shop).clients, []);
    let world = world.change(sign_in_by_openid_connect);
    let clients = granted(&world, &shop).clients;
    let [client] = clients.as_slice() else {
        panic!("{clients:?}");
    };
    assert_eq!(
        client.spec.instance.as_deref(),
        client.metadata.name.as_deref()
    );
    assert_eq!(client.spec.secret, "shop-sso");
    let origins = [
        "https://shop-x7k2m9p4qa.apps.example",
        "https://www.acme.example",
    ];
    assert_eq!(
        client.spec.redirect_uris,
        origins.map(|it| format!("{it}/callback"))
    );
    let after = &client.spec.post_logout_redirect_uris;
    assert_eq!(*after, origins.map(|it| format!("{it}/")));
}

/// What the pods of the app read of idm's Secret, and which client secret they are restarted for.
fn credentials(world: &World, shop: &Instance) -> Option<(Vec<String>, Option<String>)> {
    let template = granted(world, shop).workload?.spec.unwrap().template;
    let pod = template.spec.unwrap();
    let variables = pod.containers[0].env.clone().unwrap_or_default();
    let read = variables.into_iter().filter_map(|variable| {
        let from = variable.value_from?.secret_key_ref?;
        (from.name == "shop-sso").then(|| format!("{}={}", variable.name, from.key))
    });
    let annotations = template.metadata.and_then(|metadata| metadata.annotations);
    let mark = annotations.and_then(|mut all| all.remove(labels::CLIENT_SECRET));
    Some((read.collect(), mark))
}

#[test]
fn an_app_begins_when_idm_has_made_what_it_signs_people_in_with_and_restarts_for_another_secret() {
    let shop = installed();
    let unregistered = wordpress().change(sign_in_by_openid_connect);
    assert_eq!(credentials(&unregistered, &shop), None);
    let plan = granted(&unregistered, &shop);
    assert_eq!(
        (plan.clients.len(), plan.cron_jobs.as_slice()),
        (1, &[][..])
    );

    let world = unregistered
        .clone()
        .see(|seen| seen.client = Some(registered(SECRET_DIGEST)));
    let (read, mark) = credentials(&world, &shop).unwrap();
    let expected = [
        "OIDC_CLIENT_ID=clientId",
        "OIDC_CLIENT_SECRET=clientSecret",
        "OIDC_ISSUER=issuer",
        "OIDC_BACKCHANNEL=backchannel",
    ];
    assert_eq!(read, expected);
    assert_eq!(mark.as_deref(), Some(&SECRET_DIGEST[..16]));
    let other = "f".repeat(64);
    let rotated = world
        .clone()
        .see(|seen| seen.client = Some(registered(&other)));
    assert_eq!(
        credentials(&rotated, &shop).unwrap().1.as_deref(),
        Some(&other[..16])
    );

    // The database does not read it.
    let database = granted(&world, &shop).database.unwrap().spec.unwrap();
    let annotations = database.template.metadata.unwrap().annotations;
    assert_eq!(
        annotations.unwrap_or_default().get(labels::CLIENT_SECRET),
        None
    );

    // What runs goes on as it is while idm makes it anew.
    let running = world.after(&shop).see(|seen| seen.client = None);
    assert_eq!(credentials(&running, &shop), Some((read, mark)));
    assert!(!granted(&running, &shop).cron_jobs.is_empty());
}

#[test]
fn an_app_that_begins_to_sign_people_in_runs_on_as_it_is_until_it_can_and_is_stopped_all_the_same()
{
    let world = wordpress()
        .after(&installed())
        .see(|seen| seen.client = None);
    let world = world.change(sign_in_by_openid_connect);
    let plan = granted(&world, &installed());
    assert!(plan.workload.is_none() && !plan.cron_jobs.is_empty());
    let stopped = granted(&world, &installed().stopped()).workload.unwrap();
    assert_eq!(stopped.spec.unwrap().replicas, Some(0));
}

#[test]
fn no_job_is_begun_without_what_a_sign_in_needs_and_none_is_torn_down_for_it() {
    let unregistered = wordpress().change(sign_in_by_openid_connect);
    assert_eq!(granted(&unregistered, &shop()).jobs, []);
    let world = unregistered.see(|seen| seen.client = Some(registered(SECRET_DIGEST)));
    let jobs = granted(&world, &shop()).jobs;
    let name = jobs[0].metadata.name.clone().unwrap();
    let begun = world.see(|seen| {
        seen.client = None;
        seen.jobs.insert(name, job_under_way());
    });
    assert_eq!(granted(&begun, &shop()).jobs, jobs);
}

#[test]
fn idm_is_told_that_a_clients_secret_is_gone_and_people_are_told_that_it_comes_back() {
    let there = wordpress()
        .change(sign_in_by_openid_connect)
        .see(|seen| seen.client = Some(registered(SECRET_DIGEST)));
    let told = |world: &World| {
        let desired = granted(world, &shop());
        let annotations = desired.clients[0].metadata.annotations.clone();
        annotations.and_then(|it| it.get("tutti.dev/secret-gone").cloned())
    };
    assert_eq!(told(&there), None);
    let running = granted(&there, &shop()).workload;
    let gone = there.see(|seen| seen.is_client_secret_gone = true);
    assert_eq!(told(&gone).as_deref(), Some(SECRET_DIGEST));
    // Pods that run are left alone.
    assert_eq!(granted(&gone, &shop()).workload, running);
}

#[test]
fn where_the_platform_has_no_idm_the_app_begins_at_once_and_is_told_of_no_other_sign_in() {
    let with = wordpress()
        .change(sign_in_by_openid_connect)
        .see(|seen| seen.client = Some(registered(SECRET_DIGEST)));
    let mut without = wordpress().change(sign_in_by_openid_connect);
    without.platform.idm = None;
    let told = |world: &World| {
        let desired = granted(world, &shop());
        let job = desired.jobs.first().expect("it begins").clone();
        let container = job
            .spec
            .unwrap()
            .template
            .spec
            .unwrap()
            .containers
            .remove(0);
        let variables = container.env.unwrap_or_default();
        let told = variables.iter().any(|v| v.name.starts_with("OIDC_"));
        (told, desired.clients.len())
    };
    assert_eq!(told(&with), (true, 1));
    assert_eq!(told(&without), (false, 0));
}

#[test]
fn an_app_that_signs_people_in_reaches_idm_and_no_other_does() {
    let reaches = |world: &World| {
        let policy = granted(world, &shop()).network_policies.remove(0);
        let rules = policy.spec.unwrap().egress.unwrap();
        rules.iter().any(|rule| {
            let ports = rule.ports.iter().flatten();
            let mut ports = ports.filter_map(|port| port.port.clone());
            ports.any(|port| port == IntOrString::Int(8083))
        })
    };
    assert!(!reaches(&wordpress()));
    let mut world = wordpress().change(sign_in_by_openid_connect);
    assert!(reaches(&world));
    world.platform.idm = None;
    assert!(!reaches(&world));
}

#[test]
fn who_may_open_an_instance_is_said_of_each_of_its_hostnames() {
    let accesses = |shop: &Instance| -> Vec<Access> {
        let routes = granted(&wordpress().after(shop), shop).routes;
        routes.iter().map(|route| route.spec.access).collect()
    };
    let mut shop = shop().domain("www.acme.example");
    assert_eq!(accesses(&shop), [Access::Public; 2]);
    shop.spec.access = Access::Members;
    assert_eq!(accesses(&shop), [Access::Members; 2]);
}

#[test]
fn an_app_that_must_be_root_is_refused_where_pods_are_restricted() {
    let mut root = wordpress().change(|spec| {
        spec.security.run_as_user = 0;
        spec.security.exceptions = vec![SecurityException::RootUser];
    });
    let (reason, message) = refused(&root, &shop());
    assert_eq!(reason, "PodSecurityForbids");
    assert!(message.contains("spec.podSecurity"), "{message}");
    root.organization.as_mut().unwrap().pod_security = PodSecurity::Baseline;
    granted(&root, &shop());
}

#[test]
fn a_generated_secret_that_was_lost_is_told_and_not_replaced() {
    let shop = shop().generated(&["shop-salt", "shop-database"]);
    let lost = wordpress().see(|seen| {
        seen.secrets.insert("shop-salt".to_owned());
    });
    let (reason, message) = refused(&lost, &shop);
    assert_eq!(reason, "SecretMissing");
    assert!(message.starts_with("deleted: shop-database. "), "{message}");
    assert!(
        message.ends_with(
            "kubectl annotate appi/shop -n acme --overwrite \
             tutti.dev/regenerate-secret=shop-database"
        ),
        "{message}"
    );
    let forgiven = shop
        .clone()
        .annotated(labels::REGENERATE_SECRET, "other, shop-database");
    granted(&lost, &forgiven);
    let found = lost.see(|seen| {
        seen.secrets.insert("shop-database".to_owned());
    });
    granted(&found, &shop);
}

#[test]
fn a_secret_that_the_definition_wants_no_more_is_not_missed() {
    let shop = shop().generated(&["shop-old-key"]);
    granted(&wordpress(), &shop);
}

#[test]
fn a_volume_that_was_lost_is_told_and_not_replaced_by_an_empty_one() {
    let made = |uid: &str| {
        let volume = |name: &str| Volume {
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        AppInstanceStatus {
            volumes: vec![volume("shop-content"), volume("shop-database")],
            ..AppInstanceStatus::default()
        }
    };
    let lost = volume_of(wordpress(), "1Gi");
    let (reason, message) = refused(&lost, &shop().status(made("3f2c")));
    assert_eq!(reason, "VolumeMissing");
    assert!(
        message.starts_with("deleted: shop-database, with all that was on it. "),
        "{message}"
    );
    assert!(
        message.ends_with(
            "kubectl annotate appi/shop -n acme --overwrite tutti.dev/recreate-volume=3f2c"
        ),
        "{message}"
    );
    let forgiven = |uid| {
        let forgiven = shop().annotated(labels::RECREATE_VOLUME, "other, 3f2c");
        forgiven.status(made(uid))
    };
    granted(&lost, &forgiven("3f2c"));
    let (reason, _) = refused(&lost, &forgiven("the next one's"));
    assert_eq!(reason, "VolumeMissing");
    // What was never made is made, and what the definition wants no more is not missed.
    granted(&lost, &shop());
    let wanted_no_more = lost.without_database();
    granted(&wanted_no_more, &shop().status(made("3f2c")));
}

#[test]
fn pods_restart_for_a_secret_that_is_generated_anew() {
    let restart = |instance: &Instance| {
        let state = granted(&wordpress(), instance);
        let template = state.database.unwrap().spec.unwrap().template;
        template.metadata.unwrap().annotations
    };
    assert_eq!(restart(&shop()), None);
    let annotated = shop().annotated(labels::REGENERATE_SECRET, "shop-database");
    assert!(
        restart(&annotated)
            .unwrap()
            .contains_key(labels::RESTART_FOR)
    );
}

#[test]
fn an_engine_without_an_image_is_told_to_the_platforms_operator() {
    let mut bare = wordpress();
    bare.platform.database_images.clear();
    let (reason, message) = refused(&bare, &shop());
    assert_eq!(reason, "NoDatabaseImage");
    assert!(message.contains("databaseImages.mariadb"), "{message}");
    let stateless = bare.without_database();
    granted(&stateless, &shop());
}

#[test]
fn a_default_host_is_never_changed_once_it_was_given() {
    let fresh = granted(&wordpress(), &shop());
    assert_eq!(fresh.host, "shop-x7k2m9p4qa.apps.example");
    assert_eq!(fresh.url, "https://shop-x7k2m9p4qa.apps.example");
    let old = "shop-abcdefghjk.old.example";
    let kept = wordpress().see(|seen| seen.host = Some(old.to_owned()));
    assert_eq!(granted(&kept, &shop()).host, old);
    let remembered = shop().host("shop-first.apps.example");
    assert_eq!(granted(&kept, &remembered).host, "shop-first.apps.example");
}

#[test]
fn a_host_that_somebody_wrote_on_a_route_or_on_kept_data_counts_nothing() {
    let seen: [fn(&mut Observed, String); 2] = [
        |seen, host| seen.host = Some(host),
        |seen, host| seen.served_host = Some(host),
    ];
    for written in [
        "login.apps.example",
        "shop.apps.example",
        "blog-abcdefghjk.apps.example",
        "shop-abcdefghj.apps.example",
        "shop-abcdefghj1.apps.example",
        "shop-abcdefghjk",
    ] {
        for seen in seen {
            let kept = wordpress().see(|observed| seen(observed, written.to_owned()));
            assert_eq!(granted(&kept, &shop()).host, "shop-x7k2m9p4qa.apps.example");
        }
    }
}

#[test]
fn of_two_hosts_that_two_operators_gave_at_once_the_one_that_is_served_stays() {
    let served = "shop-abcdefghjk.apps.example";
    let seen = wordpress().see(|seen| seen.served_host = Some(served.to_owned()));
    let told = shop().host("shop-mnpqrstuvw.apps.example");
    assert_eq!(granted(&seen, &told).host, served);
}

#[test]
fn data_that_another_app_left_is_refused() {
    let of = |app: &str| wordpress().see(|seen| seen.app = Some(app.to_owned()));
    granted(&of("wordpress"), &shop());
    let (reason, message) = refused(&of("mediawiki"), &shop());
    assert_eq!(reason, "DataOfAnotherApp");
    assert!(message.starts_with("spec.app: "), "{message}");
    assert!(
        message.contains("kubectl delete pvc,secret -n acme"),
        "{message}"
    );
}

#[test]
fn pods_pull_their_images_with_the_platforms_secrets() {
    let mut private = wordpress();
    private.platform.image_pull_secrets = vec!["registry".to_owned()];
    let named = granted(&private, &shop())
        .account
        .image_pull_secrets
        .unwrap();
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].name, "registry");
}

#[test]
fn the_address_names_the_port_where_it_is_not_https_own() {
    let mut world = wordpress();
    world.platform.https_port = 8443;
    assert_eq!(
        granted(&world, &shop()).url,
        "https://shop-x7k2m9p4qa.apps.example:8443"
    );
}

/// A new kind of rejection that nobody wrote a test for does not compile: add one above.
#[allow(dead_code, reason = "it has done its work when it compiles")]
fn every_rejection_has_a_test_here(rejection: &Rejection) {
    match rejection {
        Rejection::NotInAnOrganization { .. }
        | Rejection::OrganizationNotFenced { .. }
        | Rejection::OrganizationIsLeaving { .. }
        | Rejection::QuotaExceeded { .. }
        | Rejection::UnknownApp { .. }
        | Rejection::DefinitionInvalid { .. }
        | Rejection::DataOfAnotherApp { .. }
        | Rejection::UnknownVersion { .. }
        | Rejection::CannotUpgrade { .. }
        | Rejection::UnknownSize { .. }
        | Rejection::SizeOverQuota { .. }
        | Rejection::StorageOverQuota { .. }
        | Rejection::TooManyReplicas { .. }
        | Rejection::UnknownSetting { .. }
        | Rejection::InvalidSetting { .. }
        | Rejection::UnknownVolume { .. }
        | Rejection::StorageCannotShrink { .. }
        | Rejection::PodSecurityForbids { .. }
        | Rejection::SecretMissing { .. }
        | Rejection::VolumeMissing { .. }
        | Rejection::NoDatabaseImage { .. } => {}
    }
}
