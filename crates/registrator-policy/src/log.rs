//! Keeps what a policy prints, within limits.

use crate::settings::Limits;
use registrator_core::evaluate::evaluation::{Level, LogLine};

/// How many printed lines are shown with an error.
const SHOWN: usize = 10;

/// The lines of one evaluation.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Vec<LogLine>,
    lines_left: usize,
    bytes_left: usize,
}

impl Log {
    pub(crate) fn new(limits: &Limits) -> Log {
        Log {
            lines: Vec::new(),
            lines_left: limits.log_lines,
            bytes_left: limits.log_bytes,
        }
    }

    /// The lines, with a last one that says so if there were more. They are no longer in here.
    pub(crate) fn take_lines(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines)
    }

    /// The last lines, to be put under an error message.
    pub(crate) fn shown(&self) -> String {
        let last = self.lines.iter();
        let last = last.skip(self.lines.len().saturating_sub(SHOWN));
        last.map(|line| format!("\nprinted: {}", line.text))
            .collect()
    }

    pub(crate) fn push(&mut self, level: Level, text: &str) {
        if self.lines_left == 0 {
            return;
        }
        let too_much = self.lines_left == 1 || text.len() > self.bytes_left;
        let (level, text) = if too_much {
            (Level::Debug, "… (more was printed than is kept)")
        } else {
            (level, text)
        };
        self.lines.push(LogLine {
            level,
            text: text.to_owned(),
        });
        self.lines_left = if too_much { 0 } else { self.lines_left - 1 };
        self.bytes_left = self.bytes_left.saturating_sub(text.len());
    }
}
