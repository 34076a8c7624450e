//! `plan` of objects, as programs read it: each is one node, with the nodes that it stands for.

use super::{Folder, container};
use serde_json::{Value as Json, json};

/// One balancer of all containers, and each container as its server.
const POLICY: &str = r#"prefixes = ["/lb/"]

def docker_container(container):
    settings = {name: container.label(name) for name in ["balance", "port"]}
    server = {"servers/" + container.name: "here"}
    return object("/lb/web", settings, members = server, conflict = container.label("conflict"))
"#;

/// The plan for two containers with these labels.
fn plan(one: &Json, two: &Json) -> Json {
    serde_json::from_str(&say(&["plan", "--json"], one, two)).unwrap()
}

/// What is said of two containers with these labels.
fn say(command: &[&str], one: &Json, two: &Json) -> String {
    let folder = Folder::new();
    folder.write("policies/lb.star", POLICY);
    folder.write("services/none", "");
    let containers = json!([container('a', "one", one), container('b', "two", two)]);
    folder.write("containers.json", &containers.to_string());
    let places = [
        "--policies=policies",
        "--services=services",
        "--containers=containers.json",
    ];
    folder
        .run(0, &[command, &["--no-etcd"], &places].concat())
        .0
}

/// Key, action, the containers that ask for it, and the nodes if it is an object.
fn nodes(plan: &Json) -> Vec<[Json; 4]> {
    let nodes = plan["nodes"].as_array().unwrap().iter();
    let nodes = nodes.map(|node| {
        let [key, action, object] = ["key", "action", "object"].map(|member| node[member].clone());
        [key, action, origins(node), object]
    });
    nodes.collect()
}

fn origins(of: &Json) -> Json {
    let origins = of["origins"].as_array().unwrap().iter();
    origins.map(|origin| origin["container"].clone()).collect()
}

fn server(name: &str) -> [Json; 4] {
    let key = format!("/lb/web/servers/{name}");
    [json!(key), json!("create"), json!([name]), Json::Null]
}

fn object(askers: &[&str], nodes: Json) -> [Json; 4] {
    [json!("/lb/web"), json!("create"), json!(askers), nodes]
}

#[test]
fn containers_that_agree() {
    let labels = json!({"balance": "even", "conflict": "none"});
    let plan = plan(&labels, &labels);
    let web = object(&["one", "two"], json!({"/lb/web/balance": "even"}));
    assert_eq!(nodes(&plan), [web, server("one"), server("two")]);
    assert_eq!(plan["conflicts"], json!([]));
}

#[test]
fn containers_that_differ() {
    let one = |conflict| json!({"balance": "random", "conflict": conflict});
    let two = |conflict| json!({"balance": "even", "port": "80", "conflict": conflict});
    let fields = json!({"/lb/web/balance": "even", "/lb/web/port": "80"});
    let plan_of = |conflict| plan(&one(conflict), &two(conflict));

    let plan = plan_of("smallest");
    let web = object(&["two"], fields.clone());
    assert_eq!(nodes(&plan), [web, server("two")]);
    expect_sides(&plan, &fields);

    let plan = plan_of("none");
    let [[key, _, askers, object]] = nodes(&plan).try_into().unwrap();
    assert_eq!(
        (key, object),
        (json!("/lb/web"), json!({})),
        "none of them counts"
    );
    assert_eq!(askers.as_array().unwrap().len(), 2);
    expect_sides(&plan, &fields);
}

/// One conflict, with both definitions.
#[track_caller]
fn expect_sides(plan: &Json, of_two: &Json) {
    let [conflict] = plan["conflicts"].as_array().unwrap().as_slice() else {
        panic!("{plan:#}");
    };
    assert_eq!(conflict["key"], "/lb/web");
    let sides = conflict["candidates"].as_array().unwrap().iter();
    let sides: Vec<_> = sides
        .map(|side| (origins(side), side["object"].clone()))
        .collect();
    let one = json!({"/lb/web/balance": "random"});
    assert_eq!(
        sides,
        [(json!(["two"]), of_two.clone()), (json!(["one"]), one)]
    );
}

#[test]
fn containers_that_differ_are_in_dispute_without_etcd_too() {
    let labels = |balance| json!({"balance": balance, "conflict": "none"});
    let said = say(
        &["explain", "/lb/web", "--json"],
        &labels("random"),
        &labels("even"),
    );
    let said: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(said["key"]["state"], "disputed", "{said:#}");
}
