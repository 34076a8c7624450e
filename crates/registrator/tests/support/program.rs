//! The program under test as a process: started, watched, asked to end and killed.

// Each test crate that includes this file uses a part of it.
#![allow(dead_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for what has to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until there is something; `state` says what there is instead when the time is up.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: &str,
    mut found: impl FnMut() -> Option<T>,
    state: impl FnOnce() -> String,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        if Instant::now() > deadline {
            panic!(
                "waited {DEADLINE:?} in vain for {what}; there is: {}",
                state()
            );
        }
        std::thread::sleep(LOOK);
    }
}

/// The runtime of all clients and servers of the tests, on a thread of its own.
static RUNTIME: LazyLock<tokio::runtime::Handle> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
});

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A program that was started, with its output in files. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    ended: Option<Option<i32>>,
}

impl Program {
    /// Starts the registrator in `folder` with these arguments and variables and no other variables.
    pub(crate) fn start(folder: &Path, args: &[String], env: &[(&str, &str)]) -> Program {
        let mut command = registrator(folder);
        command.args(args).envs(env.iter().copied());
        Program::spawn(folder, command)
    }

    /// Starts a command that becomes the registrator. Its output goes to files in `folder`.
    pub(crate) fn spawn(folder: &Path, mut command: Command) -> Program {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let [stdout, stderr] = ["out", "log"].map(|kind| folder.join(format!("{number}.{kind}")));
        command
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap());
        Program {
            child: command.spawn().expect("the program starts"),
            stdout,
            stderr,
            ended: None,
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged up to now.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// What it printed up to now.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stdout).unwrap()).into_owned()
    }

    /// The lines of the log with all of these words; a line has its indented further lines with it.
    pub(crate) fn lines(&self, words: &[&str]) -> Vec<String> {
        let log = self.log();
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        let mut lines: Vec<String> = Vec::new();
        for line in complete.lines() {
            match lines.last_mut() {
                Some(last) if line.starts_with("    ") => *last += &format!("\n{line}"),
                _ => lines.push(line.to_owned()),
            }
        }
        lines.retain(|line| words.iter().all(|word| line.contains(word)));
        lines
    }

    /// Waits for a line of the log with all of these words: the last one.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, words: &[&str]) -> String {
        self.wait_for_lines(1, words)
    }

    /// Waits for so many lines of the log with all of these words: the last one.
    #[track_caller]
    pub(crate) fn wait_for_lines(&self, count: usize, words: &[&str]) -> String {
        let enough = || {
            Some(self.lines(words))
                .filter(|lines| lines.len() >= count)?
                .pop()
        };
        wait_for(&format!("{count} log lines with {words:?}"), enough, || {
            self.log()
        })
    }

    /// Sends a signal, as in `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status();
        assert!(status.unwrap().success(), "kill -{signal} {id}");
    }

    /// Ends it as kill -9 does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = Some(None);
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.ended.is_none() && self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end: the exit code, `None` after a signal.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        if let Some(code) = self.ended {
            return code;
        }
        let (child, log) = (&mut self.child, &self.stderr);
        let status = wait_for(
            "the end of the program",
            || child.try_wait().unwrap(),
            || std::fs::read_to_string(log).unwrap_or_default(),
        );
        self.ended = Some(status.code());
        status.code()
    }

    /// SIGTERM, and the exit code.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit_code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, not yet started, with nothing of the environment of the test.
pub(crate) fn registrator(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"));
    command
        .env_clear()
        .env("HOME", folder)
        // Many run at once, and as root.
        .env("KONTENA_REGISTRATOR_ADMIN_SOCKET", "off")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}
