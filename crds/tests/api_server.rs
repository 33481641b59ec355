//! The rules of every kind, tried on a real API server: for each one an object that is refused,
//! with the message that a person reads, and one next to it that is not.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like the test itself"
)]

mod support;

use crds::quantity::{self, Form};
use serde_json::json;
use support::{Kind, Object, every_rule_is_asserted_in, server};

const THIS_FILE: &str = include_str!("api_server.rs");

fn instance(name: &str) -> Object {
    Object::new(Kind::AppInstance, name)
        .with("/spec", json!({ "app": "wordpress", "version": "6.8" }))
}

fn organization(name: &str) -> Object {
    Object::new(Kind::Organization, name).with("/spec", json!({ "title": "Acme Ltd" }))
}

fn route(hostname: &str) -> Object {
    Object::new(Kind::Route, "shop").with(
        "/spec",
        json!({ "hostname": hostname, "backend": { "service": "shop", "port": 80 } }),
    )
}

fn domain(hostname: &str) -> Object {
    Object::new(Kind::Domain, "www")
        .with("/spec", json!({ "hostname": hostname, "instance": "shop" }))
}

fn sso_client(redirect_uri: &str) -> Object {
    Object::new(Kind::SsoClient, "shop").with(
        "/spec",
        json!({ "protocol": "oidc", "redirectUris": [redirect_uri], "secret": "shop-sso" }),
    )
}

/// Texts that are no such quantity are refused in words there, and all others are taken.
async fn takes_only_quantities(object: &Object, pointer: &str, form: Form) {
    let server = server().await;
    let (_, field) = pointer.rsplit_once('/').unwrap();
    for text in [
        "5Gb",
        "10 Gi",
        "1e3",
        "5G",
        "1.5Gi",
        "1.5",
        "10",
        "10m",
        "10Ki",
        "10k",
        "10Mi",
        "10Gi",
        "10Ti",
        "10Pi",
        "10P",
        "10Ei",
        "1.",
        ".5",
        "1.2.3",
        "-1",
        "+1",
        "",
        "Gi",
        "ten",
        "1gi",
        "1Gi'",
        "0.99999999999999999",
    ] {
        let object = object.clone().with(pointer, json!(text));
        match form.complaint(text) {
            None => drop(server.accepts(object).await),
            Some(complaint) => {
                let (_, mend) = complaint.split_once(" is no quantity").unwrap();
                let told = format!("{field}: '{text}' is no quantity{mend}");
                server.refuses(object, &told).await;
            }
        }
    }
}

/// The least that an app must say.
fn definition(name: &str) -> Object {
    let some = json!({ "cpu": "1", "memory": "1Gi" });
    Object::new(Kind::AppDefinition, name).with(
        "/spec",
        json!({
            "title": "Wiki",
            "description": "A wiki.",
            "versions": [{ "version": "1", "image": "wiki:1" }],
            "port": { "number": 8080 },
            "health": { "path": "/" },
            "sizes": [{ "name": "small", "requests": some, "limits": some }],
            "security": { "runAsUser": 33, "runAsGroup": 33 },
        }),
    )
}

/// The same with this database.
fn with_database(app: Object, database: serde_json::Value) -> Object {
    let some = json!({ "cpu": "1", "memory": "1Gi" });
    app.with("/spec/database", database).with(
        "/spec/sizes/0/database",
        json!({ "requests": some, "limits": some }),
    )
}

fn job(name: &str, when: &str) -> serde_json::Value {
    json!({ "name": name, "when": when, "command": ["/app"] })
}

#[test]
fn every_rule_has_its_test_in_this_file() {
    every_rule_is_asserted_in(THIS_FILE);
}

// ---- AppInstance

#[tokio::test]
async fn an_instance_has_a_name_that_host_names_can_be_made_from() {
    let server = server().await;
    for name in ["1shop", "my.shop"] {
        let told = "metadata.name: lower-case letters, digits and dashes, beginning with a letter: host names are made from it";
        server.refuses(instance(name), told).await;
    }
    server.accepts(instance("shop-1")).await;
}

#[tokio::test]
async fn an_instance_has_a_name_that_leaves_room_for_its_childrens() {
    let server = server().await;
    let told = "metadata.name: at most 40 characters, so that the names of the objects made from it stay within 63";
    server.refuses(instance(&"x".repeat(41)), told).await;
    server.accepts(instance(&"x".repeat(40))).await;
}

#[tokio::test]
async fn an_instance_has_not_the_name_of_anothers_database() {
    let server = server().await;
    let told = "metadata.name: the database of an instance 'shop' is called 'shop-database'; choose a name that does not end so";
    server.refuses(instance("shop-database"), told).await;
    server.accepts(instance("shop-databases")).await;
    server.accepts(instance("database")).await;
}

#[tokio::test]
async fn an_instance_stays_of_its_app() {
    let server = server().await;
    let there = server.create(instance("shop")).await;
    let told = "app: an instance stays what it is; delete it and make another one";
    server
        .refuses_change(there.clone().with("/spec/app", json!("mediawiki")), told)
        .await;
    server
        .accepts_change(there.clone().with("/spec/version", json!("6.9")))
        .await;
}

#[tokio::test]
async fn storage_only_grows_and_is_compared_by_value() {
    let server = server().await;
    let asked = json!({ "content": "2Gi", "database": "1024Mi" });
    let there = server
        .create(instance("shop").with("/spec/storage", asked))
        .await;
    let told =
        "spec.storage: volumes only grow; give a size that is not smaller than the present one";
    for smaller in ["1Gi", "2047Mi", "1.9Gi"] {
        server
            .refuses_change(
                there.clone().with("/spec/storage/content", json!(smaller)),
                told,
            )
            .await;
    }
    for same_or_more in ["2048Mi", "3Gi"] {
        server
            .accepts_change(
                there
                    .clone()
                    .with("/spec/storage/content", json!(same_or_more)),
            )
            .await;
    }
    server
        .accepts_change(there.clone().with("/spec/storage/database", json!("1Gi")))
        .await;
}

