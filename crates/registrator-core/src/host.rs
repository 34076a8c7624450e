//! What a host is called.

use std::sync::Arc;

/// The name of a registrator's host, for people: its `--node-name`.
pub type HostName = Arc<str>;
