//! The decision table in `docs/protocol.md` is what `decide` decides. `UPDATE=1 cargo test` writes it anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

use registrator_core::node::{Key, Value};
use registrator_core::own::{Guard, Held, LeaseId, Op, View, Who, decide};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str =
    "<!-- decision table: written by crates/registrator-core/tests/protocol_doc.rs -->\n";
const END: &str = "<!-- end of the decision table -->";

const ME: LeaseId = LeaseId(1);
const OTHER: LeaseId = LeaseId(2);
const THIRD: LeaseId = LeaseId(3);
/// Its beacon is out.
const DEAD: LeaseId = LeaseId(4);
const STRANGER: LeaseId = LeaseId(9);

/// What is wished, what is there, the claims, and whether the node was ours before.
type Row = (
    Option<&'static str>,
    Option<(&'static str, Option<LeaseId>)>,
    &'static [(LeaseId, &'static str)],
    bool,
);

const ROWS: [Row; 23] = [
    (Some("b"), None, &[], false),
    (Some("b"), Some(("b", Some(ME))), &[], true),
    (Some("b"), Some(("a", Some(ME))), &[], true),
    (None, Some(("a", Some(ME))), &[], true),
    (None, Some(("a", Some(ME))), &[(OTHER, "b")], true),
    (
        None,
        Some(("a", Some(ME))),
        &[(OTHER, "c"), (THIRD, "b")],
        true,
    ),
    (Some("c"), Some(("a", Some(ME))), &[(OTHER, "b")], true),
    (Some("b"), Some(("b", Some(OTHER))), &[], false),
    (Some("b"), Some(("a", Some(OTHER))), &[], false),
    (Some("b"), Some(("c", Some(OTHER))), &[], false),
    (Some("b"), Some(("a", Some(OTHER))), &[(ME, "b")], false),
    (None, Some(("a", Some(OTHER))), &[(ME, "b")], false),
    (Some("b"), None, &[(OTHER, "a")], false),
    (Some("b"), Some(("x", None)), &[], false),
    (Some("b"), Some(("x", Some(STRANGER))), &[], false),
    (Some("b"), Some(("x", None)), &[], true),
    (None, Some(("x", None)), &[], true),
    (Some("b"), Some(("a", Some(DEAD))), &[], false),
    (Some("b"), Some(("a", Some(DEAD))), &[(ME, "b")], false),
    (
        Some("c"),
        Some(("a", Some(DEAD))),
        &[(OTHER, "b"), (ME, "c")],
        false,
    ),
    (Some("b"), Some(("b", Some(ME))), &[(DEAD, "a")], true),
    (None, Some(("b", Some(ME))), &[(DEAD, "a")], true),
    (
        None,
        Some(("b", Some(ME))),
        &[(DEAD, "a"), (OTHER, "c")],
        true,
    ),
];

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn name(lease: LeaseId) -> &'static str {
    match lease {
        ME => "us",
        OTHER => "A",
        THIRD => "B",
        DEAD => "D",
        _ => "a stranger",
    }
}

fn view((_, node, claims, _): &Row) -> View {
    let held = |text: &str, lease| Held {
        value: value(text),
        lease,
        mod_revision: 7,
    };
    View {
        node: node.map(|(text, lease)| held(text, lease)),
        claims: claims
            .iter()
            .map(|(lease, text)| (*lease, held(text, Some(*lease))))
            .collect(),
    }
}

fn guard(guard: &Guard) -> String {
    match guard {
        Guard::Absent => "it is absent".into(),
        Guard::HeldBy(lease) => format!("it is held by {}", name(*lease)),
        Guard::Unchanged(_) => "it is unchanged".into(),
        Guard::NoClaims => "nobody claims it".into(),
        Guard::ClaimUnchanged(lease, _) => format!("{}'s claim is unchanged", name(*lease)),
        Guard::Lit(lease) => format!("{} is alive", name(*lease)),
        Guard::Out(lease) => format!("{} seems dead", name(*lease)),
        Guard::ClaimsAre(..) | Guard::Field(..) | Guard::With(_) => panic!("of an object"),
    }
}

fn op(op: &Op) -> String {
    match op {
        Op::Put(value, lease) => format!("write {value} for {}", name(*lease)),
        Op::Delete => "delete it".into(),
        Op::PutClaim(value, lease) => format!("claim {value} for {}", name(*lease)),
        Op::DeleteClaim(lease) => format!("drop the claim of {}", name(*lease)),
        Op::PutField(..) | Op::DeleteField(_) => panic!("of an object"),
    }
}

fn line(row: &Row) -> String {
    let (wish, node, claims, managed) = row;
    let who = Who {
        me: ME,
        registrators: [ME, OTHER, THIRD, DEAD]
            .map(|lease| (lease, name(lease).into()))
            .into(),
        beacons: [OTHER, THIRD].into(),
    };
    let txn = decide(
        &who,
        &Key::parse("/k").unwrap(),
        wish.map(value).as_ref(),
        &view(row),
        *managed,
    );
    let (when, then) = match &txn {
        Some(txn) => (join(&txn.guards, guard), join(&txn.ops, op)),
        None => ("–".into(), "nothing".into()),
    };
    let there = match node {
        Some((text, lease)) => {
            let ours = if *managed && *lease != Some(ME) {
                ", was ours"
            } else {
                ""
            };
            format!("{text}, held by {}{ours}", lease.map_or("nobody", name))
        }
        None => "–".into(),
    };
    let claims = claims
        .iter()
        .map(|(lease, text)| format!("{}: {text}", name(*lease)))
        .collect::<Vec<_>>()
        .join(", ");
    let claims = if claims.is_empty() {
        "–".into()
    } else {
        claims
    };
    format!(
        "| {} | {there} | {claims} | {then} | {when} |\n",
        wish.unwrap_or("–")
    )
}

fn join<T>(items: &[T], shown: impl Fn(&T) -> String) -> String {
    items.iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_decision_table_in_the_docs_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (_, tail) = rest.split_once(END).expect("the table's end");
    let mut table =
        String::from("| we wish | there is | claims | we | if |\n|---|---|---|---|---|\n");
    ROWS.iter()
        .for_each(|row| table.write_str(&line(row)).unwrap());
    let expected = format!("{head}{BEGIN}{table}{END}{tail}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(
        std::env::var_os("UPDATE").is_some() || text == expected,
        "docs/protocol.md is out of date, UPDATE=1 writes it:\n{table}"
    );
}
