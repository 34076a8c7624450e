//! Writing and deleting keys: the one place where keys, leases and log change together.

use std::sync::Arc;

use super::history::{Change, History, KeyValue, Record, key_size};
use super::lease::Leases;
use super::{KeyRange, LeaseId, Revision, StoreError};

/// What to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The lease to attach the key to, 0 for none.
    pub lease: LeaseId,
    /// Whether to answer with the key before the change.
    pub prev_kv: bool,
    /// Whether to keep the present value.
    pub ignore_value: bool,
    /// Whether to keep the present lease.
    pub ignore_lease: bool,
}

impl Put {
    /// Writes `value` under `key`, without a lease.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            ..Self::default()
        }
    }

    pub(super) fn content_size(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResult {
    /// The revision of the change.
    pub revision: Revision,
    /// The key before, if asked for and there.
    pub prev_kv: Option<KeyValue>,
}

/// What to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// The keys.
    pub keys: KeyRange,
    /// Whether to answer with the deleted keys.
    pub prev_kv: bool,
}

impl Delete {
    /// Deletes all of `keys`.
    pub fn new(keys: KeyRange) -> Self {
        Self {
            keys,
            prev_kv: false,
        }
    }
}

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteResult {
    /// The revision of the deletion; the present one if there was nothing to delete.
    pub revision: Revision,
    /// The number of deleted keys.
    pub deleted: usize,
    /// The deleted keys in order, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// Refuses a put on a lease that is not there.
pub(super) fn check_lease(leases: &Leases, put: &Put) -> Result<(), StoreError> {
    if put.lease != 0 && !leases.contains(put.lease) {
        return Err(StoreError::LeaseNotFound);
    }
    Ok(())
}

/// Refuses a put that keeps something of a key that is not there.
pub(super) fn check_kept(history: &History, put: &Put) -> Result<(), StoreError> {
    if (put.ignore_value || put.ignore_lease) && history.latest(&put.key).is_none() {
        return Err(StoreError::KeyNotFound);
    }
    Ok(())
}

/// By how many bytes a put makes the keys bigger and by how many smaller, estimated.
pub(super) fn growth(history: &History, put: &Put) -> (usize, usize) {
    let Some(before) = history.latest(&put.key) else {
        return (key_size(put.key.len(), put.value.len()), 0);
    };
    let before = before.kv.value.len();
    if put.ignore_value {
        (0, 0)
    } else {
        (put.value.len(), before)
    }
}

/// Collects the changes of one revision. Requests are checked before, so nothing here fails.
pub(super) struct Writer<'a> {
    history: &'a mut History,
    leases: &'a mut Leases,
    changes: Vec<Change>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(history: &'a mut History, leases: &'a mut Leases) -> Self {
        Self {
            history,
            leases,
            changes: Vec::new(),
        }
    }

    /// The keys, with the changes made here.
    pub(super) fn history(&self) -> &History {
        self.history
    }

    /// The revision as seen from inside: the coming one as soon as something has changed.
    pub(super) fn revision(&self) -> Revision {
        self.history.revision() + Revision::from(!self.changes.is_empty())
    }

    pub(super) fn put(&mut self, put: &Put) -> PutResult {
        let revision = self.history.revision() + 1;
        let prev = self.history.latest(&put.key).cloned();
        let record = Arc::new(Record {
            kv: successor(put, prev.as_deref(), revision),
            deleted: false,
        });
        self.leases
            .move_key(&put.key, lease_of(prev.as_deref()), record.kv.lease);
        let prev_kv = prev
            .as_ref()
            .filter(|_| put.prev_kv)
            .map(|prev| prev.kv.clone());
        self.change(record, prev);
        PutResult { revision, prev_kv }
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> DeleteResult {
        let doomed: Vec<_> = self
            .history
            .scan(&delete.keys, Revision::MAX)
            .cloned()
            .collect();
        let deleted = doomed.len();
        let prev_kvs = doomed
            .iter()
            .filter(|_| delete.prev_kv)
            .map(|record| record.kv.clone())
            .collect();
        for prev in doomed {
            self.delete_one(prev);
        }
        DeleteResult {
            revision: self.revision(),
            deleted,
            prev_kvs,
        }
    }

    /// Makes the changes a revision; returns the present revision.
    pub(super) fn commit(self) -> Revision {
        self.history.commit(self.changes)
    }

    fn delete_one(&mut self, prev: Arc<Record>) {
        let key = prev.kv.key.clone();
        self.leases.move_key(&key, prev.kv.lease, 0);
        let mod_revision = self.history.revision() + 1;
        let kv = KeyValue {
            key,
            mod_revision,
            ..KeyValue::default()
        };
        self.change(Arc::new(Record { kv, deleted: true }), Some(prev));
    }

    fn change(&mut self, record: Arc<Record>, prev: Option<Arc<Record>>) {
        let prev = prev.and_then(|prev| self.before_revision(prev));
        self.history.append(record.clone());
        self.changes.push(Change { record, prev });
    }

    /// `prev` may be a change of this same revision; watches are told what was there before that.
    fn before_revision(&self, prev: Arc<Record>) -> Option<Arc<Record>> {
        if prev.kv.mod_revision <= self.history.revision() {
            return Some(prev);
        }
        let first = self
            .changes
            .iter()
            .find(|change| change.record.kv.key == prev.kv.key)?;
        first.prev.clone()
    }
}

/// The key after the put.
fn successor(put: &Put, prev: Option<&Record>, revision: Revision) -> KeyValue {
    let kept = prev.filter(|_| put.ignore_value);
    KeyValue {
        key: put.key.clone(),
        value: kept.map_or_else(|| put.value.clone(), |prev| prev.kv.value.clone()),
        create_revision: prev.map_or(revision, |prev| prev.kv.create_revision),
        mod_revision: revision,
        version: prev.map_or(0, |prev| prev.kv.version) + 1,
        lease: if put.ignore_lease {
            lease_of(prev)
        } else {
            put.lease
        },
    }
}

fn lease_of(record: Option<&Record>) -> LeaseId {
    record.map_or(0, |record| record.kv.lease)
}
