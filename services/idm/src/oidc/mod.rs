//! OpenID Connect: applications ask us who somebody is (Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0), by the
//! rules of OAuth 2.1: an authorization code with PKCE by S256, and nothing else.
//!
//! ```text
//! browser ── /oauth2/authorize ──> authorize ──(sign-in, when nobody is)──> 303 to the application, with a code
//! application ── /oauth2/token ──> token: code, or refresh token ──> ID token, access token, refresh token
//!             ── /oauth2/userinfo, introspect, revoke ──> about
//! browser ── /oauth2/logout ──> logout ──> 303 to the application
//! ```
//!
//! What an application was given for a session is one row, a connection (`store`); it ends with the session, and when
//! something of it comes a second time that comes once. Servers of apps in the cluster come by a port of their own
//! (`routes::for_applications`). Pure: `parameters`, `request`, `pkce`, `refusal`, `claims`.
//! Who the applications are: `clients/`.

pub mod about;
pub mod authorize;
pub mod claims;
pub mod credentials;
pub mod discovery;
pub mod logout;
pub mod pace;
pub mod parameters;
pub mod pkce;
pub mod refusal;
pub mod request;
pub mod store;
pub mod token;

use jiff::SignedDuration;

/// Where browsers begin.
pub const AUTHORIZE: &str = "/oauth2/authorize";
pub const TOKEN: &str = "/oauth2/token";
pub const USERINFO: &str = "/oauth2/userinfo";
pub const INTROSPECT: &str = "/oauth2/introspect";
pub const REVOKE: &str = "/oauth2/revoke";
pub const LOGOUT: &str = "/oauth2/logout";

/// An application redeems a code at once (RFC 6749 §4.1.2 allows ten minutes).
const CODE_LIFE: SignedDuration = SignedDuration::from_mins(1);
/// Access tokens and ID tokens: as long as an application may believe something that has changed.
const ACCESS_LIFE: SignedDuration = SignedDuration::from_mins(5);

/// Whether an address is for programs that prove themselves who they are: what a browser brings counts for
/// nothing there.
#[must_use]
pub fn is_for_programs(path: &str) -> bool {
    [TOKEN, USERINFO, INTROSPECT, REVOKE].contains(&path)
}
