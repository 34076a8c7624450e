//! The embedded etcd: one host needs no other.
//!
//! The registrator reaches it within the process. What listens on a socket is for others, and by default only to read:
//! whoever could write there could tell a process of root which names to register.

use crate::settings::{EmbeddedAccess, EmbeddedSettings};
use etcd_mem::server::{InProcess, Server, in_process};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
        let task = tokio::spawn(server(settings).serve_with(listener, connections, shutdown));
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
    let server = Server::new().quota(settings.quota);
    match settings.access {
        EmbeddedAccess::Read => server.read_only_outside(READ_ONLY),
        EmbeddedAccess::Write => server,
    }
}
