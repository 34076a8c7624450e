//! A folder of a test, which is removed with it, or if the test is killed, by the next: `scripts/leftovers.sh`.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;

/// Removes the folders that nobody has locked.
const LEFTOVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/leftovers.sh");

/// A folder that is ours for as long as we live.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    /// Ends with the process, however that ends.
    _lock: File,
}

impl Folder {
    /// A new and empty one, after removing those that nobody has any more.
    pub(crate) fn make() -> Self {
        static LOOKED: Once = Once::new();
        LOOKED.call_once(remove_leftovers);
        loop {
            let folder = tempfile::Builder::new()
                .prefix("registrator-engine-")
                .tempdir();
            let folder = folder.expect("a temporary folder");
            // Another test may have taken it for a leftover in between, and locked and removed it.
            let lock = File::open(folder.path()).and_then(|lock| lock.lock().map(|()| lock));
            if let Ok(lock) = lock
                && folder.path().exists()
            {
                return Self {
                    folder,
                    _lock: lock,
                };
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its last part, which no other folder has.
    pub(crate) fn name(&self) -> String {
        let name = self.path().file_name().expect("a folder has a name");
        name.to_string_lossy().into_owned()
    }
}

fn remove_leftovers() {
    let status = Command::new(LEFTOVERS).stdin(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "{LEFTOVERS}");
}
