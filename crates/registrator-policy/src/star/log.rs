//! Lets a policy print to its evaluation's log.

use crate::log;
use crate::settings::Limits;
use registrator_core::evaluate::evaluation::{Level, LogLine};
use starlark::PrintHandler;
use std::cell::RefCell;

/// The lines of one evaluation.
pub(super) struct PrintLog(RefCell<log::Log>);

impl PrintLog {
    pub(super) fn new(limits: &Limits) -> PrintLog {
        PrintLog(RefCell::new(log::Log::new(limits)))
    }

    /// The lines, with a last one that says so if there were more.
    pub(super) fn into_lines(self) -> Vec<LogLine> {
        self.0.into_inner().into_lines()
    }

    /// The last lines, to be put under an error message.
    pub(super) fn shown(&self) -> String {
        self.0.borrow().shown()
    }
}

impl PrintHandler for PrintLog {
    fn println(&self, text: &str) -> starlark::Result<()> {
        let mut log = self.0.borrow_mut();
        text.split('\n')
            .for_each(|line| log.push(Level::Debug, line));
        Ok(())
    }
}
