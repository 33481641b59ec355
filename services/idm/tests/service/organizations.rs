//! Organizations: who may change whom, and that there is always a Super Admin.

use idm::organizations::{Organization, Role};

use crate::{browser::Browser, support::Stage};

/// An organization with somebody of each role, each signed in.
struct Acme {
    stage: Stage,
    organization: Organization,
    people: Vec<(Role, String, Browser)>,
}

impl Acme {
    async fn new() -> Self {
        let stage = Stage::start().await;
        stage.staff("root@example.com").await;
        let organization = stage.organization("acme").await;
        let mut people = Vec::new();
        for (number, role) in Role::ALL.into_iter().enumerate() {
            let (uid, browser) = stage.signed_in(&format!("person{number}@acme.test")).await;
            stage.join(&organization, &uid, role).await;
            // A form of theirs, from whichever page they may see.
            browser.get("/account").await;
            people.push((role, uid, browser));
        }
        Self {
            stage,
            organization,
            people,
        }
    }

    fn of(&self, role: Role) -> (&str, &Browser) {
        let (_, uid, browser) = self.people.iter().find(|(one, ..)| *one == role).unwrap();
        (uid, browser)
    }

    async fn set_role(&self, actor: Role, uid: &str, role: Role) -> u16 {
        let path = format!("/organizations/acme/people/{uid}/role");
        self.of(actor)
            .1
            .post(&path, &[("role", role.name())])
            .await
            .status
    }

