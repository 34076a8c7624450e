//! A daemon that is absent, goes, stalls, comes back: waited for, told once, and read anew completely.

use std::time::Duration;

use super::fake_docker::{FakeDocker, Reply, event, host, id, inspect};
use super::watched::{Watched, quick};

fn watched(fake: &FakeDocker) -> Watched {
    Watched::start(&host(&fake.socket()), quick())
}

/// Waits for a ping no longer than this.
fn impatient(fake: &FakeDocker) -> Watched {
    let (mut timeouts, settings) = quick();
    timeouts.ping = Duration::from_secs(1);
    Watched::start(&host(&fake.socket()), (timeouts, settings))
}

#[test]
fn an_absent_daemon_is_waited_for_and_told_once() {
    let fake = FakeDocker::absent();
    let mut watched = watched(&fake);
    let expected = format!(
        "waiting: cannot connect to Docker at {} (is Docker running?): No such file or directory (os error 2)",
        host(&fake.socket())
    );
    watched.expect(&[&expected]);
    fake.world().containers.insert(id(1), inspect(1, "c1"));
    fake.listen();
    watched.expect(&["connected 1.41", "init", "listed c1 running bridge", "done"]);
}

#[test]
fn a_daemon_that_comes_back_is_read_anew() {
    let fake = FakeDocker::start(3);
    let mut watched = watched(&fake);
    watched.until("done");
    fake.kill(true);
    watched.until("lost: ");
    fake.change(|world| {
        world.containers.remove(&id(2));
        world.containers.insert(id(4), inspect(4, "c4"));
        world.api_version = "1.47".to_owned();
        world.requests.clear();
    });
    fake.listen();
    watched.until("connected 1.47");
    watched.expect_list(&[
        "c1 running bridge",
        "c3 running bridge",
        "c4 running bridge",
    ]);
    assert!(
        !watched.seen.iter().any(|line| line.starts_with("delete")),
        "{:#?}",
        watched.seen
    );
    let requests = fake.world().requests.clone();
    assert!(
        requests
            .iter()
            .all(|path| path == "/_ping" || path.starts_with("/v1.47/")),
        "{requests:#?}"
    );
    fake.change(|world| {
        world.containers.insert(id(4), inspect(4, "renamed"));
        world.send(&event(4, "rename"));
    });
    watched.expect(&["apply renamed running bridge"]);
}

/// As a proxy does with streams that are idle.
#[test]
fn an_ended_stream_alone_is_told_once() {
    let fake = FakeDocker::start(1);
    let mut watched = watched(&fake);
    watched.until("done");
    fake.end_streams();
    let cut = watched.until("cut");
    assert!(
        cut.starts_with("cut: Docker's answer to the events request broke off: "),
        "{cut}"
    );
    let list = ["open again", "init", "listed c1 running bridge", "done"];
    watched.expect(&list);
    for _ in 0..3 {
        fake.end_streams();
        watched.expect(&list);
    }
    fake.kill(true);
    watched.until("lost: Docker's answer to the events request broke off");
    fake.listen();
    watched.until("connected 1.41");
    watched.until("done");
    fake.end_streams();
    watched.until("cut: ");
}

#[test]
fn a_stream_that_ends_with_its_daemon_is_a_loss() {
    let fake = FakeDocker::start(1);
    let mut watched = impatient(&fake);
    watched.until("done");
    fake.script(|_, path| path.ends_with("/_ping").then_some(Reply::Hang));
    fake.end_streams();
    watched.until("lost: Docker's answer to the events request broke off");
    watched.until("lost: Docker did not answer the ping request");
    fake.script(|_, _| None);
    watched.until("connected 1.41");
}

#[test]
fn nonsense_on_the_stream_is_a_loss() {
    let fake = FakeDocker::start(1);
    let mut watched = watched(&fake);
    watched.until("done");
    fake.change(|world| world.send("<html>proxy error</html>"));
    watched.until("lost: Docker's answer to the events request is not what its API documents");
    watched.until("done");
}

#[test]
fn a_stalled_daemon_is_noticed() {
    let fake = FakeDocker::start(1);
    let mut watched = impatient(&fake);
    watched.until("done");
    fake.script(|_, _| Some(Reply::Hang));
    watched.expect(&["lost: Docker did not answer the ping request within 1 s"]);
    fake.script(|_, _| None);
    watched.expect(&["connected 1.41", "init", "listed c1 running bridge", "done"]);
}

#[test]
fn pings_are_rare_and_silent() {
    let fake = FakeDocker::start(1);
    let mut watched = watched(&fake);
    watched.until("done");
    fake.until("four pings were answered", |world| {
        world.count("/_ping") >= 5
    });
    assert_eq!(watched.drain(), [""; 0]);
    let requests = fake.world().requests.clone();
    assert_eq!(
        requests
            .iter()
            .filter(|path| !path.starts_with("/_ping"))
            .count(),
        5,
        "{requests:#?}"
    );
}

#[test]
fn an_outage_during_an_inspect_keeps_the_container() {
    let fake = FakeDocker::start(2);
    let mut watched = watched(&fake);
    watched.until("done");
    fake.kill(false);
    watched.until("lost");
    // Back, but the first inspects fail: what was known is listed, and corrected later.
    let mut failures = 2;
    fake.script(move |_, path| {
        let fails = path.contains(&id(2)) && failures > 0;
        failures -= i32::from(fails);
        fails.then(|| Reply::Status(503, "starting".to_owned()))
    });
    std::fs::remove_file(fake.socket()).unwrap();
    fake.change(|world| _ = world.containers.insert(id(2), inspect(2, "renamed")));
    fake.listen();
    watched.until("done");
    let list: Vec<_> = watched
        .seen
        .iter()
        .rev()
        .take_while(|line| *line != "init")
        .cloned()
        .collect();
    assert!(
        list.contains(&"listed c2 running bridge".to_owned()),
        "{list:#?}"
    );
    watched.until("apply renamed");
}

#[test]
fn too_old_a_daemon_is_refused_in_words() {
    let fake = FakeDocker::start(1);
    fake.world().api_version = "1.40".to_owned();
    let mut watched = watched(&fake);
    let expected = format!(
        "waiting: the Docker daemon at {} speaks API 1.40, at least 1.41 (Docker 20.10) is needed: upgrade Docker",
        host(&fake.socket())
    );
    watched.expect(&[&expected]);
    fake.change(|world| world.api_version = "1.44".to_owned());
    watched.expect(&["connected 1.44"]);
}

#[test]
fn the_reason_is_told_again_when_it_changes() {
    let fake = FakeDocker::start(1);
    let mut watched = watched(&fake);
    watched.until("done");
    fake.kill(false);
    watched.until("lost: Docker's answer to the events request broke off");
    let refused = watched.until("lost: cannot connect to Docker at");
    assert!(
        refused.ends_with("(is Docker running?): Connection refused (os error 111)"),
        "{refused}"
    );
    std::fs::remove_file(fake.socket()).unwrap();
    let missing = watched.until("lost: cannot connect to Docker at");
    assert!(
        missing.ends_with("No such file or directory (os error 2)"),
        "{missing}"
    );
    fake.listen();
    watched.expect(&["connected 1.41"]);
}
