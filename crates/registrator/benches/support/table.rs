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
pub(crate) fn row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| {
        let index = (times.len().saturating_sub(1) * part).div_ceil(100);
        times.get(index).map_or("-".to_owned(), |time| {
            format!("{:.2}", time.as_secs_f64() * 1e3)
        })
    };
    println!(
        "{what:<52} {:>5} {:>9} {:>9} {:>9}",
        times.len(),
        at(50),
        at(90),
        at(100)
    );
}

/// From one moment to a later one; nothing if the clocks disagree.
pub(crate) fn between(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}
