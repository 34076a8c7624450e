//! How the program ends, what it leaves, and what its successor makes of that.

use crate::started;
use crate::world::{Change, World};

on! {
    V3_4 as etcd_3_4:
        kept_nodes_expire
        kept_nodes_are_adopted
        released_nodes_are_gone_at_once
        a_second_signal_aborts;
    V3_5 as etcd_3_5: kept_nodes_are_adopted released_nodes_are_gone_at_once;
    V3_6 as etcd_3_6: kept_nodes_are_adopted released_nodes_are_gone_at_once;
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
