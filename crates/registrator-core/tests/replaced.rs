//! Random schedules of containers that come and go on one host, while evaluations and inspects wait: a node that a container asks
//! for which is known to have come is never deleted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "test code, which uses a part of the world"
)]

mod world;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use registrator_core::observe::watch::SourceEvent;
use registrator_core::reconciler::Event;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use world::World;
use world::record;

const HOST: &str = "a";

/// The numbers of the keys that a container asks for.
type Asked = BTreeSet<u8>;

#[derive(Debug, Clone)]
enum Step {
    /// A container is started, or changes. Its inspect is answered at once, or later.
    Come(u8, Asked, bool),
    /// The inspect is answered.
    Inspected(u8),
    /// A container ends.
    End(u8),
    /// Docker was away, and lists these. What is new among them may not be inspected in time.
    List(BTreeMap<u8, Asked>),
    /// The policy is changed, and asks for the same.
    Reload(u64),
    Slow(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let container = 0_u8..4;
    let asked = || prop::collection::btree_set(0_u8..3, 0..3);
    let list = prop::collection::btree_map(container.clone(), asked(), 0..4);
    prop_oneof![
        6 => (container.clone(), asked(), any::<bool>()).prop_map(|(id, asked, at_once)| Step::Come(id, asked, at_once)),
        3 => container.clone().prop_map(Step::Inspected),
        4 => container.prop_map(Step::End),
        2 => list.prop_map(Step::List),
        1 => (1_u64..4).prop_map(Step::Reload),
        3 => any::<bool>().prop_map(Step::Slow),
    ]
}

fn name(container: u8) -> String {
    format!("c{container}")
}

fn answer(asked: &Asked) -> Json {
    let nodes: Map<_, _> = asked
        .iter()
        .map(|key| (format!("/k{key}"), "v".into()))
        .collect();
    json!({"nodes": nodes})
}

/// The containers that run, and those whose inspect is not answered.
#[derive(Default)]
struct Docker {
    running: BTreeMap<u8, Asked>,
    uninspected: BTreeSet<u8>,
}

impl Docker {
    fn perform(&mut self, world: &mut World, step: Step) {
        match step {
            Step::Come(id, asked, at_once) => {
                self.running.insert(id, asked);
                self.uninspected.insert(id);
                let started = world::container_id(&name(id));
                world.handle(HOST, Event::ComingContainer(started));
                if at_once {
                    self.inspected(world, id);
                }
            }
            Step::Inspected(id) => self.inspected(world, id),
            Step::End(id) => {
                self.running.remove(&id);
                self.uninspected.remove(&id);
                world.delete(HOST, &name(id));
            }
            Step::List(listed) => {
                self.running = listed;
                self.uninspected.clear();
                let container = |(id, asked): (&u8, &Asked)| {
                    SourceEvent::InitApply(world::container(&name(*id), true, answer(asked)))
                };
                let items = self.running.iter().map(container);
                let list = [SourceEvent::Init].into_iter().chain(items);
                for event in list.chain([SourceEvent::InitDone]) {
                    world.handle(HOST, Event::Container(event));
                }
            }
            Step::Reload(version) => {
                let (loaded, failed) = (vec![world::spec("p", version)], Vec::new());
                world.handle(HOST, Event::Policies { loaded, failed });
            }
            Step::Slow(slow) => world.host(HOST).slow = slow,
        }
    }

    fn inspected(&mut self, world: &mut World, id: u8) {
        if let Some(asked) = self
            .running
            .get(&id)
            .filter(|_| self.uninspected.remove(&id))
        {
            let container = world::container(&name(id), true, answer(asked));
            world.handle(HOST, Event::Container(SourceEvent::Apply(container)));
        }
    }

    fn asks_for(&self, key: &str) -> bool {
        let asked = |keys: &Asked| keys.iter().any(|number| format!("/k{number}") == key);
        self.running.values().any(asked)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// No time passes, so that nothing has waited long enough.
    #[test]
    fn what_is_asked_for_is_never_deleted(steps in prop::collection::vec(step(), 1..60)) {
        let (mut world, mut docker) = (World::new(), Docker::default());
        world.start(HOST, true);
        for step in steps {
            let before = world.store.revision();
            docker.perform(&mut world, step.clone());
            while world.step(HOST) {}
            for key in record::deleted_after(&world.store, before) {
                prop_assert!(!docker.asks_for(&key), "{} was deleted at {:?}", key, step);
            }
        }
        world.host(HOST).slow = false;
        for id in 0..4 {
            docker.inspected(&mut world, id);
        }
        while world.step(HOST) {}
        let nodes = world.keys();
        let asked: BTreeSet<String> = docker.running.values().flatten()
            .map(|key| format!("/k{key} v owner=a")).collect();
        prop_assert_eq!(nodes, Vec::from_iter(asked));
    }
}
