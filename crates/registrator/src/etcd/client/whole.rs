//! Sends a request's last message together with the end of the request.
//!
//! tonic says that a request ends when it is asked for the message after the last one. So each call would take an HTTP/2 frame, a packet and a
//! system call more, for nothing but the end.

use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::codegen::{Bytes, Service};

type NextFrame = Option<Result<Frame<Bytes>, Status>>;

/// A channel whose requests look one frame ahead.
#[derive(Debug, Clone)]
pub(in crate::etcd) struct Whole<S>(pub(super) S);

impl<S: Service<Request<Body>>> Service<Request<Body>> for Whole<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.0.call(request.map(|body| {
            Body::new(Ahead {
                body,
                next: Poll::Pending,
            })
        }))
    }
}

struct Ahead {
    body: Body,
    /// What comes after the frame that was given last, if it is known.
    next: Poll<NextFrame>,
}

impl http_body::Body for Ahead {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<NextFrame> {
        if self.next.is_pending() {
            self.next = Pin::new(&mut self.body).poll_frame(context);
        }
        let frame = match std::mem::replace(&mut self.next, Poll::Pending) {
            Poll::Ready(Some(frame)) => frame,
            Poll::Ready(None) => {
                self.next = Poll::Ready(None);
                return Poll::Ready(None);
            }
            Poll::Pending => return Poll::Pending,
        };
        self.next = Pin::new(&mut self.body).poll_frame(context);
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.next, Poll::Ready(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc::unbounded_channel;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    #[tokio::test]
    async fn the_end_is_known_with_the_last_frame_and_no_frame_waits_for_the_next() {
        let (sender, frames) = unbounded_channel::<Result<Frame<Bytes>, Status>>();
        let frame = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        let mut ahead = Ahead {
            body: Body::new(StreamBody::new(UnboundedReceiverStream::new(frames))),
            next: Poll::Pending,
        };
        let mut next = async || {
            let frame = ahead
                .frame()
                .await
                .map(|frame| frame.unwrap().into_data().unwrap());
            (frame, ahead.is_end_stream())
        };
        sender.send(frame("a")).unwrap();
        assert_eq!(next().await, (Some("a".into()), false));
        sender.send(frame("b")).unwrap();
        sender.send(frame("c")).unwrap();
        drop(sender);
        assert_eq!(next().await, (Some("b".into()), false));
        assert_eq!(next().await, (Some("c".into()), true));
        assert_eq!(next().await, (None, true));
    }
}
