//! Scenarios: a script in, a transcript out. Each file in `tests/scenarios` is one.
//!
//! A line is a command; what `show …` prints follows it, each line after `> `. `UPDATE=1 cargo test` writes the transcripts anew.
//!
//! ```text
//! host a                         start a registrator, with Docker listed and empty
//! host a listing                 start one that has not listed Docker yet
//! a listed                       Docker's list is complete
//! a container web /k=v /l=w      a container runs, for which the policy gives these nodes
//! a container web object:/r/web=none,a:1,+s:2   it gives an object of this kind, with a node /r/web/a and a member /r/web/s
//! a container web ip=1 /k=@ip    the container has an address, which is the node's value
//! a container web in=db /k=@ip   the container is in the network of another
//! a container web at=5           it was started at this second, as engines tell it
//! a container web port=8080:80   a port of the host leads to one of the container's
//! a container web odd=0/tcp      its document has this among the ports
//! a container web !message       a container runs, for which the policy fails; it may have an address and ports all the same
//! a stopped web /k=v             the container exists, but does not run
//! a remove web                   it is gone
//! a started web                  it was started, and will be inspected
//! a vanished web                 Docker does not know it, and told nobody of its end
//! a engine E                     this Docker Engine answers from now on
//! a release brake                what is held back shall go
//! a slow | a fast                evaluations wait, or are answered
//! a late | a prompt             etcd performs what is written, but its answers wait, or come
//! a lagging | a current          claims and registrators are told later than nodes, or with them
//! a lagging nodes                nodes are told later than all else
//! a forgetful | a attentive      what etcd tells of nodes and claims gets lost, or does not
//! a reads again                  it reads everything that is under its lease, as it does from time to time
//! a overloaded | a calm          evaluations run out of time, or not any more
//! a unread x.json y.json         these cannot be read now; none if none is named
//! a reload 2 | a policy broken   the policy's code changes, or cannot be loaded any more and never could
//! a policy configured            the policy is loaded, and its configurations are in etcd
//! a policies p q                 these policies are loaded
//! a configs one two              the configurations in etcd, all of them
//! a crash | a exit keep|release  the registrator ends
//! a lose-lease                   its lease is revoked
//! a frozen | a thawed            nothing happens on it, as after SIGSTOP, or all goes on
//! a cut off | a connected        it does not reach etcd, or does again
//! etcd away | etcd back          nobody reaches etcd
//! hand put /k v | hand del /k    somebody uses etcdctl
//! hand attach /k v               the same, with a lease of their own
//! pass 10                        seconds pass
//! show keys|notices a|writes     etcd's content, what was told since the last time, revisions since the last time
//! show deleted                   nodes that were deleted since the last `show writes`
//! show gaps                      keys that vanished while somebody waited for them, at the end of a lease too
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "test code"
)]

mod world;

use etcd_mem::store::{Delete, KeyRange, Put};
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::instance::Problem;
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use registrator_core::observe::watch;
use registrator_core::reconciler::{Event, OnExit};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use world::record::{self, Exempt};
use world::{Lag, World};

/// A lease that is no registrator's.
const STRANGER: i64 = 0x51;

fn answer(words: &[&str]) -> serde_json::Value {
    let message = |word: &&str| word.strip_prefix('!').map(str::to_owned);
    let mut answer = match words.iter().find_map(message) {
        Some(message) => json!({"error": message}),
        None => json!({"nodes": {}}),
    };
    let facts = words.iter().filter(|word| !word.starts_with('!'));
    let pairs = facts.map(|word| word.split_once('=').expect("KEY=VALUE"));
    for (key, value) in pairs {
        match key {
            "ip" => answer["NetworkSettings"]["Networks"]["net"]["IPAddress"] = value.into(),
            "at" => {
                let time = format!("2026-11-27T10:00:{value:0>2}Z");
                answer["State"]["StartedAt"] = time.into();
            }
            "port" => {
                let (host, own) = value.split_once(':').expect("HOST:PORT");
                answer["NetworkSettings"]["Ports"][format!("{own}/tcp")] =
                    json!([{"HostIp": "0.0.0.0", "HostPort": host}]);
            }
            "odd" => answer["Config"]["ExposedPorts"][value] = json!({}),
            "in" => answer["HostConfig"]["NetworkMode"] = format!("container:{value}").into(),
            _ => match key.strip_prefix("object:") {
                Some(name) => answer["objects"][name] = object(value),
                None => answer["nodes"][key] = value.into(),
            },
        }
    }
    answer
}

