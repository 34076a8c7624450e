//! Which values nodes have: the rules for one, several equal and several different values, and the bytes.

use crate::by_container;
use crate::world::World;
use std::collections::BTreeMap;

on! {
    V3_4 as etcd_3_4:
        a_changed_value_replaces_the_old_one
        equal_values_are_one_node
        the_smaller_of_different_values_is_registered
        values_have_exact_bytes;
    Embedded as embedded: values_have_exact_bytes the_smaller_of_different_values_is_registered;
}

fn a_changed_value_replaces_the_old_one(mut world: World) {
    world.policy("facts", &by_container(
        r#"{"/t/state": container.state.status, "/t/running": True if container.state.status == "running" else None}"#,
    ));
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/running", "true"), ("/t/state", "running")]);
    let before = world.node("/t/state").unwrap();
    world.docker().docker(&["pause", &world.container("web")]);
    world.wait_for_nodes("/t/", &[("/t/state", "paused")]);
    let after = world.node("/t/state").unwrap();
    assert_eq!(
        (after.created, after.lease),
        (before.created, before.lease),
        "it was never away"
    );
    world.docker().docker(&["unpause", &world.container("web")]);
    world.wait_for_nodes("/t/", &[("/t/running", "true"), ("/t/state", "running")]);
}

fn equal_values_are_one_node(mut world: World) {
    world.policy(
        "service",
        &by_container(r#"{"/t/service": "up", "/t/name/" + name: 1}"#),
    );
    world.run("a", &[]);
    world.run("b", &[]);
    world.start();
    world.wait_for_nodes(
        "/t/",
        &[("/t/name/a", "1"), ("/t/name/b", "1"), ("/t/service", "up")],
    );
    let before = world.node("/t/service");
    world.rm("a");
    world.wait_for_nodes("/t/", &[("/t/name/b", "1"), ("/t/service", "up")]);
    world.run("c", &[]);
    world.wait_for_nodes(
        "/t/",
        &[("/t/name/b", "1"), ("/t/name/c", "1"), ("/t/service", "up")],
    );
    assert_eq!(world.node("/t/service"), before, "it was not touched");
    world.rm("b");
    world.rm("c");
    world.wait_for_nodes("/t/", &[]);
    assert_eq!(world.lines(&["WARN"]), Vec::<String>::new());
}

fn the_smaller_of_different_values_is_registered(mut world: World) {
    world.policy(
        "service",
        &by_container(r#"{"/t/service": container.label("value"), "/t/name/" + name: 1}"#),
    );
    world.run("big", &["--label=value=9"]);
    world.start();
    world.wait_until("the only value", |world| {
        world.nodes("/t/service").values().eq(["9"])
    });
    let before = world.node("/t/service").unwrap();
    world.run("small", &["--label=value=10"]);
    world.wait_until("the smaller value", |world| {
        world.nodes("/t/service").values().eq(["10"])
    });
    let warning = world.program().wait_for_line(&["WARN", "/t/service"]);
    for part in ["10 for ", "9 for ", "-big", "-small", "(service)"] {
        assert!(warning.contains(part), "{part} in {warning}");
    }
    // Events that have nothing to do with it.
    world.run("other", &[]);
    world.program().wait_for_line(&["registered /t/name/other"]);
    world.docker().docker(&["pause", &world.container("big")]);
    world.docker().docker(&["unpause", &world.container("big")]);
    world.rm("other");
    world.wait_until("the end of the third", |world| {
        world.program().lines(&["removed /t/name/other"]).len() == 1
    });
    assert_eq!(world.lines(&["WARN"]), [warning]);
    world.rm("small");
    world.wait_until("the value that is left", |world| {
        world.nodes("/t/service").values().eq(["9"])
    });
    world
        .program()
        .wait_for_line(&["INFO", "one value for /t/service again: 9"]);
    let after = world.node("/t/service").unwrap();
    assert_eq!(after.created, before.created, "it was never away");
}

fn values_have_exact_bytes(mut world: World) {
    world.policy(
        "all",
        &by_container(
            r#"[{
        "/t/none": None,
        "/t/text": "a \"quoted\" text\nof two lines, ü",
        "/t/empty": "",
        "/t/number text": "007",
        "/t/int": 42,
        "/t/big": 123456789012345678901234567890,
        "/t/negative": -1,
        "/t/float": 0.1,
        "/t/whole": 1.0,
        "/t/bool": True,
    }, {
        "t/without slash": [1, "a/b", None, False, []],
        "/t/dict": {"z": 1, "a": {"ü": "\"", "n": None}, "": 1.5},
        "/t/name": name,
    }, None, [{"/t/nested": 1}]]"#,
        ),
    );
    world.run("web", &[]);
    world.start();
    let expected = [
        ("/t/text", "a \"quoted\" text\nof two lines, ü"),
        ("/t/empty", ""),
        ("/t/number text", "007"),
        ("/t/int", "42"),
        ("/t/big", "123456789012345678901234567890"),
        ("/t/negative", "-1"),
        ("/t/float", "0.1"),
        ("/t/whole", "1.0"),
        ("/t/bool", "true"),
        ("/t/dict", r#"{"z":1,"a":{"ü":"\"","n":null},"":1.5}"#),
        ("/t/name", "web"),
        ("/t/nested", "1"),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    world.wait_until("all values", |world| world.nodes("/t/") == expected);
    world.wait_until("the key without a slash", |world| {
        world.node("t/without slash").is_some()
    });
    assert_eq!(
        world.node("t/without slash").unwrap().value,
        r#"[1,"a/b",null,false,[]]"#
    );
}
