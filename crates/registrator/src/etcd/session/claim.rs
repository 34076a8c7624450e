//! Claiming the identity: S1 to S4 of the protocol, which are one step of "read the identity key, write it guarded by what was read,
//! and light the beacon with it".
//!
//! Each success gives the key a new revision, and that revision is the fence of all writes of the session: whatever was
//! sent before, by this process or by a predecessor, fails from then on.

use super::Context;
use super::liveness::{Liveness, Sighting, Verdict};
use crate::etcd::error::Error;
use crate::etcd::identity::Holder;
use crate::etcd::reading::{KeyRange, operation};
use etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd_api::request_op::Request as Operation;
use etcd_api::{Compare, KeyValue, PutRequest, TxnRequest, TxnResponse};
use registrator_core::own::{LeaseId, Revision};
use std::time::Duration;
use tokio::time::Instant;

/// The identity is ours.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The lease of all our keys.
    pub(super) lease: LeaseId,
    /// Its TTL as granted.
    pub(super) ttl: Duration,
    /// The lease of the beacon, and its TTL.
    pub(super) beacon: (LeaseId, Duration),
    /// The revision of the identity key, which every write compares.
    pub(super) fence: Revision,
    /// The cluster that answered.
    pub(super) cluster: u64,
    /// Where the lease comes from.
    pub(super) how: How,
}

/// Where a lease comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// It is new.
    Granted,
    /// From a predecessor.
    Adopted(Option<Holder>),
    /// It is the one of the session before.
    Held,
}

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Claim {
    Held(Held),
    /// Somebody was faster: try at once.
    Again,
    /// Our lease had ended: try at once, with a new one.
    LeaseLost(LeaseId),
    /// A live process holds the identity: try in a second.
    InUse {
        holder: Option<Holder>,
        /// Whether it renewed its lease while this one looked on. If not, it may have died a moment ago.
        certain: bool,
    },
    /// Another process took the identity from this one.
    Superseded(Option<Holder>),
}

/// What the process knows across its sessions.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The lease in use, with its TTL and where it comes from.
    pub(super) lease: Option<(LeaseId, Duration, How)>,
    /// The lease of the beacon, and its TTL.
    pub(super) beacon: Option<(LeaseId, Duration)>,
    /// Whether this process ever held its identity.
    pub(super) ever_held: bool,
    /// Of the process that was found to use the identity.
    liveness: Liveness,
}

/// One attempt. After an error nothing is known, and the next attempt reads again.
pub(super) async fn attempt(context: &Context, memory: &mut Memory) -> Result<Claim, Error> {
    let Some(kv) = context.client.get(&context.layout.identity()).await? else {
        let lease = ensure_lease(context, memory).await?;
        return put(context, memory, lease, created_at(0)).await;
    };
    let unchanged = changed_at(kv.mod_revision);
    let holder = Holder::parse(&kv.value);
    let mine = holder
        .as_ref()
        .is_some_and(|holder| holder.process == context.holder.process);
    if !mine && memory.ever_held && holder.is_some() {
        return Ok(Claim::Superseded(holder));
    }
    if !mine && !memory.ever_held {
        let liveness = &mut memory.liveness;
        let lease = match predecessor(context, liveness, &kv, holder.as_ref()).await? {
            Predecessor::Alive { certain } => return Ok(Claim::InUse { holder, certain }),
            Predecessor::Left(lease, ttl) => {
                memory.lease = Some((lease, ttl, How::Adopted(holder)));
                lease
            }
            Predecessor::Gone => {
                memory.lease = None;
                ensure_lease(context, memory).await?
            }
        };
        return put(context, memory, lease, unchanged).await;
    }
    // Ours, or garbled by hand: written again.
    let lease = ensure_lease(context, memory).await?;
    put(context, memory, lease, unchanged).await
}

/// The lease in use, or a new one. It is remembered before it is used, so that a lost answer leaves no second one behind.
async fn ensure_lease(context: &Context, memory: &mut Memory) -> Result<LeaseId, Error> {
    if let Some((lease, ..)) = &memory.lease {
        return Ok(*lease);
    }
    let granted = context.client.lease_grant(context.lease_ttl).await?;
    let lease = LeaseId(granted.id);
    memory.lease = Some((lease, seconds(granted.ttl), How::Granted));
    Ok(lease)
}

/// The TTL of a beacon whose process has a lease of `ttl`: others must have the time from its end to that of the lease to take
/// over what they share. etcd raises less than two seconds to that.
fn beacon_ttl(ttl: Duration) -> Duration {
    (ttl / 2).max(Duration::from_secs(2))
}

/// The beacon's lease in use, or a new one. The nodes' lease is renewed before, so that it outlives the beacon even if this process
/// dies at once.
async fn ensure_beacon(
    context: &Context,
    memory: &mut Memory,
) -> Result<(LeaseId, Duration), Error> {
    if let Some(beacon) = memory.beacon {
        return Ok(beacon);
    }
    let mut ttl = context.lease_ttl;
    if let Some((lease, granted, how)) = &memory.lease {
        ttl = *granted;
        if *how != How::Granted {
            context.client.keep_alive(*lease).await?;
        }
    }
    let granted = context.client.lease_grant(beacon_ttl(ttl)).await?;
    let beacon = (LeaseId(granted.id), seconds(granted.ttl));
    memory.beacon = Some(beacon);
    Ok(beacon)
}

enum Predecessor {
    /// It renews its lease. If that is not certain, it did so a moment ago.
    Alive { certain: bool },
    /// It ended, and its lease of this TTL lives on.
    Left(LeaseId, Duration),
    /// Its lease has ended.
    Gone,
}

