//! Somebody orders a WordPress, signs in, writes a post with a picture, and finds it again after
//! both pods were killed. A plugin is installed from a zip. All in Chromium.

use std::{io::Write as _, time::Instant};

use anyhow::{Context, Result, ensure};
use journeys::{Browser, Organization, Story, look_at_the_post, took};
use serde_json::json;

const TEXT: &str = "Written by somebody who ordered a site a minute ago.";

#[tokio::test]
async fn a_person_gets_a_wordpress() -> Result<()> {
    let story = Story::begin("wordpress").await?;
    let organization = story.organization().await?;

    let start = Instant::now();
    organization.order_wordpress("blog").await?;
    let url = organization.address("blog").await?;
    took("from the order to Ready", start);
    let password = organization.secret("blog-admin-password").await?;

    let browser = Browser::start(&story.lab).await?;
    let outcome = in_the_browser(&browser, &organization, &url, &password).await;
    browser.witness("wordpress", outcome).await?;
    browser.close().await?;

    // Under a name of their own nothing of the site leads away; what was written before names the
    // address that it was written under, which is served on.
    let own = organization.with_domain(&story, "blog").await?;
    let page = own.page("/").await?;
    ensure!(page.status == 200, "{page:?}");
    let own_parts = format!("{}/wp-includes/", own.url);
    ensure!(page.body.contains(&own_parts), "{page:?}");
    ensure!(
        !page.body.contains(&format!("{url}/wp-includes/")),
        "{page:?}"
    );
    let sign_in = own.page("/wp-admin/").await?;
    ensure!(
        sign_in.header("location").starts_with(&own.url),
        "{sign_in:?}"
    );
    organization.end().await
}

async fn in_the_browser(
    browser: &Browser,
    organization: &Organization,
    url: &str,
    password: &str,
) -> Result<()> {
    browser.open(url).await?;
    let is_wordpress = browser.source().await?.contains("/wp-includes/");
    ensure!(is_wordpress, "{url} does not show a WordPress");

    sign_in(browser, url, password).await?;
    let post = write_a_post_with_a_picture(browser, url).await?;
    look_at_the_post(browser, &post, TEXT).await?;

    install_a_plugin(browser, url).await?;
    browser.open(url).await?;
    let says_hello = browser.source().await?.contains("the plugin says hello");
    ensure!(says_hello, "the plugin was activated and does nothing");

    organization.replace_pod("blog", "database").await?;
    organization.replace_pod("blog", "web").await?;
    look_at_the_post(browser, &post, TEXT).await?;
    browser.open(url).await?;
    let says_hello = browser.source().await?.contains("the plugin says hello");
    ensure!(says_hello, "the plugin went with the pod");
    Ok(())
}

async fn sign_in(browser: &Browser, url: &str, password: &str) -> Result<()> {
    browser.open(&format!("{url}/wp-login.php?local=1")).await?;
    // The page's own script takes the focus after a moment.
    browser.set("#user_login", "admin").await?;
    browser.set("#user_pass", password).await?;
    browser.click("#wp-submit").await?;
    browser
        .until(30, "document.querySelector('#wpadminbar') !== null")
        .await?;
    let address = browser.address().await?;
    ensure!(
        address == format!("{url}/wp-admin/"),
        "signing in leads to {address}"
    );
    Ok(())
}

async fn write_a_post_with_a_picture(browser: &Browser, url: &str) -> Result<String> {
    let uploader = format!("{url}/wp-admin/media-new.php?browser-uploader");
    browser.open(&uploader).await?;
    browser.fill("#async-upload", &browser.picture()?).await?;
    browser.click("#html-upload").await?;
    browser
        .until(30, "location.pathname === '/wp-admin/upload.php'")
        .await?;
    let script = "
        const nonce = await (await fetch('/wp-admin/admin-ajax.php?action=rest-nonce')).text();
        const ask = async (path, body) => {
            const answer = await fetch('/wp-json/wp/v2/' + path, {
                method: body ? 'POST' : 'GET', body: body && JSON.stringify(body),
                headers: {'X-WP-Nonce': nonce, 'Content-Type': 'application/json'},
            });
            if (!answer.ok) throw await answer.text();
            return await answer.json();
        };
        const [picture] = await ask('media?per_page=1');
        const content = `<p>${args[0]}</p><img id=\"dot\" src=\"${picture.source_url}\">`;
        return (await ask('posts', {title: 'A first post', content, status: 'publish'})).link;";
    let link = browser.run_async(script, vec![json!(TEXT)]).await?;
    let link = link.as_str().context("the post has no link")?;
    ensure!(link.starts_with(url), "{link} is not under {url}");
    ensure!(!link.contains("?p="), "{link} is not a permalink");
    Ok(link.to_owned())
}

async fn install_a_plugin(browser: &Browser, url: &str) -> Result<()> {
    let plugin = "<?php\n/* Plugin Name: Hello from a journey */\n\
        add_action('wp_footer', function () { echo '<!-- the plugin says hello -->'; });\n";
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("journey/journey.php", options)?;
    zip.write_all(plugin.as_bytes())?;
    let zip = browser.file("journey.zip", &zip.finish()?.into_inner())?;

    let page = format!("{url}/wp-admin/plugin-install.php?tab=upload");
    browser.open(&page).await?;
    browser.fill("#pluginzip", &zip).await?;
    browser.click("#install-plugin-submit").await?;
    browser.click("a[href*='action=activate']").await?;
    browser
        .until(30, "location.pathname === '/wp-admin/plugins.php'")
        .await?;
    let source = browser.source().await?;
    ensure!(
        source.contains("Hello from a journey"),
        "the plugin is not listed"
    );
    Ok(())
}
