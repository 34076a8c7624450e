//! The program for a long time among everything that happens to it, at the end of which it must be as it was: `docs/performance.md`
//! has a table.
//!
//! `make soak`, or `SOAK_MINUTES=60 SOAK_SEED=7 cargo bench -p registrator --bench soak`. Two programs on one etcd, each with a simulated
//! engine; the first one is observed, and never ends meanwhile. Five containers a second come, go, restart, get other names and other
//! addresses, and faults come of a deck; the same seed gives the same soak. `ETCD` names an etcd that is not in the path,
//! `REGISTRATOR_BENCH_PROGRAM` another build of the program.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout
)]

#[path = "../support/documents.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod documents;
#[path = "../support/engine.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod engine;
#[path = "../support/etcd.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod etcd;
mod faults;
mod host;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod process;
mod random;
mod registrator;
mod samples;
mod world;

use faults::{Faults, TICKS};
use host::Host;
use random::Random;
use samples::{Samples, Still};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use world::World;

/// How long everything happens before anything is measured.
const WARM_UP: usize = 60;
/// How long the still state is looked at.
const STILL: Duration = Duration::from_secs(20);
/// How long it may take to be still again.
const UNTIL_STILL: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);
/// How many samples are taken, at most one a second, and how many of these are printed.
const SAMPLES: usize = 240;
const PRINTED: usize = 40;
/// One tick in so many is one of the peer's.
const PEER_TICKS: usize = 5;
/// Warnings and errors of the observed program for each fault, at most.
const WARNINGS_PER_FAULT: usize = 30;

fn main() {
    if !std::env::args().any(|word| word == "--bench") {
        eprintln!("nothing is soaked: this is for `make soak`, a test run has no time for it");
        return;
    }
    let minutes = number("SOAK_MINUTES").unwrap_or(20);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = number("SOAK_SEED")
        .unwrap_or_else(|| clock.unwrap_or_default().subsec_nanos() as usize % 1_000_000);
    println!("soak: SOAK_MINUTES={minutes} SOAK_SEED={seed}");
    println!("program: {}", process::measured().display());
    let Some(world) = World::start() else {
        std::process::exit(1);
    };
    let mut soak = Soak {
        world,
        faults: Faults::new(),
        random: Random(seed as u64),
        tick: 0,
    };
    match soak.run(minutes * 60) {
        Ok(()) => println!("SOUND after {minutes} minutes"),
        Err(trouble) => {
            println!("{}", soak.world.hosts[0].log.tail());
            println!("UNSOUND, SOAK_SEED={seed}: {trouble}");
            std::process::exit(1);
        }
    }
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .expect("SOAK_MINUTES and SOAK_SEED are numbers"),
    )
}

struct Soak {
    world: World,
    faults: Faults,
    random: Random,
    tick: usize,
}

impl Soak {
    /// All of it: what is wrong, if anything is.
    fn run(&mut self, seconds: usize) -> Result<(), String> {
        self.churn(WARM_UP, |_| {})?;
        let before = self.settle()?;
        // What is kept for the next inspect would stay for a while, longer or shorter.
        self.world.hosts[0].engine.cut_idle();
        let still = Still::least(&self.world, STILL, PAUSE);
        println!("still after {before:.1?}: {still:?}");
        let mut samples = Samples::new();
        let (every, mut next) = (seconds.div_ceil(SAMPLES), 0);
        self.churn(seconds, |soak| {
            let passed = samples.seconds();
            if passed >= next {
                let print = samples.count().is_multiple_of(SAMPLES / PRINTED);
                samples.take(&soak.world, &soak.faults, print);
                next = passed + every;
            }
        })?;
        let after = self.settle()?;
        samples.take(&self.world, &self.faults, true);
        println!("etcd holds what it should, {after:.1?} after everything became still");
        let judged = [
            self.wait_until_still(still),
            samples.verdict(),
            self.judge_log(),
            self.end(),
        ];
        let troubles: Vec<String> = judged.into_iter().filter_map(Result::err).collect();
        if troubles.is_empty() {
            Ok(())
        } else {
            Err(troubles.join("\n"))
        }
    }

    /// Containers and faults for so many seconds. `observe` is called after each tick.
    fn churn(&mut self, seconds: usize, mut observe: impl FnMut(&Soak)) -> Result<(), String> {
        let begun = Instant::now();
        for tick in 1..=seconds * TICKS {
            self.tick += 1;
            self.world.hosts[0].churn(&mut self.random);
            if self.tick.is_multiple_of(PEER_TICKS) {
                self.world.hosts[1].churn(&mut self.random);
            }
            self.faults
                .tick(self.tick, &mut self.world, &mut self.random);
            if let Some(host) = self.ended() {
                return Err(host);
            }
            observe(self);
            let due = Duration::from_millis((tick * 1000 / TICKS) as u64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        let mut hosts = self.world.hosts.iter_mut();
        hosts.find_map(|host| {
            let status = host.ended()?;
            let log = host.log.tail();
            Some(format!("{log}the program of {} ended: {status}", host.name))
        })
    }

    /// Ends all faults, and waits for the truth.
    fn settle(&mut self) -> Result<Duration, String> {
        self.faults.end_all(&mut self.world);
        self.world.reset();
        let truth = self.world.wait_for_truth();
        let ended = self.ended();
        ended.map_or(truth, Err)
    }

    fn wait_until_still(&self, before: Still) -> Result<(), String> {
        self.world.hosts[0].engine.cut_idle();
        let deadline = Instant::now() + UNTIL_STILL;
        loop {
            let now = Still::least(&self.world, PAUSE * 4, PAUSE);
            if now.is_within(before) {
                println!("files, threads, watches and leases are as before: {now:?}");
                return Ok(());
            }
            if Instant::now() > deadline {
                let files = self.world.hosts[0].registrator().descriptors().join("\n");
                return Err(format!(
                    "{files}\nmore than before: {before:?}, now {now:?}"
                ));
            }
        }
    }

    fn judge_log(&self) -> Result<(), String> {
        let log = |host: &Host| {
            let log = &host.log;
            log.see(|log| (log.warnings + log.errors, log.panics))
        };
        let [(warnings, panics), (_, of_peer)] =
            [&self.world.hosts[0], &self.world.hosts[1]].map(log);
        let most = self.faults.count * WARNINGS_PER_FAULT;
        println!(
            "{warnings} warnings and errors, {} faults, no end of the program",
            self.faults.count
        );
        if panics + of_peer > 0 {
            return Err(format!("{panics} panics, {of_peer} of the peer"));
        }
        if warnings > most {
            return Err(format!("{warnings} warnings, more than {most}"));
        }
        Ok(())
    }

    /// Both programs end with their nodes.
    fn end(&mut self) -> Result<(), String> {
        for host in &mut self.world.hosts {
            let status = host.terminate();
            if !status.is_some_and(|status| status.success()) {
                return Err(format!(
                    "the program of {} ended with {status:?}",
                    host.name
                ));
            }
        }
        match self.world.nodes() {
            0 => Ok(()),
            nodes => Err(format!("{nodes} nodes are left after the end")),
        }
    }
}
