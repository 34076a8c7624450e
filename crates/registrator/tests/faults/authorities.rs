//! The system's certificate authorities, where the environment says.

#![allow(clippy::unwrap_used)]

use crate::support::{self, Certificates, Etcd, Variant, Version};
use crate::world::wait_for;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn the_authorities_of_the_system_count() {
    support::run(
        Version::V3_6,
        "the_authorities_of_the_system_count",
        plan_with_authorities,
    );
}

/// The program itself: what the system is, the environment says.
async fn plan_with_authorities(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let variant = Variant {
        tls: Some(Certificates::make(folder.path())),
        ..Variant::default()
    };
    let etcd = Etcd::start_variant(&program, variant).await;
    std::fs::write(folder.path().join("containers.json"), "[]").unwrap();
    for name in ["policies", "services"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let plan = |authorities: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"))
            .args(["plan", "--policies=policies/", "--services=services/"])
            .args(["--containers=containers.json", "--host-id=one"])
            .args(["--etcd-cert-file=client.pem", "--etcd-key-file=client.key"])
            .args(["--etcd-endpoint", &etcd.url()])
            .current_dir(folder.path())
            .env_clear()
            .env("SSL_CERT_FILE", folder.path().join(authorities))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stderr)
    };
    assert_eq!(plan("ca.pem"), (Some(0), String::new()));
    let (code, stderr) = plan("other.pem");
    assert!(
        code == Some(1) && stderr.contains("certificate: "),
        "{stderr}"
    );
    let (code, stderr) = plan("none.pem");
    assert!(
        code == Some(1)
            && stderr.contains("the system has none")
            && stderr.contains("ETCD_CA_FILE"),
        "{stderr}"
    );
}

/// Nobody else is needed for that.
#[test]
fn a_certificate_of_ours_that_has_expired_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Certificates::make(folder.path());
    let (cert, key) = tls.issue("client", "client.test", Certificates::expired);
    let log = folder.path().join("log");
    for name in ["policies", "services"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"))
        .args([
            "run",
            "--policies=policies/",
            "--services=services/",
            "--admin-socket=off",
        ])
        .args(["--docker-host=unix:///none", "--host-id=one"])
        .args(["--etcd-endpoint=https://127.0.0.1:1", "--etcd-ca-file"])
        .arg(&tls.ca)
        .arg("--etcd-cert-file")
        .arg(&cert)
        .arg("--etcd-key-file")
        .arg(&key)
        .current_dir(folder.path())
        .env_clear()
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let told = || std::fs::read_to_string(&log).unwrap();
    let all = ["waiting for etcd", "must be replaced"];
    let is_told = || all.iter().all(|one| told().contains(one)).then_some(());
    wait_for(is_told, told);
    program.kill().unwrap();
    program.wait().unwrap();
    let expected = format!(
        "a certificate of this process must be replaced: {} expired on Jan  1 00:00:00 2021 +00:00",
        cert.display()
    );
    assert_eq!(told().matches(&expected).count(), 1, "{}", told());
}
