//! Every decision of the operator, and nothing else: what an instance becomes, whether a wish can
//! be granted, which hostname belongs to whom, what a pod's trouble is called.
//!
//! Pure: the time and random values are arguments, and there is no client to call. The operator
//! observes, asks here, and applies the answer.
//!
//! ```text
//! AppInstance + AppDefinition + Context ──desired_state──> DesiredState | Rejection
//!                  DesiredState + Observed ──health──────> conditions, when to look again
//! ```
//!
//! | question | file |
//! |---|---|
//! | may this be granted at all? | `check.rs`, `definition.rs`, `schedule.rs` |
//! | has a larger size room in the quota? | `quota.rs` |
//! | which version runs now, and which job first? | `rollout.rs` |
//! | what does a Deployment look like? | `build/workload.rs`, one file per kind |
//! | what is wrong with it, in words? | `health/` |
//! | who holds a hostname? | `hostname.rs` |
//! | is a customer's domain proven, and does it point here? | `domain/` |
//! | what is an organization? | `organization.rs` |

pub mod build;
pub mod check;
pub mod context;
pub mod definition;
pub mod digest;
pub mod domain;
pub mod engine;
pub mod health;
pub mod hostname;
pub mod names;
pub mod organization;
pub mod quota;
pub mod rejection;
pub mod rollout;
mod schedule;
pub mod template;

pub use build::{DesiredState, SecretWish};
pub use context::{Context, Observed, Platform};
pub use rejection::Rejection;

use crds::{AppDefinition, AppInstance};

/// What an instance should be, given what was seen of it.
///
/// # Errors
/// A [`Rejection`]: the person who wrote the object can fix it; what runs is left as it is.
pub fn desired_state(
    instance: &AppInstance,
    definition: Option<&AppDefinition>,
    context: &Context<'_>,
) -> Result<DesiredState, Rejection> {
    let wish = check::check(instance, definition, context)?;
    Ok(build::build(&wish))
}
