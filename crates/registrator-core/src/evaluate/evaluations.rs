//! The life of each origin's evaluations: asked for, running, succeeded or failed, tried again, given up with its instance.

mod about;
mod reasons;

pub use about::AboutEvaluation;

use crate::backoff::Backoff;
use crate::evaluate::evaluation::{EvalError, EvalErrorKind, Level, LogLine};
use crate::evaluate::origin::Origin;
use crate::evaluate::scheduler::{Scheduler, Ticket, Turn, Urgency};
use crate::node::{Key, Nodes, Object};
use crate::observe::container::{Container, ContainerId};
use crate::observe::places::LostPlaces;
use reasons::{Reasons, SharedReasons};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The waits before an evaluation that ran out of time is tried again.
const RETRIES: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// What is known of one origin.
#[derive(Debug, Default)]
struct Life {
    stage: Stage,
    /// The nodes of its last good evaluation; `None` if it never had one.
    nodes: Option<Nodes>,
    /// Its container as it was then.
    container: Option<Container>,
    /// What its last good evaluation said, but for what is only for writers of policies.
    said: Vec<LogLine>,
    /// Why it gave nothing, or nothing else.
    reasons: SharedReasons,
    /// What went wrong since.
    failure: Option<Failure>,
}

/// Where an origin stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing is asked for.
    #[default]
    Resting,
    /// It waits for its turn.
    Waiting(Turn),
    /// It runs.
    Running {
        ticket: Ticket,
        /// Something changed since it began: its result does not count, and it runs once more.
        again: bool,
    },
    /// Its instance is gone. Its nodes stay until the other evaluations of its container are done.
    Leaving,
}

/// An evaluation that failed.
#[derive(Debug)]
struct Failure {
    error: EvalError,
    /// When the first of these failures in a row was.
    since: Instant,
    /// How many there were in a row.
    times: u32,
    /// When it is tried again without any change; `None` if it is not, or is being tried.
    retry_at: Option<Instant>,
    tries: u32,
}

impl Life {
    fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_) | Stage::Running { .. })
    }

    /// Whether nodes may be missing because it fails: those from before it did are not known.
    fn hides_nodes(&self) -> bool {
        self.failure.is_some() && self.nodes.is_none()
    }
}

/// What the evaluations of one container are waiting for.
#[derive(Debug, Default)]
struct Pending {
    count: usize,
    leaving: BTreeSet<Origin>,
}

/// All evaluations.
#[derive(Debug, Default)]
pub struct Evaluations {
    lives: BTreeMap<Origin, Life>,
    scheduler: Scheduler,
    /// What waits or runs for each container, and who leaves when that is done: nobody counts all origins for it.
    pending: BTreeMap<ContainerId, Pending>,
    /// Containers whose last evaluation may have ended since [`Evaluations::take_done`].
    done: BTreeSet<ContainerId>,
    /// Failed ones, by the time of their next try.
    retries: BTreeSet<(Instant, Origin)>,
    /// How many origins fail and never succeeded.
    hiding: usize,
    reasons: Reasons,
}

impl Evaluations {
    /// Asks for an evaluation. One that runs already is stale: it saw what was true before.
    pub fn request(&mut self, origin: Origin, urgency: Urgency) {
        self.forget_retry(&origin);
        let life = self.lives.entry(origin.clone()).or_default();
        match &mut life.stage {
            Stage::Waiting(turn) if turn.is_later_than(urgency) => {
                self.scheduler.withdraw(&origin, *turn);
                *turn = self.scheduler.wait(origin, urgency);
            }
            Stage::Waiting(_) => {}
            Stage::Running { again, .. } => *again = true,
            Stage::Resting | Stage::Leaving => {
                let pending = self.pending.entry(origin.container.clone()).or_default();
                pending.count += 1;
                pending.leaving.remove(&origin);
                life.stage = Stage::Waiting(self.scheduler.wait(origin, urgency));
            }
        }
    }

    /// A ticket for what is asked of a policy besides evaluations.
    pub fn ticket(&mut self) -> Ticket {
        self.scheduler.ticket()
    }

    /// The next evaluation to run.
    pub fn take_next(&mut self) -> Option<(Ticket, Origin)> {
        let (ticket, origin) = self.scheduler.take_next()?;
        if let Some(life) = self.lives.get_mut(&origin) {
            life.stage = Stage::Running {
                ticket,
                again: false,
            };
        }
        Some((ticket, origin))
    }

