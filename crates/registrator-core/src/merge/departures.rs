//! Nodes that nobody on this host asks for any more, and how long they stay all the same.
//!
//! A container may take the place of another and ask for the same nodes, so what goes waits for all that is known to have come. And a mistake
//! may look like the end of everything: what goes without a container's end as its proof is gathered, for one decision about all of
//! it.

use crate::node::Key;
use crate::observe::container::ContainerId;
use crate::observe::instance::InstanceId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// The longest wait for containers that have come and were not looked at yet.
const FOR_OTHERS: Duration = Duration::from_secs(1);

/// The longest wait for evaluations under way, of which more such nodes may come.
const TOGETHER: Duration = Duration::from_secs(5);

/// What is held back is counted when one in so many is held back no more.
const WORTH: usize = 8;

/// Why nobody asks for a node any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The container ended, is about to, or is not in the complete list of its engine: that is proof enough.
    Ended,
    /// The node names an address or a port that the container has no longer, as its engine says.
    NotSo,
    /// The container runs, and this instance gives the node no more.
    GivenNoMore(InstanceId),
    /// The instance is gone.
    InstanceGone(InstanceId),
    /// Another engine answers, which does not list the container.
    OtherEngine,
    /// The engine lists no container at all.
    NoneListed,
    /// The engine cannot inspect the container, and told nobody of its end.
    Unknown,
    /// The process before this one left it.
    LeftBefore,
}

impl Cause {
    /// Whether it proves by itself that the node is wrong.
    fn is_proof(&self) -> bool {
        matches!(self, Cause::Ended | Cause::NotSo)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Ended => write!(f, "their containers have ended"),
            Cause::NotSo => write!(f, "their containers have other addresses"),
            Cause::GivenNoMore(instance) => {
                write!(
                    f,
                    "{instance} gives them no more, though their containers run"
                )
            }
            Cause::InstanceGone(instance) => write!(f, "instance {instance} is gone"),
            Cause::OtherEngine => write!(f, "another Docker Engine answers"),
            Cause::NoneListed => write!(f, "Docker lists no container at all"),
            Cause::Unknown => write!(
                f,
                "Docker does not know their containers, and told of no end"
            ),
            Cause::LeftBefore => write!(f, "the process before this one left them"),
        }
    }
}

/// The nodes of one change.
#[derive(Debug)]
struct Batch {
    keys: BTreeSet<Key>,
    container: Option<ContainerId>,
    cause: Cause,
    since: Instant,
}

/// All such nodes.
#[derive(Debug, Default)]
pub struct Departures {
    /// Containers that have come and were not looked at yet, and since when.
    coming: BTreeMap<ContainerId, Instant>,
    /// Those of them that wait for Docker's answer.
    uninspected: BTreeSet<ContainerId>,
    /// The same as `coming`, in the order of their coming.
    coming_since: BTreeSet<(Instant, ContainerId)>,
    /// A list of all containers is under way: any of them may have come.
    listing: bool,
    /// Numbers the batches.
    turn: u64,
    /// What goes, in order.
    batches: BTreeMap<u64, Batch>,
    /// The batches that are proven, in order, and the others: only the first of each is looked at.
    ended: BTreeSet<u64>,
    open: BTreeSet<u64>,
    /// Those that were decided to stay for now.
    held_back: BTreeSet<u64>,
    /// How many of their nodes counted then, and how many of all went or were asked for again since: counting goes through all, and
    /// may not be done for each container that ends.
    counted: usize,
    left_since: usize,
    /// Where each key is.
    of_key: BTreeMap<Key, u64>,
    /// The batches without proof by container: its end may come later, and proves them.
    of_container: BTreeSet<(ContainerId, u64)>,
}

impl Departures {
    /// A container was started, and will be inspected.
    pub fn start(&mut self, container: &ContainerId, now: Instant) {
        self.uninspected.insert(container.clone());
        self.come(container, now);
    }

    /// A container was inspected.
    pub fn inspected(&mut self, container: &ContainerId) {
        self.uninspected.remove(container);
    }

    /// A container has come, or has changed, and will be looked at.
    pub fn come(&mut self, container: &ContainerId, now: Instant) {
        if !self.coming.contains_key(container) {
            self.coming.insert(container.clone(), now);
            self.coming_since.insert((now, container.clone()));
        }
    }

    /// A container was looked at, or there is nothing to look at. What is still to be inspected is not done with.
    pub fn looked_at(&mut self, container: &ContainerId) {
        if self.uninspected.contains(container) {
            return;
        }
        if let Some(since) = self.coming.remove(container) {
            self.coming_since.remove(&(since, container.clone()));
        }
    }

