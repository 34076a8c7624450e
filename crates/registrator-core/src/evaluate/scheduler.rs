//! Which evaluations run, and which results count: at most one at a time for an origin, and only for what is true now.

use crate::evaluate::origin::Origin;
use crate::observe::container::ContainerId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Names one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Whether the result of an evaluation counts.
#[derive(Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing changed meanwhile.
    Fresh(Origin),
    /// Its container or instance changed meanwhile, and it is asked for again; or it is gone.
    Stale,
}

/// The evaluations that wait or run.
#[derive(Debug, Default)]
pub struct Scheduler {
    /// In the order of the requests. May name origins that are not requested any more.
    waiting: VecDeque<Origin>,
    requested: BTreeSet<Origin>,
    running: BTreeMap<Ticket, Origin>,
    /// The origins in `running` whose result counts.
    current: BTreeMap<Origin, Ticket>,
    /// How many entries `requested` and `current` have for a container.
    busy: BTreeMap<ContainerId, usize>,
    last: u64,
}

impl Scheduler {
    /// Asks for an evaluation. One that runs already is stale: it saw what was true before.
    pub fn request(&mut self, origin: Origin) {
        if self.requested.insert(origin.clone()) {
            *self.busy.entry(origin.container.clone()).or_default() += 1;
            self.waiting.push_back(origin);
        }
    }

    /// Takes back the request for an origin that is gone, and makes its running evaluation stale.
    pub fn cancel(&mut self, origin: &Origin) {
        if self.requested.remove(origin) {
            self.release(origin);
        }
        if self.current.remove(origin).is_some() {
            self.release(origin);
        }
    }

    /// The next evaluation to run. An origin whose evaluation runs waits for its end.
    pub fn take_next(&mut self) -> Option<(Ticket, Origin)> {
        for _ in 0..self.waiting.len() {
            let origin = self.waiting.pop_front()?;
            if self.current.contains_key(&origin) {
                self.waiting.push_back(origin);
            } else if self.requested.remove(&origin) {
                return Some((self.start(&origin), origin));
            }
        }
        None
    }

    fn start(&mut self, origin: &Origin) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.running.insert(ticket, origin.clone());
        self.current.insert(origin.clone(), ticket);
        ticket
    }

    /// Takes in the end of an evaluation.
    pub fn finish(&mut self, ticket: Ticket) -> Freshness {
        let Some(origin) = self.running.remove(&ticket) else {
            return Freshness::Stale;
        };
        if self.current.get(&origin) != Some(&ticket) {
            return Freshness::Stale;
        }
        self.current.remove(&origin);
        self.release(&origin);
        if self.requested.contains(&origin) {
            Freshness::Stale
        } else {
            Freshness::Fresh(origin)
        }
    }

    fn release(&mut self, origin: &Origin) {
        if let Some(count) = self.busy.get_mut(&origin.container) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&origin.container);
            }
        }
    }

    /// Whether nothing waits or runs whose result counts.
    pub fn idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// Whether nothing waits or runs for this container whose result counts.
    pub fn idle_for(&self, container: &ContainerId) -> bool {
        !self.busy.contains_key(container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::instance::InstanceId;
    use crate::observe::spec::PolicyName;

    fn origin(container: &str) -> Origin {
        let instance = InstanceId {
            policy: PolicyName::parse("p").unwrap(),
            config: None,
        };
        Origin {
            instance,
            container: ContainerId::new(container),
        }
    }

    #[test]
    fn equal_requests_coalesce() {
        let mut scheduler = Scheduler::default();
        scheduler.request(origin("a"));
        scheduler.request(origin("a"));
        let (ticket, _) = scheduler.take_next().unwrap();
        assert_eq!(scheduler.take_next(), None);
        assert_eq!(scheduler.finish(ticket), Freshness::Fresh(origin("a")));
        assert!(scheduler.idle());
    }

    #[test]
    fn a_request_during_an_evaluation_makes_it_stale_and_runs_after_it() {
        let mut scheduler = Scheduler::default();
        scheduler.request(origin("a"));
        let (first, _) = scheduler.take_next().unwrap();
        scheduler.request(origin("a"));
        assert_eq!(scheduler.take_next(), None, "one at a time");
        assert_eq!(scheduler.finish(first), Freshness::Stale);
        let (second, _) = scheduler.take_next().unwrap();
        assert_eq!(scheduler.finish(second), Freshness::Fresh(origin("a")));
    }

    #[test]
    fn a_cancelled_evaluation_is_stale_and_stops_nobody() {
        let mut scheduler = Scheduler::default();
        scheduler.request(origin("a"));
        let (first, _) = scheduler.take_next().unwrap();
        scheduler.cancel(&origin("a"));
        assert!(scheduler.idle());
        scheduler.request(origin("a"));
        let (second, _) = scheduler.take_next().unwrap();
        assert_eq!(scheduler.finish(first), Freshness::Stale);
        assert_eq!(scheduler.finish(second), Freshness::Fresh(origin("a")));
        assert_eq!(scheduler.finish(Ticket(99)), Freshness::Stale);
    }

    #[test]
    fn one_that_runs_does_not_block_those_behind_it() {
        let mut scheduler = Scheduler::default();
        scheduler.request(origin("a"));
        scheduler.take_next().unwrap();
        scheduler.request(origin("a"));
        scheduler.request(origin("b"));
        assert_eq!(scheduler.take_next().unwrap().1, origin("b"));
        assert!(!scheduler.idle_for(&ContainerId::new("a")));
        assert!(scheduler.idle_for(&ContainerId::new("c")));
    }
}
