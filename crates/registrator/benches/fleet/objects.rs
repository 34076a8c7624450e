//! A container with a router, a middleware and a service of Traefik: how many keys and revisions that takes, and how long.
//!
//! `REGISTRATOR_BENCH_POLICIES` names another folder of policies, to measure another build with what it was shipped with.

use crate::documents::Templates;
use crate::engine::Engine;
use crate::etcd::Etcd;
use crate::process::Program;
use crate::recorder::Recorder;
use crate::table::{between, head, row};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const VARIABLE: &str = "REGISTRATOR_BENCH_POLICIES";
const NODES: &str = "traefik/";
const CONTAINERS: usize = 100;
const IN_TURN: usize = 20;
const ROUNDS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two events, so that the first is over and done with.
const PAUSE: Duration = Duration::from_millis(20);

const LABELS: [(&str, &str); 5] = [
    ("traefik.enable", "true"),
    ("traefik.http.routers.@name@.rule", "Host(`@name@.test`)"),
    ("traefik.http.routers.@name@.middlewares", "@name@"),
    (
        "traefik.http.middlewares.@name@.ipallowlist.sourcerange",
        "10.0.0.0/8",
    ),
    (
        "traefik.http.services.@name@.loadbalancer.server.port",
        "80",
    ),
];

/// `None` where there is no etcd.
pub(crate) fn one_at_a_time() -> Option<()> {
    let etcd = Etcd::start()?;
    let templates = Templates::labelled(&LABELS);
    let engine = Engine::start_templates("FLEET", 0..CONTAINERS, String::new(), templates);
    engine.create(IN_TURN);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let policies = std::env::var_os(VARIABLE).map_or(root.join("etc/policies"), PathBuf::from);
    let (policy, services) = (policies.join("traefik.star"), root.join("etc/services"));
    let program = Program::launch(
        &engine.host(),
        &etcd.url(),
        &[&"--policies", &policy, &"--services", &services],
    );
    let deadline = Instant::now() + PATIENCE;
    while !program.log().contains("in sync: ") {
        assert!(Instant::now() < deadline, "{}", program.log());
        std::thread::sleep(PAUSE);
    }
    let (nodes, all) = (etcd.count(NODES), etcd.count(""));
    engine.start_container(CONTAINERS);
    std::thread::sleep(Duration::from_secs(1));
    let of_one = etcd.count(NODES) - nodes;
    println!(
        "\na container with a router, a middleware and a service: {of_one} nodes, {} keys in all",
        etcd.count("") - all
    );
    engine.end_container(CONTAINERS);
    std::thread::sleep(Duration::from_secs(1));
    rounds(&etcd, &engine, of_one);
    Some(())
}

fn rounds(etcd: &Etcd, engine: &Engine, of_one: usize) {
    let mut recorder = Recorder::start(&etcd.url());
    let (mut first, mut last, mut gone, mut revisions) = (vec![], vec![], vec![], 0);
    for round in 0..ROUNDS {
        let number = CONTAINERS + round % IN_TURN;
        let before = etcd.revision();
        let began = engine.start_container(number);
        for at in 1..=of_one {
            let change = recorder.next(NODES);
            if at == 1 {
                first.push(between(began, change.at));
            }
            if at == of_one {
                last.push(between(began, change.at));
            }
        }
        std::thread::sleep(PAUSE);
        revisions += etcd.revision() - before;
        let began = engine.end_container(number);
        let changes = (0..of_one).map(|_| recorder.next(NODES).at);
        gone.extend(changes.last().map(|at| between(began, at)));
        std::thread::sleep(PAUSE);
    }
    head("event -> etcd, a container for Traefik");
    row("start, its first node", first);
    row("start, its last node", last);
    row("removal, its last node", gone);
    println!(
        "revisions of etcd for a start: {:.2}",
        revisions as f64 / ROUNDS as f64
    );
}
