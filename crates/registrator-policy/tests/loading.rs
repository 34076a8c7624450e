//! What loading a policy may read, what it declares, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Folder, config, evaluate, inspect, lines, policy, policy_with, settings};
use expect_test::{Expect, expect};
use registrator_policy::{Settings, is_policy_file, load};
use std::path::Path;

const ENTRY: &str = "def docker_container(container, config):\n    return {'/x': x}\n";

/// Loads `p.star` that loads `path`, from a folder with the given files.
fn check_sandbox(path: &str, files: &[(&str, &str)], expected: Expect) {
    let folder = Folder::with(files);
    let outside = Folder::with(&[("secret.star", "x = 'secret'\n")]);
    std::fs::create_dir_all(folder.path("lib")).unwrap();
    std::os::unix::fs::symlink(outside.path("secret.star"), folder.path("lib/out.star")).unwrap();
    std::os::unix::fs::symlink(outside.path(""), folder.path("out")).unwrap();
    std::os::unix::fs::symlink("inner/y.star", folder.path("lib/in.star")).unwrap();
    let path = path.replace("OUTSIDE", &outside.path("").display().to_string());
    let text = format!("load({path:?}, \"x\")\n{ENTRY}");
    std::fs::write(folder.path("p.star"), text).unwrap();
    let loaded = folder.load("p.star", &Settings::default());
    let found = match loaded {
        Ok(mut policy) => lines(&policy.evaluate(None, &inspect("web")).unwrap()),
        Err(error) => {
            let line = error.diagnostics[0].to_string();
            let plain = folder
                .plain(&line)
                .replace(&outside.path("").display().to_string(), "OUTSIDE/");
            plain
                .lines()
                .filter(|line| !line.contains(['|', '^']))
                .collect::<Vec<_>>()
                .join("\n")
                + "\n"
        }
    };
    expected.assert_eq(&found);
}