    /// Takes in the end of an evaluation; tells whose result it is, if it counts.
    pub fn finish(&mut self, ticket: Ticket) -> Option<Origin> {
        let origin = self.scheduler.finish(ticket)?;
        let life = self.lives.get_mut(&origin)?;
        match life.stage {
            Stage::Running { ticket: own, again } if own == ticket => {
                if again {
                    let turn = self.scheduler.wait(origin, Urgency::Change);
                    life.stage = Stage::Waiting(turn);
                    return None;
                }
                life.stage = Stage::Resting;
                self.count_down(&origin.container);
                Some(origin)
            }
            Stage::Running { .. } | Stage::Resting | Stage::Waiting(_) | Stage::Leaving => None,
        }
    }

    /// What an origin asks for: the nodes of its last good evaluation, if it had one.
    pub fn asked(&self, origin: &Origin) -> Option<&Nodes> {
        self.lives.get(origin)?.nodes.as_ref()
    }

    /// Takes in a good result; tells whether the one before failed.
    pub fn succeed(
        &mut self,
        origin: &Origin,
        nodes: Nodes,
        container: Option<&Container>,
    ) -> bool {
        self.forget_retry(origin);
        let life = self.lives.entry(origin.clone()).or_default();
        self.hiding -= usize::from(life.hides_nodes());
        life.nodes = Some(nodes);
        life.container = container.cloned();
        life.failure.take().is_some()
    }

    /// What the container has lost since the last good evaluation. It is not looked for where no node can name it.
    pub fn lost(&self, origin: &Origin, now: &Container) -> Option<LostPlaces> {
        let life = self.lives.get(origin)?;
        let before = life.container.as_ref().filter(|before| *before != now)?;
        let asks = life.nodes.as_ref().is_some_and(|nodes| !nodes.is_empty());
        let lost = asks.then(|| now.lost_since(before));
        lost.filter(|lost| !lost.is_empty())
    }

    /// Takes back a part of what an origin asks for.
    pub fn keep(&mut self, origin: &Origin, nodes: Nodes) {
        if let Some(life) = self.lives.get_mut(origin) {
            life.nodes = Some(nodes);
        }
    }

    /// The lines of an evaluation that the one before did not have: what stays as it is says nothing.
    pub fn news(&mut self, origin: &Origin, log: Vec<LogLine>) -> Vec<LogLine> {
        let life = self.lives.entry(origin.clone()).or_default();
        let before = std::mem::take(&mut life.said);
        let lasting = log.iter().filter(|line| line.level > Level::Debug);
        life.said = lasting.cloned().collect();
        log.into_iter()
            .filter(|line| !before.contains(line))
            .collect()
    }

    /// Takes in a failure, which changes no nodes; tells whether it is another one than before.
    ///
    /// A limit may have been reached because the machine was busy, and an interpreter may come back: these are tried again. What a
    /// policy's code raises it raises again until something changes.
    pub fn fail(&mut self, origin: &Origin, error: EvalError, now: Instant) -> bool {
        self.forget_retry(origin);
        let life = self.lives.entry(origin.clone()).or_default();
        self.hiding -= usize::from(life.hides_nodes());
        let before = life.failure.take();
        let is_news = before.as_ref().is_none_or(|before| before.error != error);
        let may_pass = matches!(error.kind, EvalErrorKind::Limit | EvalErrorKind::Host);
        let tries = before.as_ref().map_or(0, |before| before.tries);
        let (since, times) = before.map_or((now, 0), |before| (before.since, before.times));
        let retry_at = may_pass.then_some(now + RETRIES.pause(tries));
        life.failure = Some(Failure {
            error,
            since,
            times: times.saturating_add(1),
            retry_at,
            tries: if may_pass { tries.saturating_add(1) } else { 0 },
        });
        self.hiding += usize::from(life.hides_nodes());
        self.retries.extend(retry_at.map(|at| (at, origin.clone())));
        is_news
    }

