//! What somebody who is no registrator made of a node of this process, until it is repaired.

use super::patience::Patience;
use crate::node::Value;
use crate::own::{Held, LeaseId, View, Who};
use std::time::{Duration, Instant};

/// The wait before a node under an unknown lease is replaced: of a registrator's new lease we may be told after its nodes.
const STRANGER_WAIT: Duration = Duration::from_millis(200);

/// A repair so soon after the one before waits: another program may want the key as well, and this is no war.
const REPAIR_PEACE: Duration = Duration::from_secs(60);

/// The first such wait.
const FIRST_PEACE_WAIT: Duration = Duration::from_secs(1);

/// How a key stands to what is wished and to what this process made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Drift {
    /// What was found in the place of our node: another value, or nothing.
    pub(super) found: Option<Option<Value>>,
    /// The unknown lease that the node was found under, while we may yet be told of it.
    pub(super) stranger: Option<LeaseId>,
    pub(super) last_repair: Option<Instant>,
}

impl Drift {
    /// What stays when a session ends.
    pub(super) fn carried_over(&self) -> Drift {
        Drift {
            last_repair: self.last_repair,
            ..Drift::default()
        }
    }

    /// Whether something is to be repaired.
    pub(super) fn is_there(&self) -> bool {
        self.found.is_some()
    }

    /// Takes in what was found in the place of our node.
    pub(super) fn find(
        &mut self,
        who: &Who,
        found: Option<&Held>,
        patience: &mut Patience,
        now: Instant,
    ) {
        let stranger = found
            .and_then(|held| held.lease)
            .filter(|lease| !who.knows(*lease));
        // Even if something else was to be repaired already.
        if stranger.is_some() && self.stranger.is_none() {
            self.stranger = stranger;
            patience.pause(now, STRANGER_WAIT);
        }
        if self.is_there() {
            return;
        }
        self.found = Some(found.map(|held| held.value.clone()));
        if self.was_repaired_lately(now) {
            patience.back_off(now, FIRST_PEACE_WAIT);
        }
    }

    fn was_repaired_lately(&self, now: Instant) -> bool {
        self.last_repair
            .is_some_and(|last| now.saturating_duration_since(last) < REPAIR_PEACE)
    }

    /// Finds out whether somebody who is no registrator has put something in the place of our node.
    pub(super) fn inspect(
        &mut self,
        who: &Who,
        view: &View,
        patience: &mut Patience,
        now: Instant,
    ) {
        let stranger = view.holder().filter(|lease| !who.knows(*lease));
        if self.stranger.is_some() && self.stranger != stranger {
            // It is gone, or we were told of it: what it did was in order.
            self.stranger = None;
            self.found = None;
            patience.resume();
        }
        let Some(held) = &view.node else {
            return;
        };
        match held.lease {
            Some(lease) if lease == who.me => {}
            Some(lease) if who.knows(lease) => self.found = None,
            _ => self.find(who, Some(held), patience, now),
        }
    }

    /// The node was written. Gives what was found in its place before, if this repairs it.
    pub(super) fn repaired(&mut self, now: Instant) -> Option<Option<Value>> {
        let found = self.found.take()?;
        self.stranger = None;
        self.last_repair = Some(now);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: LeaseId = LeaseId(9);

    fn who(others: &[i64]) -> Who {
        Who {
            me: LeaseId(1),
            registrators: others
                .iter()
                .map(|lease| (LeaseId(*lease), "".into()))
                .collect(),
            beacons: [].into(),
        }
    }

    fn held_by(lease: Option<LeaseId>) -> View {
        View {
            node: Some(Held {
                value: Value::parse("x").unwrap(),
                lease,
                mod_revision: 7,
            }),
            ..View::default()
        }
    }

    #[test]
    fn the_first_repair_is_at_once_and_the_second_waits() {
        let (mut drift, mut patience) = (Drift::default(), Patience::default());
        let now = Instant::now();
        drift.inspect(&who(&[]), &held_by(None), &mut patience, now);
        assert_eq!(patience.until(now), None);
        let found = held_by(None).node.map(|held| held.value);
        assert_eq!(drift.repaired(now), Some(found));
        drift.inspect(&who(&[]), &held_by(None), &mut patience, now);
        assert_eq!(patience.until(now), Some(now + FIRST_PEACE_WAIT));
    }

    #[test]
    fn after_a_minute_there_is_peace_again() {
        let (mut drift, mut patience) = (Drift::default(), Patience::default());
        let now = Instant::now();
        drift.find(&who(&[]), None, &mut patience, now);
        assert_eq!(drift.repaired(now), Some(None));
        let later = now + REPAIR_PEACE;
        drift.find(&who(&[]), None, &mut patience, later);
        assert_eq!(patience.until(later), None);
    }

    /// It may be a registrator's that was as quick as us.
    #[test]
    fn a_stranger_in_the_place_of_what_was_deleted_is_left_for_a_moment() {
        let (mut drift, mut patience) = (Drift::default(), Patience::default());
        let now = Instant::now();
        drift.find(&who(&[]), None, &mut patience, now);
        assert_eq!(patience.until(now), None);
        drift.inspect(&who(&[]), &held_by(Some(STRANGER)), &mut patience, now);
        assert_eq!(patience.until(now), Some(now + STRANGER_WAIT));
    }

    #[test]
    fn a_stranger_that_turns_out_to_be_a_registrator_broke_nothing() {
        let (mut drift, mut patience) = (Drift::default(), Patience::default());
        let now = Instant::now();
        drift.inspect(&who(&[]), &held_by(Some(STRANGER)), &mut patience, now);
        assert_eq!(patience.until(now), Some(now + STRANGER_WAIT));
        drift.inspect(&who(&[9]), &held_by(Some(STRANGER)), &mut patience, now);
        assert_eq!(patience.until(now), None);
        assert_eq!(drift.repaired(now), None);
    }
}