    /// A list of all containers begins. Those that were about to be looked at will be in it, but for those whose evaluation
    /// `is_pending`.
    pub fn list(&mut self, is_pending: impl Fn(&ContainerId) -> bool) {
        self.listing = true;
        self.uninspected.clear();
        self.coming.retain(|id, _| is_pending(id));
        self.coming_since.retain(|(_, id)| is_pending(id));
    }

    /// The list is complete.
    pub fn listed(&mut self) {
        self.listing = false;
    }

    /// Nobody asks for these nodes any more.
    pub fn go(
        &mut self,
        keys: BTreeSet<Key>,
        container: Option<&ContainerId>,
        cause: Cause,
        now: Instant,
    ) {
        if keys.is_empty() {
            return;
        }
        for key in &keys {
            self.stay(key);
        }
        self.turn += 1;
        self.of_key
            .extend(keys.iter().map(|key| (key.clone(), self.turn)));
        if cause.is_proof() {
            self.ended.insert(self.turn);
        } else {
            self.open.insert(self.turn);
            self.of_container
                .extend(container.map(|container| (container.clone(), self.turn)));
        }
        let batch = Batch {
            keys,
            container: container.cloned(),
            cause,
            since: now,
        };
        self.batches.insert(self.turn, batch);
    }

    /// A node does not go; tells whether it was held back.
    pub fn stay(&mut self, key: &Key) -> bool {
        let Some(turn) = self.of_key.remove(key) else {
            return false;
        };
        let was_held_back = self.held_back.contains(&turn);
        self.left_since += usize::from(was_held_back);
        if let Some(batch) = self.batches.get_mut(&turn) {
            batch.keys.remove(key);
            if batch.keys.is_empty() {
                self.take(turn);
            }
        }
        was_held_back
    }

    /// A container has ended: that proves what was open.
    pub fn end(&mut self, container: &ContainerId) {
        let first = (container.clone(), 0);
        let of_it = self.of_container.range(first..);
        let of_it = of_it.take_while(|(whose, _)| whose == container);
        let turns: Vec<u64> = of_it.map(|(_, turn)| *turn).collect();
        for turn in turns {
            self.of_container.remove(&(container.clone(), turn));
            self.open.remove(&turn);
            if self.held_back.remove(&turn) {
                self.left_since += self.batches.get(&turn).map_or(0, |it| it.keys.len());
            }
            self.ended.insert(turn);
        }
    }

    /// Since when a container that has come waits to be looked at.
    pub fn came(&self, container: &ContainerId) -> Option<Instant> {
        self.coming.get(container).copied()
    }

    /// Why a node goes, and whether it is held back.
    pub fn about(&self, key: &Key) -> Option<(&Cause, bool)> {
        let turn = self.of_key.get(key)?;
        let batch = self.batches.get(turn)?;
        Some((&batch.cause, self.held_back.contains(turn)))
    }

    /// The nodes that are held back.
    pub fn held_back(&self) -> impl Iterator<Item = (&Key, &Cause)> {
        let batches = self.held_back.iter();
        let batches = batches.filter_map(|turn| self.batches.get(turn));
        batches.flat_map(|batch| batch.keys.iter().map(|key| (key, &batch.cause)))
    }

    /// The nodes of a container that are still there though nobody asks for them any more, and its end does not prove that they go.
    pub fn of_container<'a>(&'a self, container: &'a ContainerId) -> impl Iterator<Item = &'a Key> {
        let first = (container.clone(), 0);
        let of_it = self.of_container.range(first..);
        let of_it = of_it.take_while(move |(whose, _)| *whose == *container);
        let batches = of_it.filter_map(|(_, turn)| self.batches.get(turn));
        batches.flat_map(|batch| &batch.keys)
    }

    /// Whether a node stays for now.
    pub fn holds(&self, key: &Key) -> bool {
        self.of_key.contains_key(key)
    }

    /// The nodes that are proven and have waited for all that has come, or long enough.
    pub fn take_ended(&mut self, now: Instant) -> Option<BTreeSet<Key>> {
        let turn = *self.ended.first()?;
        let since = self.batches.get(&turn)?.since;
        if self.any_comes(now) && now < since + FOR_OTHERS {
            return None;
        }
        self.take(turn)
    }

