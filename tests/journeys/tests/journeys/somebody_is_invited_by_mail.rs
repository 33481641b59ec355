//! An administrator invites somebody, who follows the link of the mail, chooses a name and a password, and is at
//! home. The mail is in the language of whoever invites. Two people in Chromium, each in a browser of their own.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use journeys::{Browser, Organization, Story, people, took, within};
use serde_json::Value;

const NAME: &str = "Bob Story";
const PASSWORD: &str = "four slow trains to the coast";

#[tokio::test]
async fn somebody_is_invited_by_mail_and_comes_in_by_its_link() -> Result<()> {
    let story = Story::begin("mail").await?;
    let organization = story.organization().await?;
    let (staff, guest) = (
        Browser::start(&story.lab).await?,
        Browser::start(&story.lab).await?,
    );
    let outcome = tell(&story, &organization, &staff, &guest).await;
    let outcome = guest.witness("mail", outcome).await;
    staff.witness("mail-staff", outcome).await?;
    staff.close().await?;
    guest.close().await?;
    organization.end().await
}

async fn tell(
    story: &Story,
    organization: &Organization,
    staff: &Browser,
    guest: &Browser,
) -> Result<()> {
    let id = story.sign_in_url();
    let mark = rand::random::<u32>();
    let (ann, bob) = (
        format!("ann-{mark:08x}@example.com"),
        format!("bob-{mark:08x}@example.com"),
    );
    people::as_administrator(story, staff, &ann, "Ann Story").await?;
    staff.open(&format!("{id}/account")).await?;
    staff.set("#locale", "de").await?;
    staff.click(&people::posts_to("/account/name")).await?;
    staff
        .until(30, "document.documentElement.lang === 'de'")
        .await?;

    let page = format!("{id}/organizations/{}/people", organization.name);
    let begun = Instant::now();
    let shown = people::invite(staff, &page, &bob, "Power User").await?;

    let mail = mail_to(story, &bob).await?;
    took("a mail has arrived", begun);
    ensure!(
        mail["subject"] == "Einladung zu Journey: mail"
            && mail["from"][0]["address"] == "no-reply@tutti.localhost",
        "{mail}"
    );
    let text = mail["text"].as_str().context("no text")?;
    ensure!(text.contains("eingeladen, als Power User"), "{text}");
    let link = text.lines().find(|line| line.starts_with("https://"));
    let link = link.with_context(|| format!("no link: {text}"))?;
    ensure!(link == shown, "{link}, and the page shows {shown}");

    // A person reads it on a page.
    let page = format!(
        "{}/#/email/{}",
        story.mail_url(),
        mail["id"].as_str().unwrap_or_default()
    );
    guest.open(&page).await?;
    within(30, "the page shows the mail", || async {
        let source = guest.source().await?;
        ensure!(source.contains(&bob) && source.contains(link), "{source}");
        Ok(())
    })
    .await?;

    people::join(guest, link, NAME, PASSWORD).await?;
    let joined = guest.find_text("main h2").await?;
    ensure!(joined == "Journey: mail", "in {joined}");
    // The link was good for once.
    let used = story.site(&id)?.page(link.trim_start_matches(&id)).await?;
    ensure!(used.status == 410, "{used:?}");
    Ok(())
}

/// What the catcher got for an address that nobody else has.
async fn mail_to(story: &Story, recipient: &str) -> Result<Value> {
    let site = story.site(&story.mail_url())?;
    let path = format!("/email?to.address={recipient}");
    within(60, "a mail arrives", || async {
        let answer = site.json(&path).await?;
        let mails: Vec<Value> =
            serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        let [mail] = &mails[..] else {
            anyhow::bail!("{mails:?}");
        };
        Ok(mail.clone())
    })
    .await
}
