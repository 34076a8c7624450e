//! A policy's configurations in etcd: what is there, then each change, for as long as somebody listens.

use super::BACKOFF;
use super::client::EtcdClient;
use super::error::Error;
use super::reading::KeyRange;
use super::watch::{Position, RangeFollower, Report};
use crate::attempts::Attempts;
use etcd_api::{Event, KeyValue, event::EventType};
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::PolicyName;
use registrator_core::observe::watch;
use tokio::sync::mpsc::UnboundedSender;

/// What is reported of a policy's configurations in etcd.
#[derive(Debug)]
pub enum ConfigUpdate {
    /// For the core.
    Event(PolicyName, watch::SourceEvent<RawConfig>),
    /// etcd cannot be read now; what was read stays. Sent once for each interruption.
    Interrupted(PolicyName, Error),
    /// The interruption is over.
    Restored(PolicyName),
}

/// Reports the keys that match `path`, until the receiver is gone.
///
/// It survives whatever happens to etcd: after a compaction or a loss it lists again. An interruption changes nothing.
pub async fn follow_configs(
    client: EtcdClient,
    policy: PolicyName,
    path: EtcdPath,
    to: UnboundedSender<ConfigUpdate>,
) {
    let listener = to.clone();
    let mut source = Source {
        client,
        configs: Configs { policy, path },
        to,
        interrupted: false,
        attempts: Attempts::new(BACKOFF),
    };
    tokio::select! {
        () = listener.closed() => {}
        Unheard = source.run() => {}
    }
}

/// Reads the configurations of `policy` at `path`, once.
///
/// # Errors
/// Any.
pub async fn list_configs(
    client: &EtcdClient,
    policy: PolicyName,
    path: EtcdPath,
) -> Result<Vec<RawConfig>, Error> {
    let configs = Configs { policy, path };
    let listing = client.list(&configs.range(), 0).await?;
    Ok(listing
        .kvs
        .into_iter()
        .filter_map(|kv| configs.config(kv))
        .collect())
}

/// Which keys are configurations, and whose.
struct Configs {
    policy: PolicyName,
    path: EtcdPath,
}

impl Configs {
    /// All keys that may match the path.
    fn range(&self) -> KeyRange {
        KeyRange::prefix(&self.path.prefix())
    }

    /// The configuration that a key holds, if its name fits the path.
    fn config(&self, kv: KeyValue) -> Option<RawConfig> {
        let key = String::from_utf8(kv.key).ok()?;
        Some(RawConfig {
            policy: self.policy.clone(),
            name: Some(self.path.config_name(&key)?),
            source: ConfigSource::Etcd(key),
            bytes: kv.value,
        })
    }

    fn event(&self, event: Event) -> Option<watch::SourceEvent<RawConfig>> {
        let deleted = event.r#type() == EventType::Delete;
        let config = self.config(event.kv?)?;
        Some(if deleted {
            watch::SourceEvent::Delete((config.policy, config.source))
        } else {
            watch::SourceEvent::Apply(config)
        })
    }
}

/// Nobody listens any more.
struct Unheard;

struct Source {
    client: EtcdClient,
    configs: Configs,
    to: UnboundedSender<ConfigUpdate>,
    interrupted: bool,
    attempts: Attempts,
}

impl Source {
    async fn run(&mut self) -> Unheard {
        loop {
            if let Err(unheard) = self.list_and_follow().await {
                return unheard;
            }
        }
    }

    /// Ends with `Ok` when a new list is needed.
    async fn list_and_follow(&mut self) -> Result<(), Unheard> {
        let range = self.configs.range();
        let start = match self.client.list(&range, 0).await {
            Err(error) => return self.wait(error).await,
            Ok(listing) => {
                self.restore()?;
                self.send(watch::SourceEvent::Init)?;
                for kv in listing.kvs {
                    if let Some(config) = self.configs.config(kv) {
                        self.send(watch::SourceEvent::InitApply(config))?;
                    }
                }
                self.send(watch::SourceEvent::InitDone)?;
                Position {
                    cluster: listing.cluster,
                    revision: listing.revision,
                }
            }
        };
        let mut follower = RangeFollower::new(self.client.clone(), range, start);
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
            if let Some(event) = self.configs.event(event) {
                self.send(event)?;
            }
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
        if self.interrupted {
            return Ok(());
        }
        self.interrupted = true;
        self.report(ConfigUpdate::Interrupted(
            self.configs.policy.clone(),
            error,
        ))
    }

    fn restore(&mut self) -> Result<(), Unheard> {
        if !self.interrupted {
            return Ok(());
        }
        self.interrupted = false;
        self.attempts.succeeded();
        self.report(ConfigUpdate::Restored(self.configs.policy.clone()))
    }

    fn send(&self, event: watch::SourceEvent<RawConfig>) -> Result<(), Unheard> {
        self.report(ConfigUpdate::Event(self.configs.policy.clone(), event))
    }

    fn report(&self, update: ConfigUpdate) -> Result<(), Unheard> {
        self.to.send(update).map_err(|_| Unheard)
    }
}
