//! The keys that this process has or wants in etcd: what is seen of each, and which must be decided again.
//!
//! Level-triggered: an event only updates a view and marks the key. What is written follows from wish and view alone, at most one
//! transaction for a key is under way, and every answer of etcd is the next view.

mod alarms;
mod drift;
mod flights;
mod ledger;
mod looking;
mod parts;
mod patience;
mod request;
mod seeing;
mod sight;
mod story;
mod tracked;
mod writing;

use crate::node::{Key, Value};
use crate::own::Who;
use crate::own::session::{Forgotten, Session};
use crate::tell::notice::Notice;
use alarms::Alarms;
use flights::Flights;
use ledger::Ledger;
pub(crate) use looking::AboutTracked;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tracked::Tracked;

/// What is wished for some keys.
type WishedFor = BTreeMap<Key, Option<Value>>;

/// What a decision needs to know of the world outside etcd.
pub(crate) struct Wishes<'a> {
    /// What is wished for a key.
    pub(crate) of: &'a dyn Fn(&Key) -> Option<Value>,
    /// Whether a node that nobody wishes any more is not to be deleted yet. It passes to another registrator that claims it.
    pub(crate) stays: &'a dyn Fn(&Key) -> bool,
    /// What would be wished for the members of an object if this definition of it stood, or none: those for which that is something
    /// else than now.
    pub(crate) members: &'a dyn Fn(&Key, Option<&Value>) -> WishedFor,
    /// The marker of the object because of which a key is wished as its member.
    pub(crate) object_of: &'a dyn Fn(&Key) -> Option<Key>,
    /// Keys that this process never wished stay as they are, because a wish for them may be missing by a fault.
    pub(crate) keep_orphans: bool,
}

/// All keys of interest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    session: Option<(u64, Arc<Who>)>,
    ledger: Ledger,
    /// Keys that the process before this one left and this one never wished.
    orphans: BTreeSet<Key>,
    /// The keys that wait.
    alarms: Alarms,
    /// Keys to decide. Those of one batch travel together.
    queue: VecDeque<BTreeSet<Key>>,
    /// Keys to decide that need the lease of another registrator. A request fails as a whole if one of its leases is gone, so they
    /// travel together, apart from the rest.
    apart: VecDeque<Key>,
    flights: Flights,
    /// The keys that were of interest in this session and are no more.
    forgotten: BTreeSet<Key>,
    /// The keys that are to be read.
    wanted: BTreeSet<Key>,
    notices: VecDeque<Notice>,
}

impl Keys {
    /// Begins a session: forgets all views, takes in the ones that were read, and asks for a decision of all keys.
    pub(crate) fn establish(&mut self, session: Session, wished: Vec<BTreeSet<Key>>) {
        let Session { number, who, views } = session;
        self.flights.give_up();
        self.alarms.clear();
        for orphan in std::mem::take(&mut self.orphans) {
            self.ledger.forget(&orphan);
        }
        self.ledger.begin(who.me);
        self.session = Some((number, Arc::new(who)));
        let all_wished: BTreeSet<&Key> = wished.iter().flatten().collect();
        let markers: Vec<Key> = views
            .keys()
            .filter(|key| key.object().is_some())
            .cloned()
            .collect();
        for (key, view) in views {
            if !all_wished.contains(&key) && !self.ledger.contains(&key) {
                self.orphans.insert(key.clone());
            }
            self.ledger.track(&key);
            self.ledger
                .change(&key, |tracked| tracked.sight.begin(view));
        }
        self.forgotten.clear();
        self.wanted.clear();
        self.apart.clear();
        for marker in markers {
            self.add_parts(&marker, None);
        }
        let others = self.ledger.iter().map(|(key, _)| key);
        let others = others.filter(|key| !all_wished.contains(key) && !self.ledger.is_part(key));
        let others: Vec<BTreeSet<Key>> = others.map(|key| [key.clone()].into()).collect();
        self.queue = wished.into_iter().chain(others).collect();
    }

    /// Stops writing until the next session.
    pub(crate) fn suspend(&mut self) {
        self.session = None;
        self.flights.give_up();
        self.ledger.change_all(|tracked| tracked.flying = None);
    }

    /// Asks for a decision of keys that belong together. Without a session there is nothing to ask: the next one decides all keys.
    pub(crate) fn mark(&mut self, keys: BTreeSet<Key>) {
        if !keys.is_empty() && self.session.is_some() {
            self.queue.push_back(keys);
        }
    }

    /// Asks for a decision of all keys, and gives up their waits.
    pub(crate) fn mark_all(&mut self) {
        self.ledger.change_all(|tracked| tracked.patience.hurry());
        self.apart.clear();
        let all = self.ledger.iter().map(|(key, _)| [key.clone()].into());
        self.queue = all.collect();
    }

    /// The keys that the process before this one left and this one never wished.
    pub(crate) fn orphans(&self) -> &BTreeSet<Key> {
        &self.orphans
    }

    /// Asks for a decision of keys that nobody wishes, each by itself. No wish for them is waited for any longer.
    pub(crate) fn let_go(&mut self, keys: BTreeSet<Key>) {
        for key in keys {
            self.orphans.remove(&key);
            self.mark([key].into());
        }
    }

    /// Whether this process holds a node that no other registrator claims: it would be absent if it were deleted. While there is
    /// no session, whether that was so at its end.
    pub(crate) fn holds_alone(&self, key: &Key) -> bool {
        self.ledger.holds_alone(key)
    }

    /// How many nodes this process holds.
    pub(crate) fn held(&self) -> usize {
        self.ledger.held()
    }

    /// Whether a session is there and nothing is to be written now. Some keys may wait.
    pub(crate) fn settled(&self) -> bool {
        self.connected()
            && self.queue.is_empty()
            && self.apart.is_empty()
            && self.flights.are_over()
    }

    /// Whether a session is there and no key is left that this process has or waits for, once nothing is wished any more. A key
    /// that waits, for however long, is left.
    pub(crate) fn released(&self) -> bool {
        self.settled() && self.ledger.is_empty()
    }

    /// Whether a session is there.
    pub(crate) fn connected(&self) -> bool {
        self.session.is_some()
    }

    /// When the next key that waits is due.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.alarms.next().filter(|_| self.connected())
    }

    /// Asks again for a decision of the keys whose wait is over.
    pub(crate) fn retry_due(&mut self, now: Instant) {
        while let Some(key) = self.alarms.take_due(now) {
            self.mark([key].into());
        }
    }

    /// The keys that are of no interest any more, since the last time. To be told before a [`Commit`](crate::own::session::Commit) that
    /// was made later, since one of them may be of interest again.
    pub(crate) fn take_forgotten(&mut self) -> Option<Forgotten> {
        let (session, _) = self.session.as_ref()?;
        let keys = std::mem::take(&mut self.forgotten);
        (!keys.is_empty()).then_some(Forgotten {
            session: *session,
            keys,
        })
    }

    /// The next fact for people. Of a node that was registered it does not say who asks for it.
    pub(crate) fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }
}

#[cfg(test)]
mod tests;
