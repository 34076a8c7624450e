//! The reader beside `serde_json`'s, and what parts of a document say.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

fn read(text: &str) -> Document {
    Document::parse(text.to_owned()).unwrap()
}

/// The part as a tree, of what its methods say.
fn tree(part: Part<'_>) -> Json {
    match part.text().as_bytes()[0] {
        b'{' => Json::Object(
            part.members()
                .map(|(name, member)| (name.to_owned(), tree(member)))
                .collect::<Map<_, _>>(),
        ),
        b'[' => part.items().map(tree).collect(),
        b'"' => part.as_str().unwrap().into(),
        b't' | b'f' => part.as_bool().unwrap().into(),
        b'n' => Json::Null,
        _ => Json::Number(part.text().parse().unwrap()),
    }
}

/// Both readers understand the same, or neither does.
fn check_beside_serde_json(text: &str) {
    let expected = serde_json::from_str::<Json>(text).ok();
    let found = Document::parse(text.to_owned());
    assert_eq!(found.map(|found| tree(found.root())), expected, "{text:?}");
}

#[test]
fn texts_of_every_kind() {
    for text in [
        "{}",
        "[]",
        " [ ] ",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "10",
        "01",
        "1.",
        "1.50",
        "1e400",
        "-",
        "+1",
        ".5",
        "1e",
        "1E+2",
        "12345678901234567890123",
        "\"\"",
        "\"a",
        "\"a\\\"\"",
        "\"\\u003c\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\x\"",
        "\"\u{1}\"",
        "\"é\\é\"",
        "\"\\",
        "nul",
        "truE",
        "nullnull",
        "",
        " ",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "[1]]",
        "[[1]",
        "{]",
        "[}",
        "\u{feff}{}",
        "\t\r\n{ \"a\\n\" : [ {\"b\": [] } , \"c\" ] }\n",
        "\u{a0}1",
    ] {
        check_beside_serde_json(text);
    }
    for depth in [126, 127, 128, 100_000] {
        check_beside_serde_json(&("[".repeat(depth) + &"]".repeat(depth)));
        check_beside_serde_json(&("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)));
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inside| {
        prop_oneof![
            prop::collection::vec(inside.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec((any::<String>(), inside), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document(json in any_json(), pretty in any::<bool>()) {
        check_beside_serde_json(&if pretty { format!("{json:#}") } else { json.to_string() });
    }

    /// What a byte changes, adds or takes away.
    #[test]
    fn any_broken_document(json in any_json(), at in any::<prop::sample::Index>(), put in "[-\\[\\]{}\":,\\\\0-9eE.+ntfu \u{e9}]?", take in 0..2_usize) {
        let chars: Vec<char> = json.to_string().chars().collect();
        let at = at.index(chars.len());
        let broken: String = chars[..at].iter().copied().chain(put.chars()).chain(chars[at + take..].iter().copied()).collect();
        check_beside_serde_json(&broken);
    }
}

#[test]
fn parts_say_what_they_are_and_nothing_else() {
    let document = read(
        r#"{"text":"a\u003cb","flag":true,"count":-7,"big":18446744073709551615,"real":1.50,"list":[1,"two"],"none":null,"inner":{"deep":{}}}"#,
    );
    let at = |name: &str| document.root().member(name).unwrap();
    assert_eq!(
        (at("text").as_str(), at("text").as_bool()),
        (Some("a<b"), None)
    );
    assert_eq!(
        (at("flag").as_bool(), at("flag").as_str()),
        (Some(true), None)
    );
    assert_eq!(
        (at("count").as_i64(), at("count").as_u64()),
        (Some(-7), None)
    );
    assert_eq!(
        (at("big").as_i64(), at("big").as_u64()),
        (None, Some(u64::MAX))
    );
    assert_eq!((at("real").text(), at("real").as_i64()), ("1.50", None));
    assert_eq!(at("list").item(1).and_then(Part::as_str), Some("two"));
    assert!(at("list").item(2).is_none() && at("list").members().next().is_none());
    assert!(at("none").is_nothing() && at("none").items().next().is_none());
    assert!(document.at(&["inner", "deep"]).unwrap().is_nothing());
    assert!(!at("inner").is_nothing() && at("inner").is_object());
    assert!(document.at(&["inner", "missing", "more"]).is_none());
    assert!(document.at(&["text", "missing"]).is_none());
}

#[test]
fn of_members_of_one_name_the_last_counts() {
    let document = read(r#"{"a":1,"b":2,"a":3}"#);
    assert_eq!(document.at(&["a"]).and_then(Part::as_i64), Some(3));
}

#[test]
fn a_changed_text_is_the_same_elsewhere() {
    let document = read("{ \"a\" : {\"b\": 1.50 } , \"c\":{ } }");
    let part = |path: &[&str]| document.at(path).unwrap();
    let check = |changed: String, expected: &str| {
        assert_eq!(changed, expected);
        read(&changed);
    };
    check(
        part(&["a", "b"]).replaced_by("[]"),
        "{ \"a\" : {\"b\": [] } , \"c\":{ } }",
    );
    check(
        part(&["a"]).with_members(r#""x":2"#),
        "{ \"a\" : {\"b\": 1.50 ,\"x\":2} , \"c\":{ } }",
    );
    check(
        part(&["c"]).with_members(r#""x":2"#),
        "{ \"a\" : {\"b\": 1.50 } , \"c\":{ \"x\":2} }",
    );
    check(
        document.root().with_members(r#""d":{}"#),
        "{ \"a\" : {\"b\": 1.50 } , \"c\":{ } ,\"d\":{}}",
    );
    assert_eq!(
        json!({"a": {"b": 1}})["a"],
        tree(read("{\"a\":{\"b\":1}}").root().member("a").unwrap())
    );
}
