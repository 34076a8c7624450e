//! Forgetting history, and what watches notice of it.

use etcd_api::{RangeRequest, WatchCreateRequest};
use expect_test::expect;

use crate::session::Session;
use crate::target::Target;
use crate::txns::{all, put, range};

pub async fn run(target: &Target) {
    reads(Session::new(target, "compaction-reads").await).await;
    watches(Session::new(target, "compaction-watches").await).await;
}

async fn reads(mut s: Session) {
    let first = s
        .put("a", s.set("a", "1"))
        .await
        .and_then(|r| r.header)
        .map_or(0, |h| h.revision);
    s.put("a again", s.set("a", "2")).await;
    s.put("b", s.set("b", "1")).await;
    s.delete("b deleted", s.del("b")).await;
    s.put("a once more", s.set("a", "3")).await;
    s.compact("compact", first + 2).await;
    for age in 0..5 {
        s.range(
            &format!("after {age}"),
            RangeRequest {
                revision: first + age,
                ..s.get_all()
            },
        )
        .await;
    }
    let within = all(vec![
        put(s.set("c", "1")),
        range(RangeRequest {
            revision: first,
            ..s.get("a")
        }),
    ]);
    s.txn("within a transaction", within).await;
    s.compact("the same again", first + 2).await;
    s.compact("earlier", first).await;
    s.compact("zero", 0).await;
    s.compact("future", first + 1000).await;
    s.compact("now", first + 4).await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        a: r1
        a again: r2
        b: r3
        b deleted: r4 1 deleted []
        a once more: r5
        compact: r5
        after 0: OutOfRange: etcdserver: mvcc: required revision has been compacted
        after 1: OutOfRange: etcdserver: mvcc: required revision has been compacted
        after 2: r5 [(a=2 r1/r2/2)(b=1 r3/r3/1)] of 2
        after 3: r5 [(a=2 r1/r2/2)] of 1
        after 4: r5 [(a=3 r1/r5/3)] of 1
        within a transaction: OutOfRange: etcdserver: mvcc: required revision has been compacted
        the same again: OutOfRange: etcdserver: mvcc: required revision has been compacted
        earlier: OutOfRange: etcdserver: mvcc: required revision has been compacted
        zero: OutOfRange: etcdserver: mvcc: required revision has been compacted
        future: OutOfRange: etcdserver: mvcc: required revision is a future revision
        now: r5
        left: r5 [(a=3 r1/r5/3)] of 1
    "#]])
        .await;
}

async fn watches(mut s: Session) {
    let from = |s: &Session, start_revision| WatchCreateRequest {
        start_revision,
        prev_kv: true,
        ..s.watch_all()
    };
    let mut running = s.watch("running", from(&s, 0)).await;
    let first = s
        .put("a", s.set("a", "1"))
        .await
        .and_then(|r| r.header)
        .map_or(0, |h| h.revision);
    s.put("a again", s.set("a", "2")).await;
    s.put("a once more", s.set("a", "3")).await;
    s.delete("a deleted", s.del("a")).await;
    s.compact("compact", first + 2).await;
    let mut late = s.watch("too early a start", from(&s, first + 1)).await;
    let end = late.message().await;
    s.note(&format!(
        "then: {} ({} events)",
        s.text_of_watch(&end),
        end.events.len()
    ));
    let mut just = s
        .watch("from the compacted revision", from(&s, first + 2))
        .await;
    s.put("b", s.set("b", "1")).await;
    s.events("just in time", &mut just, 3).await;
    // A running watch does not notice. Whether it is told the previous keys depends on how fast it was.
    for event in running.events(5).await {
        let event = etcd_api::Event {
            prev_kv: None,
            ..event
        };
        s.note(&format!("running: {}", s.text_of_event(&event)));
    }
    s.expect(expect![[r#"
        r0
        running: watch 0 created
        a: r1
        a again: r2
        a once more: r3
        a deleted: r4 1 deleted []
        compact: r4
        too early a start: watch 0 created
        then: watch 0 canceled compacted at r3 (0 events)
        from the compacted revision: watch 0 created
        b: r5
        just in time:
          PUT (a=3 r1/r3/3)
          DELETE (a= 0/r4/0) was (a=3 r1/r3/3)
          PUT (b=1 r5/r5/1)
        running: PUT (a=1 r1/r1/1)
        running: PUT (a=2 r1/r2/2)
        running: PUT (a=3 r1/r3/3)
        running: DELETE (a= 0/r4/0)
        running: PUT (b=1 r5/r5/1)
    "#]])
        .await;
}
