//! Objects: several nodes that are one thing, and are settled as one.

use super::{Key, KeyError, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of an object of which there are different definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnConflict {
    /// The smallest definition counts.
    Smallest,
    /// None counts until they agree.
    None,
}

/// What a policy defines as one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    name: Key,
    on_conflict: OnConflict,
    fields: BTreeMap<Key, Value>,
    members: BTreeMap<Key, Value>,
    uses: BTreeSet<Key>,
}

/// Why something is no [`Object`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The name is none.
    #[error("the name of an object is a key: {0}")]
    Name(KeyError),
    /// Nothing to compare.
    #[error("object {0} has no nodes: give it at least one")]
    Empty(Key),
    /// A node lies elsewhere.
    #[error("{node} is not below object {object}: all nodes and members of an object are")]
    Outside {
        /// The object.
        object: Key,
        /// The node.
        node: Key,
    },
    /// A node is both.
    #[error("{node} is a node of object {object} and a member of it: it can only be one of them")]
    Twice {
        /// The object.
        object: Key,
        /// The node.
        node: Key,
    },
}

impl Object {
    /// An object of this name, a key without a slash at its end, and with these nodes, which lie below it.
    ///
    /// # Errors
    /// It has no nodes, or one of them lies elsewhere.
    pub fn new(
        name: &Key,
        on_conflict: OnConflict,
        fields: BTreeMap<Key, Value>,
    ) -> Result<Object, ObjectError> {
        if fields.is_empty() {
            return Err(ObjectError::Empty(name.clone()));
        }
        let object = Object {
            name: name.clone(),
            on_conflict,
            fields,
            members: BTreeMap::new(),
            uses: BTreeSet::new(),
        };
        object.fields.keys().try_for_each(|key| object.holds(key))?;
        Ok(object)
    }

    /// The same object with members: nodes of single containers that are there only while this definition counts.
    ///
    /// # Errors
    /// One of them lies elsewhere, or is one of its nodes.
    pub fn with_members(mut self, members: BTreeMap<Key, Value>) -> Result<Object, ObjectError> {
        for node in members.keys() {
            self.holds(node)?;
            if self.fields.contains_key(node) {
                return Err(ObjectError::Twice {
                    object: self.name,
                    node: node.clone(),
                });
            }
        }
        self.members = members;
        Ok(self)
    }

    /// The same object, which refers to others by their names. If one of these is in conflict, people are told of this one too.
    pub fn with_uses(mut self, uses: BTreeSet<Key>) -> Object {
        self.uses = uses;
        self
    }

    fn holds(&self, node: &Key) -> Result<(), ObjectError> {
        let rest = node.as_str().strip_prefix(self.name.as_str());
        if rest.is_some_and(|rest| rest.starts_with('/')) {
            return Ok(());
        }
        Err(ObjectError::Outside {
            object: self.name.clone(),
            node: node.clone(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Key {
        &self.name
    }

    /// What becomes of it if there are different definitions.
    pub fn on_conflict(&self) -> OnConflict {
        self.on_conflict
    }

    /// The nodes that are compared as a whole.
    pub fn fields(&self) -> &BTreeMap<Key, Value> {
        &self.fields
    }

    /// The nodes that stand and fall with it.
    pub fn members(&self) -> &BTreeMap<Key, Value> {
        &self.members
    }

    /// The names of the objects that it refers to.
    pub fn uses(&self) -> &BTreeSet<Key> {
        &self.uses
    }
}
