//! Policies and configurations as files: what is there now, and what changes.
//!
//! An error removes nothing: a file or folder that cannot be read is reported, and what was made from it before stays.

mod configs;
mod contents;
mod folders;
mod known;
mod policies;
mod seen;
mod snapshot;
mod watch;

pub use configs::scan_configs;
pub use policies::{PolicyFile, scan_policies};
pub use watch::{FileWatch, Pace, watch};

use registrator_core::observe::config::RawConfig;
use registrator_core::observe::watch::SourceEvent;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Where the files are, as the settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// `--policies`: a folder, a pattern, or one file.
    pub policies: String,
    /// `--services`: the folder of the configurations.
    pub services: PathBuf,
}

/// What [`watch()`] reports: first everything, with `Policies` once and a complete list of `Configs`; then what differs.
#[derive(Debug, Clone, PartialEq)]
pub enum FileUpdate {
    /// Policy files to load, or to forget. Reported once at the start even if there is none.
    Policies(PolicyChanges),
    Configs(SourceEvent<RawConfig>),
    /// Something cannot be read. Reported once while it lasts, and again after [`FileWatch::reload`].
    Problem(Problem),
    /// All files and folders that cannot be read now. Reported when they change: new ones before whatever else is reported, and
    /// those that can be read again after it.
    Unread(BTreeSet<PathBuf>),
    /// Somebody asked for a reload; whatever differs follows.
    ReloadRequested,
}

/// How the policy files differ from what was reported before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChanges {
    /// Files that are new, or whose contents differ; all of them if a helper file differs.
    pub changed: Vec<PolicyFile>,
    /// Files that are gone, and no other file has their name.
    pub gone: Vec<PolicyFile>,
}

/// Something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub path: PathBuf,
    /// What is wrong and what to do, without the path where it is obvious.
    pub message: String,
}

/// Why there is no list of files.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Nothing is where the policies should be.
    #[error("{} does not exist: put policies (*.star, *.rb) there, or name another place with --policies (KONTENA_REGISTRATOR_POLICIES)", .0.display())]
    NoPolicies(PathBuf),
    /// A single file is given, and its name is not that of a policy.
    #[error("{} is not a policy: --policies (KONTENA_REGISTRATOR_POLICIES) takes a folder, a pattern, or a *.star or *.rb file", .0.display())]
    NotAPolicy(PathBuf),
    /// The pattern cannot be understood.
    #[error("--policies (KONTENA_REGISTRATOR_POLICIES) {pattern:?} is not a valid pattern")]
    Pattern {
        pattern: String,
        #[source]
        source: glob::PatternError,
    },
    /// Two policies would have the same name.
    #[error("{} and {} would both be policy {name}: rename one of them", .first.display(), .second.display())]
    SameName {
        name: String,
        /// A file.
        first: PathBuf,
        /// Another file.
        second: PathBuf,
    },
    /// A folder cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is no thread for watching.
    #[error("cannot start the thread that watches files")]
    Thread(#[source] io::Error),
}

impl FilesError {
    /// The file or folder that the error is about.
    fn path(&self) -> PathBuf {
        match self {
            FilesError::NoPolicies(path)
            | FilesError::NotAPolicy(path)
            | FilesError::SameName { second: path, .. }
            | FilesError::Read { path, .. } => path.clone(),
            FilesError::Pattern { pattern, .. } => pattern.into(),
            FilesError::Thread(_) => PathBuf::new(),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        path: path.into(),
        message: format!("cannot be read: {error}"),
    }
}

/// Whether the name begins with a dot.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with('.')
}

#[cfg(test)]
mod tests;
