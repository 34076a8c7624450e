//! Reads policy files, and no file outside the folder of the policy.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The largest policy file, in bytes.
pub(super) const MAX_SOURCE_BYTES: u64 = 256 << 10;

/// The text of one file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The file's real path: tells whether two files are one.
    pub(super) path: PathBuf,
    /// The path for people.
    pub(super) shown: String,
    /// What is in it.
    pub(super) text: String,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("cannot read {0}: {1}")]
    Read(String, io::Error),
    #[error("{0} is not a file")]
    NotAFile(String),
    #[error("{0} has more than {MAX_SOURCE_BYTES} bytes: a policy must be smaller")]
    TooLarge(String),
    #[error("{0} is not UTF-8 text: line {1} has other bytes")]
    NotText(String, usize),
    #[error(
        "load({0:?}): give the path of a *.star file below the policy's folder, as \"lib/dns.star\", without \"..\" and without a slash before it"
    )]
    Path(String),
    #[error("load({0:?}): the file is outside the policy's folder")]
    Outside(String),
}

/// The folder of a policy.
#[derive(Debug)]
pub(super) struct PolicyFolder {
    /// As it was given, for messages.
    shown: PathBuf,
    /// Without symbolic links.
    root: PathBuf,
}

impl PolicyFolder {
    /// The folder that the policy file is in.
    pub(super) fn of(policy: &Path) -> Result<PolicyFolder, SourceError> {
        let shown = policy.parent().unwrap_or(Path::new("")).to_path_buf();
        let here = if shown.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &shown
        };
        let root = here
            .canonicalize()
            .map_err(|error| SourceError::Read(here.display().to_string(), error))?;
        Ok(PolicyFolder { shown, root })
    }

    /// The path of a file within the folder.
    pub(super) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// The helper file that `load(path, …)` means.
    ///
    /// A change of a symbolic link between check and read can still lead outside: whoever may write in the folder is trusted.
    pub(super) fn helper(&self, path: &str) -> Result<Source, SourceError> {
        let relative = Path::new(path);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let is_star = relative
            .extension()
            .is_some_and(|extension| extension == "star");
        if !is_star || !relative.components().all(plain) {
            return Err(SourceError::Path(path.into()));
        }
        let shown = self.shown.join(relative).display().to_string();
        let real = self.root.join(relative).canonicalize();
        let real = real.map_err(|error| SourceError::Read(shown.clone(), error))?;
        if !real.starts_with(&self.root) {
            return Err(SourceError::Outside(path.into()));
        }
        read(&real, shown)
    }
}

/// Reads the policy file itself, which may be a symbolic link to anywhere.
pub(super) fn read_policy(path: &Path) -> Result<Source, SourceError> {
    let shown = path.display().to_string();
    let real = path
        .canonicalize()
        .map_err(|error| SourceError::Read(shown.clone(), error))?;
    read(&real, shown)
}

fn read(path: &Path, shown: String) -> Result<Source, SourceError> {
    let failed = |error| SourceError::Read(shown.clone(), error);
    // A pipe would block: look before it is opened.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(SourceError::NotAFile(shown));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_SOURCE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_SOURCE_BYTES {
        return Err(SourceError::TooLarge(shown));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source {
            path: path.into(),
            shown,
            text,
        }),
        Err(error) => {
            let valid = error
                .as_bytes()
                .iter()
                .take(error.utf8_error().valid_up_to());
            let line = 1 + valid.filter(|byte| **byte == b'\n').count();
            Err(SourceError::NotText(shown, line))
        }
    }
}
