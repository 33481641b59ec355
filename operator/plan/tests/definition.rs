//! What is wrong with a definition, and where.

use crds::{
    AppDefinitionSpec,
    app_definition::{Admin, Credential, EnvVar, GeneratedSecret, Setting, SsoProtocol, When},
};
use plan::definition::problems;

use crate::support::{catalogue, sign_in_by_itself, without_database, world};

/// WordPress, signing people in by itself, with one thing changed.
fn after(edit: impl FnOnce(&mut AppDefinitionSpec)) -> Vec<String> {
    let world = world("wordpress").change(sign_in_by_itself).change(edit);
    let spec = world.definition.unwrap().spec;
    problems(&spec).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn one_problem(edit: impl FnOnce(&mut AppDefinitionSpec), told: &str) {
    assert_eq!(after(edit), [told]);
}

fn text(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        secret: None,
        sso: None,
    }
}

fn from_secret(name: &str, secret: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        secret: Some(secret.to_owned()),
        sso: None,
    }
}

#[test]
fn every_definition_of_the_catalogue_is_sound() {
    let catalogue = catalogue();
    assert!(!catalogue.is_empty());
    for (app, definition) in catalogue {
        assert_eq!(problems(&definition.spec), [], "{app}");
    }
}

#[test]
fn a_version_that_upgrades_from_itself_is_told() {
    one_problem(
        |spec| spec.versions[0].upgradable_from.push("6.8".to_owned()),
        "spec.versions[0].upgradableFrom[1]: a version cannot be upgraded to itself; remove 6.8 here",
    );
}

