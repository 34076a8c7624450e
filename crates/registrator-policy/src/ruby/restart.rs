//! When an interpreter that failed may be started again.

use registrator_core::backoff::Backoff;
use std::time::{Duration, Instant};

/// How often it may fail without a pause.
const FREE: u32 = 2;

/// The pauses after that.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_millis(6400),
};

/// Counts failures without a success between them.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    failures: u32,
    not_before: Option<Instant>,
}

impl Restarts {
    /// An evaluation succeeded.
    pub(super) fn worked(&mut self) {
        *self = Restarts::default();
    }

    /// The interpreter was lost.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + self.pause());
    }

    /// Waits until it may start, if that is soon.
    ///
    /// # Errors
    /// How long it would take, if that is longer than `patience`.
    pub(super) fn wait(&self, now: Instant, patience: Duration) -> Result<(), Duration> {
        let left = self
            .not_before
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if left > patience {
            return Err(left);
        }
        std::thread::sleep(left);
        Ok(())
    }

    fn pause(&self) -> Duration {
        match self.failures.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(failures) => BACKOFF.pause(failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_something_works() {
        let mut restarts = Restarts::default();
        let now = Instant::now();
        let pauses: Vec<u128> = (0..12)
            .map(|_| {
                restarts.failed(now);
                restarts.pause().as_millis()
            })
            .collect();
        assert_eq!(
            pauses,
            [0, 0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 6400, 6400]
        );
        assert_eq!(
            restarts.wait(now, Duration::from_secs(1)),
            Err(Duration::from_millis(6400))
        );
        assert_eq!(
            restarts.wait(now + Duration::from_secs(7), Duration::ZERO),
            Ok(())
        );
        restarts.worked();
        assert_eq!(restarts.wait(now, Duration::ZERO), Ok(()));
    }
}
