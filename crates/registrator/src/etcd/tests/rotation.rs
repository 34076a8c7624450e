//! Passwords and certificates that are replaced on disk while the program runs.

use super::run::{Run, create, held};
use super::server::{Certificates, Etcd, Variant};
use super::{SHORT, credentials, eventually};
use crate::etcd::Settings;
use registrator_core::own::LeaseId;
use registrator_core::own::session::Session;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

on_each_etcd! {
    a_password_is_read_again_at_each_login
    a_password_that_cannot_be_read_is_the_former_one
    certificates_are_read_again_for_each_connection
    certificates_that_cannot_be_read_are_the_former_ones
    a_certificate_that_expires_is_named_and_nothing_goes
}
on_each_etcd!(@ renewed_3_4 V3_4
    the_nodes_of_a_refused_user_end
    the_nodes_of_a_user_that_may_not_read_them_end
    nodes_that_are_never_stale_stay
);
on_each_etcd!(@ renewed_3_5 V3_5
    the_nodes_of_a_refused_user_end
    the_nodes_of_a_user_that_may_not_read_them_end
    nodes_that_are_never_stale_stay
);
// It asks for rights when a lease is renewed as well.
on_each_etcd!(@ etcd_3_6_alone V3_6 a_refused_user_loses_its_lease);

/// Makes the user `web`, who may do everything, with a new password.
fn make_user(etcd: &Etcd, password: &str) {
    etcd.etcdctl("root:secret", &["user", "add", &format!("web:{password}")]);
    etcd.etcdctl("root:secret", &["user", "grant-role", "web", "root"]);
}

fn replace_user(etcd: &Etcd, password: &str) {
    etcd.etcdctl("root:secret", &["user", "delete", "web"]);
    make_user(etcd, password);
}

async fn guarded(program: &Path, file: &Path) -> (Etcd, Settings) {
    let etcd = Etcd::start(program).await;
    etcd.enable_auth();
    make_user(&etcd, "one");
    fs::write(file, "one\n").unwrap();
    let mut settings = etcd.settings("one");
    settings.credentials = credentials("web", "one");
    settings.credentials.as_mut().unwrap().file = Some(file.to_owned());
    (etcd, settings)
}

async fn a_password_is_read_again_at_each_login(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let (etcd, settings) = guarded(&program, &file).await;
    let (mut run, first) = Run::established(settings).await;
    run.create(&first, &[("/a/k", "v")]).await;
    replace_user(&etcd, "two");
    // The write finds out.
    run.send(first.number, vec![create("/a/l", "v", first.who.me)]);
    let fact = run.fact("Unreachable").await;
    assert!(fact.contains("authentication failed"), "{fact}");
    fs::write(&file, "two\n").unwrap();
    let second = run.session().await;
    assert_eq!(second.who.me, first.who.me);
    run.create(&second, &[("/a/m", "v")]).await;
}

async fn a_password_that_cannot_be_read_is_the_former_one(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let (mut etcd, settings) = guarded(&program, &file).await;
    let (mut run, first) = Run::established(settings).await;
    fs::remove_file(&file).unwrap();
    // Tokens do not outlive their server.
    etcd.stop();
    etcd.restart().await;
    run.create(&first, &[("/a/k", "v")]).await;
    replace_user(&etcd, "two");
    run.send(first.number, vec![create("/a/l", "v", first.who.me)]);
    let fact = run.fact("Unreachable").await;
    let hint = format!(
        "with a former password, for {} cannot be read",
        file.display()
    );
    assert!(fact.contains(&hint), "{fact}");
}

async fn secured(program: &Path, folder: &Path) -> Etcd {
    let variant = Variant {
        tls: Some(Certificates::make(folder)),
        ..Variant::default()
    };
    Etcd::start_variant(program, variant).await
}

async fn certificates_are_read_again_for_each_connection(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = secured(&program, folder.path()).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    // Other authorities, other certificates, in the same files.
    Certificates::make(folder.path());
    etcd.stop();
    etcd.restart().await;
    run.create(&first, &[("/a/k", "v")]).await;
}

/// Nor do they hold up the lease: one of them is a pipe that nobody writes to, as a file is whose disk hangs.
async fn certificates_that_cannot_be_read_are_the_former_ones(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = secured(&program, folder.path()).await;
    let settings = etcd.settings("one");
    let (mut run, first) = Run::established(settings.clone()).await;
    run.create(&first, &[("/a/k", "v")]).await;
    let key = settings.tls.key.unwrap();
    let good = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let made = Command::new("mkfifo").arg(&key).status().unwrap();
    assert!(made.success());
    etcd.stop();
    // The test's own clients need it.
    let kept = folder.path().join("kept.key");
    fs::write(&kept, good).unwrap();
    etcd.use_client_key(kept);
    etcd.restart().await;
    run.create(&first, &[("/a/l", "v")]).await;
    let LeaseId(lease) = first.who.me;
    assert_eq!(held(&etcd, "/a/k").await, Some(("v".to_owned(), lease)));
}

