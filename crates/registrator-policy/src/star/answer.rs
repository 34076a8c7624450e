//! Turns what `docker_container` returned into nodes.

use super::json::{ConvertError, encode, shown};
use super::object::StarObject;
use registrator_core::evaluate::fence::covers;
use registrator_core::node::{Key, Nodes, Object, Value as NodeValue};
use starlark::values::Value;
use starlark::values::dict::DictRef;
use starlark::values::list::ListRef;
use std::borrow::Cow;
use std::fmt;

/// How deeply lists of dicts may be nested.
const MAX_LISTS: usize = 64;

/// The keys that a policy may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefixes(Vec<String>);

impl Prefixes {
    /// Reads a list of prefixes, `/skydns` or `/skydns/`.
    pub(super) fn of(value: Value<'_>) -> Result<Prefixes, String> {
        let Some(items) = ListRef::from_value(value) else {
            return Err(format!(
                "prefixes must be a list of key prefixes, as in [\"/skydns\"], or a function of the configuration that returns one, not a {}",
                value.get_type()
            ));
        };
        let items = items.iter().map(|item| match item.unpack_str() {
            Some(text) => prefix(text),
            None => Err(format!(
                "each of prefixes must be a str, not a {}",
                item.get_type()
            )),
        });
        Ok(Prefixes(items.collect::<Result<_, _>>()?))
    }

    /// Whether a prefix ends in `key` where a component ends. `/skydns` covers itself, `/skydns/` only what is below it.
    fn cover(&self, key: &Key) -> bool {
        self.0.iter().any(|prefix| covers(prefix, key.as_str()))
    }
}

impl fmt::Display for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("none, since prefixes is empty"),
            prefixes => f.write_str(&prefixes.join(", ")),
        }
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let component = text.strip_suffix('/').unwrap_or(text);
    match Key::parse(component) {
        _ if text == "/" => Ok(text.into()),
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!("the prefix {text:?} can cover no key: {error}")),
    }
}

/// Why a returned value is not nodes.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(
        "docker_container must return a dict of nodes, an object, None, or a list of these, not a {0}"
    )]
    Kind(&'static str),
    #[error("docker_container returned more than {0} items")]
    Items(usize),
    #[error("docker_container returned lists that are nested too deeply")]
    Lists,
    #[error("the key {key} is of type {kind}: a key must be a str")]
    KeyKind { key: String, kind: &'static str },
    #[error("{0}")]
    Key(#[from] registrator_core::node::KeyError),
    #[error(
        "the policy may not write {key}: its prefixes are {prefixes}. Add a prefix for it to `prefixes`, or correct the key"
    )]
    Fenced { key: Key, prefixes: Prefixes },
    #[error(
        "the policy may not write object {key}: its prefixes are {prefixes}. Add a prefix for it to `prefixes`, or correct the object's name"
    )]
    FencedObject { key: Key, prefixes: Prefixes },
    #[error("the value of {key}: {error}")]
    Value { key: Key, error: String },
}

/// Collects the nodes of one returned value.
pub(super) fn nodes(
    value: Value<'_>,
    prefixes: Option<&Prefixes>,
    max_items: usize,
) -> Result<Nodes, AnswerError> {
    let mut answer = AnswerReader {
        nodes: Nodes::default(),
        prefixes,
        left: max_items,
        max_items,
    };
    answer.add(value, 0)?;
    Ok(answer.nodes)
}

struct AnswerReader<'a> {
    nodes: Nodes,
    prefixes: Option<&'a Prefixes>,
    left: usize,
    max_items: usize,
}

impl AnswerReader<'_> {
    fn add(&mut self, value: Value<'_>, depth: usize) -> Result<(), AnswerError> {
        self.count(1)?;
        if let Some(dict) = DictRef::from_value(value) {
            dict.iter()
                .try_for_each(|(key, value)| self.add_node(key, value))
        } else if let Some(object) = StarObject::from_value(value) {
            self.add_object(&object.0)
        } else if value.is_none() {
            Ok(())
        } else if let Some(items) = ListRef::from_value(value) {
            if depth == MAX_LISTS {
                return Err(AnswerError::Lists);
            }
            items.iter().try_for_each(|item| self.add(item, depth + 1))
        } else {
            Err(AnswerError::Kind(value.get_type()))
        }
    }

    fn add_node(&mut self, key: Value<'_>, value: Value<'_>) -> Result<(), AnswerError> {
        self.count(1)?;
        let Some(text) = key.unpack_str() else {
            return Err(AnswerError::KeyKind {
                key: shown(key),
                kind: key.get_type(),
            });
        };
        if value.is_none() {
            return Ok(());
        }
        let key = Key::parse(text)?;
        if let Some(prefixes) = self.fence_around(&key) {
            return Err(AnswerError::Fenced { key, prefixes });
        }
        match node_value(value) {
            Ok(value) => self.nodes.insert(key, value),
            Err(error) => return Err(AnswerError::Value { key, error }),
        }
        Ok(())
    }

    /// All that an object has lies below its name, so the name says whether it may be written.
    fn add_object(&mut self, object: &Object) -> Result<(), AnswerError> {
        self.count(object.fields().len() + object.members().len() + object.uses().len())?;
        if let Some(prefixes) = self.fence_around(object.name()) {
            let key = object.name().clone();
            return Err(AnswerError::FencedObject { key, prefixes });
        }
        self.nodes.insert_object(object.clone());
        Ok(())
    }

    /// The prefixes, if none of them covers `key`.
    fn fence_around(&self, key: &Key) -> Option<Prefixes> {
        self.prefixes
            .filter(|prefixes| !prefixes.cover(key))
            .cloned()
    }

    /// A list may hold one dict many times, so its length says nothing about the work.
    fn count(&mut self, items: usize) -> Result<(), AnswerError> {
        let left = self.left.checked_sub(items);
        self.left = left.ok_or(AnswerError::Items(self.max_items))?;
        Ok(())
    }
}

fn node_value(value: Value<'_>) -> Result<NodeValue, String> {
    let text = node_text(value).map_err(|error| error.to_string())?;
    NodeValue::parse(&text).map_err(|error| error.to_string())
}

/// A string as it is, anything else as JSON.
pub(super) fn node_text(value: Value<'_>) -> Result<Cow<'_, str>, ConvertError> {
    match value.unpack_str() {
        Some(text) => Ok(text.into()),
        None => Ok(encode(value)?.into()),
    }
}
