//! Which container has to be inspected, and when: the pure part of following Docker.
//!
//! At most one inspect per container is under way. What happens meanwhile asks for exactly one more, after it: the answer
//! under way may have been written before it happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use registrator_core::observe::container::ContainerId;
use tokio::time::Instant;

/// An inspect that takes so long hangs: the engine is at something else with that container, and others must not wait for it.
const HANGING: Duration = Duration::from_secs(1);

/// So many that hang give up their places.
const MOST_HANGING: usize = 96;

/// Names one inspect, so that its answer is known from that of an earlier, abandoned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: ContainerId,
    serial: u64,
}

/// How an inspect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With the container, or with the knowledge that there is none.
    Answered,
    /// With an error; it is tried again after this time.
    Failed(Duration),
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// Nothing: the container was forgotten meanwhile.
    Nothing,
    /// It is what was asked for; so many inspects of this container had failed in a row before.
    Fresh {
        /// How many.
        failures: u32,
    },
}

/// The inspects wanted and under way.
#[derive(Debug, Default)]
pub(super) struct Inspections {
    jobs: BTreeMap<ContainerId, Job>,
    queue: VecDeque<ContainerId>,
    /// Those that are to begin later, by that time.
    waiting: BTreeSet<(Instant, ContainerId)>,
    /// When those under way began, in the order of their tickets.
    in_flight: BTreeMap<u64, Instant>,
    serial: u64,
}

#[derive(Debug)]
struct Job {
    phase: Phase,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    InFlight { serial: u64, again: bool },
    Waiting { until: Instant },
}

impl Inspections {
    /// Asks for an inspect that begins from now on.
    pub(super) fn request(&mut self, id: &ContainerId) {
        let Some(job) = self.jobs.get_mut(id) else {
            self.jobs.insert(
                id.clone(),
                Job {
                    phase: Phase::Queued,
                    failures: 0,
                },
            );
            return self.queue.push_back(id.clone());
        };
        match &mut job.phase {
            Phase::Queued => {}
            Phase::InFlight { again, .. } => *again = true,
            Phase::Waiting { until } => {
                self.waiting.remove(&(*until, id.clone()));
                job.phase = Phase::Queued;
                self.queue.push_back(id.clone());
            }
        }
    }

    /// Asks for an inspect at a later time, unless another is asked for before. The answer that is under way is of no use.
    pub(super) fn request_at(&mut self, id: &ContainerId, until: Instant) {
        self.forget(id);
        let job = Job {
            phase: Phase::Waiting { until },
            failures: 0,
        };
        self.jobs.insert(id.clone(), job);
        self.waiting.insert((until, id.clone()));
    }

    /// Asks for another inspect after one that is under way, if there is one.
    pub(super) fn repeat(&mut self, id: &ContainerId) {
        if let Some(Phase::InFlight { again, .. }) = self.jobs.get_mut(id).map(|it| &mut it.phase) {
            *again = true;
        }
    }

    /// Drops what is wanted for this container and the answer that is under way.
    pub(super) fn forget(&mut self, id: &ContainerId) {
        match self.jobs.remove(id).map(|job| job.phase) {
            Some(Phase::Queued) => self.queue.retain(|queued| queued != id),
            Some(Phase::Waiting { until }) => _ = self.waiting.remove(&(until, id.clone())),
            Some(Phase::InFlight { .. }) | None => {}
        }
    }

    /// Whether nothing is wanted or under way for this container.
    pub(super) fn is_idle(&self, id: &ContainerId) -> bool {
        !self.jobs.contains_key(id)
    }

    /// How many wait to begin.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether one waits, and fewer than `limit` are under way. Those that hang do not count, up to a bound.
    pub(super) fn can_begin(&self, limit: usize, now: Instant) -> bool {
        let begun = self.in_flight.values();
        let hanging = begun.take_while(|begun| **begun + HANGING <= now).count();
        !self.queue.is_empty() && self.in_flight.len() < limit + hanging.min(MOST_HANGING)
    }

    /// When the oldest that is under way hangs, and another may begin, if any waits.
    pub(super) fn next_place(&self, now: Instant) -> Option<Instant> {
        let begun = self.in_flight.values();
        let mut ends = begun.map(|begun| *begun + HANGING);
        ends.find(|at| *at > now).filter(|_| !self.queue.is_empty())
    }

    /// The next inspect to begin, if fewer than `limit` are under way.
    pub(super) fn next(&mut self, limit: usize, now: Instant) -> Option<Ticket> {
        if !self.can_begin(limit, now) {
            return None;
        }
        let id = self.queue.pop_front()?;
        let job = self.jobs.get_mut(&id)?;
        self.serial += 1;
        self.in_flight.insert(self.serial, now);
        job.phase = Phase::InFlight {
            serial: self.serial,
            again: false,
        };
        Some(Ticket {
            id,
            serial: self.serial,
        })
    }

    /// Takes the end of an inspect; tells what its answer is worth.
    pub(super) fn finish(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant) -> Worth {
        self.in_flight.remove(&ticket.serial);
        let Some(job) = self.jobs.get_mut(&ticket.id) else {
            return Worth::Nothing;
        };
        let again = match job.phase {
            Phase::InFlight { serial, again } if serial == ticket.serial => again,
            Phase::InFlight { .. } | Phase::Queued | Phase::Waiting { .. } => {
                return Worth::Nothing;
            }
        };
        let failures = job.failures;
        match outcome {
            Outcome::Failed(pause) => {
                let until = now + pause;
                *job = Job {
                    phase: Phase::Waiting { until },
                    failures: failures.saturating_add(1),
                };
                self.waiting.insert((until, ticket.id.clone()));
            }
            Outcome::Answered if again => {
                *job = Job {
                    phase: Phase::Queued,
                    failures: 0,
                };
                self.queue.push_back(ticket.id.clone());
            }
            Outcome::Answered => _ = self.jobs.remove(&ticket.id),
        }
        Worth::Fresh { failures }
    }

