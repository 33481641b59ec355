//! WordPress is opened from home, and whoever opens it is in its dashboard under their own name, with the role that
//! they have in the organization. Who is given no access reads so; another role counts from the next sign-in; signing
//! out of WordPress is signing out. The public and programs go on, and who only says who they are is nobody.

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use journeys::{Browser, Organization, Site, Story, people, within};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use reqwest::{Method, StatusCode, header::SET_COOKIE};
use serde_json::{Value, json};

const PASSWORD: &str = "two grey geese on the ice";
const MIA: &str = "Mia Story";

/// Names under which something of a sign-in comes to the app, and never from a visitor.
const FORGED: [(&str, &str); 6] = [
    (
        "OIDC_id_token",
        "e30.eyJzdWIiOiJ4Iiwicm9sZSI6IkFkbWluIn0.e30",
    ),
    (
        "OIDC-id-token",
        "e30.eyJzdWIiOiJ4Iiwicm9sZSI6IkFkbWluIn0.e30",
    ),
    ("OIDC_CLAIM_sub", "admin"),
    ("OIDC-CLAIM-role", "Super Admin"),
    ("Remote-User", "admin"),
    ("X-Tutti-Identity", "e30.e30.e30"),
];

#[tokio::test]
async fn wordpress_signs_people_in_with_the_role_that_they_have() -> Result<()> {
    let story = Story::begin("dashboard").await?;
    let organization = story.organization().await?;
    let wish = json!({"app": "wordpress", "version": "6.8", "size": "small"});
    organization.order("blog", wish).await?;
    let url = organization.address("blog").await?;
    let (staff, guest) = (
        Browser::start(&story.lab).await?,
        Browser::start(&story.lab).await?,
    );
    let scene = Scene {
        site: story.site(&url)?,
        id: story.sign_in_url(),
        story: &story,
        organization: &organization,
        staff: &staff,
        guest: &guest,
    };
    let outcome = scene.tell().await;
    let outcome = guest.witness("dashboard", outcome).await;
    staff.witness("dashboard-staff", outcome).await?;
    staff.close().await?;
    guest.close().await?;
    organization.end().await
}

struct Scene<'a> {
    story: &'a Story,
    organization: &'a Organization,
    /// The WordPress.
    site: Site,
    /// Where people sign in.
    id: String,
    staff: &'a Browser,
    guest: &'a Browser,
}