#[test]
fn only_files_below_the_policy_folder_are_loaded() {
    let lib = [
        ("lib/a.star", "x = 'a'\n"),
        ("lib/inner/y.star", "x = 'y'\n"),
        ("lib/data.json", "1"),
    ];
    let plain = "give the path of a *.star file below the policy's folder, as \"lib/dns.star\", without \"..\" and without a slash before it";
    check_sandbox("lib/a.star", &lib, expect!["/x = a\n"]);
    check_sandbox("lib/in.star", &lib, expect!["/x = y\n"]);
    for path in [
        "../p.star",
        "lib/../a.star",
        "/etc/passwd",
        "lib/data.json",
        "",
        "./lib/a.star",
        "lib/a",
        "@repo//lib.star",
    ] {
        let folder = Folder::with(&lib);
        std::fs::write(
            folder.path("p.star"),
            format!("load({path:?}, \"x\")\n{ENTRY}"),
        )
        .unwrap();
        let error = folder
            .load("p.star", &Settings::default())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains(plain) || path.starts_with('@'),
            "{path}: {error}"
        );
    }
    check_sandbox(
        "lib/out.star",
        &lib,
        expect![[r#"
            error: load("lib/out.star"): the file is outside the policy's folder
             --> p.star:1:1
        "#]],
    );
    check_sandbox(
        "out/secret.star",
        &lib,
        expect![[r#"
            error: load("out/secret.star"): the file is outside the policy's folder
             --> p.star:1:1
        "#]],
    );
    check_sandbox(
        "lib/missing.star",
        &lib,
        expect![[r#"
            error: cannot read lib/missing.star: No such file or directory (os error 2)
             --> p.star:1:1
        "#]],
    );
}

#[test]
fn files_cannot_load_each_other_in_a_circle() {
    let files = [
        ("lib/a.star", "load('lib/b.star', 'y')\nx = y\n"),
        ("lib/b.star", "load('lib/a.star', 'x')\ny = x\n"),
    ];
    check_sandbox(
        "lib/a.star",
        &files,
        expect![[r#"
            error: load("lib/a.star"): the files load each other in a circle
             --> lib/b.star:1:1
        "#]],
    );
    check_sandbox(
        "p.star",
        &[],
        expect![[r#"
            error: load("p.star"): the files load each other in a circle
             --> p.star:1:1
        "#]],
    );
}

#[test]
fn faults_of_helper_files_name_the_helper() {
    check_sandbox(
        "lib/a.star",
        &[("lib/a.star", "y = 1\n")],
        expect![[r#"
            error: Module has no symbol `x`, did you mean `y`?
             --> p.star:1:20
        "#]],
    );
    check_sandbox(
        "lib/a.star",
        &[("lib/a.star", "\nx = = 1\n")],
        expect![[r#"
            error: Parse error: unexpected symbol '=', expected expression
             --> lib/a.star:2:5
        "#]],
    );
    check_sandbox(
        "lib/a.star",
        &[("lib/a.star", "config()\nx = 1\n")],
        expect![[r#"
            error: config() belongs into the policy's own file, not into a file that it loads
             --> lib/a.star:1:1
        "#]],
    );
}

fn check_error(text: &str, expected: Expect) {
    let error = match policy(
        &(text.to_owned() + "\ndef docker_container(container, config):\n    return None\n"),
    ) {
        Ok(_) => "loads\n".into(),
        Err(error) => error + "\n",
    };
    expected.assert_eq(&error);
}

#[test]
fn declarations_are_checked() {
    check_error(
        "config(attrs = {\"ttl\": int})",
        expect![[r#"
            policy p.star cannot be loaded
            error: the attribute "ttl" must be declared with attr(), as in attr(str, default = "x"), not with a function
             --> p.star:1:1
              |
            1 | config(attrs = {"ttl": int})
              | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
    );
    check_error(
        "config(attrs = {\"a b\": attr(int)})",
        expect![[r#"
        policy p.star cannot be loaded
        error: the attribute "a b" needs a name that can be written as config.NAME
         --> p.star:1:1
          |
        1 | config(attrs = {"a b": attr(int)})
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check_error(
        "x = attr(dict[int, str])",
        expect![[r#"
        policy p.star cannot be loaded
        error: dict[int, str] cannot be the type of an attribute: use str, int, float, bool, None, list[T], dict[str, T], T | U or typing.Any
         --> p.star:1:5
          |
        1 | x = attr(dict[int, str])
          |     ^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check_error(
        "config()\nconfig()",
        expect![[r#"
        policy p.star cannot be loaded
        error: config() is called twice: a policy has one configuration
         --> p.star:2:1
          |
        2 | config()
          | ^^^^^^^^
    "#]],
    );
    check_error(
        "config(etcd_path = \"services/:name\")",
        expect![[r#"
        policy p.star cannot be loaded
        error: etcd_path "services/:name" must begin with a slash
         --> p.star:1:1
          |
        1 | config(etcd_path = "services/:name")
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check_error(
        "config({\"name\": attr(str)}, etcd_path = \"/services/:name\")",
        expect![[r#"
        policy p.star cannot be loaded
        error: "name" is an attribute and a placeholder of etcd_path: rename one of them
         --> p.star:1:1
          |
        1 | config({"name": attr(str)}, etcd_path = "/services/:name")
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
}

#[test]
fn prefixes_are_checked() {
    check_error(
        "prefixes = [\"/skydns\", \"\"]",
        expect![[r#"
        policy p.star cannot be loaded
        error: the prefix "" can cover no key: a key must not be empty
         --> p.star:1:1
          |
        1 | prefixes = ["/skydns", ""]
          | ^^^^^^^^
    "#]],
    );
    check_error(
        "prefixes = \"/skydns\"",
        expect![[r#"
        policy p.star cannot be loaded
        error: prefixes must be a list of key prefixes, as in ["/skydns"], or a function of the configuration that returns one, not a string
         --> p.star:1:1
          |
        1 | prefixes = "/skydns"
          | ^^^^^^^^
    "#]],
    );
}

#[test]
fn the_entry_must_be_a_function_of_one_or_two() {
    let check = |text: &str, part: &str| {
        let error = policy(text).err().unwrap();
        assert!(error.contains(part), "{error}");
    };
    let part = "docker_container must be a function of (container, config) or (container)\n --> p.star:1:1\n";
    check("docker_container = 1\n", part);
    check("def docker_container():\n    return None\n", part);
    check("def docker_container(a, b, c):\n    return None\n", part);
    check("", "the policy defines no docker_container: add");
    assert!(policy("def docker_container(a, b = None, *args):\n    return None\n").is_ok());
    assert!(policy("docker_container = lambda container: None\n").is_ok());
}

#[test]
fn the_environment_is_read_only_while_loading() {
    let text = "x = env('A', 'no')\ndef docker_container(container):\n    return {'/x': x}\n";
    let mut policy = policy_with(text, &settings(&[("A", "yes")])).unwrap();
    assert_eq!(
        lines(&policy.evaluate(None, &inspect("web")).unwrap()),
        "/x = yes\n"
    );
    let error =
        evaluate("def docker_container(container):\n    return {'/x': env('HOME')}\n").unwrap_err();
    let part = "env() works only while the policy is loaded: call it outside functions and keep what it gives in a variable";
    assert!(
        error.starts_with("raised: p.star:2:19: ") && error.contains(part),
        "{error}"
    );
    for (name, call) in [("config", "config()"), ("env", "env('A')")] {
        let error = evaluate(&format!(
            "def docker_container(container):\n    x = {call}\n"
        ))
        .unwrap_err();
        assert!(
            error.contains(&format!("{name}() works only while")),
            "{error}"
        );
    }
    for word in [
        "open('/etc/passwd')",
        "time()",
        "json.load('x')",
        "breakpoint()",
        "debug(1)",
        "getattr(1, 'x')()",
    ] {
        assert!(
            evaluate(&format!(
                "def docker_container(container):\n    x = {word}\n"
            ))
            .is_err(),
            "{word}"
        );
    }
}

#[test]
fn lines_for_people_are_above_those_for_writers_of_policies() {
    let text = "def docker_container(container):\n    print('a')\n    inform('b\\nc')\n";
    let done = evaluate(text).unwrap();
    let said = done
        .log
        .iter()
        .map(|line| format!("{:?} {line}", line.level));
    assert_eq!(said.collect::<Vec<_>>(), ["Debug a", "Info b", "Info c"]);
    let error = policy("inform('x')\ndef docker_container(container):\n    pass\n")
        .err()
        .unwrap();
    assert!(
        error.contains("inform() works only in an evaluation"),
        "{error}"
    );
    let error = evaluate("def docker_container(container):\n    inform(1)\n").unwrap_err();
    assert!(error.contains("inform"), "{error}");
}

#[test]
fn a_reason_is_no_line_of_the_log_and_no_node() {
    let text =
        "def docker_container(container):\n    explain('first')\n    return explain('then')\n";
    let done = evaluate(text).unwrap();
    assert_eq!(done.reasons, ["first", "then"]);
    assert!(done.log.is_empty() && done.nodes.is_empty());
    let error = policy("explain('x')\ndef docker_container(container):\n    pass\n");
    let error = error.err().unwrap();
    assert!(
        error.contains("explain() works only in an evaluation"),
        "{error}"
    );
}

#[test]
fn the_fingerprint_covers_code_helpers_and_environment() {
    let fingerprint = |policy: &str, helper: &str, env: &[(&str, &str)]| {
        let folder = Folder::with(&[("p.star", policy), ("lib/a.star", helper)]);
        folder
            .load("p.star", &settings(env))
            .unwrap()
            .spec()
            .fingerprint
    };
    let text = format!("load('lib/a.star', 'x')\ny = env('A')\n{ENTRY}");
    let changed = format!("{text}# changed\n");
    let first = fingerprint(&text, "x = 1", &[("A", "1"), ("B", "1")]);
    assert_eq!(
        first,
        fingerprint(&text, "x = 1", &[("A", "1"), ("B", "2")])
    );
    assert_ne!(first, fingerprint(&changed, "x = 1", &[("A", "1")]));
    assert_ne!(first, fingerprint(&text, "x = 2", &[("A", "1")]));
    assert_ne!(first, fingerprint(&text, "x = 1", &[("A", "2")]));
    assert_ne!(first, fingerprint(&text, "x = 1", &[]));
}

#[test]
fn the_name_is_the_base_name_and_placeholders_are_attributes() {
    let text = "config(etcd_path = '/services/:grid/:name')\ndef docker_container(container, config):\n    return {'/x': [config.grid, config.name]}\n";
    let mut policy = policy(text).unwrap();
    assert_eq!(policy.spec().name.as_str(), "p");
    let given = config(policy.as_ref(), "{}");
    let done = policy.evaluate(given.as_ref(), &inspect("web")).unwrap();
    assert_eq!(lines(&done), "/x = [null,null]\n");
}

#[test]
fn policy_files_are_told_by_name() {
    for (name, expected) in [
        ("a.star", true),
        ("b/a.rb", true),
        (".a.star", false),
        ("a.star~", false),
        ("a.json", false),
        ("star", false),
        (".#a.star", false),
    ] {
        assert_eq!(is_policy_file(Path::new(name)), expected, "{name}");
    }
}

#[test]
fn a_policy_in_the_working_directory_is_loaded() {
    let error = load(Path::new("missing.star"), &Settings::default())
        .err()
        .unwrap();
    assert_eq!(error.diagnostics[0].at(), "missing.star");
    assert_eq!(
        error.diagnostics[0].message,
        "cannot read missing.star: No such file or directory (os error 2)"
    );
}

/// The type checker does not come to an end for the second.
#[test]
fn types_are_not_checked() {
    let text = "def docker_container(container: Container):\n    return {\"/a\": container.nmae if container.running else \"x\"}\n";
    assert!(policy(text).is_ok());
    let text = "def docker_container(container):\n    ports = [1, 2]\n    ports = [(port, \"tcp\") for port in ports]\n    return {\"/a\": ports}\n";
    assert_eq!(
        lines(&evaluate(text).unwrap()),
        "/a = [[1,\"tcp\"],[2,\"tcp\"]]\n"
    );
}
