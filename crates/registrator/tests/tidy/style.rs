//! Rules about the text of source files, of tests and of scripts.

use crate::rust;
use crate::workspace::{self, File};
use crate::{Violation, broken_lines, check};

const LONGEST_FILE: usize = 600;

#[test]
fn every_source_file_says_first_what_it_is_for() {
    check(
        "Every .rs file begins with `//!` and what it is for.",
        &workspace::rust_files(),
        says_what_it_is_for,
    );
    assert_eq!(
        broken_lines(says_what_it_is_for, "x.rs", "use std::fs;\n//! Late.\n"),
        [1]
    );
    assert_eq!(
        broken_lines(says_what_it_is_for, "x.rs", "//! Early.\n"),
        []
    );
}

fn says_what_it_is_for(file: &File) -> Vec<Violation> {
    match file.text.starts_with("//! ") {
        true => vec![],
        false => vec![Violation::new(
            1,
            "begin it with `//!` and a sentence that says what it is for",
        )],
    }
}

#[test]
fn no_source_file_is_long() {
    check(
        "A .rs file has at most 600 lines.",
        &workspace::rust_files(),
        is_short,
    );
    assert_eq!(broken_lines(is_short, "x.rs", &"a\n".repeat(601)), [601]);
    assert_eq!(broken_lines(is_short, "x.rs", &"a\n".repeat(600)), []);
}

fn is_short(file: &File) -> Vec<Violation> {
    match file.text.lines().count() {
        count if count > LONGEST_FILE => {
            vec![Violation::new(
                count,
                format!("{count} lines; move one purpose into a file of its own"),
            )]
        }
        _ => vec![],
    }
}

/// Spelled in halves, so that this file keeps the rule.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("unimpl", "emented!"),
    concat!("to", "do!"),
];

#[test]
fn nothing_is_left_for_later() {
    let files: Vec<_> = workspace::files()
        .into_iter()
        .filter(|file| !is_generated(file))
        .collect();
    check(
        "Nothing in the project is marked as unfinished.",
        &files,
        is_finished,
    );
    for word in UNFINISHED {
        assert_eq!(
            broken_lines(is_finished, "x.rs", &format!("a\nb // {word} later")),
            [2]
        );
    }
    assert_eq!(
        broken_lines(is_finished, "x.rs", "mktemp -d work.XXXXXX\n"),
        []
    );
}

fn is_generated(file: &File) -> bool {
    file.path == "Cargo.lock" || file.path.ends_with("/go.sum")
}

fn is_finished(file: &File) -> Vec<Violation> {
    lines_with_words(&file.text, &UNFINISHED, "finish it, or file an issue")
}

#[test]
fn no_test_is_switched_off() {
    check(
        "No test is ignored: it runs, or it is not there.",
        &workspace::rust_files(),
        is_switched_on,
    );
    assert_eq!(
        broken_lines(
            is_switched_on,
            "x.rs",
            "#[test]\n#[ignore = \"slow\"]\nfn f() {}"
        ),
        [2]
    );
    assert_eq!(broken_lines(is_switched_on, "x.rs", "// #[ignore]\n"), []);
}

fn is_switched_on(file: &File) -> Vec<Violation> {
    let code = rust::code(&file.text);
    let lines = code
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("#[ignore"));
    lines
        .map(|(index, _)| Violation::new(index + 1, "mend the test or remove it"))
        .collect()
}

/// Test files that sleep, each with its reason. A sleep is never how a test waits for something to have happened.
const MAY_SLEEP: &[(&str, &str)] = &[
    (
        "crates/etcd-mem/src/server/tests.rs",
        "a clock of milliseconds must have gone on: polls it",
    ),
    (
        "crates/etcd-mem/tests/conformance/target.rs",
        "polls until a server answers, with a deadline",
    ),
    (
        "crates/registrator/tests/cli/first_process.rs",
        "polls until a process is gone, with a deadline",
    ),
    (
        "crates/registrator/src/etcd/tests.rs",
        "polls until a condition holds, with a deadline",
    ),
    (
        "crates/registrator/src/etcd/tests/client.rs",
        "a real etcd's login tokens must have expired",
    ),
    (
        "crates/registrator/src/etcd/tests/identity.rs",
        "a time must pass in which nothing happens",
    ),
    (
        "crates/registrator/src/etcd/tests/rotation.rs",
        "a time must pass in which nothing happens",
    ),
    (
        "crates/registrator/src/etcd/tests/outage.rs",
        "an outage must last, and a time must pass in which nothing happens",
    ),
    (
        "crates/registrator/src/etcd/tests/session.rs",
        "a real etcd's lease must outlive its TTL, with nothing written",
    ),
    (
        "crates/registrator/tests/apps/process.rs",
        "polls until a server is ready, with a deadline",
    ),
    (
        "crates/registrator/tests/apps/world.rs",
        "polls until an answer is right, with a deadline",
    ),
    (
        "crates/registrator/tests/faults/identity.rs",
        "etcd must be away for a time",
    ),
    (
        "crates/registrator/tests/faults/rights.rs",
        "a time must pass in which nothing happens",
    ),
    (
        "crates/registrator/tests/faults/log.rs",
        "a time must pass in which nobody reads",
    ),
    (
        "crates/registrator/tests/faults/stuck.rs",
        "polls a pipe, with a deadline",
    ),
    (
        "crates/registrator/tests/faults/etcd.rs",
        "the fault is that so much time passes",
    ),
    (
        "crates/registrator/tests/faults/world.rs",
        "polls until a condition holds, with a deadline",
    ),
    (
        "crates/registrator/tests/support/dockerd.rs",
        "polls until a daemon is there or gone, with a deadline",
    ),
    (
        "crates/registrator/tests/support/etcd.rs",
        "polls until a condition holds, with a deadline",
    ),
    (
        "crates/registrator/tests/support/program.rs",
        "polls until a condition holds, with a deadline",
    ),
];

