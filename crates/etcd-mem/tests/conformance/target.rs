//! The servers under test: etcd-mem in this process, real etcds as child processes, one that runs already.

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd_api::StatusRequest;
use etcd_api::maintenance_client::MaintenanceClient;
use tonic::transport::{Channel, Endpoint};

/// One server under test. Dropping it ends a server that was started here.
pub struct Target {
    /// Where it listens, as a URL.
    pub endpoint: String,
    pub channel: Channel,
    /// The version that it reports.
    pub version: String,
    _server: Option<Server>,
}

enum Server {
    Memory {
        _shutdown: tokio::sync::oneshot::Sender<()>,
    },
    Process {
        child: Child,
        _folder: tempfile::TempDir,
    },
}

impl Server {
    fn has_exited(&mut self) -> bool {
        match self {
            Self::Memory { .. } => false,
            Self::Process { child, .. } => child.try_wait().is_ok_and(|exit| exit.is_some()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Process { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// etcd-mem, in this process.
    Memory,
    /// The program `etcd` of the search path.
    Installed,
    /// The program that `ETCD_3_5_BIN` names.
    V3_5,
    /// The program that `ETCD_3_6_BIN` names.
    V3_6,
    /// The server that `ETCD_ENDPOINT` names.
    Running,
}

impl Target {
    /// Starts or finds the server; `None`, with a line on stderr, if there is none and that is allowed.
    pub async fn find(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Memory => Some(Self::memory().await),
            Kind::Installed => match on_path("etcd") {
                Some(program) => Some(Self::process(&program).await),
                None => skip(
                    "a real etcd",
                    "no program `etcd` is in PATH (Debian: etcd-server)",
                ),
            },
            Kind::V3_5 => Self::from_variable("ETCD_3_5_BIN").await,
            Kind::V3_6 => Self::from_variable("ETCD_3_6_BIN").await,
            Kind::Running => match env::var("ETCD_ENDPOINT") {
                Ok(endpoint) => Some(
                    Self::connect(&endpoint, None)
                        .await
                        .expect("ETCD_ENDPOINT answers"),
                ),
                // Nobody has to have one: its absence is no gap in the tests.
                Err(_) => {
                    eprintln!("SKIPPED: a running etcd because ETCD_ENDPOINT is not set");
                    None
                }
            },
        }
    }

    pub async fn memory() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (shutdown, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let ended = async { drop(stopped.await) };
            etcd_mem::server::serve(listener, ended)
                .await
                .expect("etcd-mem serves");
        });
        let server = Server::Memory {
            _shutdown: shutdown,
        };
        Self::connect(&endpoint, Some(server))
            .await
            .expect("etcd-mem answers")
    }

    async fn from_variable(name: &str) -> Option<Self> {
        match env::var(name) {
            Ok(program) => Some(Self::process(Path::new(&program)).await),
            Err(_) => skip(
                "a real etcd",
                &format!("{name} is not set; scripts/fetch-etcd.sh prints it"),
            ),
        }
    }

    /// Two free ports are found by binding them; another process may take one before etcd does, so it is tried again.
    async fn process(program: &Path) -> Self {
        for _ in 0..5 {
            let (endpoint, server) = start(program);
            if let Some(target) = Self::connect(&endpoint, Some(server)).await {
                return target;
            }
        }
        panic!("{} does not start", program.display());
    }

    async fn connect(endpoint: &str, mut server: Option<Server>) -> Option<Self> {
        let channel = Endpoint::from_shared(endpoint.to_owned())
            .expect("an endpoint URL")
            .connect_lazy();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut client = MaintenanceClient::new(channel.clone());
            if let Ok(status) = client.status(StatusRequest {}).await
                && status.get_ref().leader != 0
            {
                let version = status.into_inner().version;
                return Some(Self {
                    endpoint: endpoint.to_owned(),
                    channel,
                    version,
                    _server: server,
                });
            }
            let dead = server.as_mut().is_some_and(Server::has_exited);
            if dead || Instant::now() > deadline {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Says that something is not tested; an error if everything must be.
pub fn skip<T>(what: &str, why: &str) -> Option<T> {
    eprintln!("SKIPPED: {what} because {why}");
    let required = env::var("REGISTRATOR_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "{what} is required by REGISTRATOR_REQUIRE_ALL=1, but {why}"
    );
    None
}

pub fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn start(program: &Path) -> (String, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let (client, peer) = (free_port(), free_port());
    let endpoint = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let child = Command::new(program)
        .arg("--data-dir")
        .arg(folder.path().join("etcd"))
        .args([
            "--name",
            "conformance",
            "--initial-cluster",
            &format!("conformance={peer}"),
        ])
        .args([
            "--listen-client-urls",
            &endpoint,
            "--advertise-client-urls",
            &endpoint,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    (
        endpoint,
        Server::Process {
            child,
            _folder: folder,
        },
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
