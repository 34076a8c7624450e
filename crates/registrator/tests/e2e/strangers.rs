//! Keys that may not be written, keys that are not ours, and strangers that change keys of ours.

use crate::by_container;
use crate::world::World;

on! {
    V3_4 as etcd_3_4:
        keys_outside_the_fence_are_errors
        prefixes_of_a_policy_are_a_fence_too
        bad_keys_are_errors
        foreign_keys_are_respected
        hand_edits_are_repaired;
    Embedded as embedded: foreign_keys_are_respected hand_edits_are_repaired;
}

/// One node, whose key is the container's label `key`.
fn by_label() -> String {
    by_container(r#"{container.label("key"): name}"#)
}

fn keys_outside_the_fence_are_errors(mut world: World) {
    world.arguments = vec![
        "--allow-prefix=/t/ok/".into(),
        "--allow-prefix=/t/fine".into(),
    ];
    world.policy("p", &by_label());
    world.run("ok", &["--label=key=/t/ok/a"]);
    world.run("fine", &["--label=key=/t/fine/b"]);
    world.run("outside", &["--label=key=/t/okay"]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/fine/b", "fine"), ("/t/ok/a", "ok")]);
    let line = world
        .program()
        .wait_for_line(&["ERROR", &world.container("outside"), "/t/okay"]);
    assert!(line.contains("--allow-prefix"), "{line}");
    assert_eq!(
        world.program().lines(&["ERROR"]).len(),
        1,
        "{}",
        world.program().log()
    );
}

fn prefixes_of_a_policy_are_a_fence_too(mut world: World) {
    world.policy("p", &format!("prefixes = [\"/t/ok\"]\n{}", by_label()));
    world.run("ok", &["--label=key=/t/ok/a"]);
    world.run("outside", &["--label=key=/t/okay"]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/ok/a", "ok")]);
    world
        .program()
        .wait_for_line(&["ERROR", &world.container("outside"), "/t/okay", "prefixes"]);
}

fn bad_keys_are_errors(mut world: World) {
    world.policy("p", &by_label());
    let long = format!("/t/{}", "x".repeat(1022));
    let bad = [
        "",
        "/t/a/",
        "/t//a",
        "/t/../a",
        "/t/./a",
        "/registrator/x",
        long.as_str(),
        "/t/a\tb",
    ];
    for (number, key) in bad.iter().enumerate() {
        world.run(&format!("bad{number}"), &[&format!("--label=key={key}")]);
    }
    world.run("good", &[&format!("--label=key={}", &long[..1024])]);
    world.start();
    world.wait_for_nodes("/t/", &[(&long[..1024], "good")]);
    for number in 0..bad.len() {
        world
            .program()
            .wait_for_line(&["ERROR", &world.container(&format!("bad{number}"))]);
    }
    assert_eq!(
        world.program().lines(&["ERROR"]).len(),
        bad.len(),
        "{}",
        world.program().log()
    );
    assert!(
        world
            .nodes("")
            .keys()
            .all(|key| key.starts_with("/t/") || key.starts_with("/registrator/"))
    );
    assert_eq!(world.node("/registrator/x"), None);
}

fn foreign_keys_are_respected(mut world: World) {
    world.let_others_write();
    world.policy("p", &crate::by_name("\"ours\""));
    world.run("free", &[]);
    world.start();
    world.put("/t/taken", "theirs");
    let before = world.node("/t/taken");
    world.run("taken", &[]);
    world
        .program()
        .wait_for_line(&["WARN", "/t/taken", "theirs"]);
    world.run("next", &[]);
    world.wait_for_nodes(
        "/t/",
        &[
            ("/t/free", "ours"),
            ("/t/next", "ours"),
            ("/t/taken", "theirs"),
        ],
    );
    assert_eq!(world.node("/t/taken"), before);
    world.delete("/t/taken");
    world.wait_for_nodes(
        "/t/",
        &[
            ("/t/free", "ours"),
            ("/t/next", "ours"),
            ("/t/taken", "ours"),
        ],
    );
    world.rm("taken");
    world.wait_for_nodes("/t/", &[("/t/free", "ours"), ("/t/next", "ours")]);
    assert_eq!(
        world.program().lines(&["WARN", "/t/"]).len(),
        1,
        "{}",
        world.program().log()
    );
}

fn hand_edits_are_repaired(mut world: World) {
    world.let_others_write();
    world.policy("p", &crate::by_name("\"ours\""));
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "ours")]);
    let lease = world.node("/t/web").unwrap().lease;
    world.delete("/t/web");
    world
        .program()
        .wait_for_line(&["WARN", "somebody deleted /t/web"]);
    world.wait_for_nodes("/t/", &[("/t/web", "ours")]);
    world.put("/t/web", "edited");
    world.program().wait_for_line(&["WARN", "/t/web", "edited"]);
    world.wait_for_nodes("/t/", &[("/t/web", "ours")]);
    assert_eq!(world.node("/t/web").unwrap().lease, lease);
    world.rm("web");
    world.wait_for_nodes("/t/", &[]);
}
