//! Updates on their way to a listener that may be slow.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::DockerUpdate;

/// From this many waiting updates on, no more inspects are begun.
const MANY: usize = 1024;

/// Hands updates to the listener at once if it has room, and keeps them in order until it has.
///
/// A daemon throws away events that are not read in time, so reading them must never wait for the listener.
pub(super) struct Outbox {
    sender: mpsc::Sender<DockerUpdate>,
    waiting: VecDeque<DockerUpdate>,
    /// What can wait until the engine is asked, but not until the next update.
    unhurried: Vec<DockerUpdate>,
}

impl Outbox {
    pub(super) fn new(sender: mpsc::Sender<DockerUpdate>) -> Self {
        Self {
            sender,
            waiting: VecDeque::new(),
            unhurried: Vec::new(),
        }
    }

    /// Hands over an update, after all that were pushed before.
    pub(super) fn push(&mut self, update: DockerUpdate) {
        self.hurry();
        self.put(update);
    }

    /// Keeps an update until the next one, or until [`Outbox::hurry`].
    pub(super) fn push_unhurried(&mut self, update: DockerUpdate) {
        self.unhurried.push(update);
    }

    /// Hands over what could wait.
    pub(super) fn hurry(&mut self) {
        for update in std::mem::take(&mut self.unhurried) {
            self.put(update);
        }
    }

    /// Whether something waits for [`Outbox::hurry`].
    pub(super) fn has_unhurried(&self) -> bool {
        !self.unhurried.is_empty()
    }

    fn put(&mut self, update: DockerUpdate) {
        if !self.waiting.is_empty() {
            return self.waiting.push_back(update);
        }
        if let Err(TrySendError::Full(update) | TrySendError::Closed(update)) =
            self.sender.try_send(update)
        {
            self.waiting.push_back(update);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MANY
    }

    /// Hands over the first waiting update. Can be cancelled without losing it; never returns once nobody listens.
    pub(super) async fn send_one(&mut self) {
        let Ok(permit) = self.sender.reserve().await else {
            return std::future::pending().await;
        };
        if let Some(update) = self.waiting.pop_front() {
            permit.send(update);
        }
    }

    /// Hands over all waiting updates.
    pub(super) async fn flush(&mut self) {
        self.hurry();
        while !self.is_empty() {
            self.send_one().await;
        }
    }
}
