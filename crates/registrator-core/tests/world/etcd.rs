//! The simulated etcd: `etcd-mem`'s store, and the registrators' transactions and keys in its terms.

use etcd_mem::store::{
    Compare, Delete, EventKind, KeyRange, KeyValue, Op as StoreOp, OpResult, Put, Range, Relation,
    Target, Txn,
};
use etcd_mem::store::{Event, Store};
use registrator_core::node::{Key, Value};
use registrator_core::own::session::{KeyResult, Outcome, Rejection, Seen};
use registrator_core::own::{FieldGuard, Guard, Held, KeyTxn, LeaseId, Op, View};
use std::collections::{BTreeMap, BTreeSet};

const OBJECTS: &str = "/registrator/objects/";
const CLAIMS: &str = "/registrator/claims/";
pub const NODES: &str = "/registrator/nodes/";
const BEACONS: &str = "/registrator/beacons/";

pub fn beacon(lease: LeaseId) -> String {
    format!("{BEACONS}{lease}")
}

fn escaped(key: &str) -> String {
    key.replace('%', "%25").replace('/', "%2F")
}

/// Where the node of a key is: that of an object's marker is among the registrators' own.
fn name_of(key: &Key) -> String {
    match key.object() {
        Some(name) => format!("{OBJECTS}{}", escaped(name)),
        None => key.to_string(),
    }
}

fn key_of(text: &str) -> Option<Key> {
    match text.strip_suffix('/') {
        Some(name) => Some(Key::parse(name).ok()?.marker()),
        None => Key::parse(text).ok(),
    }
}

/// The key whose node has this name.
pub fn parse_node(name: &str) -> Option<Key> {
    match name.strip_prefix(OBJECTS) {
        Some(name) => Some(Key::parse(&unescaped(name)).ok()?.marker()),
        None => Key::parse(name).ok(),
    }
}

fn unescaped(text: &str) -> String {
    text.replace("%2F", "/").replace("%25", "%")
}

fn claims(key: &Key) -> String {
    format!("{CLAIMS}{}/", escaped(key.as_str()))
}

fn claim(key: &Key, lease: LeaseId) -> String {
    claims(key) + &lease.to_string()
}

