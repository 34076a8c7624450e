//! The rules of the house, as tests: what no compiler and no lint keeps for us.
//!
//! Each rule is a sentence and a function from text to violations. A test lists all violations at once, with file and line
//! and what to do. Each rule is also shown a text that breaks it, for a rule that cannot fail keeps nothing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says that it failed by failing"
)]

mod documents;
mod layers;
mod manifests;
mod names;
mod rust;
mod style;
mod unit;
mod workspace;

use workspace::File;

/// Where a rule is broken, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    line: usize,
    what: String,
}

impl Violation {
    fn new(line: usize, what: impl Into<String>) -> Violation {
        Violation {
            line,
            what: what.into(),
        }
    }
}

/// Fails with every violation of the rule in these files.
fn check<'a>(
    sentence: &str,
    files: impl IntoIterator<Item = &'a File>,
    rule: impl Fn(&File) -> Vec<Violation>,
) {
    let mut looked_at = 0;
    let mut broken = Vec::new();
    for file in files {
        looked_at += 1;
        broken.extend(
            rule(file)
                .into_iter()
                .map(|violation| format!("{}:{}: {}", file.path, violation.line, violation.what)),
        );
    }
    assert!(
        looked_at > 0,
        "{sentence}\nThe rule found no file to look at."
    );
    assert!(broken.is_empty(), "{sentence}\n{}\n", broken.join("\n"));
}

/// The lines in which the rule finds this text broken, were it the file at `path`.
fn broken_lines(rule: impl Fn(&File) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
    let file = File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    rule(&file).iter().map(|violation| violation.line).collect()
}
