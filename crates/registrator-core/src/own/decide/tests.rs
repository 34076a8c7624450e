//! The decision table of [`super::decide`].
//!
//! Process 1 decides; 2 and 3 are other registrators, 9 is not one. A view is written `value@lease` for the node, then
//! `lease=value` for each claim.

use super::*;
use crate::own::{FieldGuard, Held};
use expect_test::{Expect, expect};

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn held(text: &str, lease: i64, mod_revision: i64) -> Held {
    Held {
        value: value(text),
        lease: Some(LeaseId(lease)).filter(|lease| lease.0 != 0),
        mod_revision,
    }
}

fn view(text: &str) -> View {
    let mut view = View::default();
    for (at, word) in text.split_whitespace().enumerate() {
        let revision = at as i64 + 10;
        if let Some((text, lease)) = word.split_once('@') {
            view.node = Some(held(text, lease.parse().unwrap(), revision));
        } else if let Some((lease, text)) = word.split_once('=') {
            let lease: i64 = lease.parse().unwrap();
            view.claims
                .insert(LeaseId(lease), held(text, lease, revision));
        }
    }
    view
}

fn who() -> Who {
    with_beacons(&[2, 3])
}

/// The registrators 1 to 3, of whom those with these leases are alive besides 1.
fn with_beacons(lit: &[i64]) -> Who {
    Who {
        me: LeaseId(1),
        registrators: [1, 2, 3].map(|lease| (LeaseId(lease), "".into())).into(),
        beacons: lit.iter().copied().map(LeaseId).collect(),
    }
}

/// A transaction as a line of a table, with values as `name` has them and fields by the last part of their keys.
pub(in crate::own) fn shown(txn: &KeyTxn, name: &dyn Fn(&Value) -> String) -> String {
    let last = |key: &Key| key.as_str().rsplit('/').next().unwrap().to_owned();
    let bound = |lease: &Option<LeaseId>| lease.map_or(String::new(), |lease| lease.0.to_string());
    let guards = txn.guards.iter().map(|guard| match guard {
        Guard::Absent => "absent".to_owned(),
        Guard::HeldBy(lease) => format!("held by {}", lease.0),
        Guard::Unchanged(revision) => format!("unchanged since {revision}"),
        Guard::NoClaims => "no claims".to_owned(),
        Guard::ClaimUnchanged(lease, revision) => {
            format!("claim {} unchanged since {revision}", lease.0)
        }
        Guard::ClaimsAre(after, before, value) => {
            let value = value.as_ref().map_or("none".to_owned(), name);
            format!("claims {}..{} {value}", bound(after), bound(before))
        }
        Guard::Field(key, FieldGuard::Absent) => format!("{} absent", last(key)),
        Guard::Field(key, FieldGuard::HeldBy(lease)) => format!("{}@{}", last(key), lease.0),
        Guard::Field(key, FieldGuard::Unchanged(revision)) => {
            format!("{} unchanged since {revision}", last(key))
        }
        Guard::Lit(lease) => format!("{} is alive", lease.0),
        Guard::Out(lease) => format!("{} seems dead", lease.0),
        Guard::With(txn) => format!("with {}", txn.key),
    });
    let ops = txn.ops.iter().map(|op| match op {
        Op::Put(value, lease) => format!("put {}@{}", name(value), lease.0),
        Op::Delete => "delete".to_owned(),
        Op::PutClaim(value, lease) => format!("claim {}={}", lease.0, name(value)),
        Op::DeleteClaim(lease) => format!("drop claim {}", lease.0),
        Op::PutField(key, value, lease) => format!("{}:={value}@{}", last(key), lease.0),
        Op::DeleteField(key) => format!("delete {}", last(key)),
    });
    format!(
        "if {}: {}",
        guards.collect::<Vec<_>>().join(", "),
        ops.collect::<Vec<_>>().join(", ")
    )
}

fn decided(who: &Who, wish: Option<&str>, seen: &View, managed: bool) -> Option<KeyTxn> {
    decide(
        who,
        &Key::parse("/k").unwrap(),
        wish.map(value).as_ref(),
        seen,
        managed,
    )
}

