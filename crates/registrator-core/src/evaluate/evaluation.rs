//! What comes back from a policy: nodes, or an error with its place.

use crate::node::Nodes;
use std::fmt;

/// The result of one successful evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// What the policy asks for.
    pub nodes: Nodes,
    /// What it printed, line by line.
    pub log: Vec<LogLine>,
    /// Why it asks for nothing, or for nothing else, for those who run containers.
    pub reasons: Vec<String>,
}

/// The most reasons that one evaluation may give.
pub const MAX_REASONS: usize = 8;

/// The most bytes of one reason.
pub const MAX_REASON_BYTES: usize = 300;

/// A line that a policy printed or logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How important the policy says it is; what is merely printed is for writers of policies.
    pub level: Level,
    /// The line.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How loud a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For writers of policies.
    Debug,
    /// A change.
    Info,
    /// Something that somebody should look at; the rest works.
    Warn,
    /// Something does not work.
    Error,
}

/// Why an evaluation has no result. The container's last good nodes stay, for as long as it has what they name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", .at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default())]
pub struct EvalError {
    /// What kind of fault it is.
    pub kind: EvalErrorKind,
    /// What went wrong and what to do, with the source line where there is one; may have several lines.
    pub message: String,
    /// `file:line:column`, where known.
    pub at: Option<String>,
}

/// Kinds of faults, as `plan --json` and the metrics name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvalErrorKind {
    /// The policy's code failed.
    Raised,
    /// It used too much time, memory or call depth.
    Limit,
    /// It returned something that is not nodes: a wrong type, a bad key, a key outside its prefixes.
    Type,
    /// The interpreter failed.
    Host,
}

impl fmt::Display for EvalErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EvalErrorKind::Raised => "raised",
            EvalErrorKind::Limit => "limit",
            EvalErrorKind::Type => "type",
            EvalErrorKind::Host => "host",
        })
    }
}
