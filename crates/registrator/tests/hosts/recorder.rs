//! Records every change of every key of a cluster, in order and without a gap, whatever happens to its members.

use crate::cluster::revision_at;
use crate::history::{Change, History, State};
use crate::program::DEADLINE;
use etcd_api::watch_client::WatchClient;
use etcd_api::watch_request::RequestUnion;
use etcd_api::{
    Event, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, event::EventType,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

/// A member that was silent for so long although it was asked is given up.
const SILENCE: Duration = Duration::from_secs(2);
/// How often a member is asked whether it is there.
const ASK: Duration = Duration::from_millis(500);

/// A watch of all keys from the first revision until it is dropped.
pub(crate) struct Recorder {
    urls: Vec<String>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    grown: Condvar,
    /// The member in use lags behind.
    move_on: tokio::sync::Notify,
    ended: tokio::sync::Notify,
}

#[derive(Default)]
struct Seen {
    changes: Vec<Change>,
    state: State,
    /// The keys that the last revision deleted.
    deleted: Vec<String>,
    /// Revisions that deleted a key although somebody claimed it still.
    gaps: Vec<(i64, String)>,
    /// A revision that came out of order.
    missed: Option<String>,
}

impl Recorder {
    /// Begins with the first revision that there ever was.
    pub(crate) fn start(urls: Vec<String>) -> Recorder {
        let shared = Arc::new(Shared::default());
        let (followed, at) = (shared.clone(), urls.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = follow(&followed, &at) => {}
                    () = followed.ended.notified() => {}
                }
            });
        });
        Recorder { urls, shared }
    }

    /// Waits until everything was heard of that has happened; the revision.
    #[track_caller]
    pub(crate) fn catch_up(&self) -> i64 {
        let mut urls = self.urls.iter().cycle();
        let deadline = Instant::now() + DEADLINE;
        let revision = loop {
            if let Some(revision) = urls.next().and_then(|url| revision_at(url)) {
                break revision;
            }
            assert!(Instant::now() < deadline, "no member of etcd answers");
        };
        loop {
            let reached = |seen: &Seen| seen.last() >= revision;
            if self
                .until(SILENCE, |seen| reached(seen).then_some(()))
                .is_some()
            {
                return revision;
            }
            assert!(
                Instant::now() < deadline,
                "revision {revision} is never told"
            );
            self.shared.move_on.notify_one();
        }
    }

    /// What happened after a revision, up to now.
    #[track_caller]
    pub(crate) fn since(&self, revision: i64) -> History {
        self.catch_up();
        let seen = self.seen();
        let later = seen
            .changes
            .iter()
            .filter(|change| change.revision > revision);
        History(later.cloned().collect())
    }

    /// The deletions after a revision of keys that somebody claimed: revisions and keys.
    pub(crate) fn gaps_since(&self, revision: i64) -> Vec<(i64, String)> {
        let gaps = self.seen().gaps.clone().into_iter();
        gaps.filter(|(at, _)| *at > revision).collect()
    }

    /// What etcd holds, as far as was heard.
    pub(crate) fn state(&self) -> State {
        self.seen().state.clone()
    }

    /// Waits until what etcd holds fulfils a condition; `None` when the time is up.
    pub(crate) fn wait<T>(
        &self,
        time: Duration,
        mut is: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        self.until(time, |seen| is(&seen.state))
    }

    /// Watches that nothing at all is written for this time; what was written instead.
    #[track_caller]
    pub(crate) fn observe(&self, time: Duration) -> History {
        let before = self.catch_up();
        self.until(time, |seen| (seen.last() > before).then_some(()));
        self.since(before)
    }

    fn until<T>(&self, time: Duration, mut is: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + time;
        let mut seen = self.seen();
        loop {
            assert_eq!(seen.missed, None, "changes were missed");
            if let Some(found) = is(&seen) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.shared.grown.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.ended.notify_one();
    }
}

impl Seen {
    /// The first revision is 1 and has no change.
    fn last(&self) -> i64 {
        self.changes.last().map_or(1, |change| change.revision)
    }

    /// Takes in whole revisions.
    fn take(&mut self, events: Vec<Event>, at: Instant) {
        for event in events {
            let change = change(event, at);
            if change.revision > self.last() {
                self.end_revision();
            }
            if !(self.last()..=self.last() + 1).contains(&change.revision) {
                self.missed = Some(format!("{} after {}", change.revision, self.last()));
            }
            if change.value.is_none() {
                self.deleted.push(change.key.clone());
            }
            self.state.apply(&change);
            self.changes.push(change);
        }
        self.end_revision();
    }

    /// A claim is the wish of a registrator whose lease lives: the key must not go before it.
    fn end_revision(&mut self) {
        let deleted = std::mem::take(&mut self.deleted);
        if deleted.is_empty() {
            return;
        }
        let claimed: BTreeSet<String> = self
            .state
            .claims()
            .into_iter()
            .map(|(key, ..)| key)
            .collect();
        let gone = deleted.into_iter().filter(|key| claimed.contains(key));
        let revision = self.last();
        self.gaps.extend(gone.map(|key| (revision, key)));
    }
}

fn change(event: Event, at: Instant) -> Change {
    let deleted = event.r#type() == EventType::Delete;
    let kv = event.kv.unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Change {
        at,
        revision: kv.mod_revision,
        key: text(kv.key),
        value: (!deleted).then(|| text(kv.value)),
        lease: kv.lease,
    }
}

/// Goes from member to member. Where it broke off it goes on with the next revision: an answer that is not fragmented has
/// whole revisions.
async fn follow(shared: &Shared, urls: &[String]) {
    for url in urls.iter().cycle() {
        let next = shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            + 1;
        tokio::select! {
            _ = follow_at(shared, url, next) => {}
            () = shared.move_on.notified() => {}
        }
        tokio::task::yield_now().await;
    }
}

async fn follow_at(shared: &Shared, url: &str, next: i64) -> Option<()> {
    let endpoint = Endpoint::new(url.to_owned()).ok()?.connect_timeout(SILENCE);
    let channel = endpoint.connect().await.ok()?;
    let mut client = WatchClient::new(channel).max_decoding_message_size(64 << 20);
    let everything = WatchCreateRequest {
        key: vec![0],
        range_end: vec![0],
        start_revision: next,
        ..WatchCreateRequest::default()
    };
    let (requests, outgoing) = tokio::sync::mpsc::channel(4);
    send(&requests, RequestUnion::CreateRequest(everything)).await?;
    let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
    request
        .metadata_mut()
        .insert("hasleader", "true".parse().ok()?);
    let answers = timeout(SILENCE, client.watch(request)).await.ok()?.ok()?;
    let (mut answers, mut heard) = (answers.into_inner(), Instant::now());
    loop {
        let Ok(answer) = timeout(ASK, answers.message()).await else {
            if heard.elapsed() > SILENCE {
                return None;
            }
            let ask = RequestUnion::ProgressRequest(WatchProgressRequest {});
            send(&requests, ask).await?;
            continue;
        };
        heard = Instant::now();
        take(shared, answer.ok()??)?;
    }
}

async fn send(requests: &Sender<WatchRequest>, request: RequestUnion) -> Option<()> {
    let request = WatchRequest {
        request_union: Some(request),
    };
    requests.send(request).await.ok()
}

fn take(shared: &Shared, answer: WatchResponse) -> Option<()> {
    if answer.canceled {
        return None;
    }
    let at = Instant::now();
    let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.take(answer.events, at);
    shared.grown.notify_all();
    Some(())
}
