//! Objects in a real etcd: a marker among the registrators' own keys, and fields that go with it.

use super::run::{Run, held, key, put, revision, value};
use super::server::Etcd;
use crate::etcd::SessionUpdate;
use registrator_core::node::{Key, Object, OnConflict, Value};
use registrator_core::own::session::{KeyResult, Outcome, Seen, Session, SessionEvent};
use registrator_core::own::{FieldGuard, Guard, KeyTxn, LeaseId, Op, View};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

on_each_etcd! {
    an_object_is_written_with_its_fields
    a_member_is_written_with_its_object
    claims_are_compared_as_a_whole
    markers_and_fields_are_watched
    what_is_wanted_is_read_and_watched
    an_object_is_read_back
}

const MARKER: &str = "/registrator/objects/%2Fr%2Fweb";

fn text(content: &str) -> Value {
    let fields = ["/r/web/a", "/r/web/b"].map(|name| (key(name), value(content)));
    let object = Object::new(&key("/r/web"), OnConflict::None, fields.into());
    object.unwrap().text().clone()
}

fn marker() -> Key {
    key("/r/web").marker()
}

fn of_marker(guards: Vec<Guard>, ops: Vec<Op>) -> KeyTxn {
    KeyTxn {
        key: marker(),
        guards,
        ops,
    }
}

/// Writes the object with all its fields.
fn written(content: &str, lease: LeaseId) -> KeyTxn {
    let fields = ["/r/web/a", "/r/web/b"].map(key);
    let absent = |field: &Key| Guard::Field(field.clone(), FieldGuard::Absent);
    let put = |field: &Key| Op::PutField(field.clone(), value(content), lease);
    let guards = [Guard::Absent, Guard::NoClaims].into_iter();
    let guards = guards.chain(fields.iter().map(absent));
    let ops = std::iter::once(Op::Put(text(content), lease)).chain(fields.iter().map(put));
    of_marker(guards.collect(), ops.collect())
}

async fn one(run: &mut Run, session: &Session, txn: KeyTxn) -> KeyResult {
    match run.commit(session, vec![txn]).await {
        Outcome::Done { mut results, .. } => results.remove(0),
        other => panic!("{other:?}"),
    }
}

async fn seen(run: &mut Run, what: &str, wanted: impl Fn(&Seen) -> bool) {
    run.until(what, |update| match update {
        SessionUpdate::Session(SessionEvent::Seen(seen)) => wanted(&seen).then_some(()),
        _ => None,
    })
    .await;
}

async fn an_object_is_written_with_its_fields(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let me = session.who.me;
    let result = one(&mut run, &session, written("1", me)).await;
    assert_eq!(result, KeyResult::Applied);
    let at = revision(&etcd).await;
    let there = held(&etcd, MARKER).await.unwrap();
    assert_eq!(there, (text("1").to_string(), me.0));
    for field in ["/r/web/a", "/r/web/b"] {
        assert_eq!(held(&etcd, field).await, Some(("1".into(), me.0)));
    }
    let again = one(&mut run, &session, written("2", me)).await;
    let KeyResult::Refused { view, fields, .. } = again else {
        panic!("{again:?}");
    };
    assert_eq!(view.node.unwrap().mod_revision, at);
    let names: Vec<&str> = fields.keys().map(Key::as_str).collect();
    assert_eq!(names, ["/r/web/a", "/r/web/b"]);
    let of_me = |held: &registrator_core::own::Held| held.lease == Some(me);
    assert!(fields.values().flatten().all(of_me) && fields.values().all(Option::is_some));
    let holds = |lease| Guard::Field(key("/r/web/a"), FieldGuard::HeldBy(lease));
    let unchanged = |at| Guard::Field(key("/r/web/b"), FieldGuard::Unchanged(at));
    let delete = || vec![Op::Delete, Op::DeleteField(key("/r/web/a"))];
    for (guards, applies) in [
        (vec![holds(LeaseId(me.0 + 1))], false),
        (vec![holds(me), unchanged(at - 1)], false),
        (vec![holds(me), unchanged(at)], true),
    ] {
        let result = one(&mut run, &session, of_marker(guards, delete())).await;
        assert_eq!(result == KeyResult::Applied, applies, "{result:?}");
    }
    assert_eq!(held(&etcd, MARKER).await, None);
    assert_eq!(held(&etcd, "/r/web/a").await, None);
}

