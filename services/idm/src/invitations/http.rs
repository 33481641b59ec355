//! Inviting, for whoever looks after an organization's people; and accepting, for whoever has the link.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::PgConnection;

use super::{DAYS, Invitation, LIFE, store};
use crate::{
    app::{App, Shared},
    audit::{self, Actor, Deed},
    error::{Error, Rejection},
    identifier::Kind,
    language::fill,
    mail::Mail,
    organizations::{
        self, Organization, Role,
        http::{Beside, people_page},
        keeper,
    },
    people::{
        self,
        email::{self, Email},
        name, password,
    },
    secret::Token,
    sign_in::{self, http::welcome},
    web::{
        Frame, Posted, SignedIn, Visit,
        form::Empty,
        page::{self, Notice, lead},
    },
};

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage<'a> {
    frame: Frame,
    problem: Option<String>,
    invited: String,
    step: Step,
    token: &'a str,
    email: &'a str,
    name: &'a str,
}

/// What whoever opens the link does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Join,
    SignIn,
    SomebodyElse,
    Register,
}

/// Pure: who has the address, and who is signed in.
fn step(owner: Option<&str>, visitor: Option<&str>) -> Step {
    match (owner, visitor) {
        (Some(owner), Some(visitor)) if owner == visitor => Step::Join,
        (_, Some(_)) => Step::SomebodyElse,
        (Some(_), None) => Step::SignIn,
        (None, None) => Step::Register,
    }
}

#[derive(Debug, Deserialize)]
pub struct InviteForm {
    email: String,
    role: Role,
}

#[derive(Debug, Deserialize)]
pub struct PersonForm {
    name: String,
    password: SecretString,
}

/// `POST /organizations/{name}/invitations`
pub async fn invite(
    State(app): State<Shared>,
    visit: Visit,
    Path(name): Path<String>,
    Posted(form): Posted<InviteForm>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    if !keeper.may_change(form.role) {
        return Err(Rejection::NotAllowed.into());
    }
    let problems = &visit.texts().problems;
    let again = |problem| Beside {
        problem: Some(problem),
        email: &form.email,
        ..Beside::default()
    };
    let Some(email) = Email::parse(&form.email) else {
        return people_page(&app, &visit, &keeper, again(problems.no_email)).await;
    };
    let now = app.now();
    let organization = &keeper.organization;
    let token = app.token();
    let invitation = Invitation {
        uid: app.uid(Kind::Invitation),
        organization: organization.uid.clone(),
        email: email.as_str().to_owned(),
        role: form.role,
        invited_by: keeper.person.uid.clone(),
        ends_at: now + LIFE,
    };
    let mut transaction = app.begin().await?;
    let known = people::store::find_by_email(&mut transaction, &email.key()).await?;
    if let Some(person) = &known
        && organizations::store::role(&mut transaction, &organization.uid, &person.uid)
            .await?
            .is_some()
    {
        transaction.rollback().await?;
        return people_page(&app, &visit, &keeper, again(problems.is_member_already)).await;
    }
    store::insert(&mut transaction, &invitation, &email, &token.digest(), now).await?;
    let link = format!(
        "{}/invitations/{}",
        app.settings.public_origin,
        token.expose()
    );
    // Of somebody whom we do not know yet we take the language of whoever invites.
    let language = known.map_or_else(|| visit.language(), |person| person.locale);
    let mail = mail(&app, language, organization, &invitation, &link);
    app.mailer.send(&mut transaction, &mail, now).await?;
    let details = [("email", email.as_str()), ("role", form.role.name())];
    let new = audit::New {
        organization: Some(&organization.uid),
        details: &details,
        ..audit::New::by(visit.actor(), Deed::PersonInvited, Some(&invitation.uid))
    };
    audit::store::append(&mut transaction, visit.origin(), new, now).await?;
    transaction.commit().await?;
    let beside = Beside {
        link: Some(&link),
        ..Beside::default()
    };
    people_page(&app, &visit, &keeper, beside).await
}

