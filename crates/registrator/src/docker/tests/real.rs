//! The watch against real daemons of its own.

use std::time::{Duration, UNIX_EPOCH};

use crate::docker::{Timeouts, WatchSettings, engine_id, list_once};

use super::dockerd::Dockerd;
use super::watched::{Watched, block_on, client, quick};

/// A busy machine must not look like a lost daemon.
fn patient() -> (Timeouts, WatchSettings) {
    (
        Timeouts::default(),
        WatchSettings {
            backoff: quick().1.backoff,
            ..WatchSettings::default()
        },
    )
}

fn following() -> Option<(Dockerd, Watched)> {
    let dockerd = Dockerd::start()?;
    let mut watched = Watched::start(&dockerd.host(), patient());
    watched.until("done");
    Some((dockerd, watched))
}

#[test]
fn a_container_s_life() {
    let Some((docker, mut watched)) = following() else {
        return;
    };
    docker.run("web", &[]);
    watched.until("apply web running bridge");
    docker.docker(&["rename", "web", "app"]);
    watched.until("apply app running bridge");
    docker.docker(&["pause", "app"]);
    watched.until("apply app paused bridge");
    docker.docker(&["unpause", "app"]);
    watched.until("apply app running bridge");
    docker.network("back");
    docker.docker(&["network", "connect", "back", "app"]);
    watched.until("apply app running back bridge");
    docker.docker(&["network", "disconnect", "back", "app"]);
    watched.until("apply app running bridge");
    docker.docker(&["update", "--restart=always", "app"]);
    watched.until("apply app running bridge");
    docker.docker(&["stop", "app"]);
    let stopped = watched.until("apply app exited");
    if stopped.ends_with("bridge") {
        watched.expect(&["apply app exited"]);
    }
    docker.docker(&["start", "app"]);
    watched.until("apply app running bridge");
    docker.docker(&["exec", "app", "true"]);
    docker.docker(&["rm", "--force", "app"]);
    watched.until("delete");
    let containers = block_on(list_once(&client(&docker.host(), quick().0))).unwrap();
    assert!(containers.is_empty(), "{containers:?}");
}

/// `sleep`, the first process of its container, ignores all signals but SIGKILL.
#[test]
fn a_container_that_is_asked_to_stop() {
    let Some((docker, mut watched)) = following() else {
        return;
    };
    let state = |name| docker.docker(&["inspect", "--format={{.State.Status}}", name]);
    docker.run("web", &["--stop-signal=TERM", "--stop-timeout=100"]);
    watched.until("apply web running bridge");
    docker.docker(&["kill", "--signal=HUP", "web"]);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| docker.docker(&["stop", "web"]));
        watched.expect(&["apply web stopping bridge"]);
        assert_eq!(state("web"), "running");
        docker.docker(&["kill", "web"]);
        stop.join().unwrap();
    });
    let ended = watched.until("");
    assert!(ended.starts_with("apply web exited"), "{ended}");
    docker.docker(&["start", "web"]);
    watched.until("apply web running bridge");

    docker.run("survivor", &["--stop-signal=QUIT", "--stop-timeout=1"]);
    watched.until("apply survivor running bridge");
    docker.docker(&["kill", "--signal=TERM", "survivor"]);
    docker.docker(&["kill", "--signal=QUIT", "survivor"]);
    watched.expect(&[
        "apply survivor stopping bridge",
        "apply survivor running bridge",
    ]);
    docker.docker(&["rm", "--force", "survivor"]);
    watched.until("delete");
}

#[test]
fn health_and_its_noise() {
    let Some((docker, mut watched)) = following() else {
        return;
    };
    let check = [
        "--health-cmd=test ! -e /tmp/ill",
        "--health-interval=1s",
        "--health-retries=1",
    ];
    docker.run("web", &check);
    watched.until("apply web running starting bridge");
    watched.until("apply web running healthy bridge");
    docker.docker(&["exec", "web", "touch", "/tmp/ill"]);
    watched.until("apply web running unhealthy bridge");
    let before = watched.seen.len();
    docker.docker(&["exec", "web", "rm", "/tmp/ill"]);
    watched.until("apply web running healthy bridge");
    assert_eq!(
        watched.seen.len(),
        before + 1,
        "probes are no updates: {:#?}",
        watched.seen
    );
}

