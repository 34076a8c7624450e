//! Many things at once.

use crate::world::World;
use std::sync::Mutex;

/// As many as a machine of two cores can take without the tests getting slower.
const WORKERS: usize = 8;

/// Does something for each name, several at once, in any order.
pub(crate) fn in_parallel(names: &[String], act: impl Fn(&str) + Sync) {
    let next = Mutex::new(names.iter());
    let take = || next.lock().ok().and_then(|mut names| names.next());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(name) = take() {
                    act(name);
                }
            });
        }
    });
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number}")).collect()
}

/// Thirty are started, every second one is removed at once while others are being started.
#[test]
fn thirty_come_and_half_of_them_go() {
    let Some(world) = World::start() else {
        return;
    };
    let program = world.launch();
    let names = names(30);
    in_parallel(&names, |name| {
        world.docker.run(name, &[]);
        if name.ends_with(['0', '2', '4', '6', '8']) {
            world.docker.docker(&["rm", "-f", name]);
        }
    });
    let nodes = world.wait_for_truth(&program);
    assert_eq!(nodes.len(), 15);
    in_parallel(&names, |name| {
        if nodes.contains_key(name) {
            world.docker.docker(&["rm", "-f", name]);
        }
    });
    world.wait_for_names(&program, &[]);
}

/// The same containers again and again: what counts is how each of them ends.
#[test]
fn ten_are_restarted_renamed_and_removed() {
    let Some(world) = World::start() else {
        return;
    };
    let program = world.launch();
    let names = names(10);
    in_parallel(&names, |name| {
        world.docker.run(name, &[]);
        for _ in 0..3 {
            world.docker.docker(&["restart", name]);
        }
        match name {
            "c0" | "c1" => _ = world.docker.docker(&["rm", "-f", name]),
            "c2" | "c3" => _ = world.docker.docker(&["stop", name]),
            "c4" | "c5" => {
                _ = world
                    .docker
                    .docker(&["rename", name, &format!("new-{name}")]);
                world.docker.run(name, &[]);
            }
            _ => {}
        }
    });
    let nodes = world.wait_for_truth(&program);
    assert_eq!(nodes.len(), 8, "{nodes:?}");
}
