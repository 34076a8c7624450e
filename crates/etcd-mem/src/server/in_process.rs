//! Connections within the process: no socket, and nobody else can use them or use them up.

use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// What may wait on its way in each direction.
const BUFFER_BYTES: usize = 64 << 10;

/// Connects to a server of this process, for tonic's client, whatever host an endpoint names. Clones connect to the same one.
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
    /// Opens a connection, unless the server has ended.
    pub(super) fn connect(&self) -> io::Result<DuplexStream> {
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

impl Service<Uri> for InProcess {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.connect().map(TokioIo::new))
    }
}
