//! `object` in both languages: what it refuses, and what it costs of the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{evaluate, inspect, plain_error, policy_with, ruby};
use registrator_policy::{Limits, Settings};
use std::time::Duration;

fn star(expression: &str) -> Result<String, String> {
    let text = format!("def docker_container(container):\n    return {expression}\n");
    evaluate(&text).map(|done| common::lines(&done))
}

/// What is wrong in Starlark, the same in Ruby, and a part of the message of both, or of each.
type Wrong = (&'static str, &'static str, &'static [&'static str]);

const NO_OBJECTS: &[Wrong] = &[
    (
        r#"object("/lb/", {"a": 1})"#,
        "object '/lb/', { 'a' => 1 }",
        &[r#"the name of an object: key "/lb/" ends with a slash"#],
    ),
    (
        r#"object("/lb", {})"#,
        "object '/lb', {}",
        &["object /lb has no nodes: give it at least one"],
    ),
    (
        r#"object("/lb", {"a": None}, members = {"b": 1})"#,
        "object '/lb', { 'a' => nil }, members: { 'b' => 1 }",
        &["object /lb has no nodes: give it at least one"],
    ),
    (
        r#"object("/lb", {"/lb/a": 1})"#,
        "object '/lb', { '/lb/a' => 1 }",
        &[
            r#"object /lb: the key "/lb/a" begins with a slash: keys of an object's nodes go on from its name, so that "port" stands for /lb/port"#,
        ],
    ),
    (
        r#"object("/lb", {"../other": 1})"#,
        "object '/lb', { '../other' => 1 }",
        &[r#"object /lb: key "/lb/../other" has the component "..""#],
    ),
    (
        r#"object("/lb", {"a": 1}, members = {"x//y": 1})"#,
        "object '/lb', { 'a' => 1 }, members: { 'x//y' => 1 }",
        &[r#"object /lb: key "/lb/x//y" has the component """#],
    ),
    (
        r#"object("/lb", {"a": 1}, members = {"a": 2})"#,
        "object '/lb', { 'a' => 1 }, members: { 'a' => 2 }",
        &["/lb/a is a node of object /lb and a member of it: it can only be one of them"],
    ),
    (
        r#"object("/lb", {"a": 1}, conflict = "first")"#,
        "object '/lb', { 'a' => 1 }, conflict: 'first'",
        &[
            r#"object /lb: conflict must be "smallest" or "none", not "first""#,
            r#"object /lb: conflict must be 'smallest' or 'none', not "first""#,
        ],
    ),
    (
        r#"object("/lb", {"a": 1}, uses = ["x/"])"#,
        "object '/lb', { 'a' => 1 }, uses: ['/x/']",
        &[
            r#"object /lb: uses must name objects: key "x/" ends with a slash"#,
            r#"object /lb: uses must name objects: key "/x/" ends with a slash"#,
        ],
    ),
    (
        r#"object("/lb", {"a": 1}, uses = "/x")"#,
        "object '/lb', { 'a' => 1 }, uses: '/x'",
        &[
            "Type of parameter `uses` doesn't match",
            r#"object /lb: uses must be an Array of names, not "/x""#,
        ],
    ),
];

/// One transaction replaces all of an object's nodes, and etcd bounds it.
const TOO_LARGE: &[Wrong] = &[
    (
        r#"object("/lb", {str(n): n for n in range(41)})"#,
        "object '/lb', (0..40).map { |n| [n.to_s, n] }.to_h",
        &["object /lb has more than 40 nodes"],
    ),
    (
        r#"object("/lb", {"a": "x" * 140000})"#,
        "object '/lb', { 'a' => 'x' * 140_000 }",
        &["the nodes of object /lb have more than 131072 bytes"],
    ),
];

const OF_ANOTHER_TYPE: &[Wrong] = &[
    (
        r#"object("/lb", [("a", 1)])"#,
        "object '/lb', [['a', 1]]",
        &[
            "Type of parameter `nodes` doesn't match",
            r#"object /lb: nodes must be a Hash, not Array: [["a", 1]]"#,
        ],
    ),
    (
        r#"object("/lb", {1: 1})"#,
        "object '/lb', { 1 => 1 }",
        &[
            "Type of parameter `nodes` doesn't match",
            "object /lb: a key must be a String or a Symbol, not Integer: 1",
        ],
    ),
    (
        r#"object("/lb", {"a": 1}, members = [])"#,
        "object '/lb', { 'a' => 1 }, members: []",
        &[
            "Type of parameter `members` doesn't match",
            "object /lb: members must be a Hash, not Array: []",
        ],
    ),
    (
        r#"object(7, {"a": 1})"#,
        "object 7, { 'a' => 1 }",
        &[
            "Type of parameter `name` doesn't match",
            "the name of an object must be a String or a Symbol, an absolute path in etcd, not Integer: 7",
        ],
    ),
    (
        r#"object("/lb", {"a": len})"#,
        "object '/lb', { 'a' => Object.new }",
        &[
            r#"object /lb: the value of "a": a value of type function cannot be written as JSON: call it"#,
            "the value of /lb/a is of class Object",
        ],
    ),
    (
        r#"object("/lb", {"a": ["x" * (1 << 20)]})"#,
        "object '/lb', { 'a' => 'x' * (2 << 20) }",
        &[
            r#"object /lb: the value of "a": the value is larger than 1048576 bytes as JSON"#,
            r#"object /lb: the value of "a": a value has at most"#,
        ],
    ),
];

#[test]
fn what_is_wrong_is_refused() {
    let all = [NO_OBJECTS, TOO_LARGE, OF_ANOTHER_TYPE];
    for (in_starlark, in_ruby, told) in all.into_iter().flatten() {
        let (of_starlark, of_ruby) = (told[0], told[told.len() - 1]);
        let error = star(in_starlark).expect_err(in_starlark);
        assert!(error.contains(of_starlark), "{in_starlark}: {error}");
        if ruby::is_there() {
            let error = ruby::outcome(&ruby::body(in_ruby), "{}").expect_err(in_ruby);
            assert!(error.starts_with("type: "), "{in_ruby}: {error}");
            assert!(error.contains(of_ruby), "{in_ruby}: {error}");
        }
    }
}

#[test]
fn members_do_not_count_for_its_size() {
    let many = r#"object("/lb", {"a": 1}, members = {str(n): "x" * 4000 for n in range(41)})"#;
    let found = star(many).unwrap();
    assert_eq!(found.matches("  member ").count(), 41);
}

#[test]
fn an_object_is_no_value() {
    let error = star(r#"{"/a": object("/lb", {"a": 1})}"#).unwrap_err();
    let told = "the value of /a: a value of type object cannot be written as JSON: return it beside the other nodes";
    assert!(error.contains(told), "{error}");
    assert_eq!(
        star(r#"dir(object("/lb", {"a": 1})) or None"#),
        Ok(String::new())
    );
    if ruby::is_there() {
        let code = ruby::body("{ '/a' => object('/lb', { 'a' => 1 }) }");
        let error = ruby::outcome(&code, "{}").unwrap_err();
        let told = "the value of /a is of class Kontena::Registrator::NodesObject";
        assert!(error.contains(told), "{error}");
    }
}

/// The name is covered by a prefix, so all that is below it is.
#[test]
fn the_fence_is_around_objects() {
    let check = |prefix: &str, name: &str, expected: Result<&str, &str>| {
        let text = format!(
            "prefixes = [{prefix:?}]\n\ndef docker_container(container):\n    return object({name:?}, {{\"a\": 1}}, members = {{\"b\": 2}})\n"
        );
        let found = evaluate(&text).map(|done| common::lines(&done));
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            _ => panic!("{prefix} {name}: {found:?}"),
        }
    };
    let nodes = "object /lb/web, in conflict smallest\n  a = 1\n  member b = 2\n";
    check("/lb", "/lb/web", Ok(nodes));
    check("/lb/", "/lb/web", Ok(nodes));
    check("/lb/web", "/lb/web", Ok(nodes));
    let told = "the policy may not write object /lb/web: its prefixes are";
    check("/lb/we", "/lb/web", Err(told));
    check("/lb/web/", "/lb/web", Err(told));
    check("/lb/web/a", "/lb/web", Err(told));
}

#[test]
fn objects_count_for_the_limits() {
    let limits = Limits {
        answer_items: 10,
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let outcome = |expression: &str| {
        let text = format!("def docker_container(container):\n    return {expression}\n");
        let mut policy = policy_with(&text, &settings).unwrap();
        let done = policy.evaluate(None, &inspect("web"));
        done.map(|_| ()).map_err(|error| plain_error(&error))
    };
    let five = r#"object("/o", {"a": 1, "b": 2}, members = {"c": 3, "d": 4}, uses = ["/p"])"#;
    assert_eq!(outcome(five), Ok(()));
    assert_eq!(outcome(&format!("[{five}, {{\"/x\": 1}}]")), Ok(()));
    let error = outcome(&format!("[{five}, {five}]")).unwrap_err();
    assert!(error.contains("returned more than 10 items"), "{error}");
    if ruby::is_there() {
        let code = "object '/o', (1..30_001).map { |n| [n.to_s, 1] }.to_h";
        let error = ruby::outcome(&ruby::body(code), "{}").unwrap_err();
        assert!(error.contains("gave more than 30000 nodes"), "{error}");
        let code = "o = object('/o', { a: 'x' * (1 << 20) })\n9.times { yield o }\nnil";
        let error = ruby::outcome(&ruby::body(code), "{}").unwrap_err();
        assert!(error.contains("more than 8388608 bytes"), "{error}");
    }
}

/// They lie outside the interpreter's heap.
#[test]
fn the_memory_of_objects_is_bounded() {
    for body in [
        r#"big = "x" * 1000000
    return [object("/o", {"a": 1}, members = {str(n): big}) for n in range(20)]"#,
        r#"many = {"x" * 500 + str(n): "" for n in range(40)}
    return [object("/o", many) for n in range(1000)] and None"#,
        r#"return [object("/o", {"a": ""}, uses = ["/" + "x" * 1000] * 1000) for n in range(100)]"#,
    ] {
        let text = format!("def docker_container(container):\n    {body}\n");
        let mut settings = Settings::default();
        // Memory shall be what it ends with, on a busy machine too.
        settings.limits.time = Duration::from_secs(60);
        let mut policy = policy_with(&text, &settings).unwrap();
        let error = policy.evaluate(None, &inspect("web")).unwrap_err();
        let text = plain_error(&error);
        assert!(text.starts_with("limit: "), "{text}");
        assert!(text.contains("8388608 bytes"), "{text}");
    }
}

/// A policy that makes an object while it is loaded may return it again and again.
#[test]
fn objects_may_be_made_while_a_policy_is_loaded() {
    let text = "WEB = object(\"/lb\", {\"a\": 1})\n\ndef docker_container(container):\n    return [WEB, WEB]\n";
    let done = evaluate(text).unwrap();
    let expected = "object /lb, in conflict smallest\n  a = 1\n";
    assert_eq!(common::lines(&done), expected);
}