#[tokio::test]
async fn a_size_may_be_left_out_again() {
    let server = server().await;
    let asked = json!({ "content": "2Gi", "kontent": "3Gi" });
    let there = server
        .create(instance("shop").with("/spec/storage", asked))
        .await;
    for kept in [json!({ "content": "2Gi" }), json!({ "database": "3Gi" })] {
        server
            .accepts_change(there.clone().with("/spec/storage", kept))
            .await;
    }
    server
        .accepts_change(there.clone().without("/spec/storage"))
        .await;
}

#[tokio::test]
async fn storage_that_could_not_be_granted_may_be_taken_back() {
    let server = server().await;
    let asked = json!({ "content": "2Gi" });
    let there = server
        .create(instance("shop").with("/spec/storage", asked))
        .await;
    let refused = server
        .set_status(
            &there,
            json!({ "conditions": [{
                "type": "StorageReady",
                "status": "False",
                "reason": "StorageCannotGrow",
                "message": "it stays as it is",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }] }),
        )
        .await;
    server
        .accepts_change(refused.clone().with("/spec/storage/content", json!("1Gi")))
        .await;
    server
        .accepts_change(refused.clone().without("/spec/storage"))
        .await;
}

#[tokio::test]
async fn storage_has_a_unit() {
    let server = server().await;
    let told = "storage: a volume has at least 1Mi; give the unit too, such as '10Gi'";
    for size in ["10", "0", "0Gi", "1023Ki"] {
        server
            .refuses(
                instance("shop").with("/spec/storage", json!({ "content": size })),
                told,
            )
            .await;
    }
    for size in ["1Mi", "1.5Gi", "10G"] {
        server
            .accepts(instance("shop").with("/spec/storage", json!({ "content": size })))
            .await;
    }
}

#[tokio::test]
async fn storage_is_a_quantity() {
    let server = server().await;
    for size in ["5Gb", "10 Gi", "1e9", "1Ei", ""] {
        let told = format!(
            "storage: '{size}' is no quantity; write a number and a unit, such as 512Mi or 10Gi"
        );
        let asked = json!({ "content": "1Gi", "database": size });
        server
            .refuses(instance("shop").with("/spec/storage", asked), &told)
            .await;
    }
    for size in ["5G", "0.5Ti", "1Pi"] {
        let asked = json!({ "content": "1Gi", "database": size });
        server
            .accepts(instance("shop").with("/spec/storage", asked))
            .await;
    }
}

#[tokio::test]
async fn domains_are_hostnames() {
    let server = server().await;
    let url = "domains: the name alone, such as 'www.acme.example': no https://, no port, no path";
    let address = "domains: a name, no address: no authority certifies one here";
    for (domain, told) in [
        ("https://acme.example", url),
        ("acme.example:443", url),
        ("acme.example/shop", url),
        ("2001:db8::1", address),
        ("[2001:DB8::1]", address),
        ("192.0.2.1", address),
        ("acme.example.", "domains: without the dot at the end"),
        ("ACME.example", "domains: in lower case"),
        (
            "_dmarc.acme.example",
            "domains: no underscore; hostnames have letters, digits and dashes only",
        ),
        (
            "*.acme.example",
            "domains: no asterisk; write a Domain for all names below one, with challenge 'dns-01'",
        ),
        (
            "bücher.example",
            "domains: a name with other letters than a to z is written as the DNS has it, such as 'xn--bcher-kva.example' for 'bücher.example'; your registrar shows that form",
        ),
    ] {
        let asked = instance("shop").with("/spec/domains", json!(["www.acme.example", domain]));
        server.refuses_with_this_only(asked.clone(), told).await;
        // Which of them it is.
        server.refuses(asked, "spec.domains[1]").await;
    }
    // Nothing at all is too short for a text before it is no hostname.
    let nothing = instance("shop").with("/spec/domains", json!([""]));
    let told = "spec.domains[0] in body should be at least 1 chars long";
    server.refuses(nothing, told).await;
    let long = format!("{}.example", "x".repeat(64));
    for domain in ["acme", "-.example", "a b.example", &long] {
        let asked = instance("shop").with("/spec/domains", json!(["www.acme.example", domain]));
        let told = format!(
            "domains: '{domain}' is not a full hostname in lower case, such as www.acme.example: \
             parts of letters, digits and dashes, no dash at either end, of at most 63 characters"
        );
        server.refuses(asked, &told).await;
    }
    let domains = json!([
        "acme.example",
        "www.acme.example",
        "xn--bcher-kva.example",
        "1.2.example"
    ]);
    server
        .accepts(instance("shop").with("/spec/domains", domains))
        .await;
}

#[tokio::test]
async fn a_domain_is_named_once() {
    let server = server().await;
    let twice = json!(["acme.example", "acme.example"]);
    server
        .refuses(
            instance("shop").with("/spec/domains", twice),
            "Duplicate value: \"acme.example\"",
        )
        .await;
}

#[tokio::test]
async fn settings_hold_no_control_characters() {
    let server = server().await;
    let told = "settings: a value holds a control character; remove it";
    for value in ["a\u{0}b", "\u{1b}[31m", "a\rb", "\u{7f}"] {
        server
            .refuses(
                instance("shop").with("/spec/settings", json!({ "title": value })),
                told,
            )
            .await;
    }
    let fine = json!({ "title": "Größe ${x} $(y)\n\tzwei" });
    server
        .accepts(instance("shop").with("/spec/settings", fine))
        .await;
}

#[tokio::test]
async fn an_instance_that_says_little_gets_the_defaults() {
    let made = server().await.accepts(instance("shop")).await;
    assert_eq!(
        made["spec"],
        json!({
            "app": "wordpress", "version": "6.8", "access": "public", "stopped": false, "paused": false,
            "deletionPolicy": "Retain",
        })
    );
}

