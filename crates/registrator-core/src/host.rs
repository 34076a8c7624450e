//! What names a host.

use std::sync::Arc;

/// What names a registrator's host among all that share an etcd: its `--host-id`.
pub type HostId = Arc<str>;
