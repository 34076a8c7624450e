//! An etcd v3 server in memory, for one host and for tests.
//!
//! Two layers. [`store`] is the whole behaviour of etcd as a plain data structure: keys with their history,
//! transactions, leases, watches. It is synchronous, does no I/O and has no clock: time is an argument. A simulation
//! uses it directly. `server` (feature `server`) puts etcd's gRPC services around one store.
//!
//! The README says what is left out. `tests/conformance` holds both against real etcd servers.

#[cfg(feature = "server")]
pub mod server;
pub mod store;

pub use store::{Store, StoreError};
