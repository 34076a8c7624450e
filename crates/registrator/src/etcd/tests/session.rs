//! The session with a real etcd that does its work: identity, commits, the end.

use super::run::{Run, create, held, key, put, refused, revision, value};
use super::server::Etcd;
use crate::etcd::{SessionEnd, SessionRequest, SessionUpdate};
use registrator_core::node::Value;
use registrator_core::own::session::{KeyResult, Outcome, Seen, SessionEvent};
use registrator_core::own::{Guard, Held, KeyTxn, LeaseId, Op, View};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

on_each_etcd! {
    a_first_session_has_a_lease_and_an_identity
    commits_are_applied_or_refused_with_a_view
    a_claim_is_handed_over
    junk_among_the_claims_is_removed
    what_must_not_be_written_is_rejected
    a_missing_lease_of_another_is_a_refusal
    an_old_session_is_void
    a_lost_lease_begins_a_new_session
    a_release_leaves_nothing
    a_release_takes_nothing_along
    an_end_finishes_what_was_asked_before
    nothing_is_written_at_rest
    many_keys_are_read_back
    everything_is_read_again_from_time_to_time
}

const IDENTITY: &str = "/registrator/nodes/one";

async fn a_first_session_has_a_lease_and_an_identity(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let other = etcd
        .client()
        .lease_grant(Duration::from_secs(60))
        .await
        .unwrap();
    put(&etcd, "/registrator/nodes/two", "{}", other.id).await;
    let (run, session) = Run::established(etcd.settings("one")).await;
    assert_eq!((session.number, session.views), (1, BTreeMap::new()));
    let names = [(session.who.me, "one"), (LeaseId(other.id), "two")];
    let names = names.map(|(lease, name)| (lease, name.into()));
    assert_eq!(session.who.registrators, names.into());
    assert_eq!(session.who.beacons, [session.who.me].into());
    let (text, lease) = held(&etcd, IDENTITY).await.unwrap();
    assert_eq!(lease, session.who.me.0);
    for part in [
        format!("\"lease\":\"{}\"", session.who.me),
        "\"released\":false".into(),
        "\"host\":\"test-host\"".into(),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    let granted = &run.seen[0];
    assert_eq!(
        *granted,
        format!("LeaseGranted {{ lease: {:?}, ttl: 60s }}", session.who.me)
    );
}

async fn commits_are_applied_or_refused_with_a_view(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let foreign = put(&etcd, "/a/foreign", "theirs", 0).await;
    let claimant = etcd
        .client()
        .lease_grant(Duration::from_secs(60))
        .await
        .unwrap()
        .id;
    let claim = format!("/registrator/claims/%2Fa%2Fclaimed/{claimant:016x}");
    let claimed = put(&etcd, &claim, "wish", claimant).await;
    let txns =
        ["/a/1", "/a/foreign", "/a/claimed", "/a/2"].map(|key| create(key, "v", session.who.me));
    let outcome = run.commit(&session, txns.to_vec()).await;
    let node = |value: &str, lease, mod_revision| Held {
        value: Value::parse(value).unwrap(),
        lease,
        mod_revision,
    };
    let theirs = View {
        node: Some(node("theirs", None, foreign)),
        ..View::default()
    };
    let wished = View {
        node: None,
        claims: [(
            LeaseId(claimant),
            node("wish", Some(LeaseId(claimant)), claimed),
        )]
        .into(),
    };
    let results = vec![
        KeyResult::Applied,
        refused(theirs),
        refused(wished),
        KeyResult::Applied,
    ];
    let revision = claimed + 1;
    assert_eq!(outcome, Outcome::Done { revision, results });
    for text in ["/a/1", "/a/2"] {
        assert_eq!(
            held(&etcd, text).await,
            Some(("v".into(), session.who.me.0))
        );
        assert_eq!(
            etcd.client().get(text).await.unwrap().unwrap().mod_revision,
            revision
        );
    }
    let release = KeyTxn {
        key: key("/a/1"),
        guards: vec![
            Guard::HeldBy(session.who.me),
            Guard::Unchanged(revision),
            Guard::NoClaims,
        ],
        ops: vec![Op::Delete],
    };
    let outcome = run.commit(&session, vec![release.clone()]).await;
    assert!(matches!(outcome, Outcome::Done { results, .. } if results == [KeyResult::Applied]));
    let outcome = run.commit(&session, vec![release]).await;
    let nothing = refused(View::default());
    assert!(matches!(outcome, Outcome::Done { results, .. } if results == [nothing]));
}

async fn a_claim_is_handed_over(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut one, first) = Run::established(etcd.settings("one")).await;
    let (mut two, second) = Run::established(etcd.settings("two")).await;
    one.create(&first, &[("/a/k", "1")]).await;
    let claim = KeyTxn {
        key: key("/a/k"),
        guards: vec![],
        ops: vec![Op::PutClaim(value("2"), second.who.me)],
    };
    let outcome = two.commit(&second, vec![claim]).await;
    let Outcome::Done { revision, .. } = outcome else {
        panic!("{outcome:?}")
    };
    let hand_over = |revision| KeyTxn {
        key: key("/a/k"),
        guards: vec![
            Guard::HeldBy(first.who.me),
            Guard::ClaimUnchanged(second.who.me, revision),
        ],
        ops: vec![
            Op::Put(value("2"), second.who.me),
            Op::DeleteClaim(second.who.me),
        ],
    };
    let outcome = one.commit(&first, vec![hand_over(revision - 1)]).await;
    assert!(
        matches!(outcome, Outcome::Done { results, .. } if matches!(results[0], KeyResult::Refused { .. }))
    );
    let outcome = one.commit(&first, vec![hand_over(revision)]).await;
    assert!(matches!(outcome, Outcome::Done { results, .. } if results == [KeyResult::Applied]));
    assert_eq!(
        held(&etcd, "/a/k").await,
        Some(("2".into(), second.who.me.0))
    );
    assert_eq!(
        etcd.client()
            .range_prefix("/registrator/claims/")
            .await
            .unwrap()
            .kvs,
        []
    );
}

