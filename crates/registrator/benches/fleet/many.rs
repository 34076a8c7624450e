//! Many hosts on one etcd: what a change of one costs it, the others, and etcd; and what happens when all begin anew.

use crate::engine::Engine;
use crate::etcd::Etcd;
use crate::hundred::launch;
use crate::process::{Program, cpu_of_threads};
use std::time::{Duration, Instant};

/// Hosts at once.
const HOSTS: [usize; 3] = [10, 50, 200];
/// Of each host. One simulated engine is the engine of all.
const CONTAINERS: usize = 3;
/// Below it are the nodes of all hosts.
const NODES: &str = "/fleet/";
/// For so long a container starts and ends once a second, on all hosts.
const CHURN: Duration = Duration::from_secs(20);
/// What a start leaves to be done belongs to no measurement.
const BEFORE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(180);
/// How often etcd's counters are read while it is stormed.
const SAMPLE: Duration = Duration::from_millis(100);
/// The keys that all hosts wish, in the last measurement.
const SHARED: usize = 50;
/// No more hosts than this, since nobody has one key on 200 hosts.
const MOST_SHARING: usize = 50;

/// A fleet under way.
struct Fleet {
    etcd: Etcd,
    engine: Engine,
    folder: tempfile::TempDir,
    programs: Vec<Program>,
}

/// What was used up at one moment.
struct Used {
    registrators: Duration,
    etcd: Duration,
    revision: i64,
    sent: f64,
}

/// Measures fleets of each size. `None` where there is no etcd.
pub(crate) fn many() -> Option<()> {
    for hosts in HOSTS {
        let mut fleet = Fleet::start(hosts, CONTAINERS, false)?;
        std::thread::sleep(BEFORE);
        fleet.print_watches();
        fleet.churn();
        fleet.restart_one_by_one();
        fleet.restart_etcd();
        drop(fleet);
        if hosts <= MOST_SHARING {
            Fleet::start(hosts, SHARED, true)?.settled();
        }
    }
    Some(())
}

impl Fleet {
    /// Starts all at once, and waits until all nodes are there. They wish the same keys if they `share`.
    fn start(hosts: usize, containers: usize, share: bool) -> Option<Fleet> {
        let etcd = Etcd::start()?;
        let engine = Engine::start(containers);
        let folder = tempfile::tempdir().expect("a folder");
        let begun = Instant::now();
        let programs = (0..hosts)
            .map(|host| launch(host, share, folder.path(), &engine, &etcd))
            .collect();
        let fleet = Fleet {
            etcd,
            engine,
            folder,
            programs,
        };
        let nodes = if share {
            containers
        } else {
            hosts * containers
        };
        fleet.wait_for(nodes, begun);
        println!(
            "\n{hosts} hosts of {containers} containers{}: all {nodes} nodes after {:.1} s",
            if share { " with the same keys" } else { "" },
            begun.elapsed().as_secs_f64()
        );
        Some(fleet)
    }

