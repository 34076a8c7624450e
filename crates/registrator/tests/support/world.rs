//! The world that the program runs in: a real Docker daemon, an etcd, policies and configurations of its own.
//!
//! A test crate that includes this file must include `dockerd.rs`, `etcd.rs` and `program.rs` as modules of these names.

// Each test crate that includes this file uses a part of it.
#![allow(dead_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use crate::dockerd::Dockerd;
use crate::etcd::ports::free_port;
use crate::etcd::{self, Client, Etcd, Variant, Version};
use crate::program::{DEADLINE, Program, block_on, registrator, wait_for};
use etcd_api::{
    DeleteRangeRequest, PutRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest,
    event::EventType, request_op, watch_client::WatchClient, watch_request,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// Which etcd a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtcdKind {
    /// A real one of its own, as in the path.
    V3_4,
    /// A real one of its own, named by `ETCD_3_5_BIN`.
    V3_5,
    /// A real one of its own, named by `ETCD_3_6_BIN`.
    V3_6,
    /// The program's own.
    Embedded,
    /// The real one at `ETCD_ENDPOINT`, whose keys below `/kontena` the tests may destroy.
    Given,
}

/// The etcd of a world.
pub(crate) enum EtcdServer {
    /// A process of the test.
    Real(Box<Etcd>),
    /// In the program, at this address, while it runs.
    Embedded(SocketAddr),
    /// Somebody else's, at this URL.
    Given(String),
}

impl EtcdServer {
    /// `None`, after a loud line, where there is none of this kind.
    fn start(kind: EtcdKind) -> Option<EtcdServer> {
        let version = match kind {
            EtcdKind::V3_4 => Version::V3_4,
            EtcdKind::V3_5 => Version::V3_5,
            EtcdKind::V3_6 => Version::V3_6,
            EtcdKind::Embedded => return Some(EtcdServer::Embedded(free_port())),
            EtcdKind::Given => return given().map(EtcdServer::Given),
        };
        let mut found = None;
        etcd::run(version, "end to end", async |program| found = Some(program));
        let mut etcd = Etcd::prepare(&found?, Variant::default());
        block_on(etcd.restart());
        Some(EtcdServer::Real(Box::new(etcd)))
    }

    /// Where clients reach it.
    pub(crate) fn url(&self) -> String {
        match self {
            EtcdServer::Real(etcd) => etcd.url(),
            EtcdServer::Embedded(address) => format!("http://{address}"),
            EtcdServer::Given(url) => url.clone(),
        }
    }

    /// The process of the test.
    #[track_caller]
    pub(crate) fn real(&mut self) -> &mut Etcd {
        match self {
            EtcdServer::Real(etcd) => etcd,
            EtcdServer::Embedded(_) | EtcdServer::Given(_) => panic!("no etcd of the test's own"),
        }
    }
}

fn given() -> Option<String> {
    let given = std::env::var("ETCD_ENDPOINT")
        .ok()
        .filter(|url| !url.is_empty());
    if given.is_none() {
        eprintln!("SKIPPED: a test with a given etcd because ETCD_ENDPOINT is not set");
    }
    given
}

/// The daemon of a world.
enum Docker {
    Shared(Arc<Dockerd>),
    Own(Dockerd),
}

/// The daemon that tests share which run at the same time.
fn shared_docker() -> Option<Arc<Dockerd>> {
    static SHARED: Mutex<Weak<Dockerd>> = Mutex::new(Weak::new());
    // A test that panicked leaves the daemon as good as before.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(docker) = shared.upgrade() {
        return Some(docker);
    }
    let docker = Arc::new(Dockerd::start()?);
    *shared = Arc::downgrade(&docker);
    Some(docker)
}

/// A node as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its value.
    pub(crate) value: String,
    /// The lease; 0 for none.
    pub(crate) lease: i64,
    /// The revision in which it appeared.
    pub(crate) created: i64,
    /// The revision of its last change.
    pub(crate) modified: i64,
}

/// One change that etcd remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A key was written.
    Put(String, String),
    /// A key vanished.
    Delete(String),
}

impl Change {
    /// The key that changed.
    pub(crate) fn key(&self) -> &str {
        match self {
            Change::Put(key, _) | Change::Delete(key) => key,
        }
    }
}

