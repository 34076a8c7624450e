//! How each event changes the state, and what follows from it.

use super::{Command, Ending, OnExit, Reconciler};
use crate::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use crate::evaluate::origin::Origin;
use crate::evaluate::scheduler::{Ticket, Urgency};
use crate::merge::departures::Cause;
use crate::node::{Definition, Key, Nodes, OnConflict, Value};
use crate::observe::container::{Container, ContainerId};
use crate::observe::instance::{InstanceDelta, InstanceId, Problem};
use crate::observe::places::LostPlaces;
use crate::observe::spec::{PolicyName, PolicySpec};
use crate::own::keys::Wishes;
use crate::own::session::SessionEvent;
use crate::tell::notice::{Asker, Askers, Notice};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Reconciler {
    pub(super) fn on_policies(&mut self, loaded: Vec<PolicySpec>, failed: Vec<Problem>) {
        let delta = self.instances.set_policies(loaded, failed);
        let paths: BTreeMap<PolicyName, _> = self
            .instances
            .etcd_paths()
            .map(|(name, path)| (name.clone(), path.clone()))
            .collect();
        let gone = self
            .followed
            .keys()
            .filter(|policy| !paths.contains_key(*policy))
            .map(|policy| (policy.clone(), None));
        let new = paths
            .iter()
            .filter(|(policy, path)| self.followed.get(*policy) != Some(*path));
        let new = new.map(|(policy, path)| (policy.clone(), Some(path.clone())));
        self.commands.extend(
            gone.chain(new)
                .map(|(policy, path)| Command::FollowConfigs { policy, path }),
        );
        self.followed = paths;
        self.on_instances(delta);
    }

    /// Make before break: a reloaded instance keeps its nodes until its new results are in, and one that stopped until those of
    /// the others are.
    pub(super) fn on_instances(&mut self, delta: InstanceDelta) {
        self.recount = true;
        self.notices
            .extend(delta.problems.into_iter().map(Notice::Problem));
        for instance in delta.stopped {
            self.leave(&instance);
            self.notices.push_back(Notice::InstanceStopped(instance));
        }
        // Container by container, so that the keys of one travel together.
        let running = self.containers.iter().filter(|(_, found)| found.running());
        for (container, _) in running {
            for instance in &delta.started {
                let origin = Origin {
                    instance: instance.clone(),
                    container: container.clone(),
                };
                self.evaluations.request(origin, Urgency::Reload);
            }
        }
        for instance in delta.started {
            let reloaded = delta.reloaded.contains(&instance);
            self.notices
                .push_back(Notice::InstanceStarted { instance, reloaded });
        }
        self.ask_proofs();
    }

    fn leave(&mut self, instance: &InstanceId) {
        for (container, _) in self.containers.iter() {
            self.evaluations.leave(&Origin {
                instance: instance.clone(),
                container: container.clone(),
            });
        }
    }

    pub(super) fn on_evaluated(
        &mut self,
        ticket: Ticket,
        result: Result<Evaluation, EvalError>,
        now: Instant,
    ) {
        if let Some(proof) = self.proofs.remove(&ticket) {
            return self.on_proof(proof, result);
        }
        let Some(origin) = self.evaluations.finish(ticket) else {
            return;
        };
        let checked = result.and_then(|evaluation| {
            self.settings.fence.check(&evaluation.nodes)?;
            self.check_room(&origin, &evaluation.nodes)?;
            Ok(evaluation)
        });
        match checked {
            Ok(evaluation) => self.on_nodes(origin, evaluation, now),
            Err(error) => self.on_failure(&origin, error, now),
        }
    }

    /// The last good nodes stay, but for those that name what the container has no longer: another one may have it by now.
    fn on_failure(&mut self, origin: &Origin, error: EvalError, now: Instant) {
        if self.evaluations.fail(origin, error.clone(), now) {
            let asker = self.asker(origin);
            self.notices
                .push_back(Notice::EvaluationFailed { asker, error });
        }
        let asked = self.evaluations.asked(origin);
        let (Some(lost), Some(before)) = (self.lost(origin), asked) else {
            return;
        };
        let nodes = before.without(|key, value| lost.is_named_in(key, value));
        if nodes == *before {
            return;
        }
        let (asker, lost) = (self.asker(origin), lost.to_string());
        let keys = self.desired.replace(origin, before, &nodes);
        let count = keys.len();
        self.evaluations.keep(origin, nodes);
        self.depart(&keys, &origin.container, Cause::NotSo, now);
        self.gathering.add(&origin.container, keys, now);
        self.notices.push_back(Notice::NotSo { asker, count, lost });
    }

    /// What an origin's container has lost since the last good evaluation.
    fn lost(&self, origin: &Origin) -> Option<LostPlaces> {
        let container = self.containers.get(&origin.container)?;
        self.evaluations.lost(origin, container)
    }

    /// Whether there is room for what an origin asks for now, in the place of what it asked for before.
    fn check_room(&self, origin: &Origin, nodes: &Nodes) -> Result<(), EvalError> {
        let (now, most) = (self.desired.len(), self.settings.max_nodes);
        if now + nodes.len() <= most {
            return Ok(());
        }
        let keys: BTreeSet<&Key> = nodes.written().collect();
        let new = keys.iter().filter(|key| !self.desired.is_asked(key));
        let before = self.evaluations.asked(origin).into_iter();
        let before = before.flat_map(Nodes::written);
        let gone = before.filter(|key| !keys.contains(key) && self.desired.is_asked_once(key));
        let total = now + new.count() - gone.count();
        if total <= most {
            return Ok(());
        }
        Err(EvalError {
            kind: EvalErrorKind::Limit,
            message: format!(
                "with the {} nodes for this container there would be {total} in all, and --max-nodes permits {most}; the container keeps the nodes it had",
                nodes.len()
            ),
            at: None,
        })
    }

    fn on_nodes(&mut self, origin: Origin, evaluation: Evaluation, now: Instant) {
        let Evaluation {
            nodes,
            log,
            reasons,
        } = evaluation;
        for line in self.evaluations.news(&origin, log) {
            let asker = self.asker(&origin);
            self.notices.push_back(Notice::Printed { asker, line });
        }
        let nothing = Nodes::default();
        let before = self.evaluations.asked(&origin).unwrap_or(&nothing);
        let keys = self.desired.replace(&origin, before, &nodes);
        let lost = (!keys.is_empty()).then(|| self.lost(&origin)).flatten();
        let is_named = |key: &Key, value: &Value| {
            lost.as_ref()
                .is_some_and(|lost| lost.is_named_in(key, value))
        };
        let not_so = before.naming(is_named);
        let came = self.departures.came(&origin.container);
        self.note_wishes(&keys, came.unwrap_or(now));
        let cause = self.cause(&origin);
        if not_so.is_empty() {
            self.depart(&keys, &origin.container, cause, now);
        } else {
            let (not_so, others) = keys.iter().cloned().partition(|key| not_so.contains(key));
            self.depart(&not_so, &origin.container, Cause::NotSo, now);
            self.depart(&others, &origin.container, cause, now);
        }
        self.gathering.add(&origin.container, keys, now);
        let container = self.containers.get(&origin.container);
        if self.evaluations.succeed(&origin, nodes, container) {
            let asker = self.asker(&origin);
            self.notices.push_back(Notice::EvaluationRecovered(asker));
        }
        self.evaluations.explain(&origin, reasons);
    }

    pub(super) fn on_session(&mut self, event: SessionEvent, now: Instant) {
        let (releasing, desired) = (self.releasing(), &self.desired);
        let wish = |key: &Key| desired.winner(key).filter(|_| !releasing).cloned();
        match event {
            SessionEvent::Established(session) => {
                let wished = if self.releasing() {
                    Vec::new()
                } else {
                    self.evaluations.batches()
                };
                self.keys.establish(session, wished);
                self.orphans_depart = false;
                self.departures.count_anew();
                self.recount = true;
            }
            SessionEvent::Suspended => self.keys.suspend(),
            SessionEvent::Seen(seen) => self.keys.see(seen, wish, now),
            SessionEvent::Committed { id, outcome } => self.keys.committed(id, outcome, wish, now),
        }
    }

    pub(super) fn on_shutdown(&mut self, on_exit: OnExit, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        if on_exit == OnExit::Keep || !self.keys.connected() {
            self.stop(OnExit::Keep);
            return;
        }
        self.ending = Some(Ending::Releasing {
            until: now + self.settings.release,
        });
        self.keys.mark_all();
    }

    pub(super) fn releasing(&self) -> bool {
        matches!(self.ending, Some(Ending::Releasing { .. }))
    }

    fn stop(&mut self, on_exit: OnExit) {
        self.ending = Some(Ending::Stopped);
        self.commands.push_back(Command::Stop(on_exit));
    }

    /// What follows from the state, after any event.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.ending == Some(Ending::Stopped) {
            return;
        }
        self.evaluations.retry_due(now);
        self.keys.retry_due(now);
        self.evaluate(now);
        let done = self.finish_containers(now);
        self.flush_gathered(done, now);
        // A release needs no wishes.
        if self.started || self.releasing() {
            self.release_orphans(now);
            self.settle_departures(now);
            self.commit(now);
            self.count_held(now);
            self.tidy_times();
        }
        self.report_sync();
        if let Some(Ending::Releasing { until }) = self.ending {
            if self.keys.released() {
                self.stop(OnExit::Release);
            } else if now >= until {
                self.stop(OnExit::Keep);
            }
        }
    }

    fn evaluate(&mut self, now: Instant) {
        while let Some((ticket, origin)) = self.evaluations.take_next() {
            let instance = self.instances.get(&origin.instance);
            let container = self.containers.get(&origin.container);
            if let (Some(instance), Some(container)) = (instance, container) {
                self.commands.push_back(Command::Evaluate {
                    ticket,
                    instance: instance.clone(),
                    container: container.clone(),
                });
            } else {
                // Nobody would answer: its place with the policy would stay taken.
                self.evaluations.finish(ticket);
                let keys = self.forget(&origin, Cause::Ended, now);
                self.flush(keys);
            }
        }
    }

    /// Takes back what was asked for by instances that are gone, where all others have looked at the container. Tells which containers
    /// have nothing to wait for.
    fn finish_containers(&mut self, now: Instant) -> Vec<ContainerId> {
        let mut done = Vec::new();
        for (container, leaving) in self.evaluations.take_done() {
            let mut keys = BTreeSet::new();
            for origin in leaving {
                let cause = Cause::InstanceGone(origin.instance.clone());
                keys.append(&mut self.forget(&origin, cause, now));
            }
            self.flush(keys);
            self.departures.looked_at(&container);
            done.push(container);
        }
        done
    }

    /// Whether everything is read and evaluated once, for the first time.
    fn starts(&mut self) -> bool {
        let complete = || self.instances.complete() && self.containers.complete();
        let starts = !self.started && self.evaluations.idle() && complete();
        self.started |= starts;
        starts
    }

    /// Lets go of the keys of containers that are done, and of those that have waited too long; at the start of all.
    fn flush_gathered(&mut self, done: Vec<ContainerId>, now: Instant) {
        let gather = self.settings.gather;
        if self.starts() {
            for keys in self.gathering.take_all() {
                self.flush(keys);
            }
        } else if self.started {
            for container in done {
                let keys = self.gathering.take(&container);
                self.flush(keys);
            }
            while let Some(keys) = self.gathering.take_due(now, gather) {
                self.flush(keys);
            }
        }
    }

    pub(super) fn flush(&mut self, keys: BTreeSet<Key>) {
        for key in &keys {
            self.report_conflict(key);
            self.report_overlap(key);
        }
        self.keys.mark(keys);
    }

    /// Whether a wish may be missing because something does not work.
    pub(crate) fn wishes_hidden(&self) -> bool {
        !self.unread_files.is_empty()
            || !self.unread_containers.is_empty()
            || self.instances.hides_nodes()
            || self.evaluations.hide_nodes()
    }

    fn commit(&mut self, now: Instant) {
        let (releasing, keep_orphans) = (self.releasing(), self.keep_orphans());
        loop {
            self.follow_objects();
            let (desired, departures) = (&self.desired, &self.departures);
            let of = |key: &Key| -> Option<Value> {
                desired.winner(key).filter(|_| !releasing).cloned()
            };
            let wishes = Wishes {
                of: &of,
                stays: &|key| {
                    departures.holds(key) || (!releasing && desired.is_below_undecided(key))
                },
                members: &|marker, text| match releasing {
                    true => BTreeMap::new(),
                    false => desired.if_stood(marker, text),
                },
                object_of: &|key| desired.object_of_member(key),
                keep_orphans,
            };
            let commit = self.keys.next_commit(&wishes, now);
            let forgotten = self.keys.take_forgotten();
            self.commands.extend(forgotten.map(Command::Forget));
            let wanted = self.keys.take_wanted();
            self.commands.extend(wanted.map(Command::Want));
            match commit {
                Some(commit) => self.commands.push_back(Command::Commit(commit)),
                // What was decided may concern members.
                None if self.keys.objects_changed() => {}
                None => break,
            }
        }
        while let Some(notice) = self.keys.next_notice() {
            let mut notice = self.with_askers(notice);
            self.note_told(&mut notice, now);
            let missed = match &notice {
                Notice::HostConflict {
                    key,
                    registered: (text, _),
                    ..
                } => self.missed(key, text),
                _ => None,
            };
            self.notices.push_back(notice);
            self.notices.extend(missed);
        }
    }

    /// What is to be said of a conflict to those who refer to the object, if none of its definitions counts.
    fn missed(&self, key: &Key, text: &Value) -> Option<Notice> {
        let definition = Definition::parse(key, text)?;
        let users = self.evaluations.users_of(key.object()?);
        let by: Vec<Key> = users.into_iter().cloned().collect();
        let is_missed = definition.on_conflict == OnConflict::None && !by.is_empty();
        is_missed.then(|| Notice::Missed {
            key: key.clone(),
            by,
        })
    }

    /// Members of objects are wished while these stand. What is below an object of which nothing is known yet may be one of them.
    fn follow_objects(&mut self) {
        if !self.keys.connected() {
            return;
        }
        for marker in self.keys.take_changed_objects() {
            let was_undecided = self.desired.is_undecided(marker.as_str());
            let standing = self.keys.standing(&marker);
            let members = self.desired.stand(&marker, standing);
            self.flush(members);
            if was_undecided && !self.desired.is_undecided(marker.as_str()) {
                let below = self.keys.below(&marker);
                let unwished = below.filter(|key| self.desired.winner(key).is_none());
                let unwished: Vec<Key> = unwished.cloned().collect();
                for key in unwished {
                    self.keys.mark([key].into());
                }
            }
        }
    }

    fn with_askers(&self, mut notice: Notice) -> Notice {
        if let Notice::Registered {
            key, value, askers, ..
        }
        | Notice::NodeOfObject {
            key, value, askers, ..
        } = &mut notice
        {
            let candidates = self.desired.candidates(key);
            let origins = candidates.and_then(|candidates| candidates.get(value));
            *askers = origins
                .map(|origins| self.askers(origins))
                .unwrap_or_default();
        }
        notice
    }

    /// Once for each change of what is asked for, and not once for each event.
    fn report_conflict(&mut self, key: &Key) {
        let candidates = self.desired.candidates(key);
        if let Some(candidates) = candidates.filter(|candidates| candidates.len() > 1) {
            let sides = candidates.iter();
            let sides = sides.map(|(value, origins)| (value.clone(), self.askers(origins)));
            let conflict = Notice::Conflict {
                key: key.clone(),
                candidates: sides.collect(),
            };
            if self.conflicts.get(key) != Some(&conflict) {
                let smallest = candidates.keys().next();
                let missed = smallest.and_then(|text| self.missed(key, text));
                self.conflicts.insert(key.clone(), conflict.clone());
                self.notices.push_back(conflict);
                self.notices.extend(missed);
            }
        } else if self.conflicts.remove(key).is_some() {
            let value = self.desired.winner(key).cloned();
            self.notices.push_back(Notice::ConflictEnded {
                key: key.clone(),
                value,
            });
        }
    }

    /// Says of a name that CoreDNS gives another container's addresses with it.
    fn report_overlap(&mut self, key: &Key) {
        let container = |key: &Key| {
            let candidates = self.desired.candidates(key)?;
            let mut origins = candidates.values().flatten();
            Some(origins.next()?.container.clone())
        };
        let container = container(key);
        let Some(overlap) = self.names.change(key, container.as_ref()) else {
            return;
        };
        let askers = |key: &Key| {
            let candidates = self.desired.candidates(key).into_iter().flatten();
            let origins: BTreeSet<Origin> = candidates
                .flat_map(|(_, origins)| origins.iter().cloned())
                .collect();
            self.askers(&origins)
        };
        let (of, below) = (askers(&overlap.key), askers(&overlap.below));
        self.notices
            .push_back(Notice::AnswersForOthers { overlap, of, below });
    }

    fn report_sync(&mut self) {
        if self.settled() && !self.synced {
            self.synced = true;
            let containers = self
                .containers
                .iter()
                .filter(|(_, container)| container.running())
                .count();
            self.notices.push_back(Notice::Synced {
                nodes: self.desired.len(),
                containers,
            });
        } else if !self.keys.connected() {
            self.synced = false;
        }
    }

    pub(crate) fn asker(&self, origin: &Origin) -> Asker {
        let name = self
            .containers
            .get(&origin.container)
            .map_or(origin.container.short(), Container::name);
        Asker {
            instance: origin.instance.clone(),
            container: origin.container.clone(),
            name: name.to_owned(),
        }
    }

    pub(super) fn askers(&self, origins: &BTreeSet<Origin>) -> Askers {
        Askers::new(
            origins.iter().map(|origin| self.asker(origin)),
            origins.len(),
        )
    }
}
