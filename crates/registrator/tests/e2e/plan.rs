//! `plan` beside a live Docker and a live etcd.

use crate::by_name;
use crate::world::World;
use serde_json::{Value as Json, json};

on! {
    V3_4 as etcd_3_4: a_plan_tells_what_run_does plan_without_etcd;
    Embedded as embedded: a_plan_asks_the_embedded_etcd;
}

fn plan(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let output = world.command("plan", args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code(), text)
}

/// Key, value and action of each node below /t/.
fn actions(plan: &str) -> Vec<(String, String, String)> {
    let plan: Json = serde_json::from_str(plan).unwrap();
    let nodes = plan["nodes"].as_array().unwrap().clone();
    let text = |node: &Json, member: &str| node[member].as_str().unwrap().to_owned();
    nodes
        .iter()
        .map(|node| (text(node, "key"), text(node, "value"), text(node, "action")))
        .collect()
}

fn expected(nodes: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    nodes
        .iter()
        .map(|(key, value, action)| (key.to_string(), value.to_string(), action.to_string()))
        .collect()
}

fn a_plan_tells_what_run_does(mut world: World) {
    // The beacon of the process that ends here goes out after half of it, which etcd counts as a
    // change.
    world.arguments = vec!["--lease-ttl=1h".into()];
    world.policy("p", &by_name("container.state.status"));
    for name in ["change", "delete", "keep"] {
        world.run(name, &[]);
    }
    world.start();
    let began = ["change", "delete", "keep"].map(|name| format!("/t/{name}"));
    let began = began.each_ref().map(|key| (key.as_str(), "running"));
    world.wait_for_nodes("/t/", &began);
    world.program_mut().terminate();
    world
        .docker()
        .docker(&["pause", &world.container("change")]);
    world.rm("delete");
    world.run("create", &[]);
    world.put("/t/blocked", "theirs");
    world.run("blocked", &[]);
    let revision = world.revision();
    let (code, json) = plan(&world, &["--json", "--exit-code"]);
    assert_eq!(
        actions(&json),
        expected(&[
            ("/t/blocked", "running", "blocked"),
            ("/t/change", "paused", "change"),
            ("/t/create", "running", "create"),
            ("/t/delete", "running", "delete"),
            ("/t/keep", "running", "keep"),
        ])
    );
    assert_eq!(code, Some(3));
    let (code, text) = plan(&world, &[]);
    assert_eq!(code, Some(0));
    for (sign, key) in [
        ("!", "/t/blocked"),
        ("~", "/t/change"),
        ("+", "/t/create"),
        ("-", "/t/delete"),
        ("=", "/t/keep"),
    ] {
        assert!(
            text.lines()
                .any(|line| line.starts_with(sign) && line.contains(key)),
            "{sign} {key} in {text}"
        );
    }
    assert_eq!(world.revision(), revision, "it writes nothing");
    world.delete("/t/blocked");
    world.start();
    // What nobody asks for goes after the first sync.
    world.wait_for_nodes(
        "/t/",
        &[
            ("/t/blocked", "running"),
            ("/t/change", "paused"),
            ("/t/create", "running"),
            ("/t/keep", "running"),
        ],
    );
    let revision = world.revision();
    let (code, json) = plan(&world, &["--json", "--exit-code"]);
    assert_eq!(code, Some(0), "{json}");
    assert!(
        actions(&json).iter().all(|(_, _, action)| action == "keep"),
        "{json}"
    );
    assert_eq!(world.revision(), revision);
}

fn plan_without_etcd(world: World) {
    world.policy("p", &by_name("container.label(\"value\")"));
    world.run("web", &["--label=value=1"]);
    let web = world.container("web");
    let (code, json) = plan(&world, &["--json", "--exit-code", "--no-etcd"]);
    let origins = json!([{"instance": "p", "container": web}]);
    let expected = json!({
        "nodes": [{"key": "/t/web", "value": "1", "action": "create", "origins": origins}],
        "conflicts": [],
        "errors": [],
        "idle": [],
        "printed": [],
        "reasons": [],
        "warnings": [],
        "held_back": null,
    });
    assert_eq!(serde_json::from_str::<Json>(&json).unwrap(), expected);
    assert_eq!(code, Some(3));
}

fn a_plan_asks_the_embedded_etcd(mut world: World) {
    world.policy("p", &by_name("1"));
    world.run("web", &[]);
    let (_, json) = plan(&world, &["--json"]);
    assert_eq!(actions(&json), expected(&[("/t/web", "1", "create")]));
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "1")]);
    let (_, json) = plan(&world, &["--json"]);
    assert_eq!(actions(&json), expected(&[("/t/web", "1", "keep")]));
}
