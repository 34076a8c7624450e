//! Reads one key and whose it is, for people who ask about a key that this host has nothing to do with.

use super::client::EtcdClient;
use super::error::Error;
use super::layout::Layout;
use super::overview;
use super::settings::SettingsError;
use registrator_core::node::Key;
use registrator_core::own::{LeaseId, View, Who};
use std::time::Duration;

/// How long somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads keys.
#[derive(Debug)]
pub struct KeyReader {
    client: EtcdClient,
    layout: Layout,
}

impl KeyReader {
    /// Reads with the session's own client.
    ///
    /// # Errors
    /// `meta_prefix` cannot be one.
    pub fn new(client: EtcdClient, meta_prefix: &str) -> Result<KeyReader, SettingsError> {
        Ok(KeyReader {
            client,
            layout: Layout::new(meta_prefix, "nobody")?,
        })
    }

    /// What is there now; `None` if etcd does not answer in time.
    ///
    /// # Errors
    /// Any that reading has.
    pub async fn read(&self, key: &Key) -> Option<Result<(Who, View), Error>> {
        let keys = [key.clone()].into();
        let reading = overview::read(&self.client, &self.layout, &keys, 0);
        let read = tokio::time::timeout(PATIENCE, reading).await.ok()?;
        Some(read.map(|mut found| {
            let view = found.views.remove(key).unwrap_or_default();
            (found.who(LeaseId(0)), view)
        }))
    }
}
