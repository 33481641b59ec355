//! What people do on the pages of idm, each in a browser of their own.

use anyhow::{Result, ensure};

use crate::{Browser, Story};

/// Signs in at the form that the browser shows.
///
/// # Errors
/// When there is none.
pub async fn sign_in(browser: &Browser, email: &str, password: &str) -> Result<()> {
    browser.fill("#email", email).await?;
    browser.fill("#password", password).await?;
    browser.click("main button").await
}

/// Whether somebody of this name is at home.
///
/// # Errors
/// When the page is another after half a minute, or somebody else's.
pub async fn is_at_home(browser: &Browser, name: &str) -> Result<()> {
    let home = "location.pathname === '/' && document.querySelector('header nav') !== null";
    browser.until(30, home).await?;
    let person = browser.find_text("header a[href='/account']").await?;
    ensure!(person == name, "{person} is signed in");
    Ok(())
}

/// Makes an administrator of the platform, who signs in.
///
/// # Errors
/// When they do not come home.
pub async fn as_administrator(
    story: &Story,
    browser: &Browser,
    email: &str,
    name: &str,
) -> Result<()> {
    let password = story.make_administrator(email, name).await?;
    let page = format!("{}/sign-in", story.sign_in_url());
    browser.open(&page).await?;
    sign_in(browser, email, &password).await?;
    is_at_home(browser, name).await
}

/// Invites somebody on an organization's page of people, and returns the link that it shows.
///
/// # Errors
/// When the page shows none.
pub async fn invite(browser: &Browser, page: &str, email: &str, role: &str) -> Result<String> {
    browser.open(page).await?;
    browser.fill("#email", email).await?;
    browser.set("#role", role).await?;
    browser.click(&posts_to("/invitations")).await?;
    browser.find_text(".notice code").await
}

/// Follows an invitation's link, and comes home with this name and password.
///
/// # Errors
/// When the link is not good.
pub async fn join(browser: &Browser, link: &str, name: &str, password: &str) -> Result<()> {
    browser.open(link).await?;
    browser.fill("#name", name).await?;
    browser.fill("#password", password).await?;
    browser.click("main button").await?;
    is_at_home(browser, name).await
}

/// The button of the form that posts to an address with this end.
#[must_use]
pub fn posts_to(end: &str) -> String {
    format!("form[action$='{end}'] button")
}
