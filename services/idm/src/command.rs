//! The break-glass command, for when nobody can sign in. Whoever may run a program in the pod may do this;
//! each deed is written down in the audit. Passwords are printed once, and to the terminal only.

use anyhow::{Context, bail};
use jiff::Timestamp;
use sqlx::{PgPool, PgTransaction};

use crate::{
    app::new_uid,
    audit::{self, Actor, Deed, Origin},
    bootstrap,
    config::AdminCommand,
    database,
    identifier::{self, Kind},
    language::Language,
    people::{
        email::{self, Email},
        name, password, store,
    },
    second_factor, sessions, sign_in,
};

/// Letters of a password that is printed: 100 bits, and none that is taken for another.
const LETTERS: usize = 20;

/// Does what the command says, and says what is to be printed.
///
/// # Errors
/// Why it cannot be done; nothing was done then.
pub async fn run(pool: &PgPool, command: &AdminCommand, now: Timestamp) -> anyhow::Result<String> {
    database::migrate(pool)
        .await
        .context("the database cannot be migrated")?;
    let transaction = pool.begin().await?;
    match command {
        AdminCommand::Create { email, name } => create(transaction, email, name, now).await,
        AdminCommand::ResetPassword { email, remove_totp } => {
            reset_password(transaction, email, *remove_totp, now).await
        }
        AdminCommand::VerifyAudit => verify_audit(transaction).await,
    }
}

async fn create(
    mut transaction: PgTransaction<'_>,
    typed: &str,
    name: &str,
    now: Timestamp,
) -> anyhow::Result<String> {
    let email =
        Email::parse(typed).with_context(|| format!("--email: {typed:?} is no e-mail address"))?;
    let name = name::parse(name).context("--name: a name has 1 to 100 characters in one line")?;
    let password = new_password();
    let uid = new_uid(Kind::Person, now);
    let new = store::New {
        uid: &uid,
        email: &email,
        name: &name,
        locale: Language::default(),
        is_staff: true,
        is_confirmed: true,
        password_hash: &password::hash(&password)?,
    };
    if !store::insert(&mut transaction, &new, now).await? {
        bail!(
            "--email: {} has an account; idm admin reset-password gives it a new password",
            email.as_str()
        );
    }
    // Whoever made an administrator this way needs no code any more.
    bootstrap::store::end(&mut transaction, &uid, now).await?;
    write_down(&mut transaction, Deed::PersonMade, &uid, now).await?;
    transaction.commit().await?;
    Ok(format!(
        "{} is an administrator of the platform ({uid})\npassword  {password}\n",
        email.as_str()
    ))
}

async fn reset_password(
    mut transaction: PgTransaction<'_>,
    typed: &str,
    remove_totp: bool,
    now: Timestamp,
) -> anyhow::Result<String> {
    let key = email::key(typed);
    let person = store::find_by_email(&mut transaction, &key).await?;
    let person = person.with_context(|| format!("--email: nobody has {typed:?}"))?;
    let uid = person.uid.as_str();
    let password = new_password();
    let hash = password::hash(&password)?;
    store::set_password(&mut transaction, uid, &hash).await?;
    if remove_totp {
        second_factor::store::remove(&mut transaction, uid).await?;
    }
    sessions::store::end_others(&mut transaction, uid, None).await?;
    // A browser of before may be somebody else's; and a full bucket must not be in the way now.
    sign_in::store::forget_devices(&mut transaction, uid).await?;
    sign_in::store::forget(&mut transaction, &sign_in::tries::account_bucket(&key).name).await?;
    write_down(&mut transaction, Deed::PasswordReset, uid, now).await?;
    transaction.commit().await?;
    let totp = if remove_totp {
        ", and asked for no code"
    } else {
        ""
    };
    Ok(format!(
        "{} is signed out everywhere{totp} ({uid})\npassword  {password}\n",
        person.email
    ))
}

async fn verify_audit(mut transaction: PgTransaction<'_>) -> anyhow::Result<String> {
    let entries = audit::store::verify(&mut transaction).await??;
    Ok(format!("the audit trail is whole: {entries} entries\n"))
}

async fn write_down(
    transaction: &mut PgTransaction<'_>,
    deed: Deed,
    person: &str,
    now: Timestamp,
) -> anyhow::Result<()> {
    let new = audit::New::by(Actor::BreakGlass, deed, Some(person));
    audit::store::append(transaction, Origin::default(), new, now).await?;
    Ok(())
}

fn new_password() -> String {
    identifier::crockford(rand::random(), LETTERS)
}