async fn a_member_is_written_with_its_object(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let me = session.who.me;
    let member = |name: &str, object: &KeyTxn| KeyTxn {
        key: key(name),
        guards: vec![Guard::Absent, Guard::With(Arc::new(object.clone()))],
        ops: vec![Op::Put(value("m"), me)],
    };
    let object = written("1", me);
    let txns = vec![object.clone(), member("/r/web/m", &object)];
    let Outcome::Done { revision, results } = run.commit(&session, txns).await else {
        panic!("not done")
    };
    assert_eq!(results, [KeyResult::Applied, KeyResult::Applied]);
    assert!(held(&etcd, "/r/web/m").await.is_some());
    // The object is there already: neither happens, and only what is of the member is told of it.
    let txns = vec![object.clone(), member("/r/web/n", &object)];
    let Outcome::Done { results, .. } = run.commit(&session, txns).await else {
        panic!("not done")
    };
    let refused = KeyResult::Refused {
        view: View::default(),
        fields: BTreeMap::new(),
        beacons: BTreeMap::new(),
    };
    assert!(
        matches!(results[0], KeyResult::Refused { .. }),
        "{results:?}"
    );
    assert_eq!(results[1], refused);
    for (at, applies) in [(revision - 1, false), (revision, true)] {
        let stands = of_marker(vec![Guard::Unchanged(at)], Vec::new());
        let result = one(&mut run, &session, member("/r/web/o", &stands)).await;
        assert_eq!(result == KeyResult::Applied, applies, "{result:?}");
    }
    assert_eq!(held(&etcd, "/r/web/n").await, None);
}

async fn claims_are_compared_as_a_whole(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let mut leases = Vec::new();
    for _ in 0..2 {
        let granted = etcd.client().lease_grant(Duration::from_secs(60)).await;
        leases.push(LeaseId(granted.unwrap().id));
    }
    leases.sort();
    let [first, second] = leases[..] else {
        panic!("{leases:?}");
    };
    let claim = |lease: LeaseId| format!("/registrator/claims/%2Fr%2Fweb%2F/{lease}");
    let none = |after, before| Guard::ClaimsAre(after, before, None);
    let all = |after, before| Guard::ClaimsAre(after, before, Some(text("1")));
    let steps = [
        (
            None,
            vec![(none(None, None), true), (all(None, None), false)],
        ),
        (
            Some((first, "1")),
            vec![
                (none(None, None), false),
                (all(None, None), true),
                (none(Some(first), None), true),
                (all(Some(first), None), false),
                (none(None, Some(first)), true),
            ],
        ),
        (
            Some((second, "2")),
            vec![
                (all(None, None), false),
                (all(None, Some(second)), true),
                (none(Some(first), Some(second)), true),
                (none(Some(first), None), false),
            ],
        ),
        (
            Some((second, "1")),
            vec![(all(None, None), true), (all(Some(first), None), true)],
        ),
    ];
    for (claimed, guards) in steps {
        if let Some((lease, content)) = claimed {
            put(&etcd, &claim(lease), text(content).as_str(), lease.0).await;
        }
        for (guard, applies) in guards {
            let nothing = vec![Op::DeleteField(key("/r/web/none"))];
            let txn = of_marker(vec![guard.clone()], nothing);
            let result = one(&mut run, &session, txn).await;
            assert_eq!(result == KeyResult::Applied, applies, "{guard:?}");
        }
    }
}

async fn markers_and_fields_are_watched(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    one(&mut run, &session, written("1", session.who.me)).await;
    put(&etcd, "/r/web/b", "changed", 0).await;
    seen(&mut run, "a field", |seen| {
        matches!(seen, Seen::Node { key, node: Some(node), .. }
            if key.as_str() == "/r/web/b" && node.value.as_str() == "changed")
    })
    .await;
    put(&etcd, MARKER, "changed", 0).await;
    seen(&mut run, "a marker", |seen| {
        matches!(seen, Seen::Node { key, node: Some(node), .. }
            if *key == marker() && node.value.as_str() == "changed")
    })
    .await;
}

async fn what_is_wanted_is_read_and_watched(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    put(&etcd, "/r/web/c", "there", 0).await;
    run.want(&session, &[key("/r/web/c"), key("/r/web/d")]);
    seen(&mut run, "a reading", |seen| {
        let Seen::Read { views, .. } = seen else {
            return false;
        };
        let value = |name| {
            let view = views.get(&key(name));
            view.map(|view| view.node.as_ref().map(|node| node.value.to_string()))
        };
        (value("/r/web/c"), value("/r/web/d")) == (Some(Some("there".into())), Some(None))
    })
    .await;
    put(&etcd, "/r/web/d", "new", 0).await;
    seen(
        &mut run,
        "what was wanted",
        |seen| matches!(seen, Seen::Node { key, .. } if key.as_str() == "/r/web/d"),
    )
    .await;
}

/// The next process of this host finds marker and fields under its lease.
async fn an_object_is_read_back(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    one(&mut run, &session, written("1", session.who.me)).await;
    run.end(crate::etcd::SessionRequest::Keep).await;
    let (_, session) = Run::established(etcd.settings("one")).await;
    let keys: Vec<&str> = session.views.keys().map(Key::as_str).collect();
    assert_eq!(keys, ["/r/web/", "/r/web/a", "/r/web/b"]);
    let view = &session.views[&marker()];
    assert_eq!(view.node.as_ref().unwrap().value, text("1"));
}