fn mail(
    app: &App,
    language: crate::language::Language,
    organization: &Organization,
    invitation: &Invitation,
    link: &str,
) -> Mail {
    let texts = language.texts();
    let words = [
        ("organization", organization.title.as_str()),
        ("role", texts.role(invitation.role)),
        ("link", link),
        ("days", &DAYS.to_string()),
    ];
    Mail {
        uid: app.uid(Kind::Mail),
        recipient: invitation.email.clone(),
        language,
        subject: fill(texts.mail_invitation_subject, &words),
        body: fill(texts.mail_invitation_body, &words),
    }
}

/// `POST /organizations/{name}/invitations/{uid}/revoke`
pub async fn revoke(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid)): Path<(String, String)>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = keeper.organization.uid.as_str();
    let now = app.now();
    let mut transaction = app.begin().await?;
    let invitation = store::find_by_uid(&mut transaction, organization, &uid).await?;
    let invitation = invitation.ok_or(Rejection::NotFound)?;
    if !keeper.may_change(invitation.role) {
        return Err(Rejection::NotAllowed.into());
    }
    store::close(&mut transaction, &uid, None, now).await?;
    let new = audit::New {
        organization: Some(organization),
        ..audit::New::by(visit.actor(), Deed::InvitationRevoked, Some(&uid))
    };
    audit::store::append(&mut transaction, visit.origin(), new, now).await?;
    transaction.commit().await?;
    Ok(lead(
        &format!("/organizations/{name}/people"),
        Some(Notice::Revoked),
    ))
}

/// An open invitation, its organization, and the uid of whoever has its address.
struct Opened {
    invitation: Invitation,
    organization: Organization,
    owner: Option<String>,
}

async fn open(on: &mut PgConnection, app: &App, token: &str) -> Result<Opened, Error> {
    let token = Token::read(token).ok_or(Rejection::InvitationClosed)?;
    let invitation = store::find(on, &token.digest(), app.now()).await?;
    let invitation = invitation.ok_or(Rejection::InvitationClosed)?;
    let organization = organizations::store::find_by_uid(on, &invitation.organization).await?;
    let organization = organization.ok_or(Rejection::InvitationClosed)?;
    let owner = people::store::find_by_email(on, &email::key(&invitation.email)).await?;
    Ok(Opened {
        invitation,
        organization,
        owner: owner.map(|person| person.uid),
    })
}

fn invitation_page(
    app: &App,
    visit: &Visit,
    opened: &Opened,
    token: &str,
    (name, problem): (&str, Option<String>),
) -> Result<Response, Error> {
    let texts = visit.texts();
    let words = [
        ("organization", opened.organization.title.as_str()),
        ("role", texts.role(opened.invitation.role)),
    ];
    let visitor = visit
        .session
        .as_ref()
        .map(|session| session.person.uid.as_str());
    let page = InvitationPage {
        frame: Frame::new(app, visit),
        invited: fill(texts.invited, &words),
        step: step(opened.owner.as_deref(), visitor),
        token,
        email: &opened.invitation.email,
        name,
        problem,
    };
    page::show_form(page.problem.is_some(), &page)
}

/// `GET /invitations/{token}`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    Path(token): Path<String>,
) -> Result<Response, Error> {
    let mut connection = app.connection().await?;
    let opened = open(&mut connection, &app, &token).await?;
    drop(connection);
    invitation_page(&app, &visit, &opened, &token, ("", None))
}

/// `POST /invitations/{token}`: somebody who is signed in joins.
pub async fn join(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Path(token): Path<String>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let person = session.person.uid.as_str();
    let mut transaction = app.begin().await?;
    let opened = open(&mut transaction, &app, &token).await?;
    if step(opened.owner.as_deref(), Some(person)) != Step::Join {
        return Err(Rejection::NotAllowed.into());
    }
    let_in(&mut transaction, &opened, person, app.now()).await?;
    write_down(&app, &visit, &mut transaction, &opened, person).await?;
    transaction.commit().await?;
    Ok(lead("/", Some(Notice::Joined)))
}

