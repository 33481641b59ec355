//! The API server answers nobody for a while: visitors do not notice, and afterwards everything goes
//! on by itself.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use journeys::{App, PAGE, Story, Visitors};
use lab::Lab;
use serde_json::json;

/// Less than programs that lead give up their leases after.
const AWAY: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_do_not_notice_that_the_api_server_is_away() -> Result<()> {
    let story = Story::begin_alone("away").await?;
    let organization = story.organization().await?;
    let app = App::define(&story, |_| {}).await?;
    let wish = json!({"app": app.name, "version": "1"});
    organization.order("site", wish).await?;
    let site = organization.ready("site").await?;
    let url = site.status.and_then(|s| s.url).context("no status.url")?;

    let visitors = Visitors::come(story.site(&url)?, PAGE);
    {
        let _frozen = Frozen::new(api_server(&story.lab)?)?;
        let asked = story.kubectl(&["get", "--raw=/readyz", "--request-timeout=2s"]);
        ensure!(asked.await.is_err(), "the API server answers");
        tokio::time::sleep(AWAY).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    visitors.leave().await?;

    // What is wished now is done, whoever had to begin anew.
    organization
        .change("site", json!({"stopped": true}))
        .await?;
    organization.reason("site", 60, "Stopped").await?;
    let site = story.site(&url)?;
    journeys::within(60, "the gateway hears of it", || async {
        let page = site.page("/").await?;
        ensure!(page.header("tutti-reason") == "Stopped", "{page:?}");
        Ok(())
    })
    .await?;
    organization.end().await
}

/// The process of the lab's API server: others on this machine write their logs elsewhere.
fn api_server(lab: &Lab) -> Result<String> {
    let log = format!("--audit-log-path={}", lab.audit_log.display());
    let processes = fs::read_dir("/proc")?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    ids.find(|id| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let is_api_server = words
            .next()
            .is_some_and(|program| program.ends_with(b"kube-apiserver"));
        is_api_server && words.any(|word| word == log.as_bytes())
    })
    .context("no API server of the lab runs on this machine")
}

/// A process that does nothing until this is dropped.
struct Frozen(String);

impl Frozen {
    fn new(process: String) -> Result<Self> {
        let frozen = Self(process);
        ensure!(frozen.signal("STOP")?, "it cannot be frozen");
        Ok(frozen)
    }

    fn signal(&self, signal: &str) -> Result<bool> {
        let kill = format!("kill -{signal} {}", self.0);
        Ok(Command::new("sh").args(["-c", &kill]).status()?.success())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // If it is gone, there is nothing to thaw.
        let _ = self.signal("CONT");
    }
}
