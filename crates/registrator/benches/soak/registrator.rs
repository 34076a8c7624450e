//! The program as a process whose log is read through a pipe, which may also be left alone for a while.

use crate::process::{measured, status};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Lines that are kept for whoever looks for the cause of a failure.
const KEPT: usize = 400;

/// A process that runs, or has ended.
pub(crate) struct Registrator {
    child: Child,
    log: Arc<Log>,
}

/// What the processes of one host have logged.
#[derive(Default)]
pub(crate) struct Log {
    state: Mutex<Lines>,
    changed: Condvar,
}

/// Counts of lines, and the last of them.
#[derive(Default)]
pub(crate) struct Lines {
    /// Nobody reads now.
    unread: bool,
    pub(crate) count: usize,
    pub(crate) warnings: usize,
    pub(crate) errors: usize,
    pub(crate) panics: usize,
    /// Lines that the program says are missing.
    pub(crate) dropped: usize,
    last: VecDeque<String>,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the counts.
    pub(crate) fn see<T>(&self, look: impl FnOnce(&Lines) -> T) -> T {
        look(&self.lines())
    }

    /// From now on nobody reads it, or somebody does.
    pub(crate) fn leave_unread(&self, unread: bool) {
        self.lines().unread = unread;
        self.changed.notify_all();
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        lines.last.iter().map(|line| format!("{line}\n")).collect()
    }

    fn follow(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let lines = self.lines();
            let waited = self.changed.wait_while(lines, |lines| lines.unread);
            waited.unwrap_or_else(PoisonError::into_inner).take(line);
        }
    }
}

impl Lines {
    fn take(&mut self, line: String) {
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        self.count += 1;
        self.warnings += usize::from(level == "WARN");
        self.errors += usize::from(level == "ERROR" || level == "FATAL");
        self.panics += usize::from(line.contains("panicked at"));
        if let Some((before, _)) = line.split_once(" lines are missing here") {
            let number = before.rsplit(' ').next().and_then(|word| word.parse().ok());
            self.dropped += number.unwrap_or(1);
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

impl Registrator {
    /// Starts one with nothing of the environment.
    pub(crate) fn start(arguments: &[&dyn AsRef<OsStr>], log: &Arc<Log>) -> Registrator {
        let mut command = Command::new(measured());
        command.env_clear().arg("run").args(arguments);
        command.env("KONTENA_REGISTRATOR_ADMIN_SOCKET", "off");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("its log");
        let theirs = Arc::clone(log);
        std::thread::spawn(move || theirs.follow(stderr));
        Registrator {
            child,
            log: Arc::clone(log),
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Sends a signal, as in `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -{signal} {id}"
        );
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }

    /// Asks it to end, and waits for it.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        // A log that nobody reads would keep its last lines.
        self.log.leave_unread(false);
        self.signal("TERM");
        self.child.wait().expect("a child")
    }

    /// A size in its `status`, in kB.
    pub(crate) fn kilobytes(&self, name: &str) -> u64 {
        let text = status(self.child.id(), name);
        text.trim_end_matches(" kB").parse().unwrap_or_default()
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        let text = status(self.child.id(), "Threads");
        text.parse().unwrap_or_default()
    }

    /// What its open descriptors are.
    pub(crate) fn descriptors(&self) -> Vec<String> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        let files = folder.into_iter().flatten().flatten();
        let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        links.map(|link| link.display().to_string()).collect()
    }
}

impl Drop for Registrator {
    fn drop(&mut self) {
        self.kill();
    }
}
