//! The log goes nowhere: a pipe that nobody reads, a full disk, a closed pipe. The nodes do not mind.

#![allow(clippy::expect_used)]

use crate::stuck::StuckPipe;
use crate::world::{NODES, TTL, World, end_of};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Each of its evaluations prints about as much as is kept.
const LOUD: &str = r#"
config(attrs = {"text": attr(str)})

def docker_container(container, config):
    print(config.text * 100)
    return {}
"#;

#[test]
fn a_log_that_nobody_reads_for_three_ttls_costs_no_node() {
    let Some(world) = World::start() else {
        return;
    };
    let mut pipe = StuckPipe::new();
    world.run(&["aa", "bb"]);
    let mut program = world.launch_into(pipe.writer(), &[]);
    let before = world.wait_for_truth(&program);
    let mut recorder = world.record();
    let begin = Instant::now();
    world.write("policies/loud.star", LOUD);
    for number in 0..300 {
        let config = format!(r#"{{"text": "{}"}}"#, "abcdefghij".repeat(15));
        world.write(&format!("services/loud/{number}.json"), &config);
    }
    world.run(&["cc"]);
    let mut after = world.wait_for_truth(&program);
    assert!(after.remove("cc").is_some());
    assert_eq!(after, before);
    // The fault is that so much time passes.
    std::thread::sleep((TTL * 3).saturating_sub(begin.elapsed()));
    assert_eq!(recorder.deleted(NODES), [""; 0]);
    program.must_run();
    let log = pipe.read_until("lines are missing here");
    let lost = log.lines().filter(|line| line.contains("missing here"));
    let lost: Vec<_> = lost.collect();
    assert!(
        lost.len() == 1 && lost[0].contains("WARN ") && lost[0].contains("debug="),
        "{lost:?}"
    );
    world.docker.docker(&["rm", "-f", "cc"]);
    pipe.read_until("removed /test/cc");
    assert_eq!(recorder.deleted(NODES), ["/test/cc"]);
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let Some(world) = World::start() else {
        return;
    };
    let pipe = StuckPipe::new();
    world.run(&["aa"]);
    let program = world.launch_into(pipe.writer(), &["--on-exit=release"]);
    world.wait_for_truth(&program);
    let begin = Instant::now();
    assert!(program.terminate().success());
    assert!(begin.elapsed() < Duration::from_secs(20), "it hung");
    assert!(world.nodes().is_empty());
    // Nor the end before the beginning.
    let mut wrong = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"));
    let wrong = wrong.arg("--nonsense").stderr(pipe.writer()).spawn();
    let status = end_of(&mut wrong.expect("it starts"));
    assert_eq!(status.code(), Some(2));
    let failing = world.launch_into(pipe.writer(), &["--host-interface=nonexistent"]);
    assert_eq!(failing.end().code(), Some(1));
}

#[test]
fn a_log_that_cannot_be_written_costs_no_node() {
    let Some(world) = World::start() else {
        return;
    };
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut cat = Command::new("true");
    let mut closed = cat.stdin(Stdio::piped()).spawn().expect("true");
    let pipe = closed.stdin.take().expect("a pipe");
    closed.wait().expect("it ends");
    for stderr in [full.expect("/dev/full").into(), pipe.into()] {
        world.run(&["aa"]);
        let mut program = world.launch_into(stderr, &["--on-exit=release"]);
        world.wait_for_truth(&program);
        world.docker.docker(&["rm", "-f", "aa"]);
        world.wait_for_names(&program, &[]);
        program.must_run();
        assert!(program.terminate().success());
    }
}
