//! Containers that are asked to stop: a policy may withdraw them before their process ends.

use crate::world::{Change, World};
use crate::{by_container, by_name};

on! {
    V3_4 as etcd_3_4:
        a_stopping_container_is_withdrawn_before_it_ends
        a_container_that_ignores_its_stop_signal_returns;
}

/// `draining` withdraws what is stopping; `plain` does not look.
fn with_policies(world: &World) {
    let unless_stopping = r#"{"/t/draining/" + name: 1} if not container.stopping else None"#;
    world.policy("draining", &by_container(unless_stopping));
    world.policy("plain", &by_name("container.running"));
}

const DRAINED: &str = "/t/draining/web";
const PLAIN: (&str, &str) = ("/t/web", "true");

/// `sleep`, the first process of its container, ignores all signals but SIGKILL.
fn a_stopping_container_is_withdrawn_before_it_ends(mut world: World) {
    with_policies(&world);
    world.run("web", &["--stop-signal=TERM", "--stop-timeout=100"]);
    world.start();
    world.wait_for_nodes("/t/", &[(DRAINED, "1"), PLAIN]);
    let (revision, web) = (world.revision(), world.container("web"));
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| world.docker().docker(&["stop", &web]));
        world.wait_for_nodes("/t/", &[PLAIN]);
        let status = world
            .docker()
            .docker(&["inspect", "--format={{.State.Status}}", &web]);
        assert_eq!(status, "running");
        assert_eq!(world.history(revision), [Change::Delete(DRAINED.into())]);
        world.docker().docker(&["kill", &web]);
        stop.join().unwrap();
    });
    world.wait_for_nodes("/t/", &[]);
    world.docker().docker(&["start", &web]);
    world.wait_for_nodes("/t/", &[(DRAINED, "1"), PLAIN]);
}

fn a_container_that_ignores_its_stop_signal_returns(mut world: World) {
    with_policies(&world);
    world.run("web", &["--stop-signal=TERM", "--stop-timeout=1"]);
    world.start();
    world.wait_for_nodes("/t/", &[(DRAINED, "1"), PLAIN]);
    let before = world.revision();
    let signal = |signal: &str| {
        let signal = format!("--signal={signal}");
        world
            .docker()
            .docker(&["kill", &signal, &world.container("web")]);
    };
    signal("HUP");
    world.run("barrier", &[]);
    let with_barrier = [
        (DRAINED, "1"),
        PLAIN,
        ("/t/barrier", "true"),
        ("/t/draining/barrier", "1"),
    ];
    world.wait_for_nodes("/t/", &with_barrier);
    let is_barrier = |change: &Change| change.key().ends_with("/barrier");
    let changes = world.history(before);
    assert!(changes.iter().all(is_barrier), "{changes:#?}");

    let before = world.revision();
    signal("TERM");
    let returned = [
        Change::Delete(DRAINED.into()),
        Change::Put(DRAINED.into(), "1".into()),
    ];
    world.wait_until("the node to go and to return", |world| {
        world.history(before) == returned
    });
}
