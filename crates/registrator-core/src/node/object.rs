//! Objects: several nodes that are one thing, and are settled as one.

use super::{Key, KeyError, MAX_KEY_BYTES, MAX_VALUE_BYTES, Value};
use serde_json::{Map, Value as Json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The most nodes of an object, members aside. One transaction replaces all of them by all of another definition's, and etcd takes
/// 128 operations.
pub const MAX_FIELDS: usize = 40;

/// The most bytes of an object's nodes: one transaction writes them twice, and its text besides.
const MAX_TEXT_BYTES: usize = MAX_VALUE_BYTES / 8;

/// What stands in the text of an object for [`OnConflict`]. Texts are compared, so the strictest of different definitions counts: what
/// one host does not agree on with itself is the smallest.
const DISPUTED: &str = "disputed";
const NONE: &str = "none";
const SMALLEST: &str = "smallest";

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
    marker: Key,
    text: Value,
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
    /// Too much to compare.
    #[error("object {0} has more than {MAX_FIELDS} nodes")]
    TooMany(Key),
    /// Too much to write at once.
    #[error("the nodes of object {0} have more than {MAX_TEXT_BYTES} bytes")]
    TooLong(Key),
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
    /// It has no nodes or too many, or one of them lies elsewhere.
    pub fn new(
        name: &Key,
        on_conflict: OnConflict,
        fields: BTreeMap<Key, Value>,
    ) -> Result<Object, ObjectError> {
        if fields.is_empty() {
            return Err(ObjectError::Empty(name.clone()));
        }
        if fields.len() > MAX_FIELDS {
            return Err(ObjectError::TooMany(name.clone()));
        }
        // Its marker is a key as well, with a slash behind the name.
        if name.as_str().len() >= MAX_KEY_BYTES {
            let start = name.as_str().chars().take(60).collect();
            let error = KeyError::TooLong(name.as_str().len() + 1, start);
            return Err(ObjectError::Name(error));
        }
        let mut object = Object {
            name: name.clone(),
            on_conflict,
            fields,
            members: BTreeMap::new(),
            uses: BTreeSet::new(),
            marker: name.marker(),
            text: Definition::disputed(),
        };
        object.fields.keys().try_for_each(|key| object.holds(key))?;
        object.text = object.defined();
        if object.text.as_str().len() > MAX_TEXT_BYTES {
            return Err(ObjectError::TooLong(name.clone()));
        }
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

    /// The key by which it is owned, as [`Key::marker`] gives it for its name.
    pub fn marker(&self) -> &Key {
        &self.marker
    }

    /// Its definition as one text: equal for equal nodes, and compared with those of others as values are.
    pub fn text(&self) -> &Value {
        &self.text
    }

    /// What is left of it without the nodes that are `gone`; nothing if one of those is that are compared.
    pub fn without(&self, gone: impl Fn(&Key, &Value) -> bool) -> Option<Object> {
        if self.fields.iter().any(|(key, value)| gone(key, value)) {
            return None;
        }
        let mut object = self.clone();
        object.members.retain(|key, value| !gone(key, value));
        Some(object)
    }

    fn defined(&self) -> Value {
        let below = self.name.as_str().len() + 1;
        let nodes = self.fields.iter().map(|(key, value)| {
            let name = key.as_str().get(below..).unwrap_or_default();
            (name.to_owned(), Json::from(value.as_str()))
        });
        let conflict = match self.on_conflict {
            OnConflict::Smallest => SMALLEST,
            OnConflict::None => NONE,
        };
        text(conflict, nodes.collect())
    }
}

fn text(conflict: &str, nodes: Map<String, Json>) -> Value {
    let mut all = Map::new();
    all.insert("conflict".to_owned(), conflict.into());
    all.insert("nodes".to_owned(), nodes.into());
    Value(Json::from(all).to_string().into())
}

/// What the text of an object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// What becomes of it if there are different ones.
    pub on_conflict: OnConflict,
    /// Its nodes; none if a host does not agree with itself.
    pub fields: BTreeMap<Key, Value>,
}

/// A marker and a text, and what they are.
type Parsed = (Key, Value, Option<Arc<Definition>>);

thread_local! {
    /// What was parsed last, the latest first. While a container starts each of its definitions is asked for about ten times, which took
    /// as long as the evaluation of its policy.
    static LATELY: RefCell<VecDeque<Parsed>> = const { RefCell::new(VecDeque::new()) };
}

/// As many definitions as a container has, and some.
const REMEMBERED: usize = 16;

impl Definition {
    /// The definition that `text` is, of the object that `marker` is for. `None` if it is none: no registrator wrote it.
    pub fn parse(marker: &Key, text: &Value) -> Option<Arc<Definition>> {
        LATELY.with_borrow_mut(|lately| {
            let mut known = lately.iter();
            if let Some((.., known)) = known.find(|(of, at, _)| of == marker && at == text) {
                return known.clone();
            }
            let parsed = Definition::read(marker, text).map(Arc::new);
            lately.truncate(REMEMBERED - 1);
            lately.push_front((marker.clone(), text.clone(), parsed.clone()));
            parsed
        })
    }

