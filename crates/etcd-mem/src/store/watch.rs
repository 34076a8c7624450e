//! Watches: past and coming events through one path. A watch is only a position in the log; whoever holds it polls.

use super::history::{Change, Commit, History, KeyValue};
use super::{KeyRange, Revision, StoreError};

/// An answer is ended after the revision that brings it over this many bytes of keys and values. Clients accept
/// messages of 4 MiB unless told otherwise.
const BATCH_BYTES: usize = 1 << 20;

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchRequest {
    /// The keys; an empty first key is the lowest possible one.
    pub keys: KeyRange,
    /// The first revision to tell of; 0 or less for the next one.
    pub start: Revision,
    /// Whether to leave writes out.
    pub no_put: bool,
    /// Whether to leave deletions out.
    pub no_delete: bool,
    /// Whether to tell the keys before the changes.
    pub prev_kv: bool,
}

/// A watch under way.
#[derive(Debug)]
pub struct Watch {
    request: WatchRequest,
    /// The first revision that was not told yet.
    next: Revision,
    /// Earlier states are forgotten, so they are not told as previous ones.
    oldest_prev: Revision,
}

/// Events for one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// Everything up to this revision is told now.
    pub revision: Revision,
    /// The events; those of one revision are never spread over two batches.
    pub events: Vec<Event>,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key after the change; of a deletion only key and mod revision.
    pub kv: KeyValue,
    /// The key before the change, if asked for, there and not forgotten.
    pub prev_kv: Option<KeyValue>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted, or its lease ended.
    Delete,
}

impl Watch {
    /// Everything up to this revision has been told.
    pub fn told(&self) -> Revision {
        self.next - 1
    }
}

pub(super) fn begin(history: &History, mut request: WatchRequest) -> Result<Watch, StoreError> {
    request.keys = request.keys.for_watch();
    if request.keys.is_empty() {
        return Err(StoreError::EmptyWatchRange);
    }
    let next = if request.start > 0 {
        request.start
    } else {
        history.revision() + 1
    };
    // The log may reach further back than reads, but the promise is that of reads.
    if next < history.compacted() {
        return Err(StoreError::Compacted {
            oldest: history.compacted(),
        });
    }
    Ok(Watch {
        request,
        next,
        oldest_prev: history.compacted(),
    })
}

pub(super) fn poll(history: &History, watch: &mut Watch) -> Result<Option<WatchBatch>, StoreError> {
    if watch.next > history.revision() {
        return Ok(None);
    }
    if watch.next < history.log_start() {
        // A fresh store has no commit at its first revision, and nothing was lost there.
        if watch.next < history.compacted() {
            return Err(StoreError::Compacted {
                oldest: history.compacted(),
            });
        }
        watch.next = history.log_start();
    }
    Ok(collect(history, watch))
}

fn collect(history: &History, watch: &mut Watch) -> Option<WatchBatch> {
    let mut events = Vec::new();
    let mut bytes = 0;
    for commit in history.commits_from(watch.next) {
        append_events(&mut events, watch, commit, &mut bytes);
        watch.next = commit.revision + 1;
        if bytes > BATCH_BYTES {
            break;
        }
    }
    (!events.is_empty()).then(|| WatchBatch {
        revision: watch.told(),
        events,
    })
}

fn append_events(events: &mut Vec<Event>, watch: &Watch, commit: &Commit, bytes: &mut usize) {
    for change in commit
        .changes
        .iter()
        .filter(|change| wanted(&watch.request, change))
    {
        let prev = change
            .prev
            .as_ref()
            .filter(|_| watch.request.prev_kv && commit.revision > watch.oldest_prev);
        let event = Event {
            kind: if change.record.deleted {
                EventKind::Delete
            } else {
                EventKind::Put
            },
            kv: change.record.kv.clone(),
            prev_kv: prev.map(|prev| prev.kv.clone()),
        };
        *bytes += event.kv.key.len() + event.kv.value.len();
        *bytes += event
            .prev_kv
            .as_ref()
            .map_or(0, |prev| prev.key.len() + prev.value.len());
        events.push(event);
    }
}

fn wanted(request: &WatchRequest, change: &Change) -> bool {
    let filtered = if change.record.deleted {
        request.no_delete
    } else {
        request.no_put
    };
    !filtered && request.keys.contains(&change.record.kv.key)
}
