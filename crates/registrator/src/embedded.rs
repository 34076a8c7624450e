//! The embedded etcd: one host needs no other.
//!
//! The registrator reaches it within the process. What listens on a socket is for others, and by default only to read:
//! a user who could write there could tell a process of root which names to register.

use crate::error_chain::error_chain;
use crate::open_files;
use crate::settings::{EmbeddedAccess, EmbeddedSettings};
use etcd_mem::server::{InProcess, Limits, Server, Trouble, in_process};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

/// What clients are told whose request would change something.
const READ_ONLY: &str = "this embedded etcd is read-only. Start kontena-registrator with --embedded-access write \
                         (KONTENA_REGISTRATOR_EMBEDDED_ACCESS=write) to let every user of its host write";

/// Why the embedded etcd cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Something listens there already.
    #[error(
        "cannot listen on {0} for the embedded etcd: the port is taken. If an etcd runs there, use it with \
         --etcd-endpoint http://{0} (ETCD_ENDPOINT); if not, choose another port with --embedded-listen \
         (KONTENA_REGISTRATOR_EMBEDDED_LISTEN)"
    )]
    Taken(SocketAddr),
    /// Anything else.
    #[error(
        "cannot listen on {address} for the embedded etcd: choose another address with --embedded-listen (KONTENA_REGISTRATOR_EMBEDDED_LISTEN)"
    )]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// An etcd that runs as long as this value is kept.
#[derive(Debug)]
pub struct Embedded {
    address: SocketAddr,
    inside: InProcess,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), etcd_mem::server::ServeError>>,
}

impl Embedded {
    /// Serves an empty etcd: to this process without limits, and at `address` to everybody else as far as `settings` let them.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(
        address: SocketAddr,
        settings: &EmbeddedSettings,
    ) -> Result<Embedded, EmbeddedError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => EmbeddedError::Taken(address),
                _ => EmbeddedError::Listen { address, source },
            })?;
        let address = listener
            .local_addr()
            .map_err(|source| EmbeddedError::Listen { address, source })?;
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            // A dropped sender means the same.
            let _ = stopped.await;
        };
        let (inside, connections) = in_process();
        let (report, troubles) = mpsc::unbounded_channel();
        tokio::spawn(tell(address, troubles));
        let server = server(settings).report(report);
        let task = tokio::spawn(server.serve_with(listener, connections, shutdown));
        Ok(Embedded {
            address,
            inside,
            stop,
            task,
        })
    }

    /// Where others reach it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How this process reaches it.
    pub fn inside(&self) -> InProcess {
        self.inside.clone()
    }

    /// Whether it listens on other interfaces than the loopback: it has no passwords.
    pub fn exposed(&self) -> bool {
        !self.address.ip().is_loopback()
    }

    /// Ends it, with its clients' streams.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

fn server(settings: &EmbeddedSettings) -> Server {
    let server = Server::new().quota(settings.quota).limits(limits());
    match settings.access {
        EmbeddedAccess::Read => server.read_only_outside(READ_ONLY),
        EmbeddedAccess::Write => server,
    }
}

/// Others together never have more than a quarter of the files and connections that this process may have open.
fn limits() -> Limits {
    let limits = Limits::default();
    Limits {
        connections: limits.connections.min(open_files::limit() / 4),
        ..limits
    }
}

/// Logs what keeps others from being served, until the server ends.
async fn tell(address: SocketAddr, mut troubles: mpsc::UnboundedReceiver<Trouble>) {
    while let Some(trouble) = troubles.recv().await {
        match trouble {
            Trouble::Full { connections } => warn!(
                "the embedded etcd on {address} has {connections} connections of others, and accepts no more; `ss -tnp` shows whose they are"
            ),
            Trouble::Accept(error) => warn!(
                "the embedded etcd on {address} cannot accept connections of others now: {}",
                error_chain(&error)
            ),
        }
    }
}
