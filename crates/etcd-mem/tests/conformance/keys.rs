//! Single calls on keys: Range, Put, DeleteRange.

use etcd_api::range_request::{SortOrder, SortTarget};
use etcd_api::{DeleteRangeRequest, PutRequest, RangeRequest};
use expect_test::expect;

use crate::session::Session;
use crate::target::Target;

pub async fn run(target: &Target) {
    puts(Session::new(target, "keys-puts").await).await;
    refused_puts(Session::new(target, "keys-refused-puts").await).await;
    ranges(Session::new(target, "keys-ranges").await).await;
    limits(Session::new(target, "keys-limits").await).await;
    bounds(Session::new(target, "keys-bounds").await).await;
    sorting(Session::new(target, "keys-sorting").await).await;
    revisions(Session::new(target, "keys-revisions").await).await;
    deletions(Session::new(target, "keys-deletions").await).await;
}

async fn puts(mut s: Session) {
    let lease = s.grant("grant", 60, 0).await.unwrap_or_default();
    s.put("create", s.set("a", "1")).await;
    s.put(
        "overwrite",
        PutRequest {
            prev_kv: true,
            lease,
            ..s.set("a", "2")
        },
    )
    .await;
    s.put(
        "the same again",
        PutRequest {
            prev_kv: true,
            lease,
            ..s.set("a", "2")
        },
    )
    .await;
    s.put(
        "keep the value",
        PutRequest {
            prev_kv: true,
            ignore_value: true,
            ..s.set("a", "")
        },
    )
    .await;
    s.put(
        "no previous",
        PutRequest {
            prev_kv: true,
            lease,
            ..s.set("b", "1")
        },
    )
    .await;
    s.put(
        "keep the lease",
        PutRequest {
            ignore_lease: true,
            ..s.set("b", "2")
        },
    )
    .await;
    s.put("empty value", s.set("c", "")).await;
    s.show("all").await;
    s.expect(expect![[r#"
        r0
        grant: L1 ttl=60 r0
        create: r1
        overwrite: r2 was (a=1 r1/r1/1)
        the same again: r3 was (a=2 r1/r2/2 L1)
        keep the value: r4 was (a=2 r1/r3/3 L1)
        no previous: r5
        keep the lease: r6
        empty value: r7
        all: r7 [(a=2 r1/r4/4)(b=2 r5/r6/2 L1)(c= r7/r7/1)] of 3
    "#]])
        .await;
}

async fn refused_puts(mut s: Session) {
    let lease = s.grant("grant", 60, 0).await.unwrap_or_default();
    s.put("create", s.set("a", "1")).await;
    s.put("empty key", PutRequest::default()).await;
    s.put(
        "keep and give a value",
        PutRequest {
            ignore_value: true,
            ..s.set("a", "3")
        },
    )
    .await;
    s.put(
        "keep and give a lease",
        PutRequest {
            ignore_lease: true,
            lease,
            ..s.set("a", "3")
        },
    )
    .await;
    s.put(
        "keep the value of nothing",
        PutRequest {
            ignore_value: true,
            ..s.set("d", "")
        },
    )
    .await;
    s.put(
        "keep the lease of nothing",
        PutRequest {
            ignore_lease: true,
            ..s.set("d", "1")
        },
    )
    .await;
    s.put(
        "no such lease",
        PutRequest {
            lease: 77,
            ..s.set("a", "3")
        },
    )
    .await;
    s.put(
        "no such lease, nothing to keep",
        PutRequest {
            lease: 77,
            ignore_value: true,
            ..s.set("d", "")
        },
    )
    .await;
    s.show("nothing changed").await;
    s.expect(expect![[r#"
        r0
        grant: L1 ttl=60 r0
        create: r1
        empty key: InvalidArgument: etcdserver: key is not provided
        keep and give a value: InvalidArgument: etcdserver: value is provided
        keep and give a lease: InvalidArgument: etcdserver: lease is provided
        keep the value of nothing: InvalidArgument: etcdserver: key not found
        keep the lease of nothing: InvalidArgument: etcdserver: key not found
        no such lease: NotFound: etcdserver: requested lease not found
        no such lease, nothing to keep: NotFound: etcdserver: requested lease not found
        nothing changed: r1 [(a=1 r1/r1/1)] of 1
    "#]])
        .await;
}

async fn ranges(mut s: Session) {
    for key in ["a", "ab", "b", "c"] {
        s.put(key, s.set(key, "1")).await;
    }
    s.range("one", s.get("a")).await;
    s.range("none", s.get("d")).await;
    s.range("end exclusive", s.get_range("a", "b")).await;
    s.range("end before start", s.get_range("b", "a")).await;
    s.range("end is start", s.get_range("b", "b")).await;
    s.range("empty key", RangeRequest::default()).await;
    let alone = RangeRequest {
        serializable: true,
        ..s.get("a")
    };
    s.range("serializable", alone).await;
    let open = RangeRequest {
        range_end: vec![0],
        limit: 2,
        ..s.get("b")
    };
    let kvs = s.kv().range(open).await.expect("a range").into_inner().kvs;
    let kvs: Vec<String> = kvs.iter().map(|kv| s.text_of_key(&kv.key)).collect();
    s.note(&format!("without end: {kvs:?}"));
    s.expect(expect![[r#"
        r0
        a: r1
        ab: r2
        b: r3
        c: r4
        one: r4 [(a=1 r1/r1/1)] of 1
        none: r4 [] of 0
        end exclusive: r4 [(a=1 r1/r1/1)(ab=1 r2/r2/1)] of 2
        end before start: r4 [] of 0
        end is start: r4 [] of 0
        empty key: InvalidArgument: etcdserver: key is not provided
        serializable: r4 [(a=1 r1/r1/1)] of 1
        without end: ["b", "c"]
    "#]])
        .await;
}

async fn limits(mut s: Session) {
    for key in ["a", "ab", "b", "c"] {
        s.put(key, s.set(key, "1")).await;
    }
    for limit in [-1, 1, 2, 4, 5] {
        let limited = RangeRequest {
            limit,
            ..s.get_all()
        };
        s.range(&format!("limit {limit}"), limited).await;
    }
    let count = RangeRequest {
        count_only: true,
        ..s.get_all()
    };
    s.range("count", count.clone()).await;
    s.range("count with limit", RangeRequest { limit: 1, ..count })
        .await;
    let keys = RangeRequest {
        keys_only: true,
        ..s.get_all()
    };
    s.range("keys only", keys).await;
    s.expect(expect![[r#"
        r0
        a: r1
        ab: r2
        b: r3
        c: r4
        limit -1: r4 [(a=1 r1/r1/1)(ab=1 r2/r2/1)(b=1 r3/r3/1)(c=1 r4/r4/1)] of 4
        limit 1: r4 [(a=1 r1/r1/1)] of 4 more
        limit 2: r4 [(a=1 r1/r1/1)(ab=1 r2/r2/1)] of 4 more
        limit 4: r4 [(a=1 r1/r1/1)(ab=1 r2/r2/1)(b=1 r3/r3/1)(c=1 r4/r4/1)] of 4
        limit 5: r4 [(a=1 r1/r1/1)(ab=1 r2/r2/1)(b=1 r3/r3/1)(c=1 r4/r4/1)] of 4
        count: r4 [] of 4
        count with limit: r4 [] of 4
        keys only: r4 [(a= r1/r1/1)(ab= r2/r2/1)(b= r3/r3/1)(c= r4/r4/1)] of 4
    "#]])
        .await;
}

/// The count does not heed the bounds, the limit comes after them.
async fn bounds(mut s: Session) {
    for key in ["a", "ab", "b", "c"] {
        s.put(key, s.set(key, "1")).await;
    }
    s.put("b again", s.set("b", "2")).await;
    let third = s.revision + 3;
    let changed_since = RangeRequest {
        min_mod_revision: third,
        ..s.get_all()
    };
    let changed_before = RangeRequest {
        max_mod_revision: third,
        ..s.get_all()
    };
    let created_since = RangeRequest {
        min_create_revision: third,
        ..s.get_all()
    };
    let created_before = RangeRequest {
        max_create_revision: third,
        ..s.get_all()
    };
    s.range("changed since", changed_since.clone()).await;
    s.range("changed before", changed_before).await;
    s.range("created since", created_since).await;
    s.range("created before", created_before).await;
    s.range(
        "with limit",
        RangeRequest {
            limit: 1,
            ..changed_since
        },
    )
    .await;
    s.expect(expect![[r#"
        r0
        a: r1
        ab: r2
        b: r3
        c: r4
        b again: r5
        changed since: r5 [(b=2 r3/r5/2)(c=1 r4/r4/1)] of 4
        changed before: r5 [(a=1 r1/r1/1)(ab=1 r2/r2/1)] of 4
        created since: r5 [(b=2 r3/r5/2)(c=1 r4/r4/1)] of 4
        created before: r5 [(a=1 r1/r1/1)(ab=1 r2/r2/1)(b=2 r3/r5/2)] of 4
        with limit: r5 [(b=2 r3/r5/2)] of 4 more
    "#]])
        .await;
}

async fn sorting(mut s: Session) {
    for (key, value) in [
        ("b", "3"),
        ("c", "2"),
        ("a", "5"),
        ("c", "4"),
        ("a", "1"),
        ("c", "9"),
    ] {
        s.put(key, s.set(key, value)).await;
    }
    for target in [
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ] {
        for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
            let request = RangeRequest {
                sort_target: target.into(),
                sort_order: order.into(),
                ..s.get_all()
            };
            s.range(&format!("{target:?} {order:?}"), request).await;
        }
    }
    let by_value = RangeRequest {
        sort_target: SortTarget::Value.into(),
        sort_order: SortOrder::Descend.into(),
        keys_only: true,
        limit: 2,
        ..s.get_all()
    };
    s.range("sorted, limited, then stripped", by_value).await;
    s.expect(expect![[r#"
        r0
        b: r1
        c: r2
        a: r3
        c: r4
        a: r5
        c: r6
        Key None: r6 [(a=1 r3/r5/2)(b=3 r1/r1/1)(c=9 r2/r6/3)] of 3
        Key Ascend: r6 [(a=1 r3/r5/2)(b=3 r1/r1/1)(c=9 r2/r6/3)] of 3
        Key Descend: r6 [(c=9 r2/r6/3)(b=3 r1/r1/1)(a=1 r3/r5/2)] of 3
        Version None: r6 [(b=3 r1/r1/1)(a=1 r3/r5/2)(c=9 r2/r6/3)] of 3
        Version Ascend: r6 [(b=3 r1/r1/1)(a=1 r3/r5/2)(c=9 r2/r6/3)] of 3
        Version Descend: r6 [(c=9 r2/r6/3)(a=1 r3/r5/2)(b=3 r1/r1/1)] of 3
        Create None: r6 [(b=3 r1/r1/1)(c=9 r2/r6/3)(a=1 r3/r5/2)] of 3
        Create Ascend: r6 [(b=3 r1/r1/1)(c=9 r2/r6/3)(a=1 r3/r5/2)] of 3
        Create Descend: r6 [(a=1 r3/r5/2)(c=9 r2/r6/3)(b=3 r1/r1/1)] of 3
        Mod None: r6 [(b=3 r1/r1/1)(a=1 r3/r5/2)(c=9 r2/r6/3)] of 3
        Mod Ascend: r6 [(b=3 r1/r1/1)(a=1 r3/r5/2)(c=9 r2/r6/3)] of 3
        Mod Descend: r6 [(c=9 r2/r6/3)(a=1 r3/r5/2)(b=3 r1/r1/1)] of 3
        Value None: r6 [(a=1 r3/r5/2)(b=3 r1/r1/1)(c=9 r2/r6/3)] of 3
        Value Ascend: r6 [(a=1 r3/r5/2)(b=3 r1/r1/1)(c=9 r2/r6/3)] of 3
        Value Descend: r6 [(c=9 r2/r6/3)(b=3 r1/r1/1)(a=1 r3/r5/2)] of 3
        sorted, limited, then stripped: r6 [(c= r2/r6/3)(b= r1/r1/1)] of 3 more
    "#]])
        .await;
}

async fn revisions(mut s: Session) {
    let first = s
        .put("a", s.set("a", "1"))
        .await
        .and_then(|r| r.header)
        .map_or(0, |h| h.revision);
    s.put("b", s.set("b", "1")).await;
    s.put("a again", s.set("a", "2")).await;
    s.delete("a deleted", s.del("a")).await;
    s.put("a anew", s.set("a", "3")).await;
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
    s.range(
        "count then",
        RangeRequest {
            revision: first,
            count_only: true,
            ..s.get_all()
        },
    )
    .await;
    s.range(
        "before",
        RangeRequest {
            revision: first - 1,
            ..s.get_all()
        },
    )
    .await;
    s.range(
        "negative is now",
        RangeRequest {
            revision: -1,
            ..s.get_all()
        },
    )
    .await;
    s.range(
        "future",
        RangeRequest {
            revision: i64::MAX,
            ..s.get_all()
        },
    )
    .await;
    s.expect(expect![[r#"
        r0
        a: r1
        b: r2
        a again: r3
        a deleted: r4 1 deleted []
        a anew: r5
        after 0: r5 [(a=1 r1/r1/1)] of 1
        after 1: r5 [(a=1 r1/r1/1)(b=1 r2/r2/1)] of 2
        after 2: r5 [(a=2 r1/r3/2)(b=1 r2/r2/1)] of 2
        after 3: r5 [(b=1 r2/r2/1)] of 1
        after 4: r5 [(a=3 r5/r5/1)(b=1 r2/r2/1)] of 2
        count then: r5 [] of 1
        before: r5 [] of 0
        negative is now: r5 [(a=3 r5/r5/1)(b=1 r2/r2/1)] of 2
        future: OutOfRange: etcdserver: mvcc: required revision is a future revision
    "#]])
        .await;
}

async fn deletions(mut s: Session) {
    for key in ["a", "b", "c", "d"] {
        s.put(key, s.set(key, "1")).await;
    }
    s.delete("one", s.del("a")).await;
    s.delete("gone already", s.del("a")).await;
    s.delete(
        "range",
        DeleteRangeRequest {
            prev_kv: true,
            ..s.del_range("b", "d")
        },
    )
    .await;
    s.delete("empty range", s.del_range("d", "a")).await;
    s.delete("empty key", DeleteRangeRequest::default()).await;
    s.put("a deleted key begins anew", s.set("a", "2")).await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        a: r1
        b: r2
        c: r3
        d: r4
        one: r5 1 deleted []
        gone already: r5 0 deleted []
        range: r6 2 deleted [(b=1 r2/r2/1)(c=1 r3/r3/1)]
        empty range: r6 0 deleted []
        empty key: InvalidArgument: etcdserver: key is not provided
        a deleted key begins anew: r7
        left: r7 [(a=2 r7/r7/1)(d=1 r4/r4/1)] of 2
    "#]])
        .await;
}