    /// Takes back what is asked for an origin whose instance is gone. It keeps its nodes until the other evaluations of its container are
    /// done: its instance may be there again under another name.
    pub fn leave(&mut self, origin: &Origin) {
        let Some(life) = self.cancel(origin) else {
            return;
        };
        life.stage = Stage::Leaving;
        let pending = self.pending.entry(origin.container.clone()).or_default();
        pending.leaving.insert(origin.clone());
        self.done.insert(origin.container.clone());
    }

    /// Forgets an origin; tells what it asked for.
    pub fn forget(&mut self, origin: &Origin) -> Nodes {
        self.cancel(origin);
        let Some(life) = self.lives.remove(origin) else {
            return Nodes::default();
        };
        self.hiding -= usize::from(life.hides_nodes());
        self.reasons.forget(life.reasons);
        life.nodes.unwrap_or_default()
    }

    /// Takes back the request, and makes a running evaluation stale.
    fn cancel(&mut self, origin: &Origin) -> Option<&mut Life> {
        self.forget_retry(origin);
        let life = self.lives.get_mut(origin)?;
        if let Stage::Waiting(turn) = life.stage {
            self.scheduler.withdraw(origin, turn);
        }
        let was_pending = life.is_pending();
        life.stage = Stage::Resting;
        if was_pending {
            self.count_down(&origin.container);
        }
        self.lives.get_mut(origin)
    }

    fn count_down(&mut self, container: &ContainerId) {
        if let Some(pending) = self.pending.get_mut(container) {
            pending.count -= 1;
            if pending.count == 0 {
                self.done.insert(container.clone());
            }
        }
    }

    /// The containers whose last evaluation has ended, each with the origins that leave with it.
    pub fn take_done(&mut self) -> Vec<(ContainerId, BTreeSet<Origin>)> {
        let mut done = Vec::new();
        for container in std::mem::take(&mut self.done) {
            if self.is_done(&container) {
                let pending = self.pending.remove(&container).unwrap_or_default();
                done.push((container, pending.leaving));
            }
        }
        done
    }

    fn is_done(&self, container: &ContainerId) -> bool {
        self.pending
            .get(container)
            .is_none_or(|pending| pending.count == 0)
    }

    /// Whether something waits or runs for a container, or is about to leave.
    pub fn is_pending(&self, container: &ContainerId) -> bool {
        self.pending.contains_key(container)
    }

    /// Whether nothing waits or runs whose result counts, and nobody is about to leave.
    pub fn idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Asks for the evaluations whose next try is due.
    pub fn retry_due(&mut self, now: Instant) {
        while self.retries.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, origin)) = self.retries.pop_first() {
                self.request(origin, Urgency::Change);
            }
        }
    }

    fn forget_retry(&mut self, origin: &Origin) {
        let life = self.lives.get_mut(origin);
        let failure = life.and_then(|life| life.failure.as_mut());
        if let Some(at) = failure.and_then(|failure| failure.retry_at.take()) {
            self.retries.remove(&(at, origin.clone()));
        }
    }

    /// When the next failed evaluation is tried again.
    pub fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// Whether nodes may be missing because evaluations fail that never succeeded.
    pub fn hide_nodes(&self) -> bool {
        self.hiding > 0
    }

    /// The evaluations that failed last time.
    pub fn failures(&self) -> impl Iterator<Item = (&Origin, &EvalError)> {
        self.lives
            .iter()
            .filter_map(|(origin, life)| Some((origin, &life.failure.as_ref()?.error)))
    }

    /// The names of the objects asked for that refer to this one.
    pub fn users_of(&self, name: &str) -> BTreeSet<&Key> {
        let nodes = self.lives.values().flat_map(|life| &life.nodes);
        let objects = nodes.flat_map(Nodes::objects);
        let users = objects.filter(|it| it.uses().iter().any(|used| used.as_str() == name));
        users.map(Object::name).collect()
    }

    /// All keys asked for, those of one container together, each once.
    pub fn batches(&self) -> Vec<BTreeSet<Key>> {
        let mut batches: BTreeMap<&ContainerId, BTreeSet<Key>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (origin, life) in &self.lives {
            let keys = life.nodes.iter().flat_map(Nodes::keys);
            let new = keys.filter(|key| seen.insert(*key)).cloned();
            batches.entry(&origin.container).or_default().extend(new);
        }
        batches
            .into_values()
            .filter(|keys| !keys.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests;
