//! What happens to containers, and what becomes of their nodes.

use crate::by_name;
use crate::world::{Change, World};

on! {
    V3_4 as etcd_3_4:
        nodes_follow_starts_and_stops
        nodes_follow_all_else
        a_restart_is_noticed
        a_crash_loop_has_nodes_while_it_runs
        an_address_that_was_left_is_nobody_s
        health_is_followed
        the_shipped_policy_keeps_paused_containers
        what_changes_nothing_writes_nothing
        two_hundred_containers;
    V3_5 as etcd_3_5: nodes_follow_starts_and_stops;
    V3_6 as etcd_3_6: nodes_follow_starts_and_stops;
    Embedded as embedded: nodes_follow_starts_and_stops nodes_follow_all_else;
    Given as given: nodes_follow_starts_and_stops;
}

/// Below /kontena, which is what the tests may use of an etcd that is given.
fn nodes_follow_starts_and_stops(mut world: World) {
    let prefix = format!("/kontena/{}/", world.name);
    world.policy(
        "state",
        &by_name("container.state.status").replace("/t/", &prefix),
    );
    world.run("before", &[]);
    world.start();
    let key = |name: &str| format!("{prefix}{name}");
    let (before, after) = (key("before"), key("after"));
    world.wait_for_nodes(&prefix, &[(&before, "running")]);
    world.run("after", &[]);
    world.wait_for_nodes(&prefix, &[(&before, "running"), (&after, "running")]);
    world.docker().docker(&["stop", &world.container("before")]);
    world.wait_for_nodes(&prefix, &[(&after, "running")]);
    world
        .docker()
        .docker(&["start", &world.container("before")]);
    world.wait_for_nodes(&prefix, &[(&before, "running"), (&after, "running")]);
    world.docker().docker(&["kill", &world.container("before")]);
    world.wait_for_nodes(&prefix, &[(&after, "running")]);
    world.rm("before");
    world.rm("after");
    world.wait_for_nodes(&prefix, &[]);
}

