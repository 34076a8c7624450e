//! For how long nothing could be written. etcd asks nobody who renews a lease for a password, so nodes would stay, right or wrong, for as
//! long as a process renews theirs that may not change them.

use std::time::{Duration, Instant};

/// How often people are told again.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The time without a session. Begins with one.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// The first failure, and when people were told last.
    since: Option<(Instant, Instant)>,
    given_up: bool,
}

/// What is to be done after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// What is done after each.
    Nothing,
    /// Tell people that nothing could be written for so long.
    Tell(Duration),
    /// Tell them, and renew the leases no longer.
    GiveUp(Duration),
}

/// What is known with a failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// etcd answers, and refuses this process.
    pub(super) refused: bool,
    /// The lease of the nodes is renewed all the same.
    pub(super) renewed: bool,
}

impl Unwritten {
    /// There is a session.
    pub(super) fn written(&mut self) {
        *self = Unwritten::default();
    }

    /// There is none. `stale_after` is how long nodes may stay that cannot be changed; `None` for as long as it takes.
    ///
    /// An etcd that fails for everybody, as one without room, is no reason to give up: all hosts would.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        stale_after: Option<Duration>,
        now: Instant,
    ) -> Reaction {
        let (first, told) = *self.since.get_or_insert((now, now));
        let elapsed = now.saturating_duration_since(first);
        let is_stale = stale_after.is_some_and(|limit| elapsed >= limit);
        let gives_up = is_stale && failure.refused && failure.renewed && !self.given_up;
        let tells = now.saturating_duration_since(told) >= TOLD_EVERY;
        if gives_up {
            self.given_up = true;
        } else if !tells || !(failure.refused || failure.renewed) {
            return Reaction::Nothing;
        }
        self.since = Some((first, now));
        if gives_up {
            Reaction::GiveUp(elapsed)
        } else {
            Reaction::Tell(elapsed)
        }
    }

    /// Whether the leases are not to be renewed.
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Failure = Failure {
        refused: true,
        renewed: true,
    };
    const AWAY: Failure = Failure {
        refused: false,
        renewed: false,
    };
    const FULL: Failure = Failure {
        refused: false,
        renewed: true,
    };

    /// What a failure each ten seconds leads to: the seconds at which something is done.
    fn steps(failure: Failure, stale_after: Option<u64>) -> Vec<(u64, char)> {
        let begin = Instant::now();
        let mut unwritten = Unwritten::default();
        let mut steps = Vec::new();
        for second in (0..=400).step_by(10) {
            let now = begin + Duration::from_secs(second);
            let elapsed = Duration::from_secs(second);
            let stale_after = stale_after.map(Duration::from_secs);
            match unwritten.failed(failure, stale_after, now) {
                Reaction::Nothing => {}
                Reaction::Tell(since) => {
                    assert_eq!(since, elapsed);
                    steps.push((second, 't'));
                }
                Reaction::GiveUp(since) => {
                    assert_eq!(since, elapsed);
                    steps.push((second, 'g'));
                }
            }
            let gave_up = steps.iter().any(|(_, step)| *step == 'g');
            assert_eq!(unwritten.has_given_up(), gave_up);
        }
        steps
    }

    #[test]
    fn people_are_told_each_minute_and_the_leases_end_when_the_nodes_are_stale() {
        let told = |seconds: &[u64]| -> Vec<(u64, char)> {
            seconds.iter().map(|second| (*second, 't')).collect()
        };
        let never = told(&[60, 120, 180, 240, 300, 360]);
        assert_eq!(steps(REFUSED, None), never);
        let mut after_five_minutes = never.clone();
        after_five_minutes[4].1 = 'g';
        assert_eq!(steps(REFUSED, Some(300)), after_five_minutes);
        let soon = [(60, 't'), (90, 'g'), (150, 't'), (210, 't')];
        assert_eq!(steps(REFUSED, Some(90))[..4], soon);
        assert_eq!(steps(FULL, Some(90)), never);
        assert_eq!(steps(AWAY, Some(90)), []);
    }

    #[test]
    fn a_session_is_a_new_beginning() {
        let begin = Instant::now();
        let limit = Some(Duration::from_secs(90));
        let mut unwritten = Unwritten::default();
        let failed = |unwritten: &mut Unwritten, second| {
            unwritten.failed(REFUSED, limit, begin + Duration::from_secs(second))
        };
        assert_eq!(failed(&mut unwritten, 0), Reaction::Nothing);
        unwritten.written();
        assert_eq!(failed(&mut unwritten, 80), Reaction::Nothing);
        assert!(matches!(failed(&mut unwritten, 169), Reaction::Tell(_)));
        assert!(matches!(failed(&mut unwritten, 170), Reaction::GiveUp(_)));
        unwritten.written();
        assert!(!unwritten.has_given_up());
    }
}
