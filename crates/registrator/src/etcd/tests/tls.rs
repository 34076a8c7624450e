//! TLS with a real etcd: what is said to whom is not let in.

use super::client::refused;
use super::eventually;
use super::run::Run;
use super::server::{Certificates, Etcd, Variant};
use crate::error_chain::error_chain;
use crate::etcd::{EtcdClient, Settings, parse_endpoints};
use std::fs;
use std::path::{Path, PathBuf};

on_each_etcd! {
    both_sides_show_certificates
    plain_and_tls_do_not_mix
    a_client_without_a_certificate_is_told_so
    a_client_certificate_out_of_its_time_is_named
    a_client_certificate_of_another_authority_is_named
    what_is_wrong_with_the_server_s_certificate_is_said
    files_that_do_not_fit_are_named
}

async fn secured(program: &Path, folder: &tempfile::TempDir) -> (Etcd, Certificates) {
    let tls = Certificates::make(folder.path());
    let variant = Variant {
        tls: Some(tls.clone()),
        ..Variant::default()
    };
    (Etcd::start_variant(program, variant).await, tls)
}

#[track_caller]
fn contains(error: &str, expected: &str) {
    assert!(
        error.contains(expected),
        "{error:?} does not contain {expected:?}"
    );
}

fn at(settings: &Settings, url: &str) -> Settings {
    Settings {
        endpoints: parse_endpoints(url).unwrap(),
        ..settings.clone()
    }
}

fn with(settings: &Settings, (cert, key): (PathBuf, PathBuf)) -> Settings {
    let mut settings = settings.clone();
    (settings.tls.cert, settings.tls.key) = (Some(cert), Some(key));
    settings
}

async fn both_sides_show_certificates(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, _) = secured(&program, &folder).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.create(&session, &[("/a/k", "v")]).await;
    let status = etcd.client().status().await.unwrap();
    assert!(status.version.starts_with('3'));
}

async fn plain_and_tls_do_not_mix(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, _) = secured(&program, &folder).await;
    let settings = etcd.settings("one");
    let plain = etcd.url().replace("https", "http");
    let error = refused(&at(&settings, &plain)).await;
    contains(&error, &format!("lost the connection to etcd at {plain}: "));
    contains(&error, "(if etcd speaks TLS there, write https://)");
    let mut etcd = Etcd::start(&program).await;
    let tls = etcd.url().replace("http", "https");
    let error = refused(&at(&settings, &tls)).await;
    contains(&error, &format!("cannot connect to etcd at {tls}: "));
    contains(&error, "(if etcd speaks no TLS there: write http://)");
    // What was there once speaks no TLS.
    let client = etcd.program_client();
    client.get("k").await.unwrap();
    etcd.kill();
    let error = error_chain(&client.get("k").await.unwrap_err());
    assert!(!error.contains("TLS"), "{error}");
}

async fn a_client_without_a_certificate_is_told_so(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, _) = secured(&program, &folder).await;
    let mut settings = etcd.settings("one");
    (settings.tls.cert, settings.tls.key) = (None, None);
    let error = refused(&settings).await;
    // etcd 3.4 just hangs up.
    let demands = error.contains("(etcd demands a client certificate");
    assert!(
        demands || error.contains("(etcd may demand a client certificate"),
        "{error}"
    );
    let how = "and none is given: give --etcd-cert-file and --etcd-key-file)";
    contains(&error, how);
}

async fn a_client_certificate_out_of_its_time_is_named(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, tls) = secured(&program, &folder).await;
    let settings = etcd.settings("one");
    let expired = tls.issue("expired", "client.test", Certificates::expired);
    let path = expired.0.display().to_string();
    let error = refused(&with(&settings, expired)).await;
    let expected = "expired on Jan  1 00:00:00 2021 +00:00)";
    contains(&error, &format!("(our certificate {path} {expected}"));
    let too_new = tls.issue("new", "client.test", Certificates::too_new);
    let path = too_new.0.display().to_string();
    let error = refused(&with(&settings, too_new)).await;
    let expected =
        "is not valid before Jan  1 00:00:00 2999 +00:00, or the clock of this machine is wrong)";
    contains(&error, &format!("(our certificate {path} {expected}"));
}

async fn a_client_certificate_of_another_authority_is_named(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, tls) = secured(&program, &folder).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Certificates::make(elsewhere.path());
    let settings = Settings {
        tls: crate::etcd::TlsFiles {
            ca: Some(tls.ca),
            ..etcd.settings("one").tls
        },
        ..etcd.settings("one")
    };
    let path = other.client.0.display().to_string();
    let error = refused(&with(&settings, other.client)).await;
    // Whoever hangs up without a word does not say that it is the certificate.
    let expected = format!("(etcd does not accept our certificate {path})");
    assert!(
        error.contains(&expected) || !error.contains("received fatal alert"),
        "{error}"
    );
}

/// The server's certificate is replaced by this one.
async fn with_server_certificate(
    program: &Path,
    issue: impl FnOnce(&Certificates) -> (PathBuf, PathBuf),
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut tls = Certificates::make(folder.path());
    tls.server = issue(&tls);
    let variant = Variant {
        tls: Some(tls),
        ..Variant::default()
    };
    let mut etcd = Etcd::prepare(program, variant);
    etcd.spawn();
    let settings = etcd.settings("one");
    eventually("etcd that listens", async || {
        !refused(&settings).await.contains("Connection refused")
    })
    .await;
    refused(&settings).await
}

async fn what_is_wrong_with_the_server_s_certificate_is_said(program: PathBuf) {
    let clock = "or the clock of this machine is wrong)";
    let issue = |tls: &Certificates| tls.issue("server", "127.0.0.1", Certificates::expired);
    let error = with_server_certificate(&program, issue).await;
    contains(&error, "certificate expired");
    contains(&error, &format!("(etcd needs a new certificate, {clock}"));
    let issue = |tls: &Certificates| tls.issue("server", "127.0.0.1", Certificates::too_new);
    let error = with_server_certificate(&program, issue).await;
    contains(&error, &format!("(etcd's certificate is too new, {clock}"));
    let issue = |tls: &Certificates| tls.issue("server", "etcd.test", |_| {});
    let error = with_server_certificate(&program, issue).await;
    contains(&error, "only valid for DnsName(\"etcd.test\")");
    contains(&error, "(name etcd as its certificate does)");
    let folder = tempfile::tempdir().unwrap();
    let (etcd, tls) = secured(&program, &folder).await;
    let mut settings = etcd.settings("one");
    settings.tls.ca = Some(tls.other_ca);
    let error = refused(&settings).await;
    let expected = "(none of the authorities given signed etcd's certificate)";
    contains(&error, expected);
}

async fn files_that_do_not_fit_are_named(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, tls) = secured(&program, &folder).await;
    let problem = |settings: &Settings| {
        let error = EtcdClient::new(settings).unwrap_err();
        error_chain(&error)
    };
    let (cert, key) = (tls.client.0, tls.server.1);
    let expected =
        format!("the client key for etcd {key:?} does not belong to the certificate {cert:?}");
    let mut settings = with(&etcd.settings("one"), (cert, key));
    assert_eq!(problem(&settings), expected);
    settings.tls.ca = Some(folder.path().join("none.pem"));
    contains(&problem(&settings), "cannot read the CA file for etcd \"/");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let settings = with(&etcd.settings("one"), (empty.clone(), empty));
    let unusable = format!(
        "the TLS files for etcd endpoint {} cannot be used",
        etcd.url()
    );
    contains(&problem(&settings), &unusable);
}
