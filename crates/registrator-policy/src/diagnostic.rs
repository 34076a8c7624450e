//! What is wrong with a policy, for people: file, line, column, the line itself, and what to do.

use std::fmt;
use std::path::PathBuf;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy cannot be loaded, or will fail.
    Error,
    /// It can be loaded, but is probably not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One finding in one file. Its text has the look of the Rust compiler's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the path of the policy was given.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The character in the line, from 1, where it is known.
    pub column: Option<usize>,
    /// What is wrong and what to do; may have several lines.
    pub message: String,
    /// The source line with a mark under the place, where it is known; several lines without a newline at the end.
    pub snippet: Option<String>,
}

impl Diagnostic {
    /// `file:line:column`, as far as known.
    pub fn at(&self) -> String {
        let mut text = self.file.clone();
        for number in [self.line, self.column].iter().map_while(|number| *number) {
            text += &format!(":{number}");
        }
        text
    }

    /// The message with the snippet under its first line.
    pub(crate) fn text(&self) -> String {
        let (headline, notes) = self.headline_and_notes();
        let parts = [Some(headline), self.snippet.as_deref(), notes];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        parts.join("\n")
    }

    /// The first line of the message.
    pub(crate) fn headline(&self) -> &str {
        self.headline_and_notes().0
    }

    fn headline_and_notes(&self) -> (&str, Option<&str>) {
        match self.message.split_once('\n') {
            Some((headline, notes)) => (headline, Some(notes)),
            None => (&self.message, None),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (headline, notes) = self.headline_and_notes();
        write!(f, "{}: {headline}\n --> {}", self.severity, self.at())?;
        [self.snippet.as_deref(), notes]
            .into_iter()
            .flatten()
            .try_for_each(|part| write!(f, "\n{part}"))
    }
}

/// Why a policy cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy {} cannot be loaded\n{}", .path.display(), .diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n"))]
pub struct LoadError {
    /// The policy's file.
    pub path: PathBuf,
    /// What is wrong with it; at least one.
    pub diagnostics: Vec<Diagnostic>,
}
