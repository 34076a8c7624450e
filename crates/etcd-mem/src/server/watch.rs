//! The service Watch. One task per stream holds its watches and asks the store for their events whenever the revision
//! has moved. Nothing is queued for a slow client but the few messages of its channel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_api as api;
use etcd_api::watch_request::RequestUnion;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::member::Member;
use super::{convert, status};
use crate::store::{Revision, StoreError, Watch, WatchBatch};

/// Messages that may wait for a client.
const WAITING_MESSAGES: usize = 4;

/// The id that means no watch, or all watches of the stream.
const NO_WATCH: i64 = -1;

/// How many watches all clients together may have.
#[derive(Clone, Debug)]
pub(super) struct Places {
    places: Arc<Semaphore>,
    all: usize,
}

impl Places {
    /// More than there can ever be.
    pub(super) const UNLIMITED: usize = Semaphore::MAX_PERMITS;

    pub(super) fn new(all: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// A place for one watch, until it is dropped; if there is none, why.
    fn take(&self) -> Result<OwnedSemaphorePermit, String> {
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_| {
            format!(
                "etcd-mem: there are {} watches, and no more are allowed at once",
                self.all
            )
        })
    }
}

pub(super) struct WatchService {
    member: Arc<Member>,
    progress_interval: Duration,
    places: Places,
}

impl WatchService {
    pub(super) fn new(member: Arc<Member>, progress_interval: Duration, places: Places) -> Self {
        Self {
            member,
            progress_interval,
            places,
        }
    }
}

type Answer = Result<api::WatchResponse, Status>;

#[tonic::async_trait]
impl api::watch_server::Watch for WatchService {
    type WatchStream = ReceiverStream<Answer>;

    async fn watch(
        &self,
        request: Request<Streaming<api::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (answers, stream) = mpsc::channel(WAITING_MESSAGES);
        let member = self.member.clone();
        let places = self.places.clone();
        let progress = progress_ticks(self.progress_interval);
        tokio::spawn(async move {
            let watches = Watches {
                member: member.clone(),
                answers: answers.clone(),
                places,
                running: BTreeMap::new(),
                next_id: 0,
            };
            // It ends with an error when the client has gone; there is nobody to tell then.
            let telling = async move { drop(watches.run(request.into_inner(), progress).await) };
            member.until_stopped(answers, telling).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

fn progress_ticks(period: Duration) -> Interval {
    // An interval panics on zero; nobody can mean it.
    let period = period.max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What a watch has to tell: a batch, and whether it may be sent in fragments; or why it ends.
type News = (i64, Result<(WatchBatch, bool), StoreError>);

/// The client has gone.
struct Gone;

/// The watches of one stream.
struct Watches {
    member: Arc<Member>,
    answers: mpsc::Sender<Answer>,
    places: Places,
    running: BTreeMap<i64, Running>,
    next_id: i64,
}

struct Running {
    watch: Watch,
    fragment: bool,
    progress_notify: bool,
    /// Nothing was sent since the last tick.
    quiet: bool,
    _place: OwnedSemaphorePermit,
}

impl Watches {
    async fn run(
        mut self,
        mut requests: Streaming<api::WatchRequest>,
        mut progress: Interval,
    ) -> Result<(), Gone> {
        let mut revisions = self.member.revisions();
        loop {
            // Marked as seen before telling, so that a change meanwhile wakes again.
            revisions.mark_unchanged();
            self.tell_all().await?;
            let wants_progress = self.running.values().any(|running| running.progress_notify);
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.handle(request).await?,
                    Ok(None) | Err(_) => return Ok(()),
                },
                _ = revisions.changed() => {}
                _ = progress.tick(), if wants_progress => self.notify_progress().await?,
                () = self.answers.closed() => return Err(Gone),
            }
        }
    }

    async fn handle(&mut self, request: api::WatchRequest) -> Result<(), Gone> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request).await,
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => self.answer_progress().await,
            // etcd ignores messages that it does not know.
            None => Ok(()),
        }
    }

    async fn create(&mut self, request: api::WatchCreateRequest) -> Result<(), Gone> {
        let (fragment, progress_notify) = (request.fragment, request.progress_notify);
        let wished_id = request.watch_id;
        let (watch, revision) = self
            .member
            .apply(|store, _| store.watch(convert::watch(request)));
        let watch = match watch {
            Err(error @ StoreError::EmptyWatchRange) => {
                return self.refuse(error.to_string(), revision).await;
            }
            watch => watch,
        };
        let place = match self.places.take() {
            Ok(place) => place,
            Err(reason) => return self.refuse(reason, revision).await,
        };
        let Ok(id) = self.choose_id(wished_id) else {
            let reason = StoreError::DuplicateWatchId.to_string();
            return self.refuse(reason, revision).await;
        };
        self.send(api::WatchResponse {
            watch_id: id,
            created: true,
            ..self.answer(revision)
        })
        .await?;
        match watch {
            Ok(watch) => {
                self.running.insert(
                    id,
                    Running {
                        watch,
                        fragment,
                        progress_notify,
                        quiet: true,
                        _place: place,
                    },
                );
                Ok(())
            }
            Err(error) => self.end(id, &error).await,
        }
    }

