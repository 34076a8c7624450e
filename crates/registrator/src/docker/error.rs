//! What can go wrong between this program and the Docker daemon.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use registrator_core::observe::container::{ContainerError, ContainerId};
use tokio_rustls::rustls;

use super::api_version::ApiVersion;

/// Why a call to Docker failed. `call` names the call in words, as in "list of containers".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request has no valid address; seen only if an engine's ids are not what Docker's are.
    #[error("the {call} request has no valid address: {path}")]
    BadPath {
        /// The call.
        call: &'static str,
        /// The path of the address.
        path: String,
    },
    /// The engine does not say who it is.
    #[error("Docker's info names no engine ID: set the node name")]
    NoEngineId,
    /// No connection.
    #[error("cannot connect to Docker at {endpoint}{}", connect_advice(.source))]
    Connect {
        /// The endpoint as a `DOCKER_HOST`.
        endpoint: String,
        /// The operating system's or the TLS library's reason.
        #[source]
        source: Arc<io::Error>,
    },
    /// A certificate or key file cannot be used.
    #[error("cannot use {}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// The name in `DOCKER_HOST` cannot be the name of a TLS server.
    #[error("{host:?} in DOCKER_HOST is not a name that a certificate can have")]
    ServerName {
        /// The name.
        host: String,
    },
    /// Docker did not answer in time.
    #[error("Docker did not answer the {call} request within {} s", after.as_secs_f64())]
    Timeout {
        /// The call.
        call: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The request could not be sent, or its answer's head could not be read.
    #[error("the {call} request to Docker failed")]
    Request {
        /// The call.
        call: &'static str,
        /// The HTTP library's reason.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The answer broke off.
    #[error("Docker's answer to the {call} request broke off")]
    Body {
        /// The call.
        call: &'static str,
        /// The HTTP library's reason.
        #[source]
        source: hyper::Error,
    },
    /// The event stream came to its end, as when the daemon stops.
    #[error("Docker ended the event stream")]
    EventsEnded,
    /// The answer is longer than this program is ready to hold.
    #[error("Docker's answer to the {call} request is longer than {limit} bytes")]
    TooLong {
        /// The call.
        call: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// Docker refused.
    #[error(
        "Docker answered the {call} request with {status}: {message}{}",
        status_advice(message)
    )]
    Status {
        /// The call.
        call: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// Docker's own words.
        message: String,
    },
    /// The answer is not the JSON that Docker's API documents.
    #[error("Docker's answer to the {call} request is not what its API documents")]
    Json {
        /// The call.
        call: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The inspect document is not one of a container.
    #[error("cannot read the inspect document of container {}", id.short())]
    Container {
        /// The container that was asked for.
        id: ContainerId,
        /// Why.
        #[source]
        source: ContainerError,
    },
    /// The inspect document is that of another container.
    #[error("asked for container {}, Docker answered with {}", id.short(), answered.short())]
    OtherContainer {
        /// The container that was asked for.
        id: ContainerId,
        /// The one in the answer.
        answered: ContainerId,
    },
    /// The answer to `/_ping` names no API version.
    #[error(
        "what listens at {endpoint} does not answer as a Docker daemon does (no Api-Version header)"
    )]
    NotDocker {
        /// The endpoint as a `DOCKER_HOST`.
        endpoint: String,
    },
    /// The daemon is older than this program can work with.
    #[error(
        "the Docker daemon at {endpoint} speaks API {daemon}, at least {minimum} (Docker 20.10) is needed: upgrade Docker"
    )]
    TooOld {
        /// The endpoint as a `DOCKER_HOST`.
        endpoint: String,
        /// The newest API that the daemon speaks.
        daemon: ApiVersion,
        /// The oldest API that this program speaks.
        minimum: ApiVersion,
    },
}

/// What is wrong with a certificate or key file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// It holds none of what it should hold.
    #[error("it holds no {0} in PEM format")]
    Missing(&'static str),
    /// Its PEM text is damaged.
    #[error("its PEM text is damaged: {0}")]
    Pem(String),
    /// The TLS library does not accept the content.
    #[error("it is not accepted")]
    Refused(#[source] rustls::Error),
    /// A client certificate without its key, or the other way round.
    #[error("it is missing, but {} is there: client certificates need both", .0.display())]
    Half(PathBuf),
}

impl Error {
    /// Whether the connection failed rather than the daemon answered.
    pub(super) fn is_transport(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Timeout { .. } | Self::Request { .. } | Self::Body { .. }
        )
    }
}

fn connect_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => " (is Docker running?)",
        io::ErrorKind::PermissionDenied => {
            " (run as root or as a member of the group that owns the socket)"
        }
        _ => "",
    }
}

fn status_advice(message: &str) -> &'static str {
    match message.contains("HTTP request to an HTTPS server") {
        true => " (set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH)",
        false => "",
    }
}
