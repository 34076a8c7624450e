//! Objects as people read them: by name, with what differs between definitions, and without the text that registrators compare.

use crate::node::{Definition, Key, OnConflict, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A key, or what it is the marker of.
pub fn named(key: &Key) -> Cow<'_, str> {
    match key.object() {
        Some(name) => format!("object {name}").into(),
        None => key.as_str().into(),
    }
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

/// That there are different definitions of an object: the first field that differs, with each definition's value, and whose it is.
pub fn definitions(marker: &Key, sides: &[(Value, String)]) -> String {
    let parsed: Vec<Option<Definition>> = sides
        .iter()
        .map(|(text, _)| Definition::parse(marker, text))
        .collect();
    let all = parsed.iter().flatten();
    let strict = all.clone().any(|it| it.on_conflict == OnConflict::None);
    let counts = match strict {
        true => "none counts until they agree",
        false => "the smallest counts",
    };
    let keys: BTreeSet<&Key> = all.flat_map(|it| it.fields.keys()).collect();
    let value = |side: &Option<Definition>, key: &Key| -> Option<Value> {
        side.as_ref().and_then(|it| it.fields.get(key).cloned())
    };
    // One that does not agree with itself has no fields at all.
    let whole = || parsed.iter().filter(|it| has_fields(it));
    let differs = |key: &&&Key| {
        let values: BTreeSet<Option<Value>> = whole().map(|side| value(side, key)).collect();
        values.len() > 1
    };
    let first = keys.iter().find(differs).copied();
    let sides = sides.iter().zip(&parsed).map(|((_, whose), side)| {
        if !has_fields(side) {
            return format!("several {whose}");
        }
        match first.map(|key| value(side, key)) {
            Some(Some(value)) => format!("{value} {whose}"),
            Some(None) => format!("nothing {whose}"),
            None => format!("one {whose}"),
        }
    });
    let sides: Vec<String> = sides.collect();
    let first = first.map_or(String::new(), |key| format!("{key} is "));
    format!(
        "different definitions of {}, {counts}: {first}{}",
        named(marker),
        sides.join("; ")
    )
}

fn has_fields(side: &Option<Definition>) -> bool {
    side.as_ref().is_some_and(|it| !it.fields.is_empty())
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
}
