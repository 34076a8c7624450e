//! Mirrors of a prefix with a real etcd.

// Clippy knows only functions marked as tests for tests; the cases are called by them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/etcd.rs"]
mod support;

#[path = "support/session.rs"]
mod run;

use registrator::error_chain::error_chain;
use registrator::etcd::{Client, Mirrored, mirror};
use registrator_core::observe::watch::Event;
use run::{compact, delete, put};
use std::path::PathBuf;
use support::{Etcd, PATIENCE, Relay, Variant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

on_each_etcd! {
    a_mirror_lists_and_follows
    a_mirror_survives_a_restart
    a_mirror_lists_again_after_a_compaction
    a_mirror_notices_an_emptied_etcd
    a_mirror_waits_for_etcd
    a_mirror_ends_with_its_listener
}

/// A mirror of `/c/` in its own task.
struct Mirror {
    events: UnboundedReceiver<Mirrored>,
    task: tokio::task::JoinHandle<()>,
}

impl Mirror {
    fn start(etcd: &Etcd) -> Mirror {
        Mirror::with(etcd.client())
    }

    fn with(client: Client) -> Mirror {
        let (to, events) = unbounded_channel();
        let task = tokio::spawn(mirror(client, "/c/".into(), to));
        Mirror { events, task }
    }

    async fn next(&mut self) -> String {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        match event.unwrap().unwrap() {
            Mirrored::Event(Event::Init) => "init".into(),
            Mirrored::Event(Event::InitApply(item)) => format!(
                "list {} {:?}",
                item.key,
                item.value.escape_ascii().to_string()
            ),
            Mirrored::Event(Event::InitDone) => "done".into(),
            Mirrored::Event(Event::Apply(item)) => format!(
                "apply {} {:?}",
                item.key,
                item.value.escape_ascii().to_string()
            ),
            Mirrored::Event(Event::Delete(key)) => format!("delete {key}"),
            Mirrored::Interrupted { error } => format!("interrupted: {}", error_chain(&error)),
            Mirrored::Restored => "restored".into(),
        }
    }

    /// The events up to the first one that begins with `last`.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            events.push(self.next().await);
            if events.last().is_some_and(|event| event.starts_with(last)) {
                return events;
            }
        }
    }
}

async fn a_mirror_lists_and_follows(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    put(&etcd, "/c/b", "1", 0).await;
    put(&etcd, "/c/a", "{\n}", 0).await;
    put(&etcd, "/d/a", "1", 0).await;
    let mut mirror = Mirror::start(&etcd);
    let expected = ["init", r#"list /c/a "{\\n}""#, r#"list /c/b "1""#, "done"];
    assert_eq!(mirror.until("done").await, expected);
    put(&etcd, "/c/c", "2", 0).await;
    put(&etcd, "/d/a", "2", 0).await;
    delete(&etcd, "/c/b").await;
    let expected = [r#"apply /c/c "2""#, "delete /c/b"];
    assert_eq!(mirror.until("delete").await, expected);
}

async fn a_mirror_survives_a_restart(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    put(&etcd, "/c/a", "1", 0).await;
    let mut mirror = Mirror::start(&etcd);
    mirror.until("done").await;
    etcd.kill();
    // Whether the old connection breaks or a new one is refused is a matter of time.
    let interruption = mirror.next().await;
    let named = interruption.starts_with("interrupted: ") && interruption.contains(&etcd.url());
    assert!(named, "{interruption}");
    etcd.restart().await;
    put(&etcd, "/c/a", "2", 0).await;
    assert_eq!(
        mirror.until("apply").await,
        ["restored", r#"apply /c/a "2""#]
    );
}

async fn a_mirror_lists_again_after_a_compaction(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut relay = Relay::start(&etcd).await;
    for key in ["/c/gone", "/c/kept"] {
        put(&etcd, key, "1", 0).await;
    }
    let mut settings = etcd.settings("test");
    settings.endpoints = vec![relay.endpoint()];
    let mut mirror = Mirror::with(Client::new(&settings).unwrap());
    mirror.until("done").await;
    compact(&etcd).await;
    put(&etcd, "/c/live", "1", 0).await;
    assert_eq!(
        mirror.next().await,
        r#"apply /c/live "1""#,
        "a living watch goes on"
    );
    relay.stop();
    mirror.until("interrupted").await;
    delete(&etcd, "/c/gone").await;
    put(&etcd, "/c/new", "1", 0).await;
    compact(&etcd).await;
    relay.resume().await;
    let events = mirror.until("done").await;
    let list: Vec<_> = events.iter().skip_while(|event| *event != "init").collect();
    let keys = ["kept", "live", "new"].map(|key| format!("list /c/{key} \"1\""));
    assert_eq!(list, ["init", &keys[0], &keys[1], &keys[2], "done"]);
}

async fn a_mirror_notices_an_emptied_etcd(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    for n in 0..20 {
        put(&etcd, "/c/a", &n.to_string(), 0).await;
    }
    let mut mirror = Mirror::start(&etcd);
    mirror.until("done").await;
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    put(&etcd, "/c/new", "1", 0).await;
    let events = mirror.until("done").await;
    let list: Vec<_> = events.iter().rev().take(3).rev().collect();
    assert_eq!(list, ["init", r#"list /c/new "1""#, "done"]);
}

async fn a_mirror_waits_for_etcd(program: PathBuf) {
    let mut etcd = Etcd::prepare(&program, Variant::default());
    let mut mirror = Mirror::start(&etcd);
    mirror.until("interrupted").await;
    etcd.restart().await;
    assert_eq!(mirror.until("done").await, ["restored", "init", "done"]);
}

async fn a_mirror_ends_with_its_listener(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut mirror = Mirror::start(&etcd);
    mirror.until("done").await;
    drop(mirror.events);
    tokio::time::timeout(PATIENCE, mirror.task)
        .await
        .unwrap()
        .unwrap();
}
