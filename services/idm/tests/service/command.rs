//! The break-glass command.

use idm::{command, config::AdminCommand};
use jiff::Timestamp;
use sqlx::PgPool;

use crate::support::{PASSWORD, Stage};

async fn run(pool: &PgPool, command: AdminCommand) -> Result<String, String> {
    command::run(pool, &command, Timestamp::now())
        .await
        .map_err(|error| format!("{error:#}"))
}

fn create(email: &str, name: &str) -> AdminCommand {
    AdminCommand::Create {
        email: email.to_owned(),
        name: name.to_owned(),
    }
}

fn reset(email: &str, remove_totp: bool) -> AdminCommand {
    AdminCommand::ResetPassword {
        email: email.to_owned(),
        remove_totp,
    }
}

fn password(printed: &str) -> &str {
    printed.split_once("password  ").unwrap().1.trim()
}

#[tokio::test]
async fn an_administrator_is_made_and_signs_in_and_the_bootstrap_is_over() {
    let stage = Stage::start().await;
    assert!(
        run(&stage.pool, create("nonsense", "Root"))
            .await
            .unwrap_err()
            .starts_with("--email")
    );
    assert!(
        run(&stage.pool, create("root@example.com", "\n"))
            .await
            .unwrap_err()
            .starts_with("--name")
    );
    let printed = run(&stage.pool, create("root@example.com", "Root"))
        .await
        .unwrap();
    let browser = stage.browser();
    assert_eq!(
        browser
            .sign_in("root@example.com", password(&printed))
            .await
            .status,
        303
    );
    assert_eq!(browser.get("/organizations").await.status, 200);
    assert_eq!(stage.browser().get("/bootstrap").await.status, 410);
    let again = run(&stage.pool, create("ROOT@example.com", "Root"))
        .await
        .unwrap_err();
    assert!(again.contains("reset-password"), "{again}");
    let written: (String, String) =
        sqlx::query_as("select actor, deed from audit where sequence = 1")
            .fetch_one(&stage.pool)
            .await
            .unwrap();
    assert_eq!(written, ("break-glass".to_owned(), "PersonMade".to_owned()));
}

#[tokio::test]
async fn a_new_password_ends_what_was_open_and_opens_a_locked_account() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    sqlx::query("update people set totp_secret = '\\x0102030405060708090a0b0c0d0e0f1011121314' where email = 'ann@acme.test'")
        .execute(&stage.pool)
        .await
        .unwrap();
    for number in 0..11 {
        stage
            .browser_from(&format!("192.0.2.{number}"))
            .sign_in("ann@acme.test", "wrong")
            .await;
    }
    let unknown = run(&stage.pool, reset("nobody@acme.test", false))
        .await
        .unwrap_err();
    assert!(unknown.contains("nobody has"), "{unknown}");
    let printed = run(&stage.pool, reset(" Ann@acme.test", false))
        .await
        .unwrap();
    assert_eq!(browser.get("/account").await.status, 303);
    let sign_in = async |password: &str| {
        let answer = stage
            .browser_from("198.51.100.1")
            .sign_in("ann@acme.test", password)
            .await;
        (answer.status, answer.location().to_owned())
    };
    assert_eq!(
        sign_in(password(&printed)).await.1,
        "/sign-in/second-step?next=%2F"
    );
    let printed = run(&stage.pool, reset("ann@acme.test", true))
        .await
        .unwrap();
    assert_eq!(sign_in(PASSWORD).await.0, 401);
    assert_eq!(sign_in(password(&printed)).await, (303, "/".to_owned()));
    assert_eq!(
        stage
            .deeds()
            .await
            .iter()
            .filter(|deed| *deed == "PasswordReset")
            .count(),
        2
    );
}

#[tokio::test]
async fn the_trail_is_verified_by_command() {
    let stage = Stage::start().await;
    run(&stage.pool, create("root@example.com", "Root"))
        .await
        .unwrap();
    let whole = run(&stage.pool, AdminCommand::VerifyAudit).await.unwrap();
    assert_eq!(whole, "the audit trail is whole: 1 entries\n");
    let tampered = "set session_replication_role = replica; update audit set actor = 'visitor'";
    let mut connection = stage.pool.acquire().await.unwrap();
    sqlx::raw_sql(tampered)
        .execute(&mut *connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let broken = run(&stage.pool, AdminCommand::VerifyAudit)
        .await
        .unwrap_err();
    assert_eq!(broken, "entry 1 is not what was written");
}
