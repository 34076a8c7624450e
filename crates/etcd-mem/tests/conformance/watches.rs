//! Watches: history and present, filters, ids, progress, fragments.

use etcd_api::watch_create_request::FilterType;
use etcd_api::{DeleteRangeRequest, PutRequest, WatchCreateRequest};
use expect_test::expect;

use crate::session::Session;
use crate::target::Target;
use crate::txns::{all, delete, put, txn};
use crate::watcher::Watcher;

pub async fn run(target: &Target) {
    history_and_present(Session::new(target, "watches-history").await).await;
    ranges(Session::new(target, "watches-ranges").await).await;
    filters(Session::new(target, "watches-filters").await).await;
    transactions(Session::new(target, "watches-transactions").await).await;
    ids(Session::new(target, "watches-ids").await).await;
    progress(Session::new(target, "watches-progress").await).await;
    fragments(Session::new(target, "watches-fragments").await).await;
    future(Session::new(target, "watches-future").await).await;
}

async fn history_and_present(mut s: Session) {
    let first = s
        .put("a", s.set("a", "1"))
        .await
        .and_then(|r| r.header)
        .map_or(0, |h| h.revision);
    s.put("b", s.set("b", "1")).await;
    s.delete("a deleted", s.del("a")).await;
    let from = |s: &Session, start_revision| WatchCreateRequest {
        start_revision,
        prev_kv: true,
        ..s.watch_all()
    };
    let mut whole = s.watch("from the first", from(&s, first)).await;
    let mut late = s.watch("from the last", from(&s, first + 2)).await;
    let mut next = s.watch("from now", from(&s, 0)).await;
    s.put("a anew", s.set("a", "2")).await;
    s.put("a again", s.set("a", "3")).await;
    s.events("from the first", &mut whole, 5).await;
    s.events("from the last", &mut late, 3).await;
    s.events("from now", &mut next, 2).await;
    s.expect(expect![[r#"
        r0
        a: r1
        b: r2
        a deleted: r3 1 deleted []
        from the first: watch 0 created
        from the last: watch 0 created
        from now: watch 0 created
        a anew: r4
        a again: r5
        from the first:
          PUT (a=1 r1/r1/1)
          PUT (b=1 r2/r2/1)
          DELETE (a= 0/r3/0) was (a=1 r1/r1/1)
          PUT (a=2 r4/r4/1)
          PUT (a=3 r4/r5/2) was (a=2 r4/r4/1)
        from the last:
          DELETE (a= 0/r3/0) was (a=1 r1/r1/1)
          PUT (a=2 r4/r4/1)
          PUT (a=3 r4/r5/2) was (a=2 r4/r4/1)
        from now:
          PUT (a=2 r4/r4/1)
          PUT (a=3 r4/r5/2) was (a=2 r4/r4/1)
    "#]])
        .await;
}

async fn ranges(mut s: Session) {
    let single = WatchCreateRequest {
        key: s.key("b"),
        ..WatchCreateRequest::default()
    };
    let some = WatchCreateRequest {
        key: s.key("b"),
        range_end: s.key("d"),
        ..WatchCreateRequest::default()
    };
    let mut single = s.watch("single", single).await;
    let mut some = s.watch("some", some).await;
    for key in ["a", "b", "ba", "c", "d"] {
        s.put(key, s.set(key, "1")).await;
    }
    s.delete("all", s.del_range("a", "e")).await;
    s.events("single", &mut single, 2).await;
    s.events("some", &mut some, 6).await;
    let inverse = WatchCreateRequest {
        range_end: s.key("a"),
        ..WatchCreateRequest {
            key: s.key("b"),
            ..Default::default()
        }
    };
    s.watch("inverse", inverse).await;
    s.expect(expect![[r#"
        r0
        single: watch 0 created
        some: watch 0 created
        a: r1
        b: r2
        ba: r3
        c: r4
        d: r5
        all: r6 5 deleted []
        single:
          PUT (b=1 r2/r2/1)
          DELETE (b= 0/r6/0)
        some:
          PUT (b=1 r2/r2/1)
          PUT (ba=1 r3/r3/1)
          PUT (c=1 r4/r4/1)
          DELETE (b= 0/r6/0)
          DELETE (ba= 0/r6/0)
          DELETE (c= 0/r6/0)
        inverse: watch -1 created canceled because mvcc: watcher range is empty
    "#]])
        .await;
}

async fn filters(mut s: Session) {
    let filtered = |s: &Session, filters: &[FilterType]| WatchCreateRequest {
        filters: filters.iter().map(|filter| (*filter).into()).collect(),
        ..s.watch_all()
    };
    let mut deletions = s
        .watch("deletions", filtered(&s, &[FilterType::Noput]))
        .await;
    let mut writes = s
        .watch("writes", filtered(&s, &[FilterType::Nodelete]))
        .await;
    s.put("a", s.set("a", "1")).await;
    s.delete("a", s.del("a")).await;
    s.put("b", s.set("b", "1")).await;
    s.delete("b", s.del("b")).await;
    s.events("deletions", &mut deletions, 2).await;
    s.events("writes", &mut writes, 2).await;
    s.expect(expect![[r#"
        r0
        deletions: watch 0 created
        writes: watch 0 created
        a: r1
        a: r2 1 deleted []
        b: r3
        b: r4 1 deleted []
        deletions:
          DELETE (a= 0/r2/0)
          DELETE (b= 0/r4/0)
        writes:
          PUT (a=1 r1/r1/1)
          PUT (b=1 r3/r3/1)
    "#]])
        .await;
}

/// The harness checks that a revision comes in one message.
async fn transactions(mut s: Session) {
    s.put("a", s.set("a", "0")).await;
    let mut watcher = s
        .watch(
            "watch",
            WatchCreateRequest {
                prev_kv: true,
                ..s.watch_all()
            },
        )
        .await;
    s.txn(
        "in the order of writing",
        all(vec![
            put(s.set("c", "1")),
            put(s.set("b", "1")),
            delete(s.del("a")),
        ]),
    )
    .await;
    s.txn("nothing", all(vec![delete(s.del("a"))])).await;
    let twice = all(vec![
        txn(all(vec![put(s.set("b", "2"))])),
        txn(all(vec![delete(s.del("b"))])),
    ]);
    s.txn("written, then deleted", twice).await;
    s.put("end", s.set("end", "1")).await;
    s.events("events", &mut watcher, 6).await;
    s.expect(expect![[r#"
        r0
        a: r1
        watch: watch 0 created
        in the order of writing: r2 true {put r2; put r2; delete r2 1 deleted []}
        nothing: r2 true {delete r2 0 deleted []}
        written, then deleted: r3 true {txn 0 true {put r3}; txn 0 true {delete r3 1 deleted []}}
        end: r4
        events:
          PUT (c=1 r2/r2/1)
          PUT (b=1 r2/r2/1)
          DELETE (a= 0/r2/0) was (a=0 r1/r1/1)
          PUT (b=2 r2/r3/2) was (b=1 r2/r2/1)
          DELETE (b= 0/r3/0) was (b=1 r2/r2/1)
          PUT (end=1 r4/r4/1)
    "#]])
        .await;
}

async fn ids(mut s: Session) {
    let with_id = |s: &Session, watch_id| WatchCreateRequest {
        watch_id,
        ..s.watch_all()
    };
    let mut stream = s.watch("first", s.watch_all()).await;
    for id in [0, 3, 3, 0, 2, 0, 0] {
        stream.create(with_id(&s, id)).await;
        note_message(&mut s, &mut stream, &format!("wished {id}")).await;
    }
    stream.cancel(99).await;
    stream.cancel(3).await;
    note_message(&mut s, &mut stream, "canceled").await;
    stream.cancel(3).await;
    stream.create(with_id(&s, 3)).await;
    note_message(&mut s, &mut stream, "3 is free").await;
    s.expect(expect![[r#"
        r0
        first: watch 0 created
        wished 0: watch 1 created
        wished 3: watch 3 created
        wished 3: watch -1 created canceled because mvcc: duplicate watch ID provided on the WatchStream
        wished 0: watch 2 created
        wished 2: watch -1 created canceled because mvcc: duplicate watch ID provided on the WatchStream
        wished 0: watch 4 created
        wished 0: watch 5 created
        canceled: watch 3 canceled
        3 is free: watch 3 created
    "#]]).await;
}

async fn note_message(s: &mut Session, stream: &mut Watcher, label: &str) {
    let message = stream.message().await;
    let mut line = format!("{label}: {}", s.text_of_watch(&message));
    for event in &message.events {
        line.push_str(&format!(" {}", s.text_of_event(event)));
    }
    s.note(&line);
}

async fn progress(mut s: Session) {
    let mut stream = s.watch("watch", s.watch_all()).await;
    let revision = s
        .put("a", s.set("a", "1"))
        .await
        .and_then(|r| r.header)
        .map_or(0, |h| h.revision);
    s.events("event", &mut stream, 1).await;
    stream.ask_progress().await;
    let answer = stream.message().await;
    s.note(&format!(
        "{} with {} events",
        s.text_of_watch(&answer),
        answer.events.len()
    ));
    s.note(&format!(
        "revision: {}",
        answer.header.map_or(0, |header| header.revision) >= revision
    ));
    s.expect(expect![[r#"
        r0
        watch: watch 0 created
        a: r1
        event:
          PUT (a=1 r1/r1/1)
        watch -1 with 0 events
        revision: true
    "#]])
        .await;
}

/// Three values of 900 kB, each in two events (before and after), make a message that must be split.
async fn fragments(mut s: Session) {
    let value = vec![b'x'; 900 << 10];
    for key in ["a", "b", "c"] {
        s.put(
            key,
            PutRequest {
                key: s.key(key),
                value: value.clone(),
                ..PutRequest::default()
            },
        )
        .await;
    }
    let start = WatchCreateRequest {
        prev_kv: true,
        fragment: true,
        ..s.watch_all()
    };
    let mut stream = s.watch("watch", start).await;
    s.delete("all", s.del_range("a", "d")).await;
    let mut marks = Vec::new();
    let mut events = Vec::new();
    while events.len() < 3 {
        let message = stream.message().await;
        marks.push(message.fragment);
        events.extend(message.events);
    }
    // How many parts there are depends on the version; all but the last are marked.
    let last = marks.pop();
    s.note(&format!(
        "split: {}, marked: {}, last: {last:?}",
        !marks.is_empty(),
        marks.iter().all(|mark| *mark)
    ));
    for event in &events {
        s.note(&s.text_of_event(event));
    }
    s.delete(
        "nothing",
        DeleteRangeRequest {
            prev_kv: true,
            ..s.del("a")
        },
    )
    .await;
    s.expect(expect![[r#"
        r0
        a: r1
        b: r2
        c: r3
        watch: watch 0 created
        all: r4 3 deleted []
        split: true, marked: true, last: Some(false)
        DELETE (a= 0/r4/0) was (a=921600 bytes r1/r1/1)
        DELETE (b= 0/r4/0) was (b=921600 bytes r2/r2/1)
        DELETE (c= 0/r4/0) was (c=921600 bytes r3/r3/1)
        nothing: r4 0 deleted []
    "#]])
        .await;
}

/// A watch from a revision that is not reached is silent until then.
async fn future(mut s: Session) {
    let start_revision = s.revision + 3;
    let mut stream = s
        .watch(
            "watch",
            WatchCreateRequest {
                start_revision,
                ..s.watch_all()
            },
        )
        .await;
    for value in ["1", "2", "3", "4"] {
        s.put("a", s.set("a", value)).await;
    }
    s.events("events", &mut stream, 2).await;
    s.expect(expect![[r#"
        r0
        watch: watch 0 created
        a: r1
        a: r2
        a: r3
        a: r4
        events:
          PUT (a=3 r1/r3/3)
          PUT (a=4 r1/r4/4)
    "#]])
        .await;
}
