//! A site that only members may open: a stranger is led to sign in and comes back to the page, signed in as
//! themselves. A Member opens what a team of theirs was given; from whom it is taken, or who is removed, stands
//! outside within a second. Two people in Chromium, each in a browser of their own.

use std::time::Instant;

use anyhow::{Result, ensure};
use journeys::{App, Browser, PAGE, Story, people, took, within};
use serde_json::json;

const PASSWORD: &str = "nine quiet owls in a barn";

#[tokio::test]
async fn members_come_in_by_signing_in_and_who_is_removed_stands_outside() -> Result<()> {
    let story = Story::begin("door").await?;
    let organization = story.organization().await?;
    let app = App::define(&story, |_| {}).await?;
    let wish = json!({"app": app.name, "version": "1", "access": "members"});
    organization.order("team", wish).await?;
    let url = organization.address("team").await?;

    let site = story.site(&url)?;
    let stranger = site.page(PAGE).await?;
    ensure!(stranger.status == 303, "{stranger:?}");
    ensure!(
        stranger
            .header("location")
            .starts_with(&format!("{}/door?to=", story.sign_in_url())),
        "{stranger:?}"
    );
    let program = site.json(PAGE).await?;
    ensure!(program.status == 401, "{program:?}");
    let forged = site
        .request(reqwest::Method::GET, PAGE)
        .header("cookie", "__Host-tutti-pass=e30.e30.e30")
        .header("x-tutti-identity", "e30.e30.e30");
    let forged = site.send(forged).await?;
    ensure!(forged.status == 401, "{forged:?}");

    let (staff, member) = (
        Browser::start(&story.lab).await?,
        Browser::start(&story.lab).await?,
    );
    let outcome = tell(&story, &organization.name, &url, &staff, &member).await;
    let outcome = member.witness("door", outcome).await;
    staff.witness("door-staff", outcome).await?;
    staff.close().await?;
    member.close().await?;
    organization.end().await
}

async fn tell(
    story: &Story,
    organization: &str,
    url: &str,
    staff: &Browser,
    member: &Browser,
) -> Result<()> {
    let id = story.sign_in_url();
    let mark = rand::random::<u32>();
    let (ann, bob) = (
        format!("ann-{mark:08x}@example.com"),
        format!("bob-{mark:08x}@example.com"),
    );
    people::as_administrator(story, staff, &ann, "Ann Story").await?;
    let members = format!("{id}/organizations/{organization}/people");
    let invitation = people::invite(staff, &members, &bob, "Member").await?;

    // The stranger is led to sign in, and has no account yet.
    let page = page_of(url);
    member.open(&page).await?;
    member.until(30, "location.pathname === '/sign-in'").await?;
    people::join(member, &invitation, "Bob Story", PASSWORD).await?;
    // A Member of no team may open nothing, and reads so.
    stands_outside(member, url).await?;
    let teams = format!("{id}/organizations/{organization}/teams");
    staff.open(&teams).await?;
    staff.fill("#name", "Writers").await?;
    staff.click(&people::posts_to("/teams")).await?;
    for field in ["#person", "#instance"] {
        staff.click(&format!("form:has({field}) button")).await?;
        staff
            .until(30, &format!("document.querySelector('{field}') === null"))
            .await?;
    }
    let team = staff.address().await?;
    member.open(&id).await?;
    member.click(".apps a").await?;
    // What the app shows there is its own affair.
    within(30, "home leads to the app", || async {
        let at = member.address().await?;
        ensure!(at.starts_with(url), "at {at}");
        Ok(())
    })
    .await?;
    let page = page_of(url);
    member.open(&page).await?;
    stands_before(member, &page).await?;

    // Signed out everywhere, the page is closed; the way back is through the form.
    member.open(&id).await?;
    member.click("header form button").await?;
    member.until(30, "location.pathname === '/sign-in'").await?;
    let page = within(10, "the pass is worth nothing", || async {
        let page = page_of(url);
        member.open(&page).await?;
        let at = member.address().await?;
        ensure!(at.starts_with(&id), "still at {at}");
        Ok(page)
    })
    .await?;
    people::sign_in(member, &bob, PASSWORD).await?;
    stands_before(member, &page).await?;

    staff.open(&team).await?;
    let begun = Instant::now();
    staff.click(&people::posts_to("/take")).await?;
    stands_outside(member, url).await?;
    took("what was taken from a team is closed", begun);
    staff.click("form:has(#instance) button").await?;
    // The button was pressed; the door opens a moment later, for who knocks again.
    within(30, "the door is open again", || async {
        let page = page_of(url);
        member.open(&page).await?;
        shows(member, &page).await
    })
    .await?;

    staff.open(&members).await?;
    staff.click(&people::posts_to("/remove")).await?;
    stands_outside(member, url).await
}

/// Whether a browser is told that the app is not open to whoever is signed in.
async fn stands_outside(browser: &Browser, url: &str) -> Result<()> {
    within(10, "the door is closed", || async {
        browser.open(&page_of(url)).await?;
        let source = browser.source().await?;
        ensure!(source.contains("MayNot"), "{source}");
        Ok(())
    })
    .await
}

/// A page that the browser has not kept.
fn page_of(url: &str) -> String {
    format!("{url}{PAGE}?ver={:08x}", rand::random::<u32>())
}

/// Waits until a browser on its way to a page shows it.
async fn stands_before(browser: &Browser, page: &str) -> Result<()> {
    within(30, "the page is shown", || shows(browser, page)).await
}

/// Whether a browser shows the page that was asked for, and its address says nothing of how it came there.
async fn shows(browser: &Browser, page: &str) -> Result<()> {
    let at = browser.address().await?;
    ensure!(at == page, "at {at}");
    let source = browser.source().await?;
    ensure!(source.contains("wp-core-ui"), "{source}");
    Ok(())
}
