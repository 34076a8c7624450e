//! When keys that wait are decided again.

use crate::node::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// At most one alarm for each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Alarms {
    at: BTreeMap<Key, Instant>,
    /// The same in order of time, so that the next one is found at once.
    in_order: BTreeSet<(Instant, Key)>,
}

impl Alarms {
    /// Sets the alarm of a key, instead of the one that it has.
    pub(super) fn set(&mut self, key: &Key, at: Instant) {
        self.cancel(key);
        self.at.insert(key.clone(), at);
        self.in_order.insert((at, key.clone()));
    }

    /// The key waits no longer.
    pub(super) fn cancel(&mut self, key: &Key) {
        if let Some((key, at)) = self.at.remove_entry(key) {
            self.in_order.remove(&(at, key));
        }
    }

    /// No key waits any longer.
    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.in_order.clear();
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(at, _)| *at)
    }

    /// A key whose alarm is due. It has none then.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Key> {
        let (_, key) = self.in_order.first().filter(|(at, _)| *at <= now)?;
        let key = key.clone();
        self.cancel(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_key_has_one_alarm() {
        let (mut alarms, now) = (Alarms::default(), Instant::now());
        let [a, b] = ["/a", "/b"].map(|key| Key::parse(key).unwrap());
        let later = |seconds| now + Duration::from_secs(seconds);
        alarms.set(&a, later(1));
        alarms.set(&b, later(2));
        alarms.set(&a, later(3));
        assert_eq!(alarms.next(), Some(later(2)));
        assert_eq!(alarms.take_due(later(1)), None);
        assert_eq!(alarms.take_due(later(3)), Some(b));
        alarms.cancel(&a);
        assert_eq!(alarms.take_due(later(3)), None);
        assert_eq!(alarms, Alarms::default());
    }
}