/// The name of a world of this process; for no number, what all of them begin with.
fn world_name(number: &str) -> String {
    format!("w{}-{number}", std::process::id())
}

/// Whether a line names this world, and not just one whose number begins as this one's.
fn names(line: &str, world: &str) -> bool {
    let mut behind = line.split(world).skip(1);
    behind.any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// Everything that the program needs, and the program.
pub(crate) struct World {
    /// Unique among all worlds: containers, networks and keys may be named after it.
    pub(crate) name: String,
    /// Further arguments of the program.
    pub(crate) arguments: Vec<String>,
    /// Further variables of the program.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The etcd.
    pub(crate) etcd: EtcdServer,
    // Ends before what it uses.
    program: Option<Program>,
    docker: Docker,
    folder: TempDir,
    client: Client,
}

impl World {
    /// A world with a daemon that other tests use as well; `None`, after a loud line, if something is missing.
    pub(crate) fn new(kind: EtcdKind) -> Option<World> {
        Some(World::of(
            Docker::Shared(shared_docker()?),
            EtcdServer::start(kind)?,
        ))
    }

    /// A world whose daemon may be stopped and killed.
    pub(crate) fn with_own_docker(kind: EtcdKind) -> Option<World> {
        Some(World::of(
            Docker::Own(Dockerd::start()?),
            EtcdServer::start(kind)?,
        ))
    }

    /// A world around this daemon, which may not run yet.
    pub(crate) fn around(docker: Dockerd, kind: EtcdKind) -> Option<World> {
        Some(World::of(Docker::Own(docker), EtcdServer::start(kind)?))
    }

    fn of(docker: Docker, etcd: EtcdServer) -> World {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        for name in ["policies", "services"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let client = block_on(async { Client::at(&etcd.url()) });
        World {
            name: world_name(&number.to_string()),
            arguments: Vec::new(),
            variables: Vec::new(),
            etcd,
            program: None,
            docker,
            folder,
            client,
        }
    }

    /// Lets the test write into the program's own etcd as well. To be called before the program starts.
    pub(crate) fn let_others_write(&mut self) {
        if matches!(self.etcd, EtcdServer::Embedded(_)) {
            self.arguments.push("--embedded-access=write".to_owned());
        }
    }

    /// The daemon.
    pub(crate) fn docker(&self) -> &Dockerd {
        match &self.docker {
            Docker::Shared(docker) => docker,
            Docker::Own(docker) => docker,
        }
    }

    /// The daemon, to be stopped and killed.
    #[track_caller]
    pub(crate) fn docker_mut(&mut self) -> &mut Dockerd {
        match &mut self.docker {
            Docker::Own(docker) => docker,
            Docker::Shared(_) => panic!("other tests use this daemon"),
        }
    }

    /// The folder of everything.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the policy `NAME.star`. `WORLD` in it becomes this world's name.
    pub(crate) fn policy(&self, name: &str, text: &str) {
        self.write(&format!("policies/{name}.star"), text);
    }

    /// Writes a configuration, as in `skydns/web.json`. `WORLD` in it becomes this world's name.
    pub(crate) fn config(&self, path: &str, text: &str) {
        self.write(&format!("services/{path}"), text);
    }

    /// Writes any file of the world's folder.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("WORLD", &self.name)).unwrap();
    }

    /// Removes a file of the world's folder.
    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.folder.path().join(path)).unwrap();
    }

    /// Copies the policies and configurations that the program is shipped with.
    pub(crate) fn copy_shipped(&self) {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc");
        let status = Command::new("cp")
            .arg("-r")
            .arg(shipped.join("."))
            .arg(self.folder())
            .status();
        assert!(status.unwrap().success());
    }

    /// Runs a container `WORLD-NAME` with the label `world=WORLD`; its id.
    #[track_caller]
    pub(crate) fn run(&self, name: &str, options: &[&str]) -> String {
        let label = format!("world={}", self.name);
        let options = [&["--label", label.as_str()], options].concat();
        self.docker().run(&self.container(name), &options)
    }

    /// Kills and removes a container.
    #[track_caller]
    pub(crate) fn rm(&self, name: &str) {
        self.docker().docker(&["rm", "-f", &self.container(name)]);
    }

    /// The name of a container for Docker.
    pub(crate) fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// The arguments that lead the program to this world's Docker, etcd and files.
    pub(crate) fn flags(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut flags = vec![
            format!("--docker-host={}", self.docker().host()),
            format!("--policies={}", path("policies")),
            format!("--services={}", path("services")),
        ];
        flags.push(match &self.etcd {
            EtcdServer::Embedded(address) => format!("--embedded-listen={address}"),
            etcd => format!("--etcd-endpoint={}", etcd.url()),
        });
        if matches!(self.etcd, EtcdServer::Given(_)) {
            flags.push(format!("--etcd-meta-prefix=/kontena/{}-meta/", self.name));
        }
        flags
    }

    /// Starts the program and waits until it is in sync.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.launch();
        self.program().wait_for_line(&["in sync"]);
    }

    /// Starts the program.
    #[track_caller]
    pub(crate) fn launch(&mut self) {
        assert!(
            self.program.as_mut().is_none_or(|program| !program.runs()),
            "it runs already"
        );
        let args = [vec!["run".to_owned()], self.flags(), self.arguments.clone()].concat();
        let variables: Vec<_> = self
            .variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.program = Some(Program::start(self.folder.path(), &args, &variables));
    }

    /// The program that was started last.
    #[track_caller]
    pub(crate) fn program(&self) -> &Program {
        self.program.as_ref().expect("it was started")
    }

    /// The program that was started last, to be ended.
    #[track_caller]
    pub(crate) fn program_mut(&mut self) -> &mut Program {
        self.program.as_mut().expect("it was started")
    }

    /// The lines of the program's log with all of these words. Other tests use the same engine: what it says of their containers is none
    /// of this one's.
    pub(crate) fn lines(&self, words: &[&str]) -> Vec<String> {
        let any = world_name("");
        let mut lines = self.program().lines(words);
        lines.retain(|line| !line.contains(&any) || names(line, &self.name));
        lines
    }

    /// Runs a command such as `plan` with these arguments to its end.
    pub(crate) fn command(&self, command: &str, args: &[&str]) -> Output {
        let mut program = registrator(self.folder());
        let flags = self.flags();
        let files = flags
            .iter()
            .filter(|flag| flag.starts_with("--policies") || flag.starts_with("--services"));
        let flags: Vec<_> = if command == "check" {
            files.cloned().collect()
        } else {
            flags.clone()
        };
        program
            .arg(command)
            .args(flags)
            .args(args)
            .output()
            .expect("the program starts")
    }

    /// Runs `etcdctl`, whose output is returned.
    #[track_caller]
    pub(crate) fn etcdctl(&self, args: &[&str]) -> String {
        let output = self.run_etcdctl(args);
        assert!(output.status.success(), "etcdctl {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `etcdctl`, which may fail.
    pub(crate) fn run_etcdctl(&self, args: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.etcd.url()])
            .args(args);
        command.output().expect("etcdctl runs")
    }

    /// A client of the etcd.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The node of a key.
    #[track_caller]
    pub(crate) fn node(&self, key: &str) -> Option<Node> {
        let kv = block_on(self.client.get(key)).unwrap()?;
        Some(Node {
            value: String::from_utf8(kv.value).unwrap(),
            lease: kv.lease,
            created: kv.create_revision,
            modified: kv.mod_revision,
        })
    }

    /// Keys and values below a prefix.
    #[track_caller]
    pub(crate) fn nodes(&self, prefix: &str) -> BTreeMap<String, String> {
        let found = || self.nodes_now(prefix);
        let log = || self.program.as_ref().map(Program::log);
        wait_for("an answer of etcd", found, || log().unwrap_or_default())
    }

    /// The same; `None` if etcd does not answer, which does not tell that there are none.
    fn nodes_now(&self, prefix: &str) -> Option<BTreeMap<String, String>> {
        let listing = block_on(self.client.range_prefix(prefix)).ok()?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let nodes = listing.kvs.into_iter();
        Some(nodes.map(|kv| (text(kv.key), text(kv.value))).collect())
    }

    /// Waits until these are all nodes below a prefix.
    #[track_caller]
    pub(crate) fn wait_for_nodes(&self, prefix: &str, nodes: &[(&str, &str)]) {
        let expected: BTreeMap<_, _> = nodes
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        self.wait_until(&format!("{expected:#?} below {prefix}"), |world| {
            world.nodes_now(prefix).as_ref() == Some(&expected)
        });
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        wait_for(
            what,
            || holds(self).then_some(()),
            || {
                format!(
                    "{:#?}\nthe log:\n{}",
                    self.nodes_now("/"),
                    self.program.as_ref().map(Program::log).unwrap_or_default()
                )
            },
        );
    }

    /// etcd's revision.
    #[track_caller]
    pub(crate) fn revision(&self) -> i64 {
        block_on(self.client.range_prefix("none")).unwrap().revision
    }

    /// What changed after a revision, in all of etcd, up to now.
    #[track_caller]
    pub(crate) fn history(&self, after: i64) -> Vec<Change> {
        let now = self.revision();
        match now > after {
            true => block_on(history(self.etcd.url(), after + 1, now)),
            false => Vec::new(),
        }
    }

    /// Writes a key as a stranger does.
    pub(crate) fn put(&self, key: &str, value: &str) {
        self.edit(request_op::Request::RequestPut(PutRequest {
            key: key.into(),
            value: value.replace("WORLD", &self.name).into(),
            ..PutRequest::default()
        }));
    }

    /// Deletes a key as a stranger does.
    pub(crate) fn delete(&self, key: &str) {
        self.edit(request_op::Request::RequestDeleteRange(
            DeleteRangeRequest {
                key: key.into(),
                ..DeleteRangeRequest::default()
            },
        ));
    }

    fn edit(&self, request: request_op::Request) {
        let success = vec![RequestOp {
            request: Some(request),
        }];
        let txn = TxnRequest {
            success,
            ..TxnRequest::default()
        };
        block_on(self.client.txn(txn)).unwrap();
    }

    /// The seconds that a lease has left; -1 if it is gone.
    pub(crate) fn seconds_left(&self, lease: i64) -> i64 {
        block_on(self.client.lease_time_to_live(lease, false))
            .unwrap()
            .ttl
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.program.take();
        if matches!(self.docker, Docker::Shared(_)) {
            let filter = format!("label=world={}", self.name);
            let ids = self.docker().docker(&["ps", "-aq", "--filter", &filter]);
            let ids: Vec<_> = ids.split_whitespace().collect();
            if !ids.is_empty() && !std::thread::panicking() {
                self.docker()
                    .docker(&[&["rm", "-f"], ids.as_slice()].concat());
            }
        }
        if matches!(self.etcd, EtcdServer::Given(_)) {
            for prefix in ["", "-meta"].map(|end| format!("/kontena/{}{end}/", self.name)) {
                let nodes = self.nodes_now(&prefix).unwrap_or_default();
                nodes.keys().for_each(|key| self.delete(key));
            }
        }
    }
}

/// All changes from revision `first` to revision `last`, in which something must have changed.
async fn history(url: String, first: i64, last: i64) -> Vec<Change> {
    let create = WatchCreateRequest {
        key: vec![0],
        range_end: vec![0],
        start_revision: first,
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(watch_request::RequestUnion::CreateRequest(create)),
    };
    let mut client = WatchClient::connect(url).await.unwrap();
    // Without an end: the server would end the watch with its requests.
    let requests =
        tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
    let mut answers = client.watch(requests).await.unwrap().into_inner();
    let (mut changes, mut seen) = (Vec::new(), 0);
    while seen < last {
        let answer = tokio::time::timeout(DEADLINE, answers.message()).await;
        let answer = answer.expect("etcd tells its history").unwrap().unwrap();
        assert!(!answer.canceled, "{answer:?}");
        for event in answer.events {
            let put = event.r#type() == EventType::Put;
            let kv = event.kv.unwrap();
            seen = kv.mod_revision;
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            if seen <= last {
                changes.push(match put {
                    true => Change::Put(text(kv.key), text(kv.value)),
                    false => Change::Delete(text(kv.key)),
                });
            }
        }
    }
    changes
}
