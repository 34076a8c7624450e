//! Makes the adapters' settings and clients of the program's settings.

use crate::files::{self, FilesError};
use crate::host::{self, Host};
use crate::settings::{
    BrakeSettings, CommonSettings, DockerSettings, Environment, EtcdSettings, EvaluationSettings,
    HostFactSettings, HostSettings,
};
use crate::{docker, etcd};
use anyhow::bail;
use registrator_core::evaluate::fence::Fence;
use registrator_core::merge::brake;
use registrator_core::reconciler;
use registrator_policy::Limits;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;

/// Looks whether the places that somebody gave are there: a mistyped one must not look like nothing to do.
pub(super) fn given_places(common: &CommonSettings) -> anyhow::Result<()> {
    if common.given.policies
        && let Err(error @ FilesError::NoPolicies(_)) = files::scan_policies(&common.policies)
    {
        return Err(error.into());
    }
    if common.given.services && !common.services.is_dir() {
        let there = common.services.exists();
        bail!(
            "--services (KONTENA_REGISTRATOR_SERVICES) {} {}: name the folder with the policies' configurations, or make an empty one",
            common.services.display(),
            if there {
                "is no folder"
            } else {
                "does not exist"
            }
        );
    }
    Ok(())
}

/// What may be deleted at once.
fn brake(settings: &BrakeSettings) -> brake::BrakeSettings {
    brake::BrakeSettings {
        max_delete: settings.max_delete,
        hold: settings.max_delete_hold.0,
    }
}

/// A client for Docker; nothing is connected yet.
pub(super) fn docker(
    settings: &DockerSettings,
    environment: &Environment,
) -> anyhow::Result<docker::DockerClient> {
    Ok(docker::DockerClient::new(
        docker_endpoint(settings, environment)?,
        docker::Timeouts::default(),
    )?)
}

/// Where Docker is.
pub(super) fn docker_endpoint(
    settings: &DockerSettings,
    environment: &Environment,
) -> anyhow::Result<docker::DockerEndpoint> {
    let own = settings.docker_cert_path.clone();
    Ok(docker::DockerEndpoint::from_settings(
        &docker::EndpointSettings {
            host: Some(settings.docker_host.clone()),
            tls_verify: settings.docker_tls_verify,
            cert_path: own.or_else(|| docker_config(environment)),
        },
    )?)
}

/// The folder in which Docker's own client looks for certificates if nobody names another: `$DOCKER_CONFIG` or `~/.docker`.
fn docker_config(environment: &Environment) -> Option<PathBuf> {
    let folder = |name: &str| environment.get(name).map(PathBuf::from);
    folder("DOCKER_CONFIG").or_else(|| Some(folder("HOME")?.join(".docker")))
}

/// How etcd is reached at `endpoints`, as `host_id`.
pub(super) fn etcd(
    settings: &EtcdSettings,
    endpoints: &[String],
    host_id: &str,
) -> anyhow::Result<etcd::Settings> {
    let credentials = settings.credentials()?;
    let file = if settings.etcd_password.is_some() {
        None
    } else {
        settings.etcd_password_file.clone()
    };
    Ok(etcd::Settings {
        tls: etcd::TlsFiles {
            ca: settings.etcd_ca_file.clone(),
            cert: settings.etcd_cert_file.clone(),
            key: settings.etcd_key_file.clone(),
        },
        credentials: credentials.map(|(username, password)| etcd::Credentials {
            username,
            password: password.expose().to_owned(),
            file,
        }),
        lease_ttl: settings.lease_ttl,
        meta_prefix: settings.meta_prefix.clone(),
        allow_prefixes: settings.allow_prefixes.clone(),
        host: host::machine_name().unwrap_or_default(),
        ..etcd::Settings::new(etcd::parse_endpoints(&endpoints.join(","))?, host_id)
    })
}

/// What may be written, and how much.
pub(super) fn reconciler(settings: &HostSettings) -> reconciler::Settings {
    let fence = Fence {
        allowed: settings.etcd.allow_prefixes.clone(),
        reserved: settings.etcd.meta_prefix.clone(),
    };
    reconciler::Settings {
        max_instances: settings.evaluation.max_instances,
        max_nodes: settings.evaluation.max_nodes,
        brake: brake(&settings.brake),
        ..reconciler::Settings::with_fence(fence)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_for_docker_are_where_its_own_client_has_them() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let environment = variables.iter().copied().collect();
            let found = docker_config(&environment);
            assert_eq!(found, expected.map(PathBuf::from), "{variables:?}");
        };
        check(&[], None);
        check(&[("HOME", "/home/u")], Some("/home/u/.docker"));
        check(
            &[("HOME", "/home/u"), ("DOCKER_CONFIG", "/etc/docker-client")],
            Some("/etc/docker-client"),
        );
        check(
            &[("HOME", "/home/u"), ("DOCKER_CONFIG", "")],
            Some("/home/u/.docker"),
        );
    }
}
