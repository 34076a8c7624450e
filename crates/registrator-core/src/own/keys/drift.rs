//! What somebody who is no registrator made of a node of this process, until it is repaired.

use super::patience::Patience;
use crate::node::Value;
use crate::own::{Held, LeaseId, View, Who};
use crate::tell::notice::Damage;
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
    /// The value that the node had when a registrator had it.
    pub(super) before: Option<Value>,
    /// What was found in the place of our node: a value, or nothing.
    pub(super) found: Option<Option<Value>>,
    /// The unknown lease that the node was found under, while we may yet be told of it.
    pub(super) stranger: Option<LeaseId>,
    pub(super) last_repair: Option<Instant>,
}

impl Drift {
    /// What stays when a session ends.
    pub(super) fn carried_over(&self) -> Drift {
        Drift {
            before: self.before.clone(),
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
            Some(lease) if who.knows(lease) => {
                self.before = Some(held.value.clone());
                if lease != who.me {
                    self.found = None;
                }
            }
            _ => self.find(who, Some(held), patience, now),
        }
    }

    /// The node was written with this value, in the place of one under `lease`. Gives what somebody had made of it, if this repairs it.
    pub(super) fn written(
        &mut self,
        value: &Value,
        lease: Option<LeaseId>,
        now: Instant,
    ) -> Option<Damage> {
        let before = self.before.replace(value.clone());
        let found = self.found.take()?;
        self.stranger = None;
        self.last_repair = Some(now);
        Some(match (found, lease) {
            (None, _) => Damage::Deleted,
            (Some(value), _) if Some(&value) != before.as_ref() => Damage::Changed(value),
            (Some(_), None) => Damage::Detached,
            (Some(_), Some(lease)) => Damage::Attached(lease.to_string()),
        })
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

    fn value(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    fn held_by(lease: Option<LeaseId>) -> View {
        View {
            node: Some(Held {
                value: value("x"),
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
        let found = value("x");
        assert_eq!(
            drift.written(&value("a"), None, now),
            Some(Damage::Changed(found))
        );
        drift.inspect(&who(&[]), &held_by(None), &mut patience, now);
        assert_eq!(patience.until(now), Some(now + FIRST_PEACE_WAIT));
    }

    #[test]
    fn after_a_minute_there_is_peace_again() {
        let (mut drift, mut patience) = (Drift::default(), Patience::default());
        let now = Instant::now();
        drift.find(&who(&[]), None, &mut patience, now);
        assert_eq!(drift.written(&value("a"), None, now), Some(Damage::Deleted));
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
        assert_eq!(drift.written(&value("a"), None, now), None);
    }

    /// Whoever changes the wish at the same time does not make it another value that was found.
    #[test]
    fn a_node_that_only_left_its_lease_has_not_changed() {
        let check = |ours: &str, lease: Option<LeaseId>, expected: Damage| {
            let (mut drift, mut patience) = (Drift::default(), Patience::default());
            let now = Instant::now();
            assert_eq!(drift.written(&value(ours), None, now), None);
            let mut drift = drift.carried_over();
            drift.inspect(&who(&[]), &held_by(lease), &mut patience, now);
            assert_eq!(drift.written(&value("b"), lease, now), Some(expected));
            drift.inspect(&who(&[]), &held_by(Some(LeaseId(1))), &mut patience, now);
            assert_eq!(drift.before, Some(value("x")), "as it was read");
        };
        check("x", None, Damage::Detached);
        check("x", Some(STRANGER), Damage::Attached(STRANGER.to_string()));
        check("a", None, Damage::Changed(value("x")));
        check("a", Some(STRANGER), Damage::Changed(value("x")));
    }
}
