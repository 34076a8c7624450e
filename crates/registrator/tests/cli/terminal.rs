//! What strangers write into labels and names reaches no terminal as it is.

use super::{Folder, container, contains};
use serde_json::{Value as Json, json};

/// Clears the screen, turns the direction of writing, hides, and begins a line of its own.
const EVIL: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{200b}\u{7f}\r\n+ /one/false {}";
const SHOWN: &str = r"a\u{1b}[2J\u{9b}31m\u{202e}b\u{200b}\u{7f}\r\n+ /one/false {}";

#[track_caller]
fn harmless(text: &str) {
    let bad = |c: &char| *c != '\n' && (c.is_control() || "\u{202e}\u{200b}".contains(*c));
    assert_eq!(text.chars().find(bad), None, "{text}");
    assert!(
        !text.lines().any(|line| line.starts_with("+ /one/false")),
        "{text}"
    );
}

fn folder() -> Folder {
    let folder = Folder::new();
    let policy = r#"
def docker_container(container):
    text = container.labels["text"]
    print("printed " + text)
    if container.name == "b":
        fail("label", text, "is wrong")
    return {"/one/" + container.name: text, "/one/\u202e\u200b": container.name}
"#;
    folder.write("etc/policies/p.star", policy);
    std::fs::remove_dir_all(folder.path().join("etc/services")).unwrap();
    std::fs::create_dir_all(folder.path().join("etc/services")).unwrap();
    let labels = json!({ "text": EVIL });
    let named = |digit, name: &str| {
        let mut container = container(digit, name, &labels);
        container["Config"]["ExposedPorts"] = json!({ EVIL: {} });
        container
    };
    let mut odd = named('3', "c");
    odd["Name"] = EVIL.replace("/one/", "").into();
    odd["Config"]["Labels"]["text"] = "x".into();
    let containers = json!([named('1', "a"), named('2', "b"), odd]);
    folder.write("containers.json", &containers.to_string());
    folder
}

const PLAN: [&str; 4] = ["plan", "--no-etcd", "--containers", "containers.json"];

#[test]
fn plan_is_harmless() {
    let folder = folder();
    let (plan, log) = folder.run(0, &PLAN);
    harmless(&plan);
    harmless(&log);
    contains(
        &plan,
        &[
            &format!("+ /one/a {SHOWN}  for a (p)"),
            r"printed a\u{1b}[2J\u{9b}31m\u{202e}b\u{200b}\u{7f}\r",
            "label a\\u{1b}[2J",
            "container a: no ports",
            r"/one/\u{202e}\u{200b}",
        ],
    );
}

#[test]
fn json_is_harmless_and_means_the_same() {
    let folder = folder();
    let (plan, _) = folder.run(0, &[&PLAN[..], &["--json"]].concat());
    harmless(&plan);
    let plan: Json = serde_json::from_str(&plan).unwrap();
    let nodes = plan["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["key"] == "/one/a").unwrap();
    assert_eq!(found["value"], EVIL);
    let message = plan["errors"][0]["message"].as_str().unwrap();
    let beginning = "label a\u{1b}[2J\u{9b}31m\u{202e}b";
    assert!(message.starts_with(beginning), "{message}");
}

/// What the program is asked with may come from a script.
#[test]
fn errors_are_harmless() {
    let folder = folder();
    for args in [
        &["plan", "--no-etcd", "--containers", "x\u{1b}[2J\u{202e}"][..],
        &["check", "--policies", "x\u{1b}[2J\u{202e}"],
        &["check", "--log-level", "x\u{1b}[2J\u{202e}"],
        &["x\u{1b}[2J\u{202e}"],
    ] {
        let output = folder.output_with(args, &[]);
        assert!(!output.status.success(), "{args:?}");
        harmless(&String::from_utf8(output.stderr).unwrap());
    }
}

#[test]
fn check_is_harmless() {
    let folder = folder();
    folder.write(
        "etc/policies/q.star",
        "def docker_container(container):\n    return \u{1b}[2J\u{202e}\n",
    );
    folder.write("etc/services/p\u{202e}.json", "{}");
    let (found, log) = folder.run(1, &["check"]);
    harmless(&found);
    harmless(&log);
    contains(&found, &["q.star", r"\u{1b}[2J"]);
}
