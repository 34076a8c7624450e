//! Which keys a session cares about, and what is best watched so that it hears of them and of little else.
//!
//! A key takes two watches of its own: one for the node, one for the claims on it. Where a host has many keys below a root, and most of
//! what happens there concerns it, two watches on the whole root cost less, and no key needs a request of its own. Objects, which are
//! elsewhere in etcd than nodes, have roots of their own.

use registrator_core::node::Key;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Below a root with more keys of interest than this the root is watched as a whole.
const FEW: usize = 128;

/// Changes that are of no interest, below a root that is watched as a whole, before its keys are watched one by one.
const PATIENCE: u32 = 512;

/// Changes after which older ones count half.
const RECENT: u32 = 4096;

/// What is watched as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// A key, and the claims on it.
    Key(Key),
    /// All keys below a root, which ends with a slash, and the claims on these. With one slash more all objects there.
    Root(String),
}

/// The root that a key is below, or an object.
pub(super) fn root_of(key: &Key) -> Cow<'_, str> {
    match key.object() {
        Some(_) => format!("{}/", key.root()).into(),
        None => key.root().into(),
    }
}

/// How the keys below a root are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Singly,
    Whole,
}

/// What the choice of a way rests on.
#[derive(Debug, Clone, Copy)]
struct Tally {
    way: Manner,
    /// Keys of interest.
    keys: usize,
    /// More keys than this are worth a watch on the whole root.
    few: usize,
    /// Recent changes below the root that were of interest, while it was watched as a whole.
    own: u32,
    /// Those that were not.
    foreign: u32,
}

/// How the keys below a root are best watched. Between the limits it stays as it is, so that a key that comes and goes changes nothing.
fn choose(tally: Tally) -> Manner {
    let crowded = tally.foreign > PATIENCE && tally.foreign > tally.own;
    match tally.way {
        Manner::Singly if tally.keys > tally.few => Manner::Whole,
        Manner::Whole if crowded || tally.keys < FEW / 2 => Manner::Singly,
        way => way,
    }
}

/// A root and the keys below it that are of interest.
#[derive(Debug)]
struct Root {
    keys: BTreeSet<Key>,
    tally: Tally,
}

/// The keys of interest, by root.
#[derive(Debug, Default)]
pub(super) struct Interests {
    roots: BTreeMap<String, Root>,
}

/// What is to be watched otherwise.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// No more.
    pub(super) end: Vec<Subject>,
    /// From what was told of the new keys on.
    pub(super) begin: Vec<Subject>,
    /// Instead of others, so what is there is to be read first.
    pub(super) begin_anew: Vec<Subject>,
}

impl Interests {
    /// Takes interest in keys.
    pub(super) fn add(&mut self, keys: impl IntoIterator<Item = Key>) -> Changes {
        let mut new: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        for key in keys {
            if !self.contains(&key) {
                new.entry(root_of(&key).into_owned()).or_default().push(key);
            }
        }
        let mut changes = Changes::default();
        for (name, keys) in new {
            let root = self.roots.entry(name.clone()).or_insert_with(Root::new);
            root.add(&name, keys, &mut changes);
        }
        changes
    }

    /// Loses interest in keys.
    pub(super) fn remove(&mut self, keys: impl IntoIterator<Item = Key>) -> Changes {
        let mut changes = Changes::default();
        for key in keys {
            let name = root_of(&key).into_owned();
            let Some(root) = self.roots.get_mut(&name) else {
                continue;
            };
            root.remove(&name, key, &mut changes);
            if root.keys.is_empty() {
                self.roots.remove(&name);
            }
        }
        changes
    }

    /// Whether a key is of interest.
    pub(super) fn contains(&self, key: &Key) -> bool {
        let root = self.roots.get(&*root_of(key));
        root.is_some_and(|root| root.keys.contains(key))
    }

    /// A change was told of for a watch on a whole root; tells what that changes.
    pub(super) fn heard(&mut self, key: &Key) -> Changes {
        let mut changes = Changes::default();
        let name = &*root_of(key);
        if let Some(root) = self.roots.get_mut(name)
            && root.tally.way == Manner::Whole
        {
            root.tally.hear(root.keys.contains(key));
            root.reconsider(name, &mut changes);
        }
        changes
    }

