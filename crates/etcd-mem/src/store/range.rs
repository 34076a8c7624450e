//! Reading ranges of keys.

use super::history::{History, KeyValue};
use super::{KeyRange, Revision, StoreError};

/// What to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The keys.
    pub keys: KeyRange,
    /// The revision to read at; 0 or less for the newest.
    pub revision: Revision,
    /// The highest number of keys in the answer; 0 for no limit.
    pub limit: usize,
    /// What to sort by.
    pub sort: SortTarget,
    /// Whether the highest comes first. Keys that sort alike stay in the order of the keys.
    pub descending: bool,
    /// Whether to leave the values out.
    pub keys_only: bool,
    /// Whether to answer with the count only.
    pub count_only: bool,
    /// Keys changed outside of these are left out, but counted.
    pub mod_revisions: RevisionBounds,
    /// Keys created outside of these are left out, but counted.
    pub create_revisions: RevisionBounds,
}

impl Range {
    /// Reads all of `keys`, now.
    pub fn new(keys: KeyRange) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }
}

/// What a range is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The revision of the creation.
    CreateRevision,
    /// The revision of the last change.
    ModRevision,
    /// The value.
    Value,
}

/// Both bounds inclusive; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevisionBounds {
    /// The lowest.
    pub min: Revision,
    /// The highest.
    pub max: Revision,
}

impl RevisionBounds {
    fn contain(self, revision: Revision) -> bool {
        (self.min == 0 || revision >= self.min) && (self.max == 0 || revision <= self.max)
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The revision of the store at the time of reading.
    pub revision: Revision,
    /// The keys.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit left keys out.
    pub more: bool,
    /// The number of keys in the range, whatever limit and bounds say.
    pub count: usize,
}

/// What is left of `bytes` after a reading, whatever its answer leaves out; `None` if it touches more.
pub(super) fn reads_within(history: &History, request: &Range, bytes: usize) -> Option<usize> {
    let is_now = request.revision <= 0;
    let revision = if is_now {
        Revision::MAX
    } else {
        request.revision
    };
    history.scan_within(&request.keys, revision, bytes)
}

/// Refuses revisions that are forgotten or not reached.
pub(super) fn check_revision(history: &History, revision: Revision) -> Result<(), StoreError> {
    if revision > history.revision() {
        return Err(StoreError::FutureRevision);
    }
    if revision > 0 && revision < history.compacted() {
        return Err(StoreError::Compacted {
            oldest: history.compacted(),
        });
    }
    Ok(())
}

/// Reads; the request is checked. `revision` is the present one as the reader sees it.
pub(super) fn read(history: &History, request: &Range, revision: Revision) -> RangeResult {
    let at = if request.revision > 0 {
        request.revision
    } else {
        Revision::MAX
    };
    let found: Vec<&KeyValue> = history
        .scan(&request.keys, at)
        .map(|record| &record.kv)
        .collect();
    let mut result = RangeResult {
        revision,
        count: found.len(),
        ..RangeResult::default()
    };
    if request.count_only {
        return result;
    }
    let mut chosen = found;
    chosen.retain(|kv| {
        request.mod_revisions.contain(kv.mod_revision)
            && request.create_revisions.contain(kv.create_revision)
    });
    sort(&mut chosen, request);
    if request.limit > 0 && chosen.len() > request.limit {
        chosen.truncate(request.limit);
        result.more = true;
    }
    result.kvs = chosen
        .into_iter()
        .map(|kv| answer(kv, request.keys_only))
        .collect();
    result
}

fn sort(kvs: &mut [&KeyValue], request: &Range) {
    kvs.sort_by(|a, b| {
        let ascending = match request.sort {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::CreateRevision => a.create_revision.cmp(&b.create_revision),
            SortTarget::ModRevision => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if request.descending {
            ascending.reverse()
        } else {
            ascending
        }
    });
}

fn answer(kv: &KeyValue, keys_only: bool) -> KeyValue {
    if keys_only {
        let KeyValue {
            ref key,
            create_revision,
            mod_revision,
            version,
            lease,
            ..
        } = *kv;
        return KeyValue {
            key: key.clone(),
            value: Vec::new(),
            create_revision,
            mod_revision,
            version,
            lease,
        };
    }
    kv.clone()
}
