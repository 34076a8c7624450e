//! The one conflict rule: of different values for one key, the smaller wins.
//!
//! It is used inside one evaluation, between containers and instances, and between hosts; nothing else may compare values.

use crate::node::Value;

/// The value that wins among `candidates`: the bytewise smallest. `None` if there is none.
///
/// The rule is a total order without memory, so every host that sees the same candidates picks the same one, whatever
/// the order in which they came.
pub fn resolve<'a>(candidates: impl IntoIterator<Item = &'a Value>) -> Option<&'a Value> {
    candidates.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_value_wins() {
        let values = ["9", "10", "a"].map(|text| Value::parse(text).unwrap());
        assert_eq!(resolve(&values).map(Value::as_str), Some("10"));
        assert_eq!(resolve(&[]), None);
    }
}
