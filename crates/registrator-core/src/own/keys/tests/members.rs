//! Members travel with their object, or are written while it stands.

use super::*;
use crate::merge::desired::ObjectStanding;
use crate::node::Definition;
use crate::own::{Guard, KeyTxn, Op};

const TEXT: &str = r#"{"conflict":"none","nodes":{"a":"1"}}"#;

fn marker() -> Key {
    key("/o").marker()
}

/// An object that is wished with a member for each of these keys, and stands or not.
struct Wished<'a> {
    members: &'a [&'a str],
    stands: bool,
}

impl Wished<'_> {
    fn next(&self, keys: &mut Keys, now: Instant) -> Option<Commit> {
        let member = |key: &Key| self.members.contains(&key.as_str());
        let of = |key: &Key| match *key == marker() {
            true => Some(value(TEXT)),
            false => (member(key) && self.stands).then(|| value("m")),
        };
        let all = self.members.iter();
        let all: BTreeMap<Key, Option<Value>> =
            all.map(|name| (key(name), Some(value("m")))).collect();
        let members = |_: &Key, text: Option<&Value>| match text {
            Some(_) if !self.stands => all.clone(),
            _ => BTreeMap::new(),
        };
        let wishes = Wishes {
            of: &of,
            stays: &|_| false,
            members: &members,
            object_of: &|key| member(key).then(marker),
            keep_orphans: false,
        };
        keys.next_commit(&wishes, now)
    }
}

/// Of which object a transaction has the guards too, and whether that one changes it.
fn with(txn: &KeyTxn) -> Vec<(&str, bool)> {
    let with = txn.guards.iter().filter_map(|guard| match guard {
        Guard::With(txn) => Some((txn.key.as_str(), !txn.ops.is_empty())),
        _ => None,
    });
    with.collect()
}

fn shown(commit: &Commit) -> Vec<(&str, Vec<(&str, bool)>)> {
    let txns = commit.txns.iter();
    txns.map(|txn| (txn.key.as_str(), with(txn))).collect()
}

#[test]
fn members_travel_with_their_object() {
    let (now, mut keys) = (Instant::now(), connected(BTreeMap::new()));
    let not_yet = Wished {
        members: &["/o/m", "/o/n"],
        stands: false,
    };
    keys.mark([marker()].into());
    let first = not_yet.next(&mut keys, now).unwrap();
    let travel = vec![("/o/", true)];
    assert_eq!(
        shown(&first),
        [("/o/", vec![]), ("/o/m", travel.clone()), ("/o/n", travel)]
    );
    let Guard::With(object) = first.txns[1].guards.last().unwrap() else {
        panic!("{first:?}")
    };
    assert_eq!(**object, first.txns[0], "all guards of the object");
    keys.committed(first.id, applied(5, 3), |_| None, now);
    assert_eq!(keys.standing(&marker()), ObjectStanding::As(value(TEXT)));
    let stands = Wished {
        stands: true,
        ..not_yet
    };
    assert_eq!(stands.next(&mut keys, now), None, "nothing is left to do");
}

/// Somebody else has to do with it, or it is not known what became of it: it is decided once the object stands.
#[test]
fn what_is_not_simple_follows() {
    let now = Instant::now();
    let claimed = View {
        node: Some(held("m", ME, 3)),
        claims: [(OTHER, held("m", OTHER, 4))].into(),
    };
    let views = [(key("/o/claimed"), claimed)];
    let mut keys = connected(views.into());
    keys.queue.clear();
    keys.mark([key("/o/flies")].into());
    let plain = commit(&mut keys, &["/o/flies"], now).unwrap();
    keys.mark([marker()].into());
    let wished = Wished {
        members: &["/o/claimed", "/o/flies", "/o/m"],
        stands: false,
    };
    let first = wished.next(&mut keys, now).unwrap();
    assert_eq!(names(&first), ["/o/", "/o/m"]);
    keys.committed(plain.id, applied(5, 1), |_| Some(value("a")), now);
}

