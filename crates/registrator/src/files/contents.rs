//! Reading and comparing files.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::Path;

/// The largest file that is read, in bytes. Policies and configurations are written by hand.
const MAX_BYTES: u64 = 1 << 20;

/// The whole of a regular file.
///
/// # Errors
/// It cannot be read, is not a regular file (a pipe would block for ever), or is larger than [`MAX_BYTES`].
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is larger than 1 MiB")),
        false => Ok(bytes),
    }
}

/// Equal for equal values, within this process.
pub(super) fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Changes when the file does, as far as can be seen without reading it. A file that is not there has one too.
pub(super) fn stat(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let seen = |meta: Metadata| {
        let times = (
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        );
        (meta.dev(), meta.ino(), meta.len(), times)
    };
    hash(&std::fs::metadata(path).ok().map(seen))
}
