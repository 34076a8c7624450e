//! Channels to the endpoints, each connected when first used.
//!
//! The files for TLS are read at the start, and again for each connection that takes the place of one that failed: certificates of a
//! short life are replaced on disk. New files that cannot be used leave the former in use.

use crate::aside::{self, Aside};
use crate::error_chain::error_chain;
use crate::etcd::client::ANSWER_WITHIN;
use crate::etcd::endpoint::EtcdEndpoint;
use crate::etcd::error::{Cause, Error};
use crate::etcd::settings::{Settings, SettingsError, TlsFiles};
use crate::tls_advice::{OwnCertificate, Sides};
use etcd_mem::server::InProcess;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// One endpoint and the connection to it.
#[derive(Debug)]
pub(super) struct Remote {
    /// The endpoint's URL, for messages.
    pub(super) name: String,
    endpoint: EtcdEndpoint,
    files: Arc<TlsFiles>,
    aside: Aside,
    /// Whether a connection failed since the files were read.
    failed: AtomicBool,
    /// Whether it ever answered.
    answered: AtomicBool,
    state: Mutex<RemoteState>,
}

#[derive(Debug)]
struct RemoteState {
    /// The connection, made when first used and again when it broke.
    channel: Channel,
    /// The client certificate in use.
    own: Option<OwnCertificate>,
    /// Why the files as they are now are not used.
    problem: Option<String>,
}

/// How to connect, and with which certificate.
struct Way {
    connection: tonic::transport::Endpoint,
    own: Option<OwnCertificate>,
}

impl Remote {
    fn new(endpoint: &EtcdEndpoint, settings: &Settings) -> Result<Remote, SettingsError> {
        let files = Arc::new(settings.tls.clone());
        let way = if endpoint.tls() {
            let (endpoint, files) = (endpoint.clone(), Arc::clone(&files));
            aside::wait_for(move || way(&endpoint, &files)).map_err(SettingsError::Hangs)??
        } else {
            way(endpoint, &files)?
        };
        Ok(Remote {
            name: endpoint.to_string(),
            endpoint: endpoint.clone(),
            files,
            aside: Aside::default(),
            failed: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            state: Mutex::new(RemoteState {
                channel: channel(&way.connection, settings.in_process.as_ref()),
                own: way.own,
                problem: None,
            }),
        })
    }

    /// The channel in use.
    pub(super) fn channel(&self) -> Channel {
        self.lock().channel.clone()
    }

    /// To be called when there was an answer of any kind.
    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// To be called when a connection failed.
    pub(super) fn note_failure(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Reads the files again if a connection failed. Streams that the former connection still has stay with it.
    pub(super) async fn renew(&self) {
        if !self.endpoint.tls() || !self.failed.swap(false, Ordering::Relaxed) {
            return;
        }
        let (endpoint, files) = (self.endpoint.clone(), Arc::clone(&self.files));
        let read = self.aside.run(move || way(&endpoint, &files)).await;
        let way = read.map_err(SettingsError::Hangs).flatten();
        let mut state = self.lock();
        match way {
            Ok(way) => {
                state.channel = way.connection.connect_lazy();
                state.own = way.own;
                state.problem = None;
            }
            Err(error) => state.problem = Some(error_chain(&error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, RemoteState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error that `status` tells of.
    pub(super) fn error(&self, status: &Status) -> Error {
        let explained = |cause: Cause, broke| {
            let hint = self.hint(&cause.to_string(), broke);
            cause.with_advice(hint)
        };
        match Error::of_status(&self.name, status) {
            Error::Broken { endpoint, cause } => Error::Broken {
                endpoint,
                cause: explained(cause, true),
            },
            Error::Unreachable { endpoint, cause } => Error::Unreachable {
                endpoint,
                cause: explained(cause, false),
            },
            other => {
                self.note_answer();
                other
            }
        }
    }

    /// What else may be why a connection does not come about, or `broke`.
    fn hint(&self, symptom: &str, broke: bool) -> Option<String> {
        let answered = self.answered.load(Ordering::Relaxed);
        if !self.endpoint.tls() {
            return (broke && !answered)
                .then(|| "if etcd speaks TLS there, write https://".to_owned());
        }
        let state = self.lock();
        if let Some(problem) = &state.problem {
            return Some(format!("with the former files for TLS: {problem}"));
        }
        let sides = Sides {
            server: "etcd",
            own: state.own.as_ref(),
            how_to_own: "give --etcd-cert-file and --etcd-key-file",
            how_to_go_plain: "write http://",
            answered,
        };
        sides.advice(symptom, broke, SystemTime::now())
    }

    /// The error if nothing came.
    pub(super) fn timed_out(&self) -> Error {
        Error::no_answer(&self.name, ANSWER_WITHIN)
    }
}

/// One for each endpoint.
pub(super) fn remotes(settings: &Settings) -> Result<Vec<Remote>, SettingsError> {
    let endpoints = settings.endpoints.iter();
    endpoints
        .map(|endpoint| Remote::new(endpoint, settings))
        .collect()
}

/// How to connect; reads the files. The pings find a peer that has vanished without a word: in 9 s. etcd tolerates one each
/// 5 s. Leases are renewed each 3 s, and what is heard puts a ping off: with an even multiple of that the timer wakes the process less often.
fn way(endpoint: &EtcdEndpoint, files: &TlsFiles) -> Result<Way, SettingsError> {
    let unusable = |error: tonic::transport::Error| unusable(endpoint, files, Cause::of(&error));
    let connection = tonic::transport::Endpoint::new(endpoint.to_string())
        .map_err(unusable)?
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(6))
        .keep_alive_timeout(Duration::from_secs(3))
        .keep_alive_while_idle(true);
    if !endpoint.tls() {
        let own = None;
        return Ok(Way { connection, own });
    }
    let (tls, own) = tls_config(files)?;
    let tls = tls.domain_name(endpoint.host());
    Ok(Way {
        connection: connection.tls_config(tls).map_err(unusable)?,
        own,
    })
}

/// The server in this process, if there is one, and what the endpoint names if not.
fn channel(connection: &tonic::transport::Endpoint, in_process: Option<&InProcess>) -> Channel {
    match in_process {
        Some(server) => connection.connect_with_connector_lazy(server.clone()),
        None => connection.connect_lazy(),
    }
}

/// tonic tells faults apart by their words alone.
fn unusable(endpoint: &EtcdEndpoint, files: &TlsFiles, source: Cause) -> SettingsError {
    let text = source.to_string();
    if text.contains("no native certs found") {
        return SettingsError::NoAuthorities;
    }
    if let (true, Some(cert), Some(key)) = (text.contains("KeyMismatch"), &files.cert, &files.key) {
        return SettingsError::Mismatch {
            cert: cert.clone(),
            key: key.clone(),
        };
    }
    SettingsError::Tls {
        endpoint: endpoint.to_string(),
        source,
    }
}

fn tls_config(
    files: &TlsFiles,
) -> Result<(ClientTlsConfig, Option<OwnCertificate>), SettingsError> {
    let config = match &files.ca {
        Some(path) => {
            let ca = Certificate::from_pem(read("CA file for etcd", path)?);
            ClientTlsConfig::new().ca_certificate(ca)
        }
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let pem = read("client certificate for etcd", cert)?;
            let key = read("client key for etcd", key)?;
            let own = OwnCertificate::parse(cert, &pem);
            Ok((config.identity(Identity::from_pem(pem, key)), own))
        }
        _ => Ok((config, None)),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::File {
        what,
        path: path.to_owned(),
        source,
    })
}
