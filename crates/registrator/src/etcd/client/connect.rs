//! Channels to the endpoints, each connected when first used.
//!
//! The files for TLS are read at the start, and again for each connection that takes the place of one that failed: certificates of a
//! short life are replaced on disk. New files that cannot be used leave the former in use.

use super::in_process::InProcessConnector;
use crate::aside::{self, Aside};
use crate::error_chain::error_chain;
use crate::etcd::client::ANSWER_WITHIN;
use crate::etcd::endpoint::EtcdEndpoint;
use crate::etcd::error::{Cause, Error};
use crate::etcd::settings::{Settings, SettingsError, TlsFiles};
use etcd_mem::server::InProcess;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
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
    state: Mutex<RemoteState>,
}

#[derive(Debug)]
struct RemoteState {
    /// The connection, made when first used and again when it broke.
    channel: Channel,
    /// Why the files as they are now are not used.
    problem: Option<String>,
}

impl Remote {
    fn new(endpoint: &EtcdEndpoint, settings: &Settings) -> Result<Remote, SettingsError> {
        let files = Arc::new(settings.tls.clone());
        let connection = if endpoint.tls() {
            let (endpoint, files) = (endpoint.clone(), Arc::clone(&files));
            aside::wait_for(move || connection(&endpoint, &files))
                .map_err(SettingsError::Hangs)??
        } else {
            connection(endpoint, &files)?
        };
        Ok(Remote {
            name: endpoint.to_string(),
            endpoint: endpoint.clone(),
            files,
            aside: Aside::default(),
            failed: AtomicBool::new(false),
            state: Mutex::new(RemoteState {
                channel: channel(&connection, settings.in_process.as_ref()),
                problem: None,
            }),
        })
    }

    /// The channel in use.
    pub(super) fn channel(&self) -> Channel {
        self.lock().channel.clone()
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
        let read = self.aside.run(move || connection(&endpoint, &files)).await;
        let connection = read.map_err(SettingsError::Hangs).flatten();
        let mut state = self.lock();
        match connection {
            Ok(connection) => {
                state.channel = connection.connect_lazy();
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
        let hint = self.hint();
        let explained = |cause: Cause| match &hint {
            Some(hint) => Cause::text(&format!("{cause} ({hint})")),
            None => cause,
        };
        match Error::of_status(&self.name, status) {
            Error::Broken { endpoint, cause } => Error::Broken {
                endpoint,
                cause: explained(cause),
            },
            Error::Unreachable { endpoint, cause } if self.lock().problem.is_some() => {
                Error::Unreachable {
                    endpoint,
                    cause: explained(cause),
                }
            }
            other => other,
        }
    }

    /// What else may be why a connection failed. A server that demands a client certificate may just hang up.
    fn hint(&self) -> Option<String> {
        if let Some(problem) = &self.lock().problem {
            return Some(format!("with the former files for TLS: {problem}"));
        }
        (self.endpoint.tls() && self.files.cert.is_none())
            .then(|| "etcd may demand a client certificate, and none is given".to_owned())
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

/// How to connect; reads the files. The pings find a peer that has vanished without a word: in 8 s. etcd tolerates one each 5 s.
fn connection(
    endpoint: &EtcdEndpoint,
    files: &TlsFiles,
) -> Result<tonic::transport::Endpoint, SettingsError> {
    let unusable = |error: tonic::transport::Error| unusable(endpoint, Cause::of(&error));
    let connection = tonic::transport::Endpoint::new(endpoint.to_string())
        .map_err(unusable)?
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(3))
        .keep_alive_while_idle(true);
    if !endpoint.tls() {
        return Ok(connection);
    }
    let tls = tls_config(files)?.domain_name(endpoint.host());
    connection.tls_config(tls).map_err(unusable)
}

/// The server in this process, if there is one, and what the endpoint names if not.
fn channel(connection: &tonic::transport::Endpoint, in_process: Option<&InProcess>) -> Channel {
    match in_process {
        Some(server) => connection.connect_with_connector_lazy(InProcessConnector(server.clone())),
        None => connection.connect_lazy(),
    }
}

fn unusable(endpoint: &EtcdEndpoint, source: Cause) -> SettingsError {
    // The only word of tonic for it.
    if source.to_string().contains("no native certs found") {
        return SettingsError::NoAuthorities;
    }
    SettingsError::Tls {
        endpoint: endpoint.to_string(),
        source,
    }
}

fn tls_config(files: &TlsFiles) -> Result<ClientTlsConfig, SettingsError> {
    let config = match &files.ca {
        Some(path) => {
            let ca = Certificate::from_pem(read("CA file for etcd", path)?);
            ClientTlsConfig::new().ca_certificate(ca)
        }
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let cert = read("client certificate for etcd", cert)?;
            let key = read("client key for etcd", key)?;
            Ok(config.identity(Identity::from_pem(cert, key)))
        }
        _ => Ok(config),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::File {
        what,
        path: path.to_owned(),
        source,
    })
}
