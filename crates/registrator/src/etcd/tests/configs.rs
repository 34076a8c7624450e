//! Configurations in a real etcd.

use super::relay::Relay;
use super::run::{compact, delete, put};
use super::server::{Etcd, PATIENCE, Variant};
use crate::error_chain::error_chain;
use crate::etcd::reading::KeyRange;
use crate::etcd::{ConfigUpdate, EtcdClient, follow_configs, list_configs};
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::PolicyName;
use registrator_core::observe::watch::SourceEvent;
use std::path::PathBuf;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

on_each_etcd! {
    a_source_lists_and_follows
    a_source_survives_a_restart
    a_source_lists_again_after_a_compaction
    a_source_notices_an_emptied_etcd
    a_source_notices_an_emptied_etcd_that_has_overtaken_it
    a_source_notices_older_data_that_have_overtaken_it
    a_source_lists_again_at_the_next_endpoint
    a_source_waits_for_etcd
    a_source_ends_with_its_listener
}

/// The configurations of a policy at `/c/:name`, followed in a task.
struct Source {
    updates: UnboundedReceiver<ConfigUpdate>,
    task: tokio::task::JoinHandle<()>,
}

fn policy() -> PolicyName {
    PolicyName::parse("p").unwrap()
}

fn path() -> EtcdPath {
    EtcdPath::parse("/c/:name").unwrap()
}

fn shown(config: &RawConfig) -> String {
    let ConfigSource::Etcd(key) = &config.source else {
        panic!("{config:?}")
    };
    assert_eq!(config.policy, policy());
    let Some(name) = &config.name else {
        return format!("{key} is none");
    };
    assert_eq!(Some(name.as_str()), key.strip_prefix("/c/"));
    format!("{key} {:?}", config.bytes.escape_ascii().to_string())
}

impl Source {
    fn start(etcd: &Etcd) -> Source {
        Source::with(etcd.program_client())
    }

    fn with(client: EtcdClient) -> Source {
        let (to, updates) = unbounded_channel();
        let task = tokio::spawn(follow_configs(client, policy(), path(), to));
        Source { updates, task }
    }

