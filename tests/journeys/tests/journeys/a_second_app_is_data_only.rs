//! Another app with another database engine and another way to sign people in: somebody orders a MediaWiki,
//! which keeps its pages in PostgreSQL. Whoever opens it from home is signed in under their own name, with what their
//! role gives them. The front page is edited, and the text is found again after the pod was replaced. It is data:
//! no line of the platform's own code names it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use journeys::{Browser, Organization, Site, Story, people, took, within};
use reqwest::{Method, StatusCode, Url, header::SET_COOKIE};
use serde_json::{Value, json};

const PASSWORD: &str = "four slow snails on a wall";
const TEXT: &str = "Perspicuously edited by somebody who ordered a wiki a minute ago.";

#[tokio::test]
async fn a_person_gets_a_mediawiki_on_postgresql() -> Result<()> {
    let story = Story::begin("wiki").await?;
    let organization = story.organization().await?;
    let start = Instant::now();
    let wish = json!({"app": "mediawiki", "version": "1.43", "size": "small"});
    organization.order("wiki", wish).await?;
    let url = organization.address("wiki").await?;
    took("from the order to Ready", start);
    ensure!(url.starts_with("https://"), "{url}");
    let site = story.site(&url)?;
    let front = front_page(&site).await?;
    ensure!(front.contains("MediaWiki has been installed"), "{front}");
    // Only the cluster is answered.
    let health = site.page("/healthz").await?;
    ensure!(health.status == StatusCode::FORBIDDEN, "{health:?}");

    let mut visitor = Wiki::new(&site);
    let about = &visitor.ask("action=query&meta=siteinfo").await?["query"]["general"];
    ensure!(about["dbtype"] == "postgres", "{about}");
    let version = about["dbversion"].as_str().unwrap_or_default();
    ensure!(version.starts_with("17"), "PostgreSQL {version}");
    let refused = visitor.edit("Main Page", "Written by a stranger.").await;
    ensure!(refused.is_err(), "a stranger may write");

    let password = organization.secret("wiki-admin-password").await?;
    let mut admin = Wiki::new(&site);
    let refused = admin.sign_in("Admin", &password).await;
    ensure!(refused.is_err(), "a password of the wiki is taken");
    people_sign_in(&story, &organization, &site).await?;

    // The way in for when nobody can sign in.
    let local = json!({"settings": {"localLogin": "on"}});
    organization.change("wiki", local).await?;
    organization.ready("wiki").await?;
    let mut admin = Wiki::new(&site);
    admin.sign_in("Admin", &password).await?;
    admin.edit("Main Page", TEXT).await?;
    the_text_is_found(&site, &mut visitor).await?;

    organization.replace_pod("wiki", "web").await?;
    the_text_is_found(&site, &mut visitor).await?;
    let who = &admin.ask("action=query&meta=userinfo").await?["query"]["userinfo"];
    ensure!(who["name"] == "Admin", "she was signed out: {who}");

    // Also under a name of her own, which it leads away from to no other.
    let own = organization.with_domain(&story, "wiki").await?;
    let front = front_page(&own).await?;
    ensure!(front.contains(TEXT), "{front}");
    organization.end().await
}

/// Two browsers: an administrator of the platform, and somebody whose role changes.
async fn people_sign_in(story: &Story, organization: &Organization, site: &Site) -> Result<()> {
    let staff = Browser::start(&story.lab).await?;
    let guest = Browser::start(&story.lab).await?;
    let outcome = tell(story, organization, site, &staff, &guest).await;
    let outcome = guest.witness("wiki", outcome).await;
    staff.witness("wiki-staff", outcome).await?;
    staff.close().await?;
    guest.close().await
}

async fn tell(
    story: &Story,
    organization: &Organization,
    site: &Site,
    staff: &Browser,
    guest: &Browser,
) -> Result<()> {
    let mark = rand::random::<u32>();
    let address = |name: &str| format!("{name}-{mark:08x}@example.com");
    people::as_administrator(story, staff, &address("wil"), "Wil Story").await?;
    let members = format!(
        "{}/organizations/{}/people",
        story.sign_in_url(),
        organization.name
    );
    let invitation = people::invite(staff, &members, &address("eve"), "Admin").await?;
    people::join(guest, &invitation, "Eve Story", PASSWORD).await?;
    guest.click(".apps a").await?;
    is_signed_in(guest, site, &["bureaucrat", "interface-admin", "sysop"]).await?;

    staff.open(&members).await?;
    let form = "form[action$='/role']:has(button[aria-label$='Eve Story'])";
    staff.set(&format!("{form} select"), "Power User").await?;
    staff.click(&format!("{form} button")).await?;
    within(30, "the next sign-in knows the new role", || async {
        guest
            .open(&format!(
                "{}/wiki/Special:UserLogin?returnto=Project:About",
                site.url
            ))
            .await?;
        is_signed_in(guest, site, &["editor"]).await?;
        let path = guest.run("return location.pathname").await?;
        ensure!(path == "/wiki/Project:About", "at {path}");
        Ok(())
    })
    .await?;

    // "Log out" is that of the platform, too.
    guest
        .open(&format!("{}/wiki/Special:UserLogout", site.url))
        .await?;
    guest.click("#mw-content-text button[type=submit]").await?;
    let is_nobody = format!(
        "location.href.startsWith('{}/') && !location.pathname.includes('UserLogout')
         && window.mw?.config?.get('wgUserName') === null",
        site.url
    );
    guest.until(30, &is_nobody).await?;
    guest
        .open(&format!("{}/wiki/Special:UserLogin", site.url))
        .await?;
    guest.until(30, "location.pathname === '/sign-in'").await
}

