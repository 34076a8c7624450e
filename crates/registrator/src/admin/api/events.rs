//! What is told from now on, as server-sent events. Who is too slow misses some, and is told so: nothing is kept for anybody.

use super::Body;
use crate::admin::feed::{After, Feed};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use registrator_core::tell::printable::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How many may follow at once.
const STREAMS: usize = 16;

/// After how long a stream says that it is still there, so that a browser notices a lost one.
const STILL_THERE: Duration = Duration::from_secs(15);

/// One who follows.
pub(super) struct Events {
    feed: Feed,
    news: watch::Receiver<u64>,
    /// The last line that was sent.
    last: u64,
    /// What is sent first.
    greeting: Option<String>,
    _place: StreamPlace,
}

/// A place among those who follow.
struct StreamPlace(Arc<AtomicUsize>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Events {
    /// Follows from the line behind `after` on, or from now on. `None` if too many do.
    pub(super) fn begin(
        feed: &Feed,
        after: Option<u64>,
        streams: &Arc<AtomicUsize>,
    ) -> Option<Events> {
        let place = StreamPlace(Arc::clone(streams));
        if streams.fetch_add(1, Ordering::Relaxed) >= STREAMS {
            return None;
        }
        Some(Events {
            news: feed.follow(),
            last: after.unwrap_or_else(|| feed.last()),
            feed: feed.clone(),
            greeting: Some("retry: 1000\n\n".to_owned()),
            _place: place,
        })
    }

    pub(super) fn into_body(self) -> Body {
        let frames = stream::unfold(self, async |mut events| {
            let text = events.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), events))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// What is sent next; `None` at the end of the program.
    async fn next(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            self.news.mark_unchanged();
            match self.feed.after(self.last) {
                After::TooOld => {
                    self.last = self.feed.last();
                    return Some(format!("id: {}\nevent: reset\ndata: {{}}\n\n", self.last));
                }
                After::Lines(lines) if !lines.is_empty() => {
                    self.last = lines.last().map_or(self.last, |line| line.seq);
                    let events = lines.iter().map(|line| {
                        let line_json = line.to_json().to_string();
                        format!("id: {}\ndata: {}\n\n", line.seq, json(&line_json))
                    });
                    return Some(events.collect());
                }
                After::Lines(_) => {}
            }
            match tokio::time::timeout(STILL_THERE, self.news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(": still there\n\n".to_owned()),
            }
        }
    }
}
