//! What is known of one key.

use crate::node::{Key, Value};
use crate::own::session::Seen;
use crate::own::{Guard, Held, KeyTxn, LeaseId, Op, Revision, View, Who};
use crate::tell::notice::{Askers, Notice};
use std::time::{Duration, Instant};

/// Refused guards that are tried again at once: a view that lags is fresh after the first refusal.
const FREE_TRIES: u32 = 3;

/// The longest wait before a key that etcd rejects, or that somebody else keeps changing, is tried again.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The wait before a node under an unknown lease is replaced: of a registrator's new lease we may be told after its nodes.
const STRANGER_WAIT: Duration = Duration::from_millis(200);

/// A repair so soon after the one before waits: another program may want the key as well, and this is no war.
const REPAIR_PEACE: Duration = Duration::from_secs(60);

/// The wait after a node passed from one registrator to another, or the claim of another one changed. One transaction does both, and
/// two watches tell of it, one a moment before the other; a decision in between would write a claim that is there, and report half of a
/// conflict.
const SETTLING: Duration = Duration::from_millis(20);

/// What one who is neither holder nor winner waits for each that comes before it, so that not all act at once.
const STEP_BACK: Duration = Duration::from_millis(50);

/// The longest such wait.
const LONGEST_STEP_BACK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Tracked {
    pub(super) view: View,
    /// When the view's node was last known to be true.
    pub(super) node_at: Revision,
    /// When the view's claims were last known to be true, all of them.
    pub(super) claims_at: Revision,
    /// This process had the node, or a claim on it, while it wished it.
    pub(super) managed: bool,
    /// A transaction for it is under way.
    pub(super) flying: bool,
    /// What was seen meanwhile, in order.
    pub(super) later: Vec<Seen>,
    /// etcd refused a request with it: it travels alone until it succeeds.
    pub(super) alone: bool,
    /// No decision before this.
    pub(super) retry_at: Option<Instant>,
    /// What somebody else made of our node, until it is repaired.
    drift: Option<Option<Value>>,
    last_repair: Option<Instant>,
    /// The unknown lease that the node was found under, while we may yet be told of it.
    stranger: Option<LeaseId>,
    /// What was last reported as in the way.
    reported: Option<Notice>,
    /// The conflict with other hosts that was last reported.
    conflict: Option<Notice>,
    /// A node and its claims change hands; no decision before this.
    settling_until: Option<Instant>,
    /// When this process acts for others, if they do not.
    bystander_until: Option<Instant>,
    tries: u32,
}

impl Tracked {
    /// What stays when a session ends.
    pub(super) fn carried_over(&self) -> Tracked {
        Tracked {
            managed: self.managed,
            reported: self.reported.clone(),
            conflict: self.conflict.clone(),
            last_repair: self.last_repair,
            ..Tracked::default()
        }
    }

    /// Takes in what the node is now; tells whether that is exactly what is wished.
    pub(super) fn see_node(
        &mut self,
        who: &Who,
        node: Option<Held>,
        wish: Option<&Value>,
        now: Instant,
    ) -> bool {
        let as_wished = node
            .as_ref()
            .is_some_and(|held| held.lease == Some(who.me) && wish == Some(&held.value));
        let was_ours = self.managed && self.view.holder() == Some(who.me);
        let ours = node.as_ref().is_some_and(|held| held.lease == Some(who.me));
        if was_ours && wish.is_some() && !as_wished && (ours || node.is_none()) {
            self.drifted(who, node.as_ref(), now);
        }
        let others = node.as_ref().and_then(|held| held.lease);
        let others = others.filter(|lease| *lease != who.me && who.knows(*lease));
        self.settling_until = match others {
            Some(lease) if self.view.holder() != Some(lease) => self.settling(now),
            Some(_) => self.settling_until,
            None => None,
        };
        self.view.node = node;
        as_wished && self.view.claims.is_empty()
    }

