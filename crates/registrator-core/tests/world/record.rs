//! What happened in the simulated etcd, revision by revision: the faults that no end state shows.

use super::etcd;
use etcd_mem::store::{Event, EventKind, KeyRange, Store, WatchRequest};
use registrator_core::node::{Definition, Key, OnConflict, Value};
use registrator_core::own::{Held, LeaseId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// When a key may vanish although somebody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exempt {
    /// Only by hand, or if all who wait seem dead: when a lease ends, its keys have been taken over before.
    ByHand,
    /// By hand, or with its lease.
    WithLease,
}

/// Revisions that no registrator made.
#[derive(Debug, Default)]
pub struct Others {
    pub by_hand: BTreeSet<i64>,
    pub leases: BTreeSet<i64>,
}

impl Others {
    fn excuse(&self, exempt: Exempt, revision: i64) -> bool {
        self.by_hand.contains(&revision)
            || (exempt == Exempt::WithLease && self.leases.contains(&revision))
    }
}

/// The keys that vanished while somebody claimed them, by revision: by nobody's fault but the registrators'.
pub fn gaps(store: &Store, others: &Others, exempt: Exempt) -> Vec<(i64, Key)> {
    let mut claims: BTreeMap<Key, BTreeSet<LeaseId>> = BTreeMap::new();
    let mut lit = BTreeSet::new();
    let mut gaps = Vec::new();
    for (revision, events) in history(store) {
        let mut deleted = Vec::new();
        for event in events {
            let name = String::from_utf8(event.kv.key).unwrap();
            let there = event.kind == EventKind::Put;
            if let Some((key, lease)) = etcd::parse_claim(&name) {
                let claims = claims.entry(key).or_default();
                match there {
                    true => claims.insert(lease),
                    false => claims.remove(&lease),
                };
            } else if let Some(lease) = etcd::parse_beacon(&name) {
                match there {
                    true => lit.insert(lease),
                    false => lit.remove(&lease),
                };
            } else if !there {
                // An object goes with its marker.
                let own = name.starts_with("/registrator/");
                let key = etcd::parse_node(&name);
                deleted.extend(key.filter(|key| !own || key.object().is_some()));
            }
        }
        let counts = |lease: &LeaseId| exempt == Exempt::WithLease || lit.contains(lease);
        let claimed = |key: &Key| claims.get(key).is_some_and(|by| by.iter().any(counts));
        if !others.excuse(exempt, revision) {
            let lost = deleted.into_iter().filter(claimed);
            gaps.extend(lost.map(|key| (revision, key)));
        }
    }
    gaps
}

/// What there is of objects, their nodes and their members.
#[derive(Default)]
struct Objects {
    nodes: BTreeMap<Key, Held>,
    claims: BTreeMap<Key, BTreeMap<LeaseId, Value>>,
}

impl Objects {
    /// Takes in an event; gives the node that was not there before, or had another value.
    fn take(&mut self, event: &Event) -> Option<Key> {
        let name = String::from_utf8(event.kv.key.clone()).unwrap();
        let held = (event.kind == EventKind::Put).then(|| etcd::held(&event.kv));
        if let Some((key, lease)) = etcd::parse_claim(&name) {
            let claims = self.claims.entry(key).or_default();
            match held {
                Some(held) => claims.insert(lease, held.value),
                None => claims.remove(&lease),
            };
            return None;
        }
        let key = etcd::parse_node(&name)?;
        let value = held.as_ref().map(|held| held.value.clone());
        let before = match held {
            Some(held) => self.nodes.insert(key.clone(), held),
            None => self.nodes.remove(&key),
        };
        let is_new = value.is_some() && before.map(|held| held.value) != value;
        is_new.then_some(key)
    }

    fn markers(&self) -> impl Iterator<Item = &Key> {
        let all: BTreeSet<&Key> = self.nodes.keys().chain(self.claims.keys()).collect();
        all.into_iter().filter(|key| key.object().is_some())
    }