    async fn role(&self, uid: &str) -> Option<String> {
        sqlx::query_scalar("select role from memberships where organization = $1 and person = $2")
            .bind(&self.organization.uid)
            .bind(uid)
            .fetch_optional(&self.stage.pool)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn the_staff_makes_organizations_and_nobody_else() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let root = stage.sign_in("root@example.com").await;
    assert!(
        root.get("/organizations")
            .await
            .body
            .contains("There are none yet.")
    );
    for (name, words) in [("Acme", "short name begins"), ("", "short name begins")] {
        let answer = root
            .post("/organizations", &[("name", name), ("title", "Acme")])
            .await;
        assert_eq!(answer.status, 422);
        assert!(answer.body.contains(words), "{}", answer.body);
    }
    let answer = root
        .post(
            "/organizations",
            &[("name", "acme"), ("title", "Acme <Ltd>")],
        )
        .await;
    assert_eq!(
        answer.location(),
        "/organizations/acme/people?done=saved",
        "{}",
        answer.body
    );
    let page = root.get(answer.location()).await;
    assert!(page.body.contains("Acme &#60;Ltd&#62;"), "{}", page.body);
    assert_eq!(
        root.post("/organizations", &[("name", "acme"), ("title", "x")])
            .await
            .status,
        422
    );

    let (_, ann) = stage.signed_in("ann@acme.test").await;
    assert_eq!(ann.get("/organizations").await.status, 403);
    ann.get("/account").await;
    assert_eq!(
        ann.post("/organizations", &[("name", "other"), ("title", "x")])
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn people_are_seen_and_changed_by_admins_up_to_their_own_role() {
    let acme = Acme::new().await;
    let path = "/organizations/acme/people";
    for role in [Role::Member, Role::PowerUser] {
        assert_eq!(acme.of(role).1.get(path).await.status, 403, "{role}");
        let member = acme.of(Role::Member).0;
        assert_eq!(
            acme.set_role(role, member, Role::SuperAdmin).await,
            403,
            "{role}"
        );
    }
    let page = acme.of(Role::Admin).1.get(path).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("person3@acme.test"));
    assert!(
        !page.body.contains(r#"<option value="Super Admin""#),
        "an Admin gives no more than Admin"
    );

    let member = acme.of(Role::Member).0;
    assert_eq!(
        acme.set_role(Role::Admin, member, Role::SuperAdmin).await,
        403
    );
    assert_eq!(
        acme.set_role(Role::Admin, acme.of(Role::SuperAdmin).0, Role::Member)
            .await,
        403
    );
    assert_eq!(acme.set_role(Role::Admin, member, Role::Admin).await, 303);
    assert_eq!(acme.role(member).await.as_deref(), Some("Admin"));
    assert_eq!(
        acme.set_role(Role::SuperAdmin, member, Role::SuperAdmin)
            .await,
        303
    );
    let remove = format!("{path}/{member}/remove");
    assert_eq!(acme.of(Role::Admin).1.post(&remove, &[]).await.status, 403);
    assert_eq!(
        acme.of(Role::SuperAdmin).1.post(&remove, &[]).await.status,
        303
    );
    assert_eq!(acme.role(member).await, None);
    assert_eq!(
        acme.of(Role::SuperAdmin).1.post(&remove, &[]).await.status,
        404
    );
}

#[tokio::test]
async fn another_organization_is_not_even_known() {
    let acme = Acme::new().await;
    let (uid, stranger) = acme.stage.signed_in("eve@example.com").await;
    let other = acme.stage.organization("other").await;
    acme.stage.join(&other, &uid, Role::SuperAdmin).await;
    assert_eq!(
        stranger.get("/organizations/other/people").await.status,
        200
    );
    let member = acme.of(Role::Member).0;
    for path in [
        "/organizations/acme/people",
        "/organizations/nowhere/people",
        "/organizations/acme/audit",
    ] {
        assert_eq!(stranger.get(path).await.status, 404, "{path}");
    }
    stranger.get("/account").await;
    for path in [
        format!("/organizations/acme/people/{member}/role"),
        format!("/organizations/acme/people/{member}/remove"),
        "/organizations/acme/invitations".to_owned(),
        "/organizations/acme/leave".to_owned(),
        // Somebody else's member by the way of one's own organization.
        format!("/organizations/other/people/{member}/role"),
    ] {
        let form = [("role", "Member"), ("email", "x@example.com")];
        assert_eq!(stranger.post(&path, &form).await.status, 404, "{path}");
    }
    assert_eq!(acme.role(member).await.as_deref(), Some("Member"));
}

#[tokio::test]
async fn the_last_super_admin_can_neither_leave_nor_step_down_nor_be_removed() {
    let acme = Acme::new().await;
    let (uid, browser) = acme.of(Role::SuperAdmin);
    assert_eq!(acme.set_role(Role::SuperAdmin, uid, Role::Admin).await, 409);
    assert_eq!(
        browser.post("/organizations/acme/leave", &[]).await.status,
        409
    );
    let root = acme.stage.sign_in("root@example.com").await;
    root.get("/account").await;
    let remove = format!("/organizations/acme/people/{uid}/remove");
    assert_eq!(
        root.post(&remove, &[]).await.status,
        409,
        "not even by the staff"
    );
    // One who cannot sign in is none.
    let member = acme.of(Role::Member).0;
    assert_eq!(
        acme.set_role(Role::SuperAdmin, member, Role::SuperAdmin)
            .await,
        303
    );
    sqlx::query("update people set is_suspended = true where uid = $1")
        .bind(member)
        .execute(&acme.stage.pool)
        .await
        .unwrap();
    assert_eq!(
        browser.post("/organizations/acme/leave", &[]).await.status,
        409
    );
    assert_eq!(
        acme.set_role(Role::SuperAdmin, acme.of(Role::Admin).0, Role::SuperAdmin)
            .await,
        303
    );
    assert_eq!(
        browser.post("/organizations/acme/leave", &[]).await.status,
        303
    );
}

#[tokio::test]
async fn super_admins_who_all_leave_at_once_leave_one() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    for round in 0..5 {
        let organization = stage.organization(&format!("acme{round}")).await;
        let mut leaving = Vec::new();
        for number in 0..4 {
            let (uid, browser) = stage
                .signed_in(&format!("p{number}r{round}@acme.test"))
                .await;
            stage.join(&organization, &uid, Role::SuperAdmin).await;
            browser.get("/account").await;
            let path = if number % 2 == 0 {
                format!("/organizations/{}/leave", organization.name)
            } else {
                format!("/organizations/{}/people/{uid}/role", organization.name)
            };
            leaving.push(async move { browser.post(&path, &[("role", "Member")]).await.status });
        }
        let leaving: Vec<_> = leaving.into_iter().map(tokio::spawn).collect();
        let mut statuses = Vec::new();
        for one in leaving {
            statuses.push(one.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 303, 303, 409], "round {round}");
        let left: i64 = sqlx::query_scalar(
            "select count(*) from memberships where organization = $1 and role = 'Super Admin'",
        )
        .bind(&organization.uid)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
        assert_eq!(left, 1);
    }
}

#[tokio::test]
async fn home_lists_the_apps_that_one_may_open_and_says_when_there_are_none() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (uid, browser) = stage.signed_in("ann@acme.test").await;
    assert!(
        browser
            .get("/")
            .await
            .body
            .contains("You belong to no organization yet.")
    );
    let (acme, other) = (
        stage.organization("acme").await,
        stage.organization("other").await,
    );
    stage.join(&acme, &uid, Role::PowerUser).await;
    let page = browser.get("/").await;
    assert!(
        page.body.contains("There are no apps yet.") && page.body.contains("Your role: Power User")
    );
    assert!(
        !page.body.contains("/organizations/acme/people"),
        "not for Power Users"
    );
    for (organization, name) in [(&acme, "blog"), (&acme, "wiki"), (&other, "secret")] {
        stage.instance(&organization.name, name).await;
    }
    let page = browser.get("/").await;
    assert!(
        page.body
            .contains(r#"<a href="https://blog.acme.example">The blog</a>"#),
        "{}",
        page.body
    );
    assert!(page.body.contains("The wiki") && !page.body.contains("secret"));
}
