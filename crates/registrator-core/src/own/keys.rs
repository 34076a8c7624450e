//! The keys that this process has or wants in etcd: what is seen of each, and which must be decided again.
//!
//! Level-triggered: an event only updates a view and marks the key. What is written follows from wish and view alone, at most one
//! transaction for a key is under way, and every answer of etcd is the next view.

mod request;
mod tracked;

use crate::host::HostName;
use crate::node::{Key, Value};
use crate::own::session::{Commit, KeyResult, Outcome, Seen, Session};
use crate::own::{self, Held, KeyTxn, LeaseId, Op, Revision, View, Who};
use crate::tell::notice::Notice;
use request::Request;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracked::Tracked;

/// Commits under way at once; more bring no speed.
const MAX_FLIGHTS: usize = 4;

/// The first wait before a key that etcd rejects is tried again.
const FIRST_REJECTION_WAIT: Duration = Duration::from_secs(1);

/// What a decision needs to know of the world outside etcd.
pub(crate) struct Wishes<'a> {
    /// What is wished for a key.
    pub(crate) of: &'a dyn Fn(&Key) -> Option<Value>,
    /// Keys that this process never wished stay as they are, because a wish for them may be missing by a fault.
    pub(crate) keep_orphans: bool,
}

/// The transactions of a request under way, each with what the node was before.
type Flight = Vec<(KeyTxn, Option<Held>)>;

/// All keys of interest.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    session: Option<(u64, Arc<Who>)>,
    tracked: BTreeMap<Key, Tracked>,
    /// Keys that the process before this one left and this one never wished.
    orphans: BTreeSet<Key>,
    /// When the keys that wait are due. May name waits that are over.
    retries: BTreeSet<(Instant, Key)>,
    /// Keys to decide. Those of one batch travel together.
    queue: VecDeque<BTreeSet<Key>>,
    /// Keys of the queue that need the lease of another registrator. A request fails as a whole if one of its leases is gone, so
    /// they travel together, apart from the rest.
    apart: VecDeque<Key>,
    flights: BTreeMap<u64, Flight>,
    /// When a beacon was last known to be lit or out: events and answers overtake each other.
    beacons_at: BTreeMap<LeaseId, Revision>,
    last_id: u64,
    notices: VecDeque<Notice>,
}

impl Keys {
    /// Begins a session: forgets all views, takes in the ones that were read, and asks for a decision of all keys.
    pub(crate) fn establish(&mut self, session: Session, wished: Vec<BTreeSet<Key>>) {
        let Session { number, who, views } = session;
        self.session = Some((number, Arc::new(who)));
        self.flights.clear();
        self.beacons_at.clear();
        for orphan in std::mem::take(&mut self.orphans) {
            self.tracked.remove(&orphan);
        }
        for tracked in self.tracked.values_mut() {
            *tracked = tracked.carried_over();
        }
        let all_wished: BTreeSet<&Key> = wished.iter().flatten().collect();
        for (key, view) in views {
            if !all_wished.contains(&key) && !self.tracked.contains_key(&key) {
                self.orphans.insert(key.clone());
            }
            self.tracked.entry(key).or_default().view = view;
        }
        self.apart.clear();
        let others = self.tracked.keys().filter(|key| !all_wished.contains(key));
        let others: Vec<BTreeSet<Key>> = others.map(|key| [key.clone()].into()).collect();
        self.queue = wished.into_iter().chain(others).collect();
    }

    /// Stops writing until the next session.
    pub(crate) fn suspend(&mut self) {
        self.session = None;
        self.flights.clear();
        for tracked in self.tracked.values_mut() {
            tracked.flying = false;
            tracked.later.clear();
        }
    }

    /// Asks for a decision of keys that belong together. Without a session there is nothing to ask: the next one decides all keys.
    pub(crate) fn mark(&mut self, keys: BTreeSet<Key>) {
        if !keys.is_empty() && self.session.is_some() {
            self.queue.push_back(keys);
        }
    }

