//! What all measurements need: a private Docker daemon, a private etcd, and the program between them.

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::process::Program;
use std::ffi::OsStr;
use std::path::Path;
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
        let etcd = Etcd::start()?;
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
        self.launch_and(&[])
    }

    /// The same, with these arguments too.
    pub(crate) fn launch_and(&self, more: &[&dyn AsRef<OsStr>]) -> Program {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let [policies, services] = ["etc/policies/skydns.star", "etc/services"];
        let (policies, services) = (root.join(policies), root.join(services));
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![
            &"--on-exit=release",
            &"--policies",
            &policies,
            &"--services",
            &services,
        ];
        arguments.extend_from_slice(more);
        self.launch_with(&arguments)
    }

    /// Starts the program with these arguments.
    pub(crate) fn launch_with(&self, arguments: &[&dyn AsRef<OsStr>]) -> Program {
        Program::launch(&self.docker.host(), &self.etcd.url(), arguments)
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.etcd.count(NODES)
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
