//! A policy's configurations in etcd: what is there, then each change, for as long as somebody listens.

use super::BACKOFF;
use super::client::{EtcdClient, WatchStream};
use super::error::Error;
use super::reading::{KeyListing, KeyRange};
use crate::attempts::Attempts;
use etcd_api::{Event, KeyValue, WatchCreateRequest, WatchResponse, event::EventType};
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
    let beside = configs.read_root(client).await;
    let listing = client.list(&configs.range(), 0).await?;
    let found = beside.into_iter().chain(listing.kvs);
    Ok(found.filter_map(|kv| configs.config(kv)).collect())
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

    /// The key where somebody may put a configuration who takes the policy's path for a key. Who may read what is below need not have
    /// the right to read this one.
    fn root(&self) -> KeyRange {
        KeyRange::exact(&self.path.root())
    }

    async fn read_root(&self, client: &EtcdClient) -> Option<KeyValue> {
        client.get(&self.path.root()).await.ok().flatten()
    }

    /// The configuration that a key holds, if its name fits the path; without a name if it only looks like one.
    fn config(&self, kv: KeyValue) -> Option<RawConfig> {
        let text = String::from_utf8(kv.key);
        let name = text
            .as_ref()
            .ok()
            .and_then(|key| self.path.config_name(key));
        let key = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into());
        if name.is_none() && !self.path.resembles(&key) {
            return None;
        }
        Some(RawConfig {
            policy: self.policy.clone(),
            name,
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

/// What a source has before it follows.
struct Begun {
    watch: WatchStream,
    /// `None` if etcd does not permit it.
    root_watch: Option<WatchStream>,
    listing: KeyListing,
    beside: Option<KeyValue>,
}

/// The next answer of a watch, if there is one.
async fn next_of(
    watch: Option<&mut WatchStream>,
    revision: i64,
) -> Option<Result<WatchResponse, Error>> {
    Some(watch?.next(revision).await)
}

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
        let begun = match self.watch_and_list().await {
            Ok(begun) => begun,
            Err(error) => return self.wait(error).await,
        };
        let opened = Instant::now();
        self.restore()?;
        self.pass_on_list(begun.beside, begun.listing.kvs)?;
        let watches = (begun.watch, begun.root_watch);
        self.follow(watches, begun.listing.revision).await?;
        if opened.elapsed() > BACKOFF.longest {
            self.attempts.succeeded();
        }
        tokio::time::sleep(self.attempts.failed()).await;
        Ok(())
    }

    /// The watches come first: what changes during the list waits in them, and if etcd loses its data behind the list the watch breaks.
    async fn watch_and_list(&self) -> Result<Begun, Error> {
        let (watch, created) = self.watch(self.configs.range()).await?;
        let root_watch = self.watch(self.configs.root()).await.ok();
        let listing = self.client.list(&self.configs.range(), 0).await?;
        let began = created.header.unwrap_or_default();
        if listing.cluster != began.cluster_id || listing.revision < began.revision {
            // The two answers tell of different data.
            return Err(Error::Compacted {
                endpoint: self.client.endpoint(),
                revision: began.revision,
            });
        }
        Ok(Begun {
            watch,
            root_watch: root_watch.map(|(watch, _)| watch),
            beside: self.configs.read_root(&self.client).await,
            listing,
        })
    }

    async fn watch(&self, range: KeyRange) -> Result<(WatchStream, WatchResponse), Error> {
        let create = WatchCreateRequest {
            key: range.key,
            range_end: range.end,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        self.client.watch(create).await
    }

    /// Passes on what comes after `revision`, until the watch of the configurations breaks.
    async fn follow(
        &mut self,
        (mut watch, mut root_watch): (WatchStream, Option<WatchStream>),
        revision: i64,
    ) -> Result<(), Unheard> {
        loop {
            let answer = tokio::select! {
                answer = watch.next(revision) => match answer {
                    Ok(answer) => answer,
                    Err(_) => return Ok(()),
                },
                Some(answer) = next_of(root_watch.as_mut(), revision) => match answer {
                    Ok(answer) => answer,
                    Err(_) => {
                        root_watch = None;
                        continue;
                    }
                },
            };
            for event in answer.events {
                let changed = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
                if changed > revision {
                    self.attempts.succeeded();
                    self.pass_on(event)?;
                }
            }
        }
    }

    fn pass_on_list(&self, beside: Option<KeyValue>, kvs: Vec<KeyValue>) -> Result<(), Unheard> {
        self.send(watch::SourceEvent::Init)?;
        for kv in beside.into_iter().chain(kvs) {
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
