//! Objects as people read them: by name, with what differs between definitions, and without the text that registrators compare.

use crate::node::{Definition, Key, OnConflict, Value};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A key, or what it is the marker of.
pub fn named(key: &Key) -> Cow<'_, str> {
    match key.object() {
        Some(name) => format!("object {name}").into(),
        None => key.as_str().into(),
    }
}

/// The same, as programs read it.
pub fn name(key: &Key) -> &str {
    key.object().unwrap_or(key.as_str())
}

/// What programs read of a key, with the nodes of the object that it is the marker of.
pub fn with_object(key: &Key, value: Option<&Value>, mut json: Json) -> Json {
    let definition = value.and_then(|value| Definition::parse(key, value));
    if let Some((definition, members)) = definition.zip(json.as_object_mut()) {
        let nodes = definition.fields.iter();
        let nodes = nodes.map(|(key, value)| (key.to_string(), Json::from(value.as_str())));
        members.insert("object".to_owned(), Json::Object(nodes.collect()));
    }
    json
}

/// A value, or how many nodes a definition has.
pub fn shown<'a>(key: &Key, value: &'a Value) -> Cow<'a, str> {
    let definition = Definition::parse(key, value);
    match definition.map(|definition| definition.fields.len()) {
        None => value.as_str().into(),
        Some(0) => "none, since its definitions differ".into(),
        Some(1) => "1 node".into(),
        Some(count) => format!("{count} nodes").into(),
    }
}

/// As [`shown`], with what the definition has for one of the nodes.
pub fn shown_with<'a>(marker: &Key, text: &'a Value, node: Option<&Key>) -> Cow<'a, str> {
    let all = shown(marker, text);
    let Some((node, definition)) = node.zip(whole(marker, text)) else {
        return all;
    };
    match definition.fields.get(node) {
        Some(value) => format!("{all}, with {node} = {value}").into(),
        None => format!("{all}, without {node}").into(),
    }
}

/// A value and the one before; of an object with what is different, or else they might look the same.
pub fn changed<'a>(key: &Key, value: &'a Value, old: &'a Value) -> [Cow<'a, str>; 2] {
    let node = difference(key, [value, old]);
    [value, old].map(|text| shown_with(key, text, node.as_ref()))
}

/// The first node in which definitions of an object differ.
pub fn difference<'a>(marker: &Key, texts: impl IntoIterator<Item = &'a Value>) -> Option<Key> {
    let texts = texts.into_iter();
    let all: Vec<Arc<Definition>> = texts.filter_map(|text| whole(marker, text)).collect();
    let keys: BTreeSet<&Key> = all.iter().flat_map(|it| it.fields.keys()).collect();
    let differs = |key: &&Key| {
        let values: BTreeSet<Option<&Value>> = all.iter().map(|it| it.fields.get(*key)).collect();
        values.len() > 1
    };
    keys.into_iter().find(differs).cloned()
}

/// That there are different definitions of an object, and what differs.
pub fn definitions(marker: &Key, sides: &[(Value, String)]) -> String {
    let texts = sides.iter().map(|(text, _)| text);
    let mut all = texts.filter_map(|text| Definition::parse(marker, text));
    let counts = match all.any(|it| it.on_conflict == OnConflict::None) {
        true => "none counts until they agree",
        false => "the smallest counts",
    };
    format!(
        "different definitions of {}, {counts}: {}",
        named(marker),
        differences(marker, sides)
    )
}

/// The first node in which definitions of an object differ, with each definition's value, and whose it is.
pub fn differences(marker: &Key, sides: &[(Value, String)]) -> String {
    let first = difference(marker, sides.iter().map(|(text, _)| text));
    let told = sides.iter().map(|(text, whose)| {
        let Some(definition) = whole(marker, text) else {
            return format!("several {whose}");
        };
        match first.as_ref().map(|key| definition.fields.get(key)) {
            Some(Some(value)) => format!("{value} {whose}"),
            Some(None) => format!("nothing {whose}"),
            None => format!("one {whose}"),
        }
    });
    let told: Vec<String> = told.collect();
    let first = first.map_or(String::new(), |key| format!("{key} is "));
    first + &told.join("; ")
}

/// A definition that agrees with itself. One that does not has no nodes at all.
fn whole(marker: &Key, text: &Value) -> Option<Arc<Definition>> {
    Definition::parse(marker, text).filter(|it| !it.fields.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Object;

    fn text(on_conflict: OnConflict, nodes: &[(&str, &str)]) -> Value {
        let key = |name: &str| Key::parse(&format!("r/web/{name}")).unwrap();
        let nodes = nodes.iter();
        let nodes = nodes.map(|(name, value)| (key(name), Value::parse(value).unwrap()));
        let name = Key::parse("r/web").unwrap();
        let object = Object::new(&name, on_conflict, nodes.collect()).unwrap();
        object.text().clone()
    }

    #[test]
    fn the_first_field_that_differs_is_told_with_its_values() {
        let marker = Key::parse("r/web").unwrap().marker();
        let told = |sides: &[Value]| {
            let sides = sides.iter().zip(["of a", "of b", "of c"]);
            let sides = sides.map(|(text, whose)| (text.clone(), whose.to_owned()));
            definitions(&marker, &sides.collect::<Vec<_>>())
        };
        let none = |nodes: &[(&str, &str)]| text(OnConflict::None, nodes);
        let one = none(&[("a", "1"), ("b", "1")]);
        assert_eq!(
            told(&[
                one.clone(),
                none(&[("a", "1"), ("b", "2")]),
                none(&[("a", "1")])
            ]),
            "different definitions of object r/web, none counts until they agree: r/web/b is 1 of a; 2 of b; nothing of c"
        );
        assert_eq!(
            told(&[Definition::disputed(), one]),
            "different definitions of object r/web, none counts until they agree: several of a; one of b"
        );
        let smallest = |value| text(OnConflict::Smallest, &[("a", value)]);
        assert_eq!(
            told(&[smallest("1"), smallest("2")]),
            "different definitions of object r/web, the smallest counts: r/web/a is 1 of a; 2 of b"
        );
    }

    #[test]
    fn an_object_is_shown_as_one() {
        let marker = Key::parse("r/web").unwrap().marker();
        assert_eq!(named(&marker), "object r/web");
        let two = text(OnConflict::None, &[("a", "1"), ("b", "1")]);
        assert_eq!(shown(&marker, &two), "2 nodes");
        let disputed = Definition::disputed();
        assert_eq!(
            shown(&marker, &disputed),
            "none, since its definitions differ"
        );
        assert_eq!(shown(&Key::parse("r/web/a").unwrap(), &two), two.as_str());
    }

    #[test]
    fn definitions_are_shown_with_what_differs() {
        let marker = Key::parse("r/web").unwrap().marker();
        let one = text(OnConflict::None, &[("a", "1"), ("b", "1")]);
        let other = text(OnConflict::None, &[("a", "1")]);
        let all = [Definition::disputed(), one, other];
        let node = difference(&marker, &all);
        let shown = all
            .iter()
            .map(|text| shown_with(&marker, text, node.as_ref()));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "none, since its definitions differ",
                "2 nodes, with r/web/b = 1",
                "1 node, without r/web/b"
            ]
        );
        assert_eq!(difference(&marker, &all[..2]), None);
    }
}
