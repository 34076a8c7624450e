//! Measures the program on a host with many containers, between a simulated engine and a real etcd, and beside it the least
//! that any client does: `docs/performance.md` has its figures.
//!
//! `cargo bench -p registrator --bench fleet` measures everything with 100, 1,000 and 10,000 containers; `… -- 100 10000 events`
//! those sizes and parts alone. `REGISTRATOR_BENCH_PROGRAM` names another build of the program, and `ETCD` an etcd that is not
//! in the path. `TMPDIR` is where etcd's data is.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout
)]

#[path = "../support/docker.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod docker;
#[path = "../support/documents.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod documents;
#[path = "../support/engine.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod engine;
#[path = "../support/etcd.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod etcd;
mod events;
mod floor;
mod hundred;
mod many;
mod objects;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod process;
#[path = "../../tests/faults/recorder.rs"]
mod recorder;
mod rest;
mod stage;
#[path = "../support/table.rs"]
mod table;
mod watches;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// What can be measured. A start comes before each, so it is measured anyway.
const PARTS: [&str; 8] = [
    "start", "events", "burst", "rest", "objects", "hundred", "many", "watches",
];
/// Those that need no single host.
const FLEETS: [&str; 4] = ["objects", "hundred", "many", "watches"];
/// Starts of the program of which the median is taken.
const ROUNDS: usize = 3;

struct Wanted {
    sizes: Vec<usize>,
    parts: Vec<String>,
}

impl Wanted {
    /// Numbers are sizes, words are parts; all of a kind that is not named.
    fn from_arguments() -> Result<Wanted, String> {
        let words = std::env::args().skip(1);
        let words = words.filter(|word| !word.starts_with('-'));
        let (mut sizes, mut parts) = (Vec::new(), Vec::new());
        for word in words {
            if let Ok(size) = word.parse() {
                sizes.push(size);
            } else if PARTS.contains(&word.as_str()) {
                parts.push(word);
            } else {
                return Err(word);
            }
        }
        if sizes.is_empty() {
            sizes = SIZES.to_vec();
        }
        if parts.is_empty() {
            parts = PARTS.map(str::to_owned).to_vec();
        }
        Ok(Wanted { sizes, parts })
    }

    fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|wanted| wanted == part)
    }
}

fn main() {
    if !std::env::args().any(|word| word == "--bench") {
        eprintln!("nothing is measured: this is for `cargo bench`, a test run asks for no figures");
        return;
    }
    let wanted = match Wanted::from_arguments() {
        Ok(wanted) => wanted,
        Err(word) => {
            eprintln!("there is no part {word:?}: {}, or a size", PARTS.join(", "));
            std::process::exit(2);
        }
    };
    println!("measured: {}", process::measured().display());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine before: {}", load.trim());
    println!("inspect documents of {} bytes", documents::length());
    if measure(&wanted).is_none() {
        std::process::exit(1);
    }
}

/// `None` where something is missing.
fn measure(wanted: &Wanted) -> Option<()> {
    let alone = wanted
        .parts
        .iter()
        .all(|part| FLEETS.contains(&part.as_str()));
    for size in wanted.sizes.iter().filter(|_| !alone) {
        let stage = stage::start(*size, ROUNDS)?;
        if wanted.has("events") {
            events::one_at_a_time(&stage);
        }
        if wanted.has("burst") {
            events::burst(&stage);
        }
        // What does not grow in between need not be waited for three times.
        if wanted.has("rest") && (wanted.sizes.len() < 3 || *size != SIZES[1]) {
            rest::rest(&stage);
        }
    }
    if wanted.has("objects") {
        objects::one_at_a_time()?;
    }
    if wanted.has("hundred") {
        hundred::at_rest()?;
    }
    if wanted.has("many") {
        many::many()?;
    }
    if wanted.has("watches") {
        watches::many()?;
    }
    Some(())
}
