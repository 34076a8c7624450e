//! Conversion between JSON and the values of policies: exact, bounded, and without surprises.
//!
//! The interpreter's own conversion ends the process on deep values, panics on `1e400`, rounds big integers and turns NaN
//! into null.

use num_bigint::BigInt;
use registrator_core::node::MAX_VALUE_BYTES;
use serde_json::{Map, Number, Value as Json};
use starlark::values::dict::{AllocDict, DictRef};
use starlark::values::float::StarlarkFloat;
use starlark::values::list::{AllocList, ListRef};
use starlark::values::structs::StructRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, UnpackValue, Value, ValueLike};
use std::fmt::Write;
use std::str::FromStr;

/// How deeply values may be nested.
const MAX_DEPTH: usize = 64;

/// How many digits an integer may have.
const MAX_DIGITS: usize = 1000;

/// Bits of the largest integer that is written: [`MAX_DIGITS`] decimal digits.
const MAX_BITS: u64 = 3321;

/// Why a value cannot be converted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConvertError {
    #[error("the value is nested too deeply: at most {MAX_DEPTH} levels are possible")]
    Depth,
    #[error("the value is larger than {MAX_VALUE_BYTES} bytes as JSON")]
    Size,
    #[error("{0} cannot be written as JSON: check for it before")]
    NotFinite(f64),
    #[error("an integer has more than {MAX_DIGITS} digits")]
    Digits,
    #[error("the number {0} is too large for a float")]
    Huge(String),
    #[error("{0} is not a number")]
    NotANumber(String),
    #[error(
        "the key {key} of a dict is of type {kind}: in JSON it must be a str, as str({key}) makes it"
    )]
    Key { key: String, kind: &'static str },
    #[error("a value of type {kind} cannot be written as JSON{advice}")]
    Kind {
        kind: &'static str,
        advice: &'static str,
    },
}

/// Makes a value of JSON on the heap.
pub(super) fn to_star<'v>(json: &Json, heap: Heap<'v>) -> Result<Value<'v>, ConvertError> {
    to_star_at(json, heap, 0)
}

fn to_star_at<'v>(json: &Json, heap: Heap<'v>, depth: usize) -> Result<Value<'v>, ConvertError> {
    if depth > MAX_DEPTH {
        return Err(ConvertError::Depth);
    }
    Ok(match json {
        Json::Null => Value::new_none(),
        Json::Bool(value) => Value::new_bool(*value),
        Json::Number(number) => number_to_star(number, heap)?,
        Json::String(text) => heap.alloc_str(text).to_value(),
        Json::Array(items) => {
            let items = items.iter().map(|item| to_star_at(item, heap, depth + 1));
            heap.alloc(AllocList(items.collect::<Result<Vec<_>, _>>()?))
        }
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| {
                Ok((heap.alloc_str(name), to_star_at(value, heap, depth + 1)?))
            };
            let members = members.iter().map(member);
            heap.alloc(AllocDict(
                members.collect::<Result<Vec<_>, ConvertError>>()?,
            ))
        }
    })
}

fn number_to_star<'v>(number: &Number, heap: Heap<'v>) -> Result<Value<'v>, ConvertError> {
    if let Some(small) = number.as_i64() {
        return Ok(heap.alloc(small));
    }
    let text = number.as_str();
    let short = || text.chars().take(40).collect::<String>();
    if text.contains(['.', 'e', 'E']) {
        return match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(heap.alloc(float)),
            Ok(_) => Err(ConvertError::Huge(short())),
            Err(_) => Err(ConvertError::NotANumber(short())),
        };
    }
    if text.len() > MAX_DIGITS {
        return Err(ConvertError::Digits);
    }
    let integer = BigInt::from_str(text).map_err(|_| ConvertError::NotANumber(short()))?;
    Ok(heap.alloc(integer))
}

/// The value as JSON, for the declarations of a policy.
pub(super) fn from_star(value: Value<'_>) -> Result<Json, ConvertError> {
    let text = encode(value)?;
    serde_json::from_str(&text).map_err(|error| ConvertError::NotANumber(error.to_string()))
}

/// The value as compact JSON: members in their order, integers exact, floats in the shortest form that reads back the same, nothing
/// escaped that need not be.
pub(super) fn encode(value: Value<'_>) -> Result<String, ConvertError> {
    let mut text = String::new();
    write(value, &mut text, 0)?;
    Ok(text)
}

