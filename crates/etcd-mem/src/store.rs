//! The store: keys with their history, leases and watches, as one value that is changed by method calls.
//!
//! The revision counts changes: it grows by one with each call that changes at least one key, and only then.
//! Every method either does all of what it says or returns an error and changes nothing.

mod error;
mod history;
mod key_range;
mod lease;
mod range;
mod txn;
mod txn_check;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use error::StoreError;
pub use history::{HistoryLimit, KeyValue};
pub use key_range::KeyRange;
pub use lease::{GrantedLease, LeaseState, MAX_TTL, MIN_TTL};
pub use range::{Range, RangeResult, RevisionBounds, SortTarget};
pub use txn::{Compare, Op, OpResult, Relation, Target, Txn, TxnResult};
pub use txn_check::{MAX_REQUEST_BYTES, MAX_TXN_OPS};
pub use watch::{Event, EventKind, Watch, WatchBatch, WatchRequest};
pub use write::{Delete, DeleteResult, Put, PutResult};

use history::History;
use lease::{LEASE_BYTES, Leases};
use write::Writer;

/// The number of one state of the store. A fresh store of etcd has 1; 0 in a request means the newest.
pub type Revision = i64;

/// The number of a lease; 0 is no lease.
pub type LeaseId = i64;

/// An etcd in memory.
///
/// Invariant: a key whose `lease` is not 0 is attached to exactly that lease, and that lease exists.
#[derive(Debug)]
pub struct Store {
    history: History,
    leases: Leases,
    quota: usize,
}

impl Default for Store {
    /// An empty store at revision 1, as of a fresh etcd.
    fn default() -> Self {
        Self::new(1, 0, HistoryLimit::default())
    }
}

impl Store {
    /// Makes an empty store.
    ///
    /// `revision` is the present revision, 1 in a fresh etcd. Beginning higher makes a successor of a lost store:
    /// watches from the predecessor's revisions are answered "compacted", so that their clients list anew.
    /// `seed` decides which lease ids are chosen; `limit` bounds the memory for history.
    pub fn new(revision: Revision, seed: u64, limit: HistoryLimit) -> Self {
        Self {
            history: History::new(revision.max(1), limit),
            leases: Leases::new(seed),
            quota: usize::MAX,
        }
    }

    /// Refuses what would make keys and leases together bigger than so many bytes, estimated: [`StoreError::NoSpace`]. What
    /// does not make them bigger goes on. History has a limit of its own.
    #[must_use]
    pub fn with_quota(self, quota: usize) -> Self {
        Self { quota, ..self }
    }

    /// The present revision.
    pub fn revision(&self) -> Revision {
        self.history.revision()
    }

    /// The oldest revision that can be read, below 1 if nothing was ever forgotten.
    pub fn compact_revision(&self) -> Revision {
        self.history.compacted()
    }

    /// What counts for the quota, in bytes.
    pub fn used(&self) -> usize {
        self.history.live_bytes() + self.leases.bytes()
    }

    /// The memory for keys, values and history in bytes, estimated. Walks over all keys.
    pub fn size(&self) -> usize {
        self.history.size()
    }

    /// Reads a range of keys, now or at an earlier revision.
    pub fn range(&self, request: &Range) -> Result<RangeResult, StoreError> {
        txn_check::range(request)?;
        range::check_revision(&self.history, request.revision)?;
        Ok(range::read(&self.history, request, self.revision()))
    }

    /// Writes one key.
    pub fn put(&mut self, request: &Put) -> Result<PutResult, StoreError> {
        txn_check::put(request)?;
        txn_check::request_size(request.content_size())?;
        write::check_lease(&self.leases, request)?;
        write::check_kept(&self.history, request)?;
        self.check_space(write::growth(&self.history, request))?;
        let mut writer = self.writer();
        let result = writer.put(request);
        writer.commit();
        Ok(result)
    }

    /// Deletes a range of keys.
    pub fn delete(&mut self, request: &Delete) -> Result<DeleteResult, StoreError> {
        txn_check::delete(request)?;
        txn_check::request_size(request.keys.content_size())?;
        let mut writer = self.writer();
        let result = writer.delete(request);
        writer.commit();
        Ok(result)
    }

