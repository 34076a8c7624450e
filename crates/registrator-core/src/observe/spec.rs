//! What a policy declares about itself, as data: the same for every policy language.

use crate::observe::allowed::Allowed;
use crate::observe::etcd_path::EtcdPath;
use serde_json::Value as Json;
use std::fmt;
use std::sync::Arc;

/// A policy's name: the base name of its file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(Arc<str>);

/// Why a text is not a [`PolicyName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a policy: use letters, digits, '-', '_' and '.' in the file's base name, beginning with a letter, a digit or '_'"
)]
pub struct PolicyNameError(String);

impl PolicyName {
    /// Checks `text`: ASCII letters, digits, `-`, `_` and `.`, beginning with neither `.` nor `-`.
    ///
    /// # Errors
    /// `text` is empty or has another character.
    pub fn parse(text: &str) -> Result<PolicyName, PolicyNameError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.starts_with(['.', '-']) || !text.chars().all(plain) {
            return Err(PolicyNameError(text.into()));
        }
        Ok(PolicyName(text.into()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A loaded policy as the core knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    /// The policy's name.
    pub name: PolicyName,
    /// Differs whenever the policy's code, the helper files that it loads, or the environment that it read differ; equal for equal ones.
    pub fingerprint: u64,
    /// The configuration that it declares; `None` if it has none and runs once.
    pub schema: Option<Schema>,
    /// Whether its own code looks at a configuration that fits the schema, before that one counts.
    pub validates: bool,
}

/// The configuration that a policy declares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schema {
    /// The members, in the order of their declaration.
    pub attributes: Vec<Attribute>,
    /// Where configurations are in etcd, if anywhere.
    pub etcd_path: Option<EtcdPath>,
    /// Members that no attribute has are passed over with a warning, instead of refused: what policies in Ruby rely on.
    pub ignores_unknown: bool,
}

/// One member of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The member's name in JSON.
    pub name: String,
    /// What its value must be.
    pub kind: Type,
    /// What else it must be.
    pub allowed: Allowed,
    /// Its value when the member is absent; `None` makes it required.
    pub default: Option<Json>,
    /// One line for people.
    pub doc: Option<String>,
}

/// The type of a configuration member. It is written as in Starlark: `str`, `int | None`, `list[str]`, `dict[str, int]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Any JSON value.
    Any,
    /// `null`.
    None,
    /// `true` or `false`.
    Bool,
    /// A number without fraction and exponent.
    Int,
    /// Any number.
    Float,
    /// A string.
    Str,
    /// An array of one type.
    List(Box<Type>),
    /// An object whose values are of one type.
    Dict(Box<Type>),
    /// Any of several types.
    Union(Vec<Type>),
}

impl Type {
    /// Whether `value` is of this type.
    pub fn matches(&self, value: &Json) -> bool {
        match self {
            Type::Any => true,
            Type::None => value.is_null(),
            Type::Bool => value.is_boolean(),
            Type::Int => is_integer(value),
            Type::Float => value.is_number(),
            Type::Str => value.is_string(),
            Type::List(item) => value
                .as_array()
                .is_some_and(|items| items.iter().all(|value| item.matches(value))),
            Type::Dict(item) => value
                .as_object()
                .is_some_and(|members| members.values().all(|value| item.matches(value))),
            Type::Union(types) => types.iter().any(|kind| kind.matches(value)),
        }
    }
}

impl Type {
    /// Whether a string or number can be a value of this type, or a part of one.
    pub fn holds(&self, value: &Json) -> bool {
        match self {
            Type::List(item) | Type::Dict(item) => item.holds(value),
            Type::Union(types) => types.iter().any(|kind| kind.holds(value)),
            _ => self.matches(value),
        }
    }
}

/// `1.0` and `1e3` are floats, whatever their value: with `arbitrary_precision` a number keeps the text it had.
fn is_integer(value: &Json) -> bool {
    value
        .as_number()
        .is_some_and(|number| !number.to_string().contains(['.', 'e', 'E']))
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("any value"),
            Type::None => f.write_str("None"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Float => f.write_str("float"),
            Type::Str => f.write_str("str"),
            Type::List(item) => write!(f, "list[{item}]"),
            Type::Dict(item) => write!(f, "dict[str, {item}]"),
            Type::Union(types) => {
                let names: Vec<String> = types.iter().map(Type::to_string).collect();
                f.write_str(&names.join(" | "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_match_json() {
        let union = Type::Union(vec![Type::Int, Type::None]);
        let list = Type::List(Box::new(Type::Str));
        let dict = Type::Dict(Box::new(Type::Int));
        let check = |kind: &Type, text: &str, expected: bool| {
            let value: Json = serde_json::from_str(text).unwrap();
            assert_eq!(kind.matches(&value), expected, "{text} as {kind}");
        };
        check(&Type::Int, "80", true);
        check(&Type::Int, "80.0", false);
        check(&Type::Int, "1e3", false);
        check(&Type::Int, "18446744073709551616", true);
        check(&Type::Float, "80", true);
        check(&Type::Bool, "0", false);
        check(&union, "null", true);
        check(&union, "\"x\"", false);
        check(&list, "[\"a\"]", true);
        check(&list, "[1]", false);
        check(&dict, "{\"a\": 1}", true);
        check(&dict, "{\"a\": \"x\"}", false);
        let nested = Type::Union(vec![Type::List(Box::new(list.clone())), Type::None]);
        assert!(nested.holds(&"a".into()) && !nested.holds(&1.into()));
        assert_eq!(
            format!("{union}, {list}, {dict}"),
            "int | None, list[str], dict[str, int]"
        );
    }

    #[test]
    fn policy_names_are_plain() {
        assert!(PolicyName::parse("skydns-srv_2.x").is_ok());
        for name in ["", ".star", "-x", "a/b", "a b", "ä"] {
            assert!(PolicyName::parse(name).is_err(), "{name:?}");
        }
    }
}
