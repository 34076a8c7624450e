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

/// The most bytes of several lines in one write: a pipe takes so many in one piece.
const MOST_AT_ONCE: usize = 4096;

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
    /// Whether some are being written.
    writing: bool,
    /// Whether the thread sleeps, and has to be woken. A thread that is awake looks by itself.
    sleeping: bool,
    /// Whether somebody waits for the end of all entries.
    awaited: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Level, String),
    /// Lines that did not fit, in their place.
    Lost(Lost),
}

/// Lines that are written at once.
#[derive(Debug, Default)]
struct Batch {
    text: String,
    /// Their levels, and where in the text each ends.
    lines: Vec<(Level, usize)>,
}

/// What is to be written next.
#[derive(Debug)]
enum Next {
    Lines(Batch),
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
        self.wake(backlog);
    }

    /// Queues a line that must not be lost. To be used for the last words of the program only.
    pub(super) fn push_always(&self, level: Level, text: String) {
        let mut backlog = self.lock();
        backlog.push_line(level, text);
        self.wake(backlog);
    }

    fn wake(&self, mut backlog: MutexGuard<'_, Backlog>) {
        let sleeping = std::mem::take(&mut backlog.sleeping);
        drop(backlog);
        if sleeping {
            self.changed.notify_all();
        }
    }

    /// Waits until all is written, but not longer than `limit`. Tells whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let backlog = self.lock();
        let busy = |backlog: &mut Backlog| {
            let busy = backlog.writing || !backlog.entries.is_empty();
            backlog.awaited |= busy;
            busy
        };
        let waited = self.changed.wait_timeout_while(backlog, limit, busy);
        let waited = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    fn run<W: Write>(&self, mut output: Output<W>) {
        loop {
            match self.next() {
                Next::Lines(batch) => output.lines(&batch),
                Next::Lost(lost) => output.lost(lost),
            }
        }
    }

    /// Waits for what is to be written next.
    fn next(&self) -> Next {
        let mut backlog = self.lock();
        loop {
            let next = backlog.take();
            backlog.writing = next.is_some();
            if let Some(next) = next {
                return next;
            }
            if std::mem::take(&mut backlog.awaited) {
                self.changed.notify_all();
            }
            backlog.sleeping = true;
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

    /// The first lines, as many as make one write, or how many are lost in their place.
    fn take(&mut self) -> Option<Next> {
        let mut batch = Batch::default();
        loop {
            match self.entries.pop_front() {
                Some(Entry::Line(level, text)) if batch.has_room(&text) => {
                    self.bytes -= text.len() + size_of::<Entry>();
                    batch.add(level, text);
                }
                Some(Entry::Lost(lost)) if batch.lines.is_empty() => return Some(Next::Lost(lost)),
                Some(entry) => {
                    self.entries.push_front(entry);
                    break;
                }
                None => break,
            }
        }
        (!batch.lines.is_empty()).then_some(Next::Lines(batch))
    }

    fn push_line(&mut self, level: Level, text: String) {
        self.bytes += text.len() + size_of::<Entry>();
        self.entries.push_back(Entry::Line(level, text));
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

impl Batch {
    /// A line that is too long for any batch is one by itself.
    fn has_room(&self, text: &str) -> bool {
        self.text.is_empty() || self.text.len() + text.len() <= MOST_AT_ONCE
    }

    fn add(&mut self, level: Level, text: String) {
        if self.text.is_empty() {
            self.text = text;
        } else {
            self.text.push_str(&text);
        }
        self.lines.push((level, self.text.len()));
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
    fn lines(&mut self, batch: &Batch) {
        let written = if self.tell_lost() {
            self.write(&batch.text)
        } else {
            0
        };
        for (level, end) in &batch.lines {
            if *end > written {
                self.lost.count(*level);
            }
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
        let line = self.style.show(Line::lost(&self.lost.0));
        let told = self.write(&line) == line.len();
        if told {
            self.lost.0.clear();
        }
        told
    }

    /// In one write if possible, so that lines of several processes do not mix. Tells how many bytes were taken: all, or those before
    /// a failure.
    fn write(&mut self, text: &str) -> usize {
        let mut written = 0;
        while let Some(rest @ [_, ..]) = text.as_bytes().get(written..) {
            match self.writer.write(rest) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                    _ => break,
                },
            }
        }
        written
    }
}

#[cfg(test)]
mod tests;
