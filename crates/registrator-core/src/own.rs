//! Who holds a key in etcd, and the next step for it.
//!
//! The rules are in `docs/protocol.md`. All memory is in etcd: a node attached to a process's lease is that process's claim,
//! and whoever else wants the key writes a claim beside it. So the next step is a function of what is wished and what is seen.
//! A process whose *beacon* is out, a key under a second lease that ends earlier, seems dead: others take over what they share
//! with it before its nodes expire.

mod decide;
pub(crate) mod keys;
mod object;
pub mod session;
mod who;

pub use decide::decide;
pub use object::{
    KnownField, Obstacle, Sides, dress, drop_claim, in_the_way, stands, stands_after, while_stands,
    would_be_in_the_way,
};
pub use who::Who;

use crate::node::{Key, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// An etcd lease. The process's lease stands for the process: the key that it holds is the process's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// 16 hexadecimal digits, as in the names of our own keys and as `etcdctl` shows it.
impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A revision of etcd.
pub type Revision = i64;

/// A key as etcd holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// Its value.
    pub value: Value,
    /// The lease that it is attached to; `None` if it has none.
    pub lease: Option<LeaseId>,
    /// The revision of its last change.
    pub mod_revision: Revision,
}

/// What etcd is known to hold for one key. The default is "nothing".
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// The node itself.
    pub node: Option<Held>,
    /// The claims on it: by the lease in the claim's name, as it is written there.
    pub claims: BTreeMap<LeaseId, Held>,
}

impl View {
    /// Whether this lease has anything here: the node or a claim.
    pub fn concerns(&self, lease: LeaseId) -> bool {
        self.claims.contains_key(&lease) || self.holder() == Some(lease)
    }

    /// The lease that the node is attached to.
    pub fn holder(&self) -> Option<LeaseId> {
        self.node.as_ref()?.lease
    }

    /// What other registrators ask for, and under which lease: the node if one of them holds it, and their claims.
    pub fn asked_by_others<'a>(
        &'a self,
        who: &'a Who,
    ) -> impl Iterator<Item = (&'a Value, LeaseId)> {
        let node = self
            .node
            .iter()
            .filter_map(|held| Some((&held.value, held.lease?)));
        let claims = self.claims.iter();
        let claims = claims.filter(|(lease, claim)| claim.lease == Some(**lease));
        let all = node.chain(claims.map(|(lease, claim)| (&claim.value, *lease)));
        all.filter(move |(_, lease)| *lease != who.me && who.knows(*lease))
    }

    /// What it would be after `ops`.
    pub fn after(&self, ops: &[Op]) -> View {
        let mut view = self.clone();
        view.apply(ops, 0);
        view
    }

    /// Makes it what it is after `ops` happened at `revision`.
    pub fn apply(&mut self, ops: &[Op], revision: Revision) {
        let held = |value: &Value, lease: LeaseId| Held {
            value: value.clone(),
            lease: Some(lease),
            mod_revision: revision,
        };
        for op in ops {
            match op {
                Op::Put(value, lease) => self.node = Some(held(value, *lease)),
                Op::Delete => self.node = None,
                Op::PutClaim(value, lease) => {
                    self.claims.insert(*lease, held(value, *lease));
                }
                Op::DeleteClaim(lease) => {
                    self.claims.remove(lease);
                }
                // Each is a key of its own.
                Op::PutField(..) | Op::DeleteField(_) => {}
            }
        }
    }
}

/// A transaction for one key: all of it or nothing. The writer adds the session's fence, and reads the key, its claims and its
/// [`fields`](KeyTxn::fields) if a guard fails.
///
/// If the key is the marker of an object, the transaction also writes the object's fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyTxn {
    /// The key.
    pub key: Key,
    /// What must hold.
    pub guards: Vec<Guard>,
    /// What is then done.
    pub ops: Vec<Op>,
}

impl KeyTxn {
    /// The leases whose beacons the guards name, in their order.
    pub fn beacons(&self) -> impl Iterator<Item = LeaseId> {
        self.guards.iter().filter_map(|guard| match guard {
            Guard::Lit(lease) | Guard::Out(lease) => Some(*lease),
            Guard::Absent
            | Guard::HeldBy(_)
            | Guard::Unchanged(_)
            | Guard::NoClaims
            | Guard::ClaimUnchanged(..)
            | Guard::ClaimsAre(..)
            | Guard::Field(..)
            | Guard::With(_) => None,
        })
    }

    /// The other nodes that it compares or writes: the fields of an object.
    pub fn fields(&self) -> BTreeSet<&Key> {
        let compared = self.guards.iter().filter_map(|guard| match guard {
            Guard::Field(key, _) => Some(key),
            _ => None,
        });
        let written = self.ops.iter().filter_map(|op| match op {
            Op::PutField(key, ..) | Op::DeleteField(key) => Some(key),
            Op::Put(..) | Op::Delete | Op::PutClaim(..) | Op::DeleteClaim(_) => None,
        });
        compared.chain(written).collect()
    }

    /// Whether it writes the node.
    pub fn puts(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Put(..)))
    }

    /// Whether it writes fields of an object.
    pub fn writes_fields(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::PutField(..)))
    }

    /// All nodes that it compares or writes.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.key).chain(self.fields())
    }
}

/// A condition of a [`KeyTxn`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Guard {
    /// The node does not exist.
    Absent,
    /// The node is attached to this lease.
    HeldBy(LeaseId),
    /// The node was last changed at this revision.
    Unchanged(Revision),
    /// Nobody claims the key.
    NoClaims,
    /// The claim of this lease was last changed at this revision.
    ClaimUnchanged(LeaseId, Revision),
    /// The claims between those of two leases, in the order of their names and without these two, all have this value; `None`: there are
    /// none. A side without a lease is open.
    ClaimsAre(Option<LeaseId>, Option<LeaseId>, Option<Value>),
    /// A field of the object.
    Field(Key, FieldGuard),
    /// The beacon of this lease is there: its process is alive.
    Lit(LeaseId),
    /// The beacon of this lease is not there: its process seems dead.
    Out(LeaseId),
    /// All guards of another transaction hold as well. If that is of the same commit, this one happens only if that one does.
    With(Arc<KeyTxn>),
}

/// How a field of an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldGuard {
    /// It does not exist.
    Absent,
    /// It is attached to this lease.
    HeldBy(LeaseId),
    /// It was last changed at this revision.
    Unchanged(Revision),
}

/// A change of a [`KeyTxn`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// Writes the node under a lease.
    Put(Value, LeaseId),
    /// Deletes the node.
    Delete,
    /// Writes the claim of a lease, under that lease.
    PutClaim(Value, LeaseId),
    /// Deletes the claim of a lease.
    DeleteClaim(LeaseId),
    /// Writes a field of the object under a lease.
    PutField(Key, Value, LeaseId),
    /// Deletes a field of the object.
    DeleteField(Key),
}
