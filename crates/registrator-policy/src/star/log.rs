//! Lets a policy print to its evaluation's log.

use crate::log;
use crate::settings::Limits;
use registrator_core::evaluate::evaluation::{Level, LogLine};
use starlark::PrintHandler;
use std::cell::RefCell;

/// The lines of one evaluation.
#[derive(Debug)]
pub(super) struct PrintLog(RefCell<log::Log>);

impl PrintLog {
    pub(super) fn new(limits: &Limits) -> PrintLog {
        PrintLog(RefCell::new(log::Log::new(limits)))
    }

    /// The lines, with a last one that says so if there were more.
    pub(super) fn take_lines(&self) -> Vec<LogLine> {
        self.0.borrow_mut().take_lines()
    }

    /// The reasons that the policy gave.
    pub(super) fn take_reasons(&self) -> Vec<String> {
        self.0.borrow_mut().take_reasons()
    }

    /// Keeps a reason.
    pub(super) fn explain(&self, text: &str) {
        self.0.borrow_mut().explain(text);
    }

    /// The last lines, to be put under an error message.
    pub(super) fn shown(&self) -> String {
        self.0.borrow().shown()
    }

    /// Adds a text, line by line.
    pub(super) fn add(&self, level: Level, text: &str) {
        let mut log = self.0.borrow_mut();
        for line in text.split('\n') {
            log.push(level, line);
        }
    }
}

impl PrintHandler for PrintLog {
    fn println(&self, text: &str) -> starlark::Result<()> {
        self.add(Level::Debug, text);
        Ok(())
    }
}
