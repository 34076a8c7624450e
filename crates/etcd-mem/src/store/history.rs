//! Keys with their versions, and the log of changes, both bounded.
//!
//! Each change is one [`Record`], shared by the key's list of versions (for reads) and the log (for watches).
//! Reads reach back to `compacted`, the log to its own first entry, which may be older: an explicit compaction takes
//! versions away but leaves the log, so that a running watch does not lose events to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{KeyRange, LeaseId, Revision, StoreError};

/// One key as stored at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The revision at which the key was last created.
    pub create_revision: Revision,
    /// The revision of the last change.
    pub mod_revision: Revision,
    /// How often it was written since its creation, beginning with 1.
    pub version: i64,
    /// The lease it is attached to, 0 for none.
    pub lease: LeaseId,
}

/// How much history is kept: when either is exceeded the oldest revisions are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimit {
    /// The number of revisions.
    pub revisions: usize,
    /// The memory in bytes, estimated.
    pub bytes: usize,
}

impl Default for HistoryLimit {
    /// 10,000 revisions or 32 MiB.
    fn default() -> Self {
        Self {
            revisions: 10_000,
            bytes: 32 << 20,
        }
    }
}

/// What a scan that finds nothing counts for where readings are limited.
const SCAN_BYTES: usize = 200;

/// A key after one change. A deletion has only key and mod revision.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) kv: KeyValue,
    pub(super) deleted: bool,
}

/// One change of one key.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) record: Arc<Record>,
    /// The live key before the revision.
    pub(super) prev: Option<Arc<Record>>,
}

/// All changes of one revision, in order.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) revision: Revision,
    pub(super) changes: Vec<Change>,
    bytes: usize,
}

/// The versions of one key, the oldest first, by mod revision.
type Versions = VecDeque<Arc<Record>>;

/// See the file's comment. Invariant: the log's revisions follow each other without a gap, up to `revision`.
#[derive(Debug)]
pub(super) struct History {
    revision: Revision,
    compacted: Revision,
    keys: BTreeMap<Vec<u8>, Versions>,
    log: VecDeque<Commit>,
    log_bytes: usize,
    /// Of the records that are the newest of their keys, deletions apart.
    live_bytes: usize,
    limit: HistoryLimit,
}

impl History {
    pub(super) fn new(revision: Revision, limit: HistoryLimit) -> Self {
        Self {
            revision,
            // A fresh etcd has -1 here. Beginning higher, everything before belongs to a lost store.
            compacted: if revision > 1 { revision } else { -1 },
            keys: BTreeMap::new(),
            log: VecDeque::new(),
            log_bytes: 0,
            live_bytes: 0,
            limit,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The revision of the log's first entry; the next one to come if it is empty.
    pub(super) fn log_start(&self) -> Revision {
        self.log
            .front()
            .map_or(self.revision + 1, |commit| commit.revision)
    }

    /// The log from `revision` on; `revision` must not be before [`Self::log_start`].
    pub(super) fn commits_from(&self, revision: Revision) -> impl Iterator<Item = &Commit> {
        let skip = usize::try_from(revision - self.log_start()).unwrap_or(0);
        self.log.range(skip.min(self.log.len())..)
    }

    /// The key as it is now, changes that are not committed included.
    pub(super) fn latest(&self, key: &[u8]) -> Option<&Arc<Record>> {
        self.keys.get(key)?.back().filter(|record| !record.deleted)
    }

    /// The keys of a range as they were at `revision`, in order.
    pub(super) fn scan<'a>(
        &'a self,
        keys: &'a KeyRange,
        revision: Revision,
    ) -> impl Iterator<Item = &'a Arc<Record>> {
        let found = (!keys.is_empty()).then(|| self.keys.range::<[u8], _>(keys.bounds()));
        found
            .into_iter()
            .flatten()
            .filter_map(move |(_, versions)| at(versions, revision))
    }