    /// A root must not be watched as a whole.
    pub(super) fn forbid(&mut self, name: &str) -> Changes {
        let mut changes = Changes::default();
        if let Some(root) = self.roots.get_mut(name) {
            root.turn(name, Manner::Singly, &mut changes);
            root.tally.few = usize::MAX;
        }
        changes
    }

    /// The keys of interest that a subject is watched for.
    pub(super) fn of<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Key> {
        let (key, root) = match subject {
            Subject::Key(key) => (Some(key), None),
            Subject::Root(name) => (None, self.roots.get(name)),
        };
        key.into_iter()
            .chain(root.into_iter().flat_map(|root| &root.keys))
    }

    /// All keys of interest.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.roots.values().flat_map(|root| &root.keys)
    }
}

impl Tally {
    fn hear(&mut self, own: bool) {
        if own {
            self.own += 1;
        } else {
            self.foreign += 1;
        }
        if self.own + self.foreign > RECENT {
            self.own /= 2;
            self.foreign /= 2;
        }
    }
}

impl Root {
    fn new() -> Root {
        Root {
            keys: BTreeSet::new(),
            tally: Tally {
                way: Manner::Singly,
                keys: 0,
                few: FEW,
                own: 0,
                foreign: 0,
            },
        }
    }

    fn add(&mut self, name: &str, keys: Vec<Key>, changes: &mut Changes) {
        let is_new = self.keys.is_empty();
        self.keys.extend(keys.iter().cloned());
        self.tally.keys = self.keys.len();
        if is_new && choose(self.tally) == Manner::Whole {
            self.tally.way = Manner::Whole;
            changes.begin.push(Subject::Root(name.to_owned()));
        } else if !self.reconsider_beside(name, &keys, changes) && self.tally.way == Manner::Singly
        {
            changes.begin.extend(keys.into_iter().map(Subject::Key));
        }
    }

    fn remove(&mut self, name: &str, key: Key, changes: &mut Changes) {
        if !self.keys.remove(&key) {
            return;
        }
        self.tally.keys = self.keys.len();
        match self.tally.way {
            Manner::Singly => {
                let key = Subject::Key(key);
                // It may have been about to be watched anew.
                if let Some(at) = changes.begin_anew.iter().position(|begun| *begun == key) {
                    changes.begin_anew.remove(at);
                } else {
                    changes.end.push(key);
                }
            }
            Manner::Whole if self.keys.is_empty() => {
                changes.end.push(Subject::Root(name.to_owned()));
            }
            Manner::Whole => {
                self.reconsider(name, changes);
            }
        }
    }

    fn reconsider(&mut self, name: &str, changes: &mut Changes) {
        self.reconsider_beside(name, &[], changes);
    }

    /// Chooses anew; `new` keys are not watched yet. Tells whether that changed the way.
    fn reconsider_beside(&mut self, name: &str, new: &[Key], changes: &mut Changes) -> bool {
        let way = choose(self.tally);
        if way == self.tally.way {
            return false;
        }
        let crowded = self.tally.keys >= FEW / 2;
        self.turn(name, way, changes);
        changes.end.retain(|subject| match subject {
            Subject::Key(key) => !new.contains(key),
            Subject::Root(_) => true,
        });
        if way == Manner::Singly && crowded {
            // It was in vain with so many.
            self.tally.few = FEW.max(self.tally.keys.saturating_mul(2));
        }
        true
    }

    fn turn(&mut self, name: &str, way: Manner, changes: &mut Changes) {
        if way == self.tally.way {
            return;
        }
        let whole = Subject::Root(name.to_owned());
        let keys = self.keys.iter().cloned().map(Subject::Key);
        match way {
            Manner::Whole => {
                changes.end.extend(keys);
                changes.begin_anew.push(whole);
            }
            Manner::Singly => {
                changes.end.push(whole);
                changes.begin_anew.extend(keys);
            }
        }
        self.tally.way = way;
        (self.tally.own, self.tally.foreign) = (0, 0);
    }
}

#[cfg(test)]
mod tests;
