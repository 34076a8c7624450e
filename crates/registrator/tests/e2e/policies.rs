//! Policies that change, break, appear and vanish while the program runs, and policies that fail.

use crate::world::{Change, World};
use crate::{by_container, by_name};

on! {
    V3_4 as etcd_3_4:
        a_change_makes_before_it_breaks
        a_broken_policy_runs_on_as_it_was
        a_policy_that_never_loaded_starts_when_it_does
        a_helper_file_is_followed
        files_come_and_go
        one_container_for_which_a_policy_fails
        an_endless_loop_is_an_error_of_one_evaluation;
    Embedded as embedded: a_change_makes_before_it_breaks;
}

fn a_change_makes_before_it_breaks(mut world: World) {
    world.policy(
        "p",
        &by_container(r#"{"/t/keep": 1, "/t/change": 1, "/t/end": 1}"#),
    );
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes(
        "/t/",
        &[("/t/change", "1"), ("/t/end", "1"), ("/t/keep", "1")],
    );
    let (revision, keep) = (world.revision(), world.node("/t/keep"));
    world.policy(
        "p",
        &by_container(r#"{"/t/keep": 1, "/t/change": 2, "/t/new": 1}"#),
    );
    world.wait_for_nodes(
        "/t/",
        &[("/t/change", "2"), ("/t/keep", "1"), ("/t/new", "1")],
    );
    world
        .program()
        .wait_for_line(&["INFO", "instance p reloaded"]);
    assert_eq!(world.node("/t/keep"), keep);
    let mut changes = world.history(revision);
    changes.retain(|change| change.key().starts_with("/t/"));
    changes.sort_by_key(|change| change.key().to_owned());
    let put = |key: &str, value: &str| Change::Put(key.into(), value.into());
    assert_eq!(
        changes,
        [
            put("/t/change", "2"),
            Change::Delete("/t/end".into()),
            put("/t/new", "1")
        ]
    );
}

fn a_broken_policy_runs_on_as_it_was(mut world: World) {
    world.policy("p", &by_name("1"));
    world.run("a", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/a", "1")]);
    let before = world.node("/t/a");
    world.policy(
        "p",
        "\n\ndef docker_container(container config):\n    pass\n",
    );
    world
        .program()
        .wait_for_line(&["ERROR", "policy p", "p.star:3", "it runs on as it was"]);
    world.run("b", &[]);
    world.wait_for_nodes("/t/", &[("/t/a", "1"), ("/t/b", "1")]);
    assert_eq!(world.node("/t/a"), before);
    world.policy("p", &by_name("2"));
    world.wait_for_nodes("/t/", &[("/t/a", "2"), ("/t/b", "2")]);
    assert_eq!(
        world.program().lines(&["ERROR"]).len(),
        1,
        "{}",
        world.program().log()
    );
}

fn a_policy_that_never_loaded_starts_when_it_does(mut world: World) {
    world.policy("good", &by_name("1"));
    world.policy("bad", "load(\"lib/nowhere.star\", \"VALUE\")\n");
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "1")]);
    let program = world.program();
    program.wait_for_line(&["ERROR", "policy bad", "bad.star", "it does not run"]);
    world.policy("bad", &by_container("{\"/t/bad\": name}"));
    world.wait_for_nodes("/t/", &[("/t/bad", "web"), ("/t/web", "1")]);
    program.wait_for_line(&["INFO", "instance bad runs"]);
    assert_eq!(program.lines(&["ERROR"]).len(), 1, "{}", program.log());
}

fn a_helper_file_is_followed(mut world: World) {
    world.write("policies/lib/value.star", "VALUE = 1\n");
    let policy = by_name("VALUE");
    world.policy(
        "p",
        &format!("load(\"lib/value.star\", \"VALUE\")\n{policy}"),
    );
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "1")]);
    world.write("policies/lib/value.star", "VALUE = 2\n");
    world.wait_for_nodes("/t/", &[("/t/web", "2")]);
    world.write("policies/lib/value.star", "VALUE = \n");
    world
        .program()
        .wait_for_line(&["ERROR", "policy p", "lib/value.star:1"]);
    world.write("policies/lib/value.star", "VALUE = 3\n");
    world.wait_for_nodes("/t/", &[("/t/web", "3")]);
}

fn files_come_and_go(mut world: World) {
    world.policy("first", &by_name("1"));
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "1")]);
    let before = world.node("/t/web");
    world.policy(
        "second",
        &by_container(r#"{"/t/second/" + name: 2, "/t/" + name: 1}"#),
    );
    world.wait_for_nodes("/t/", &[("/t/second/web", "2"), ("/t/web", "1")]);
    world.remove("policies/first.star");
    world
        .program()
        .wait_for_line(&["INFO", "instance first is gone"]);
    world.run("barrier", &[]);
    let both = [
        ("/t/barrier", "1"),
        ("/t/second/barrier", "2"),
        ("/t/second/web", "2"),
        ("/t/web", "1"),
    ];
    world.wait_for_nodes("/t/", &both);
    assert_eq!(
        world.node("/t/web"),
        before,
        "the second policy asks for it as well"
    );
    // The last one: nothing tells whether that is meant.
    world.remove("policies/second.star");
    world
        .program()
        .wait_for_line(&["WARN", "4 of 4 nodes", "no policy runs"]);
    world.wait_for_nodes("/t/", &both);
    world.program().signal("USR1");
    world.wait_for_nodes("/t/", &[]);
}

fn one_container_for_which_a_policy_fails(mut world: World) {
    world.policy(
        "p",
        r#"
def docker_container(container, config):
    if container.label("world") != "WORLD":
        return None
    if container.label("bad") or container.state.status == "paused":
        fail("no idea what to do")
    return {"/t/" + container.name.removeprefix("WORLD-"): 1}
"#,
    );
    world.run("bad", &["--label=bad=yes"]);
    world.run("good", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/good", "1")]);
    let bad = world.container("bad");
    world
        .program()
        .wait_for_line(&["ERROR", &bad, "p.star:6", "no idea what to do"]);
    let (before, good) = (world.node("/t/good"), world.container("good"));
    world.docker().docker(&["pause", &good]);
    world
        .program()
        .wait_for_line(&["ERROR", &good, "p.star:6", "its last good nodes stay"]);
    world.run("next", &[]);
    world.wait_for_nodes("/t/", &[("/t/good", "1"), ("/t/next", "1")]);
    assert_eq!(world.node("/t/good"), before);
    world.docker().docker(&["unpause", &good]);
    world
        .program()
        .wait_for_line(&["INFO", "succeeds again", &good]);
    world.docker().docker(&["pause", &good]);
    world
        .program()
        .wait_for_lines(2, &["ERROR", &good, "p.star:6"]);
    world.docker().docker(&["rm", "-f", &good]);
    world.wait_for_nodes("/t/", &[("/t/next", "1")]);
    assert_eq!(
        world.program().lines(&["ERROR", &bad]).len(),
        1,
        "{}",
        world.program().log()
    );
}

fn an_endless_loop_is_an_error_of_one_evaluation(mut world: World) {
    world.policy(
        "p",
        r#"
def docker_container(container, config):
    if container.label("world") == "WORLD":
        for _ in range(1000000000 if container.label("bad") else 1):
            pass
        return {"/t/" + container.name.removeprefix("WORLD-"): 1}
"#,
    );
    world.run("bad", &["--label=bad=yes"]);
    world.run("good", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/good", "1")]);
    world
        .program()
        .wait_for_line(&["ERROR", &world.container("bad"), "p.star"]);
}
