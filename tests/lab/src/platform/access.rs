//! How browsers reach the platform: the zone of its addresses, the ports that links carry, and the
//! kind of the Service `gateway`.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use serde_json::Value;

use super::{Target, install::NAMESPACE, target::run};

/// The zone of the lab, and of a first try elsewhere: browsers lead every name below it to the
/// machine that they run on.
pub const LOCAL_ZONE: &str = "tutti.localhost";
/// What `kubectl port-forward` listens on: no root is needed for these.
const FORWARDED: (u16, u16) = (8443, 8080);

/// How the platform is, or will be, reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The DNS zone that apps get their addresses in.
    pub zone: String,
    /// The HTTPS port that browsers see.
    pub https_port: u16,
    /// The HTTP port that browsers see.
    pub http_port: u16,
    /// The type of the Service; the lab's values have their own.
    pub service: Option<String>,
}

impl Access {
    /// How the platform is to be reached on a cluster: in the wanted zone, else as it is installed
    /// there, else as a first try goes best.
    pub fn choose(target: &Target, wanted: Option<&str>) -> Result<Self> {
        if let Some(lab) = &target.lab {
            let zone = wanted.unwrap_or(LOCAL_ZONE);
            check_zone(zone)?;
            return Ok(Self {
                zone: zone.to_owned(),
                https_port: lab.https_port,
                http_port: lab.http_port,
                service: None,
            });
        }
        let access = Self::of(wanted, &installed_values(target)?);
        check_zone(&access.zone)?;
        Ok(access)
    }

    /// What is installed stays as it is, unless another zone is wanted: a second installation
    /// changes nothing.
    fn of(wanted: Option<&str>, installed: &Value) -> Self {
        let there = installed.pointer("/platform/zone").and_then(Value::as_str);
        let zone = wanted.or(there).unwrap_or(LOCAL_ZONE).to_owned();
        if there == Some(zone.as_str()) {
            let port = |path: &str, usual: u16| {
                let port = installed.pointer(path).and_then(Value::as_u64);
                port.and_then(|port| port.try_into().ok()).unwrap_or(usual)
            };
            let service = installed.pointer("/gateway/service/type");
            let service = service.and_then(Value::as_str).unwrap_or("LoadBalancer");
            return Self {
                zone,
                https_port: port("/platform/publicHttpsPort", 443),
                http_port: port("/platform/publicHttpPort", 80),
                service: Some(service.to_owned()),
            };
        }
        // Names under localhost lead to the person's own machine, whatever address a load balancer
        // has: a port is forwarded from there, and none is asked for.
        let is_local = is_local(&zone);
        let (https_port, http_port) = if is_local { FORWARDED } else { (443, 80) };
        let service = if is_local {
            "ClusterIP"
        } else {
            "LoadBalancer"
        };
        Self {
            zone,
            https_port,
            http_port,
            service: Some(service.to_owned()),
        }
    }

    /// Where people sign in, as the chart has it by default.
    pub fn sign_in(&self) -> String {
        self.url("id")
    }

    /// Where a service of the platform is found, by the first part of its hostname.
    pub fn url(&self, host: &str) -> String {
        let port = match self.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        format!("https://{host}.{}{port}", self.zone)
    }

    /// What a person does so that the link opens, as lines of a label and a text.
    pub fn steps(&self, kubectl: &str, host: &str, gateway: &Service) -> Vec<(String, String)> {
        let line = |label: &str, text: String| (label.to_owned(), text);
        let forward = |https: u16, http: u16| {
            format!("{kubectl} port-forward -n {NAMESPACE} service/gateway {https}:443 {http}:80")
        };
        if is_local(&self.zone) {
            let command = forward(self.https_port, self.http_port);
            return vec![line(
                "the way in",
                format!("{command}   (leave it running)"),
            )];
        }
        let record = format!("*.{}", self.zone);
        if let Some(address) = external_address(gateway) {
            return vec![line("DNS", format!("{record} has to lead to {address}"))];
        }
        let kind = gateway.spec.as_ref().and_then(|spec| spec.type_.as_deref());
        if kind != Some("LoadBalancer") {
            let text = format!("{record} has to lead to what forwards to the Service gateway");
            return vec![line("DNS", text)];
        }
        vec![
            line(
                "DNS",
                format!(
                    "{record} has to lead to the Service gateway, which has no address yet: \
                     {kubectl} get service gateway -n {NAMESPACE} --watch"
                ),
            ),
            line("until then", forward(443, 80)),
            line(
                "",
                format!("as root, with the line \"127.0.0.1 {host}\" in /etc/hosts"),
            ),
        ]
    }
}

