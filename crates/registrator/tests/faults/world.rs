//! A host of the tests' own: Docker, etcd, a policy, and the program between them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use crate::dockerd::Dockerd;
use crate::recorder::Recorder;
use crate::support::{Etcd, Listing, Variant, Version, skip};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails. The machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Below it are the nodes of the tests' policy.
pub(crate) const NODES: &str = "/test/";
/// The TTL of the leases: short, so that tests can wait for their end.
pub(crate) const TTL: Duration = Duration::from_secs(5);
/// One node for each container: its name and its id.
const POLICY: &str = r#"
def docker_container(container, config):
    return {"/test/" + container.name: container.id}
"#;

/// Docker, etcd and a folder.
pub(crate) struct World {
    pub(crate) docker: Dockerd,
    pub(crate) etcd: Etcd,
    folder: tempfile::TempDir,
}

/// What etcd holds for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) revision: i64,
    pub(crate) lease: i64,
}

/// Nodes by the names of their containers.
pub(crate) type Nodes = BTreeMap<String, Node>;

impl World {
    /// Docker and etcd, both running. `None`, after a loud line, where something is missing.
    pub(crate) fn start() -> Option<Self> {
        let world = Self::prepare(Dockerd::start()?)?;
        Some(world.with_etcd())
    }

    /// As [`World::start`], with an etcd that takes only so many bytes.
    pub(crate) fn with_small_etcd(bytes: usize) -> Option<Self> {
        let mut world = Self::prepare(Dockerd::start()?)?;
        let arguments = vec![format!("--quota-backend-bytes={bytes}")];
        let variant = Variant {
            arguments,
            ..Variant::default()
        };
        world.etcd = Etcd::prepare(&in_path("etcd")?, variant);
        Some(world.with_etcd())
    }

    /// As [`World::start`], but containers outlive Docker's daemon.
    pub(crate) fn with_live_restore() -> Option<Self> {
        let world = Self::prepare(Dockerd::with_live_restore()?)?;
        Some(world.with_etcd())
    }

    /// etcd runs, Docker does not yet.
    pub(crate) fn without_docker() -> Option<Self> {
        let world = Self::prepare(Dockerd::absent()?)?;
        Some(world.with_etcd())
    }

    /// Docker runs, etcd does not yet.
    pub(crate) fn without_etcd() -> Option<Self> {
        Self::prepare(Dockerd::start()?)
    }

    /// As [`World::start`], with an etcd that looks at every right, and wants a login.
    pub(crate) fn guarded() -> Option<Self> {
        let mut world = Self::prepare(Dockerd::start()?)?;
        let program = match Version::V3_6.program() {
            Ok(program) => program,
            Err(reason) => {
                skip("a test with a real etcd 3.6", &reason);
                return None;
            }
        };
        world.etcd = Etcd::prepare(&program, Variant::default());
        let world = world.with_etcd();
        world.etcd.enable_auth();
        Some(world)
    }

    fn prepare(docker: Dockerd) -> Option<Self> {
        let Some(program) = in_path("etcd") else {
            skip("a test with a real etcd", "there is no etcd in the path");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("policies")).expect("a folder");
        std::fs::create_dir_all(folder.path().join("services")).expect("a folder");
        std::fs::write(folder.path().join("policies/test.star"), POLICY).expect("a policy");
        Some(Self {
            docker,
            etcd: Etcd::prepare(&program, Variant::default()),
            folder,
        })
    }

    fn with_etcd(mut self) -> Self {
        self.restart_etcd();
        self
    }

    /// Starts etcd, with the data that it has, and waits until it answers.
    pub(crate) fn restart_etcd(&mut self) {
        block_on(self.etcd.restart());
    }

    /// Runs containers of these names; each sleeps.
    pub(crate) fn run(&self, names: &[&str]) {
        names.iter().for_each(|name| _ = self.docker.run(name, &[]));
    }

    /// Starts the program.
    pub(crate) fn launch(&self) -> Program {
        self.launch_with(&[])
    }

    /// Starts the program with further arguments.
    pub(crate) fn launch_with(&self, arguments: &[&str]) -> Program {
        self.launch_at(&self.etcd.url(), arguments)
    }

    /// Starts the program with these endpoints and arguments.
    pub(crate) fn launch_at(&self, endpoints: &str, arguments: &[&str]) -> Program {
        let log = tempfile::NamedTempFile::new().expect("a log file");
        let file = log.reopen().expect("a log file");
        let child = self.spawn(endpoints, arguments, file.into());
        Program { child, log }
    }

    /// Starts the program with this standard error; its [`Program::log`] stays empty.
    pub(crate) fn launch_into(&self, stderr: Stdio, arguments: &[&str]) -> Program {
        Program {
            child: self.spawn(&self.etcd.url(), arguments, stderr),
            log: tempfile::NamedTempFile::new().expect("a log file"),
        }
    }

