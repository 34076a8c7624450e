//! Events are hints, inspect is the truth: what costs an inspect, how many, and what comes of it.

use std::time::{Duration, SystemTime};

use crate::docker::watch;
use serde_json::json;
use tokio::time::timeout;

use super::fake_docker::{DEADLINE, FakeDocker, Reply, event, host, id, inspect};
use super::watched::{Watched, barrier, block_on, client, line, quick};

/// A daemon with these containers, and a watch that has seen its list.
fn following(containers: usize) -> (FakeDocker, Watched) {
    let fake = FakeDocker::start(containers);
    let mut watched = Watched::start(&host(&fake.socket()), quick());
    watched.until("done");
    fake.world().requests.clear();
    (fake, watched)
}

fn set_health(fake: &FakeDocker, status: &str, streak: u32) {
    fake.change(|world| {
        let log = json!([{"Start": streak, "Output": "x"}]);
        let document = world.containers.get_mut(&id(1)).unwrap();
        document["State"]["Health"] =
            json!({"Status": status, "FailingStreak": streak, "Log": log});
    });
}

#[test]
fn changes_come_as_they_happen() {
    let (fake, mut watched) = following(1);
    let appears = |world: &mut super::fake_docker::World, name: &str, action: &str| {
        world.containers.insert(id(5), inspect(5, name));
        world.send(&event(5, action));
    };
    fake.change(|world| appears(world, "new", "create"));
    watched.expect(&["apply new running bridge"]);
    fake.change(|world| appears(world, "renamed", "rename"));
    watched.expect(&["apply renamed running bridge"]);
    fake.change(|world| {
        let document = world.containers.get_mut(&id(5)).unwrap();
        document["NetworkSettings"]["Networks"]["back"] = json!({"IPAddress": "10.1.0.2"});
        let attributes = json!({"container": id(5), "name": "back"});
        let event = json!({"Type": "network", "Action": "connect", "Actor": {"ID": "n", "Attributes": attributes}});
        world.send(&event.to_string());
    });
    watched.expect(&["apply renamed running bridge back"]);
    fake.change(|world| {
        world.containers.remove(&id(5));
        world.send(&event(5, "destroy"));
    });
    watched.expect(&["delete 000000000005"]);
    barrier(&fake, &mut watched);
    assert_eq!(
        fake.world().inspects(),
        4,
        "destroy needs none, and the barrier one"
    );
}

#[test]
fn events_that_come_together_cost_one_inspect() {
    let (fake, mut watched) = following(2);
    let actions = [(1, "pause"), (2, "pause"), (1, "unpause"), (2, "unpause")];
    let together = actions.map(|(number, action)| event(number, action));
    fake.change(|world| world.send(&together.concat()));
    barrier(&fake, &mut watched);
    // They are asked for on connections of their own, and may overtake each other.
    fake.until("an inspect for each", |world| world.inspects() >= 3);
    assert_eq!(
        fake.world().inspects(),
        3,
        "one for each, and the barrier's"
    );
}

/// An end that is told is a proof, even if inspect was the first to know.
#[test]
fn a_container_that_nobody_told_the_end_of_has_vanished() {
    let (fake, mut watched) = following(2);
    let vanish = |world: &mut super::fake_docker::World, number, actions: &[&str]| {
        world.containers.remove(&id(number));
        for action in actions {
            world.send(&event(number, action));
        }
    };
    fake.change(|world| vanish(world, 1, &["rename"]));
    watched.expect(&["vanished 000000000001"]);
    fake.change(|world| vanish(world, 2, &["die"]));
    watched.expect(&["apply c2 exited bridge", "delete 000000000002"]);
}

#[test]
fn a_start_is_told_before_the_inspect_is_answered() {
    let (fake, mut watched) = following(1);
    fake.change(|world| {
        world.hold_inspects = true;
        world.containers.insert(id(2), inspect(2, "new"));
        world.send(&event(2, "start"));
    });
    watched.expect(&["coming 000000000002"]);
    fake.change(|world| world.hold_inspects = false);
    watched.expect(&["apply new running bridge"]);
}

#[test]
fn noise_costs_no_inspect() {
    let (fake, mut watched) = following(1);
    fake.change(|world| {
        for action in [
            "exec_create: sh",
            "exec_start: sh",
            "exec_die",
            "top",
            "attach",
            "resize",
            "kill",
            "archive-path",
        ] {
            (0..20).for_each(|_| world.send(&event(1, action)));
        }
    });
    barrier(&fake, &mut watched);
    assert_eq!(fake.world().inspects(), 1, "the barrier's");
}

