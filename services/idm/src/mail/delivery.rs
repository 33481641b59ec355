//! Delivery: takes mails from the outbox and hands them to an SMTP server (RFC 5321), until it has taken or
//! refused each. Several replicas share the work: whoever tries a mail holds it back for the others.
//!
//! A replica that dies between the server's answer and the row's end sends a mail twice, with the same
//! Message-ID, which mail programs show once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp,
};
use secrecy::{ExposeSecret as _, SecretString};
use service::telemetry::with_causes;
use tokio_util::sync::CancellationToken;

use super::{Mail, outbox};
use crate::{app::Shared, error::Failure};

/// How often it is looked whether there is a mail.
const LOOK: Duration = Duration::from_secs(1);
/// A server that takes longer for a mail is taken for one that is away.
const PATIENCE: Duration = Duration::from_secs(30);
/// Whoever tries a mail has it for so long.
pub const HOLD: SignedDuration = SignedDuration::from_secs(60);
/// After a try that failed the next one comes after this, then after twice as long each time.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// And no longer than that.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// What the links in our mails are good for has ended by then.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24 * 7);

/// The server that takes our mails.
pub struct Delivery {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// It may go well later.
    Deferred(String),
    /// It will not.
    Refused(String),
}

impl Delivery {
    /// By a server's URL: `smtps://user:password@mail.example.com`, or
    /// `smtp://user:password@mail.example.com:587?tls=required`; `smtp://…` without `tls` is not encrypted.
    ///
    /// # Errors
    /// It is none, or the sender is no address.
    pub fn new(url: &SecretString, from: &str) -> Result<Self, String> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|error| error.to_string())?
            .timeout(Some(PATIENCE))
            .build();
        let from = from.parse::<Mailbox>().map_err(|error| error.to_string())?;
        Ok(Self { transport, from })
    }

    fn message(&self, mail: &Mail, at: Timestamp) -> Result<Message, String> {
        let to = mail.recipient.parse::<Mailbox>();
        let domain = self.from.email.domain();
        let id = format!("<{}@{domain}>", mail.uid);
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(to.map_err(|error| error.to_string())?)
            .subject(&mail.subject)
            .date(std::time::SystemTime::from(at))
            .message_id(Some(id))
            // Nobody's absence is told to us (RFC 3834 §5).
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.body.clone())
            .map_err(|error| error.to_string())
    }

    /// Hands a mail over.
    pub async fn hand_over(&self, mail: &Mail, at: Timestamp) -> Outcome {
        let message = match self.message(mail, at) {
            Ok(message) => message,
            Err(problem) => return Outcome::Refused(problem),
        };
        match self.transport.send(message).await {
            Ok(_) => Outcome::Sent,
            Err(error) => judge(&error),
        }
    }
}

fn judge(error: &smtp::Error) -> Outcome {
    let words = with_causes(error.to_string(), error);
    if error.is_permanent() {
        Outcome::Refused(words)
    } else {
        Outcome::Deferred(words)
    }
}

/// When a mail is tried again after so many tries.
#[must_use]
pub fn pause(tries: i32) -> SignedDuration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or_default();
    FIRST_PAUSE
        .checked_mul(1_i32.checked_shl(doublings.min(20)).unwrap_or(i32::MAX))
        .map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE))
}

/// Delivers until told to stop.
pub async fn run(app: Shared, delivery: Delivery, stop: CancellationToken) {
    let mut is_away = false;
    loop {
        let rests = match deliver_one(&app, &delivery).await {
            Ok(true) => {
                is_away = false;
                continue;
            }
            Ok(false) | Err(Failure::NotMigrated) => false,
            Err(failure) => {
                if !is_away {
                    let causes = with_causes(failure.to_string(), &failure);
                    tracing::error!("mails wait: {causes}");
                }
                true
            }
        };
        is_away = rests;
        let pause = tokio::time::sleep(LOOK);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Tries the mail that is due first; `false` when none is.
async fn deliver_one(app: &Shared, delivery: &Delivery) -> Result<bool, Failure> {
    let mut connection = app.connection().await?;
    let Some(due) = outbox::take(&mut connection, app.now(), HOLD).await? else {
        return Ok(false);
    };
    // Nobody waits for a connection while a server takes its time.
    drop(connection);
    let outbox::Due {
        mail,
        tries,
        created_at,
    } = due;
    let outcome = delivery.hand_over(&mail, created_at).await;
    let now = app.now();
    let is_too_old = now.duration_since(created_at) > LONGEST_LIFE;
    let outcome = match outcome {
        Outcome::Deferred(problem) if is_too_old => Outcome::Refused(problem),
        outcome => outcome,
    };
    let mut connection = app.connection().await?;
    // Neither address nor subject stand in the log: the uid finds them in the table.
    match &outcome {
        Outcome::Sent => {
            outbox::remove(&mut connection, &mail.uid).await?;
            app.metrics.mailed("sent");
            tracing::info!(mail = mail.uid, tries, "a mail was sent");
        }
        Outcome::Deferred(problem) => {
            let next = now + pause(tries);
            outbox::defer(&mut connection, &mail.uid, problem, next).await?;
            app.metrics.mailed("deferred");
            tracing::warn!(mail = mail.uid, tries, next = %next, problem, "a mail waits");
        }
        Outcome::Refused(problem) => {
            outbox::refuse(&mut connection, &mail.uid, problem, now).await?;
            app.metrics.mailed("refused");
            tracing::error!(
                mail = mail.uid,
                tries,
                problem,
                "a mail cannot be delivered"
            );
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn a_server_that_is_away_is_asked_ever_more_seldom_up_to_once_an_hour() {
        let pauses: Vec<i64> = [1, 2, 3, 9, 10, i32::MAX]
            .map(|tries| pause(tries).as_secs())
            .into();
        assert_eq!(pauses, [10, 20, 40, 2560, 3600, 3600]);
    }

    #[test]
    fn a_mail_says_that_a_program_wrote_it_and_keeps_its_id() {
        let url = SecretString::from("smtp://localhost:25");
        let delivery = Delivery::new(&url, "Acme <no-reply@acme.test>").unwrap();
        let mail = Mail {
            uid: "mai-1".to_owned(),
            recipient: "ann@example.com".to_owned(),
            language: Language::English,
            subject: "Größe".to_owned(),
            body: "Guten Tag\n".to_owned(),
        };
        let message = delivery.message(&mail, Timestamp::UNIX_EPOCH).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        for line in [
            "From: Acme <no-reply@acme.test>\r\n",
            "To: ann@example.com\r\n",
            "Message-ID: <mai-1@acme.test>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let sly = Mail {
            recipient: "ann@example.com\r\nBcc: all@example.com".to_owned(),
            ..mail
        };
        assert!(delivery.message(&sly, Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn what_is_no_server_or_no_sender_is_refused_at_the_start() {
        let new = |url: &str, from: &str| Delivery::new(&SecretString::from(url), from).is_err();
        assert!(new("http://mail.example.com", "a@example.com"));
        assert!(new("smtp://mail.example.com", "nobody"));
        assert!(!new("smtps://ann:word@mail.example.com", "a@example.com"));
    }
}
