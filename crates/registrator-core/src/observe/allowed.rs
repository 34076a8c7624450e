//! What a member's value must be besides its type: one of some values, or a number within bounds.

use crate::observe::spec::Type;
use serde_json::{Number, Value as Json};
use std::cmp::Ordering;

/// Which strings and numbers a value may be, or, in an array or object, may hold. `null` and booleans are of no concern here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Allowed {
    /// The only ones; `None` for any.
    pub values: Option<Vec<Json>>,
    /// The smallest number.
    pub min: Option<Number>,
    /// The largest number.
    pub max: Option<Number>,
}

/// Why a policy cannot declare which values an attribute may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowedError {
    /// The values are no list, or an empty one.
    #[error("values must be a list with at least one string or number, not {0}")]
    NoList(String),
    /// A value can never occur.
    #[error("values has {value}, which is of no type in {kind}")]
    Type {
        /// The value.
        value: String,
        /// The attribute's type.
        kind: String,
    },
    /// A bound is no number.
    #[error("min and max must be numbers, not {0}")]
    NoNumber(String),
    /// There are no numbers that could be out of bounds.
    #[error("min and max are for numbers, and there are none in {0}")]
    NoNumbers(String),
    /// Nothing is between the bounds.
    #[error("min {0} is more than max {1}")]
    Crossed(Number, Number),
}

impl Allowed {
    /// What a policy declares for an attribute of type `kind`.
    ///
    /// # Errors
    /// The first of [`AllowedError`] that applies.
    pub fn of(
        kind: &Type,
        values: Option<Json>,
        min: Option<Json>,
        max: Option<Json>,
    ) -> Result<Allowed, AllowedError> {
        let (min, max) = (bound(kind, min)?, bound(kind, max)?);
        if let (Some(min), Some(max)) = (&min, &max)
            && is_less(max, min)
        {
            return Err(AllowedError::Crossed(min.clone(), max.clone()));
        }
        let values = values.map(|values| listed(kind, values)).transpose()?;
        Ok(Allowed { values, min, max })
    }

    /// What is wrong with a value, as what follows "member x": `must be one of "a", "b", not "c"`.
    pub fn fault(&self, value: &Json) -> Option<String> {
        let wrong = self.wrong_in(value)?;
        let holds = value.is_array() || value.is_object();
        let must = match (&self.values, holds) {
            (Some(values), false) if values.len() > 1 => "must be one of",
            (_, false) => "must be",
            (Some(_), true) => "may hold only",
            (None, true) => "may hold only numbers",
        };
        let what = match (&self.values, &self.min, &self.max) {
            (Some(values), _, _) => {
                let shown: Vec<String> = values.iter().map(Json::to_string).collect();
                shown.join(", ")
            }
            (None, Some(min), Some(max)) => format!("from {min} to {max}"),
            (None, Some(min), None) => format!("{min} or more"),
            (None, _, max) => format!("at most {}", max.as_ref()?),
        };
        Some(format!("{must} {what}, not {}", shown(wrong)))
    }

    /// The first part that is not allowed.
    fn wrong_in<'a>(&self, value: &'a Json) -> Option<&'a Json> {
        match value {
            Json::Null | Json::Bool(_) => None,
            Json::Array(items) => items.iter().find_map(|item| self.wrong_in(item)),
            Json::Object(members) => members.values().find_map(|item| self.wrong_in(item)),
            Json::Number(number) => {
                let in_bounds = self.min.as_ref().is_none_or(|min| !is_less(number, min))
                    && self.max.as_ref().is_none_or(|max| !is_less(max, number));
                (!in_bounds || !self.is_listed(value)).then_some(value)
            }
            Json::String(_) => (!self.is_listed(value)).then_some(value),
        }
    }

    fn is_listed(&self, value: &Json) -> bool {
        let values = self.values.as_ref();
        values.is_none_or(|values| values.contains(value))
    }
}

