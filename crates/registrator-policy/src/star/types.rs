//! Turns the type expressions of Starlark into the types of configurations.

use registrator_core::observe::spec::Type;
use starlark::values::typing::TypeCompiled;
use starlark::values::{Heap, Value};

/// The type that a type expression stands for, such as `str`, `int | None`, `list[str]`.
pub(super) fn of_value<'v>(value: Value<'v>, heap: Heap<'v>) -> anyhow::Result<Type> {
    let text = TypeCompiled::new(value, heap)?.as_ty().to_string();
    parse(&text).ok_or_else(|| {
        anyhow::anyhow!(
            "{text} cannot be the type of an attribute: use str, int, float, bool, None, list[T], dict[str, T], T | U or typing.Any"
        )
    })
}

/// The interpreter shows a type as it is written; this is the one place that relies on it.
fn parse(text: &str) -> Option<Type> {
    let parts = split(text, '|');
    if let [single] = parts.as_slice() {
        return parse_single(single.trim());
    }
    let mut types = parts
        .iter()
        .map(|part| parse_single(part.trim()))
        .collect::<Option<Vec<Type>>>()?;
    types.sort_by_key(|kind| *kind == Type::None);
    Some(Type::Union(types))
}

fn parse_single(text: &str) -> Option<Type> {
    Some(match text {
        "typing.Any" => Type::Any,
        "None" => Type::None,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "float" => Type::Float,
        "str" => Type::Str,
        "list" => Type::List(Box::new(Type::Any)),
        "dict" => Type::Dict(Box::new(Type::Any)),
        _ => return parse_generic(text),
    })
}

fn parse_generic(text: &str) -> Option<Type> {
    let (name, arguments) = text.strip_suffix(']')?.split_once('[')?;
    match (name, split(arguments, ',').as_slice()) {
        ("list", [item]) => Some(Type::List(Box::new(parse(item)?))),
        ("dict", [key, item]) if matches!(key.trim(), "str" | "typing.Any") => {
            Some(Type::Dict(Box::new(parse(item)?)))
        }
        _ => None,
    }
}

/// Splits outside brackets.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut depth = 0_usize;
    let outside = |c: char| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == separator && depth == 0
    };
    text.split(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = parse(text).map_or("unknown".into(), |kind| kind.to_string());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn types_are_read_as_they_are_shown() {
        check("str", "str");
        check("None | int", "int | None");
        check("list[typing.Any]", "list[any value]");
        check("list", "list[any value]");
        check("dict[str, list[int | str]]", "dict[str, list[int | str]]");
        check("dict[typing.Any, typing.Any]", "dict[str, any value]");
        check("dict[int, str]", "unknown");
        check("set[str]", "unknown");
        check("Container", "unknown");
        check("(str, int)", "unknown");
    }
}
