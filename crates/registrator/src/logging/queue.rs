//! The lines that wait for standard error. It may be a pipe that nobody reads, a stopped terminal or a disk that hangs, so a thread of
//! its own writes there, and nobody else ever waits for it.

use super::line::{Line, Style};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Level;

/// The most bytes that wait: about 30,000 lines. A host with thousands of containers logs so many at its start, faster than a
/// journal takes them. More would only cost memory: a reader that is so far behind does not read.
const MAX_BYTES: usize = 4 << 20;

/// How long a write that would block is put off, if standard error was made non-blocking by another process that has it.
const PAUSE: Duration = Duration::from_millis(20);

/// Lines on their way to standard error.
#[derive(Debug)]
pub(super) struct Queue {
    backlog: Mutex<Backlog>,
    /// There are lines, or none any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Backlog {
    entries: VecDeque<Entry>,
    /// Of all entries.
    bytes: usize,
    /// Whether one is being written.
    writing: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Level, String),
    /// Lines that did not fit, in their place.
    Lost(Lost),
}

/// How many lines of which level are missing.
#[derive(Debug, Default)]
struct Lost(BTreeMap<Level, u64>);

impl Queue {
    /// An empty one whose lines go to `writer`.
    ///
    /// # Errors
    /// There is no thread.
    pub(super) fn start(
        style: Style,
        writer: impl Write + Send + 'static,
    ) -> io::Result<Arc<Queue>> {
        let queue = Arc::new(Queue {
            backlog: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&queue);
        let output = Output {
            style,
            writer,
            lost: Lost::default(),
        };
        let thread = std::thread::Builder::new().name("log".into());
        thread.spawn(move || own.run(output))?;
        Ok(queue)
    }

    /// Queues a line, or counts it as lost. Never waits for the output.
    pub(super) fn push(&self, level: Level, text: String) {
        let mut backlog = self.lock();
        if backlog.has_room(text.len()) {
            backlog.push_line(level, text);
        } else {
            backlog.count_as_lost(level);
        }
        drop(backlog);
        self.changed.notify_all();
    }

    /// Queues a line that must not be lost. To be used for the last words of the program only.
    pub(super) fn push_always(&self, level: Level, text: String) {
        self.lock().push_line(level, text);
        self.changed.notify_all();
    }

    /// Waits until all is written, but not longer than `limit`. Tells whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let backlog = self.lock();
        let busy = |backlog: &mut Backlog| backlog.writing || !backlog.entries.is_empty();
        let waited = self.changed.wait_timeout_while(backlog, limit, busy);
        let waited = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    fn run<W: Write>(&self, mut output: Output<W>) {
        loop {
            match self.next() {
                Entry::Line(level, text) => output.line(level, &text),
                Entry::Lost(lost) => output.lost(lost),
            }
        }
    }

    /// Waits for the next entry.
    fn next(&self) -> Entry {
        let mut backlog = self.lock();
        backlog.writing = false;
        self.changed.notify_all();
        loop {
            if let Some(entry) = backlog.entries.pop_front() {
                backlog.bytes -= entry.bytes();
                backlog.writing = true;
                return entry;
            }
            backlog = self
                .changed
                .wait(backlog)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog {
    /// After a line that did not fit there is room when half of all is written, so that the log is not lines and gaps by turns.
    fn has_room(&self, bytes: usize) -> bool {
        let most = match self.entries.back() {
            Some(Entry::Lost(_)) => MAX_BYTES / 2,
            _ => MAX_BYTES,
        };
        self.bytes + bytes <= most
    }

    fn push_line(&mut self, level: Level, text: String) {
        let entry = Entry::Line(level, text);
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    fn count_as_lost(&mut self, level: Level) {
        if let Some(Entry::Lost(lost)) = self.entries.back_mut() {
            lost.count(level);
            return;
        }
        let mut lost = Lost::default();
        lost.count(level);
        self.entries.push_back(Entry::Lost(lost));
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Entry::Line(_, text) => text.len() + size_of::<Entry>(),
            Entry::Lost(_) => 0,
        }
    }
}

impl Lost {
    fn count(&mut self, level: Level) {
        *self.0.entry(level).or_default() += 1;
    }

    fn add(&mut self, other: Lost) {
        for (level, count) in other.0 {
            *self.0.entry(level).or_default() += count;
        }
    }
}

/// Where the lines go, and what could not be written there.
struct Output<W> {
    style: Style,
    writer: W,
    lost: Lost,
}

impl<W: Write> Output<W> {
    /// Nobody can be told that standard error is closed or its disk full; when it takes lines again it is told what is missing.
    fn line(&mut self, level: Level, text: &str) {
        if !self.tell_lost() || self.write(text).is_err() {
            self.lost.count(level);
        }
    }

    fn lost(&mut self, lost: Lost) {
        self.lost.add(lost);
        self.tell_lost();
    }

    /// Writes what is missing. False if that cannot be written either.
    fn tell_lost(&mut self) -> bool {
        if self.lost.0.is_empty() {
            return true;
        }
        let line = Line::lost(&self.lost.0);
        let written = self.write(&self.style.show(line)).is_ok();
        if written {
            self.lost.0.clear();
        }
        written
    }

    /// In one write if possible, so that lines of several processes do not mix.
    fn write(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.writer.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                    _ => return Err(error),
                },
            }
        }
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests;
