//! Mails on their way to a server that takes, puts off or refuses them.

use std::{
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use idm::{
    mail::delivery::{self, Delivery, HOLD},
    organizations::Role,
};
use jiff::SignedDuration;
use mailin::{
    Action, Handler, Response, SessionBuilder,
    response::{INTERNAL_ERROR, NO_MAILBOX, OK},
};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::support::{Stage, until};

/// What a server does with a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Takes,
    /// It has trouble of its own (451).
    PutsOff,
    /// There is no such mailbox (550).
    Refuses,
}

#[derive(Default)]
struct Book {
    mood: Mood,
    tries: usize,
    mails: Vec<String>,
}

/// A server that writes down what it takes.
#[derive(Clone, Default)]
struct Mailbox {
    book: Arc<Mutex<Book>>,
    text: Vec<u8>,
}

impl Handler for Mailbox {
    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        self.text.clear();
        OK
    }

    fn rcpt(&mut self, _: &str) -> Response {
        let mut book = self.book.lock().unwrap();
        book.tries += 1;
        match book.mood {
            Mood::Takes => OK,
            Mood::PutsOff => INTERNAL_ERROR,
            Mood::Refuses => NO_MAILBOX,
        }
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        self.book.lock().unwrap().mails.push(text);
        OK
    }
}

impl Mailbox {
    /// Serves on a port of its own as long as the process.
    fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mailbox = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mailbox = mailbox.clone();
                thread::spawn(move || mailbox.talk(stream?));
            }
        });
        address
    }

    /// One connection, a line at a time.
    fn talk(self, mut stream: TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let remote = stream.peer_addr()?.ip();
        let mut session = SessionBuilder::new("mail.test").build(remote, self);
        session.greeting().write_to(&mut stream)?;
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            let response = session.process(&line);
            if response.action != Action::NoReply {
                response.write_to(&mut stream)?;
            }
            if response.action == Action::Close {
                break;
            }
            line.clear();
        }
        Ok(())
    }

    fn is_in_mood(&self, mood: Mood) {
        self.book.lock().unwrap().mood = mood;
    }

    fn tries(&self) -> usize {
        self.book.lock().unwrap().tries
    }

    fn mails(&self) -> Vec<String> {
        self.book.lock().unwrap().mails.clone()
    }
}

fn deliver(stage: &Stage, server: SocketAddr) -> CancellationToken {
    let url = SecretString::from(format!("smtp://{server}"));
    let delivery = Delivery::new(&url, "Acme <no-reply@acme.test>").unwrap();
    let stop = CancellationToken::new();
    let run = delivery::run(Arc::clone(&stage.app), delivery, stop.clone());
    tokio::spawn(run);
    stop
}

/// An invitation, whose mail lies in the outbox then.
async fn invite(stage: &Stage, email: &str) {
    stage.staff("root@example.com").await;
    let root = stage.sign_in("root@example.com").await;
    let acme = stage.organization("acme").await;
    root.get("/organizations/acme/people").await;
    let path = format!("/organizations/{}/invitations", acme.name);
    let role = Role::PowerUser.name();
    let answer = root.post(&path, &[("email", email), ("role", role)]).await;
    assert!(answer.status < 400, "{} {}", answer.status, answer.body);
}

async fn waiting(stage: &Stage) -> Vec<(i32, Option<String>, bool)> {
    sqlx::query_as("select tries, problem, refused_at is not null from mail_outbox")
        .fetch_all(&stage.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_invitation_is_mailed_once_by_several_replicas() {
    let stage = Stage::start().await;
    let mailbox = Mailbox::default();
    let server = mailbox.serve();
    let stops = [(); 3].map(|()| deliver(&stage, server));
    invite(&stage, "ann@acme.test").await;
    until(async || !mailbox.mails().is_empty() && waiting(&stage).await.is_empty()).await;
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    for part in [
        "To: ann@acme.test",
        "From: Acme <no-reply@acme.test>",
        "Auto-Submitted: auto-generated",
        "/invitations/",
    ] {
        assert!(mails[0].contains(part), "{}", mails[0]);
    }
    for stop in stops {
        stop.cancel();
    }
}

#[tokio::test]
async fn a_mail_waits_while_the_server_has_trouble_and_is_sent_when_it_has_none() {
    let stage = Stage::start().await;
    let mailbox = Mailbox::default();
    mailbox.is_in_mood(Mood::PutsOff);
    deliver(&stage, mailbox.serve());
    invite(&stage, "ann@acme.test").await;
    until(async || mailbox.tries() == 1 && waiting(&stage).await[0].1.is_some()).await;
    let (tries, problem, is_refused) = waiting(&stage).await.remove(0);
    assert!(tries == 1 && !is_refused, "{problem:?}");
    mailbox.is_in_mood(Mood::Takes);
    stage.pass(SignedDuration::from_secs(11));
    until(async || waiting(&stage).await.is_empty()).await;
    assert_eq!(mailbox.mails().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_costs_no_mail() {
    let stage = Stage::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = nobody.local_addr().unwrap();
    drop(nobody);
    let stop = deliver(&stage, away);
    invite(&stage, "ann@acme.test").await;
    until(async || waiting(&stage).await[0].1.is_some()).await;
    stop.cancel();
    // Another replica, after this one died in the middle of a try.
    let mailbox = Mailbox::default();
    deliver(&stage, mailbox.serve());
    stage.pass(HOLD);
    until(async || mailbox.mails().len() == 1 && waiting(&stage).await.is_empty()).await;
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_kept_with_its_reason_and_not_sent_again() {
    let stage = Stage::start().await;
    let mailbox = Mailbox::default();
    mailbox.is_in_mood(Mood::Refuses);
    deliver(&stage, mailbox.serve());
    invite(&stage, "ann@acme.test").await;
    until(async || waiting(&stage).await[0].2).await;
    let (_, problem, _) = waiting(&stage).await.remove(0);
    let problem = problem.unwrap();
    assert!(problem.contains("550"), "{problem}");
    mailbox.is_in_mood(Mood::Takes);
    stage.pass(SignedDuration::from_hours(2));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(mailbox.mails().is_empty());
}
