//! One watch stream from the client's side.

use std::collections::VecDeque;

use etcd_api::watch_client::WatchClient;
use etcd_api::watch_request::RequestUnion;
use etcd_api::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::session::PATIENCE;

pub struct Watcher {
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
    events: VecDeque<Event>,
    /// The last revision of an unsplit message: the next must be greater.
    told: i64,
}

impl Watcher {
    /// Opens a stream with a first watch: etcd answers nothing at all before it gets a message.
    pub async fn open(channel: Channel, first: WatchCreateRequest) -> Self {
        let (requests, stream) = mpsc::channel(16);
        requests
            .send(message(RequestUnion::CreateRequest(first)))
            .await
            .expect("room for a message");
        let mut client = WatchClient::new(channel).max_decoding_message_size(64 << 20);
        let opened =
            tokio::time::timeout(PATIENCE, client.watch(ReceiverStream::new(stream))).await;
        let responses = opened
            .expect("a stream in time")
            .expect("a stream")
            .into_inner();
        Self {
            requests,
            responses,
            events: VecDeque::new(),
            told: 0,
        }
    }

    pub async fn create(&self, request: WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(request)).await;
    }

    pub async fn cancel(&self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }))
            .await;
    }

    pub async fn ask_progress(&self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}))
            .await;
    }

    async fn send(&self, union: RequestUnion) {
        self.requests
            .send(message(union))
            .await
            .expect("the stream is open");
    }

    pub async fn message(&mut self) -> WatchResponse {
        self.next().await.expect("no error").expect("a message")
    }

    pub async fn next(&mut self) -> Result<Option<WatchResponse>, Status> {
        tokio::time::timeout(PATIENCE, self.responses.message())
            .await
            .expect("a message in time")
    }

    /// The next `count` events of a stream with one watch. No revision is spread over two messages.
    pub async fn events(&mut self, count: usize) -> Vec<Event> {
        while self.events.len() < count {
            let message = self.message().await;
            assert!(!message.canceled && !message.fragment, "{message:?}");
            let revisions = message
                .events
                .iter()
                .filter_map(|event| Some(event.kv.as_ref()?.mod_revision));
            let (first, last) = (revisions.clone().min(), revisions.max());
            assert!(
                first.is_none_or(|first| first > self.told),
                "{message:?} after {}",
                self.told
            );
            let header = message.header.expect("a header").revision;
            assert!(last.is_none_or(|last| last <= header), "{message:?}");
            self.told = last.unwrap_or(self.told);
            self.events.extend(message.events);
        }
        self.events.drain(..count).collect()
    }
}

fn message(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}