async fn predecessor(
    context: &Context,
    liveness: &mut Liveness,
    kv: &KeyValue,
    holder: Option<&Holder>,
) -> Result<Predecessor, Error> {
    let lease = match (kv.lease, holder) {
        (0, None) => return Ok(Predecessor::Gone),
        (0, Some(holder)) => holder.lease,
        (lease, _) => LeaseId(lease),
    };
    let state = context.client.lease_time_to_live(lease, false).await?;
    if state.ttl < 0 {
        return Ok(Predecessor::Gone);
    }
    let ttl = seconds(state.granted_ttl);
    if holder.is_some_and(|holder| holder.released) {
        return Ok(Predecessor::Left(lease, ttl));
    }
    let sighting = Sighting {
        process: holder.map(|holder| holder.process.clone()),
        term: state.header.unwrap_or_default().raft_term,
        ttl,
        remaining: seconds(state.ttl),
    };
    let verdict = liveness.answered(sighting, Instant::now().into_std());
    Ok(match verdict {
        Verdict::Stale => Predecessor::Left(lease, ttl),
        Verdict::Unsure => Predecessor::Alive { certain: false },
        Verdict::Alive => Predecessor::Alive { certain: true },
    })
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

async fn put(
    context: &Context,
    memory: &mut Memory,
    lease: LeaseId,
    guard: (CompareTarget, TargetUnion),
) -> Result<Claim, Error> {
    let beacon = match ensure_beacon(context, memory).await {
        Err(Error::LeaseNotFound { .. }) => return lease_not_found(context, memory, lease).await,
        other => other?,
    };
    let state = HolderState::Alive { beacon: beacon.0 };
    let answer = match write(context, lease, state, guard).await {
        Err(Error::LeaseNotFound { .. }) => return lease_not_found(context, memory, lease).await,
        other => other?,
    };
    if !answer.succeeded {
        return Ok(Claim::Again);
    }
    memory.ever_held = true;
    let header = answer.header.unwrap_or_default();
    let (ttl, how) = match &mut memory.lease {
        Some((_, ttl, how)) => (*ttl, std::mem::replace(how, How::Held)),
        None => (context.lease_ttl, How::Held),
    };
    Ok(Claim::Held(Held {
        lease,
        ttl,
        beacon,
        fence: header.revision,
        cluster: header.cluster_id,
        how,
    }))
}

/// One of the two leases has ended. Of the nodes' lease etcd tells for certain; the beacon's is cheap to replace.
async fn lease_not_found(
    context: &Context,
    memory: &mut Memory,
    lease: LeaseId,
) -> Result<Claim, Error> {
    memory.beacon = None;
    if context.client.lease_time_to_live(lease, false).await?.ttl >= 0 {
        return Ok(Claim::Again);
    }
    memory.lease = None;
    Ok(if memory.ever_held {
        Claim::LeaseLost(lease)
    } else {
        Claim::Again
    })
}

/// What an identity key says of its process.
#[derive(Debug, Clone, Copy)]
pub(super) enum HolderState {
    /// It lives, and its beacon is lit under this lease.
    Alive { beacon: LeaseId },
    /// It ended, and left its lease to a successor. The beacon burns down by itself.
    Released,
}

/// Writes the identity key if `guard` holds, and with it the beacon.
pub(super) async fn write(
    context: &Context,
    lease: LeaseId,
    state: HolderState,
    guard: (CompareTarget, TargetUnion),
) -> Result<TxnResponse, Error> {
    let holder = Holder {
        lease,
        released: matches!(state, HolderState::Released),
        ..context.holder.clone()
    };
    let identity = context.layout.identity();
    let put = |key: String, value: String, lease: LeaseId| {
        operation(Operation::RequestPut(PutRequest {
            key: key.into_bytes(),
            value: value.into_bytes(),
            lease: lease.0,
            ..PutRequest::default()
        }))
    };
    let beacon = match state {
        HolderState::Alive { beacon } => {
            let name = context.layout.host_id().to_owned();
            Some(put(context.layout.beacon(lease), name, beacon))
        }
        HolderState::Released => None,
    };
    let compare = equal(KeyRange::exact(&identity), guard);
    let identity = put(identity, holder.to_json(), lease);
    let request = TxnRequest {
        compare: vec![compare],
        // Whoever is told of the registrator is told before that it is alive.
        success: beacon.into_iter().chain([identity]).collect(),
        failure: Vec::new(),
    };
    context.client.txn(request).await
}

/// The key was created at `revision`; 0: it is not there.
pub(super) fn created_at(revision: Revision) -> (CompareTarget, TargetUnion) {
    (CompareTarget::Create, TargetUnion::CreateRevision(revision))
}

/// The key was last changed at `revision`.
pub(super) fn changed_at(revision: Revision) -> (CompareTarget, TargetUnion) {
    (CompareTarget::Mod, TargetUnion::ModRevision(revision))
}

/// A comparison that all keys of `range` must fulfil.
pub(super) fn equal(range: KeyRange, (target, value): (CompareTarget, TargetUnion)) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: range.key,
        range_end: range.end,
        target_union: Some(value),
    }
}

/// The key exists.
pub(super) fn exists(key: &str) -> Compare {
    Compare {
        result: CompareResult::Greater.into(),
        ..equal(KeyRange::exact(key), created_at(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_goes_out_well_before_the_nodes() {
        for (ttl, expected) in [(30, 15_000), (5, 2500), (3, 2000)] {
            let beacon = beacon_ttl(Duration::from_secs(ttl));
            assert_eq!(beacon.as_millis(), expected, "for a TTL of {ttl} s");
        }
    }
}