#[tokio::test]
async fn null_is_never_a_value() {
    let server = server().await;
    let with_nulls = instance("shop")
        .with("/spec/replicas", json!(null))
        .with("/spec/size", json!(null));
    let made = server.post(&with_nulls).await.unwrap();
    assert!(made["spec"].get("replicas").is_none(), "{made}");
    assert!(made["spec"].get("size").is_none(), "{made}");
}

#[tokio::test]
async fn an_instance_is_scaled_as_kubectl_scale_does() {
    let server = server().await;
    let there = server.create(instance("shop")).await;
    assert_eq!(server.scale(&there, 3).await, 3);
}

#[tokio::test]
async fn what_our_own_types_write_is_taken() {
    let server = server().await;
    let typed = crds::AppInstance::new(
        "shop",
        crds::AppInstanceSpec {
            app: "wordpress".to_owned(),
            version: "6.8".to_owned(),
            ..crds::AppInstanceSpec::default()
        },
    );
    let made = server
        .accepts(Object::from(Kind::AppInstance, &typed))
        .await;
    let back: crds::AppInstance = serde_json::from_value(made).unwrap();
    assert_eq!(back.spec, typed.spec);
}

// ---- AppDefinition

#[tokio::test]
async fn every_app_of_the_catalogue_is_taken_as_it_is_written() {
    let server = server().await;
    for app in support::catalogue() {
        server.accepts(app).await;
    }
}

#[tokio::test]
async fn a_definition_that_says_little_gets_the_defaults() {
    let made = server().await.accepts(definition("wiki")).await;
    let spec = &made["spec"];
    assert_eq!(spec["database"], json!({ "engine": "none", "size": "2Gi" }));
    assert_eq!(spec["network"], json!({ "egress": "Internet" }));
    assert_eq!(
        spec["http"],
        json!({
            "bodyLimit": "100Mi", "headerLimit": "32Ki", "headerSeconds": 10,
            "responseSeconds": 120, "idleSeconds": 300,
        })
    );
    assert_eq!(
        spec["health"],
        json!({ "path": "/", "startupSeconds": 120 })
    );
    assert_eq!(spec["port"], json!({ "number": 8080, "protocol": "http" }));
    assert_eq!(spec["sso"], json!({ "protocol": "none" }));
    assert_eq!(spec["plainHttp"], json!(false));
}

#[tokio::test]
async fn an_app_has_a_name_that_fits_in_a_label() {
    let server = server().await;
    let told = "metadata.name: an app's name is 1 to 40 lower-case letters, digits and dashes, and begins with a letter";
    for name in ["1wiki", "my.wiki", &"x".repeat(41)] {
        server.refuses(definition(name), told).await;
    }
    server.accepts(definition(&"x".repeat(40))).await;
}

#[tokio::test]
async fn an_image_says_which_one_is_meant() {
    let server = server().await;
    let told = "versions: image is name:tag or name@sha256:…, where the name may begin with a registry host";
    for image in [
        "wiki",
        "wiki:",
        "Wiki:1",
        "a//b:1",
        "https://registry.example/wiki:1",
        "wiki@sha256:abc",
    ] {
        server
            .refuses(
                definition("wiki").with("/spec/versions/0/image", json!(image)),
                told,
            )
            .await;
    }
    let digest = format!("registry.example:5000/a/wiki@sha256:{}", "0a".repeat(32));
    for image in ["wiki:1", &digest] {
        server
            .accepts(definition("wiki").with("/spec/versions/0/image", json!(image)))
            .await;
    }
}

#[tokio::test]
async fn an_app_has_at_least_one_version_and_one_size() {
    let server = server().await;
    for (field, told) in [
        (
            "/spec/versions",
            "versions: an app has at least one version",
        ),
        ("/spec/sizes", "sizes: an app has at least one size"),
    ] {
        server
            .refuses(definition("wiki").with(field, json!([])), told)
            .await;
    }
    server.accepts(definition("wiki")).await;
}

#[tokio::test]
async fn quantities_of_an_app_are_quantities() {
    let nothing = json!({ "cpu": "0", "memory": "0" });
    let plenty = json!({ "cpu": "100", "memory": "100Ti" });
    let both = json!({ "requests": nothing, "limits": plenty });
    let app = definition("wiki")
        .with("/spec/sizes/0/requests", nothing)
        .with("/spec/sizes/0/limits", plenty)
        .with(
            "/spec/volumes",
            json!([{ "name": "data", "path": "/data", "size": "1Gi" }]),
        )
        .with(
            "/spec/database",
            json!({ "engine": "mariadb", "version": "11.8" }),
        )
        .with("/spec/sizes/0/database", both)
        .with("/spec/http", json!({}));
    for (pointer, form) in [
        ("/spec/volumes/0/size", quantity::SIZE),
        ("/spec/database/size", quantity::SIZE),
        ("/spec/sizes/0/requests/cpu", quantity::CPU),
        ("/spec/sizes/0/limits/memory", quantity::BYTES),
        ("/spec/sizes/0/database/limits/cpu", quantity::CPU),
        ("/spec/sizes/0/database/requests/memory", quantity::BYTES),
        ("/spec/http/bodyLimit", quantity::BODY),
        ("/spec/http/headerLimit", quantity::HEAD),
    ] {
        takes_only_quantities(&app, pointer, form).await;
    }
}

#[tokio::test]
async fn a_size_promises_no_more_than_may_be_used() {
    let server = server().await;
    let app = |promised: &str, most: &str| {
        let resources = |memory: &str| json!({ "cpu": "1", "memory": memory });
        let size = json!({ "requests": resources(promised), "limits": resources(most) });
        definition("wiki")
            .with("/spec/sizes/0/requests", size["requests"].clone())
            .with("/spec/sizes/0/limits", size["limits"].clone())
            .with(
                "/spec/database",
                json!({ "engine": "mariadb", "version": "11.8" }),
            )
            .with("/spec/sizes/0/database", size)
    };
    let told = "requests.memory: '1Gi' is more than the limit of '900Mi'; promise at most what may be used";
    server.refuses(app("1Gi", "900Mi"), told).await;
    server.accepts(app("1Gi", "1024Mi")).await;
}