async fn junk_among_the_claims_is_removed(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.create(&session, &[("/a/k", "v")]).await;
    put(&etcd, "/registrator/claims/%2Fa%2Fk/junk", "v", 0).await;
    let release = KeyTxn {
        key: key("/a/k"),
        guards: vec![Guard::HeldBy(session.who.me), Guard::NoClaims],
        ops: vec![Op::Delete],
    };
    let outcome = run.commit(&session, vec![release.clone()]).await;
    let Outcome::Done { results, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        matches!(&results[..], [KeyResult::Refused { view, .. }] if view.claims.is_empty()),
        "{results:?}"
    );
    let outcome = run.commit(&session, vec![release]).await;
    assert!(matches!(outcome, Outcome::Done { results, .. } if results == [KeyResult::Applied]));
}

async fn what_must_not_be_written_is_rejected(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut settings = etcd.settings("one");
    settings.allow_prefixes = vec!["/a/".into()];
    let (mut run, session) = Run::established(settings).await;
    let before = revision(&etcd).await;
    let rejected = |outcome: Outcome| match outcome {
        Outcome::Rejected(rejection) => rejection.message,
        other => panic!("{other:?}"),
    };
    let mut reasons = Vec::new();
    for text in ["/b/k", "/registrator/nodes/two"] {
        let txns = vec![
            create("/a/k", "v", session.who.me),
            create(text, "v", session.who.me),
        ];
        reasons.push(rejected(run.commit(&session, txns).await));
    }
    let big = "v".repeat(800_000);
    let txns = ["/a/1", "/a/2"]
        .map(|key| create(key, &big, session.who.me))
        .to_vec();
    reasons.push(rejected(run.commit(&session, txns).await));
    let txns = (0..101).map(|n| create(&format!("/a/{n}"), "v", session.who.me));
    reasons.push(rejected(run.commit(&session, txns.collect()).await));
    // What only etcd finds out.
    let txns = vec![create("/a/k", "v", session.who.me); 2];
    reasons.push(rejected(run.commit(&session, txns).await));
    assert!(
        reasons[2].starts_with("the request has 1600"),
        "{}",
        reasons[2]
    );
    reasons.remove(2);
    assert_eq!(
        reasons,
        [
            "key /b/k is outside of what this process may write: /a/".to_owned(),
            "key /registrator/nodes/two is below /registrator/, where registrators keep their own keys".into(),
            "101 transactions in one request, at most 100 fit".into(),
            format!("etcd at {} refused: duplicate key given in txn request", etcd.url()),
        ]
    );
    assert_eq!(revision(&etcd).await, before);
    run.create(&session, &[("/a/k", "v")]).await;
}

async fn a_missing_lease_of_another_is_a_refusal(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.create(&session, &[("/a/k", "v")]).await;
    let txns = ["/a/k", "/a/none"].map(|text| KeyTxn {
        key: key(text),
        guards: vec![],
        ops: vec![Op::Put(value("w"), LeaseId(4711))],
    });
    let outcome = run.commit(&session, txns.to_vec()).await;
    let Outcome::Done { results, .. } = outcome else {
        panic!("{outcome:?}")
    };
    let [
        KeyResult::Refused { view, .. },
        KeyResult::Refused { view: nothing, .. },
    ] = &results[..]
    else {
        panic!("{results:?}")
    };
    assert_eq!(view.node.as_ref().unwrap().value, value("v"));
    assert_eq!(*nothing, View::default());
    run.create(&session, &[("/a/l", "v")]).await;
}

async fn an_old_session_is_void(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let before = revision(&etcd).await;
    let id = run.send(
        session.number - 1,
        vec![create("/a/k", "v", session.who.me)],
    );
    assert_eq!(run.outcome(id).await, Outcome::Void);
    assert_eq!(revision(&etcd).await, before);
}

