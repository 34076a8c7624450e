//! A container whose process ends is reported so at once, and inspected when that is over.

use std::time::Duration;

use serde_json::json;

use super::fake_docker::{DEADLINE, FakeDocker, event, host, id, inspect};
use super::watched::{NEVER, Watched, barrier, block_on, client, inspects_held, line, quick};
use crate::docker::watch;

/// A daemon with this many containers, and a watch that has seen their list.
fn following(count: usize, ended_rest: Duration) -> (FakeDocker, Watched) {
    let fake = FakeDocker::start(count);
    let (timeouts, mut settings) = quick();
    settings.ended_rest = ended_rest;
    let mut watched = Watched::start(&host(&fake.socket()), (timeouts, settings));
    watched.until("done");
    fake.world().requests.clear();
    (fake, watched)
}

fn set_state(fake: &FakeDocker, status: &str) {
    let state = json!({"Running": status == "running", "Status": status});
    fake.change(|world| world.containers.get_mut(&id(1)).unwrap()["State"] = state);
}

#[test]
fn the_end_is_reported_before_the_engine_answers() {
    let (fake, mut watched) = following(1, NEVER);
    fake.change(|world| world.hold_inspects = true);
    fake.send(&event(1, "die"));
    watched.expect(&["apply c1 exited bridge"]);
    assert_eq!(inspects_held(&fake, &mut watched), 0);
}

#[test]
fn it_is_inspected_later() {
    let (fake, mut watched) = following(1, Duration::from_millis(10));
    set_state(&fake, "dead");
    fake.send(&event(1, "die"));
    watched.expect(&["apply c1 exited bridge", "apply c1 dead bridge"]);
    barrier(&fake, &mut watched);
    assert_eq!(fake.world().inspects(), 2, "the barrier's besides");
}

#[test]
fn an_inspect_under_way_does_not_bring_it_back() {
    let (fake, mut watched) = following(1, NEVER);
    fake.change(|world| world.hold_inspects = true);
    fake.send(&event(1, "update"));
    fake.until("the inspect waits", |world| world.inspecting == 1);
    // It shows another name, and so would be told.
    fake.change(|world| world.containers.get_mut(&id(1)).unwrap()["Name"] = json!("/other"));
    fake.send(&event(1, "die"));
    watched.expect(&["apply c1 exited bridge"]);
    fake.change(|world| world.hold_inspects = false);
    barrier(&fake, &mut watched);
}

/// Whatever was known before its start: its end, or that it did not run.
#[test]
fn a_process_that_ends_before_it_was_inspected_is_never_seen() {
    for was_seen_to_end in [true, false] {
        let (fake, mut watched) = following(1, NEVER);
        if was_seen_to_end {
            fake.send(&event(1, "die"));
            watched.expect(&["apply c1 exited bridge"]);
        } else {
            set_state(&fake, "created");
            fake.send(&event(1, "update"));
            watched.expect(&["apply c1 created bridge"]);
        }
        set_state(&fake, "running");
        fake.change(|world| world.hold_inspects = true);
        fake.send(&event(1, "start"));
        watched.expect(&["coming 000000000001"]);
        fake.until("the inspect waits", |world| world.inspecting == 1);
        fake.send(&event(1, "die"));
        // What comes after it is told without an inspect, so the end has been dealt with.
        fake.send(&event(2, "start"));
        watched.expect(&["coming 000000000002"]);
        fake.change(|world| world.hold_inspects = false);
        barrier(&fake, &mut watched);
    }
}

#[test]
fn what_happens_to_it_afterwards_is_of_no_interest() {
    let (fake, mut watched) = following(1, NEVER);
    for action in ["die", "stop", "update", "rename"] {
        fake.send(&event(1, action));
    }
    watched.expect(&["apply c1 exited bridge"]);
    barrier(&fake, &mut watched);
    fake.change(|world| {
        world.containers.remove(&id(1));
        world.send(&event(1, "destroy"));
    });
    watched.expect(&[&format!("delete {}", &id(1)[..12])]);
    assert_eq!(fake.world().inspects(), 1, "the barrier's");
}

