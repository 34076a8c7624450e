//! What all measurements need: a private Docker daemon, a private etcd, and the program between them.

use crate::dockerd::Dockerd;
use crate::support::Etcd;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a measurement is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Below it are the nodes of the shipped policy.
pub(crate) const NODES: &str = "/skydns/";

/// Docker and etcd.
pub(crate) struct Stage {
    pub(crate) docker: Dockerd,
    pub(crate) etcd: Etcd,
    running: usize,
}

impl Stage {
    /// Both, without containers. `None`, after a loud line, where something is missing.
    pub(crate) fn start() -> Option<Self> {
        let docker = Dockerd::start()?;
        let Some(program) = in_path("etcd") else {
            eprintln!("SKIPPED: the measurement because there is no etcd in the path");
            return None;
        };
        let etcd = block_on(Etcd::start(&program));
        Some(Self {
            docker,
            etcd,
            running: 0,
        })
    }

    /// Runs containers until there are this many.
    pub(crate) fn fill(&mut self, count: usize) {
        for number in self.running..count {
            self.docker.run(&format!("other-{number}"), &[]);
        }
        self.running = count;
    }

    /// Starts the program, with the policy for DNS that is shipped.
    pub(crate) fn launch(&self) -> Program {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let [policies, services] = ["etc/policies/skydns.star", "etc/services"];
        self.launch_with(&[
            &"--on-exit=release",
            &"--policies",
            &root.join(policies),
            &"--services",
            &root.join(services),
        ])
    }

    /// Starts the program with these arguments.
    pub(crate) fn launch_with(&self, arguments: &[&dyn AsRef<OsStr>]) -> Program {
        let log = tempfile::NamedTempFile::new().expect("a log file");
        let begun = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"))
            .env_clear()
            .args(["run", "--docker-host", &self.docker.host()])
            .args(["--etcd-endpoint", &self.etcd.url()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file(&log))
            .stderr(file(&log))
            .spawn()
            .expect("the program starts");
        Program { child, log, begun }
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        let listing = block_on(async { self.etcd.client().range_prefix(NODES).await });
        listing.expect("etcd answers").kvs.len()
    }

    /// Waits until there are as many nodes.
    pub(crate) fn wait_for_nodes(&self, count: usize, program: &Program) {
        let deadline = Instant::now() + PATIENCE;
        while self.nodes() != count {
            assert!(
                Instant::now() < deadline,
                "{} nodes instead of {count}: {}",
                self.nodes(),
                program.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The program, until it is dropped.
pub(crate) struct Program {
    child: Child,
    log: tempfile::NamedTempFile,
    pub(crate) begun: Instant,
}

impl Program {
    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// The CPU time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        // utime and stime are the 14th and 15th field, in ticks of 10 ms.
        let ticks = after_name.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// A line of its `status`: `VmRSS` for the resident memory.
    pub(crate) fn status(&self, name: &str) -> String {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?".to_owned(), |line| {
            line.trim_start_matches(':').trim().to_owned()
        })
    }

    /// Its involuntary and voluntary context switches: how often it woke.
    pub(crate) fn switches(&self) -> u64 {
        let count = |name| self.status(name).parse::<u64>().unwrap_or_default();
        count("voluntary_ctxt_switches") + count("nonvoluntary_ctxt_switches")
    }

    fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap_or_default()
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

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn file(log: &tempfile::NamedTempFile) -> File {
    log.reopen().expect("a log file")
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