#[tokio::test]
async fn a_version_is_listed_once() {
    let twice =
        json!([{ "version": "1", "image": "wiki:1" }, { "version": "1", "image": "wiki:2" }]);
    let asked = definition("wiki").with("/spec/versions", twice);
    server()
        .await
        .refuses(asked, "Duplicate value: {\"version\":\"1\"}")
        .await;
}

#[tokio::test]
async fn a_volume_has_a_name_that_the_platform_does_not_use() {
    let server = server().await;
    let volume = |name: &str| {
        definition("wiki").with(
            "/spec/volumes",
            json!([{ "name": name, "path": "/data", "size": "1Gi" }]),
        )
    };
    let told = "volumes: 'database' is the name of the database's own volume; choose another";
    server.refuses(volume("database"), told).await;
    let told = "volumes: names that begin with 'scratch-' are those of security.writablePaths; choose another";
    server.refuses(volume("scratch-0"), told).await;
    server.accepts(volume("data")).await;
}

#[tokio::test]
async fn a_database_has_a_version() {
    let server = server().await;
    let told = "database.version: say which version of the engine the app wants";
    for database in [
        json!({ "engine": "mariadb" }),
        json!({ "engine": "mariadb", "version": null }),
    ] {
        server
            .refuses(with_database(definition("wiki"), database), told)
            .await;
    }
    let database = json!({ "engine": "mariadb", "version": "11.8" });
    server
        .accepts(with_database(definition("wiki"), database))
        .await;
}

#[tokio::test]
async fn a_database_stays_one_that_can_read_its_data() {
    let server = server().await;
    let database = |engine: &str, version: &str| json!({ "engine": engine, "version": version });
    let postgresql = with_database(definition("postgresql"), database("postgresql", "17.1"));
    let there = server.create(postgresql).await;
    let told =
        "database.engine: cannot be changed, instances have data in it; make another AppDefinition";
    for other in [database("mariadb", "17.1"), json!({ "engine": "none" })] {
        server
            .refuses_change(there.clone().with("/spec/database", other), told)
            .await;
    }
    server
        .refuses_change(there.clone().without("/spec/database"), told)
        .await;
    let told = "database.version: the data of one major version of PostgreSQL cannot be read by another; make another AppDefinition";
    let newer = database("postgresql", "18");
    server
        .refuses_change(there.clone().with("/spec/database", newer), told)
        .await;
    let patched = database("postgresql", "17.2");
    server
        .accepts_change(there.with("/spec/database", patched))
        .await;

    let mariadb = with_database(definition("mariadb"), database("mariadb", "11.4"));
    let there = server.create(mariadb).await;
    let told = "database.version: an older MariaDB does not read the data of a newer one; make another AppDefinition";
    for older in ["11.3", "10.11", "9.12.1"] {
        let older = database("mariadb", older);
        server
            .refuses_change(there.clone().with("/spec/database", older), told)
            .await;
    }
    for newer in ["12.0", "11.10", "11.4.2"] {
        let newer = database("mariadb", newer);
        server
            .accepts_change(there.clone().with("/spec/database", newer))
            .await;
    }
}

#[tokio::test]
async fn a_volume_stays_as_it_is_shared() {
    let server = server().await;
    let volume = json!([{ "name": "data", "path": "/data", "size": "1Gi" }]);
    let there = server
        .create(definition("volumes").with("/spec/volumes", volume))
        .await;
    let told =
        "volumes: access cannot be changed, volumes that are there keep theirs; add another volume";
    let many = json!("ReadWriteMany");
    server
        .refuses_change(there.clone().with("/spec/volumes/0/access", many), told)
        .await;
    let elsewhere = json!("/srv");
    server
        .accepts_change(there.with("/spec/volumes/0/path", elsewhere))
        .await;
}

#[tokio::test]
async fn a_secret_has_a_name_that_the_platform_does_not_use() {
    let server = server().await;
    let secret = |name: &str| definition("wiki").with("/spec/secrets", json!([{ "name": name }]));
    let told = "secrets: 'database-password', 'database', 'identity' and 'sso' are made by the platform; choose another name";
    for name in ["database", "database-password", "identity", "sso"] {
        server.refuses(secret(name), told).await;
    }
    let made = server.accepts(secret("key")).await;
    assert_eq!(made["spec"]["secrets"][0]["length"], 24);
}

#[tokio::test]
async fn a_variable_is_a_text_a_secret_or_what_a_sign_in_needs() {
    let server = server().await;
    let told = "env: give each entry exactly one of value, secret and sso";
    let env = |entry| {
        definition("wiki")
            .with("/spec/secrets", json!([{ "name": "key" }]))
            .with("/spec/env", json!([entry]))
    };
    server.refuses(env(json!({ "name": "A" })), told).await;
    let all = json!({ "name": "A", "value": "x", "secret": "key", "sso": "issuer" });
    server.refuses(env(all), told).await;
    for (one, value) in [("value", "x"), ("secret", "key")] {
        let both = json!({ "name": "A", one: value, "sso": "issuer" });
        server.refuses(env(both), told).await;
    }
    server
        .refuses(
            env(json!({ "name": "A", "value": "x", "secret": "key" })),
            told,
        )
        .await;
    server
        .accepts(env(json!({ "name": "A", "value": "" })))
        .await;
    server
        .accepts(env(json!({ "name": "A", "secret": "key" })))
        .await;
    let told = "env: sso is for apps that sign people in by OpenID Connect: set sso.protocol to 'oidc', or remove it there";
    let issuer = || env(json!({ "name": "A", "sso": "issuer" }));
    server.refuses(issuer(), told).await;
    for protocol in ["none", "saml"] {
        let sso = json!({ "protocol": protocol, "loginPath": "/login" });
        server.refuses(issuer().with("/spec/sso", sso), told).await;
    }
    let sso = json!({ "protocol": "oidc", "loginPath": "/login", "callbackPath": "/callback" });
    for credential in ["clientId", "clientSecret", "issuer", "backchannel"] {
        let well = env(json!({ "name": "A", "sso": credential }));
        server.accepts(well.with("/spec/sso", sso.clone())).await;
    }
}

