//! Which containers were asked to stop and still run: the pure part of draining.
//!
//! Docker knows no such state. It sends the stop signal, tells so in a `kill` event, and waits: `inspect` says `running` until
//! the process ends. So the state is made here, of the event and of what inspect says of the container: its stop signal, its
//! grace time, and when its process was started.

use std::collections::BTreeMap;
use std::time::Duration;

use registrator_core::observe::container::{Container, ContainerId};
use registrator_core::observe::document::{Document, Part};
use tokio::time::Instant;

use crate::docker::signal;

/// The grace time of a container that has none of its own, as in `docker stop`.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// Docker needs a moment from the end of the grace time to the end of the process.
const ALLOWANCE: Duration = Duration::from_secs(1);

/// The containers that are about to stop. Kept from one session to the next.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    /// Signals for containers of which nothing is known yet: whether it is the stop signal shows when they are inspected.
    undecided: BTreeMap<ContainerId, Signalled>,
    asked: BTreeMap<ContainerId, Asked>,
}

#[derive(Debug)]
struct Signalled {
    signal: u8,
    at: Instant,
}

/// A process that was asked to end.
#[derive(Debug)]
struct Asked {
    /// When it counts as having ignored that; `None` if it ends for sure.
    until: Option<Instant>,
    /// `State.StartedAt`, which tells it from the container's next process.
    started_at: Option<String>,
}

impl Stopping {
    /// Takes a signal that was sent to a container, of which `last` is known. Tells whether it is stopping because of it.
    pub(super) fn signalled(&mut self, last: &Container, signal: u8, now: Instant) -> bool {
        if signal == signal::KILL {
            self.ends(last.id());
            return false;
        }
        let process = Process::of(last);
        let is_stop = process.runs && signal == process.stop_signal;
        if is_stop {
            self.ask(last.id(), process, now);
        }
        is_stop
    }

    /// Takes a signal that was sent to a container of which nothing is known yet.
    pub(super) fn signalled_unknown(&mut self, id: &ContainerId, signal: u8, now: Instant) {
        if signal != signal::KILL {
            let signalled = Signalled { signal, at: now };
            self.undecided.insert(id.clone(), signalled);
        }
    }

    /// The process has ended, or will at once. An inspect that still shows it was answered before.
    pub(super) fn ends(&mut self, id: &ContainerId) {
        self.undecided.remove(id);
        if let Some(asked) = self.asked.get_mut(id) {
            asked.until = None;
        }
    }

    /// A new process was started, or there will be none any more.
    pub(super) fn forget(&mut self, id: &ContainerId) {
        self.undecided.remove(id);
        self.asked.remove(id);
    }

    /// Forgets all containers but those that are known.
    pub(super) fn retain(&mut self, is_known: impl Fn(&ContainerId) -> bool) {
        self.undecided.retain(|id, _| is_known(id));
        self.asked.retain(|id, _| is_known(id));
    }

    /// What is to be reported of a container that inspect shows so.
    pub(super) fn shown(&mut self, inspected: Container, now: Instant) -> Container {
        let id = inspected.id();
        if let Some(Signalled { signal, at }) = self.undecided.remove(id) {
            self.signalled(&inspected, signal, at);
        }
        let is_over = |asked: &Asked| {
            let process = Process::of(&inspected);
            !process.runs
                || asked.started_at != process.started_at
                || asked.until.is_some_and(|until| until <= now)
        };
        match self.asked.get(id) {
            None => inspected,
            Some(asked) if is_over(asked) => {
                self.asked.remove(id);
                inspected
            }
            Some(_) => inspected.asked_to_stop(),
        }
    }

    /// When the next grace time is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.asked.values().filter_map(|asked| asked.until).min()
    }

    /// The containers that lived on after their grace time. They are not stopping any more.
    pub(super) fn take_survivors(&mut self, now: Instant) -> Vec<ContainerId> {
        let survives =
            |_: &ContainerId, asked: &mut Asked| asked.until.is_some_and(|until| until <= now);
        let survivors = self.asked.extract_if(.., survives);
        survivors.map(|(id, _)| id).collect()
    }

    /// What was certain of the process already stays so.
    fn ask(&mut self, id: &ContainerId, process: Process, at: Instant) {
        let asked = Asked {
            until: process.grace.map(|grace| at + grace),
            started_at: process.started_at,
        };
        match self.asked.get_mut(id) {
            Some(same) if same.started_at == asked.started_at => {
                same.until = same.until.and(asked.until);
            }
            _ => _ = self.asked.insert(id.clone(), asked),
        }
    }
}

/// What inspect says of a container's process.
struct Process {
    /// Whether it is there to be stopped. While Docker waits to start one again, `State.Running` is true all the same.
    runs: bool,
    started_at: Option<String>,
    /// The signal by which `docker stop` asks it to end.
    stop_signal: u8,
    /// How long it may take to end; `None` without limit.
    grace: Option<Duration>,
}

impl Process {
    fn of(container: &Container) -> Self {
        let document = container.document();
        let text = |path: &[&str]| document.at(path).and_then(Part::as_str);
        let stop_signal = text(&["Config", "StopSignal"]);
        Self {
            runs: container.running(),
            started_at: text(&["State", "StartedAt"]).map(str::to_owned),
            stop_signal: stop_signal.and_then(signal::number).unwrap_or(signal::TERM),
            grace: grace(&document),
        }
    }
}

/// A negative `StopTimeout` means no limit.
fn grace(document: &Document) -> Option<Duration> {
    let own = document.at(&["Config", "StopTimeout"]);
    let grace = match own.and_then(Part::as_i64) {
        None => DEFAULT_GRACE,
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).ok()?),
    };
    // A time far beyond all clocks is none.
    (grace < Duration::from_secs(u32::MAX.into())).then_some(grace + ALLOWANCE)
}

#[cfg(test)]
mod tests;
