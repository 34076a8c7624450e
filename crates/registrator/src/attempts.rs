//! Attempts at what fails now and may succeed later, with pauses between them.

use registrator_core::backoff::Backoff;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Counts failures without a success between them.
#[derive(Debug)]
pub struct Attempts {
    backoff: Backoff,
    failures: u32,
}

impl Attempts {
    /// Nothing has failed yet.
    pub fn new(backoff: Backoff) -> Attempts {
        Attempts {
            backoff,
            failures: 0,
        }
    }

    /// One failed. Tells how long to wait before the next, which varies by chance.
    pub fn failed(&mut self) -> Duration {
        let pause = self.backoff.jittered(self.failures, random());
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// One succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A random number. The standard library seeds its hashers from the operating system, which is all the chance that is
/// needed here.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_success_and_vary() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
        };
        let mut attempts = Attempts::new(backoff);
        for longest in [100, 200, 400, 800, 1000, 1000] {
            let pause = attempts.failed().as_millis();
            assert!((longest / 2..=longest).contains(&pause), "{pause} ms");
        }
        let mut first = || {
            attempts.succeeded();
            attempts.failed()
        };
        let pauses: Vec<_> = (0..100).map(|_| first()).collect();
        assert!(pauses.iter().all(|pause| *pause <= backoff.first));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
