//! The session when etcd fails: away, killed, frozen, emptied, one of two endpoints dead.

use super::eventually;
use super::relay::Relay;
use super::run::{Run, compact, create, held, key, put, revision};
use super::server::{Etcd, Variant};
use crate::error_chain::error_chain;
use crate::etcd::{EtcdClient, SessionEnd, SessionRequest, SessionUpdate};
use registrator_core::own::session::{KeyResult, Outcome, Seen, Session, SessionEvent};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

on_each_etcd! {
    etcd_away_at_the_start_is_waited_for
    a_restart_keeps_session_and_nodes
    an_outage_longer_than_the_ttl_keeps_the_nodes
    an_emptied_etcd_gets_a_new_session
    an_emptied_etcd_that_has_overtaken_the_session_gets_a_new_one
    older_data_that_have_overtaken_the_session_are_read
    a_frozen_etcd_is_reported_and_recovers
    a_commit_without_an_answer_is_void_and_fenced
    one_of_two_endpoints_is_dead
    the_endpoint_in_use_dies
    an_end_without_etcd_does_not_hang
    an_end_with_a_commit_in_doubt_does_not_hang
    watches_survive_a_restart
    a_compaction_while_cut_off_leads_to_a_new_reading
    a_partition_longer_than_the_ttl_leads_to_a_new_lease
}

async fn etcd_away_at_the_start_is_waited_for(program: PathBuf) {
    let mut etcd = Etcd::prepare(&program, Variant::default());
    let mut run = Run::start(etcd.settings("one"));
    let fact = run
        .until("outage", |update| match update {
            SessionUpdate::Unreachable { error, .. } => Some(error_chain(&error)),
            _ => None,
        })
        .await;
    let expected = format!("cannot connect to etcd at {}: ", etcd.url());
    assert!(
        fact.starts_with(&expected) && fact.contains("refused"),
        "{fact}"
    );
    let id = run.send(1, vec![]);
    assert_eq!(run.outcome(id).await, Outcome::Void);
    tokio::time::sleep(Duration::from_secs(2)).await;
    etcd.restart().await;
    let session = run.session().await;
    assert_eq!(
        (run.count("Unreachable"), run.count("Reachable")),
        (1, 1),
        "{:#?}",
        run.seen
    );
    run.create(&session, &[("/a/k", "v")]).await;
}

async fn a_restart_keeps_session_and_nodes(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.create(&session, &[("/a/k", "v")]).await;
    etcd.kill();
    run.fact("Unreachable").await;
    etcd.restart().await;
    run.fact("Reachable").await;
    assert_eq!(
        held(&etcd, "/a/k").await,
        Some(("v".into(), session.who.me.0))
    );
    assert_eq!(
        run.count("Session(Established"),
        1,
        "nothing was under way, nothing is in doubt"
    );
    let outcome = run
        .commit(&session, vec![create("/a/l", "v", session.who.me)])
        .await;
    assert!(matches!(outcome, Outcome::Done { results, .. } if results == [KeyResult::Applied]));
    etcd.stop();
    run.fact("Unreachable").await;
    etcd.restart().await;
    run.fact("Reachable").await;
}

async fn an_outage_longer_than_the_ttl_keeps_the_nodes(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings_that_end("one")).await;
    run.create(&first, &[("/a/k", "v")]).await;
    let before = etcd
        .client()
        .get("/a/k")
        .await
        .unwrap()
        .unwrap()
        .mod_revision;
    etcd.kill();
    run.suspended().await;
    let id = run.send(first.number, vec![create("/a/l", "v", first.who.me)]);
    assert_eq!(run.outcome(id).await, Outcome::Void);
    etcd.restart().await;
    let second = run.session().await;
    assert_eq!((second.number, second.who.me), (2, first.who.me));
    let node = second.views[&key("/a/k")].node.clone().unwrap();
    assert_eq!(
        node.mod_revision, before,
        "etcd gives leases their whole TTL again"
    );
}