#[test]
fn it_is_inspected_at_once_when_it_is_started_again() {
    let (fake, mut watched) = following(1, NEVER);
    fake.send(&event(1, "die"));
    watched.expect(&["apply c1 exited bridge"]);
    fake.send(&event(1, "start"));
    let coming = format!("coming {}", &id(1)[..12]);
    watched.expect(&[&coming, "apply c1 running bridge"]);
}

#[test]
fn a_change_during_the_inspect_after_the_end_is_not_missed() {
    let (fake, mut watched) = following(1, Duration::from_millis(10));
    set_state(&fake, "dead");
    fake.change(|world| {
        world.hold_inspects = true;
        world.send(&event(1, "die"));
    });
    watched.expect(&["apply c1 exited bridge"]);
    fake.until("the inspect waits", |world| world.inspecting == 1);
    fake.send(&event(1, "rename"));
    // It is told without an inspect, so what came before has been dealt with.
    fake.send(&event(2, "start"));
    watched.expect(&["coming 000000000002"]);
    fake.change(|world| world.hold_inspects = false);
    watched.expect(&["apply c1 dead bridge"]);
    fake.until("another inspect", |world| {
        world.count(&format!("/containers/{}", id(1))) == 2
    });
}

/// Nodes of others that go wait for those that come. It is no news that it does not run, so this looks at all that is told.
#[test]
fn who_was_told_to_come_is_told_to_have_ended() {
    let fake = FakeDocker::start(1);
    set_state(&fake, "exited");
    let (timeouts, mut settings) = quick();
    settings.ended_rest = NEVER;
    let client = client(&host(&fake.socket()), timeouts);
    let steps = [("done", "start"), ("coming 000000000001", "die")];
    block_on(async {
        let (sender, mut updates) = tokio::sync::mpsc::channel(4);
        let told = async {
            for (expected, next) in steps {
                while line(&updates.recv().await.unwrap()) != expected {}
                fake.change(|world| {
                    world.hold_inspects = true;
                    world.send(&event(1, next));
                });
            }
            line(&updates.recv().await.unwrap())
        };
        let told = tokio::time::timeout(DEADLINE, told);
        tokio::select! {
            told = told => assert_eq!(told.unwrap(), "apply c1 exited bridge"),
            () = watch(client, settings, sender) => panic!("it ended"),
        }
    });
}

#[test]
fn the_end_of_an_earlier_process_ends_nothing() {
    let (fake, mut watched) = following(1, NEVER);
    fake.change(|world| {
        let document = world.containers.get_mut(&id(1)).unwrap();
        document["State"]["StartedAt"] = json!("2026-11-28T08:00:01.5Z");
        world.send(&event(1, "update"));
    });
    watched.expect(&["apply c1 running bridge"]);
    let ended_at = |nanoseconds: u64| {
        let event = event(1, "die");
        event.replace("\"timeNano\":1", &format!("\"timeNano\":{nanoseconds}"))
    };
    let started = 1_795_852_801_500_000_000;
    fake.send(&ended_at(started - 1));
    fake.until("inspect tells what is so", |world| world.inspects() == 2);
    barrier(&fake, &mut watched);
    fake.send(&ended_at(started));
    watched.expect(&["apply c1 exited bridge"]);
}

/// The list waits for the inspect under way, and what it shows is looked at again.
#[test]
fn an_end_while_the_list_is_read() {
    let fake = FakeDocker::start(2);
    fake.change(|world| world.hold_inspects = true);
    let mut watched = Watched::start(&host(&fake.socket()), quick());
    fake.until("both inspects wait", |world| world.inspecting == 2);
    fake.send(&event(1, "die"));
    // The next ping comes some time after the last event that was read.
    let pings = fake.world().count("/_ping");
    fake.until("a ping", |world| world.count("/_ping") > pings + 1);
    set_state(&fake, "exited");
    fake.change(|world| world.hold_inspects = false);
    watched.until("done");
    barrier(&fake, &mut watched);
}

#[test]
fn the_end_of_a_container_that_was_never_inspected() {
    let (fake, mut watched) = following(0, NEVER);
    fake.change(|world| {
        let mut document = inspect(1, "c1");
        document["State"] = json!({"Running": false, "Status": "exited"});
        world.containers.insert(id(1), document);
        world.send(&event(1, "die"));
    });
    watched.expect(&["apply c1 exited bridge"]);
    assert_eq!(fake.world().inspects(), 1);
}
