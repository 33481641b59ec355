//! Stories of requests through a real gateway in this process: real sockets, real TLS, real
//! backends. The watches are left out; tables are swapped as they would swap them.

#![allow(clippy::unwrap_used)] // what fails in a test may panic

mod forwarding;
mod lifecycle;
mod limits;
mod pages;
mod smuggling;
mod support;
mod tls;
