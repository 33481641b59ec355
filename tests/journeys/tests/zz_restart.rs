//! The whole lab is stopped and started again: sites come back by themselves, with what was in
//! them. Everything else of the suite needs the lab, so this has a binary of its own whose name
//! comes last. Programs of the lab: `TUTTI_LAB_PROGRAM`, or the one that was built beside this test.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use journeys::{Editor, Story, took};
use tokio::process::Command;

const TEXT: &str = "Written before the machine was switched off.";

#[tokio::test]
#[ignore = "needs the lab to itself: make test-long"]
async fn a_post_is_found_after_a_restart_of_the_whole_lab() -> Result<()> {
    let story = Story::begin_alone("restart").await?;
    let organization = story.organization().await?;
    organization.order_wordpress("blog").await?;
    let blog = organization.ready("blog").await?;
    let url = blog.status.and_then(|s| s.url).context("no status.url")?;
    let site = story.site(&url)?;
    let password = organization.secret("blog-admin-password").await?;
    let editor = Editor::sign_in(&site, "admin", &password).await?;
    let post = editor.write_post("Before", TEXT).await?;

    let start = Instant::now();
    lab(&["stop"]).await?;
    ensure!(
        lab::Lab::discover().is_err(),
        "the lab was stopped and runs"
    );
    lab(&["up"]).await?;
    took("the lab stopped and up", start);

    let page = journeys::within(300, "the post is found", || async {
        let page = site.page(&post).await?;
        ensure!(page.status == 200, "{} {}", page.status, page.body);
        Ok(page)
    })
    .await?;
    took("the post is found again", start);
    ensure!(page.body.contains(TEXT), "{}", page.body);
    let is_upload = |text: &&str| text.starts_with(&site.url) && text.ends_with(".png");
    let picture = page.body.split('"').find(is_upload);
    let picture = picture.and_then(|address| address.strip_prefix(&site.url));
    let picture = picture.with_context(|| format!("no picture in {}", page.body))?;
    let picture = site.page(picture).await?;
    ensure!(picture.status == 200, "the picture: {}", picture.status);
    organization.ready("blog").await?;
    Editor::sign_in(&site, "admin", &password).await?;
    organization.end().await
}

async fn lab(arguments: &[&str]) -> Result<()> {
    let program = match std::env::var_os("TUTTI_LAB_PROGRAM") {
        Some(program) => PathBuf::from(program),
        None => {
            // target/debug/deps/zz_restart-…
            let own = std::env::current_exe()?;
            let folder = own.parent().and_then(|deps| deps.parent());
            folder.context("where was this test built?")?.join("lab")
        }
    };
    let output = Command::new(&program).args(arguments).output().await;
    let output = output.with_context(|| {
        format!(
            "{} cannot be run; build it with cargo build -p lab, or set TUTTI_LAB_PROGRAM",
            program.display()
        )
    })?;
    ensure!(
        output.status.success(),
        "lab {}: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
