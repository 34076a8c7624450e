//! The Docker adapter against a scripted daemon, over TLS, and against real daemons.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "../support/dockerd.rs"]
mod dockerd;
#[path = "../support/fake_docker.rs"]
mod fake_docker;
#[path = "../support/watched.rs"]
mod watched;

mod client;
mod following;
mod listing;
mod outage;
mod real;
mod stopping;
mod tls;
