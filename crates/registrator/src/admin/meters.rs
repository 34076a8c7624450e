//! What is counted while it happens. Everything else is counted when somebody asks.

use registrator_core::evaluate::evaluation::{EvalError, Evaluation};
use registrator_core::evaluate::scheduler::Ticket;
use registrator_core::observe::spec::PolicyName;
use registrator_core::own::session::Outcome;
use registrator_core::tell::notice::Notice;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many of something took how long.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// The upper bounds, in seconds.
    pub bounds: &'static [f64],
    /// How many were within each bound and above the one before.
    pub counts: Vec<u64>,
    /// All of them.
    pub count: u64,
    /// How long all took, in seconds.
    pub sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Histogram {
        Histogram {
            bounds,
            counts: vec![0; bounds.len()],
            count: 0,
            sum: 0.0,
        }
    }

    fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bound = self.bounds.iter().position(|bound| seconds <= *bound);
        if let Some(count) = bound.and_then(|at| self.counts.get_mut(at)) {
            *count += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

const EVALUATIONS: &[f64] = &[0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0];
const CONVERGENCE: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const REQUESTS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// The results of evaluations, in the order in which they are shown.
pub const RESULTS: [&str; 5] = ["ok", "raised", "limit", "type", "host"];

/// What becomes of nodes.
pub const CHANGES: [&str; 5] = [
    "registered",
    "changed",
    "removed",
    "repaired",
    "handed_over",
];

/// All that is counted.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Evaluations by policy and result.
    pub evaluations: BTreeMap<String, [u64; RESULTS.len()]>,
    /// From asking a policy to its answer.
    pub durations: BTreeMap<String, Histogram>,
    /// What became of nodes.
    pub changes: [u64; CHANGES.len()],
    /// From the event that changed a wish to etcd's answer.
    pub convergence: Histogram,
    /// Containers that were inspected.
    pub inspects: u64,
    /// Transactions in etcd.
    pub txns: Histogram,
    /// Those that came to nothing.
    pub failed_txns: u64,
    /// When it was last in sync.
    pub last_in_sync: Option<Instant>,
    asked: BTreeMap<Ticket, (PolicyName, Instant)>,
    committed: BTreeMap<u64, Instant>,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            evaluations: BTreeMap::new(),
            durations: BTreeMap::new(),
            changes: [0; CHANGES.len()],
            convergence: Histogram::new(CONVERGENCE),
            inspects: 0,
            txns: Histogram::new(REQUESTS),
            failed_txns: 0,
            last_in_sync: None,
            asked: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }
}

impl Meters {
    /// A policy is asked.
    pub fn asked(&mut self, ticket: Ticket, policy: &PolicyName, now: Instant) {
        self.asked.insert(ticket, (policy.clone(), now));
    }

    /// A policy has answered.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        result: &Result<Evaluation, EvalError>,
        now: Instant,
    ) {
        let Some((policy, since)) = self.asked.remove(&ticket) else {
            return;
        };
        let name = match result {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.kind.to_string(),
        };
        let counts = self.evaluations.entry(policy.to_string()).or_default();
        let at = RESULTS.iter().position(|result| *result == name);
        if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
            *count += 1;
        }
        let durations = self.durations.entry(policy.to_string());
        let durations = durations.or_insert_with(|| Histogram::new(EVALUATIONS));
        durations.observe(now.saturating_duration_since(since));
    }

    /// A transaction was sent.
    pub fn sent(&mut self, id: u64, now: Instant) {
        self.committed.insert(id, now);
    }

    /// A transaction was answered.
    pub fn committed(&mut self, id: u64, outcome: &Outcome, now: Instant) {
        if let Some(since) = self.committed.remove(&id) {
            self.txns.observe(now.saturating_duration_since(since));
        }
        self.failed_txns += u64::from(!matches!(outcome, Outcome::Done { .. }));
        if *outcome == Outcome::Void {
            self.committed.clear();
        }
    }

    /// Something was told.
    pub fn told(&mut self, notice: &Notice) {
        let change = match notice {
            Notice::Registered { old, took, .. } => {
                if let Some(took) = took {
                    self.convergence.observe(*took);
                }
                if old.is_none() {
                    "registered"
                } else {
                    "changed"
                }
            }
            Notice::Removed(_) => "removed",
            Notice::Repaired { .. } => "repaired",
            Notice::HandedOver { .. } => "handed_over",
            _ => return,
        };
        let at = CHANGES.iter().position(|name| *name == change);
        if let Some(count) = at.and_then(|at| self.changes.get_mut(at)) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lies_within_the_first_bound_that_is_not_smaller() {
        let mut histogram = Histogram::new(&[0.001, 1.0]);
        for milliseconds in [1, 2, 1000, 2000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        assert_eq!(histogram.counts, [1, 2]);
        assert_eq!((histogram.count, histogram.sum), (4, 3.003));
    }
}
