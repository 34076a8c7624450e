//! Tests of what only this server has: its clock, its end, its answers to calls it lacks.

mod access;
mod authority;
mod fuzz;
mod limits;
mod wire;

use std::time::{Duration, Instant};

use etcd_api::kv_client::KvClient;
use etcd_api::lease_client::LeaseClient;
use etcd_api::watch_client::WatchClient;
use etcd_api::watch_request::RequestUnion;
use etcd_api::*;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    channel: Channel,
    inside: InProcess,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

async fn start(server: Server) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (shutdown, stopped) = oneshot::channel::<()>();
    let (inside, connections) = in_process();
    let shutdown_asked = async { drop(stopped.await) };
    let served = tokio::spawn(server.serve_with(listener, connections, shutdown_asked));
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .expect("a URL")
        .connect_lazy();
    Running {
        address,
        channel,
        inside,
        shutdown,
        served,
    }
}

impl Running {
    async fn put(&self, key: &str, lease: i64) -> i64 {
        let request = PutRequest {
            key: key.into(),
            lease,
            ..PutRequest::default()
        };
        let response = KvClient::new(self.channel.clone())
            .put(request)
            .await
            .expect("written");
        response.into_inner().header.expect("a header").revision
    }

    async fn count(&self) -> i64 {
        let all = RangeRequest {
            key: vec![0],
            range_end: vec![0],
            count_only: true,
            ..RangeRequest::default()
        };
        KvClient::new(self.channel.clone())
            .range(all)
            .await
            .expect("a range")
            .into_inner()
            .count
    }

    async fn grant(&self, ttl: i64) -> i64 {
        let request = LeaseGrantRequest { ttl, id: 0 };
        LeaseClient::new(self.channel.clone())
            .lease_grant(request)
            .await
            .expect("granted")
            .into_inner()
            .id
    }

    /// Watches all keys; the sender keeps the stream open.
    async fn watch(
        &self,
        request: WatchCreateRequest,
    ) -> (mpsc::Sender<WatchRequest>, Streaming<WatchResponse>) {
        let (requests, stream) = mpsc::channel(4);
        let create = WatchCreateRequest {
            key: vec![0],
            range_end: vec![0],
            ..request
        };
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        requests.send(create).await.expect("room");
        let response = WatchClient::new(self.channel.clone())
            .watch(ReceiverStream::new(stream))
            .await;
        let mut responses = response.expect("a stream").into_inner();
        assert!(message(&mut responses).await.created);
        (requests, responses)
    }
}

impl Running {
    fn channel_within(&self) -> Channel {
        let endpoint = Endpoint::from_static("http://within");
        endpoint.connect_with_connector_lazy(self.inside.clone())
    }
}

async fn message(responses: &mut Streaming<WatchResponse>) -> WatchResponse {
    let next = tokio::time::timeout(PATIENCE, responses.message())
        .await
        .expect("in time");
    next.expect("no error").expect("a message")
}

#[tokio::test]
async fn leases_end_by_the_given_clock() {
    let (clock, hand) = Clock::manual();
    let running = start(Server::new().clock(clock)).await;
    let lease = running.grant(10).await;
    let (_requests, mut watch) = running.watch(WatchCreateRequest::default()).await;
    running.put("a", lease).await;
    assert_eq!(message(&mut watch).await.events.len(), 1);
    hand.advance(Duration::from_millis(9_999));
    assert_eq!(running.count().await, 1);
    hand.advance(Duration::from_millis(1));
    // The watch is told without any further request.
    let ended = message(&mut watch).await;
    assert_eq!(
        ended.events.first().map(Event::r#type),
        Some(event::EventType::Delete)
    );
    assert_eq!(running.count().await, 0);
}

/// A later grant with an earlier end moves the alarm forward.
#[tokio::test]
async fn a_shorter_lease_is_not_overslept() {
    let (clock, hand) = Clock::manual();
    let running = start(Server::new().clock(clock)).await;
    running.grant(1_000).await;
    let short = running.grant(5).await;
    let (_requests, mut watch) = running.watch(WatchCreateRequest::default()).await;
    running.put("a", short).await;
    assert_eq!(message(&mut watch).await.events.len(), 1);
    hand.advance(Duration::from_secs(5));
    assert_eq!(message(&mut watch).await.events.len(), 1);
}

#[tokio::test]
async fn shutdown_ends_streams_at_once() {
    let running = start(Server::new()).await;
    let (_requests, mut watch) = running.watch(WatchCreateRequest::default()).await;
    let lease = running.grant(60).await;
    let (renewals, stream) = mpsc::channel(1);
    renewals
        .send(LeaseKeepAliveRequest { id: lease })
        .await
        .expect("room");
    let answers = LeaseClient::new(running.channel.clone())
        .lease_keep_alive(ReceiverStream::new(stream))
        .await;
    let mut answers = answers.expect("a stream").into_inner();
    assert_eq!(
        answers
            .message()
            .await
            .expect("no error")
            .map(|answer| answer.ttl),
        Some(60)
    );

    let before = Instant::now();
    running.shutdown.send(()).expect("it serves");
    let ended = tokio::time::timeout(PATIENCE, watch.message())
        .await
        .expect("in time")
        .expect_err("an end");
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "etcdserver: server stopped")
    );
    let ended = tokio::time::timeout(PATIENCE, answers.message())
        .await
        .expect("in time")
        .expect_err("an end");
    assert_eq!(ended.code(), Code::Unavailable);
    tokio::time::timeout(PATIENCE, running.served)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("no error");
    // The connection is still open on the client's side: the server has not waited for it to be given up.
    assert!(before.elapsed() < DRAIN, "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_lost_server_future_ends_streams() {
    let running = start(Server::new()).await;
    let (_requests, mut watch) = running.watch(WatchCreateRequest::default()).await;
    running.served.abort();
    let ended = tokio::time::timeout(PATIENCE, watch.message())
        .await
        .expect("in time");
    assert!(ended.is_err(), "{ended:?}");
}

