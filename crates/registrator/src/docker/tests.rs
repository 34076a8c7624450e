//! The Docker adapter against a scripted daemon, over TLS, and against real daemons.

// Clippy knows only functions marked as tests for tests; what is here is called by them.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "../../tests/support/dockerd.rs"]
mod dockerd;
mod fake_docker;
mod watched;

mod client;
mod ending;
mod following;
mod listing;
mod outage;
mod real;
mod stopping;
mod tls;
