//! Passwords and certificates that are replaced on disk while the program runs.

use super::credentials;
use super::run::{Run, create, held};
use super::server::{Certificates, Etcd, Variant};
use crate::etcd::Settings;
use registrator_core::own::LeaseId;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

on_each_etcd! {
    a_password_is_read_again_at_each_login
    a_password_that_cannot_be_read_is_the_former_one
    certificates_are_read_again_for_each_connection
    certificates_that_cannot_be_read_are_the_former_ones
}

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
