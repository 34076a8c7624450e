//! The policy of the simulated world: a container's document holds what is answered.

use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use registrator_core::node::{Key, Nodes, Object, OnConflict, Value};
use registrator_core::observe::container::Container;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What the policy answers for a container.
pub fn evaluate(container: &Container) -> Result<Evaluation, EvalError> {
    let json: Json = serde_json::from_str(&container.text()).unwrap();
    if let Some(message) = json.get("error").and_then(Json::as_str) {
        return Err(EvalError {
            kind: EvalErrorKind::Raised,
            message: message.into(),
            at: Some("p.star:1:1".into()),
        });
    }
    let pairs = json
        .get("nodes")
        .and_then(Json::as_object)
        .into_iter()
        .flatten();
    let address = json.pointer("/NetworkSettings/Networks/net/IPAddress");
    let mut nodes: Nodes = pairs
        .filter_map(|(key, value)| {
            // Without an address there is no node.
            let value = if value == "@ip" { address? } else { value };
            Some((
                Key::parse(key).unwrap(),
                Value::parse(value.as_str().unwrap()).unwrap(),
            ))
        })
        .collect();
    let objects = json.get("objects").and_then(Json::as_object);
    for (name, object) in objects.into_iter().flatten() {
        nodes.insert_object(self::object(name, object));
    }
    Ok(Evaluation {
        nodes,
        ..Evaluation::default()
    })
}

/// An object; the keys of its `nodes` and `members` are those below its name.
fn object(name: &str, json: &Json) -> Object {
    let below = |what: &str| -> BTreeMap<Key, Value> {
        let all = json[what].as_object().into_iter().flatten();
        all.map(|(key, value)| {
            let key = Key::parse(&format!("{name}/{key}")).unwrap();
            (key, Value::parse(value.as_str().unwrap()).unwrap())
        })
        .collect()
    };
    let on_conflict = match json["conflict"].as_str() {
        Some("none") => OnConflict::None,
        _ => OnConflict::Smallest,
    };
    let name = Key::parse(name).unwrap();
    let object = Object::new(&name, on_conflict, below("nodes")).unwrap();
    object.with_members(below("members")).unwrap()
}
