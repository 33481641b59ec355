//! Why a request is not answered by its backend: whose fault it is, what the visitor and the
//! operator of the platform read, and whether asking again can help.
//!
//! Every refusal has a reason in CamelCase, the same in the page, the problem+json, the access
//! log and the metrics. Texts are for people and never hold an internal address.

use http::StatusCode;

/// Who has to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong, or is for something that is not here.
    Client,
    /// The app behind the gateway does not answer as it should.
    Upstream,
    /// The gateway or the platform.
    Gateway,
}

impl Fault {
    /// As the access log has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// Why a request is not answered by its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    HostMissing,
    HostMalformed,
    /// Two Host headers, or a Host that differs from the request target.
    HostAmbiguous,
    /// Both Content-Length and Transfer-Encoding, or several of one.
    LengthAmbiguous,
    /// Dot segments, NUL or a target that is no path: what we match might not be what the app reads.
    PathAmbiguous,
    MethodNotAllowed,
    /// The Host is not covered by the certificate that this connection was opened with.
    Misdirected,
    UnknownHost,
    /// A customer's hostname that nobody has proven yet.
    DomainNotProven,
    /// A customer's hostname that is not proven any more.
    DomainProofLost,
    HeadersTooLarge,
    BodyTooLarge,
    /// The client stopped sending its body.
    BodyTimeout,
    /// The client went away or broke its own body.
    BodyBroken,
    /// Only members may pass, and nothing is known that could say who they are.
    SignInNotAvailable,
    /// It is no page, so that nobody can be led to the sign-in.
    NotSignedIn,
    /// The ticket is none, was used before, has expired or is for another place.
    TicketNotGood,
    /// They are signed in, and may not open this app; the words say whom to ask.
    MayNotOpen {
        words: String,
    },
    /// They may open this app, but not this part of it.
    ForAdmins,
    /// idm does not answer.
    SignInAway,
    /// The operator says that it will end by itself.
    Starting {
        message: String,
    },
    Stopped {
        message: String,
    },
    /// Somebody works on it by hand, and nothing answers meanwhile.
    Paused {
        message: String,
    },
    /// The operator says that somebody has to act.
    Broken {
        message: String,
        /// The condition's own reason, such as `ImageCannotBePulled`.
        cause: String,
    },
    /// No connection although the operator says that it runs: a pod has just died.
    BackendUnreachable,
    /// The connection broke before an answer.
    BackendBroken,
    BackendTimeout,
}

/// What each reason comes with.
struct Facts {
    reason: &'static str,
    fault: Fault,
    status: StatusCode,
    may_retry: bool,
    title: &'static str,
    detail: &'static str,
}

