//! The audit trail: nobody changes it, not even by the database, without being noticed.

use idm::{
    audit::{self, Broken},
    organizations::Role,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    browser::Browser,
    support::{PASSWORD, Stage},
};

/// A stage on which some things were done.
async fn busy() -> (Stage, Browser) {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let root = stage.sign_in("root@example.com").await;
    root.get("/organizations").await;
    root.post("/organizations", &[("name", "acme"), ("title", "Acme")])
        .await;
    root.get("/organizations/acme/people").await;
    let form = [("email", "ann@acme.test"), ("role", "Super Admin")];
    root.post("/organizations/acme/invitations", &form).await;
    stage.browser().sign_in("root@example.com", "wrong").await;
    (stage, root)
}

async fn verify(pool: &PgPool) -> Result<i64, Broken> {
    audit::store::verify(&mut pool.acquire().await.unwrap())
        .await
        .unwrap()
}

async fn execute(pool: &PgPool, statement: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(AssertSqlSafe(statement)).execute(pool).await?;
    Ok(done.rows_affected())
}

#[tokio::test]
async fn the_trail_takes_no_change_and_no_deletion() {
    let (stage, _) = busy().await;
    for statement in [
        "update audit set actor = 'nobody' where sequence = 2",
        "delete from audit where sequence = 2",
        "truncate audit",
        "delete from audit_head",
        "truncate audit_head",
    ] {
        let error = execute(&stage.pool, statement).await.unwrap_err();
        assert!(
            error.to_string().contains("append only"),
            "{statement}: {error}"
        );
    }
    assert_eq!(verify(&stage.pool).await, Ok(4));
}

#[tokio::test]
async fn whatever_a_superuser_does_to_the_trail_is_found() {
    let (stage, _) = busy().await;
    assert_eq!(verify(&stage.pool).await, Ok(4));
    let changes = [
        ("update audit set details = '{\"reason\": \"none\"}' where sequence = 4", Broken::Changed(4)),
        ("update audit set at = at + interval '1 microsecond' where sequence = 1", Broken::Changed(1)),
        ("update audit set organization = null where sequence = 3", Broken::Changed(3)),
        ("delete from audit where sequence = 2", Broken::Unchained(3)),
        ("delete from audit where sequence = 4", Broken::Cut { found: 3, expected: 4 }),
        (
            "insert into audit select 5, at, actor, deed, subject, organization, address, request, details,
             digest, digest from audit where sequence = 4; update audit_head set sequence = 5",
            Broken::Changed(5),
        ),
    ];
    for (statement, expected) in changes {
        // A superuser can have triggers not fire, in a transaction that is taken back afterwards.
        let mut transaction = stage.pool.begin().await.unwrap();
        let tampered = format!("set local session_replication_role = replica; {statement}");
        sqlx::raw_sql(AssertSqlSafe(tampered))
            .execute(&mut *transaction)
            .await
            .unwrap();
        let found = audit::store::verify(&mut transaction).await.unwrap();
        assert_eq!(found, Err(expected), "{statement}");
        transaction.rollback().await.unwrap();
    }
    assert_eq!(verify(&stage.pool).await, Ok(4));
}

#[tokio::test]
async fn a_deed_that_does_not_happen_leaves_no_entry_and_many_at_once_make_one_chain() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    stage.person("ann@acme.test").await;
    let tries: Vec<_> = (0..12)
        .map(|number| {
            let browser = stage.browser_from(&format!("192.0.2.{number}"));
            let password = if number % 3 == 0 { PASSWORD } else { "wrong" };
            tokio::spawn(async move { browser.sign_in("ann@acme.test", password).await.status })
        })
        .collect();
    for one in tries {
        one.await.unwrap();
    }
    let written = stage.deeds().await.len();
    assert!(written >= 4);
    assert_eq!(
        verify(&stage.pool).await,
        Ok(i64::try_from(written).unwrap())
    );
    // Refused after the last moment before the commit.
    let (uid, browser) = stage.signed_in("ben@acme.test").await;
    let organization = stage.organization("acme").await;
    stage.join(&organization, &uid, Role::SuperAdmin).await;
    browser.get("/account").await;
    let before = stage.deeds().await;
    assert_eq!(
        browser.post("/organizations/acme/leave", &[]).await.status,
        409
    );
    assert_eq!(stage.deeds().await, before);
}

#[tokio::test]
async fn the_export_is_lines_of_json_that_anybody_can_check_and_admins_get_their_own() {
    let (stage, root) = busy().await;
    let export = root.get("/audit").await;
    assert_eq!(
        (export.status, export.header("content-type")),
        (200, "application/jsonl")
    );
    let lines: Vec<Value> = export
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let deeds: Vec<&str> = lines
        .iter()
        .map(|line| line["deed"].as_str().unwrap())
        .collect();
    assert_eq!(
        deeds,
        [
            "SignedIn",
            "OrganizationMade",
            "PersonInvited",
            "SignInRefused"
        ]
    );
    assert_eq!(lines[3]["details"]["reason"], "WrongPassword");
    assert_eq!(lines[3]["address"], "192.0.2.1");
    assert_eq!(lines[0]["previous"], "0".repeat(64));
    for pair in lines.windows(2) {
        assert_eq!(pair[0]["digest"], pair[1]["previous"]);
    }

    let organization: String = sqlx::query_scalar("select uid from organizations")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    let (uid, admin) = stage.signed_in("ben@acme.test").await;
    assert_eq!(admin.get("/audit").await.status, 403);
    let acme = idm::organizations::Organization {
        uid: organization,
        name: "acme".into(),
        title: "Acme".into(),
    };
    stage.join(&acme, &uid, Role::Admin).await;
    let export = admin.get("/organizations/acme/audit").await;
    assert_eq!(export.body.lines().count(), 2, "{}", export.body);
    assert!(!export.body.contains("SignInRefused"));
}
