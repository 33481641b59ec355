//! The outbox: mails that wait for delivery, as rows.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::{Mail, Mailer, Sending};
use crate::language::Language;

/// Writes each mail down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outbox;

impl Mailer for Outbox {
    fn send<'a>(&'a self, on: &'a mut PgConnection, mail: &'a Mail, now: Timestamp) -> Sending<'a> {
        Box::pin(async move {
            sqlx::query(
                "insert into mail_outbox (uid, recipient, locale, subject, body, created_at)
                 values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(&mail.uid)
            .bind(&mail.recipient)
            .bind(mail.language.code())
            .bind(&mail.subject)
            .bind(&mail.body)
            .bind(now.to_sqlx())
            .execute(on)
            .await?;
            Ok(())
        })
    }
}

/// A mail whose turn it is.
#[derive(Clone, Debug)]
pub struct Due {
    pub mail: Mail,
    /// This one included.
    pub tries: i32,
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    uid: String,
    recipient: String,
    #[sqlx(try_from = "String")]
    locale: Language,
    subject: String,
    body: String,
    tries: i32,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    created_at: Timestamp,
}

/// Takes the mail that is due first, and holds it back for others meanwhile.
///
/// # Errors
/// What the database has against it.
pub async fn take(
    on: &mut PgConnection,
    now: Timestamp,
    hold: SignedDuration,
) -> sqlx::Result<Option<Due>> {
    let row: Option<Row> = sqlx::query_as(
        "update mail_outbox set tries = tries + 1, next_try_at = $2
         where uid = (
             select uid from mail_outbox where refused_at is null and next_try_at <= $1
             order by next_try_at, uid limit 1 for update skip locked
         )
         returning uid, recipient, locale, subject, body, tries, created_at",
    )
    .bind(now.to_sqlx())
    .bind((now + hold).to_sqlx())
    .fetch_optional(on)
    .await?;
    Ok(row.map(|row| Due {
        tries: row.tries,
        created_at: row.created_at,
        mail: Mail {
            uid: row.uid,
            recipient: row.recipient,
            language: row.locale,
            subject: row.subject,
            body: row.body,
        },
    }))
}

/// One that was delivered.
///
/// # Errors
/// What the database has against it.
pub async fn remove(on: &mut PgConnection, uid: &str) -> sqlx::Result<()> {
    sqlx::query("delete from mail_outbox where uid = $1")
        .bind(uid)
        .execute(on)
        .await?;
    Ok(())
}

/// One that is tried again.
///
/// # Errors
/// What the database has against it.
pub async fn defer(
    on: &mut PgConnection,
    uid: &str,
    problem: &str,
    next: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("update mail_outbox set problem = $2, next_try_at = $3 where uid = $1")
        .bind(uid)
        .bind(problem)
        .bind(next.to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}

/// One that is not tried again; somebody has to look.
///
/// # Errors
/// What the database has against it.
pub async fn refuse(
    on: &mut PgConnection,
    uid: &str,
    problem: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("update mail_outbox set problem = $2, refused_at = $3 where uid = $1")
        .bind(uid)
        .bind(problem)
        .bind(now.to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}
