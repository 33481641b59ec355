//! Stories of requests through a real gateway in this process: real sockets, real TLS, real
//! backends. Of the watches only that of Domains is there; other tables are swapped as theirs would
//! swap them.

#![allow(clippy::unwrap_used)] // what fails in a test may panic

mod domains;
mod door;
mod forwarding;
mod lifecycle;
mod limits;
mod pages;
mod smuggling;
mod support;
mod tls;