fn bound(kind: &Type, bound: Option<Json>) -> Result<Option<Number>, AllowedError> {
    match bound {
        None => Ok(None),
        Some(Json::Number(_)) if !kind.holds(&0.into()) => {
            Err(AllowedError::NoNumbers(kind.to_string()))
        }
        Some(Json::Number(number)) => Ok(Some(number)),
        Some(other) => Err(AllowedError::NoNumber(shown(&other))),
    }
}

fn listed(kind: &Type, values: Json) -> Result<Vec<Json>, AllowedError> {
    let values = match values {
        Json::Array(values) if !values.is_empty() => values,
        other => return Err(AllowedError::NoList(shown(&other))),
    };
    let plain = |value: &&Json| value.is_string() || value.is_number();
    match values
        .iter()
        .find(|value| !plain(value) || !kind.holds(value))
    {
        Some(wrong) => Err(AllowedError::Type {
            value: shown(wrong),
            kind: kind.to_string(),
        }),
        None => Ok(values),
    }
}

/// Integers are compared exactly, however large: with `arbitrary_precision` a number keeps the text it had.
fn is_less(one: &Number, other: &Number) -> bool {
    let integers = (integer(one), integer(other));
    let order = match integers {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => float(one).partial_cmp(&float(other)),
    };
    order == Some(Ordering::Less)
}

fn integer(number: &Number) -> Option<i128> {
    number.to_string().parse().ok()
}

/// What no float can hold is infinite.
fn float(number: &Number) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

/// The value's text, or the beginning of it.
pub(super) fn shown(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(allowed: &Allowed, text: &str, expected: &str) {
        let value: Json = serde_json::from_str(text).unwrap();
        let found = allowed.fault(&value).unwrap_or_else(|| "right".into());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values() {
        let words = Allowed {
            values: Some(vec![json!("a"), json!("b"), json!(1)]),
            ..Allowed::default()
        };
        for right in ["\"a\"", "1", "null", "true", "[]", "[\"b\", [\"a\"]]"] {
            check(&words, right, "right");
        }
        check(&words, "\"A\"", r#"must be one of "a", "b", 1, not "A""#);
        check(&words, "2", r#"must be one of "a", "b", 1, not 2"#);
        check(
            &words,
            r#"["a", "c", "d"]"#,
            r#"may hold only "a", "b", 1, not "c""#,
        );
        check(
            &words,
            r#"{"x": {"y": ""}}"#,
            r#"may hold only "a", "b", 1, not """#,
        );
        let one = Allowed {
            values: Some(vec![json!("a")]),
            ..Allowed::default()
        };
        check(&one, "\"b\"", r#"must be "a", not "b""#);
    }

    #[test]
    fn numbers() {
        let of = |min: Option<u64>, max: Option<u64>| Allowed {
            values: None,
            min: min.map(Number::from),
            max: max.map(Number::from),
        };
        let ttl = of(Some(0), Some(4_294_967_295));
        for right in ["0", "4294967295", "0.5", "-0", "null", "\"x\"", "[1, null]"] {
            check(&ttl, right, "right");
        }
        check(&ttl, "-1", "must be from 0 to 4294967295, not -1");
        check(
            &ttl,
            "4294967296",
            "must be from 0 to 4294967295, not 4294967296",
        );
        check(&ttl, "1e10", "must be from 0 to 4294967295, not 1e+10");
        check(&ttl, "-1e-9", "must be from 0 to 4294967295, not -1e-9");
        check(
            &ttl,
            "[1, -1]",
            "may hold only numbers from 0 to 4294967295, not -1",
        );
        check(
            &of(Some(1), None),
            "-99999999999999999999999999999999999999999999",
            "must be 1 or more, not -99999999999999999999999999999999999999999999",
        );
        let exact = of(None, Some(9_007_199_254_740_993));
        check(&exact, "9007199254740993", "right");
        check(
            &exact,
            "9007199254740994",
            "must be at most 9007199254740993, not 9007199254740994",
        );
    }
}
