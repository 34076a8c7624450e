//! Connections to an etcd that this process serves, for tonic's client.

use etcd_mem::server::InProcess;
use hyper_util::rt::TokioIo;
use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};
use tokio::io::DuplexStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// Connects to the server in this process, whatever host the endpoint names.
pub(super) struct InProcessConnector(pub(super) InProcess);

impl Service<Uri> for InProcessConnector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.connect().map(TokioIo::new))
    }
}
