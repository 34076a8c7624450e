//! Channels to the endpoints, each connected when first used.

use super::in_process::InProcessConnector;
use crate::etcd::client::ANSWER_WITHIN;
use crate::etcd::endpoint::EtcdEndpoint;
use crate::etcd::error::{Cause, Error};
use crate::etcd::settings::{Settings, SettingsError, TlsFiles};
use etcd_mem::server::InProcess;
use std::path::Path;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// One endpoint and the connection to it.
#[derive(Debug)]
pub(super) struct Remote {
    /// The endpoint's URL, for messages.
    pub(super) name: String,
    /// The connection, made when first used and again when it broke.
    pub(super) channel: Channel,
    /// TLS without a client certificate: a server that demands one may just hang up.
    anonymous: bool,
}

impl Remote {
    /// The error that `status` tells of.
    pub(super) fn error(&self, status: &Status) -> Error {
        match Error::of_status(&self.name, status) {
            Error::Broken { endpoint, cause } if self.anonymous => Error::Broken {
                endpoint,
                cause: Cause::text(&format!(
                    "{cause} (etcd may demand a client certificate, and none is given)"
                )),
            },
            other => other,
        }
    }

    /// The error if nothing came.
    pub(super) fn timed_out(&self) -> Error {
        Error::no_answer(&self.name, ANSWER_WITHIN)
    }
}

/// A channel for each endpoint.
pub(super) fn remotes(settings: &Settings) -> Result<Vec<Remote>, SettingsError> {
    let mut tls = None;
    let mut remotes = Vec::new();
    for endpoint in &settings.endpoints {
        if endpoint.tls() && tls.is_none() {
            tls = Some(tls_config(&settings.tls)?);
        }
        let config = tls.clone().filter(|_| endpoint.tls());
        remotes.push(Remote {
            name: endpoint.to_string(),
            anonymous: endpoint.tls() && settings.tls.cert.is_none(),
            channel: channel(endpoint, config, settings.in_process.as_ref())
                .map_err(|error| unusable(endpoint, Cause::of(&error)))?,
        });
    }
    Ok(remotes)
}

/// The pings find a peer that has vanished without a word: in 8 s. etcd tolerates one each 5 s.
fn channel(
    endpoint: &EtcdEndpoint,
    tls: Option<ClientTlsConfig>,
    in_process: Option<&InProcess>,
) -> Result<Channel, tonic::transport::Error> {
    let mut channel = tonic::transport::Endpoint::new(endpoint.to_string())?
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(3))
        .keep_alive_while_idle(true);
    if let Some(tls) = tls {
        channel = channel.tls_config(tls.domain_name(endpoint.host()))?;
    }
    Ok(match in_process {
        Some(server) => channel.connect_with_connector_lazy(InProcessConnector(server.clone())),
        None => channel.connect_lazy(),
    })
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
