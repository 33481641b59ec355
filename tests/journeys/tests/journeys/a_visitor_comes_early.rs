//! Visitors of a site that is not there yet, of one that never was, by plain HTTP, and with
//! headers that are none of their business.

use anyhow::{Context, Result, ensure};
use journeys::{App, PAGE, Story};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_visitor_sees_how_a_site_starts() -> Result<()> {
    let story = Story::begin("early").await?;
    let organization = story.organization().await?;
    organization.order_wordpress("site").await?;
    let site = organization
        .until("site", 20, "it has an address", |found| {
            found
                .status
                .as_ref()
                .is_some_and(|status| status.url.is_some())
        })
        .await?;
    let url = site.status.and_then(|s| s.url).context("no status.url")?;
    let site = story.site(&url)?;

    let page = journeys::within(20, "the loading page is shown", || async {
        let page = site.page("/").await?;
        ensure!(page.header("tutti-reason") == "Starting", "{page:?}");
        Ok(page)
    })
    .await?;
    ensure!(page.status == 503, "{page:?}");
    ensure!(
        page.header("content-type").starts_with("text/html"),
        "{page:?}"
    );
    ensure!(
        page.body.contains("http-equiv=\"refresh\""),
        "it does not reload itself: {}",
        page.body
    );
    ensure!(
        ["being set up", "getting ready", "starting"]
            .iter()
            .any(|words| page.body.contains(words)),
        "{}",
        page.body
    );
    let program = site.json("/").await?;
    ensure!(program.status == 503, "{program:?}");
    let seconds: u32 = program
        .header("retry-after")
        .parse()
        .context("Retry-After")?;
    ensure!((1..=30).contains(&seconds), "Retry-After: {seconds}");
    let problem: Value = serde_json::from_str(&program.body)?;
    ensure!(
        problem["reason"] == "Starting" && problem["retryable"] == true,
        "{problem}"
    );

    organization.ready("site").await?;
    let page = site.page("/").await?;
    ensure!(page.status == 200, "Ready, and the visitor sees {page:?}");
    organization.end().await
}

#[tokio::test]
async fn a_visitor_of_nothing_is_told_so() -> Result<()> {
    let story = Story::begin("nothing").await?;
    let port = match story.lab.https_port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let site = story.site(&format!(
        "https://nobody-ordered-this.tutti.localhost{port}"
    ))?;
    let page = site.page("/").await?;
    ensure!(page.status == 404, "{page:?}");
    ensure!(
        page.header("content-type").starts_with("text/html"),
        "{page:?}"
    );
    ensure!(page.body.contains("nobody-ordered-this"), "{}", page.body);
    let program = site.json("/").await?;
    let problem: Value = serde_json::from_str(&program.body)?;
    ensure!(problem["reason"] == "UnknownHost", "{problem}");
    Ok(())
}

#[tokio::test]
async fn plain_http_is_redirected_and_forwarded_headers_cannot_be_forged() -> Result<()> {
    let story = Story::begin("forge").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    organization
        .order("files", json!({"app": app.name, "version": "1"}))
        .await?;
    let files = organization.ready("files").await?;
    let status = files.status.context("no status")?;
    let url = status.url.context("no status.url")?;
    let host = status.host.context("no status.host")?;

    let plain = story.site(&format!("http://{host}:{}", story.lab.http_port))?;
    let answer = plain.page(&format!("{PAGE}?a=b")).await?;
    ensure!(answer.status == 308 || answer.status == 301, "{answer:?}");
    let location = answer.header("location");
    ensure!(
        location == format!("{url}{PAGE}?a=b"),
        "it leads to {location}"
    );

    // A script that repeats what reaches the app.
    let pod = organization.pod("files", "web").await?;
    let script =
        "echo '<?php echo json_encode($_SERVER);' > /var/lib/wordpress/wp-content/echo.php";
    organization.bash(&pod, script).await?;
    let site = story.site(&url)?;
    let forged = site
        .request(Method::GET, "/wp-content/echo.php")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-proto", "http")
        .header("x-forwarded-host", "evil.example")
        .header("x-real-ip", "6.6.6.6")
        .header("forwarded", "for=6.6.6.6;host=evil.example;proto=http")
        .header("x_forwarded_for", "6.6.6.6")
        .header("x-tutti-user", "root")
        .header("remote-user", "root")
        .header("proxy", "http://6.6.6.6/")
        .header("x-request-id", "forged");
    let answer = site.send(forged).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let seen: Value = serde_json::from_str(&answer.body).context(answer.body.clone())?;
    for word in [
        "6.6.6.6",
        "evil.example",
        "forged",
        "HTTP_X_TUTTI_USER",
        "HTTP_REMOTE_USER",
    ] {
        ensure!(
            !answer.body.contains(word),
            "{word} reached the app: {seen:#}"
        );
    }
    ensure!(seen["HTTP_X_FORWARDED_PROTO"] == "https", "{seen:#}");
    ensure!(seen["HTTP_X_FORWARDED_HOST"] == host, "{seen:#}");
    ensure!(seen["HTTP_HOST"] == host, "{seen:#}");
    ensure!(seen["HTTP_X_FORWARDED_FOR"].is_string(), "{seen:#}");
    let id = seen["HTTP_X_REQUEST_ID"].as_str().unwrap_or_default();
    ensure!(
        id == answer.header("x-request-id") && !id.is_empty(),
        "{seen:#}"
    );
    organization.end().await
}