#[test]
fn health_counts_when_it_changes() {
    let (fake, mut watched) = following(1);
    set_health(&fake, "healthy", 0);
    fake.change(|world| world.send(&event(1, "health_status: healthy")));
    watched.expect(&["apply c1 running healthy bridge"]);
    for streak in 1..20 {
        set_health(&fake, "healthy", streak);
        fake.change(|world| world.send(&event(1, "health_status: healthy")));
    }
    barrier(&fake, &mut watched);
    assert_eq!(
        fake.world().inspects(),
        2,
        "one for the change, one for the barrier"
    );
    set_health(&fake, "unhealthy", 3);
    fake.change(|world| world.send(&event(1, "health_status: unhealthy")));
    watched.expect(&["apply c1 running unhealthy bridge"]);
}

#[test]
fn an_inspect_that_shows_nothing_new_is_no_update() {
    let (fake, mut watched) = following(1);
    set_health(&fake, "healthy", 0);
    fake.change(|world| world.send(&event(1, "update")));
    watched.expect(&["apply c1 running healthy bridge"]);
    set_health(&fake, "healthy", 7);
    fake.change(|world| {
        world.containers.get_mut(&id(1)).unwrap()["ExecIDs"] = json!(["e"]);
        world.send(&event(1, "update"));
    });
    barrier(&fake, &mut watched);
    // They are under way together, so one of them may be answered before the other is heard.
    fake.until("both inspects", |world| world.inspects() == 3);
    fake.change(|world| {
        world.containers.insert(id(98), inspect(98, "later"));
        world.send(&event(98, "create"));
    });
    watched.expect(&["apply later running bridge"]);
}

#[test]
fn a_burst_is_one_inspect_under_way_and_one_after() {
    let (fake, mut watched) = following(1);
    fake.change(|world| {
        world.hold_inspects = true;
        world.send(&event(1, "update"));
    });
    fake.until("the first inspect waits", |world| world.inspecting == 1);
    fake.change(|world| (0..100).for_each(|_| world.send(&event(1, "update"))));
    fake.change(|world| {
        world.containers.insert(id(2), inspect(2, "other"));
        world.send(&event(2, "create"));
    });
    fake.until("the events have been read", |world| world.inspecting == 2);
    fake.change(|world| {
        world.containers.insert(id(1), inspect(1, "last"));
        world.hold_inspects = false;
    });
    let mut applied = [watched.until("apply"), watched.until("apply")];
    applied.sort();
    assert_eq!(
        applied,
        ["apply last running bridge", "apply other running bridge"]
    );
    barrier(&fake, &mut watched);
    // They are asked for on connections of their own, and may overtake each other.
    fake.until("all inspects", |world| world.inspects() >= 4);
    assert_eq!(fake.world().inspects(), 4, "1, 2, 1 again, and the barrier");
}

#[test]
fn inspects_are_bounded() {
    let (fake, mut watched) = following(100);
    fake.change(|world| {
        world.hold_inspects = true;
        (1..=100).for_each(|number| world.send(&event(number, "rename")));
    });
    fake.until("32 inspects wait", |world| world.inspecting == 32);
    fake.change(|world| {
        for number in 1..=100 {
            world
                .containers
                .insert(id(number), inspect(number, &format!("r{number}")));
        }
        world.hold_inspects = false;
    });
    for _ in 0..100 {
        watched.until("apply r");
    }
    let world = fake.world();
    assert_eq!((world.most_inspecting, world.inspects()), (32, 100));
}

