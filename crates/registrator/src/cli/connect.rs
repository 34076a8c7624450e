//! Makes the adapters' settings and clients of the program's settings.

use crate::host::{self, Host};
use crate::settings::{
    CommonSettings, DockerSettings, Environment, EtcdSettings, EvaluationSettings, HostFactSettings,
};
use crate::{docker, etcd};
use registrator_core::evaluate::fence::Fence;
use registrator_policy::Limits;
use std::path::Path;
use std::sync::Arc;
use tracing::warn;

/// A client for Docker; nothing is connected yet.
pub(super) fn docker(
    settings: &DockerSettings,
    environment: &Environment,
) -> anyhow::Result<docker::Client> {
    let variable = |name: &str| environment.get(name)?.to_str().map(str::to_owned);
    let endpoint = docker::Endpoint::from_settings(&docker::EndpointSettings {
        host: Some(settings.docker_host.clone()),
        tls_verify: settings.docker_tls_verify,
        cert_path: settings.docker_cert_path.clone(),
        ..docker::EndpointSettings::from_env(variable)
    })?;
    Ok(docker::Client::new(endpoint, docker::Timeouts::default())?)
}

/// How etcd is reached at `endpoints`, as `node_name`.
pub(super) fn etcd(
    settings: &EtcdSettings,
    endpoints: &[String],
    node_name: &str,
) -> anyhow::Result<etcd::Settings> {
    let credentials = settings.credentials()?;
    Ok(etcd::Settings {
        tls: etcd::TlsFiles {
            ca: settings.etcd_ca_file.clone(),
            cert: settings.etcd_cert_file.clone(),
            key: settings.etcd_key_file.clone(),
        },
        credentials: credentials.map(|(username, password)| etcd::Credentials {
            username,
            password: password.expose().to_owned(),
        }),
        lease_ttl: settings.lease_ttl,
        meta_prefix: settings.meta_prefix.clone(),
        allow_prefixes: settings.allow_prefixes.clone(),
        host: host::machine_name().unwrap_or_default(),
        ..etcd::Settings::new(etcd::parse_endpoints(&endpoints.join(","))?, node_name)
    })
}

/// What may be written.
pub(super) fn fence(settings: &EtcdSettings) -> Fence {
    Fence {
        allowed: settings.allow_prefixes.clone(),
        reserved: settings.meta_prefix.clone(),
    }
}

/// How policies are loaded and run.
pub(super) fn policies(
    common: &CommonSettings,
    settings: Option<&EvaluationSettings>,
    facts: &HostFactSettings,
    environment: &Environment,
) -> anyhow::Result<registrator_policy::Settings> {
    let mut limits = Limits::default();
    if let Some(settings) = settings {
        limits.time = settings.evaluation_timeout;
    }
    let host = Host::new(facts)?;
    for address in host.unreachable() {
        warn!("policies are told that {address} is this host, where other hosts cannot reach it");
    }
    Ok(registrator_policy::Settings {
        limits,
        env: Arc::new(environment.for_policies(&common.policy_env, host.variables())),
        ruby: common.ruby.clone(),
    })
}

/// Where the files are.
pub(super) fn sources(settings: &crate::settings::CommonSettings) -> crate::files::Sources {
    crate::files::Sources {
        policies: settings.policies.clone(),
        services: Path::new(&settings.services).to_owned(),
    }
}
