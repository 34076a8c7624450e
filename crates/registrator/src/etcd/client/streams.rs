//! Streams: watches, and keep-alives. A stream ends with an error; opening it anew is its user's.

use super::connect::Remote;
use super::login::EtcdChannel;
use super::{EtcdClient, MAX_MESSAGE_BYTES, lease};
use crate::etcd::error::{Cause, Error};
use crate::etcd::requests::Operation;
use etcd_api::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchCreateRequest, WatchRequest, WatchResponse,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use registrator_core::own::LeaseId;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Response, Status, Streaming};

/// A stream of watches, the first of which etcd has confirmed. It ends all of them when this is dropped.
#[derive(Debug)]
pub(in crate::etcd) struct WatchStream {
    answers: Answers<WatchResponse>,
    requests: mpsc::UnboundedSender<WatchRequest>,
}

/// A stream of keep-alives.
#[derive(Debug)]
pub(in crate::etcd) struct KeepAliveStream {
    answers: Answers<LeaseKeepAliveResponse>,
    requests: mpsc::UnboundedSender<LeaseKeepAliveRequest>,
}

#[derive(Debug)]
struct Answers<T> {
    stream: Streaming<T>,
    client: EtcdClient,
    turn: usize,
}

impl EtcdClient {
    /// Begins a watch and waits until etcd confirms it. The answer is the stream and the confirmation.
    ///
    /// # Errors
    /// Any; [`Error::Compacted`] if the changes since the start are not kept.
    pub(in crate::etcd) async fn watch(
        &self,
        create: WatchCreateRequest,
    ) -> Result<(WatchStream, WatchResponse), Error> {
        let opening = self.begin_watch(create);
        self.0.requests.measure(Operation::Watch, opening).await
    }

    async fn begin_watch(
        &self,
        create: WatchCreateRequest,
    ) -> Result<(WatchStream, WatchResponse), Error> {
        let first = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create.clone())),
        };
        let revision = create.start_revision;
        match self.open_watch(first.clone(), revision).await {
            // Versions of etcd differ in how they refuse a watch with an old token, and both refuse the watch, not the call.
            Err(
                Error::StaleToken { .. }
                | Error::Refused {
                    forbidden: true, ..
                },
            ) if self.0.login.is_some() => {
                self.login_anew().await;
                self.open_watch(first, revision).await
            }
            other => other,
        }
    }

    /// The same as [`EtcdClient::keep_alive`], for so long at most: a beacon must not wait for an endpoint that says nothing, while others would
    /// answer.
    ///
    /// # Errors
    /// The same, and that there was no answer.
    pub(in crate::etcd) async fn keep_alive_within(
        &self,
        id: LeaseId,
        within: Duration,
    ) -> Result<(KeepAliveStream, LeaseKeepAliveResponse), Error> {
        let turn = self.turn();
        if let Ok(opened) = tokio::time::timeout(within, self.keep_alive(id)).await {
            return opened;
        }
        self.leave(turn);
        Err(Error::no_answer(&self.remote(turn).name, within))
    }

    /// Begins a stream of keep-alives with a first one for `id`.
    ///
    /// # Errors
    /// Any; [`Error::LeaseNotFound`] if there is no such lease.
    pub(in crate::etcd) async fn keep_alive(
        &self,
        id: LeaseId,
    ) -> Result<(KeepAliveStream, LeaseKeepAliveResponse), Error> {
        let first = LeaseKeepAliveRequest { id: id.0 };
        let opening = async {
            let (requests, mut answers) = self
                .open(first, |wire, requests| async move {
                    lease(wire).lease_keep_alive(requests).await
                })
                .await?;
            let answer = answers.within(super::ANSWER_WITHIN).await?;
            Ok((KeepAliveStream { answers, requests }, answer))
        };
        self.0.requests.measure(Operation::Lease, opening).await
    }

    async fn open_watch(
        &self,
        first: WatchRequest,
        revision: i64,
    ) -> Result<(WatchStream, WatchResponse), Error> {
        let (requests, answers) = self
            .open(first, |wire, requests| async move {
                let stub = WatchClient::new(wire);
                let mut stub = stub.max_decoding_message_size(MAX_MESSAGE_BYTES);
                stub.watch(requests).await
            })
            .await?;
        let mut stream = WatchStream { answers, requests };
        let created = stream.answers.within(super::ANSWER_WITHIN).await?;
        stream.check(&created, revision)?;
        Ok((stream, created))
    }

    /// Opens a stream at the endpoint in use, or at the next ones: nothing happens by opening one.
    async fn open<Q, T, F, Answer>(
        &self,
        first: Q,
        send: F,
    ) -> Result<(mpsc::UnboundedSender<Q>, Answers<T>), Error>
    where
        Q: Clone,
        F: Fn(EtcdChannel, UnboundedReceiverStream<Q>) -> Answer,
        Answer: Future<Output = Result<Response<Streaming<T>>, Status>>,
    {
        let mut logged_in_anew = false;
        let mut endpoints_left = self.0.remotes.len();
        loop {
            let turn = self.turn();
            let sender = std::sync::Mutex::new(None);
            let opened = self
                .attempt(turn, &mut logged_in_anew, |wire| {
                    let (requests, receiver) = mpsc::unbounded_channel();
                    // Its receiver is just below.
                    let _ = requests.send(first.clone());
                    if let Ok(mut sender) = sender.lock() {
                        *sender = Some(requests);
                    }
                    send(wire, UnboundedReceiverStream::new(receiver))
                })
                .await;
            let requests = sender.into_inner().ok().flatten();
            match (opened, requests) {
                (Ok(stream), Some(requests)) => {
                    let answers = Answers {
                        stream: stream.into_inner(),
                        client: self.clone(),
                        turn,
                    };
                    return Ok((requests, answers));
                }
                (Err(error), _) if !error.blames_endpoint() || endpoints_left <= 1 => {
                    self.leave_if_to_blame(turn, &error);
                    return Err(error);
                }
                (Err(error), _) => self.leave_if_to_blame(turn, &error),
                (Ok(_), None) => self.leave(turn),
            }
            endpoints_left = endpoints_left.saturating_sub(1);
        }
    }

    fn leave_if_to_blame(&self, turn: usize, error: &Error) {
        if error.blames_endpoint() {
            self.leave(turn);
        }
    }

    async fn login_anew(&self) {
        let Some(login) = &self.0.login else { return };
        if let Ok(token) = login.token(self.remote(self.turn())).await {
            login.discard(&token).await;
        }
    }
}

