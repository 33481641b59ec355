//! A service of the platform asks idm what somebody may, by the token of its ServiceAccount. Without one, and
//! through the gateway, nobody is answered.

use anyhow::{Context, Result, ensure};
use journeys::{PLATFORM, Story};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{Api, ResourceExt as _, api::PostParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PORT: u16 = 8082;

#[tokio::test]
async fn a_service_asks_what_somebody_may() -> Result<()> {
    let story = Story::begin("asking").await?;
    let accounts: Api<ServiceAccount> = story.platform();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["tutti-idm".to_owned()],
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let made = accounts.create_token_request("gateway", &params, &request);
    let token = made.await?.status.context("no token")?.token;

    let question = json!({
        "actor": { "person": "usr-00000000000000000000000000" },
        "action": "platform.open-admin-panel",
        "resource": { "kind": "platform" },
    });
    // Every replica says the same.
    for pod in story.platform_pods("idm").await? {
        let name = pod.name_any();
        let (status, answer) = ask(&story, &name, &token, &question).await?;
        ensure!(status == 200, "{name}: {status} {answer}");
        ensure!(
            answer["decision"] == "refuse" && answer["version"].is_i64(),
            "{name}: {answer}"
        );
        let (status, answer) = ask(&story, &name, "a guess", &question).await?;
        ensure!(
            status == 401 && answer["reason"] == "BadToken",
            "{name}: {status} {answer}"
        );
    }
    let outside = story.site(&story.sign_in_url())?.json("/v1/may").await?;
    ensure!(outside.status == 404, "{outside:?}");
    Ok(())
}

/// Asks a replica by a forwarded port, which no NetworkPolicy is in the way of.
async fn ask(story: &Story, pod: &str, token: &str, question: &Value) -> Result<(u16, Value)> {
    let pods: Api<Pod> = Api::namespaced(story.client.clone(), PLATFORM);
    let mut forwarder = pods.portforward(pod, &[PORT]).await?;
    let mut stream = forwarder.take_stream(PORT).context("no stream")?;
    let body = question.to_string();
    let request = format!(
        "POST /v1/may HTTP/1.1\r\nHost: idm\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let body = serde_json::from_str(body).with_context(|| format!("{head}: {body}"))?;
    Ok((status, body))
}
