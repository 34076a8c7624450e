//! One suite for etcd-mem and for real etcd servers: the same calls, the same literal answers.
//!
//! The real ones: `etcd` in the search path, the programs named by `ETCD_3_5_BIN` and `ETCD_3_6_BIN`
//! (`scripts/fetch-etcd.sh` gets them), and a running server named by `ETCD_ENDPOINT`, of which only keys below
//! `/kontena/` are touched. A missing one is reported, and is a failure with
//! `REGISTRATOR_REQUIRE_ALL=1`.

// A test program has no outside: `pub` here means "for the other modules".
#![allow(unreachable_pub)]
// Failing loudly is what a test is for; clippy knows tests only by their attribute, not their functions.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod compaction;
mod compares;
mod differential;
mod etcdctl;
mod keys;
mod leases;
mod limits;
mod members;
mod refusals;
mod script;
mod session;
mod target;
mod txns;
mod watcher;
mod watches;

use target::{Kind, Target};

async fn run(kind: Kind) {
    let Some(target) = Target::find(kind).await else {
        return;
    };
    eprintln!("{kind:?}: etcd {} at {}", target.version, target.endpoint);
    keys::run(&target).await;
    compares::run(&target).await;
    txns::run(&target).await;
    refusals::run(&target).await;
    limits::run(&target).await;
    leases::run(&target).await;
    watches::run(&target).await;
    members::run(&target, kind).await;
    etcdctl::run(&target, kind).await;
    if kind == Kind::Running {
        eprintln!("{kind:?}: compactions left out, because they would reach beyond our own keys");
    } else {
        compaction::run(&target).await;
    }
}

#[tokio::test]
async fn memory() {
    run(Kind::Memory).await;
}

#[tokio::test]
async fn installed_etcd() {
    run(Kind::Installed).await;
}

#[tokio::test]
async fn etcd_3_5() {
    run(Kind::V3_5).await;
}

#[tokio::test]
async fn etcd_3_6() {
    run(Kind::V3_6).await;
}

#[tokio::test]
async fn running_etcd() {
    run(Kind::Running).await;
}