fn object(text: &str) -> serde_json::Value {
    let mut parts = text.split(',');
    let mut object = json!({"conflict": parts.next(), "nodes": {}, "members": {}});
    for (name, value) in parts.map(|part| part.split_once(':').expect("NAME:VALUE")) {
        match name.strip_prefix('+') {
            Some(name) => object["members"][name] = value.into(),
            None => object["nodes"][name] = value.into(),
        }
    }
    object
}

fn on_host(world: &mut World, name: &str, words: &[&str]) {
    match words {
        ["container", container, rest @ ..] => apply(world, name, container, true, rest),
        ["stopped", container, rest @ ..] => apply(world, name, container, false, rest),
        ["remove", container] => world.delete(name, container),
        ["started", container] => {
            let id = world::container_id(container);
            world.handle(name, Event::ComingContainer(id));
        }
        ["vanished", container] => {
            let id = world::container_id(container);
            world.handle(name, Event::VanishedContainer(id));
        }
        ["engine", engine] => world.handle(name, Event::Engine(Some(engine.to_string()))),
        ["release", "brake"] => world.handle(name, Event::ReleaseBrake),
        ["listed"] => world.handle(name, Event::Container(watch::SourceEvent::InitDone)),
        ["listing"] => world.handle(name, Event::Container(watch::SourceEvent::Init)),
        ["slow"] => world.host(name).slow = true,
        ["fast"] => world.host(name).slow = false,
        ["overloaded"] => world.host(name).overloaded = true,
        ["calm"] => world.host(name).overloaded = false,
        ["unread", rest @ ..] => {
            let unread = rest.iter().map(ToString::to_string).collect();
            world.handle(name, Event::UnreadFiles(unread));
        }
        ["late"] => world.host(name).late = true,
        ["prompt"] => world.host(name).late = false,
        ["lagging", "nodes"] => world.host(name).lag = Lag::Nodes,
        ["lagging"] => world.host(name).lag = Lag::Others,
        ["current"] => world.host(name).lag = Lag::Nothing,
        ["reload", version] => {
            load(
                world,
                name,
                vec![world::spec("p", version.parse().unwrap())],
            );
        }
        ["policy", "broken"] => {
            let failed = vec![Problem::Policy {
                name: "p".into(),
                message: "syntax".into(),
                kept: false,
            }];
            world.handle(
                name,
                Event::Policies {
                    loaded: Vec::new(),
                    failed,
                },
            );
        }
        ["policy", "configured"] => load(world, name, vec![world::configured("p")]),
        ["policies", names @ ..] => {
            let loaded = names.iter().map(|policy| world::spec(policy, 1));
            load(world, name, loaded.collect());
        }
        ["configs", configs @ ..] => list_configs(world, name, configs),
        ["crash"] => world.crash(name),
        ["exit", "keep"] => world.handle(name, Event::Shutdown(OnExit::Keep)),
        ["exit", "release"] => world.handle(name, Event::Shutdown(OnExit::Release)),
        ["lose-lease"] => world.revoke(name),
        ["forgetful"] => world.host(name).forgetful = true,
        ["attentive"] => world.host(name).forgetful = false,
        ["reads", "again"] => world.read_again(name),
        ["frozen"] => world.freeze(name, true),
        ["thawed"] => world.freeze(name, false),
        ["cut", "off"] => world.cut(name, true),
        ["connected"] => world.cut(name, false),
        other => panic!("unknown command {other:?}"),
    }
}

