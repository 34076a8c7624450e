//! The servers that read what the registrator writes: CoreDNS answers with it, Traefik, HAProxy and nginx route with it.
//!
//! Real containers of a private Docker daemon, the program itself, and an etcd: etcd-mem, or the `etcd` in the path.
//! The servers come from `COREDNS_BIN`, `TRAEFIK_BIN`, `CONFD_BIN`, `HAPROXY_BIN` and `NGINX_BIN` or the path
//! (`scripts/fetch-coredns.sh`, `scripts/fetch-traefik.sh` and `scripts/fetch-confd.sh` get the first three); one that is
//! missing is skipped with a line that says so, or fails if `REGISTRATOR_REQUIRE_ALL` is 1.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "../support/dockerd.rs"]
mod dockerd;
#[path = "../support/ports.rs"]
mod ports;

mod confd;
mod coredns;
mod dns;
mod etcd;
mod http;
mod process;
mod proxies;
mod traefik;
mod world;
