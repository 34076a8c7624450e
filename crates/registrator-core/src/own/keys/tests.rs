//! Tests of [`super::Keys`].

use super::*;

#[test]
fn without_a_session_nothing_piles_up() {
    let mut keys = Keys::default();
    for _ in 0..1000 {
        keys.mark([Key::parse("/web").unwrap()].into());
    }
    assert!(keys.queue.is_empty(), "the next session asks for all");
}

/// The answer to a transaction may come after an event that is newer than it, and nothing would tell of that beacon again.
#[test]
fn old_news_of_a_beacon_is_no_news() {
    let other = LeaseId(2);
    let mut keys = Keys::default();
    let session = Session {
        number: 1,
        who: Who {
            me: LeaseId(1),
            registrators: [(other, "b".into())].into(),
            beacons: [other].into(),
        },
        views: BTreeMap::new(),
    };
    keys.establish(session, Vec::new());
    let lit = |keys: &Keys| keys.session.as_ref().unwrap().1.beacons.contains(&other);
    let seen = Seen::Beacon {
        lease: other,
        lit: false,
        revision: 10,
    };
    keys.see(seen, |_| None, Instant::now());
    assert!(!lit(&keys));
    assert!(!keys.see_beacon(other, true, 8), "an answer from before");
    assert!(!lit(&keys));
    assert!(keys.see_beacon(other, true, 12));
    assert!(lit(&keys));
}
