//! How every source speaks: five events that keep a mirror of it complete.

use std::collections::{BTreeMap, BTreeSet};

/// An item that a source names.
pub trait Keyed {
    /// What identifies the item in its source.
    type Id: Ord + Clone + std::fmt::Debug;

    /// The item's id.
    fn id(&self) -> Self::Id;
}

/// What a source reports.
///
/// `Init`, any number of `InitApply`, `InitDone` is a complete list: whatever was there before and is not in the list is gone
/// at `InitDone`, and not earlier. A list that breaks off has no `InitDone`, and changes nothing but what it applied.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent<T: Keyed> {
    /// A complete list begins.
    Init,
    /// An item of the list.
    InitApply(T),
    /// The list is complete.
    InitDone,
    /// An item appeared or changed.
    Apply(T),
    /// An item is gone.
    Delete(T::Id),
}

/// What one event changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Delta<Id> {
    /// Items that are new or differ from what was known.
    pub applied: Vec<Id>,
    /// Items that are gone.
    pub deleted: Vec<Id>,
}

impl<Id> Default for Delta<Id> {
    fn default() -> Delta<Id> {
        Delta {
            applied: Vec::new(),
            deleted: Vec::new(),
        }
    }
}

/// The mirror of a source.
#[derive(Debug)]
pub struct Store<T: Keyed> {
    items: BTreeMap<T::Id, T>,
    /// Ids of the list under way.
    listed: Option<BTreeSet<T::Id>>,
    complete: bool,
}

impl<T: Keyed> Default for Store<T> {
    fn default() -> Store<T> {
        Store {
            items: BTreeMap::new(),
            listed: None,
            complete: false,
        }
    }
}

impl<T: Keyed + PartialEq> Store<T> {
    /// Takes in one event and tells what it changed. Equal items change nothing.
    pub fn handle(&mut self, event: SourceEvent<T>) -> Delta<T::Id> {
        match event {
            SourceEvent::Init => {
                self.listed = Some(BTreeSet::new());
                Delta::default()
            }
            SourceEvent::InitApply(item) | SourceEvent::Apply(item) => self.apply(item),
            SourceEvent::InitDone => self.finish_list(),
            SourceEvent::Delete(id) => self.delete(id),
        }
    }

    fn apply(&mut self, item: T) -> Delta<T::Id> {
        let id = item.id();
        if let Some(listed) = &mut self.listed {
            listed.insert(id.clone());
        }
        let is_equal = self.items.get(&id) == Some(&item);
        // Of equal ones the last stays, so that it is the one that its source has too.
        self.items.insert(id.clone(), item);
        if is_equal {
            return Delta::default();
        }
        Delta {
            applied: vec![id],
            deleted: Vec::new(),
        }
    }

    fn finish_list(&mut self) -> Delta<T::Id> {
        let Some(listed) = self.listed.take() else {
            return Delta::default();
        };
        self.complete = true;
        let deleted: Vec<T::Id> = self
            .items
            .keys()
            .filter(|id| !listed.contains(*id))
            .cloned()
            .collect();
        for id in &deleted {
            self.items.remove(id);
        }
        Delta {
            applied: Vec::new(),
            deleted,
        }
    }

    fn delete(&mut self, id: T::Id) -> Delta<T::Id> {
        if let Some(listed) = &mut self.listed {
            listed.remove(&id);
        }
        match self.items.remove(&id) {
            Some(_) => Delta {
                applied: Vec::new(),
                deleted: vec![id],
            },
            None => Delta::default(),
        }
    }

    /// The item with this id.
    pub fn get(&self, id: &T::Id) -> Option<&T> {
        self.items.get(id)
    }

    /// All items in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&T::Id, &T)> {
        self.items.iter()
    }

    /// The items in the order of their ids, from this id on.
    pub fn iter_from(&self, id: &T::Id) -> impl Iterator<Item = (&T::Id, &T)> {
        self.items.range(id..)
    }

    /// Whether a complete list was seen at least once.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Keyed for crate::observe::container::Container {
    type Id = crate::observe::container::ContainerId;

    fn id(&self) -> Self::Id {
        self.id().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Item(&'static str, u8);

    impl Keyed for Item {
        type Id = &'static str;
        fn id(&self) -> &'static str {
            self.0
        }
    }

    /// `+a1` apply, `i` init, `.` init done, `-a` delete; the answer lists applied ids, then deleted ones with `-`.
    fn run(store: &mut Store<Item>, script: &[(char, &'static str, u8)]) -> String {
        let mut answer = String::new();
        for &(kind, id, version) in script {
            let delta = store.handle(match kind {
                'i' => SourceEvent::Init,
                '.' => SourceEvent::InitDone,
                '-' => SourceEvent::Delete(id),
                _ => SourceEvent::Apply(Item(id, version)),
            });
            answer.extend(delta.applied);
            answer.extend(delta.deleted.iter().flat_map(|id| ["-", id]));
        }
        answer
    }

    #[test]
    fn a_list_deletes_at_its_end_what_it_does_not_name() {
        let mut store = Store::default();
        assert_eq!(
            run(&mut store, &[('i', "", 0), ('+', "a", 1), ('+', "b", 1)]),
            "ab"
        );
        assert!(!store.complete());
        assert_eq!(run(&mut store, &[('.', "", 0)]), "");
        assert!(store.complete());
        assert_eq!(
            run(&mut store, &[('i', "", 0), ('+', "b", 1)]),
            "",
            "an unfinished list removes nothing"
        );
        assert_eq!(run(&mut store, &[('.', "", 0)]), "-a");
    }

    #[test]
    fn equal_items_change_nothing() {
        let mut store = Store::default();
        assert_eq!(
            run(
                &mut store,
                &[
                    ('+', "a", 1),
                    ('+', "a", 1),
                    ('+', "a", 2),
                    ('-', "a", 0),
                    ('-', "a", 0)
                ]
            ),
            "aa-a"
        );
    }

    #[test]
    fn a_restarted_list_forgets_the_one_before() {
        let mut store = Store::default();
        run(
            &mut store,
            &[('i', "", 0), ('+', "a", 1), ('i', "", 0), ('+', "b", 1)],
        );
        assert_eq!(run(&mut store, &[('.', "", 0)]), "-a");
    }

    #[test]
    fn an_item_deleted_during_a_list_is_gone() {
        let mut store = Store::default();
        assert_eq!(
            run(
                &mut store,
                &[('i', "", 0), ('+', "a", 1), ('-', "a", 0), ('.', "", 0)]
            ),
            "a-a"
        );
        assert!(store.is_empty());
    }
}
