//! What all pages share: who visits, forms and where they came from, cookies, errors, the frame around a
//! page. Nothing of a feature is here.
//!
//! ```text
//! request ─ answer.rs ─ visit.rs: id, address, language, session ─ routes.rs: may a stranger? ─ handler
//!    answer <─ headers, log line, errors as pages ─────────────────── page.rs, form.rs, cookie.rs ──┘
//! ```

pub mod answer;
pub mod cookie;
pub mod form;
pub mod page;
pub mod path;
pub mod style;
pub mod visit;

pub use form::Posted;
pub use page::Frame;
pub use visit::{SignedIn, Visit};
