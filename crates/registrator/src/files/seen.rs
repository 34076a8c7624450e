//! What can be seen of files and folders without reading them.

use super::is_hidden;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How old a change must be, in seconds, for the next one to show in a file's times: the clocks of file systems go in steps.
const SETTLED: i64 = 2;

/// A file or folder as it is seen without being read. Links are followed.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    /// Which folder it is; `None` for a file.
    pub(super) folder: Option<FolderId>,
    /// `None` if the file is not there, or has changed so lately that it may change again without showing it.
    pub(super) stamp: Option<Stamp>,
}

/// Names a folder, whatever path leads to it: its disk and its number there.
pub(super) type FolderId = (u64, u64);

/// Differs when a file's contents do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    id: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    /// What is there now.
    pub(super) fn at(path: PathBuf) -> Seen {
        let now = seconds(SystemTime::now());
        let mut seen = Seen {
            path,
            folder: None,
            stamp: None,
        };
        if let Ok(meta) = std::fs::metadata(&seen.path) {
            if meta.is_dir() {
                seen.folder = Some((meta.dev(), meta.ino()));
            } else if is_settled(meta.ctime(), now) {
                seen.stamp = Some(Stamp::of(&meta));
            }
        }
        seen
    }

    pub(super) fn is_dir(&self) -> bool {
        self.folder.is_some()
    }
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp {
            id: (meta.dev(), meta.ino()),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What is in a folder, hidden files and folders left out, in no order.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !is_hidden(&path) {
            seen.push(Seen::at(path));
        }
    }
    Ok(seen)
}

fn is_settled(changed: i64, now: i64) -> bool {
    changed.saturating_add(SETTLED) < now
}

/// Since 1970. A clock before that settles nothing.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
impl Stamp {
    /// A stamp for tests, one for each number.
    pub(super) fn numbered(number: u64) -> Stamp {
        Stamp {
            id: (1, number),
            bytes: 0,
            modified: (0, 0),
            changed: (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_just_changed_may_change_again_unseen() {
        assert!(!is_settled(100, 100));
        assert!(!is_settled(100, 102));
        assert!(is_settled(100, 103));
        assert!(!is_settled(100, 0), "the clock is behind");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new");
        std::fs::write(&file, "").unwrap();
        assert_eq!(Seen::at(file).stamp, None);
    }
}
