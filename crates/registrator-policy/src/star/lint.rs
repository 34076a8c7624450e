//! Finds mistakes without running the policy: type errors and lint findings of the policy and its helper files.

use super::fault;
use super::guarded::Originals;
use super::library::globals;
use super::loader::parse;
use super::source::{PolicyFolder, Source, read_policy};
use crate::deep_stack;
use crate::diagnostic::{Diagnostic, Severity};
use starlark::analysis::AstModuleLint;
use starlark::errors::Lint;
use starlark::syntax::AstModule;
use starlark::typing::{AstModuleTypecheck, Interface};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the types of one file may take to check; usually it is milliseconds.
///
/// The checker gives a variable the union of the types of all its assignments, until nothing changes or 100 rounds are over. For
/// `x = (x, 1)` each round wraps the type once more and takes twice as long as the one before, so it never comes back. It uses no
/// more memory meanwhile.
const TYPES_TIME: Duration = Duration::from_secs(10);

/// Findings that are matters of taste, or natural in policies.
const IGNORED: [&str; 7] = [
    "unused-argument",
    "redundant-return",
    "redundant-continue",
    "underscore-definition",
    "using-ignored",
    "missing-return",
    "using-undefined",
];

/// All findings, by file and place.
pub(crate) fn lint(path: &Path) -> Vec<Diagnostic> {
    lint_within(path, TYPES_TIME)
}

fn lint_within(path: &Path, types_time: Duration) -> Vec<Diagnostic> {
    let shown = path.display().to_string();
    let opened = PolicyFolder::of(path).and_then(|folder| Ok((folder, read_policy(path)?)));
    let mut checker = match opened {
        Ok((folder, source)) => {
            let mut checker = Checker::new(folder, types_time);
            checker.check(source);
            checker
        }
        Err(error) => return vec![fault::about_file(&shown, error.to_string())],
    };
    checker.findings.sort_by(|a, b| {
        let place = |finding: &Diagnostic| (finding.file.clone(), finding.line, finding.column);
        place(a).cmp(&place(b))
    });
    checker.findings.dedup();
    checker.findings
}

struct Checker {
    folder: PolicyFolder,
    types_time: Duration,
    /// What the checked files define; `None` is not known, and must not be taken for nothing.
    interfaces: BTreeMap<PathBuf, Option<Interface>>,
    findings: Vec<Diagnostic>,
}

impl Checker {
    fn new(folder: PolicyFolder, types_time: Duration) -> Checker {
        Checker {
            folder,
            types_time,
            interfaces: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    fn check(&mut self, source: Source) -> Option<Interface> {
        if let Some(interface) = self.interfaces.get(&source.path) {
            return interface.clone();
        }
        self.interfaces.insert(source.path.clone(), None);
        let ast = match parse(&source) {
            Ok(ast) => ast,
            Err(error) => {
                self.findings
                    .push(fault::diagnostic(&error, &source.shown, &Originals::new()));
                return None;
            }
        };
        let loads = self.check_loads(&ast, &source.shown);
        let names = globals()
            .names()
            .map(|name| name.as_str().to_owned())
            .collect();
        for found in ast.lint(Some(&names)) {
            self.findings.extend(lint_finding(found));
        }
        let types = move || ast.typecheck(globals(), &loads);
        let Some((errors, _, interface, _)) = deep_stack::run_within(self.types_time, types) else {
            self.findings.push(untyped(&source.shown, self.types_time));
            return None;
        };
        let errors = errors
            .iter()
            .map(|error| fault::diagnostic(error, &source.shown, &Originals::new()));
        self.findings.extend(errors);
        self.interfaces.insert(source.path, Some(interface.clone()));
        Some(interface)
    }

    /// What the files that a file loads define. Files that cannot be read are found when the policy is loaded.
    fn check_loads(&mut self, ast: &AstModule, file: &str) -> HashMap<String, Interface> {
        let mut interfaces = HashMap::new();
        for load in ast.loads() {
            match self.folder.helper(load.module_id) {
                Ok(helper) => {
                    let known = self.check(helper);
                    interfaces.extend(known.map(|known| (load.module_id.to_owned(), known)));
                }
                Err(error) => {
                    let finding =
                        fault::placed(Some(&load.span), file, Severity::Error, error.to_string());
                    self.findings.push(finding);
                }
            }
        }
        interfaces
    }
}

/// A file whose types nobody knows.
fn untyped(file: &str, time: Duration) -> Diagnostic {
    let message = format!(
        "the types of this file could not be checked within {time:?}\nhelp: look for a variable that becomes a part of itself, as in x = (x, 1), and give the new value another name"
    );
    fault::placed(None, file, Severity::Warning, message)
}

fn lint_finding(lint: Lint) -> Option<Diagnostic> {
    if IGNORED.contains(&lint.short_name.as_str()) {
        return None;
    }
    let message = format!(
        "{} [{}]\nhelp: if it is meant so, write `# starlark-lint-disable {}` behind the line",
        lint.problem, lint.short_name, lint.short_name
    );
    let span = Some(&lint.location);
    Some(fault::placed(span, "", Severity::Warning, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_grow_without_end_are_a_warning() {
        let text = "def docker_container(container):\n    ports = [80]\n    ports = [(port, 1) for port in ports]\n    return {\"/a\": ports}\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.star");
        std::fs::write(&path, text).unwrap();
        let findings = lint_within(&path, Duration::from_millis(100));
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding
                .message
                .contains("could not be checked within 100ms"),
            "{finding}"
        );
    }
}