/// The key and the lease in the name of a claim.
pub fn parse_claim(name: &str) -> Option<(Key, LeaseId)> {
    let (key, lease) = name.strip_prefix(CLAIMS)?.split_once('/')?;
    let key = key_of(&unescaped(key))?;
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

fn node_in(result: &OpResult) -> Option<Held> {
    match result {
        OpResult::Range(range) => range.kvs.first().map(held),
        other => panic!("not a range: {other:?}"),
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

/// The leases whose beacons are lit.
pub fn beacons(store: &Store) -> BTreeSet<LeaseId> {
    let range = Range::new(KeyRange::prefix(BEACONS));
    let kvs = store.range(&range).unwrap().kvs;
    kvs.iter()
        .filter_map(|kv| parse_beacon(std::str::from_utf8(&kv.key).ok()?))
        .collect()
}

/// The lease in the name of a beacon.
pub fn parse_beacon(name: &str) -> Option<LeaseId> {
    let lease = name.strip_prefix(BEACONS)?;
    Some(LeaseId(i64::from_str_radix(lease, 16).ok()?))
}

/// What etcd holds for `key`.
pub fn read(store: &Store, key: &Key) -> View {
    let ranges = [KeyRange::key(name_of(key)), KeyRange::prefix(claims(key))];
    view(&ranges.map(|range| OpResult::Range(store.range(&Range::new(range)).unwrap())))
}

fn equal(keys: KeyRange, target: Target) -> Compare {
    Compare {
        keys,
        relation: Relation::Equal,
        target,
    }
}

fn lit(lease: LeaseId) -> Compare {
    Compare {
        keys: KeyRange::key(beacon(lease)),
        relation: Relation::Greater,
        target: Target::CreateRevision(0),
    }
}

/// What a transaction's guards compare.
fn compares(txn: &KeyTxn) -> Vec<Compare> {
    let node = || KeyRange::key(name_of(&txn.key));
    let compare = |guard: &Guard| {
        vec![match guard {
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
            Guard::Out(lease) => equal(KeyRange::key(beacon(*lease)), Target::CreateRevision(0)),
            Guard::Lit(lease) => lit(*lease),
            Guard::ClaimsAre(after, before, value) => {
                let all = claims(&txn.key);
                let end = all.trim_end_matches('/').to_owned() + "0";
                let start = after.map(|lease| claim(&txn.key, lease) + "\0");
                let end = before.map_or(end, |lease| claim(&txn.key, lease));
                let start = start.unwrap_or(all);
                equal(
                    KeyRange::new(start.into_bytes(), end.into_bytes()),
                    match value {
                        Some(value) => Target::Value(value.as_str().into()),
                        None => Target::CreateRevision(0),
                    },
                )
            }
            Guard::Field(key, guard) => equal(
                KeyRange::key(key.as_str()),
                match guard {
                    FieldGuard::Absent => Target::CreateRevision(0),
                    FieldGuard::HeldBy(lease) => Target::Lease(lease.0),
                    FieldGuard::Unchanged(revision) => Target::ModRevision(*revision),
                },
            ),
            Guard::With(txn) => return compares(txn),
        }]
    };
    txn.guards.iter().flat_map(compare).collect()
}

fn child(txn: &KeyTxn) -> Txn {
    let node = || KeyRange::key(name_of(&txn.key));
    let put = |name: String, value: &Value, lease: LeaseId| {
        StoreOp::Put(Put {
            lease: lease.0,
            ..Put::new(name, value.as_str())
        })
    };
    let success = txn.ops.iter().map(|op| match op {
        Op::Put(value, lease) => put(name_of(&txn.key), value, *lease),
        Op::PutField(key, value, lease) => put(key.to_string(), value, *lease),
        Op::DeleteField(key) => StoreOp::Delete(Delete::new(KeyRange::key(key.as_str()))),
        Op::Delete => StoreOp::Delete(Delete::new(node())),
        Op::PutClaim(value, lease) => put(claim(&txn.key, *lease), value, *lease),
        Op::DeleteClaim(lease) => {
            StoreOp::Delete(Delete::new(KeyRange::key(claim(&txn.key, *lease))))
        }
    });
    let fields = txn.fields().into_iter();
    let fields = fields.map(|field| KeyRange::key(field.as_str()));
    let reads = [node(), KeyRange::prefix(claims(&txn.key))].into_iter();
    let reads = reads
        .chain(fields)
        .map(|range| StoreOp::Range(Range::new(range)));
    Txn {
        compare: compares(txn),
        success: success.collect(),
        failure: reads.collect(),
    }
}

/// Performs a commit as the writer of `me` does: fenced, each transaction nested.
pub fn commit(store: &mut Store, me: LeaseId, fence: (&str, i64), txns: &[KeyTxn]) -> Outcome {
    let compare = vec![
        equal(KeyRange::key(fence.0), Target::ModRevision(fence.1)),
        lit(me),
    ];
    let success = txns.iter().map(|txn| StoreOp::Txn(child(txn))).collect();
    match store.txn(&Txn {
        compare,
        success,
        failure: Vec::new(),
    }) {
        Ok(result) if result.succeeded => {
            let now = beacons(store);
            let results = result.results.iter().zip(txns);
            let results = results.map(|(result, txn)| match result {
                OpResult::Txn(child) if child.succeeded => KeyResult::Applied,
                OpResult::Txn(child) => KeyResult::Refused {
                    view: view(&child.results),
                    fields: txn
                        .fields()
                        .into_iter()
                        .zip(&child.results[2..])
                        .map(|(key, result)| (key.clone(), node_in(result)))
                        .collect(),
                    beacons: txn
                        .beacons()
                        .map(|lease| (lease, now.contains(&lease)))
                        .collect(),
                },
                other => panic!("not a transaction: {other:?}"),
            });
            Outcome::Done {
                revision: result.revision,
                results: results.collect(),
            }
        }
        Ok(_) => Outcome::Void,
        // Another registrator's lease is gone: nothing happened, and what there is now is the answer.
        Err(etcd_mem::StoreError::LeaseNotFound) if store.leases().contains(&me.0) => {
            Outcome::Done {
                revision: store.revision(),
                results: txns
                    .iter()
                    .map(|txn| KeyResult::Refused {
                        view: read(store, &txn.key),
                        fields: txn
                            .fields()
                            .into_iter()
                            .map(|key| (key.clone(), read(store, key).node))
                            .collect(),
                        beacons: BTreeMap::new(),
                    })
                    .collect(),
            }
        }
        Err(etcd_mem::StoreError::LeaseNotFound) => Outcome::Void,
        Err(error) => Outcome::Rejected(Rejection {
            message: error.to_string(),
            forbidden: false,
        }),
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
    if let Some(lease) = parse_beacon(name) {
        let lit = node.is_some();
        return Some(Seen::Beacon {
            lease,
            lit,
            revision,
        });
    }
    if name.starts_with(NODES) {
        return None;
    }
    Some(Seen::Node {
        key: parse_node(name)?,
        node,
        revision,
    })
}
