//! What `lint` finds without running a policy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Folder, settings};
use expect_test::{Expect, expect};
use registrator_policy::lint;

fn check(files: &[(&str, &str)], expected: Expect) {
    let folder = Folder::with(files);
    let findings = lint(&folder.path("p.star"), &settings(&[]));
    let shown: String = findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect();
    expected.assert_eq(&folder.plain(&shown));
}

const GOOD: &str =
    "def docker_container(container: Container, config):\n    return {\"/a\": container.name}\n";

#[test]
fn shipped_policies_are_clean() {
    let files = std::fs::read_dir("../../etc/policies").unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let policies: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "star"))
        .collect();
    assert!(policies.len() >= 7, "{policies:?}");
    for path in policies {
        assert_eq!(lint(&path, &settings(&[])), [], "{}", path.display());
    }
}

#[test]
fn good_policies_are_clean() {
    check(&[("p.star", GOOD)], expect![[""]]);
}

#[test]
fn all_type_errors_are_found_in_policy_and_helpers() {
    let policy = "load(\"lib/a.star\", \"double\")\n\ndef docker_container(container: Container, config):\n    network = container.network(\"bridge\")\n    if not network:\n        return None\n    return {\n        \"/a\": container.nmae,\n        \"/b\": network.ipv5,\n        \"/c\": dns_label(80),\n        \"/d\": double(\"x\"),\n        \"/e\": [port.prot for port in container.ports],\n    }\n";
    let helper = "def double(n: int) -> int:\n    return n * 2\n\ndef unused(c: Container):\n    return c.compose.servce\n";
    check(
        &[("p.star", policy), ("lib/a.star", helper)],
        expect![[r#"
        error: The attribute `servce` is not available on the type `Compose | None`
         --> lib/a.star:5:22
          |
        5 |     return c.compose.servce
          |                      ^^^^^^
        error: The attribute `nmae` is not available on the type `Container`
         --> p.star:8:25
          |
        8 |         "/a": container.nmae,
          |                         ^^^^
        error: The attribute `ipv5` is not available on the type `Network | None`
         --> p.star:9:23
          |
        9 |         "/b": network.ipv5,
          |                       ^^^^
        error: Expected type `str` but got `int`
         --> p.star:10:25
           |
        10 |         "/c": dns_label(80),
           |                         ^^
        error: Expected type `int` but got `str`
         --> p.star:11:22
           |
        11 |         "/d": double("x"),
           |                      ^^^
        error: The attribute `prot` is not available on the type `Port`
         --> p.star:12:21
           |
        12 |         "/e": [port.prot for port in container.ports],
           |                     ^^^^
    "#]],
    );
}

#[test]
fn suspicious_code_is_a_warning() {
    let text = format!(
        "load(\"lib/a.star\", \"x\")\n\ndef f():\n    return 1\n    y = 2\n\nD = {{\"a\": 1, \"a\": 2}}\n\n{GOOD}"
    );
    check(
        &[("p.star", &text), ("lib/a.star", "x = 1\n")],
        expect![[r#"
            warning: Unused `load` of `x` [unused-load]
             --> p.star:1:20
              |
            1 | load("lib/a.star", "x")
              |                    ^^^
            help: if it is meant so, write `# starlark-lint-disable unused-load` behind the line
            warning: Unreachable statement `y = 2` [unreachable]
             --> p.star:5:5
              |
            5 |     y = 2
              |     ^^^^^
            help: if it is meant so, write `# starlark-lint-disable unreachable` behind the line
            warning: Unused assignment of `y` [unused-assign]
             --> p.star:5:5
              |
            5 |     y = 2
              |     ^
            help: if it is meant so, write `# starlark-lint-disable unused-assign` behind the line
            warning: Duplicate dictionary key `"a"`, also used at p.star:7:14-17 [duplicate-key]
             --> p.star:7:6
              |
            7 | D = {"a": 1, "a": 2}
              |      ^^^
            help: if it is meant so, write `# starlark-lint-disable duplicate-key` behind the line
            error: Dictionary key repeated for `"a"`
             --> p.star:7:14
              |
            7 | D = {"a": 1, "a": 2}
              |              ^^^
        "#]],
    );
}

#[test]
fn undefined_names_are_errors() {
    let text = "def docker_container(container, config):\n    return {\"/a\": ENV[\"X\"], \"/b\": hostname}\n";
    check(
        &[("p.star", text)],
        expect![[r#"
        error: Variable `ENV` not found
         --> p.star:2:19
          |
        2 |     return {"/a": ENV["X"], "/b": hostname}
          |                   ^^^
        help: environment variables are read with env("NAME", default), outside functions
        error: Variable `hostname` not found
         --> p.star:2:35
          |
        2 |     return {"/a": ENV["X"], "/b": hostname}
          |                                   ^^^^^^^^
    "#]],
    );
}

#[test]
fn a_policy_that_cannot_be_loaded_is_an_error() {
    let text = format!("x = 1 // 0\n{GOOD}");
    check(
        &[("p.star", &text)],
        expect![[r#"
        error: Floor division by zero: 1 // 0
         --> p.star:1:5
          |
        1 | x = 1 // 0
          |     ^^^^^^
    "#]],
    );
}

#[test]
fn missing_helpers_and_syntax_errors_are_found() {
    check(
        &[("p.star", &format!("load(\"lib/b.star\", \"x\")\n{GOOD}"))],
        expect![[r#"
            error: cannot read lib/b.star: No such file or directory (os error 2)
             --> p.star:1:6
              |
            1 | load("lib/b.star", "x")
              |      ^^^^^^^^^^^^
            warning: Unused `load` of `x` [unused-load]
             --> p.star:1:20
              |
            1 | load("lib/b.star", "x")
              |                    ^^^
            help: if it is meant so, write `# starlark-lint-disable unused-load` behind the line
        "#]],
    );
    check(
        &[("p.star", "def f(:\n")],
        expect![[r#"
        error: Parse error: unexpected symbol ':', expected identifier
         --> p.star:1:7
          |
        1 | def f(:
          |       ^
    "#]],
    );
}

#[test]
fn attributes_that_the_policy_does_not_declare_are_errors() {
    let text = "config(etcd_path = \"/x/:service\", attrs = {\"weight\": attr(int, default = 1), \"name\": attr(str, default = \"\")})\n\ndef prefixes(settings):\n    return [settings.nmae]\n\ndef docker_container(container: Container, config):\n    return nodes(container, config, config.wieght)\n\ndef nodes(container, config, weight):\n    names = [config.srevice + x for x in [\"a\"]]\n    return {config.name + config.service: config.weight, \"/b\": names, \"/c\": inner(config = config)}\n\ndef inner(config):\n    return (lambda x: config.wight)(1)\n\ndef other(config):\n    return config.anything\n\nOTHER = other(struct(anything = 1))\n\ndef asks(config):\n    return config.later if hasattr(config, \"later\") else None\n\ndef rebinds(config):\n    config = struct(b = 1)\n    return config.b\n";
    check(
        &[("p.star", text)],
        expect![[r#"
            error: The configuration has no attribute `nmae`
             --> p.star:4:22
              |
            4 |     return [settings.nmae]
              |                      ^^^^
            help: it has name, service, weight
            error: The configuration has no attribute `wieght`
             --> p.star:7:44
              |
            7 |     return nodes(container, config, config.wieght)
              |                                            ^^^^^^
            help: it has name, service, weight
            error: The configuration has no attribute `srevice`
             --> p.star:10:21
               |
            10 |     names = [config.srevice + x for x in ["a"]]
               |                     ^^^^^^^
            help: it has name, service, weight
            error: The configuration has no attribute `wight`
             --> p.star:14:30
               |
            14 |     return (lambda x: config.wight)(1)
               |                              ^^^^^
            help: it has name, service, weight
        "#]],
    );
    check(
        &[(
            "p.star",
            "def docker_container(container, config):\n    return {\"/a\": config.x}\n",
        )],
        expect![[r#"
            error: The configuration has no attribute `x`
             --> p.star:2:26
              |
            2 |     return {"/a": config.x}
              |                          ^
            help: the policy declares none: declare it with config() and attr()
        "#]],
    );
}
