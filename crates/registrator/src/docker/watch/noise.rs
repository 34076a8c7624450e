//! Which differences between two inspect documents of a container are noise.

use serde_json::{Map, Value as Json};

/// Members that change without the container changing: every health probe writes a log entry and counts failures, and is an
/// exec that comes and goes.
const NOISE: [&[&str]; 3] = [
    &["State", "Health", "Log"],
    &["State", "Health", "FailingStreak"],
    &["ExecIDs"],
];

/// Whether the documents are equal but for [`NOISE`].
pub(super) fn equal_but_for_noise(a: &Json, b: &Json) -> bool {
    equal(a, b, &NOISE)
}

/// `noise` holds the paths, from here on down, that are left out.
fn equal(a: &Json, b: &Json, noise: &[&[&str]]) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) if !noise.is_empty() => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, value)| member_equal(name, value, b, noise))
        }
        _ => a == b,
    }
}

fn member_equal(name: &str, value: &Json, others: &Map<String, Json>, noise: &[&[&str]]) -> bool {
    let Some(other) = others.get(name) else {
        return false;
    };
    let below: Vec<&[&str]> = noise
        .iter()
        .filter_map(|path| path.split_first())
        .filter_map(|(first, rest)| (*first == name).then_some(rest))
        .collect();
    below.iter().any(|path| path.is_empty()) || equal(value, other, &below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(a: &Json, b: &Json, expected: bool) {
        assert_eq!(equal_but_for_noise(a, b), expected, "{a} {b}");
        assert_eq!(equal_but_for_noise(b, a), expected, "{b} {a}");
    }

    #[test]
    fn noise_and_news() {
        let document = |health, streak, execs: Json, ip| {
            json!({"Id": "a", "ExecIDs": execs, "NetworkSettings": {"IPAddress": ip},
                   "State": {"Running": true, "Health": {"Status": health, "FailingStreak": streak, "Log": [streak]}}})
        };
        let base = document("healthy", 0, json!(null), "10.0.0.2");
        check(&base, &base, true);
        check(
            &base,
            &document("healthy", 1, json!(["e"]), "10.0.0.2"),
            true,
        );
        check(
            &base,
            &document("unhealthy", 0, json!(null), "10.0.0.2"),
            false,
        );
        check(
            &base,
            &document("healthy", 0, json!(null), "10.0.0.3"),
            false,
        );
    }

    #[test]
    fn the_noisy_names_matter_elsewhere() {
        check(&json!({"Log": 1}), &json!({"Log": 2}), false);
        check(
            &json!({"State": {"Log": 1}}),
            &json!({"State": {"Log": 2}}),
            false,
        );
        check(
            &json!({"Config": {"ExecIDs": 1}}),
            &json!({"Config": {"ExecIDs": 2}}),
            false,
        );
    }

    #[test]
    fn members_that_come_and_go_matter() {
        check(
            &json!({"State": {}}),
            &json!({"State": {"Health": {"Log": []}}}),
            false,
        );
        check(&json!({"a": 1}), &json!({"b": 1}), false);
        check(&json!([1]), &json!({"a": 1}), false);
    }
}
