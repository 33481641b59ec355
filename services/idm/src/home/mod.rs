//! Home: the apps of the organizations that somebody is in, one link each.

pub mod http;
