//! One policy and its thread.

use super::watchdog::{Alarm, Overdue, Watchdog};
use super::{Deadlines, Evaluated, Ticket, host_error};
use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use registrator_core::observe::config::Config;
use registrator_core::observe::container::Container;
use registrator_core::observe::spec::PolicyName;
use registrator_policy::{Canceller, Policy, STACK_BYTES};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// An evaluation that is asked for; without a container the policy looks at the configuration.
pub(super) struct Request {
    pub(super) ticket: Ticket,
    pub(super) config: Option<Config>,
    pub(super) container: Option<Container>,
}

/// The end of a policy's thread that the owner holds. The thread ends when it is closed or dropped.
pub(super) struct Worker(Arc<PolicyThread>);

/// What thread, owner and watchdog share.
struct PolicyThread {
    name: PolicyName,
    canceller: Canceller,
    deadlines: Deadlines,
    results: UnboundedSender<Evaluated>,
    state: Mutex<State>,
    /// There is work, or the end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Request>,
    running: Option<Running>,
    closed: bool,
    /// Why there is no thread.
    dead: Option<String>,
}

/// The evaluation that the thread is at.
struct Running {
    ticket: Ticket,
    since: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    InTime,
    /// It was cancelled, and should end soon.
    Cancelled(Instant),
    /// It was answered with an error, but still runs.
    GivenUp,
}

impl Worker {
    /// Starts the policy's thread.
    pub(super) fn start(
        policy: Box<dyn Policy>,
        deadlines: Deadlines,
        results: UnboundedSender<Evaluated>,
        watchdog: &Watchdog,
    ) -> Worker {
        let shared = Arc::new(PolicyThread {
            name: policy.spec().name.clone(),
            canceller: policy.canceller(),
            deadlines,
            results,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let (own, alarm) = (Arc::clone(&shared), watchdog.alarm());
        let thread = std::thread::Builder::new()
            .name(format!("policy {}", shared.name))
            .stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn(move || work(policy, &own, &alarm)) {
            let message = format!("policy {} has no thread to run on: {error}", shared.name);
            shared.lock().dead = Some(message);
        }
        Worker(shared)
    }

    /// Queues an evaluation, or gives it back with the reason why it can never run.
    pub(super) fn ask(&self, request: Request) -> Result<(), (Request, String)> {
        let mut state = self.0.lock();
        if let Some(reason) = &state.dead {
            return Err((request, reason.clone()));
        }
        if state.is_given_up() {
            return Err((request, self.0.hangs()));
        }
        state.queue.push_back(request);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Ends the thread after what it is at, and takes back what it has not begun.
    pub(super) fn close(self) -> VecDeque<Request> {
        self.0.close()
    }

    /// For the watchdog.
    pub(super) fn watched(&self) -> Weak<dyn Overdue> {
        Arc::<PolicyThread>::downgrade(&self.0)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The thread: takes one request after the other, until the end.
fn work(mut policy: Box<dyn Policy>, shared: &PolicyThread, alarm: &Alarm) {
    while let Some(request) = shared.next() {
        alarm.ring();
        let evaluate = || match (&request.container, &request.config) {
            (Some(container), config) => policy.evaluate(config.as_ref(), container),
            (None, Some(config)) => policy.check(config),
            (None, None) => Ok(Evaluation::default()),
        };
        // A policy keeps no state between evaluations that a panic could leave half done.
        let result = catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| {
            let message = format!("policy {} panicked, see standard error", shared.name);
            Err(host_error(message))
        });
        shared.finish(&request, result);
        if let Some(container) = &request.container {
            container.pack();
        }
    }
}

impl PolicyThread {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) -> VecDeque<Request> {
        let mut state = self.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.changed.notify_one();
        queue
    }

    /// The next request, which runs from now on. `None` at the end.
    fn next(&self) -> Option<Request> {
        let mut state = self.lock();
        loop {
            if let Some(request) = state.queue.pop_front() {
                state.running = Some(Running {
                    ticket: request.ticket,
                    since: Instant::now(),
                    stage: Stage::InTime,
                });
                return Some(request);
            }
            if state.closed {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, request: &Request, result: Result<Evaluation, EvalError>) {
        let running = self.lock().running.take();
        let result = match (running.map(|running| running.stage), result) {
            // It was answered already.
            (Some(Stage::GivenUp), _) => return,
            (Some(Stage::Cancelled(_)), Err(error)) => Err(self.too_slow(request, error.at)),
            (_, result) => result,
        };
        self.answer(request.ticket, result);
    }

    fn answer(&self, ticket: Ticket, result: Result<Evaluation, EvalError>) {
        // The receiver is gone only when the program ends.
        let _ = self.results.send(Evaluated { ticket, result });
    }

    fn too_slow(&self, request: &Request, at: Option<String>) -> EvalError {
        let of = request
            .container
            .as_ref()
            .map_or("a configuration".to_owned(), |container| {
                format!("container {}", container.name())
            });
        EvalError {
            kind: EvalErrorKind::Limit,
            message: format!(
                "the policy took longer than {} for {of}: make it do less, or raise --evaluation-timeout (KONTENA_REGISTRATOR_EVALUATION_TIMEOUT)",
                shown(self.deadlines.timeout)
            ),
            at,
        }
    }

    fn hangs(&self) -> String {
        let limit = self.deadlines.timeout + self.deadlines.grace;
        format!(
            "policy {} has not answered for {} and cannot be cancelled: it is not asked again until it answers or its file changes",
            self.name,
            shown(limit)
        )
    }
}

impl Overdue for PolicyThread {
    /// Cancels what is overdue, and gives up what does not end.
    ///
    /// The lock is held while cancelling, so that it is this evaluation that is cancelled, and not the one after it.
    fn check(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let running = state.running.as_mut()?;
        match running.stage {
            Stage::GivenUp => None,
            Stage::InTime if now < running.since + self.deadlines.timeout => {
                Some(running.since + self.deadlines.timeout)
            }
            Stage::InTime => {
                self.canceller.cancel();
                running.stage = Stage::Cancelled(now);
                Some(now + self.deadlines.grace)
            }
            Stage::Cancelled(at) if now < at + self.deadlines.grace => {
                Some(at + self.deadlines.grace)
            }
            Stage::Cancelled(_) => {
                running.stage = Stage::GivenUp;
                let running = running.ticket;
                let waiting = state.queue.drain(..).map(|request| request.ticket);
                for ticket in std::iter::once(running).chain(waiting) {
                    self.answer(ticket, Err(host_error(self.hangs())));
                }
                None
            }
        }
    }
}

impl State {
    fn is_given_up(&self) -> bool {
        let stage = self.running.as_ref().map(|running| running.stage);
        stage == Some(Stage::GivenUp)
    }
}

fn shown(time: Duration) -> String {
    format!("{time:?}")
}