/// `POST /invitations/{token}/person`: somebody new joins.
pub async fn register(
    State(app): State<Shared>,
    visit: Visit,
    Path(token): Path<String>,
    Posted(form): Posted<PersonForm>,
) -> Result<Response, Error> {
    let mut transaction = app.begin().await?;
    let opened = open(&mut transaction, &app, &token).await?;
    let visitor = visit
        .session
        .as_ref()
        .map(|session| session.person.uid.as_str());
    if step(opened.owner.as_deref(), visitor) != Step::Register {
        // Somebody has the address meanwhile: the page says what to do.
        return Ok(Redirect::to(&format!("/invitations/{token}")).into_response());
    }
    let problems = &visit.texts().problems;
    let again = |problem: String| {
        invitation_page(&app, &visit, &opened, &token, (&form.name, Some(problem)))
    };
    let Some(name) = name::parse(&form.name) else {
        return again(problems.no_name.to_owned());
    };
    let Some(email) = Email::parse(&opened.invitation.email) else {
        return again(problems.no_email.to_owned());
    };
    let about = [
        email.as_str(),
        &name,
        &opened.organization.title,
        &app.settings.brand.name,
    ];
    if let Err(weakness) = password::check(form.password.expose_secret(), &about) {
        return again(visit.texts().weakness(&weakness));
    }
    let now = app.now();
    let uid = app.uid(Kind::Person);
    let new = people::store::New {
        uid: &uid,
        email: &email,
        name: &name,
        locale: visit.language(),
        is_staff: false,
        // Whoever invited has seen the link, too: it does not prove that the mail arrived.
        is_confirmed: false,
        password_hash: &app.hasher.hash(&form.password).await?,
    };
    if !people::store::insert(&mut transaction, &new, now).await? {
        return again(problems.email_taken.to_owned());
    }
    let_in(&mut transaction, &opened, &uid, now).await?;
    let made = audit::New {
        organization: Some(&opened.organization.uid),
        ..audit::New::by(Actor::Person(&uid), Deed::PersonMade, Some(&uid))
    };
    audit::store::append(&mut transaction, visit.origin(), made, now).await?;
    write_down(&app, &visit, &mut transaction, &opened, &uid).await?;
    let entry = sign_in::enter(&app, &visit, &mut transaction, &uid, "invitation").await?;
    transaction.commit().await?;
    Ok(welcome(&entry, lead("/", Some(Notice::Joined))))
}

/// Lets somebody in, and closes the invitation. Nothing was written into the audit before: everybody takes the
/// version of grants first and the end of the trail after it, or two would wait for each other.
async fn let_in(
    on: &mut PgConnection,
    opened: &Opened,
    person: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    let invitation = &opened.invitation;
    store::close(on, &invitation.uid, Some(person), now).await?;
    organizations::store::join(on, &invitation.organization, person, invitation.role, now).await?;
    Ok(())
}

/// Writes down that somebody came in.
async fn write_down(
    app: &App,
    visit: &Visit,
    on: &mut PgConnection,
    opened: &Opened,
    person: &str,
) -> Result<(), Error> {
    let invitation = &opened.invitation;
    let details = [
        ("invitation", invitation.uid.as_str()),
        ("role", invitation.role.name()),
    ];
    let new = audit::New {
        actor: Actor::Person(person),
        deed: Deed::InvitationAccepted,
        subject: Some(person),
        organization: Some(&invitation.organization),
        details: &details,
    };
    audit::store::append(on, visit.origin(), new, app.now()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_the_link_is_told_what_to_do_next() {
        assert_eq!(step(None, None), Step::Register);
        assert_eq!(step(Some("ann"), None), Step::SignIn);
        assert_eq!(step(Some("ann"), Some("ann")), Step::Join);
        assert_eq!(step(Some("ann"), Some("ben")), Step::SomebodyElse);
        assert_eq!(step(None, Some("ben")), Step::SomebodyElse);
    }
}
