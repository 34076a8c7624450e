//! Makes a schema of what a policy declared with `config`.

use registrator_core::observe::allowed::Allowed;
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::{Attribute, Schema, Type};
use serde_json::Value as Json;

/// What is wrong with a declaration, and in which line.
#[derive(Debug)]
pub(super) struct SchemaError {
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

/// Reads the declaration as the host script tells it; null for none.
pub(super) fn schema(json: &Json) -> Result<Option<Schema>, SchemaError> {
    if json.is_null() {
        return Ok(None);
    }
    let line = json.get("line").and_then(Json::as_u64);
    let failed = |message: String| SchemaError {
        line: line.and_then(|line| usize::try_from(line).ok()),
        message,
    };
    let etcd_path = json.get("etcd_path").and_then(Json::as_str);
    let etcd_path = etcd_path.map(EtcdPath::parse).transpose();
    let etcd_path = etcd_path.map_err(|error| failed(error.to_string()))?;
    let attributes = json.get("attributes").and_then(Json::as_array);
    let attributes = attributes.into_iter().flatten().map(attribute);
    let attributes: Result<Vec<Attribute>, String> = attributes.collect();
    Ok(Some(Schema {
        attributes: attributes.map_err(failed)?,
        etcd_path,
        ignores_unknown: true,
    }))
}

/// No attribute is required: without a default it is nil.
fn attribute(json: &Json) -> Result<Attribute, String> {
    let or_nil = |kind| Type::Union(vec![kind, Type::None]);
    let object = || Type::Dict(Box::new(Type::Any));
    let text = |member| json.get(member).and_then(Json::as_str);
    let name = text("name").ok_or("the declaration is garbled")?.to_owned();
    let kind = match text("kind") {
        Some("string") => or_nil(Type::Str),
        Some("object") => or_nil(object()),
        Some("array") => or_nil(Type::List(Box::new(object()))),
        _ => Type::Any,
    };
    let given = |member| json.get(member).filter(|value| !value.is_null()).cloned();
    let allowed = Allowed::of(&kind, given("values"), given("min"), given("max"));
    Ok(Attribute {
        allowed: allowed.map_err(|error| format!("json_attr :{name}: {error}"))?,
        name,
        kind,
        default: Some(json.get("default").cloned().unwrap_or_default()),
        doc: None,
    })
}