#[tokio::test]
async fn a_template_names_what_there_is() {
    let server = server().await;
    let told = "env: broken template: after '${' one of instance.name, instance.host, instance.url, organization.name, database.host, database.port, database.name, database.user, settings.<name> and '}' is wanted";
    let env = |value: &str| {
        definition("wiki").with("/spec/env", json!([{ "name": "A", "value": value }]))
    };
    for value in [
        "${instance.nmae}",
        "${instance.name",
        "${}",
        "a${b",
        "${${instance.name}}",
        "${settings.}",
    ] {
        server.refuses(env(value), told).await;
    }
    for value in [
        "",
        "$",
        "$$",
        "$(B)",
        "{}",
        "a$b",
        "x ${instance.name}${instance.host} $${settings.a1}\n",
        "${instance.url}/${organization.name}$",
    ] {
        server.accepts(env(value)).await;
    }
}

#[tokio::test]
async fn a_variable_names_a_secret_that_is_listed() {
    let server = server().await;
    let told = "env: a secret is named that is neither in secrets nor 'database-password'; add it to secrets";
    let env = json!([{ "name": "A", "secret": "key" }]);
    server
        .refuses(definition("wiki").with("/spec/env", env.clone()), told)
        .await;
    let listed = definition("wiki").with("/spec/secrets", json!([{ "name": "key" }]));
    server.accepts(listed.with("/spec/env", env)).await;
}

#[tokio::test]
async fn an_app_without_a_database_does_not_refer_to_one() {
    let server = server().await;
    let told = "env: refers to the database, but database.engine is 'none'";
    for entry in [
        json!({ "name": "A", "value": "${database.host}" }),
        json!({ "name": "A", "secret": "database-password" }),
    ] {
        let without = definition("wiki").with("/spec/env", json!([entry]));
        server.refuses(without.clone(), told).await;
        let database = json!({ "engine": "postgresql", "version": "17" });
        server.accepts(with_database(without, database)).await;
    }
}

#[tokio::test]
async fn a_size_says_what_a_database_may_use_where_there_is_one_and_only_there() {
    let server = server().await;
    let database = json!({ "engine": "postgresql", "version": "17" });
    let whole = with_database(definition("wiki"), database);
    server.accepts(whole.clone()).await;
    let told = "sizes: a size does not say what the database may use; add database to it";
    server
        .refuses(whole.clone().without("/spec/sizes/0/database"), told)
        .await;
    let told = "sizes: a size says what the database may use, but database.engine is 'none'; remove it there, or choose an engine";
    server.refuses(whole.without("/spec/database"), told).await;
}

#[tokio::test]
async fn a_low_port_needs_its_exception() {
    let server = server().await;
    let told = "port.number: below 1024; choose another, or add the exception BindLowPorts";
    let low = definition("wiki").with("/spec/port/number", json!(1023));
    server.refuses(low.clone(), told).await;
    server
        .accepts(low.with("/spec/security/exceptions", json!(["BindLowPorts"])))
        .await;
    server
        .accepts(definition("wiki").with("/spec/port/number", json!(1024)))
        .await;
}

#[tokio::test]
async fn a_mounted_path_is_plain_and_not_the_kernels() {
    let server = server().await;
    let volume = |path: &str| {
        let volume = json!([{ "name": "data", "path": path, "size": "1Gi" }]);
        definition("wiki").with("/spec/volumes", volume)
    };
    let writable =
        |path: &str| definition("wiki").with("/spec/security/writablePaths", json!([path]));
    let (in_volume, in_writable) = (
        "volumes: a path is plain: no '//', '/./', '/../' and no slash at the end",
        "security.writablePaths: a path is plain: no '//', '/./', '/../' and no slash at the end",
    );
    for path in ["/srv//data", "/srv/../data", "/srv/.", "/srv/"] {
        server.refuses(volume(path), in_volume).await;
        server.refuses(writable(path), in_writable).await;
    }
    let (in_volume, in_writable) = (
        "volumes: /proc, /sys and /dev belong to the kernel; choose another folder",
        "security.writablePaths: /proc, /sys and /dev belong to the kernel; choose another folder",
    );
    for path in ["/proc", "/dev/shm"] {
        server.refuses(volume(path), in_volume).await;
        server.refuses(writable(path), in_writable).await;
    }
    for path in ["/srv/data", "/devices", "/srv/..data/.hidden"] {
        server.accepts(volume(path)).await;
        server.accepts(writable(path)).await;
    }
}

#[tokio::test]
async fn a_version_is_not_upgraded_to_itself() {
    let server = server().await;
    let told =
        "versions: a version cannot be upgraded to itself; remove it from its upgradableFrom";
    let from = |versions: serde_json::Value| {
        definition("wiki").with("/spec/versions/0/upgradableFrom", versions)
    };
    server.refuses(from(json!(["0.9", "1"])), told).await;
    server.accepts(from(json!(["0.9"]))).await;
}

#[tokio::test]
async fn an_admin_has_a_password_that_is_generated() {
    let server = server().await;
    let told = "admin.passwordSecret: names no entry of secrets; add it there";
    let asked = definition("wiki").with(
        "/spec/admin",
        json!({ "user": "admin", "passwordSecret": "pw" }),
    );
    server.refuses(asked.clone(), told).await;
    server
        .accepts(asked.with("/spec/secrets", json!([{ "name": "pw" }])))
        .await;
}

#[tokio::test]
async fn root_needs_its_exception() {
    let server = server().await;
    let told = "security.runAsUser: 0 is root; choose another user, or add the exception RootUser";
    let root = definition("wiki").with("/spec/security/runAsUser", json!(0));
    server.refuses(root.clone(), told).await;
    server
        .accepts(root.with("/spec/security/exceptions", json!(["RootUser"])))
        .await;
}