impl Refusal {
    /// In CamelCase, for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.facts().reason
    }

    /// Who has to change something; in the access log.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.facts().fault
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.facts().status
    }

    /// Whether the same request may be answered a little later.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.facts().may_retry
    }

    #[must_use]
    pub fn title(&self) -> &'static str {
        self.facts().title
    }

    /// What the operator calls the trouble; empty where it is not the operator's.
    #[must_use]
    pub fn cause(&self) -> &str {
        match self {
            Self::Broken { cause, .. } => cause,
            _ => "",
        }
    }

    /// What a person reads below the title.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Starting { message }
            | Self::Stopped { message }
            | Self::Paused { message }
            | Self::Broken { message, .. }
            | Self::MayNotOpen { words: message }
                if !message.is_empty() =>
            {
                message
            }
            _ => self.facts().detail,
        }
    }

    #[rustfmt::skip] // a table: one reason per line
    fn facts(&self) -> Facts {
        use Fault::{Client, Gateway, Upstream};
        let (reason, fault, status, may_retry, title, detail) = match self {
            Self::HostMissing => ("HostMissing", Client, 400, false, "Bad request", "The request does not say which host it is for."),
            Self::HostMalformed => ("HostMalformed", Client, 400, false, "Bad request", "The host of the request is not a valid name."),
            Self::HostAmbiguous => ("HostAmbiguous", Client, 400, false, "Bad request", "The request names more than one host."),
            Self::LengthAmbiguous => ("LengthAmbiguous", Client, 400, false, "Bad request", "The request gives its length in more than one way."),
            Self::PathAmbiguous => ("PathAmbiguous", Client, 400, false, "Bad request", "The path of the request can be read in more than one way."),
            Self::MethodNotAllowed => ("MethodNotAllowed", Client, 405, false, "Method not allowed", "This method is not served here."),
            Self::Misdirected => ("Misdirected", Client, 421, true, "Misdirected request", "This connection was opened for another host. Please open a new one."),
            Self::UnknownHost => ("UnknownHost", Client, 404, false, "Nothing is here", "There is nothing under this name. Check the address for a typing mistake. If the name is yours and shall lead to your app, add it to the app's domains."),
            Self::DomainNotProven => ("DomainNotProven", Client, 404, false, "This domain is not connected yet", "Its owner has not shown yet that it is theirs: the DNS record is missing. What to set stands on the owner's Domain object."),
            Self::DomainProofLost => ("DomainProofLost", Client, 404, false, "This domain is not connected any more", "The DNS record that shows whose it is has been gone for more than a week. What to set stands on the owner's Domain object."),
            Self::HeadersTooLarge => ("HeadersTooLarge", Client, 431, false, "Too large", "The head of your request is larger than this site takes. Deleting the site's cookies may help."),
            Self::BodyTooLarge => ("BodyTooLarge", Client, 413, false, "Too large", "What you sent is larger than this site takes."),
            Self::BodyTimeout => ("BodyTimeout", Client, 408, true, "Too slow", "Your upload stopped before its end."),
            Self::BodyBroken => ("BodyBroken", Client, 400, false, "Bad request", "Your upload broke before its end."),
            Self::SignInNotAvailable => ("SignInNotAvailable", Gateway, 503, false, "Sign-in is not available", "This page is for members only, and nobody can sign in here: it belongs to no app, or the platform has no sign-in."),
            Self::NotSignedIn => ("NotSignedIn", Client, 401, false, "Please sign in", "Your sign-in has ended, or there was none. Open this site in another window, sign in there, and try again."),
            Self::TicketNotGood => ("TicketNotGood", Client, 403, false, "This link is not good any more", "It was used already, or it is too old. Open the page anew; you may have to sign in."),
            Self::MayNotOpen { .. } => ("MayNotOpen", Client, 403, false, "This is not open to you", "You are signed in, but you may not open this app. Ask an admin of the organization."),
            Self::ForAdmins => ("ForAdmins", Client, 403, false, "This is for admins", "You may open this app, but this part of it is for admins of the organization."),
            Self::SignInAway => ("SignInAway", Gateway, 503, true, "Sign-in does not answer", "We cannot see at the moment whether you may open this page. Please try again in a moment."),
            Self::Starting { .. } => ("Starting", Upstream, 503, true, "Starting", "This site is getting ready. That usually takes less than a minute."),
            Self::Stopped { .. } => ("Stopped", Upstream, 503, false, "This site is stopped", "Its owner has stopped it. Nothing is lost; the owner can start it again."),
            Self::Paused { .. } => ("Paused", Upstream, 503, false, "This site is under maintenance", "Please try again later."),
            Self::Broken { .. } => ("Broken", Upstream, 503, false, "This site does not work at the moment", "Somebody has to look after it first. Please try again later."),
            Self::BackendUnreachable => ("BackendUnreachable", Upstream, 503, true, "This site does not answer", "It may be restarting. Please try again in a moment."),
            Self::BackendBroken => ("BackendBroken", Upstream, 502, true, "This site broke off", "It ended the conversation before it answered. Please try again."),
            Self::BackendTimeout => ("BackendTimeout", Upstream, 504, true, "This site takes too long", "It did not answer in time. Please try again later."),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Facts { reason, fault, status, may_retry, title, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_message_is_shown_and_an_empty_one_is_replaced() {
        let said = Refusal::Starting {
            message: "Creating the database".into(),
        };
        assert_eq!(said.detail(), "Creating the database");
        let silent = Refusal::Starting {
            message: String::new(),
        };
        assert!(silent.detail().contains("getting ready"));
    }

    #[test]
    fn a_client_is_told_4xx_and_everybody_else_5xx() {
        assert!(Refusal::UnknownHost.status().is_client_error());
        assert_eq!(Refusal::UnknownHost.fault(), Fault::Client);
        assert!(Refusal::BackendBroken.status().is_server_error());
        assert_eq!(Refusal::BackendBroken.fault(), Fault::Upstream);
    }
}