impl Scene<'_> {
    async fn tell(&self) -> Result<()> {
        self.a_stranger_is_nobody().await?;
        let (staff, guest) = (self.staff, self.guest);
        let mark = rand::random::<u32>();
        let address = |name: &str| format!("{name}-{mark:08x}@example.com");
        people::as_administrator(self.story, staff, &address("root"), "Root Story").await?;
        let members = self.page_of_the_organization("people");
        let ann = people::invite(staff, &members, &address("ann"), "Admin").await?;
        let mia = people::invite(staff, &members, &address("mia"), "Member").await?;

        people::join(guest, &ann, "Ann Story", PASSWORD).await?;
        guest.click(".apps a").await?;
        self.is_in_the_dashboard("Ann Story", "administrator")
            .await?;
        self.programs_go_on().await?;
        self.signs_out().await?;
        self.a_secret_that_is_gone_comes_back().await?;

        // A Member of no team may open nothing, and reads so.
        people::join(guest, &mia, MIA, PASSWORD).await?;
        self.opens_the_sign_in().await?;
        let (at, source) = (guest.address().await?, guest.source().await?);
        ensure!(at.starts_with(&self.id), "at {at}");
        ensure!(source.contains("MayNot"), "{source}");

        self.mia_is_given_the_app().await?;
        self.opens_the_sign_in().await?;
        self.is_in_the_dashboard(MIA, "author").await?;

        staff.open(&members).await?;
        let form = format!("form[action$='/role']:has(button[aria-label$='{MIA}'])");
        staff.set(&format!("{form} select"), "Power User").await?;
        staff.click(&format!("{form} button")).await?;
        let present = self.me().await?;
        ensure!(present["roles"] == json!(["author"]), "{present}");
        within(30, "the next sign-in knows the new role", || async {
            self.opens_the_sign_in().await?;
            self.is_in_the_dashboard(MIA, "editor").await
        })
        .await
    }

    fn page_of_the_organization(&self, page: &str) -> String {
        format!(
            "{}/organizations/{}/{page}",
            self.id, self.organization.name
        )
    }

    async fn opens_the_sign_in(&self) -> Result<()> {
        let page = format!("{}/wp-login.php", self.site.url);
        self.guest.open(&page).await
    }

    /// The site is public; its own form takes nobody, and no header makes somebody.
    async fn a_stranger_is_nobody(&self) -> Result<()> {
        let front = self.site.page("/").await?;
        ensure!(front.status == StatusCode::OK, "{front:?}");
        ensure!(front.headers.get(SET_COOKIE).is_none(), "{front:?}");

        let to_form = format!("{}/wp-login.php?", self.site.url);
        let to_id = format!("{}/oauth2/authorize?", self.id);
        for (path, leads_to) in [("/wp-admin/", &to_form), ("/sso/sign-in", &to_id)] {
            let answer = self.site.send(self.forged(path)).await?;
            ensure!(
                answer.header("location").starts_with(leads_to),
                "{answer:?}"
            );
        }
        let answer = self
            .site
            .send(self.forged("/wp-json/wp/v2/users/me"))
            .await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{answer:?}");

        let password = self.organization.secret("blog-admin-password").await?;
        let form = format!("log=admin&pwd={password}&wp-submit=Log+In&local=1");
        for action in ["", "?action=entered_recovery_mode"] {
            let path = format!("/wp-login.php{action}");
            let request = self.site.request(Method::POST, &path);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = self.site.send(request.body(form.clone())).await?;
            let leads_to = answer.header("location");
            ensure!(leads_to.contains("/sso/sign-in"), "{action}: {answer:?}");
        }
        Ok(())
    }

    fn forged(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.site.request(Method::GET, path);
        let add = |request: reqwest::RequestBuilder, (name, value): (&str, &str)| {
            request.header(name, value)
        };
        FORGED.into_iter().fold(request, add)
    }

    /// What WordPress' REST API says of whoever is signed in.
    async fn me(&self) -> Result<Value> {
        let script = "
            const nonce = await (await fetch('/wp-admin/admin-ajax.php?action=rest-nonce')).text();
            const headers = {'X-WP-Nonce': nonce};
            const answer = await fetch('/wp-json/wp/v2/users/me?context=edit', {headers});
            if (!answer.ok) throw await answer.text();
            return await answer.json();";
        self.guest.run_async(script, vec![]).await
    }

    async fn is_in_the_dashboard(&self, name: &str, role: &str) -> Result<()> {
        let is_there =
            "location.pathname === '/wp-admin/' && document.querySelector('#wpadminbar') !== null";
        self.guest.until(30, is_there).await?;
        let me = self.me().await?;
        ensure!(me["name"] == name && me["roles"] == json!([role]), "{me}");
        let has_plugins = "return document.querySelector('#menu-plugins') !== null";
        let has_plugins = self.guest.run(has_plugins).await?;
        ensure!(
            has_plugins == (role == "administrator"),
            "{role}: {has_plugins}"
        );
        Ok(())
    }

    /// With a password of their own, and from inside of the cluster.
    async fn programs_go_on(&self) -> Result<()> {
        let script = "
            const nonce = await (await fetch('/wp-admin/admin-ajax.php?action=rest-nonce')).text();
            const answer = await fetch('/wp-json/wp/v2/users/me/application-passwords', {
                method: 'POST', body: JSON.stringify({name: 'a program'}),
                headers: {'X-WP-Nonce': nonce, 'Content-Type': 'application/json'},
            });
            if (!answer.ok) throw await answer.text();
            return (await answer.json()).password;";
        let password = self.guest.run_async(script, vec![]).await?;
        let password = password.as_str().context("no password")?;
        let me = self.me().await?;
        let user = me["username"].as_str().context("no user name")?;
        let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let request = self.site.request(Method::GET, "/wp-json/wp/v2/users/me");
        let request = request.header("authorization", format!("Basic {both}"));
        let answer = self.site.send(request).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        ensure!(answer.body.contains("Ann Story"), "{answer:?}");

        // A password that somebody gives themselves would outlive their place in the organization.
        let script = "
            const nonce = await (await fetch('/wp-admin/admin-ajax.php?action=rest-nonce')).text();
            const answer = await fetch('/wp-json/wp/v2/users/me', {
                method: 'POST', body: JSON.stringify({password: arguments[0]}),
                headers: {'X-WP-Nonce': nonce, 'Content-Type': 'application/json'},
            });
            return answer.ok || await answer.text();";
        let set = self.guest.run_async(script, vec![json!(PASSWORD)]).await?;
        ensure!(set == json!(true), "{set}");
        ensure!(self.is_taken_by_xml_rpc(user, password).await?);
        ensure!(!self.is_taken_by_xml_rpc(user, PASSWORD).await?);

        let web = self.organization.pod("blog", "web").await?;
        self.organization
            .bash(
                &web,
                "WORDPRESS_SERVICE=127.0.0.1:8080 /usr/local/bin/app cron",
            )
            .await?;
        Ok(())
    }

    async fn is_taken_by_xml_rpc(&self, user: &str, password: &str) -> Result<bool> {
        let parameter =
            |value: &str| format!("<param><value><string>{value}</string></value></param>");
        let call = format!(
            "<?xml version=\"1.0\"?><methodCall><methodName>wp.getUsersBlogs</methodName><params>{}{}</params></methodCall>",
            parameter(user),
            parameter(password),
        );
        let request = self.site.request(Method::POST, "/xmlrpc.php");
        let request = request.header("content-type", "text/xml").body(call);
        let answer = self.site.send(request).await?;
        let is_refused = answer.body.contains("<fault>");
        ensure!(is_refused != answer.body.contains("blogid"), "{answer:?}");
        Ok(!is_refused)
    }

    async fn signs_out(&self) -> Result<()> {
        let link = "return document.querySelector('#wp-admin-bar-logout a').href";
        let link = self.guest.run(link).await?;
        let link = link.as_str().context("no link to sign out")?;
        self.guest.open(link).await?;
        within(30, "the front page is shown", || async {
            let at = self.guest.address().await?;
            ensure!(at == format!("{}/", self.site.url), "at {at}");
            Ok(())
        })
        .await?;
        let source = self.guest.source().await?;
        ensure!(!source.contains("wpadminbar"), "{source}");
        self.opens_the_sign_in().await?;
        let is_asked = "location.pathname === '/sign-in'";
        self.guest.until(30, is_asked).await
    }

    /// Deleted by hand: it is said, idm makes another one, and the app signs people in by that.
    async fn a_secret_that_is_gone_comes_back(&self) -> Result<()> {
        let secrets = self.organization.objects::<Secret>();
        let before = secrets.get("blog-sso").await?.uid();
        secrets.delete("blog-sso", &Default::default()).await?;
        within(30, "another Secret is there", || async {
            let found = secrets.get_opt("blog-sso").await?;
            ensure!(found.is_some_and(|found| found.uid() != before));
            Ok(())
        })
        .await?;
        self.organization.ready("blog").await?;
        Ok(())
    }

    async fn mia_is_given_the_app(&self) -> Result<()> {
        let staff = self.staff;
        staff.open(&self.page_of_the_organization("teams")).await?;
        staff.fill("#name", "Writers").await?;
        staff.click(&people::posts_to("/teams")).await?;
        let choose = format!(
            "const select = document.querySelector('#person');
             select.value = [...select.options].find(one => one.text.startsWith('{MIA} ')).value;"
        );
        staff.find_text("#person").await?;
        staff.run(&choose).await?;
        staff.click("form:has(#person) button").await?;
        let is_in = format!(
            "document.querySelector('[aria-labelledby=people] .rows')?.innerText.includes('{MIA}') === true"
        );
        staff.until(30, &is_in).await?;
        staff.click("form:has(#instance) button").await?;
        staff
            .until(30, "document.querySelector('#instance') === null")
            .await
    }
}
