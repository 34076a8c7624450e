//! etcd restarts, forgets, is away, is not there yet; the lease is taken away.

#![allow(clippy::expect_used)]

use crate::support::ports::free_port;
use crate::world::{NODES, TTL, World, block_on};
use etcd_api::request_op::Request;
use etcd_api::{PutRequest, RequestOp, TxnRequest};
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn a_restart_of_etcd_with_its_data_rewrites_nothing() {
    let Some(mut world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb", "cc"]);
    let program = world.launch();
    let before = world.wait_for_truth(&program);
    world.etcd.stop();
    world.restart_etcd();
    world.run(&["dd"]);
    let mut after = world.wait_for_truth(&program);
    assert!(after.remove("dd").is_some());
    assert_eq!(after, before, "{}", program.log());
}

#[test]
fn an_etcd_that_forgot_everything_is_told_again() {
    let Some(mut world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb", "cc"]);
    let program = world.launch();
    world.wait_for_truth(&program);
    world.etcd.kill();
    world.etcd.wipe();
    world.restart_etcd();
    // By itself: nothing happens in Docker.
    world.wait_for_names(&program, &["aa", "bb", "cc"]);
    world.run(&["dd"]);
    world.wait_for_truth(&program);
}

#[test]
fn what_happens_while_etcd_is_away_for_three_ttls_is_there_afterwards() {
    let Some(mut world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb", "cc"]);
    let program = world.launch();
    world.wait_for_truth(&program);
    world.etcd.kill();
    program.wait_for_words("waiting for etcd", 1);
    world.run(&["dd"]);
    world.docker.docker(&["rm", "-f", "aa"]);
    // The fault is that so much time passes.
    std::thread::sleep(TTL * 3);
    world.restart_etcd();
    world.wait_for_names(&program, &["bb", "cc", "dd"]);
    world.wait_for_truth(&program);
    assert_eq!(program.says("waiting for etcd"), 1, "{}", program.log());
}

#[test]
fn an_etcd_that_stalls_for_two_ttls_is_told_again() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    let program = world.launch();
    world.wait_for_truth(&program);
    world.etcd.freeze();
    world.run(&["cc"]);
    world.docker.docker(&["rm", "-f", "aa"]);
    program.wait_for_words("waiting for etcd", 1);
    std::thread::sleep(TTL * 2);
    world.etcd.thaw();
    world.wait_for_names(&program, &["bb", "cc"]);
    world.wait_for_truth(&program);
}

#[test]
fn an_etcd_that_is_absent_is_waited_for() {
    let Some(mut world) = World::without_etcd() else {
        return;
    };
    world.run(&["aa"]);
    let mut program = world.launch();
    program.wait_for_words("waiting for etcd", 1);
    world.run(&["bb"]);
    world.restart_etcd();
    world.wait_for_names(&program, &["aa", "bb"]);
    assert_eq!(program.says("waiting for etcd"), 1, "{}", program.log());
    program.must_run();
}

#[test]
fn a_revoked_lease_is_replaced() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa", "bb"]);
    let program = world.launch();
    let before = world.wait_for_truth(&program);
    let leases = |nodes: &crate::world::Nodes| nodes.values().map(|node| node.lease).max();
    let lease = leases(&before).expect("a lease");
    world
        .etcd
        .etcdctl("", &["lease", "revoke", &format!("{lease:x}")]);
    let after = world.wait_for_nodes("a and b under another lease", &program, |nodes| {
        nodes.len() == 2 && leases(nodes) != Some(lease)
    });
    assert!(after.values().all(|node| node.lease != 0), "{after:?}");
    world.run(&["cc"]);
    world.wait_for_truth(&program);
    assert_eq!(
        program.says("registering everything again"),
        1,
        "{}",
        program.log()
    );
}

/// With the alarm NOSPACE etcd still deletes, and takes the nodes of a session: it does not count what is put in a transaction within
/// a transaction.
#[test]
fn an_etcd_that_is_full_keeps_on_telling_the_truth() {
    let Some(world) = World::with_small_etcd(16 << 20) else {
        return;
    };
    world.run(&["aa", "bb"]);
    let program = world.launch();
    world.wait_for_truth(&program);
    let value = "v".repeat(1 << 20);
    let etcdctl = |arguments: &[&str]| world.etcd.etcdctl("", arguments);
    let fill = |n: usize| {
        let put = TxnRequest {
            success: vec![RequestOp {
                request: Some(Request::RequestPut(PutRequest {
                    key: format!("/fill/{n}").into_bytes(),
                    value: value.clone().into(),
                    ..PutRequest::default()
                })),
            }],
            ..TxnRequest::default()
        };
        // It is refused in the end.
        let _ = block_on(async { world.etcd.client().txn(put).await });
    };
    let mut numbers = 0..100;
    while !etcdctl(&["alarm", "list"]).contains("NOSPACE") {
        fill(numbers.next().expect("it is full before"));
    }
    world.run(&["cc"]);
    world.docker.docker(&["rm", "-f", "aa"]);
    world.wait_for_names(&program, &["bb", "cc"]);
    assert_eq!(program.says("WARN"), 0, "{}", program.log());
}

#[test]
fn a_dead_endpoint_is_passed_over() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa"]);
    let dead = format!("http://{}", free_port());
    for endpoints in [[dead.clone(), world.etcd.url()], [world.etcd.url(), dead]] {
        let program = world.launch_at(&endpoints.join(","), &["--on-exit", "release"]);
        world.wait_for_names(&program, &["aa"]);
        world.run(&["bb"]);
        world.wait_for_names(&program, &["aa", "bb"]);
        world.docker.docker(&["rm", "-f", "bb"]);
        world.wait_for_names(&program, &["aa"]);
        assert!(program.terminate().success());
        assert!(world.nodes().is_empty());
    }
}

/// Docker kills what has not ended after ten seconds, and whoever drains a host must know that it is not drained.
#[test]
fn a_release_that_fails_ends_in_time_and_with_an_error() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa"]);
    let program = world.launch_with(&["--on-exit=release"]);
    world.wait_for_truth(&program);
    world.etcd.freeze();
    let begin = Instant::now();
    let (status, log) = program.terminate_with_log();
    let took = begin.elapsed();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("the nodes could not be released"), "{log}");
    assert!(took < Duration::from_secs(9), "it took {took:?}");
}

/// It takes connections and says nothing, as a machine does whose etcd hangs.
#[test]
fn a_silent_endpoint_is_passed_over() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("a port"));
    let program = world.launch_at(&format!("{silent},{}", world.etcd.url()), &[]);
    world.wait_for_names(&program, &["aa"]);
    let mut recorder = world.record();
    world.run(&["bb"]);
    world.wait_for_truth(&program);
    assert_eq!(recorder.deleted(NODES), [""; 0]);
}