#[tokio::test]
async fn a_schedule_belongs_to_periodic_jobs() {
    let server = server().await;
    let told = "jobs: schedule belongs to 'when: periodic', and only there";
    let jobs = |job| definition("wiki").with("/spec/jobs", json!([job]));
    server.refuses(jobs(job("cron", "periodic")), told).await;
    let mut install = job("install", "install");
    server.accepts(jobs(install.clone())).await;
    install["schedule"] = json!("@daily");
    server.refuses(jobs(install), told).await;
    let mut cron = job("cron", "periodic");
    cron["schedule"] = json!("*/5 * * * *");
    let made = server.accepts(jobs(cron)).await;
    assert_eq!(made["spec"]["jobs"][0]["timeoutSeconds"], 600);
    assert_eq!(made["spec"]["jobs"][0]["volumes"], true);
}

#[tokio::test]
async fn there_is_one_install_job_and_one_upgrade_job() {
    let server = server().await;
    let told = "jobs: at most one job may say 'when: install' and at most one 'when: upgrade'";
    let jobs = |jobs: [_; 2]| definition("wiki").with("/spec/jobs", json!(jobs));
    server
        .refuses(jobs([job("a", "install"), job("b", "install")]), told)
        .await;
    server
        .refuses(jobs([job("a", "upgrade"), job("b", "upgrade")]), told)
        .await;
    server
        .accepts(jobs([job("a", "install"), job("b", "upgrade")]))
        .await;
}

#[tokio::test]
async fn a_job_has_a_name_that_upgrades_do_not_use() {
    let server = server().await;
    let told = "jobs: 'to' and names that begin with 'to-' are those of upgrades to a version; choose another";
    for name in ["to", "to-6-8"] {
        server
            .refuses(
                definition("wiki").with("/spec/jobs", json!([job(name, "install")])),
                told,
            )
            .await;
    }
    server
        .accepts(definition("wiki").with("/spec/jobs", json!([job("tools", "install")])))
        .await;
}

#[tokio::test]
async fn a_sign_in_begins_somewhere() {
    let server = server().await;
    let told = "sso.loginPath: say where a sign-in begins";
    server
        .refuses(
            definition("wiki").with("/spec/sso", json!({ "protocol": "oidc" })),
            told,
        )
        .await;
    let begun = json!({ "protocol": "oidc", "loginPath": "/login" });
    let told = "sso.callbackPath: say where the answer of OpenID Connect comes back to";
    server
        .refuses(definition("wiki").with("/spec/sso", begun), told)
        .await;
    let told = "sso.callbackPath: ASCII without spaces, '#', '*' and backslashes: it becomes part of an address that is compared letter by letter";
    for path in ["/call back", "/callback#now", "/*", "/a\\b", "/zurück"] {
        let odd = json!({ "protocol": "oidc", "loginPath": "/login", "callbackPath": path });
        server
            .refuses(definition("wiki").with("/spec/sso", odd), told)
            .await;
    }
    let whole = json!({ "protocol": "oidc", "loginPath": "/login", "callbackPath": "/callback" });
    server
        .accepts(definition("wiki").with("/spec/sso", whole))
        .await;
}

// ---- Organization

#[tokio::test]
async fn an_organization_has_the_name_of_a_namespace() {
    let server = server().await;
    let told = "metadata.name: the name of the organization is the name of its namespace: 1 to 63 lower-case letters, digits and dashes, beginning with a letter";
    for name in ["1acme", "acme.example", &"x".repeat(64)] {
        server.refuses(organization(name), told).await;
    }
    server.accepts(organization(&"x".repeat(63))).await;
}

#[tokio::test]
async fn an_organization_takes_no_namespace_of_the_cluster() {
    let server = server().await;
    let told =
        "metadata.name: this namespace belongs to the cluster or the platform; choose another name";
    for name in ["default", "kube-system", "kube-x", "tutti-system"] {
        server.refuses(organization(name), told).await;
    }
    server.accepts(organization("kubernetes")).await;
}

#[tokio::test]
async fn an_organization_that_says_little_gets_the_defaults() {
    let made = server().await.accepts(organization("acme")).await;
    assert_eq!(
        made["spec"],
        json!({
            "title": "Acme Ltd", "podSecurity": "restricted", "deletionPolicy": "Retain",
            "quota": { "cpu": "8", "memory": "16Gi", "storage": "200Gi", "instances": 20 },
        })
    );
    let some = organization("acme").with("/spec/quota", json!({ "cpu": "500m" }));
    let made = server().await.accepts(some).await;
    assert_eq!(made["spec"]["quota"]["memory"], "16Gi");
}

#[tokio::test]
async fn quantities_of_a_quota_are_quantities() {
    let acme = organization("acme").with("/spec/quota", json!({}));
    for (pointer, form) in [
        ("/spec/quota/cpu", quantity::CPU),
        ("/spec/quota/memory", quantity::BYTES),
        ("/spec/quota/storage", quantity::BYTES),
    ] {
        takes_only_quantities(&acme, pointer, form).await;
    }
}

// ---- Route

#[tokio::test]
async fn a_route_stays_at_its_hostname() {
    let server = server().await;
    let there = server.create(route("www.acme.example")).await;
    let told = "hostname: cannot be changed; make another Route, and delete this one";
    server
        .refuses_change(
            there.clone().with("/spec/hostname", json!("acme.example")),
            told,
        )
        .await;
    server
        .accepts_change(there.clone().with("/spec/backend/port", json!(8080)))
        .await;
}

#[tokio::test]
async fn a_route_is_at_a_hostname() {
    let server = server().await;
    let told = "hostname: a hostname in lower case, such as 'www.acme.example': no https://, no port, no path, an asterisk only as its first part, no dot at the end";
    for hostname in [
        "WWW.acme.example",
        "acme.example.",
        "www.*.example",
        "acme.example:80",
        "a_b.example",
    ] {
        server.refuses(route(hostname), told).await;
    }
    server.accepts(route("localhost")).await;
    server.accepts(route("*.acme.example")).await;
    server.accepts(route("a.b.example")).await;
}

