//! A person who writes in a WordPress, without a browser.

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Method, StatusCode, header::SET_COOKIE};
use serde_json::Value;

use crate::{Browser, Organization, Site, Story};

/// A PNG of 64 by 48 pixels.
pub const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwCAIAAAAuKetIAAAAQ0lEQVR42u3PQQkAAAgEsKtiSNNY1gp+hcEKLNXzWgQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQErha0+EzTKPtESwAAAABJRU5ErkJggg==";

/// A WordPress that answers, with a post in it.
pub struct Blog {
    /// The site.
    pub site: Site,
    /// Its administrator, signed in.
    pub editor: Editor,
    /// The administrator's password.
    pub password: String,
    /// The path of the post.
    pub post: String,
}

impl Blog {
    /// Orders one under the name `blog`, and writes the post.
    pub async fn begin(
        story: &Story,
        organization: &Organization,
        title: &str,
        text: &str,
    ) -> Result<Self> {
        organization.order_wordpress("blog").await?;
        let url = organization.address("blog").await?;
        let site = story.site(&url)?;
        let password = organization.secret("blog-admin-password").await?;
        let editor = Editor::sign_in(&site, "admin", &password).await?;
        let post = editor.write_post(title, text).await?;
        Ok(Self {
            site,
            editor,
            password,
            post,
        })
    }
}

/// Somebody who is signed in.
pub struct Editor {
    site: Site,
    cookies: String,
    nonce: String,
}

impl Editor {
    /// Signs in at WordPress' own form, as a browser would.
    pub async fn sign_in(site: &Site, user: &str, password: &str) -> Result<Self> {
        let form = format!("log={user}&pwd={password}&wp-submit=Log+In&testcookie=1&local=1");
        let request = site
            .request(Method::POST, "/wp-login.php")
            .header("cookie", "wordpress_test_cookie=WP%20Cookie%20check")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = site.send(request).await?;
        ensure!(
            answer.status == StatusCode::FOUND,
            "{user} could not sign in: {} {}",
            answer.status,
            answer.body
        );
        let cookies = answer
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
            .collect::<Vec<_>>()
            .join("; ");
        let request = site
            .request(Method::GET, "/wp-admin/admin-ajax.php?action=rest-nonce")
            .header("cookie", &cookies);
        let nonce = site.send(request).await?;
        ensure!(
            nonce.status == StatusCode::OK,
            "no nonce: {} {}",
            nonce.status,
            nonce.body
        );
        Ok(Self {
            site: site.clone(),
            cookies,
            nonce: nonce.body,
        })
    }

    async fn rest(&self, path: &str, kind: &str, name: &str, body: Vec<u8>) -> Result<Value> {
        let request = self
            .site
            .request(Method::POST, &format!("/wp-json/wp/v2/{path}"))
            .header("cookie", &self.cookies)
            .header("x-wp-nonce", &self.nonce)
            .header("content-type", kind)
            .header(
                "content-disposition",
                format!("attachment; filename=\"{name}\""),
            )
            .body(body);
        let answer = self.site.send(request).await?;
        ensure!(
            answer.status == StatusCode::CREATED,
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Writes a post with a picture; returns its path.
    pub async fn write_post(&self, title: &str, text: &str) -> Result<String> {
        let picture = BASE64_STANDARD.decode(PICTURE)?;
        let media = self.rest("media", "image/png", "dot.png", picture).await?;
        let source = media["source_url"].as_str().context("no source_url")?;
        let post = serde_json::json!({
            "title": title,
            "content": format!("<p>{text}</p><img src=\"{source}\" alt=\"a picture\">"),
            "status": "publish",
        });
        let post = self.rest("posts", "application/json", "post", post.to_string().into());
        let link = post.await?["link"].as_str().unwrap_or_default().to_owned();
        let path = link.strip_prefix(&self.site.url);
        Ok(path
            .with_context(|| format!("{link} is not under {}", self.site.url))?
            .to_owned())
    }

    /// Writes a post that is to be published at a time (UTC, as in 2026-01-31T12:00:00); returns
    /// its number.
    pub async fn schedule_post(&self, title: &str, text: &str, date: &str) -> Result<u64> {
        let post = serde_json::json!({
            "title": title, "content": text, "status": "future", "date_gmt": date,
        });
        let post = self.rest("posts", "application/json", "post", post.to_string().into());
        let post = post.await?;
        ensure!(post["status"] == "future", "it is not scheduled: {post}");
        post["id"].as_u64().context("the post has no number")
    }
}

/// Opens a post and finds its text and its picture.
pub async fn look_at_the_post(browser: &Browser, link: &str, text: &str) -> Result<()> {
    browser.open(link).await?;
    let shown = browser.run("return document.body.innerText").await?;
    ensure!(shown.as_str().unwrap_or_default().contains(text), "{shown}");
    let width = "document.querySelector('#dot, .entry-content img').naturalWidth === 64";
    let picture = browser.until(20, width).await;
    picture.context("the picture is not shown")
}
