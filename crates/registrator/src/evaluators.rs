//! Runs policies: each on a thread of its own, so that a slow one delays only itself.

mod loading;
mod watchdog;
mod worker;

pub use loading::{LOAD_TIMEOUT, load};

use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use registrator_core::evaluate::scheduler::Ticket;
use registrator_core::observe::config::Config;
use registrator_core::observe::container::Container;
use registrator_core::observe::spec::PolicyName;
use registrator_policy::Policy;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use watchdog::Watchdog;
use worker::{Request, Worker};

/// The answer to [`Evaluators::evaluate`] and [`Evaluators::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluated {
    /// The name of what was asked.
    pub ticket: Ticket,
    /// What came of it.
    pub result: Result<Evaluation, EvalError>,
}

/// How long an evaluation may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// The time after which it is cancelled.
    pub timeout: Duration,
    /// How much longer it may go on after that. Then it is given up, and its policy is not asked again until it comes back.
    pub grace: Duration,
}

impl Deadlines {
    /// Cancels after `timeout`, and gives up 5 s later.
    pub fn new(timeout: Duration) -> Deadlines {
        Deadlines {
            timeout,
            grace: Duration::from_secs(5),
        }
    }
}

/// All loaded policies, with their threads.
///
/// Invariant: each ticket is answered exactly once, while the receiver of the answers lives.
pub struct Evaluators {
    workers: BTreeMap<PolicyName, Worker>,
    deadlines: Deadlines,
    /// Unbounded, so that nobody who answers ever waits; there are never more answers than evaluations asked for.
    results: UnboundedSender<Evaluated>,
    watchdog: Watchdog,
}

impl Evaluators {
    /// No policy yet. Answers go to `results`.
    pub fn new(deadlines: Deadlines, results: UnboundedSender<Evaluated>) -> Evaluators {
        Evaluators {
            workers: BTreeMap::new(),
            deadlines,
            results,
            watchdog: Watchdog::start(),
        }
    }

    /// Puts a policy in the place of the one with its name, if there is one. What that one has not begun, this one does.
    pub fn replace(&mut self, policy: Box<dyn Policy>) {
        let name = policy.spec().name.clone();
        let worker = Worker::start(policy, self.deadlines, self.results.clone(), &self.watchdog);
        self.watchdog.watch(worker.watched());
        if let Some(old) = self.workers.insert(name.clone(), worker) {
            for request in old.close() {
                self.ask(&name, request);
            }
        }
    }

    /// Ends a policy. What it has not begun is answered with an error.
    pub fn remove(&mut self, name: &PolicyName) {
        let Some(old) = self.workers.remove(name) else {
            return;
        };
        for request in old.close() {
            self.refuse(&request, format!("policy {name} was removed"));
        }
    }

    /// Asks a policy about a container; the answer has the ticket. Never blocks.
    pub fn evaluate(
        &mut self,
        ticket: Ticket,
        policy: &PolicyName,
        config: Option<Config>,
        container: Container,
    ) {
        let request = Request {
            ticket,
            config,
            container: Some(container),
        };
        self.ask(policy, request);
    }

    /// Asks a policy to look at a configuration; the answer has the ticket, and no nodes. Never blocks.
    pub fn check(&mut self, ticket: Ticket, policy: &PolicyName, config: Option<Config>) {
        let request = Request {
            ticket,
            config,
            container: None,
        };
        self.ask(policy, request);
    }

    fn ask(&self, policy: &PolicyName, request: Request) {
        let refused = match self.workers.get(policy) {
            Some(worker) => worker.ask(request),
            None => Err((request, format!("policy {policy} is not loaded"))),
        };
        if let Err((request, message)) = refused {
            self.refuse(&request, message);
        }
    }

    fn refuse(&self, request: &Request, message: String) {
        // The receiver is gone only when the program ends.
        let _ = self.results.send(Evaluated {
            ticket: request.ticket,
            result: Err(host_error(message)),
        });
    }
}

impl std::fmt::Debug for Evaluators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.workers.keys()).finish()
    }
}

fn host_error(message: String) -> EvalError {
    EvalError {
        kind: EvalErrorKind::Host,
        message,
        at: None,
    }
}

#[cfg(test)]
mod tests;