async fn an_emptied_etcd_gets_a_new_session(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    for n in 0..10 {
        run.create(&first, &[(&format!("/a/{n}"), "v")]).await;
    }
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    let second = run.session().await;
    assert_eq!((second.number, second.views.len()), (2, 0));
    assert_ne!(second.who.me, first.who.me);
    assert_eq!(run.count("LeaseLost"), 1);
    run.create(&second, &[("/a/1", "v")]).await;
    let before = run.count("Session(Seen");
    run.saw_change(&etcd, "/a/1").await;
    assert_eq!(run.count("Session(Seen"), before + 1);
}

/// A session whose way to an etcd with a lasting cluster id can be cut.
async fn behind_a_relay(program: &Path) -> (Etcd, Relay, Run, Session) {
    let etcd = Etcd::start_variant(program, Variant::with_a_lasting_id()).await;
    let relay = Relay::start(&etcd).await;
    let mut settings = etcd.settings("one");
    settings.endpoints = vec![relay.endpoint()];
    let (run, session) = Run::established(settings).await;
    (etcd, relay, run, session)
}

/// Writes until etcd is ahead of `before`.
async fn overtake(etcd: &Etcd, before: i64) {
    while revision(etcd).await <= before {
        put(etcd, "/other", "v", 0).await;
    }
}

async fn an_emptied_etcd_that_has_overtaken_the_session_gets_a_new_one(program: PathBuf) {
    let (mut etcd, mut relay, mut run, first) = behind_a_relay(&program).await;
    run.create(&first, &[("/a/k", "v")]).await;
    let before = revision(&etcd).await;
    relay.stop();
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    overtake(&etcd, before).await;
    relay.resume().await;
    let second = run.session().await;
    assert_eq!((second.number, second.views.len()), (2, 0));
}

/// The lease and the identity are among the data that came back, so only reading tells.
async fn older_data_that_have_overtaken_the_session_are_read(program: PathBuf) {
    let (mut etcd, mut relay, mut run, session) = behind_a_relay(&program).await;
    relay.stop();
    etcd.stop();
    etcd.save();
    etcd.restart().await;
    relay.resume().await;
    run.fact("Reachable").await;
    run.create(&session, &[("/a/lost", "v")]).await;
    run.saw_change(&etcd, "/a/lost").await;
    let before = revision(&etcd).await;
    relay.stop();
    etcd.kill();
    etcd.restore();
    etcd.restart().await;
    overtake(&etcd, before).await;
    relay.resume().await;
    run.until("reading without the lost key", |update| match update {
        SessionUpdate::Session(SessionEvent::Seen(Seen::Read { views, revision })) => {
            (revision > before && views[&key("/a/lost")].node.is_none()).then_some(())
        }
        _ => None,
    })
    .await;
}

async fn a_frozen_etcd_is_reported_and_recovers(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut settings = etcd.settings("one");
    settings.lease_ttl = Duration::from_secs(20);
    let (mut run, session) = Run::established(settings).await;
    run.create(&session, &[("/a/k", "v")]).await;
    etcd.freeze();
    let fact = run.fact("Unreachable").await;
    assert!(fact.contains("Broken"), "{fact}");
    etcd.thaw();
    run.fact("Reachable").await;
    assert_eq!(
        held(&etcd, "/a/k").await,
        Some(("v".into(), session.who.me.0))
    );
    assert_eq!(run.count("Unreachable"), 1);
}

