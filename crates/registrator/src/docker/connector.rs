//! Opens connections to a [`DockerEndpoint`], for hyper's client.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use tower_service::Service;

use super::endpoint::DockerEndpoint;
use super::error::Error;
use super::tls::Certificates;
use crate::endpoint::Authority;
use crate::error_chain::causes;

/// How long a silent TCP connection stays unquestioned. The event stream can be silent for days; without probes a middlebox
/// would forget it, and nobody would tell us.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const TCP_KEEPALIVE_RETRIES: u32 = 3;

/// Connects to one endpoint, whatever host the URI of the request names.
#[derive(Clone)]
pub(super) struct Connector {
    target: Arc<Destination>,
    limit: Duration,
}

enum Destination {
    Unix(Box<Path>),
    Tcp(HttpConnector, Uri),
    Tls(HttpConnector, Uri, Certificates, ServerName<'static>),
}

impl Connector {
    /// Reads the certificate files of a TLS endpoint; they are read again for each connection. A connection not made within
    /// `limit` is given up.
    pub(super) fn new(endpoint: &DockerEndpoint, limit: Duration) -> Result<Self, Error> {
        let target = match endpoint {
            DockerEndpoint::Unix(path) => Destination::Unix(path.clone().into_boxed_path()),
            DockerEndpoint::Tcp(authority) => {
                Destination::Tcp(http_connector(limit), uri(authority)?)
            }
            DockerEndpoint::Tls {
                authority,
                cert_path,
            } => Destination::Tls(
                http_connector(limit),
                uri(authority)?,
                Certificates::read(cert_path)?,
                ServerName::try_from(authority.host.clone()).map_err(|_| server_name(authority))?,
            ),
        };
        Ok(Self {
            target: Arc::new(target),
            limit,
        })
    }

    /// What to do about a connection that broke, in brackets, or nothing. `answered` is whether Docker ever did.
    pub(super) fn advice_if_broken(&self, symptom: &str, answered: bool) -> String {
        let advice = match &*self.target {
            Destination::Tls(.., certificates, _) => certificates.advice(symptom, true, answered),
            Destination::Unix(_) | Destination::Tcp(..) => None,
        };
        advice.map_or(String::new(), |advice| format!(" ({advice})"))
    }

    /// The URI in front of the path of each request: hyper makes the `Host` header of it.
    pub(super) fn base(&self) -> String {
        match &*self.target {
            Destination::Unix(_) => "http://docker".to_owned(),
            Destination::Tcp(_, uri) | Destination::Tls(_, uri, ..) => {
                uri.to_string().trim_end_matches('/').to_owned()
            }
        }
    }
}

fn http_connector(limit: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(limit));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(TCP_KEEPALIVE));
    connector.set_keepalive_interval(Some(TCP_KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(TCP_KEEPALIVE_RETRIES));
    connector
}

fn uri(authority: &Authority) -> Result<Uri, Error> {
    format!("http://{authority}/")
        .parse()
        .map_err(|_| server_name(authority))
}

fn server_name(authority: &Authority) -> Error {
    let host = &authority.host;
    Error::Other(format!(
        "{host:?} in DOCKER_HOST is not a name that a certificate can have"
    ))
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { target, limit } = self.clone();
        Box::pin(async move {
            let connected = timeout(limit, connect(&target)).await;
            let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            connected.map_err(|error| ConnectError(Arc::new(error)))
        })
    }
}

async fn connect(target: &Destination) -> io::Result<Wire> {
    match target {
        Destination::Unix(path) => Ok(Wire::new(UnixStream::connect(path).await?)),
        Destination::Tcp(connector, uri) => Ok(Wire::new(tcp(connector, uri).await?)),
        Destination::Tls(connector, uri, certificates, name) => {
            let stream = tcp(connector, uri).await?;
            let (tls, problem) = certificates.again().await;
            let connected = tls.connector.connect(name.clone(), stream).await;
            let connected = connected.map_err(|error| {
                let hint = match problem {
                    Some(problem) => Some(format!("with the former certificates: {problem}")),
                    None => certificates.advice(&error.to_string(), false, false),
                };
                match hint {
                    Some(hint) => io::Error::new(error.kind(), format!("{error} ({hint})")),
                    None => error,
                }
            });
            Ok(Wire::new(connected?))
        }
    }
}

async fn tcp(connector: &HttpConnector, uri: &Uri) -> io::Result<TcpStream> {
    match connector.clone().call(uri.clone()).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => Err(root_cause(error)),
    }
}

/// hyper wraps the operating system's error in words that say no more; its kind decides what we advise.
fn root_cause(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let io = causes(&error).find_map(|cause| cause.downcast_ref::<io::Error>());
    match io.map(|io| (io, io.raw_os_error())) {
        Some((_, Some(code))) => io::Error::from_raw_os_error(code),
        Some((io, None)) => io::Error::new(io.kind(), io.to_string()),
        None => io::Error::other(error),
    }
}

/// The cause of a failed connection, shared because hyper keeps the original.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect")]
pub(super) struct ConnectError(#[source] pub(super) Arc<io::Error>);

trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

/// An open connection of any kind.
pub(super) struct Wire(TokioIo<Box<dyn Bytestream>>);

impl Wire {
    fn new(stream: impl Bytestream + 'static) -> Self {
        Self(TokioIo::new(Box::new(stream)))
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
