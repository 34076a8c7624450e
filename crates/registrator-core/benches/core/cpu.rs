//! The CPU time of this process, which other work on the machine does not lengthen.

use std::time::Duration;

/// Measures CPU time from its start.
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(now())
    }

    pub(crate) fn used(&self) -> Duration {
        now().saturating_sub(self.0)
    }
}

/// The first field of `schedstat` is the time on a CPU, in nanoseconds.
fn now() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let first = stat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(first.expect("a number"))
}
