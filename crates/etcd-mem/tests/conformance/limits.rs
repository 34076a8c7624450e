//! Sizes: operations of a transaction, bytes of a request.

use etcd_api::{PutRequest, RequestOp, TxnRequest};
use expect_test::expect;

use crate::session::Session;
use crate::target::Target;
use crate::txns::{all, put, range, txn};

pub async fn run(target: &Target) {
    operations(Session::new(target, "limits-operations").await).await;
    bytes(Session::new(target, "limits-bytes").await).await;
}

fn puts(s: &Session, from: usize, count: usize) -> Vec<RequestOp> {
    (from..from + count)
        .map(|number| put(s.set(&format!("{number:04}"), "")))
        .collect()
}

async fn check(s: &mut Session, label: &str, request: TxnRequest) {
    let answer = s.kv().txn(request).await;
    let line = answer.map_or_else(
        |status| format!("{:?}: {}", status.code(), status.message()),
        |_| "ok".to_owned(),
    );
    s.note(&format!("{label}: {line}"));
}

async fn operations(mut s: Session) {
    for count in [128, 129] {
        let success = puts(&s, 0, count);
        check(&mut s, &format!("{count} writes"), all(success)).await;
        let failure = vec![range(s.get("a")); count];
        check(
            &mut s,
            &format!("{count} reads in else"),
            TxnRequest {
                failure,
                ..TxnRequest::default()
            },
        )
        .await;
        let compare = vec![
            etcd_api::Compare {
                key: s.key("a"),
                ..Default::default()
            };
            count
        ];
        check(
            &mut s,
            &format!("{count} conditions"),
            TxnRequest {
                compare,
                ..TxnRequest::default()
            },
        )
        .await;
    }
    // The children and the longest list of a child together are at most 128.
    for (children, each) in [
        (124, 4),
        (125, 4),
        (126, 2),
        (127, 2),
        (127, 1),
        (128, 0),
        (128, 1),
    ] {
        let list = (0..children)
            .map(|child| txn(all(puts(&s, child * each, each))))
            .collect();
        check(&mut s, &format!("{children} children of {each}"), all(list)).await;
    }
    let three = all(vec![txn(all(vec![txn(all(puts(&s, 0, 126)))]))]);
    check(&mut s, "1 in 1 in 126", three).await;
    let three = all(vec![txn(all(vec![txn(all(puts(&s, 0, 127)))]))]);
    check(&mut s, "1 in 1 in 127", three).await;
    s.expect(expect![[r#"
        r0
        128 writes: ok
        128 reads in else: ok
        128 conditions: ok
        129 writes: InvalidArgument: etcdserver: too many operations in txn request
        129 reads in else: InvalidArgument: etcdserver: too many operations in txn request
        129 conditions: InvalidArgument: etcdserver: too many operations in txn request
        124 children of 4: ok
        125 children of 4: InvalidArgument: etcdserver: too many operations in txn request
        126 children of 2: ok
        127 children of 2: InvalidArgument: etcdserver: too many operations in txn request
        127 children of 1: ok
        128 children of 0: ok
        128 children of 1: InvalidArgument: etcdserver: too many operations in txn request
        1 in 1 in 126: ok
        1 in 1 in 127: InvalidArgument: etcdserver: too many operations in txn request
    "#]])
        .await;
}

async fn bytes(mut s: Session) {
    let mib = 3 << 19;
    // The log entry around a request takes some 20 bytes more, depending on the version.
    for (label, size) in [
        ("just below", mib - 200),
        ("1.5 MiB", mib),
        ("2 MiB", (2 << 20) + 1),
    ] {
        let value = vec![b'x'; size];
        s.put(
            &format!("put {label}"),
            PutRequest {
                key: s.key("a"),
                value: value.clone(),
                ..PutRequest::default()
            },
        )
        .await;
        let request = all(vec![put(PutRequest {
            key: s.key("a"),
            value,
            ..PutRequest::default()
        })]);
        s.txn(&format!("txn {label}"), request).await;
    }
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        put just below: r1
        txn just below: r2 true {put r2}
        put 1.5 MiB: InvalidArgument: etcdserver: request is too large
        txn 1.5 MiB: InvalidArgument: etcdserver: request is too large
        put 2 MiB: ResourceExhausted: grpc: received message larger than max (2097183 vs. 2097152)
        txn 2 MiB: ResourceExhausted: grpc: received message larger than max (2097193 vs. 2097152)
        left: r2 [(a=1572664 bytes r1/r2/2)] of 1
    "#]])
        .await;
}
