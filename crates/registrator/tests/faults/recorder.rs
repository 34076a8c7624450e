//! Records every change that an etcd makes, in order and with the time at which it was heard of.

// The benchmarks use a part of this, the tests another.
#![allow(dead_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use etcd_api::kv_client::KvClient;
use etcd_api::watch_client::WatchClient;
use etcd_api::{
    PutRequest, WatchCreateRequest, WatchRequest, event::EventType, watch_request::RequestUnion,
};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};
use tokio_stream::wrappers::ReceiverStream;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Written to learn that everything before it was heard of. Outside of everything that a registrator watches.
const BARRIER: &str = "/recorder/barrier";

/// One change of one key.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// When it was heard of.
    pub(crate) at: SystemTime,
    pub(crate) revision: i64,
    pub(crate) key: String,
    /// `None` for a deletion.
    pub(crate) value: Option<String>,
    pub(crate) lease: i64,
}

/// A watch of all keys of one etcd, from its start until it is dropped or that etcd ends.
pub(crate) struct Recorder {
    endpoint: String,
    changes: Receiver<Change>,
    /// What was heard of so far.
    seen: Vec<Change>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Recorder {
    /// Begins with the changes that follow.
    pub(crate) fn start(endpoint: &str) -> Self {
        let (sender, changes) = channel();
        let (ready, is_ready) = channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let url = endpoint.to_owned();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! {
                    () = follow(url, ready, sender) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready
            .recv_timeout(PATIENCE)
            .expect("etcd can be watched");
        Self {
            endpoint: endpoint.to_owned(),
            changes,
            seen: Vec::new(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The next change of a key that begins so, of those that were not taken yet.
    pub(crate) fn next(&mut self, prefix: &str) -> Change {
        let deadline = Instant::now() + PATIENCE;
        self.next_until(prefix, deadline)
            .unwrap_or_else(|| panic!("no change below {prefix} within {PATIENCE:?}"))
    }

    /// As [`Recorder::next`]; `None` when the time is up.
    pub(crate) fn next_until(&mut self, prefix: &str, deadline: Instant) -> Option<Change> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = match self.changes.recv_timeout(left) {
                Ok(change) => change,
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("the watch of etcd broke"),
            };
            self.seen.push(change.clone());
            if change.key.starts_with(prefix) {
                return Some(change);
            }
        }
    }

    /// Everything below `prefix` from the start of the recorder up to now.
    pub(crate) fn all(&mut self, prefix: &str) -> Vec<Change> {
        let mark = format!("{:?}", Instant::now());
        put(&self.endpoint, BARRIER, &mark);
        while self.next(BARRIER).value.as_ref() != Some(&mark) {}
        let below = self
            .seen
            .iter()
            .filter(|change| change.key.starts_with(prefix));
        below.cloned().collect()
    }

    /// The keys below `prefix` that were deleted since the start.
    pub(crate) fn deleted(&mut self, prefix: &str) -> Vec<String> {
        let changes = self.all(prefix).into_iter();
        changes
            .filter(|change| change.value.is_none())
            .map(|change| change.key)
            .collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

fn put(endpoint: &str, key: &str, value: &str) {
    runtime().block_on(async {
        let mut client = KvClient::connect(endpoint.to_owned())
            .await
            .expect("etcd answers");
        let request = PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        };
        client.put(request).await.expect("etcd takes a key");
    });
}

/// Ends with the connection.
async fn follow(endpoint: String, ready: Sender<()>, changes: Sender<Change>) {
    let mut client = WatchClient::connect(endpoint).await.expect("etcd answers");
    // From the first key to the last.
    let everything = WatchCreateRequest {
        key: vec![0],
        range_end: vec![0],
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(everything)),
    };
    let (requests, outgoing) = tokio::sync::mpsc::channel(1);
    requests.send(request).await.expect("a request");
    let mut answers = client
        .watch(ReceiverStream::new(outgoing))
        .await
        .expect("a watch")
        .into_inner();
    while let Ok(Some(answer)) = answers.message().await {
        if answer.created {
            _ = ready.send(());
        }
        let at = SystemTime::now();
        for event in answer.events {
            let deleted = event.r#type() == EventType::Delete;
            let kv = event.kv.unwrap_or_default();
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let change = Change {
                at,
                revision: kv.mod_revision,
                key: text(kv.key),
                value: (!deleted).then(|| text(kv.value)),
                lease: kv.lease,
            };
            if changes.send(change).is_err() {
                return;
            }
        }
    }
}
