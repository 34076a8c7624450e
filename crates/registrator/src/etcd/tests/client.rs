//! The client with a real etcd: logins, limits, and what its errors say.

use super::run::{Run, create, put};
use super::server::{Etcd, Variant};
use super::{credentials, eventually};
use crate::error_chain::error_chain;
use crate::etcd::error::Error;
use crate::etcd::reading::KeyRange;
use crate::etcd::{EtcdClient, Settings};
use registrator_core::own::LeaseId;
use registrator_core::own::session::{Outcome, Rejection};
use std::path::PathBuf;
use std::time::{Duration, Instant};

on_each_etcd! {
    a_login_is_renewed
    a_session_lives_through_stale_tokens
    a_wrong_password_is_said
    a_user_without_rights_is_told_so
    a_password_that_is_not_needed_does_no_harm
    big_values_are_read_in_smaller_pages
    lists_have_one_revision
    errors_tell_what_came_of_a_request
}

/// How long a login lasts after its last use where it has to end: long enough for a busy machine to use it.
const BRIEF_LOGIN: Duration = Duration::from_secs(3);

/// How long it lasts where it must not end.
const LASTING_LOGIN: Duration = Duration::from_secs(300);

/// Why etcd does not answer.
pub async fn refused(settings: &Settings) -> String {
    let client = EtcdClient::new(settings).unwrap();
    error_chain(&client.get("k").await.unwrap_err())
}

async fn guarded(program: &std::path::Path, token_ttl: Duration) -> Etcd {
    let token_ttl = token_ttl.as_secs().to_string();
    let variant = Variant {
        arguments: vec!["--auth-token-ttl".to_owned(), token_ttl],
        ..Variant::default()
    };
    let etcd = Etcd::start_variant(program, variant).await;
    etcd.enable_auth();
    etcd
}

/// Waits until a login has ended that nobody uses; etcd looks for such ones each second.
async fn until_a_brief_login_ends() {
    tokio::time::sleep(BRIEF_LOGIN + Duration::from_secs(2)).await;
}

fn with_login(etcd: &Etcd) -> Settings {
    let mut settings = etcd.settings("one");
    settings.credentials = credentials("root", "secret");
    settings
}

async fn a_login_is_renewed(program: PathBuf) {
    let mut etcd = guarded(&program, BRIEF_LOGIN).await;
    let client = EtcdClient::new(&with_login(&etcd)).unwrap();
    client.get("k").await.unwrap();
    until_a_brief_login_ends().await;
    let calls = (0..20).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .get("k")
                .await
                .map(drop)
                .map_err(|error| error_chain(&error))
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), Ok(()));
    }
    // Simple tokens do not outlive their server.
    etcd.kill();
    etcd.restart().await;
    eventually("another login", async || client.get("k").await.is_ok()).await;
}

async fn a_session_lives_through_stale_tokens(program: PathBuf) {
    let etcd = guarded(&program, BRIEF_LOGIN).await;
    let settings = with_login(&etcd);
    let (mut run, session) = Run::established(settings.clone()).await;
    until_a_brief_login_ends().await;
    // A watch with a stale token is refused in another way than a call. The stream of the first ones was opened with the first.
    run.create(&session, &[("/a/k", "v")]).await;
    changed(&mut run, &etcd, "/a/k").await;
    let before = Instant::now();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let renewed = settings.renewals.last();
    assert!(renewed > Some(before), "the lease is renewed");
    run.create(&session, &[("/a/l", "v")]).await;
    changed(&mut run, &etcd, "/a/l").await;
    changed(&mut run, &etcd, "/a/k").await;
    assert_eq!(run.count("WatchRefused"), 0, "{:#?}", run.seen);
    assert_eq!(run.count("Unreachable"), 0, "{:#?}", run.seen);
}

/// Changes a key as root, and waits until that was seen.
async fn changed(run: &mut Run, etcd: &Etcd, name: &str) {
    let text = format!("changed at {:?}", Instant::now());
    etcd.etcdctl("root:secret", &["put", name, &text]);
    run.saw(name, |_, held| {
        held.is_some_and(|held| held.value.as_str() == text)
    })
    .await;
}

async fn a_wrong_password_is_said(program: PathBuf) {
    let etcd = guarded(&program, LASTING_LOGIN).await;
    let mut settings = with_login(&etcd);
    settings.credentials = credentials("root", "wrong-secret");
    let mut run = Run::start(settings.clone());
    let fact = run.fact("Unreachable").await;
    assert!(
        fact.contains("authentication failed") && !fact.contains("wrong-secret"),
        "{fact}"
    );
    let expected = format!(
        "etcd at {} refused the login: user \"root\": authentication failed, invalid user ID or password",
        etcd.url()
    );
    assert_eq!(refused(&settings).await, expected);
    settings.credentials = None;
    let expected = format!(
        "etcd at {} refused the login: user name is empty; give a user name and a password",
        etcd.url()
    );
    assert_eq!(refused(&settings).await, expected);
}

