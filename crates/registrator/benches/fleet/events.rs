//! From an event of the engine to the change in etcd: one at a time beside the floor, and many at once.

use crate::engine::Engine;
use crate::floor::{self, Floor};
use crate::process::cpu_of_threads;
use crate::stage::{NODES, SPARE, Stage};
use crate::table::{between, head, quantile, row};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

const ROUNDS: usize = 250;
/// Containers that take turns.
const IN_TURN: usize = 20;
/// What does not come in this time is lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two events, so that the first is over and done with.
const PAUSE: Duration = Duration::from_millis(5);

/// Who is measured: whose engine has events, and where the nodes appear.
struct Client<'a> {
    engine: &'a Engine,
    /// The number of its first container that does not run.
    spare: usize,
    nodes: &'static str,
    starts: Vec<Duration>,
    removals: Vec<Duration>,
    renames: Vec<Duration>,
    lost: usize,
}

impl<'a> Client<'a> {
    fn new(engine: &'a Engine, spare: usize, nodes: &'static str) -> Client<'a> {
        Client {
            engine,
            spare,
            nodes,
            starts: Vec::new(),
            removals: Vec::new(),
            renames: Vec::new(),
            lost: 0,
        }
    }

    /// A container starts and ends.
    fn round(&mut self, round: usize, stage: &Stage) {
        let number = self.spare + round % IN_TURN;
        let at = self.engine.start_container(number);
        let time = self.waited(at, stage);
        self.starts.extend(time);
        let at = self.engine.end_container(number);
        let time = self.waited(at, stage);
        self.removals.extend(time);
    }

    /// A container gets another name, and its old one again.
    fn rename(&mut self, round: usize, stage: &Stage) {
        let number = round % IN_TURN;
        let name = self.engine.container(number).name;
        for name in [format!("{name}-renamed"), name] {
            let at = self.engine.rename(number, &name);
            let time = self.waited(at, stage);
            self.renames.extend(time);
            // The old name's node goes in the same revision.
            stage.next(self.nodes, Instant::now() + PATIENCE);
        }
    }

    fn waited(&mut self, since: SystemTime, stage: &Stage) -> Option<Duration> {
        let change = stage.next(self.nodes, Instant::now() + PATIENCE);
        std::thread::sleep(PAUSE);
        self.lost += usize::from(change.is_none());
        Some(between(since, change?.0))
    }
}

/// The program and the floor in turn, so that what else the machine does hits both alike.
pub(crate) fn one_at_a_time(stage: &Stage) {
    let bare = Engine::start(0);
    bare.create(IN_TURN);
    let floor = Floor::start(&bare, stage.etcd.url());
    let mut program = Client::new(&stage.engine, stage.containers, NODES);
    let mut least = Client::new(&bare, 0, floor::NODES);
    let before = [cpu_of_threads(stage.program.id()), floor.cpu()];
    for round in 0..ROUNDS {
        program.round(round, stage);
        least.round(round, stage);
    }
    let after = [cpu_of_threads(stage.program.id()), floor.cpu()];
    for round in 0..ROUNDS / 5 {
        program.rename(round, stage);
    }
    head(&format!("event -> etcd, {} containers", stage.containers));
    let p50 = [&program, &least].map(|client| quantile(&client.starts, 50));
    row("start", program.starts);
    row("start, the floor", least.starts);
    println!(
        "{:<52} {:>5} {:>9.2}",
        "start, more than the floor",
        "",
        (p50[0].as_secs_f64() - p50[1].as_secs_f64()) * 1e3
    );
    row("removal", program.removals);
    row("removal, the floor, which does not inspect", least.removals);
    row("rename", program.renames);
    let per_event = |client: usize| {
        let used = (after[client] - before[client]).as_secs_f64();
        used * 1e3 / (2 * ROUNDS) as f64
    };
    println!(
        "CPU per event, start and removal alike: {:.2} ms, the floor {:.2} ms; lost: {}",
        per_event(0),
        per_event(1),
        program.lost
    );
}

/// Many starts at once, and many ends at once.
pub(crate) fn burst(stage: &Stage) {
    let numbers = stage.containers..stage.containers + SPARE;
    let before = cpu_of_threads(stage.program.id());
    let all = |act: fn(&Engine, usize) -> SystemTime| {
        let times = numbers.clone().map(|number| {
            let name = stage.engine.container(number).name;
            (name, act(&stage.engine, number))
        });
        let mut times: HashMap<String, SystemTime> = times.collect();
        let deadline = Instant::now() + PATIENCE;
        let mut waits = Vec::new();
        while !times.is_empty() {
            let Some((at, name)) = stage.next(NODES, deadline) else {
                break;
            };
            waits.extend(times.remove(&name).map(|since| between(since, at)));
        }
        (waits, times.len())
    };
    let (starts, lost) = all(Engine::start_container);
    std::thread::sleep(PAUSE * 20);
    let (ends, stale) = all(Engine::end_container);
    std::thread::sleep(PAUSE * 20);
    let used = cpu_of_threads(stage.program.id()) - before;
    head(&format!("{SPARE} at once, {} containers", stage.containers));
    row(&format!("start: {lost} lost"), starts);
    row(&format!("removal: {stale} stale"), ends);
    println!(
        "CPU per event: {:.2} ms",
        used.as_secs_f64() * 1e3 / (2 * SPARE) as f64
    );
}