#[tokio::test]
async fn a_route_that_says_little_gets_the_defaults() {
    let made = server().await.accepts(route("www.acme.example")).await;
    assert_eq!(
        made["spec"],
        json!({
            "hostname": "www.acme.example", "pathPrefix": "/", "access": "public",
            "plainHttp": false, "bodyLimit": "100Mi", "headerLimit": "32Ki",
            "timeouts": { "headerSeconds": 10, "responseSeconds": 120, "idleSeconds": 300 },
            "backend": { "service": "shop", "port": 80, "protocol": "http" },
        })
    );
}

#[tokio::test]
async fn a_path_prefix_is_whole_segments() {
    let server = server().await;
    let at = |path: &str| route("www.acme.example").with("/spec/pathPrefix", json!(path));
    for path in ["blog", "/blog/", "//", "/a?b", "/a#b"] {
        let told = "pathPrefix: a path such as '/' or '/shop': it begins with a slash, and has no slash at its end, no empty part, no ? and no #";
        server.refuses(at(path), told).await;
    }
    server.refuses(at(""), "spec.pathPrefix").await;
    for path in ["/", "/blog", "/blog/2030"] {
        server.accepts(at(path)).await;
    }
}

#[tokio::test]
async fn where_a_route_leads_is_told_in_words_when_it_cannot_be() {
    let server = server().await;
    let route = route("www.acme.example");
    for (pointer, value, told) in [
        (
            "/spec/backend/service",
            "Shop_1",
            "service: the name of a Service: lower-case letters, digits and dashes, beginning with a letter",
        ),
        (
            "/spec/redirectTo",
            "https://acme.example",
            "redirectTo: a hostname in lower case, such as 'www.acme.example': no https://, no port, no path",
        ),
    ] {
        server
            .refuses(route.clone().with(pointer, json!(value)), told)
            .await;
    }
    server
        .accepts(route.with("/spec/redirectTo", json!("acme.example")))
        .await;
}

#[tokio::test]
async fn limits_of_a_route_are_quantities() {
    let route = route("www.acme.example");
    for (pointer, form) in [
        ("/spec/bodyLimit", quantity::BODY),
        ("/spec/headerLimit", quantity::HEAD),
    ] {
        takes_only_quantities(&route, pointer, form).await;
    }
}

// ---- Domain

#[tokio::test]
async fn a_domain_is_a_hostname_and_says_what_is_wrong_with_what_is_none() {
    let server = server().await;
    let long = format!("{}.example", "a".repeat(64));
    for (hostname, told) in [
        (
            "https://www.acme.example",
            "hostname: the name alone, such as 'www.acme.example': no https://, no port, no path",
        ),
        (
            "www.acme.example:443",
            "hostname: the name alone, such as 'www.acme.example': no https://, no port, no path",
        ),
        (
            "https://localhost",
            "hostname: the name alone, such as 'www.acme.example': no https://, no port, no path",
        ),
        ("www.acme.example.", "hostname: without the dot at the end"),
        ("WWW.acme.example", "hostname: in lower case"),
        (
            "203.0.113.10",
            "hostname: a name, no address: no authority certifies one here",
        ),
        (
            "2001:db8::1",
            "hostname: a name, no address: no authority certifies one here",
        ),
        (
            "::ffff:203.0.113.10",
            "hostname: a name, no address: no authority certifies one here",
        ),
        (
            "[2001:DB8::1]:443",
            "hostname: a name, no address: no authority certifies one here",
        ),
        (
            "my_shop.acme.example",
            "hostname: no underscore; hostnames have letters, digits and dashes only",
        ),
        (
            "www.bücher.example",
            "hostname: a name with other letters than a to z is written as the DNS has it, such as 'xn--bcher-kva.example' for 'bücher.example'; your registrar shows that form",
        ),
        (
            "localhost",
            "hostname: a full hostname with a dot, such as 'www.acme.example'",
        ),
        (
            long.as_str(),
            "hostname: each part between dots has 1 to 63 characters",
        ),
        (
            "www..example",
            "hostname: each part between dots has 1 to 63 characters",
        ),
        (
            "-www.acme.example",
            "hostname: letters, digits and dashes, no dash at either end of a part; an asterisk only as its first part",
        ),
        (
            "www.*.example",
            "hostname: letters, digits and dashes, no dash at either end of a part; an asterisk only as its first part",
        ),
        (
            "*.acme.example",
            "challenge: a wildcard hostname is certified by DNS-01 only; set challenge to 'dns-01', or bring a certificate in certificateSecret",
        ),
    ] {
        server.refuses_with_this_only(domain(hostname), told).await;
    }
    let too_long = format!("{}example", "a.".repeat(130));
    server.refuses(domain(&too_long), "spec.hostname").await;
    for hostname in ["www.acme.example", "acme.example", "xn--bcher-kva.example"] {
        server.accepts(domain(hostname)).await;
    }
    let wildcard = domain("*.acme.example");
    server
        .accepts(wildcard.clone().with("/spec/challenge", json!("dns-01")))
        .await;
    server
        .accepts(wildcard.with("/spec/certificateSecret", json!("own")))
        .await;
}

#[tokio::test]
async fn a_domain_stays_at_its_hostname_and_does_not_lead_to_itself() {
    let server = server().await;
    let there = server.create(domain("www.acme.example")).await;
    server
        .refuses_change(
            there.clone().with("/spec/hostname", json!("acme.example")),
            "hostname: cannot be changed; make another Domain, and delete this one",
        )
        .await;
    server
        .accepts_change(
            there
                .clone()
                .with("/spec/redirectTo", json!("acme.example")),
        )
        .await;
    for elsewhere in ["https://acme.example", "acme.example.", "*.acme.example"] {
        let there = there.clone().with("/spec/redirectTo", json!(elsewhere));
        server
            .refuses_change(there, "redirectTo: a full hostname in lower case is wanted, such as 'acme.example': no https://, no path, no asterisk, no dot at the end")
            .await;
    }
    let secret = there
        .clone()
        .with("/spec/certificateSecret", json!("Not_A_Name"));
    server
        .refuses_change(secret, "certificateSecret: the name of a Secret of this namespace is wanted: lower case letters, digits, dots and dashes")
        .await;
    server
        .refuses_change(
            there.with("/spec/redirectTo", json!("www.acme.example")),
            "redirectTo: a hostname cannot lead to itself",
        )
        .await;
}

