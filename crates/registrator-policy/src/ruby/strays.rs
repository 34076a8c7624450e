//! Ends what an interpreter left running.
//!
//! A process that a policy started can leave the interpreter's process group, and lose its parent. What it cannot lose by mistake
//! is the environment that it began with, so each interpreter gets a mark there, as CI servers do with what they start.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// The environment variable that has the mark.
const VARIABLE: &str = "REGISTRATOR_INTERPRETER";

/// How long it is looked for processes that go on starting others.
const PATIENCE: Duration = Duration::from_millis(500);

/// The mark of one interpreter, and of all that it starts.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    /// One that no other interpreter has, also of another registrator.
    pub(super) fn new() -> Mark {
        let random = RandomState::new().hash_one(std::process::id());
        Mark(format!("{}-{random:016x}", std::process::id()))
    }

    /// The environment variable, as name and value.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// Kills the processes that have the mark.
    pub(super) fn kill_all(&self) {
        let entry = format!("{VARIABLE}={}", self.0);
        let until = Instant::now() + PATIENCE;
        // What was found may have started another one before its end.
        while kill_each(entry.as_bytes()) && Instant::now() < until {
            std::thread::yield_now();
        }
    }
}

/// Whether there was one.
fn kill_each(entry: &[u8]) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    let names = processes.flatten().map(|process| process.file_name());
    let pids = names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
    pids.filter(|pid| kill_marked(*pid, entry)).count() > 0
}

fn kill_marked(pid: Pid, entry: &[u8]) -> bool {
    // Taken hold of before the look, so that no other process with its number is hit.
    let hold = pidfd_open(pid, PidfdFlags::empty());
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let environ = std::fs::read(path).unwrap_or_default();
    if !environ.split(|byte| *byte == 0).any(|found| found == entry) {
        return false;
    }
    let killed = match hold {
        Ok(process) => pidfd_send_signal(process, Signal::KILL),
        // Linux before 5.3.
        Err(Errno::NOSYS) => kill_process(pid, Signal::KILL),
        Err(error) => Err(error),
    };
    killed.is_ok()
}
