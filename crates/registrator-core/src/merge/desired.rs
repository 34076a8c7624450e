//! What all instances and containers of this process ask for, merged: for each key the value that wins.

use crate::evaluate::origin::Origin;
use crate::merge::conflict;
use crate::node::{Key, Nodes, Value};
use crate::observe::container::ContainerId;
use std::collections::{BTreeMap, BTreeSet};

/// The values asked for under one key, each with those who ask for it; never empty.
pub type Candidates = BTreeMap<Value, BTreeSet<Origin>>;

/// The merged set. It changes only by what one origin asks for, and costs nothing for the keys that stay.
#[derive(Debug, Default)]
pub struct Desired {
    asked: BTreeMap<Origin, Nodes>,
    candidates: BTreeMap<Key, Candidates>,
}

impl Desired {
    /// Replaces what `origin` asks for, and tells which keys have other candidates now.
    pub fn set(&mut self, origin: &Origin, nodes: Nodes) -> BTreeSet<Key> {
        let old = match nodes.is_empty() {
            true => self.asked.remove(origin).unwrap_or_default(),
            false => self
                .asked
                .insert(origin.clone(), nodes.clone())
                .unwrap_or_default(),
        };
        let pairs = |nodes: &Nodes| -> BTreeSet<(Key, Value)> {
            nodes
                .iter()
                .flat_map(|(key, values)| {
                    values.iter().map(move |value| (key.clone(), value.clone()))
                })
                .collect()
        };
        let (old, new) = (pairs(&old), pairs(&nodes));
        for (key, value) in old.difference(&new) {
            self.withdraw(origin, key, value);
        }
        for (key, value) in new.difference(&old) {
            self.candidates
                .entry(key.clone())
                .or_default()
                .entry(value.clone())
                .or_default()
                .insert(origin.clone());
        }
        old.symmetric_difference(&new)
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn withdraw(&mut self, origin: &Origin, key: &Key, value: &Value) {
        let Some(candidates) = self.candidates.get_mut(key) else {
            return;
        };
        if let Some(origins) = candidates.get_mut(value) {
            origins.remove(origin);
            if origins.is_empty() {
                candidates.remove(value);
            }
        }
        if candidates.is_empty() {
            self.candidates.remove(key);
        }
    }

    /// All keys asked for, those of one container together.
    pub fn batches(&self) -> Vec<BTreeSet<Key>> {
        let mut batches: BTreeMap<&ContainerId, BTreeSet<Key>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (origin, nodes) in &self.asked {
            let new = nodes.keys().filter(|key| seen.insert(*key)).cloned();
            batches.entry(&origin.container).or_default().extend(new);
        }
        batches
            .into_values()
            .filter(|keys| !keys.is_empty())
            .collect()
    }

    /// The value that wins for `key`, if anybody asks for it.
    pub fn winner(&self, key: &Key) -> Option<&Value> {
        conflict::resolve(self.candidates.get(key)?.keys())
    }

    /// The values asked for under `key`.
    pub fn candidates(&self, key: &Key) -> Option<&Candidates> {
        self.candidates.get(key)
    }

    /// All keys asked for, with their candidates, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Candidates)> {
        self.candidates.iter()
    }

    /// How many keys are asked for.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }
}
