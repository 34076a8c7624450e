//! Who holds a key in etcd, and the next step for it.
//!
//! The rules are in `docs/protocol.md`. All memory is in etcd: a node attached to a process's lease is that process's claim,
//! and whoever else wants the key writes a claim beside it. So the next step is a function of what is wished and what is seen.
//! A process whose *beacon* is out, a key under a second lease that ends earlier, seems dead: others take over what they share
//! with it before its nodes expire.

mod decide;
pub(crate) mod keys;
pub mod session;
mod who;

pub use decide::decide;
pub use who::Who;

use crate::node::{Key, Value};
use std::collections::BTreeMap;
use std::fmt;

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
            }
        }
    }
}

/// A transaction for one key: all of it or nothing. The writer adds the session's fence, and reads the key and its claims if a guard fails.
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
            | Guard::ClaimUnchanged(..) => None,
        })
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
    /// The beacon of this lease is there: its process is alive.
    Lit(LeaseId),
    /// The beacon of this lease is not there: its process seems dead.
    Out(LeaseId),
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
}
