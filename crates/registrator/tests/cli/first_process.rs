//! The program as the first process of a container, as which it has to wait for processes that others leave behind.

use super::{Folder, has_ruby};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// The program with a table of processes of its own; `None`, after a loud line, where that is impossible.
fn first_process(folder: &Folder, args: &[&str]) -> Option<Command> {
    let mut command = Command::new("unshare");
    let is_root = Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .stderr(Stdio::null())
        .status();
    if !is_root.is_ok_and(|status| status.success()) {
        let skipped = "SKIPPED: a test of the program as a container's first process because it needs root and unshare";
        assert!(
            std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_none_or(|value| value != "1"),
            "{skipped}"
        );
        eprintln!("{skipped}");
        return None;
    }
    command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env!("CARGO_BIN_EXE_kontena-registrator"))
        .args(args)
        .current_dir(folder.path());
    Some(command)
}

#[test]
fn its_output_and_its_exit_code_are_those_of_the_program() {
    let folder = Folder::new();
    for (args, code, words) in [
        (&["--version"][..], 0, "kontena-registrator "),
        (&["nonsense"], 2, "nonsense"),
        (&["check", "--services", "nowhere"], 1, "nowhere"),
    ] {
        let Some(mut command) = first_process(&folder, args) else {
            return;
        };
        let output = command.output().expect("unshare runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Those in the program's own table: their numbers there. Zombies are among them.
fn numbers_inside(of: &Child) -> Vec<String> {
    let inside = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid_for_children")).ok();
    let table = inside(of.id());
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let statuses = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        // A zombie has no namespaces any more, but its line tells of two.
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let numbers = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?;
        let numbers: Vec<_> = numbers.split_whitespace().map(str::to_owned).collect();
        let is_inside = inside(pid) == table || status.contains("State:\tZ");
        (is_inside && numbers.len() > 1).then(|| numbers.last().cloned())?
    });
    statuses.collect()
}

#[test]
fn what_a_policy_leaves_is_waited_for() {
    let folder = Folder::new();
    if !has_ruby() {
        return;
    }
    folder.write(
        "etc/policies/leaves.rb",
        "system('sleep 1000000 & echo $! >left.new; mv left.new left')\ndocker_container -> (container) { nil }\n",
    );
    let args = [
        "run",
        "--docker-host=unix:///nowhere",
        "--embedded-listen=127.0.0.1:0",
    ];
    let Some(mut command) = first_process(&folder, &args) else {
        return;
    };
    command.stderr(Stdio::null()).process_group(0);
    let running = Running(command.spawn().expect("unshare runs"));
    let mut left = String::new();
    wait_until("the policy has left a process", || {
        left = std::fs::read_to_string(folder.path().join("left")).unwrap_or_default();
        left.ends_with('\n')
    });
    wait_until("it is gone, and no zombie", || {
        let numbers = numbers_inside(&running.0);
        numbers.contains(&"1".to_owned()) && !numbers.contains(&left.trim().to_owned())
    });
}
