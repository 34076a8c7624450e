//! A policy's configurations in etcd: what is there, then each change, for as long as somebody listens.

use super::BACKOFF;
use super::client::{EtcdClient, WatchStream};
use super::error::Error;
use super::reading::{KeyListing, KeyRange};
use crate::attempts::Attempts;
use etcd_api::{Event, KeyValue, WatchCreateRequest, event::EventType};
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::PolicyName;
use registrator_core::observe::watch;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

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
/// It survives whatever happens to etcd: each time it reaches etcd it lists anew. An interruption changes nothing.
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
    ///
    /// A watch that has broken is not resumed: an etcd that comes back may have lost its data, or have older ones, and neither its
    /// revision nor the cluster's id tells, if others were there first.
    async fn list_and_follow(&mut self) -> Result<(), Unheard> {
        let (watch, listing) = match self.watch_and_list().await {
            Ok(begun) => begun,
            Err(error) => return self.wait(error).await,
        };
        let opened = Instant::now();
        let revision = listing.revision;
        self.restore()?;
        self.pass_on_list(listing)?;
        self.follow(watch, revision).await?;
        if opened.elapsed() > BACKOFF.longest {
            self.attempts.succeeded();
        }
        tokio::time::sleep(self.attempts.failed()).await;
        Ok(())
    }

    /// The watch comes first: what changes during the list waits in it, and if etcd loses its data behind the list the watch breaks.
    async fn watch_and_list(&self) -> Result<(WatchStream, KeyListing), Error> {
        let range = self.configs.range();
        let create = WatchCreateRequest {
            key: range.key.clone(),
            range_end: range.end.clone(),
            fragment: true,
            ..WatchCreateRequest::default()
        };
        let (watch, created) = self.client.watch(create).await?;
        let listing = self.client.list(&range, 0).await?;
        let began = created.header.unwrap_or_default();
        if listing.cluster != began.cluster_id || listing.revision < began.revision {
            // The two answers tell of different data.
            return Err(Error::Compacted {
                endpoint: self.client.endpoint(),
                revision: began.revision,
            });
        }
        Ok((watch, listing))
    }

    /// Passes on what comes after `revision`, until the watch breaks.
    async fn follow(&mut self, mut watch: WatchStream, revision: i64) -> Result<(), Unheard> {
        while let Ok(answer) = watch.next(revision).await {
            for event in answer.events {
                let changed = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
                if changed > revision {
                    self.attempts.succeeded();
                    self.pass_on(event)?;
                }
            }
        }
        Ok(())
    }

    fn pass_on_list(&self, listing: KeyListing) -> Result<(), Unheard> {
        self.send(watch::SourceEvent::Init)?;
        for kv in listing.kvs {
            if let Some(config) = self.configs.config(kv) {
                self.send(watch::SourceEvent::InitApply(config))?;
            }
        }
        self.send(watch::SourceEvent::InitDone)
    }

    fn pass_on(&self, event: Event) -> Result<(), Unheard> {
        match self.configs.event(event) {
            Some(event) => self.send(event),
            None => Ok(()),
        }
    }

    /// Data that changed between two answers are no interruption: the list follows in a moment. The pause keeps an etcd that always
    /// fails from being flooded.
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
        self.report(ConfigUpdate::Restored(self.configs.policy.clone()))
    }

    fn send(&self, event: watch::SourceEvent<RawConfig>) -> Result<(), Unheard> {
        self.report(ConfigUpdate::Event(self.configs.policy.clone(), event))
    }

    fn report(&self, update: ConfigUpdate) -> Result<(), Unheard> {
        self.to.send(update).map_err(|_| Unheard)
    }
}
