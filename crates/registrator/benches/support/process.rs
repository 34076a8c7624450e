//! The program that is measured, as a process, and what Linux tells of any process.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Names another build of the program, to be measured beside this one.
const VARIABLE: &str = "REGISTRATOR_BENCH_PROGRAM";

/// The program that is measured: the one that was just built, unless a variable names another.
pub(crate) fn measured() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_kontena-registrator");
    std::env::var_os(VARIABLE).map_or(built.into(), PathBuf::from)
}

/// The program, until it is dropped.
pub(crate) struct Program {
    child: Child,
    log: tempfile::NamedTempFile,
    pub(crate) begun: Instant,
}

impl Program {
    /// Starts it between this engine and this etcd, with nothing of the environment.
    pub(crate) fn launch(docker: &str, etcd: &str, arguments: &[&dyn AsRef<OsStr>]) -> Program {
        let log = tempfile::NamedTempFile::new().expect("a log file");
        let file = || -> File { log.reopen().expect("a log file") };
        let mut command = Command::new(measured());
        command
            .env_clear()
            // The benches rename and replace more than a mistake may.
            .env("KONTENA_REGISTRATOR_MAX_DELETE", "off")
            .env("KONTENA_REGISTRATOR_ADMIN_SOCKET", "off")
            .args(["run", "--docker-host", docker, "--etcd-endpoint", etcd])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file())
            .stderr(file());
        let begun = Instant::now();
        let child = command.spawn().expect("the program starts");
        Program { child, log, begun }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// A line of its `status`: `VmRSS` for the resident memory.
    pub(crate) fn status(&self, name: &str) -> String {
        status(self.id(), name)
    }

    /// Asks it to end and waits for it.
    pub(crate) fn end(mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill");
        self.child.wait().expect("the program ends");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The CPU time of a process, with that of threads that have ended, in steps of 10 ms.
pub(crate) fn cpu(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // utime and stime are the 14th and 15th field, in ticks of 10 ms.
    let ticks = after_name.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The CPU time of the threads that a process has now, to the nanosecond.
pub(crate) fn cpu_of_threads(id: u32) -> Duration {
    threads(id).map(cpu_of_thread).sum()
}

/// The CPU time of one thread, by its folder below `/proc`.
pub(crate) fn cpu_of_thread(folder: PathBuf) -> Duration {
    let stat = std::fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// How often the threads of a process waited for something: each time they woke afterwards.
pub(crate) fn wakings(id: u32) -> u64 {
    let waited = threads(id).map(|folder| {
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let count = line(&status, "voluntary_ctxt_switches");
        count.parse::<u64>().unwrap_or_default()
    });
    waited.sum()
}

/// A line of the `status` of a process.
pub(crate) fn status(id: u32, name: &str) -> String {
    line(
        &std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default(),
        name,
    )
}

fn line(status: &str, name: &str) -> String {
    let mut lines = status.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    rest.unwrap_or("?").trim().to_owned()
}

fn threads(id: u32) -> impl Iterator<Item = PathBuf> {
    let folders = std::fs::read_dir(format!("/proc/{id}/task"));
    let folders = folders.into_iter().flatten().flatten();
    folders.map(|folder| folder.path())
}