/// While the object is as it was seen to be, and not in one request with what changes it.
#[test]
fn a_member_is_written_while_its_object_stands() {
    let now = Instant::now();
    let views = [(
        marker(),
        View {
            node: Some(held(TEXT, ME, 3)),
            ..View::default()
        },
    )];
    let mut keys = connected(views.into());
    let field = View {
        node: Some(held("1", ME, 3)),
        ..View::default()
    };
    let read = Seen::Read {
        views: [(key("/o/a"), field)].into(),
        revision: 4,
    };
    keys.see(read, |_| None, now);
    let stands = Wished {
        members: &["/o/m", "/o/n"],
        stands: true,
    };
    assert_eq!(stands.next(&mut keys, now), None);
    keys.mark([key("/o/m")].into());
    let first = stands.next(&mut keys, now).unwrap();
    assert_eq!(shown(&first), [("/o/m", vec![("/o/", false)])]);
    let Some(Guard::With(object)) = first.txns[0].guards.last() else {
        panic!("{first:?}")
    };
    let none = Guard::ClaimsAre(None, None, None);
    assert_eq!(object.guards, [Guard::Unchanged(3), none]);

    // The object is given up, in the same turn in which a member of it is decided.
    keys.mark([key("/o/n")].into());
    keys.mark([marker()].into());
    let gone = Wishes {
        of: &|of: &Key| (*of == key("/o/n")).then(|| value("m")),
        stays: &|_| false,
        members: &|_, _| BTreeMap::new(),
        object_of: &|of| (*of == key("/o/n")).then(marker),
        keep_orphans: false,
    };
    let second = keys.next_commit(&gone, now).unwrap();
    assert_eq!(names(&second), ["/o/n"]);
    let third = keys.next_commit(&gone, now).unwrap();
    assert_eq!(names(&third), ["/o/"]);
    assert!(third.txns[0].ops.contains(&Op::Delete));
    // Now the other way round: the change is under way, and the member waits for it.
    keys.mark([key("/o/k")].into());
    let waits = Wishes {
        of: &|of: &Key| (*of == key("/o/k")).then(|| value("m")),
        object_of: &|of| (*of == key("/o/k")).then(marker),
        ..gone
    };
    assert_eq!(keys.next_commit(&waits, now), None);
    keys.committed(third.id, applied(9, 1), |_| None, now);
    let last = keys.next_commit(&waits, now).unwrap();
    assert_eq!(names(&last), ["/o/k"], "it is decided after the answer");
}

/// A request is cut, but what travels with an object never goes before it, nor without it.
#[test]
fn what_does_not_fit_follows() {
    let (now, mut keys) = (Instant::now(), connected(BTreeMap::new()));
    let all: Vec<String> = (0..300).map(|number| format!("/o/m/{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let wished = |stands| Wished {
        members: &all,
        stands,
    };
    keys.mark([marker()].into());
    let first = wished(false).next(&mut keys, now).unwrap();
    assert!(Definition::parse(&marker(), &value(TEXT)).is_some());
    assert_eq!(first.txns[0].key, marker());
    assert!(first.txns.len() > 90, "{}", first.txns.len());
    assert_eq!(wished(false).next(&mut keys, now), None);
    keys.committed(first.id, applied(5, first.txns.len()), |_| None, now);
    keys.mark(all.iter().map(|name| key(name)).collect());
    let mut written = first.txns.len() - 1;
    while let Some(commit) = wished(true).next(&mut keys, now) {
        let rests = commit.txns.iter().all(|txn| with(txn) == [("/o/", false)]);
        assert!(rests, "{commit:?}");
        written += commit.txns.len();
        keys.committed(commit.id, applied(6, commit.txns.len()), |_| None, now);
    }
    assert_eq!(written, 300);
}
