//! The simulated etcd: `etcd-mem`'s store, and the registrators' transactions and keys in its terms.

use etcd_mem::store::{
    Compare, Delete, EventKind, KeyRange, KeyValue, Op as StoreOp, OpResult, Put, Range, Relation,
    Target, Txn,
};
use etcd_mem::store::{Event, Store};
use registrator_core::node::{Key, Value};
use registrator_core::ownership::{Guard, Held, KeyTxn, LeaseId, Op, View};
use registrator_core::session::{KeyResult, Outcome, Seen};

const CLAIMS: &str = "/registrator/claims/";
pub const NODES: &str = "/registrator/nodes/";

fn escaped(key: &Key) -> String {
    key.as_str().replace('%', "%25").replace('/', "%2F")
}

fn claims(key: &Key) -> String {
    format!("{CLAIMS}{}/", escaped(key))
}

fn claim(key: &Key, lease: LeaseId) -> String {
    claims(key) + &lease.to_string()
}

/// The key and the lease in the name of a claim.
pub fn parse_claim(name: &str) -> Option<(Key, LeaseId)> {
    let (key, lease) = name.strip_prefix(CLAIMS)?.split_once('/')?;
    let key = Key::parse(&key.replace("%2F", "/").replace("%25", "%")).ok()?;
    Some((key, LeaseId(i64::from_str_radix(lease, 16).ok()?)))
}

pub fn held(kv: &KeyValue) -> Held {
    let lease = Some(LeaseId(kv.lease)).filter(|lease| lease.0 != 0);
    Held {
        value: Value::from_etcd(&kv.value),
        lease,
        mod_revision: kv.mod_revision,
    }
}

fn view(results: &[OpResult]) -> View {
    let kvs = |at: usize| match &results[at] {
        OpResult::Range(range) => range.kvs.clone(),
        other => panic!("not a range: {other:?}"),
    };
    let claims = kvs(1)
        .iter()
        .filter_map(|kv| Some((parse_claim(std::str::from_utf8(&kv.key).ok()?)?.1, held(kv))))
        .collect();
    View {
        node: kvs(0).first().map(held),
        claims,
    }
}

/// What etcd holds for `key`.
pub fn read(store: &Store, key: &Key) -> View {
    let ranges = [KeyRange::key(key.as_str()), KeyRange::prefix(claims(key))];
    view(&ranges.map(|range| OpResult::Range(store.range(&Range::new(range)).unwrap())))
}

fn equal(keys: KeyRange, target: Target) -> Compare {
    Compare {
        keys,
        relation: Relation::Equal,
        target,
    }
}

fn child(txn: &KeyTxn) -> Txn {
    let node = || KeyRange::key(txn.key.as_str());
    let compare = txn.guards.iter().map(|guard| match guard {
        Guard::Absent => equal(node(), Target::CreateRevision(0)),
        Guard::HeldBy(lease) => equal(node(), Target::Lease(lease.0)),
        Guard::Unchanged(revision) => equal(node(), Target::ModRevision(*revision)),
        Guard::NoClaims => equal(
            KeyRange::prefix(claims(&txn.key)),
            Target::CreateRevision(0),
        ),
        Guard::ClaimUnchanged(lease, revision) => equal(
            KeyRange::key(claim(&txn.key, *lease)),
            Target::ModRevision(*revision),
        ),
    });
    let put = |name: String, value: &Value, lease: LeaseId| {
        StoreOp::Put(Put {
            lease: lease.0,
            ..Put::new(name, value.as_str())
        })
    };
    let success = txn.ops.iter().map(|op| match op {
        Op::Put(value, lease) => put(txn.key.to_string(), value, *lease),
        Op::Delete => StoreOp::Delete(Delete::new(node())),
        Op::PutClaim(value, lease) => put(claim(&txn.key, *lease), value, *lease),
        Op::DeleteClaim(lease) => {
            StoreOp::Delete(Delete::new(KeyRange::key(claim(&txn.key, *lease))))
        }
    });
    let reads =
        [node(), KeyRange::prefix(claims(&txn.key))].map(|range| StoreOp::Range(Range::new(range)));
    Txn {
        compare: compare.collect(),
        success: success.collect(),
        failure: reads.into(),
    }
}

/// Performs a commit as the writer does: fenced, each transaction nested.
pub fn commit(store: &mut Store, fence: (&str, i64), txns: &[KeyTxn]) -> Outcome {
    let compare = vec![equal(KeyRange::key(fence.0), Target::ModRevision(fence.1))];
    let success = txns.iter().map(|txn| StoreOp::Txn(child(txn))).collect();
    match store.txn(&Txn {
        compare,
        success,
        failure: Vec::new(),
    }) {
        Ok(result) if result.succeeded => {
            let results = result.results.iter().map(|result| match result {
                OpResult::Txn(child) if child.succeeded => KeyResult::Applied,
                OpResult::Txn(child) => KeyResult::Refused(view(&child.results)),
                other => panic!("not a transaction: {other:?}"),
            });
            Outcome::Done {
                revision: result.revision,
                results: results.collect(),
            }
        }
        Ok(_) | Err(etcd_mem::StoreError::LeaseNotFound) => Outcome::Void,
        Err(error) => Outcome::Rejected(error.to_string()),
    }
}

/// What a registrator sees of an event.
pub fn seen(event: &Event) -> Option<Seen> {
    let name = std::str::from_utf8(&event.kv.key).ok()?;
    let node = (event.kind == EventKind::Put).then(|| held(&event.kv));
    let revision = event.kv.mod_revision;
    if let Some((key, lease)) = parse_claim(name) {
        return Some(Seen::Claim {
            key,
            lease,
            claim: node,
            revision,
        });
    }
    if name.starts_with(NODES) {
        return None;
    }
    Some(Seen::Node {
        key: Key::parse(name).ok()?,
        node,
        revision,
    })
}
