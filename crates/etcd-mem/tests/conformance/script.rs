//! Random conversations: what may happen in one, and how it is carried out.

use etcd_api::compare::{CompareResult, TargetUnion};
use etcd_api::range_request::{SortOrder, SortTarget};
use etcd_api::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::compares::compare as condition_on;
use crate::session::Session;
use crate::txns;

/// Few, so that things meet.
const KEYS: [&str; 5] = ["a", "b", "ba", "c", "d"];
const VALUES: [&str; 4] = ["", "1", "2", "10"];

/// The leases of a conversation have these ids, so that both servers have the same.
const FIRST_LEASE: i64 = 9_000_001;
pub const LEASES: usize = 3;

/// A key by its place in [`KEYS`].
type Key = usize;

/// A revision by its place among those seen so far, the newest first.
type Age = usize;

/// From a key to another, or one key.
#[derive(Clone, Debug)]
pub struct Keys(Key, Option<Key>);

#[derive(Clone, Debug)]
pub enum Step {
    Op(Op),
    Grant(usize),
    Revoke(usize),
    TimeToLive(usize),
    Compact(Age),
    Watch {
        start: Option<Age>,
        keys: Keys,
        prev_kv: bool,
        filters: Vec<i32>,
    },
}

#[derive(Clone, Debug)]
pub enum Op {
    Put {
        key: Key,
        value: usize,
        lease: Option<usize>,
        flags: [bool; 3],
    },
    Delete {
        keys: Keys,
        prev_kv: bool,
    },
    Range {
        keys: Keys,
        revision: Option<Age>,
        limit: i64,
        sort: (i32, i32),
        flags: [bool; 2],
        bounds: [Option<Age>; 4],
    },
    Txn {
        compare: Vec<(Keys, i32, Side)>,
        success: Vec<Op>,
        failure: Vec<Op>,
    },
}

/// The given side of a condition.
#[derive(Clone, Debug)]
pub enum Side {
    Version(i64),
    Create(Option<Age>),
    Mod(Option<Age>),
    Value(usize),
    Lease(Option<usize>),
}

pub fn script() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..40)
}

fn step() -> impl Strategy<Value = Step> {
    let watch = (
        option::of(age()),
        keys(),
        any::<bool>(),
        vec(0..2_i32, 0..2),
    )
        .prop_map(|(start, keys, prev_kv, filters)| Step::Watch {
            start,
            keys,
            prev_kv,
            filters,
        });
    prop_oneof![
        12 => op().prop_map(Step::Op),
        2 => (0..LEASES).prop_map(Step::Grant),
        1 => (0..LEASES).prop_map(Step::Revoke),
        1 => (0..LEASES).prop_map(Step::TimeToLive),
        1 => age().prop_map(Step::Compact),
        2 => watch,
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let simple = prop_oneof![4 => put(), 2 => delete(), 2 => range()];
    simple.prop_recursive(3, 12, 4, |inner| {
        let compares = vec((keys(), 0..4_i32, side()), 0..3);
        (compares, vec(inner.clone(), 0..4), vec(inner, 0..4)).prop_map(
            |(compare, success, failure)| Op::Txn {
                compare,
                success,
                failure,
            },
        )
    })
}

fn put() -> impl Strategy<Value = Op> {
    let lease = option::weighted(0.4, 0..LEASES);
    let rarely = || proptest::bool::weighted(0.1);
    (
        0..KEYS.len(),
        0..VALUES.len(),
        lease,
        (any::<bool>(), rarely(), rarely()),
    )
        .prop_map(
            |(key, value, lease, (prev_kv, keep_value, keep_lease))| Op::Put {
                key,
                value,
                lease,
                flags: [prev_kv, keep_value, keep_lease],
            },
        )
}

fn delete() -> impl Strategy<Value = Op> {
    (keys(), any::<bool>()).prop_map(|(keys, prev_kv)| Op::Delete { keys, prev_kv })
}

fn range() -> impl Strategy<Value = Op> {
    let bounds = proptest::array::uniform4(option::weighted(0.1, age()));
    let revision = option::weighted(0.3, age());
    let flags = proptest::array::uniform2(proptest::bool::weighted(0.2));
    (
        keys(),
        revision,
        0..4_i64,
        (0..5_i32, 0..3_i32),
        flags,
        bounds,
    )
        .prop_map(|(keys, revision, limit, sort, flags, bounds)| Op::Range {
            keys,
            revision,
            limit,
            sort,
            flags,
            bounds,
        })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![
        (0..3_i64).prop_map(Side::Version),
        option::of(age()).prop_map(Side::Create),
        option::of(age()).prop_map(Side::Mod),
        (0..VALUES.len()).prop_map(Side::Value),
        option::of(0..LEASES).prop_map(Side::Lease),
    ]
}

fn keys() -> impl Strategy<Value = Keys> {
    (0..KEYS.len(), option::of(0..=KEYS.len())).prop_map(|(from, to)| Keys(from, to))
}

fn age() -> impl Strategy<Value = Age> {
    0..8_usize
}

/// Makes requests of steps for one server.
pub struct Translator<'a> {
    pub session: &'a Session,
    /// The revisions seen so far.
    pub revisions: &'a [i64],
}