    /// How many inspects of this container have failed in a row.
    pub(super) fn failures(&self, id: &ContainerId) -> u32 {
        self.jobs.get(id).map_or(0, |job| job.failures)
    }

    /// When the next inspect that waits is to begin.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// Queues the inspects whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.waiting.pop_first() {
            if at > now {
                self.waiting.insert((at, id));
                return;
            }
            if let Some(job) = self.jobs.get_mut(&id) {
                job.phase = Phase::Queued;
                self.queue.push_back(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ContainerId {
        ContainerId::new(name)
    }

    fn begin(inspections: &mut Inspections) -> Ticket {
        inspections
            .next(8, Instant::now())
            .expect("an inspect to begin")
    }

    const ANSWERED: Outcome = Outcome::Answered;

    #[test]
    fn requests_coalesce() {
        let (mut inspections, now) = (Inspections::default(), Instant::now());
        (0..5).for_each(|_| inspections.request(&id("a")));
        let ticket = begin(&mut inspections);
        assert_eq!(inspections.next(8, Instant::now()), None);
        (0..5).for_each(|_| inspections.request(&id("a")));
        assert_eq!(inspections.next(8, Instant::now()), None, "one at a time");
        assert_eq!(
            inspections.finish(&ticket, ANSWERED, now),
            Worth::Fresh { failures: 0 }
        );
        let again = begin(&mut inspections);
        assert_eq!(
            inspections.finish(&again, ANSWERED, now),
            Worth::Fresh { failures: 0 }
        );
        assert_eq!(
            inspections.next(8, Instant::now()),
            None,
            "five requests make one more inspect"
        );
        assert!(inspections.is_idle(&id("a")));
    }

    #[test]
    fn the_limit_holds_and_order_is_kept() {
        let (mut inspections, now) = (Inspections::default(), Instant::now());
        ["c", "a", "b"]
            .iter()
            .for_each(|name| inspections.request(&id(name)));
        let (first, second) = (
            inspections.next(2, Instant::now()).unwrap(),
            inspections.next(2, Instant::now()).unwrap(),
        );
        assert_eq!((first.id.clone(), second.id), (id("c"), id("a")));
        assert_eq!(inspections.next(2, Instant::now()), None);
        inspections.finish(&first, ANSWERED, now);
        assert_eq!(inspections.next(2, Instant::now()).unwrap().id, id("b"));
    }

    #[test]
    fn what_hangs_gives_up_its_place() {
        let (mut inspections, now) = (Inspections::default(), Instant::now());
        ["a", "b", "c"]
            .iter()
            .for_each(|name| inspections.request(&id(name)));
        assert!(inspections.next(1, now).is_some());
        assert!(!inspections.can_begin(1, now));
        assert_eq!(inspections.next_place(now), Some(now + HANGING));
        let hanging = now + HANGING;
        let second = inspections.next(1, hanging).unwrap();
        assert_eq!(second.id, id("b"));
        assert!(!inspections.can_begin(1, hanging));
        inspections.finish(&second, ANSWERED, hanging);
        assert_eq!(inspections.next(1, hanging).unwrap().id, id("c"));
        assert_eq!(inspections.next_place(hanging), None, "nothing waits");
    }

    #[test]
    fn a_forgotten_answer_is_worth_nothing_and_frees_its_place() {
        let (mut inspections, now) = (Inspections::default(), Instant::now());
        inspections.request(&id("a"));
        let old = begin(&mut inspections);
        inspections.forget(&id("a"));
        inspections.request(&id("a"));
        let new = begin(&mut inspections);
        assert_eq!(inspections.finish(&old, ANSWERED, now), Worth::Nothing);
        assert_eq!(
            inspections.finish(&new, ANSWERED, now),
            Worth::Fresh { failures: 0 }
        );
        inspections.request(&id("a"));
        assert!(
            inspections.next(1, Instant::now()).is_some(),
            "both places are free again"
        );
    }

    #[test]
    fn forgotten_before_it_begins() {
        let mut inspections = Inspections::default();
        inspections.request(&id("a"));
        inspections.forget(&id("a"));
        assert_eq!(inspections.next(8, Instant::now()), None);
    }

    #[test]
    fn a_failure_waits_and_counts() {
        let (mut inspections, now) = (Inspections::default(), Instant::now());
        let pause = Duration::from_secs(1);
        inspections.request(&id("a"));
        let ticket = begin(&mut inspections);
        inspections.finish(&ticket, Outcome::Failed(pause), now);
        inspections.wake(now);
        assert_eq!(inspections.next(8, Instant::now()), None, "not yet");
        assert_eq!(inspections.next_due(), Some(now + pause));
        inspections.wake(now + pause);
        let ticket = begin(&mut inspections);
        assert_eq!(inspections.failures(&id("a")), 1);
        assert_eq!(
            inspections.finish(&ticket, ANSWERED, now),
            Worth::Fresh { failures: 1 }
        );
        assert_eq!(
            (inspections.failures(&id("a")), inspections.next_due()),
            (0, None)
        );
    }

    #[test]
    fn an_event_does_not_wait_for_the_retry() {
        let (mut inspections, now) = (Inspections::default(), Instant::now());
        inspections.request(&id("a"));
        let ticket = begin(&mut inspections);
        inspections.finish(&ticket, Outcome::Failed(Duration::from_secs(1)), now);
        inspections.request(&id("a"));
        assert_eq!(begin(&mut inspections).id, id("a"));
        assert_eq!(
            (inspections.next_due(), inspections.next(8, Instant::now())),
            (None, None)
        );
    }
}
