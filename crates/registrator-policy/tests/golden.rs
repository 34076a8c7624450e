//! The golden corpus: each folder of `tests/golden` is a case, and so is each of `tests/shipped/<policy>`.
//!
//! A case has `policy.star` (the shipped policies are in `etc/policies`), `container.json` (an inspect document), maybe
//! `config.json` and `env.json`, and what is expected: `nodes.json` or `error.txt`. `UPDATE=1 cargo test --test golden` writes
//! the expectations anew.
//!
//! Each case has a twin in Ruby, `policy.rb`, that must give the same nodes, byte for byte, but where it shows what only Starlark has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{checked, container_from, settings};
use registrator_core::evaluate::evaluation::Evaluation;
use registrator_core::node::{Key, Object, Value};
use registrator_policy::load;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn golden() {
    let cases = folders(Path::new("tests/golden"));
    assert!(cases.len() >= 20, "cases are missing: {}", cases.len());
    check_all(
        cases
            .into_iter()
            .map(|case| (case.join("policy.star"), case)),
    );
}

#[test]
fn shipped() {
    for policy in folders(Path::new("tests/shipped")) {
        let name = policy.file_name().unwrap().to_str().unwrap().to_owned();
        let file = PathBuf::from(format!("../../etc/policies/{name}.star"));
        let cases = folders(&policy);
        assert!(!cases.is_empty(), "no case for {name}");
        check_all(cases.into_iter().map(|case| (file.clone(), case)));
    }
}

/// Cases about what only Starlark has.
const STARLARK_ALONE: [&str; 7] = [
    "container-text",
    "dig-starlark",
    "functions",
    "keys-relative",
    "prefixes",
    "prefixes-function",
    // Each language writes very large and very small floats in its own way.
    "values-floats",
];

#[test]
fn twins_in_ruby_give_the_same_nodes() {
    let cases = folders(Path::new("tests/golden"));
    let alone = |case: &&PathBuf| {
        let name = case.file_name().unwrap().to_str().unwrap();
        // What is wrong with a program is told in the words of its language.
        name.starts_with("error-") || STARLARK_ALONE.contains(&name)
    };
    let twins: Vec<PathBuf> = cases.into_iter().filter(|case| !alone(&case)).collect();
    assert!(twins.len() >= 20, "twins are missing: {}", twins.len());
    for case in &twins {
        assert!(
            case.join("policy.rb").exists(),
            "{} has no twin in Ruby",
            case.display()
        );
    }
    check_twins(twins.into_iter().map(|case| (case.join("policy.rb"), case)));
}

/// The shipped policy in Ruby writes what that in Starlark writes for its layout `hostname`.
#[test]
fn shipped_twins_in_ruby_give_the_same_nodes() {
    let cases = folders(Path::new("tests/shipped/skydns"));
    let by_hostname = |case: &PathBuf| {
        case.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("hostname-layout")
    };
    let cases: Vec<PathBuf> = cases.into_iter().filter(by_hostname).collect();
    assert!(cases.len() >= 3, "cases are missing: {}", cases.len());
    let file = PathBuf::from("../../etc/policies-ruby/skydns.rb");
    check_twins(cases.into_iter().map(|case| (file.clone(), case)));
}

fn check_twins(cases: impl Iterator<Item = (PathBuf, PathBuf)>) {
    if !common::ruby::is_there() {
        return;
    }
    for (policy, case) in cases {
        let mut members = members(&case);
        // The shipped policy in Ruby knows this layout alone.
        members.remove("layout");
        let found = outcome_with(&policy, &case, members);
        let expected = fs::read_to_string(case.join("nodes.json")).unwrap();
        assert_eq!(found, Ok(expected), "{}", policy.display());
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn check_all(cases: impl Iterator<Item = (PathBuf, PathBuf)>) {
    let failures: Vec<String> = cases
        .filter_map(|(policy, case)| check(&policy, &case).err())
        .collect();
    assert!(
        failures.is_empty(),
        "{}\nRun with UPDATE=1 to accept.",
        failures.join("\n")
    );
}

/// Compares with whichever expectation there is; the other kind of outcome is a failure too.
fn check(policy: &Path, case: &Path) -> Result<(), String> {
    let (name, other, found) = match outcome(policy, case) {
        Ok(nodes) => ("nodes.json", "error.txt", nodes),
        Err(error) => ("error.txt", "nodes.json", error + "\n"),
    };
    if std::env::var_os("UPDATE").is_some() {
        let _ = fs::remove_file(case.join(other));
        fs::write(case.join(name), found).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(case.join(name)).unwrap_or_default();
    match found == expected && !case.join(other).exists() {
        true => Ok(()),
        false => Err(format!(
            "{}: {name}\n--- expected\n{expected}--- found\n{found}",
            case.display()
        )),
    }
}

fn outcome(policy: &Path, case: &Path) -> Result<String, String> {
    outcome_with(policy, case, members(case))
}

/// The configuration.
fn members(case: &Path) -> Map<String, Json> {
    let text = read(case, "config.json").unwrap_or_else(|| "{}".into());
    serde_json::from_str(&text).unwrap()
}

fn outcome_with(policy: &Path, case: &Path, members: Map<String, Json>) -> Result<String, String> {
    let env: Map<String, Json> = read(case, "env.json")
        .map(|text| serde_json::from_str(&text).unwrap())
        .unwrap_or_default();
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let mut settings = settings(&env);
    // A build without optimisation needs long for all its ticks; an outcome must not depend on the machine.
    settings.limits.time = Duration::from_secs(120);
    settings.limits.ticks = 50_000;
    let mut policy = load(policy, &settings).map_err(|error| format!("load: {error}"))?;
    let config = checked(policy.as_mut(), &Json::Object(members).to_string())
        .map_err(|fault| format!("configuration: {fault}"))?;
    let container = container_from(&case.join("container.json"));
    let first = policy.evaluate(config.as_ref(), &container);
    let second = policy.evaluate(config.as_ref(), &container);
    assert_eq!(first, second, "{} is not deterministic", case.display());
    let done = first.map_err(|error| format!("{}: {error}", error.kind))?;
    Ok(nodes_json(&done))
}

fn read(case: &Path, name: &str) -> Option<String> {
    fs::read_to_string(case.join(name)).ok()
}

/// Key to value; several values of one key as an array. Objects follow.
fn nodes_json(done: &Evaluation) -> String {
    let node = |values: Vec<Json>| match values.as_slice() {
        [single] => single.clone(),
        _ => Json::Array(values),
    };
    let nodes = done.nodes.iter().map(|(key, values)| {
        let values = values.iter().map(|value| Json::from(value.as_str()));
        (key.to_string(), node(values.collect()))
    });
    let mut nodes: Map<String, Json> = nodes.collect();
    let objects: Vec<Json> = done.nodes.objects().map(object_json).collect();
    if !objects.is_empty() {
        nodes.insert("objects".into(), objects.into());
    }
    serde_json::to_string_pretty(&nodes).unwrap() + "\n"
}

fn object_json(object: &Object) -> Json {
    let nodes = |nodes: &BTreeMap<Key, Value>| -> Map<String, Json> {
        let node = |(key, value): (&Key, &Value)| (key.to_string(), value.as_str().into());
        nodes.iter().map(node).collect()
    };
    let uses: Vec<&str> = object.uses().iter().map(Key::as_str).collect();
    json!({
        "name": object.name().as_str(),
        "conflict": format!("{:?}", object.on_conflict()),
        "nodes": nodes(object.fields()),
        "members": nodes(object.members()),
        "uses": uses,
    })
}