impl WatchStream {
    /// The next changes of the only watch, which began at `revision`.
    ///
    /// # Errors
    /// The watch has ended.
    pub(in crate::etcd) async fn next(&mut self, revision: i64) -> Result<WatchResponse, Error> {
        let answer = self.next_of_any().await?;
        self.check(&answer, revision)?;
        Ok(answer)
    }

    /// The next answer for any of the watches. May be dropped while it waits.
    ///
    /// # Errors
    /// The stream has ended.
    pub(in crate::etcd) async fn next_of_any(&mut self) -> Result<WatchResponse, Error> {
        self.answers.next().await
    }

    /// Begins one more watch, or ends one. That the stream has ended shows when the next answer is awaited.
    pub(in crate::etcd) fn ask(&self, request: RequestUnion) {
        let request_union = Some(request);
        let _ = self.requests.send(WatchRequest { request_union });
    }

    /// Whether an answer is one of a watch that goes on, and began at `revision`. One that has ended is an answer like any other; its
    /// stream stays open.
    ///
    /// # Errors
    /// Why the watch has ended.
    pub(in crate::etcd) fn check(
        &self,
        answer: &WatchResponse,
        revision: i64,
    ) -> Result<(), Error> {
        self.answers.check(answer, revision)
    }
}

impl KeepAliveStream {
    /// Renews the lease and waits for the answer.
    ///
    /// # Errors
    /// The stream has ended, or nothing came `within` the time given.
    pub(in crate::etcd) async fn renew(
        &mut self,
        id: LeaseId,
        within: Duration,
    ) -> Result<LeaseKeepAliveResponse, Error> {
        if self
            .requests
            .send(LeaseKeepAliveRequest { id: id.0 })
            .is_err()
        {
            return Err(self.answers.ended());
        }
        self.answers.within(within).await
    }

    /// Waits until the stream ends; nothing else can come while no request is out.
    pub(in crate::etcd) async fn broken(&mut self) -> Error {
        loop {
            if let Err(error) = self.answers.next().await {
                return error;
            }
        }
    }
}

impl<T> Answers<T> {
    async fn next(&mut self) -> Result<T, Error> {
        let answer = self.stream.message().await;
        let error = match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => return Err(self.ended()),
            Err(status) => self.remote().error(&status),
        };
        self.client.leave_if_to_blame(self.turn, &error);
        Err(error)
    }

    async fn within(&mut self, time: Duration) -> Result<T, Error> {
        if let Ok(answer) = tokio::time::timeout(time, self.next()).await {
            return answer;
        }
        self.client.leave(self.turn);
        Err(Error::no_answer(&self.remote().name, time))
    }

    fn ended(&self) -> Error {
        self.client.leave(self.turn);
        Error::Broken {
            endpoint: self.remote().name.clone(),
            cause: Cause::text("the stream ended"),
        }
    }

    fn remote(&self) -> &Remote {
        self.client.remote(self.turn)
    }
}

impl Answers<WatchResponse> {
    fn check(&self, answer: &WatchResponse, revision: i64) -> Result<(), Error> {
        let endpoint = &self.remote().name;
        if !answer.canceled && answer.compact_revision == 0 {
            return Ok(());
        }
        if answer.compact_revision != 0 {
            return Err(Error::Compacted {
                endpoint: endpoint.clone(),
                revision,
            });
        }
        let reason = &answer.cancel_reason;
        let code = if reason.contains("permission denied") {
            Code::PermissionDenied
        } else {
            Code::Unavailable
        };
        let error = Error::of_answer(endpoint, code, reason);
        self.client.leave_if_to_blame(self.turn, &error);
        Err(error)
    }
}
