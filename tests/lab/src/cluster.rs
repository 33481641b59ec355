//! What the cluster holds from the start: Calico's objects, DNS, storage and metrics. Applied
//! server-side by every `up`: an object that is as it should be stays untouched.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use crate::{
    components::Setting,
    images::BUSYBOX_IMAGE,
    launch, network,
    process::{run, run_with_input, tail, wait_until},
    programs::{COREDNS_VERSION, LOCAL_PATH_VERSION, METRICS_SERVER_VERSION, kubectl},
    state::{Record, State, node_name, write_whole},
    steps::Step,
    templates::render,
};

/// The Deployments that a working lab has.
const DEPLOYMENTS: [(&str, &str); 3] = [
    ("kube-system", "coredns"),
    ("local-path-storage", "local-path-provisioner"),
    ("kube-system", "metrics-server"),
];

/// Waits until the API server says that it is ready.
pub fn wait_for_api_server(state: &State) -> Result<()> {
    // 3 s on an idle machine; the rest is for one that builds at the same time.
    let ready = wait_until(Duration::from_secs(120), || {
        run(kubectl(state).args(["get", "--raw", "/readyz", "--request-timeout=2s"])).is_ok()
    });
    ensure!(
        ready,
        "the API server does not become ready: {}",
        tail(&state.node_path(1, "logs/kube-apiserver.log"))
    );
    Ok(())
}

/// Applies what felix and the CNI plugin need, then lets them start.
pub fn provide_network_objects(state: &State) -> Result<()> {
    let resources = state.path("calico-resources.yaml");
    let mark = Setting {
        state,
        index: 0,
        node: 1,
    }
    .network_objects();
    let wanted = fs::read_link(&resources)?.display().to_string();
    // The custom resources are 18 long schemas that never change for a version: once is enough.
    if fs::read_to_string(&mark).unwrap_or_default() != wanted {
        run(kubectl(state)
            .args(["apply", "--server-side", "--force-conflicts", "--filename"])
            .arg(&resources))?;
        run(kubectl(state)
            .args(["wait", "--for=condition=Established", "--timeout=60s"])
            .args([
                "crd/clusterinformations.crd.projectcalico.org",
                "crd/ippools.crd.projectcalico.org",
            ]))?;
    }
    apply(
        state,
        &render(
            include_str!("../manifests/calico.yaml"),
            &[("POD_RANGE", network::POD_RANGE)],
        )?,
    )?;
    write_whole(&mark, wanted.as_bytes())
}

/// What a node said last: its name, the time of its Ready condition's heartbeat, and whether it is
/// Ready.
const HEARTBEATS: &str = "jsonpath={range .items[*]}{.metadata.name} \
    {.status.conditions[?(@.type=='Ready')].lastHeartbeatTime} \
    {.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}";

/// Waits until every node is Ready, and says so itself after its start: what the API server
/// remembers from before a crash does not count.
pub fn wait_for_nodes(state: &State, record: &Record) -> Result<()> {
    let starts: Vec<(String, u64)> = (1..=record.nodes)
        .filter_map(|node| {
            Some((
                node_name(node),
                launch::supervisor(record, node)?.started_at,
            ))
        })
        .collect();
    // A node joins seconds after its start; under load the kubelet alone may take a minute.
    let ready = wait_until(Duration::from_secs(180), || {
        run(kubectl(state).args(["get", "nodes", "--output", HEARTBEATS])).is_ok_and(|table| {
            starts
                .iter()
                .all(|(name, start)| is_ready(&table, name, *start))
        })
    });
    if !ready {
        let logs: Vec<String> = (1..=record.nodes)
            .map(|node| tail(&state.node_path(node, "logs/kubelet.log")))
            .collect();
        bail!("not every node becomes Ready: {}", logs.join("\n"));
    }
    Ok(())
}

fn is_ready(table: &str, name: &str, start: u64) -> bool {
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], [node, heartbeat, "True"]
            if node == name && heartbeat.parse::<Timestamp>()
                .is_ok_and(|heartbeat| heartbeat.as_second() >= start as i64))
    })
}