#[tokio::test]
async fn a_server_started_anew_is_ahead() {
    let first = start(Server::new()).await;
    let revision = first.put("a", 0).await;
    first.served.abort();
    // It began a few milliseconds ago and has made one revision since.
    while milliseconds_since_1970() < revision + 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = start(Server::new()).await;
    assert_eq!(second.count().await, 0);
    let resume = WatchCreateRequest {
        start_revision: revision + 1,
        ..WatchCreateRequest::default()
    };
    let (_requests, mut watch) = second.watch(resume).await;
    let end = message(&mut watch).await;
    assert!(end.canceled && end.compact_revision > revision, "{end:?}");
}

#[tokio::test]
async fn missing_calls_are_explained() {
    async fn check(path: &'static str) {
        let running = start(Server::new()).await;
        let mut client = tonic::client::Grpc::new(running.channel.clone());
        client.ready().await.expect("connected");
        let codec = tonic_prost::ProstCodec::<StatusRequest, StatusResponse>::default();
        let path_and_query = tonic::codegen::http::uri::PathAndQuery::from_static(path);
        let request = tonic::Request::new(StatusRequest {});
        let status = client
            .unary(request, path_and_query, codec)
            .await
            .expect_err("not there");
        let text =
            format!("{path} is not implemented by this embedded etcd; use a real etcd for it");
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unimplemented, text.as_str())
        );
    }
    check("/etcdserverpb.Maintenance/HashKV").await;
    check("/etcdserverpb.Auth/UserAdd").await;
    check("/v3electionpb.Election/Campaign").await;
}

#[tokio::test]
async fn quiet_watches_are_told_their_progress() {
    let running = start(
        Server::new()
            .revision(1)
            .progress_interval(Duration::from_millis(20)),
    )
    .await;
    let wanted = WatchCreateRequest {
        progress_notify: true,
        ..WatchCreateRequest::default()
    };
    let (_requests, mut watch) = running.watch(wanted).await;
    let progress = message(&mut watch).await;
    assert_eq!(
        (
            progress.events.len(),
            progress.header.map(|header| header.revision)
        ),
        (0, Some(1))
    );
    running.put("a", 0).await;
    let revisions = async {
        loop {
            let next = message(&mut watch).await;
            if next.events.is_empty() && next.header.is_some_and(|header| header.revision == 2) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, revisions)
        .await
        .expect("progress to the new revision");
}

/// A client that does not read costs no memory but a few messages, and is told when it is too late.
#[tokio::test]
async fn a_slow_client_is_told_that_it_is_too_late() {
    let history = HistoryLimit {
        revisions: 10,
        bytes: usize::MAX,
    };
    let running = start(Server::new().revision(1).history(history)).await;
    let (_requests, mut watch) = running.watch(WatchCreateRequest::default()).await;
    // More than the buffers between hold.
    for _ in 0..60 {
        let request = PutRequest {
            key: "a".into(),
            value: vec![0; 256 << 10],
            ..PutRequest::default()
        };
        KvClient::new(running.channel.clone())
            .put(request)
            .await
            .expect("written");
    }
    let mut told = 0;
    let end = loop {
        let next = message(&mut watch).await;
        if next.canceled {
            break next;
        }
        told += next.events.len();
    };
    assert!(
        end.compact_revision > 1 && told < 60,
        "{told} events, then {end:?}"
    );
}
