//! Two customers on one cluster, and what programs inside one's pods can reach: their own
//! database, and nothing of the other's, of the platform or of the node. Each address is first
//! reached from a place that may reach it, so that a refusal is the network's.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use anyhow::{Context, Result, ensure};
use journeys::{Address, Guest, Organization, PLATFORM, Story, reached, within};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt};
use tokio::process::Command;

type Addresses = BTreeMap<&'static str, Address>;

#[tokio::test]
async fn two_organizations_cannot_reach_each_others_pods() -> Result<()> {
    let story = Story::begin("fence").await?;
    let (one, other) = tokio::try_join!(story.organization(), story.organization())?;
    for organization in [&one, &other] {
        organization.order_wordpress("site").await?;
    }
    let (site, _) = tokio::try_join!(one.ready("site"), other.ready("site"))?;
    let (job, others_job) = tokio::try_join!(one.guest("site-cron"), other.guest("site-cron"))?;
    let (web, database) = (
        one.pod("site", "web").await?,
        one.pod("site", "database").await?,
    );
    let (others_web, others_database) = (
        other.pod("site", "web").await?,
        other.pod("site", "database").await?,
    );
    let free = Guest::unfenced(&story, &image(&others_web)?).await?;

    // Each first from where it may be reached.
    let webs = Addresses::from([
        ("the other's web pod", (ip(&others_web)?, 8080)),
        ("the other's web Service", service(&other, "site").await?),
    ]);
    all_are_reached(&story, &others_job, &webs).await?;
    let databases = Addresses::from([
        ("the other's database pod", (ip(&others_database)?, 3306)),
        (
            "the other's database Service",
            service(&other, "site-database").await?,
        ),
    ]);
    all_are_reached(&story, &others_web, &databases).await?;
    let node = story.lab.node_address;
    let doors = Addresses::from([
        (
            "the API server",
            cluster_service(&story, "default", "kubernetes").await?,
        ),
        ("the node's kubelet", (node, 10250)),
        ("the node's way to the gateway", (node, 30443)),
    ]);
    all_are_reached(&story, &free.pod, &doors).await?;
    let admin = Addresses::from([
        (
            "the gateway's admin port",
            (ip(&on_first_node(&story, "gateway").await?)?, 8081),
        ),
        (
            "the gateway's admin Service",
            cluster_service(&story, PLATFORM, "gateway-admin").await?,
        ),
        (
            "the operator's admin port",
            (ip(&on_first_node(&story, "operator").await?)?, 8081),
        ),
        (
            "the operator's admin Service",
            cluster_service(&story, PLATFORM, "operator").await?,
        ),
    ]);
    all_are_reached_from_the_node(&story, &admin).await?;
    let people = Addresses::from([
        (
            "idm's pages, past the gateway",
            (ip(&on_first_node(&story, "idm").await?)?, 8080),
        ),
        (
            "idm's admin port",
            (ip(&on_first_node(&story, "idm").await?)?, 8081),
        ),
        (
            "the platform's database",
            (ip(&on_first_node(&story, "postgresql").await?)?, 5432),
        ),
        (
            "where mails are taken",
            (ip(&on_first_node(&story, "maildev").await?)?, 1025),
        ),
        (
            "the page of mails, past the gateway",
            (ip(&on_first_node(&story, "maildev").await?)?, 1080),
        ),
    ]);
    all_are_reached_from_the_node(&story, &people).await?;
    let own_web = Addresses::from([("its own web pod", (ip(&web)?, 8080))]);
    all_are_reached(&story, &job, &own_web).await?;
    let own_database = Addresses::from([("its own database pod", (ip(&database)?, 3306))]);
    all_are_reached(&story, &web, &own_database).await?;

    // Then from where it may not.
    let forbidden: Addresses = [webs, databases, doors, admin, people]
        .into_iter()
        .flatten()
        .collect();
    for pod in [&web, &job, &database] {
        none_is_reached(&story, pod, &forbidden).await?;
    }
    // A database has no business with the app's port, nor has somebody without papers.
    none_is_reached(&story, &database, &own_web).await?;
    none_is_reached(&story, &free.pod, &own_web).await?;
    none_is_reached(&story, &free.pod, &own_database).await?;

    let url = site.status.and_then(|s| s.url).context("no status.url")?;
    let answer = story.site(&url)?.page("/").await?;
    ensure!(
        answer.status == 200,
        "the gateway does not get in: {answer:?}"
    );
    tokio::try_join!(one.end(), other.end())?;
    Ok(())
}

