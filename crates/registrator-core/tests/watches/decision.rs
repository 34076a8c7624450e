//! The bridge to `registrator-core`: the real `decide` and `View::apply`, asked in the model's terms.
//!
//! Both are pure, so each question is asked once and its answer kept.

use super::state::{Cell, Change, Compare, LEASES, Slot, Txn, bit};
use registrator_core::node::{Key, Value};
use registrator_core::own::{Guard, Held, KeyTxn, LeaseId, Op, View, Who};
use std::cell::RefCell;
use std::collections::HashMap;

/// `registrator_core::own::decide`, or something in its place.
pub type Decide = fn(&Who, &Key, Option<&Value>, &View, bool) -> Option<KeyTxn>;

/// What a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    pub me: u8,
    /// Bits of leases.
    pub registrators: u8,
    pub beacons: u8,
    pub wish: u8,
    pub view: Slot,
    pub managed: bool,
}

/// What was there, what was done, and when.
type Applied = (Slot, Vec<Change>, u8);

/// Decides, and remembers.
pub struct Decider {
    decide: Decide,
    key: Key,
    decided: RefCell<HashMap<Question, Option<Txn>>>,
    applied: RefCell<HashMap<Applied, Slot>>,
}

impl Decider {
    pub fn new(decide: Decide) -> Decider {
        Decider {
            decide,
            key: Key::parse("/k").unwrap(),
            decided: RefCell::default(),
            applied: RefCell::default(),
        }
    }

    /// The next transaction, if any.
    pub fn decide(&self, question: &Question) -> Option<Txn> {
        if let Some(known) = self.decided.borrow().get(question) {
            return known.clone();
        }
        let wish = (question.wish != 0).then(|| value(question.wish));
        let txn = (self.decide)(
            &who(question),
            &self.key,
            wish.as_ref(),
            &view(&question.view),
            question.managed,
        );
        let txn = txn.map(|txn| compact(&txn));
        self.decided.borrow_mut().insert(*question, txn.clone());
        txn
    }

    /// What a process takes a key for after its transaction.
    pub fn apply(&self, slot: Slot, changes: &[Change], rev: u8) -> Slot {
        let question = (slot, changes.to_vec(), rev);
        if let Some(known) = self.applied.borrow().get(&question) {
            return *known;
        }
        let ops: Vec<Op> = changes.iter().map(op).collect();
        let mut after = view(&slot);
        after.apply(&ops, rev.into());
        let after = slot_of(&after);
        self.applied.borrow_mut().insert(question, after);
        after
    }
}

/// Values are ordered as their numbers.
fn value(number: u8) -> Value {
    Value::parse(&number.to_string()).unwrap()
}

fn number(value: &Value) -> u8 {
    value.as_str().parse().unwrap()
}

fn lease(number: u8) -> LeaseId {
    LeaseId(number.into())
}

fn lease_number(lease: LeaseId) -> u8 {
    u8::try_from(lease.0).unwrap()
}

fn leases(bits: u8) -> impl Iterator<Item = u8> {
    (1..=LEASES as u8).filter(move |lease| bits & bit(*lease) != 0)
}

fn who(question: &Question) -> Who {
    let registrators = leases(question.registrators);
    Who {
        me: lease(question.me),
        registrators: registrators
            .map(|number| (lease(number), "".into()))
            .collect(),
        beacons: leases(question.beacons).map(lease).collect(),
    }
}

fn held(cell: Cell) -> Option<Held> {
    cell.exists().then(|| Held {
        value: value(cell.value),
        lease: (cell.lease != 0).then(|| lease(cell.lease)),
        mod_revision: cell.rev.into(),
    })
}

fn cell(held: &Held) -> Cell {
    Cell {
        value: number(&held.value),
        lease: held.lease.map_or(0, lease_number),
        rev: u8::try_from(held.mod_revision).unwrap(),
    }
}

fn view(slot: &Slot) -> View {
    let claims = slot.claims.iter().enumerate();
    let claims = claims.filter_map(|(at, claim)| Some((lease(at as u8 + 1), held(*claim)?)));
    View {
        node: held(slot.node),
        claims: claims.collect(),
    }
}

fn slot_of(view: &View) -> Slot {
    let mut slot = Slot {
        node: view.node.as_ref().map(cell).unwrap_or_default(),
        ..Slot::default()
    };
    for (lease, claim) in &view.claims {
        *slot.claim_mut(lease_number(*lease)) = cell(claim);
    }
    slot
}

fn op(change: &Change) -> Op {
    match *change {
        Change::Put(number, holder) => Op::Put(value(number), lease(holder)),
        Change::Delete => Op::Delete,
        Change::PutClaim(number, claimant) => Op::PutClaim(value(number), lease(claimant)),
        Change::DeleteClaim(claimant) => Op::DeleteClaim(lease(claimant)),
    }
}

fn compact(txn: &KeyTxn) -> Txn {
    let rev = |revision: i64| u8::try_from(revision).unwrap();
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
    Txn {
        compares: compares.collect(),
        changes: changes.collect(),
    }
}
