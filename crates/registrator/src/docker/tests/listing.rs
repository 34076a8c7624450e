//! The complete list: subscribed before, bounded, and whole or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::docker::WatchSettings;

use super::fake_docker::{FakeDocker, Reply, event, host, id, inspect};
use super::watched::{Watched, block_on, client, quick};

fn watched(fake: &FakeDocker) -> Watched {
    Watched::start(&host(&fake.socket()), quick())
}

/// A list waits for an inspect no longer than this.
fn watched_for(fake: &FakeDocker, list_patience: Duration) -> Watched {
    let (timeouts, settings) = quick();
    let settings = WatchSettings {
        list_patience,
        ..settings
    };
    Watched::start(&host(&fake.socket()), (timeouts, settings))
}

#[test]
fn subscribes_before_it_lists() {
    let fake = FakeDocker::start(2);
    let mut watched = watched(&fake);
    watched.expect(&["connected 1.41"]);
    watched.expect_list(&["c1 running bridge", "c2 running bridge"]);
    let requests = fake.world().requests.clone();
    let mut paths: Vec<_> = requests
        .iter()
        .filter_map(|path| path.split('?').next())
        .collect();
    // The inspects are under way together.
    paths[5..].sort_unstable();
    let [one, two] = [1, 2].map(|number| format!("/v1.41/containers/{}/json", id(number)));
    assert_eq!(
        paths,
        [
            "/_ping",
            "/v1.41/info",
            "/v1.41/info",
            "/v1.41/events",
            "/v1.41/containers/json",
            &one,
            &two
        ]
    );
}

#[test]
fn an_empty_daemon_is_complete_too() {
    let fake = FakeDocker::start(0);
    watched(&fake).expect(&["connected 1.41", "init", "done"]);
}

#[test]
fn inspects_eight_at_once() {
    let fake = FakeDocker::start(50);
    fake.world().hold_inspects = true;
    let mut watched = watched(&fake);
    fake.until("eight inspects wait", |world| world.inspecting == 8);
    fake.change(|world| world.hold_inspects = false);
    watched.until("done");
    assert_eq!(
        watched
            .seen
            .iter()
            .filter(|line| line.starts_with("listed"))
            .count(),
        50
    );
    let world = fake.world();
    assert_eq!((world.most_inspecting, world.inspects()), (8, 50));
}

#[test]
fn what_happens_during_the_list_is_seen_to_after_it() {
    let fake = FakeDocker::start(3);
    // After the list was made: 1 is renamed, 2 is removed, 4 is created. Nothing but the events tells.
    fake.script(|world, path| {
        if path.ends_with("/json") && world.inspects() == 3 {
            world.containers.insert(id(1), inspect(1, "renamed"));
            world.containers.remove(&id(2));
            world.containers.insert(id(4), inspect(4, "c4"));
            world.send(&event(1, "rename"));
            world.send(&event(2, "destroy"));
            world.send(&event(4, "create"));
        }
        None
    });
    let mut watched = watched(&fake);
    let (mut mirror, mut done) = (BTreeSet::new(), false);
    // Whether the inspects of 1 and 2 saw the change is a race; the outcome is none.
    while !done || mirror != BTreeSet::from(["c3", "c4", "renamed"].map(str::to_owned)) {
        let line = watched.until("");
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["done"] => done = true,
            ["delete", "000000000002"] => assert!(done && mirror.remove("c2")),
            ["apply", "renamed", ..] => {
                assert!(done && mirror.remove("c1"));
                mirror.insert("renamed".to_owned());
            }
            ["listed" | "apply", name, ..] => assert!(mirror.insert((*name).to_owned())),
            _ => assert!(!done, "{line}"),
        }
    }
}

