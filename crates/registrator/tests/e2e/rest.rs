//! What the program does while nothing happens, and how it logs.

use crate::by_name;
use crate::world::World;
use serde_json::Value as Json;

on! {
    V3_4 as etcd_3_4: nothing_happens_at_rest a_json_log_is_json a_level_silences_what_is_below;
    Embedded as embedded: nothing_happens_at_rest;
}

/// Waits until the program kept its lease alive once more: what is left of it grows.
fn keep_alive(world: &World, lease: i64) {
    let mut least = world.seconds_left(lease);
    world.wait_until("a keep-alive", |world| {
        let left = world.seconds_left(lease);
        assert!(left >= 0, "the lease is gone");
        let grown = left > least;
        least = left;
        grown
    });
}

fn nothing_happens_at_rest(mut world: World) {
    world.arguments = vec!["--lease-ttl=20s".into()];
    world.policy("p", &by_name("1"));
    world.run("web", &["--health-cmd=true", "--health-interval=500ms"]);
    world.start();
    let healthy = |world: &World| {
        world.docker().docker(&[
            "inspect",
            "--format={{.State.Health.Status}}",
            &world.container("web"),
        ]) == "healthy"
    };
    world.wait_until("health", healthy);
    world.program().wait_for_line(&["registered /t/web"]);
    let node = world.node("/t/web").unwrap();
    keep_alive(&world, node.lease);
    let (revision, before) = (world.revision(), world.lines(&[]));
    for _ in 0..3 {
        keep_alive(&world, node.lease);
    }
    assert_eq!(world.history(revision), []);
    assert_eq!(world.lines(&[]), before);
    assert_eq!(world.node("/t/web"), Some(node));
}

fn a_json_log_is_json(mut world: World) {
    world.arguments = vec!["--log-format=json".into()];
    world.variables = vec![("LOG_LEVEL", "DEBUG".into())];
    world.policy("p", "def docker_container(container, config):\n    print(\"Hello\")\n    fail(\"two\\nlines\")\n");
    world.run("web", &[]);
    world.start();
    world.program().wait_for_line(&["two"]);
    assert_eq!(world.program_mut().terminate(), Some(0));
    let log = world.program().log();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect(line));
    let levels: Vec<_> = lines
        .map(|line| {
            assert!(
                line["time"].is_string() && line["message"].is_string(),
                "{line}"
            );
            line["level"].as_str().unwrap().to_owned()
        })
        .collect();
    for level in ["debug", "info", "error"] {
        assert!(
            levels.iter().any(|found| found == level),
            "{level} in {log}"
        );
    }
}

fn a_level_silences_what_is_below(mut world: World) {
    world.variables = vec![("LOG_LEVEL", "error".into())];
    world.policy("p", &by_name("1 if name != \"bad\" else fail(\"bad\")"));
    world.run("bad", &[]);
    world.run("good", &[]);
    world.launch();
    world.wait_for_nodes("/t/", &[("/t/good", "1")]);
    world
        .program()
        .wait_for_line(&["ERROR", &world.container("bad")]);
    assert_eq!(world.program_mut().terminate(), Some(0));
    let log = world.program().log();
    assert!(!log.contains("INFO") && !log.contains("WARN"), "{log}");
}
