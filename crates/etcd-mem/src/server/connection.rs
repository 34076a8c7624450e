//! One connection from the network. It has a place among the others, and loses it if its client does not do its part.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use super::authority::Requests;
use super::turns::OfConnection;

/// HTTP/2's preface, and the head of the first frame. From then on the server's pings tell who is there.
const BEGINNING: usize = 24 + 9;

/// How much is read at once, in bytes.
const CHUNK: usize = 8 << 10;

/// A client's connection. Reading fails when the client has not begun to speak in time, writing when it takes nothing.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    requests: Requests,
    /// What was read and is not handed on yet.
    ready: Vec<u8>,
    patience: Duration,
    /// What is left of [`BEGINNING`].
    missing: usize,
    /// When the beginning must have come.
    begins: Pin<Box<Sleep>>,
    /// Since the client takes nothing: when it must have taken something.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, place: OwnedSemaphorePermit, patience: Duration) -> Self {
        Self {
            stream,
            requests: Requests::new(),
            ready: Vec::new(),
            patience,
            missing: BEGINNING,
            begins: Box::pin(tokio::time::sleep(patience)),
            stalled: None,
            _place: place,
        }
    }

    /// Reads what has come; `false` at the end.
    fn poll_come(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; CHUNK];
        let mut come = ReadBuf::new(&mut bytes);
        if Pin::new(&mut self.stream)
            .poll_read(context, &mut come)?
            .is_pending()
        {
            return Poll::Pending;
        }
        let come = come.filled();
        self.missing = self.missing.saturating_sub(come.len());
        if come.is_empty() {
            self.ready = self.requests.take_rest();
        } else {
            self.requests.take(come, &mut self.ready);
        }
        Poll::Ready(Ok(!come.is_empty()))
    }

    /// Watches over what came of an attempt to write.
    fn progress<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.stalled = None;
            return attempt;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled.as_mut().poll(context).map(|()| Err(too_slow()))
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client is too slow")
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.ready.is_empty() {
            match this.poll_come(context)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => break,
                Poll::Pending if this.missing > 0 => {
                    return this.begins.as_mut().poll(context).map(|()| Err(too_slow()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let now = this.ready.len().min(buffer.remaining());
        buffer.put_slice(this.ready.get(..now).unwrap_or_default());
        this.ready.drain(..now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progress(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.progress(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = OfConnection;

    fn connect_info(&self) -> OfConnection {
        OfConnection::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    const LONG: Duration = Duration::from_secs(60);

    async fn pair(patience: Duration) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let place = Arc::new(Semaphore::new(1))
            .try_acquire_owned()
            .expect("a place");
        (Connection::new(stream, place, patience), client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut connection, client) = pair(Duration::from_millis(100)).await;
        // More than the system keeps for a connection.
        let bytes = vec![0; 64 << 20];
        let written = tokio::time::timeout(LONG, connection.write_all(&bytes)).await;
        let error = written.expect("it is given up").expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_takes_a_little_at_a_time_is_served() {
        let (mut connection, mut client) = pair(LONG).await;
        let bytes = vec![0; 16 << 20];
        let take = async {
            let mut taken = 0;
            let mut part = vec![0; 64 << 10];
            while taken < 16 << 20 {
                taken += client.read(&mut part).await.expect("read");
                tokio::task::yield_now().await;
            }
        };
        let (written, ()) = tokio::join!(connection.write_all(&bytes), take);
        written.expect("all is taken");
        assert!(connection.stalled.is_none(), "no old deadline is left");
    }
}
