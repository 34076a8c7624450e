//! What goes: when a node that nobody asks for any more is deleted, and when it stays all the same.

use super::Reconciler;
use crate::evaluate::origin::Origin;
use crate::evaluate::scheduler::Urgency;
use crate::merge::brake::MaxDelete;
use crate::merge::departures::Cause;
use crate::node::{Key, Nodes};
use crate::observe::container::{Container, ContainerId};
use crate::observe::watch::SourceEvent;
use crate::tell::notice::{BrakeEnd, HeldBack, Notice};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Reconciler {
    pub(super) fn on_container(&mut self, event: SourceEvent<Container>, now: Instant) {
        let is_list = matches!(event, SourceEvent::InitDone);
        let about = match &event {
            SourceEvent::InitApply(container) | SourceEvent::Apply(container) => {
                Some(container.id().clone())
            }
            SourceEvent::Delete(id) => Some(id.clone()),
            SourceEvent::Init | SourceEvent::InitDone => None,
        };
        let gone = if is_list && self.is_other_engine() {
            Cause::OtherEngine
        } else {
            Cause::Ended
        };
        if event == SourceEvent::Init {
            let evaluations = &self.evaluations;
            self.departures.list(|id| evaluations.is_pending(id));
        }
        self.change_containers(event, &gone, now);
        if is_list {
            self.departures.listed();
        }
        if let Some(id) = about {
            self.is_inspected(&id);
        }
    }

    /// Whether the engine that completes a list is another one than that of the list before.
    fn is_other_engine(&mut self) -> bool {
        let before = self.listed_engine.replace(self.engine.clone());
        before.is_some_and(|before| before != self.engine)
    }

    /// The container seems gone, but nobody told of its end.
    pub(super) fn on_vanished(&mut self, id: ContainerId, now: Instant) {
        self.change_containers(SourceEvent::Delete(id.clone()), &Cause::Unknown, now);
        self.is_inspected(&id);
    }

    fn change_containers(&mut self, event: SourceEvent<Container>, gone: &Cause, now: Instant) {
        if let (SourceEvent::Delete(id), Cause::Ended) = (&event, gone) {
            self.proven(id);
        }
        let is_list = event == SourceEvent::InitDone;
        let delta = self.containers.handle(event);
        // All at once, while Docker was away: as likely it is another place behind the socket, or an empty disk.
        let gone = match gone {
            Cause::Ended if is_list && self.containers.is_empty() => &Cause::NoneListed,
            gone => gone,
        };
        for id in delta.applied {
            if self.containers.get(&id).is_some_and(Container::running) {
                self.remark(&id);
                for instance in self.instances.iter() {
                    let origin = Origin {
                        instance: instance.id.clone(),
                        container: id.clone(),
                    };
                    self.evaluations.request(origin, Urgency::Change);
                }
                self.departures.come(&id, now);
                self.is_inspected(&id);
            } else {
                self.forget_container(&id, Cause::Ended, now);
            }
        }
        for id in delta.deleted {
            self.remarks.remove(&id);
            self.forget_container(&id, gone.clone(), now);
        }
    }

    /// Tells once what is to be said of a container.
    fn remark(&mut self, id: &ContainerId) {
        let remarks = self.containers.remarks(id);
        let told = match remarks.is_empty() {
            true => self.remarks.remove(id),
            false => self.remarks.insert(id.clone(), remarks.clone()),
        };
        let told = told.unwrap_or_default();
        let name = self
            .containers
            .get(id)
            .map(Container::name)
            .unwrap_or_default();
        for remark in remarks.difference(&told) {
            self.notices.push_back(Notice::Remarked {
                container: name.to_owned(),
                remark: remark.clone(),
            });
        }
    }

    /// A container that nothing will be evaluated for is no longer waited for.
    fn is_inspected(&mut self, id: &ContainerId) {
        self.departures.inspected(id);
        if !self.evaluations.is_pending(id) {
            self.departures.looked_at(id);
        }
    }

    /// A container has ended: what was held back for want of a proof goes.
    fn proven(&mut self, container: &ContainerId) {
        self.departures.end(container);
        self.recount = true;
    }

    /// Takes back what the origins of a container that is gone asked for.
    fn forget_container(&mut self, container: &ContainerId, cause: Cause, now: Instant) {
        if cause == Cause::Ended {
            self.proven(container);
        }
        let instances: Vec<_> = self.instances.iter().map(|it| it.id.clone()).collect();
        let mut keys = BTreeSet::new();
        for instance in instances {
            let origin = Origin {
                instance,
                container: container.clone(),
            };
            keys.append(&mut self.forget(&origin, cause.clone(), now));
        }
        self.flush(keys);
    }

    /// Takes back what an origin asked for; tells which keys that changes.
    pub(super) fn forget(&mut self, origin: &Origin, cause: Cause, now: Instant) -> BTreeSet<Key> {
        let asked = self.evaluations.forget(origin);
        let keys = self.desired.replace(origin, &asked, &Nodes::default());
        self.depart(&keys, &origin.container, cause, now);
        keys
    }

    /// Why an origin gives a node no more.
    pub(super) fn cause(&self, origin: &Origin) -> Cause {
        let container = self.containers.get(&origin.container);
        if container.is_some_and(|container| container.running() && !container.stopping()) {
            Cause::GivenNoMore(origin.instance.clone())
        } else {
            Cause::Ended
        }
    }

    /// Of these keys, others are asked for now. What nobody asks for stays for the moment, if it would be absent.
    pub(super) fn depart(
        &mut self,
        changed: &BTreeSet<Key>,
        container: &ContainerId,
        cause: Cause,
        now: Instant,
    ) {
        let mut gone = BTreeSet::new();
        for key in changed {
            if self.desired.is_asked(key) {
                self.recount |= self.departures.stay(key);
            } else if self.keys.holds_alone(key) {
                gone.insert(key.clone());
            }
        }
        self.departures.go(gone, Some(container), cause, now);
    }

    /// Whether nothing is read or evaluated, so that all that is asked for is known.
    pub(super) fn is_calm(&self) -> bool {
        self.instances.complete() && self.evaluations.idle() && self.gathering.is_empty()
    }

    /// Whether what nobody wishes is left as it was found: a wish for it may be missing, or may still come.
    pub(super) fn keep_orphans(&self) -> bool {
        !self.releasing() && (self.wishes_hidden() || !self.is_calm())
    }

    pub(super) fn release_orphans(&mut self, now: Instant) {
        let count = self.keys.orphans().len();
        if count == 0 || !self.keep_orphans() {
            self.orphans_told = false;
            if !std::mem::replace(&mut self.orphans_depart, true) {
                // What an object takes in stays.
                let orphans = self.keys.orphans().iter();
                let orphans = orphans.filter(|key| self.desired.object_of(key).is_none());
                let orphans = orphans.cloned().collect();
                self.departures.go(orphans, None, Cause::LeftBefore, now);
            }
        } else if self.wishes_hidden() && !self.orphans_told {
            self.notices.push_back(Notice::OrphansKept(count));
            self.orphans_told = true;
        }
    }

    /// Lets go of what has waited long enough.
    pub(super) fn settle_departures(&mut self, now: Instant) {
        if self.releasing() {
            self.departures.clear();
            return;
        }
        while let Some(keys) = self.departures.take_ended(now) {
            self.keys.mark(keys);
        }
        let calm = self.is_calm();
        let engaged = self.brake.engaged().is_some();
        let recount = std::mem::take(&mut self.recount) && engaged;
        if self.brake_is_over(now) {
            self.release_brake(BrakeEnd::Over);
        } else if self.departures.is_decidable(calm, now) {
            self.decide_departures(now);
        } else if calm && recount {
            self.count_held_back(now);
        } else {
            self.recount = recount;
        }
    }

    /// The brake compares with what was there when nothing was left to do.
    pub(super) fn count_held(&mut self, now: Instant) {
        if self.is_calm() && !self.departures.holds_any() && self.keys.settled() {
            self.brake.settled(self.keys.held(), now);
        }
    }

    /// Decides anew about what is held back, if that may come out otherwise.
    fn count_held_back(&mut self, now: Instant) {
        let left = self.departures.perhaps_held_back();
        let before = self.brake.gone_lately(now);
        let held = self.brake.held_before(self.keys.held()).max(left);
        if self.departures.is_worth_counting() || !self.are_too_many(left, before, held) {
            self.decide_departures(now);
        } else {
            self.held_back = self.held_back.min(left);
        }
    }

    fn decide_departures(&mut self, now: Instant) {
        let keys = &self.keys;
        let causes = self.departures.unproven(|key| keys.holds_alone(key));
        let (count, before) = (causes.values().sum(), self.brake.gone_lately(now));
        let held = self.brake.held_before(keys.held()).max(count);
        let Some(mut held_back) = self.too_many(causes, before, held) else {
            for keys in self.departures.take_unproven() {
                self.keys.let_go(keys);
            }
            if self.brake.let_go(count, now) {
                self.end_brake(BrakeEnd::Mended, count);
            }
            return;
        };
        self.departures.hold_back(count);
        let since = self.brake.engage(now);
        let hold = self.settings.brake.hold;
        held_back.for_at_most = hold.map(|hold| (since + hold).saturating_duration_since(now));
        if count > self.held_back {
            self.notices.push_back(Notice::HeldBack(held_back));
        }
        self.held_back = count;
    }

    /// What is told of so many deletions of `held` nodes, after those `before`, if they are too many.
    pub(super) fn too_many(
        &self,
        causes: BTreeMap<Cause, usize>,
        before: usize,
        held: usize,
    ) -> Option<HeldBack> {
        let count = causes.values().sum();
        self.are_too_many(count, before, held).then(|| HeldBack {
            count,
            held,
            limit: self.settings.brake.max_delete,
            causes: causes.into_iter().collect(),
            nothing_runs: self.nothing_runs(),
            for_at_most: None,
        })
    }

    fn are_too_many(&self, count: usize, before: usize, held: usize) -> bool {
        let limit = self.settings.brake.max_delete;
        count > 0 && (self.nothing_runs() || limit.forbids(count + before, held))
    }

    /// Nothing tells whether that is meant, and nothing would be left.
    fn nothing_runs(&self) -> bool {
        self.instances.is_empty() && self.settings.brake.max_delete != MaxDelete::Off
    }

    fn brake_is_over(&self, now: Instant) -> bool {
        self.brake_ends_at().is_some_and(|at| at <= now)
    }

    pub(super) fn brake_ends_at(&self) -> Option<Instant> {
        Some(self.brake.engaged()? + self.settings.brake.hold?)
    }

    /// Lets go of what is held back now. What comes later counts anew.
    pub(super) fn release_brake(&mut self, end: BrakeEnd) {
        if self.brake.engaged().is_none() {
            return;
        }
        let mut count = 0;
        for keys in self.departures.take_held_back() {
            count += keys.len();
            self.keys.let_go(keys);
        }
        self.brake.release();
        self.end_brake(end, count);
    }

    fn end_brake(&mut self, end: BrakeEnd, deleted: usize) {
        self.held_back = 0;
        self.notices.push_back(Notice::BrakeEnded { end, deleted });
    }

    pub(super) fn next_departure(&self) -> Option<Instant> {
        let waits = self.departures.next_timeout(self.is_calm());
        let waits = waits.filter(|_| self.started);
        [waits, self.brake_ends_at()].into_iter().flatten().min()
    }
}
