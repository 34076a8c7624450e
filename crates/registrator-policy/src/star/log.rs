//! Keeps what a policy prints, within limits.

use crate::settings::Limits;
use starlark::PrintHandler;
use std::cell::RefCell;

/// How many printed lines are shown with an error.
const SHOWN: usize = 10;

/// The lines of one evaluation.
pub(super) struct Log {
    lines: RefCell<Vec<String>>,
    left: RefCell<(usize, usize)>,
}

impl Log {
    pub(super) fn new(limits: &Limits) -> Log {
        Log {
            lines: RefCell::default(),
            left: RefCell::new((limits.log_lines, limits.log_bytes)),
        }
    }

    /// The lines, with a last one that says so if there were more.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into_inner()
    }

    /// The last lines, to be put under an error message.
    pub(super) fn shown(&self) -> String {
        let lines = self.lines.borrow();
        let last = lines.iter().skip(lines.len().saturating_sub(SHOWN));
        last.map(|line| format!("\nprinted: {line}")).collect()
    }

    fn push(&self, line: &str) {
        let mut left = self.left.borrow_mut();
        let (lines, bytes) = *left;
        if lines == 0 {
            return;
        }
        if lines == 1 || line.len() > bytes {
            *left = (0, 0);
            self.lines
                .borrow_mut()
                .push("… (more was printed than is kept)".into());
            return;
        }
        *left = (lines - 1, bytes - line.len());
        self.lines.borrow_mut().push(line.to_owned());
    }
}

impl PrintHandler for Log {
    fn println(&self, text: &str) -> starlark::Result<()> {
        text.split('\n').for_each(|line| self.push(line));
        Ok(())
    }
}