    /// Asks for a decision of all keys, and gives up their waits.
    pub(crate) fn mark_all(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.hurry();
        }
        self.apart.clear();
        self.queue = self
            .tracked
            .keys()
            .map(|key| [key.clone()].into())
            .collect();
    }

    /// How many keys the process before this one left and this one never wished.
    pub(crate) fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Asks for a decision of the orphans.
    pub(crate) fn mark_orphans(&mut self) {
        self.queue
            .extend(self.orphans.iter().map(|key| BTreeSet::from([key.clone()])));
    }

    /// Whether a session is there and nothing is to be written.
    pub(crate) fn settled(&self) -> bool {
        self.connected()
            && self.queue.is_empty()
            && self.apart.is_empty()
            && self.flights.is_empty()
    }

    /// Whether a session is there.
    pub(crate) fn connected(&self) -> bool {
        self.session.is_some()
    }

    /// When the next key that waits is due.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.session
            .as_ref()
            .and_then(|_| Some(self.retries.first()?.0))
    }

    /// Asks again for a decision of the keys whose wait is over.
    pub(crate) fn retry_due(&mut self, now: Instant) {
        while self.retries.first().is_some_and(|(at, _)| *at <= now) {
            let Some((at, key)) = self.retries.pop_first() else {
                return;
            };
            let tracked = self.tracked.get_mut(&key);
            if tracked.is_some_and(|tracked| tracked.wait_is_over(at)) {
                self.queue.push_back([key].into());
            }
        }
    }

    /// The next fact for people. Of a node that was registered it does not say who asks for it.
    pub(crate) fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Takes in something seen in etcd. A change that is older than what is known changes nothing.
    ///
    /// What is seen of a key while a transaction for it is under way may be newer than the answer, which would then hide it: it
    /// waits for the answer.
    pub(crate) fn see(&mut self, seen: Seen, wish: impl Fn(&Key) -> Option<Value>, now: Instant) {
        let tracked = seen.key().and_then(|key| self.tracked.get_mut(key));
        if let Some(tracked) = tracked.filter(|tracked| tracked.flying) {
            tracked.later.push(seen);
            return;
        }
        match seen {
            Seen::Registrator { lease, name } => self.see_registrator(lease, name),
            Seen::Beacon {
                lease,
                lit,
                revision,
            } => {
                if self.see_beacon(lease, lit, revision) {
                    self.mark_concerned(lease);
                }
            }
            Seen::Attached { views, revision } => self.see_attached(views, revision),
            Seen::Node {
                key,
                node,
                revision,
            } => {
                let wish = wish(&key);
                let Some((_, who)) = &self.session else {
                    return;
                };
                let ours = node.as_ref().is_some_and(|node| node.lease == Some(who.me));
                let tracked = entry(&mut self.tracked, &key, wish.is_some() || ours);
                let Some(tracked) = tracked.filter(|tracked| revision > tracked.node_at) else {
                    return;
                };
                tracked.node_at = revision;
                if !tracked.see_node(who, node, wish.as_ref(), now) {
                    self.mark([key].into());
                }
            }
            Seen::Claim {
                key,
                lease,
                claim,
                revision,
            } => {
                let Some((_, who)) = &self.session else {
                    return;
                };
                let ours = lease == who.me && claim.is_some();
                let concerns = wish(&key).is_some() || ours;
                let tracked = entry(&mut self.tracked, &key, concerns);
                let news = tracked
                    .is_some_and(|tracked| tracked.see_claim(who, lease, claim, revision, now));
                if news {
                    self.mark([key].into());
                }
            }
        }
    }

    /// What the reading and the mirror do not agree on is decided again. A key that the reading lacks is taken as absent, and the
    /// guards tell whether that is true; one with a transaction under way is told of by its answer.
    fn see_attached(&mut self, mut views: BTreeMap<Key, View>, revision: Revision) {
        let Some((_, who)) = &self.session else {
            return;
        };
        for (key, tracked) in &self.tracked {
            if tracked.view.concerns(who.me) {
                views.entry(key.clone()).or_default();
            }
        }
        for (key, view) in views {
            let tracked = self.tracked.entry(key.clone()).or_default();
            if !tracked.flying && tracked.correct(view, revision) {
                self.queue.push_back([key].into());
            }
        }
    }

    fn see_registrator(&mut self, lease: LeaseId, name: Option<HostName>) {
        let Some((_, who)) = &mut self.session else {
            return;
        };
        if lease == who.me {
            return;
        }
        let known = who.registrators.get(&lease);
        let changed = known.is_some() != name.is_some();
        if known != name.as_ref() {
            let registrators = &mut Arc::make_mut(who).registrators;
            match name {
                Some(name) => registrators.insert(lease, name),
                None => registrators.remove(&lease),
            };
        }
        if changed {
            self.mark_concerned(lease);
        }
    }

    /// Takes in what a beacon was at `revision`; tells whether that is news.
    fn see_beacon(&mut self, lease: LeaseId, lit: bool, revision: Revision) -> bool {
        let Some((_, who)) = &mut self.session else {
            return false;
        };
        let at = self.beacons_at.entry(lease).or_default();
        if revision < *at || who.beacons.contains(&lease) == lit {
            *at = revision.max(*at);
            return false;
        }
        *at = revision;
        let beacons = &mut Arc::make_mut(who).beacons;
        match lit {
            true => beacons.insert(lease),
            false => beacons.remove(&lease),
        }
    }

    /// Asks for a decision of the keys that a registrator holds or claims.
    fn mark_concerned(&mut self, lease: LeaseId) {
        let theirs = self
            .tracked
            .iter()
            .filter(|(_, tracked)| tracked.view.concerns(lease));
        self.queue
            .extend(theirs.map(|(key, _)| BTreeSet::from([key.clone()])));
    }

    /// The next request to etcd, if one is to be made now.
    pub(crate) fn next_commit(&mut self, wishes: &Wishes<'_>, now: Instant) -> Option<Commit> {
        let (session, who) = self.session.clone()?;
        if self.flights.len() >= MAX_FLIGHTS {
            return None;
        }
        let mut txns = self.fill_request(&who, wishes, now);
        if txns.is_empty() {
            txns = self.fill_apart(&who, wishes, now);
        }
        self.fly(session, txns)
    }

    fn fill_request(&mut self, who: &Who, wishes: &Wishes<'_>, now: Instant) -> Vec<KeyTxn> {
        let mut request = Request::default();
        let mut turns = self.queue.len();
        while turns > 0 {
            let Some(mut batch) = self.queue.pop_front() else {
                break;
            };
            turns -= 1;
            // Another batch brought them already, and etcd takes a key only once in a request.
            batch.retain(|key| !request.has(key));
            if batch
                .iter()
                .any(|key| self.tracked.get(key).is_some_and(|tracked| tracked.flying))
            {
                self.queue.push_back(batch);
                continue;
            }
            let (single, before) = (batch.len() == 1, self.queue.len());
            let txns = self.decide(who, batch, wishes, now);
            // Keys that travel alone left their batch for a later turn of this very request.
            turns += self.queue.len() - before;
            if single && txns.first().is_some_and(|txn| self.was_rejected(&txn.key)) {
                if request.txns.is_empty() {
                    return txns;
                }
                self.queue
                    .push_front(txns.into_iter().map(|txn| txn.key).collect());
                break;
            }
            if !request.take(txns, &mut self.queue) {
                break;
            }
        }
        request.txns
    }

    /// Fills a request with keys that need the leases of other registrators.
    fn fill_apart(&mut self, who: &Who, wishes: &Wishes<'_>, now: Instant) -> Vec<KeyTxn> {
        let mut request = Request::default();
        for _ in 0..self.apart.len() {
            let Some(key) = self.apart.pop_front() else {
                break;
            };
            if request.has(&key) {
                continue;
            }
            if self.tracked.get(&key).is_some_and(|tracked| tracked.flying) {
                self.apart.push_back(key);
                continue;
            }
            let wish = (wishes.of)(&key);
            let Some(txn) = self.decide_key(who, &key, wish, wishes.keep_orphans, now) else {
                continue;
            };
            if !needs_other_lease(who.me, &txn) {
                self.queue.push_back([key].into());
            } else if !request.take_one(txn) {
                self.apart.push_front(key);
                break;
            }
        }
        request.txns
    }

    /// etcd refused a request with this key, which travels alone until it succeeds.
    fn was_rejected(&self, key: &Key) -> bool {
        self.tracked.get(key).is_some_and(|tracked| tracked.alone)
    }

    fn fly(&mut self, session: u64, txns: Vec<KeyTxn>) -> Option<Commit> {
        if txns.is_empty() {
            return None;
        }
        let mut flight = Flight::new();
        for txn in &txns {
            let tracked = self.tracked.entry(txn.key.clone()).or_default();
            tracked.flying = true;
            flight.push((txn.clone(), tracked.view.node.clone()));
        }
        self.last_id += 1;
        self.flights.insert(self.last_id, flight);
        Some(Commit {
            id: self.last_id,
            session,
            txns,
        })
    }

    fn decide(
        &mut self,
        who: &Who,
        batch: BTreeSet<Key>,
        wishes: &Wishes<'_>,
        now: Instant,
    ) -> Vec<KeyTxn> {
        let mut txns = Vec::new();
        let single = batch.len() == 1;
        for key in batch {
            let wish = (wishes.of)(&key);
            let txn = self.decide_key(who, &key, wish, wishes.keep_orphans, now);
            match txn {
                Some(_) if self.was_rejected(&key) && !single => {
                    self.queue.push_back([key].into());
                }
                Some(txn) if self.was_rejected(&key) || !needs_other_lease(who.me, &txn) => {
                    txns.push(txn);
                }
                Some(_) => self.apart.push_back(key),
                None => {}
            }
        }
        txns
    }

    fn decide_key(
        &mut self,
        who: &Who,
        key: &Key,
        wish: Option<Value>,
        keep_orphans: bool,
        now: Instant,
    ) -> Option<KeyTxn> {
        if wish.is_some() {
            self.tracked.entry(key.clone()).or_default();
            self.orphans.remove(key);
        }
        let tracked = self.tracked.get_mut(key)?;
        tracked.managed |= wish.is_some() && tracked.view.concerns(who.me);
        if tracked.managed && wish.is_some() {
            tracked.inspect(who, now);
        }
        if let Some(at) = tracked.waits_until(now) {
            self.retries.insert((at, key.clone()));
            return None;
        }
        if keep_orphans && self.orphans.contains(key) {
            return None;
        }
        let txn = own::decide(who, key, wish.as_ref(), &tracked.view, tracked.managed);
        let Some(txn) = txn else {
            match &wish {
                Some(wish) => self.notices.extend(tracked.standing(who, key, wish)),
                None => {
                    self.tracked.remove(key);
                    self.orphans.remove(key);
                }
            }
            return None;
        };
        if let Some(at) = tracked.stand_back(who, &txn, now) {
            self.retries.insert((at, key.clone()));
            return None;
        }
        Some(txn)
    }

    /// Takes in the answer to a commit. One from an older session is unknown here.
    pub(crate) fn committed(
        &mut self,
        id: u64,
        outcome: Outcome,
        wish: impl Fn(&Key) -> Option<Value>,
        now: Instant,
    ) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        let mut later = Vec::new();
        for (txn, _) in &flight {
            if let Some(tracked) = self.tracked.get_mut(&txn.key) {
                tracked.flying = false;
                later.append(&mut tracked.later);
            }
        }
        match outcome {
            Outcome::Done { revision, results } => self.done(flight, revision, results, now),
            Outcome::Rejected(message) => self.rejected(flight, &message, now),
            // The next session decides every key anew. Until then a repetition would only fail again.
            Outcome::Void => self.suspend(),
        }
        for seen in later {
            self.see(seen, &wish, now);
        }
    }

    /// Each key is decided once more from its new view: usually nothing is left to do.
    fn done(&mut self, flight: Flight, revision: Revision, results: Vec<KeyResult>, now: Instant) {
        let Some((_, who)) = self.session.clone() else {
            return;
        };
        let mut again = BTreeSet::new();
        for ((txn, before), result) in flight.into_iter().zip(results) {
            let Some(tracked) = self.tracked.get_mut(&txn.key) else {
                continue;
            };
            match result {
                KeyResult::Applied => {
                    self.notices
                        .extend(tracked.applied(&who, &txn, before.as_ref(), revision, now))
                }
                KeyResult::Refused { view, beacons } => {
                    tracked.refused(view, revision, now);
                    for (lease, lit) in beacons {
                        if self.see_beacon(lease, lit, revision) {
                            self.mark_concerned(lease);
                        }
                    }
                }
            }
            again.insert(txn.key);
        }
        self.mark(again);
    }

    /// A request with several transactions may fail for one of them: each is tried alone, so that it harms nobody else.
    fn rejected(&mut self, flight: Flight, message: &str, now: Instant) {
        let alone = flight.len() == 1;
        for (txn, _) in flight {
            let Some(tracked) = self.tracked.get_mut(&txn.key) else {
                continue;
            };
            tracked.alone = true;
            if alone {
                tracked.back_off(now, FIRST_REJECTION_WAIT);
                self.notices.extend(tracked.report(Notice::Rejected {
                    key: txn.key.clone(),
                    message: message.to_owned(),
                }));
            }
            self.queue.push_back([txn.key].into());
        }
    }
}

fn needs_other_lease(me: LeaseId, txn: &KeyTxn) -> bool {
    txn.ops.iter().any(|op| match op {
        Op::Put(_, lease) | Op::PutClaim(_, lease) => *lease != me,
        Op::Delete | Op::DeleteClaim(_) => false,
    })
}

/// The entry of `key` if this process cares about it. Besides the keys that are tracked already it cares about those that
/// concern it: those that it wishes, and those that others hand to it.
fn entry<'a>(
    tracked: &'a mut BTreeMap<Key, Tracked>,
    key: &Key,
    concerns: bool,
) -> Option<&'a mut Tracked> {
    if concerns && !tracked.contains_key(key) {
        tracked.insert(key.clone(), Tracked::default());
    }
    tracked.get_mut(key)
}

#[cfg(test)]
mod tests;
