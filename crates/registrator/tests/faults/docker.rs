//! Docker's daemon ends, is killed, stalls, or is not there yet.

#![allow(clippy::expect_used)]

use crate::world::{NODES, Program, World};
use std::collections::BTreeSet;

/// A registrator among three containers that outlive their daemon.
#[test]
fn a_restart_of_the_daemon_changes_no_node() {
    let Some(mut world) = World::with_live_restore() else {
        return;
    };
    world.run(&["aa", "bb", "cc"]);
    let program = world.launch();
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    world.docker.terminate();
    program.wait_for_words("lost Docker", 1);
    assert_eq!(world.nodes(), before);
    world.docker.launch();
    program.wait_for_words("connected to Docker", 2);
    world.run(&["dd"]);
    let mut after = world.wait_for_truth(&program);
    assert!(after.remove("dd").is_some());
    assert_eq!(after, before, "nothing else was written");
    assert_eq!(recorder.deleted(NODES), [""; 0]);
}

#[test]
fn a_container_that_ends_while_the_daemon_is_killed_disappears_after_it_is_back() {
    let Some(mut world) = World::with_live_restore() else {
        return;
    };
    world.run(&["aa", "bb", "cc"]);
    let program = world.launch();
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    let process = world
        .docker
        .docker(&["inspect", "--format", "{{.State.Pid}}", "bb"]);
    world.docker.kill();
    program.wait_for_words("lost Docker", 1);
    let mut kill = world.docker.command_inside("kill");
    let killed = kill.args(["-KILL", &process]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(recorder.deleted(NODES), [""; 0], "nobody knows yet");
    world.docker.launch();
    let after = world.wait_for_names(&program, &["aa", "cc"]);
    assert!(
        after
            .iter()
            .all(|(name, node)| before.get(name) == Some(node))
    );
    assert_eq!(recorder.deleted(NODES), ["/test/bb"]);
    world.run(&["dd"]);
    world.wait_for_truth(&program);
}

/// Without live-restore, Docker ends what it finds running when it starts after a crash.
#[test]
fn a_killed_daemon_removes_nothing_until_it_says_what_is_left() {
    let Some(mut world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    world.docker.run("always", &["--restart=always"]);
    let program = world.launch();
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    world.docker.kill();
    program.wait_for_words("lost Docker", 1);
    assert_eq!(world.nodes(), before);
    assert_eq!(recorder.deleted(NODES), [""; 0]);
    world.docker.launch();
    world.wait_for_names(&program, &["always"]);
    world.docker.docker(&["start", "aa"]);
    world.run(&["cc"]);
    world.wait_for_names(&program, &["aa", "always", "cc"]);
    world.wait_for_truth(&program);
}

#[test]
fn a_daemon_that_stops_its_containers_takes_their_nodes_with_it() {
    let Some(mut world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    world.docker.run("always", &["--restart=always"]);
    let program = world.launch();
    world.wait_for_truth(&program);
    world.docker.terminate();
    program.wait_for_words("lost Docker", 1);
    world.docker.launch();
    world.run(&["cc"]);
    world.wait_for_names(&program, &["always", "cc"]);
    world.wait_for_truth(&program);
    each_reason_is_told_once(&program, "lost Docker");
}

/// The events may have broken off before nobody listened; a daemon that starts may listen before it answers.
#[track_caller]
fn each_reason_is_told_once(program: &Program, words: &str) {
    let log = program.log();
    let lines = log.lines().filter_map(|line| line.split_once(words));
    let reasons: Vec<_> = lines.map(|(_, reason)| reason).collect();
    let different: BTreeSet<_> = reasons.iter().collect();
    assert!(
        !reasons.is_empty() && different.len() == reasons.len(),
        "{log}"
    );
}

#[test]
fn a_daemon_that_is_absent_is_waited_for() {
    let Some(mut world) = World::without_docker() else {
        return;
    };
    let mut program = world.launch();
    program.wait_for_words("waiting for Docker", 1);
    world.docker.launch();
    program.wait_for_words("connected to Docker", 1);
    world.docker.add_image();
    world.run(&["aa", "bb"]);
    world.wait_for_names(&program, &["aa", "bb"]);
    each_reason_is_told_once(&program, "waiting for Docker");
    program.must_run();
}

/// It takes 15 s to be noticed: three TTLs.
#[test]
fn a_daemon_that_stalls_removes_nothing() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    let program = world.launch();
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    world.docker.freeze();
    program.wait_for_words("lost Docker", 1);
    world.docker.thaw();
    world.run(&["cc"]);
    let mut after = world.wait_for_names(&program, &["aa", "bb", "cc"]);
    after.remove("cc");
    assert_eq!(after, before);
    assert_eq!(recorder.deleted(NODES), [""; 0]);
}
