//! Since when keys stand as they do, and how long it took to make what was wished true.

use super::Reconciler;
use crate::node::Key;
use crate::tell::notice::Notice;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How many more times are kept than there are keys, before those of keys that are gone are looked for.
const SLACK: usize = 1000;

/// Times of keys.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// When people were told last how a key stands.
    since: BTreeMap<Key, Instant>,
    /// When the event came that asks for another value than there is.
    wished: BTreeMap<Key, Instant>,
}

impl Times {
    /// For how long a key has been as it is, if that began while this process ran.
    pub(super) fn age(&self, key: &Key, now: Instant) -> Option<Duration> {
        let since = self.since.get(key)?;
        Some(now.saturating_duration_since(*since))
    }
}

impl Reconciler {
    /// An event, which came at `came`, changed what is asked for under these keys.
    pub(super) fn note_wishes(&mut self, keys: &BTreeSet<Key>, came: Instant) {
        if !self.started || !self.keys.connected() {
            return;
        }
        for key in keys {
            let is_there = self.keys.about(key).is_some_and(|known| {
                let held = known.view.node.as_ref();
                held.map(|held| &held.value) == self.desired.winner(key)
            });
            if !is_there && self.desired.winner(key).is_some() {
                self.times.wished.entry(key.clone()).or_insert(came);
            }
        }
    }

    /// Takes in what is told of a key, and says how long it took.
    pub(super) fn note_told(&mut self, notice: &mut Notice, now: Instant) {
        let Some(key) = notice.key().cloned() else {
            return;
        };
        match notice {
            Notice::Removed(_) | Notice::ConflictEnded { value: None, .. } => {
                self.times.since.remove(&key);
            }
            Notice::Conflict { .. }
            | Notice::ConflictEnded { .. }
            | Notice::HostConflictEnded { .. } => return,
            Notice::Registered { took, .. } => {
                let came = self.times.wished.get(&key);
                *took = came.map(|came| now.saturating_duration_since(*came));
                self.times.since.insert(key.clone(), now);
            }
            _ => {
                self.times.since.insert(key.clone(), now);
            }
        }
        self.times.wished.remove(&key);
    }

    /// Forgets what is of no use any more.
    pub(super) fn tidy_times(&mut self) {
        if !self.times.wished.is_empty() && self.settled() {
            self.times.wished.clear();
        }
        let room = 2 * (self.desired.len() + self.keys.held()) + SLACK;
        if self.times.since.len() > room {
            let keys = &self.keys;
            self.times.since.retain(|key, _| keys.about(key).is_some());
        }
    }
}
