//! Performing commits: each becomes one etcd transaction, fenced as a whole, with one guarded transaction for each key within.

use super::Context;
use super::claim::{changed_at, created_at, equal, exists};
use crate::etcd::error::Error;
use crate::etcd::layout::Layout;
use crate::etcd::reading::{KeyRange, held, operation};
use crate::etcd::views;
use etcd_api::compare::{CompareTarget, TargetUnion};
use etcd_api::request_op::Request as Operation;
use etcd_api::response_op::Response as Answer;
use etcd_api::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RequestOp, ResponseOp, TxnRequest,
    TxnResponse,
};
use prost::Message;
use registrator_core::evaluate::fence::Fence;
use registrator_core::node::{Key, Value};
use registrator_core::own::session::{Commit, KeyResult, MAX_TXNS, Outcome, Rejection};
use registrator_core::own::{FieldGuard, Guard, KeyTxn, LeaseId, Op, Revision};
use std::collections::BTreeMap;

/// The biggest request. etcd refuses 1.5 MiB by default, and the frames around it count.
const MAX_REQUEST_BYTES: usize = 1_400_000;

/// What came of a commit, for the session.
#[derive(Debug)]
pub(super) enum Performed {
    /// An outcome for the core; the session goes on.
    Outcome(Outcome),
    /// The fence did not hold: the identity key was changed by somebody, or the beacon is out.
    Fenced,
    /// Our lease has ended.
    LeaseLost,
    /// Nothing is known, or etcd cannot be reached.
    Failed(Error),
}

/// Performs `commit` under `lease` as long as the identity key is unchanged since `fence` and the beacon is lit.
pub(super) async fn perform(
    context: &Context,
    lease: LeaseId,
    fence: Revision,
    commit: &Commit,
) -> Performed {
    if let Some(reason) = objection(context, commit) {
        return rejected(reason, false);
    }
    let fence = fence_of(&context.layout, lease, fence);
    let request = request(&context.layout, &fence, &commit.txns);
    let size = request.encoded_len();
    if size > MAX_REQUEST_BYTES {
        let reason = format!("the request has {size} bytes, etcd takes {MAX_REQUEST_BYTES}");
        return rejected(reason, false);
    }
    match context.client.txn(request).await {
        Ok(answer) if answer.succeeded => finish(context, fence, commit, &answer).await,
        Ok(_) => Performed::Fenced,
        Err(Error::LeaseNotFound { .. }) => lease_not_found(context, lease, commit).await,
        // What deletes alone is still done, so the core tries each key by itself.
        Err(error @ Error::Refused { forbidden, .. }) => rejected(error.to_string(), forbidden),
        Err(error) if error.is_out_of_space() => rejected(error.to_string(), false),
        Err(error) => Performed::Failed(error),
    }
}

fn rejected(message: String, forbidden: bool) -> Performed {
    Performed::Outcome(Outcome::Rejected(Rejection { message, forbidden }))
}

async fn finish(
    context: &Context,
    fence: Vec<Compare>,
    commit: &Commit,
    answer: &TxnResponse,
) -> Performed {
    let Some(outcome) = results(&context.layout, commit, answer) else {
        return Performed::Failed(views::unexpected(&context.client));
    };
    let removals: Vec<RequestOp> = answer
        .responses
        .iter()
        .filter_map(|response| match &response.response {
            Some(Answer::ResponseTxn(txn)) if !txn.succeeded => Some(&txn.responses),
            _ => None,
        })
        .flat_map(|answers| views::junk(&context.layout, answers))
        .map(removal)
        .collect();
    if removals.is_empty() {
        return Performed::Outcome(outcome);
    }
    let request = TxnRequest {
        compare: fence,
        success: removals.into_iter().take(MAX_TXNS).collect(),
        failure: Vec::new(),
    };
    match context.client.txn(request).await {
        Err(error) if !matches!(error, Error::Refused { .. }) => Performed::Failed(error),
        _ => Performed::Outcome(outcome),
    }
}

/// Deletes a key if it is unchanged.
fn removal(kv: &KeyValue) -> RequestOp {
    let range = KeyRange {
        key: kv.key.clone(),
        end: Vec::new(),
    };
    let delete = DeleteRangeRequest {
        key: kv.key.clone(),
        ..DeleteRangeRequest::default()
    };
    operation(Operation::RequestTxn(TxnRequest {
        compare: vec![equal(range, changed_at(kv.mod_revision))],
        success: vec![operation(Operation::RequestDeleteRange(delete))],
        failure: Vec::new(),
    }))
}

/// Why `commit` must not be sent. The core checks all this as well; no fault there may reach the keys of others.
fn objection(context: &Context, commit: &Commit) -> Option<String> {
    if commit.txns.len() > MAX_TXNS {
        let count = commit.txns.len();
        return Some(format!(
            "{count} transactions in one request, at most {MAX_TXNS} fit"
        ));
    }
    commit
        .txns
        .iter()
        .find_map(|txn| key_objection(&context.fence, txn))
}

