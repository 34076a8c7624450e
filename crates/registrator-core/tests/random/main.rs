//! Random schedules: whatever happens and in whatever order, once the world is quiet etcd holds exactly what a naive reference
//! says, and nothing is written any more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod reference;
mod steps;
#[path = "../world/mod.rs"]
mod world;

use etcd_mem::store::KeyRange;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use reference::{answer, check_keys, check_objects, expected, owner};
use registrator_core::reconciler::Event;
use std::time::Duration;
use steps::{
    ALONE, Asked, BESIDE, Step, VISITOR, apply, delete, last, lives, perform, step, step_beside,
    step_of_the_mortal,
};
use world::record::{self, Exempt};
use world::{Lag, World};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// All hosts, which run nothing yet.
fn begun() -> World {
    let mut world = World::new();
    HOSTS.iter().for_each(|host| world.start(host, true));
    world
}

/// Lets everything work again.
fn repair(world: &mut World) {
    for name in HOSTS {
        let host = world.host(name);
        (host.slow, host.deaf, host.late, host.forgetful) = (false, false, false, false);
        host.lag = Lag::Nothing;
        world.freeze(name, false);
        world.cut(name, false);
    }
    world.settle();
}

/// Lets everything work again, and gives each host exactly these containers.
fn calm(world: &mut World, last: &[(usize, u8, Asked)]) {
    for host in HOSTS {
        // A process that has not ended yet may still end.
        if lives(world, host) && world.host(host).reconciler.ending() {
            world.crash(host);
        }
        if !lives(world, host) {
            world.start(host, true);
        }
        for container in 0..3 {
            world.delete(host, &format!("c{container}"));
        }
    }
    repair(world);
    for (host, container, asked) in last {
        apply(world, HOSTS[*host], *container, answer(asked));
    }
    world.reach(true);
    world.settle();
    world.pass(Duration::from_secs(200));
    // What it holds back it holds back rightly: an instance may be gone.
    for host in HOSTS {
        world.handle(host, Event::ReleaseBrake);
    }
    for key in 0..4 {
        let name = format!("/k{key}");
        if world
            .keys()
            .iter()
            .any(|line| line.starts_with(&name) && line.contains("owner=nobody"))
        {
            delete(world, KeyRange::key(name));
        }
    }
    world.settle();
    world.pass(Duration::from_secs(200));
}

/// What has no reason on a host that runs.
fn unexplained(world: &World) -> Vec<String> {
    let running = world.hosts.values().filter(|host| host.stopped.is_none());
    let missing = running.flat_map(|host| {
        let containers = (0..=VISITOR).map(|number| world::container_id(&format!("c{number}")));
        world::reasons::missing(&host.reconciler, containers, world.now())
    });
    missing.collect()
}