    /// Finds out whether somebody who is no registrator has put something in the place of what this process manages and wishes.
    pub(super) fn inspect(&mut self, who: &Who, now: Instant) {
        let stranger = self.view.holder().filter(|lease| !who.knows(*lease));
        if self.stranger.is_some() && self.stranger != stranger {
            // It is gone, or we were told of it: what it did was in order.
            (self.stranger, self.drift, self.retry_at) = (None, None, None);
        }
        let Some(held) = self.view.node.clone() else {
            return;
        };
        match held.lease {
            Some(lease) if lease == who.me => {}
            Some(lease) if who.knows(lease) => self.drift = None,
            _ => self.drifted(who, Some(&held), now),
        }
    }

    fn drifted(&mut self, who: &Who, found: Option<&Held>, now: Instant) {
        if self.drift.is_some() {
            return;
        }
        self.drift = Some(found.map(|held| held.value.clone()));
        let again = self
            .last_repair
            .is_some_and(|last| now.saturating_duration_since(last) < REPAIR_PEACE);
        let stranger = found
            .and_then(|held| held.lease)
            .filter(|lease| !who.knows(*lease));
        if again {
            self.back_off(now, Duration::from_secs(1));
        } else if stranger.is_some() {
            self.stranger = stranger;
            self.retry_at = Some(now + STRANGER_WAIT);
        }
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
        let known = self.view.claims.get(&lease).map(|claim| claim.mod_revision);
        // One transaction may change several claims: all of them have its revision.
        if revision < self.claims_at || known.is_some_and(|known| revision < known) {
            return false;
        }
        match claim {
            Some(claim) => self.view.claims.insert(lease, claim),
            None => self.view.claims.remove(&lease),
        };
        if lease != who.me {
            self.settling_until = self.settling(now);
        }
        true
    }

    /// One wait is enough, however much is told meanwhile.
    fn settling(&self, now: Instant) -> Option<Instant> {
        let running = self.settling_until.filter(|until| *until > now);
        running.or(Some(now + SETTLING))
    }

    /// Whether the wait that ends at `at` was not given up meanwhile. It is over then.
    pub(super) fn wait_is_over(&mut self, at: Instant) -> bool {
        let waits = [self.retry_at, self.settling_until, self.bystander_until];
        self.retry_at.take_if(|retry| *retry == at);
        self.settling_until.take_if(|settled| *settled == at);
        waits.contains(&Some(at))
    }

    /// Until when no decision is made.
    pub(super) fn waits_until(&self, now: Instant) -> Option<Instant> {
        let waits = [self.retry_at, self.settling_until].into_iter().flatten();
        waits.filter(|at| *at > now).max()
    }

    /// Gives up all waits.
    pub(super) fn hurry(&mut self) {
        (self.retry_at, self.settling_until) = (None, None);
    }

    /// When to act, if the decision is one for others: to hand the node of somebody else to somebody else. Both see the same and
    /// are about to act; of those who only look on one after the other steps in.
    pub(super) fn stand_back(&mut self, who: &Who, txn: &KeyTxn, now: Instant) -> Option<Instant> {
        let for_another = |op: &Op| matches!(op, Op::Put(_, lease) if *lease != who.me);
        if self.view.holder() == Some(who.me) || !txn.ops.iter().any(for_another) {
            self.bystander_until = None;
            return None;
        }
        let until = *self.bystander_until.get_or_insert_with(|| {
            let own = self.view.claims.get(&who.me).map(|claim| &claim.value);
            let before_us = self.view.claims.iter().filter(|(lease, claim)| {
                own.is_none_or(|own| (&claim.value, *lease) < (own, &who.me))
            });
            let steps = u32::try_from(before_us.count()).unwrap_or(u32::MAX).max(1);
            now + STEP_BACK.saturating_mul(steps).min(LONGEST_STEP_BACK)
        });
        Some(until).filter(|until| *until > now)
    }

    /// How the wish stands to what is there when nothing is to be done, as far as that is news.
    pub(super) fn standing(&mut self, who: &Who, key: &Key, wish: &Value) -> Vec<Notice> {
        let Some(held) = self.view.node.as_ref() else {
            return Vec::new();
        };
        let (key, value, wish) = (key.clone(), held.value.clone(), wish.clone());
        match held.lease {
            Some(lease) if who.knows(lease) => {
                let shared = (lease != who.me && value == wish).then(|| Notice::Shared {
                    key: key.clone(),
                    value: value.clone(),
                    holder: who.name(lease),
                });
                let conflict = self.conflict(who, key, (value, lease));
                let shared = shared.and_then(|shared| self.report(shared));
                conflict.into_iter().chain(shared).collect()
            }
            _ => {
                let foreign = Notice::Foreign { key, value, wish };
                self.report(foreign).into_iter().collect()
            }
        }
    }

