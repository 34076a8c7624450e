//! Measures evaluations per second of a policy: `evals [POLICY] [CONTAINER.json]`; the shipped `skydns` by default. Use `--release`.
//!
//! First each evaluation is of another container, then ten of one follow each other, as those of a policy's instances do.
#![allow(clippy::print_stdout)]

use registrator_core::observe::config::{self, Config, ConfigSource, RawConfig};
use registrator_core::observe::container::Container;
use registrator_policy::{Policy, STACK_BYTES, Settings, load};
use std::path::Path;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(measure)?;
    thread.join().map_err(|_| "the measurement panicked")?
}

fn measure() -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut arguments = std::env::args().skip(1);
    let policy = arguments
        .next()
        .unwrap_or_else(|| shown(root, "../../etc/policies/skydns.star"));
    let inspect = arguments
        .next()
        .unwrap_or_else(|| shown(root, "tests/inspect/web.json"));
    let mut policy = load(Path::new(&policy), &Settings::default())?;
    let container = Container::from_inspect(serde_json::from_slice(&std::fs::read(inspect)?)?)?;
    let config = config_of(policy.as_ref())?;
    let nodes = policy.evaluate(config.as_ref(), &container)?.nodes;
    let containers: Vec<Container> = (0..1000)
        .map(|number| numbered(&container, number))
        .collect::<Result<_, _>>()?;
    println!("{} nodes each", nodes.len());
    for (times, what) in [
        (1, "each of another container"),
        (10, "ten of each container"),
    ] {
        let asked: Vec<&Container> = containers
            .iter()
            .flat_map(|container| std::iter::repeat_n(container, times))
            .collect();
        for _ in 0..3 {
            let (rate, cpu) = rate(policy.as_mut(), config.as_ref(), &asked)?;
            println!("{rate:.0} evaluations/s, {what}; {cpu:.1} µs of this thread's CPU");
        }
    }
    Ok(())
}

/// Evaluations per second, and the microseconds of this thread's CPU time that each took.
fn rate(
    policy: &mut dyn Policy,
    config: Option<&Config>,
    containers: &[&Container],
) -> Result<(f64, f64), Failure> {
    let (start, cpu_before, mut count) = (Instant::now(), cpu()?, 0_u32);
    while start.elapsed() < Duration::from_secs(2) {
        for container in containers {
            policy.evaluate(config, container)?;
            count += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = (cpu()? - cpu_before) / 1000.0;
    Ok((f64::from(count) / seconds, cpu / f64::from(count)))
}

/// The CPU time of this thread in nanoseconds.
fn cpu() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// The same container under another id.
fn numbered(container: &Container, number: usize) -> Result<Container, Failure> {
    let mut json: serde_json::Value = serde_json::from_str(&container.text())?;
    json["Id"] = format!("{number:064x}").into();
    Ok(Container::from_inspect(json)?)
}

fn shown(root: &Path, path: &str) -> String {
    root.join(path).display().to_string()
}

/// A configuration of defaults.
fn config_of(policy: &dyn Policy) -> Result<Option<Config>, Failure> {
    let spec = policy.spec();
    let Some(schema) = &spec.schema else {
        return Ok(None);
    };
    let raw = RawConfig {
        policy: spec.name.clone(),
        name: None,
        source: ConfigSource::File("defaults".into()),
        bytes: b"{}".to_vec(),
    };
    match config::check(schema, &raw) {
        Ok(config) => Ok(Some(config)),
        Err(faults) => Err(faults
            .iter()
            .map(|fault| format!("{fault}\n"))
            .collect::<String>()
            .into()),
    }
}