    /// Evaluates all conditions, nested ones too, then runs the chosen operations in one revision.
    pub fn txn(&mut self, request: &Txn) -> Result<TxnResult, StoreError> {
        txn_check::txn(request)?;
        let path = txn::choose(&self.history, request);
        txn::check_path(&self.history, &self.leases, request, &path)?;
        self.check_space(txn::growth(&self.history, request, &path))?;
        let mut writer = self.writer();
        let mut result = txn::apply(&mut writer, request, &path);
        result.revision = writer.commit();
        Ok(result)
    }

    /// Whether a reading touches at most so many bytes of keys, estimated. It takes no longer than reading that much.
    pub fn range_at_most(&self, request: &Range, bytes: usize) -> bool {
        request.count_only || range::reads_within(&self.history, request, bytes).is_some()
    }

    /// Whether a transaction's readings and conditions, of all its branches together, touch at most so many bytes of keys, estimated.
    /// It takes no longer than reading that much.
    pub fn reads_at_most(&self, txn: &Txn, bytes: usize) -> bool {
        txn::reads_within(&self.history, txn, bytes).is_some()
    }

    /// Forgets the states before `revision`; it and all later ones stay readable.
    pub fn compact(&mut self, revision: Revision) -> Result<(), StoreError> {
        self.history.compact(revision)
    }

    /// Begins a lease of `ttl` seconds, at least [`MIN_TTL`]. With `id` 0 the store chooses one.
    pub fn grant(
        &mut self,
        now: Duration,
        id: LeaseId,
        ttl: i64,
    ) -> Result<GrantedLease, StoreError> {
        self.check_space((LEASE_BYTES, 0))?;
        self.leases.grant(now, id, ttl)
    }

    /// Renews a lease to its full time to live, which is returned in seconds.
    pub fn keep_alive(&mut self, now: Duration, id: LeaseId) -> Result<i64, StoreError> {
        self.leases.keep_alive(now, id)
    }

    /// Ends a lease and deletes its keys in one revision, in the order of the keys.
    pub fn revoke(&mut self, id: LeaseId) -> Result<(), StoreError> {
        let keys = self.leases.remove(id).ok_or(StoreError::LeaseNotFound)?;
        let mut writer = self.writer();
        for key in keys {
            writer.delete(&Delete::new(KeyRange::key(key)));
        }
        writer.commit();
        Ok(())
    }

    /// Ends all leases whose time is over, each in a revision of its own, the earliest first. Returns them.
    pub fn expire(&mut self, now: Duration) -> Vec<LeaseId> {
        let expired = self.leases.expired(now);
        for id in &expired {
            // It was listed a moment ago, so it is there.
            let _ = self.revoke(*id);
        }
        expired
    }

    /// The earliest end of a lease, on the clock of the `now` arguments.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.leases.next_deadline()
    }

    /// The state of a lease, with its keys in order; `None` if it is gone.
    pub fn time_to_live(&self, now: Duration, id: LeaseId) -> Option<LeaseState> {
        self.leases.state(now, id)
    }

    /// All leases, the first to end first.
    pub fn leases(&self) -> Vec<LeaseId> {
        self.leases.ids()
    }

    /// Begins a watch; [`Self::poll`] then tells its events.
    ///
    /// A start before the oldest readable revision is the error [`StoreError::Compacted`]. A running watch does not
    /// notice a compaction; it fails only when it is so late that [`HistoryLimit`] took its events away.
    pub fn watch(&self, request: WatchRequest) -> Result<Watch, StoreError> {
        watch::begin(&self.history, request)
    }

    /// The next events of a watch, whole revisions at a time; `None` if there is nothing new for it.
    ///
    /// Big answers are spread over several calls: poll until `None`.
    pub fn poll(&self, watch: &mut Watch) -> Result<Option<WatchBatch>, StoreError> {
        watch::poll(&self.history, watch)
    }

    /// Whether there is room for so many bytes more, after so many have become free.
    fn check_space(&self, (bigger, smaller): (usize, usize)) -> Result<(), StoreError> {
        let after = self.used().saturating_add(bigger).saturating_sub(smaller);
        if bigger > smaller && after > self.quota {
            return Err(StoreError::NoSpace);
        }
        Ok(())
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.history, &mut self.leases)
    }
}