// ---- SsoClient

#[tokio::test]
async fn a_browser_is_led_back_to_an_address_in_full_and_says_what_is_wrong_with_another() {
    let server = server().await;
    let well = "https://shop.acme.example/callback?from=tutti";
    for (uri, told) in [
        (
            "shop.acme.example/callback",
            "redirectUris: addresses in full, such as 'https://shop.example.com/callback': with a host, without a user name, without spaces, backslashes and letters that are not ASCII",
        ),
        (
            "https://shop.acme.example@evil.example/",
            "redirectUris: addresses in full, such as 'https://shop.example.com/callback': with a host, without a user name, without spaces, backslashes and letters that are not ASCII",
        ),
        (
            "https://shop.acme.example\\@evil.example/",
            "redirectUris: addresses in full, such as 'https://shop.example.com/callback': with a host, without a user name, without spaces, backslashes and letters that are not ASCII",
        ),
        (
            "https://shop.acme.example/a b",
            "redirectUris: addresses in full, such as 'https://shop.example.com/callback': with a host, without a user name, without spaces, backslashes and letters that are not ASCII",
        ),
        (
            "http://shop.acme.example/callback",
            "redirectUris: https:// only; http:// is for a program on somebody's own machine, at 127.0.0.1, [::1] or localhost",
        ),
        (
            "http://localhost.evil.example/",
            "redirectUris: https:// only; http:// is for a program on somebody's own machine, at 127.0.0.1, [::1] or localhost",
        ),
        (
            "javascript://shop.acme.example/%0aalert(1)",
            "redirectUris: https:// only; http:// is for a program on somebody's own machine, at 127.0.0.1, [::1] or localhost",
        ),
        (
            "https://*.acme.example/callback",
            "redirectUris: no asterisk; addresses are compared letter by letter, so name each of them",
        ),
        (
            "https://shop.acme.example/#callback",
            "redirectUris: without '#' and what follows; browsers keep that to themselves",
        ),
    ] {
        server.refuses(sso_client(uri), told).await;
        // The other list is held to the same.
        let after = sso_client(well).with("/spec/postLogoutRedirectUris", json!([uri]));
        let told = told.replace("redirectUris:", "postLogoutRedirectUris:");
        server.refuses(after, &told).await;
    }
    for uri in [
        well,
        "https://shop.acme.example",
        "https://shop.acme.example:8443/a@b",
        "http://127.0.0.1:8000/callback",
        "http://[::1]/callback",
        "http://localhost",
    ] {
        let both = sso_client(uri).with("/spec/postLogoutRedirectUris", json!([uri]));
        server.accepts(both).await;
    }
}

#[test]
fn both_lists_of_addresses_have_the_same_rules() {
    for told in [
        "postLogoutRedirectUris: addresses in full, such as 'https://shop.example.com/callback': with a host, without a user name, without spaces, backslashes and letters that are not ASCII",
        "postLogoutRedirectUris: https:// only; http:// is for a program on somebody's own machine, at 127.0.0.1, [::1] or localhost",
        "postLogoutRedirectUris: no asterisk; addresses are compared letter by letter, so name each of them",
        "postLogoutRedirectUris: without '#' and what follows; browsers keep that to themselves",
    ] {
        let written = include_str!("../yaml/ssoclients.yaml").replace("''", "'");
        assert!(written.contains(told), "{told}");
    }
}

#[tokio::test]
async fn a_client_stays_at_its_secret_and_of_its_instance() {
    let server = server().await;
    let client =
        sso_client("https://shop.acme.example/callback").with("/spec/instance", json!("shop"));
    for name in ["Not_A_Name", "two..dots", "shop.-sso"] {
        let named = client.clone().with("/spec/secret", json!(name));
        server
            .refuses(
                named,
                "secret: the name of a Secret is wanted: lower case letters, digits, dots and dashes",
            )
            .await;
    }
    let there = server.create(client).await;
    let told = "instance: cannot be changed; make another SsoClient, and delete this one";
    let of_none = there.clone().without("/spec/instance");
    server.refuses_change(of_none, told).await;
    for (field, told) in [
        (
            "/spec/secret",
            "secret: cannot be changed; make another SsoClient, and delete this one",
        ),
        (
            "/spec/instance",
            "instance: cannot be changed; make another SsoClient, and delete this one",
        ),
    ] {
        server
            .refuses_change(there.clone().with(field, json!("other")), told)
            .await;
    }
    let elsewhere = json!(["https://www.acme.example/callback"]);
    server
        .accepts_change(there.with("/spec/redirectUris", elsewhere))
        .await;
    let saml = sso_client("https://shop.acme.example/").with("/spec/protocol", json!("saml"));
    server.refuses(saml, "spec.protocol").await;
}

// ---- what people read

#[tokio::test]
async fn kubectl_explain_is_worth_reading() {
    let server = server().await;
    for (field, part) in [
        ("appi", "One running app of one organization"),
        ("appi.spec.storage", "They only grow;"),
        ("appi.spec.deletionPolicy", "Default: Retain."),
        ("appi.spec.domains", "beside its default address"),
        ("appdef.spec.versions.image", "platform's own"),
        ("org.spec.quota.cpu", "Cores promised to pods"),
        ("routes.spec.pathPrefix", "the longest one wins"),
        ("dom.spec.hostname", "Cannot be changed"),
        ("dom.status.records", "ready to paste"),
        ("sso.spec.redirectUris", "compared letter by letter"),
    ] {
        let told = server.explain(field).await;
        let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "{field}: {told}");
    }
}
