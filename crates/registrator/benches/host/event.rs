//! From an event of Docker to the node in etcd, and its parts.

use crate::engine;
use crate::recorder::Recorder;
use crate::stage::{NODES, Stage};
use crate::table::{between, head, row};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

const ROUNDS: usize = 50;
const BURST: usize = 30;

/// Starts and renames of one container, among others.
pub(crate) fn latency(stage: &mut Stage) {
    head("event -> node in etcd");
    for others in [0, 50, 200] {
        stage.fill(others);
        let id = stage.docker.run("one", &[]);
        let program = stage.launch();
        stage.wait_for_nodes(others + 1, &program);
        starts(stage, &format!("{others} others running"));
        renames(stage, others);
        program.end();
        parts(stage, &id);
        stage.docker.docker(&["rm", "-f", &id]);
    }
}

pub(crate) fn starts(stage: &Stage, among: &str) {
    let host = stage.docker.host();
    let (mut recorder, events) = (Recorder::start(&stage.etcd.url()), engine::events(&host));
    let (mut times, mut removals) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        engine::post(&host, "/containers/one/kill");
        let died = engine::wait_for(&events, "die", "one");
        removals.push(between(died, recorder.next(NODES).at));
        engine::post(&host, "/containers/one/start");
        let started = engine::wait_for(&events, "start", "one");
        times.push(between(started, recorder.next(NODES).at));
    }
    row(&format!("start, {among}"), times);
    row(&format!("die, {among}"), removals);
}

fn renames(stage: &Stage, others: usize) {
    let host = stage.docker.host();
    let (mut recorder, events) = (Recorder::start(&stage.etcd.url()), engine::events(&host));
    let mut times = Vec::new();
    let names = ["one".to_owned(), "two".to_owned()];
    for round in 0..ROUNDS {
        let (from, to) = (&names[round % 2], &names[(round + 1) % 2]);
        engine::post(&host, &format!("/containers/{from}/rename?name={to}"));
        let renamed = engine::wait_for(&events, "rename", to);
        let below = format!("{NODES}local/skydns/{to}/");
        times.push(between(renamed, recorder.next(&below).at));
        // The old name's node goes in the same revision.
        recorder.all(NODES);
    }
    row(&format!("rename, {others} others running"), times);
}

/// What cannot be saved: one inspect, and one write.
fn parts(stage: &Stage, id: &str) {
    let (mut inspects, mut puts) = (Vec::new(), Vec::new());
    let mut docker = engine::connect(&stage.docker.host());
    for round in 0..ROUNDS {
        let begun = Instant::now();
        docker.get(&format!("/containers/{id}/json"));
        inspects.push(begun.elapsed());
        let begun = Instant::now();
        stage.etcd.put("/bench/put", &round.to_string());
        puts.push(begun.elapsed());
    }
    row("  of it: an inspect by itself", inspects);
    row("  of it: a write to etcd by itself", puts);
}

/// Many starts at once.
pub(crate) fn burst(stage: &mut Stage) {
    let host = stage.docker.host();
    let names: Vec<String> = (0..BURST).map(|number| format!("burst-{number}")).collect();
    for name in &names {
        let fixed = ["create", "--name", name, "--stop-signal=KILL"];
        stage
            .docker
            .docker(&[&fixed[..], &["busybox", "sleep", "1000000"]].concat());
    }
    let others = stage.nodes();
    let program = stage.launch();
    stage.wait_for_nodes(others + running(stage), &program);
    head("burst of 30 starts at once");
    for round in 1..=3 {
        let before = stage.nodes();
        let (started, registered) = start_all(stage, &host, &names);
        let lost = names
            .iter()
            .filter(|name| !registered.contains_key(*name))
            .count();
        let times = registered
            .iter()
            .filter_map(|(name, at)| Some(between(*started.get(name)?, *at)));
        row(
            &format!("start -> node, round {round}: {lost} lost"),
            times.collect(),
        );
        let begun = Instant::now();
        in_parallel(&names, |name| {
            engine::post(&host, &format!("/containers/{name}/kill"))
        });
        stage.wait_for_nodes(before, &program);
        println!(
            "  all killed and gone again after {:.0} ms: 0 stale",
            begun.elapsed().as_secs_f64() * 1e3
        );
    }
    program.end();
    stage.docker.docker(
        &[
            &["rm", "-f"][..],
            &names.iter().map(String::as_str).collect::<Vec<_>>(),
        ]
        .concat(),
    );
}

fn running(stage: &Stage) -> usize {
    stage
        .docker
        .docker(&["ps", "-q"])
        .split_whitespace()
        .count()
}

type Moments = BTreeMap<String, SystemTime>;

fn start_all(stage: &Stage, host: &str, names: &[String]) -> (Moments, Moments) {
    let (mut recorder, events) = (Recorder::start(&stage.etcd.url()), engine::events(host));
    in_parallel(names, |name| {
        engine::post(host, &format!("/containers/{name}/start"))
    });
    let (mut started, mut registered) = (Moments::new(), Moments::new());
    while started.len() < names.len() {
        let event = events
            .recv_timeout(crate::stage::PATIENCE)
            .expect("an event");
        if event.action == "start" {
            started.insert(event.name, event.at);
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while registered.len() < names.len() {
        let Some(change) = recorder.next_until(NODES, deadline) else {
            break;
        };
        let name = change
            .key
            .split('/')
            .rev()
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        registered.entry(name).or_insert(change.at);
    }
    (started, registered)
}

fn in_parallel(names: &[String], act: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for name in names {
            scope.spawn(|| act(name));
        }
    });
}
