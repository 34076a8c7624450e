//! An answer on its way to a client that may not take it.
//!
//! HTTP/2 lets a client ask a hundred times for everything and take nothing. So a big answer has a bounded time, and then its
//! memory is free, whatever the client does: it goes out in parts that are copies.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::codegen::Bytes;
use tonic::codegen::http::HeaderMap;

use super::turns::{Held, SMALL};

/// An answer on its way to the client.
pub(super) struct Outgoing {
    kept: Arc<Mutex<Option<Kept>>>,
    /// Ends the watch over the time.
    overdue: Option<AbortHandle>,
    trailers: Option<HeaderMap>,
}

/// What is left of it.
struct Kept {
    data: Bytes,
    _turn: Option<Held>,
}

impl Outgoing {
    /// `data` is the whole message; a big one keeps `turn` until it is taken, at most for `patience`.
    pub(super) fn new(
        data: Bytes,
        trailers: Option<HeaderMap>,
        turn: Option<Held>,
        patience: Duration,
    ) -> Self {
        let is_big = data.len() > SMALL;
        let kept = Arc::new(Mutex::new(Some(Kept {
            data,
            _turn: turn.filter(|_| is_big),
        })));
        let overdue = is_big.then(|| {
            let kept = kept.clone();
            let give_up = async move {
                tokio::time::sleep(patience).await;
                *lock(&kept) = None;
            };
            tokio::spawn(give_up).abort_handle()
        });
        Self {
            kept,
            overdue,
            trailers,
        }
    }

    /// The next part.
    fn next_part(&self) -> Option<Result<Bytes, Status>> {
        let mut kept = lock(&self.kept);
        let Some(Kept { data, .. }) = kept.as_mut() else {
            let text = "etcd-mem: the answer was not taken in time";
            return Some(Err(Status::deadline_exceeded(text)));
        };
        if data.is_empty() {
            return None;
        }
        if data.len() > SMALL {
            return Some(Ok(Bytes::copy_from_slice(&data.split_to(SMALL))));
        }
        let last = Bytes::copy_from_slice(data);
        *data = Bytes::new();
        Some(Ok(last))
    }
}

fn lock(kept: &Mutex<Option<Kept>>) -> MutexGuard<'_, Option<Kept>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(match self.next_part() {
            Some(part) => Some(part.map(Frame::data)),
            None => self
                .trailers
                .take()
                .map(|trailers| Ok(Frame::trailers(trailers))),
        })
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // At once, not only when the watch over the time has ended.
        *lock(&self.kept) = None;
        if let Some(overdue) = &self.overdue {
            overdue.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::turns::{OfConnection, Turn};
    use super::*;
    use http_body::Body as _;
    use std::future::poll_fn;
    use tokio::sync::Semaphore;
    use tonic::codegen::http::HeaderValue;

    const LONG: Duration = Duration::from_secs(60);

    async fn answer_of(data: &[u8], patience: Duration) -> (Outgoing, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let turn = Turn::new(OfConnection::new(), places.clone());
        turn.take().await;
        let status = HeaderValue::from_static("0");
        let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), status)]);
        let data = Bytes::copy_from_slice(data);
        let answer = Outgoing::new(data, Some(trailers), turn.hand_on(), patience);
        (answer, places)
    }

    async fn next(answer: &mut Outgoing) -> Option<Result<Frame<Bytes>, Status>> {
        poll_fn(|context| Pin::new(&mut *answer).poll_frame(context)).await
    }

    #[tokio::test]
    async fn an_answer_comes_whole_and_in_parts() {
        for length in [1, SMALL, SMALL + 1, 3 * SMALL, 100_000] {
            let whole: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let (mut answer, places) = answer_of(&whole, LONG).await;
            assert_eq!(places.available_permits(), usize::from(length <= SMALL));
            let mut taken = Vec::new();
            let trailers = loop {
                let frame = next(&mut answer)
                    .await
                    .expect("trailers come")
                    .expect("in time");
                match frame.into_data() {
                    Ok(part) => taken.extend(part),
                    Err(frame) => break frame.into_trailers().expect("trailers"),
                }
            };
            assert_eq!(taken, whole);
            assert!(trailers.contains_key("grpc-status"));
            assert!(next(&mut answer).await.is_none());
            drop(answer);
            assert_eq!(places.available_permits(), 1);
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_frees_its_memory_and_its_place() {
        let (mut answer, places) = answer_of(&vec![7; 4 * SMALL], Duration::from_millis(50)).await;
        next(&mut answer).await.expect("a part").expect("in time");
        let free = tokio::time::timeout(LONG, places.acquire()).await;
        drop(free.expect("in time").expect("open"));
        assert!(lock(&answer.kept).is_none(), "though the answer lives");
        let end = next(&mut answer)
            .await
            .expect("an end")
            .expect_err("too late");
        assert_eq!(end.code(), tonic::Code::DeadlineExceeded);
    }
}
