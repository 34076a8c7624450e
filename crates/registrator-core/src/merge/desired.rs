//! What all instances and containers of this process ask for, merged: for each key the value that wins.

use crate::evaluate::origin::Origin;
use crate::merge::conflict;
use crate::node::{Definition, Key, Nodes, Object, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The values asked for under one key, each with those who ask for it; never empty.
pub type Candidates = BTreeMap<Value, BTreeSet<Origin>>;

/// A node that belongs to an object, and who asks for it.
type Member = (Key, Value, Origin);

/// Whether an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectStanding {
    /// Nothing was told of it yet.
    Unknown,
    /// None of its definitions counts.
    Fallen,
    /// This definition counts for everybody.
    As(Value),
}

impl From<Option<Value>> for ObjectStanding {
    fn from(text: Option<Value>) -> ObjectStanding {
        text.map_or(ObjectStanding::Fallen, ObjectStanding::As)
    }
}

/// The merged set. It changes only by what one origin asks for, and costs nothing for the keys that stay.
///
/// An object is one key here, its marker, and one value, the text of its definition. Its members are asked for while that definition
/// stands.
#[derive(Debug, Default)]
pub struct Desired {
    candidates: BTreeMap<Key, Candidates>,
    /// What an origin asks for under one key with one value more than once, and how often more.
    again: BTreeMap<Member, usize>,
    /// The members of objects, by marker and definition.
    members: BTreeMap<Key, BTreeMap<Value, BTreeMap<Member, usize>>>,
    /// The definitions that stand, of the objects of which that is known.
    standing: BTreeMap<Key, Option<Value>>,
    /// The objects on which this process does not agree with itself, and of which none counts then.
    disputed: BTreeMap<Key, Value>,
    /// The objects that have a field of this name in any definition, and in how many.
    fields: BTreeMap<Key, BTreeMap<Key, usize>>,
    /// How many objects are asked for.
    markers: usize,
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
            self.ask(origin, key, value);
            changed.insert(key.clone());
        }
        for object in old.objects().filter(|object| !new.has_object(object)) {
            self.withdraw_object(origin, object, &mut changed);
        }
        for object in new.objects().filter(|object| !old.has_object(object)) {
            self.ask_object(origin, object, &mut changed);
        }
        changed
    }

    /// Takes in which definition of an object stands, if one does; tells which keys have other candidates now.
    pub fn stand(&mut self, marker: &Key, standing: ObjectStanding) -> BTreeSet<Key> {
        let known = match standing {
            ObjectStanding::Unknown => None,
            ObjectStanding::Fallen => Some(None),
            ObjectStanding::As(text) => Some(Some(text)),
        };
        let text = known.clone().flatten();
        let before = match known {
            None => self.standing.remove(marker),
            Some(text) => self.standing.insert(marker.clone(), text),
        };
        let before = before.flatten();
        if before == text {
            return BTreeSet::new();
        }
        let of = |text: Option<Value>| -> Vec<(Member, usize)> {
            let all = self.members.get(marker);
            let members = all.zip(text).and_then(|(all, text)| all.get(&text));
            let members = members.into_iter().flatten();
            members
                .map(|(member, count)| (member.clone(), *count))
                .collect()
        };
        let (gone, new) = (of(before), of(text));
        let keys = gone.iter().chain(&new).map(|((key, ..), _)| key.clone());
        let changed = keys.collect();
        for ((key, value, origin), count) in gone {
            (0..count).for_each(|_| self.withdraw(&origin, &key, &value));
        }
        for ((key, value, origin), count) in new {
            (0..count).for_each(|_| self.ask(&origin, &key, &value));
        }
        changed
    }

    /// The definition that stands.
    pub fn text_of(&self, marker: &Key) -> Option<&Value> {
        self.standing.get(marker)?.as_ref()
    }

    /// Whether members of an object are asked for, of which nothing is known yet.
    pub fn is_undecided(&self, marker: &str) -> bool {
        self.members.contains_key(marker) && !self.standing.contains_key(marker)
    }

    /// Whether a key is below such an object.
    pub fn is_below_undecided(&self, key: &Key) -> bool {
        !self.members.is_empty() && markers_above(key).any(|marker| self.is_undecided(marker))
    }

    /// What would win for the members of an object if this definition of it stood, or none: those for which that is something else than
    /// now.
    pub fn if_stood(&self, marker: &Key, text: Option<&Value>) -> BTreeMap<Key, Option<Value>> {
        let before = self.text_of(marker);
        let Some(all) = self.members.get(marker).filter(|_| before != text) else {
            return BTreeMap::new();
        };
        let nothing = BTreeMap::new();
        let of = |text: Option<&Value>| text.and_then(|text| all.get(text)).unwrap_or(&nothing);
        let (gone, new) = (of(before), of(text));
        let goes = |member: &Member| {
            let times = 1 + self.again.get(member).copied().unwrap_or(0);
            gone.get(member).is_some_and(|gone| *gone >= times)
        };
        let mut then: BTreeMap<&Key, Option<&Value>> = BTreeMap::new();
        for (key, ..) in gone.keys() {
            let candidates = self.candidates.get(key).into_iter().flatten();
            let stays = |(value, origins): &(&Value, &BTreeSet<Origin>)| {
                let member = |origin: &Origin| (key.clone(), (*value).clone(), origin.clone());
                !origins.iter().map(member).all(|member| goes(&member))
            };
            let stay = candidates.filter(stays).map(|(value, _)| value);
            then.entry(key).or_insert_with(|| conflict::resolve(stay));
        }
        for (key, value, _) in new.keys() {
            let winner = then.entry(key).or_insert_with(|| self.winner(key));
            *winner = conflict::resolve((*winner).into_iter().chain([value]));
        }
        then.retain(|key, then| *then != self.winner(key));
        let then = then.into_iter();
        then.map(|(key, then)| (key.clone(), then.cloned()))
            .collect()
    }

    fn ask(&mut self, origin: &Origin, key: &Key, value: &Value) {
        let is_new = !self.candidates.contains_key(key);
        self.markers += usize::from(is_new && key.object().is_some());
        let candidates = self.candidates.entry(key.clone()).or_default();
        let origins = candidates.entry(value.clone()).or_default();
        if !origins.insert(origin.clone()) {
            let member = (key.clone(), value.clone(), origin.clone());
            *self.again.entry(member).or_default() += 1;
        }
    }

    fn withdraw(&mut self, origin: &Origin, key: &Key, value: &Value) {
        let member = (key.clone(), value.clone(), origin.clone());
        if less(&mut self.again, &member) {
            return;
        }
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
            self.markers -= usize::from(key.object().is_some());
        }
    }

    fn ask_object(&mut self, origin: &Origin, object: &Object, changed: &mut BTreeSet<Key>) {
        let (marker, text) = (object.marker(), object.text());
        self.ask(origin, marker, text);
        for field in object.fields().keys() {
            let objects = self.fields.entry(field.clone()).or_default();
            *objects.entry(marker.clone()).or_default() += 1;
        }
        let stands = self.text_of(marker) == Some(text);
        for (key, value) in object.members() {
            let members = self.members.entry(marker.clone()).or_default();
            let members = members.entry(text.clone()).or_default();
            let member = (key.clone(), value.clone(), origin.clone());
            *members.entry(member).or_default() += 1;
            if stands {
                self.ask(origin, key, value);
                changed.insert(key.clone());
            }
        }
        self.dispute(marker);
        changed.insert(marker.clone());
    }

    fn withdraw_object(&mut self, origin: &Origin, object: &Object, changed: &mut BTreeSet<Key>) {
        let (marker, text) = (object.marker(), object.text());
        self.withdraw(origin, marker, text);
        for field in object.fields().keys() {
            let objects = self.fields.entry(field.clone()).or_default();
            less(objects, marker);
            if objects.is_empty() {
                self.fields.remove(field);
            }
        }
        let stands = self.text_of(marker) == Some(text);
        for (key, value) in object.members() {
            let member = (key.clone(), value.clone(), origin.clone());
            if let Some(all) = self.members.get_mut(marker)
                && let Some(members) = all.get_mut(text)
            {
                less(members, &member);
                all.retain(|_, members| !members.is_empty());
                if all.is_empty() {
                    self.members.remove(marker);
                }
            }
            if stands {
                self.withdraw(origin, key, value);
                changed.insert(key.clone());
            }
        }
        self.dispute(marker);
        changed.insert(marker.clone());
    }

    /// Finds out whether this process agrees with itself, if it must. Texts that say that it must are the smaller ones.
    fn dispute(&mut self, marker: &Key) {
        let candidates = self.candidates.get(marker);
        let smallest = candidates.filter(|all| all.len() > 1);
        let smallest = smallest.and_then(|all| all.keys().next());
        if smallest.is_some_and(|text| Definition::is_strict(marker, text)) {
            self.disputed.insert(marker.clone(), Definition::disputed());
        } else {
            self.disputed.remove(marker);
        }
    }

    /// The value that wins for `key`, if anybody asks for it. For an object on which this process does not agree with itself, though it
    /// must, that is none of those asked for.
    pub fn winner(&self, key: &Key) -> Option<&Value> {
        let disputed = self.disputed.get(key);
        disputed.or_else(|| conflict::resolve(self.candidates.get(key)?.keys()))
    }

    /// The values asked for under `key`.
    pub fn candidates(&self, key: &Key) -> Option<&Candidates> {
        self.candidates.get(key)
    }

    /// The marker of the object because of which a key is asked for as its member.
    pub fn object_of_member(&self, key: &Key) -> Option<Key> {
        if self.members.is_empty() {
            return None;
        }
        let (value, origins) = self.candidates.get(key)?.first_key_value()?;
        let of = |origin: &Origin| (key.clone(), value.clone(), origin.clone());
        let has = |members: &BTreeMap<Member, usize>| {
            origins
                .iter()
                .any(|origin| members.contains_key(&of(origin)))
        };
        let mut objects = markers_above(key).filter_map(|at| self.members.get_key_value(at));
        let object = objects.find(|(marker, all)| {
            let members = self.text_of(marker).and_then(|text| all.get(text));
            members.is_some_and(has)
        });
        object.map(|(marker, _)| marker.clone())
    }

    /// The object because of which a key is not asked for, as its member: its marker, the definition that does not stand, and what is
    /// asked for by that.
    pub fn waiting_member(&self, key: &Key) -> Option<(Key, &Value, Candidates)> {
        markers_above(key).find_map(|at| {
            let (marker, all) = self.members.get_key_value(at)?;
            let stands = self.text_of(marker);
            let mut waits = all.iter().filter(|(text, _)| Some(*text) != stands);
            let is_it = |member: &&Member| member.0 == *key;
            let (text, members) = waits.find(|(_, all)| all.keys().any(|it| is_it(&it)))?;
            let mut candidates = Candidates::new();
            for (_, value, origin) in members.keys().filter(is_it) {
                let origins = candidates.entry(value.clone()).or_default();
                origins.insert(origin.clone());
            }
            Some((marker.clone(), text, candidates))
        })
    }

    /// The marker of the object that has a field of this name, if one does.
    pub fn object_of(&self, field: &Key) -> Option<&Key> {
        self.fields.get(field)?.keys().next()
    }

    /// The marker of the object that has a field of this name in the definition that wins here, if one does.
    pub fn in_object(&self, field: &Key) -> Option<&Key> {
        let mut objects = self.fields.get(field)?.keys();
        objects.find(|marker| {
            let text = self.winner(marker);
            text.is_some_and(|text| Definition::field(marker, text, field).is_some())
        })
    }

    /// The fields of all definitions.
    pub fn fields(&self) -> impl Iterator<Item = &Key> {
        self.fields.keys()
    }

    /// Whether somebody asks for a node of this key, be it as a field of an object.
    pub fn is_asked(&self, key: &Key) -> bool {
        self.candidates.contains_key(key) || self.fields.contains_key(key)
    }

    /// Whether one origin does, with one value.
    pub fn is_asked_once(&self, key: &Key) -> bool {
        let candidates = self.candidates.get(key).into_iter();
        let origins = candidates.flat_map(BTreeMap::values).map(BTreeSet::len);
        let objects = self.fields.get(key).into_iter().flat_map(BTreeMap::values);
        origins.chain(objects.copied()).sum::<usize>() == 1
    }

    /// All keys asked for, with their candidates, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Candidates)> {
        self.candidates.iter()
    }

    /// How many nodes are asked for. Of an object, those of all its definitions.
    pub fn len(&self) -> usize {
        self.candidates.len() - self.markers + self.fields.len()
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }
}

/// The markers, as texts, of the objects to which a key may belong by its name.
fn markers_above(key: &Key) -> impl Iterator<Item = &str> {
    let slashes = key.as_str().match_indices('/');
    slashes.filter_map(|(at, _)| key.as_str().get(..=at))
}

/// Counts one less; tells whether there was one.
fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else {
        return false;
    };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
    true
}
