//! How long to wait before the next attempt at what failed.

use std::time::Duration;

/// Pauses that double from the first to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after `failures` earlier failures in a row.
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.min(31));
        doubled.min(self.longest)
    }

    /// The same, shortened by up to half, so that many that fail together do not come back together. `random` is any number.
    pub fn jittered(&self, failures: u32, random: u64) -> Duration {
        let pause = self.pause(failures);
        let permille = u32::try_from(random % 501).unwrap_or_default();
        pause - pause / 1000 * permille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(10),
    };

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses =
            [0, 1, 2, 6, 7, 31, 32, u32::MAX].map(|failures| BACKOFF.pause(failures).as_millis());
        assert_eq!(
            pauses,
            [100, 200, 400, 6400, 10_000, 10_000, 10_000, 10_000]
        );
        let endless = Backoff {
            first: Duration::MAX,
            longest: Duration::MAX,
        };
        assert_eq!(endless.pause(u32::MAX), Duration::MAX);
    }

    #[test]
    fn jitter_shortens_by_half_at_most() {
        let check = |random, expected: u128| {
            assert_eq!(
                BACKOFF.jittered(1, random).as_millis(),
                expected,
                "{random}"
            );
        };
        check(0, 200);
        check(250, 150);
        check(500, 100);
        check(501, 200);
        assert!(BACKOFF.jittered(u32::MAX, u64::MAX) >= BACKOFF.longest / 2);
    }
}
