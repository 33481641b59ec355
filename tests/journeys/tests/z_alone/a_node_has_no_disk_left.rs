//! A node that has no disk left takes no pods: who waits for a place is told so.

use anyhow::{Context, Result, ensure};
use journeys::{Innocent, Story};
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

#[tokio::test]
async fn a_node_without_disk_is_explained_and_the_order_waits() -> Result<()> {
    // Nobody else finds a place meanwhile.
    let story = Story::begin_alone("disk").await?;
    let (app, organization, innocent) = Innocent::with(&story).await?;
    let nodes: Api<Node> = story.all();
    let all = nodes.list_metadata(&ListParams::default()).await?;
    // As the kubelet says it; it looks again within seconds, and takes it back.
    let without_disk = || async {
        let now = Timestamp::now();
        let condition = json!({
            "type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure",
            "message": "kubelet has disk pressure",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        });
        let said = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
        for node in &all {
            let by_kubelet = PatchParams::default();
            nodes
                .patch_status(&node.name_any(), &by_kubelet, &said)
                .await?;
        }
        anyhow::Ok(())
    };
    journeys::within(20, "no node takes pods", || async {
        without_disk().await?;
        let all = nodes.list(&ListParams::default()).await?;
        let is_closed = |node: &Node| {
            let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
            taints.is_some_and(|all| all.iter().any(|it| it.key.ends_with("/disk-pressure")))
        };
        ensure!(all.iter().all(is_closed), "not all nodes are closed yet");
        Ok(())
    })
    .await?;
    organization
        .order("homeless", json!({"app": app.name, "version": "1"}))
        .await?;
    journeys::within(30, "it is explained", || async {
        let found = organization.instance("homeless").await?;
        let ready = journeys::ready(&found).context("nothing is said")?;
        let is_explained =
            ready.reason == "NoNodeFits" && ready.message.contains("free disk space");
        if !is_explained {
            // The kubelet was quicker: once more.
            without_disk().await?;
            for pod in organization.pods("homeless", "web").await? {
                let at_once = DeleteParams::default().grace_period(0);
                let pods = organization.objects::<Pod>();
                pods.delete(&pod.name_any(), &at_once).await?;
            }
        }
        ensure!(is_explained, "{}", journeys::describe(&found));
        println!("{}: {}", ready.reason, ready.message);
        Ok(())
    })
    .await?;
    innocent.is_unharmed(&organization).await?;
    organization.ready("homeless").await?;
    organization.end().await
}
