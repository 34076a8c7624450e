//! What the events of a session's watches mean for the core.

use crate::etcd::identity::{self, Holder};
use crate::etcd::layout::{Layout, Purpose};
use crate::etcd::reading::held;
use etcd_api::{Event, KeyValue, event::EventType};
use registrator_core::host::HostId;
use registrator_core::own::session::Seen;
use registrator_core::own::{LeaseId, Revision};
use std::collections::BTreeMap;

/// What a session must know to tell what an event means.
pub(super) struct Sights {
    /// The lease of all our keys.
    pub(super) lease: LeaseId,
    /// The revision of the identity key: what happened to our own keys up to it was this process's doing.
    pub(super) fence: Revision,
    /// The registrators' leases by host id.
    pub(super) identities: BTreeMap<HostId, LeaseId>,
    /// When the beacons of registrators last changed, as far as that was told.
    pub(super) beacons: BTreeMap<LeaseId, Revision>,
}

/// Somebody changed this process's identity or beacon.
#[derive(Debug)]
pub(super) struct Intruded;

impl Sights {
    /// What is to be told of an event, in this order.
    ///
    /// # Errors
    /// The session is disturbed.
    pub(super) fn of(&mut self, layout: &Layout, event: Event) -> Result<Vec<Seen>, Intruded> {
        let deleted = event.r#type() == EventType::Delete;
        let kv = event.kv.unwrap_or_default();
        let revision = kv.mod_revision;
        let present = (!deleted).then_some(&kv);
        Ok(match layout.place(&kv.key) {
            Purpose::Node(key) => vec![Seen::Node {
                key,
                node: present.map(held),
                revision,
            }],
            Purpose::Claim(key, lease) => vec![Seen::Claim {
                key,
                lease,
                claim: present.map(held),
                revision,
            }],
            Purpose::Identity(name) if name == layout.host_id() => self.own(revision)?,
            Purpose::Identity(name) => {
                let lit = present.and_then(|kv| self.lit_with(kv));
                let lease = present.and_then(identity::lease_of);
                lit.into_iter()
                    .chain(self.identity(name.into(), lease))
                    .collect()
            }
            Purpose::Beacon(lease) if lease == self.lease => self.own(revision)?,
            Purpose::Beacon(lease) => self.beacon(lease, present.is_some(), revision),
            Purpose::Unknown(_) | Purpose::Foreign(..) => Vec::new(),
        })
    }

    /// A registrator lights its beacon in the transaction that writes its identity, but another watch tells of it: nobody is to seem dead
    /// in between.
    fn lit_with(&mut self, identity: &KeyValue) -> Option<Seen> {
        let lease = identity::lease_of(identity)?;
        let alive = Holder::parse(&identity.value).is_some_and(|holder| !holder.released);
        let told = alive.then(|| self.beacon(lease, true, identity.mod_revision));
        told.into_iter().flatten().next()
    }

    /// Nothing, if something newer was told of that beacon.
    fn beacon(&mut self, lease: LeaseId, lit: bool, revision: Revision) -> Vec<Seen> {
        let told = self.beacons.entry(lease).or_default();
        if *told >= revision {
            return Vec::new();
        }
        *told = revision;
        vec![Seen::Beacon {
            lease,
            lit,
            revision,
        }]
    }

    fn own(&self, revision: Revision) -> Result<Vec<Seen>, Intruded> {
        if revision > self.fence {
            return Err(Intruded);
        }
        Ok(Vec::new())
    }

    fn identity(&mut self, name: HostId, lease: Option<LeaseId>) -> Vec<Seen> {
        let before = match lease {
            Some(lease) => self.identities.insert(name.clone(), lease),
            None => self.identities.remove(&name),
        };
        if before == lease {
            return Vec::new();
        }
        if let Some(before) = before {
            self.beacons.remove(&before);
        }
        let gone = before.map(|lease| (lease, None));
        let new = lease.map(|lease| (lease, Some(name)));
        let told = gone.into_iter().chain(new);
        told.map(|(lease, name)| Seen::Registrator { lease, name })
            .collect()
    }
}

#[cfg(test)]
mod tests;
