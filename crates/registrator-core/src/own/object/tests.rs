//! What [`super::dress`] makes of decisions.
//!
//! Process 1 decides; 2 and 3 are other registrators, 9 is not one. A view is written `value@lease` for the marker, then `lease=value`
//! for each claim (`lease~value` for one that somebody wrote by hand), then `field:value@lease` for each field that was seen, `field:-` if
//! it was seen not to be there, with `!` behind it if the process had it while it wished the object. Values are definitions: `a` has the fields `x` and `y` of value `a`, `b` has `x` of value `b`, and `!` is
//! one host's that does not agree with itself.

use super::*;
use crate::node::Object;
use crate::own::decide;
use crate::own::decide::tests::shown;
use expect_test::{Expect, expect};

fn marker() -> Key {
    Key::parse("/k").unwrap().marker()
}

fn field(name: &str) -> Key {
    Key::parse(&format!("/k/{name}")).unwrap()
}

fn text(on_conflict: OnConflict, name: &str) -> Value {
    let names: &[&str] = match name {
        "!" => return Definition::disputed(),
        "a" => &["x", "y"],
        _ => &["x"],
    };
    let fields = names.iter();
    let fields = fields.map(|at| (field(at), Value::parse(name).unwrap()));
    let name = Key::parse("/k").unwrap();
    let object = Object::new(&name, on_conflict, fields.collect()).unwrap();
    object.text().clone()
}

fn held(value: Value, lease: &str, mod_revision: i64) -> Held {
    let lease = LeaseId(lease.parse().unwrap());
    Held {
        value,
        lease: Some(lease).filter(|lease| lease.0 != 0),
        mod_revision,
    }
}

/// What is seen of the marker and of the fields.
fn seen(on_conflict: OnConflict, words: &str) -> (View, BTreeMap<Key, KnownField>) {
    let (mut view, mut parts) = (View::default(), BTreeMap::new());
    for (at, word) in words.split_whitespace().enumerate() {
        let revision = at as i64 + 10;
        if let Some((name, what)) = word.split_once(':') {
            let had = what.ends_with('!');
            let node = what.trim_end_matches('!').split_once('@');
            let node =
                node.map(|(value, lease)| held(Value::parse(value).unwrap(), lease, revision));
            let part = KnownField {
                managed: had || node.as_ref().is_some_and(|node| node.lease.is_none()),
                seen: Some(node),
                ..KnownField::default()
            };
            parts.insert(field(name), part);
        } else if let Some((value, lease)) = word.split_once('@') {
            view.node = Some(held(text(on_conflict, value), lease, revision));
        } else if let Some((lease, value)) = word.split_once(['=', '~']) {
            let by = if word.contains('~') { "0" } else { lease };
            let claim = held(text(on_conflict, value), by, revision);
            view.claims.insert(LeaseId(lease.parse().unwrap()), claim);
        }
    }
    (view, parts)
}

fn name(on_conflict: OnConflict, value: &Value) -> String {
    let known = ["a", "b", "c", "!"].into_iter();
    let mut known = known.filter(|name| text(on_conflict, name) == *value);
    known.next().map_or(value.to_string(), str::to_owned)
}

fn check(on_conflict: OnConflict, rows: &[(Option<&str>, &str)], expected: Expect) {
    let who = Who {
        me: LeaseId(1),
        registrators: [1, 2, 3].map(|lease| (LeaseId(lease), "".into())).into(),
        beacons: [2, 3].map(LeaseId).into(),
    };
    let mut table = String::new();
    for (wish, words) in rows {
        let (view, parts) = seen(on_conflict, words);
        let text = wish.map(|wish| text(on_conflict, wish));
        let txn = decide(&who, &marker(), text.as_ref(), &view, true);
        let known = Sides {
            who: &who,
            marker: &marker(),
            wish: text.as_ref(),
            view: &view,
            part: &|key| parts.get(key).cloned().unwrap_or_default(),
        };
        let txn = dress(&known, txn);
        let answer = txn.map_or("nothing".to_owned(), |txn| {
            shown(&txn, &|value| name(on_conflict, value))
        });
        table += &format!("wish {} | {words} | {answer}\n", wish.unwrap_or("-"));
    }
    expected.assert_eq(&table);
}