/// Whether browsers lead the names of a zone to their own machine.
fn is_local(zone: &str) -> bool {
    zone == "localhost" || zone.ends_with(".localhost")
}

/// The address that a load balancer has given to a Service.
fn external_address(service: &Service) -> Option<String> {
    let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
    let first = balancer.ingress.as_ref()?.first()?;
    first.ip.clone().or_else(|| first.hostname.clone())
}

/// Says of a zone what the chart's schema would say, only earlier.
fn check_zone(zone: &str) -> Result<()> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    ensure!(
        zone.len() <= 190
            && zone.split('.').all(is_label)
            && zone
                .rsplit('.')
                .next()
                .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_lowercase())),
        "--zone {zone}: write a DNS zone in lower case and without a trailing dot, such as \
         apps.example.com"
    );
    Ok(())
}

/// The values that the chart was installed with; null when it is not installed.
fn installed_values(target: &Target) -> Result<Value> {
    let mut list = target.helm();
    list.args(["list", "--all", "--namespace", NAMESPACE]);
    let found = run(list.args(["--filter", "^tutti$", "--output", "json"]))?;
    let found: Value = serde_json::from_str(&found).context("helm list gave no JSON")?;
    if found.as_array().is_none_or(Vec::is_empty) {
        return Ok(Value::Null);
    }
    let mut get = target.helm();
    get.args(["get", "values", "tutti", "--namespace", NAMESPACE]);
    let values = run(get.args(["--output", "json"]))?;
    serde_json::from_str(&values).context("helm get values gave no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_first_try_is_forwarded_to_the_persons_own_machine() {
        let access = Access::of(None, &Value::Null);
        assert_eq!(access.zone, "tutti.localhost");
        assert_eq!((access.https_port, access.http_port), (8443, 8080));
        assert_eq!(access.service.as_deref(), Some("ClusterIP"));
        let steps = access.steps("kubectl --context kind", "", &Service::default());
        assert_eq!(steps.len(), 1);
        assert!(
            steps[0].1.starts_with(
                "kubectl --context kind port-forward -n tutti-system service/gateway \
                 8443:443 8080:80"
            ),
            "{steps:?}"
        );
    }

    #[test]
    fn a_zone_of_ones_own_has_the_usual_ports_and_a_load_balancer() {
        let access = Access::of(Some("apps.example.com"), &Value::Null);
        assert_eq!((access.https_port, access.http_port), (443, 80));
        assert_eq!(access.service.as_deref(), Some("LoadBalancer"));
    }

    #[test]
    fn what_is_installed_stays_when_nothing_else_is_wanted() {
        let installed = json!({
            "platform": { "zone": "apps.example.com", "publicHttpsPort": 8443 },
            "gateway": { "service": { "type": "NodePort" } },
        });
        let access = Access::of(None, &installed);
        assert_eq!(access, Access::of(Some("apps.example.com"), &installed));
        assert_eq!(access.zone, "apps.example.com");
        assert_eq!((access.https_port, access.http_port), (8443, 80));
        assert_eq!(access.service.as_deref(), Some("NodePort"));
        // Another zone is another way in.
        assert_eq!(
            Access::of(Some("tutti.localhost"), &installed),
            Access::of(None, &Value::Null)
        );
    }

    #[test]
    fn the_address_of_the_load_balancer_is_what_dns_has_to_name() {
        let access = Access::of(Some("apps.example.com"), &Value::Null);
        let service = |text| serde_json::from_value::<Service>(text).unwrap();
        let balanced = service(json!({
            "spec": { "type": "LoadBalancer" },
            "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } },
        }));
        assert_eq!(
            access.steps("kubectl", "blog.apps.example.com", &balanced)[0].1,
            "*.apps.example.com has to lead to 192.0.2.7"
        );
        let waiting = service(json!({ "spec": { "type": "LoadBalancer" } }));
        let steps = access.steps("kubectl", "blog.apps.example.com", &waiting);
        assert!(steps[1].1.contains("port-forward"), "{steps:?}");
        assert!(steps[2].1.contains("127.0.0.1 blog.apps.example.com"));
    }

    #[test]
    fn a_zone_that_the_chart_would_refuse_is_refused_early() {
        for zone in ["tutti.localhost", "apps.example.com", "localhost"] {
            assert!(check_zone(zone).is_ok(), "{zone}");
        }
        for zone in [
            "",
            "Apps.example.com",
            "example.com.",
            "a_b.example",
            "10.0.0.1",
            "-a.b",
        ] {
            assert!(check_zone(zone).is_err(), "{zone}");
        }
    }
}
