//! Tells people what went wrong in a policy's Ruby code: the exception, the line, and the way to it.

use super::protocol::{Fault, Place};
use crate::diagnostic::{Diagnostic, Severity};
use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind};
use std::path::Path;

/// The policy's file and its text.
pub(super) struct PolicySource {
    pub(super) shown: String,
    pub(super) text: Vec<u8>,
}

impl PolicySource {
    /// A finding about the whole file.
    pub(super) fn about(&self, line: Option<usize>, message: String) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: self.shown.clone(),
            line,
            column: None,
            message,
            snippet: line.and_then(|line| self.snippet(&self.shown, line)),
        }
    }

    /// An exception as a finding, at the innermost place in the policy.
    pub(super) fn diagnostic(&self, fault: &Fault) -> Diagnostic {
        let syntax = syntax_error(fault);
        let first = syntax.as_ref().or_else(|| fault.places.first());
        let called = match &syntax {
            Some(_) => String::new(),
            None => fault.places.iter().skip(1).map(called_from).collect(),
        };
        Diagnostic {
            severity: Severity::Error,
            file: first.map_or(&self.shown, |place| &place.path).clone(),
            line: first.map(|place| place.line).filter(|line| *line > 0),
            column: None,
            message: headline(fault) + &called,
            snippet: first.and_then(|place| self.snippet(&place.path, place.line)),
        }
    }

    /// An exception as the error of an evaluation.
    pub(super) fn eval_error(&self, fault: &Fault) -> EvalError {
        let diagnostic = self.diagnostic(fault);
        EvalError {
            kind: kind(fault),
            message: diagnostic.text(),
            at: Some(diagnostic.at()),
        }
    }

    /// The line as the Rust compiler shows one; of the policy as it was loaded, of other files as they are.
    fn snippet(&self, path: &str, line: usize) -> Option<String> {
        let text = if path == self.shown {
            self.text.clone()
        } else {
            std::fs::read(Path::new(path)).ok()?
        };
        let text = String::from_utf8_lossy(&text);
        let shown = text.lines().nth(line.checked_sub(1)?)?;
        let shown: String = shown.chars().take(200).collect();
        let gap = " ".repeat(line.to_string().len());
        Some(format!("{gap} |\n{line} | {shown}\n{gap} |"))
    }
}

/// What the interpreter's parser writes begins with the place, and there is no other.
fn syntax_error(fault: &Fault) -> Option<Place> {
    if fault.class != "SyntaxError" {
        return None;
    }
    let (place, _) = fault.message.split_once(": ")?;
    let (path, line) = place.rsplit_once(':')?;
    Some(Place {
        path: path.to_owned(),
        line: line.parse().ok()?,
        method: String::new(),
    })
}

fn headline(fault: &Fault) -> String {
    match fault.kind.as_str() {
        "exit" => "the policy called exit: return nil for no nodes, or raise an error".into(),
        "processes" => format!(
            "the policy left processes running ({}): wait for what it starts",
            fault.message
        ),
        "threads" => format!(
            "the policy left threads running that do not end ({}): join what it starts",
            fault.message
        ),
        "time" => "the policy was still running here when its time was up".into(),
        _ => format!("{}: {}", fault.class, fault.message),
    }
}

fn kind(fault: &Fault) -> EvalErrorKind {
    match fault.kind.as_str() {
        "type" => EvalErrorKind::Type,
        "time" | "memory" | "depth" => EvalErrorKind::Limit,
        _ => EvalErrorKind::Raised,
    }
}

fn called_from(place: &Place) -> String {
    match place.method.as_str() {
        "" => format!("\ncalled from {}:{}", place.path, place.line),
        method => format!("\ncalled from {}:{}: {method}", place.path, place.line),
    }
}
