//! A pipe that is full and that nobody reads, as a log driver or a terminal is that stands still.

#![allow(clippy::expect_used, clippy::panic)]

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Linux's.
const O_NONBLOCK: i32 = 0o4000;
/// What it is filled with.
const FILLING: u8 = b'.';

pub(crate) struct StuckPipe {
    folder: tempfile::TempDir,
    reader: File,
}

impl StuckPipe {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        // Open in both directions at once it does not wait for the other end.
        let mut both = OpenOptions::new();
        both.read(true).write(true).custom_flags(O_NONBLOCK);
        let mut reader = both.open(&path).expect("a pipe");
        for piece in [&[FILLING; 4096][..], &[FILLING]] {
            while reader.write(piece).is_ok() {}
        }
        Self { folder, reader }
    }

    /// An end to write to, which waits until there is room.
    pub(crate) fn writer(&self) -> Stdio {
        let mut both = OpenOptions::new();
        both.read(true).write(true);
        both.open(self.path()).expect("a pipe").into()
    }

    /// Reads, from now on, until this comes. All that came, without the filling.
    pub(crate) fn read_until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut text = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(count) => text.extend(buffer[..count].iter().filter(|byte| **byte != FILLING)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let text = String::from_utf8_lossy(&text);
                    if text.contains(words) {
                        return text.into_owned();
                    }
                    assert!(Instant::now() < deadline, "no {words:?} in\n{text}");
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("pipe")
    }
}
