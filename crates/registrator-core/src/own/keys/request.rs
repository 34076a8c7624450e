//! Fills one request to etcd with transactions that travel together.

use crate::node::Key;
use crate::own::session::MAX_TXNS;
use crate::own::{Guard, KeyTxn, Op};
use std::collections::{BTreeSet, VecDeque};

/// The most operations of one request, of which each may have nested ones. etcd refuses more than 128, and the fence has some.
const MAX_OPS: usize = 124;

/// The most bytes of keys and values in one request, unless one transaction alone has more. etcd refuses 1.5 MiB.
const MAX_BYTES: usize = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) txns: Vec<KeyTxn>,
    keys: BTreeSet<Key>,
    /// The objects that a transaction of members compares.
    compared: BTreeSet<Key>,
    bytes: usize,
    /// The most comparisons or operations of one transaction.
    widest: usize,
}

impl Request {
    /// Whether a transaction writes `key` or compares it.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// Takes the transactions of one batch. A batch that does not fit beside what is there goes back to the front of the queue;
    /// one that is too large for any request is cut. Tells whether there may be room for more.
    pub(super) fn take(&mut self, batch: Vec<KeyTxn>, queue: &mut VecDeque<BTreeSet<Key>>) -> bool {
        let widest = batch.iter().map(width).fold(self.widest, usize::max);
        let fits = self.txns.len() + batch.len() <= room(widest)
            && self.bytes + bytes_of(&batch) <= MAX_BYTES;
        if fits || self.txns.is_empty() {
            let rest = self.fill(batch);
            if rest.is_empty() {
                return true;
            }
            queue.push_front(rest);
        } else {
            queue.push_front(batch.into_iter().map(|txn| txn.key).collect());
        }
        false
    }

    /// Takes one transaction, or tells that there is no room for it.
    pub(super) fn take_one(&mut self, txn: KeyTxn) -> bool {
        self.fill(vec![txn]).is_empty()
    }

    /// All is compared before anything happens: what rests on an object as it is does not travel with a change of it.
    fn rests_on_another(&self, txn: &KeyTxn) -> bool {
        let changed = |of: &KeyTxn| self.has(&of.key) && !self.txns.contains(of);
        self.compared.contains(&txn.key) || with(txn).any(changed)
    }

    fn fill(&mut self, batch: Vec<KeyTxn>) -> BTreeSet<Key> {
        let mut rest = BTreeSet::new();
        for txn in batch {
            let (bytes, widest) = (size(&txn), self.widest.max(width(&txn)));
            // etcd writes a key only once in a request.
            let is_twice = txn.keys().any(|key| self.has(key)) || self.rests_on_another(&txn);
            let full = self.txns.len() >= room(widest) || self.bytes + bytes > MAX_BYTES;
            if !rest.is_empty() || ((full || is_twice) && !self.txns.is_empty()) {
                rest.insert(txn.key);
                continue;
            }
            self.bytes += bytes;
            self.widest = widest;
            self.keys.extend(txn.keys().cloned());
            self.compared.extend(with(&txn).map(|it| it.key.clone()));
            self.txns.push(txn);
        }
        rest
    }
}

/// How many transactions fit beside one of so many operations: etcd counts those of the request and of the widest together.
fn room(widest: usize) -> usize {
    MAX_TXNS.min(MAX_OPS.saturating_sub(widest)).max(1)
}

/// How many comparisons or operations etcd counts, with what it reads if it refuses.
fn width(txn: &KeyTxn) -> usize {
    let reads = 2 + txn.fields().len() + txn.beacons().count();
    let with = with(txn).map(|it| it.guards.len());
    let guards = txn.guards.len() + with.sum::<usize>();
    guards.max(txn.ops.len()).max(reads)
}

/// The transaction without which this one does not happen.
fn with(txn: &KeyTxn) -> impl Iterator<Item = &KeyTxn> {
    txn.guards.iter().filter_map(|guard| match guard {
        Guard::With(txn) => Some(txn.as_ref()),
        _ => None,
    })
}

fn bytes_of(txns: &[KeyTxn]) -> usize {
    txns.iter().map(size).sum()
}

/// The key is in each guard, operation and read.
fn size(txn: &KeyTxn) -> usize {
    let values: usize = txn
        .ops
        .iter()
        .map(|op| match op {
            Op::Put(value, _) | Op::PutClaim(value, _) => value.as_str().len(),
            Op::PutField(_, value, _) => value.as_str().len(),
            Op::Delete | Op::DeleteClaim(_) | Op::DeleteField(_) => 0,
        })
        .sum();
    let fields: usize = txn.fields().iter().map(|key| key.as_str().len() * 3).sum();
    let with: usize = with(txn).map(size).sum();
    txn.key.as_str().len() * (txn.guards.len() + txn.ops.len() + 2) + fields + values + with
}
