//! Connections within the process: no socket, and nobody else can use them or use them up.

use std::io;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// What may wait on its way in each direction.
const BUFFER_BYTES: usize = 64 << 10;

/// Connects to a server of this process. Clones connect to the same one.
#[derive(Clone, Debug)]
pub struct InProcess {
    connections: mpsc::UnboundedSender<DuplexStream>,
}

/// The server's side of [`InProcess`].
#[derive(Debug)]
pub struct InProcessListener {
    pub(super) connections: mpsc::UnboundedReceiver<DuplexStream>,
}

/// Both sides, for [`Server::serve_with`](super::Server::serve_with).
pub fn in_process() -> (InProcess, InProcessListener) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let connector = InProcess {
        connections: sender,
    };
    let listener = InProcessListener {
        connections: receiver,
    };
    (connector, listener)
}

impl InProcess {
    /// Opens a connection.
    ///
    /// # Errors
    /// The server has ended.
    pub fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        self.connections.send(far).map_err(|_| {
            io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the embedded etcd has ended",
            )
        })?;
        Ok(near)
    }
}
