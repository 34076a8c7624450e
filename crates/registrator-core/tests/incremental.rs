//! However candidates come and go, the merged set is what a merge from scratch gives, and the reported changes lead to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "test code"
)]

use proptest::prelude::*;
use registrator_core::evaluate::origin::Origin;
use registrator_core::merge::desired::Desired;
use registrator_core::node::{Key, Nodes, Value};
use registrator_core::observe::container::ContainerId;
use registrator_core::observe::instance::InstanceId;
use registrator_core::observe::spec::PolicyName;
use std::collections::BTreeMap;

type Asked = Vec<(u8, u8)>;

fn origin(number: u8) -> Origin {
    let instance = InstanceId {
        policy: PolicyName::parse("p").unwrap(),
        config: Some(format!("{}", number % 2).into()),
    };
    Origin {
        instance,
        container: ContainerId::new(&format!("{}", number / 2)),
    }
}

fn nodes(asked: &Asked) -> Nodes {
    let key = |number: &u8| Key::parse(&format!("/k{number}")).unwrap();
    let value = |number: &u8| Value::parse(&number.to_string()).unwrap();
    asked.iter().map(|(k, v)| (key(k), value(v))).collect()
}

/// The naive model: ask everybody again.
fn from_scratch(all: &BTreeMap<Origin, Nodes>) -> BTreeMap<Key, Value> {
    let mut merged: BTreeMap<Key, Value> = BTreeMap::new();
    for (key, values) in all.values().flat_map(Nodes::iter) {
        for value in values {
            let winner = merged.entry(key.clone()).or_insert_with(|| value.clone());
            *winner = value.clone().min(winner.clone());
        }
    }
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn merging_is_incremental(steps in prop::collection::vec((0u8..6, prop::collection::vec((0u8..5, 8u8..12), 0..4)), 1..40)) {
        let (mut desired, mut all, mut mirror) = (Desired::default(), BTreeMap::new(), BTreeMap::new());
        for (number, asked) in steps {
            let before = all.insert(origin(number), nodes(&asked)).unwrap_or_default();
            let changed = desired.replace(&origin(number), &before, &nodes(&asked));
            for key in changed {
                match desired.winner(&key) {
                    Some(value) => mirror.insert(key, value.clone()),
                    None => mirror.remove(&key),
                };
            }
            let expected = from_scratch(&all);
            let merged: BTreeMap<Key, Value> = desired.iter().map(|(key, _)| (key.clone(), desired.winner(key).unwrap().clone())).collect();
            prop_assert_eq!(&merged, &expected);
            prop_assert_eq!(&mirror, &expected);
        }
    }
}
