//! What is wrong with configurations: values and bounds in the schema, and what the policy itself says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Folder, SHIPPED, checked, evaluate, policy, policy_with, ruby, settings};
use registrator_core::evaluate::evaluation::EvalErrorKind;
use registrator_policy::{Settings, load};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::Duration;

const ENTRY: &str = "def docker_container(container, config):\n    return None\n";

/// What is said of a configuration of this policy.
#[track_caller]
fn check(text: &str, given: &str, expected: &str) {
    let mut policy = policy(&format!("{text}\n{ENTRY}")).unwrap();
    let found = match checked(policy.as_mut(), given) {
        Ok(_) => "right".to_owned(),
        Err(fault) => fault.rsplit('/').next().unwrap().to_owned(),
    };
    assert_eq!(found, expected, "{given}");
}

#[test]
fn values_and_bounds_of_a_schema() {
    let text = r#"config(attrs = {
    "health": attr(str | None, default = None, values = ["ignore", "healthy"]),
    "names": attr(list[str], default = [], values = ["name", "label"]),
    "ttl": attr(int, default = 30, min = 0, max = 4294967295),
    "share": attr(float, default = 0.5, min = 0, max = 1.5),
})"#;
    check(text, "{}", "right");
    check(
        text,
        r#"{"health": null, "names": ["label"], "ttl": 4294967295, "share": 1.5}"#,
        "right",
    );
    let wrong = |given: &str, told: &str| check(text, given, &format!("web.json:1: member {told}"));
    wrong(
        r#"{"health": "helthy"}"#,
        r#""health" must be one of "ignore", "healthy", not "helthy""#,
    );
    wrong(
        r#"{"names": ["name", "nmae"]}"#,
        r#""names" may hold only "name", "label", not "nmae""#,
    );
    wrong(
        r#"{"ttl": -1}"#,
        r#""ttl" must be from 0 to 4294967295, not -1"#,
    );
    wrong(
        r#"{"share": 1.6}"#,
        r#""share" must be from 0 to 1.5, not 1.6"#,
    );
}

#[test]
fn a_schema_that_makes_no_sense_is_refused() {
    let check = |attr: &str, expected: &str| {
        let error = policy(&format!("config(attrs = {{\"x\": {attr}}})\n{ENTRY}"))
            .err()
            .unwrap();
        assert!(error.contains(expected), "{error}");
    };
    check(
        "attr(str, values = \"a\")",
        "values must be a list with at least one string or number, not \"a\"",
    );
    check(
        "attr(str, values = [])",
        "values must be a list with at least one",
    );
    check(
        "attr(str, values = [1])",
        "values has 1, which is of no type in str",
    );
    check(
        "attr(bool, values = [True])",
        "values has true, which is of no type in bool",
    );
    check(
        "attr(str, min = 1)",
        "min and max are for numbers, and there are none in str",
    );
    check(
        "attr(int, min = \"1\")",
        "min and max must be numbers, not \"1\"",
    );
    check("attr(int, min = 2, max = 1)", "min 2 is more than max 1");
    check(
        "attr(int, default = 0, min = 1)",
        "the default must be 1 or more, not 0",
    );
    check(
        "attr(str, default = \"b\", values = [\"a\"])",
        "the default must be \"a\", not \"b\"",
    );
}

#[test]
fn the_policy_looks_at_what_fits() {
    let text = "config(attrs = {\"domain\": attr(str, default = \"a.b\")})\ndef validate(config):\n    if \" \" in config.domain:\n        fail(\"domain must have no space, not\", repr(config.domain))\n    print(\"looked at\", config.domain)\n";
    check(text, "{}", "right");
    check(
        text,
        r#"{"domain": "a b"}"#,
        "domain must have no space, not \"a b\"",
    );
    let mut policy = policy(&format!("{text}\n{ENTRY}")).unwrap();
    assert!(policy.spec().validates);
    let config = common::config(policy.as_ref(), "{}").unwrap();
    let log = policy.check(&config).unwrap().log;
    assert_eq!(
        log.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["looked at a.b"]
    );
}

#[test]
fn so_do_its_prefixes() {
    let text = "config(attrs = {\"root\": attr(str, default = \"/a\")})\ndef prefixes(config):\n    return [config.root]\n";
    check(text, "{}", "right");
    check(
        text,
        r#"{"root": ".."}"#,
        "the prefix \"..\" can cover no key: key \"..\" has the component \"..\": each part between slashes must be a name",
    );
    let plain = policy(&format!(
        "config(attrs = {{}})\nprefixes = [\"/a\"]\n{ENTRY}"
    ))
    .unwrap();
    assert!(!plain.spec().validates);
}

