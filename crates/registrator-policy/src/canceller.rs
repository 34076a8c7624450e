//! Ends a running evaluation from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const CANCELLED: u8 = 2;

/// A handle that ends a running [`evaluate`](crate::Policy::evaluate).
#[derive(Debug, Clone, Default)]
pub struct Canceller(Arc<AtomicU8>);

impl Canceller {
    /// Asks the evaluation that runs now to end; it then fails with [`Limit`](registrator_core::evaluate::evaluation::EvalErrorKind::Limit).
    ///
    /// Without a running evaluation it does nothing: it never ends one that starts later.
    pub fn cancel(&self) {
        let _ = self
            .0
            .compare_exchange(RUNNING, CANCELLED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether the running evaluation shall end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == CANCELLED
    }

    /// Marks an evaluation as running until the guard is dropped.
    pub(crate) fn run(&self) -> Run {
        self.0.store(RUNNING, Ordering::Release);
        Run(self.clone())
    }
}

/// An evaluation is running.
pub(crate) struct Run(Canceller);

impl Drop for Run {
    fn drop(&mut self) {
        self.0.0.store(IDLE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_evaluation_is_cancelled() {
        let canceller = Canceller::default();
        canceller.cancel();
        let run = canceller.run();
        assert!(!canceller.is_cancelled());
        canceller.clone().cancel();
        assert!(canceller.is_cancelled());
        drop(run);
        assert!(!canceller.is_cancelled());
    }
}
