//! Keys, values and nodes: what a policy asks for, parsed once and trusted afterwards.

mod object;

pub use object::{Definition, MAX_FIELDS, Object, ObjectError, OnConflict};

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// The longest value, in bytes. etcd refuses requests of more than 1.5 MiB; this leaves room for the guards around it.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// An etcd key that is safe to write.
///
/// Invariant: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8 without control characters, without an empty, `.` or `..`
/// component and without a trailing `/`. A leading `/` is usual, but not required: Traefik needs keys without it.
///
/// Only the [marker](Key::marker) of an object, which no text from outside is parsed as, ends with `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a text is not a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is empty.
    #[error("a key must not be empty")]
    Empty,
    /// The text is longer than [`MAX_KEY_BYTES`].
    #[error("a key has at most {MAX_KEY_BYTES} bytes, this one has {0}: {1}…")]
    TooLong(usize, String),
    /// The text has a control character.
    #[error("key {0:?} has a control character")]
    Control(String),
    /// The text ends with `/`.
    #[error("key {0:?} ends with a slash: name the node below it")]
    TrailingSlash(String),
    /// A component between slashes is empty, `.` or `..`.
    #[error("key {0:?} has the component {1:?}: each part between slashes must be a name")]
    Component(String, String),
}

/// Maps with keys are asked by text.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// Checks `text` and makes it a key.
    ///
    /// # Errors
    /// The first rule of [`Key`] that `text` breaks.
    pub fn parse(text: &str) -> Result<Key, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong(
                text.len(),
                text.chars().take(60).collect(),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(KeyError::Control(text.into()));
        }
        if text.ends_with('/') {
            return Err(KeyError::TrailingSlash(text.into()));
        }
        let relative = text.strip_prefix('/').unwrap_or(text);
        match relative
            .split('/')
            .find(|part| matches!(*part, "" | "." | ".."))
        {
            Some(part) => Err(KeyError::Component(text.into(), part.into())),
            None => Ok(Key(text.into())),
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key by which the object of this name is owned. It stands for all of the object's nodes, and in etcd for what registrators tell
    /// each other of it.
    pub fn marker(&self) -> Key {
        Key(format!("{}/", self.0).into())
    }

    /// The name of the object that it is the marker of, if it is one.
    pub fn object(&self) -> Option<&str> {
        self.0.strip_suffix('/')
    }

    /// The key's first component with the slashes around it, `/skydns/` or `traefik/`; the whole key if it has no more than one.
    pub fn root(&self) -> &str {
        let start = usize::from(self.0.starts_with('/'));
        match self.0.get(start..).and_then(|rest| rest.find('/')) {
            Some(end) => self.0.get(..=start + end).unwrap_or(&self.0),
            None => &self.0,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The exact text that etcd holds for a node. Its order is the conflict rule's order: bytewise, so `"10" < "9"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Arc<str>);

/// Why a text is not a [`Value`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value has at most {MAX_VALUE_BYTES} bytes, this one has {0}")]
pub struct ValueError(usize);

impl Value {
    /// Checks the size of `text` and makes it a value.
    ///
    /// # Errors
    /// `text` is longer than [`MAX_VALUE_BYTES`].
    pub fn parse(text: &str) -> Result<Value, ValueError> {
        if text.len() > MAX_VALUE_BYTES {
            return Err(ValueError(text.len()));
        }
        Ok(Value(text.into()))
    }

    /// The value as etcd returned it, whatever its size. Bytes that are not UTF-8 become U+FFFD: such a value is never
    /// ours, and it is only compared and shown.
    pub fn from_etcd(bytes: &[u8]) -> Value {
        Value(String::from_utf8_lossy(bytes).into())
    }

    /// The value's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one evaluation returned: for each key the values asked for.
///
/// A policy may return several dicts, so one key can have several values; [`crate::merge::conflict::resolve`] picks one of them,
/// as it does between containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    nodes: BTreeMap<Key, BTreeSet<Value>>,
    objects: BTreeSet<Object>,
}

impl Nodes {
    /// Adds a value asked for under `key`.
    pub fn insert(&mut self, key: Key, value: Value) {
        self.nodes.entry(key).or_default().insert(value);
    }

    /// Adds an object. One of the same name that is there already stays: they are two definitions of it.
    pub fn insert_object(&mut self, object: Object) {
        self.objects.insert(object);
    }

    /// Whether exactly this object is asked for.
    pub fn has_object(&self, object: &Object) -> bool {
        self.objects.contains(object)
    }

    /// The objects.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// The keys, with the values asked for under each (at least one), in byte order, objects aside.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &BTreeSet<Value>)> {
        self.nodes.iter()
    }

    /// Each key with each of its values, objects aside.
    pub fn pairs(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.iter()
            .flat_map(|(key, values)| values.iter().map(move |value| (key, value)))
    }

    /// Whether `value` is asked for under `key`.
    pub fn has(&self, key: &Key, value: &Value) -> bool {
        self.nodes
            .get(key)
            .is_some_and(|values| values.contains(value))
    }

    /// The keys that are asked for, each by itself: those of nodes, objects and members.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        let objects = self.objects.iter();
        let of_objects =
            objects.flat_map(|it| std::iter::once(it.marker()).chain(it.members().keys()));
        self.nodes.keys().chain(of_objects)
    }

    /// What is left of it without the nodes that are `gone`, and without the objects that lack one then.
    pub fn without(&self, gone: impl Fn(&Key, &Value) -> bool) -> Nodes {
        let nodes = self.pairs().filter(|(key, value)| !gone(key, value));
        let nodes = nodes.map(|(key, value)| (key.clone(), value.clone()));
        let objects = self.objects.iter();
        Nodes {
            objects: objects.filter_map(|object| object.without(&gone)).collect(),
            ..nodes.collect()
        }
    }

    /// The keys, as [`keys`](Nodes::keys) has them, of all that asks for a node which `names` something.
    pub fn naming(&self, names: impl Fn(&Key, &Value) -> bool) -> BTreeSet<Key> {
        let named = |(key, value): &(&Key, &Value)| names(key, value);
        let nodes = self.pairs().filter(named).map(|(key, _)| key);
        let objects = self.objects.iter().flat_map(|object| {
            let marker = object.fields().iter().any(|field| named(&field));
            let members = object.members().iter().filter(named).map(|(key, _)| key);
            members.chain(marker.then_some(object.marker()))
        });
        nodes.chain(objects).cloned().collect()
    }

    /// Every key that may be written for it: the nodes, and those of objects.
    pub fn written(&self) -> impl Iterator<Item = &Key> {
        let objects = self.objects.iter();
        let of_objects = objects.flat_map(|it| it.fields().keys().chain(it.members().keys()));
        self.nodes.keys().chain(of_objects)
    }

    /// How many keys may be written for it.
    pub fn len(&self) -> usize {
        self.written().count()
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.objects.is_empty()
    }
}

impl FromIterator<(Key, Value)> for Nodes {
    fn from_iter<I: IntoIterator<Item = (Key, Value)>>(pairs: I) -> Nodes {
        let mut nodes = Nodes::default();
        for (key, value) in pairs {
            nodes.insert(key, value);
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = Key::parse(text)
            .map(|key| key.to_string())
            .map_err(|error| error.to_string());
        assert_eq!(
            found,
            expected.map(str::to_owned).map_err(str::to_owned),
            "for {text:?}"
        );
    }

    #[test]
    fn keys_are_checked() {
        check("/skydns/local/web", Ok("/skydns/local/web"));
        check(
            "traefik/http/routers/web/rule",
            Ok("traefik/http/routers/web/rule"),
        );
        check(
            "/services/web/node1:web-1:80",
            Ok("/services/web/node1:web-1:80"),
        );
        check("/ünï/…", Ok("/ünï/…"));
        check("", Err("a key must not be empty"));
        check(
            "/",
            Err("key \"/\" ends with a slash: name the node below it"),
        );
        check(
            "/a/",
            Err("key \"/a/\" ends with a slash: name the node below it"),
        );
        check(
            "//a",
            Err("key \"//a\" has the component \"\": each part between slashes must be a name"),
        );
        check(
            "/a/../b",
            Err(
                "key \"/a/../b\" has the component \"..\": each part between slashes must be a name",
            ),
        );
        check(
            "/a/./b",
            Err("key \"/a/./b\" has the component \".\": each part between slashes must be a name"),
        );
        check("/a\n", Err("key \"/a\\n\" has a control character"));
        check(
            "/a\u{85}b",
            Err("key \"/a\\u{85}b\" has a control character"),
        );
    }

    #[test]
    fn a_key_has_at_most_1024_bytes() {
        assert!(Key::parse(&"k".repeat(1024)).is_ok());
        let error = Key::parse(&"k".repeat(1025)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a key has at most 1024 bytes, this one has 1025: kkk")
        );
    }

    #[test]
    fn the_root_is_the_first_component() {
        for (key, root) in [
            ("/skydns/local/web", "/skydns/"),
            ("traefik/http", "traefik/"),
            ("/a", "/a"),
            ("a", "a"),
        ] {
            assert_eq!(Key::parse(key).unwrap().root(), root);
        }
    }

    #[test]
    fn values_order_by_bytes() {
        let value = |text| Value::parse(text).unwrap();
        assert!(value("10") < value("9"));
        assert!(value("Z") < value("a"));
        assert!(Value::parse(&"v".repeat(MAX_VALUE_BYTES + 1)).is_err());
    }
}