fn load(world: &mut World, host: &str, loaded: Vec<PolicySpec>) {
    let failed = Vec::new();
    world.handle(host, Event::Policies { loaded, failed });
}

fn list_configs(world: &mut World, host: &str, names: &[&str]) {
    let raw = |name: &&str| RawConfig {
        policy: PolicyName::parse("p").unwrap(),
        name: Some(name.to_string()),
        source: ConfigSource::Etcd(format!("/configs/{name}")),
        bytes: b"{}".to_vec(),
    };
    let items = names
        .iter()
        .map(|name| watch::SourceEvent::InitApply(raw(name)));
    let list = std::iter::once(watch::SourceEvent::Init).chain(items);
    for event in list.chain([watch::SourceEvent::InitDone]) {
        let policy = PolicyName::parse("p").unwrap();
        world.handle(host, Event::ConfigNode(policy, event));
    }
}

fn apply(world: &mut World, host: &str, container: &str, running: bool, rest: &[&str]) {
    let container = world::container(container, running, answer(rest));
    world.handle(host, Event::Container(watch::SourceEvent::Apply(container)));
}

fn show(world: &mut World, words: &[&str], written: &mut i64) -> Vec<String> {
    match words {
        ["keys"] => world.keys(),
        ["notices", name] => std::mem::take(&mut world.host(name).notices),
        ["writes"] => {
            let before = std::mem::replace(written, world.store.revision());
            vec![(*written - before).to_string()]
        }
        ["deleted"] => record::deleted_after(&world.store, *written),
        ["gaps"] => record::gaps(&world.store, &world.others, Exempt::ByHand)
            .iter()
            .map(|(_, key)| key.to_string())
            .collect(),
        ["stopped", name] => vec![format!("{:?}", world.host(name).stopped)],
        other => panic!("unknown command show {other:?}"),
    }
}

fn run(script: &str) -> String {
    let (mut world, mut written) = (World::new(), 1);
    let mut transcript = String::new();
    for line in script.lines().filter(|line| !line.starts_with('>')) {
        transcript += &format!("{line}\n");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => continue,
            ["host", name] => world.start(name, true),
            ["host", name, "listing"] => {
                world.start(name, false);
                world.handle(name, Event::Container(watch::SourceEvent::Init));
            }
            ["etcd", "away"] => world.reach(false),
            ["etcd", "back"] => world.reach(true),
            ["hand", "put", key, value] => {
                world.by_hand(|store| {
                    store.put(&Put::new(*key, *value)).unwrap();
                });
            }
            ["hand", "attach", key, value] => {
                world.by_hand(|store| {
                    // It may be there from the time before.
                    let _ = store.grant(Duration::ZERO, STRANGER, 1_000_000);
                    let put = Put {
                        lease: STRANGER,
                        ..Put::new(*key, *value)
                    };
                    store.put(&put).unwrap();
                });
            }
            ["hand", "del", key] => {
                world.by_hand(|store| {
                    store.delete(&Delete::new(KeyRange::key(*key))).unwrap();
                });
            }
            ["pass", seconds] => world.pass(Duration::from_secs(seconds.parse().unwrap())),
            ["show", rest @ ..] => transcript.extend(
                show(&mut world, rest, &mut written)
                    .iter()
                    .map(|line| format!("> {line}\n")),
            ),
            [name, rest @ ..] => on_host(&mut world, name, rest),
        }
        world.settle();
    }
    transcript
}

#[test]
fn scenarios_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut failed = Vec::new();
    for path in paths {
        let script = std::fs::read_to_string(&path).unwrap();
        let transcript = run(&script);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &transcript).unwrap();
        } else if transcript != script {
            failed.push(format!("{}\n{transcript}", path.display()));
        }
    }
    assert!(
        failed.is_empty(),
        "other than written:\n{}",
        failed.join("\n")
    );
}