/// Nodes from before the fence was narrowed may be deleted, but none may be put.
fn key_objection(fence: &Fence, txn: &KeyTxn) -> Option<String> {
    if let Some(key) = txn.keys().find(|key| fence.reserves(key)) {
        let meta = &fence.reserved;
        return Some(format!(
            "key {key} is below {meta}, where registrators keep their own keys"
        ));
    }
    let mut put = txn.ops.iter().filter_map(|op| match op {
        // An object is where its fields are.
        Op::Put(..) if txn.key.object().is_none() => Some(&txn.key),
        Op::PutField(key, ..) => Some(key),
        _ => None,
    });
    put.find(|key| !fence.permits(key)).map(|key| {
        let allowed = fence.allowed.join(", ");
        format!("key {key} is outside of what this process may write: {allowed}")
    })
}

/// Nothing of the request happened. If it is not our lease that has ended, it is that of another registrator, and the
/// changes that this brings are about to arrive: what etcd holds now is the answer.
async fn lease_not_found(context: &Context, lease: LeaseId, commit: &Commit) -> Performed {
    match refusals(context, lease, commit).await {
        Ok(Some(outcome)) => Performed::Outcome(outcome),
        Ok(None) => Performed::LeaseLost,
        Err(error) => Performed::Failed(error),
    }
}

async fn refusals(
    context: &Context,
    lease: LeaseId,
    commit: &Commit,
) -> Result<Option<Outcome>, Error> {
    let state = context.client.lease_time_to_live(lease, false).await?;
    if state.ttl < 0 {
        return Ok(None);
    }
    let keys = commit.txns.iter().flat_map(KeyTxn::keys).cloned().collect();
    let views = views::read(&context.client, &context.layout, &keys, 0).await?;
    let view = |key: &Key| views.get(key).cloned().unwrap_or_default();
    let results = commit.txns.iter().map(|txn| KeyResult::Refused {
        view: view(&txn.key),
        fields: txn
            .fields()
            .into_iter()
            .map(|key| (key.clone(), view(key).node))
            .collect(),
        beacons: BTreeMap::new(),
    });
    Ok(Some(Outcome::Done {
        revision: state.header.unwrap_or_default().revision,
        results: results.collect(),
    }))
}

fn request(layout: &Layout, fence: &[Compare], txns: &[KeyTxn]) -> TxnRequest {
    TxnRequest {
        compare: fence.to_vec(),
        success: txns.iter().map(|txn| nested(layout, txn)).collect(),
        failure: Vec::new(),
    }
}

/// The conditions of every write of a session. Whoever seems dead to the others must not act as if it were not.
fn fence_of(layout: &Layout, lease: LeaseId, fence: Revision) -> Vec<Compare> {
    let identity = equal(KeyRange::exact(&layout.identity()), changed_at(fence));
    vec![identity, exists(&layout.beacon(lease))]
}

fn nested(layout: &Layout, txn: &KeyTxn) -> RequestOp {
    let ops = txn.ops.iter();
    let beacons = txn.beacons().map(|lease| {
        let range = KeyRange::exact(&layout.beacon(lease));
        operation(Operation::RequestRange(range.request(0)))
    });
    let reads = views::reads(layout, &txn.key, 0);
    let fields = txn.fields().into_iter().map(|key| {
        let range = KeyRange::exact(key.as_str());
        operation(Operation::RequestRange(range.request(0)))
    });
    operation(Operation::RequestTxn(TxnRequest {
        compare: compares(layout, txn),
        success: ops.map(|one| op(layout, &txn.key, one)).collect(),
        failure: reads.into_iter().chain(fields).chain(beacons).collect(),
    }))
}

fn compares(layout: &Layout, txn: &KeyTxn) -> Vec<Compare> {
    let guards = txn.guards.iter();
    guards
        .flat_map(|guard| compares_of(layout, &txn.key, guard))
        .collect()
}

fn compares_of(layout: &Layout, key: &Key, guard: &Guard) -> Vec<Compare> {
    let node = KeyRange::exact(&layout.node(key));
    let compare = match guard {
        Guard::Absent => equal(node, created_at(0)),
        Guard::HeldBy(lease) => equal(node, attached_to(*lease)),
        Guard::Unchanged(revision) => equal(node, changed_at(*revision)),
        // Holds for all keys of the range, so it holds if there is none.
        Guard::NoClaims => equal(KeyRange::prefix(&layout.claims(key)), created_at(0)),
        Guard::ClaimUnchanged(lease, revision) => {
            let claim = KeyRange::exact(&layout.claim(key, *lease));
            equal(claim, changed_at(*revision))
        }
        Guard::ClaimsAre(after, before, value) => {
            let all = KeyRange::prefix(&layout.claims(key));
            let claim = |lease: LeaseId| layout.claim(key, lease).into_bytes();
            let behind = |mut name: Vec<u8>| {
                name.push(0);
                name
            };
            let range = KeyRange {
                key: after.map_or(all.key, |lease| behind(claim(lease))),
                end: before.map_or(all.end, claim),
            };
            let value = value.as_ref().map(|value| {
                let bytes = value.as_str().into();
                (CompareTarget::Value, TargetUnion::Value(bytes))
            });
            equal(range, value.unwrap_or(created_at(0)))
        }
        Guard::Field(field, guard) => {
            let node = KeyRange::exact(field.as_str());
            match guard {
                FieldGuard::Absent => equal(node, created_at(0)),
                FieldGuard::HeldBy(lease) => equal(node, attached_to(*lease)),
                FieldGuard::Unchanged(revision) => equal(node, changed_at(*revision)),
            }
        }
        Guard::Lit(lease) => exists(&layout.beacon(*lease)),
        Guard::Out(lease) => equal(KeyRange::exact(&layout.beacon(*lease)), created_at(0)),
        Guard::With(txn) => return compares(layout, txn),
    };
    vec![compare]
}