async fn a_user_without_rights_is_told_so(program: PathBuf) {
    let etcd = guarded(&program, LASTING_LOGIN).await;
    for arguments in [
        &["role", "add", "registrator"][..],
        &[
            "role",
            "grant-permission",
            "registrator",
            "readwrite",
            "/registrator/",
            "/registrator0",
        ],
        &[
            "role",
            "grant-permission",
            "registrator",
            "readwrite",
            "/a/",
            "/a0",
        ],
        &["user", "add", "web:pass"],
        &["user", "grant-role", "web", "registrator"],
    ] {
        etcd.etcdctl("root:secret", arguments);
    }
    let mut settings = etcd.settings("one");
    settings.credentials = credentials("web", "pass");
    let (mut run, session) = Run::established(settings).await;
    run.create(&session, &[("/a/k", "v")]).await;
    let outcome = run
        .commit(&session, vec![create("/b/k", "v", session.who.me)])
        .await;
    // Some versions (3.4.23, 3.5.1) do not check the rights of nested transactions.
    if !matches!(outcome, Outcome::Done { .. }) {
        let expected = format!("etcd at {} refused: permission denied", etcd.url());
        let rejection = Rejection {
            message: expected,
            forbidden: true,
        };
        assert_eq!(outcome, Outcome::Rejected(rejection));
    }
    // Where the write is allowed the watch is refused, which is said once; what else is watched goes on.
    if matches!(outcome, Outcome::Done { .. }) {
        let fact = run.fact("WatchRefused").await;
        assert!(
            fact.contains("root: \"/b/\"") && fact.contains("permission denied"),
            "{fact}"
        );
        run.commit(&session, vec![create("/b/l", "v", session.who.me)])
            .await;
    }
    changed(&mut run, &etcd, "/a/k").await;
    run.create(&session, &[("/a/l", "v")]).await;
    changed(&mut run, &etcd, "/a/l").await;
    assert!(run.count("WatchRefused") <= 1, "{:#?}", run.seen);
    // Without the right to the registrators' own keys nothing can begin.
    let mut settings = etcd.settings("two");
    settings.credentials = credentials("web", "pass");
    settings.meta_prefix = "/other/".into();
    let mut run = Run::start(settings);
    let fact = run.fact("Unreachable").await;
    assert!(fact.contains("permission denied"), "{fact}");
    let right = ["readwrite", "/other/", "/other0"];
    let grant = [&["role", "grant-permission", "registrator"], &right[..]].concat();
    etcd.etcdctl("root:secret", &grant);
    run.session().await;
}

async fn a_password_that_is_not_needed_does_no_harm(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let client = EtcdClient::new(&with_login(&etcd)).unwrap();
    client.get("k").await.unwrap();
    etcd.enable_auth();
    client.get("k").await.unwrap();
}

async fn big_values_are_read_in_smaller_pages(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let big = "v".repeat(1_000_000);
    // 80 MB in one page would be more than the client takes.
    for n in 0..80 {
        run.create(&session, &[(&format!("/a/{n:02}"), &big)]).await;
    }
    let listing = etcd
        .program_client()
        .list(&KeyRange::prefix("/a/"), 0)
        .await
        .unwrap();
    assert_eq!(listing.kvs.len(), 80);
    assert!(matches!(
        run.end(crate::etcd::SessionRequest::Keep).await,
        crate::etcd::SessionEnd::Kept
    ));
    let (_, session) = Run::established(etcd.settings("one")).await;
    assert_eq!(session.views.len(), 80);
}

async fn lists_have_one_revision(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    for chunk in 0..12 {
        let txns = (0..100).map(|n| create(&format!("/a/{chunk:02}{n:02}"), "v", session.who.me));
        run.commit(&session, txns.collect()).await;
    }
    let client = etcd.program_client();
    let range = KeyRange::prefix("/a/");
    let (listing, _) = tokio::join!(client.list(&range, 0), async {
        for n in 0..100 {
            put(&etcd, &format!("/a/x{n}"), "v", 0).await;
        }
    });
    let listing = listing.unwrap();
    let newest = listing.kvs.iter().map(|kv| kv.mod_revision).max();
    assert!(listing.kvs.len() >= 1200 && newest <= Some(listing.revision));
    let keys: Vec<_> = listing.kvs.iter().map(|kv| kv.key.clone()).collect();
    assert!(keys.is_sorted());
}

async fn errors_tell_what_came_of_a_request(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    let client = etcd.program_client();
    let error = client.lease_revoke(LeaseId(1)).await.unwrap_err();
    assert!(matches!(error, Error::LeaseNotFound { .. }), "{error:?}");
    assert!(error.outcome_known());
    etcd.freeze();
    let error = client
        .lease_grant(Duration::from_secs(5))
        .await
        .unwrap_err();
    let expected = format!(
        "lost the connection to etcd at {}: no answer within 5s",
        etcd.url()
    );
    assert_eq!(error_chain(&error), expected);
    assert!(!error.outcome_known());
    etcd.thaw();
    client.get("k").await.unwrap();
    etcd.kill();
    let mut error = client
        .lease_grant(Duration::from_secs(5))
        .await
        .unwrap_err();
    // The first call may still find the old connection.
    if !error.outcome_known() {
        error = client
            .lease_grant(Duration::from_secs(5))
            .await
            .unwrap_err();
    }
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.outcome_known());
}