/// Applies DNS, storage and metrics.
pub fn provide_services(state: &State) -> Result<()> {
    let image = |name: &str, version: &str| format!("tutti.lab/{name}:{version}");
    let outside = outside_names(&network::resolvers());
    let internet = network::node_address(state.record()?.index, 1);
    let dns = render(
        include_str!("../manifests/coredns.yaml"),
        &[
            ("IMAGE", &image("coredns", COREDNS_VERSION)),
            ("ADDRESS", &network::DNS_SERVICE_ADDRESS.to_string()),
            ("OUTSIDE", &outside),
            ("INTERNET", &internet.to_string()),
        ],
    )?;
    let storage = render(
        include_str!("../manifests/local-path.yaml"),
        &[
            (
                "IMAGE",
                &image("local-path-provisioner", LOCAL_PATH_VERSION),
            ),
            ("BUSYBOX", BUSYBOX_IMAGE),
            ("VOLUMES", &state.path("volumes").display().to_string()),
        ],
    )?;
    let encoded = |file: &str| fs::read(state.path(file)).map(|text| STANDARD.encode(text));
    let metrics = render(
        include_str!("../manifests/metrics-server.yaml"),
        &[
            ("IMAGE", &image("metrics-server", METRICS_SERVER_VERSION)),
            ("CERTIFICATE", &encoded("pki/metrics-server.crt")?),
            ("KEY", &encoded("pki/metrics-server.key")?),
            ("AUTHORITY", &encoded("pki/ca.crt")?),
        ],
    )?;
    apply(state, &[dns, storage, metrics].join("\n---\n"))
}

/// What CoreDNS does with names outside of the cluster: asks the host's resolvers, or, where there
/// are none, says at once that there is no such name.
fn outside_names(resolvers: &[String]) -> String {
    if resolvers.is_empty() {
        "template ANY ANY . {\n            rcode NXDOMAIN\n        }".to_owned()
    } else {
        format!("forward . {}", resolvers.join(" "))
    }
}

/// Waits until the cluster's own Deployments run.
pub fn wait_for_services(state: &State, step: &Step) -> Result<()> {
    for (namespace, name) in DEPLOYMENTS {
        step.detail(name);
        let deployment = format!("deployment/{name}");
        // Seconds as a rule; two minutes for a machine that builds at the same time.
        run(kubectl(state).args([
            "--namespace",
            namespace,
            "rollout",
            "status",
            &deployment,
            "--timeout=120s",
        ]))
        .map_err(|error| match describe_pods(state, namespace) {
            Some(pods) => error.context(format!("the pods of {namespace}:\n{pods}")),
            None => error,
        })?;
    }
    Ok(())
}

fn describe_pods(state: &State, namespace: &str) -> Option<String> {
    run(kubectl(state).args(["--namespace", namespace, "get", "pods", "--output=wide"])).ok()
}

fn apply(state: &State, text: &str) -> Result<()> {
    let mut command: Command = kubectl(state);
    command.args([
        "apply",
        "--server-side",
        "--force-conflicts",
        "--filename=-",
    ]);
    run_with_input(&mut command, Some(text)).map(|_| ())
}

/// The folder of the volumes must exist on the machine's disk before the first one is made.
pub fn provide_volume_folder(state: &State) -> Result<()> {
    let folder = state.path("volumes");
    if !Path::new(&folder).exists() {
        fs::create_dir_all(folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_from_before_the_start_does_not_count() {
        let table = "node-1 2026-01-01T00:00:10Z True\nnode-2 2026-01-01T00:00:10Z False\n";
        let start = "2026-01-01T00:00:05Z"
            .parse::<Timestamp>()
            .unwrap()
            .as_second() as u64;
        assert!(is_ready(table, "node-1", start));
        assert!(!is_ready(table, "node-1", start + 6));
        assert!(!is_ready(table, "node-2", start));
        assert!(!is_ready(table, "node-3", start));
    }

    #[test]
    fn without_resolvers_outside_names_fail_at_once() {
        assert!(outside_names(&[]).contains("NXDOMAIN"));
        assert_eq!(
            outside_names(&["192.0.2.7".to_owned()]),
            "forward . 192.0.2.7"
        );
    }
}