fn attached_to(lease: LeaseId) -> (CompareTarget, TargetUnion) {
    (CompareTarget::Lease, TargetUnion::Lease(lease.0))
}

fn op(layout: &Layout, key: &Key, op: &Op) -> RequestOp {
    operation(match op {
        Op::Put(value, lease) => put(&layout.node(key), value, *lease),
        Op::Delete => delete(&layout.node(key)),
        Op::PutField(field, value, lease) => put(field.as_str(), value, *lease),
        Op::DeleteField(field) => delete(field.as_str()),
        Op::PutClaim(value, lease) => put(&layout.claim(key, *lease), value, *lease),
        Op::DeleteClaim(lease) => delete(&layout.claim(key, *lease)),
    })
}

fn put(key: &str, value: &Value, lease: LeaseId) -> Operation {
    Operation::RequestPut(PutRequest {
        key: key.into(),
        value: value.as_str().into(),
        lease: lease.0,
        ..PutRequest::default()
    })
}

/// Deletes one key.
pub(super) fn delete(key: &str) -> Operation {
    Operation::RequestDeleteRange(DeleteRangeRequest {
        key: key.into(),
        ..DeleteRangeRequest::default()
    })
}

fn results(layout: &Layout, commit: &Commit, answer: &TxnResponse) -> Option<Outcome> {
    let results: Option<Vec<KeyResult>> = answer
        .responses
        .iter()
        .zip(&commit.txns)
        .map(|(response, txn)| result(layout, txn, response))
        .collect();
    Some(Outcome::Done {
        revision: answer.header.as_ref()?.revision,
        results: results.filter(|results| results.len() == commit.txns.len())?,
    })
}

fn result(layout: &Layout, txn: &KeyTxn, response: &ResponseOp) -> Option<KeyResult> {
    match &response.response {
        Some(Answer::ResponseTxn(answer)) if answer.succeeded => Some(KeyResult::Applied),
        Some(Answer::ResponseTxn(answer)) => {
            let (view, rest) = answer.responses.split_at_checked(2)?;
            let keys = txn.fields();
            let (fields, beacons) = rest.split_at_checked(keys.len())?;
            let node = |field: &ResponseOp| Some(views::range(field)?.first().map(held));
            let fields = keys.into_iter().zip(fields);
            let lit = beacons
                .iter()
                .map(|beacon| Some(!views::range(beacon)?.is_empty()));
            let beacons = txn.beacons().zip(lit);
            Some(KeyResult::Refused {
                view: views::decode(layout, view)?,
                fields: fields
                    .map(|(key, field)| Some((key.clone(), node(field)?)))
                    .collect::<Option<_>>()?,
                beacons: beacons
                    .map(|(lease, lit)| Some((lease, lit?)))
                    .collect::<Option<_>>()?,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_put_beyond_the_fence() {
        let fence = |allowed: &[&str]| Fence {
            allowed: allowed.iter().map(ToString::to_string).collect(),
            reserved: "/registrator/".into(),
        };
        let put = || Op::Put(Value::parse("v").unwrap(), LeaseId(1));
        let objection = |allowed: &[&str], key: &str, op| {
            let txn = KeyTxn {
                key: Key::parse(key).unwrap(),
                guards: Vec::new(),
                ops: vec![op],
            };
            key_objection(&fence(allowed), &txn)
        };
        let permits = |allowed: &[&str], key: &str| {
            assert_eq!(objection(allowed, key, put()), None, "{key}");
        };
        let refuses = |allowed: &[&str], key: &str, op, expected: &str| {
            assert_eq!(
                objection(allowed, key, op).as_deref(),
                Some(expected),
                "{key}"
            );
        };
        permits(&[], "/skydns/web");
        permits(&["/skydns"], "/skydns/web");
        permits(&["/skydns"], "/skydns");
        let outside = "key /skydns2/web is outside of what this process may write: /skydns";
        refuses(&["/skydns"], "/skydns2/web", put(), outside);
        assert_eq!(objection(&["/skydns"], "/skydns2/web", Op::Delete), None);
        for key in ["/registrator/nodes/one", "/registrator"] {
            let own =
                format!("key {key} is below /registrator/, where registrators keep their own keys");
            for op in [put(), Op::Delete] {
                refuses(&["/registrator/"], key, op, &own);
            }
        }
    }
}
