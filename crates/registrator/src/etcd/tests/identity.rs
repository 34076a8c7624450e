//! Who a process is in etcd: its identity, which only one may have, and its beacon, which is lit as long as it lives.

use super::eventually;
use super::run::{Run, create, delete, held, key, put, revision, value};
use super::server::Etcd;
use crate::etcd::{OnConflict, SessionEnd, SessionRequest};
use registrator_core::own::session::{KeyResult, Outcome, Seen};
use registrator_core::own::{Guard, KeyTxn, LeaseId, Op};
use std::path::PathBuf;
use std::time::Duration;

on_each_etcd! {
    a_released_identity_is_adopted_at_once
    a_crashed_predecessor_is_adopted_with_its_nodes
    a_live_identity_is_refused
    a_live_identity_is_waited_for
    a_frozen_process_is_superseded
    a_deleted_identity_is_written_again
    a_beacon_has_a_lease_of_half_the_time
    guards_compare_beacons
    others_are_told_of_a_beacon
    a_beacon_deleted_by_hand_is_lit_again
    without_a_beacon_nothing_is_written
    a_lost_lease_leaves_no_beacon_behind
    an_end_that_keeps_lets_the_beacon_burn_down
}

const IDENTITY: &str = "/registrator/nodes/one";

async fn a_released_identity_is_adopted_at_once(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    run.create(&first, &[("/a/k", "v")]).await;
    let before = etcd.client().get("/a/k").await.unwrap().unwrap();
    assert!(matches!(
        run.end(SessionRequest::Keep).await,
        SessionEnd::Kept
    ));
    assert!(
        held(&etcd, IDENTITY)
            .await
            .unwrap()
            .0
            .contains("\"released\":true")
    );
    let mut settings = etcd.settings("one");
    settings.lease_ttl = Duration::from_secs(30);
    let (mut run, second) = Run::established(settings).await;
    assert_eq!(second.who.me, first.who.me);
    let view = &second.views[&key("/a/k")];
    assert_eq!(
        view.node.as_ref().unwrap().mod_revision,
        before.mod_revision
    );
    assert_eq!(run.count("IdentityInUse"), 0);
    assert!(run.seen[0].starts_with(&format!(
        "LeaseAdopted {{ lease: {:?}, ttl: 60s",
        first.who.me
    )));
}

async fn a_crashed_predecessor_is_adopted_with_its_nodes(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    let claim = KeyTxn {
        key: key("/a/claimed"),
        guards: vec![],
        ops: vec![Op::PutClaim(value("w"), first.who.me)],
    };
    run.create(&first, &[("/a/k", "v")]).await;
    run.commit(&first, vec![claim]).await;
    let end = revision(&etcd).await;
    run.kill().await;
    let (mut run, second) = Run::established(etcd.settings("one")).await;
    assert_eq!(run.count("IdentityInUse"), 1, "it was alive a moment ago");
    assert_eq!(second.who.me, first.who.me);
    let keys: Vec<_> = second.views.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["/a/claimed", "/a/k"]);
    let claimed = &second.views[&key("/a/claimed")];
    assert!(claimed.node.is_none() && claimed.claims.contains_key(&first.who.me));
    let written = revision(&etcd).await - end;
    assert_eq!(written, 1, "only identity and beacon, at once");
}

async fn a_live_identity_is_waited_for(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut one, first) = Run::established(etcd.settings("one")).await;
    one.create(&first, &[("/a/k", "v")]).await;
    let mut settings = etcd.settings("one");
    settings.on_conflict = OnConflict::Wait;
    let mut two = Run::start(settings);
    let fact = two.fact("IdentityInUse").await;
    assert!(fact.contains("test-host"), "{fact}");
    let id = two.send(0, vec![]);
    assert_eq!(two.outcome(id).await, Outcome::Void);
    // A lease that nobody renews looks renewed for 8 s: the first one is still undisturbed.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(two.count("IdentityInUse"), 1);
    assert_eq!(one.count("Session(Suspended"), 0);
    assert!(matches!(
        one.end(SessionRequest::Keep).await,
        SessionEnd::Kept
    ));
    assert_eq!(two.session().await.who.me, first.who.me);
}