    fn read(marker: &Key, text: &Value) -> Option<Definition> {
        let name = marker.object()?;
        let all: Json = serde_json::from_str(text.as_str()).ok()?;
        let on_conflict = match all.get("conflict")?.as_str()? {
            SMALLEST => OnConflict::Smallest,
            NONE | DISPUTED => OnConflict::None,
            _ => return None,
        };
        let nodes = all.get("nodes")?.as_object()?.iter();
        let fields = nodes.map(|(below, value)| {
            let key = Key::parse(&format!("{name}/{below}")).ok()?;
            Some((key, Value::parse(value.as_str()?).ok()?))
        });
        let fields: BTreeMap<Key, Value> = fields.collect::<Option<_>>()?;
        (fields.len() <= MAX_FIELDS).then_some(Definition {
            on_conflict,
            fields,
        })
    }

    /// What a host says that does not agree with itself on an object: it agrees with nobody's.
    pub fn disputed() -> Value {
        text(DISPUTED, Map::new())
    }

    /// The value of a field in the definition that `text` is, if it has that.
    pub(crate) fn field(marker: &Key, text: &Value, field: &Key) -> Option<Value> {
        let definition = Definition::parse(marker, text)?;
        definition.fields.get(field).cloned()
    }

    /// Whether `text` is of an object of which none counts until all agree.
    pub(crate) fn is_strict(marker: &Key, text: &Value) -> bool {
        Definition::parse(marker, text).is_some_and(|it| it.on_conflict == OnConflict::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    fn object(on_conflict: OnConflict, fields: &[(&str, &str)]) -> Result<Object, ObjectError> {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| (key(name), Value::parse(value).unwrap()));
        Object::new(&key("/r/web"), on_conflict, fields.collect())
    }

    #[test]
    fn an_object_and_its_text_are_the_same() {
        for on_conflict in [OnConflict::Smallest, OnConflict::None] {
            let object = object(on_conflict, &[("/r/web/b/0", "\"x\"\n"), ("/r/web/a", "1")]);
            let object = object.unwrap();
            let definition = Definition::parse(object.marker(), object.text()).unwrap();
            assert_eq!(&definition.fields, object.fields());
            assert_eq!(definition.on_conflict, on_conflict);
        }
        let web = object(OnConflict::None, &[("/r/web/a", "1")]).unwrap();
        let expected = r#"{"conflict":"none","nodes":{"a":"1"}}"#;
        assert_eq!(web.text().as_str(), expected);
        assert_eq!(web.marker().as_str(), "/r/web/");
    }

    #[test]
    fn one_text_is_another_definition_for_each_object() {
        let text = object(OnConflict::None, &[("/r/web/a", "1")]).unwrap();
        for number in 0..REMEMBERED * 2 {
            let marker = key(&format!("/{}", number % (REMEMBERED + 1))).marker();
            let definition = Definition::parse(&marker, text.text()).unwrap();
            let expected = key(&format!("{marker}a"));
            assert_eq!(definition.fields.keys().next(), Some(&expected));
        }
        assert_eq!(Definition::parse(&key("/r"), text.text()), None);
    }

    #[test]
    fn the_strictest_text_is_the_smallest() {
        let text = |on_conflict| {
            object(on_conflict, &[("/r/web/a", "1")])
                .unwrap()
                .text()
                .clone()
        };
        assert!(Definition::disputed() < text(OnConflict::None));
        assert!(text(OnConflict::None) < text(OnConflict::Smallest));
        let disputed = Definition::parse(&key("/r/web").marker(), &Definition::disputed());
        assert!(disputed.unwrap().fields.is_empty());
    }

    #[test]
    fn what_no_registrator_wrote_is_no_definition() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"conflict":"all","nodes":{}}"#,
            r#"{"conflict":"none","nodes":{"":"1"}}"#,
            r#"{"conflict":"none","nodes":{"../a":"1"}}"#,
            r#"{"conflict":"none","nodes":{"a":1}}"#,
        ] {
            let text = Value::parse(text).unwrap();
            assert_eq!(Definition::parse(&key("/r/web").marker(), &text), None);
        }
    }

    #[test]
    fn objects_are_checked() {
        let error = |fields: &[(&str, &str)]| {
            let object = object(OnConflict::None, fields);
            object.unwrap_err().to_string()
        };
        assert!(error(&[]).contains("has no nodes"));
        assert!(error(&[("/r/webber/a", "1")]).contains("is not below object /r/web"));
        let names: Vec<String> = (0..=MAX_FIELDS).map(|at| format!("/r/web/{at}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert!(error(&many).contains("has more than 40 nodes"));
        let long = "x".repeat(MAX_TEXT_BYTES);
        assert!(error(&[("/r/web/a", &long)]).contains("bytes"));
    }
}