impl Translator<'_> {
    pub fn revision(&self, age: Age) -> i64 {
        self.revisions
            .iter()
            .rev()
            .nth(age)
            .or(self.revisions.first())
            .copied()
            .unwrap_or(0)
    }

    pub fn keys(&self, Keys(from, to): &Keys) -> (Vec<u8>, Vec<u8>) {
        let end = |to: &usize| {
            KEYS.get(*to)
                .map_or_else(|| self.session.end(), |key| self.session.key(key))
        };
        (
            self.session.key(KEYS[*from]),
            to.as_ref().map(end).unwrap_or_default(),
        )
    }

    pub fn put(&self, op: &Op) -> Option<PutRequest> {
        let Op::Put {
            key,
            value,
            lease,
            flags: [prev_kv, ignore_value, ignore_lease],
        } = op
        else {
            return None;
        };
        let lease = lease.map_or(0, lease_id);
        let (prev_kv, ignore_value, ignore_lease) = (*prev_kv, *ignore_value, *ignore_lease);
        Some(PutRequest {
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
            ..self.session.set(KEYS[*key], VALUES[*value])
        })
    }

    pub fn delete(&self, op: &Op) -> Option<DeleteRangeRequest> {
        let Op::Delete { keys, prev_kv } = op else {
            return None;
        };
        let (key, range_end) = self.keys(keys);
        Some(DeleteRangeRequest {
            key,
            range_end,
            prev_kv: *prev_kv,
        })
    }

    pub fn range(&self, op: &Op) -> Option<RangeRequest> {
        let Op::Range {
            keys,
            revision,
            limit,
            sort,
            flags: [keys_only, count_only],
            bounds,
        } = op
        else {
            return None;
        };
        let (key, range_end) = self.keys(keys);
        let [
            min_mod_revision,
            max_mod_revision,
            min_create_revision,
            max_create_revision,
        ] = bounds.map(|bound| bound.map_or(0, |age| self.revision(age)));
        let by_key = sort.0 == i32::from(SortTarget::Key);
        Some(RangeRequest {
            key,
            range_end,
            revision: revision.map_or(0, |age| self.revision(age)),
            // Of keys that sort alike etcd may choose any.
            limit: if by_key { *limit } else { 0 },
            sort_target: sort.0,
            sort_order: sort.1,
            keys_only: *keys_only,
            count_only: *count_only,
            min_mod_revision,
            max_mod_revision,
            min_create_revision,
            max_create_revision,
            ..RangeRequest::default()
        })
    }

    pub fn txn(&self, op: &Op) -> Option<TxnRequest> {
        let Op::Txn {
            compare,
            success,
            failure,
        } = op
        else {
            return None;
        };
        let condition = |(keys, result, side): &(Keys, i32, Side)| {
            let (key, range_end) = self.keys(keys);
            let result = CompareResult::try_from(*result).expect("a result");
            Compare {
                range_end,
                ..condition_on(key, result, self.side(side))
            }
        };
        Some(TxnRequest {
            compare: compare.iter().map(condition).collect(),
            success: success.iter().filter_map(|op| self.nested(op)).collect(),
            failure: failure.iter().filter_map(|op| self.nested(op)).collect(),
        })
    }

    fn nested(&self, op: &Op) -> Option<RequestOp> {
        // Keys that sort alike would have to be told apart deep in the answer.
        let by_key = |range| RangeRequest {
            sort_target: 0,
            sort_order: SortOrder::None.into(),
            ..range
        };
        let put = self.put(op).map(txns::put);
        let delete = || self.delete(op).map(txns::delete);
        let range = || self.range(op).map(by_key).map(txns::range);
        let txn = || self.txn(op).map(txns::txn);
        put.or_else(delete).or_else(range).or_else(txn)
    }

    fn side(&self, side: &Side) -> TargetUnion {
        let revision = |age: &Option<Age>| age.map_or(0, |age| self.revision(age));
        match side {
            Side::Version(version) => TargetUnion::Version(*version),
            Side::Create(age) => TargetUnion::CreateRevision(revision(age)),
            Side::Mod(age) => TargetUnion::ModRevision(revision(age)),
            Side::Value(value) => TargetUnion::Value(VALUES[*value].into()),
            Side::Lease(lease) => TargetUnion::Lease(lease.map_or(0, lease_id)),
        }
    }
}

pub fn lease_id(lease: usize) -> i64 {
    FIRST_LEASE + i64::try_from(lease).expect("a small number")
}