    async fn next(&mut self) -> String {
        let update = tokio::time::timeout(PATIENCE, self.updates.recv()).await;
        match update.unwrap().unwrap() {
            ConfigUpdate::Event(_, event) => match event {
                SourceEvent::Init => "init".into(),
                SourceEvent::InitApply(config) => format!("list {}", shown(&config)),
                SourceEvent::InitDone => "done".into(),
                SourceEvent::Apply(config) => format!("apply {}", shown(&config)),
                SourceEvent::Delete((_, source)) => format!("delete {source}"),
            },
            ConfigUpdate::Interrupted(_, error) => format!("interrupted: {}", error_chain(&error)),
            ConfigUpdate::Restored(_) => "restored".into(),
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

async fn a_source_lists_and_follows(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    put(&etcd, "/c/b", "1", 0).await;
    put(&etcd, "/c/a", "{\n}", 0).await;
    // What lies beside is none of ours; what lies deeper, or where there is no name, looks like a configuration.
    for other in ["/d/a", "/c-d/a", "/c/b/c", "/c/", "/c"] {
        put(&etcd, other, "1", 0).await;
    }
    let mut source = Source::start(&etcd);
    let expected = [
        "init",
        "list /c is none",
        "list /c/ is none",
        r#"list /c/a "{\\n}""#,
        r#"list /c/b "1""#,
        "list /c/b/c is none",
        "done",
    ];
    assert_eq!(source.until("done").await, expected);
    let listed = list_configs(&etcd.program_client(), policy(), path())
        .await
        .unwrap();
    let listed: Vec<String> = listed.iter().map(shown).collect();
    let expected = [
        "/c is none",
        "/c/ is none",
        r#"/c/a "{\\n}""#,
        r#"/c/b "1""#,
        "/c/b/c is none",
    ];
    assert_eq!(listed, expected);
    put(&etcd, "/c/c", "2", 0).await;
    put(&etcd, "/d/a", "2", 0).await;
    delete(&etcd, "/c/b").await;
    let expected = [r#"apply /c/c "2""#, "delete etcd /c/b"];
    assert_eq!(source.until("delete").await, expected);
    put(&etcd, "/c/x/", "2", 0).await;
    assert_eq!(source.next().await, "apply /c/x/ is none");
    put(&etcd, "/c", "3", 0).await;
    assert_eq!(source.next().await, "apply /c is none");
    delete(&etcd, "/c").await;
    assert_eq!(source.next().await, "delete etcd /c");
}

async fn a_source_survives_a_restart(program: PathBuf) {
    let mut etcd = Etcd::start(&program).await;
    put(&etcd, "/c/a", "1", 0).await;
    let mut source = Source::start(&etcd);
    source.until("done").await;
    etcd.kill();
    // Whether the old connection breaks or a new one is refused is a matter of time.
    let interruption = source.next().await;
    let named = interruption.starts_with("interrupted: ") && interruption.contains(&etcd.url());
    assert!(named, "{interruption}");
    etcd.restart().await;
    let expected = ["restored", "init", r#"list /c/a "1""#, "done"];
    assert_eq!(source.until("done").await, expected);
    put(&etcd, "/c/a", "2", 0).await;
    assert_eq!(source.next().await, r#"apply /c/a "2""#);
}

async fn a_source_lists_again_after_a_compaction(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut relay = Relay::start(&etcd).await;
    for key in ["/c/gone", "/c/kept"] {
        put(&etcd, key, "1", 0).await;
    }
    let mut settings = etcd.settings("test");
    settings.endpoints = vec![relay.endpoint()];
    let mut source = Source::with(EtcdClient::new(&settings).unwrap());
    source.until("done").await;
    compact(&etcd).await;
    put(&etcd, "/c/live", "1", 0).await;
    assert_eq!(
        source.next().await,
        r#"apply /c/live "1""#,
        "a living watch goes on"
    );
    relay.stop();
    source.until("interrupted").await;
    delete(&etcd, "/c/gone").await;
    put(&etcd, "/c/new", "1", 0).await;
    compact(&etcd).await;
    relay.resume().await;
    let events = source.until("done").await;
    let list: Vec<_> = events.iter().skip_while(|event| *event != "init").collect();
    let keys = ["kept", "live", "new"].map(|key| format!("list /c/{key} \"1\""));
    assert_eq!(list, ["init", &keys[0], &keys[1], &keys[2], "done"]);
}

/// A source whose way to etcd is cut, so that others are there first when etcd comes back.
struct Cut {
    etcd: Etcd,
    relay: Relay,
    source: Source,
}

impl Cut {
    async fn to(etcd: Etcd) -> Cut {
        let relay = Relay::start(&etcd).await;
        let mut settings = etcd.settings("test");
        settings.endpoints = vec![relay.endpoint()];
        let source = Source::with(EtcdClient::new(&settings).unwrap());
        Cut {
            etcd,
            relay,
            source,
        }
    }

    /// etcd begins anew with what `lose` makes of its data, and passes the revision that the source knows.
    async fn overtaken(&mut self, lose: impl FnOnce(&mut Etcd)) {
        let (cluster, revision) = position(&self.etcd).await;
        self.relay.stop();
        self.etcd.kill();
        lose(&mut self.etcd);
        self.etcd.restart().await;
        for _ in 0..20 {
            put(&self.etcd, "/other", "1", 0).await;
        }
        let (same, later) = position(&self.etcd).await;
        assert!(same == cluster && later > revision, "{same} {later}");
    }

    /// What the source lists when it reaches etcd again.
    async fn listed_after_the_cut(mut self) -> Vec<String> {
        self.relay.resume().await;
        let events = self.source.until("done").await;
        let list = events.into_iter().skip_while(|event| event != "init");
        let list = list.collect();
        put(&self.etcd, "/c/live", "1", 0).await;
        assert_eq!(self.source.next().await, r#"apply /c/live "1""#);
        list
    }
}

async fn position(etcd: &Etcd) -> (u64, i64) {
    let listing = etcd
        .program_client()
        .list(&KeyRange::prefix("none"), 0)
        .await
        .unwrap();
    (listing.cluster, listing.revision)
}

async fn a_source_notices_an_emptied_etcd(program: PathBuf) {
    let mut cut = Cut::to(Etcd::start(&program).await).await;
    cut.source.until("done").await;
    for n in 0..20 {
        put(&cut.etcd, "/c/a", &n.to_string(), 0).await;
    }
    cut.source.until(r#"apply /c/a "19""#).await;
    cut.relay.stop();
    cut.etcd.kill();
    cut.etcd.wipe();
    cut.etcd.restart().await;
    put(&cut.etcd, "/c/new", "1", 0).await;
    let list = cut.listed_after_the_cut().await;
    assert_eq!(list, ["init", r#"list /c/new "1""#, "done"]);
}

async fn a_source_notices_an_emptied_etcd_that_has_overtaken_it(program: PathBuf) {
    let etcd = Etcd::start_variant(&program, Variant::with_a_lasting_id()).await;
    put(&etcd, "/c/lost", "1", 0).await;
    let mut cut = Cut::to(etcd).await;
    cut.source.until("done").await;
    cut.overtaken(Etcd::wipe).await;
    put(&cut.etcd, "/c/new", "1", 0).await;
    let list = cut.listed_after_the_cut().await;
    assert_eq!(list, ["init", r#"list /c/new "1""#, "done"]);
}

async fn a_source_notices_older_data_that_have_overtaken_it(program: PathBuf) {
    let mut etcd = Etcd::start_variant(&program, Variant::with_a_lasting_id()).await;
    put(&etcd, "/c/kept", "1", 0).await;
    etcd.stop();
    etcd.save();
    etcd.restart().await;
    put(&etcd, "/c/lost", "1", 0).await;
    let mut cut = Cut::to(etcd).await;
    cut.source.until("done").await;
    cut.overtaken(Etcd::restore).await;
    let list = cut.listed_after_the_cut().await;
    assert_eq!(list, ["init", r#"list /c/kept "1""#, "done"]);
}

/// Nobody knows whether what answers there has the same history.
async fn a_source_lists_again_at_the_next_endpoint(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut relay = Relay::start(&etcd).await;
    put(&etcd, "/c/a", "1", 0).await;
    let mut settings = etcd.settings("test");
    settings.endpoints.insert(0, relay.endpoint());
    let mut source = Source::with(EtcdClient::new(&settings).unwrap());
    source.until("done").await;
    relay.stop();
    assert_eq!(
        source.until("done").await,
        ["init", r#"list /c/a "1""#, "done"],
        "without a word of an interruption"
    );
}

async fn a_source_waits_for_etcd(program: PathBuf) {
    let mut etcd = Etcd::prepare(&program, Variant::default());
    let mut source = Source::start(&etcd);
    source.until("interrupted").await;
    etcd.restart().await;
    assert_eq!(source.until("done").await, ["restored", "init", "done"]);
}

async fn a_source_ends_with_its_listener(program: PathBuf) {
    let etcd = Etcd::start(&program).await;
    let mut source = Source::start(&etcd);
    source.until("done").await;
    drop(source.updates);
    tokio::time::timeout(PATIENCE, source.task)
        .await
        .unwrap()
        .unwrap();
}
