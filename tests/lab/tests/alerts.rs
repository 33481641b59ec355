//! The alerts of the chart (`charts/tutti/templates/operator/alerts.yaml`), as helm renders them: each
//! with series in which it fires, and series next to them in which it does not. They are evaluated by
//! Prometheus' own engine, in a program of ours of two hundred lines (`go/alerts`): promtool would do it,
//! too, and builds the clients of every cloud for that. That the operator exports these metrics is tested
//! in `operator/src/metrics.rs`.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like the test itself"
)]

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
    sync::LazyLock,
};

use lab::state::State;
use serde_json::{Value, json};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2030-01-01.
const START: i64 = 1_893_456_000;
/// How long samples are taken, one a minute; each alert waits for an hour.
const LENGTH: i64 = 2 * HOUR;

const NOT_RENEWED: &str = "TuttiCertificateNotRenewed";
const ENDS_SOON: &str = "TuttiCertificateEndsSoon";
const AUTHORITIES_FAIL: &str = "TuttiAuthoritiesFail";

/// The groups of rules that helm renders, and where the programs are.
struct Chart {
    groups: Value,
    programs: State,
}

static CHART: LazyLock<Chart> = LazyLock::new(|| {
    let programs = lab::for_alerts().unwrap();
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/tutti");
    let rendered = Command::new(programs.program("helm"))
        .args(["template", "tutti", chart, "--kube-version", "1.35"])
        .args(["--values", &format!("{chart}/ci/default-values.yaml")])
        .args(["--set", "monitoring.prometheusRule=true"])
        .args(["--show-only", "templates/operator/alerts.yaml"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&rendered.stderr);
    assert!(rendered.status.success(), "{error}");
    let rendered = String::from_utf8(rendered.stdout).unwrap();
    let rule: Value = serde_saphyr::from_str(&rendered).unwrap();
    Chart {
        groups: rule["spec"]["groups"].clone(),
        programs,
    }
});

/// The alerts that fire at the end of these series.
fn fired(series: &[String]) -> Vec<Value> {
    let question = json!({ "groups": CHART.groups, "start": START, "series": series });
    let mut program = Command::new(CHART.programs.program("alerts"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    input.write_all(question.to_string().as_bytes()).unwrap();
    drop(input);
    let output = program.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(series: &[String]) -> BTreeSet<String> {
    let fired = fired(series);
    let names = fired.iter().map(|it| it["alert"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[track_caller]
fn fires(alert: &str, series: &[String]) {
    assert!(names(series).contains(alert), "silent: {series:#?}");
}

#[track_caller]
fn is_silent(alert: &str, series: &[String]) {
    assert!(!names(series).contains(alert), "it fires: {series:#?}");
}

/// A gauge that stays as it is.
fn stays(series: &str, value: i64) -> String {
    format!("{series} {value}x{}", LENGTH / MINUTE)
}

/// When a certificate is renewed, as one replica of the operator tells it.
fn renewal(replica: &str, at: i64) -> String {
    let name = "tutti_domain_certificate_renewal_timestamp_seconds";
    stays(&format!("{name}{}", labels(replica)), at)
}

/// When it is over.
fn expiry(replica: &str, at: i64) -> String {
    let name = "tutti_domain_certificate_expiry_timestamp_seconds";
    stays(&format!("{name}{}", labels(replica)), at)
}

fn labels(replica: &str) -> String {
    format!(r#"{{namespace="acme",hostname="www.acme.example",pod="{replica}"}}"#)
}

#[test]
fn a_certificate_that_was_to_be_renewed_a_day_ago_is_told() {
    let late = START - DAY - MINUTE;
    fires(NOT_RENEWED, &[renewal("a", late)]);
    is_silent(NOT_RENEWED, &[renewal("a", START - DAY + LENGTH + MINUTE)]);
    // Not before it has been so for an hour.
    is_silent(
        NOT_RENEWED,
        &[renewal("a", START - DAY + LENGTH - HOUR / 2)],
    );
    // A replica that led before remembers what was then.
    is_silent(
        NOT_RENEWED,
        &[renewal("a", late), renewal("b", START + DAY)],
    );
    // One that somebody brought is renewed by nobody.
    is_silent(NOT_RENEWED, &[expiry("a", START + DAY)]);
}

/// Of what is left when two thirds of the lifetime are over, three quarters have passed.
#[test]
fn a_certificate_that_ends_soon_is_told_whatever_its_lifetime_is() {
    for days in [90, 45, 6] {
        let third = days * DAY / 3;
        let left = |left: i64| {
            let end = START + LENGTH + left;
            [expiry("a", end), renewal("a", end - third)]
        };
        fires(ENDS_SOON, &left(third / 4 - LENGTH - MINUTE));
        fires(ENDS_SOON, &left(-DAY));
        is_silent(ENDS_SOON, &left(third / 4 - HOUR / 2));
        is_silent(ENDS_SOON, &left(third / 4 + MINUTE));
        is_silent(ENDS_SOON, &left(days * DAY));
    }
}

#[test]
fn a_certificate_that_somebody_brought_is_told_a_week_before_its_end() {
    fires(ENDS_SOON, &[expiry("a", START + 7 * DAY - MINUTE)]);
    is_silent(ENDS_SOON, &[expiry("a", START + 7 * DAY + LENGTH + MINUTE)]);
}

#[test]
fn authorities_of_which_none_answers_are_told() {
    let failing = |name: &str, value: &str| {
        format!(r#"tutti_acme_authority_failing{{authority="{name}"}} {value}"#)
    };
    let (always, never) = ("1x120", "0x120");
    fires(
        AUTHORITIES_FAIL,
        &[failing("one", always), failing("other", always)],
    );
    is_silent(
        AUTHORITIES_FAIL,
        &[failing("one", always), failing("other", never)],
    );
    is_silent(AUTHORITIES_FAIL, &[failing("one", "0x90 1x30")]);
    is_silent(AUTHORITIES_FAIL, &[failing("one", "1x90 0x30")]);
}

#[test]
fn authorities_that_refuse_every_order_are_told() {
    let orders = |result: &str, values: &str| {
        format!(r#"tutti_acme_orders_total{{authority="one",result="{result}"}} {values}"#)
    };
    // Eight hours: an order each ten minutes, or each hour.
    let (often, seldom, none) = ("0+0.1x480", "0+0.0166x480", "3x480");
    let of =
        |errors: &str, successes: &str| [orders("error", errors), orders("success", successes)];
    fires(AUTHORITIES_FAIL, &of(often, none));
    is_silent(AUTHORITIES_FAIL, &of(often, seldom));
    is_silent(AUTHORITIES_FAIL, &of(seldom, none));
    is_silent(AUTHORITIES_FAIL, &of(none, none));
}

#[test]
fn what_is_told_names_the_hostname_and_where_to_look() {
    for (left, ends) in [(DAY, "ends in 1d 0h 0m 0s"), (-DAY, "is over")] {
        let end = START + LENGTH + left;
        let told = fired(&[expiry("a", end), renewal("a", end - 30 * DAY)]);
        let names: Vec<&str> = told
            .iter()
            .map(|it| it["alert"].as_str().unwrap())
            .collect();
        assert_eq!(names, [NOT_RENEWED, ENDS_SOON]);
        for alert in &told {
            let text = |key: &str| alert["annotations"][key].as_str().unwrap();
            assert!(text("summary").contains("www.acme.example"), "{alert}");
            let look = "kubectl describe dom -n acme";
            assert!(text("description").contains(look), "{alert}");
        }
        let summary = told[1]["annotations"]["summary"].as_str().unwrap();
        assert!(summary.ends_with(ends), "{summary}");
    }
}

#[test]
fn no_alert_of_the_chart_is_left_out() {
    let groups = CHART.groups.as_array().unwrap();
    let rules = groups.iter().flat_map(|it| it["rules"].as_array().unwrap());
    let alerts: BTreeSet<&str> = rules.map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(
        alerts,
        BTreeSet::from([NOT_RENEWED, ENDS_SOON, AUTHORITIES_FAIL])
    );
}
