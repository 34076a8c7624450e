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
use registrator_core::node::{Key, Nodes, Object, OnConflict, Value};
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

    /// What is told of an object that might stand is what is asked for once it does.
    #[test]
    fn what_would_stand_is_known_before(steps in prop::collection::vec((0u8..4, prop::collection::vec(member(), 0..4), 0u8..4), 1..30)) {
        let (mut desired, mut all) = (Desired::default(), BTreeMap::new());
        for (number, asked, standing) in steps {
            let new = with_members(&asked);
            let before = all.insert(origin(number), new.clone()).unwrap_or_default();
            desired.replace(&origin(number), &before, &new);
            let object = definition(0);
            let text = (standing > 0).then(|| definition(standing).text().clone());
            let told = desired.if_stood(object.marker(), text.as_ref());
            let keys = (0..3).map(|number| Key::parse(&format!("/o/m/{number}")).unwrap());
            let before: Vec<(Key, Option<Value>)> = keys.map(|key| (key.clone(), desired.winner(&key).cloned())).collect();
            desired.stand(object.marker(), text.clone().into());
            for (key, before) in before {
                let now = desired.winner(&key).cloned();
                let expected = (now != before).then(|| now.clone());
                prop_assert_eq!(told.get(&key), expected.as_ref(), "{}", key);
                let plain = all.values().any(|nodes| nodes.iter().any(|(of, values)| *of == key && values.first() == now.as_ref()));
                let owner = desired.object_of_member(&key);
                prop_assert!(now.is_none() == owner.is_none() || plain, "{}", key);
            }
        }
    }
}

/// A node that is asked for by itself (0) or as a member of a definition (1 to 3) of one object.
fn member() -> impl Strategy<Value = (u8, u8, u8)> {
    (0u8..4, 0u8..3, 8u8..11)
}

fn definition(number: u8) -> Object {
    let field = Key::parse("/o/x").unwrap();
    let fields = [(field, Value::parse(&number.to_string()).unwrap())];
    Object::new(
        &Key::parse("/o").unwrap(),
        OnConflict::Smallest,
        fields.into(),
    )
    .unwrap()
}

fn with_members(asked: &[(u8, u8, u8)]) -> Nodes {
    let mut members: BTreeMap<u8, BTreeMap<Key, Value>> = BTreeMap::new();
    for (number, key, value) in asked {
        let key = Key::parse(&format!("/o/m/{key}")).unwrap();
        let value = Value::parse(&value.to_string()).unwrap();
        members.entry(*number).or_default().insert(key, value);
    }
    let mut nodes: Nodes = members.remove(&0).unwrap_or_default().into_iter().collect();
    for (number, members) in members {
        nodes.insert_object(definition(number).with_members(members).unwrap());
    }
    nodes
}