#[test]
fn a_version_that_left_the_list_may_still_be_upgraded_from() {
    let found = after(|spec| spec.versions[0].upgradable_from.push("5.9".to_owned()));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn an_image_that_is_none_is_told_with_its_index() {
    for image in [
        "wordpress",
        "registry.example:5000/wordpress",
        "wordpress:",
        "wordpress:a b",
        "a//b:1",
        "Wordpress:1",
        "wordpress@sha256:abc",
        "https://registry.example/wordpress:1",
        "wordpress:1\n",
    ] {
        let found = after(|spec| spec.versions[1].image = image.to_owned());
        assert_eq!(found.len(), 1, "{image}: {found:?}");
        assert!(
            found[0].starts_with("spec.versions[1].image: "),
            "{found:?}"
        );
    }
    let digest = format!("wordpress@sha256:{}", "0a".repeat(32));
    for image in [
        "wordpress:6.8",
        "registry.example:5000/a/b_c/word-press:6.8-1",
        &digest,
    ] {
        let found = after(|spec| spec.versions[1].image = image.to_owned());
        assert_eq!(found, Vec::<String>::new(), "{image}");
    }
}

#[test]
fn a_setting_whose_pattern_is_none_is_told() {
    let found = after(|spec| spec.settings[1].pattern = Some("(".to_owned()));
    assert!(
        found[0].starts_with("spec.settings[1].pattern: \"(\" is no regular expression: "),
        "{found:?}"
    );
}

#[test]
fn a_pattern_that_would_take_all_memory_is_no_pattern() {
    let found = after(|spec| spec.settings[1].pattern = Some("(a{1000}){1000}".to_owned()));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_default_that_breaks_the_settings_own_pattern_is_told() {
    one_problem(
        |spec| spec.settings[1].default = "deutsch".to_owned(),
        "spec.settings[1].default: \"deutsch\" does not match the setting's own pattern \
         ^[a-z]{2,3}(_[A-Z]{2})?$",
    );
}

#[test]
fn a_template_that_is_never_closed_is_told() {
    one_problem(
        |spec| spec.env[0].value = Some("${instance.url".to_owned()),
        "spec.env[0].value: WORDPRESS_URL: \"${instance.url\" is never closed by \"}\"",
    );
}

#[test]
fn a_template_of_an_unknown_name_is_told() {
    one_problem(
        |spec| spec.env[1].value = Some("a ${instance.nmae} b".to_owned()),
        "spec.env[1].value: WORDPRESS_SERVICE: \"${instance.nmae}\" stands for nothing",
    );
    one_problem(
        |spec| spec.env[2].value = Some("${settings.titel}".to_owned()),
        "spec.env[2].value: WORDPRESS_TITLE: \"${settings.titel}\": there is no entry \"titel\" in \
         settings",
    );
}

#[test]
fn an_environment_that_refers_to_no_database_is_told_wherever_it_does() {
    let found = after(|spec| {
        without_database(spec);
        spec.env = vec![
            text("HOST", "${database.host}"),
            from_secret("PASSWORD", "database-password"),
        ];
    });
    assert_eq!(
        found,
        [
            "spec.env[0].value: HOST: \"${database.host}\": there is no database: database.engine is \
             none",
            "spec.env[1].secret: PASSWORD: there is no database: database.engine is none",
        ]
    );
}

#[test]
fn a_secret_that_is_not_listed_is_told_where_it_is_used() {
    let found = after(|spec| {
        spec.env.insert(0, from_secret("KEY", "key"));
        spec.admin = Some(Admin {
            user: "admin".to_owned(),
            password_secret: Some("pasword".to_owned()),
            path: None,
        });
    });
    assert_eq!(
        found,
        [
            "spec.env[0].secret: KEY: there is no entry \"key\" in secrets",
            "spec.admin.passwordSecret: there is no entry \"pasword\" in secrets",
        ]
    );
}

#[test]
fn a_variable_without_value_or_with_two_is_told() {
    one_problem(
        |spec| spec.env[0].value = None,
        "spec.env[0]: WORDPRESS_URL: give it exactly one of value, secret and sso",
    );
    one_problem(
        |spec| spec.env[0].secret = Some("salt".to_owned()),
        "spec.env[0]: WORDPRESS_URL: give it exactly one of value, secret and sso",
    );
    one_problem(
        |spec| spec.env[0].sso = Some(Credential::Issuer),
        "spec.env[0]: WORDPRESS_URL: give it exactly one of value, secret and sso",
    );
}

#[test]
fn names_that_occur_twice_are_told_with_both_places() {
    one_problem(
        |spec| {
            let same = spec.sizes[1].clone();
            spec.sizes.push(same);
        },
        "spec.sizes[3].name: \"medium\" is the name of sizes[1] already; choose another",
    );
    one_problem(
        |spec| {
            let same = Setting {
                pattern: None,
                ..spec.settings[0].clone()
            };
            spec.settings.insert(1, same);
        },
        "spec.settings[1].name: \"title\" is the name of settings[0] already; choose another",
    );
}

#[test]
fn names_that_the_platform_uses_are_told() {
    one_problem(
        |spec| spec.volumes[0].name = "scratch-0".to_owned(),
        "spec.volumes[0].name: \"scratch-0\" is reserved for security.writablePaths; choose another",
    );
    one_problem(
        |spec| spec.volumes[0].name = "database".to_owned(),
        "spec.volumes[0].name: \"database\" is reserved for the database's own volume; choose another",
    );
    one_problem(
        |spec| spec.jobs[2].name = "to-6-8".to_owned(),
        "spec.jobs[2].name: \"to-6-8\" is reserved for upgrades to a version; choose another",
    );
    for name in ["database", "database-password", "identity"] {
        let found = after(|spec| {
            let mut secret = spec.secrets[0].clone();
            secret.name = name.to_owned();
            spec.secrets.push(secret);
        });
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn a_size_that_says_nothing_about_the_database_is_told() {
    one_problem(
        |spec| spec.sizes[2].database = None,
        "spec.sizes[2].database: size large does not say what the database may use",
    );
}

#[test]
fn a_size_that_speaks_of_a_database_that_there_is_not_is_told() {
    one_problem(
        |spec| {
            let of_database = spec.sizes[1].database.clone();
            without_database(spec);
            spec.sizes[1].database = of_database;
        },
        "spec.sizes[1].database: size medium says what the database may use, but database.engine is \
         none; remove it, or choose an engine",
    );
}

#[test]
fn a_request_above_its_limit_is_told_and_quantities_are_compared_by_value() {
    one_problem(
        |spec| spec.sizes[0].requests.memory = "513Mi".to_owned(),
        "spec.sizes[0].requests.memory: 513Mi is more than the limit of 512Mi",
    );
    one_problem(
        |spec| spec.sizes[1].database.as_mut().unwrap().requests.cpu = "1001m".to_owned(),
        "spec.sizes[1].database.requests.cpu: 1001m is more than the limit of 1",
    );
    assert!(after(|spec| spec.sizes[0].requests.cpu = "1000m".to_owned()).is_empty());
    one_problem(
        |spec| {
            spec.sizes[0].requests.cpu = "0".to_owned();
            spec.sizes[0].limits.cpu = "0m".to_owned();
        },
        "spec.sizes[0].limits.cpu: 0m is nothing at all",
    );
}

#[test]
fn a_quantity_that_is_none_is_told_with_its_field_and_how_it_is_written() {
    one_problem(
        |spec| spec.volumes[0].size = "5Gb".to_owned(),
        "spec.volumes[0].size: \"5Gb\" is no quantity; write a number and a unit, such as 512Mi or 10Gi",
    );
    // Also where there is no database: the API server refuses it all the same.
    one_problem(
        |spec| {
            without_database(spec);
            spec.database.size = "10 Gi".to_owned();
        },
        "spec.database.size: \"10 Gi\" is no quantity; write a number and a unit, such as 512Mi or 10Gi",
    );
    let found = after(|spec| {
        spec.sizes[0].requests.cpu = "two".to_owned();
        spec.sizes[0].limits.memory = "1e3".to_owned();
        let database = spec.sizes[1].database.as_mut().unwrap();
        database.limits.cpu = "1k".to_owned();
        spec.http.body_limit = "1.5Gi".to_owned();
        spec.http.header_limit = "32".to_owned();
    });
    let cores = "is no quantity; write a number of cores, or of thousandths with an m, such as 2 \
                 or 250m";
    assert_eq!(
        found,
        [
            &format!("spec.sizes[0].requests.cpu: \"two\" {cores}"),
            "spec.sizes[0].limits.memory: \"1e3\" is no quantity; write a number and a unit up to Ti, \
             such as 512Mi or 10Gi",
            &format!("spec.sizes[1].database.limits.cpu: \"1k\" {cores}"),
            "spec.http.bodyLimit: \"1.5Gi\" is no quantity; write a whole number and a unit up to Gi, \
             such as 100Mi",
            "spec.http.headerLimit: \"32\" is no quantity; write a whole number and k or Ki, such as \
             32Ki",
        ]
    );
}

#[test]
fn an_app_without_a_version_or_a_size_is_told() {
    one_problem(
        |spec| spec.versions.clear(),
        "spec.versions: an app has at least one version",
    );
    one_problem(
        |spec| spec.sizes.clear(),
        "spec.sizes: an app has at least one size",
    );
}

#[test]
fn a_volume_without_a_unit_is_told() {
    one_problem(
        |spec| spec.volumes[0].size = "10".to_owned(),
        "spec.volumes[0].size: \"10\" is less than 1Mi; give the unit too, such as 10Gi",
    );
    one_problem(
        |spec| spec.database.size = "0Gi".to_owned(),
        "spec.database.size: \"0Gi\" is less than 1Mi; give the unit too, such as 10Gi",
    );
}

#[test]
fn a_database_without_a_version_is_told() {
    one_problem(
        |spec| spec.database.version = None,
        "spec.database.version: say which version of the engine the app wants",
    );
}

#[test]
fn a_folder_that_is_mounted_twice_is_told_with_both_places() {
    one_problem(
        |spec| {
            spec.security
                .writable_paths
                .push("/var/lib/wordpress".to_owned())
        },
        "spec.security.writablePaths[2]: /var/lib/wordpress is mounted by volumes[0].path already",
    );
    one_problem(
        |spec| spec.security.writable_paths.push("/tmp".to_owned()),
        "spec.security.writablePaths[2]: /tmp is mounted by security.writablePaths[0] already",
    );
}

#[test]
fn a_path_that_is_not_plain_or_belongs_to_the_kernel_is_told() {
    for path in ["/a/", "/a//b", "/a/../b", "/./a", "a", "/"] {
        let found = after(|spec| spec.volumes[0].path = path.to_owned());
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert!(found[0].starts_with("spec.volumes[0].path: "), "{found:?}");
    }
    one_problem(
        |spec| spec.security.writable_paths[0] = "/proc/x".to_owned(),
        "spec.security.writablePaths[0]: /proc belongs to the kernel; choose another folder",
    );
}

#[test]
fn root_and_low_ports_need_their_exceptions() {
    use crds::app_definition::SecurityException::{BindLowPorts, RootUser};
    one_problem(
        |spec| spec.security.run_as_user = 0,
        "spec.security.runAsUser: 0 is root; choose another user, or add RootUser to \
         security.exceptions",
    );
    one_problem(
        |spec| spec.port.number = 80,
        "spec.port.number: 80 is below 1024; choose another, or add BindLowPorts to \
         security.exceptions",
    );
    assert!(
        after(|spec| {
            spec.security.run_as_user = 0;
            spec.port.number = 80;
            spec.security.exceptions = vec![BindLowPorts, RootUser];
        })
        .is_empty()
    );
}

#[test]
fn a_schedule_belongs_to_periodic_jobs_and_must_be_one() {
    one_problem(
        |spec| spec.jobs[2].schedule = None,
        "spec.jobs[2].schedule: job cron is periodic; say when it runs",
    );
    one_problem(
        |spec| spec.jobs[0].schedule = Some("@daily".to_owned()),
        "spec.jobs[0].schedule: job install is not periodic; remove its schedule",
    );
    let found = after(|spec| spec.jobs[2].schedule = Some("99 * * * *".to_owned()));
    assert!(found[0].starts_with("spec.jobs[2].schedule: "), "{found:?}");
}

#[test]
fn a_second_install_job_is_told() {
    one_problem(
        |spec| spec.jobs[1].when = When::Install,
        "spec.jobs[1].when: jobs[0] runs on this occasion already; make one of the two",
    );
}

#[test]
fn a_sign_in_without_a_beginning_is_told() {
    one_problem(
        |spec| spec.sso.protocol = SsoProtocol::Saml,
        "spec.sso.loginPath: say where a sign-in begins",
    );
}

#[test]
fn a_sign_in_by_openid_connect_without_a_way_back_is_told() {
    one_problem(
        |spec| {
            spec.sso.protocol = SsoProtocol::Oidc;
            spec.sso.login_path = Some("/login".into());
        },
        "spec.sso.callbackPath: say where the answer of OpenID Connect comes back to",
    );
}

#[test]
fn a_way_back_that_no_client_could_be_registered_with_is_told() {
    for path in ["/call back", "/callback#now", "/*", "/a\\b", "/zurück"] {
        one_problem(
            |spec| {
                spec.sso.protocol = SsoProtocol::Oidc;
                spec.sso.login_path = Some("/login".into());
                spec.sso.callback_path = Some(path.into());
            },
            "spec.sso.callbackPath: ASCII without spaces, '#', '*' and backslashes: it becomes part of an address that is compared letter by letter",
        );
    }
}

#[test]
fn credentials_for_a_sign_in_that_there_is_not_are_told() {
    let told = "spec.env[0].sso: ISSUER: is for apps that sign people in by OpenID Connect: set sso.protocol to oidc, or \
                remove it here";
    let asks = |spec: &mut AppDefinitionSpec| {
        let issuer = EnvVar {
            sso: Some(Credential::Issuer),
            value: None,
            ..text("ISSUER", "")
        };
        spec.env.insert(0, issuer);
    };
    one_problem(asks, told);
    let problems = after(|spec| {
        asks(spec);
        spec.sso.protocol = SsoProtocol::Oidc;
        spec.sso.login_path = Some("/login".into());
        spec.sso.callback_path = Some("/callback".into());
    });
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn the_name_of_idms_secret_is_the_platforms() {
    one_problem(
        |spec| {
            let secret = spec.secrets[0].clone();
            spec.secrets.push(GeneratedSecret {
                name: "sso".into(),
                ..secret
            });
        },
        "spec.secrets[2].name: \"sso\" is reserved for what the platform makes; choose another",
    );
}