#[test]
fn the_daemon_is_stopped_and_started() {
    let Some((mut docker, mut watched)) = following() else {
        return;
    };
    docker.run("gone", &[]);
    docker.run("back", &["--restart=always"]);
    watched.until("apply back running");
    docker.terminate();
    watched.until("lost");
    docker.launch();
    watched.until("connected 1.");
    watched.until("done");
    assert!(
        watched
            .seen
            .iter()
            .any(|line| line.starts_with("listed gone exited")),
        "{:#?}",
        watched.seen
    );
    assert!(
        !watched.seen.iter().any(|line| line.starts_with("delete")),
        "{:#?}",
        watched.seen
    );
    let containers = block_on(list_once(&client(&docker.host(), quick().0))).unwrap();
    let running: Vec<_> = containers
        .iter()
        .map(|container| (container.name(), container.running()))
        .collect();
    assert!(
        running.contains(&("back", true)) && running.contains(&("gone", false)),
        "{running:?}"
    );
    docker.docker(&["rm", "gone"]);
    watched.until("delete");
}

#[test]
fn the_daemon_is_killed_and_started() {
    let Some((mut docker, mut watched)) = following() else {
        return;
    };
    docker.run("web", &[]);
    watched.until("apply web running bridge");
    docker.kill();
    watched.until("lost: cannot connect to Docker at");
    docker.launch();
    watched.until("connected 1.");
    watched.until("listed web exited");
    watched.expect(&["done"]);
    assert!(
        !watched.seen.iter().any(|line| line.starts_with("delete")),
        "{:#?}",
        watched.seen
    );
    docker.docker(&["start", "web"]);
    watched.until("apply web running bridge");
}

#[test]
fn the_daemon_comes_later() {
    let Some(mut docker) = Dockerd::absent() else {
        return;
    };
    let mut watched = Watched::start(&docker.host(), quick());
    let waiting = watched.until("");
    assert!(
        waiting.ends_with("(is Docker running?): No such file or directory (os error 2)"),
        "{waiting}"
    );
    docker.launch();
    watched.until("connected 1.");
    watched.expect(&["init", "done"]);
    let id = block_on(engine_id(&client(&docker.host(), quick().0))).unwrap();
    assert!(!id.is_empty());
}

#[test]
fn the_daemon_is_frozen() {
    let Some(docker) = Dockerd::start() else {
        return;
    };
    let (mut timeouts, mut settings) = patient();
    settings.ping_after = Duration::from_secs(1);
    timeouts.ping = Duration::from_secs(2);
    let mut watched = Watched::start(&docker.host(), (timeouts, settings));
    watched.until("done");
    docker.run("web", &[]);
    watched.until("apply web running bridge");
    docker.freeze();
    watched.until("lost: Docker did not answer the ping request within 2 s");
    docker.thaw();
    watched.until("connected 1.");
    watched.expect_list(&["web running bridge"]);
}

/// Thirty containers come and go at once; what is left is what Docker has.
#[test]
fn a_burst_loses_nothing() {
    let Some((docker, mut watched)) = following() else {
        return;
    };
    let each = |work: &(dyn Fn(&str) + Sync)| {
        std::thread::scope(|scope| {
            (0..30).for_each(|number| _ = scope.spawn(move || work(&format!("b{number}"))));
        });
    };
    each(&|name| _ = docker.run(name, &[]));
    let mut running: Vec<_> = (0..30)
        .map(|number| format!("apply b{number} running bridge"))
        .collect();
    while !running.is_empty() {
        let line = watched.until("apply");
        running.retain(|expected| *expected != line);
    }
    each(&|name| _ = docker.docker(&["rm", "--force", name]));
    (0..30).for_each(|_| _ = watched.until("delete"));
    assert_eq!(docker.docker(&["ps", "-aq"]), "");
}

/// From Docker's own time stamp of an event to the update. The bound is generous, because the machine may be busy: it shows that nobody waits
/// for a time.
#[test]
fn news_travels_fast() {
    let Some(docker) = Dockerd::start() else {
        return;
    };
    let mut watched = Watched::start(
        &docker.host(),
        (Timeouts::default(), WatchSettings::default()),
    );
    watched.until("done");
    docker.run("nn", &[]);
    watched.until("apply nn running bridge");
    let mut updates = Vec::new();
    for number in 0..20 {
        let (old, new) = (
            format!("nn{}", "x".repeat(number)),
            format!("nn{}", "x".repeat(number + 1)),
        );
        docker.docker(&["rename", &old, &new]);
        updates.push(watched.until_at(&format!("apply {new} running")).0);
    }
    let past = [
        "events",
        "--since=1h",
        "--until=-1s",
        "--filter=event=rename",
        "--format={{.TimeNano}}",
    ];
    let events = docker.docker(&past);
    let events = events
        .lines()
        .map(|nanos| UNIX_EPOCH + Duration::from_nanos(nanos.parse().unwrap()));
    let mut delays: Vec<_> = updates
        .iter()
        .zip(events)
        .map(|(update, event)| update.duration_since(event).unwrap())
        .collect();
    delays.sort_unstable();
    assert_eq!(delays.len(), 20);
    eprintln!(
        "event to update: p50 {:?}, max {:?}",
        delays[10], delays[19]
    );
    assert!(delays[10] < Duration::from_millis(500), "{delays:?}");
}