#[test]
fn an_event_between_subscription_and_list_is_not_lost() {
    let fake = FakeDocker::start(1);
    // The list is old when it arrives: 2 was created after the daemon made it.
    fake.script(|world, path| {
        if !path.ends_with("/containers/json?all=1") {
            return None;
        }
        world.containers.insert(id(2), inspect(2, "late"));
        world.send(&event(2, "create"));
        Some(Reply::Status(200, format!(r#"[{{"Id":"{}"}}]"#, id(1))))
    });
    let tail = [
        "listed c1 running bridge",
        "done",
        "apply late running bridge",
    ];
    let mut watched = watched(&fake);
    watched.expect(&["connected 1.41", "init"]);
    watched.expect(&tail);
}

#[test]
fn containers_that_vanish_before_their_inspect_are_left_out() {
    let fake = FakeDocker::start(3);
    fake.script(|world, path| {
        if path.ends_with(&format!("/{}/json", id(2))) {
            world.containers.remove(&id(2));
        }
        None
    });
    let mut watched = watched(&fake);
    watched.expect(&["connected 1.41"]);
    watched.expect_list(&["c1 running bridge", "c3 running bridge"]);
}

#[test]
fn containers_whose_inspects_hang_hold_up_nobody() {
    let fake = FakeDocker::start(40);
    // More than are inspected at once.
    fake.script(|_, path| {
        let hangs = (1..=20).any(|number| path.contains(&id(number)));
        hangs.then_some(Reply::Hang)
    });
    let mut watched = watched_for(&fake, Duration::from_secs(1));
    watched.until("done");
    let listed = watched
        .seen
        .iter()
        .filter(|line| line.starts_with("listed"));
    assert_eq!(listed.count(), 20);
    fake.change(|world| {
        world.containers.insert(id(50), inspect(50, "new"));
        world.send(&event(50, "create"));
    });
    watched.until("apply new running bridge");
    let answered = ["recovered", "vanished", "delete"];
    let is_answered = |line: &&String| answered.iter().any(|word| line.starts_with(word));
    assert_eq!(watched.seen.iter().find(is_answered), None);
}

/// It is inspected again and again until it answers, but the others do not wait for that.
#[test]
fn a_list_that_is_completed_without_a_container_tells_that_it_comes() {
    let fake = FakeDocker::start(1);
    fake.script(|_, path| {
        path.ends_with("/json")
            .then(|| Reply::Status(500, r#"{"message":"busy"}"#.to_owned()))
    });
    let mut watched = watched_for(&fake, Duration::from_secs(1));
    watched.until("coming 000000000001");
    watched.expect(&["done"]);
}

#[test]
fn a_list_that_breaks_off_is_no_list() {
    let half = format!(r#"[{{"Id":"{}"}}, {{"Id":"#, id(1));
    let replies: [fn(&str) -> Reply; 4] = [
        |half| Reply::Cut(half.to_owned()),
        |half| Reply::Status(200, half.to_owned()),
        |_| Reply::Status(500, r#"{"message":"dying"}"#.to_owned()),
        |_| Reply::Status(200, r#"[{"Id":"../../info"}]"#.to_owned()),
    ];
    for reply in replies {
        let (fake, half, mut broken) = (FakeDocker::start(1), half.clone(), 3);
        fake.script(move |_, path| {
            let breaks = path.contains("/containers/json") && broken > 0;
            broken -= i32::from(breaks);
            breaks.then(|| reply(&half))
        });
        let mut watched = watched(&fake);
        let waiting = watched.until("");
        assert!(waiting.starts_with("waiting: Docker"), "{waiting}");
        // Reported once, though it happened three times; then all is well.
        watched.expect(&["connected 1.41", "init", "listed c1 running bridge", "done"]);
        assert_eq!(fake.world().count("/containers/json"), 4);
    }
}

#[test]
fn a_disconnect_amid_the_inspects_starts_over() {
    let fake = FakeDocker::start(20);
    fake.world().hold_inspects = true;
    let mut watched = watched(&fake);
    fake.until("the inspects begin", |world| world.inspecting == 8);
    watched.expect(&["connected 1.41", "init"]);
    fake.kill(true);
    assert!(watched.until("lost").starts_with("lost: "));
    fake.change(|world| world.hold_inspects = false);
    fake.listen();
    watched.until("connected");
    assert!(!watched.seen.contains(&"done".to_owned()));
    watched.until("done");
    assert_eq!(
        watched.seen.iter().filter(|line| *line == "done").count(),
        1
    );
}

#[test]
fn one_container_that_cannot_be_inspected_does_not_keep_the_rest_for_ever() {
    let fake = FakeDocker::start(2);
    fake.script(|world, path| {
        let broken = path.contains(&id(1)) && world.api_version == "1.41";
        broken.then(|| Reply::Status(500, r#"{"message":"no such device"}"#.to_owned()))
    });
    let mut watched = watched_for(&fake, Duration::from_secs(2));
    watched.until("done");
    let failed = "failed 000000000001: Docker answered the inspect request with 500 Internal Server Error: no such device";
    assert!(
        watched.seen.contains(&failed.to_owned()),
        "{:#?}",
        watched.seen
    );
    assert!(
        watched
            .seen
            .contains(&"listed c2 running bridge".to_owned())
    );
    fake.change(|world| world.api_version = "1.42".to_owned());
    watched.expect(&["recovered 000000000001", "apply c1 running bridge"]);
}

#[test]
fn one_look() {
    let fake = FakeDocker::start(30);
    fake.script(|world, path| {
        if path.ends_with(&format!("/{}/json", id(7))) {
            world.containers.remove(&id(7));
        }
        None
    });
    let client = client(&host(&fake.socket()), quick().0);
    let containers = block_on(crate::docker::list_once(&client)).unwrap();
    let names: Vec<_> = containers
        .iter()
        .map(|container| container.name().to_owned())
        .collect();
    let expected: Vec<_> = (1..=30)
        .filter(|number| *number != 7)
        .map(|number| format!("c{number}"))
        .collect();
    assert_eq!(names, expected);
    assert!(fake.world().most_inspecting <= 8);
    fake.script(|_, path| {
        path.contains(&id(9))
            .then(|| Reply::Status(500, "no".to_owned()))
    });
    assert!(
        block_on(crate::docker::list_once(&client)).is_err(),
        "complete or not at all"
    );
}
