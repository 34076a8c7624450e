//! Servers as processes of a test: found, started, waited for, and ended with it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The program that the environment variable names, or that is in the path; `None`, after a loud line, if there is none.
pub(crate) fn find(name: &str, variable: &str, origin: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let skipped = format!(
            "SKIPPED: a test with {name} because {variable} does not name it and it is not in the path: {origin}"
        );
        let required = std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_some_and(|one| one == "1");
        assert!(!required, "{skipped}");
        eprintln!("{skipped}");
    }
    found
}

/// A process, killed when dropped.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: NamedTempFile,
}

impl Process {
    /// Starts it, with what it says in a file.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Process {
        let log = NamedTempFile::new().unwrap();
        let output = || File::options().append(true).open(log.path()).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { name, child, log }
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.log.path()).unwrap();
        format!("--- {}\n{}", self.name, String::from_utf8_lossy(&log))
    }

    /// Waits until it serves; fails if it ends instead.
    #[track_caller]
    pub(crate) fn until_ready(&mut self, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} does not get ready: {}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and waits until it has; at once if it does not.
    pub(crate) fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let deadline = Instant::now() + PATIENCE;
        while asked.as_ref().is_ok_and(ExitStatus::success) && Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
