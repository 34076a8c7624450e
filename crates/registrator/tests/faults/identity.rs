//! Two processes with one identity.

use crate::world::{NODES, World};
use std::time::Duration;

#[test]
fn the_second_waits_and_the_first_is_not_disturbed() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    let named = ["--host-id=one", "--lease-ttl=30s"];
    let mut first = world.launch_with(&named);
    let before = world.wait_for_truth(&first);
    let mut recorder = world.record();
    let mut second = world.launch_with(&[&named[..], &["--on-conflict=wait"]].concat());
    second.wait_for_words("this host id is in use by", 1);
    world.run(&["cc"]);
    let mut after = world.wait_for_truth(&first);
    after.remove("cc");
    assert_eq!(after, before);
    first.must_run();
    second.must_run();
    assert_eq!(first.says("another process"), 0, "{}", first.log());
    assert_eq!(
        first.says("connected to etcd"),
        0,
        "no session ended: {}",
        first.log()
    );
    // The second takes over what the first leaves to it.
    assert!(first.terminate().success());
    second.wait_for_words("took over lease", 1);
    world.run(&["dd"]);
    world.wait_for_truth(&second);
    assert_eq!(recorder.deleted(NODES), [""; 0]);
    assert_eq!(second.says("is in use by"), 1, "{}", second.log());
}

#[test]
fn the_second_refuses_and_the_first_is_not_disturbed() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa"]);
    let named = ["--host-id=one", "--lease-ttl=30s"];
    let mut first = world.launch_with(&named);
    let before = world.wait_for_truth(&first);
    let second = world.launch_with(&named);
    second.wait_for_words("let it wait with --on-conflict wait", 1);
    assert_eq!(second.end().code(), Some(1));
    assert_eq!(world.wait_for_truth(&first), before);
    first.must_run();
    assert_eq!(first.says("connected to etcd"), 0, "{}", first.log());
}

#[test]
fn two_names_share_one_etcd() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa"]);
    let named = |name| [name, "--on-exit=release", "--lease-ttl=30s"];
    let first = world.launch_with(&named("--host-id=one"));
    let before = world.wait_for_truth(&first);
    let second = world.launch_with(&named("--host-id=two"));
    second.wait_for_words("registering under a new lease", 1);
    let claims = || world.list("/registrator/claims/").kvs.len();
    world.wait_for_nodes("a claim of the second", &second, |_| claims() == 1);
    assert_eq!(world.nodes(), before);
    let mut recorder = world.record();
    // Whoever leaves hands over: the node never disappears.
    assert!(first.terminate().success());
    let after = world.wait_for_truth(&second);
    assert_eq!(recorder.deleted(NODES), [""; 0]);
    assert_ne!(after, before, "another lease");
    assert!(second.terminate().success());
    assert!(world.nodes().is_empty());
}

/// etcd gives a lease its whole time again when it starts, so a dead process looks alive then.
#[test]
fn a_killed_process_is_taken_over_though_etcd_restarts_meanwhile() {
    let Some(mut world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    // So long that it is not taken for dead before etcd is.
    let named = ["--host-id=one", "--lease-ttl=60s"];
    let first = world.launch_with(&named);
    let before = world.wait_for_truth(&first);
    first.kill();
    let mut second = world.launch_with(&named);
    second.wait_for_words("this host id is in use by", 1);
    world.etcd.kill();
    second.wait_for_words("waiting for etcd", 1);
    // The fault is that so much time passes.
    std::thread::sleep(Duration::from_secs(6));
    world.restart_etcd();
    second.wait_for_words("took over lease", 1);
    second.must_run();
    assert_eq!(world.wait_for_truth(&second), before);
}