#[test]
fn the_smallest_definition_counts() {
    check(
        OnConflict::Smallest,
        &[
            (Some("a"), ""),
            (Some("a"), "x:- y:a@1"),
            (Some("a"), "a@1 x:a@1 y:a@1"),
            (Some("b"), "a@1 x:a@1 y:a@1"),
            (None, "a@1 x:a@1 y:a@1"),
            (None, "a@1 2=b"),
            (Some("a"), "b@2"),
            (Some("b"), "a@2"),
            (Some("b"), "a@2 1=b"),
            (None, "b@2 1=a"),
            // 7 is a registrator that is not known yet.
            (None, "a@1 7=b"),
            (Some("b"), "a@7"),
        ],
        expect![[r#"
            wish a |  | if absent, no claims, x absent, y absent: put a@1, x:=a@1, y:=a@1
            wish a | x:- y:a@1 | if absent, no claims, x absent, y@1: put a@1, x:=a@1, y:=a@1
            wish a | a@1 x:a@1 y:a@1 | nothing
            wish b | a@1 x:a@1 y:a@1 | if unchanged since 10, no claims, x@1, y@1: put b@1, x:=b@1, delete y
            wish - | a@1 x:a@1 y:a@1 | if unchanged since 10, no claims, x@1, y@1: delete, delete x, delete y
            wish - | a@1 2=b | if unchanged since 10, claim 2 unchanged since 11, 2 is alive, x@1, y@1: put b@2, drop claim 2, x:=b@2, delete y
            wish a | b@2 | if unchanged since 10, no claims, x@2, y absent: put a@1, claim 2=b, x:=a@1, y:=a@1
            wish b | a@2 | if unchanged since 10: claim 1=b
            wish b | a@2 1=b | nothing
            wish - | b@2 1=a | if unchanged since 10: drop claim 1
            wish - | a@1 7=b | if unchanged since 10, claim 7 unchanged since 11, x@1, y@1: put b@7, drop claim 7, x:=b@7, delete y
            wish b | a@7 | if unchanged since 10, no claims, x@7, y@7: put b@1, x:=b@1, delete y
        "#]],
    );
}

#[test]
fn none_counts_until_all_agree() {
    check(
        OnConflict::None,
        &[
            (Some("a"), ""),
            (Some("b"), "a@2"),
            (Some("a"), "a@2"),
            (Some("b"), "a@2 1=a"),
            (Some("b"), "a@2 3=b"),
            (None, "a@2 1=b"),
            (None, "a@2 1=b 3=a"),
            (None, "a@2 1=b 3=b"),
            (Some("a"), "b@2"),
            (None, "a@1 2=b x:- y:-"),
            (None, "a@1 2=b 3=b x:- y:-"),
            (Some("a"), "a@1 2=a x:- y:-"),
            (Some("a"), "a@1 2=b x:a@1 y:a@1"),
            (Some("a"), "a@1 2~b x:- y:-"),
            (Some("a"), "a@1 2~b 3=b x:- y:-"),
            (Some("a"), "a@1 2~a x:a@1 y:a@1"),
            (Some("a"), "a@3 1=a 2~b"),
            (Some("!"), "a@1 2=a x:a@1 y:a@1"),
            (Some("!"), ""),
        ],
        expect![[r#"
            wish a |  | if absent, no claims, x absent, y absent: put a@1, x:=a@1, y:=a@1
            wish b | a@2 | if unchanged since 10, x@2, y@2: claim 1=b, delete x, delete y
            wish a | a@2 | if unchanged since 10: claim 1=a
            wish b | a@2 1=a | if unchanged since 10, x@2, y@2: claim 1=b, delete x, delete y
            wish b | a@2 3=b | if unchanged since 10, x absent, y absent: claim 1=b
            wish - | a@2 1=b | if unchanged since 10, claims ..1 none, claims 1.. none, x absent, y absent: drop claim 1, x:=a@2, y:=a@2
            wish - | a@2 1=b 3=a | if unchanged since 10, claims ..1 none, claims 1.. a, x absent, y absent: drop claim 1, x:=a@2, y:=a@2
            wish - | a@2 1=b 3=b | if unchanged since 10, claim 3 unchanged since 12, x absent, y absent: drop claim 1
            wish a | b@2 | if unchanged since 10, no claims, x@2, y absent: put a@1, claim 2=b, delete x
            wish - | a@1 2=b x:- y:- | if unchanged since 10, claim 2 unchanged since 11, 2 is alive, claims ..2 none, claims 2.. none, x absent, y absent: put b@2, drop claim 2, x:=b@2
            wish - | a@1 2=b 3=b x:- y:- | if unchanged since 10, claim 2 unchanged since 11, 2 is alive, claims ..2 none, claims 2.. b, x absent, y absent: put b@2, drop claim 2, x:=b@2
            wish a | a@1 2=a x:- y:- | if unchanged since 10, claims .. a, x absent, y absent: x:=a@1, y:=a@1
            wish a | a@1 2=b x:a@1 y:a@1 | if unchanged since 10, claim 2 unchanged since 11, x@1, y@1: delete x, delete y
            wish a | a@1 2~b x:- y:- | if unchanged since 10, claim 2 unchanged since 11: drop claim 2
            wish a | a@1 2~b 3=b x:- y:- | if unchanged since 10, claim 2 unchanged since 11: drop claim 2
            wish a | a@1 2~a x:a@1 y:a@1 | nothing
            wish a | a@3 1=a 2~b | nothing
            wish ! | a@1 2=a x:a@1 y:a@1 | if unchanged since 10, claim 2 unchanged since 11, x@1, y@1: put !@1, delete x, delete y
            wish ! |  | if absent, no claims: put !@1
        "#]],
    );
}

#[test]
fn fields_are_mended_and_those_of_others_are_left() {
    check(
        OnConflict::Smallest,
        &[
            (Some("a"), "a@1 x:b@1 y:a@1"),
            (Some("a"), "a@1 x:b@0 y:a@1"),
            (Some("a"), "a@1 x:a@1 y:-"),
            (Some("a"), "a@1 y:-"),
            (Some("a"), "a@1 x:z@2 y:a@1"),
            (Some("a"), "a@1 x:z@2 y:-"),
            (Some("a"), "x:z@9"),
            // It had x while it wished the object, and then another registrator took it as a plain node.
            (Some("a"), "a@1 x:z@2! y:a@1"),
            (Some("a"), "a@1 x:z@9! y:a@1"),
            (Some("a"), "b@2 x:b@3"),
            (Some("b"), "a@2 1=b x:a@1"),
            (None, "a@1 2=b x:z@3"),
        ],
        expect![[r#"
            wish a | a@1 x:b@1 y:a@1 | if unchanged since 10, x@1, y@1: x:=a@1
            wish a | a@1 x:b@0 y:a@1 | if unchanged since 10, x unchanged since 11, y@1: x:=a@1
            wish a | a@1 x:a@1 y:- | if unchanged since 10, x@1, y absent: y:=a@1
            wish a | a@1 y:- | nothing
            wish a | a@1 x:z@2 y:a@1 | if unchanged since 10, x unchanged since 11, y@1: delete y
            wish a | a@1 x:z@2 y:- | nothing
            wish a | x:z@9 | if absent, no claims, x unchanged since 10, y absent: put a@1
            wish a | a@1 x:z@2! y:a@1 | if unchanged since 10, x unchanged since 11, y@1: delete y
            wish a | a@1 x:z@9! y:a@1 | if unchanged since 10, x unchanged since 11, y@1: x:=a@1
            wish a | b@2 x:b@3 | if unchanged since 10, no claims, x unchanged since 11, y absent: put a@1, claim 2=b
            wish b | a@2 1=b x:a@1 | if unchanged since 10, x@1: delete x
            wish - | a@1 2=b x:z@3 | if unchanged since 10, claim 2 unchanged since 11, 2 is alive, x unchanged since 12, y@1: put b@2, drop claim 2, delete y
        "#]],
    );
}
