//! Looks after evaluations that take too long.
//!
//! One thread for all policies. It sleeps while nothing runs, and otherwise until the first deadline, not once for each
//! evaluation: all have the same time, so one that begins later is not due earlier.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::Thread;
use std::time::Instant;

/// What may take too long.
pub(super) trait Overdue: Send + Sync {
    /// Ends what is overdue at `now`. Tells when to look again; `None` if nothing runs.
    fn check(&self, now: Instant) -> Option<Instant>;
}

/// Ends when it is dropped.
pub(super) struct Watchdog {
    watched: Arc<Watched>,
    /// `None` if there is no thread; then nothing is ever cancelled, but policies have limits of their own.
    thread: Option<Thread>,
}

/// Tells the watchdog that an evaluation begins.
pub(super) struct Alarm {
    watched: Arc<Watched>,
    thread: Option<Thread>,
}

#[derive(Default)]
struct Watched {
    all: Mutex<Vec<Weak<dyn Overdue>>>,
    /// The thread sleeps without a deadline, or is about to.
    idle: AtomicBool,
    ended: AtomicBool,
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start() -> Watchdog {
        let watched = Arc::new(Watched::default());
        let own = Arc::clone(&watched);
        let thread = std::thread::Builder::new().name("deadlines".into());
        let handle = thread.spawn(move || own.run());
        if let Err(error) = &handle {
            tracing::warn!(%error, "no thread for deadlines: slow policies are not cancelled");
        }
        Watchdog {
            watched,
            thread: handle.ok().map(|handle| handle.thread().clone()),
        }
    }

    /// Looks after a policy as long as it is there.
    pub(super) fn watch(&self, policy: Weak<dyn Overdue>) {
        self.watched.lock().push(policy);
    }

    pub(super) fn alarm(&self) -> Alarm {
        Alarm {
            watched: Arc::clone(&self.watched),
            thread: self.thread.clone(),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.watched.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl Alarm {
    /// To be called when the evaluation can be seen to run. Costs next to nothing while the watchdog has a deadline.
    pub(super) fn ring(&self) {
        if self.watched.idle.swap(false, Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.unpark();
        }
    }
}

impl Watched {
    fn run(&self) {
        while !self.ended.load(Ordering::SeqCst) {
            // Announced before looking: whoever begins after the look finds it, and wakes this thread.
            self.idle.store(true, Ordering::SeqCst);
            match self.check() {
                None => std::thread::park(),
                Some(next) => {
                    self.idle.store(false, Ordering::SeqCst);
                    std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
                }
            }
        }
    }

    /// Looks at every policy; tells when the next deadline is.
    fn check(&self) -> Option<Instant> {
        let mut all = self.lock();
        all.retain(|one| one.strong_count() > 0);
        let living: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        drop(all);
        let now = Instant::now();
        living.iter().filter_map(|one| one.check(now)).min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<dyn Overdue>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
