//! Keeps what a policy prints, within limits.

use crate::settings::Limits;
use registrator_core::evaluate::evaluation::{Level, LogLine, MAX_REASON_BYTES, MAX_REASONS};

/// How many printed lines are shown with an error.
const SHOWN: usize = 10;

/// The lines of one evaluation.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Vec<LogLine>,
    reasons: Vec<String>,
    lines_left: usize,
    bytes_left: usize,
}

impl Log {
    pub(crate) fn new(limits: &Limits) -> Log {
        Log {
            lines: Vec::new(),
            reasons: Vec::new(),
            lines_left: limits.log_lines,
            bytes_left: limits.log_bytes,
        }
    }

    /// The lines, with a last one that says so if there were more. They are no longer in here.
    pub(crate) fn take_lines(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines)
    }

    /// The reasons. They are no longer in here.
    pub(crate) fn take_reasons(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reasons)
    }

    /// Keeps a reason, each once, and as much of it as there is room for.
    pub(crate) fn explain(&mut self, text: &str) {
        let text = text.trim();
        let is_new = !text.is_empty() && !self.reasons.iter().any(|reason| reason == text);
        if !is_new || self.reasons.len() >= MAX_REASONS {
            return;
        }
        let end = text.floor_char_boundary(MAX_REASON_BYTES - "…".len());
        self.reasons.push(match text.get(..end) {
            Some(beginning) if text.len() > MAX_REASON_BYTES => format!("{beginning}…"),
            _ => text.to_owned(),
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_kept_once_and_within_limits() {
        let mut log = Log::new(&Limits::default());
        for text in ["a", " a\n", "", "b"] {
            log.explain(text);
        }
        log.explain(&"ü".repeat(MAX_REASON_BYTES));
        (0..MAX_REASONS).for_each(|number| log.explain(&number.to_string()));
        let reasons = log.take_reasons();
        assert_eq!(reasons.len(), MAX_REASONS);
        assert_eq!(reasons[..2], ["a", "b"]);
        assert!(reasons[2].len() <= MAX_REASON_BYTES && reasons[2].ends_with("ü…"));
        assert_eq!(log.take_lines(), [], "they are no lines of the log");
    }
}
