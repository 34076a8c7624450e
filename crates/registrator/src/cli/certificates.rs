//! Our own certificates that are not valid now, or soon will not be.

use super::connect;
use crate::aside::Aside;
use crate::docker::DockerEndpoint;
use crate::settings::{Environment, HostSettings};
use crate::tls_advice::OwnCertificate;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tracing::warn;

/// How often they are looked at. A connection lasts for months, and asks nobody for them.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// Warns once of each, now and as long as the process runs. What cannot be read is none: whoever needs it says why.
pub(super) fn watch(settings: &HostSettings, environment: &Environment) {
    let files = own(settings, environment);
    if files.is_empty() {
        return;
    }
    tokio::spawn(async move {
        let (aside, mut told) = (Aside::default(), BTreeSet::new());
        loop {
            let files = files.clone();
            let read = aside.run(move || warnings(&files, SystemTime::now()));
            for warning in read.await.unwrap_or_default() {
                if told.insert(warning.clone()) {
                    warn!("a certificate of this process must be replaced: {warning}");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
}

fn own(settings: &HostSettings, environment: &Environment) -> Vec<PathBuf> {
    let docker = match connect::docker_endpoint(&settings.docker, environment) {
        Ok(DockerEndpoint::Tls { cert_path, .. }) => Some(cert_path.join("cert.pem")),
        _ => None,
    };
    let etcd = settings.etcd.etcd_cert_file.clone();
    [etcd, docker].into_iter().flatten().collect()
}

fn warnings(files: &[PathBuf], now: SystemTime) -> Vec<String> {
    let read = files.iter().filter_map(|file| {
        let pem = std::fs::read(file).ok()?;
        OwnCertificate::parse(file, &pem)?.warning(now)
    });
    read.collect()
}
