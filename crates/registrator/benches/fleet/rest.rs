//! What the program costs while nothing changes.

use crate::etcd::Etcd;
use crate::process::{cpu_of_threads, wakings};
use crate::stage::Stage;
use std::time::Duration;

const WHILE: Duration = Duration::from_secs(30);
/// What a start leaves to be done is no rest.
const BEFORE: Duration = Duration::from_secs(5);

/// Watches a while of rest.
pub(crate) fn rest(stage: &Stage) {
    std::thread::sleep(BEFORE);
    let id = stage.program.id();
    let (used, woken) = (cpu_of_threads(id), wakings(id));
    let etcd = Asked::start(&stage.etcd);
    std::thread::sleep(WHILE);
    println!(
        "\nat rest with {} containers, {} s: CPU {:.3} s, {} wakings; {}",
        stage.containers,
        WHILE.as_secs(),
        (cpu_of_threads(id) - used).as_secs_f64(),
        wakings(id) - woken,
        etcd.end()
    );
}

/// What an etcd is asked in a while, and what that costs it.
pub(crate) struct Asked<'a> {
    etcd: &'a Etcd,
    requests: u64,
    revision: i64,
    cpu: Duration,
}

impl Asked<'_> {
    /// From now on.
    pub(crate) fn start(etcd: &Etcd) -> Asked<'_> {
        Asked {
            etcd,
            requests: etcd.requests().values().sum(),
            revision: etcd.revision(),
            cpu: cpu_of_threads(etcd.id()),
        }
    }

    /// Up to now.
    pub(crate) fn end(self) -> String {
        let cpu = cpu_of_threads(self.etcd.id()) - self.cpu;
        let requests: u64 = self.etcd.requests().values().sum();
        format!(
            "etcd: {} requests, {} writes, CPU {:.2} s",
            // One of them asked for the revision.
            (requests - self.requests).saturating_sub(1),
            self.etcd.revision() - self.revision,
            cpu.as_secs_f64()
        )
    }
}
