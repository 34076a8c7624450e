//! What makes a request invalid whatever the store holds: sizes, empty keys, a key written twice.

use std::collections::BTreeSet;

use super::{Delete, KeyRange, Op, Put, Range, StoreError, Txn};

/// The longest list in a transaction. For one within another: its longest list and that of the outer one together.
pub const MAX_TXN_OPS: usize = 128;

/// The biggest request that changes something, in bytes. The store counts keys and values, the server the whole
/// message.
pub const MAX_REQUEST_BYTES: usize = 3 << 19;

pub(super) fn range(range: &Range) -> Result<(), StoreError> {
    key(range.keys.start())
}

pub(super) fn put(put: &Put) -> Result<(), StoreError> {
    key(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(StoreError::ValueProvided);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(StoreError::LeaseProvided);
    }
    Ok(())
}

pub(super) fn delete(delete: &Delete) -> Result<(), StoreError> {
    key(delete.keys.start())
}

pub(super) fn request_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_REQUEST_BYTES {
        Err(StoreError::RequestTooLarge)
    } else {
        Ok(())
    }
}

pub(super) fn txn(txn: &Txn) -> Result<(), StoreError> {
    lists(txn, MAX_TXN_OPS)?;
    writes(&txn.success)?;
    writes(&txn.failure)?;
    request_size(content_size(txn))
}

fn key(key: &[u8]) -> Result<(), StoreError> {
    if key.is_empty() {
        Err(StoreError::EmptyKey)
    } else {
        Ok(())
    }
}

/// Checks each operation, and that no list has more than `allowed` of them.
fn lists(txn: &Txn, allowed: usize) -> Result<(), StoreError> {
    let longest = txn
        .compare
        .len()
        .max(txn.success.len())
        .max(txn.failure.len());
    let left = allowed
        .checked_sub(longest)
        .ok_or(StoreError::TooManyOperations)?;
    txn.compare
        .iter()
        .try_for_each(|compare| key(compare.keys.start()))?;
    txn.success
        .iter()
        .chain(&txn.failure)
        .try_for_each(|op| match op {
            Op::Range(op) => range(op),
            Op::Put(op) => put(op),
            Op::Delete(op) => delete(op),
            Op::Txn(op) => lists(op, left),
        })
}

/// The keys that a list of operations writes, whichever way its transactions within go, and the ranges it deletes.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<&'a KeyRange>,
}

/// Refuses a list that may write a key twice, or write one that it deletes.
///
/// The order is etcd's: a list's own deletions are held against the writes of all transactions within; those are held
/// against the deletions of earlier ones only. So a later one may delete what an earlier one wrote. A deletion without
/// an end is held against nothing.
fn writes(ops: &[Op]) -> Result<Writes<'_>, StoreError> {
    let mut all = Writes::default();
    all.deletes.extend(ops.iter().filter_map(|op| match op {
        Op::Delete(delete) => Some(&delete.keys),
        _ => None,
    }));
    for op in ops {
        if let Op::Txn(txn) = op {
            all.add_txn(txn)?;
        }
    }
    for op in ops {
        if let Op::Put(put) = op {
            all.add_put(&put.key)?;
        }
    }
    Ok(all)
}

impl<'a> Writes<'a> {
    /// Only one of the two lists runs, so both may write the same key.
    fn add_txn(&mut self, txn: &'a Txn) -> Result<(), StoreError> {
        let success = writes(&txn.success)?;
        let failure = writes(&txn.failure)?;
        let puts: BTreeSet<&[u8]> = success.puts.union(&failure.puts).copied().collect();
        puts.into_iter().try_for_each(|key| self.add_put(key))?;
        self.deletes.extend(success.deletes);
        self.deletes.extend(failure.deletes);
        Ok(())
    }

    fn add_put(&mut self, key: &'a [u8]) -> Result<(), StoreError> {
        let deleted = self
            .deletes
            .iter()
            .any(|range| !range.is_open() && range.contains(key));
        if deleted || !self.puts.insert(key) {
            return Err(StoreError::DuplicateKey);
        }
        Ok(())
    }
}

fn content_size(txn: &Txn) -> usize {
    let compares = txn
        .compare
        .iter()
        .map(|compare| compare.keys.content_size() + compare.target.content_size());
    let ops = txn.success.iter().chain(&txn.failure).map(|op| match op {
        Op::Range(range) => range.keys.content_size(),
        Op::Put(put) => put.content_size(),
        Op::Delete(delete) => delete.keys.content_size(),
        Op::Txn(txn) => content_size(txn),
    });
    compares.sum::<usize>() + ops.sum::<usize>()
}
