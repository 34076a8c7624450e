//! Fills one request to etcd with transactions that travel together.

use crate::node::Key;
use crate::own::session::MAX_TXNS;
use crate::own::{KeyTxn, Op};
use std::collections::{BTreeSet, VecDeque};

/// The most bytes of keys and values in one request, unless one transaction alone has more. etcd refuses 1.5 MiB.
const MAX_BYTES: usize = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) txns: Vec<KeyTxn>,
    keys: BTreeSet<Key>,
    bytes: usize,
}

impl Request {
    /// Whether there is a transaction for `key`.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// Takes the transactions of one batch. A batch that does not fit beside what is there goes back to the front of the queue;
    /// one that is too large for any request is cut. Tells whether there may be room for more.
    pub(super) fn take(&mut self, batch: Vec<KeyTxn>, queue: &mut VecDeque<BTreeSet<Key>>) -> bool {
        let fits =
            self.txns.len() + batch.len() <= MAX_TXNS && self.bytes + bytes_of(&batch) <= MAX_BYTES;
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

    fn fill(&mut self, batch: Vec<KeyTxn>) -> BTreeSet<Key> {
        let mut rest = BTreeSet::new();
        for txn in batch {
            let bytes = size(&txn);
            let full = self.txns.len() >= MAX_TXNS || self.bytes + bytes > MAX_BYTES;
            if !rest.is_empty() || (full && !self.txns.is_empty()) {
                rest.insert(txn.key);
                continue;
            }
            self.bytes += bytes;
            self.keys.insert(txn.key.clone());
            self.txns.push(txn);
        }
        rest
    }
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
            Op::Delete | Op::DeleteClaim(_) => 0,
        })
        .sum();
    txn.key.as_str().len() * (txn.guards.len() + txn.ops.len() + 2) + values
}
