//! Sorts what the child printed by evaluation.
//!
//! The host script writes a line with a NUL and the evaluation's number before it begins, and marks the lines of the policy's
//! logger. All else is what the policy printed.

use crate::log::Log;
use registrator_core::evaluate::evaluation::Level;

/// Keeps the beginning of lines and of evaluations across reads.
#[derive(Debug, Default)]
pub(super) struct Printed {
    bytes: Vec<u8>,
    /// The evaluation that the bytes begin in; `None` while loading.
    within: Option<u64>,
}

impl Printed {
    /// Takes in what was printed.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Moves what was printed while loading or in evaluation `id` into its log, line by line. What was printed in one that nobody
    /// waited for is lost.
    pub(super) fn take(&mut self, id: u64, log: &mut Log) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (line, next) = split(rest, |byte| *byte == b'\n');
            match mark(line) {
                // What was printed without a newline stands before the mark of the next evaluation.
                Some((begun, before)) => {
                    if !before.is_empty() {
                        self.push(id, before, log);
                    }
                    self.within = Some(begun);
                    if begun > id {
                        self.bytes = rest.get(before.len()..).unwrap_or_default().to_vec();
                        return;
                    }
                }
                None => self.push(id, line, log),
            }
            rest = next;
        }
    }

    fn push(&self, id: u64, line: &[u8], log: &mut Log) {
        if self.within.is_none_or(|within| within == id) {
            push(line, log);
        }
    }
}

fn split(bytes: &[u8], is_end: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, is_end);
    let first = parts.next().unwrap_or_default();
    (first, parts.next().unwrap_or_default())
}

/// The number in a line that begins an evaluation, and what stands before it.
fn mark(line: &[u8]) -> Option<(u64, &[u8])> {
    let at = line.iter().rposition(|byte| *byte == 0)?;
    let number = std::str::from_utf8(line.get(at + 1..)?).ok()?;
    Some((number.parse().ok()?, line.get(..at)?))
}

fn push(line: &[u8], log: &mut Log) {
    let (level, text) = match line {
        [1, b'I' | b'A', text @ ..] => (Level::Info, text),
        [1, b'W', text @ ..] => (Level::Warn, text),
        [1, b'E' | b'F', text @ ..] => (Level::Error, text),
        [1, b'D', text @ ..] => (Level::Debug, text),
        text => (Level::Debug, text),
    };
    log.push(level, &String::from_utf8_lossy(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Limits;

    fn taken(printed: &mut Printed, id: u64) -> Vec<String> {
        let mut log = Log::new(&Limits::default());
        printed.take(id, &mut log);
        let lines = log.into_lines().into_iter();
        lines
            .map(|line| format!("{:?} {}", line.level, line.text))
            .collect()
    }

    #[test]
    fn lines_belong_to_the_evaluation_that_was_begun_before_them() {
        let mut printed = Printed::default();
        printed.add(b"loading\n\x001\na\n\x01Wb\nunfinished\x002\nc\n\n\x01Ed");
        assert_eq!(
            taken(&mut printed, 1),
            ["Debug loading", "Debug a", "Warn b", "Debug unfinished"]
        );
        printed.add(b"\x003\ne\n");
        assert_eq!(taken(&mut printed, 2), ["Debug c", "Debug ", "Error d"]);
        assert_eq!(taken(&mut printed, 3), ["Debug e"]);
        printed.add(b"\x004\nunasked\n\x005\nf\n");
        assert_eq!(taken(&mut printed, 5), ["Debug f"]);
        printed.add(b"late\n");
        assert!(taken(&mut printed, 6).is_empty());
    }
}