    /// Ids count up from 0 in each stream, over those that the client chose.
    fn choose_id(&mut self, wished: i64) -> Result<i64, StoreError> {
        if wished != 0 {
            return if self.running.contains_key(&wished) {
                Err(StoreError::DuplicateWatchId)
            } else {
                Ok(wished)
            };
        }
        while self.running.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        let id = self.next_id;
        self.next_id += 1;
        Ok(id)
    }

    async fn refuse(&mut self, reason: String, revision: Revision) -> Result<(), Gone> {
        let refusal = api::WatchResponse {
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason: reason,
            ..self.answer(revision)
        };
        self.send(refusal).await
    }

    async fn cancel(&mut self, id: i64) -> Result<(), Gone> {
        if self.running.remove(&id).is_none() {
            return Ok(());
        }
        let revision = self.member.read(crate::Store::revision);
        self.send(api::WatchResponse {
            watch_id: id,
            canceled: true,
            ..self.answer(revision)
        })
        .await
    }

    /// Ends a watch whose events are forgotten. etcd gives no reason but the revision.
    async fn end(&mut self, id: i64, error: &StoreError) -> Result<(), Gone> {
        self.running.remove(&id);
        let compact_revision = if let StoreError::Compacted { oldest } = error {
            *oldest
        } else {
            0
        };
        let cancel_reason = if compact_revision == 0 {
            error.to_string()
        } else {
            String::new()
        };
        let revision = self.member.read(crate::Store::revision);
        let end = api::WatchResponse {
            watch_id: id,
            canceled: true,
            compact_revision,
            cancel_reason,
            ..self.answer(revision)
        };
        self.send(end).await
    }

    /// Tells every watch all that is new. The watches take turns, so one with a long history does not hold up others.
    async fn tell_all(&mut self) -> Result<(), Gone> {
        let mut ids: Vec<i64> = self.running.keys().copied().collect();
        while !ids.is_empty() {
            let mut unfinished = Vec::new();
            let mut rest = ids.into_iter();
            while let Some((id, found)) = self.next_news(&mut rest) {
                match found {
                    Ok((batch, fragment)) => {
                        self.send_batch(id, batch, fragment).await?;
                        unfinished.push(id);
                    }
                    Err(error) => self.end(id, &error).await?,
                }
            }
            ids = unfinished;
        }
        Ok(())
    }

    /// The first of some watches that has something to tell, and a batch of it. Most have nothing to tell of most changes, so the store is
    /// locked once for all of these.
    fn next_news(&mut self, ids: &mut impl Iterator<Item = i64>) -> Option<News> {
        let running = &mut self.running;
        self.member.read(|store| {
            ids.find_map(|id| {
                let running = running.get_mut(&id)?;
                let found = store.poll(&mut running.watch).transpose()?;
                running.quiet &= found.is_err();
                Some((id, found.map(|batch| (batch, running.fragment))))
            })
        })
    }

    async fn send_batch(&self, id: i64, batch: WatchBatch, fragment: bool) -> Result<(), Gone> {
        let events = batch.events.into_iter().map(convert::event).collect();
        let mut parts = if fragment {
            split(events)
        } else {
            vec![events]
        }
        .into_iter()
        .peekable();
        while let Some(events) = parts.next() {
            let fragment = parts.peek().is_some();
            self.send(api::WatchResponse {
                watch_id: id,
                fragment,
                events,
                ..self.answer(batch.revision)
            })
            .await?;
        }
        Ok(())
    }

    /// Everything up to the revision in the answer has been sent before, to all watches of the stream.
    async fn answer_progress(&mut self) -> Result<(), Gone> {
        let revision = self.member.read(crate::Store::revision);
        self.tell_all().await?;
        self.send(api::WatchResponse {
            watch_id: NO_WATCH,
            ..self.answer(revision)
        })
        .await
    }

    async fn notify_progress(&mut self) -> Result<(), Gone> {
        let wanted = self
            .running
            .iter()
            .filter(|(_, running)| running.progress_notify && running.quiet);
        // A watch that begins in the future has told more than there is.
        let present = self.member.read(crate::Store::revision);
        let due: Vec<(i64, Revision)> = wanted
            .map(|(id, running)| (*id, running.watch.told().min(present)))
            .collect();
        for (watch_id, revision) in due {
            self.send(api::WatchResponse {
                watch_id,
                ..self.answer(revision)
            })
            .await?;
        }
        self.running
            .values_mut()
            .for_each(|running| running.quiet = true);
        Ok(())
    }

    fn answer(&self, revision: Revision) -> api::WatchResponse {
        api::WatchResponse {
            header: self.member.header(revision),
            ..api::WatchResponse::default()
        }
    }

    async fn send(&self, answer: api::WatchResponse) -> Result<(), Gone> {
        self.answers.send(Ok(answer)).await.map_err(|_| Gone)
    }
}

/// Splits events into parts that stay below the biggest message, if each event alone does.
fn split(events: Vec<api::Event>) -> Vec<Vec<api::Event>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.encoded_len();
        if bytes + size > status::MAX_MESSAGE_BYTES && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(event);
    }
    parts.push(part);
    parts
}
