//! What the observed process has and uses, from time to time, as a table; and whether it grows.

use crate::faults::Faults;
use crate::world::World;
use std::time::{Duration, Instant};

/// How much more memory than in the second quarter there may be in the last one, in kB and in percent of it. The allocator's own
/// ups and downs are about half of that; a leak of 1 kB for each container that comes and goes is twice that within 20 minutes.
const MORE_KB: u64 = 2_000;
const MORE_PERCENT: u64 = 5;
/// A short run ends while the process is still warming up.
const SHORT: Duration = Duration::from_secs(10 * 60);
const MORE_KB_SHORT: u64 = 5_000;

/// One look.
#[derive(Clone, Copy)]
struct Sample {
    at: Duration,
    resident: u64,
    /// Of `resident`, what is neither file nor shared: heap and stacks.
    heap: u64,
}

/// All of them, from the end of the warming-up to the end.
pub(crate) struct Samples {
    begun: Instant,
    samples: Vec<Sample>,
}

impl Samples {
    /// None yet.
    pub(crate) fn new() -> Samples {
        println!(
            "\n{:>8} {:>9} {:>9} {:>5} {:>7} {:>8} {:>6} {:>6} {:>6} {:>8} {:>6} {:>6} {:>6} {:>6}",
            "time",
            "RSS MB",
            "heap MB",
            "files",
            "threads",
            "watches",
            "leases",
            "nodes",
            "conts",
            "lines",
            "missed",
            "WARN",
            "ERROR",
            "faults"
        );
        Samples {
            begun: Instant::now(),
            samples: Vec::new(),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.samples.len()
    }

    /// How much time has passed since the beginning.
    pub(crate) fn seconds(&self) -> usize {
        self.begun.elapsed().as_secs() as usize
    }

    /// Looks, and prints what there is if `print` says so.
    pub(crate) fn take(&mut self, world: &World, faults: &Faults, print: bool) {
        let main = &world.hosts[0];
        let registrator = main.registrator();
        let sample = Sample {
            at: self.begun.elapsed(),
            resident: registrator.kilobytes("VmRSS"),
            heap: registrator.kilobytes("RssAnon"),
        };
        self.samples.push(sample);
        if !print {
            return;
        }
        let of_etcd = if world.etcd_runs {
            let watches = world.etcd.metric("etcd_debugging_mvcc_watcher_total");
            [watches as usize, world.etcd.leases(), world.nodes()].map(|count| count.to_string())
        } else {
            ["-"; 3].map(str::to_owned)
        };
        let [lines, missed, warnings, errors] = main
            .log
            .see(|log| [log.count, log.dropped, log.warnings, log.errors]);
        let seconds = sample.at.as_secs();
        println!(
            "{:>8} {:>9.1} {:>9.1} {:>5} {:>7} {:>8} {:>6} {:>6} {:>6} {lines:>8} {missed:>6} {warnings:>6} {errors:>6} {:>6}",
            format!("{}:{:02}", seconds / 60, seconds % 60),
            megabytes(sample.resident),
            megabytes(sample.heap),
            registrator.descriptors().len(),
            registrator.threads(),
            of_etcd[0],
            of_etcd[1],
            of_etcd[2],
            main.running().len(),
            faults.count
        );
    }

    /// Whether the memory of the last quarter is that of the second one. Prints both.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let quarter = self.samples.len() / 4;
        let second = &self.samples[quarter..2 * quarter];
        let last = &self.samples[3 * quarter..];
        let [before, after] = [second, last].map(|part| median(part, |sample| sample.resident));
        let [heap_before, heap_after] =
            [second, last].map(|part| median(part, |sample| sample.heap));
        let time = middle(last).saturating_sub(middle(second)).as_secs_f64() / 3600.0;
        let slope = |from: u64, to: u64| (megabytes(to) - megabytes(from)) / time;
        println!(
            "resident, median of a quarter: second {:.1} MB, last {:.1} MB, {:+.1} MB/h; heap {:.1} MB, {:.1} MB, {:+.1} MB/h",
            megabytes(before),
            megabytes(after),
            slope(before, after),
            megabytes(heap_before),
            megabytes(heap_after),
            slope(heap_before, heap_after)
        );
        let short = self.samples.last().is_some_and(|last| last.at < SHORT);
        let more = if short { MORE_KB_SHORT } else { MORE_KB };
        let most = before + before * MORE_PERCENT / 100 + more;
        if after > most {
            return Err(format!(
                "memory grows: {:.1} MB in the last quarter, at most {:.1} MB may be",
                megabytes(after),
                megabytes(most)
            ));
        }
        Ok(())
    }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn middle(samples: &[Sample]) -> Duration {
    samples
        .get(samples.len() / 2)
        .map_or(Duration::ZERO, |sample| sample.at)
}

fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 * 1024.0 / 1e6
}

/// What is the same whenever nothing is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Still {
    files: usize,
    threads: usize,
    /// Those beyond two for each node and each claim.
    watches: usize,
    leases: usize,
}

/// What both programs together may watch besides single keys: registrators, configurations, roots.
const OTHER_WATCHES: usize = 16;

impl Still {
    /// What there is now.
    fn now(world: &World) -> Still {
        let registrator = world.hosts[0].registrator();
        let watches = world.etcd.metric("etcd_debugging_mvcc_watcher_total");
        let keys = world.nodes() + world.etcd.count("/registrator/claims/");
        Still {
            files: registrator.descriptors().len(),
            threads: registrator.threads(),
            watches: (watches as usize).saturating_sub(2 * keys),
            leases: world.etcd.leases(),
        }
    }

    /// The least of each within a while.
    pub(crate) fn least(world: &World, within: Duration, pause: Duration) -> Still {
        let begun = Instant::now();
        let mut least = Still::now(world);
        while begun.elapsed() < within {
            std::thread::sleep(pause);
            let now = Still::now(world);
            least = Still {
                files: least.files.min(now.files),
                threads: least.threads.min(now.threads),
                watches: least.watches.min(now.watches),
                leases: least.leases.min(now.leases),
            };
        }
        least
    }

    /// Whether there is nothing more than that.
    pub(crate) fn is_within(self, other: Still) -> bool {
        self.files <= other.files
            && self.threads <= other.threads
            && self.watches <= OTHER_WATCHES
            && self.leases <= other.leases
    }
}