/// Rules of a pod that has just started take a moment.
async fn all_are_reached(story: &Story, from: &Pod, addresses: &Addresses) -> Result<()> {
    let what = format!("{} reaches what it may", called(from));
    within(30, &what, || async {
        let found = reached(addresses, |script| async move {
            story.bash(from, &script).await
        });
        all(addresses, &found.await?)
    })
    .await
}

/// Nobody but the kubelet, which probes from there, may reach the admin ports.
async fn all_are_reached_from_the_node(story: &Story, addresses: &Addresses) -> Result<()> {
    let supervisor = story.lab.supervisor.to_string();
    within(30, "the node reaches its own pods", || async {
        let found = reached(addresses, |script| async {
            let output = Command::new("nsenter")
                .args(["--target", &supervisor, "--net", "bash", "-c"])
                .arg(script)
                .output()
                .await?;
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "nsenter: {error}");
            Ok(String::from_utf8(output.stdout)?)
        });
        all(addresses, &found.await?)
    })
    .await
}

fn all(addresses: &Addresses, found: &BTreeSet<&str>) -> Result<()> {
    let mut missed = addresses.iter().filter(|(name, _)| !found.contains(*name));
    if let Some((name, (ip, port))) = missed.next() {
        anyhow::bail!("{name} is not reached at {ip}:{port}");
    }
    Ok(())
}

async fn none_is_reached(story: &Story, from: &Pod, addresses: &Addresses) -> Result<()> {
    let found = reached(addresses, |script| async move {
        story.bash(from, &script).await
    });
    let found = found.await?;
    ensure!(found.is_empty(), "{} reaches {found:?}", called(from));
    Ok(())
}

fn called(pod: &Pod) -> String {
    format!(
        "pod {}/{}",
        pod.namespace().unwrap_or_default(),
        pod.name_any()
    )
}

fn image(pod: &Pod) -> Result<String> {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let image = container.and_then(|container| container.image.clone());
    image.with_context(|| format!("{} has no image", called(pod)))
}

fn ip(pod: &Pod) -> Result<Ipv4Addr> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let ip = ip.with_context(|| format!("{} has no address", called(pod)))?;
    Ok(ip.parse()?)
}

async fn service(organization: &Organization, name: &str) -> Result<Address> {
    address(organization.objects(), name).await
}

async fn cluster_service(story: &Story, namespace: &str, name: &str) -> Result<Address> {
    address(Api::namespaced(story.client.clone(), namespace), name).await
}

/// The address of a Service and its first port.
async fn address(services: Api<Service>, name: &str) -> Result<Address> {
    let spec = services.get(name).await?.spec.unwrap_or_default();
    let ip = spec.cluster_ip.unwrap_or_default();
    let port = spec.ports.unwrap_or_default().first().map(|port| port.port);
    let port = port.with_context(|| format!("{name} has no port"))?;
    let ip = ip
        .parse()
        .with_context(|| format!("{name} has no address of its own, but {ip:?}"))?;
    Ok((ip, u16::try_from(port)?))
}

/// A pod of the platform on the node that we look out of.
async fn on_first_node(story: &Story, name: &str) -> Result<Pod> {
    let node = story.lab.node_address.to_string();
    let is_there = |pod: &Pod| {
        let host = pod.status.as_ref().and_then(|s| s.host_ip.as_deref());
        pod.metadata.deletion_timestamp.is_none() && host == Some(&node)
    };
    let pods = story.platform_pods(name).await?;
    pods.into_iter()
        .find(is_there)
        .with_context(|| format!("no {name} runs at {node}"))
}
