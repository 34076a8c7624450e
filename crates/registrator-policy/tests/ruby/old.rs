//! Policy files as their authors wrote them for the original program, each with what it gives.
//!
//! The comments at the beginning of each file of `tests/ruby/old` say for which container, with which configuration and environment it is
//! evaluated, and what comes of it: nodes, and lines of the log after `log:`.

use crate::common::ruby::{self, patient, told};
use crate::common::{Folder, config, inspect, settings};
use registrator_core::evaluate::evaluation::Evaluation;
use registrator_policy::load;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What the comments of a file say.
#[derive(Debug, Default)]
struct Said {
    container: String,
    config: String,
    env: BTreeMap<String, String>,
    outcome: Vec<String>,
}

fn said(file: &Path) -> Said {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let mut said = Said {
        config: "{}".into(),
        ..Said::default()
    };
    for line in text.trim_start_matches('\u{feff}').lines() {
        let Some(line) = line.strip_prefix("# ") else {
            break;
        };
        match line.split_once(": ") {
            Some(("container", name)) => said.container = name.into(),
            Some(("config", members)) => said.config = members.into(),
            Some(("env", env)) => said.env = serde_json::from_str(env).unwrap(),
            Some(("encoding", _)) => {}
            _ => said.outcome.push(line.into()),
        }
    }
    said.outcome.sort();
    said
}

#[test]
fn files_of_the_original_program_run_as_they_are() {
    if !ruby::is_there() {
        return;
    }
    let mut files: Vec<_> = fs::read_dir("tests/ruby/old")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 12, "files are missing: {}", files.len());
    let wrong: Vec<String> = files.iter().filter_map(|file| check(file).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(file: &Path) -> Result<(), String> {
    let said = said(file);
    assert!(!said.outcome.is_empty(), "{}", file.display());
    let mut patient = patient();
    let env: Vec<(&str, &str)> = said
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    patient.env = settings(&env).env;
    let wrong = |what: String| format!("{}: {what}", file.display());
    let mut policy = load(file, &patient).map_err(|error| wrong(error.to_string()))?;
    let config = config(policy.as_ref(), &said.config);
    let container = inspect(&said.container);
    // What it changes may show in the second evaluation only.
    for time in 0..2 {
        let done = policy.evaluate(config.as_ref(), &container);
        let done = done.map_err(|error| wrong(told(&Folder::with(&[]), &error)))?;
        let mut found = outcome(&done);
        let mut expected = said.outcome.clone();
        if time > 0 {
            // Loading is in the log of the first.
            expected.retain(|line| !line.contains(" loading "));
        }
        if said.container == "shop-api-1" {
            // How Ruby shows a model is not what this is about.
            found.retain(|line| !line.starts_with("log: DEBUG"));
        }
        if found != expected {
            return Err(wrong(format!("gives\n{}", found.join("\n"))));
        }
    }
    Ok(())
}

/// Nodes and log as the comments tell them.
fn outcome(done: &Evaluation) -> Vec<String> {
    let nodes = done.nodes.iter().flat_map(|(key, values)| {
        let told = |value: &dyn std::fmt::Display| format!("{key} = {value}").replace('\n', "\\n");
        values.iter().map(|value| told(value)).collect::<Vec<_>>()
    });
    let log = done.log.iter().map(|line| {
        let level = format!("{:?}", line.level).to_uppercase();
        format!("log: {level} {}", line.text)
    });
    let mut all: Vec<String> = nodes.chain(log).collect();
    all.sort();
    all
}
