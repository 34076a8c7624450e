//! The program itself ends, is killed, is frozen, starts among many containers.

use crate::world::{NODES, TTL, World};
use std::time::Instant;

#[test]
fn the_nodes_of_a_killed_process_end_with_their_lease() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    let program = world.launch();
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    let killed = Instant::now();
    program.kill();
    let first = recorder.next(NODES);
    // etcd may be late, but not early: the last renewal is about a second old at most.
    assert!(
        killed.elapsed() + TTL / 2 > TTL,
        "after {:?}",
        killed.elapsed()
    );
    assert_eq!(first.value, None);
    let deleted = recorder.deleted(NODES);
    assert_eq!(deleted.len(), before.len(), "all in one revision");
    assert!(world.nodes().is_empty());
}

#[test]
fn a_killed_process_that_is_started_again_removes_what_ended_and_rewrites_nothing() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb", "cc", "dd", "ee"]);
    let long = ["--lease-ttl=30s"];
    let program = world.launch_with(&long);
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    program.kill();
    world.docker.docker(&["rm", "-f", "aa", "cc", "ee"]);
    let program = world.launch_with(&long);
    let after = world.wait_for_names(&program, &["bb", "dd"]);
    assert!(
        after
            .iter()
            .all(|(name, node)| before.get(name) == Some(node)),
        "{after:?}"
    );
    let changes = recorder.all(NODES);
    let mut deleted: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
    deleted.sort_unstable();
    assert_eq!(deleted, ["/test/aa", "/test/cc", "/test/ee"], "{changes:?}");
    assert!(
        changes.iter().all(|change| change.value.is_none()),
        "{changes:?}"
    );
    program.wait_for_words("took over lease", 1);
}

#[test]
fn a_restart_in_order_changes_nothing() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb", "cc"]);
    let long = ["--lease-ttl=30s"];
    let program = world.launch_with(&long);
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    assert!(program.terminate().success());
    let program = world.launch_with(&long);
    world.run(&["dd"]);
    let mut after = world.wait_for_truth(&program);
    after.remove("dd");
    assert_eq!(after, before);
    assert_eq!(recorder.deleted(NODES), [""; 0]);
}

#[test]
fn a_process_that_was_frozen_past_its_lease_registers_everything_again() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb", "cc"]);
    let mut program = world.launch();
    world.wait_for_truth(&program);
    program.freeze();
    world.run(&["dd"]);
    world.docker.docker(&["rm", "-f", "aa"]);
    world.wait_for_names(&program, &[]);
    program.thaw();
    world.wait_for_names(&program, &["bb", "cc", "dd"]);
    world.wait_for_truth(&program);
    program.must_run();
}

#[test]
fn two_hundred_containers_are_registered_at_the_start() {
    let Some(world) = World::start() else {
        return;
    };
    let names: Vec<String> = (0..200).map(|number| format!("c{number}")).collect();
    crate::burst::in_parallel(&names, |name| _ = world.docker.run(name, &[]));
    let program = world.launch();
    let nodes = world.wait_for_truth(&program);
    assert_eq!(nodes.len(), 200);
}