async fn a_lost_lease_begins_a_new_session(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    run.create(&first, &[("/a/k", "v")]).await;
    etcd.client().lease_revoke(first.who.me.0).await.unwrap();
    run.suspended().await;
    let second = run.session().await;
    assert_eq!((second.number, second.views.len()), (2, 0));
    assert_ne!(second.who.me, first.who.me);
    assert_eq!((run.count("LeaseLost"), run.count("LeaseGranted")), (1, 2));
    run.create(&second, &[("/a/k", "v")]).await;
}

async fn a_release_leaves_nothing(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.create(&session, &[("/a/k", "v")]).await;
    let release = KeyTxn {
        key: key("/a/k"),
        guards: vec![Guard::HeldBy(session.who.me), Guard::NoClaims],
        ops: vec![Op::Delete],
    };
    run.commit(&session, vec![release]).await;
    assert!(matches!(
        run.end(SessionRequest::Release).await,
        SessionEnd::Released
    ));
    assert_eq!(etcd.client().range_prefix("/").await.unwrap().kvs, []);
    let ttl = etcd
        .client()
        .lease_time_to_live(session.who.me.0, false)
        .await
        .unwrap()
        .ttl;
    assert_eq!(ttl, -1);
}

async fn an_end_finishes_what_was_asked_before(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    for n in 0..50 {
        run.send(
            session.number,
            vec![create(&format!("/a/{n}"), "v", session.who.me)],
        );
    }
    assert!(matches!(
        run.end(SessionRequest::Keep).await,
        SessionEnd::Kept
    ));
    assert_eq!(
        etcd.client().range_prefix("/a/").await.unwrap().kvs.len(),
        50
    );
}

async fn nothing_is_written_at_rest(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut settings = etcd.settings("one");
    settings.lease_ttl = Duration::from_secs(20);
    let (mut run, session) = Run::established(settings).await;
    run.create(&session, &[("/a/k", "v")]).await;
    let before = revision(&etcd).await;
    // Longer than the beacon lives by itself: the leases are kept alive without a write.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(revision(&etcd).await, before);
    let lease = etcd
        .client()
        .lease_time_to_live(session.who.me.0, false)
        .await
        .unwrap();
    assert!(lease.ttl > 20 - 12, "it was renewed: {lease:?}");
    assert_eq!(
        held(&etcd, "/a/k").await,
        Some(("v".into(), session.who.me.0))
    );
    assert_eq!(run.count("Session(Established"), 1);
}

async fn many_keys_are_read_back(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, first) = Run::established(etcd.settings("one")).await;
    let keys: Vec<String> = (0..2500).map(|n| format!("/a/{n:05}")).collect();
    for chunk in keys.chunks(100) {
        let txns = chunk
            .iter()
            .map(|key| create(key, &"v".repeat(100), first.who.me));
        run.send(first.number, txns.collect());
    }
    put(&etcd, "/a/stray/", "v", first.who.me.0).await;
    let mut left = 25;
    run.until("all outcomes", |update| {
        if let SessionUpdate::Session(SessionEvent::Committed { outcome, .. }) = update {
            assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
            left -= 1;
        }
        (left == 0).then_some(())
    })
    .await;
    assert!(matches!(
        run.end(SessionRequest::Keep).await,
        SessionEnd::Kept
    ));
    let (mut run, second) = Run::established(etcd.settings("one")).await;
    let found: Vec<String> = second.views.keys().map(ToString::to_string).collect();
    assert_eq!(found, keys);
    assert!(second.views.values().all(|view| {
        view.node
            .as_ref()
            .is_some_and(|node| node.lease == Some(first.who.me))
    }));
    assert_eq!(run.count("Stray { key: \"/a/stray/\" }"), 1);
}

/// A key that is not watched stands for one whose event got lost.
async fn everything_is_read_again_from_time_to_time(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut settings = etcd.settings("one");
    settings.read_again_every = Duration::from_millis(50);
    let (mut run, session) = Run::established(settings).await;
    let revision = put(&etcd, "/a/k", "v", session.who.me.0).await;
    let found = run
        .until("reading with the key", |update| match update {
            SessionUpdate::Session(SessionEvent::Seen(Seen::Read { views, .. })) => {
                views.get(&key("/a/k")).cloned()
            }
            _ => None,
        })
        .await;
    let node = found.node.unwrap();
    assert_eq!((node.value, node.mod_revision), (value("v"), revision));
    assert_eq!(run.count("Session(Suspended"), 0);
}

/// The node stands for one that another registrator handed over when this one had just found nothing left to release.
async fn a_release_takes_nothing_along(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.create(&session, &[("/a/k", "v")]).await;
    assert!(matches!(
        run.end(SessionRequest::Release).await,
        SessionEnd::Released
    ));
    assert_eq!(
        held(&etcd, "/a/k").await,
        Some(("v".into(), session.who.me.0)),
        "whoever waits for it may take it"
    );
    let own = etcd.client().range_prefix("/registrator/").await.unwrap();
    assert_eq!(own.kvs, [], "neither identity nor beacon");
}