/// The first process is as good as gone: its identity is taken over behind its back.
async fn a_frozen_process_is_superseded(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut one, first) = Run::established(etcd.settings("one")).await;
    let text = held(&etcd, IDENTITY).await.unwrap().0;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let instance = json["instance"].as_str().unwrap();
    let other = text.replace(instance, "somebody else");
    // A write of the first one that is under way when the second one takes over must fail.
    let id = one.send(first.number, vec![create("/a/before", "v", first.who.me)]);
    assert!(matches!(one.outcome(id).await, Outcome::Done { .. }));
    put(&etcd, IDENTITY, &other, first.who.me.0).await;
    let late = one.send(first.number, vec![create("/a/late", "v", first.who.me)]);
    assert_eq!(one.outcome(late).await, Outcome::Void);
    let fact = one.fact("Superseded").await;
    assert!(fact.contains("somebody else"), "{fact}");
    assert!(matches!(one.ended().await, SessionEnd::Superseded));
    assert_eq!(held(&etcd, "/a/late").await, None);
    assert!(
        held(&etcd, "/a/before").await.is_some(),
        "the lease is the successor's now"
    );
}

async fn a_deleted_identity_is_written_again(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    run.create(&first, &[("/a/k", "v")]).await;
    delete(&etcd, IDENTITY).await;
    let second = run.session().await;
    assert_eq!((second.who.me, second.views.len()), (first.who.me, 1));
    put(&etcd, IDENTITY, "garbled", 0).await;
    let third = run.session().await;
    assert_eq!(
        (third.number, third.who.me, third.views.len()),
        (3, first.who.me, 1)
    );
    assert_eq!(held(&etcd, IDENTITY).await.unwrap().1, first.who.me.0);
}

async fn a_live_identity_is_refused(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    // The longer it is, the later it is certain that the first one lives.
    let mut settings = etcd.settings("one");
    settings.lease_ttl = Duration::from_secs(20);
    let (mut one, first) = Run::established(settings.clone()).await;
    one.create(&first, &[("/a/k", "v")]).await;
    let mut two = Run::start(settings);
    let fact = two.fact("Refused").await;
    assert!(fact.contains("test-host"), "{fact}");
    assert_eq!(
        two.count("IdentityInUse"),
        1,
        "told while it was not certain"
    );
    assert!(matches!(two.ended().await, SessionEnd::Refused));
    assert_eq!(one.count("Session(Suspended"), 0);
    one.create(&first, &[("/a/l", "v")]).await;
}

fn beacon(lease: LeaseId) -> String {
    format!("/registrator/beacons/{lease}")
}

async fn a_beacon_has_a_lease_of_half_the_time(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut settings = etcd.settings("one");
    settings.lease_ttl = Duration::from_secs(20);
    let (_run, session) = Run::established(settings).await;
    let (name, lease) = held(&etcd, &beacon(session.who.me)).await.unwrap();
    assert_eq!(name, "one");
    assert_ne!(lease, session.who.me.0);
    let state = etcd.client().lease_time_to_live(lease, true).await;
    let state = state.unwrap();
    assert_eq!((state.granted_ttl, state.keys.len()), (10, 1));
}

async fn guards_compare_beacons(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let other = LeaseId(77);
    let guarded = |name: &str, guard: Guard| KeyTxn {
        guards: vec![Guard::Absent, guard],
        ..create(name, "v", session.who.me)
    };
    let both = |name: &str| {
        vec![
            guarded(&format!("{name}/lit"), Guard::Lit(other)),
            guarded(&format!("{name}/out"), Guard::Out(other)),
        ]
    };
    put(&etcd, &beacon(other), "", 0).await;
    check_guards(run.commit(&session, both("/a")).await, other, true);
    delete(&etcd, &beacon(other)).await;
    check_guards(run.commit(&session, both("/b")).await, other, false);
    for (name, there) in [
        ("/a/lit", true),
        ("/a/out", false),
        ("/b/lit", false),
        ("/b/out", true),
    ] {
        assert_eq!(held(&etcd, name).await.is_some(), there, "{name}");
    }
}

