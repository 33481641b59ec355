//! Names of children: labels of DNS names for everything that the schema admits, and no two alike.

use plan::{digest, names};
use proptest::{prelude::*, string::string_regex};

use crate::support::TOKEN;

/// RFC 1123: what Kubernetes takes as the name of every kind that we make, and begins with a
/// letter as Services must.
#[track_caller]
pub fn assert_label(name: &str) {
    let is_label = !name.is_empty()
        && name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
    assert!(is_label, "{name:?} ({} characters) is no label", name.len());
}

/// Names within the bounds of the schema, the longest ones often.
fn name(longest: usize) -> impl Strategy<Value = String> {
    let inner = longest - 2;
    prop_oneof![
        string_regex(&format!("[a-z]([-a-z0-9]{{0,{inner}}}[a-z0-9])?")).unwrap(),
        string_regex(&format!("[a-z][-a-z0-9]{{{inner}}}[a-z0-9]")).unwrap(),
    ]
}

fn version() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9A-Za-z]([-._0-9A-Za-z]{0,18}[0-9A-Za-z])?",
        "[0-9A-Za-z][-._0-9A-Za-z]{18}[0-9A-Za-z]",
        "[0-9a-z][.0-9a-z]{18}[0-9a-z]",
        "[0-9]\\.[0-9]{1,2}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_name_is_longer_than_kubernetes_takes(
        instance in name(40), volume in name(15), secret in name(20), job in name(10),
        version in version(), domain in "[a-z]{1,60}(\\.[a-z]{2,60}){1,3}",
    ) {
        assert_label(&names::database(&instance));
        assert_label(&names::volume(&instance, &volume));
        assert_label(&names::secret(&instance, &secret));
        assert_label(&names::install_job(&instance, &job, &version));
        assert_label(&names::upgrade_job(&instance, &version));
        assert_label(&names::domain(&instance, &domain));
        let cron = names::job(&instance, &job);
        assert_label(&cron);
        prop_assert!(cron.len() <= 52, "a CronJob appends eleven characters: {}", cron);
        let host = names::default_host(&instance, TOKEN, "apps.example");
        assert_label(host.split('.').next().unwrap());
    }

    #[test]
    fn two_versions_never_share_a_job(one in version(), other in version()) {
        prop_assume!(one != other);
        prop_assert_ne!(names::upgrade_job("shop", &one), names::upgrade_job("shop", &other));
        prop_assert_ne!(
            names::install_job("shop", "install", &one),
            names::install_job("shop", "install", &other)
        );
    }
}

#[test]
fn a_usual_version_can_be_read_in_the_name_of_its_job() {
    assert_eq!(names::upgrade_job("shop", "6.8"), "shop-to-6-8");
    assert_eq!(
        names::install_job("shop", "install", "6.8"),
        "shop-install-6-8"
    );
}

#[test]
fn the_longest_names_still_fit() {
    let instance = "x".repeat(40);
    let version = "1".repeat(20);
    for name in [
        names::upgrade_job(&instance, &version),
        names::install_job(&instance, "installing", &version),
    ] {
        assert_label(&name);
    }
    let readable = names::upgrade_job(&instance, "1234567.90.12345678");
    assert_eq!(readable, format!("{instance}-to-1234567-90-12345678"));
}

#[test]
fn versions_that_would_read_the_same_are_told_apart() {
    let names: std::collections::BTreeSet<String> = ["6.8", "6-8", "6_8", "1A", "1a"]
        .iter()
        .map(|version| names::upgrade_job("shop", version))
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn two_domains_have_two_routes() {
    assert_ne!(
        names::domain("shop", "www.acme.example"),
        names::domain("shop", "acme.example")
    );
}

#[test]
fn a_digest_depends_on_every_field_and_on_nothing_else() {
    let one = serde_json::json!({"a": 1, "b": {"c": "x"}});
    let same = serde_json::json!({"b": {"c": "x"}, "a": 1});
    let other = serde_json::json!({"a": 1, "b": {"c": "y"}});
    assert_eq!(digest::of(&one), digest::of(&same));
    assert_ne!(digest::of(&one), digest::of(&other));
    assert_eq!(digest::of(&one).len(), 20);
}
