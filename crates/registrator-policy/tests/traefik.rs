//! The policy `traefik`: files of `tests/traefik`, each with cases of a container, its labels, and its nodes or error.
//!
//! A case begins with `# ` and what it shows. Then there may be `container: NAME` (of `tests/inspect`, else `web`), `name:
//! NAME` for the container, `config: JSON`, and labels as `label=value`; after `->` there are the nodes, without the one that
//! every container has. `UPDATE=1 cargo test -p registrator-policy --test traefik` writes what is after the arrows anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Folder, checked, inspect, lines, settings};
use registrator_core::observe::container::Container;
use registrator_policy::{Policy, lint, load};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const POLICY: &str = "../../etc/policies/traefik.star";
const LASTING: &str =
    "http/middlewares/registrator-noop/headers/customrequestheaders/X-Registrator = noop";

#[test]
fn has_no_findings() {
    assert_eq!(lint(Path::new(POLICY), &settings(&[])), []);
    let [list, select] = ["traefik", "select"]
        .map(|name| fs::read_to_string(format!("../../etc/policies/lib/{name}.star")).unwrap());
    let alone = list + "\ndef docker_container(container):\n    return None\n";
    let folder = Folder::with(&[("p.star", &alone), ("lib/select.star", &select)]);
    assert_eq!(lint(&folder.path("p.star"), &settings(&[])), []);
}

#[test]
fn cases() {
    let mut policy = load(Path::new(POLICY), &settings(&[])).unwrap();
    let files = fs::read_dir("tests/traefik").unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let cases = text.split("# ").skip(1);
        let found: Vec<String> = cases.map(|case| shown(policy.as_mut(), case)).collect();
        assert!(found.len() >= 4, "{}", file.display());
        let found = found.concat().trim_end().to_owned() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &found).unwrap();
        }
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(found, text, "{}: UPDATE=1 accepts", file.display());
    }
}

/// The labels that are compared with Traefik's own Docker provider, in `crates/registrator/tests/apps`, have every field that
/// the policy lets through. So the list holds nothing that Traefik does not know, and no field with another type.
#[test]
fn every_field_is_tried_on_traefik() {
    let shown = r#"
load("lib/traefik.star", "FIELDS")

def docker_container(container: Container):
    return {"/fields": FIELDS}
"#;
    let [list, select] = ["traefik", "select"]
        .map(|name| fs::read_to_string(format!("../../etc/policies/lib/{name}.star")).unwrap());
    let files = [
        ("p.star", shown),
        ("lib/traefik.star", &list),
        ("lib/select.star", &select),
    ];
    let folder = Folder::with(&files);
    let mut policy = folder.load("p.star", &settings(&[])).unwrap();
    let nodes = lines(&policy.evaluate(None, &inspect("web")).unwrap());
    let fields: Json = serde_json::from_str(nodes.strip_prefix("/fields = ").unwrap()).unwrap();
    let sections = fields.as_object().unwrap().iter();
    let fields = sections.flat_map(|(section, fields)| {
        let fields = fields.as_object().unwrap().iter();
        let known = fields.filter(|(_, kind)| *kind != "none" && *kind != "plugin");
        known.map(move |(field, _)| format!("{section}: {}", field.replace(".*", ".X-Name")))
    });
    let labels = fs::read_to_string("../registrator/tests/apps/traefik/all.labels").unwrap();
    let tried = labels.lines().map(|line| {
        let label = line.split('=').next().unwrap();
        let parts: Vec<&str> = label.split('.').collect();
        let field = parts[4..]
            .join(".")
            .replace("[0]", "[]")
            .replace("[1]", "[]");
        format!("{}.{}: {field}", parts[1], parts[2])
    });
    let (fields, tried): (BTreeSet<_>, BTreeSet<_>) = (fields.collect(), tried.collect());
    assert!(fields.len() > 230, "{}", fields.len());
    assert_eq!(fields, tried);
}

/// The case, with what the policy says now.
fn shown(policy: &mut dyn Policy, case: &str) -> String {
    let given = case.split("->").next().unwrap().trim_end();
    let mut lines = given.lines();
    let title = lines.next().unwrap();
    let (mut inspected, mut name, mut configuration) = ("web", None, "{}");
    let mut labels = serde_json::Map::new();
    for line in lines {
        match line.split_once(": ") {
            Some(("container", value)) => inspected = value,
            Some(("name", value)) => name = Some(value),
            Some(("config", value)) => configuration = value,
            _ => {
                let (label, value) = line.split_once('=').expect(title);
                labels.insert(label.into(), value.into());
            }
        }
    }
    let container = container(inspected, name, labels);
    let outcome = outcome(policy, configuration, &container);
    format!("# {given}\n->\n{outcome}\n")
}

fn container(
    inspected: &str,
    name: Option<&str>,
    labels: serde_json::Map<String, Json>,
) -> Container {
    let text = fs::read_to_string(format!("tests/inspect/{inspected}.json")).unwrap();
    let mut json: Json = serde_json::from_str(&text).unwrap();
    json["Config"]["Labels"] = Json::Object(labels);
    if let Some(name) = name {
        json["Name"] = json!(format!("/{name}"));
    }
    Container::from_inspect(json).unwrap()
}

fn outcome(policy: &mut dyn Policy, configuration: &str, container: &Container) -> String {
    let config = match checked(policy, configuration) {
        Ok(config) => config,
        Err(fault) => return format!("error: {fault}\n"),
    };
    let first = policy.evaluate(config.as_ref(), container);
    assert_eq!(first, policy.evaluate(config.as_ref(), container));
    match first {
        Ok(done) => {
            let nodes = lines(&done);
            let lasting: Vec<&str> = nodes
                .lines()
                .filter(|line| line.ends_with(LASTING))
                .collect();
            let asked = !configuration.contains("\"lasting\": false");
            assert_eq!(lasting.len(), usize::from(asked), "{configuration}");
            let printed: String = done
                .log
                .iter()
                .map(|line| format!("says at {:?}: {line}\n", line.level))
                .collect();
            let reasons = done.reasons.iter();
            let reasons: String = reasons.map(|it| format!("explains: {it}\n")).collect();
            nodes.replace(&(lasting.concat() + "\n"), "") + &printed + &reasons
        }
        Err(error) => {
            let message = error.to_string();
            let message = message.lines().next().unwrap();
            format!("error: {}\n", message.split_once(": ").unwrap().1)
        }
    }
}
