//! All keys of interest, and which of them concern whom.

use super::tracked::Tracked;
use crate::node::Key;
use crate::own::{LeaseId, View};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The keys by their names, and by those who hold or claim them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    tracked: BTreeMap<Key, Tracked>,
    /// The keys that others hold or claim, by lease: what is decided again when a registrator or its beacon comes or goes.
    by_lease: BTreeMap<LeaseId, BTreeSet<Key>>,
    /// The lease of this process, whose keys are not listed: they would be nearly all.
    me: Option<LeaseId>,
    /// How many nodes this process holds. An object is one.
    held: usize,
    /// The fields of objects.
    parts: BTreeMap<Key, ObjectField>,
    /// The same by the markers of the objects.
    objects: BTreeMap<Key, BTreeSet<Key>>,
    /// The markers of which something may have changed.
    pub(super) changed_objects: BTreeSet<Key>,
}

/// The markers of the objects that a key is a field of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ObjectField {
    objects: BTreeSet<Key>,
    /// The one for which this process wrote it.
    written_for: Option<Key>,
}

impl Ledger {
    /// Begins a session under the lease `me`: each key is what `carried_over` makes of it, without a view.
    pub(super) fn begin(&mut self, me: LeaseId) {
        self.me = Some(me);
        self.held = 0;
        self.by_lease.clear();
        self.parts.clear();
        self.objects.clear();
        for (key, tracked) in &mut self.tracked {
            *tracked = tracked.carried_over();
            if key.object().is_some() {
                self.changed_objects.insert(key.clone());
            }
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Tracked> {
        self.tracked.get(key)
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.tracked.contains_key(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Tracked)> {
        self.tracked.iter()
    }

    /// The keys that begin with this one.
    pub(super) fn below(&self, marker: &Key) -> impl Iterator<Item = &Key> {
        let after = (Bound::Excluded(marker), Bound::Unbounded);
        let keys = self.tracked.range::<Key, _>(after).map(|(key, _)| key);
        keys.take_while(|key| key.as_str().starts_with(marker.as_str()))
    }

    /// Takes interest in a key.
    pub(super) fn track(&mut self, key: &Key) {
        if !self.contains(key) {
            self.tracked.insert(key.clone(), Tracked::default());
        }
    }

    /// The objects that a key is a field of.
    pub(super) fn objects_of(&self, field: &Key) -> impl Iterator<Item = &Key> {
        self.parts
            .get(field)
            .into_iter()
            .flat_map(|part| &part.objects)
    }

    /// The object for which this process wrote a field.
    pub(super) fn written_for(&self, field: &Key) -> Option<&Key> {
        self.parts.get(field)?.written_for.as_ref()
    }

    /// The object that decides a field: the one for which this process wrote it, or else the first that has it.
    pub(super) fn object_of(&self, field: &Key) -> Option<&Key> {
        let written_for = self.written_for(field);
        written_for.or_else(|| self.objects_of(field).next())
    }

    /// Notes for which object this process wrote a field, or that it is none's.
    pub(super) fn note_written(&mut self, field: &Key, marker: Option<&Key>) {
        if let Some(part) = self.parts.get_mut(field) {
            part.written_for = marker.cloned();
        }
    }

    /// Whether a key is a field of an object.
    pub(super) fn is_part(&self, key: &Key) -> bool {
        self.parts.contains_key(key)
    }

    /// The fields of an object that are of interest.
    pub(super) fn parts_of(&self, marker: &Key) -> impl Iterator<Item = &Key> {
        self.objects.get(marker).into_iter().flatten()
    }

    /// Takes interest in these fields of an object, besides those of it that are of interest already.
    pub(super) fn add_parts<'a>(
        &mut self,
        marker: &Key,
        fields: impl IntoIterator<Item = &'a Key>,
    ) {
        for field in fields {
            self.track(field);
            if !self.is_part(field) {
                let held = self
                    .get(field)
                    .is_some_and(|tracked| holds(tracked, self.me));
                self.held -= usize::from(held);
            }
            let part = self.parts.entry(field.clone()).or_default();
            if part.objects.insert(marker.clone()) {
                let parts = self.objects.entry(marker.clone()).or_default();
                parts.insert(field.clone());
            }
        }
    }

    /// Takes interest in no fields of an object but these. Gives the others that it had: each is another object's, or a key as any other
    /// then.
    pub(super) fn keep_parts(&mut self, marker: &Key, fields: &BTreeSet<Key>) -> Vec<Key> {
        let Some(parts) = self.objects.get_mut(marker) else {
            return Vec::new();
        };
        let gone: Vec<Key> = parts.difference(fields).cloned().collect();
        parts.retain(|part| fields.contains(part));
        if parts.is_empty() {
            self.objects.remove(marker);
        }
        for field in &gone {
            let part = self.parts.entry(field.clone()).or_default();
            part.objects.remove(marker);
            part.written_for = part.written_for.take().filter(|of| of != marker);
            if part.objects.is_empty() {
                self.parts.remove(field);
                if let Some(tracked) = self.tracked.get_mut(field) {
                    tracked.managed = false;
                    self.held += usize::from(holds(tracked, self.me));
                }
            }
        }
        gone
    }

    /// Takes no interest in a key any more.
    pub(super) fn forget(&mut self, key: &Key) {
        let counts = !self.is_part(key);
        if key.object().is_some() {
            self.changed_objects.insert(key.clone());
        }
        if let Some(tracked) = self.tracked.remove(key) {
            self.held -= usize::from(counts && holds(&tracked, self.me));
            for lease in others(&tracked.sight.view, self.me) {
                self.unlist(lease, key);
            }
        }
    }

    /// Changes a key, if it is of interest.
    pub(super) fn change<T>(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut Tracked) -> T,
    ) -> Option<T> {
        let counts = !self.is_part(key);
        let tracked = self.tracked.get_mut(key)?;
        if key.object().is_some() {
            self.changed_objects.insert(key.clone());
        }
        let before = others(&tracked.sight.view, self.me);
        self.held -= usize::from(counts && holds(tracked, self.me));
        let result = change(tracked);
        self.held += usize::from(counts && holds(tracked, self.me));
        let after = others(&tracked.sight.view, self.me);
        if before != after {
            for lease in before.difference(&after) {
                self.unlist(*lease, key);
            }
            for lease in after.difference(&before) {
                self.by_lease.entry(*lease).or_default().insert(key.clone());
            }
        }
        Some(result)
    }

    /// Changes all keys in a way that leaves their views as they are.
    pub(super) fn change_all(&mut self, change: impl Fn(&mut Tracked)) {
        self.tracked.values_mut().for_each(change);
    }

    /// Whether this process holds a node that nobody claims.
    pub(super) fn holds_alone(&self, key: &Key) -> bool {
        let alone =
            |tracked: &&Tracked| holds(tracked, self.me) && tracked.sight.view.claims.is_empty();
        !self.is_part(key) && self.get(key).filter(alone).is_some()
    }

    /// How many nodes this process holds.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// The keys that another registrator holds or claims.
    pub(super) fn concerning(&self, lease: LeaseId) -> impl Iterator<Item = &Key> {
        self.by_lease.get(&lease).into_iter().flatten()
    }

    fn unlist(&mut self, lease: LeaseId, key: &Key) {
        if let Some(keys) = self.by_lease.get_mut(&lease) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_lease.remove(&lease);
            }
        }
    }
}

