//! Tests of [`super::Tracked`].

use super::*;
use crate::own::decide;

const ME: LeaseId = LeaseId(1);
const OTHER: LeaseId = LeaseId(2);
const THIRD: LeaseId = LeaseId(3);

fn who() -> Who {
    Who {
        me: ME,
        registrators: [OTHER, THIRD].map(|lease| (lease, "".into())).into(),
        beacons: [OTHER, THIRD].into(),
    }
}

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn held(text: &str, lease: LeaseId, mod_revision: Revision) -> Held {
    Held {
        value: value(text),
        lease: Some(lease),
        mod_revision,
    }
}

fn see(tracked: &mut Tracked, node: Option<Held>, revision: Revision, now: Instant) -> bool {
    tracked.see_node(&who(), node, revision, Some(&value("a")), now)
}

fn claimed(
    tracked: &mut Tracked,
    lease: LeaseId,
    text: &str,
    revision: Revision,
    now: Instant,
) -> bool {
    let claim = Some(held(text, lease, revision));
    tracked.see_claim(&who(), lease, claim, revision, now)
}

#[test]
fn what_is_known_asks_for_nothing() {
    let (mut tracked, now) = (Tracked::default(), Instant::now());
    assert!(see(&mut tracked, Some(held("a", ME, 5)), 5, now));
    assert!(!see(&mut tracked, Some(held("a", ME, 5)), 5, now));
    assert!(!see(&mut tracked, Some(held("b", ME, 4)), 4, now), "old");
    assert!(claimed(&mut tracked, OTHER, "b", 7, now));
}

#[test]
fn a_node_that_changes_hands_settles() {
    let (mut tracked, now) = (Tracked::default(), Instant::now());
    see(&mut tracked, Some(held("a", OTHER, 5)), 5, now);
    let until = tracked.look(&who(), true, now).unwrap();
    see(&mut tracked, Some(held("b", OTHER, 6)), 6, until);
    assert_eq!(tracked.look(&who(), true, until), None, "the same holder");
    see(&mut tracked, Some(held("b", THIRD, 7)), 7, until);
    assert!(tracked.look(&who(), true, until).is_some());
    see(&mut tracked, None, 8, until);
    assert_eq!(tracked.look(&who(), true, until), None);
}

/// Only what this process had is repaired, and of that only what others than registrators did.
#[test]
fn what_was_ours_is_repaired() {
    let (mut tracked, now) = (Tracked::default(), Instant::now());
    see(&mut tracked, Some(held("a", ME, 5)), 5, now);
    see(&mut tracked, None, 6, now);
    assert!(!tracked.drift.is_there(), "it was never managed");
    see(&mut tracked, Some(held("a", ME, 7)), 7, now);
    tracked.look(&who(), true, now);
    see(&mut tracked, Some(held("b", OTHER, 8)), 8, now);
    assert!(!tracked.drift.is_there(), "a registrator took it over");
    see(&mut tracked, Some(held("a", ME, 9)), 9, now);
    see(&mut tracked, None, 10, now);
    assert!(tracked.drift.is_there());
}

/// The holder and the winner act at once; who is neither looks on for a while.
#[test]
fn bystanders_stand_back() {
    let (mut tracked, now) = (Tracked::default(), Instant::now());
    let key = Key::parse("/k").unwrap();
    see(&mut tracked, Some(held("c", OTHER, 5)), 5, now);
    claimed(&mut tracked, THIRD, "a", 6, now);
    let decided = |tracked: &Tracked, wish: &str| {
        decide(&who(), &key, Some(&value(wish)), &tracked.sight.view, false).unwrap()
    };
    let txn = decided(&tracked, "b");
    let until = tracked.stand_back(&who(), &txn, now).unwrap();
    assert_eq!(tracked.stand_back(&who(), &txn, until), None);
    let txn = decided(&tracked, "0");
    assert_eq!(tracked.stand_back(&who(), &txn, now), None, "it wins");
}
