//! Reads what an interpreter printed in an evaluation.
//!
//! It prints before it answers, so all that is there after an answer, and was not taken before, belongs to that evaluation.

use crate::log::Log;
use registrator_core::evaluate::evaluation::Level;

/// Adds it to the evaluation's log, line by line. The host script marks the lines of the policy's logger.
pub(super) fn add(printed: &[u8], log: &mut Log) {
    for line in printed.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (level, text) = match line {
            [1, b'R', text @ ..] => {
                log.explain(&String::from_utf8_lossy(text));
                continue;
            }
            [1, b'I' | b'A', text @ ..] => (Level::Info, text),
            [1, b'W', text @ ..] => (Level::Warn, text),
            [1, b'E' | b'F', text @ ..] => (Level::Error, text),
            [1, b'D', text @ ..] => (Level::Debug, text),
            text => (Level::Debug, text),
        };
        log.push(level, &String::from_utf8_lossy(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Limits;

    fn check(printed: &str, expected: &[&str]) {
        let mut log = Log::new(&Limits::default());
        add(printed.as_bytes(), &mut log);
        let lines: Vec<String> = log
            .take_lines()
            .into_iter()
            .map(|line| format!("{:?} {}", line.level, line.text))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_have_the_level_of_their_mark() {
        check("", &[]);
        check(
            "a\n\u{1}Wb\n\n\u{1}Ed\nunfinished",
            &["Debug a", "Warn b", "Debug ", "Error d", "Debug unfinished"],
        );
        check("a\n", &["Debug a"]);
        check("\n", &["Debug "]);
    }

    #[test]
    fn reasons_are_no_lines() {
        let mut log = Log::new(&Limits::default());
        add(b"\x01Rnot for us\na\n", &mut log);
        assert_eq!(log.take_reasons(), ["not for us"]);
        assert_eq!(log.take_lines().len(), 1);
    }
}
