//! What becomes of lines while their writer is slow, stands still, or fails.

use super::*;
use crate::logging::Format;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

/// A writer that asks before each write what it is to do.
struct Asking {
    asks: Sender<()>,
    answers: Receiver<io::Result<()>>,
    written: Sender<String>,
}

impl Write for Asking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.asks.send(());
        // Who asks no more lets all pass.
        self.answers.recv().unwrap_or(Ok(()))?;
        let _ = self
            .written
            .send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct World {
    queue: Arc<Queue>,
    asks: Receiver<()>,
    answers: Sender<io::Result<()>>,
    written: Receiver<String>,
}

impl World {
    fn new(format: Format) -> World {
        let (asks, asked) = channel();
        let (answers, answered) = channel();
        let (written, lines) = channel();
        let writer = Asking {
            asks,
            answers: answered,
            written,
        };
        let style = Style {
            format,
            colour: false,
        };
        World {
            queue: Queue::start(style, writer).unwrap(),
            asks: asked,
            answers,
            written: lines,
        }
    }

    /// Waits until the writer stands at its next write.
    fn at_a_write(&self) {
        self.asks.recv_timeout(PATIENCE).unwrap();
    }

    fn push(&self, level: Level, text: &str) {
        self.queue.push(level, format!("{text}\n"));
    }

    /// All that was written at the end, without the time.
    fn end(self) -> Vec<String> {
        drop(self.answers);
        assert!(self.queue.flush(PATIENCE));
        let lines = self.written.try_iter().map(|line| {
            let end = line.find("Z ").map_or(0, |at| at + 2);
            line.get(end..).unwrap_or_default().trim_end().to_owned()
        });
        lines.collect()
    }
}

/// Lines of a quarter of the queue's room; three fit.
fn big(name: char) -> String {
    std::iter::repeat_n(name, MAX_BYTES / 4).collect()
}

fn shortened(lines: Vec<String>) -> Vec<String> {
    let short = |line: String| line.chars().take(90).collect::<String>();
    let first = |line: String| line.chars().take(1).collect::<String>();
    let lines = lines.into_iter();
    lines
        .map(|line| {
            if line.len() > 1000 {
                first(line)
            } else {
                short(line)
            }
        })
        .collect()
}

#[test]
fn what_does_not_fit_is_counted_in_its_place() {
    let world = World::new(Format::Text);
    world.push(Level::INFO, "first");
    world.at_a_write();
    let begin = Instant::now();
    for name in ['a', 'b', 'c', 'd', 'e'] {
        world.push(Level::INFO, &big(name));
    }
    world.push(Level::ERROR, "small, but after a line that did not fit");
    assert!(begin.elapsed() < PATIENCE / 2, "nobody waited");
    for _ in ["first", "a", "b"] {
        world.answers.send(Ok(())).unwrap();
        world.at_a_write();
    }
    world.push(Level::WARN, "there is room again");
    let lines = shortened(world.end());
    let lost = "WARN  3 lines are missing here: standard error did not take them error=1 info=2";
    assert_eq!(lines, ["first", "a", "b", "c", lost, "there is room again"]);
}

#[test]
fn the_number_is_told_without_a_further_line_and_as_json_too() {
    let world = World::new(Format::Json);
    world.push(Level::INFO, "first");
    world.at_a_write();
    for name in ['a', 'b', 'c', 'd'] {
        world.push(Level::DEBUG, &big(name));
    }
    let lines = world.end();
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["level"], "warn");
    assert_eq!(last["debug"], 1);
    assert_eq!(
        last["message"],
        "1 line is missing here: standard error did not take it"
    );
}

#[test]
fn last_words_always_fit() {
    let world = World::new(Format::Text);
    world.push(Level::INFO, "first");
    world.at_a_write();
    for name in ['a', 'b', 'c', 'd'] {
        world.push(Level::INFO, &big(name));
    }
    world
        .queue
        .push_always(Level::ERROR, "last words\n".to_owned());
    assert_eq!(world.end().last().unwrap(), "last words");
}

/// As on a full disk.
#[test]
fn what_cannot_be_written_is_counted_too() {
    let world = World::new(Format::Text);
    let full = || Err(io::ErrorKind::StorageFull.into());
    for name in ["a", "b", "c"] {
        world.answers.send(full()).unwrap();
        world.push(Level::INFO, name);
        world.at_a_write();
    }
    assert!(world.queue.flush(PATIENCE));
    world.push(Level::INFO, "d");
    let lost = "WARN  3 lines are missing here: standard error did not take them info=3";
    assert_eq!(shortened(world.end()), [lost, "d"]);
}

/// As if another process that has it too made it non-blocking.
#[test]
fn a_write_that_would_block_is_tried_again() {
    let world = World::new(Format::Text);
    for _ in 0..3 {
        let error = io::ErrorKind::WouldBlock.into();
        world.answers.send(Err(error)).unwrap();
    }
    world.push(Level::INFO, "a");
    assert_eq!(world.end(), ["a"]);
}

#[test]
fn lines_that_wait_are_written_together_but_no_more_than_a_pipe_takes_in_one_piece() {
    let world = World::new(Format::Text);
    world.push(Level::INFO, "first");
    world.at_a_write();
    let [x, y] = ["x", "y"].map(|letter| letter.repeat(MOST_AT_ONCE - 10));
    for line in ["a", "b", &x, &y] {
        world.push(Level::INFO, line);
    }
    assert_eq!(world.end(), ["first".to_owned(), format!("a\nb\n{x}"), y]);
}

/// A writer that takes so many bytes, and then is full.
struct Filling(usize);

impl Write for Filling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn of_lines_that_are_written_together_those_count_as_lost_that_were_not_taken_whole() {
    let mut batch = Batch::default();
    for level in [Level::INFO, Level::WARN, Level::ERROR] {
        batch.add(level, "line\n".to_owned());
    }
    let style = Style {
        format: Format::Text,
        colour: false,
    };
    for (room, expected) in [(4, 3), (5, 2), (9, 2), (10, 1), (15, 0)] {
        let mut output = Output {
            style,
            writer: Filling(room),
            lost: Lost::default(),
        };
        output.lines(&batch);
        assert_eq!(output.lost.0.len(), expected, "{room} bytes");
    }
}

#[test]
fn the_end_waits_for_a_writer_but_not_longer_than_it_may() {
    let world = World::new(Format::Text);
    assert!(world.queue.flush(Duration::ZERO), "nothing to write");
    world.push(Level::INFO, "a");
    world.at_a_write();
    assert!(!world.queue.flush(Duration::from_millis(1)));
    assert_eq!(world.end(), ["a"]);
}
