//! What is known of one evaluation, for people.

use super::{Evaluations, Life, Stage};
use crate::evaluate::evaluation::EvalError;
use crate::evaluate::origin::Origin;
use crate::node::Nodes;
use std::time::Instant;

/// Where one evaluation stands.
#[derive(Debug, Clone, Copy)]
pub struct AboutEvaluation<'a> {
    /// The nodes of the last good one; `None` if there was none.
    pub nodes: Option<&'a Nodes>,
    /// What the last good one gave as reasons.
    pub reasons: &'a [String],
    /// What went wrong since, when that began, how often it did, and when it is tried again without any change.
    pub failure: Option<(&'a EvalError, Instant, u32, Option<Instant>)>,
    /// It waits or runs.
    pub pending: bool,
}

impl Evaluations {
    /// Keeps why an evaluation gave nothing, or nothing else.
    pub fn explain(&mut self, origin: &Origin, reasons: Vec<String>) {
        if let Some(life) = self.lives.get_mut(origin) {
            self.reasons.replace(&mut life.reasons, reasons);
        }
    }

    /// One that fails and never succeeded, if there is one.
    pub fn hidden(&self) -> Option<(&Origin, &EvalError)> {
        let mut hiding = self.lives.iter().filter(|(_, life)| life.hides_nodes());
        let (origin, life) = hiding.next()?;
        Some((origin, &life.failure.as_ref()?.error))
    }

    /// Where an evaluation stands; `None` if it was never asked for.
    pub fn about(&self, origin: &Origin) -> Option<AboutEvaluation<'_>> {
        self.lives.get(origin).map(Life::about)
    }
}

impl Life {
    fn about(&self) -> AboutEvaluation<'_> {
        AboutEvaluation {
            nodes: self.nodes.as_ref(),
            reasons: self
                .reasons
                .as_deref()
                .map(Vec::as_slice)
                .unwrap_or_default(),
            failure: self
                .failure
                .as_ref()
                .map(|it| (&it.error, it.since, it.times, it.retry_at)),
            pending: matches!(self.stage, Stage::Waiting(_) | Stage::Running { .. }),
        }
    }
}