/// It was good when the session began, and nobody looks at it before there is another connection.
async fn a_certificate_that_expires_is_named_and_nothing_goes(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = secured(&program, folder.path()).await;
    let tls = etcd.variant().tls.clone().unwrap();
    let mut settings = etcd.settings("one");
    let (cert, key) = tls.issue("own", "client.test", |_| {});
    (settings.tls.cert, settings.tls.key) = (Some(cert), Some(key));
    let (mut run, first) = Run::established(settings).await;
    run.create(&first, &[("/a/k", "v")]).await;
    tls.issue("own", "client.test", Certificates::expired);
    etcd.stop();
    etcd.restart().await;
    // Else the first who notices is the one that renews the lease, much later. That nobody listens may have been told before.
    run.send(first.number, vec![create("/a/l", "v", first.who.me)]);
    let expired = "expired on Jan  1 00:00:00 2021 +00:00";
    run.until("advice", |update| {
        let text = format!("{update:?}");
        (text.starts_with("Unreachable") && text.contains(expired)).then_some(())
    })
    .await;
    let LeaseId(lease) = first.who.me;
    assert_eq!(held(&etcd, "/a/k").await, Some(("v".to_owned(), lease)));
    tls.issue("own", "client.test", |_| {});
    run.fact("Reachable").await;
    // Nobody listens; it has expired; its files are being written.
    assert!(run.count("Unreachable") <= 3, "{:#?}", run.seen);
    assert_eq!(held(&etcd, "/a/k").await, Some(("v".to_owned(), lease)));
}

/// As [`guarded`], with leases whose end is waited for.
async fn guarded_and_short(program: &Path, file: &Path) -> (Etcd, Settings) {
    let (etcd, mut settings) = guarded(program, file).await;
    settings.lease_ttl = SHORT;
    (etcd, settings)
}

/// Without a user the session cannot go on, which the next write finds out.
async fn refuse(etcd: &Etcd, run: &mut Run, session: &Session) {
    etcd.etcdctl("root:secret", &["user", "delete", "web"]);
    run.send(session.number, vec![create("/a/l", "v", session.who.me)]);
    run.fact("Unreachable").await;
}

fn is_there(etcd: &Etcd, key: &str) -> bool {
    !etcd.etcdctl("root:secret", &["get", key]).is_empty()
}

async fn the_nodes_of_a_refused_user_end(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, mut settings) = guarded_and_short(&program, &folder.path().join("password")).await;
    settings.stale_after = Some(Duration::from_secs(1));
    let (mut run, first) = Run::established(settings).await;
    run.create(&first, &[("/a/k", "v")]).await;
    refuse(&etcd, &mut run, &first).await;
    let fact = run.fact("Stale").await;
    assert!(fact.contains("authentication failed"), "{fact}");
    eventually("end of the node", async || !is_there(&etcd, "/a/k")).await;
    make_user(&etcd, "one");
    let second = run.session().await;
    assert_ne!(second.who.me, first.who.me);
    assert_eq!((run.count("LeaseLost"), run.count("Stale")), (1, 1));
    run.create(&second, &[("/a/k", "v")]).await;
}

async fn a_refused_user_loses_its_lease(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, mut settings) = guarded_and_short(&program, &folder.path().join("password")).await;
    settings.stale_after = None;
    let (mut run, first) = Run::established(settings).await;
    run.create(&first, &[("/a/k", "v")]).await;
    refuse(&etcd, &mut run, &first).await;
    eventually("end of the node", async || !is_there(&etcd, "/a/k")).await;
    make_user(&etcd, "one");
    let second = run.session().await;
    assert_ne!(second.who.me, first.who.me);
    run.create(&second, &[("/a/k", "v")]).await;
}

/// It may claim its identity, with which it would renew its lease.
async fn the_nodes_of_a_user_that_may_not_read_them_end(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, mut settings) = guarded_and_short(&program, &folder.path().join("password")).await;
    let root = |arguments: &[&str]| etcd.etcdctl("root:secret", arguments);
    root(&["role", "add", "some"]);
    for (from, to) in [("/registrator/", "/registrator0"), ("/a/", "/a0")] {
        root(&["role", "grant-permission", "some", "readwrite", from, to]);
    }
    root(&["user", "revoke-role", "web", "root"]);
    root(&["user", "grant-role", "web", "some"]);
    settings.stale_after = Some(Duration::from_secs(1));
    let (mut run, first) = Run::established(settings).await;
    run.create(&first, &[("/a/k", "v")]).await;
    root(&["role", "revoke-permission", "some", "/a/", "/a0"]);
    // Another session begins.
    root(&["del", &format!("/registrator/beacons/{}", first.who.me)]);
    let fact = run.fact("Stale").await;
    assert!(fact.contains("permission denied"), "{fact}");
    eventually("end of the node", async || !is_there(&etcd, "/a/k")).await;
    assert_eq!(run.count("Reachable"), 0, "{:#?}", run.seen);
}

async fn nodes_that_are_never_stale_stay(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, mut settings) = guarded_and_short(&program, &folder.path().join("password")).await;
    settings.stale_after = None;
    let (mut run, first) = Run::established(settings.clone()).await;
    run.create(&first, &[("/a/k", "v")]).await;
    refuse(&etcd, &mut run, &first).await;
    tokio::time::sleep(settings.lease_ttl + Duration::from_secs(2)).await;
    let complaints = run.count("Unreachable");
    assert!(is_there(&etcd, "/a/k"), "{:#?}", run.seen);
    assert_eq!(complaints, 1, "{:#?}", run.seen);
}
