//! Follows the containers of a Docker daemon for as long as somebody listens.
//!
//! One session is one event stream: it is opened first, then all containers are listed and inspected, then events say what to
//! inspect again. Events are hints, inspect is the truth, but for two things. A container that was asked to stop is reported as `stopping` until
//! it does, a state that Docker does not know. One whose process has ended is reported as ended before Docker answers an inspect.
//! Whatever ends a session, the next one begins with a complete list; between two sessions nothing changes, least of all is anything deleted.

mod inspections;
mod outbox;
mod session;
mod stopping;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use registrator_core::backoff::Backoff;
use registrator_core::observe::container::{Container, ContainerId};
use registrator_core::observe::watch::SourceEvent;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use outbox::Outbox;
use session::Session;
use stopping::Stopping;

use super::api_version::ApiVersion;
use super::client::DockerClient;
use super::error::Error;
use crate::attempts::Attempts;
use crate::docker::engine_id;
use crate::error_chain::error_chain;

/// A daemon that is asked again after its stream broke off, and answers within this time, was not away for long enough to be missed.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// How many different reasons of one outage are reported. Enough for "refused, then not found, then denied".
const REASONS_PER_OUTAGE: usize = 8;

/// How many documents are left as they were read: as many as a policy is handed evaluations ahead.
const UNPACKED: usize = 16;

/// What the watch reports. Trouble is reported when it begins and when it changes, not at each attempt.
#[derive(Debug)]
pub enum DockerUpdate {
    /// The daemon answers, and a complete list follows.
    Connected {
        /// The API version in use.
        api_version: ApiVersion,
        /// The engine's ID, if it tells: another engine knows nothing of the containers before.
        engine: Option<String>,
        /// Only the stream of events was cut: there was no outage.
        after_cut: bool,
    },
    /// The stream of events was cut, and the daemon answered at once when it was asked again: a proxy ends what is idle, or the daemon was
    /// restarted quickly. A complete list follows, so nothing is missed. Reported once, until an outage.
    Cut {
        /// How it ended.
        error: Error,
        /// How long it had been open.
        lasted: Duration,
    },
    /// Docker has not been reached since the start, for this reason; it is tried again until it answers.
    Waiting { error: Error },
    /// Docker was reached and is lost. What was known of its containers stays.
    Lost { error: Error },
    /// What inspect says of containers, even if it is what it said before.
    Container(SourceEvent<Container>),
    /// A container that was not known to run was started, or is in a list that is completed without it: it will be inspected.
    Coming(ContainerId),
    /// Inspect does not know a container, and no event told of its end.
    Vanished(ContainerId),
    /// A container cannot be inspected. What was known of it stays; it is tried again until it succeeds or the container is gone.
    InspectFailed { id: ContainerId, error: Error },
    /// The container of an earlier [`DockerUpdate::InspectFailed`] can be inspected again, or is gone.
    InspectRecovered { id: ContainerId },
}

/// How the watch behaves. The defaults suit any daemon; tests want them shorter.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// Inspects at once while listing. More than 8 to 16 make no daemon faster.
    pub list_inspects: usize,
    /// Inspects at once while following. More, because an inspect of a container that is being started or stopped waits in the
    /// daemon until that is done, and must not hold up the others.
    pub event_inspects: usize,
    /// After this long without a word the daemon is asked whether it is still there. A stopped process and a lost network say
    /// nothing either.
    pub ping_after: Duration,
    /// Pauses between attempts to connect, and between inspects of one container that fail.
    pub backoff: Backoff,
    /// How long a list waits for the inspect of one container. It is completed without it then, because a single container that
    /// hangs must not keep all others from being registered.
    pub list_patience: Duration,
    /// How long after the end of its process a container is inspected, if no other event asks for that before.
    pub ended_rest: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            list_inspects: 8,
            event_inspects: 32,
            ping_after: Duration::from_secs(10),
            backoff: Backoff {
                first: Duration::from_millis(100),
                longest: Duration::from_secs(10),
            },
            list_patience: Duration::from_secs(1),
            ended_rest: Duration::from_secs(1),
        }
    }
}

/// Follows the daemon of `client` until nobody listens to `updates` any more.
///
/// The first complete list may be long in coming: a daemon that is not there is waited for. A slow listener loses nothing:
/// events are read all the time, and what a container did meanwhile comes as its latest state.
pub async fn watch(
    client: DockerClient,
    settings: WatchSettings,
    updates: mpsc::Sender<DockerUpdate>,
) {
    let listener = updates.clone();
    let watcher = Watcher {
        client,
        settings,
        outbox: Outbox::new(updates),
        known: Known::default(),
        link: Link::default(),
    };
    tokio::select! {
        () = listener.closed() => {}
        () = watcher.run() => {}
    }
}

struct Watcher {
    client: DockerClient,
    settings: WatchSettings,
    outbox: Outbox,
    known: Known,
    link: Link,
}