    /// The conflict with other hosts, or its end, if that is news.
    fn conflict(&mut self, who: &Who, key: Key, held: (Value, LeaseId)) -> Option<Notice> {
        let (value, lease) = held;
        let others = self.view.claims.iter().filter(|(lease, claim)| {
            claim.value != value && claim.lease == Some(**lease) && who.knows(**lease)
        });
        let mut waiting: Vec<_> = others
            .map(|(lease, claim)| {
                let name = match who.suspects(*lease) {
                    true => format!("{}, which seems dead", who.name(*lease)).into(),
                    false => who.name(*lease),
                };
                (claim.value.clone(), name)
            })
            .collect();
        waiting.sort();
        if waiting.is_empty() {
            let ended = self.conflict.take();
            return ended.map(|_| Notice::HostConflictEnded { key, value });
        }
        let conflict = Notice::HostConflict {
            key,
            registered: (value, who.name(lease)),
            waiting,
        };
        if self.conflict.as_ref() == Some(&conflict) {
            return None;
        }
        self.conflict = Some(conflict.clone());
        Some(conflict)
    }

    /// `notice` if it differs from what was reported last.
    pub(super) fn report(&mut self, notice: Notice) -> Option<Notice> {
        if self.reported.as_ref() == Some(&notice) {
            return None;
        }
        self.reported = Some(notice.clone());
        Some(notice)
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
        self.view.apply(&txn.ops, revision);
        self.node_at = revision;
        self.bystander_until = None;
        if txn.guards.contains(&Guard::NoClaims) {
            self.claims_at = revision;
        }
        (self.tries, self.alone, self.reported) = (
            if self.drift.is_some() { self.tries } else { 0 },
            false,
            None,
        );
        let key = txn.key.clone();
        let old = before.map(|held| held.value.clone());
        let put = txn.ops.iter().any(|op| matches!(op, Op::Put(..)));
        if let Some(found) = self.drift.take_if(|_| put) {
            (self.last_repair, self.stranger) = (Some(now), None);
            return Some(Notice::Repaired { key, found });
        }
        txn.ops.iter().find_map(|op| match op {
            Op::Put(value, lease) if *lease == who.me => Some(Notice::Registered {
                key: key.clone(),
                value: value.clone(),
                old: old.clone(),
                askers: Askers::default(),
            }),
            Op::Put(value, lease) if before.and_then(|held| held.lease) == Some(who.me) => {
                Some(Notice::HandedOver {
                    key: key.clone(),
                    value: value.clone(),
                    to: who.name(*lease),
                })
            }
            Op::Delete => Some(Notice::Removed(key.clone())),
            Op::Put(..) | Op::PutClaim(..) | Op::DeleteClaim(_) => None,
        })
    }

    /// Takes in what etcd held instead of what a transaction expected.
    pub(super) fn refused(&mut self, view: View, revision: Revision, now: Instant) {
        self.view = view;
        (self.node_at, self.claims_at) = (revision, revision);
        self.bystander_until = None;
        if self.tries >= FREE_TRIES {
            self.back_off(now, Duration::from_millis(50));
        } else {
            self.tries += 1;
        }
    }

    /// Takes in a reading of all that there is; tells whether it is news.
    pub(super) fn correct(&mut self, view: View, revision: Revision) -> bool {
        if revision <= self.node_at || view == self.view {
            return false;
        }
        self.view = view;
        (self.node_at, self.claims_at) = (revision, revision);
        true
    }

    /// Waits longer with each try: `first`, twice that, and so on.
    pub(super) fn back_off(&mut self, now: Instant, first: Duration) {
        let wait = first.saturating_mul(1 << self.tries.min(16)).min(MAX_WAIT);
        self.tries += 1;
        self.retry_at = Some(now + wait);
    }
}
