//! Files that never come: pipes that nobody writes to, as files are whose disk hangs.

#![allow(clippy::expect_used)]

use crate::world::{NODES, World};
use std::process::Command;

#[test]
fn pipes_in_place_of_files_hold_up_nothing() {
    let Some(world) = World::start() else {
        return;
    };
    world.run(&["aa"]);
    let mut program = world.launch();
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    world.write("policies/lib/empty.star", "");
    let many = "config(attrs = {})\ndef docker_container(container, config):\n    return {}\n";
    world.write("policies/many.star", many);
    let pipes = [
        "policies/pipe.star",
        "policies/other.rb",
        "policies/lib/pipe.star",
        "services/many/pipe.json",
    ];
    world.write("services/many/one.json", "{}");
    for pipe in pipes {
        let made = Command::new("mkfifo").arg(world.path(pipe)).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {pipe}");
    }
    program.hang_up();
    for pipe in ["pipe.star: ", "other.rb: ", "many/pipe.json: "] {
        program.wait_for_words(pipe, 1);
    }
    world.run(&["bb"]);
    let mut after = world.wait_for_truth(&program);
    after.remove("bb");
    assert_eq!(after, before);
    assert_eq!(recorder.deleted(NODES), [""; 0]);
    program.must_run();
    assert!(program.terminate().success());
}
