//! What all measurements need: a simulated engine, a private etcd, the program between them, and who hears of every change. And
//! the first measurement: the program's start.

use crate::engine::Engine;
use crate::etcd::Etcd;
use crate::process::{Program, cpu};
use crate::recorder::Recorder;
use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Below it are the nodes of the shipped policy.
pub(crate) const NODES: &str = "/skydns/";
/// Containers that are there afterwards, and do not run.
pub(crate) const SPARE: usize = 300;
/// How long anything may take before a measurement is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the program does within this time after its last node belongs to its start.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// The program among containers, with all nodes registered.
pub(crate) struct Stage {
    pub(crate) containers: usize,
    pub(crate) program: Program,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) engine: Engine,
    pub(crate) etcd: Etcd,
}

/// What one start took.
struct Start {
    wall: Duration,
    cpu: Duration,
    /// In kB.
    resident: u64,
    peak: u64,
    /// Of `resident`, what is the program's and the libraries' files.
    files: u64,
}

/// Starts the program several times, each time with an empty etcd, and prints what that takes. The last one goes on. `None` where
/// there is no etcd.
pub(crate) fn start(containers: usize, rounds: usize) -> Option<Stage> {
    let mut starts = Vec::new();
    let mut last = None;
    for _ in 0..rounds {
        // One program, one etcd and one engine at a time.
        drop(last.take());
        let (stage, start) = launch(containers)?;
        starts.push(start);
        last = Some(stage);
    }
    println!("\n{containers} containers, the median of {rounds} starts");
    let median = |of: fn(&Start) -> u64| {
        let mut values: Vec<u64> = starts.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    println!(
        "  start -> all nodes       {:.3} s",
        median(|start| start.wall.as_micros() as u64) as f64 / 1e6
    );
    println!(
        "  CPU of it                {:.2} s (to 0.01 s)",
        median(|start| start.cpu.as_millis() as u64) as f64 / 1e3
    );
    println!(
        "  resident memory          {:.1} MB (peak {:.1} MB; {:.1} MB of files)",
        megabytes(median(|start| start.resident)),
        megabytes(median(|start| start.peak)),
        megabytes(median(|start| start.files))
    );
    if let Some(stage) = &last {
        stage.engine.create(SPARE);
        std::thread::sleep(AFTERWARDS);
    }
    last
}

fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 * 1024.0 / 1e6
}

fn launch(containers: usize) -> Option<(Stage, Start)> {
    let etcd = Etcd::start()?;
    let engine = Engine::start(containers);
    let mut recorder = Recorder::start(&etcd.url());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let [policies, services] = ["etc/policies/skydns.star", "etc/services"];
    let program = Program::launch(
        &engine.host(),
        &etcd.url(),
        &[
            &"--policies",
            &root.join(policies),
            &"--services",
            &root.join(services),
        ],
    );
    let deadline = program.begun + PATIENCE;
    for registered in 0..containers {
        let node = recorder.next_until(NODES, deadline);
        assert!(
            node.is_some(),
            "{registered} of {containers} nodes came: {}",
            program.log()
        );
    }
    let wall = program.begun.elapsed();
    std::thread::sleep(AFTERWARDS);
    let kilobytes = |name| {
        let text = program.status(name);
        let number = text.trim_end_matches(" kB").parse();
        number.unwrap_or_default()
    };
    let start = Start {
        wall,
        cpu: cpu(program.id()),
        resident: kilobytes("VmRSS"),
        peak: kilobytes("VmHWM"),
        files: kilobytes("RssFile"),
    };
    let stage = Stage {
        containers,
        program,
        recorder: RefCell::new(recorder),
        engine,
        etcd,
    };
    Some((stage, start))
}

impl Stage {
    /// Waits for the next change below a prefix: when it was heard of, and of which container. `None` when the time is up.
    pub(crate) fn next(&self, prefix: &str, deadline: Instant) -> Option<(SystemTime, String)> {
        let change = self.recorder.borrow_mut().next_until(prefix, deadline)?;
        // The last component is the container's id.
        let name = change.key.rsplit('/').nth(1).unwrap_or_default();
        Some((change.at, name.to_owned()))
    }
}
