//! What the store refuses, in etcd's own words: clients compare these texts.

use super::Revision;

/// A refused request; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A key is empty.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// A put wants to keep the value or lease of a key that is not there, or an operation is empty.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A put has a value and wants to keep the present one.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A put has a lease and wants to keep the present one.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// The order or target of sorting is not one of etcd's.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// The relation or target of a condition is not one of etcd's. etcd takes such a condition as fulfilled.
    #[error("etcd-mem: unknown result or target of a compare")]
    UnknownCompare,
    /// A list of a transaction is longer than [`super::MAX_TXN_OPS`].
    #[error("etcdserver: too many operations in txn request")]
    TooManyOperations,
    /// A transaction writes a key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A request is bigger than [`super::MAX_REQUEST_BYTES`].
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// The keys and leases would take more than the quota.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The revision is forgotten.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted {
        /// The oldest revision that can be read.
        oldest: Revision,
    },
    /// The revision has not been reached.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The lease has ended or never was.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// The wished lease id is taken.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// The wished time to live is longer than [`super::MAX_TTL`].
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// The range of a watch holds no key, whatever is written.
    #[error("mvcc: watcher range is empty")]
    EmptyWatchRange,
    /// The wished id of a watch is taken in its stream.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateWatchId,
}
