//! All that a process has in mind for one key.

use super::drift::Drift;
use super::patience::Patience;
use super::sight::Sight;
use super::story::{self, Story};
#[cfg(test)]
use super::tests::watches::decided::{decide, dress};
use crate::node::{Key, Value};
use crate::own::session::{Rejection, Seen};
use crate::own::{Held, KeyTxn, KnownField, LeaseId, Op, Revision, Sides, View, Who, in_the_way};
#[cfg(not(test))]
use crate::own::{decide, dress};
use crate::tell::notice::{Damage, Notice};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The first wait before a key that etcd rejects is tried again.
const FIRST_REJECTION_WAIT: Duration = Duration::from_secs(1);

/// A key of interest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tracked {
    pub(super) sight: Sight,
    pub(super) patience: Patience,
    pub(super) drift: Drift,
    pub(super) story: Story,
    /// This process had the node, or a claim on it, while it wished it.
    pub(super) managed: bool,
    /// etcd refused a request with it: it travels alone until it succeeds.
    pub(super) alone: bool,
    /// It was asked what it is.
    pub(super) wanted: bool,
    /// Whether somebody else has something else in a field of this object, which this process holds, if that is known.
    pub(super) blocked: Option<bool>,
    /// A transaction for it is under way.
    pub(super) flying: Option<Flying>,
}

/// What waits for the answer to a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flying {
    /// What was seen of the key meanwhile, in order. It may be newer than the answer, which would then hide it.
    pub(super) seen: Vec<Seen>,
    /// Keys that shall be decided together with this one.
    pub(super) batches: Vec<BTreeSet<Key>>,
}

/// Whether a node that nobody wishes stays for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It does not.
    No,
    /// It is not deleted, but passes to another registrator that claims it.
    There,
    /// Nothing happens to it.
    AsItIs,
}

/// What is to be done next for a key.
#[derive(Debug)]
pub(super) enum Next {
    /// This transaction.
    Act(KeyTxn),
    /// Nothing before this.
    Wait(Instant),
    /// Nothing; that is news for people.
    Rest(Vec<Notice>),
    /// Nothing, and it is of no interest any more.
    Forget,
}

impl Tracked {
    /// What stays when a session ends.
    pub(super) fn carried_over(&self) -> Tracked {
        Tracked {
            managed: self.managed,
            story: self.story.clone(),
            drift: self.drift.carried_over(),
            ..Tracked::default()
        }
    }

    /// Takes in what the node is now; tells whether that is news.
    pub(super) fn see_node(
        &mut self,
        who: &Who,
        node: Option<Held>,
        revision: Revision,
        wish: Option<&Value>,
        now: Instant,
    ) -> bool {
        if !self.sight.is_news(revision) {
            return false;
        }
        let holder = node.as_ref().and_then(|held| held.lease);
        let ours = holder == Some(who.me);
        let as_wished = ours && node.as_ref().map(|held| &held.value) == wish;
        let was_ours = self.managed && self.sight.view.holder() == Some(who.me);
        if was_ours && wish.is_some() && !as_wished && (ours || node.is_none()) {
            self.drift.find(who, node.as_ref(), &mut self.patience, now);
        }
        match holder.filter(|lease| !ours && who.knows(*lease)) {
            None => self.patience.settled(),
            other if self.sight.view.holder() != other => self.patience.settle(now),
            Some(_) => {}
        }
        self.sight.see_node(who.me, node, revision);
        true
    }

    /// Takes in what a claim is now; tells whether that is news.
    pub(super) fn see_claim(
        &mut self,
        who: &Who,
        lease: LeaseId,
        claim: Option<Held>,
        revision: Revision,
        now: Instant,
    ) -> bool {
        let news = self.sight.see_claim(who.me, lease, claim, revision);
        if news && lease != who.me {
            self.patience.settle(now);
        }
        news
    }

    /// What is to be done next. `part` tells of the fields, if it is an object's marker.
    pub(super) fn next(
        &mut self,
        who: &Who,
        key: &Key,
        wish: Option<&Value>,
        kept: Kept,
        part: &dyn Fn(&Key) -> KnownField,
        now: Instant,
    ) -> Next {
        if let Some(at) = self.look(who, wish.is_some(), now) {
            return Next::Wait(at);
        }
        let alone = self.sight.view.holder() == Some(who.me) && self.sight.view.claims.is_empty();
        if kept == Kept::AsItIs || (kept == Kept::There && alone) {
            return Next::Rest(Vec::new());
        }
        let view = self.sight.to_decide(who.me, wish.is_some());
        let txn = decide(who, key, wish, &view, self.managed);
        let mut txn = txn.map(|txn| self.sight.without_own_claim(who.me, txn));
        let mut obstacle = None;
        if key.object().is_some() {
            let known = Sides {
                who,
                marker: key,
                wish,
                view: &view,
                part,
            };
            txn = dress(&known, txn);
            obstacle = in_the_way(&known);
            self.blocked = Some(obstacle.as_ref().is_some_and(|it| !it.is_same));
        }
        match (txn, wish) {
            (Some(txn), _) => match self.stand_back(who, &txn, now) {
                Some(at) => Next::Wait(at),
                None => Next::Act(txn),
            },
            (None, Some(wish)) => {
                let view = &self.sight.view;
                let mut news = self.story.standing(who, key, wish, view);
                let of_block = match obstacle {
                    Some(obstacle) => self.story.report(story::of_obstacle(who, key, obstacle)),
                    None => self.story.unblocked(who, key, view),
                };
                news.extend(of_block);
                Next::Rest(news)
            }
            (None, None) => Next::Forget,
        }
    }

