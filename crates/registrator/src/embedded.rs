//! The embedded etcd: one host needs no other.

use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), etcd_mem::server::ServeError>>,
}

impl Embedded {
    /// Serves an empty etcd.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(address: SocketAddr) -> Result<Embedded, EmbeddedError> {
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
        let task = tokio::spawn(etcd_mem::server::serve(listener, shutdown));
        Ok(Embedded {
            address,
            stop,
            task,
        })
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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