/// The request lies in the socket of a frozen etcd, the session gives it up, and etcd performs it later, or not: the fence decides.
async fn a_commit_without_an_answer_is_void_and_fenced(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    let before = revision(&etcd).await;
    etcd.freeze();
    let id = run.send(first.number, vec![create("/a/late", "v", first.who.me)]);
    let waiting = run.send(first.number + 1, vec![]);
    assert_eq!(run.outcome(waiting).await, Outcome::Void);
    let began = Instant::now();
    run.suspended().await;
    assert_eq!(run.outcome(id).await, Outcome::Void);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    etcd.thaw();
    let second = run.session().await;
    assert_eq!((second.number, second.who.me), (2, first.who.me));
    assert!(revision(&etcd).await > before, "the fence was renewed");
    // Whatever became of it is in the reading, and nothing changes behind it.
    let expected = second.views.contains_key(&key("/a/late"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(held(&etcd, "/a/late").await.is_some(), expected);
}

async fn one_of_two_endpoints_is_dead(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let dead = Etcd::prepare(&program, Variant::default());
    let mut settings = etcd.settings("one");
    settings.endpoints.insert(0, dead.endpoint());
    let (mut run, session) = Run::established(settings.clone()).await;
    run.create(&session, &[("/a/k", "v")]).await;
    assert_eq!(run.count("Unreachable"), 0);
    let client = EtcdClient::new(&settings).unwrap();
    for _ in 0..100 {
        client.get("/a/k").await.unwrap().unwrap();
    }
    assert_eq!(client.endpoint(), etcd.url());
}

/// Two addresses of one member: a relay stands for the one that dies.
async fn the_endpoint_in_use_dies(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut relay = Relay::start(&etcd).await;
    let mut settings = etcd.settings("one");
    settings.endpoints.insert(0, relay.endpoint());
    settings.lease_ttl = Duration::from_secs(20);
    let (mut run, session) = Run::established(settings).await;
    run.create(&session, &[("/a/k", "v")]).await;
    run.saw_change(&etcd, "/a/k").await;
    relay.stop();
    // The watch goes on at the other endpoint.
    run.saw_change(&etcd, "/a/k").await;
    // The leases are renewed each two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(run.count("Unreachable"), 0, "{:#?}", run.seen);
    assert_eq!(run.count("LeaseLost"), 0);
    run.create(&session, &[("/a/l", "v")]).await;
}

async fn an_end_without_etcd_does_not_hang(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    let (run, _) = Run::established(etcd.settings("one")).await;
    etcd.kill();
    let began = Instant::now();
    let end = run.end(SessionRequest::Keep).await;
    assert!(matches!(end, SessionEnd::Unfinished(_)), "{end:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let run = Run::start(etcd.settings("two"));
    assert!(matches!(
        run.end(SessionRequest::Release).await,
        SessionEnd::Released
    ));
}

async fn an_end_with_a_commit_in_doubt_does_not_hang(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    etcd.freeze();
    run.send(session.number, vec![create("/a/k", "v", session.who.me)]);
    let began = Instant::now();
    let end = run.end(SessionRequest::Keep).await;
    assert!(matches!(end, SessionEnd::Unfinished(_)), "{end:?}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

async fn watches_survive_a_restart(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.watch(&session, &["/a/1", "/a/2"]).await;
    run.saw_change(&etcd, "/a/1").await;
    etcd.kill();
    etcd.restart().await;
    run.saw_change(&etcd, "/a/2").await;
    run.saw_change(&etcd, "/a/1").await;
    assert_eq!(run.count("Session(Established"), 1);
}

async fn a_compaction_while_cut_off_leads_to_a_new_reading(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut relay = Relay::start(&etcd).await;
    let mut settings = etcd.settings("one");
    settings.endpoints = vec![relay.endpoint()];
    let (mut run, first) = Run::established(settings).await;
    run.create(&first, &[("/a/k", "v")]).await;
    relay.stop();
    put(&etcd, "/a/k", "changed", first.who.me.0).await;
    compact(&etcd).await;
    relay.resume().await;
    // Whether other registrators came or went meanwhile is not known any more.
    let second = run.session().await;
    assert_eq!((second.number, second.who.me), (2, first.who.me));
    assert_eq!(
        second.views[&key("/a/k")]
            .node
            .as_ref()
            .unwrap()
            .value
            .as_str(),
        "changed"
    );
    run.saw_change(&etcd, "/a/k").await;
}

async fn a_partition_longer_than_the_ttl_leads_to_a_new_lease(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut relay = Relay::start(&etcd).await;
    let mut settings = etcd.settings_that_end("one");
    settings.endpoints = vec![relay.endpoint()];
    let (mut run, first) = Run::established(settings).await;
    run.create(&first, &[("/a/k", "v")]).await;
    relay.stop();
    run.suspended().await;
    eventually("the end of the lease", async || {
        held(&etcd, "/a/k").await.is_none()
    })
    .await;
    relay.resume().await;
    let second = run.session().await;
    assert_ne!(second.who.me, first.who.me);
    assert_eq!((second.number, second.views.len()), (2, 0));
    assert_eq!(
        (
            run.count("LeaseLost"),
            run.count("Unreachable"),
            run.count("Reachable")
        ),
        (1, 1, 1),
        "{:#?}",
        run.seen
    );
}
