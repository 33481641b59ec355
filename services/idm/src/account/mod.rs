//! The account: what somebody changes about themselves. Their second factor: `second_factor/http.rs`; their
//! sessions: `sessions/http.rs`.

pub mod http;
pub mod page;
