//! How the program ends, what it leaves, and what its successor makes of that.

use crate::by_name;
use crate::world::{Change, World};
use std::net::TcpListener;

on! {
    V3_4 as etcd_3_4:
        kept_nodes_expire
        kept_nodes_are_adopted
        released_nodes_are_gone_at_once
        a_second_signal_aborts;
    V3_5 as etcd_3_5: kept_nodes_are_adopted released_nodes_are_gone_at_once;
    V3_6 as etcd_3_6: kept_nodes_are_adopted released_nodes_are_gone_at_once;
    Embedded as embedded:
        etcdctl_works
        others_only_read
        a_full_embedded_etcd_recovers
        a_taken_port_is_an_error;
}

fn started(world: &mut World) {
    world.policy("p", &by_name("1"));
    world.run("a", &[]);
    world.run("b", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/a", "1"), ("/t/b", "1")]);
}

fn kept_nodes_expire(mut world: World) {
    world.arguments = vec!["--lease-ttl=5s".into()];
    started(&mut world);
    let before = world.node("/t/a").unwrap();
    assert_eq!(
        world.program_mut().terminate(),
        Some(0),
        "{}",
        world.program().log()
    );
    assert_eq!(world.node("/t/a"), Some(before.clone()));
    let left = world.seconds_left(before.lease);
    assert!((0..=5).contains(&left), "{left}");
    world.wait_for_nodes("/t/", &[]);
    assert_eq!(world.seconds_left(before.lease), -1);
}

fn kept_nodes_are_adopted(mut world: World) {
    started(&mut world);
    let (revision, a) = (world.revision(), world.node("/t/a"));
    assert_eq!(world.program_mut().terminate(), Some(0));
    world.rm("b");
    world.run("c", &[]);
    world.start();
    world.program().wait_for_line(&["INFO", "took over lease"]);
    world.wait_for_nodes("/t/", &[("/t/a", "1"), ("/t/c", "1")]);
    assert_eq!(world.node("/t/a"), a, "it was not touched");
    assert_eq!(world.node("/t/c").unwrap().lease, a.unwrap().lease);
    let changes = world.history(revision);
    let touched = changes
        .iter()
        .filter(|change| change.key() == "/t/a")
        .count();
    let deleted = changes.contains(&Change::Delete("/t/b".into()));
    assert!(touched == 0 && deleted, "{changes:#?}");
}

fn released_nodes_are_gone_at_once(mut world: World) {
    world.arguments = vec!["--on-exit=release".into(), "--lease-ttl=1h".into()];
    started(&mut world);
    let lease = world.node("/t/a").unwrap().lease;
    world.program().signal("INT");
    assert_eq!(
        world.program_mut().exit_code(),
        Some(0),
        "{}",
        world.program().log()
    );
    world
        .program()
        .wait_for_line(&["INFO", "all nodes are removed"]);
    assert!(world.nodes("/t/").is_empty());
    assert_eq!(world.seconds_left(lease), -1);
}

fn a_second_signal_aborts(mut world: World) {
    world.arguments = vec!["--on-exit=release".into()];
    started(&mut world);
    world.etcd.real().freeze();
    world.program().signal("TERM");
    world
        .program()
        .wait_for_line(&["INFO", "ending, nodes are released"]);
    world.program().signal("TERM");
    assert_eq!(world.program_mut().exit_code(), Some(1));
    world
        .program()
        .wait_for_line(&["ERROR", "aborted by a second signal"]);
    world.etcd.real().thaw();
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

fn a_full_embedded_etcd_recovers(mut world: World) {
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
    world.rm("a");
    // What is there stays, under a lease that is renewed, and what is gone goes as soon as there is room.
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