#[test]
fn a_validate_that_is_wrong_itself() {
    let fault = |text: &str| {
        let mut policy = policy(&format!("config(attrs = {{}})\n{text}\n{ENTRY}")).unwrap();
        let config = common::config(policy.as_ref(), "{}").unwrap();
        policy.check(&config).unwrap_err()
    };
    let error = fault("def validate(config):\n    return \"wrong\"\n");
    assert_eq!(error.kind, EvalErrorKind::Type);
    assert!(
        error.message.contains(
            "validate must call fail() if something is wrong, and return None, not a string"
        ),
        "{error}"
    );
    let error = fault("def validate(config):\n    [][1]\n");
    assert_eq!(error.kind, EvalErrorKind::Raised);
    assert!(error.to_string().contains("p.star:3:5: Index"), "{error}");
    let error = fault(
        "def validate(config):\n    for x in range(1000000):\n        for y in range(1000000):\n            pass\n",
    );
    assert_eq!(error.kind, EvalErrorKind::Limit);
    assert!(
        error
            .message
            .contains("for a configuration: look for a loop"),
        "{error}"
    );
    let refused = policy(&format!(
        "config(attrs = {{}})\ndef validate(a, b):\n    pass\n{ENTRY}"
    ))
    .err()
    .unwrap();
    assert!(
        refused.contains("validate must be a function of (config)")
            && refused.contains("p.star:2:1"),
        "{refused}"
    );
}

/// What is found wrong with a configuration of a shipped policy, without a container.
#[track_caller]
fn check_shipped(policy: &str, given: Json, expected: &str) {
    let path = format!("../../etc/policies/{policy}.star");
    let mut policy = load(Path::new(&path), &settings(&[])).unwrap();
    let found = checked(policy.as_mut(), &given.to_string()).err();
    let found = found.unwrap_or_else(|| "right".into());
    assert!(found.ends_with(expected), "{path} {given}: {found}");
}

#[test]
fn shipped_policies_refuse_nonsense_about_selection() {
    for policy in SHIPPED {
        check_shipped(policy, json!({}), "right");
        check_shipped(
            policy,
            json!({ "family": "ipv5" }),
            r#"member "family" must be one of "any", "ipv4", "ipv6", "both", not "ipv5""#,
        );
        check_shipped(
            policy,
            json!({ "expose": "labeled" }),
            r#"member "expose" must be one of "all", "labelled", not "labeled""#,
        );
        check_shipped(
            policy,
            json!({ "health": "helthy" }),
            r#"member "health" must be one of "ignore", "healthy", not "helthy""#,
        );
        check_shipped(
            policy,
            json!({ "address": "hosts" }),
            r#"member "address" must be one of "container", "host", not "hosts""#,
        );
        check_shipped(
            policy,
            json!({ "host_ip": "192.0.2.300" }),
            "host_ip must be an IPv4 address, not \"192.0.2.300\"",
        );
        check_shipped(
            policy,
            json!({ "host_ipv6": "192.0.2.3" }),
            "host_ipv6 must be an IPv6 address, not \"192.0.2.3\"",
        );
    }
}

#[test]
fn shipped_policies_refuse_nonsense_about_dns() {
    for policy in ["skydns", "skydns-srv", "skydns2"] {
        for right in [json!(0), json!(4_294_967_295_u32)] {
            check_shipped(policy, json!({ "ttl": right }), "right");
        }
        for wrong in [
            json!(-1),
            json!(4_294_967_296_u64),
            json!(5_000_000_000_u64),
        ] {
            let told = format!("member \"ttl\" must be from 0 to 4294967295, not {wrong}");
            check_shipped(policy, json!({ "ttl": wrong }), &told);
        }
        check_shipped(policy, json!({ "domain": "skydns.local." }), "right");
        check_shipped(
            policy,
            json!({ "domain": "Bad Domain" }),
            "\"Bad Domain\" is not a domain: its label \"Bad Domain\" must have 1 to 63 letters, digits, '-' and '_'",
        );
        check_shipped(
            policy,
            json!({ "domain": "" }),
            "\"\" is not a domain: write it as \"skydns.local\", with at most 253 characters",
        );
        check_shipped(
            policy,
            json!({ "domain": "a..b" }),
            "its label \"\" must have 1 to 63 letters, digits, '-' and '_'",
        );
    }
}

#[test]
fn shipped_policies_refuse_nonsense_of_their_own() {
    check_shipped(
        "skydns",
        json!({ "names": ["nmae"] }),
        r#"may hold only "name", "hostname", "alias", "service", "compose", "label", not "nmae""#,
    );
    check_shipped(
        "skydns",
        json!({ "layout": "host" }),
        r#"member "layout" must be one of "instances", "hostname", not "host""#,
    );
    check_shipped(
        "skydns-srv",
        json!({ "ports": [0, 99999] }),
        r#"member "ports" may hold only numbers from 1 to 65535, not 0"#,
    );
    check_shipped("skydns-srv", json!({ "address": null }), "right");
    check_shipped(
        "services",
        json!({ "prefix": "services//x/" }),
        "has the component \"\": each part between slashes must be a name",
    );
    check_shipped(
        "services",
        json!({ "host_name": "a/b" }),
        "host_name \"a/b\" cannot be a part of a key: it has a slash",
    );
    for policy in ["vulcand", "kontena-lb"] {
        check_shipped(
            policy,
            json!({ "root": "/a/" }),
            "root must be a key, which does not end with a slash, not \"/a/\"",
        );
        check_shipped(
            policy,
            json!({ "root": "/a/../b" }),
            "has the component \"..\": each part between slashes must be a name",
        );
    }
    check_shipped(
        "traefik",
        json!({ "root": "/traefik" }),
        "root must be as Traefik's rootkey, and neither begin nor end with a slash, not \"/traefik\"",
    );
}

