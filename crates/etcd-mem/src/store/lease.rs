//! Leases: ids, deadlines, and which keys hang on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{LeaseId, StoreError};

/// The shortest time to live in seconds; shorter wishes are raised to it. That of an etcd with default settings:
/// one and a half election timeouts of one second, rounded up.
pub const MIN_TTL: i64 = 2;

/// The longest time to live in seconds, as in etcd.
pub const MAX_TTL: i64 = 9_000_000_000;

/// The memory for one lease, estimated.
pub(super) const LEASE_BYTES: usize = 200;

/// A new lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantedLease {
    /// Its id.
    pub id: LeaseId,
    /// Its time to live in seconds, which may be longer than asked for.
    pub ttl: i64,
}

/// A lease that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseState {
    /// The time to its end.
    pub remaining: Duration,
    /// The time to live in seconds that a renewal gives.
    pub granted_ttl: i64,
    /// The attached keys, in order.
    pub keys: Vec<Vec<u8>>,
}

/// All leases. Invariant: `deadlines` has exactly one entry per lease.
#[derive(Debug)]
pub(super) struct Leases {
    by_id: BTreeMap<LeaseId, Lease>,
    deadlines: BTreeSet<(Duration, LeaseId)>,
    seed: u64,
}

#[derive(Debug)]
struct Lease {
    ttl: i64,
    deadline: Duration,
    keys: BTreeSet<Vec<u8>>,
}

impl Leases {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            by_id: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            seed,
        }
    }

    /// The memory for the leases without their keys in bytes, estimated.
    pub(super) fn bytes(&self) -> usize {
        self.by_id.len() * LEASE_BYTES
    }

    pub(super) fn contains(&self, id: LeaseId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn grant(
        &mut self,
        now: Duration,
        id: LeaseId,
        ttl: i64,
    ) -> Result<GrantedLease, StoreError> {
        if ttl > MAX_TTL {
            return Err(StoreError::LeaseTtlTooLarge);
        }
        if self.contains(id) {
            return Err(StoreError::LeaseExists);
        }
        let ttl = ttl.max(MIN_TTL);
        let id = if id == 0 { self.choose_id() } else { id };
        let deadline = deadline(now, ttl);
        self.by_id.insert(
            id,
            Lease {
                ttl,
                deadline,
                keys: BTreeSet::new(),
            },
        );
        self.deadlines.insert((deadline, id));
        Ok(GrantedLease { id, ttl })
    }

    pub(super) fn keep_alive(&mut self, now: Duration, id: LeaseId) -> Result<i64, StoreError> {
        let lease = self.by_id.get_mut(&id).ok_or(StoreError::LeaseNotFound)?;
        self.deadlines.remove(&(lease.deadline, id));
        lease.deadline = deadline(now, lease.ttl);
        self.deadlines.insert((lease.deadline, id));
        Ok(lease.ttl)
    }

    /// Takes a lease away and returns its keys.
    pub(super) fn remove(&mut self, id: LeaseId) -> Option<BTreeSet<Vec<u8>>> {
        let lease = self.by_id.remove(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        Some(lease.keys)
    }

    /// Notes that `key` hangs on `to` instead of on `from`; 0 is no lease.
    pub(super) fn move_key(&mut self, key: &[u8], from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(lease) = self.by_id.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.by_id.get_mut(&to) {
            lease.keys.insert(key.to_vec());
        }
    }

    pub(super) fn expired(&self, now: Duration) -> Vec<LeaseId> {
        self.deadlines
            .range(..=(now, LeaseId::MAX))
            .map(|(_, id)| *id)
            .collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn state(&self, now: Duration, id: LeaseId) -> Option<LeaseState> {
        self.by_id.get(&id).map(|lease| LeaseState {
            remaining: lease.deadline.saturating_sub(now),
            granted_ttl: lease.ttl,
            keys: lease.keys.iter().cloned().collect(),
        })
    }

    pub(super) fn ids(&self) -> Vec<LeaseId> {
        self.deadlines.iter().map(|(_, id)| *id).collect()
    }

    /// A positive id that is not in use. The numbers of splitmix64: spread over the whole range, so that an id of an
    /// earlier store with another seed is hardly ever met again.
    fn choose_id(&mut self) -> LeaseId {
        loop {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = ((mixed ^ (mixed >> 31)) >> 1).cast_signed();
            if id != 0 && !self.contains(id) {
                return id;
            }
        }
    }
}

fn deadline(now: Duration, ttl: i64) -> Duration {
    now.saturating_add(Duration::from_secs(ttl.unsigned_abs()))
}
