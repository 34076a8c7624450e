//! A prefix as a source: what is there, then each change, for as long as the process lives.

use super::BACKOFF;
use super::client::Client;
use super::error::Error;
use super::reading::KeyRange;
use super::watch::{Follower, Position, Report};
use crate::attempts::Attempts;
use etcd_api::{Event, event::EventType};
use registrator_core::observe::watch::{self, Keyed};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// One key of a mirrored prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Arc<[u8]>,
}

impl Keyed for Item {
    type Id = String;

    fn id(&self) -> String {
        self.key.clone()
    }
}

/// What a mirror sends: the core's events of a source, and word of an interruption.
#[derive(Debug)]
pub enum Mirrored {
    /// A change of the mirror.
    Event(watch::Event<Item>),
    /// etcd cannot be read now; what was mirrored stays. Sent once for each interruption.
    Interrupted {
        /// Why.
        error: Error,
    },
    /// The interruption is over.
    Restored,
}

/// Mirrors the keys that begin with `prefix` (not empty) until the receiver is gone or the task is dropped. Keys that are not UTF-8 are left out.
///
/// It survives whatever happens to etcd: after a compaction or a loss it lists again. An interruption sends no change.
pub async fn mirror(client: Client, prefix: String, to: UnboundedSender<Mirrored>) {
    let mut mirror = Mirror {
        client,
        range: KeyRange::prefix(&prefix),
        to,
        interrupted: false,
        attempts: Attempts::new(BACKOFF),
    };
    while mirror.list_and_follow().await.is_ok() {}
}

/// Nobody listens any more.
struct Unheard;

struct Mirror {
    client: Client,
    range: KeyRange,
    to: UnboundedSender<Mirrored>,
    interrupted: bool,
    attempts: Attempts,
}

impl Mirror {
    /// Ends with `Ok` when a new list is needed.
    async fn list_and_follow(&mut self) -> Result<(), Unheard> {
        let to = self.to.clone();
        tokio::select! {
            () = to.closed() => Err(Unheard),
            result = self.until_lost() => result,
        }
    }

    async fn until_lost(&mut self) -> Result<(), Unheard> {
        let start = match self.client.list(&self.range, 0).await {
            Err(error) => return self.wait(error).await,
            Ok(listing) => {
                self.restore()?;
                self.send(watch::Event::Init)?;
                for kv in listing.kvs {
                    if let Some(item) = item(kv.key, kv.value) {
                        self.send(watch::Event::InitApply(item))?;
                    }
                }
                self.send(watch::Event::InitDone)?;
                Position {
                    cluster: listing.cluster,
                    revision: listing.revision,
                }
            }
        };
        let mut follower = Follower::new(self.client.clone(), self.range.clone(), start);
        loop {
            match follower.next().await {
                Report::Events(events) => self.pass_on(events)?,
                Report::Trouble(error) => self.interrupt(error)?,
                Report::Restored => self.restore()?,
                Report::Lost(error) => return self.wait(error).await,
            }
        }
    }

    fn pass_on(&mut self, events: Vec<Event>) -> Result<(), Unheard> {
        self.attempts.succeeded();
        for event in events {
            let deleted = event.r#type() == EventType::Delete;
            let kv = event.kv.unwrap_or_default();
            let Some(item) = item(kv.key, kv.value) else {
                continue;
            };
            self.send(match deleted {
                true => watch::Event::Delete(item.key),
                false => watch::Event::Apply(item),
            })?;
        }
        Ok(())
    }

    /// A loss is no interruption: the list follows in a moment. The pause keeps an etcd that always says "lost" from being flooded.
    async fn wait(&mut self, error: Error) -> Result<(), Unheard> {
        if !matches!(error, Error::Compacted { .. }) {
            self.interrupt(error)?;
        }
        tokio::time::sleep(self.attempts.failed()).await;
        Ok(())
    }

    fn interrupt(&mut self, error: Error) -> Result<(), Unheard> {
        if std::mem::replace(&mut self.interrupted, true) {
            return Ok(());
        }
        let interrupted = Mirrored::Interrupted { error };
        self.to.send(interrupted).map_err(|_| Unheard)
    }

    fn restore(&mut self) -> Result<(), Unheard> {
        match std::mem::take(&mut self.interrupted) {
            true => {
                self.attempts.succeeded();
                self.to.send(Mirrored::Restored).map_err(|_| Unheard)
            }
            false => Ok(()),
        }
    }

    fn send(&self, event: watch::Event<Item>) -> Result<(), Unheard> {
        self.to.send(Mirrored::Event(event)).map_err(|_| Unheard)
    }
}

fn item(key: Vec<u8>, value: Vec<u8>) -> Option<Item> {
    Some(Item {
        key: String::from_utf8(key).ok()?,
        value: value.into(),
    })
}
