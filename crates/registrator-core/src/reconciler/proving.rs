//! Policies look at configurations before these count: so a wrong one is told once, and not for each container.

use super::{Command, Reconciler};
use crate::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use crate::observe::instance::{Proof, Verdict};
use crate::tell::notice::{Level, Notice};

impl Reconciler {
    /// Has policies look at what is new to them.
    pub(super) fn ask_proofs(&mut self) {
        while let Some(proof) = self.instances.next_proof() {
            let ticket = self.evaluations.ticket();
            let instance = proof.instance.clone();
            self.proofs.insert(ticket, proof);
            self.commands.push_back(Command::Check { ticket, instance });
        }
    }

    /// Takes in what came of it. What a policy prints then is for those who write configurations.
    pub(super) fn on_proof(&mut self, proof: Proof, result: Result<Evaluation, EvalError>) {
        if let Ok(evaluation) = &result {
            for line in &evaluation.log {
                let mut line = line.clone();
                line.level = line.level.max(Level::Warn);
                self.notices.push_back(Notice::Remark {
                    used: proof.source().clone(),
                    line,
                });
            }
        }
        let delta = self.instances.prove(proof, verdict(result));
        self.on_instances(delta);
    }
}

/// A policy that runs out of time on a busy machine, or whose interpreter is lost, says nothing about the configuration.
pub fn verdict(result: Result<Evaluation, EvalError>) -> Verdict {
    match result {
        Ok(_) => Verdict::Right,
        Err(error) => match error.kind {
            EvalErrorKind::Raised | EvalErrorKind::Type => {
                Verdict::Refused(format!("the policy refuses it: {error}"))
            }
            EvalErrorKind::Limit | EvalErrorKind::Host => Verdict::Unchecked(error.to_string()),
        },
    }
}