/// The same schedules each time, so that a red run is red again. `SCHEDULES=20000 SEED=7` tries others.
fn config() -> ProptestConfig {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    ProptestConfig {
        cases: number("SCHEDULES").unwrap_or(300) as u32,
        rng_seed: RngSeed::Fixed(number("SEED").unwrap_or(1)),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whoever_dies_leaves_no_gap(steps in prop::collection::vec(step_of_the_mortal(), 1..60)) {
        let mut world = begun();
        for step in &steps {
            perform(&mut world, step);
            // Whoever is back has the time to act before the next lease ends; whoever leaves has left.
            if matches!(
                step,
                Step::Start { .. } | Step::Freeze { .. } | Step::Leave { .. }
            ) {
                world.settle();
            }
        }
        let gaps = record::gaps(&world.store, &world.others, Exempt::ByHand);
        prop_assert_eq!(gaps, [], "no key vanishes while somebody waits for it who lives");
    }

    #[test]
    fn any_schedule_ends_in_the_truth(steps in prop::collection::vec(step(ALONE), 1..60), last in last()) {
        let world = run(&steps, &last)?;
        let mixtures = record::mixtures(&world.store, owner);
        prop_assert_eq!(mixtures, [], "no definitions are mixed, and none that counts is absent");
        let gaps = record::gaps(&world.store, &world.others, Exempt::WithLease);
        prop_assert_eq!(gaps, [], "no key vanishes while somebody waits for it");
    }

    /// As on hosts of which some know nothing of objects. When their nodes are gone, the objects are there.
    #[test]
    fn nodes_beside_objects_end_in_the_truth(
        steps in prop::collection::vec(step(BESIDE), 1..60),
        last in last(),
        beside in prop::collection::vec(step_beside(), 1..20),
    ) {
        let mut world = run(&steps, &last)?;
        for step in &beside {
            perform(&mut world, step);
            prop_assert_eq!(unexplained(&world), Vec::<String>::new(), "after {:?}", step);
        }
        HOSTS.iter().for_each(|host| world.delete(host, &format!("c{VISITOR}")));
        world.settle();
        repair(&mut world);
        check(&mut world, &last)?;
    }
}

/// Whatever happens, in the end there is what the last containers ask for, and nothing is written any more.
fn run(steps: &[Step], last: &[(usize, u8, Asked)]) -> Result<World, TestCaseError> {
    let mut world = begun();
    for step in steps {
        perform(&mut world, step);
        prop_assert_eq!(
            unexplained(&world),
            Vec::<String>::new(),
            "after {:?}",
            step
        );
    }
    calm(&mut world, last);
    check(&mut world, last)?;
    Ok(world)
}

fn check(world: &mut World, last: &[(usize, u8, Asked)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(unexplained(world), Vec::<String>::new());
    for host in world.hosts.values() {
        let unsettled = world::reasons::unsettled(&host.reconciler, world.now());
        prop_assert_eq!(unsettled, Vec::<String>::new(), "of {}", host.name);
    }
    let mut wishes = expected(last);
    let lines = check_objects(world.keys(), last, &mut wishes);
    check_keys(&lines, &wishes);
    let revision = world.store.revision();
    world.pass(Duration::from_secs(100));
    prop_assert_eq!(
        world.store.revision(),
        revision,
        "nothing is written at rest"
    );
    Ok(())
}

/// That a container asks for these keys.
fn asks(host: usize, container: u8, asked: &[(u8, u8)]) -> Step {
    Step::Apply {
        host,
        container,
        asked: asked.to_vec(),
    }
}

/// Of a host that a claim told of, and nothing else yet.
#[test]
fn an_object_passes_to_a_host_that_is_not_known_yet() {
    let mut world = begun();
    for step in [
        asks(0, 1, &[(4, 8)]),
        Step::Run { host: 0, steps: 3 },
        asks(0, 0, &[]),
        asks(0, 1, &[]),
        asks(1, 0, &[(4, 8)]),
        Step::Run { host: 1, steps: 1 },
        Step::Settle,
    ] {
        perform(&mut world, &step);
    }
    assert_eq!(record::mixtures(&world.store, owner), []);
}

/// To a host that does not know yet what it lost, and has heard of a definition in between that lacks a node of this one.
#[test]
fn an_object_comes_back_whole() {
    let mut world = begun();
    for step in [
        asks(0, 1, &[(4, 8)]),
        Step::Lag {
            host: 0,
            lag: Lag::Others,
        },
        asks(1, 2, &[(4, 10)]),
        Step::Settle,
        asks(0, 2, &[]),
        asks(1, 2, &[]),
        asks(1, 0, &[(4, 11)]),
        Step::Vanish { host: 2 },
        Step::Fail {
            host: 0,
            container: 0,
        },
        Step::Pass { seconds: 1 },
        Step::Reload {
            host: 0,
            version: 2,
        },
    ] {
        perform(&mut world, &step);
    }
    calm(&mut world, &[]);
    assert_eq!(record::mixtures(&world.store, owner), []);
}