#[test]
fn a_validate_that_takes_too_long_ends() {
    let settings = Settings {
        limits: registrator_policy::Limits {
            ticks: u64::MAX,
            time: Duration::from_millis(50),
            ..Default::default()
        },
        ..settings(&[])
    };
    let text = "config(attrs = {})\ndef validate(config):\n    for x in range(1000000):\n        for y in range(1000000):\n            pass\n";
    let mut policy = policy_with(&format!("{text}\n{ENTRY}"), &settings).unwrap();
    let config = common::config(policy.as_ref(), "{}").unwrap();
    let error = policy.check(&config).unwrap_err();
    assert_eq!(error.kind, EvalErrorKind::Limit, "{error}");
    // The policy goes on.
    let container = common::inspect("web");
    assert!(policy.evaluate(Some(&config), &container).is_ok());
}

#[test]
fn policies_in_ruby() {
    if !ruby::is_there() {
        return;
    }
    let text = "class Port\n  include Kontena::JSON::Model\n  json_attr :number, min: 1, max: 65535\nend\nconfig do\n  json_attr :domain, default: 'a.b'\n  json_attr :mode, default: 'http', values: %w[http tcp]\n  json_attr :ttl, default: 30, min: 0, max: 4_294_967_295\n  json_attr :ports, array_model: Port, default: []\nend\nvalidate -> (config) {\n  raise ArgumentError, \"no domain: #{config.domain}\" if config.domain.include?(' ')\n  puts \"looked at #{config.domain}\"\n}\ndef docker_container(container)\n  nil\nend\n";
    let folder = Folder::with(&[("p.rb", text)]);
    let mut policy = folder.load("p.rb", &settings(&[])).unwrap();
    assert!(policy.spec().validates);
    let mut check = |given: &str, expected: &str| {
        let found = checked(policy.as_mut(), given)
            .err()
            .unwrap_or_else(|| "right".into());
        assert!(found.contains(expected), "{given}: {found}");
    };
    check("{}", "right");
    check(
        r#"{"mode": "udp"}"#,
        r#"web.json:1: member "mode" must be one of "http", "tcp", not "udp""#,
    );
    check(
        r#"{"ttl": -1}"#,
        r#"member "ttl" must be from 0 to 4294967295, not -1"#,
    );
    check(
        r#"{"ports": [{"number": 80}, {"number": 0}]}"#,
        "the configuration.ports[1].number: must be 1 or more, not 0",
    );
    check(
        r#"{"domain": "a b"}"#,
        "p.rb:12: ArgumentError: no domain: a b",
    );
    check(r#"{"ports": [{"number": 80}]}"#, "right");
    let config = common::config(policy.as_ref(), "{}").unwrap();
    let log = policy.check(&config).unwrap().log;
    assert_eq!(
        log.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["looked at a.b"]
    );
}

/// A method of that name has always been the policy's own.
#[test]
fn a_method_called_validate_is_none_of_ours() {
    if !ruby::is_there() {
        return;
    }
    let text = "config do\n  json_attr :a\nend\ndef validate(text)\n  raise 'never'\nend\ndef docker_container(container)\n  nil\nend\n";
    let folder = Folder::with(&[("p.rb", text)]);
    let mut policy = folder.load("p.rb", &settings(&[])).unwrap();
    assert!(!policy.spec().validates);
    assert!(checked(policy.as_mut(), "{}").is_ok());
    let wrong = "config do\n  json_attr :a, values: 'x'\nend\n";
    let folder = Folder::with(&[("p.rb", wrong)]);
    let error = folder
        .load("p.rb", &settings(&[]))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("json_attr :a: values must be a list with at least one string or number"),
        "{error}"
    );
}

#[test]
fn a_key_that_is_absent_is_told_with_what_to_write_instead() {
    let check = |expression: &str, expected: &str| {
        let policy = format!(
            "def docker_container(container):\n    labels = container.labels\n    return {{\"/a\": {expression}}}\n"
        );
        let error = evaluate(&policy).unwrap_err();
        let help = error.lines().last().unwrap();
        assert!(
            help.starts_with("help: ") && help.contains(expected),
            "{error}"
        );
    };
    let label = "container.label(\"name\") gives None for a label that is not there";
    check("container.labels[\"app\"]", label);
    check("labels[\"app\"]", label);
    check(
        "container.networks[\"x\"]",
        "container.network(\"name\") gives None",
    );
    check(
        "container.env[\"X\"]",
        "get(key) gives None for what is not there",
    );
    check(
        "{\"a\": 1}[\"b\"]",
        "get(key) gives None for what is not there",
    );
}
