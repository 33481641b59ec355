//! Home: the apps that somebody may open, one link each, by organization.

pub mod http;
