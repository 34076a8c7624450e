//! Reading and comparing files.

use super::seen::{Seen, Stamp};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::Path;

/// The largest file that is read, in bytes. Policies and configurations are written by hand.
const MAX_BYTES: u64 = 1 << 20;

/// The whole of a regular file.
///
/// # Errors
/// It cannot be read, is not a regular file (a pipe could block forever), or is larger than [`MAX_BYTES`].
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// What is remembered of a file that was read. Equal for equal contents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    stamp: Option<Stamp>,
    hash: u64,
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        self.hash == other.hash
    }
}

impl Content {
    /// Has the file read again, however it looks.
    pub(super) fn distrust(&mut self) {
        self.stamp = None;
    }
}

/// A file that was looked at again.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) content: Content,
    /// What is in it, unless that is what was in it before.
    pub(super) new: Option<Vec<u8>>,
}

/// Reads a file, unless it looks as it did when `known` was read.
///
/// # Errors
/// As for [`read`].
pub(super) fn reread(file: &Seen, known: Option<Content>) -> io::Result<Reading> {
    if let Some(content) = known
        && content.stamp.is_some()
        && content.stamp == file.stamp
    {
        return Ok(Reading { content, new: None });
    }
    let bytes = read(&file.path)?;
    let content = Content {
        stamp: file.stamp,
        hash: hash(&bytes),
    };
    let is_new = known != Some(content);
    Ok(Reading {
        content,
        new: is_new.then_some(bytes),
    })
}

/// Equal for equal bytes, within this process.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn seen(path: &Path, stamp: Option<u64>) -> Seen {
        Seen {
            path: path.into(),
            folder: None,
            stamp: stamp.map(Stamp::numbered),
        }
    }

    #[test]
    fn only_what_looks_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1").unwrap();
        let first = reread(&seen(&path, Some(1)), None).unwrap();
        assert_eq!(first.new.as_deref(), Some(&b"1"[..]));
        let known = Some(first.content);
        fs::write(&path, "2").unwrap();
        let unread = reread(&seen(&path, Some(1)), known).unwrap();
        assert_eq!(unread.new, None, "it looks as before");
        let changed = reread(&seen(&path, Some(2)), known).unwrap();
        assert_eq!(changed.new.as_deref(), Some(&b"2"[..]));
        let touched = reread(&seen(&path, Some(3)), Some(changed.content)).unwrap();
        assert_eq!(touched.new, None, "the contents are the same");
        let mut distrusted = first.content;
        distrusted.distrust();
        let again = reread(&seen(&path, Some(1)), Some(distrusted)).unwrap();
        assert_eq!(again.new.as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn what_may_change_unseen_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1").unwrap();
        let first = reread(&seen(&path, None), None).unwrap();
        fs::write(&path, "2").unwrap();
        let second = reread(&seen(&path, None), Some(first.content)).unwrap();
        assert_eq!(second.new.as_deref(), Some(&b"2"[..]));
    }
}
