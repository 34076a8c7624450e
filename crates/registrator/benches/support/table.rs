//! Times as a table.

use std::time::{Duration, SystemTime};

/// Prints the head of a table of times.
pub(crate) fn head(title: &str) {
    println!(
        "\n{title:<52} {:>5} {:>9} {:>9} {:>9}",
        "n", "p50 ms", "p90 ms", "max ms"
    );
}

/// Prints one line: median, 90th percentile and maximum.
pub(crate) fn row(what: &str, times: Vec<Duration>) {
    let [p50, p90, max] = [50, 90, 100].map(|part| {
        let time = quantile(&times, part);
        format!("{:.2}", time.as_secs_f64() * 1e3)
    });
    println!("{what:<52} {:>5} {p50:>9} {p90:>9} {max:>9}", times.len());
}

/// The time that so many percent do not exceed; zero if there is none.
pub(crate) fn quantile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let index = (times.len().saturating_sub(1) * percent).div_ceil(100);
    times.get(index).copied().unwrap_or_default()
}

/// From one moment to a later one; nothing if the clocks disagree.
pub(crate) fn between(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}
