//! Answers to those who come by the network: a few big ones at a time, and each for a bounded time.
//!
//! HTTP/2 lets a client ask a hundred times for everything and take nothing. So a call waits until it has a place. A small
//! answer gives its place back at once. A big one keeps it until it is taken or the time is up, and then its memory is free,
//! whatever the client does: it goes out in parts that are copies.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as _, Bytes, Service};

use super::explained::Explained;

/// What an answer may have without a place of its own, and the size of the parts in which a bigger one is sent.
const PART: usize = 16 << 10;

/// How much longer a big answer may take than a request.
const ANSWER_PATIENCE: u32 = 2;

/// Calls whose requests and answers are streams; these have limits of their own.
const STREAMS: [&str; 2] = [
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseKeepAlive",
];

/// The routes for those who come by the network.
#[derive(Clone, Debug)]
pub(super) struct Rationed {
    routes: Explained,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Rationed {
    /// Makes so many answers at a time. A request must have come within `patience`, a big answer be taken in twice that time.
    pub(super) fn new(routes: Explained, answers: usize, patience: Duration) -> Self {
        Self {
            routes,
            places: Arc::new(Semaphore::new(answers)),
            patience,
        }
    }
}

impl Service<Request<Body>> for Rationed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.routes.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if STREAMS.contains(&request.uri().path()) {
            return self.routes.call(request);
        }
        let (places, patience) = (self.places.clone(), self.patience);
        let mut routes = self.routes.clone();
        Box::pin(async move {
            // It is never closed.
            let place = places.acquire_owned().await.ok();
            let made = tokio::time::timeout(patience, answer(&mut routes, request)).await;
            let Ok((head, data, trailers)) = made else {
                let text = "etcd-mem: the request did not come in time";
                return Ok(Status::deadline_exceeded(text).into_http());
            };
            if data.is_empty() && trailers.is_none() {
                // A refusal: its head is all there is, and must say so.
                return Ok(head.map(|()| Body::empty()));
            }
            let answer = Answer::new(data, trailers, place, patience * ANSWER_PATIENCE);
            Ok(head.map(|()| Body::new(answer)))
        })
    }
}

/// The whole answer: its head, its data and its trailers.
async fn answer(
    routes: &mut Explained,
    request: Request<Body>,
) -> (Response<()>, Bytes, Option<HeaderMap>) {
    let Ok(response) = routes.call(request).await;
    let (head, mut body) = response.into_parts();
    let (mut data, mut trailers) = (Bytes::new(), None);
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.into_data() {
            // There is one message, which comes in one piece.
            Ok(piece) if data.is_empty() => data = piece,
            Ok(piece) => data = [data, piece].concat().into(),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (Response::from_parts(head, ()), data, trailers)
}

/// An answer on its way to the client.
struct Answer {
    kept: Arc<Mutex<Option<Kept>>>,
    /// Ends the watch over the time.
    overdue: Option<AbortHandle>,
    trailers: Option<HeaderMap>,
}

/// What is left of it.
struct Kept {
    data: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    fn new(
        data: Bytes,
        trailers: Option<HeaderMap>,
        place: Option<OwnedSemaphorePermit>,
        patience: Duration,
    ) -> Self {
        let is_big = data.len() > PART;
        let kept = Arc::new(Mutex::new(Some(Kept {
            data,
            _place: place.filter(|_| is_big),
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
        if data.len() > PART {
            return Some(Ok(Bytes::copy_from_slice(&data.split_to(PART))));
        }
        let last = Bytes::copy_from_slice(data);
        *data = Bytes::new();
        Some(Ok(last))
    }
}

fn lock(kept: &Mutex<Option<Kept>>) -> MutexGuard<'_, Option<Kept>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for Answer {
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

impl Drop for Answer {
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
    use super::*;
    use tonic::codegen::http::HeaderValue;

    const LONG: Duration = Duration::from_secs(60);

    fn answer_of(data: &[u8], patience: Duration) -> (Answer, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().ok();
        let status = HeaderValue::from_static("0");
        let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), status)]);
        let data = Bytes::copy_from_slice(data);
        (Answer::new(data, Some(trailers), place, patience), places)
    }

    async fn next(answer: &mut Answer) -> Option<Result<Frame<Bytes>, Status>> {
        poll_fn(|context| Pin::new(&mut *answer).poll_frame(context)).await
    }

    #[tokio::test]
    async fn an_answer_comes_whole_and_in_parts() {
        for length in [1, PART, PART + 1, 3 * PART, 100_000] {
            let whole: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let (mut answer, places) = answer_of(&whole, LONG);
            assert_eq!(places.available_permits(), usize::from(length <= PART));
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
        let (mut answer, places) = answer_of(&vec![7; 4 * PART], Duration::from_millis(50));
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
