//! How long one key waits before it is decided, or acted upon, again.

use crate::backoff::Backoff;
use std::time::{Duration, Instant};

/// Refused guards that are tried again at once: a view that lags is fresh after the first refusal.
const FREE_TRIES: u32 = 3;

/// The first wait when guards go on being refused.
const FIRST_REFUSAL_WAIT: Duration = Duration::from_millis(50);

/// The longest wait before a key that etcd rejects, or that somebody else keeps changing, is tried again.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The wait after a node passed from one registrator to another, or the claim of another one changed. One transaction does both, and
/// two watches tell of it, one a moment before the other; a decision in between would write a claim that is there, and report half of a
/// conflict.
const SETTLING: Duration = Duration::from_millis(20);

/// What one who is neither holder nor winner waits for each that comes before it, so that not all act at once.
const STEP_BACK: Duration = Duration::from_millis(50);

/// The longest such wait.
const LONGEST_STEP_BACK: Duration = Duration::from_secs(1);

/// The waits of one key. One that lies in the past is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Patience {
    /// The end of a pause after decisions that came to nothing.
    pub(super) paused: Option<Instant>,
    /// When a node and its claims have changed hands.
    pub(super) settling: Option<Instant>,
    /// When this process does what others should have done.
    pub(super) bystander: Option<Instant>,
    /// Decisions in a row that came to nothing.
    pub(super) tries: u32,
}

impl Patience {
    /// Until when no decision is made.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        let waits = [self.paused, self.settling].into_iter().flatten();
        waits.filter(|at| *at > now).max()
    }

    /// Makes no decision for so long at least.
    pub(super) fn pause(&mut self, now: Instant, wait: Duration) {
        self.paused = self.paused.max(Some(now + wait));
    }

    /// Ends a pause early.
    pub(super) fn resume(&mut self) {
        self.paused = None;
    }

    /// Pauses longer with each try: `first`, twice that, and so on.
    pub(super) fn back_off(&mut self, now: Instant, first: Duration) {
        let backoff = Backoff {
            first,
            longest: MAX_WAIT,
        };
        self.paused = Some(now + backoff.pause(self.tries));
        self.tries += 1;
    }

    /// A guard failed.
    pub(super) fn refused(&mut self, now: Instant) {
        self.bystander = None;
        if self.tries >= FREE_TRIES {
            self.back_off(now, FIRST_REFUSAL_WAIT);
        } else {
            self.tries += 1;
        }
    }

    /// A transaction happened. It counts as a try if it only repairs what somebody may break again.
    pub(super) fn applied(&mut self, repairs: bool) {
        self.bystander = None;
        if !repairs {
            self.tries = 0;
        }
    }

    /// Something changes hands. One wait is enough, however much is told meanwhile.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.settling.is_none_or(|until| until <= now) {
            self.settling = Some(now + SETTLING);
        }
    }

    /// Nothing changes hands any more.
    pub(super) fn settled(&mut self) {
        self.settling = None;
    }

    /// Leaves it to others to act, so many of them before this process. Gives the end of the wait if that is still to come.
    pub(super) fn stand_back(&mut self, before_us: usize, now: Instant) -> Option<Instant> {
        let until = *self.bystander.get_or_insert_with(|| {
            let steps = u32::try_from(before_us).unwrap_or(u32::MAX).max(1);
            now + STEP_BACK.saturating_mul(steps).min(LONGEST_STEP_BACK)
        });
        Some(until).filter(|until| *until > now)
    }

    /// It is this process's turn.
    pub(super) fn step_in(&mut self) {
        self.bystander = None;
    }

    /// Ends the waits for a decision.
    pub(super) fn hurry(&mut self) {
        self.paused = None;
        self.settling = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_view_that_lags_costs_no_pause() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        for _ in 0..FREE_TRIES {
            patience.refused(now);
            assert_eq!(patience.until(now), None);
        }
        patience.refused(now);
        let wait = FIRST_REFUSAL_WAIT * 8;
        assert_eq!(patience.until(now), Some(now + wait));
        assert_eq!(patience.until(now + wait), None);
    }

    #[test]
    fn pauses_grow_up_to_a_minute_until_something_happens() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            patience.back_off(now, SECOND);
            assert_eq!(patience.until(now), Some(now + SECOND * wait));
        }
        patience.applied(true);
        patience.back_off(now, SECOND);
        assert_eq!(patience.until(now), Some(now + MAX_WAIT), "a repair");
        patience.applied(false);
        patience.back_off(now, SECOND);
        assert_eq!(patience.until(now), Some(now + SECOND));
    }

    #[test]
    fn what_is_told_while_something_settles_prolongs_nothing() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        patience.settle(now);
        patience.settle(now + SETTLING / 2);
        assert_eq!(patience.until(now), Some(now + SETTLING));
        patience.settle(now + SETTLING);
        assert_eq!(patience.until(now), Some(now + SETTLING * 2));
    }

    #[test]
    fn bystanders_step_in_one_after_the_other() {
        let now = Instant::now();
        let wait = |before_us| Patience::default().stand_back(before_us, now);
        assert_eq!(wait(0), Some(now + STEP_BACK));
        assert_eq!(wait(3), Some(now + STEP_BACK * 3));
        assert_eq!(wait(1000), Some(now + LONGEST_STEP_BACK));
        let mut patience = Patience::default();
        patience.stand_back(1, now);
        assert_eq!(patience.stand_back(9, now + STEP_BACK), None, "its turn");
    }
}