fn holds(tracked: &Tracked, me: Option<LeaseId>) -> bool {
    me.is_some() && tracked.sight.view.holder() == me
}

/// Who has something to do with a key, apart from `me`.
fn others(view: &View, me: Option<LeaseId>) -> BTreeSet<LeaseId> {
    let leases = view.claims.keys().copied().chain(view.holder());
    leases.filter(|lease| Some(*lease) != me).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Value;
    use crate::own::{Held, Op};
    use proptest::prelude::*;

    fn change() -> impl Strategy<Value = (u8, Vec<Op>)> {
        let value = || Value::parse("v").unwrap();
        let lease = || (1_i64..4).prop_map(LeaseId);
        let op = prop_oneof![
            lease().prop_map(move |lease| Op::Put(value(), lease)),
            lease().prop_map(move |lease| Op::PutClaim(value(), lease)),
            lease().prop_map(Op::DeleteClaim),
            Just(Op::Delete),
        ];
        (0_u8..3, proptest::collection::vec(op, 0..4))
    }

    proptest! {
        /// The list by lease is what a walk through all keys finds.
        #[test]
        fn keys_are_found_by_lease(changes in proptest::collection::vec(change(), 0..20)) {
            let mut ledger = Ledger::default();
            ledger.begin(LeaseId(1));
            for (number, ops) in changes {
                let key = Key::parse(&format!("/{number}")).unwrap();
                if ops.is_empty() {
                    ledger.forget(&key);
                    continue;
                }
                ledger.track(&key);
                ledger.change(&key, |tracked| tracked.sight.view.apply(&ops, 1));
            }
            for lease in [2, 3].map(LeaseId) {
                let walked = ledger.iter().filter(|(_, tracked)| tracked.sight.view.concerns(lease));
                let walked: Vec<&Key> = walked.map(|(key, _)| key).collect();
                prop_assert_eq!(ledger.concerning(lease).collect::<Vec<_>>(), walked);
            }
            prop_assert_eq!(ledger.concerning(LeaseId(1)).count(), 0);
            let held = ledger.iter().filter(|(_, tracked)| holds(tracked, Some(LeaseId(1))));
            prop_assert_eq!(ledger.held(), held.count());
        }
    }

    #[test]
    fn a_new_session_knows_of_nobody() {
        let (mut ledger, key) = (Ledger::default(), Key::parse("/k").unwrap());
        ledger.begin(LeaseId(1));
        ledger.track(&key);
        let node = Held {
            value: Value::parse("v").unwrap(),
            lease: Some(LeaseId(2)),
            mod_revision: 7,
        };
        ledger.change(&key, |tracked| {
            tracked.sight.begin(View {
                node: Some(node),
                ..View::default()
            })
        });
        assert_eq!(ledger.concerning(LeaseId(2)).count(), 1);
        ledger.begin(LeaseId(2));
        assert!(ledger.contains(&key));
        assert_eq!(ledger.concerning(LeaseId(2)).count(), 0);
    }
}
