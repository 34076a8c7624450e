//! How much others may have at once, and that this process is not held up by them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Status;

use super::wire::{PREFACE, field, frame};
use super::*;

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

/// The beginning of a call, on a stream.
fn calls(path: &str, stream: u8) -> Vec<u8> {
    let path = field(&[0x44], path);
    let kind = field(&[0x5f], "application/grpc");
    frame(1, 4, stream, &[vec![0x83, 0x86], path, kind].concat())
}

/// Stores something big as `a`, and has one client that asks for it and takes nothing, and one that does not send a big request to
/// its end.
async fn with_calls_that_stand_still(limits: Limits) -> (Running, [TcpStream; 2]) {
    let running = start(Server::new().limits(limits)).await;
    let big = PutRequest {
        key: "a".into(),
        value: vec![b'v'; 1 << 20],
        ..PutRequest::default()
    };
    let mut kv = KvClient::new(running.channel_within());
    kv.put(big).await.expect("written");
    let mut takes_nothing = connect(&running).await;
    let closed_windows = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let range = calls("/etcdserverpb.KV/Range", 1);
    let key_a = frame(0, 1, 1, &[0, 0, 0, 0, 3, 0x0a, 1, b'a']);
    let asked = [PREFACE, &closed_windows, &range, &key_a].concat();
    takes_nothing.write_all(&asked).await.expect("written");
    let mut sends_half = connect(&running).await;
    let put = calls("/etcdserverpb.KV/Put", 1);
    let begun = frame(0, 0, 1, &[0, 0, 1, 0, 0]);
    let part = frame(0, 0, 1, &[0; 200]);
    let half = [
        PREFACE,
        &frame(4, 0, 0, &[]),
        &put,
        &begun,
        &part.repeat(100),
    ]
    .concat();
    sends_half.write_all(&half).await.expect("written");
    (running, [takes_nothing, sends_half])
}

#[tokio::test]
async fn calls_that_stand_still_hold_up_others_for_a_bounded_time() {
    let limits = Limits {
        big_messages: 1,
        patience: Duration::from_secs(1),
        ..limits()
    };
    let (running, _still) = with_calls_that_stand_still(limits).await;
    for _ in 0..3 {
        let answer = tokio::time::timeout(PATIENCE, range(&running.channel)).await;
        answer.expect("in time").expect("answered");
    }
}

#[tokio::test]
async fn small_calls_and_this_process_wait_for_nobody() {
    let limits = Limits {
        big_messages: 1,
        patience: Duration::from_secs(3600),
        ..limits()
    };
    let (running, _still) = with_calls_that_stand_still(limits).await;
    running.put("b", 0).await;
    assert_eq!(running.count().await, 2);
    range(&running.channel_within())
        .await
        .expect("this process");
    let early = tokio::time::timeout(Duration::from_millis(200), range(&running.channel)).await;
    assert!(early.is_err(), "a big one waits: {early:?}");
}

#[tokio::test]
async fn a_transaction_cannot_read_without_end() {
    let limits = Limits {
        txn_reads: 100_000,
        ..limits()
    };
    let running = start(Server::new().limits(limits)).await;
    for key in 0..100 {
        running.put(&format!("a{key}"), 0).await;
    }
    let all = || RangeRequest {
        key: vec![0],
        range_end: vec![0],
        count_only: true,
        ..RangeRequest::default()
    };
    let reads = |count| TxnRequest {
        success: vec![
            RequestOp {
                request: Some(request_op::Request::RequestRange(all()))
            };
            count
        ],
        ..TxnRequest::default()
    };
    let within = |txn| TxnRequest {
        failure: vec![
            RequestOp {
                request: Some(request_op::Request::RequestTxn(txn))
            };
            4
        ],
        ..TxnRequest::default()
    };
    let compares = TxnRequest {
        compare: vec![
            Compare {
                key: vec![0],
                range_end: vec![0],
                ..Compare::default()
            };
            5
        ],
        ..TxnRequest::default()
    };
    let mut outside = KvClient::new(running.channel.clone());
    let mut inside = KvClient::new(running.channel_within());
    outside.txn(reads(4)).await.expect("little");
    for much in [reads(5), within(reads(2)), compares] {
        let refused = outside.txn(much.clone()).await.expect_err("much");
        assert_eq!(
            (refused.code(), refused.message()),
            (
                Code::ResourceExhausted,
                "etcd-mem: the transaction may read more than 100000 bytes; ask for less at once"
            )
        );
        inside
            .txn(much)
            .await
            .expect("this process is not concerned");
    }
}
