//! Turns the interpreter's errors into diagnostics: the line, a mark under the place, the way to it, and what to do.

use super::guarded::{Originals, is_guard, restored};
use crate::diagnostic::{Diagnostic, Severity};
use starlark::ErrorKind;
use starlark::codemap::FileSpan;

/// How many characters of a source line are shown.
const MAX_LINE: usize = 160;

/// How many calls are shown at each end of a traceback.
const MAX_CALLS: usize = 4;

/// Advice for common mistakes: a part of the interpreter's message, and what to do.
const HINTS: [(&str, &str); 12] = [
    (
        "ticks has been exceeded",
        "look for a loop over too many items outside functions",
    ),
    (
        "Heap memory limit",
        "a policy may keep only small values in its variables",
    ),
    (
        "Evaluation cancelled",
        "it takes too long: look for a loop over too many items outside functions",
    ),
    (
        "Variable `ENV` not found",
        "environment variables are read with env(\"NAME\", default), outside functions",
    ),
    (
        "Variable `os` not found",
        "a policy can read only its configuration, the container, and env() while it is loaded",
    ),
    (
        "Immutable",
        "values made while the policy is loaded cannot be changed later: make a copy, as in list(x) or dict(x)",
    ),
    (
        "call stack overflow",
        "a function calls itself too often: use a for loop",
    ),
    (
        "referenced before assignment",
        "assigning makes a variable local to its function: pass it as an argument and return the new value",
    ),
    (
        "`NoneType`",
        "None stands for what a container does not have: check for it with `if x:` or `if x == None:` first",
    ),
    (
        "reserved keyword",
        "Starlark has no while, yield, class, import, try and with: see docs/policies.md",
    ),
    ("`while`", "Starlark has no while: use for with range()"),
    ("`yield`", "Starlark has no yield: return a list of dicts"),
];

/// The diagnostic for an error; `file` is the policy's file, for errors without a place, and `originals` are the files that ran with guards.
pub(super) fn diagnostic(error: &starlark::Error, file: &str, originals: &Originals) -> Diagnostic {
    let frames = &error.call_stack().frames;
    let last = frames
        .iter()
        .filter_map(|frame| frame.location.as_ref())
        .next_back();
    let span = match error.kind() {
        // A guard may be the call that was too much.
        ErrorKind::StackOverflow(_) => last.or(error.span()),
        _ => error.span(),
    };
    let span = span.map(|span| restored(originals, span));
    let cause = error.without_diagnostic().to_string();
    let cause = cause
        .strip_prefix("fail:")
        .map(str::trim_start)
        .unwrap_or(&cause);
    let mut message = tidy(cause);
    let frames = frames.iter().filter(|frame| !is_guard(&frame.name));
    let locations = frames.filter_map(|frame| Some(restored(originals, frame.location.as_ref()?)));
    for line in calls(locations.collect(), span.as_ref()) {
        message += &format!("\n{line}");
    }
    if let Some(hint) = hint(&message).or_else(|| absent(&message, span.as_ref()?)) {
        message += &format!("\nhelp: {hint}");
    }
    placed(span.as_ref(), file, Severity::Error, message)
}

/// A diagnostic at a place in a source file.
pub(super) fn placed(
    span: Option<&FileSpan>,
    file: &str,
    severity: Severity,
    message: String,
) -> Diagnostic {
    let place = span.map(|span| (span, span.resolve_span()));
    Diagnostic {
        severity,
        file: span.map_or(file, |span| span.filename()).to_owned(),
        line: place.map(|(_, resolved)| resolved.begin.line + 1),
        column: place.map(|(_, resolved)| resolved.begin.column + 1),
        message,
        snippet: span.map(snippet),
    }
}

/// A finding about a file as a whole.
pub(super) fn about_file(file: &str, message: String) -> Diagnostic {
    placed(None, file, Severity::Error, message)
}

