//! Somebody follows docs/adding-an-app.md: what stands there is put into files, built, offered and ordered
//! with the lines that stand there.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use journeys::{App, Story, took};
use lab::docker::ImageBuild;
use tokio::process::Command;

const WALK: &str = include_str!("../../../../docs/adding-an-app.md");
/// The files of the walk, and how the text of each begins.
const FILES: [(&str, &str); 4] = [
    ("Dockerfile", "# A folder behind HTTPS"),
    ("nginx.conf", "# The whole configuration"),
    ("entrypoint.sh", "#!/bin/sh\n"),
    (
        "app.yaml",
        "apiVersion: tutti.dev/v1alpha1\nkind: AppDefinition\n",
    ),
];
/// How the lines begin that order one and put a page into it.
const ORDER: &str = "kubectl apply -f - <<'END'\n";

#[tokio::test]
async fn the_walk_of_adding_an_app_is_followed_and_leads_to_a_page() -> Result<()> {
    let story = Story::begin("walk").await?;
    let organization = story.organization().await?;
    let folder = tempfile::tempdir()?;
    for (name, begins) in FILES {
        fs::write(folder.path().join(name), block(begins)?)?;
    }
    let entrypoint = folder.path().join("entrypoint.sh");
    fs::set_permissions(&entrypoint, fs::Permissions::from_mode(0o755))?;

    let start = Instant::now();
    build(&story, folder.path()).await?;
    took("the image of the walk is built", start);
    let definition = folder.path().join("app.yaml").display().to_string();
    let app = App::called(&story, "files");
    story.kubectl(&["apply", "-f", &definition]).await?;
    let start = Instant::now();
    let order = block(ORDER)?.replace("acme", &organization.name);
    let told = shell(&story, folder.path(), &order).await?;
    ensure!(told.trim_end().ends_with("<h1>Hello</h1>"), "{told}");
    took("from the order of the walk to its page", start);
    organization.delete("box").await?;
    app.remove().await?;
    organization.end().await
}

/// The block of the walk that begins so.
fn block(begins: &str) -> Result<&'static str> {
    let blocks = WALK.split("```").skip(1).step_by(2);
    let mut texts = blocks.filter_map(|block| Some(block.split_once('\n')?.1));
    let found = texts.find(|text| text.starts_with(begins));
    found.with_context(|| format!("docs/adding-an-app.md has no block that begins with {begins:?}"))
}

async fn build(story: &Story, folder: &Path) -> Result<()> {
    let registry = story.lab.environment().remove("TUTTI_REGISTRY");
    let request = ImageBuild {
        context: folder.to_owned(),
        tag: format!("{}/files:1", registry.context("no registry")?),
        arguments: Vec::new(),
        push: true,
    };
    story
        .lab
        .build_image(&request, |line| println!("{line}"))
        .await?;
    Ok(())
}

/// Runs lines in a shell that knows the lab, until one of them fails.
async fn shell(story: &Story, folder: &Path, lines: &str) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = story.lab.program_folder();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", lines])
        .envs(story.lab.environment())
        .env("PATH", format!("{}:{path}", programs.display()))
        .current_dir(folder)
        .kill_on_drop(true)
        .output()
        .await
        .context("bash cannot be run")?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{told}\n{complaint}");
    Ok(told)
}
