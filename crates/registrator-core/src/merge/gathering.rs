//! Changed keys of one container, held back while its other evaluations run, so that they travel together.

use crate::node::Key;
use crate::observe::container::ContainerId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What is held back.
#[derive(Debug, Default)]
pub struct Gathering {
    containers: BTreeMap<ContainerId, Gathered>,
    /// The containers in the order in which their wait began.
    since: BTreeSet<(Instant, ContainerId)>,
}

#[derive(Debug)]
struct Gathered {
    keys: BTreeSet<Key>,
    since: Instant,
}

impl Gathering {
    /// Holds back changed keys of a container.
    pub fn add(&mut self, container: &ContainerId, keys: BTreeSet<Key>, now: Instant) {
        if keys.is_empty() {
            return;
        }
        let gathered = self
            .containers
            .entry(container.clone())
            .or_insert_with(|| Gathered {
                keys: BTreeSet::new(),
                since: now,
            });
        gathered.keys.extend(keys);
        self.since.insert((gathered.since, container.clone()));
    }

    /// The keys of a container, which are held back no longer.
    pub fn take(&mut self, container: &ContainerId) -> BTreeSet<Key> {
        let Some(gathered) = self.containers.remove(container) else {
            return BTreeSet::new();
        };
        self.since.remove(&(gathered.since, container.clone()));
        gathered.keys
    }

    /// The keys of the next container that has been held back for `longest`.
    pub fn take_due(&mut self, now: Instant, longest: Duration) -> Option<BTreeSet<Key>> {
        let (since, container) = self.since.first()?;
        if now < *since + longest {
            return None;
        }
        let container = container.clone();
        Some(self.take(&container))
    }

    /// The keys of all containers, in the order of their ids.
    pub fn take_all(&mut self) -> Vec<BTreeSet<Key>> {
        self.since.clear();
        let all = std::mem::take(&mut self.containers);
        all.into_values().map(|gathered| gathered.keys).collect()
    }

    /// Since when the container that has waited longest is held back.
    pub fn waits_since(&self) -> Option<Instant> {
        self.since.first().map(|(since, _)| *since)
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> BTreeSet<Key> {
        names.iter().map(|name| Key::parse(name).unwrap()).collect()
    }

    #[test]
    fn keys_of_a_container_travel_together_until_the_first_has_waited_too_long() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        let (a, b) = (ContainerId::new("a"), ContainerId::new("b"));
        let ms = Duration::from_millis;
        gathering.add(&a, keys(&["/1"]), now);
        gathering.add(&b, keys(&["/2"]), now + ms(5));
        gathering.add(&a, keys(&["/3"]), now + ms(15));
        gathering.add(&a, keys(&[]), now + ms(16));
        assert_eq!(gathering.waits_since(), Some(now));
        assert_eq!(gathering.take_due(now + ms(19), ms(20)), None);
        assert_eq!(
            gathering.take_due(now + ms(20), ms(20)),
            Some(keys(&["/1", "/3"]))
        );
        assert_eq!(gathering.take_due(now + ms(20), ms(20)), None);
        assert_eq!(gathering.take(&b), keys(&["/2"]));
        assert_eq!(gathering.take(&b), keys(&[]));
        assert!(gathering.is_empty() && gathering.waits_since().is_none());
        gathering.add(&b, keys(&["/2"]), now);
        gathering.add(&a, keys(&["/1"]), now);
        assert_eq!(gathering.take_all(), [keys(&["/1"]), keys(&["/2"])]);
        assert!(gathering.is_empty() && gathering.waits_since().is_none());
    }
}