/// A finding about a definition of a module: its first line that begins with `start`.
pub(super) fn about_line(file: &str, text: &str, start: &str, message: String) -> Diagnostic {
    let mut lines = text.lines().enumerate();
    let found = lines.find(|(_, line)| line.starts_with(start));
    let width = start.trim_end().chars().count();
    Diagnostic {
        line: found.map(|(at, _)| at + 1),
        column: found.map(|_| 1),
        snippet: found.map(|(at, line)| marked(at + 1, line, 0, width)),
        ..about_file(file, message)
    }
}

/// The interpreter's messages may be long and have several lines; ours have a headline.
fn tidy(message: &str) -> String {
    let lines = message
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty());
    let lines = lines.take(20).map(|line| line.chars().take(400).collect());
    lines.collect::<Vec<String>>().join("\n")
}

fn hint(message: &str) -> Option<&'static str> {
    let found = HINTS.iter().find(|(part, _)| message.contains(part));
    found.map(|(_, hint)| *hint)
}

/// What to write instead of `dict[key]` where the key may be absent.
fn absent(message: &str, span: &FileSpan) -> Option<&'static str> {
    if !message.starts_with("Key `") || !message.contains("was not found") {
        return None;
    }
    // Of a function that is only a `return` the place is the call.
    let Some((dict, _)) = span.source_span().rsplit_once('[') else {
        return Some(
            "container.label(\"name\"), and get(key) of a dict, give None for what is not there",
        );
    };
    let last = dict.rsplit('.').next().unwrap_or(dict).trim();
    Some(match last {
        "labels" => {
            "container.label(\"name\") gives None for a label that is not there, or a default: container.label(\"name\", \"x\")"
        }
        "networks" => {
            "container.network(\"name\") gives None for a network that the container is not in"
        }
        _ => "get(key) gives None for what is not there, or a default: get(key, \"x\")",
    })
}

fn snippet(span: &FileSpan) -> String {
    let resolved = span.resolve_span();
    let line = span.file.source_line_at_pos(span.span.begin());
    let end = if resolved.end.line == resolved.begin.line {
        resolved.end.column
    } else {
        line.chars().count()
    };
    let width = end.saturating_sub(resolved.begin.column).max(1);
    marked(resolved.begin.line + 1, line, resolved.begin.column, width)
}

/// The line with its number, and marks below it. Of a long line only the part around the place is shown.
fn marked(number: usize, line: &str, column: usize, width: usize) -> String {
    let skip = if column > MAX_LINE / 2 {
        column - MAX_LINE / 4
    } else {
        0
    };
    let shown: String = line.chars().skip(skip).take(MAX_LINE).collect();
    let before = if skip > 0 { "…" } else { "" };
    let space = shown
        .chars()
        .take(column - skip)
        .map(|c| if c == '\t' { '\t' } else { ' ' });
    let space: String = before.chars().map(|_| ' ').chain(space).collect();
    let width = width.min(MAX_LINE.saturating_sub(column - skip)).max(1);
    let margin = " ".repeat(number.to_string().len());
    let marks = "^".repeat(width);
    format!("{margin} |\n{number} | {before}{shown}\n{margin} | {space}{marks}")
}

/// The way to the place, the latest call first. The call at the place itself is shown already, and a guard is no call.
fn calls(locations: Vec<FileSpan>, place: Option<&FileSpan>) -> Vec<String> {
    let elsewhere = |location: &&FileSpan| Some(*location) != place;
    let calls = locations.iter().rev().filter(elsewhere).map(call);
    let calls: Vec<String> = calls.collect();
    if calls.len() <= 2 * MAX_CALLS + 1 {
        return calls;
    }
    let first = calls.iter().take(MAX_CALLS).cloned();
    let last = calls.iter().skip(calls.len() - MAX_CALLS).cloned();
    let between = format!("… {} more calls", calls.len() - 2 * MAX_CALLS);
    first.chain([between]).chain(last).collect()
}

fn call(location: &FileSpan) -> String {
    let line = location
        .file
        .source_line_at_pos(location.span.begin())
        .trim();
    let line: String = line.chars().take(80).collect();
    let number = location.resolve_span().begin.line + 1;
    format!("called from {}:{number}: {line}", location.filename())
}
