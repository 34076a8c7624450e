//! Who takes part: this process and the other registrators.

use super::LeaseId;
use crate::host::HostId;
use std::collections::{BTreeMap, BTreeSet};

/// This process and the registrators whose keys may be shared, as etcd tells of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Who {
    /// The lease of this process.
    pub me: LeaseId,
    /// The leases of all registrators with their names, this process among them.
    pub registrators: BTreeMap<LeaseId, HostId>,
    /// The leases whose beacons are lit. Of leases that are no registrator's it means nothing.
    pub beacons: BTreeSet<LeaseId>,
}

impl Who {
    /// Whether this lease is a registrator's.
    pub fn knows(&self, lease: LeaseId) -> bool {
        lease == self.me || self.registrators.contains_key(&lease)
    }

    /// Whether the process of this lease seems dead. This one never does to itself.
    pub fn suspects(&self, lease: LeaseId) -> bool {
        lease != self.me && !self.beacons.contains(&lease)
    }

    /// The name of the registrator of this lease; the lease itself if it has none.
    pub fn name(&self, lease: LeaseId) -> HostId {
        match self.registrators.get(&lease) {
            Some(name) => name.clone(),
            None => lease.to_string().into(),
        }
    }
}
