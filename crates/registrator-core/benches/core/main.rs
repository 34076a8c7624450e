//! Measures the core by itself, without IO: the CPU time that its decisions take on a host with many containers.
//!
//! `cargo bench -p registrator-core --bench core` measures 2,000 containers × 3 instances and 10,000 × 10; `… -- 500x3` another
//! size. A part that takes too long is given up, and the table says so.

#![allow(clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod cpu;
mod world;

use cpu::Stopwatch;
use std::time::Duration;
use world::World;

/// How much CPU time a part may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Containers that change one after the other.
const CHANGES: usize = 1_000;
/// Changes of another host's keys.
const FOREIGN: usize = 20_000;

/// How many containers there are, and how many instances look at each.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) containers: usize,
    pub(crate) instances: usize,
}

impl Size {
    fn parse(text: &str) -> Option<Size> {
        let (containers, instances) = text.split_once('x')?;
        Some(Size {
            containers: containers.parse().ok()?,
            instances: instances.parse().ok()?,
        })
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|word| word == "--bench") {
        eprintln!("nothing is measured: this is for `cargo bench`, a test run asks for no figures");
        return;
    }
    let mut sizes = Vec::new();
    for word in arguments.iter().filter(|word| !word.starts_with('-')) {
        let Some(size) = Size::parse(word) else {
            eprintln!("{word:?} is not a size: write CONTAINERSxINSTANCES, as in 2000x3");
            std::process::exit(2);
        };
        sizes.push(size);
    }
    if sizes.is_empty() {
        sizes = ["2000x3", "10000x10"]
            .into_iter()
            .filter_map(Size::parse)
            .collect();
    }
    for size in sizes {
        measure(size);
    }
}

fn measure(size: Size) {
    println!(
        "\n{} containers × {} instances: CPU of the core alone",
        size.containers, size.instances
    );
    let mut world = World::new(size);
    let started = part("start: listed, evaluated, committed", &mut world, |world| {
        world.start(LIMIT)
    });
    if !started {
        return;
    }
    each("one container changes", CHANGES, &mut world, |world, at| {
        world.change(at)
    });
    let foreign = "a key of another host is seen";
    each(foreign, FOREIGN, &mut world, World::see_foreign);
    let mut whole = part("the policy is reloaded", &mut world, |world| {
        world.reload(true);
        world.settle(LIMIT)
    });
    for (name, reloads) in [
        (
            "reloaded twice, before the answers",
            [true, true].as_slice(),
        ),
        ("all evaluations fail", [false].as_slice()),
    ] {
        if !whole {
            // What a part that was given up leaves behind would be measured with the next one.
            world = World::new(size);
            world.start(LIMIT);
        }
        whole = part(name, &mut world, |world| {
            for works in reloads {
                world.reload(*works);
            }
            world.settle(LIMIT)
        });
    }
    if whole {
        let name = "a key of another host is seen meanwhile";
        each(name, FOREIGN, &mut world, World::see_foreign);
    }
}

/// Prints what one part takes; whether it came to its end.
fn part(name: &str, world: &mut World, run: impl FnOnce(&mut World) -> bool) -> bool {
    let (events, watch) = (world.events(), Stopwatch::start());
    let ended = run(world);
    let (used, events) = (watch.used(), world.events() - events);
    if ended {
        println!(
            "  {name:<42} {:>9.3} s   {events:>9} events  {:>9.2} µs each",
            used.as_secs_f64(),
            micros(used, events)
        );
    } else {
        println!("  {name:<42} did not end within {} s", LIMIT.as_secs());
    }
    ended
}

/// Prints what one of many small things takes, of as many as the time limit allows.
fn each(name: &str, count: usize, world: &mut World, act: impl Fn(&mut World, usize)) {
    let (events, watch) = (world.events(), Stopwatch::start());
    let mut done = 0;
    // To look at the time takes longer than some of what is measured.
    while done < count && (done % 64 > 0 || watch.used() < LIMIT) {
        act(world, done);
        done += 1;
    }
    let (used, events) = (watch.used(), world.events() - events);
    println!(
        "  {name:<42} {:>9.2} µs  {events:>9} events  {:>9.2} µs each",
        micros(used, done),
        micros(used, events)
    );
}

fn micros(time: Duration, count: usize) -> f64 {
    // As many events as lose precision here take years.
    time.as_secs_f64() * 1e6 / (count.max(1) as f64)
}
