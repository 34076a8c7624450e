//! Which evaluation runs next: each policy takes one after the other, and is handed only a few ahead.
//!
//! What waits, waits here and not with the policy, so that a change that comes now does not stand behind a hundred thousand others.

use crate::evaluate::origin::Origin;
use crate::observe::spec::PolicyName;
use std::collections::{BTreeMap, BTreeSet};

/// How many evaluations a policy is handed before it has answered the first: enough that it never waits for this side.
const AHEAD: usize = 16;

/// Names one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Something changed at this container alone.
    Change,
    /// A policy or a configuration changed, and all containers are looked at again.
    Reload,
}

/// A place in the line of a policy: the smallest is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    urgency: Urgency,
    number: u64,
}

impl Turn {
    /// Whether a request of this urgency would come before it.
    pub fn is_later_than(self, urgency: Urgency) -> bool {
        urgency < self.urgency
    }
}

/// The evaluations that wait or run.
#[derive(Debug, Default)]
pub struct Scheduler {
    lines: BTreeMap<PolicyName, Line>,
    /// The policies that may have something to hand out, so that nobody looks at all lines.
    ready: BTreeSet<PolicyName>,
    /// Whose each ticket is. One that was cancelled stays until its answer comes.
    running: BTreeMap<Ticket, Origin>,
    last: u64,
}

/// What waits for one policy.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Turn, Origin>,
    /// How many it was handed and has not answered.
    running: usize,
}

impl Scheduler {
    /// A ticket for something that stands in no line.
    pub fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    /// Puts an origin into its policy's line.
    pub fn wait(&mut self, origin: Origin, urgency: Urgency) -> Turn {
        self.last += 1;
        let turn = Turn {
            urgency,
            number: self.last,
        };
        let policy = origin.instance.policy.clone();
        let line = self.lines.entry(policy.clone()).or_default();
        line.waiting.insert(turn, origin);
        self.ready.insert(policy);
        turn
    }

    /// Takes an origin out of the line.
    pub fn withdraw(&mut self, origin: &Origin, turn: Turn) {
        if let Some(line) = self.lines.get_mut(&origin.instance.policy) {
            line.waiting.remove(&turn);
        }
    }

    /// The next evaluation to run.
    pub fn take_next(&mut self) -> Option<(Ticket, Origin)> {
        while let Some(policy) = self.ready.first() {
            let line = self.lines.get_mut(policy);
            let line = line.filter(|line| line.running < AHEAD);
            let Some((line, (_, origin))) =
                line.and_then(|line| line.waiting.pop_first().map(|next| (line, next)))
            else {
                self.ready.pop_first();
                continue;
            };
            line.running += 1;
            self.last += 1;
            let ticket = Ticket(self.last);
            self.running.insert(ticket, origin.clone());
            return Some((ticket, origin));
        }
        None
    }

    /// Takes in the end of an evaluation; tells whose it was.
    pub fn finish(&mut self, ticket: Ticket) -> Option<Origin> {
        let origin = self.running.remove(&ticket)?;
        let policy = &origin.instance.policy;
        if let Some(line) = self.lines.get_mut(policy) {
            line.running -= 1;
            if !line.waiting.is_empty() {
                self.ready.insert(policy.clone());
            } else if line.running == 0 {
                self.lines.remove(policy);
            }
        }
        Some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::container::ContainerId;
    use crate::observe::instance::InstanceId;

    fn origin(policy: &str, container: &str) -> Origin {
        Origin {
            instance: InstanceId {
                policy: PolicyName::parse(policy).unwrap(),
                config: None,
            },
            container: ContainerId::new(container),
        }
    }

    fn taken(scheduler: &mut Scheduler) -> Vec<(Ticket, String)> {
        std::iter::from_fn(|| scheduler.take_next())
            .map(|(ticket, origin)| (ticket, origin.container.to_string()))
            .collect()
    }

    #[test]
    fn a_policy_is_handed_only_a_few_ahead_and_a_change_passes_the_rest() {
        let mut scheduler = Scheduler::default();
        for number in 0..100 {
            scheduler.wait(origin("p", &format!("{number:02}")), Urgency::Reload);
        }
        let first = taken(&mut scheduler);
        assert_eq!(first.len(), AHEAD);
        scheduler.wait(origin("p", "new"), Urgency::Change);
        assert_eq!(scheduler.take_next(), None);
        assert_eq!(scheduler.finish(first[3].0), Some(origin("p", "03")));
        assert_eq!(taken(&mut scheduler)[0].1, "new");
        assert!(scheduler.finish(first[0].0).is_some());
        assert_eq!(taken(&mut scheduler)[0].1, "16");
    }

    #[test]
    fn one_policy_does_not_hold_up_another() {
        let mut scheduler = Scheduler::default();
        for number in 0..20 {
            scheduler.wait(origin("a", &number.to_string()), Urgency::Change);
        }
        assert_eq!(taken(&mut scheduler).len(), AHEAD);
        scheduler.wait(origin("b", "x"), Urgency::Reload);
        assert_eq!(taken(&mut scheduler)[0].1, "x");
    }

    #[test]
    fn what_was_withdrawn_is_not_handed_out() {
        let mut scheduler = Scheduler::default();
        let turn = scheduler.wait(origin("p", "x"), Urgency::Change);
        scheduler.withdraw(&origin("p", "x"), turn);
        assert_eq!(scheduler.take_next(), None);
        assert_eq!(scheduler.finish(Ticket(99)), None);
    }

    #[test]
    fn nothing_is_left_of_a_policy_that_has_nothing_to_do() {
        let mut scheduler = Scheduler::default();
        scheduler.wait(origin("p", "x"), Urgency::Change);
        let (ticket, _) = scheduler.take_next().unwrap();
        scheduler.finish(ticket);
        assert_eq!(scheduler.take_next(), None);
        assert!(
            scheduler.lines.is_empty()
                && scheduler.ready.is_empty()
                && scheduler.running.is_empty()
        );
    }
}
