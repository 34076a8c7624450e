//! Leases: their life, and the keys that hang on them.

use etcd_api::{LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, PutRequest};
use expect_test::expect;
use tokio_stream::wrappers::ReceiverStream;

use crate::session::{PATIENCE, Session, text_of_lease};
use crate::target::Target;
use crate::txns::{all, put};

pub async fn run(target: &Target) {
    grants(Session::new(target, "leases-grants").await).await;
    keys(Session::new(target, "leases-keys").await).await;
    revocation(Session::new(target, "leases-revocation").await).await;
    keep_alive(Session::new(target, "leases-keep-alive").await).await;
    expiry(Session::new(target, "leases-expiry").await).await;
}

async fn grants(mut s: Session) {
    let chosen = s
        .grant("chosen by the server", 60, 0)
        .await
        .unwrap_or_default();
    s.note(&format!("positive: {}", chosen > 0));
    s.grant("chosen by the client", 60, 4711).await;
    s.grant("taken", 60, 4711).await;
    s.grant("zero is raised", 0, 4712).await;
    s.grant("one is raised", 1, 4713).await;
    s.grant("negative is raised", -5, 4714).await;
    s.grant("negative id", 60, -4715).await;
    s.grant("longest", 9_000_000_000, 4716).await;
    s.grant("too long", 9_000_000_001, 4717).await;
    s.time_to_live("state", 4711).await;
    s.time_to_live("state of a missing one", 77).await;
    s.time_to_live("state of none", 0).await;
    let leases = s
        .lease()
        .lease_leases(LeaseLeasesRequest {})
        .await
        .expect("leases")
        .into_inner()
        .leases;
    let listed = |id: i64| leases.iter().any(|lease| lease.id == id);
    s.note(&format!(
        "listed: {} {} {}",
        listed(chosen),
        listed(4711),
        listed(77)
    ));
    s.revoke("revoke a missing one", 77).await;
    s.revoke("revoke none", 0).await;
    s.expect(expect![[r#"
        r0
        chosen by the server: L1 ttl=60 r0
        positive: true
        chosen by the client: L2 ttl=60 r0
        taken: FailedPrecondition: etcdserver: lease already exists
        zero is raised: L3 ttl=2 r0
        one is raised: L4 ttl=2 r0
        negative is raised: L5 ttl=2 r0
        negative id: L6 ttl=60 r0
        longest: L7 ttl=9000000000 r0
        too long: OutOfRange: etcdserver: too large lease TTL
        state: L2 ttl=ok of 60 keys=[]
        state of a missing one: L8 ttl=-1 of 0 keys=[]
        state of none: L9 ttl=-1 of 0 keys=[]
        listed: true true false
        revoke a missing one: NotFound: etcdserver: requested lease not found
        revoke none: NotFound: etcdserver: requested lease not found
    "#]])
        .await;
}

/// A key hangs on the lease of its last write.
async fn keys(mut s: Session) {
    let one = s.grant("one", 60, 0).await.unwrap_or_default();
    let two = s.grant("two", 60, 0).await.unwrap_or_default();
    for key in ["b", "a", "c", "d", "e"] {
        s.put(
            key,
            PutRequest {
                lease: one,
                ..s.set(key, "1")
            },
        )
        .await;
    }
    s.put(
        "to another",
        PutRequest {
            lease: two,
            ..s.set("a", "2")
        },
    )
    .await;
    s.put("to none", s.set("b", "2")).await;
    s.put(
        "kept",
        PutRequest {
            ignore_lease: true,
            ..s.set("c", "2")
        },
    )
    .await;
    s.delete("deleted", s.del("d")).await;
    s.txn(
        "in a transaction",
        all(vec![put(PutRequest {
            lease: two,
            ..s.set("e", "2")
        })]),
    )
    .await;
    s.time_to_live("one", one).await;
    s.time_to_live("two", two).await;
    s.revoke("revoke one", one).await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        one: L1 ttl=60 r0
        two: L2 ttl=60 r0
        b: r1
        a: r2
        c: r3
        d: r4
        e: r5
        to another: r6
        to none: r7
        kept: r8
        deleted: r9 1 deleted []
        in a transaction: r10 true {put r10}
        one: L1 ttl=ok of 60 keys=[c]
        two: L2 ttl=ok of 60 keys=[a e]
        revoke one: r11
        left: r11 [(a=2 r2/r6/2 L2)(b=2 r1/r7/2)(e=2 r5/r10/2 L2)] of 3
    "#]])
        .await;
}

async fn revocation(mut s: Session) {
    let lease = s.grant("grant", 60, 0).await.unwrap_or_default();
    let mut watcher = s.watch("watch", s.watch_all()).await;
    for key in ["c", "a", "b"] {
        s.put(
            key,
            PutRequest {
                lease,
                ..s.set(key, "1")
            },
        )
        .await;
    }
    s.put("other", s.set("other", "1")).await;
    s.revoke("revoke", lease).await;
    s.revoke("revoke again", lease).await;
    s.events("one revision, in order", &mut watcher, 7).await;
    let unused = s.grant("unused", 60, 0).await.unwrap_or_default();
    s.revoke("no keys, no revision", unused).await;
    s.put(
        "write to a revoked one",
        PutRequest {
            lease,
            ..s.set("a", "1")
        },
    )
    .await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        grant: L1 ttl=60 r0
        watch: watch 0 created
        c: r1
        a: r2
        b: r3
        other: r4
        revoke: r5
        revoke again: NotFound: etcdserver: requested lease not found
        one revision, in order:
          PUT (c=1 r1/r1/1 L1)
          PUT (a=1 r2/r2/1 L1)
          PUT (b=1 r3/r3/1 L1)
          PUT (other=1 r4/r4/1)
          DELETE (a= 0/r5/0)
          DELETE (b= 0/r5/0)
          DELETE (c= 0/r5/0)
        unused: L2 ttl=60 r5
        no keys, no revision: r5
        write to a revoked one: NotFound: etcdserver: requested lease not found
        left: r5 [(other=1 r4/r4/1)] of 1
    "#]])
        .await;
}

async fn keep_alive(mut s: Session) {
    let lease = s.grant("grant", 60, 0).await.unwrap_or_default();
    let (requests, stream) = tokio::sync::mpsc::channel(4);
    requests
        .send(LeaseKeepAliveRequest { id: lease })
        .await
        .expect("room");
    let answers = s
        .lease()
        .lease_keep_alive(ReceiverStream::new(stream))
        .await
        .expect("a stream");
    let mut answers = answers.into_inner();
    for (label, id) in [
        ("renewed", lease),
        ("again", lease),
        ("missing", 77),
        ("revoked", lease),
    ] {
        if label == "revoked" {
            s.lease()
                .lease_revoke(LeaseRevokeRequest { id })
                .await
                .expect("revoked");
        }
        if label != "renewed" {
            requests
                .send(LeaseKeepAliveRequest { id })
                .await
                .expect("room");
        }
        let answer = tokio::time::timeout(PATIENCE, answers.message())
            .await
            .expect("in time");
        let answer = answer.expect("no error").expect("an answer");
        s.note(&format!(
            "{label}: {} ttl={}",
            text_of_lease(answer.id),
            answer.ttl
        ));
    }
    drop(requests);
    let end = tokio::time::timeout(PATIENCE, answers.message())
        .await
        .expect("in time");
    s.note(&format!(
        "end of requests: {:?}",
        end.map(|answer| answer.is_some())
            .map_err(|status| status.code())
    ));
    s.expect(expect![[r#"
        r0
        grant: L1 ttl=60 r0
        renewed: L1 ttl=60
        again: L1 ttl=60
        missing: L2 ttl=0
        revoked: L1 ttl=0
        end of requests: Ok(false)
    "#]])
        .await;
}

/// The lease of two seconds ends by itself; the other, which is renewed, does not.
async fn expiry(mut s: Session) {
    let short = s.grant("short", 2, 0).await.unwrap_or_default();
    let long = s.grant("long", 60, 0).await.unwrap_or_default();
    let mut watcher = s.watch("watch", s.watch_all()).await;
    s.put(
        "b",
        PutRequest {
            lease: short,
            ..s.set("b", "1")
        },
    )
    .await;
    s.put(
        "a",
        PutRequest {
            lease: short,
            ..s.set("a", "1")
        },
    )
    .await;
    s.put(
        "c",
        PutRequest {
            lease: long,
            ..s.set("c", "1")
        },
    )
    .await;
    s.events("events", &mut watcher, 5).await;
    s.time_to_live("short", short).await;
    s.show("left").await;
    s.expect(expect![[r#"
        r0
        short: L1 ttl=2 r0
        long: L2 ttl=60 r0
        watch: watch 0 created
        b: r1
        a: r2
        c: r3
        events:
          PUT (b=1 r1/r1/1 L1)
          PUT (a=1 r2/r2/1 L1)
          PUT (c=1 r3/r3/1 L2)
          DELETE (a= 0/r4/0)
          DELETE (b= 0/r4/0)
        short: L1 ttl=-1 of 0 keys=[]
        left: r4 [(c=1 r3/r3/1 L2)] of 1
    "#]])
        .await;
}
