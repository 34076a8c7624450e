//! Claiming the identity: S1, S2 and S3 of the protocol, which are one step of "read the identity key, write it guarded by what was read".
//!
//! Each success gives the key a new revision, and that revision is the fence of all writes of the session: whatever was
//! sent before, by this process or by a predecessor, fails from then on.

use super::Context;
use super::keeper::renewal_interval;
use crate::etcd::error::Error;
use crate::etcd::identity::Holder;
use crate::etcd::reading::KeyRange;
use etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd_api::request_op::Request as Operation;
use etcd_api::{Compare, KeyValue, PutRequest, RequestOp, TxnRequest, TxnResponse};
use registrator_core::ownership::{LeaseId, Revision};
use std::time::Duration;

/// The identity is ours.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The lease of all our keys.
    pub(super) lease: LeaseId,
    /// Its TTL as granted.
    pub(super) ttl: Duration,
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
    /// Success.
    Held(Held),
    /// Somebody was faster: try at once.
    Again,
    /// Our lease had ended: try at once, with a new one.
    Lost(LeaseId),
    /// A live process holds the identity: try in a second.
    InUse(Option<Holder>),
    /// Another process took the identity from this one.
    Superseded(Option<Holder>),
}

/// What the process knows across its sessions.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The lease in use, with its TTL and where it comes from.
    pub(super) lease: Option<(LeaseId, Duration, How)>,
    /// Whether this process ever held its identity.
    pub(super) ever_held: bool,
    /// The instance that was reported to use the identity.
    pub(super) in_use: Option<Option<String>>,
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
        .is_some_and(|holder| holder.instance == context.holder.instance);
    if !mine && memory.ever_held && holder.is_some() {
        return Ok(Claim::Superseded(holder));
    }
    if !mine && !memory.ever_held {
        let lease = match predecessor_lease(context, &kv, holder.as_ref()).await? {
            Predecessor::Alive => return Ok(Claim::InUse(holder)),
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

enum Predecessor {
    /// It renews its lease.
    Alive,
    /// It ended, and its lease lives on.
    Left(LeaseId, Duration),
    /// Its lease has ended.
    Gone,
}

/// A holder that renews its lease each interval never lets the remaining time fall far below the TTL.
async fn predecessor_lease(
    context: &Context,
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
    let released = holder.is_some_and(|holder| holder.released);
    match released || is_stale(seconds(state.ttl), ttl) {
        true => Ok(Predecessor::Left(lease, ttl)),
        false => Ok(Predecessor::Alive),
    }
}

/// Whether a lease of `ttl` with `remaining` whole seconds has missed its renewal: at 30 s from 25 s on. A second goes to
/// rounding, another to slowness. More than the TTL means that etcd has just changed its leader and does not know.
fn is_stale(remaining: Duration, ttl: Duration) -> bool {
    let patience = renewal_interval(ttl) + Duration::from_secs(2);
    remaining <= ttl.saturating_sub(patience)
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
    let answer = match write(context, lease, false, guard).await {
        Err(Error::LeaseNotFound { .. }) => {
            memory.lease = None;
            return Ok(match memory.ever_held {
                true => Claim::Lost(lease),
                false => Claim::Again,
            });
        }
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
        fence: header.revision,
        cluster: header.cluster_id,
        how,
    }))
}

/// Writes the identity key if `guard` holds.
pub(super) async fn write(
    context: &Context,
    lease: LeaseId,
    released: bool,
    guard: (CompareTarget, TargetUnion),
) -> Result<TxnResponse, Error> {
    let holder = Holder {
        lease,
        released,
        ..context.holder.clone()
    };
    let key = context.layout.identity().into_bytes();
    let put = PutRequest {
        key: key.clone(),
        value: holder.to_json().into_bytes(),
        lease: lease.0,
        ..PutRequest::default()
    };
    let request = TxnRequest {
        compare: vec![equal(
            KeyRange {
                key,
                end: Vec::new(),
            },
            guard,
        )],
        success: vec![operation(Operation::RequestPut(put))],
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

/// An operation of a transaction.
pub(super) fn operation(request: Operation) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_stale_when_it_missed_its_renewal() {
        fn check(ttl: u64, stale_from: u64) {
            let [ttl, limit] = [ttl, stale_from].map(Duration::from_secs);
            assert!(is_stale(limit, ttl), "TTL {ttl:?}, {limit:?} left");
            let more = limit + Duration::from_secs(1);
            assert!(!is_stale(more, ttl), "TTL {ttl:?}, {more:?} left");
        }
        check(30, 25);
        check(60, 52);
        check(10, 7);
        check(5, 2);
        check(3, 0);
        check(2, 0);
    }
}
