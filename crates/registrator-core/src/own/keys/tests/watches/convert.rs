//! Between the small numbers of the explored worlds and the types of `registrator-core`.

use super::state::{Cell, Change, Compare, Event, KEYS, LEASES, Slot, Txn, bit};
use crate::node::{Definition, Key, Object, OnConflict, Value};
use crate::own::session::Seen;
use crate::own::{FieldGuard, Guard, Held, KeyTxn, LeaseId, Op, Revision, View};
use std::sync::OnceLock;

/// What the keys of a world are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Nodes.
    Plain,
    /// An object of which the smallest definition counts, and its fields.
    Smallest,
    /// One of which none counts until all agree.
    Strict,
    /// The same; the first value is that of a host that does not agree with itself.
    Disputed,
}

thread_local! {
    static WORLD: std::cell::Cell<World> = const { std::cell::Cell::new(World::Plain) };
}

/// The world that this thread explores.
pub fn world() -> World {
    WORLD.get()
}

pub fn enter(world: World) {
    WORLD.set(world);
}

/// The fields of the definition with this number, and their values.
pub fn fields_of(definition: u8) -> &'static [(u8, u8)] {
    match (world(), definition) {
        (World::Smallest | World::Strict, 1) | (World::Disputed, 2) => &[(1, 1), (2, 1)],
        (World::Smallest | World::Strict, 2) | (World::Disputed, 3) => &[(1, 2)],
        (World::Smallest | World::Strict, 3) => &[(2, 3)],
        _ => &[],
    }
}

/// The key with this number.
pub fn key(number: u8) -> &'static Key {
    static ALL: OnceLock<[[Key; KEYS]; 2]> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let parse = |name| Key::parse(name).unwrap();
        let fields = ["/0/a", "/0/b"].map(parse);
        let [a, b] = fields;
        [["/0", "/1", "/2"].map(parse), [parse("/0").marker(), a, b]]
    });
    &all[usize::from(world() != World::Plain)][usize::from(number)]
}

/// The number of a key.
pub fn key_number(name: &Key) -> u8 {
    (0..KEYS as u8).find(|number| key(*number) == name).unwrap()
}

/// What is asked for under a key. Values are ordered as their numbers.
pub fn value(key: u8, number: u8) -> Value {
    if key == 0 && world() != World::Plain {
        definition(number)
    } else {
        Value::parse(&number.to_string()).unwrap()
    }
}

fn definition(number: u8) -> Value {
    let fields = fields_of(number).iter();
    let fields = fields.map(|(at, value)| (key(*at).clone(), self::value(*at, *value)));
    let on_conflict = match world() {
        World::Smallest => OnConflict::Smallest,
        _ => OnConflict::None,
    };
    let object = Object::new(&Key::parse("/0").unwrap(), on_conflict, fields.collect());
    object.map_or_else(|_| Definition::disputed(), |object| object.text().clone())
}

fn number(key: u8, text: &Value) -> u8 {
    let mut all = 1..=3;
    all.find(|number| value(key, *number) == *text).unwrap()
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

pub fn held(key: u8, cell: Cell) -> Option<Held> {
    cell.exists().then(|| Held {
        value: value(key, cell.value),
        lease: (cell.lease != 0).then(|| lease(cell.lease)),
        mod_revision: cell.rev.into(),
    })
}

pub fn view(key: u8, slot: &Slot) -> View {
    let claims = slot.claims.iter().enumerate();
    let claims = claims.filter_map(|(at, claim)| Some((lease(at as u8 + 1), held(key, *claim)?)));
    View {
        node: held(key, slot.node),
        claims: claims.collect(),
    }
}

/// What an event of a key tells.
pub fn seen(event: Event) -> Seen {
    match event {
        Event::Node { key, cell, rev } => Seen::Node {
            key: self::key(key).clone(),
            node: held(key, cell),
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
            claim: held(key, cell),
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
    let key = key_number(&txn.key);
    let bound = |lease: &Option<LeaseId>| lease.map_or(0, lease_number);
    let compares = txn.guards.iter().map(|guard| match guard {
        Guard::Absent => Compare::Absent,
        Guard::HeldBy(lease) => Compare::HeldBy(lease_number(*lease)),
        Guard::Unchanged(revision) => Compare::Unchanged(rev(*revision)),
        Guard::NoClaims => Compare::NoClaims,
        Guard::ClaimUnchanged(lease, revision) => {
            Compare::ClaimUnchanged(lease_number(*lease), rev(*revision))
        }
        Guard::ClaimsAre(after, before, value) => {
            let value = value.as_ref().map_or(0, |value| number(key, value));
            Compare::ClaimsAre(bound(after), bound(before), value)
        }
        Guard::Field(field, guard) => {
            let field = key_number(field);
            match guard {
                FieldGuard::Absent => Compare::FieldAbsent(field),
                FieldGuard::HeldBy(lease) => Compare::FieldHeldBy(field, lease_number(*lease)),
                FieldGuard::Unchanged(revision) => Compare::FieldUnchanged(field, rev(*revision)),
            }
        }
        Guard::Lit(lease) => Compare::Lit(lease_number(*lease)),
        Guard::Out(lease) => Compare::Out(lease_number(*lease)),
        Guard::With(_) => panic!("no object here has members"),
    });
    let changes = txn.ops.iter().map(|op| match op {
        Op::Put(value, lease) => Change::Put(number(key, value), lease_number(*lease)),
        Op::Delete => Change::Delete,
        Op::PutClaim(value, lease) => Change::PutClaim(number(key, value), lease_number(*lease)),
        Op::DeleteClaim(lease) => Change::DeleteClaim(lease_number(*lease)),
        Op::PutField(field, value, lease) => {
            let field = key_number(field);
            Change::PutField(field, number(field, value), lease_number(*lease))
        }
        Op::DeleteField(field) => Change::DeleteField(key_number(field)),
    });
    let small = Txn {
        compares: compares.collect(),
        changes: changes.collect(),
    };
    (key, small)
}