/// What is known of the containers, from one session to the next.
#[derive(Debug, Default)]
struct Known {
    /// What was reported last of each, to be said again where an inspect fails and to be changed where one is asked to stop. The
    /// documents are those that the listener keeps.
    last: BTreeMap<ContainerId, Container>,
    /// The latest ones whose documents may not be packed yet, because they are evaluated soon.
    unpacked: VecDeque<Container>,
    /// Those whose failing inspects were reported.
    failing: BTreeSet<ContainerId>,
    /// Those that were asked to stop.
    stopping: Stopping,
    /// Those whose process has ended, until they are inspected.
    ended: BTreeSet<ContainerId>,
}

impl Known {
    /// Leaves the document of this container as it was read, and packs that of an earlier one.
    fn note_unpacked(&mut self, container: Container) {
        self.unpacked.push_back(container);
        if self.unpacked.len() > UNPACKED
            && let Some(earlier) = self.unpacked.pop_front()
        {
            earlier.pack();
        }
    }
}

/// What was reported of the connection.
#[derive(Debug, Default)]
struct Link {
    /// Since when the daemon is there, that is, was asked first; `None` while it is not.
    up_since: Option<Instant>,
    was_up: bool,
    reasons: BTreeSet<String>,
    /// How the stream broke off, and how long it had been open, until it shows whether that was all.
    cut: Option<(Error, Duration)>,
    told_of_cut: bool,
}

impl Watcher {
    async fn run(mut self) {
        let backoff = self.settings.backoff;
        let mut attempts = Attempts::new(backoff);
        loop {
            let error = self.session().await;
            let settled = |since: Instant| since.elapsed() >= backoff.longest;
            if self.link.up_since.is_some_and(settled) {
                attempts.succeeded();
            }
            self.link.ended(&mut self.outbox, error);
            self.outbox.flush().await;
            sleep(attempts.failed()).await;
        }
    }

    /// Everything from one connect to the next loss.
    async fn session(&mut self) -> Error {
        // Certificates may have been renewed, connections of the pool may hang, the daemon may be another version.
        let asked = Instant::now();
        let connected = async {
            let client = self.client.fresh()?;
            let api_version = client.api_version().await?;
            let engine = engine_id(&client).await.ok();
            let events = client.events().await?;
            Ok((client, api_version, engine, events))
        };
        match connected.await {
            Err(error) => error,
            Ok((client, api_version, engine, events)) => {
                let Self {
                    settings,
                    outbox,
                    known,
                    link,
                    ..
                } = self;
                let session = Session::new(client, events, settings, known, outbox);
                session
                    .run(|outbox| link.up(outbox, asked, api_version, engine))
                    .await
            }
        }
    }
}

impl Link {
    fn up(
        &mut self,
        outbox: &mut Outbox,
        asked: Instant,
        api_version: ApiVersion,
        engine: Option<String>,
    ) {
        let after_cut = match self.cut.take() {
            Some((error, lasted)) if asked.elapsed() < ANSWERS_WITHIN => {
                if !std::mem::replace(&mut self.told_of_cut, true) {
                    outbox.push(DockerUpdate::Cut { error, lasted });
                }
                true
            }
            Some((error, _)) => {
                self.down(outbox, error);
                false
            }
            None => false,
        };
        self.up_since = Some(asked);
        self.was_up = true;
        self.reasons.clear();
        outbox.push(DockerUpdate::Connected {
            api_version,
            engine,
            after_cut,
        });
    }

    /// A session has ended. Whether a stream that broke off is an outage, the next session shows.
    fn ended(&mut self, outbox: &mut Outbox, error: Error) {
        match self.up_since.take() {
            Some(since) if error.is_end_of_answer() => self.cut = Some((error, since.elapsed())),
            _ => {
                if let Some((cut, _)) = self.cut.take() {
                    self.down(outbox, cut);
                }
                self.down(outbox, error);
            }
        }
    }

    /// Reports a loss that is news.
    fn down(&mut self, outbox: &mut Outbox, error: Error) {
        self.told_of_cut = false;
        if self.reasons.len() >= REASONS_PER_OUTAGE || !self.reasons.insert(error_chain(&error)) {
            return;
        }
        outbox.push(match self.was_up {
            true => DockerUpdate::Lost { error },
            false => DockerUpdate::Waiting { error },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn few_documents_are_not_packed() {
        let mut known = Known::default();
        let containers: Vec<Container> = (0..=UNPACKED)
            .map(|number| Container::unpacked(format!(r#"{{"Id":"{number}"}}"#)).unwrap())
            .collect();
        for container in &containers {
            known.note_unpacked(container.clone());
        }
        let is_packed = |it: &Container| !Arc::ptr_eq(&it.document(), &it.document());
        let packed: Vec<_> = containers.iter().map(is_packed).collect();
        assert!(packed[0] && !packed[1..].contains(&true), "{packed:?}");
    }
}