#[test]
fn a_failing_inspect_keeps_what_was_and_is_tried_again() {
    let (fake, mut watched) = following(1);
    let mut failures = 3;
    fake.script(move |_, path| {
        let fails = path.contains(&id(1)) && failures > 0;
        failures -= i32::from(fails);
        fails.then(|| Reply::Status(500, r#"{"message":"shim is gone"}"#.to_owned()))
    });
    fake.change(|world| {
        world.containers.insert(id(1), inspect(1, "renamed"));
        world.send(&event(1, "rename"));
    });
    watched.expect(&[
        "failed 000000000001: Docker answered the inspect request with 500 Internal Server Error: shim is gone",
        "recovered 000000000001",
        "apply renamed running bridge",
    ]);
    assert_eq!(fake.world().inspects(), 4);
}

#[test]
fn answers_that_are_no_container_keep_what_was() {
    let answers = [
        (
            200,
            "{",
            "Docker's answer to the inspect request is not what its API documents",
        ),
        (
            200,
            "[]",
            "cannot read the inspect document of container 000000000001",
        ),
        (
            200,
            r#"{"Id":"ffffffffffff"}"#,
            "asked for container 000000000001, Docker answered with ffffffffffff",
        ),
        (
            404,
            "<html>",
            "Docker answered the inspect request with 404 Not Found: <html>",
        ),
        (
            404,
            r#"{"message":"page not found"}"#,
            "Docker answered the inspect request with 404 Not Found: page not found",
        ),
    ];
    for (status, body, expected) in answers {
        let (fake, mut watched) = following(1);
        fake.script(move |world, path| {
            let fails = path.contains(&id(1)) && world.inspects() == 1;
            fails.then(|| Reply::Status(status, body.to_owned()))
        });
        fake.change(|world| world.send(&event(1, "update")));
        let failed = watched.until("");
        assert!(
            failed.starts_with(&format!("failed 000000000001: {expected}")),
            "{failed}"
        );
        watched.expect(&["recovered 000000000001"]);
    }
}

#[test]
fn a_404_is_a_delete() {
    let (fake, mut watched) = following(1);
    fake.change(|world| {
        world.containers.remove(&id(1));
        world.send(&event(1, "die"));
    });
    watched.expect(&["apply c1 exited bridge", "delete 000000000001"]);
}

#[test]
fn destroy_overtakes_the_inspect_under_way() {
    let (fake, mut watched) = following(1);
    fake.change(|world| {
        world.hold_inspects = true;
        world.send(&event(1, "update"));
    });
    fake.until("the inspect waits", |world| world.inspecting == 1);
    fake.change(|world| world.send(&event(1, "destroy")));
    watched.expect(&["delete 000000000001"]);
    // Its answer still shows the container, and must not bring it back.
    fake.change(|world| {
        world.containers.insert(id(1), inspect(1, "undead"));
        world.hold_inspects = false;
    });
    barrier(&fake, &mut watched);
}

#[test]
fn unknown_containers_are_not_deleted_twice() {
    let (fake, mut watched) = following(0);
    fake.change(|world| {
        world.send(&event(3, "destroy"));
        world.send(&event(3, "die"));
    });
    barrier(&fake, &mut watched);
    assert_eq!(
        watched
            .seen
            .iter()
            .filter(|line| line.starts_with("delete"))
            .count(),
        0
    );
}

/// What the watch itself adds between an event and its update, inspect included. The bound is generous: the machine may be busy.
#[test]
fn news_are_passed_on_at_once() {
    let (fake, mut watched) = following(200);
    let mut delays = Vec::new();
    for number in 0..100 {
        let name = format!("r{number}");
        fake.change(|world| {
            world.containers.insert(id(1), inspect(1, &name));
            world.send(&event(1, "rename"));
        });
        let sent = SystemTime::now();
        let at = watched.until_at(&format!("apply {name} ")).0;
        delays.push(at.duration_since(sent).unwrap_or_default());
    }
    delays.sort_unstable();
    eprintln!(
        "event to update, inspect of a fake included: p50 {:?}, p99 {:?}",
        delays[50], delays[99]
    );
    assert!(delays[50] < Duration::from_millis(100), "{delays:?}");
}

/// A daemon drops events that are not read, so they are read while nobody takes the updates.
#[test]
fn a_slow_listener_loses_nothing() {
    let fake = FakeDocker::start(50);
    let (updates, mut received) = tokio::sync::mpsc::channel(1);
    let client = client(&host(&fake.socket()), quick().0);
    let watching = std::thread::spawn(move || block_on(watch(client, quick().1, updates)));
    fake.until("the list has been inspected", |world| world.inspected == 50);
    fake.change(|world| {
        for number in 1..=50 {
            world
                .containers
                .insert(id(number), inspect(number, &format!("r{number}")));
            world.send(&event(number, "rename"));
        }
        world.containers.insert(id(99), inspect(99, "last"));
        world.send(&event(99, "create"));
    });
    fake.until("all events have been read", |world| world.inspected == 101);
    let mut lines = Vec::new();
    while lines
        .iter()
        .filter(|line: &&String| line.starts_with("apply"))
        .count()
        < 51
    {
        let update = block_on(async { timeout(DEADLINE, received.recv()).await });
        lines.push(line(&update.unwrap().unwrap()));
    }
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(
        lines.len(),
        3 + 50 + 51,
        "connected, init and done, all listed, all applied: {lines:#?}"
    );
    drop(received);
    watching.join().unwrap();
}
