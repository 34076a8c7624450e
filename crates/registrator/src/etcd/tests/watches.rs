//! What a session with a real etcd watches, and what it sees.

use super::eventually;
use super::run::{Run, create, delete, held, key, put, value};
use super::server::{Etcd, PATIENCE};
use crate::etcd::SessionUpdate;
use registrator_core::own::session::{Seen, Session, SessionEvent};
use registrator_core::own::{Held, LeaseId};
use std::path::PathBuf;
use std::time::Duration;

on_each_etcd! {
    changes_are_seen
    a_key_is_watched_from_its_answer_on
    a_key_that_is_forgotten_is_not_watched
    many_keys_are_watched_as_one
    a_root_with_many_changes_of_others_is_left
}

async fn changes_are_seen(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.watch(&session, &["/a/k", "/exact"]).await;
    let lease = etcd
        .client()
        .lease_grant(Duration::from_secs(60))
        .await
        .unwrap()
        .id;
    let mut revisions = Vec::new();
    revisions.push(put(&etcd, "/a/k", "v", lease).await);
    assert_eq!(
        run.next_seen().await,
        seen_node("/a/k", "v", Some(lease), revisions[0])
    );
    put(&etcd, "/a/l", "v", 0).await;
    put(&etcd, "/exact/below", "v", 0).await;
    revisions.push(put(&etcd, "/exact", "v", 0).await);
    assert_eq!(
        run.next_seen().await,
        seen_node("/exact", "v", None, revisions[1])
    );
    let claim = format!("/registrator/claims/%2Fa%2Fk/{:016x}", session.who.me.0);
    revisions.push(put(&etcd, &claim, "w", lease).await);
    let expected = Seen::Claim {
        key: key("/a/k"),
        lease: session.who.me,
        claim: Some(Held {
            value: value("w"),
            lease: Some(LeaseId(lease)),
            mod_revision: revisions[2],
        }),
        revision: revisions[2],
    };
    assert_eq!(run.next_seen().await, expected);
    put(&etcd, "/registrator/nodes/two", "{}", lease).await;
    let registrator = |name: Option<&str>| Seen::Registrator {
        lease: LeaseId(lease),
        name: name.map(Into::into),
    };
    assert_eq!(run.next_seen().await, registrator(Some("two")));
    delete(&etcd, "/registrator/nodes/two").await;
    assert_eq!(run.next_seen().await, registrator(None));
    let revision = delete(&etcd, "/a/k").await;
    let gone = Seen::Node {
        key: key("/a/k"),
        node: None,
        revision,
    };
    assert_eq!(run.next_seen().await, gone);
}

fn seen_node(text: &str, to: &str, lease: Option<i64>, revision: i64) -> Seen {
    Seen::Node {
        key: key(text),
        node: Some(Held {
            value: value(to),
            lease: lease.map(LeaseId),
            mod_revision: revision,
        }),
        revision,
    }
}

/// etcd is asked for the watch when the answer has arrived, and the stream may be slow to open.
async fn a_key_is_watched_from_its_answer_on(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    put(&etcd, "/late/k", "before", 0).await;
    for round in 0..20 {
        let name = format!("/late/{round}");
        let id = run.send(session.number, vec![create(&name, "v", session.who.me)]);
        // Without a pause: it is to be deleted before its answer is here.
        let appears = async {
            while held(&etcd, &name).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        let appeared = tokio::time::timeout(PATIENCE, appears).await;
        appeared.unwrap_or_else(|_| panic!("no {name} in:\n{}", run.seen.join("\n")));
        let revision = delete(&etcd, &name).await;
        run.outcome(id).await;
        let gone = Seen::Node {
            key: key(&name),
            node: None,
            revision,
        };
        run.until("its end", |update| match update {
            SessionUpdate::Session(SessionEvent::Seen(seen)) => (seen == gone).then_some(()),
            _ => None,
        })
        .await;
    }
    assert_eq!(run.count("Session(Seen(Node { key: /late/k"), 0);
}

async fn a_key_that_is_forgotten_is_not_watched(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    run.watch(&session, &["/a/k", "/a/l"]).await;
    run.forget(&session, &["/a/k"]);
    // It is closed before the commit that comes behind is performed.
    run.watch(&session, &["/a/m"]).await;
    put(&etcd, "/a/k", "v", 0).await;
    run.saw_change(&etcd, "/a/l").await;
    run.saw_change(&etcd, "/a/m").await;
    assert_eq!(run.count("Session(Seen(Node { key: /a/k"), 0);
    run.watch(&session, &["/a/k"]).await;
    run.saw_change(&etcd, "/a/k").await;
}

const MANY: usize = 300;

fn many_names() -> Vec<String> {
    (0..MANY).map(|n| format!("/a/{n:03}")).collect()
}

async fn with_many_keys(etcd: &Etcd) -> (Run, Session) {
    let (mut run, session) = Run::established(etcd.settings("one")).await;
    let names = many_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    run.watch(&session, &names).await;
    (run, session)
}

/// How many watches the server has.
async fn watches(etcd: &Etcd) -> usize {
    let metrics = etcd.metrics().await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("etcd_debugging_mvcc_watcher_total"));
    let number = line.and_then(|line| line.split(' ').nth(1));
    number.unwrap().parse::<f64>().unwrap() as usize
}

async fn many_keys_are_watched_as_one(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, session) = with_many_keys(&etcd).await;
    eventually("two watches for the root", async || {
        watches(&etcd).await == 4
    })
    .await;
    for name in ["/a/000", "/a/150", "/a/299"] {
        run.saw_change(&etcd, name).await;
    }
    put(&etcd, "/a/another", "v", 0).await;
    run.saw_change(&etcd, "/a/001").await;
    assert_eq!(run.count("Session(Seen(Node { key: /a/another"), 0);
    let names = many_names();
    let most: Vec<&str> = names[10..].iter().map(String::as_str).collect();
    run.forget(&session, &most);
    eventually("two watches for each of ten keys", async || {
        watches(&etcd).await == 22
    })
    .await;
    run.saw_change(&etcd, "/a/009").await;
    let few: Vec<&str> = names[..10].iter().map(String::as_str).collect();
    run.forget(&session, &few);
    eventually("no watches but those for registrators", async || {
        watches(&etcd).await == 2
    })
    .await;
}

async fn a_root_with_many_changes_of_others_is_left(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let (mut run, _) = with_many_keys(&etcd).await;
    eventually("two watches for the root", async || {
        watches(&etcd).await == 4
    })
    .await;
    for n in 0..600 {
        put(&etcd, &format!("/a/of-another/{n}"), "v", 0).await;
    }
    eventually("two watches for each key", async || {
        watches(&etcd).await == 2 * MANY + 2
    })
    .await;
    for name in ["/a/000", "/a/150", "/a/299"] {
        run.saw_change(&etcd, name).await;
    }
    assert_eq!(run.count("Session(Seen(Node { key: /a/of-another"), 0);
}