    /// The definition that counts, and whether all agree with it.
    fn definition(&self, marker: &Key) -> Option<(Arc<Definition>, bool)> {
        let node = self.nodes.get(marker)?;
        let mut claims = self.claims.get(marker).into_iter().flatten();
        let agree = claims.all(|(_, claim)| *claim == node.value);
        Some((Definition::parse(marker, &node.value).unwrap(), agree))
    }
}

/// The revisions at which an object had a part of a definition, or several, or one that did not count, or lacked one that did, and those
/// at which a member was written beside another definition than its own. `owner` gives a node of the definition that a member belongs
/// to; of a field it gives nothing.
pub fn mixtures(store: &Store, owner: impl Fn(&Key) -> Option<(Key, Value)>) -> Vec<(i64, Key)> {
    let mut objects = Objects::default();
    let mut mixtures = Vec::new();
    for (revision, events) in history(store) {
        let mut written = Vec::new();
        for event in events {
            written.extend(objects.take(&event));
        }
        for marker in objects.markers() {
            let is_below = |key: &&Key| *key != marker && key.as_str().starts_with(marker.as_str());
            let below = objects.nodes.iter();
            let below = below.filter(|(key, _)| is_below(key) && owner(key).is_none());
            let found: BTreeMap<Key, (Value, Option<LeaseId>)> = below
                .map(|(key, held)| (key.clone(), (held.value.clone(), held.lease)))
                .collect();
            if !is_whole(&objects, marker, &found) {
                mixtures.push((revision, marker.clone()));
            }
            for member in written.iter().filter(is_below) {
                let counts = objects.definition(marker);
                let counts = counts.filter(|(definition, agree)| {
                    *agree || definition.on_conflict == OnConflict::Smallest
                });
                let fields = counts.map(|(definition, _)| definition.fields.clone());
                let is_of = |(key, value): (Key, Value)| {
                    fields.is_some_and(|fields| fields.get(&key) == Some(&value))
                };
                if owner(member).is_some_and(|node| !is_of(node)) {
                    mixtures.push((revision, member.clone()));
                }
            }
        }
    }
    mixtures
}

fn is_whole(
    objects: &Objects,
    marker: &Key,
    found: &BTreeMap<Key, (Value, Option<LeaseId>)>,
) -> bool {
    let Some((definition, agree)) = objects.definition(marker) else {
        return found.is_empty();
    };
    let lease = objects.nodes.get(marker).and_then(|node| node.lease);
    let strict = definition.on_conflict == OnConflict::None;
    let fields = definition.fields.clone().into_iter();
    let expected: BTreeMap<_, _> = fields.map(|(key, value)| (key, (value, lease))).collect();
    match (strict, agree) {
        (true, false) => found.is_empty(),
        // A claim may go with its lease, and who holds the object sees it a moment later.
        (true, true) => found.is_empty() || *found == expected,
        (false, _) => *found == expected,
    }
}

/// The nodes that were deleted after a revision.
pub fn deleted_after(store: &Store, revision: i64) -> Vec<String> {
    let events = history_after(store, revision).into_values().flatten();
    let deleted = events.filter(|event| event.kind == EventKind::Delete);
    let names = deleted.map(|event| String::from_utf8(event.kv.key).unwrap());
    names
        .filter(|name| !name.starts_with("/registrator/"))
        .collect()
}

fn history(store: &Store) -> BTreeMap<i64, Vec<Event>> {
    history_after(store, 0)
}

/// All events after a revision, by revision.
fn history_after(store: &Store, revision: i64) -> BTreeMap<i64, Vec<Event>> {
    let request = WatchRequest {
        keys: KeyRange::all(),
        start: revision + 1,
        ..WatchRequest::default()
    };
    let mut watch = store.watch(request).unwrap();
    let mut history: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    while let Some(batch) = store.poll(&mut watch).unwrap() {
        for event in batch.events {
            let revision = event.kv.mod_revision;
            history.entry(revision).or_default().push(event);
        }
    }
    history
}
