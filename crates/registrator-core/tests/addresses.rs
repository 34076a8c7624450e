//! Random schedules of containers that change their addresses, while their policy works or fails: what is registered is what the
//! policy said last, without what names an address that the container has no longer.

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
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use world::World;

const HOST: &str = "a";

/// Addresses of which some are the beginnings of others.
const ADDRESSES: [&str; 5] = ["10.0.0.2", "10.0.0.21", "110.0.0.2", "10.0.0.1", "fd00::2"];

#[derive(Debug, Clone)]
enum Step {
    /// A container gets an address that nobody else has, or has none any more.
    Move(u8, Option<usize>),
    /// From now on the policy fails for it, or works.
    Fail(u8, bool),
    End(u8),
    Reload(u64),
    Slow(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let container = 0_u8..3;
    prop_oneof![
        8 => (container.clone(), prop::option::weighted(0.8, 0..ADDRESSES.len())).prop_map(|(id, at)| Step::Move(id, at)),
        4 => (container.clone(), any::<bool>()).prop_map(|(id, fails)| Step::Fail(id, fails)),
        1 => container.prop_map(Step::End),
        1 => (1_u64..4).prop_map(Step::Reload),
        3 => any::<bool>().prop_map(Step::Slow),
    ]
}

/// What is asked for at an address.
fn asked(id: u8, address: Option<&str>) -> BTreeMap<String, String> {
    let mut nodes = BTreeMap::from([(format!("/c{id}/text"), "v".to_owned())]);
    if let Some(address) = address {
        let path = address.replace(['.', ':'], "/").replace("//", "/0/");
        nodes.insert(format!("/c{id}/plain"), address.to_owned());
        nodes.insert(
            format!("/c{id}/json"),
            json!({"host": address, "ttl": 30}).to_string(),
        );
        if !address.contains(':') {
            nodes.insert(format!("/arpa/{path}"), format!("c{id}"));
        }
    }
    nodes
}

/// A container, and what the policy said of it last.
#[derive(Default)]
struct Model {
    address: Option<&'static str>,
    fails: bool,
    said: Option<(Option<&'static str>, BTreeMap<String, String>)>,
}

impl Model {
    /// Everything is evaluated.
    fn rest(&mut self, id: u8) {
        if !self.fails {
            self.said = Some((self.address, asked(id, self.address)));
        } else if let Some((then, nodes)) = &mut self.said
            && *then != self.address
        {
            nodes.retain(|key, _| key.ends_with("/text"));
        }
    }

    fn apply(&self, world: &mut World, id: u8) {
        let mut answer = match self.fails {
            true => json!({"error": "boom"}),
            false => json!({"nodes": asked(id, self.address)}),
        };
        let member = match self.address {
            Some(address) if address.contains(':') => "GlobalIPv6Address",
            _ => "IPAddress",
        };
        answer["NetworkSettings"]["Networks"]["net"][member] = self.address.into();
        let container = world::container(&format!("c{id}"), true, answer);
        world.handle(HOST, Event::Container(SourceEvent::Apply(container)));
    }
}

#[derive(Default)]
struct Docker(BTreeMap<u8, Model>);

impl Docker {
    fn perform(&mut self, world: &mut World, step: Step) {
        match step {
            Step::Move(id, at) => {
                let address = at.map(|at| ADDRESSES[at]);
                let taken = self
                    .0
                    .iter()
                    .any(|(other, model)| *other != id && model.address == address);
                if address.is_none() || !taken {
                    let model = self.0.entry(id).or_default();
                    model.address = address;
                    model.apply(world, id);
                }
            }
            Step::Fail(id, fails) => {
                if let Some(model) = self.0.get_mut(&id) {
                    model.fails = fails;
                    model.apply(world, id);
                }
            }
            Step::End(id) => {
                self.0.remove(&id);
                world.delete(HOST, &format!("c{id}"));
            }
            Step::Reload(version) => {
                let (loaded, failed) = (vec![world::spec("p", version)], Vec::new());
                world.handle(HOST, Event::Policies { loaded, failed });
            }
            Step::Slow(slow) => world.host(HOST).slow = slow,
        }
    }

    /// Once nothing is under way: what is registered.
    fn expected(&mut self) -> Vec<String> {
        let mut lines = BTreeSet::new();
        for (id, model) in &mut self.0 {
            model.rest(*id);
            let said = model.said.iter().flat_map(|(_, nodes)| nodes);
            lines.extend(said.map(|(key, value)| format!("{key} {value} owner=a")));
        }
        Vec::from_iter(lines)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nobody_keeps_an_address_that_is_not_his(steps in prop::collection::vec(step(), 1..60)) {
        let (mut world, mut docker) = (World::new(), Docker::default());
        world.start(HOST, true);
        for step in steps.into_iter().chain([Step::Slow(false)]) {
            docker.perform(&mut world, step);
            world.settle();
            if !world.host(HOST).slow {
                prop_assert_eq!(world.keys(), docker.expected());
            }
        }
    }
}
