//! A container that is asked to stop is reported so at once, and until it is known how that ended.

use std::time::{Duration, Instant};

use serde_json::json;

use super::fake_docker::{FakeDocker, event, host, id, inspect, kill};
use super::watched::{Watched, barrier, inspects_held, quick};

const HUP: u8 = 1;
const KILL: u8 = 9;
const TERM: u8 = 15;

/// Longer than any test.
const FOR_EVER: i64 = 100_000;

/// A daemon with one container with this grace time in seconds, and a watch that has seen its list.
fn following(stop_timeout: i64) -> (FakeDocker, Watched) {
    let fake = FakeDocker::start(1);
    fake.change(|world| set_grace(world, stop_timeout));
    let mut watched = Watched::start(&host(&fake.socket()), quick());
    watched.until("done");
    fake.world().requests.clear();
    (fake, watched)
}

fn set_grace(world: &mut super::fake_docker::World, stop_timeout: i64) {
    let document = world.containers.get_mut(&id(1)).unwrap();
    document["Config"]["StopTimeout"] = json!(stop_timeout);
    document["State"]["StartedAt"] = json!("1");
}

fn set_state(fake: &FakeDocker, status: &str, started_at: &str) {
    let state = json!({"Running": status == "running", "Status": status, "StartedAt": started_at});
    fake.change(|world| world.containers.get_mut(&id(1)).unwrap()["State"] = state);
}

#[test]
fn the_stop_signal_is_reported_at_once_and_without_an_inspect() {
    let (fake, mut watched) = following(FOR_EVER);
    fake.change(|world| world.hold_inspects = true);
    fake.send(&kill(1, TERM));
    watched.expect(&["apply c1 stopping bridge"]);
    assert_eq!(inspects_held(&fake, &mut watched), 0);
    fake.change(|world| world.hold_inspects = false);
    watched.expect(&["apply held running bridge"]);
    set_state(&fake, "exited", "1");
    fake.send(&event(1, "die"));
    watched.expect(&["apply c1 exited bridge"]);
}

#[test]
fn other_signals_change_nothing() {
    let (fake, mut watched) = following(FOR_EVER);
    for signal in [HUP, KILL, 10, 28] {
        fake.send(&kill(1, signal));
    }
    fake.send(&kill(7, TERM));
    barrier(&fake, &mut watched);
    assert_eq!(fake.world().inspects(), 1, "the barrier's");
}

#[test]
fn a_stop_signal_of_its_own() {
    let (fake, mut watched) = following(FOR_EVER);
    fake.change(|world| {
        let mut document = inspect(2, "c2");
        document["Config"]["StopSignal"] = json!("SIGHUP");
        world.containers.insert(id(2), document);
        world.send(&event(2, "create"));
    });
    watched.expect(&["apply c2 running bridge"]);
    fake.send(&kill(2, TERM));
    fake.send(&kill(2, HUP));
    watched.expect(&["apply c2 stopping bridge"]);
    barrier(&fake, &mut watched);
}

#[test]
fn it_is_told_once_and_inspects_do_not_take_it_back() {
    let (fake, mut watched) = following(FOR_EVER);
    fake.send(&kill(1, TERM));
    fake.send(&kill(1, TERM));
    watched.expect(&["apply c1 stopping bridge"]);
    fake.send(&event(1, "update"));
    barrier(&fake, &mut watched);
    fake.change(|world| world.containers.get_mut(&id(1)).unwrap()["Name"] = json!("/renamed"));
    fake.send(&event(1, "rename"));
    watched.expect(&["apply renamed stopping bridge"]);
}

#[test]
fn who_lives_on_returns_after_the_grace_time() {
    let (fake, mut watched) = following(0);
    let sent = Instant::now();
    fake.send(&kill(1, TERM));
    watched.expect(&["apply c1 stopping bridge", "apply c1 running bridge"]);
    assert!(
        sent.elapsed() >= Duration::from_secs(1),
        "{:?}",
        sent.elapsed()
    );
    assert_eq!(fake.world().inspects(), 1, "what inspect says counts again");
}

/// Docker kills at the end of the grace time. Until that is done the container must not return.
#[test]
fn who_is_killed_in_the_end_does_not_return() {
    let (fake, mut watched) = following(2);
    fake.send(&kill(1, TERM));
    watched.expect(&["apply c1 stopping bridge"]);
    fake.send(&kill(1, KILL));
    // One that is not killed, and whose grace time begins later, is back: so was the first's over.
    fake.change(|world| {
        let mut document = inspect(2, "c2");
        document["Config"]["StopTimeout"] = json!(2);
        world.containers.insert(id(2), document);
        world.send(&event(2, "create"));
    });
    watched.expect(&["apply c2 running bridge"]);
    fake.send(&kill(2, TERM));
    watched.expect(&["apply c2 stopping bridge", "apply c2 running bridge"]);
    set_state(&fake, "exited", "1");
    fake.send(&event(1, "die"));
    watched.expect(&["apply c1 exited bridge"]);
}

#[test]
fn a_restart_ends_it() {
    let (fake, mut watched) = following(FOR_EVER);
    fake.send(&kill(1, TERM));
    watched.expect(&["apply c1 stopping bridge"]);
    set_state(&fake, "running", "2");
    for action in ["die", "stop", "start", "restart"] {
        fake.send(&event(1, action));
    }
    watched.expect(&["apply c1 exited bridge"]);
    watched.until("apply c1 running bridge");
    barrier(&fake, &mut watched);
}

#[test]
fn a_new_list_does_not_forget_it() {
    let (fake, mut watched) = following(FOR_EVER);
    fake.send(&kill(1, TERM));
    watched.expect(&["apply c1 stopping bridge"]);
    fake.end_streams();
    watched.until("open again");
    watched.expect_list(&["c1 stopping bridge"]);
    set_state(&fake, "exited", "1");
    fake.send(&event(1, "die"));
    watched.expect(&["apply c1 exited bridge"]);
}

#[test]
fn a_new_list_shows_how_it_ended() {
    for (status, started_at) in [("exited", "1"), ("running", "2")] {
        let (fake, mut watched) = following(FOR_EVER);
        fake.send(&kill(1, TERM));
        watched.expect(&["apply c1 stopping bridge"]);
        fake.kill(true);
        watched.until("lost");
        set_state(&fake, status, started_at);
        fake.listen();
        watched.until("connected");
        watched.expect_list(&[&format!("c1 {status} bridge")]);
    }
}

#[test]
fn a_grace_time_that_ends_while_docker_is_away() {
    let (fake, mut watched) = following(2);
    fake.send(&kill(1, TERM));
    watched.expect(&["apply c1 stopping bridge"]);
    fake.end_streams();
    watched.until("open again");
    watched.expect_list(&["c1 stopping bridge"]);
    watched.expect(&["apply c1 running bridge"]);
}

#[test]
fn a_stop_while_the_list_is_read() {
    let fake = FakeDocker::start(2);
    fake.change(|world| {
        set_grace(world, FOR_EVER);
        world.hold_inspects = true;
    });
    let mut watched = Watched::start(&host(&fake.socket()), quick());
    fake.until("both inspects wait", |world| world.inspecting == 2);
    fake.send(&kill(1, TERM));
    fake.send(&kill(2, HUP));
    // The next ping comes some time after the last event that was read.
    let pings = fake.world().count("/_ping");
    fake.until("a ping", |world| world.count("/_ping") > pings + 1);
    fake.change(|world| world.hold_inspects = false);
    watched.until("connected");
    watched.expect_list(&["c1 stopping bridge", "c2 running bridge"]);
}
