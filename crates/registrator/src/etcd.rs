//! The etcd side of the program: a client, the session that holds this process's lease and identity, and configurations in etcd.
//!
//! `docs/protocol.md` says what is written and why. Here only the waiting is done: every decision about a node comes
//! from `registrator_core` as a guarded transaction.

mod client;
mod configs;
mod endpoint;
mod error;
mod identity;
mod key_reader;
mod layout;
mod overview;
mod reading;
mod renewals;
mod requests;
mod session;
mod settings;
mod views;

#[cfg(test)]
mod tests;

pub use client::EtcdClient;
pub use configs::{ConfigUpdate, follow_configs, list_configs};
pub use endpoint::parse_endpoints;
pub use identity::Holder;
pub use key_reader::KeyReader;
pub use layout::Layout;
pub use overview::look;
pub use renewals::Renewals;
pub use requests::Requests;
pub use session::{SessionEnd, SessionRequest, SessionUpdate, hold_session};
pub use settings::{Credentials, OnConflict, Settings, SettingsError, TlsFiles};

use registrator_core::backoff::Backoff;
use std::time::Duration;

/// The pauses between attempts to reach etcd.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(10),
};
