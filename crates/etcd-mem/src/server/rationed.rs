//! The routes for network clients: what a call may cost while it is under way.
//!
//! Small requests with small answers, as those of a name server, wait for nobody. Others take turns.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Frame;
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as _, Bytes, Service};

use super::answers::Outgoing;
use super::explained::Explained;
use super::turns::{OfConnection, SMALL, Turn};

/// How much longer an answer may take than a request.
const ANSWER_PATIENCE: u32 = 2;

/// Calls whose requests and answers are streams. Their messages are bounded, and so is their number.
const STREAMS: [&str; 2] = [
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseKeepAlive",
];

/// The routes with turns for big messages.
#[derive(Clone, Debug)]
pub(super) struct Rationed {
    routes: Explained,
    turns: Arc<Semaphore>,
    patience: Duration,
}

impl Rationed {
    /// So many big messages at a time. A request must have come within `patience`, a big answer be taken in twice that time.
    pub(super) fn new(routes: Explained, turns: usize, patience: Duration) -> Self {
        Self {
            routes,
            turns: Arc::new(Semaphore::new(turns)),
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if STREAMS.contains(&request.uri().path()) {
            return self.routes.call(request);
        }
        let of_connection = request.extensions().get().cloned();
        let of_connection = of_connection.unwrap_or_else(OfConnection::new);
        let turn = Turn::new(of_connection, self.turns.clone());
        request.extensions_mut().insert(turn.clone());
        let patience = self.patience;
        let request = request.map(|body| Body::new(Arriving::new(body, turn.clone(), patience)));
        let made = answer(self.routes.call(request));
        Box::pin(async move {
            let (head, data, trailers) = made.await;
            if data.is_empty() && trailers.is_none() {
                // A refusal: its head is all there is, and must say so.
                return Ok(head.map(|()| Body::empty()));
            }
            let answer = Outgoing::new(data, trailers, turn.hand_on(), patience * ANSWER_PATIENCE);
            Ok(head.map(|()| Body::new(answer)))
        })
    }
}

/// The whole answer: its head, its data and its trailers.
async fn answer(
    made: <Explained as Service<Request<Body>>>::Future,
) -> (Response<()>, Bytes, Option<HeaderMap>) {
    let Ok(response) = made.await;
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

/// A request on its way from the client.
struct Arriving {
    body: Body,
    bytes: usize,
    turn: Turn,
    /// For the turn, when more has come than goes without.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// When it must have come.
    due: Pin<Box<Sleep>>,
}

impl Arriving {
    fn new(body: Body, turn: Turn, patience: Duration) -> Self {
        Self {
            body,
            bytes: 0,
            turn,
            waiting: None,
            due: Box::pin(tokio::time::sleep(patience)),
        }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.due.as_mut().poll(context).is_ready() {
            let text = "etcd-mem: the request did not come in time";
            return Poll::Ready(Some(Err(Status::deadline_exceeded(text))));
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(context));
            self.waiting = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let before = self.bytes;
            self.bytes += frame.data_ref().map_or(0, Bytes::len);
            if before <= SMALL && self.bytes > SMALL {
                let turn = self.turn.clone();
                self.waiting = Some(Box::pin(async move { turn.take().await }));
            }
        }
        Poll::Ready(frame)
    }
}