fn check(rows: &[(Option<&str>, &str, bool)], expected: Expect) {
    check_as(&who(), rows, expected);
}

fn check_as(who: &Who, rows: &[(Option<&str>, &str, bool)], expected: Expect) {
    let mut table = String::new();
    for (wish, seen, managed) in rows {
        let txn = decided(who, *wish, &view(seen), *managed);
        let managed = if *managed { " (managed)" } else { "" };
        let answer = txn.map_or("nothing".to_owned(), |txn| shown(&txn, &Value::to_string));
        table += &format!(
            "wish {} | {}{managed} | {answer}\n",
            wish.unwrap_or("-"),
            if seen.is_empty() { "-" } else { seen }
        );
    }
    expected.assert_eq(&table);
}

#[test]
fn alone() {
    check(
        &[
            (Some("a"), "", false),
            (Some("a"), "a@1", true),
            (Some("b"), "a@1", true),
            (None, "a@1", true),
            (None, "", false),
            (None, "a@1 1=a", true),
            (Some("a"), "a@1 1=a", true),
        ],
        expect![[r#"
            wish a | - | if absent, no claims: put a@1
            wish a | a@1 (managed) | nothing
            wish b | a@1 (managed) | if held by 1, no claims: put b@1
            wish - | a@1 (managed) | if held by 1, no claims: delete
            wish - | - | nothing
            wish - | a@1 1=a (managed) | if unchanged since 10: drop claim 1
            wish a | a@1 1=a (managed) | if unchanged since 10: drop claim 1
        "#]],
    );
}

#[test]
fn foreign_nodes() {
    check(
        &[
            (Some("a"), "x@0", false),
            (Some("a"), "a@0", false),
            (Some("a"), "x@9", false),
            (None, "x@9", false),
            (Some("a"), "x@0 1=a", false),
            (Some("a"), "x@0", true),
            (Some("a"), "x@9", true),
            (None, "x@0", true),
        ],
        expect![[r#"
            wish a | x@0 | nothing
            wish a | a@0 | nothing
            wish a | x@9 | nothing
            wish - | x@9 | nothing
            wish a | x@0 1=a | if unchanged since 10: drop claim 1
            wish a | x@0 (managed) | if unchanged since 10, no claims: put a@1
            wish a | x@9 (managed) | if unchanged since 10, no claims: put a@1
            wish - | x@0 (managed) | nothing
        "#]],
    );
}

#[test]
fn shared_nodes() {
    check(
        &[
            (Some("a"), "a@2", false),
            (Some("b"), "a@2", false),
            (Some("a"), "b@2", false),
            (Some("a"), "b@2 1=c 3=b", false),
            (None, "a@1 2=a", true),
            (None, "a@1 2=c 3=b", true),
            (Some("c"), "a@1 2=b", true),
            (None, "a@2 1=a", false),
            (None, "a@2", false),
            (Some("a"), "a@2 1=a", false),
            (Some("b"), "a@2 1=a", false),
            (Some("b"), "2=a", false),
            (Some("a"), "2=b 1=a", false),
            (None, "2=a", false),
        ],
        expect![[r#"
            wish a | a@2 | if unchanged since 10: claim 1=a
            wish b | a@2 | if unchanged since 10: claim 1=b
            wish a | b@2 | if unchanged since 10, no claims: put a@1, claim 2=b
            wish a | b@2 1=c 3=b | if unchanged since 10: put a@1, claim 2=b, drop claim 1
            wish - | a@1 2=a (managed) | if unchanged since 10, claim 2 unchanged since 11, 2 is alive: put a@2, drop claim 2
            wish - | a@1 2=c 3=b (managed) | if unchanged since 10, claim 3 unchanged since 12, 3 is alive: put b@3, drop claim 3
            wish c | a@1 2=b (managed) | if unchanged since 10, claim 2 unchanged since 11, 2 is alive: put b@2, drop claim 2, claim 1=c
            wish - | a@2 1=a | if unchanged since 10: drop claim 1
            wish - | a@2 | nothing
            wish a | a@2 1=a | nothing
            wish b | a@2 1=a | if unchanged since 10: claim 1=b
            wish b | 2=a | if absent, claim 2 unchanged since 10, 2 is alive: put a@2, drop claim 2, claim 1=b
            wish a | 2=b 1=a | if absent: put a@1, drop claim 1
            wish - | 2=a | nothing
        "#]],
    );
}

/// 2 seems dead.
#[test]
fn suspects() {
    check_as(
        &with_beacons(&[3]),
        &[
            (Some("b"), "a@2", false),
            (Some("b"), "a@2 1=b", false),
            (Some("a"), "b@2 1=a", false),
            (Some("b"), "b@2 1=b 3=b", false),
            (Some("c"), "a@2 1=c 3=b", false),
            (Some("b"), "b@1 2=a", true),
            (None, "b@1 2=a", true),
            (None, "b@1 2=a 3=c", true),
            (Some("b"), "2=a 1=b", false),
            (None, "a@2 1=a", false),
        ],
        expect![[r#"
            wish b | a@2 | if unchanged since 10, no claims, 2 seems dead: put b@1, claim 2=a
            wish b | a@2 1=b | if unchanged since 10, 2 seems dead: put b@1, claim 2=a, drop claim 1
            wish a | b@2 1=a | if unchanged since 10: put a@1, claim 2=b, drop claim 1
            wish b | b@2 1=b 3=b | if unchanged since 10, 2 seems dead: put b@1, claim 2=b, drop claim 1
            wish c | a@2 1=c 3=b | if unchanged since 10, claim 1 unchanged since 11, claim 3 unchanged since 12, 3 is alive, 2 seems dead: put b@3, drop claim 3, claim 2=a
            wish b | b@1 2=a (managed) | nothing
            wish - | b@1 2=a (managed) | if unchanged since 10, claim 2 unchanged since 11: put a@2, drop claim 2
            wish - | b@1 2=a 3=c (managed) | if unchanged since 10, claim 3 unchanged since 12, 3 is alive, 2 seems dead: put c@3, drop claim 3
            wish b | 2=a 1=b | if absent, 2 seems dead: put b@1, drop claim 1
            wish - | a@2 1=a | if unchanged since 10: drop claim 1
        "#]],
    );
}

/// Whatever is seen, the decisions of one process alone come to an end that fits its wish.
#[test]
fn every_view_settles() {
    let nodes = ["", "a@1", "b@1", "a@2", "b@2", "a@9", "b@0"];
    let claims = ["", "1=a", "2=a", "3=b", "1=b 2=a", "2=b 3=a", "1=a 2=a 3=a"];
    for (node, claim) in nodes
        .iter()
        .flat_map(|node| claims.iter().map(move |claim| (node, claim)))
    {
        for wish in [None, Some("a"), Some("b")] {
            for managed in [false, true] {
                for lit in [&[2, 3][..], &[3], &[]] {
                    settles(
                        &with_beacons(lit),
                        &format!("{node} {claim}"),
                        wish,
                        managed,
                    );
                }
            }
        }
    }
}

fn settles(who: &Who, start: &str, wish: Option<&str>, managed: bool) {
    let mut seen = view(start);
    for step in 0..4 {
        let Some(txn) = decided(who, wish, &seen, managed) else {
            return check_end(who, start, wish, managed, &seen);
        };
        assert!(!txn.ops.is_empty());
        seen.apply(&txn.ops, 100 + step);
    }
    panic!("{start} with wish {wish:?} does not settle: {seen:?}");
}

fn check_end(who: &Who, start: &str, wish: Option<&str>, managed: bool, end: &View) {
    let me = LeaseId(1);
    let foreign = matches!(view(start).holder(), Some(LeaseId(9)))
        || view(start).node.is_some_and(|held| held.lease.is_none());
    let context = format!("{start} with wish {wish:?} ends as {end:?}");
    match wish {
        None => assert!(!end.concerns(me), "{context}"),
        Some(_) if foreign && !managed => assert!(!end.concerns(me), "{context}"),
        Some(wish) => {
            assert!(end.concerns(me), "{context}");
            let node = end.node.as_ref().expect("a wished key is there");
            let alive = !node.lease.is_some_and(|lease| who.suspects(lease));
            assert!(alive && node.value <= value(wish), "{context}");
        }
    }
}