    fn spawn(&self, endpoints: &str, arguments: &[&str], stderr: Stdio) -> Child {
        let folder = |name| self.folder.path().join(name);
        let ttl = format!("--lease-ttl={}s", TTL.as_secs());
        let given = arguments
            .iter()
            .any(|argument| argument.starts_with("--lease-ttl"));
        let default_ttl = (!given).then_some(ttl);
        Command::new(env!("CARGO_BIN_EXE_kontena-registrator"))
            .env_clear()
            .env("KONTENA_REGISTRATOR_ADMIN_SOCKET", "off")
            .args(["run", "--docker-host", &self.docker.host()])
            .args(default_ttl)
            .args(["--etcd-endpoint", endpoints, "--log-level", "debug"])
            .arg("--policies")
            .arg(folder("policies"))
            .arg("--services")
            .arg(folder("services"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the program starts")
    }

    /// Writes a file below the folders `policies` and `services`.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Where such a file is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Records the changes in etcd from now on.
    pub(crate) fn record(&self) -> Recorder {
        Recorder::start(&self.etcd.url())
    }

    /// All that etcd has below a prefix.
    pub(crate) fn list(&self, prefix: &str) -> Listing {
        let listing = block_on(async { self.etcd.client().range_prefix(prefix).await });
        listing.expect("etcd answers")
    }

    /// What is registered now.
    pub(crate) fn nodes(&self) -> Nodes {
        let listing = self.list(NODES);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let named = listing.kvs.iter().map(|kv| {
            let name = text(&kv.key).trim_start_matches(NODES).to_owned();
            let (id, revision, lease) = (text(&kv.value), kv.mod_revision, kv.lease);
            (
                name,
                Node {
                    id,
                    revision,
                    lease,
                },
            )
        });
        named.collect()
    }

    /// What should be registered: the containers that run, by Docker's word, with their ids.
    pub(crate) fn truth(&self) -> BTreeMap<String, String> {
        let format = "{{.Names}} {{.ID}}";
        let list = self
            .docker
            .docker(&["ps", "--no-trunc", "--format", format]);
        let pairs = list.lines().filter_map(|line| line.split_once(' '));
        pairs
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect()
    }

    /// Waits until exactly the running containers are registered, each with its id.
    #[track_caller]
    pub(crate) fn wait_for_truth(&self, program: &Program) -> Nodes {
        let truth = self.truth();
        self.wait_for_nodes("what runs", program, |nodes| {
            nodes.len() == truth.len()
                && nodes
                    .iter()
                    .all(|(name, node)| truth.get(name) == Some(&node.id))
        })
    }

    /// Waits until exactly containers of these names are registered.
    #[track_caller]
    pub(crate) fn wait_for_names(&self, program: &Program, names: &[&str]) -> Nodes {
        self.wait_for_nodes(&format!("{names:?}"), program, |nodes| {
            nodes.len() == names.len() && names.iter().all(|name| nodes.contains_key(*name))
        })
    }

    /// Waits for nodes that are right.
    #[track_caller]
    pub(crate) fn wait_for_nodes(
        &self,
        what: &str,
        program: &Program,
        right: impl Fn(&Nodes) -> bool,
    ) -> Nodes {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let nodes = self.nodes();
            if right(&nodes) {
                return nodes;
            }
            let names: Vec<_> = nodes.keys().collect();
            let log = || program.log();
            assert!(
                Instant::now() < deadline,
                "not {what}, but {names:?}\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The program, until it is dropped.
pub(crate) struct Program {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Program {
    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Fails if it has ended.
    #[track_caller]
    pub(crate) fn must_run(&mut self) {
        let runs = self.child.try_wait().is_ok_and(|ended| ended.is_none());
        assert!(runs, "it has ended:\n{}", self.log());
    }

    /// How many lines of its log have these words.
    pub(crate) fn says(&self, words: &str) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains(words))
            .count()
    }

    /// Waits until it has said so, so often.
    #[track_caller]
    pub(crate) fn wait_for_words(&self, words: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.says(words) < times {
            let waiting = Instant::now() < deadline;
            assert!(
                waiting,
                "it did not say {words:?} {times} times, but:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        end_of(&mut self.child)
    }

    /// As [`Program::terminate`], with what it has logged.
    pub(crate) fn terminate_with_log(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        (end_of(&mut self.child), self.log())
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(mut self) -> ExitStatus {
        end_of(&mut self.child)
    }

    /// Has it read its files again (SIGHUP).
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Makes it stand still (SIGSTOP).
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Ends [`Program::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status();
        assert!(asked.is_ok_and(|status| status.success()), "kill -{signal}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the program's log:\n{}", self.log());
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Waits until there is something; `state` says what there is instead when the time is up.
#[track_caller]
pub(crate) fn wait_for<T>(found: impl Fn() -> Option<T>, state: impl Fn() -> String) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{}", state());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for the end of a process.
#[track_caller]
pub(crate) fn end_of(process: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.try_wait().expect("a process") {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
