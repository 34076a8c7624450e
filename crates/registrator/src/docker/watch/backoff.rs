//! How long to wait before trying again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Pauses that double from `min` to `max`, each shortened by up to half at random, so that many clients of one daemon do not
/// come back at the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first pause.
    pub min: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(100),
            max: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The pause after `failures` earlier failures in a row.
    pub fn pause(&self, failures: u32) -> Duration {
        self.ceiling(failures)
            .mul_f64(0.5 + random_fraction() / 2.0)
    }

    fn ceiling(&self, failures: u32) -> Duration {
        self.min
            .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
            .min(self.max)
    }
}

/// A number from 0 to 1. The standard library's hasher is seeded at random for each `RandomState`.
fn random_fraction() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(0);
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let backoff = Backoff::default();
        let ceilings =
            [0, 1, 2, 6, 7, 31, 32, u32::MAX].map(|failures| backoff.ceiling(failures).as_millis());
        assert_eq!(
            ceilings,
            [100, 200, 400, 6400, 10_000, 10_000, 10_000, 10_000]
        );
    }

    #[test]
    fn jitter_shortens_by_half_at_most_and_varies() {
        let backoff = Backoff::default();
        let pauses: Vec<_> = (0..100).map(|_| backoff.pause(0)).collect();
        let allowed = Duration::from_millis(50)..=Duration::from_millis(100);
        assert!(
            pauses.iter().all(|pause| allowed.contains(pause)),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
