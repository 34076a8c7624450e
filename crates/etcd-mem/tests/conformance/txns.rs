//! Transactions: conditions, nesting, what the answers look like, what is refused.

use etcd_api::request_op::Request;
use etcd_api::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use expect_test::expect;

use crate::compares::missing;
use crate::session::Session;
use crate::target::Target;

pub async fn run(target: &Target) {
    answers(Session::new(target, "txns-answers").await).await;
    nesting(Session::new(target, "txns-nesting").await).await;
    all_or_nothing(Session::new(target, "txns-all-or-nothing").await).await;
}

pub fn range(request: RangeRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestRange(request)),
    }
}

pub fn put(request: PutRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(request)),
    }
}

pub fn delete(request: DeleteRangeRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestDeleteRange(request)),
    }
}

pub fn txn(request: TxnRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestTxn(request)),
    }
}

/// A transaction whose condition `compare` decides.
pub fn when(compare: Vec<Compare>, success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        compare,
        success,
        failure,
    }
}

/// A transaction without conditions.
pub fn all(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        success,
        ..TxnRequest::default()
    }
}

/// The headers within, reading one's own writes, and what does not make a revision.
async fn answers(mut s: Session) {
    s.put("a", s.set("a", "1")).await;
    let ops = vec![
        range(s.get("a")),
        delete(s.del("nothing")),
        put(PutRequest {
            prev_kv: true,
            ..s.set("a", "2")
        }),
        range(s.get_all()),
        delete(s.del("nothing")),
        delete(DeleteRangeRequest {
            prev_kv: true,
            ..s.del("b")
        }),
        put(s.set("c", "1")),
        range(RangeRequest {
            count_only: true,
            ..s.get_all()
        }),
    ];
    s.txn("mixed", all(ops)).await;
    s.txn("empty", TxnRequest::default()).await;
    s.txn("reads only", all(vec![range(s.get("a"))])).await;
    s.txn("deletes nothing", all(vec![delete(s.del("nothing"))]))
        .await;
    let failing = TxnRequest {
        compare: vec![missing(&s, "a")],
        success: vec![put(s.set("a", "3"))],
        failure: vec![range(s.get("a"))],
    };
    s.txn("else", failing).await;
    let both = TxnRequest {
        compare: vec![missing(&s, "x"), missing(&s, "a")],
        success: vec![put(s.set("a", "3"))],
        failure: vec![],
    };
    s.txn("one of two fails", both).await;
    s.txn(
        "deletes all, writes one",
        all(vec![delete(s.del_range("a", "d")), put(s.set("d", "1"))]),
    )
    .await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        a: r1
        mixed: r2 true {range r1 [(a=1 r1/r1/1)] of 1; delete r1 0 deleted []; put r2 was (a=1 r1/r1/1); range r2 [(a=2 r1/r2/2)] of 1; delete r2 0 deleted []; delete r2 0 deleted []; put r2; range r2 [] of 2}
        empty: r2 true {}
        reads only: r2 true {range r2 [(a=2 r1/r2/2)] of 1}
        deletes nothing: r2 true {delete r2 0 deleted []}
        else: r2 false {range r2 [(a=2 r1/r2/2)] of 1}
        one of two fails: r2 false {}
        deletes all, writes one: r3 true {delete r3 2 deleted []; put r3}
        left: r3 [(d=1 r3/r3/1)] of 1
    "#]]).await;
}

async fn nesting(mut s: Session) {
    let guarded = |s: &Session, key: &str, value: &str| TxnRequest {
        compare: vec![missing(s, key)],
        success: vec![put(s.set(key, value))],
        failure: vec![range(s.get(key))],
    };
    s.put("b", s.set("b", "theirs")).await;
    let children = vec![
        txn(guarded(&s, "a", "ours")),
        txn(guarded(&s, "b", "ours")),
        txn(TxnRequest::default()),
    ];
    s.txn("each child for itself", all(children)).await;
    // All conditions are evaluated before any write: the second child does not see the first one's key.
    let children = vec![
        txn(all(vec![put(s.set("c", "1"))])),
        txn(TxnRequest {
            compare: vec![missing(&s, "c")],
            ..TxnRequest::default()
        }),
    ];
    s.txn("conditions come first", all(children)).await;
    let children = vec![
        put(s.set("d", "1")),
        txn(all(vec![
            range(s.get("d")),
            txn(all(vec![put(s.set("e", "1"))])),
        ])),
        range(s.get("e")),
    ];
    s.txn("reads see earlier writes", all(children)).await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        b: r1
        each child for itself: r2 true {txn 0 true {put r2}; txn 0 false {range r2 [(b=theirs r1/r1/1)] of 1}; txn 0 true {}}
        conditions come first: r3 true {txn 0 true {put r3}; txn 0 true {}}
        reads see earlier writes: r4 true {put r4; txn 0 true {range r4 [(d=1 r4/r4/1)] of 1; txn 0 true {put r4}}; range r4 [(e=1 r4/r4/1)] of 1}
        left: r4 [(a=ours r2/r2/1)(b=theirs r1/r1/1)(c=1 r3/r3/1)(d=1 r4/r4/1)(e=1 r4/r4/1)] of 5
    "#]]).await;
}

async fn all_or_nothing(mut s: Session) {
    let mut watcher = s.watch("watch", s.watch_all()).await;
    let no_lease = |s: &Session| {
        put(PutRequest {
            lease: 77,
            ..s.set("x", "1")
        })
    };
    s.txn(
        "lease missing",
        all(vec![put(s.set("a", "1")), no_lease(&s)]),
    )
    .await;
    s.txn(
        "in a child",
        all(vec![put(s.set("a", "1")), txn(all(vec![no_lease(&s)]))]),
    )
    .await;
    let otherwise = TxnRequest {
        success: vec![put(s.set("a", "1"))],
        failure: vec![no_lease(&s)],
        ..TxnRequest::default()
    };
    s.txn("in the branch not taken", otherwise).await;
    s.txn(
        "nothing to keep",
        all(vec![
            put(s.set("b", "1")),
            put(PutRequest {
                ignore_value: true,
                ..s.set("x", "")
            }),
        ]),
    )
    .await;
    s.txn(
        "future",
        all(vec![
            put(s.set("b", "1")),
            range(RangeRequest {
                revision: i64::MAX,
                ..s.get("a")
            }),
        ]),
    )
    .await;
    s.show("left").await;
    s.put("end", s.set("end", "")).await;
    s.events("events", &mut watcher, 2).await;
    s.expect(expect![[r#"
        r0
        watch: watch 0 created
        lease missing: NotFound: etcdserver: requested lease not found
        in a child: NotFound: etcdserver: requested lease not found
        in the branch not taken: r1 true {put r1}
        nothing to keep: InvalidArgument: etcdserver: key not found
        future: OutOfRange: etcdserver: mvcc: required revision is a future revision
        left: r1 [(a=1 r1/r1/1)] of 1
        end: r2
        events:
          PUT (a=1 r1/r1/1)
          PUT (end= r2/r2/1)
    "#]])
        .await;
}