fn nodes_follow_all_else(mut world: World) {
    world.policy("facts", &by_name(
        r#"[container.state.status, sorted(container.networks.keys()), container.dig("HostConfig", "RestartPolicy", "Name")]"#,
    ));
    world.run("web", &[]);
    world.start();
    let facts = |world: &World, key: &str, facts: &str| {
        let facts = facts.replace("WORLD", &world.name);
        world.wait_for_nodes("/t/", &[(key, &facts)]);
    };
    facts(&world, "/t/web", r#"["running",["bridge"],"no"]"#);
    let (docker, name, web) = (world.docker(), &world.name, world.container("web"));
    docker.network(name);
    docker.docker(&["network", "connect", name, &web]);
    facts(&world, "/t/web", r#"["running",["WORLD","bridge"],"no"]"#.replacen("[\"WORLD\",\"bridge\"]", "[\"bridge\",\"WORLD\"]", 1).as_str());
    docker.docker(&["network", "disconnect", "bridge", &web]);
    facts(&world, "/t/web", r#"["running",["WORLD"],"no"]"#);
    docker.docker(&["pause", &web]);
    facts(&world, "/t/web", r#"["paused",["WORLD"],"no"]"#);
    docker.docker(&["unpause", &web]);
    facts(&world, "/t/web", r#"["running",["WORLD"],"no"]"#);
    docker.docker(&["update", "--restart=unless-stopped", &web]);
    facts(
        &world,
        "/t/web",
        r#"["running",["WORLD"],"unless-stopped"]"#,
    );
    docker.docker(&["rename", &web, &world.container("shop")]);
    facts(
        &world,
        "/t/shop",
        r#"["running",["WORLD"],"unless-stopped"]"#,
    );
    world.rm("shop");
    world.wait_for_nodes("/t/", &[]);
}

fn a_restart_is_noticed(mut world: World) {
    world.policy(
        "started",
        &by_name(r#"container.dig("State", "StartedAt")"#),
    );
    world.run("web", &[]);
    world.start();
    world.wait_until("the time of the first start", |world| {
        world.node("/t/web").is_some()
    });
    let first = world.node("/t/web").unwrap().value;
    let started = || {
        world.docker().docker(&[
            "inspect",
            "--format={{json .State.StartedAt}}",
            &world.container("web"),
        ])
    };
    assert_eq!(format!("{first:?}"), started());
    world.docker().docker(&["restart", &world.container("web")]);
    let second = started();
    let is_second = |world: &World| {
        world
            .node("/t/web")
            .is_some_and(|node| format!("{:?}", node.value) == second)
    };
    world.wait_until("the time of the second start", is_second);
    assert_ne!(format!("{first:?}"), second);
}

fn health_is_followed(mut world: World) {
    world.policy("health", &by_name("container.health"));
    let probe = [
        "--health-cmd=test -f /tmp/well",
        "--health-interval=500ms",
        "--health-retries=1",
        "--health-timeout=20s",
    ];
    world.run("web", &probe);
    world.run("plain", &[]);
    world.start();
    let touch = |args: &[&str]| {
        world
            .docker()
            .docker(&[&["exec", &world.container("web")], args].concat());
    };
    world.wait_for_nodes("/t/", &[("/t/web", "unhealthy")]);
    touch(&["touch", "/tmp/well"]);
    world.wait_for_nodes("/t/", &[("/t/web", "healthy")]);
    touch(&["rm", "/tmp/well"]);
    world.wait_for_nodes("/t/", &[("/t/web", "unhealthy")]);
}

fn the_shipped_policy_keeps_paused_containers(mut world: World) {
    world.copy_shipped();
    world.remove("services/skydns/bridge.json");
    world.config(
        "skydns/own.json",
        r#"{"domain": "own.local", "network": "WORLD"}"#,
    );
    world.docker().network(&world.name);
    let id = world.run("web", &["--network", &world.name]);
    world.start();
    let ip = world.docker().docker(&[
        "inspect",
        "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &id,
    ]);
    let key = format!("/skydns/local/own/{}/{}", world.container("web"), &id[..12]);
    let value = format!("{{\"host\":\"{ip}\",\"ttl\":30}}");
    world.wait_for_nodes("/skydns/local/own", &[(&key, &value)]);
    let before = world.node(&key);
    world.docker().docker(&["pause", &id]);
    let next = world.run("next", &["--network", &world.name]);
    let next = format!(
        "/skydns/local/own/{}/{}",
        world.container("next"),
        &next[..12]
    );
    world.wait_until("the node of a later container", |world| {
        world.node(&next).is_some()
    });
    assert_eq!(world.node(&key), before);
    world.docker().docker(&["unpause", &id]);
    world.docker().docker(&["rm", "-f", &id]);
    world.wait_until("the node's end", |world| world.node(&key).is_none());
}

fn what_changes_nothing_writes_nothing(mut world: World) {
    world.policy("state", &by_name("container.state.status"));
    world.run("web", &["--health-cmd=true", "--health-interval=500ms"]);
    let web = world.container("web");
    world.start();
    let log = |world: &World, part: &str| {
        let part = format!("--format={{{{{part}}}}}");
        world.docker().docker(&["inspect", &part, &web])
    };
    world.wait_until("health", |world| {
        log(world, ".State.Health.Status") == "healthy"
    });
    world.program().wait_for_line(&["registered /t/web"]);
    let (revision, lines) = (world.revision(), world.lines(&[]).len());
    // Docker remembers the last five probes.
    let first = "(index .State.Health.Log 0).Start";
    let probe = log(&world, first);
    for _ in 0..5 {
        world.docker().docker(&["exec", &web, "true"]);
        world.docker().docker(&["top", &web]);
    }
    world.wait_until("more probes", |world| log(world, first) != probe);
    world.run("barrier", &[]);
    world.program().wait_for_line(&["registered /t/barrier"]);
    let barrier = Change::Put("/t/barrier".into(), "running".into());
    assert_eq!(world.history(revision), [barrier]);
    let logged = world.lines(&[]).split_off(lines);
    assert_eq!(logged.len(), 1, "{logged:#?}");
}

fn two_hundred_containers(mut world: World) {
    const HALF: usize = 100;
    world.policy("state", &by_name("container.state.status"));
    let expected = |count: usize| {
        (0..count)
            .map(|number| format!("/t/c{number:03}"))
            .collect::<Vec<_>>()
    };
    let registered = |world: &World| world.nodes("/t/").into_keys().collect::<Vec<_>>();
    let run = |world: &World, first: usize| {
        std::thread::scope(|scope| {
            for part in 0..4 {
                scope.spawn(move || {
                    let numbers = (first..first + HALF).filter(|number| number % 4 == part);
                    numbers.for_each(|number| {
                        drop(world.run(&format!("c{number:03}"), &["--network=none"]))
                    });
                });
            }
        });
    };
    // Half of them before the program and half of them while it runs.
    run(&world, 0);
    world.start();
    world.wait_until("half of all nodes", |world| {
        registered(world) == expected(HALF)
    });
    run(&world, HALF);
    world.wait_until("all nodes", |world| registered(world) == expected(2 * HALF));
    let filter = format!("label=world={}", world.name);
    let ids = world.docker().docker(&["ps", "-aq", "--filter", &filter]);
    let ids: Vec<_> = ids.split_whitespace().collect();
    world
        .docker()
        .docker(&[&["rm", "-f"], ids.as_slice()].concat());
    world.wait_for_nodes("/t/", &[]);
}

/// While it waits for its next start, the engine says that it runs, in every network.
fn a_crash_loop_has_nodes_while_it_runs(mut world: World) {
    world.policy("state", &by_name("container.state.status"));
    world.start();
    let before = world.revision();
    let (name, label) = (world.container("loop"), format!("world={}", world.name));
    let run = [
        "run",
        "--detach",
        "--restart=always",
        "--network=host",
        "--label",
        &label,
        "--name",
        &name,
    ];
    let run = [&run[..], &["busybox", "sh", "-c", "sleep 3; exit 1"]].concat();
    world.docker().docker(&run);
    world.wait_for_nodes("/t/", &[("/t/loop", "running")]);
    let state = "--format={{.State.Running}} {{.State.Restarting}} {{.State.Pid}}";
    let waits = |world: &World| world.docker().docker(&["inspect", state, &name]) == "true true 0";
    world.wait_until("a wait for the next start, without a node", |world| {
        world.nodes("/t/").is_empty() && waits(world)
    });
    world.wait_for_nodes("/t/", &[("/t/loop", "running")]);
    world.rm("loop");
    world.wait_for_nodes("/t/", &[]);
    let is_of_state = |change: &Change| match change {
        Change::Put(key, value) if key.starts_with("/t/") => value == "running",
        Change::Put(..) | Change::Delete(_) => true,
    };
    let history = world.history(before);
    assert!(history.iter().all(is_of_state), "{history:?}");
}

/// A policy fails for a container that is in several networks, and its last good nodes stay; but not at an address that it left.
fn an_address_that_was_left_is_nobody_s(mut world: World) {
    world.copy_shipped();
    world.remove("services/skydns/bridge.json");
    world.config(
        "skydns/own.json",
        r#"{"domain": "WORLD.local", "network": null, "ptr": true}"#,
    );
    let number = world.name.split('-').next_back().unwrap();
    let (address, subnet) = (
        format!("10.215.{number}.5"),
        format!("10.215.{number}.0/28"),
    );
    let reverse = format!("/skydns/arpa/in-addr/10/215/{number}/5");
    let [a, b, c] = ["a", "b", "c"].map(|network| world.container(network));
    let create = ["network", "create", "--subnet", &subnet, &a];
    world.docker().docker(&create);
    [&b, &c]
        .iter()
        .for_each(|network| world.docker().network(network));
    let multi = world.run("multi", &["--network", &a, "--ip", &address]);
    let prefix = format!("/skydns/local/{}/", world.name);
    let world_name = world.name.clone();
    let key = |name: &str, id: &str| format!("{prefix}{world_name}-{name}/{}", &id[..12]);
    let value = format!("{{\"host\":\"{address}\",\"ttl\":30}}");
    let of_multi = key("multi", &multi);
    let named =
        |name: &str| format!("{{\"host\":\"{world_name}-{name}.{world_name}.local\",\"ttl\":30}}");
    world.start();
    world.wait_for_nodes(&prefix, &[(&of_multi, &value)]);
    world.wait_for_nodes(&reverse, &[(&reverse, &named("multi"))]);

    for network in [&b, &c] {
        world
            .docker()
            .docker(&["network", "connect", network, &multi]);
    }
    world
        .program()
        .wait_for_line(&["policy failed for container", "is in the networks"]);
    world.wait_for_nodes(&prefix, &[(&of_multi, &value)]);
    world
        .docker()
        .docker(&["network", "disconnect", &a, &multi]);
    world
        .program()
        .wait_for_line(&["no longer has what they name", &address]);
    world.wait_for_nodes(&prefix, &[]);
    world.wait_for_nodes(&reverse, &[]);

    let thief = world.run("thief", &["--network", &a, "--ip", &address]);
    let of_thief = key("thief", &thief);
    world.wait_for_nodes(&prefix, &[(&of_thief, &value)]);
    world.wait_for_nodes(&reverse, &[(&reverse, &named("thief"))]);
    world
        .docker()
        .docker(&["network", "disconnect", &c, &multi]);
    world.wait_until("the node at the address in the last network", |world| {
        world
            .node(&of_multi)
            .is_some_and(|node| node.value != value)
    });
    ["thief", "multi"].iter().for_each(|name| world.rm(name));
    world.wait_for_nodes(&prefix, &[]);
}
