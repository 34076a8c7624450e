//! Between the small numbers of the explored worlds and the types of `registrator-core`.

use super::state::{Cell, Change, Compare, Event, KEYS, LEASES, Slot, Txn, bit};
use crate::node::{Key, Value};
use crate::own::session::Seen;
use crate::own::{Guard, Held, KeyTxn, LeaseId, Op, Revision, View};
use std::sync::OnceLock;

/// The key with this number.
pub fn key(number: u8) -> &'static Key {
    static ALL: OnceLock<[Key; KEYS]> = OnceLock::new();
    let all = ALL.get_or_init(|| ["/0", "/1"].map(|name| Key::parse(name).unwrap()));
    &all[usize::from(number)]
}

/// The number of a key.
pub fn key_number(key: &Key) -> u8 {
    key.as_str()[1..].parse().unwrap()
}

/// Values are ordered as their numbers.
pub fn value(number: u8) -> Value {
    Value::parse(&number.to_string()).unwrap()
}

fn number(value: &Value) -> u8 {
    value.as_str().parse().unwrap()
}

pub fn lease(number: u8) -> LeaseId {
    LeaseId(number.into())
}

pub fn lease_number(lease: LeaseId) -> u8 {
    u8::try_from(lease.0).unwrap()
}

/// The leases in a set.
pub fn leases(bits: u8) -> impl Iterator<Item = u8> {
    (1..=LEASES as u8).filter(move |lease| bits & bit(*lease) != 0)
}

pub fn rev(revision: Revision) -> u8 {
    u8::try_from(revision).unwrap()
}

fn held(cell: Cell) -> Option<Held> {
    cell.exists().then(|| Held {
        value: value(cell.value),
        lease: (cell.lease != 0).then(|| lease(cell.lease)),
        mod_revision: cell.rev.into(),
    })
}

pub fn view(slot: &Slot) -> View {
    let claims = slot.claims.iter().enumerate();
    let claims = claims.filter_map(|(at, claim)| Some((lease(at as u8 + 1), held(*claim)?)));
    View {
        node: held(slot.node),
        claims: claims.collect(),
    }
}

/// What an event of a key tells.
pub fn seen(event: Event) -> Seen {
    match event {
        Event::Node { key, cell, rev } => Seen::Node {
            key: self::key(key).clone(),
            node: held(cell),
            revision: rev.into(),
        },
        Event::Claim {
            key,
            lease,
            cell,
            rev,
        } => Seen::Claim {
            key: self::key(key).clone(),
            lease: self::lease(lease),
            claim: held(cell),
            revision: rev.into(),
        },
        Event::Beacon { lease, lit, rev } => Seen::Beacon {
            lease: self::lease(lease),
            lit,
            revision: rev.into(),
        },
        Event::Identity { .. } => panic!("the adapter makes two of it"),
    }
}

pub fn txn(txn: &KeyTxn) -> (u8, Txn) {
    let compares = txn.guards.iter().map(|guard| match guard {
        Guard::Absent => Compare::Absent,
        Guard::HeldBy(lease) => Compare::HeldBy(lease_number(*lease)),
        Guard::Unchanged(revision) => Compare::Unchanged(rev(*revision)),
        Guard::NoClaims => Compare::NoClaims,
        Guard::ClaimUnchanged(lease, revision) => {
            Compare::ClaimUnchanged(lease_number(*lease), rev(*revision))
        }
        Guard::Lit(lease) => Compare::Lit(lease_number(*lease)),
        Guard::Out(lease) => Compare::Out(lease_number(*lease)),
    });
    let changes = txn.ops.iter().map(|op| match op {
        Op::Put(value, lease) => Change::Put(number(value), lease_number(*lease)),
        Op::Delete => Change::Delete,
        Op::PutClaim(value, lease) => Change::PutClaim(number(value), lease_number(*lease)),
        Op::DeleteClaim(lease) => Change::DeleteClaim(lease_number(*lease)),
    });
    let small = Txn {
        compares: compares.collect(),
        changes: changes.collect(),
    };
    (key_number(&txn.key), small)
}
