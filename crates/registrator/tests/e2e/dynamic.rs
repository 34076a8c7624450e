//! Configurations in etcd, while the program runs.

use crate::world::World;

on! {
    V3_4 as etcd_3_4: instances_follow_etcd;
    V3_5 as etcd_3_5: instances_follow_etcd;
    V3_6 as etcd_3_6: instances_follow_etcd;
    Embedded as embedded: instances_follow_etcd;
}

const POLICY: &str = r#"
config(etcd_path = "/conf/:zone/:service", attrs = {"value": attr(int, default = 1)})

def docker_container(container, config):
    if container.label("world") == "WORLD":
        return {"/t/" + config.zone + "/" + config.service: config.value}
"#;

fn instances_follow_etcd(mut world: World) {
    world.let_others_write();
    world.policy("dyn", POLICY);
    world.policy("still", &crate::by_name("\"still\""));
    world.run("web", &[]);
    world.start();
    let still = ("/t/web", "still");
    world.wait_for_nodes("/t/", &[still]);
    let before = world.node("/t/web");
    world.program().wait_for_line(&[
        "INFO",
        "policy dyn waits for a configuration",
        "/conf/:zone/:service",
    ]);

    world.put("/conf/eu/a", "{}");
    world.put("/conf/eu/b", r#"{"value": 2}"#);
    world.put("/conf/eu/b/deeper", r#"{"value": 3}"#);
    world.put("/conf/eu", r#"{"value": 4}"#);
    world.wait_for_nodes("/t/", &[("/t/eu/a", "1"), ("/t/eu/b", "2"), still]);
    world.put("/conf/eu/a", r#"{"value": 5}"#);
    world.wait_for_nodes("/t/", &[("/t/eu/a", "5"), ("/t/eu/b", "2"), still]);
    world.program().wait_for_line(&["INFO", "reloaded"]);

    world.put("/conf/eu/a", r#"{"value": "five"}"#);
    world.put("/conf/us/c", "{");
    let refused =
        world
            .program()
            .wait_for_line(&["ERROR", "/conf/eu/a", "value", "it runs on as it was"]);
    assert!(refused.contains("policy dyn"), "{refused}");
    world
        .program()
        .wait_for_line(&["ERROR", "/conf/us/c", "it does not run"]);
    world.put("/conf/eu/b", r#"{"value": 6}"#);
    world.wait_for_nodes("/t/", &[("/t/eu/a", "5"), ("/t/eu/b", "6"), still]);
    world.put("/conf/eu/a", r#"{"value": 7}"#);
    world.put("/conf/us/c", r#"{"value": 8}"#);
    world.wait_for_nodes(
        "/t/",
        &[("/t/eu/a", "7"), ("/t/eu/b", "6"), ("/t/us/c", "8"), still],
    );
    assert_eq!(
        world.program().lines(&["ERROR"]).len(),
        2,
        "{}",
        world.program().log()
    );

    world.delete("/conf/eu/a");
    world.delete("/conf/us/c");
    world.wait_for_nodes("/t/", &[("/t/eu/b", "6"), still]);
    world.delete("/conf/eu/b");
    world.wait_for_nodes("/t/", &[still]);
    assert_eq!(
        world.node("/t/web"),
        before,
        "another policy was not disturbed"
    );
    assert_eq!(
        world.node("/conf/eu").unwrap().value,
        r#"{"value": 4}"#,
        "nobody else's keys were touched"
    );
}
