//! Several hosts and a cluster: three registrators with a real Docker Engine each share keys in a real etcd of three members,
//! each process in a network of its own. Hosts end, die, stand still and are cut off, and so are the members of etcd; a
//! record of every revision tells whether a key was absent, who held it and what was written.
//!
//! `cargo test -p registrator --test hosts -- --nocapture` shows what was measured.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod cluster;
#[path = "../support/dockerd.rs"]
mod dockerd;
#[path = "../support/etcd.rs"]
mod etcd;
mod history;
mod host;
mod network;
#[path = "../support/program.rs"]
mod program;
mod recorder;
mod world;

mod crashes;
mod members;
mod mixed;
mod objects;
mod partitions;
mod sharing;
mod storm;
mod upgrades;

use etcd::Version;
use std::sync::{Mutex, PoisonError};
use world::World;

/// Runs only this version, as in `3.5`.
const ONLY: &str = "REGISTRATOR_HOSTS_ETCD";

/// The two tests take turns: with more clusters at once a busy machine does not renew beacons in time.
static TURN: Mutex<()> = Mutex::new(());

/// All versions at once, for most of the time goes by in waiting for leases to end.
#[test]
fn hosts_share_keys_on_every_version_of_etcd() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let versions = [Version::V3_4, Version::V3_5, Version::V3_6];
    let only = std::env::var(ONLY).ok();
    let failed = std::thread::scope(|scope| {
        let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
        let begun = versions.into_iter().map(|version| (name(version), version));
        let begun: Vec<_> = begun
            .filter(|(name, _)| wanted(name))
            .map(|(name, version)| (name, scope.spawn(move || on(version))))
            .collect();
        assert!(!begun.is_empty(), "{ONLY} names none of the versions");
        let ended = begun
            .into_iter()
            .map(|(name, thread)| (name, thread.join()));
        let failed: Vec<_> = ended
            .filter_map(|(name, end)| end.is_err().then_some(name))
            .collect();
        failed
    });
    assert!(failed.is_empty(), "failed, see above: {failed:?}");
}

/// A rolling upgrade: some hosts have the version before watches of single keys, and before objects, still; some have this one.
#[test]
fn mixed_versions_share_keys() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(former) = mixed::former() else {
        return;
    };
    let Some(mut world) = World::start("mixed", Version::V3_6) else {
        return;
    };
    mixed::rolling_upgrade(&mut world, &former);
    for hosts in [&[1][..], &[0, 2]] {
        mixed::install(&mut world, &former, hosts);
        sharing::equal_values(&mut world);
        sharing::two_leave_at_once(&mut world);
        sharing::different_values(&mut world);
        crashes::killed_and_started_again(&mut world);
    }
    upgrades::nodes_first(&mut world, &former);
    upgrades::an_object_first(&mut world, &former);
    upgrades::smaller_nodes(&mut world, &former);
    upgrades::one_after_the_other(&mut world, &former);
    upgrades::back_and_release(&mut world, &former);
    upgrades::back_and_keep(&mut world, &former);
}

/// As in `3.5`.
fn name(version: Version) -> String {
    format!("{version:?}").replace('V', "").replace('_', ".")
}

/// One cluster for all cases, one after the other.
fn on(version: Version) {
    let Some(mut world) = World::start(&name(version), version) else {
        return;
    };
    objects::install(&world);
    let cases: [fn(&mut World); 13] = [
        sharing::equal_values,
        sharing::two_leave_at_once,
        sharing::restarts,
        sharing::different_values,
        objects::the_smallest_counts,
        objects::none_counts,
        crashes::killed_and_started_again,
        members::rolling_restart,
        members::leader_lost,
        crashes::killed_for_good,
        crashes::frozen,
        partitions::from_all_members,
        partitions::from_one_member,
    ];
    cases.into_iter().for_each(|case| case(&mut world));
    if matches!(version, Version::V3_6) {
        storm::many_keys_under_load(&mut world);
    }
}
