//! Failures: what time or an operator of the platform fixes. Retried with backoff, counted by
//! step, logged once where they are handled.

use plan::{health::Refusal, quota};

/// What went wrong, by step of the reconciliation.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Reading something that no watch tells.
    #[error("cannot look at {what}")]
    Observe {
        /// What was looked at.
        what: String,
        /// Why not.
        source: kube::Error,
    },
    /// Writing a child.
    #[error("cannot write {kind} {name}")]
    Apply {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// Deleting a child.
    #[error("cannot delete {kind} {name}")]
    Delete {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// Writing the status.
    #[error("cannot write the status of {name}")]
    Report {
        /// The object.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// Taking or giving back the finalizer.
    #[error("cannot change the finalizers of {name}")]
    Finalizer {
        /// The object.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
}

impl Failure {
    /// The step, for metrics.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "observe",
            Self::Apply { .. } => "apply",
            Self::Delete { .. } => "delete",
            Self::Report { .. } => "report",
            Self::Finalizer { .. } => "finalizer",
        }
    }

    /// The error with its causes, for one line of log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// An object of that name is somebody else's.
#[must_use]
pub fn name_taken(part: &'static str, kind: &str, name: &str, whose: &str) -> Refusal {
    Refusal {
        part,
        reason: "NameTaken",
        message: format!(
            "{kind} {name} exists already and {whose}; rename or delete it, or give the instance \
             another name"
        ),
    }
}

/// A failure that lasts, as it is told on the object: what could not be done, and that it is tried
/// again.
#[must_use]
pub fn lasting(failure: &Failure) -> Refusal {
    use std::error::Error as _;
    let cause = failure
        .source()
        .map(ToString::to_string)
        .unwrap_or_default();
    // The client's words begin with the server's own; what follows repeats them as a structure.
    let cause = cause.split(" (Status {").next().unwrap_or_default();
    // Not what an admission policy forbids, whatever the operator's rights.
    let is_forbidden = cause.contains("is forbidden: User ");
    let mend = if is_forbidden {
        "the operator lacks this right: upgrade the chart, whose roles belong to its version"
    } else {
        "it is tried again"
    };
    Refusal {
        part: crds::condition::WORKLOAD_READY,
        reason: if is_forbidden {
            "OperatorForbidden"
        } else {
            "WriteFailed"
        },
        message: format!("{failure}: {cause}; {mend}"),
    }
}

/// After so many failures in a row, about five seconds, the object says so.
pub const FAILURES_THAT_LAST: u32 = 3;

/// The reason of an object of which a field differs that Kubernetes does not let be changed.
pub const CANNOT_BE_CHANGED: &str = "CannotBeChanged";

/// What the API server will go on refusing until somebody changes something: told on the object
/// instead of being retried in haste. `None` for everything that time may fix.
#[must_use]
pub fn refusal(part: &'static str, kind: &str, name: &str, error: &kube::Error) -> Option<Refusal> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let message = status.message.as_str();
    let (reason, message) = if let Some(why) = quota::refusal(message) {
        let less = if kind == "PersistentVolumeClaim" {
            "ask for less (spec.storage), "
        } else {
            ""
        };
        (
            quota::EXCEEDED,
            format!(
                "the organization's quota does not allow {kind} {name}: {why}; {less}raise \
                 spec.quota of the Organization, or delete what is not needed"
            ),
        )
    } else if message.contains("only dynamically provisioned pvc can be resized") {
        (
            plan::health::STORAGE_CANNOT_GROW,
            format!(
                "the storage class of volume {name} cannot make volumes larger, so it stays as it \
                 is, and the app runs with it; take the larger size out of spec.storage, or have \
                 the platform's operators allow it (allowVolumeExpansion of the class)"
            ),
        )
    } else if status.code == 409 && status.reason == "Conflict" && message.contains("conflict") {
        return Some(name_taken(part, kind, name, "is not this instance's"));
    } else if status.code == 422 && message.contains("updates to statefulset spec") {
        (
            CANNOT_BE_CHANGED,
            format!("{kind} {name} is made anew, because it cannot be changed: {message}"),
        )
    } else if status.code == 422 {
        (
            "ObjectRefused",
            format!("the API server refuses {kind} {name}: {message}"),
        )
    } else {
        return None;
    };
    Some(Refusal {
        part,
        reason,
        message,
    })
}