fn write(value: Value<'_>, text: &mut String, depth: usize) -> Result<(), ConvertError> {
    if depth > MAX_DEPTH {
        return Err(ConvertError::Depth);
    }
    if let Some(string) = value.unpack_str() {
        write_string(string, text);
    } else if value.is_none() {
        text.push_str("null");
    } else if let Some(value) = value.unpack_bool() {
        text.push_str(if value { "true" } else { "false" });
    } else if let Some(number) = value.unpack_i32() {
        let _ = write!(text, "{number}");
    } else if let Some(list) = ListRef::from_value(value) {
        write_items(list.iter(), text, depth)?;
    } else if let Some(tuple) = TupleRef::from_value(value) {
        write_items(tuple.iter(), text, depth)?;
    } else if let Some(dict) = DictRef::from_value(value) {
        write_dict(&dict, text, depth)?;
    } else if let Some(fields) = StructRef::from_value(value) {
        let members = fields.iter().map(|(name, value)| (name.as_str(), value));
        write_members(members, text, depth)?;
    } else {
        write_rare(value, text)?;
    }
    if text.len() > MAX_VALUE_BYTES {
        Err(ConvertError::Size)
    } else {
        Ok(())
    }
}

fn write_string(string: &str, text: &mut String) {
    // A Value's Display quotes and escapes as JSON does, and cannot fail.
    let _ = write!(text, "{}", Json::from(string));
}

fn write_items<'v>(
    items: impl Iterator<Item = Value<'v>>,
    text: &mut String,
    depth: usize,
) -> Result<(), ConvertError> {
    text.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            text.push(',');
        }
        write(item, text, depth + 1)?;
    }
    text.push(']');
    Ok(())
}

fn write_dict(dict: &DictRef<'_>, text: &mut String, depth: usize) -> Result<(), ConvertError> {
    let other = dict.keys().find(|key| key.unpack_str().is_none());
    if let Some(key) = other {
        return Err(ConvertError::Key {
            key: shown(key),
            kind: key.get_type(),
        });
    }
    let members = dict
        .iter()
        .filter_map(|(key, value)| Some((key.unpack_str()?, value)));
    write_members(members, text, depth)
}

/// A key in a message. The text of a large value may be endless, so only small ones are shown.
pub(super) fn shown(key: Value<'_>) -> String {
    let small = key.unpack_i32().is_some() || key.unpack_bool().is_some() || key.is_none();
    match key.unpack_str() {
        Some(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        None if small => key.to_repr(),
        None => "x".into(),
    }
}

fn write_members<'a, 'v>(
    members: impl Iterator<Item = (&'a str, Value<'v>)>,
    text: &mut String,
    depth: usize,
) -> Result<(), ConvertError> {
    text.push('{');
    for (at, (name, value)) in members.enumerate() {
        if at > 0 {
            text.push(',');
        }
        write_string(name, text);
        text.push(':');
        write(value, text, depth + 1)?;
    }
    text.push('}');
    Ok(())
}

/// Floats, big integers, and what cannot be written.
fn write_rare(value: Value<'_>, text: &mut String) -> Result<(), ConvertError> {
    if let Some(float) = value.downcast_ref::<StarlarkFloat>() {
        if !float.0.is_finite() {
            return Err(ConvertError::NotFinite(float.0));
        }
        let _ = write!(text, "{:?}", float.0);
        return Ok(());
    }
    if let Ok(Some(integer)) = BigInt::unpack_value(value) {
        if integer.bits() > MAX_BITS {
            return Err(ConvertError::Digits);
        }
        let _ = write!(text, "{integer}");
        return Ok(());
    }
    let kind = value.get_type();
    let advice = match kind {
        "set" | "range" => ": make a list of it, as in list(x)",
        "function" => ": call it",
        "object" => ": return it beside the other nodes",
        "Container" | "Network" | "Port" | "Binding" | "State" | "Compose" => {
            ": take the fields that you need"
        }
        _ => "",
    };
    Err(ConvertError::Kind { kind, advice })
}

/// The members of a configuration as the fields of a struct.
pub(super) fn fields<'v>(
    members: &Map<String, Json>,
    heap: Heap<'v>,
) -> Result<Vec<(String, Value<'v>)>, ConvertError> {
    let field = |(name, value): (&String, &Json)| Ok((name.clone(), to_star(value, heap)?));
    members.iter().map(field).collect()
}
