//! Measures the program as a whole, between a real Docker Engine and a real etcd: `docs/performance.md` has its figures.
//!
//! `cargo bench -p registrator --bench host` measures everything, `… -- event watched sync rest burst keys` what is named. Needs what the
//! tests with a real Docker daemon need, and nothing else that keeps the machine busy.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout
)]

#[path = "../support/docker.rs"]
mod docker;
#[path = "../../tests/support/dockerd.rs"]
mod dockerd;
mod engine;
#[path = "../support/etcd.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod etcd;
mod event;
mod keys;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod process;
#[path = "../../tests/faults/recorder.rs"]
mod recorder;
mod rest;
mod stage;
mod sync;
#[path = "../support/table.rs"]
mod table;
mod watched;

use stage::Stage;

/// A measurement and its name on the command line.
type Measurement = (&'static str, fn(&mut Stage));

/// From few containers to many: they stay.
const MEASUREMENTS: [Measurement; 6] = [
    ("event", event::latency),
    ("watched", watched::compared),
    ("burst", event::burst),
    ("rest", rest::minute),
    ("sync", sync::initial),
    ("keys", keys::ten_thousand),
];

fn main() {
    if !std::env::args().any(|word| word == "--bench") {
        eprintln!("nothing is measured: this is for `cargo bench`, a test run asks for no figures");
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let known = |word: &String| MEASUREMENTS.iter().any(|(name, _)| name == word);
    if let Some(word) = wanted.iter().find(|word| !known(word)) {
        eprintln!("there is no measurement {word:?}: event, watched, burst, rest, sync, keys");
        std::process::exit(2);
    }
    for (name, measure) in MEASUREMENTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            let Some(mut stage) = Stage::start() else {
                std::process::exit(1);
            };
            measure(&mut stage);
        }
    }
}
