//! Two customers on one cluster, and what a program inside one's pods can reach: its own database,
//! and nothing of the other's, of the platform or of the node. Every address is first seen to
//! listen, so that a refusal is the network's.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use journeys::{Organization, PLATFORM, Story};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt, api::ListParams};

/// How long a connection is waited for; what is dropped never answers.
const PATIENCE: u64 = 3;

#[tokio::test]
async fn two_organizations_cannot_reach_each_others_pods() -> Result<()> {
    let story = Story::begin("fence").await?;
    let (one, other) = tokio::try_join!(story.organization(), story.organization())?;
    for organization in [&one, &other] {
        organization.order_wordpress("site").await?;
    }
    let (site, _) = tokio::try_join!(one.ready("site"), other.ready("site"))?;

    let inside = one.pod("site", "web").await?;
    let own_database = cluster_ip(&one, "site-database").await?;
    ensure!(
        connects(&one, &inside, &own_database, 3306).await?,
        "the app does not reach its own database: nothing that follows would prove anything"
    );

    let node = story.lab.node_address.to_string();
    let gateway = pod_of(&story, "gateway").await?;
    let operator = pod_of(&story, "operator").await?;
    let forbidden: BTreeMap<&str, (String, u16)> = BTreeMap::from([
        (
            "the other's web pod",
            (address(&other.pod("site", "web").await?)?, 8080),
        ),
        (
            "the other's web Service",
            (cluster_ip(&other, "site").await?, 80),
        ),
        (
            "the other's database pod",
            (address(&other.pod("site", "database").await?)?, 3306),
        ),
        (
            "the other's database Service",
            (cluster_ip(&other, "site-database").await?, 3306),
        ),
        (
            "the API server",
            (platform_ip(&story, "default", "kubernetes").await?, 443),
        ),
        ("the gateway's admin port", (address(&gateway)?, 8081)),
        (
            "the gateway's admin Service",
            (platform_ip(&story, PLATFORM, "gateway-admin").await?, 8081),
        ),
        ("the operator's admin port", (address(&operator)?, 8081)),
        ("the node's kubelet", (node.clone(), 10250)),
        ("the node's way to the gateway", (node, 30443)),
    ]);
    // What this machine reaches really listens: pods and node by themselves. A Service's address
    // leads to pods that are in this list, or to the API server that we have asked already.
    for name in [
        "the other's web pod",
        "the other's database pod",
        "the gateway's admin port",
        "the node's kubelet",
        "the node's way to the gateway",
    ] {
        listens_or_is_fenced(name, &forbidden[name]).await?;
    }
    let mut reached = Vec::new();
    for (name, (ip, port)) in &forbidden {
        if connects(&one, &inside, ip, *port).await? {
            reached.push(format!("{name} ({ip}:{port})"));
        }
    }
    ensure!(
        reached.is_empty(),
        "from {}'s web pod one reaches {reached:?}",
        one.name
    );

    let database = one.pod("site", "database").await?;
    let web = address(&inside)?;
    ensure!(
        !connects(&one, &database, &web, 8080).await?,
        "a database has no business with the app's port"
    );

    let url = site.status.and_then(|s| s.url).context("no status.url")?;
    let answer = story.site(&url)?.page("/").await?;
    ensure!(
        answer.status == 200,
        "the gateway does not get in: {answer:?}"
    );
    tokio::try_join!(one.end(), other.end())?;
    Ok(())
}

/// Whether a program inside the pod gets a connection.
async fn connects(organization: &Organization, pod: &Pod, ip: &str, port: u16) -> Result<bool> {
    let script = format!(
        "if timeout {PATIENCE} bash -c 'exec 3<>/dev/tcp/{ip}/{port}' 2>/dev/null; \
         then echo open; else echo closed; fi"
    );
    let answer = organization.bash(pod, &script).await?;
    match answer.trim() {
        "open" => Ok(true),
        "closed" => Ok(false),
        other => anyhow::bail!("{other:?} from {ip}:{port}"),
    }
}

/// The node itself must reach its pods (probes come from there), and so does this machine where
/// the lab's network leads to them; a machine that has no way says nothing about who listens.
async fn listens_or_is_fenced(name: &str, (ip, port): &(String, u16)) -> Result<()> {
    let address: SocketAddr = format!("{ip}:{port}").parse()?;
    let attempt = tokio::net::TcpStream::connect(address);
    match tokio::time::timeout(Duration::from_secs(PATIENCE), attempt).await {
        Ok(Ok(_)) => println!("{name} listens at {address}"),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            anyhow::bail!("{name} does not listen at {address}: {error}")
        }
        outcome => println!("{name} at {address} cannot be asked from this machine: {outcome:?}"),
    }
    Ok(())
}

fn address(pod: &Pod) -> Result<String> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    ip.with_context(|| format!("pod {} has no address", pod.name_any()))
}

async fn cluster_ip(organization: &Organization, name: &str) -> Result<String> {
    let service = organization.objects::<Service>().get(name).await?;
    let headless = |ip: &String| ip == "None";
    match service.spec.and_then(|spec| spec.cluster_ip) {
        Some(ip) if !headless(&ip) => Ok(ip),
        // A Service without an address of its own leads straight to its pods.
        _ => {
            let instance = name.trim_end_matches("-database");
            address(&organization.pod(instance, "database").await?)
        }
    }
}

async fn platform_ip(story: &Story, namespace: &str, name: &str) -> Result<String> {
    let services: Api<Service> = Api::namespaced(story.client.clone(), namespace);
    let spec = services.get(name).await?.spec.unwrap_or_default();
    spec.cluster_ip
        .with_context(|| format!("{name} has no address"))
}

async fn pod_of(story: &Story, name: &str) -> Result<Pod> {
    let selector = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
    let pods = story.platform::<Pod>().list(&selector).await?.items;
    pods.into_iter()
        .next()
        .with_context(|| format!("no {name} runs"))
}
