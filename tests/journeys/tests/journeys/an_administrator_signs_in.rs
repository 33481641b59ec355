//! The first administrator is made with the code that `make up` tells of, signs out, and signs in again
//! with a password and a phone; the code is dead then. All in Chromium, through the gateway.
//!
//! A platform has its first administrator once: where there is one already, another is made by command.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use journeys::{Browser, Site, Story, people};
use k8s_openapi::api::core::v1::Secret;
use totp_rs::{Builder, Secret as TotpSecret, Totp};

const NAME: &str = "Ann Story";
const PASSWORD: &str = "seven green boats on a lake";

#[tokio::test]
async fn an_administrator_signs_in() -> Result<()> {
    let story = Story::begin("sign-in").await?;
    let site = story.site(&story.sign_in_url())?;
    // A stranger sees nothing but the way in.
    let stranger = site.page("/").await?;
    ensure!(stranger.status == 303, "{stranger:?}");
    ensure!(
        stranger.header("location").starts_with("/sign-in"),
        "{stranger:?}"
    );

    let asked = site.json("/v1/bootstrap").await?;
    let is_needed = asked.body.contains("true");
    let email = format!("ann-{:08x}@example.com", rand::random::<u32>());
    let browser = Browser::start(&story.lab).await?;
    let outcome = if is_needed {
        with_the_code(&story, &site, &browser, &email).await
    } else {
        by_command(&story, &site, &browser, &email).await
    };
    browser.witness("sign-in", outcome).await?;
    browser.close().await?;

    let asked = site.json("/v1/bootstrap").await?;
    ensure!(asked.body.contains("false"), "{asked:?}");
    let dead = site.page("/bootstrap").await?;
    ensure!(dead.status == 410, "{dead:?}");
    Ok(())
}

async fn with_the_code(story: &Story, site: &Site, browser: &Browser, email: &str) -> Result<()> {
    let secret: Secret = story.platform().get("idm-bootstrap").await?;
    let code = secret.data.unwrap_or_default().remove("code");
    let code = String::from_utf8(code.context("the Secret has no code")?.0)?;

    let url = &site.url;
    browser.open(&format!("{url}/bootstrap")).await?;
    browser.fill("#code", "a guess of a stranger").await?;
    browser.click("main button").await?;
    browser.find_text("#problem").await?;
    browser.fill("#code", &code).await?;
    browser.click("main button").await?;
    browser
        .until(30, "location.pathname === '/bootstrap/person'")
        .await?;
    let phone = phone(&browser.find_text(".qr + p code").await?)?;
    browser.fill("#email", email).await?;
    browser.fill("#name", NAME).await?;
    browser.fill("#password", PASSWORD).await?;
    browser
        .fill("#code", &phone.generate(now()).to_string())
        .await?;
    browser.click("main button").await?;
    // Recovery codes, and then what there is to open.
    browser.click("a.button").await?;
    people::is_at_home(browser, NAME).await?;

    browser.click("header form button").await?;
    is_led_to_sign_in(browser, url).await?;
    people::sign_in(browser, email, PASSWORD).await?;
    browser
        .until(30, "location.pathname === '/sign-in/second-step'")
        .await?;
    // A code is taken once: the next one, which phones that are ahead show already.
    browser
        .fill("#code", &phone.generate(now() + 30).to_string())
        .await?;
    browser.click("main button").await?;
    people::is_at_home(browser, NAME).await
}

async fn by_command(story: &Story, site: &Site, browser: &Browser, email: &str) -> Result<()> {
    is_led_to_sign_in(browser, &site.url).await?;
    people::as_administrator(story, browser, email, NAME).await
}

async fn is_led_to_sign_in(browser: &Browser, url: &str) -> Result<()> {
    browser.open(&format!("{url}/account")).await?;
    browser
        .until(30, "location.pathname === '/sign-in'")
        .await?;
    browser.open(url).await
}

fn phone(secret: &str) -> Result<Totp> {
    let secret = TotpSecret::try_from_base32(secret)
        .map_err(|error| anyhow::anyhow!("{secret} is no secret: {error:?}"))?;
    let built = Builder::new()
        .with_secret(secret.to_vec())
        .with_account_name("story".to_owned())
        .build();
    built.map_err(|error| anyhow::anyhow!("{error}"))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}