    fn wait_for(&self, nodes: usize, begun: Instant) {
        while self.etcd.count(NODES) != nodes {
            assert!(
                begun.elapsed() < PATIENCE,
                "{} of {nodes} nodes are there: {}",
                self.etcd.count(NODES),
                self.programs[0].log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn used(&self) -> Used {
        let programs = self.programs.iter();
        Used {
            registrators: programs.map(|program| cpu_of_threads(program.id())).sum(),
            etcd: cpu_of_threads(self.etcd.id()),
            revision: self.etcd.revision(),
            sent: self
                .etcd
                .metric("etcd_network_client_grpc_sent_bytes_total"),
        }
    }

    fn print_watches(&self) {
        let hosts = self.programs.len() as f64;
        println!(
            "  watches and streams of each host   {:.1}, {:.1}",
            self.etcd.metric("etcd_debugging_mvcc_watcher_total") / hosts,
            self.etcd.metric("etcd_debugging_mvcc_watch_stream_total") / hosts
        );
    }

    fn churn(&self) {
        let (begun, before) = (Instant::now(), self.used());
        let (all, spare) = (self.etcd.count(NODES), self.engine.create(1));
        while begun.elapsed() < CHURN {
            let second = Instant::now();
            self.engine.start_container(spare);
            self.wait_for(all + self.programs.len(), second);
            std::thread::sleep(Duration::from_millis(500).saturating_sub(second.elapsed()));
            self.engine.end_container(spare);
            self.wait_for(all, second);
            std::thread::sleep(Duration::from_secs(1).saturating_sub(second.elapsed()));
        }
        let after = self.used();
        let changes = (after.revision - before.revision) as f64;
        let each = |used: Duration| used.as_secs_f64() * 1e3 / changes;
        println!(
            "  CPU for each change of a host      {:.2} ms of its registrator and all others, {:.2} ms of etcd, which sends {:.1} kB ({changes} changes)",
            each(after.registrators.saturating_sub(before.registrators)),
            each(after.etcd.saturating_sub(before.etcd)),
            (after.sent - before.sent) / 1e3 / changes
        );
    }

    /// Each host's registrator ends and starts again, one after the other.
    fn restart_one_by_one(&mut self) {
        let (begun, before) = (Instant::now(), self.used());
        let mut ended = Duration::ZERO;
        for host in 0..self.programs.len() {
            let old = self.programs.remove(host);
            ended += cpu_of_threads(old.id());
            old.end();
            let new = launch(host, false, self.folder.path(), &self.engine, &self.etcd);
            self.programs.insert(host, new);
        }
        let synced = |program: &Program| program.log().contains("in sync");
        while !self.programs.iter().all(synced) {
            assert!(begun.elapsed() < PATIENCE, "{}", self.programs[0].log());
            std::thread::sleep(SAMPLE);
        }
        let after = self.used();
        println!(
            "  all restarted one by one           {:.1} s, {} revisions, CPU {:.2} s of all, {:.2} s of etcd",
            begun.elapsed().as_secs_f64(),
            after.revision - before.revision,
            (after.registrators + ended)
                .saturating_sub(before.registrators)
                .as_secs_f64(),
            after.etcd.saturating_sub(before.etcd).as_secs_f64()
        );
    }

    /// etcd is killed and starts again: until a change of all hosts is in it, and what it is asked meanwhile.
    fn restart_etcd(&mut self) {
        let all = self.etcd.count(NODES);
        self.etcd.kill();
        std::thread::sleep(Duration::from_secs(2));
        self.etcd.restart();
        let begun = Instant::now();
        let container = self.engine.create(1);
        self.engine.start_container(container);
        let (mut peak, mut last) = (0, self.requests());
        while self.etcd.count(NODES) < all + self.programs.len() {
            assert!(begun.elapsed() < PATIENCE, "{}", self.programs[0].log());
            std::thread::sleep(SAMPLE);
            let now = self.requests();
            peak = peak.max(now.saturating_sub(last));
            last = now;
        }
        let took = begun.elapsed();
        println!(
            "  etcd restarted                     all are back after {:.1} s; {} requests, at most {peak} in {} ms",
            took.as_secs_f64(),
            last,
            SAMPLE.as_millis()
        );
        self.engine.end_container(container);
    }

    fn requests(&self) -> u64 {
        self.etcd.requests().values().sum()
    }

    /// Waits until nothing is written any more.
    fn settled(&self) {
        let mut revision = self.etcd.revision();
        loop {
            std::thread::sleep(Duration::from_secs(5));
            let now = self.etcd.revision();
            if now == revision {
                break;
            }
            revision = now;
        }
        println!(
            "  at rest                            {} revisions, {} transactions",
            revision,
            self.etcd.requests().get("Txn").copied().unwrap_or_default()
        );
    }
}