    /// Looks at the key before it is decided. Gives the end of the wait if it is too early for that.
    fn look(&mut self, who: &Who, wished: bool, now: Instant) -> Option<Instant> {
        self.managed |= wished && self.sight.view.concerns(who.me);
        if self.managed && wished {
            self.drift
                .inspect(who, &self.sight.view, &mut self.patience, now);
        }
        self.patience.until(now)
    }

    /// When to act, if the decision is one for others: to hand the node of somebody else to somebody else. Both see the same and
    /// are about to act; of those who only look on one after the other steps in.
    fn stand_back(&mut self, who: &Who, txn: &KeyTxn, now: Instant) -> Option<Instant> {
        let for_another = |op: &Op| matches!(op, Op::Put(_, lease) if *lease != who.me);
        let view = &self.sight.view;
        if view.holder() == Some(who.me) || !txn.ops.iter().any(for_another) {
            self.patience.step_in();
            return None;
        }
        let own = view.claims.get(&who.me).map(|claim| &claim.value);
        let before_us = view
            .claims
            .iter()
            .filter(|(lease, claim)| own.is_none_or(|own| (&claim.value, *lease) < (own, &who.me)));
        self.patience.stand_back(before_us.count(), now)
    }

    /// Takes in that a transaction happened.
    pub(super) fn applied(
        &mut self,
        who: &Who,
        txn: &KeyTxn,
        before: Option<&Held>,
        revision: Revision,
        now: Instant,
    ) -> Option<Notice> {
        self.sight.applied(txn, revision);
        if txn.puts() {
            self.blocked = txn.writes_fields().then_some(false);
        }
        self.patience.applied(self.drift.is_there());
        self.story.went_on();
        self.alone = false;
        let damage = txn.ops.iter().find_map(|op| match op {
            Op::Put(value, _) => {
                let lease = before.and_then(|held| held.lease);
                self.drift.written(value, lease, now)
            }
            Op::Delete
            | Op::PutClaim(..)
            | Op::DeleteClaim(_)
            | Op::PutField(..)
            | Op::DeleteField(_) => None,
        });
        match damage {
            Some(damage) => Some(Notice::Repaired {
                key: txn.key.clone(),
                damage,
            }),
            None => story::of_txn(who, txn, before),
        }
    }

    /// Takes in that a transaction of its object wrote it, or, without a `value`, took it away. Gives what somebody had made of it.
    pub(super) fn part_written(
        &mut self,
        who: &Who,
        written: Option<(&Value, LeaseId)>,
        revision: Revision,
        now: Instant,
    ) -> Option<Damage> {
        let before = self.sight.view.holder();
        let node = written.map(|(value, lease)| Held {
            value: value.clone(),
            lease: Some(lease),
            mod_revision: revision,
        });
        self.sight.know_node(node, revision);
        self.patience.applied(self.drift.is_there());
        self.managed = written.is_some_and(|(_, lease)| lease == who.me);
        match written {
            Some((value, _)) if self.managed => self.drift.written(value, before, now),
            _ => {
                self.drift = self.drift.carried_over();
                None
            }
        }
    }

    /// A field of an object that this process holds and wishes: whether somebody made something else of it, and until when to wait
    /// before it is mended.
    pub(super) fn look_at_part(&mut self, who: &Who, now: Instant) -> Option<Instant> {
        self.managed |= self.sight.view.holder() == Some(who.me);
        if self.managed {
            self.drift
                .inspect(who, &self.sight.view, &mut self.patience, now);
        }
        self.patience.until(now)
    }

    /// What is known of it as a field, which this process wrote for `other`.
    pub(super) fn as_part(&self, who: &Who, other: Option<Key>) -> KnownField {
        KnownField {
            seen: self.sight.node().cloned(),
            managed: self.managed,
            taken: other.filter(|_| self.sight.view.holder() == Some(who.me)),
        }
    }

    /// Takes in what etcd held instead of what a transaction expected.
    pub(super) fn refused(&mut self, view: View, revision: Revision, now: Instant) {
        self.sight.read(view, revision);
        self.patience.refused(now);
    }

    /// etcd refused a request with this transaction alone, and would again.
    pub(super) fn rejected(
        &mut self,
        who: &Who,
        txn: &KeyTxn,
        rejection: &Rejection,
        now: Instant,
    ) -> Option<Notice> {
        self.patience.back_off(now, FIRST_REJECTION_WAIT);
        self.story.report(story::of_rejection(who, txn, rejection))
    }
}

#[cfg(test)]
mod tests;