    /// What is left of `bytes` after a scan, which costs something even if it finds nothing; `None` if it touches more.
    pub(super) fn scan_within(
        &self,
        keys: &KeyRange,
        revision: Revision,
        bytes: usize,
    ) -> Option<usize> {
        let left = bytes.checked_sub(SCAN_BYTES)?;
        let mut found = self.scan(keys, revision);
        found.try_fold(left, |left, record| left.checked_sub(record_size(record)))
    }

    /// Takes a change into the versions; [`Self::commit`] must follow.
    pub(super) fn append(&mut self, record: Arc<Record>) {
        let versions = self.keys.entry(record.kv.key.clone()).or_default();
        if let Some(before) = versions.back().filter(|before| !before.deleted) {
            self.live_bytes -= record_size(before);
        }
        if !record.deleted {
            self.live_bytes += record_size(&record);
        }
        versions.push_back(record);
    }

    /// Makes the appended changes the next revision, which is returned; without a change nothing happens.
    pub(super) fn commit(&mut self, changes: Vec<Change>) -> Revision {
        if changes.is_empty() {
            return self.revision;
        }
        self.revision += 1;
        let bytes = changes.iter().map(change_size).sum();
        self.log_bytes += bytes;
        self.log.push_back(Commit {
            revision: self.revision,
            changes,
            bytes,
        });
        self.forget_excess();
        self.revision
    }

    /// Forgets the states before `revision`.
    pub(super) fn compact(&mut self, revision: Revision) -> Result<(), StoreError> {
        if revision <= self.compacted {
            return Err(StoreError::Compacted {
                oldest: self.compacted,
            });
        }
        if revision > self.revision {
            return Err(StoreError::FutureRevision);
        }
        self.compacted = revision;
        self.keys
            .retain(|_, versions| keep_from(versions, revision));
        Ok(())
    }

    /// The memory for the keys as they are now in bytes, estimated.
    pub(super) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// The memory for keys, values and history in bytes, estimated.
    pub(super) fn size(&self) -> usize {
        let records = self.keys.values().flatten();
        records.map(|record| record_size(record)).sum()
    }

    /// Forgets the oldest revisions beyond the limit, never the newest one.
    fn forget_excess(&mut self) {
        while self.log.len() > 1
            && (self.log.len() > self.limit.revisions || self.log_bytes > self.limit.bytes)
        {
            let Some(oldest) = self.log.pop_front() else {
                return;
            };
            self.log_bytes = self.log_bytes.saturating_sub(oldest.bytes);
            self.compacted = self.compacted.max(oldest.revision + 1);
            for change in oldest.changes {
                self.forget_versions(&change.record.kv.key, oldest.revision);
            }
        }
    }

    /// Drops the versions of `key` that were overwritten or deleted at or before `revision`.
    fn forget_versions(&mut self, key: &[u8], revision: Revision) {
        let Some(versions) = self.keys.get_mut(key) else {
            return;
        };
        if !keep_from(versions, revision) {
            self.keys.remove(key);
        }
    }
}

/// The version that was live at `revision`.
fn at(versions: &Versions, revision: Revision) -> Option<&Arc<Record>> {
    let newer = versions.partition_point(|record| record.kv.mod_revision <= revision);
    versions
        .get(newer.checked_sub(1)?)
        .filter(|record| !record.deleted)
}

/// Drops what no read at `revision` or later can see; tells whether anything is left.
fn keep_from(versions: &mut Versions, revision: Revision) -> bool {
    let newer = versions.partition_point(|record| record.kv.mod_revision <= revision);
    versions.drain(..newer.saturating_sub(1));
    if versions
        .front()
        .is_some_and(|first| first.deleted && first.kv.mod_revision <= revision)
    {
        versions.pop_front();
    }
    !versions.is_empty()
}

fn change_size(change: &Change) -> usize {
    record_size(&change.record) + change.prev.as_ref().map_or(0, |prev| record_size(prev))
}

fn record_size(record: &Record) -> usize {
    key_size(record.kv.key.len(), record.kv.value.len())
}

/// Bytes for a key of this length with such a value: the texts (the key is in the map too), and about 200 for the structures
/// around them.
pub(super) fn key_size(key: usize, value: usize) -> usize {
    200 + 2 * key + value
}
