//! Whether the process that holds the identity lives, which its lease tells.
//!
//! A process that lives renews its lease each interval. A dead one's runs down, but not always: a new leader of etcd gives all leases their
//! whole time again, as each start of etcd does, and while etcd stands still its leases may too. So what counts is for how long etcd
//! has answered without a gap and in one term that the lease has not run down.

use super::keeper::renewal_interval;
use std::time::{Duration, Instant};

/// The longest time between two answers in which etcd counts as there. It is asked each second.
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// What etcd answered about the holder and its lease.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    /// The process that the identity names; `None` if that cannot be read.
    pub(super) process: Option<String>,
    /// etcd's raft term: it changes with the leader.
    pub(super) term: u64,
    /// The lease's TTL as granted.
    pub(super) ttl: Duration,
    /// What is left of it, in whole seconds.
    pub(super) remaining: Duration,
}

/// What is known of the holder after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has missed its renewal.
    Stale,
    /// Its lease looks renewed, but it may have died a moment ago.
    Unsure,
    /// It renewed its lease while this process looked on.
    Alive,
}

/// The row of answers in which the same holder looks alive. Begins with none.
#[derive(Debug, Default)]
pub(super) struct Liveness(Option<Row>);

#[derive(Debug)]
struct Row {
    /// Of the first answer: later ones agree in all but what is left.
    sighting: Sighting,
    since: Instant,
    /// The latest answer.
    until: Instant,
}

impl Liveness {
    /// etcd answered.
    pub(super) fn answered(&mut self, sighting: Sighting, now: Instant) -> Verdict {
        let ttl = sighting.ttl;
        let row = self.0.take();
        if is_stale(sighting.remaining, ttl) {
            return Verdict::Stale;
        }
        if sighting.remaining > ttl {
            // More than a renewal gives: a new leader has just given it.
            return Verdict::Unsure;
        }
        let since = match row {
            Some(row) if row.goes_on_with(&sighting, now) => row.since,
            _ => now,
        };
        self.0 = Some(Row {
            sighting,
            since,
            until: now,
        });
        if now.saturating_duration_since(since) > time_to_be_certain(ttl) {
            Verdict::Alive
        } else {
            Verdict::Unsure
        }
    }
}

impl Row {
    fn goes_on_with(&self, next: &Sighting, now: Instant) -> bool {
        let known = &self.sighting;
        known.process == next.process
            && known.term == next.term
            && known.ttl == next.ttl
            && now.saturating_duration_since(self.until) <= LONGEST_GAP
    }
}

/// After how long a lease that never looked stale was renewed for certain. A dead process's looks renewed for the patience of
/// [`is_stale`]; as long again may etcd have stood still without a gap in its answers.
fn time_to_be_certain(ttl: Duration) -> Duration {
    patience(ttl) * 2 + Duration::from_secs(1)
}

/// Whether a lease of `ttl` with `remaining` whole seconds has missed its renewal: at 30 s from 25 s on. A second goes to
/// rounding, another to slowness.
fn is_stale(remaining: Duration, ttl: Duration) -> bool {
    remaining <= ttl.saturating_sub(patience(ttl))
}

fn patience(ttl: Duration) -> Duration {
    renewal_interval(ttl) + Duration::from_secs(2)
}

#[cfg(test)]
mod tests;
