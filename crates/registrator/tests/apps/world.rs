//! A host with containers, an etcd, and the registrator between them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::dockerd::Dockerd;
use crate::etcd::{Etcd, Kind};
use crate::process::{PATIENCE, Process};

/// What the registrator is told of its host.
const HOST: &[&str] = &["--host-ip=192.0.2.10", "--host-name=node1"];

/// The lease's time to live: a test waits for its end, and on a busy machine a renewal may be late.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(12);

/// All that the readers need around them. The test that makes it goes on in the network of its containers, with all that the
/// test starts: these must reach them.
pub(crate) struct World {
    pub(crate) docker: Dockerd,
    pub(crate) etcd: Etcd,
    pub(crate) registrator: Process,
    _files: Option<TempDir>,
}

/// A host with containers and a registrator, and the etcd of another.
pub(crate) struct Host {
    pub(crate) docker: Dockerd,
    pub(crate) registrator: Process,
    _files: TempDir,
}

impl World {
    /// With the shipped policies and configurations.
    pub(crate) fn shipped(kind: Kind) -> Option<World> {
        let docker = Dockerd::start()?;
        docker.enter_network();
        let etcd = Etcd::start(kind)?;
        let services = shipped("services");
        let registrator = registrator("first", &docker, &etcd, &services);
        Some(World {
            docker,
            etcd,
            registrator,
            _files: None,
        })
    }

    /// With the shipped policies and these configurations: `skydns/test.json` and its content.
    pub(crate) fn configured(kind: Kind, configurations: &[(&str, &str)]) -> Option<World> {
        World::on(Dockerd::start()?, kind, configurations)
    }

    /// The same, on a daemon of this kind.
    pub(crate) fn on(
        docker: Dockerd,
        kind: Kind,
        configurations: &[(&str, &str)],
    ) -> Option<World> {
        docker.enter_network();
        let files = write(configurations);
        let etcd = Etcd::start(kind)?;
        let registrator = registrator("first", &docker, &etcd, files.path());
        Some(World {
            docker,
            etcd,
            registrator,
            _files: Some(files),
        })
    }

    /// Another host on the same etcd, with the shipped policies and these configurations.
    pub(crate) fn neighbour(&self, configurations: &[(&str, &str)]) -> Option<Host> {
        let files = write(configurations);
        let docker = Dockerd::start()?;
        self.docker.connect(&docker);
        let registrator = registrator("second", &docker, &self.etcd, files.path());
        Some(Host {
            docker,
            registrator,
            _files: files,
        })
    }

    /// What `docker inspect` says of a container.
    pub(crate) fn inspect(&self, name: &str, format: &str) -> String {
        self.docker.docker(&["inspect", "--format", format, name])
    }

    /// The container's address in the default network.
    pub(crate) fn ip(&self, name: &str) -> String {
        self.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    }

    /// Creates the network `six`, which has IPv6 too.
    pub(crate) fn create_network_with_ipv6(&self) {
        // Other tests have such a network at the same time: its number is that of the daemon.
        let format = "{{(index .IPAM.Config 0).Gateway}}";
        let gateway = ["network", "inspect", "--format", format, "bridge"];
        let gateway = self.docker.docker(&gateway);
        let subnet = format!("fd00:52:{}::/64", gateway.split('.').nth(2).unwrap());
        let create = ["network", "create", "--ipv6", "--subnet", &subnet, "six"];
        self.docker.docker(&create);
    }

    /// The short id of a container.
    pub(crate) fn short_id(&self, name: &str) -> String {
        self.inspect(name, "{{slice .Id 0 12}}")
    }
}

/// Asks until the answer is right; otherwise fails with the last one and the logs.
#[track_caller]
pub(crate) fn eventually<T: std::fmt::Debug>(
    what: &str,
    logs: &[&Process],
    mut ask: impl FnMut() -> T,
    right: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if right(&answer) {
            return answer;
        }
        if Instant::now() > deadline {
            let logs: String = logs.iter().map(|process| process.log()).collect();
            panic!("{what} not in {PATIENCE:?}, the last answer was {answer:#?}\n{logs}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn shipped(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../etc")
        .join(folder)
}

fn write(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// With a name of its own: the daemons of one machine may have one ID.
fn registrator(name: &str, docker: &Dockerd, etcd: &Etcd, services: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"));
    // The defaults of the policies are under test, not the environment of whoever runs this.
    command.env_clear();
    command.env("KONTENA_REGISTRATOR_ADMIN_SOCKET", "off");
    command.arg("--policies").arg(shipped("policies"));
    command.arg("--services").arg(services);
    command
        .args(["--docker-host", &docker.host(), "--host-id", name])
        .arg(etcd.flag())
        .args(HOST)
        // A build without optimisation needs long for a container with hundreds of labels, on a busy machine.
        .args(["--evaluation-timeout", "20s"])
        .args(["--lease-ttl", &format!("{}s", LEASE_TTL.as_secs())]);
    Process::start("kontena-registrator", &mut command)
}