    /// Whether a container is about to be looked at. One that has kept everybody waiting for long enough does not count.
    fn any_comes(&self, now: Instant) -> bool {
        let last = self.coming_since.last();
        self.listing || last.is_some_and(|(since, _)| now < *since + FOR_OTHERS)
    }

    /// Whether it is time to decide about what is not proven. `calm` tells that nothing is read or evaluated.
    pub fn is_decidable(&self, calm: bool, now: Instant) -> bool {
        let alone = calm && !self.open.is_empty() && !self.any_comes(now);
        alone || self.decidable_at(calm).is_some_and(|at| at <= now)
    }

    /// What is held back already may be asked for again by an evaluation under way, so it is not decided before that.
    fn decidable_at(&self, calm: bool) -> Option<Instant> {
        let batch = self.batches.get(self.open.first()?)?;
        if calm {
            Some(batch.since + FOR_OTHERS)
        } else if self.held_back.is_empty() {
            Some(batch.since + TOGETHER)
        } else {
            None
        }
    }

    /// The nodes that are not proven, by cause, if `counts` says that they count.
    pub fn unproven(&self, counts: impl Fn(&Key) -> bool) -> BTreeMap<Cause, usize> {
        let mut causes = BTreeMap::new();
        for turn in self.open.iter().chain(&self.held_back) {
            if let Some(batch) = self.batches.get(turn) {
                let count = batch.keys.iter().filter(|key| counts(key)).count();
                if count > 0 {
                    *causes.entry(batch.cause.clone()).or_default() += count;
                }
            }
        }
        causes
    }

    /// Whether any node stays for now.
    pub fn holds_any(&self) -> bool {
        !self.of_key.is_empty()
    }

    /// All that is not proven stays for now; so many nodes of it count.
    pub fn hold_back(&mut self, counted: usize) {
        self.held_back.append(&mut self.open);
        self.counted = counted;
        self.left_since = 0;
    }

    /// How many of the nodes that are held back count, if those that are so no more did.
    pub fn perhaps_held_back(&self) -> usize {
        self.counted.saturating_sub(self.left_since)
    }

    /// Whether so many are held back no more that counting anew is little work for each of these.
    pub fn is_worth_counting(&self) -> bool {
        self.held_back.is_empty() || self.left_since * WORTH >= self.counted
    }

    /// What is known of others changed: what counted may count no more.
    pub fn count_anew(&mut self) {
        self.left_since = self.counted;
    }

    /// All that is not proven goes.
    pub fn take_unproven(&mut self) -> Vec<BTreeSet<Key>> {
        self.hold_back(0);
        self.take_held_back()
    }

    /// What is held back goes.
    pub fn take_held_back(&mut self) -> Vec<BTreeSet<Key>> {
        let turns = std::mem::take(&mut self.held_back);
        (self.counted, self.left_since) = (0, 0);
        turns.iter().filter_map(|turn| self.take(*turn)).collect()
    }

    /// When a wait is over.
    pub fn next_timeout(&self, calm: bool) -> Option<Instant> {
        let ended = self.ended.first().and_then(|turn| self.batches.get(turn));
        let ended = ended.map(|batch| batch.since + FOR_OTHERS);
        let waits = [ended, self.decidable_at(calm)]
            .into_iter()
            .flatten()
            .min()?;
        let comes = self.coming_since.last();
        let comes = comes.map(|(since, _)| *since + FOR_OTHERS);
        // While a list or evaluations are under way there is more to wait for than this.
        let comes = comes.filter(|_| !self.listing && (ended.is_some() || calm));
        Some(comes.map_or(waits, |comes| comes.min(waits)))
    }

    /// Whether nothing waits but what is held back.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.open.is_empty()
    }

    /// Forgets what goes; what has come is still to be looked at.
    pub fn clear(&mut self) {
        *self = Departures {
            coming: std::mem::take(&mut self.coming),
            uninspected: std::mem::take(&mut self.uninspected),
            coming_since: std::mem::take(&mut self.coming_since),
            listing: self.listing,
            turn: self.turn,
            ..Departures::default()
        };
    }

    fn take(&mut self, turn: u64) -> Option<BTreeSet<Key>> {
        let batch = self.batches.remove(&turn)?;
        for key in &batch.keys {
            self.of_key.remove(key);
        }
        for turns in [&mut self.ended, &mut self.open, &mut self.held_back] {
            turns.remove(&turn);
        }
        if let Some(container) = batch.container {
            self.of_container.remove(&(container, turn));
        }
        Some(batch.keys)
    }
}

#[cfg(test)]
mod tests;
