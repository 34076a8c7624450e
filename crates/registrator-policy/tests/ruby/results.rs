//! What an evaluation gives: keys and values.

use crate::common::ruby::{self, body, outcome, shown};

#[test]
fn results_are_hashes_or_nil() {
    if !ruby::is_there() {
        return;
    }
    let check =
        |code: &str, expected: &str| assert_eq!(shown(&body(code), "{}"), expected, "{code}");
    check("nil", "");
    check("{}", "");
    check("{ '/a' => nil, '/b' => 'x' }", "/b = x\n");
    check(
        "yield('/a' => 1)\nyield({ '/a' => 2, '/b' => 3 })\nyield nil\n{ '/c' => 4 }",
        "/a = 1\n/a = 2\n/b = 3\n/c = 4\n",
    );
    check(
        "[1, 2].each { |n| yield \"/k#{n}\" => n }\nnil",
        "/k1 = 1\n/k2 = 2\n",
    );
    check(
        "yield a: nil, :'/b' => 1, '/b' => 2, \"/c\": 'v'",
        "/b = 1\n/b = 2\n/c = v\n",
    );
    let fails = |code: &str, part: &str| {
        let error = outcome(&body(code), "{}").unwrap_err();
        assert!(error.starts_with("type: p.rb"), "{code}: {error}");
        assert!(error.contains(part), "{code}: {error}");
    };
    fails(
        "'/a'",
        "ArgumentError: docker_container must give a Hash of etcd keys and values, an object, or nil, not String: \"/a\"",
    );
    fails(
        "[{ '/a' => 1 }]",
        "not Array: [{\"/a\"=>1}]"
            .replace("=>", if ruby::at_least("3.4") { " => " } else { "=>" })
            .as_str(),
    );
    fails("false", "not FalseClass: false");
    fails(
        "yield 5",
        "p.rb:2: ArgumentError: docker_container must give a Hash of etcd keys and values, an object, or nil, not Integer: 5",
    );
    fails(
        "[1, 2].each { |n| yield \"/k#{n}\" => n }",
        "ArgumentError: docker_container must give a Hash of etcd keys and values, an object, or nil, not Array: [1, 2]",
    );
    fails("yield '/a' => 1\n'x'", "not String: \"x\"");
    fails(
        "{ a: 1 }",
        "the key \"a\" must be an absolute path in etcd: begin it with a slash",
    );
    fails(
        "{ 1 => 1 }",
        "ArgumentError: a key must be a String or a Symbol, an absolute path in etcd, not Integer: 1",
    );
    fails(
        "{ 'a' => 1 }",
        "the key \"a\" must be an absolute path in etcd: begin it with a slash",
    );
    fails(
        "{ '/a/../b' => 1 }",
        "key \"/a/../b\" has the component \"..\"",
    );
    fails("{ \"/a\\xff\" => 1 }", "is not valid UTF-8");
    fails(
        "30_001.times.map { |n| [\"/k/#{n}\", 1] }.to_h",
        "docker_container gave more than 30000 nodes",
    );
}

#[test]
fn values_are_raw_strings_or_rubys_json() {
    if !ruby::is_there() {
        return;
    }
    let code = r#"
binary = 'ü'.dup.force_encoding('BINARY')
values = {
  'raw' => "raw: / \" \\ ü\n", 'empty' => '', 'true' => true, 'false' => false, 'int' => 80, 'big' => 2**70,
  'float' => 0.1, 'whole' => 1.0, 'large' => 1e20, 'array' => ['a', 1, nil, true, [], {}, :s, 1.5],
  'hash' => { z: 1, 'a' => { y: :sym, 3 => nil } }, 'text' => { t: "/ü\t\u2028\"" }, 'binary' => binary, 'latin' => ['ü'.encode('ISO-8859-1')],
}

found = values.map { |name, value| [name, value.is_a?(String) ? value : value.to_json] }
mine = values.map { |name, value| ["/v/#{name}", value] }.to_h
theirs = found.map { |name, text| ["/j/#{name}", text] }.to_h
mine.merge(theirs)
"#;
    let done = outcome(&body(code), "{}").unwrap();
    let nodes: Vec<(String, String)> = done
        .nodes
        .iter()
        .map(|(key, values)| (key.to_string(), values.iter().next().unwrap().to_string()))
        .collect();
    let of = |prefix: &str| -> Vec<(String, String)> {
        let own = nodes.iter().filter(|(key, _)| key.starts_with(prefix));
        own.map(|(key, value)| (key[3..].to_owned(), value.clone()))
            .collect()
    };
    assert_eq!(of("/v/"), of("/j/"), "the values have Ruby's own text");
    let value = |name: &str| {
        of("/v/")
            .into_iter()
            .find(|(key, _)| key == name)
            .unwrap()
            .1
    };
    assert_eq!(value("raw"), "raw: / \" \\ ü\n");
    assert_eq!(value("big"), "1180591620717411303424");
    assert_eq!(value("array"), "[\"a\",1,null,true,[],{},\"s\",1.5]");
    assert_eq!(value("hash"), "{\"z\":1,\"a\":{\"y\":\"sym\",\"3\":null}}");
    assert_eq!(value("binary"), "ü");
    assert_eq!(value("latin"), "[\"ü\"]");
}

#[test]
fn other_values_are_type_errors_that_name_the_key() {
    if !ruby::is_there() {
        return;
    }
    for (value, part) in [
        (":symbol", "TypeError: the value of /k is of class Symbol"),
        (
            "Object.new",
            "TypeError: the value of /k is of class Object",
        ),
        ("1r", "is of class Rational"),
        ("container", "is of class Kontena::Registrator::Container"),
        (
            "Float::NAN",
            "TypeError: the value of /k cannot be written as JSON: ",
        ),
        (
            "[1, [Float::INFINITY]]",
            "TypeError: the value of /k cannot be written as JSON: ",
        ),
        ("\"\\xff\"", "TypeError: the value of /k is not valid UTF-8"),
        (
            "[\"\\xff\"]",
            "TypeError: the value of /k cannot be written as JSON: ",
        ),
        (
            "(1..200).reduce([]) { |all, _| [all] }",
            "TypeError: the value of /k cannot be written as JSON: nesting of",
        ),
        ("'x' * (2 << 20)", "the value of /k: a value has at most"),
    ] {
        let error = outcome(&body(&format!("{{ '/k' => {value} }}")), "{}").unwrap_err();
        assert!(
            error.starts_with("type: ") && error.contains(part),
            "{value}: {error}"
        );
    }
}
