//! Tests of [`super::Keys`].

mod members;
pub(super) mod watches;

use super::*;
use crate::own::session::{Commit, KeyResult, Outcome, Seen};
use crate::own::{Held, LeaseId, View};
use std::collections::BTreeMap;

const ME: LeaseId = LeaseId(1);
const OTHER: LeaseId = LeaseId(2);

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn held(text: &str, lease: LeaseId, mod_revision: i64) -> Held {
    Held {
        value: value(text),
        lease: Some(lease),
        mod_revision,
    }
}

/// In a session with one other registrator, which is alive.
fn connected(views: BTreeMap<Key, View>) -> Keys {
    let mut keys = Keys::default();
    let who = Who {
        me: ME,
        registrators: [(OTHER, "b".into())].into(),
        beacons: [OTHER].into(),
    };
    let session = Session {
        number: 1,
        who,
        views,
    };
    keys.establish(session, Vec::new());
    keys
}

/// What is sent if every key in `wished` is wished with the value `a`.
fn commit(keys: &mut Keys, wished: &[&str], now: Instant) -> Option<Commit> {
    let of = |key: &Key| wished.contains(&key.as_str()).then(|| value("a"));
    let wishes = Wishes {
        of: &of,
        stays: &|_| false,
        members: &|_, _| BTreeMap::new(),
        object_of: &|_| None,
        keep_orphans: false,
    };
    keys.next_commit(&wishes, now)
}

fn names(commit: &Commit) -> Vec<&str> {
    commit.txns.iter().map(|txn| txn.key.as_str()).collect()
}

fn applied(revision: i64, number: usize) -> Outcome {
    Outcome::Done {
        revision,
        results: vec![KeyResult::Applied; number],
    }
}

fn beacon(lit: bool, revision: i64) -> Seen {
    Seen::Beacon {
        lease: OTHER,
        lit,
        revision,
    }
}

#[test]
fn without_a_session_nothing_piles_up() {
    let mut keys = Keys::default();
    for _ in 0..1000 {
        keys.mark([key("/web")].into());
    }
    assert!(keys.queue.is_empty(), "the next session asks for all");
}

/// The answer to a transaction may come after an event that is newer than it, and nothing would tell of that beacon again.
#[test]
fn old_news_of_a_beacon_is_no_news() {
    let now = Instant::now();
    let mut keys = connected(BTreeMap::new());
    let lit = |keys: &Keys| keys.session.as_ref().unwrap().1.beacons.contains(&OTHER);
    let answer = |keys: &mut Keys, told: &[(bool, i64)], lit, revision| {
        keys.mark([key("/k")].into());
        let id = commit(keys, &["/k"], now).unwrap().id;
        for (lit, revision) in told {
            keys.see(beacon(*lit, *revision), |_| None, now);
        }
        let refused = KeyResult::Refused {
            fields: BTreeMap::new(),
            view: View::default(),
            beacons: [(OTHER, lit)].into(),
        };
        let results = vec![refused];
        keys.committed(id, Outcome::Done { revision, results }, |_| None, now);
    };
    answer(&mut keys, &[(false, 10)], true, 8);
    assert!(!lit(&keys), "an answer from before");
    answer(&mut keys, &[(true, 12), (false, 14)], true, 13);
    assert!(!lit(&keys));
    answer(&mut keys, &[(false, 14)], true, 16);
    assert!(lit(&keys), "an answer that is newer");
    answer(&mut keys, &[], false, 18);
    assert!(!lit(&keys));
}

/// A batch waits for the answer to what is under way for one of its keys, and travels together then.
#[test]
fn a_batch_waits_for_a_key_that_flies() {
    let now = Instant::now();
    let mut keys = connected(BTreeMap::new());
    keys.mark([key("/a")].into());
    let first = commit(&mut keys, &["/a"], now).unwrap();
    keys.mark([key("/a"), key("/b")].into());
    assert_eq!(commit(&mut keys, &["/b"], now), None);
    assert!(keys.queue.is_empty(), "nothing looks at it meanwhile");
    assert!(!keys.settled());
    keys.committed(first.id, applied(5, 1), |_| None, now);
    let second = commit(&mut keys, &["/b"], now).unwrap();
    assert_eq!(names(&second), ["/a", "/b"], "/a is removed again");
}

/// The answer asks for it itself.
#[test]
fn a_key_that_flies_does_not_pile_up() {
    let now = Instant::now();
    let mut keys = connected(BTreeMap::new());
    keys.mark([key("/a")].into());
    let first = commit(&mut keys, &["/a"], now).unwrap();
    for _ in 0..1000 {
        keys.mark([key("/a")].into());
        assert_eq!(commit(&mut keys, &[], now), None);
    }
    assert!(keys.queue.is_empty());
    keys.committed(first.id, applied(5, 1), |_| None, now);
    let second = commit(&mut keys, &[], now).unwrap();
    assert_eq!(names(&second), ["/a"]);
}

/// Of all keys only those that a registrator holds or claims are decided again when its beacon goes out.
#[test]
fn a_beacon_concerns_the_keys_of_its_registrator() {
    let now = Instant::now();
    let shared = |node: Held, claims: &[(LeaseId, Held)]| View {
        node: Some(node),
        claims: claims.iter().cloned().collect(),
    };
    let views = [
        (key("/alone"), shared(held("a", ME, 3), &[])),
        (
            key("/claimed"),
            shared(held("a", ME, 3), &[(OTHER, held("b", OTHER, 4))]),
        ),
        (
            key("/held"),
            shared(held("a", OTHER, 3), &[(ME, held("a", ME, 4))]),
        ),
    ];
    let mut keys = connected(views.into());
    let wished = ["/alone", "/claimed", "/held"];
    assert_eq!(commit(&mut keys, &wished, now), None);
    keys.see(beacon(false, 10), |_| None, now);
    assert_eq!(keys.queue.len(), 2);
    let commit = commit(&mut keys, &wished, now).unwrap();
    assert_eq!(names(&commit), ["/held"], "it is taken over");
}
