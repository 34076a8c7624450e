//! Configurations in files: which instances run, and what happens while they are wrong.

use crate::world::World;

on! {
    V3_4 as etcd_3_4:
        each_file_makes_an_instance
        a_wrong_file_stops_one_instance_only
        a_hangup_reads_files_again;
}

/// Registers each container under its configured prefix.
const POLICY: &str = r#"
config(attrs = {"prefix": attr(str), "ttl": attr(int, default = 30)})

def docker_container(container, config):
    if container.label("world") == "WORLD":
        return {config.prefix + container.name.removeprefix("WORLD-"): config.ttl}
"#;

fn each_file_makes_an_instance(mut world: World) {
    world.policy("many", POLICY);
    world.config("many/one.json", r#"{"prefix": "/t/one/"}"#);
    world.config("many/two.json", r#"{"prefix": "/t/two/", "ttl": 60}"#);
    world.policy("single", POLICY);
    world.config("single.json", r#"{"prefix": "/t/single/"}"#);
    world.policy("needy", POLICY);
    world.policy("none", &crate::by_name("\"none\""));
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes(
        "/t/",
        &[
            ("/t/one/web", "30"),
            ("/t/single/web", "30"),
            ("/t/two/web", "60"),
            ("/t/web", "none"),
        ],
    );
    for instance in ["many:one", "many:two", "single", "none"] {
        world
            .program()
            .wait_for_line(&["INFO", &format!("instance {instance} runs")]);
    }
    world.program().wait_for_line(&[
        "INFO",
        "policy needy waits for a configuration",
        "needy.json",
    ]);
    world.remove("services/many/two.json");
    world.config("needy.json", r#"{"prefix": "/t/needy/"}"#);
    world.wait_for_nodes(
        "/t/",
        &[
            ("/t/needy/web", "30"),
            ("/t/one/web", "30"),
            ("/t/single/web", "30"),
            ("/t/web", "none"),
        ],
    );
    world
        .program()
        .wait_for_line(&["INFO", "instance many:two is gone"]);
}

fn a_wrong_file_stops_one_instance_only(mut world: World) {
    world.policy("p", POLICY);
    world.config("p/good.json", r#"{"prefix": "/t/good/"}"#);
    world.config(
        "p/unknown.json",
        "{\n  \"prefix\": \"/t/unknown/\",\n  \"tll\": 5\n}",
    );
    world.config(
        "p/type.json",
        "{\n  \"prefix\": \"/t/type/\",\n\n  \"ttl\": \"5\"\n}",
    );
    world.config(
        "p/json.json",
        "{\n  \"prefix\": \"/t/json/\",\n  \"ttl\" 5\n}",
    );
    world.config("p/missing.json", "{\"ttl\": 5}");
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/good/web", "30")]);
    let refused = |file: &str, words: &[&str]| {
        let file = format!("p/{file}.json");
        world
            .program()
            .wait_for_line(&[&["ERROR", "it does not run", file.as_str()], words].concat());
    };
    refused("unknown", &["unknown.json:3", "tll"]);
    refused("type", &["type.json:4", "ttl"]);
    refused("json", &["json.json:3"]);
    refused("missing", &["prefix"]);
    for (file, ttl) in [("unknown", 1), ("type", 2), ("json", 3), ("missing", 4)] {
        world.config(
            &format!("p/{file}.json"),
            &format!(r#"{{"prefix": "/t/{file}/", "ttl": {ttl}}}"#),
        );
    }
    let repaired = [
        ("/t/good/web", "30"),
        ("/t/json/web", "3"),
        ("/t/missing/web", "4"),
        ("/t/type/web", "2"),
        ("/t/unknown/web", "1"),
    ];
    world.wait_for_nodes("/t/", &repaired);
    let before = world.revision();
    world.config("p/good.json", "{");
    world
        .program()
        .wait_for_line(&["ERROR", "good.json", "it runs on as it was"]);
    world.run("next", &[]);
    world.wait_until("the node of the last good configuration", |world| {
        world.node("/t/good/next").is_some()
    });
    let untouched = |world: &World| {
        repaired
            .iter()
            .all(|(key, _)| world.node(key).is_some_and(|node| node.modified <= before))
    };
    assert!(untouched(&world), "{:#?}", world.nodes("/t/"));
}

/// A file that is changed by another of its names is no change that the kernel would report.
fn a_hangup_reads_files_again(mut world: World) {
    world.policy("p", POLICY);
    world.write("elsewhere.json", r#"{"prefix": "/t/"}"#);
    std::fs::create_dir(world.folder().join("services/p")).unwrap();
    std::fs::hard_link(
        world.folder().join("elsewhere.json"),
        world.folder().join("services/p/a.json"),
    )
    .unwrap();
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "30")]);
    world.write("elsewhere.json", r#"{"prefix": "/t/", "ttl": 7}"#);
    world.program().signal("HUP");
    world.wait_for_nodes("/t/", &[("/t/web", "7")]);
    world
        .program()
        .wait_for_line(&["INFO", "reading policies and configurations again"]);
    world
        .program()
        .wait_for_line(&["INFO", "instance p:a reloaded"]);
}
