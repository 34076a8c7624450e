//! Transactions that are refused whatever the store holds.

use etcd_api::compare::{CompareResult, TargetUnion};
use etcd_api::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use expect_test::expect;

use crate::compares::compare;
use crate::session::Session;
use crate::target::Target;
use crate::txns::{all, delete, put, range, txn, when};

pub async fn run(target: &Target) {
    duplicates(Session::new(target, "refusals-duplicates").await).await;
    overlaps(Session::new(target, "refusals-overlaps").await).await;
    invalid(Session::new(target, "refusals-invalid").await).await;
}

/// A key may be written once, whichever way the transactions within go.
async fn duplicates(mut s: Session) {
    let a = put(s.set("a", "1"));
    let child = txn(all(vec![a.clone()]));
    let twice = vec![a.clone(), a.clone()];
    let either = when(vec![], vec![a.clone()], vec![a.clone()]);
    s.txn("twice", all(twice.clone())).await;
    s.txn("twice, not taken", when(vec![], vec![], twice)).await;
    s.txn("in then and in else", either.clone()).await;
    s.txn("in parent and child", all(vec![a, child.clone()]))
        .await;
    s.txn("in two children", all(vec![child.clone(), child]))
        .await;
    s.txn("in both ways of a child", all(vec![txn(either)]))
        .await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        twice: InvalidArgument: etcdserver: duplicate key given in txn request
        twice, not taken: InvalidArgument: etcdserver: duplicate key given in txn request
        in then and in else: r1 true {put r1}
        in parent and child: InvalidArgument: etcdserver: duplicate key given in txn request
        in two children: InvalidArgument: etcdserver: duplicate key given in txn request
        in both ways of a child: r2 true {txn 0 true {put r2}}
        left: r2 [(a=1 r1/r2/2)] of 1
    "#]])
        .await;
}

/// A key may not be written and deleted, as far as etcd notices.
async fn overlaps(mut s: Session) {
    let a = put(s.set("a", "1"));
    let child = txn(all(vec![a.clone()]));
    let gone = delete(s.del("a"));
    let gone_too = delete(s.del_range("a", "b"));
    let before = delete(s.del_range("0", "a"));
    let child_gone = txn(all(vec![gone.clone()]));
    s.txn("written and deleted", all(vec![a.clone(), gone.clone()]))
        .await;
    s.txn("deleted by range", all(vec![gone_too.clone(), a.clone()]))
        .await;
    s.txn("outside the range", all(vec![before, a.clone()]))
        .await;
    s.txn("by the parent", all(vec![child.clone(), gone.clone()]))
        .await;
    s.txn(
        "by an earlier child",
        all(vec![child_gone.clone(), child.clone()]),
    )
    .await;
    s.txn("by a later child", all(vec![child, child_gone]))
        .await;
    s.txn("deleted twice", all(vec![gone, gone_too])).await;
    // Not taken: it would delete far more than our keys.
    let open = delete(DeleteRangeRequest {
        range_end: vec![0],
        ..s.del("a")
    });
    s.txn("deleted without end", when(vec![], vec![], vec![a, open]))
        .await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        written and deleted: InvalidArgument: etcdserver: duplicate key given in txn request
        deleted by range: InvalidArgument: etcdserver: duplicate key given in txn request
        outside the range: r1 true {delete r0 0 deleted []; put r1}
        by the parent: InvalidArgument: etcdserver: duplicate key given in txn request
        by an earlier child: InvalidArgument: etcdserver: duplicate key given in txn request
        by a later child: r2 true {txn 0 true {put r2}; txn 0 true {delete r2 1 deleted []}}
        deleted twice: r2 true {delete r2 0 deleted []; delete r2 0 deleted []}
        deleted without end: r2 true {}
        left: r2 [] of 0
    "#]])
        .await;
}

async fn invalid(mut s: Session) {
    let nothing = RequestOp { request: None };
    s.txn("empty operation", all(vec![nothing.clone()])).await;
    s.txn(
        "empty operation, not taken",
        when(vec![], vec![], vec![nothing]),
    )
    .await;
    let keyless = TxnRequest {
        compare: vec![Compare::default()],
        ..TxnRequest::default()
    };
    s.txn("condition without key", keyless).await;
    let write = put(PutRequest::default());
    s.txn(
        "read without key",
        all(vec![range(RangeRequest::default())]),
    )
    .await;
    s.txn("write without key", all(vec![write.clone()])).await;
    s.txn(
        "deletion without key",
        all(vec![delete(DeleteRangeRequest::default())]),
    )
    .await;
    s.txn(
        "in a child, not taken",
        all(vec![txn(when(vec![], vec![], vec![write]))]),
    )
    .await;
    let kept = put(PutRequest {
        ignore_value: true,
        ..s.set("a", "1")
    });
    s.txn("value given and kept", all(vec![kept])).await;
    // Without a given side the target is held against 0 or empty.
    s.put("a", s.set("a", "1")).await;
    let sides = [
        TargetUnion::Version(9),
        TargetUnion::Value("9".into()),
        TargetUnion::Lease(9),
    ];
    for (name, given) in ["version", "value", "lease"].into_iter().zip(sides) {
        let condition = compare(s.key("a"), CompareResult::Greater, given);
        let compare = vec![Compare {
            target_union: None,
            ..condition
        }];
        s.txn(
            &format!("{name} without a side"),
            TxnRequest {
                compare,
                ..TxnRequest::default()
            },
        )
        .await;
    }
    s.expect(expect![[r#"
        r0
        empty operation: InvalidArgument: etcdserver: key not found
        empty operation, not taken: InvalidArgument: etcdserver: key not found
        condition without key: InvalidArgument: etcdserver: key is not provided
        read without key: InvalidArgument: etcdserver: key is not provided
        write without key: InvalidArgument: etcdserver: key is not provided
        deletion without key: InvalidArgument: etcdserver: key is not provided
        in a child, not taken: InvalidArgument: etcdserver: key is not provided
        value given and kept: InvalidArgument: etcdserver: value is provided
        a: r1
        version without a side: r1 true {}
        value without a side: r1 true {}
        lease without a side: r1 false {}
    "#]])
        .await;
}
