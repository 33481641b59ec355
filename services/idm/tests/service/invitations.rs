//! Invitations, from the form to the first page.

use idm::organizations::Role;
use jiff::SignedDuration;

use crate::{
    browser::Browser,
    support::{ORIGIN, PASSWORD, Stage},
};

/// Somebody who looks after acme's people.
async fn acme(role: Role) -> (Stage, Browser) {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let organization = stage.organization("acme").await;
    let (uid, ann) = stage.signed_in("ann@acme.test").await;
    stage.join(&organization, &uid, role).await;
    ann.get("/organizations/acme/people").await;
    (stage, ann)
}

/// Invites, and says the path of the link.
async fn invite(browser: &Browser, email: &str, role: &str) -> String {
    let answer = browser
        .post(
            "/organizations/acme/invitations",
            &[("email", email), ("role", role)],
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let link = answer.between("<p><code>", "</code>");
    link.strip_prefix(ORIGIN).unwrap().to_owned()
}

async fn role_of(stage: &Stage, email: &str) -> Option<String> {
    sqlx::query_scalar(
        "select m.role from memberships m join people p on p.uid = m.person where p.email_key = $1",
    )
    .bind(email)
    .fetch_optional(&stage.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn somebody_new_follows_the_link_chooses_a_password_and_is_in() {
    let (stage, ann) = acme(Role::Admin).await;
    let path = invite(&ann, "Ben@Acme.test", "Power User").await;
    let (recipient, subject, body): (String, String, String) =
        sqlx::query_as("select recipient, subject, body from mail_outbox")
            .fetch_one(&stage.pool)
            .await
            .unwrap();
    assert_eq!(
        (recipient.as_str(), subject.as_str()),
        ("Ben@acme.test", "Invitation to The acme")
    );
    assert!(
        body.contains(&format!("{ORIGIN}{path}")) && body.contains("Power User"),
        "{body}"
    );
    let kept: Vec<u8> = sqlx::query_scalar("select digest from invitations")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(kept.len(), 32, "the token itself is not kept");

    let ben = stage.browser();
    let page = ben.get(&path).await;
    assert_eq!(page.status, 200);
    assert!(
        page.body
            .contains("You are invited to The acme as Power User."),
        "{}",
        page.body
    );
    let form = |name, password| [("name", name), ("password", password)];
    let person = format!("{path}/person");
    assert_eq!(ben.post(&person, &form("Ben", "short")).await.status, 422);
    assert_eq!(ben.post(&person, &form(" ", PASSWORD)).await.status, 422);
    let answer = ben.post(&person, &form("Ben", PASSWORD)).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/?done=joined"),
        "{}",
        answer.body
    );
    let home = ben.get("/").await;
    assert!(
        home.body.contains("The acme") && home.body.contains("Your role: Power User"),
        "{}",
        home.body
    );
    assert_eq!(
        role_of(&stage, "ben@acme.test").await.as_deref(),
        Some("Power User")
    );

    let late = stage.browser();
    assert_eq!(late.get(&path).await.status, 410, "a link is good once");
    let deeds = stage.deeds().await;
    let expected = [
        "SignedIn",
        "PersonInvited",
        "PersonMade",
        "InvitationAccepted",
        "SignedIn",
    ];
    assert_eq!(deeds, expected);
}

#[tokio::test]
async fn who_has_an_account_signs_in_and_joins_and_others_cannot() {
    let (stage, ann) = acme(Role::Admin).await;
    stage.person("ben@acme.test").await;
    let path = invite(&ann, "ben@acme.test", "Member").await;
    let (_, eve) = stage.signed_in("eve@example.com").await;
    assert!(
        eve.get(&path)
            .await
            .body
            .contains("for another e-mail address")
    );
    assert_eq!(eve.post(&path, &[]).await.status, 403);
    let taken = eve
        .post(
            &format!("{path}/person"),
            &[("name", "Eve"), ("password", PASSWORD)],
        )
        .await;
    assert_eq!((taken.status, taken.location()), (303, path.as_str()));

    let ben = stage.browser();
    let page = ben.get(&path).await;
    let sign_in = page.between(r#"class="button" href=""#, "\"").to_owned();
    assert_eq!(sign_in, format!("/sign-in?next={path}"));
    ben.get(&sign_in).await;
    let taken = ben
        .post(
            &format!("{path}/person"),
            &[("name", "Ben"), ("password", PASSWORD)],
        )
        .await;
    assert_eq!(
        taken.location(),
        path,
        "the account is not made a second time"
    );
    let form = [
        ("email", "ben@acme.test"),
        ("password", PASSWORD),
        ("next", &path),
    ];
    let answer = ben.post("/sign-in", &form).await;
    assert_eq!(answer.location(), path);
    ben.get(&path).await;
    let answer = ben.post(&path, &[]).await;
    assert_eq!(answer.location(), "/?done=joined", "{}", answer.body);
    assert_eq!(
        role_of(&stage, "ben@acme.test").await.as_deref(),
        Some("Member")
    );
    assert_eq!(ben.post(&path, &[]).await.status, 410);
    // Who is in is not invited.
    let answer = ann
        .post(
            "/organizations/acme/invitations",
            &[("email", "BEN@acme.test"), ("role", "Admin")],
        )
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("in this organization already"));
}

#[tokio::test]
async fn nobody_invites_to_more_than_they_are() {
    let (_, ann) = acme(Role::Admin).await;
    let invite = async |role| {
        let form = [("email", "ben@acme.test"), ("role", role)];
        ann.post("/organizations/acme/invitations", &form)
            .await
            .status
    };
    assert_eq!(invite("Super Admin").await, 403);
    assert_eq!(invite("Emperor").await, 400);
    assert_eq!(invite("Admin").await, 200);
    let answer = ann
        .post(
            "/organizations/acme/invitations",
            &[("email", "x"), ("role", "Member")],
        )
        .await;
    assert_eq!(answer.status, 422);
    let (_, member) = acme(Role::Member).await;
    member.get("/account").await;
    let form = [("email", "ben@acme.test"), ("role", "Member")];
    assert_eq!(
        member
            .post("/organizations/acme/invitations", &form)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_link_ends_after_a_week_by_a_newer_one_and_by_being_revoked() {
    let (stage, ann) = acme(Role::SuperAdmin).await;
    let first = invite(&ann, "ben@acme.test", "Member").await;
    let second = invite(&ann, "ben@acme.test", "Admin").await;
    let ben = stage.browser();
    assert_eq!(ben.get(&first).await.status, 410, "a newer one is there");
    assert_eq!(ben.get(&second).await.status, 200);
    let page = ann.get("/organizations/acme/people").await;
    assert_eq!(page.body.matches("/invitations/inv-").count(), 1);
    let uid = page
        .between("/organizations/acme/invitations/", "/revoke")
        .to_owned();
    let answer = ann
        .post(
            &format!("/organizations/acme/invitations/{uid}/revoke"),
            &[],
        )
        .await;
    assert_eq!(answer.location(), "/organizations/acme/people?done=revoked");
    assert_eq!(ben.get(&second).await.status, 410);
    assert_eq!(
        ann.post(
            &format!("/organizations/acme/invitations/{uid}/revoke"),
            &[]
        )
        .await
        .status,
        404
    );

    let third = invite(&ann, "ben@acme.test", "Member").await;
    // Her session would be over, too.
    stage.pass(SignedDuration::from_hours(7 * 24) - SignedDuration::from_mins(1));
    assert_eq!(ben.get(&third).await.status, 200);
    stage.pass(SignedDuration::from_mins(2));
    assert_eq!(ben.get(&third).await.status, 410);
    for wrong in [
        "/invitations/x",
        &format!("/invitations/{}", "A".repeat(43)),
    ] {
        assert_eq!(ben.get(wrong).await.status, 410, "{wrong}");
    }
}

#[tokio::test]
async fn of_two_who_follow_a_link_at_once_one_gets_in() {
    let (stage, ann) = acme(Role::Admin).await;
    let path = invite(&ann, "ben@acme.test", "Member").await;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let (browser, person) = (stage.browser(), format!("{path}/person"));
        assert_eq!(browser.get(&path).await.status, 200);
        attempts.push(async move {
            let form = [("name", "Ben"), ("password", PASSWORD)];
            browser.post(&person, &form).await.status
        });
    }
    let mut statuses = Vec::new();
    for attempt in attempts.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410, 410]);
}