const SLEEPS: [&str; 2] = ["thread::sleep", "time::sleep"];

#[test]
fn tests_wait_for_a_condition_and_do_not_sleep() {
    check(
        "A test waits for a condition, with a deadline; it does not sleep.",
        &workspace::rust_files(),
        |file| match may_sleep(file) {
            true => vec![],
            false => sleeps(file),
        },
    );
    let text = "fn f() { thread::sleep(x) }\n#[cfg(test)]\nmod tests {\n    fn g() { tokio::time::sleep(y) }\n}";
    assert_eq!(broken_lines(sleeps, "crates/x/src/y.rs", text), [4]);
    assert_eq!(
        broken_lines(
            sleeps,
            "crates/x/tests/y.rs",
            "fn f() {\n  std::thread::sleep(x)\n}"
        ),
        [2]
    );
}

/// What a benchmark measures may be time that passes.
fn may_sleep(file: &File) -> bool {
    file.path.contains("/benches/") || MAY_SLEEP.iter().any(|(path, _)| *path == file.path)
}

fn sleeps(file: &File) -> Vec<Violation> {
    let code = rust::test_code(&file.path, &file.text);
    lines_with_words(
        &code,
        &SLEEPS,
        "wait for the condition, or list the file in MAY_SLEEP with its reason",
    )
}

#[test]
fn each_test_file_that_may_sleep_does() {
    for (path, reason) in MAY_SLEEP {
        let file = workspace::file(path);
        assert!(
            !sleeps(&file).is_empty(),
            "{path} no longer sleeps ({reason}): remove it from MAY_SLEEP"
        );
    }
}

#[test]
fn scripts_stop_at_the_first_error() {
    let scripts: Vec<_> = workspace::files().into_iter().filter(is_script).collect();
    check(
        "A script says what it is for, and stops at the first error.",
        &scripts,
        stops_at_an_error,
    );
    assert_eq!(
        broken_lines(stops_at_an_error, "scripts/x.sh", "#!/bin/sh\nmkdir a\n"),
        [1, 2]
    );
    assert_eq!(
        broken_lines(
            stops_at_an_error,
            "scripts/x.sh",
            "#!/bin/sh\n# Makes a.\nset -eu\nmkdir a\n"
        ),
        []
    );
    assert_eq!(
        broken_lines(stops_at_an_error, "scripts/x.sh", "# To be sourced.\n"),
        []
    );
}

fn is_script(file: &File) -> bool {
    file.path.ends_with(".sh") || file.path == ".ci/run"
}

/// A file without `#!` is sourced by a script, and leaves such settings to it.
fn stops_at_an_error(file: &File) -> Vec<Violation> {
    let mut lines = file.text.lines();
    let mut broken = Vec::new();
    let first = lines.next().unwrap_or_default();
    let is_program = first.starts_with("#!");
    let explanation = if is_program {
        lines.next().unwrap_or_default()
    } else {
        first
    };
    if is_program && !file.text.lines().any(|line| line.starts_with("set -eu")) {
        broken.push(Violation::new(1, "add `set -eu`"));
    }
    if !explanation.starts_with("# ") {
        broken.push(Violation::new(
            if is_program { 2 } else { 1 },
            "begin with a comment that says what it is for",
        ));
    }
    broken
}

/// A violation for each line of `text` with one of these words standing by itself.
fn lines_with_words(text: &str, words: &[&str], advice: &str) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in words.iter().filter(|word| stands_alone(line, word)) {
            broken.push(Violation::new(index + 1, format!("`{word}`: {advice}")));
        }
    }
    broken
}

fn stands_alone(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        !is_part(line[..at].chars().next_back()) && !is_part(after.chars().next())
    })
}
