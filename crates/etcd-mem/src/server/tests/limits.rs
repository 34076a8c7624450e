//! How much others may have at once, and that this process is not held up by them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Status;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn limits() -> Limits {
    Limits {
        patience: PATIENCE,
        ..Limits::default()
    }
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address)
        .await
        .expect("connected")
}

/// Waits for the server to close a connection, whatever it says before.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // A reset is an end, too.
    drop(end.expect("the server closes it"));
}

async fn range(channel: &Channel) -> Result<(), Status> {
    let request = RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    };
    KvClient::new(channel.clone())
        .range(request)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_connection_that_does_not_begin_is_closed() {
    let patience = Duration::from_millis(100);
    let running = start(Server::new().limits(Limits {
        patience,
        ..limits()
    }))
    .await;
    let (_requests, mut watch) = running.watch(WatchCreateRequest::default()).await;
    let silent = connect(&running).await;
    let mut slow = connect(&running).await;
    slow.write_all(&PREFACE[..10]).await.expect("written");
    let mut without_a_frame = connect(&running).await;
    without_a_frame.write_all(PREFACE).await.expect("written");
    tokio::join!(closed(silent), closed(slow), closed(without_a_frame));
    // One that has begun may be silent, as this one was.
    running.put("a", 0).await;
    assert_eq!(message(&mut watch).await.events.len(), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_told_of_once() {
    let (report, mut troubles) = mpsc::unbounded_channel();
    let limits = Limits {
        connections: 2,
        ..limits()
    };
    let running = start(Server::new().limits(limits).report(report)).await;
    let first = connect(&running).await;
    range(&running.channel).await.expect("the second");
    for _ in 0..20 {
        closed(connect(&running).await).await;
    }
    assert!(matches!(
        troubles.try_recv(),
        Ok(Trouble::Full { connections: 2 })
    ));
    assert!(troubles.try_recv().is_err(), "once");
    range(&running.channel_within())
        .await
        .expect("this process is not concerned");
    drop(first);
    let anew = async {
        loop {
            let fresh = Endpoint::from_shared(format!("http://{}", running.address));
            if range(&fresh.expect("a URL").connect_lazy()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, anew)
        .await
        .expect("the place is free again");
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_at_their_client() {
    let limits = Limits {
        streams: 2,
        ..limits()
    };
    let running = start(Server::new().limits(limits)).await;
    // The limit comes with the server's first words.
    range(&running.channel).await.expect("answered");
    let first = running.watch(WatchCreateRequest::default()).await;
    let second = running.watch(WatchCreateRequest::default()).await;
    let mut third = std::pin::pin!(range(&running.channel));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut third).await;
    assert!(early.is_err(), "{early:?}");
    let within = running.channel_within();
    let mut more = Vec::new();
    for _ in 0..4 {
        let (requests, stream) = mpsc::channel(1);
        let answers = WatchClient::new(within.clone())
            .watch(ReceiverStream::new(stream))
            .await;
        more.push((requests, answers.expect("this process is not concerned")));
    }
    drop(first);
    tokio::time::timeout(PATIENCE, third)
        .await
        .expect("in time")
        .expect("answered");
    drop(second);
}

#[tokio::test]
async fn watches_beyond_the_limit_are_refused() {
    let limits = Limits {
        watches: 2,
        ..limits()
    };
    let running = start(Server::new().limits(limits)).await;
    let (requests, mut answers) = running.watch(WatchCreateRequest::default()).await;
    let create = |watch_id| WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: "a".into(),
            watch_id,
            ..WatchCreateRequest::default()
        })),
    };
    requests.send(create(7)).await.expect("room");
    assert!(!message(&mut answers).await.canceled, "the second");
    requests.send(create(8)).await.expect("room");
    let refused = message(&mut answers).await;
    assert!(
        refused.created && refused.canceled && refused.watch_id == -1,
        "{refused:?}"
    );
    assert_eq!(
        refused.cancel_reason,
        "etcd-mem: there are 2 watches, and no more are allowed at once"
    );
    let cancel = RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 7 });
    requests
        .send(WatchRequest {
            request_union: Some(cancel),
        })
        .await
        .expect("room");
    assert!(message(&mut answers).await.canceled);
    requests.send(create(9)).await.expect("room");
    let created = message(&mut answers).await;
    assert!(created.created && !created.canceled, "{created:?}");
}
