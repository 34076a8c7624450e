//! Measures what keeping containers costs: `cargo run --release -p registrator-core --example containers`.
//!
//! The documents are those of a real engine with 25 variables and 25 labels each. Times are CPU time of this thread, memory is what
//! the process has more of afterwards.
#![allow(clippy::print_stdout)]

use registrator_core::observe::container::Container;
use registrator_core::observe::containers::Containers;
use registrator_core::observe::watch::SourceEvent;
use serde_json::{Value as Json, json};
use std::fs::read_to_string;
use std::hint::black_box;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// How many containers there are.
const COUNT: usize = 10_000;

fn main() -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sample = root.join("../registrator-policy/tests/inspect/web-published.json");
    let sample: Json = serde_json::from_str(&read_to_string(sample)?)?;
    let texts: Vec<String> = (0..COUNT).map(|number| document(&sample, number)).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("{COUNT} documents of {} bytes", bytes / COUNT);

    let containers: Result<Vec<Container>, _> = measured("kept as a container", COUNT, || {
        texts.iter().cloned().map(Container::from_text).collect()
    })?;
    let containers = containers?;
    measured("read for a policy", COUNT, || {
        for container in &containers {
            black_box(container.document());
        }
    })?;
    measured("text for Ruby", COUNT, || {
        for container in &containers {
            black_box(container.text());
        }
    })?;
    shared_networks(&containers)?;
    // Last, because the many small pieces of memory that it leaves make everything slower.
    let trees: Result<Vec<Json>, _> = measured("kept as a tree, to compare", COUNT, || {
        texts
            .iter()
            .map(|text| serde_json::from_str(text))
            .collect()
    })?;
    trees?;
    Ok(())
}

/// Half of the containers are in the network of one of the other half.
fn shared_networks(containers: &[Container]) -> Result<(), Failure> {
    let mut known = Containers::default();
    let (lenders, others) = containers.split_at(containers.len() / 2);
    measured("a lender appears", lenders.len(), || {
        for lender in lenders {
            known.handle(SourceEvent::Apply(lender.clone()));
        }
    })?;
    let borrowers = others.iter().zip(lenders).map(|(borrower, lender)| {
        let mut json: Json = serde_json::from_str(&borrower.text())?;
        json["HostConfig"]["NetworkMode"] = format!("container:{}", lender.id()).into();
        json["NetworkSettings"]["Networks"] = json!({});
        json["NetworkSettings"]["Ports"] = json!({});
        Ok(Container::from_inspect(json)?)
    });
    let borrowers = borrowers.collect::<Result<Vec<Container>, Failure>>()?;
    measured("a borrower appears", lenders.len(), || {
        for borrower in &borrowers {
            known.handle(SourceEvent::Apply(borrower.clone()));
        }
    })?;
    measured(
        "a lender changes, and its borrower with it",
        lenders.len(),
        || {
            for lender in lenders {
                known.handle(SourceEvent::Apply(lender.asked_to_stop()));
            }
        },
    )
}

fn document(sample: &Json, number: usize) -> String {
    let mut json = sample.clone();
    json["Name"] = format!("/web-{number}").into();
    let value = |at: usize| {
        format!(
            "{:016x}",
            (number * 31 + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
    };
    let variables = (0..25).map(|at| Json::from(format!("SETTING_{at}={}", value(at))));
    json["Config"]["Env"] = variables.collect();
    let labels = (0..25).map(|at| {
        (
            format!("com.example.team.label-{at}"),
            value(at + 25).into(),
        )
    });
    json["Config"]["Labels"] = Json::Object(labels.collect());
    let id = [value(51), value(52), value(53), value(54)].concat();
    let old = sample["Id"].as_str().unwrap_or_default();
    json.to_string().replace(old, &id)
}

/// Prints what one of `count` takes.
fn measured<T>(name: &str, count: usize, work: impl FnOnce() -> T) -> Result<T, Failure> {
    let (memory, time) = (resident()?, cpu()?);
    let result = work();
    let time = (cpu()? - time) / 1000.0 / count as f64;
    let memory = (resident()? - memory) / count as f64;
    println!("{name:45} {time:6.1} µs {memory:8.0} bytes");
    Ok(result)
}

/// The CPU time of this thread in nanoseconds.
fn cpu() -> Result<f64, Failure> {
    let text = read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// The memory of this process in bytes.
fn resident() -> Result<f64, Failure> {
    let text = read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096.0)
}
