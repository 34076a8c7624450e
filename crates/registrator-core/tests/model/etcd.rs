//! etcd as the model has it: transactions one after the other with exact comparisons, leases, beacons, identities.

use registrator_core::own::{Guard, Held, KeyTxn, LeaseId, Op, View};
use std::collections::{BTreeMap, BTreeSet};

/// The content of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Etcd {
    pub revision: i64,
    pub keys: Vec<View>,
    /// Keys that vanished by hand or with a lease while somebody waited, until they are there again: nobody is to blame for that.
    pub excused: BTreeSet<usize>,
    /// The data leases that live.
    pub leases: BTreeSet<LeaseId>,
    /// The leases whose beacons are lit.
    pub lit: BTreeSet<LeaseId>,
    /// By host.
    pub identities: Vec<Option<Identity>>,
}

/// An identity key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub lease: LeaseId,
    pub instance: u8,
    pub revision: i64,
}

/// A transaction on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    pub host: usize,
    pub me: LeaseId,
    pub fence: i64,
    pub key: usize,
    pub txn: KeyTxn,
}

/// What is compared of a session in every request.
#[derive(Debug, Clone, Copy)]
pub struct Fence {
    pub identity: bool,
    pub beacon: bool,
}

pub enum Answer {
    Applied,
    Refused {
        view: View,
        beacons: BTreeMap<LeaseId, bool>,
    },
    Void,
}

impl Etcd {
    pub fn registrators(&self) -> BTreeSet<LeaseId> {
        let identities = self.identities.iter().flatten();
        identities.map(|identity| identity.lease).collect()
    }

    /// Whether the fence of a session holds.
    pub fn admits(&self, host: usize, me: LeaseId, fence: i64, compared: Fence) -> bool {
        let identity = self.identities[host].as_ref();
        (!compared.identity || identity.is_some_and(|identity| identity.revision == fence))
            && (!compared.beacon || self.lit.contains(&me))
    }

    pub fn perform(&mut self, request: &Request, fence: Fence) -> Answer {
        if !self.admits(request.host, request.me, request.fence, fence) {
            return Answer::Void;
        }
        let view = &self.keys[request.key];
        let held = request
            .txn
            .guards
            .iter()
            .all(|guard| self.holds(view, guard));
        let needs = request.txn.ops.iter().filter_map(|op| match op {
            Op::Put(_, lease) | Op::PutClaim(_, lease) => Some(lease),
            Op::Delete | Op::DeleteClaim(_) => None,
        });
        let missing: Vec<&LeaseId> = needs.filter(|lease| !self.leases.contains(lease)).collect();
        if held && missing.contains(&&request.me) {
            return Answer::Void;
        }
        if !held || !missing.is_empty() {
            let beacons = request
                .txn
                .beacons()
                .map(|lease| (lease, self.lit.contains(&lease)));
            return Answer::Refused {
                view: view.clone(),
                beacons: beacons.collect(),
            };
        }
        self.revision += 1;
        self.keys[request.key].apply(&request.txn.ops, self.revision);
        self.excuse_present(request.key);
        Answer::Applied
    }

    fn excuse_present(&mut self, key: usize) {
        if self.keys[key].node.is_some() {
            self.excused.remove(&key);
        }
    }

    fn holds(&self, view: &View, guard: &Guard) -> bool {
        let node = view.node.as_ref();
        match guard {
            Guard::Absent => node.is_none(),
            Guard::HeldBy(lease) => view.holder() == Some(*lease),
            Guard::Unchanged(revision) => node.is_some_and(|held| held.mod_revision == *revision),
            Guard::NoClaims => view.claims.is_empty(),
            Guard::ClaimUnchanged(lease, revision) => {
                let claim = view.claims.get(lease);
                claim.is_some_and(|claim| claim.mod_revision == *revision)
            }
            Guard::Lit(lease) => self.lit.contains(lease),
            Guard::Out(lease) => !self.lit.contains(lease),
        }
    }

    /// Writes an identity and lights its beacon; gives the fence.
    pub fn claim(&mut self, host: usize, lease: LeaseId, instance: u8) -> i64 {
        self.revision += 1;
        self.lit.insert(lease);
        self.identities[host] = Some(Identity {
            lease,
            instance,
            revision: self.revision,
        });
        self.revision
    }

    /// A lease ends, and everything that is attached to it vanishes in one revision.
    pub fn end_lease(&mut self, lease: LeaseId, excused: bool) {
        self.revision += 1;
        self.leases.remove(&lease);
        for identity in &mut self.identities {
            identity.take_if(|identity| identity.lease == lease);
        }
        for (key, view) in self.keys.iter_mut().enumerate() {
            view.claims.retain(|_, claim| claim.lease != Some(lease));
            let gone = view
                .node
                .take_if(|held| held.lease == Some(lease))
                .is_some();
            if gone && excused && !view.claims.is_empty() {
                self.excused.insert(key);
            }
        }
    }

    /// Somebody who is no registrator deletes a node, or writes it; `None` as lease for no lease.
    pub fn by_hand(&mut self, key: usize, node: Option<Held>) {
        self.revision += 1;
        if node.is_none() && !self.keys[key].claims.is_empty() {
            self.excused.insert(key);
        }
        self.keys[key].node = node.map(|held| Held {
            mod_revision: self.revision,
            ..held
        });
        self.excuse_present(key);
    }
}
