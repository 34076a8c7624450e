//! Following a range of keys: a watch that survives broken streams, and says when it cannot.

use super::BACKOFF;
use super::client::{EtcdClient, WatchStream};
use super::error::Error;
use super::reading::KeyRange;
use crate::attempts::Attempts;
use etcd_api::{Event, WatchCreateRequest};
use std::time::Duration;
use tokio::time::Instant;

/// A point in the history of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The cluster's id.
    pub(super) cluster: u64,
    /// The revision up to which everything is known.
    pub(super) revision: i64,
}

/// What a [`RangeFollower`] reports.
#[derive(Debug)]
pub(super) enum Report {
    /// Changes, in the order of their revisions. After a break the last revision comes again.
    Events(Vec<Event>),
    /// The watch cannot be had; the follower tries again.
    Trouble(Error),
    /// The watch is there again after a break. What answers may have older data than before, though its revision and its cluster's
    /// id do not tell.
    Restored,
    /// The changes since the last ones are lost: all must be read anew.
    Lost,
}

/// Follows one range from a position on.
///
/// After a break it goes on with the last revision that it has seen, not with the one behind: a lease's end puts any
/// number of changes into one revision, and a message may hold only a part of them.
#[derive(Debug)]
pub(super) struct RangeFollower {
    client: EtcdClient,
    range: KeyRange,
    cluster: u64,
    /// The revision to go on with.
    next: i64,
    stream: Option<(WatchStream, Instant)>,
    attempts: Attempts,
    pause: Duration,
    broken: bool,
}

impl RangeFollower {
    /// Follows `range` from behind `start`.
    pub(super) fn new(client: EtcdClient, range: KeyRange, start: Position) -> RangeFollower {
        RangeFollower {
            client,
            range,
            cluster: start.cluster,
            next: start.revision + 1,
            stream: None,
            attempts: Attempts::new(BACKOFF),
            pause: Duration::ZERO,
            broken: false,
        }
    }

    /// Waits for the next report. After [`Report::Lost`] there is no point in asking again.
    pub(super) async fn next(&mut self) -> Report {
        loop {
            let Some((stream, opened)) = &mut self.stream else {
                match self.open().await {
                    Ok(stream) => self.stream = Some((stream, Instant::now())),
                    Err(error) => return self.fail(error),
                }
                if std::mem::take(&mut self.broken) {
                    return Report::Restored;
                }
                continue;
            };
            match stream.next(self.next).await {
                Ok(answer) if answer.events.is_empty() => {}
                Ok(answer) => return self.take(answer.events),
                Err(Error::Compacted { .. }) => return Report::Lost,
                Err(_) => {
                    if opened.elapsed() > BACKOFF.longest {
                        self.attempts.succeeded();
                    }
                    self.stream = None;
                    self.broken = true;
                    self.pause = self.attempts.failed();
                }
            }
        }
    }

    fn take(&mut self, events: Vec<Event>) -> Report {
        self.attempts.succeeded();
        let revisions = events.iter().filter_map(|event| event.kv.as_ref());
        if let Some(last) = revisions.map(|kv| kv.mod_revision).max() {
            self.next = self.next.max(last);
        }
        Report::Events(events)
    }

    fn fail(&mut self, error: Error) -> Report {
        if matches!(error, Error::Compacted { .. }) {
            return Report::Lost;
        }
        self.broken = true;
        self.pause = self.attempts.failed();
        Report::Trouble(error)
    }

    async fn open(&mut self) -> Result<WatchStream, Error> {
        tokio::time::sleep(std::mem::take(&mut self.pause)).await;
        let create = WatchCreateRequest {
            key: self.range.key.clone(),
            range_end: self.range.end.clone(),
            start_revision: self.next,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        let (stream, created) = self.client.watch(create).await?;
        let header = created.header.unwrap_or_default();
        if header.cluster_id != self.cluster
            || (header.revision + 1 < self.next && self.went_back().await?)
        {
            return Err(self.lost());
        }
        Ok(stream)
    }

    /// A watch from a revision that is still to come waits without a word. Either its member lags behind, or etcd was
    /// set up anew: a reading that all members agree on tells.
    async fn went_back(&self) -> Result<bool, Error> {
        let mut request = self.range.request(0);
        request.count_only = true;
        let answer = self.client.range(request).await?;
        Ok(answer.header.unwrap_or_default().revision + 1 < self.next)
    }

    fn lost(&self) -> Error {
        Error::Compacted {
            endpoint: self.client.endpoint(),
            revision: self.next,
        }
    }
}
