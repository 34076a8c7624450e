//! Answers of the daemon: read whole, but not without a limit, and understood.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::Error;

/// What is kept of an error message of the daemon, in characters.
const MESSAGE_LENGTH: usize = 300;

/// An answer of more bytes is read beside one other such at most: many at once would take too much memory. Those that wait hold so much.
const BIG: usize = 1 << 16;

static BIG_ANSWERS: Semaphore = Semaphore::const_new(2);

/// A call's name for people, how much of an answer it holds, and how long it waits.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) name: &'static str,
    /// The longest body that is read, in bytes.
    pub(super) limit: usize,
    pub(super) timeout: Duration,
}

/// Runs a step of the call, but no longer than the call may take.
pub(super) async fn within<T>(
    call: Call,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let elapsed = |_| {
        Err(Error::Timeout {
            call: call.name,
            after: call.timeout,
        })
    };
    timeout(call.timeout, step).await.unwrap_or_else(elapsed)
}

/// A complete answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) async fn read(call: Call, response: Response<Incoming>) -> Result<Self, Error> {
        let (head, body) = response.into_parts();
        let mut body = Limited::new(body, call.limit);
        let (mut bytes, mut place) = (Vec::<u8>::new(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(call, error))?;
            let data: &[u8] = frame.data_ref().map_or(&[], |data| data);
            if bytes.capacity() - bytes.len() < data.len() {
                // By a quarter: a vector left to itself doubles.
                bytes.reserve_exact(data.len() + bytes.len() / 4);
            }
            bytes.extend_from_slice(data);
            if bytes.len() > BIG && place.is_none() {
                // Never closed.
                place = BIG_ANSWERS.acquire().await.ok();
            }
        }
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body: bytes.into(),
        })
    }

    pub(super) fn ok(&self, call: Call) -> Result<(), Error> {
        match self.status {
            StatusCode::OK => Ok(()),
            status => Err(Error::Status {
                call: call.name,
                status,
                message: self.shown_message(),
            }),
        }
    }

    /// The text of a good answer; an empty one if it is none.
    pub(super) fn text(&self, call: Call) -> Result<String, Error> {
        self.ok(call)?;
        Ok(String::from_utf8(self.body.to_vec()).unwrap_or_default())
    }

    pub(super) fn json<T: for<'de> Deserialize<'de>>(&self, call: Call) -> Result<T, Error> {
        self.ok(call)?;
        serde_json::from_slice(&self.body)
            .map_err(|source| Error::not_as_documented(call.name, source))
    }

    /// A 404 means that the container is gone only in Docker's own words: one from a proxy that lost its way must not
    /// remove anything. Podman says it with a 500 of a container that goes while it looks.
    pub(super) fn is_no_such_container(&self) -> bool {
        let said = |says: fn(&str) -> bool| self.message().is_some_and(|message| says(&message));
        match self.status {
            StatusCode::NOT_FOUND => said(|message| message != "page not found"),
            StatusCode::INTERNAL_SERVER_ERROR => {
                said(|message| message.ends_with("no such container"))
            }
            _ => false,
        }
    }

    /// The `message` of Docker's error answers.
    fn message(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        serde_json::from_slice::<Message>(&self.body)
            .ok()
            .map(|body| body.message)
    }

    fn shown_message(&self) -> String {
        let text = self
            .message()
            .unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned());
        let shown = text.trim().chars().take(MESSAGE_LENGTH);
        shown
            .map(|char| if char.is_control() { ' ' } else { char })
            .collect()
    }
}

fn broken(call: Call, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(source) => Error::broke_off(call.name, *source),
        Err(_) => Error::too_long(call.name, call.limit),
    }
}
