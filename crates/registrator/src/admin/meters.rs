//! What is counted while it happens. Everything else is counted when somebody asks.

use crate::histogram::Histogram;
use registrator_core::evaluate::evaluation::{EvalError, Evaluation};
use registrator_core::evaluate::scheduler::Ticket;
use registrator_core::observe::spec::PolicyName;
use registrator_core::tell::notice::Notice;
use std::collections::BTreeMap;
use std::time::Instant;

const EVALUATIONS: &[f64] = &[0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0];
const CONVERGENCE: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
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
    /// When it was last in sync.
    pub last_in_sync: Option<Instant>,
    asked: BTreeMap<Ticket, (PolicyName, Instant)>,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            evaluations: BTreeMap::new(),
            durations: BTreeMap::new(),
            changes: [0; CHANGES.len()],
            convergence: Histogram::new(CONVERGENCE),
            inspects: 0,
            last_in_sync: None,
            asked: BTreeMap::new(),
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
