//! The program's own etcd, as others see it.

use crate::world::World;
use crate::{by_name, started};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

on! {
    Embedded as embedded:
        etcdctl_works
        others_only_read
        a_full_one_takes_again_what_fits
        crowds_of_others_hold_up_nobody_but_others
        without_descriptors_it_says_so_and_goes_on
        a_taken_port_is_an_error;
}

fn etcdctl_works(mut world: World) {
    world.let_others_write();
    started(&mut world);
    world
        .program()
        .wait_for_line(&["INFO", "serving an embedded etcd", &world.etcd.url()]);
    assert_eq!(
        world.etcdctl(&["get", "--prefix", "/t/"]),
        "/t/a\n1\n/t/b\n1\n"
    );
    assert_eq!(world.etcdctl(&["put", "/mine", "value"]), "OK\n");
    assert_eq!(
        world.etcdctl(&["get", "--print-value-only", "/mine"]),
        "value\n"
    );
    assert_eq!(world.etcdctl(&["del", "/mine"]), "1\n");
    let granted = world.etcdctl(&["lease", "grant", "60"]);
    let lease = granted.split(' ').nth(1).unwrap();
    world.etcdctl(&["put", &format!("--lease={lease}"), "/leased", "1"]);
    world.etcdctl(&["lease", "revoke", lease]);
    assert_eq!(world.etcdctl(&["get", "/leased"]), "");
    assert!(
        world
            .etcdctl(&["endpoint", "status"])
            .contains(world.etcd.url().trim_start_matches("http://"))
    );
    assert_eq!(world.program_mut().terminate(), Some(0));
}

fn others_only_read(mut world: World) {
    started(&mut world);
    world
        .program()
        .wait_for_line(&["INFO", "every user of this host may read it"]);
    let lease = world.node("/t/a").unwrap().lease;
    let lease = format!("{lease:x}");
    for change in [
        &["put", "/kontena/registrator/services/skydns/evil", "{}"][..],
        &["put", "/t/a", "mine"],
        &["del", "--prefix", "/"],
        &["lease", "grant", "60"],
        &["lease", "revoke", &lease],
        &["lease", "keep-alive", "--once", &lease],
        &["compact", "1"],
    ] {
        let output = world.run_etcdctl(change);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "etcdctl {change:?}: {output:?}");
        for part in [
            "permission denied",
            "--embedded-access write",
            "KONTENA_REGISTRATOR_EMBEDDED_ACCESS=write",
        ] {
            assert!(text.contains(part), "etcdctl {change:?}: {text}");
        }
    }
    assert_eq!(
        world.etcdctl(&["get", "--prefix", "/t/"]),
        "/t/a\n1\n/t/b\n1\n"
    );
    let held = world.etcdctl(&["lease", "timetolive", "--keys", &lease]);
    assert!(held.contains("/t/a"), "{held}");
    world.rm("a");
    world.wait_for_nodes("/t/", &[("/t/b", "1")]);
    assert_eq!(world.program_mut().terminate(), Some(0));
}

fn a_full_one_takes_again_what_fits(mut world: World) {
    world.let_others_write();
    world.arguments.push("--embedded-quota=1MiB".into());
    started(&mut world);
    let value = "v".repeat(100_000);
    let fill = |world: &World, n| world.run_etcdctl(&["put", &format!("/fill/{n}"), &value]);
    let full = (0..11).find(|n| !fill(&world, *n).status.success());
    let refused = fill(&world, full.expect("it is full after 1 MiB"));
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(
        text.contains("etcdserver: mvcc: database space exceeded"),
        "{text}"
    );
    world.etcdctl(&["put", "/fill/last", &"v".repeat(40_000)]);
    // The program's own writes count as well.
    let label = "value=".to_owned() + &"v".repeat(50_000);
    world.policy("p", &by_name("container.label(\"value\") or \"1\""));
    world.run("big", &["--label", &label]);
    world.program().wait_for_line(&["database space exceeded"]);
    // What is gone goes, and what is there stays, under a lease that is renewed.
    world.rm("a");
    world.wait_until("the deletion", |world| world.node("/t/a").is_none());
    let lease = world.node("/t/b").unwrap().lease;
    assert!(world.seconds_left(lease) > 0);
    world.etcdctl(&["del", "--prefix", "/fill/"]);
    let big = "v".repeat(50_000);
    world.wait_for_nodes("/t/", &[("/t/b", "1"), ("/t/big", &big)]);
    assert_eq!(world.node("/t/b").unwrap().lease, lease);
    assert_eq!(world.program_mut().terminate(), Some(0));
}

fn a_taken_port_is_an_error(mut world: World) {
    let address = world.etcd.url().replace("http://", "");
    let _taken = TcpListener::bind(&address).unwrap();
    world.policy("p", &by_name("1"));
    world.launch();
    assert_eq!(world.program_mut().exit_code(), Some(1));
    world.program().wait_for_line(&[
        &address,
        "--etcd-endpoint",
        "ETCD_ENDPOINT",
        "--embedded-listen",
    ]);
}

/// The test has the other ends of all connections.
fn raise_own_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

fn open_files(world: &World) -> usize {
    let folder = format!("/proc/{}/fd", world.program().id());
    std::fs::read_dir(folder).unwrap().count()
}

fn crowds_of_others_hold_up_nobody_but_others(mut world: World) {
    raise_own_limit();
    started(&mut world);
    let before = open_files(&world);
    let address = world.etcd.url().replace("http://", "");
    let crowd: Vec<TcpStream> = (0..5_000)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    world.run("c", &[]);
    world.rm("a");
    world.wait_for_nodes("/t/", &[("/t/b", "1"), ("/t/c", "1")]);
    world
        .program()
        .wait_for_line(&["WARN", "has 128 connections of others"]);
    assert!(open_files(&world) < before + 200, "{}", open_files(&world));
    // Silent clients lose their places, although they hold on to their ends.
    world.wait_until("a place for etcdctl", |world| {
        world.run_etcdctl(&["get", "/t/b"]).status.success()
    });
    drop(crowd);
    let told = world.program().lines(&["connections of others"]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(world.program_mut().terminate(), Some(0));
}

/// The soft limit alone, which can be raised again.
fn limit_open_files(world: &World, limit: usize) {
    let mut command = Command::new("prlimit");
    command
        .args(["--pid", &world.program().id().to_string()])
        .arg(format!("--nofile={limit}:"));
    assert!(command.status().unwrap().success());
}

fn without_descriptors_it_says_so_and_goes_on(mut world: World) {
    started(&mut world);
    let lease = world.node("/t/a").unwrap().lease;
    limit_open_files(&world, open_files(&world));
    let address = world.etcd.url().replace("http://", "");
    let crowd: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    world.program().wait_for_line(&[
        "WARN",
        "the embedded etcd",
        "cannot accept connections",
        "Too many open files",
        "LimitNOFILE=",
    ]);
    limit_open_files(&world, 1_024);
    world.run("c", &[]);
    world.wait_for_nodes("/t/", &[("/t/a", "1"), ("/t/b", "1"), ("/t/c", "1")]);
    assert_eq!(world.etcdctl(&["get", "--print-value-only", "/t/c"]), "1\n");
    assert_eq!(world.node("/t/a").unwrap().lease, lease);
    drop(crowd);
    assert_eq!(world.program_mut().terminate(), Some(0));
}