/// Of a transaction that wants the beacon lit and one that wants it out the right one was applied, and the other was told.
fn check_guards(outcome: Outcome, other: LeaseId, lit: bool) {
    let Outcome::Done { mut results, .. } = outcome else {
        panic!("{outcome:?}");
    };
    if !lit {
        results.reverse();
    }
    let [KeyResult::Applied, KeyResult::Refused { view, beacons, .. }] = &results[..] else {
        panic!("{results:?}");
    };
    assert_eq!((&view.node, beacons), (&None, &[(other, lit)].into()));
}

async fn others_are_told_of_a_beacon(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut one, _) = Run::established(etcd.settings("one")).await;
    let (two, session) = Run::established(etcd.settings_that_end("two")).await;
    let lease = session.who.me;
    let registrator = |name: Option<&str>| Seen::Registrator {
        lease,
        name: name.map(Into::into),
    };
    let lit = |seen: Seen| match seen {
        Seen::Beacon { lease: of, lit, .. } if of == lease => lit,
        other => panic!("no beacon: {other:?}"),
    };
    assert!(lit(one.next_seen().await));
    assert_eq!(one.next_seen().await, registrator(Some("two")));
    two.kill().await;
    assert!(!lit(one.next_seen().await));
    assert!(
        held(&etcd, "/registrator/nodes/two").await.is_some(),
        "the nodes of the dead are still there"
    );
    assert_eq!(one.next_seen().await, registrator(None));
}

async fn a_beacon_deleted_by_hand_is_lit_again(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    run.create(&first, &[("/a/k", "v")]).await;
    delete(&etcd, &beacon(first.who.me)).await;
    let second = run.session().await;
    assert_eq!((second.number, second.who.me), (2, first.who.me));
    assert!(held(&etcd, &beacon(first.who.me)).await.is_some());
    assert_eq!(second.views.len(), 1);
    assert_eq!(run.count("LeaseLost"), 0);
}

async fn without_a_beacon_nothing_is_written(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    let (_, lease) = held(&etcd, &beacon(first.who.me)).await.unwrap();
    etcd.client().lease_revoke(lease).await.unwrap();
    let late = run.send(first.number, vec![create("/a/k", "v", first.who.me)]);
    assert_eq!(run.outcome(late).await, Outcome::Void);
    let second = run.session().await;
    assert_eq!(second.who.me, first.who.me);
    assert_eq!(held(&etcd, "/a/k").await, None);
    assert_ne!(held(&etcd, &beacon(first.who.me)).await.unwrap().1, lease);
    run.create(&second, &[("/a/k", "v")]).await;
}

async fn a_lost_lease_leaves_no_beacon_behind(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings_that_end("one")).await;
    etcd.client().lease_revoke(first.who.me.0).await.unwrap();
    let second = run.session().await;
    assert_ne!(second.who.me, first.who.me);
    eventually("only the beacon of the new lease", async || {
        held(&etcd, &beacon(first.who.me)).await.is_none()
    })
    .await;
    assert!(held(&etcd, &beacon(second.who.me)).await.is_some());
    run.create(&second, &[("/a/k", "v")]).await;
}

/// For a successor that starts before that nothing has happened.
async fn an_end_that_keeps_lets_the_beacon_burn_down(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings_that_end("one")).await;
    let waiting = KeyTxn {
        key: key("/a/k"),
        guards: vec![],
        ops: vec![Op::PutClaim(value("v"), session.who.me)],
    };
    run.commit(&session, vec![waiting]).await;
    assert!(matches!(
        run.end(SessionRequest::Keep).await,
        SessionEnd::Kept
    ));
    assert!(held(&etcd, &beacon(session.who.me)).await.is_some());
    eventually("the beacon is out", async || {
        held(&etcd, &beacon(session.who.me)).await.is_none()
    })
    .await;
}