/// Whether a browser is in the wiki under the person's name, and in which of the groups that roles give.
async fn is_signed_in(browser: &Browser, site: &Site, groups: &[&str]) -> Result<()> {
    let is_there = format!(
        "location.href.startsWith('{}/wiki/') && window.mw?.config?.get('wgUserName') === 'Eve Story'",
        site.url
    );
    browser.until(30, &is_there).await?;
    let given = "const given = mw.config.get('wgUserGroups').filter(group => !['*', 'user', 'autoconfirmed'].includes(group));
         return given.sort();";
    let given = browser.run(given).await?;
    ensure!(given == json!(groups), "{given}, not {groups:?}");
    Ok(())
}

/// What stands on the page that the address leads to.
async fn front_page(site: &Site) -> Result<String> {
    let answer = site.page("/").await?;
    ensure!(answer.status.is_redirection(), "{answer:?}");
    let location = answer.header("location");
    let path = location.strip_prefix(&site.url);
    let path = path.with_context(|| format!("it leads away, to {location}"))?;
    let page = site.page(path).await?;
    ensure!(page.status == StatusCode::OK, "{path}: {page:?}");
    Ok(page.body)
}

/// On the page, and by the wiki's own search, which is the database's.
async fn the_text_is_found(site: &Site, visitor: &mut Wiki) -> Result<()> {
    let front = front_page(site).await?;
    ensure!(front.contains(TEXT), "{front}");
    let question = "action=query&list=search&srwhat=text&srsearch=perspicuously";
    let found = visitor.ask(question).await?;
    let found = &found["query"]["search"];
    ensure!(found[0]["title"] == "Main Page", "found: {found}");
    Ok(())
}

/// Somebody at the wiki's API.
struct Wiki {
    site: Site,
    cookies: BTreeMap<String, String>,
}

impl Wiki {
    fn new(site: &Site) -> Self {
        Self {
            site: site.clone(),
            cookies: BTreeMap::new(),
        }
    }

    async fn sign_in(&mut self, user: &str, password: &str) -> Result<()> {
        let token = self.token("login").await?;
        let answer = self
            .post(&[
                ("action", "clientlogin"),
                ("username", user),
                ("password", password),
                ("loginreturnurl", &self.site.url.clone()),
                ("logintoken", &token),
            ])
            .await?;
        ensure!(answer["clientlogin"]["status"] == "PASS", "{answer}");
        Ok(())
    }

    /// Adds a paragraph to a page.
    async fn edit(&mut self, title: &str, text: &str) -> Result<()> {
        let token = self.token("csrf").await?;
        let answer = self
            .post(&[
                ("action", "edit"),
                ("title", title),
                ("appendtext", &format!("\n\n{text}")),
                ("token", &token),
            ])
            .await?;
        ensure!(answer["edit"]["result"] == "Success", "{answer}");
        Ok(())
    }

    async fn token(&mut self, kind: &str) -> Result<String> {
        let answer = self
            .ask(&format!("action=query&meta=tokens&type={kind}"))
            .await?;
        let token = answer["query"]["tokens"][format!("{kind}token")].as_str();
        Ok(token.with_context(|| format!("no token: {answer}"))?.into())
    }

    async fn ask(&mut self, query: &str) -> Result<Value> {
        self.send(Method::GET, query, String::new()).await
    }

    async fn post(&mut self, form: &[(&str, &str)]) -> Result<Value> {
        let form = Url::parse_with_params(&self.site.url, form)?;
        let form = form.query().unwrap_or_default().to_owned();
        self.send(Method::POST, "", form).await
    }

    async fn send(&mut self, method: Method, query: &str, form: String) -> Result<Value> {
        let path = format!("/api.php?format=json&formatversion=2&{query}");
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self
            .site
            .request(method, &path)
            .header("cookie", cookies.join("; "))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = self.site.send(request).await?;
        ensure!(answer.status == StatusCode::OK, "{path}: {answer:?}");
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
            if let Some((name, value)) = cookie.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
    }
}

#[test]
fn no_line_of_operator_and_gateway_names_an_app() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let apps: Vec<String> = std::fs::read_dir(root.join("apps"))?
        .map(|app| Ok(app?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    ensure!(apps.len() > 1, "{apps:?}");
    let mut files = Vec::new();
    for folder in ["operator/src", "operator/plan/src", "services/gateway/src"] {
        collect(&root.join(folder), &mut files)?;
    }
    ensure!(files.len() > 20, "where is the code? {files:?}");
    for file in files {
        let code = std::fs::read_to_string(&file)?.to_lowercase();
        let named = apps.iter().find(|app| code.contains(app.as_str()));
        ensure!(named.is_none(), "{} names {named:?}", file.display());
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
