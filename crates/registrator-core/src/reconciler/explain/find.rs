//! What is meant by what somebody typed.

use super::super::{EtcdSight, Reconciler};
use crate::node::Key;
use crate::observe::container::{Container, ContainerId};
use std::collections::BTreeSet;

/// How many digits of an id are enough.
const DIGITS: usize = 4;

/// How many names that are similar are told.
const NEAREST: usize = 3;

/// What somebody asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A container, a key or an instance.
    Anything(String),
    /// A container's name, or the beginning of its id.
    Container(String),
    /// A key, or an object.
    Key(String),
    /// An instance, or a policy.
    Instance(String),
}

impl Asked {
    /// The keys that may be meant: what is called so, and the marker of an object of that name.
    pub fn keys(&self) -> Vec<Key> {
        match self {
            Asked::Key(text) | Asked::Anything(text) => {
                let named = named(text).into_iter();
                named.flat_map(|key| [key.marker(), key]).collect()
            }
            Asked::Container(_) | Asked::Instance(_) => Vec::new(),
        }
    }
}

/// The key of this name. A slash at its end says that an object is meant.
fn named(text: &str) -> Option<Key> {
    Key::parse(text.strip_suffix('/').unwrap_or(text)).ok()
}

/// There is nothing to explain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfound {
    /// Nothing is called so; these are called similarly.
    #[error("there is no container, key or instance of that name{}", similar(.0))]
    Nothing(Vec<String>),
    /// Several containers' ids begin so.
    #[error("the ids of several containers begin so: {}", .0.join(", "))]
    Several(Vec<String>),
    /// It cannot be a key.
    #[error("{0}")]
    NoKey(String),
}

fn similar(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!(". Similar are: {}", names.join(", "))
    }
}

pub(super) enum Meant {
    Container(ContainerId),
    Key(Key),
    Instance(String),
}

impl Reconciler {
    pub(super) fn find(&self, asked: &Asked, sight: EtcdSight<'_>) -> Result<Meant, Unfound> {
        match asked {
            Asked::Key(text) => self.find_key(text, sight).map(Meant::Key),
            Asked::Container(text) => self
                .find_container(text)?
                .map(Meant::Container)
                .ok_or_else(|| self.nearest(text)),
            Asked::Instance(text) if self.is_instance(text) => Ok(Meant::Instance(text.clone())),
            Asked::Instance(text) => Err(self.nearest(text)),
            Asked::Anything(text) if text.contains('/') => {
                self.find_key(text, sight).map(Meant::Key)
            }
            Asked::Anything(text) => match self.find_container(text)? {
                Some(id) => Ok(Meant::Container(id)),
                None if self.is_instance(text) => Ok(Meant::Instance(text.clone())),
                None => Err(self.nearest(text)),
            },
        }
    }

    /// A key, or the marker of the object that is meant: by its name, with or without a slash at the end, or by one of its nodes. A node
    /// may have the name of an object; then the slash makes the difference.
    fn find_key(&self, text: &str, sight: EtcdSight<'_>) -> Result<Key, Unfound> {
        let is_known = |key: &Key| {
            let standing = self.standing(key, sight);
            standing.state.is_some() || standing.view.is_some_and(|view| view.node.is_some())
        };
        let marker = named(text).map(|name| name.marker());
        match (Key::parse(text), marker.clone().filter(is_known)) {
            (Err(_), Some(marker)) => Ok(marker),
            // It may be an object for which nobody here asks.
            (Err(error), None) => marker.ok_or(Unfound::NoKey(error.to_string())),
            (Ok(key), Some(marker)) if !is_known(&key) => Ok(marker),
            (Ok(key), _) if self.desired.winner(&key).is_some() => Ok(key),
            (Ok(key), _) => Ok(self.desired.object_of(&key).cloned().unwrap_or(key)),
        }
    }

    fn find_container(&self, text: &str) -> Result<Option<ContainerId>, Unfound> {
        let all = || self.containers.iter();
        if let Some((id, _)) = all().find(|(_, container)| container.name() == text) {
            return Ok(Some(id.clone()));
        }
        if text.len() < DIGITS {
            return Ok(None);
        }
        let found: Vec<&Container> = all()
            .filter(|(id, _)| id.as_str().starts_with(text))
            .map(|(_, container)| container)
            .collect();
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.id().clone())),
            several => Err(Unfound::Several(
                several
                    .iter()
                    .map(|it| format!("{} ({})", it.name(), it.id().short()))
                    .collect(),
            )),
        }
    }

    /// Whether an instance or a policy is called so, be it one that does not run.
    fn is_instance(&self, text: &str) -> bool {
        let policy = text.split(':').next().unwrap_or(text);
        self.instances
            .iter()
            .any(|it| it.id.to_string() == text || it.id.policy.as_str() == text)
            || self
                .instances
                .problems()
                .any(|problem| problem.policy() == Some(policy))
    }

    fn nearest(&self, text: &str) -> Unfound {
        let containers = self.containers.iter().map(|(_, it)| it.name().to_owned());
        let instances = self.instances.iter().map(|it| it.id.to_string());
        let names = containers.chain(instances);
        let far = text.len().max(6) / 2;
        let near = names.map(|name| (distance(text, &name), name));
        let near: BTreeSet<(usize, String)> = near.filter(|(by, _)| *by <= far).collect();
        Unfound::Nothing(
            near.into_iter()
                .take(NEAREST)
                .map(|(_, name)| name)
                .collect(),
        )
    }
}

/// How many letters have to be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(100).enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, with) in row.iter_mut().skip(1).zip(&other) {
            let changed = diagonal + usize::from(letter != *with);
            diagonal = *cell;
            left = changed.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_that_differ_in_few_letters() {
        let check = |one, other, expected| {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        };
        check("web", "web", 0);
        check("web", "wev", 1);
        check("web", "we", 1);
        check("web-1", "webb-2", 2);
        check("", "abc", 3);
        check("kitten", "sitting", 3);
    }
}
