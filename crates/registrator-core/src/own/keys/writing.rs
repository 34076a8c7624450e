//! What is written: the keys that are to be decided become requests to etcd, and answers become what is known.

use super::flights::Flight;
use super::request::Request;
use super::story;
use super::tracked::{Kept, Next};
use super::{Keys, Wishes};
use crate::node::{Key, Value};
use crate::own::session::{Commit, KeyResult, Outcome, Rejection};
use crate::own::{
    FieldGuard, Guard, Held, KeyTxn, LeaseId, Op, Revision, Who, stands_after, while_stands,
};
use crate::tell::notice::Notice;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

impl Keys {
    /// The next request to etcd, if one is to be made now.
    pub(crate) fn next_commit(&mut self, wishes: &Wishes<'_>, now: Instant) -> Option<Commit> {
        let (session, who) = self.session.clone()?;
        if self.flights.are_enough() {
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
        while let Some(mut batch) = self.queue.pop_front() {
            // Another batch brought them already, and etcd takes a key only once in a request.
            batch.retain(|key| !request.has(key));
            let Some(batch) = self.unless_one_flies(batch) else {
                continue;
            };
            let single = batch.len() == 1;
            let txns = self.decide(who, batch, wishes, now);
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

    /// A batch can be decided if no transaction for any of its keys is under way. If one is, the batch waits for its answer, which
    /// asks for a decision of that key itself.
    fn unless_one_flies(&mut self, batch: BTreeSet<Key>) -> Option<BTreeSet<Key>> {
        let Some(key) = batch.iter().find(|key| self.flies(key)).cloned() else {
            return Some(batch);
        };
        if batch.len() > 1 {
            self.ledger.change(&key, |tracked| {
                if let Some(flying) = &mut tracked.flying {
                    flying.batches.push(batch);
                }
            });
        }
        None
    }

    fn flies(&self, key: &Key) -> bool {
        self.ledger
            .get(key)
            .is_some_and(|tracked| tracked.flying.is_some())
    }

    /// Fills a request with keys that need the leases of other registrators.
    fn fill_apart(&mut self, who: &Who, wishes: &Wishes<'_>, now: Instant) -> Vec<KeyTxn> {
        let mut request = Request::default();
        while let Some(key) = self.apart.pop_front() {
            // The answer to what is under way asks for it again.
            if request.has(&key) || self.flies(&key) {
                continue;
            }
            let Some(txn) = self.decide_key(who, &key, wishes, now) else {
                continue;
            };
            if self.waits_for_parts(&txn) {
                continue;
            }
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
        self.ledger.get(key).is_some_and(|tracked| tracked.alone)
    }

    fn fly(&mut self, session: u64, txns: Vec<KeyTxn>) -> Option<Commit> {
        if txns.is_empty() {
            return None;
        }
        let mut flight = Vec::new();
        for txn in &txns {
            self.ledger.add_parts(&txn.key, txn.fields());
            for key in txn.keys() {
                self.ledger.change(key, |tracked| {
                    tracked.flying = Some(Default::default());
                });
            }
            let before = self.ledger.get(&txn.key);
            let before = before.and_then(|tracked| tracked.sight.view.node.clone());
            flight.push((txn.clone(), before));
        }
        let id = self.flights.depart(flight);
        Some(Commit { id, session, txns })
    }

    fn decide(
        &mut self,
        who: &Who,
        batch: BTreeSet<Key>,
        wishes: &Wishes<'_>,
        now: Instant,
    ) -> Vec<KeyTxn> {
        let mut txns: Vec<KeyTxn> = Vec::new();
        let single = batch.len() == 1;
        let mut members = BTreeSet::new();
        for key in batch {
            // A member comes behind the marker of its object.
            if members.contains(&key) {
                continue;
            }
            let Some(txn) = self.decide_key(who, &key, wishes, now) else {
                continue;
            };
            if self.waits_for_parts(&txn) {
                continue;
            }
            let alone = self.was_rejected(&key);
            if alone && !single {
                self.queue.push_back([key].into());
            } else if alone {
                txns.push(txn);
            } else if !needs_other_lease(who.me, &txn) {
                let with = self.members_with(who, &txn, wishes, now);
                members.extend(with.iter().map(|txn| txn.key.clone()));
                txns.push(txn);
                txns.extend(with);
            } else {
                self.apart.push_back(key);
            }
        }
        txns
    }

    /// What becomes of an object's members by a transaction for its marker, as far as nobody else has to do with them: that travels
    /// along, and happens only if the object's does. The rest follows when the answer tells whether the object stands.
    fn members_with(
        &mut self,
        who: &Who,
        txn: &KeyTxn,
        wishes: &Wishes<'_>,
        now: Instant,
    ) -> Vec<KeyTxn> {
        if txn.key.object().is_none() {
            return Vec::new();
        }
        let view = self.ledger.get(&txn.key).map(|it| &it.sight.view);
        let then = view.and_then(|view| stands_after(view, txn));
        // What is in its way is looked at more closely before anything is said of members.
        let is_blocked = txn.puts() && !txn.writes_fields();
        if is_blocked && then.is_some() {
            return Vec::new();
        }
        let with = Arc::new(txn.clone());
        let mut txns = Vec::new();
        for (key, wish) in (wishes.members)(&txn.key, then.as_ref()) {
            if self.is_simple(who, &key, wish.as_ref(), now) {
                let txn = self.decide_as(who, &key, wish, wishes, now);
                txns.extend(txn.map(|mut txn| {
                    txn.guards.push(Guard::With(Arc::clone(&with)));
                    txn
                }));
            }
        }
        txns
    }

    /// Whether a key is free, or this process's own, and can be written at once.
    fn is_simple(&self, who: &Who, key: &Key, wish: Option<&Value>, now: Instant) -> bool {
        let Some(tracked) = self.ledger.get(key) else {
            return wish.is_some();
        };
        let view = &tracked.sight.view;
        let waits = tracked.flying.is_some() || tracked.patience.until(now).is_some();
        let apart = tracked.alone || self.ledger.is_part(key) || self.orphans.contains(key);
        let is_free = view.node.is_none() && wish.is_some();
        view.claims.is_empty() && (is_free || view.holder() == Some(who.me)) && !waits && !apart
    }

    /// A field may be under way for another object, or by itself. Then its object waits for that answer.
    fn waits_for_parts(&mut self, txn: &KeyTxn) -> bool {
        let flying = txn.fields().into_iter().find(|field| self.flies(field));
        flying.is_some_and(|flying| self.waits_for(flying, &txn.key))
    }

    fn decide_key(
        &mut self,
        who: &Who,
        key: &Key,
        wishes: &Wishes<'_>,
        now: Instant,
    ) -> Option<KeyTxn> {
        // It is decided with its object, whatever is wished for it by itself.
        if self.ledger.is_part(key) {
            let txn = self.drop_stray_claim(who, key);
            if txn.is_none() {
                self.tell_of_part(key, wishes);
            }
            return txn;
        }
        let txn = self.decide_as(who, key, (wishes.of)(key), wishes, now)?;
        let writes = |op: &Op| matches!(op, Op::Put(_, lease) if *lease == who.me);
        match (wishes.object_of)(key).filter(|_| txn.ops.iter().any(writes)) {
            Some(object) => self.while_stands(who, &object, txn),
            None => Some(txn),
        }
    }

    /// A member is written while its object stands. If that is about to change, what comes of it is waited for.
    fn while_stands(&mut self, who: &Who, object: &Key, mut txn: KeyTxn) -> Option<KeyTxn> {
        if self.waits_for(object, &txn.key) {
            return None;
        }
        let view = self.ledger.get(object).map(|it| &it.sight.view);
        let with = view.and_then(|view| while_stands(who, object, view));
        let with = with.map(|with| Guard::With(Arc::new(with)));
        txn.guards.extend(with);
        Some(txn)
    }

    /// Whether a transaction is under way for `other`, whose answer then asks for a decision of `key`.
    fn waits_for(&mut self, other: &Key, key: &Key) -> bool {
        let waits = self.ledger.change(other, |tracked| {
            let flying = tracked.flying.as_mut();
            flying.map(|flying| flying.batches.push([key.clone()].into()))
        });
        waits.flatten().is_some()
    }

    fn decide_as(
        &mut self,
        who: &Who,
        key: &Key,
        wish: Option<Value>,
        wishes: &Wishes<'_>,
        now: Instant,
    ) -> Option<KeyTxn> {
        if wish.is_some() {
            self.ledger.track(key);
            self.orphans.remove(key);
        }
        let kept = if wish.is_some() {
            Kept::No
        } else if wishes.keep_orphans && self.orphans.contains(key) {
            Kept::AsItIs
        } else if (wishes.stays)(key) {
            Kept::There
        } else {
            Kept::No
        };
        self.alarms.cancel(key);
        let mut parts = BTreeMap::new();
        if key.object().is_some() && self.ledger.contains(key) {
            self.keep_parts(key, wish.as_ref());
            self.tell_of_parts(who, key, wishes);
            self.mark_stray_claims(who, key);
            let (known, until) = self.parts(who, key, wish.as_ref(), now);
            if let Some(at) = until {
                self.alarms.set(key, at);
                return None;
            }
            parts = known;
        }
        let part = |key: &Key| parts.get(key).cloned().unwrap_or_default();
        let next = self.ledger.change(key, |tracked| {
            tracked.next(who, key, wish.as_ref(), kept, &part, now)
        })?;
        match next {
            Next::Act(txn) => return Some(txn),
            Next::Wait(at) => self.alarms.set(key, at),
            Next::Rest(news) => self.notices.extend(news),
            Next::Forget => {
                self.drop_parts_but(key, &BTreeSet::new());
                self.ledger.forget(key);
                self.orphans.remove(key);
                self.forgotten.insert(key.clone());
            }
        }
        None
    }

    /// Takes in the answer to a commit. One from an older session is unknown here.
    pub(crate) fn committed(
        &mut self,
        id: u64,
        outcome: Outcome,
        wish: impl Fn(&Key) -> Option<Value>,
        now: Instant,
    ) {
        let Some(flight) = self.flights.arrive(id) else {
            return;
        };
        let mut seen = Vec::new();
        for key in flight.txns.iter().flat_map(|(txn, _)| txn.keys()) {
            let landed = self.ledger.change(key, |tracked| tracked.flying.take());
            if let Some(landed) = landed.flatten() {
                seen.extend(landed.seen);
                self.queue.extend(landed.batches);
            }
        }
        match outcome {
            Outcome::Done { revision, results } => self.done(flight, revision, results, now),
            Outcome::Rejected(rejection) => self.rejected(flight, &rejection, now),
            // The next session decides every key anew. Until then a repetition would only fail again.
            Outcome::Void => self.suspend(),
        }
        for seen in seen {
            self.see(seen, &wish, now);
        }
    }

    /// Each key is decided once more from its new view: usually nothing is left to do.
    fn done(&mut self, flight: Flight, revision: Revision, results: Vec<KeyResult>, now: Instant) {
        let Some((_, who)) = self.session.clone() else {
            return;
        };
        let mut again = BTreeSet::new();
        for ((txn, before), result) in flight.txns.iter().zip(results) {
            match result {
                KeyResult::Applied => {
                    let news = self.ledger.change(&txn.key, |tracked| {
                        tracked.applied(&who, txn, before.as_ref(), revision, now)
                    });
                    self.notices.extend(news.flatten());
                    self.fields_written(&who, txn, before.as_ref(), revision, now);
                }
                KeyResult::Refused {
                    view,
                    fields,
                    beacons,
                } => {
                    self.ledger
                        .change(&txn.key, |tracked| tracked.refused(view, revision, now));
                    self.know_fields(fields, revision);
                    for (lease, lit) in beacons {
                        if flight.knows_better(lease, revision) {
                            self.see_beacon(lease, lit);
                        }
                    }
                }
            }
            again.insert(txn.key.clone());
        }
        self.mark(again);
    }

    fn fields_written(
        &mut self,
        who: &Who,
        txn: &KeyTxn,
        before: Option<&Held>,
        revision: Revision,
        now: Instant,
    ) {
        let absent = txn.guards.iter().filter_map(|guard| match guard {
            Guard::Field(key, FieldGuard::Absent) => Some((key.clone(), None)),
            _ => None,
        });
        self.know_fields(absent.collect(), revision);
        let mut repaired = Vec::new();
        for op in &txn.ops {
            let (key, written) = match op {
                Op::PutField(key, value, lease) => (key, Some((value, *lease))),
                Op::DeleteField(key) => (key, None),
                Op::Put(..) | Op::Delete | Op::PutClaim(..) | Op::DeleteClaim(_) => continue,
            };
            let damage = self.ledger.change(key, |tracked| {
                tracked.part_written(who, written, revision, now)
            });
            let is_mine = written.is_some_and(|(_, lease)| lease == who.me);
            self.ledger.note_written(key, is_mine.then_some(&txn.key));
            self.mark_others(key, &txn.key);
            repaired.extend(damage.flatten().map(|damage| Notice::Repaired {
                key: key.clone(),
                damage,
            }));
        }
        if repaired.is_empty() {
            self.notices.extend(story::of_fields(who, txn, before));
        }
        self.notices.extend(repaired);
    }

    /// A request with several transactions may fail for one of them: each is tried alone, so that it harms nobody else.
    fn rejected(&mut self, flight: Flight, rejection: &Rejection, now: Instant) {
        let Some((_, who)) = self.session.clone() else {
            return;
        };
        let alone = flight.txns.len() == 1;
        for (txn, _) in flight.txns {
            let news = self.ledger.change(&txn.key, |tracked| {
                tracked.alone = true;
                if alone {
                    tracked.rejected(&who, &txn, rejection, now)
                } else {
                    None
                }
            });
            self.notices.extend(news.flatten());
            self.queue.push_back([txn.key].into());
        }
    }
}

fn needs_other_lease(me: LeaseId, txn: &KeyTxn) -> bool {
    txn.ops.iter().any(|op| match op {
        Op::Put(_, lease) | Op::PutClaim(_, lease) | Op::PutField(_, _, lease) => *lease != me,
        Op::Delete | Op::DeleteClaim(_) | Op::DeleteField(_) => false,
    })
}
