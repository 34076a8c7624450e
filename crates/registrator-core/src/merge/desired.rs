//! What all instances and containers of this process ask for, merged: for each key the value that wins.

use crate::evaluate::origin::Origin;
use crate::merge::conflict;
use crate::node::{Key, Nodes, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The values asked for under one key, each with those who ask for it; never empty.
pub type Candidates = BTreeMap<Value, BTreeSet<Origin>>;

/// The merged set. It changes only by what one origin asks for, and costs nothing for the keys that stay.
#[derive(Debug, Default)]
pub struct Desired {
    candidates: BTreeMap<Key, Candidates>,
}

impl Desired {
    /// Replaces what `origin` asks for, which was `old`, and tells which keys have other candidates now.
    pub fn replace(&mut self, origin: &Origin, old: &Nodes, new: &Nodes) -> BTreeSet<Key> {
        let mut changed = BTreeSet::new();
        for (key, value) in old.pairs().filter(|(key, value)| !new.has(key, value)) {
            self.withdraw(origin, key, value);
            changed.insert(key.clone());
        }
        for (key, value) in new.pairs().filter(|(key, value)| !old.has(key, value)) {
            let candidates = self.candidates.entry(key.clone()).or_default();
            let origins = candidates.entry(value.clone()).or_default();
            origins.insert(origin.clone());
            changed.insert(key.clone());
        }
        changed
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

    /// The value that wins for `key`, if anybody asks for it.
    pub fn winner(&self, key: &Key) -> Option<&Value> {
        conflict::resolve(self.candidates.get(key)?.keys())
    }

    /// The values asked for under `key`.
    pub fn candidates(&self, key: &Key) -> Option<&Candidates> {
        self.candidates.get(key)
    }

    /// Whether one origin asks for `key`, with one value.
    pub fn is_asked_once(&self, key: &Key) -> bool {
        let origins = self.candidates.get(key).into_iter();
        origins
            .flat_map(BTreeMap::values)
            .map(BTreeSet::len)
            .sum::<usize>()
            == 1
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
