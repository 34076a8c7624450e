//! How long to wait before the next attempt, and the little chance that the etcd side needs.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// The longest pause between two attempts to reach etcd.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// Pauses that double from 100 ms to a limit, each varied by a quarter so that a thousand hosts do not come back in step.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    limit: Duration,
}

impl Backoff {
    /// Pauses of at most about `limit`.
    pub(super) fn up_to(limit: Duration) -> Backoff {
        Backoff {
            next: FIRST.min(limit),
            limit,
        }
    }

    /// The next pause.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.limit);
        let permille = u32::try_from(random() % 500).unwrap_or_default();
        pause * (750 + permille) / 1000
    }

    /// Begins again with the shortest pause.
    pub(super) fn reset(&mut self) {
        self.next = FIRST.min(self.limit);
    }
}

/// A random number. The standard library seeds its hashers from the operating system, which is all the chance needed here.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause().as_millis();
            let range = expected * 3 / 4..=expected * 5 / 4;
            assert!(range.contains(&pause), "{pause} ms, expected {range:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(125));
    }
}
