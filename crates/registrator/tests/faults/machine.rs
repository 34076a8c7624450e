//! A machine with an engine of its own, on which these tests run: they leave it as it was.

#![allow(clippy::expect_used)]

use crate::dockerd::Dockerd;
use std::collections::BTreeSet;
use std::process::Stdio;

/// What may be harmed: interfaces and to which they belong, addresses, routes, forwarding, mounts, what engines keep.
const STATE: &str = "ip -br link; ip -o link | grep -o 'master .*'; ip -4 -br address; ip -4 route show table all; \
    cat /proc/sys/net/ipv[46]/conf/all/forwarding; cat /proc/mounts; ls /run/* /etc/docker";

/// Docker removes an interface called `docker0`, whosever it is, when a daemon with another bridge starts a second time.
#[test]
fn an_engine_of_the_tests_leaves_that_of_the_machine_alone() {
    let Some(machine) = Dockerd::start() else {
        return;
    };
    machine.run("before", &[]);
    let before = state(&machine);
    assert!(before.contains(" docker0 "), "{before}");
    let this = std::env::current_exe().expect("a test program");
    let mut test = machine.command_inside(&this.display().to_string());
    test.args(["--exact", "machine::an_engine_is_started_again"]);
    let test = test.env("REGISTRATOR_REQUIRE_ALL", "1").output();
    let test = test.expect("the test program starts");
    assert!(test.status.success(), "{test:?}");
    assert_eq!(difference(&before, &state(&machine)), [""; 0]);
    machine.run("after", &[]);
}

#[test]
fn an_engine_is_started_again() {
    let Some(mut docker) = Dockerd::start() else {
        return;
    };
    docker.run("web", &["--restart=always", "--publish=80"]);
    docker.network("back");
    docker.terminate();
    docker.launch();
    docker.kill();
    docker.launch();
}

/// The lines that only one of them has.
fn difference<'a>(before: &'a str, after: &'a str) -> Vec<&'a str> {
    let only = |one: &'a str, other: &'a str| {
        let other: BTreeSet<_> = other.lines().collect();
        one.lines().filter(move |line| !other.contains(line))
    };
    only(before, after).chain(only(after, before)).collect()
}

fn state(machine: &Dockerd) -> String {
    let mut command = machine.command_inside("sh");
    command.args(["-c", STATE]).stderr(Stdio::inherit());
    let output = command.output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
