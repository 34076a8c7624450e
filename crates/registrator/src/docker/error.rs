//! What can go wrong between this program and the Docker daemon.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio_rustls::rustls;

/// Why a call to Docker failed. `call` names the call in words, as in "list of containers".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine does not say who it is, for this reason.
    #[error("{0}: give --host-id")]
    NoEngineId(&'static str),
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
        path: PathBuf,
        #[source]
        source: CertificateError,
    },
    /// Docker did not answer in time.
    #[error("Docker did not answer the {call} request within {} s", after.as_secs_f64())]
    Timeout {
        call: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection broke under a request or its answer.
    #[error("{message}")]
    Broken {
        message: String,
        /// The HTTP library's reason.
        #[source]
        source: BoxError,
    },
    /// The event stream came to its end, as when the daemon stops.
    #[error("Docker ended the event stream")]
    EventsEnded,
    #[error(
        "Docker answered the {call} request with {status}: {message}{}",
        status_advice(message)
    )]
    Status {
        call: &'static str,
        status: StatusCode,
        /// Docker's own words.
        message: String,
    },
    /// An answer is not what Docker's API documents.
    #[error("{message}")]
    Unreadable {
        message: String,
        #[source]
        source: BoxError,
    },
    /// Anything else about what Docker answered, or is, in words.
    #[error("{0}")]
    Other(String),
}

/// A cause that nobody looks into.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    /// A key of another certificate.
    #[error("it does not belong to {}", .0.display())]
    Mismatch(PathBuf),
    /// A client certificate without its key, or the other way round.
    #[error("it is missing, but {} is there: client certificates need both", .0.display())]
    Half(PathBuf),
}

impl Error {
    /// The answer to `call` broke off.
    pub(super) fn broke_off(call: &str, source: hyper::Error) -> Self {
        Self::Broken {
            message: format!("Docker's answer to the {call} request broke off"),
            source: source.into(),
        }
    }

    /// The answer to `call` is not the JSON that it should be.
    pub(super) fn not_as_documented(call: &str, source: serde_json::Error) -> Self {
        Self::Unreadable {
            message: format!("Docker's answer to the {call} request is not what its API documents"),
            source: source.into(),
        }
    }

    /// The answer to `call` is longer than this program is ready to hold.
    pub(super) fn too_long(call: &str, limit: usize) -> Self {
        Self::Other(format!(
            "Docker's answer to the {call} request is longer than {limit} bytes"
        ))
    }

    /// Whether an answer ended before it was complete: the daemon has ended, or a proxy has cut it.
    pub(super) fn is_end_of_answer(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::EventsEnded)
    }

    /// Whether the connection failed rather than the daemon answered.
    pub(super) fn is_transport(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. }
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
    if message.contains("HTTP request to an HTTPS server") {
        " (set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH)"
    } else {
        ""
    }
}
