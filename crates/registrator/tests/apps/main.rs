//! The servers that read what the registrator writes: CoreDNS answers with it, Traefik and HAProxy route with it.
//!
//! Real containers of a private Docker daemon, the program itself, and an etcd: etcd-mem, or the `etcd` in the path.
//! The servers come from `COREDNS_BIN`, `TRAEFIK_BIN` and `HAPROXY_BIN` or the path (`scripts/fetch-coredns.sh` and
//! `scripts/fetch-traefik.sh` get the first two); one that is missing is skipped with a line that says so, or fails if
//! `REGISTRATOR_REQUIRE_ALL` is 1.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "../support/dockerd.rs"]
mod dockerd;

mod coredns;
mod dns;
mod etcd;
mod haproxy;
mod http;
mod process;
mod traefik;
mod world;
