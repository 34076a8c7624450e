//! A machine with an engine of its own, on which these tests run: they leave it as it was.

#![allow(clippy::expect_used)]

use crate::dockerd::Dockerd;
use crate::world::PATIENCE;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What may be harmed: interfaces and to which they belong, addresses, routes, forwarding, mounts, what engines keep.
const STATE: &str = "ip -o link | sed 's/<.* master/master/; s/ state .*//; s/<.*//'; ip -4 -o address; \
    ip -4 route show table all | sed 's/ linkdown//'; cat /proc/sys/net/ipv[46]/conf/all/forwarding; ls /run/* /etc/docker; \
    grep -e \" $TMPDIR/\" -e ' /run tmpfs' -e ' /etc/docker ' /proc/mounts";

/// Has the name of the run of tests that this one is part of.
const RUN: &str = "REGISTRATOR_TEST_RUN";

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
    // The names of its sockets would be too long below the folder of the machine's engine.
    test.env("TMPDIR", std::env::temp_dir());
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

/// What lives in its namespaces ends with it. Its folder, and the cgroup of a container that is frozen, are left to the next.
#[test]
fn a_test_that_is_killed_is_cleaned_up_after() {
    if Dockerd::absent().is_none() {
        return;
    }
    let all = tempfile::tempdir().expect("a folder");
    let mut test = this_program();
    test.env("TMPDIR", all.path()).env_remove(RUN);
    let mut test = test
        .stdout(Stdio::null())
        .spawn()
        .expect("the test program starts");
    let engine = until("a folder", || content(all.path()).pop());
    let host = format!("unix://{}/docker.sock", engine.display());
    until("a container", || {
        let mut pause = Command::new("docker");
        let pause = pause.args(["--host", &host, "pause", "web"]).output();
        pause.expect("docker runs").status.success().then_some(())
    });
    test.kill().expect("it runs");
    test.wait().expect("it was killed");

    let living = all.path().join("registrator-engine-of-another");
    std::fs::create_dir(&living).expect("a folder");
    let lock = File::open(&living).and_then(|folder| folder.lock().map(|()| folder));
    let name = engine.file_name().expect("a name").to_owned();
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = || content(root).into_iter().chain([root.to_owned()]);
    let cgroups = || hierarchies().filter(|hierarchy| hierarchy.join(&name).exists());
    assert!(
        engine.exists() && cgroups().count() > 0,
        "what this is about"
    );
    let leftovers = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/leftovers.sh");
    let mut leftovers = Command::new(leftovers);
    leftovers.env("TMPDIR", all.path()).env_remove(RUN);
    let cleaned = leftovers.stdout(Stdio::null()).status();
    assert!(cleaned.is_ok_and(|status| status.success()));
    assert_eq!(content(all.path()), [living]);
    assert_eq!(cgroups().count(), 0);
    drop(lock);
}

/// This program, with the test of an engine that is started again.
fn this_program() -> Command {
    let this = std::env::current_exe().expect("a test program");
    let mut command = Command::new(this);
    command.args(["--exact", "machine::an_engine_is_started_again"]);
    command
}

fn content(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = is() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
    }
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
