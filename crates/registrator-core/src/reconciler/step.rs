//! How each event changes the state, and what follows from it.

use super::{Command, Ending, Gathered, OnExit, Reconciler, Retry};
use crate::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use crate::evaluate::origin::Origin;
use crate::evaluate::scheduler::{Freshness, Ticket};
use crate::node::{Key, Nodes, Value};
use crate::observe::container::{Container, ContainerId};
use crate::observe::instance::{InstanceDelta, InstanceId, Problem};
use crate::observe::spec::{PolicyName, PolicySpec};
use crate::observe::watch;
use crate::own::keys::Wishes;
use crate::own::session::SessionEvent;
use crate::tell::notice::{Asker, Notice};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The wait before an evaluation that ran out of time is tried again; twice that the next time, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest such wait.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

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
        self.notices
            .extend(delta.problems.into_iter().map(Notice::Problem));
        for instance in delta.stopped {
            self.leave(&instance);
            self.notices.push_back(Notice::InstanceStopped(instance));
        }
        let running: Vec<ContainerId> = self
            .containers
            .iter()
            .filter(|(_, found)| found.running())
            .map(|(id, _)| id.clone())
            .collect();
        for instance in delta.started {
            let reloaded = delta.reloaded.contains(&instance);
            for container in &running {
                let origin = Origin {
                    instance: instance.clone(),
                    container: container.clone(),
                };
                self.leaving.remove(&origin);
                self.scheduler.request(origin);
            }
            self.notices
                .push_back(Notice::InstanceStarted { instance, reloaded });
        }
    }

    pub(super) fn on_container(&mut self, event: watch::Event<Container>) {
        let delta = self.containers.handle(event);
        for id in delta.applied {
            match self.containers.get(&id).is_some_and(Container::running) {
                true => {
                    let instances: Vec<InstanceId> = self
                        .instances
                        .iter()
                        .map(|instance| instance.id.clone())
                        .collect();
                    for instance in instances {
                        self.scheduler.request(Origin {
                            instance,
                            container: id.clone(),
                        });
                    }
                }
                false => self.forget_container(&id),
            }
        }
        for id in delta.deleted {
            self.forget_container(&id);
        }
    }

    /// Takes back what the origins of a container that is gone asked for.
    fn forget_container(&mut self, container: &ContainerId) {
        let instances = self.instances.iter().map(|instance| instance.id.clone());
        let origins = instances.map(|instance| Origin {
            instance,
            container: container.clone(),
        });
        self.forget(origins.collect());
    }

    /// An instance that is gone may be there again under another name, so what it asked for is taken back only when the present
    /// instances have looked at the container.
    fn leave(&mut self, instance: &InstanceId) {
        for container in self.containers.iter().map(|(id, _)| id.clone()) {
            let origin = Origin {
                instance: instance.clone(),
                container,
            };
            self.scheduler.cancel(&origin);
            self.leaving.insert(origin);
        }
    }

    fn forget_leaving(&mut self) {
        let scheduler = &self.scheduler;
        let looked_at = |origin: &Origin| scheduler.idle_for(&origin.container);
        let gone: Vec<Origin> = self.leaving.extract_if(.., looked_at).collect();
        self.forget(gone);
    }

    fn forget(&mut self, gone: Vec<Origin>) {
        let mut keys = BTreeSet::new();
        for origin in gone {
            self.scheduler.cancel(&origin);
            self.failures.remove(&origin);
            self.retries.remove(&origin);
            self.good.remove(&origin);
            keys.extend(self.desired.set(&origin, Nodes::default()));
        }
        self.flush(keys);
    }

    pub(super) fn on_evaluated(
        &mut self,
        ticket: Ticket,
        result: Result<Evaluation, EvalError>,
        now: Instant,
    ) {
        let Freshness::Fresh(origin) = self.scheduler.finish(ticket) else {
            return;
        };
        let checked = result.and_then(|evaluation| {
            self.settings
                .fence
                .check(&evaluation.nodes)
                .map(|()| evaluation)
        });
        match checked {
            Ok(evaluation) => self.on_nodes(origin, evaluation, now),
            Err(error) => {
                let asker = self.asker(&origin);
                self.retry_later(&origin, &error, now);
                if self.failures.insert(origin, error.clone()).as_ref() != Some(&error) {
                    self.notices
                        .push_back(Notice::EvaluationFailed { asker, error });
                }
            }
        }
    }

    /// A limit may have been reached because the machine was busy, and an interpreter may come back. What a policy's code raises
    /// it raises again until something changes.
    fn retry_later(&mut self, origin: &Origin, error: &EvalError, now: Instant) {
        if !matches!(error.kind, EvalErrorKind::Limit | EvalErrorKind::Host) {
            self.retries.remove(origin);
            return;
        }
        let retry = self
            .retries
            .entry(origin.clone())
            .or_insert(Retry { at: None, tries: 0 });
        let wait = FIRST_RETRY
            .saturating_mul(1 << retry.tries.min(16))
            .min(LONGEST_RETRY);
        (retry.at, retry.tries) = (Some(now + wait), retry.tries + 1);
    }

    fn retry_due(&mut self, now: Instant) {
        for (origin, retry) in &mut self.retries {
            if retry.at.take_if(|at| *at <= now).is_some() {
                self.scheduler.request(origin.clone());
            }
        }
    }

    fn on_nodes(&mut self, origin: Origin, evaluation: Evaluation, now: Instant) {
        let asker = self.asker(&origin);
        self.notices
            .extend(evaluation.log.into_iter().map(|line| Notice::Printed {
                asker: asker.clone(),
                line,
            }));
        self.retries.remove(&origin);
        if self.failures.remove(&origin).is_some() {
            self.notices.push_back(Notice::EvaluationRecovered(asker));
        }
        let keys = self.desired.set(&origin, evaluation.nodes);
        let container = origin.container.clone();
        self.good.insert(origin);
        if !keys.is_empty() {
            let gathered = self.gathered.entry(container).or_insert_with(|| Gathered {
                keys: BTreeSet::new(),
                since: now,
            });
            gathered.keys.extend(keys);
        }
    }

    pub(super) fn on_session(&mut self, event: SessionEvent, now: Instant) {
        let (releasing, desired) = (self.releasing(), &self.desired);
        let wish = |key: &Key| desired.winner(key).filter(|_| !releasing).cloned();
        match event {
            SessionEvent::Established(session) => {
                let wished = if self.releasing() {
                    Vec::new()
                } else {
                    self.desired.batches()
                };
                self.watch_roots(wished.iter().flatten());
                self.keys.establish(session, wished);
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

    fn releasing(&self) -> bool {
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
        self.retry_due(now);
        self.evaluate();
        self.forget_leaving();
        self.started |=
            self.instances.complete() && self.containers.complete() && self.scheduler.idle();
        // A release needs no wishes.
        if self.started || self.releasing() {
            self.flush_gathered(now);
            self.release_orphans();
            self.commit(now);
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

    fn evaluate(&mut self) {
        while let Some((ticket, origin)) = self.scheduler.take_next() {
            match (
                self.instances.get(&origin.instance),
                self.containers.get(&origin.container),
            ) {
                (Some(instance), Some(container)) => {
                    let (instance, container) = (instance.clone(), container.clone());
                    self.commands.push_back(Command::Evaluate {
                        ticket,
                        instance,
                        container,
                    });
                }
                _ => self.scheduler.cancel(&origin),
            }
        }
    }

    fn flush_gathered(&mut self, now: Instant) {
        let (scheduler, gather) = (&self.scheduler, self.settings.gather);
        let due = self.gathered.extract_if(.., |container, gathered| {
            scheduler.idle_for(container) || now >= gathered.since + gather
        });
        for (_, gathered) in due.collect::<Vec<_>>() {
            self.flush(gathered.keys);
        }
    }

    fn flush(&mut self, keys: BTreeSet<Key>) {
        self.watch_roots(keys.iter());
        for key in &keys {
            self.report_conflict(key);
        }
        self.keys.mark(keys);
    }

    fn watch_roots<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        let new: BTreeSet<String> = keys
            .map(Key::root)
            .filter(|root| !self.roots.contains(*root))
            .map(str::to_owned)
            .collect();
        if !new.is_empty() {
            self.roots.extend(new);
            self.commands
                .push_back(Command::WatchRoots(self.roots.clone()));
        }
    }

    /// Whether a wish may be missing because something does not work.
    pub(crate) fn wishes_hidden(&self) -> bool {
        let never_evaluated = || {
            self.failures
                .keys()
                .any(|origin| !self.good.contains(origin))
        };
        let problems = self.instances.problems();
        !self.unread.is_empty() || problems.iter().any(Problem::hides_nodes) || never_evaluated()
    }

    /// Whether what nobody wishes is left as it was found: a wish for it may be missing, or may still come.
    fn keep_orphans(&self) -> bool {
        !self.releasing()
            && (self.wishes_hidden()
                || !self.instances.complete()
                || !self.scheduler.idle()
                || !self.gathered.is_empty())
    }

    fn release_orphans(&mut self) {
        let count = self.keys.orphans();
        if count == 0 {
            self.orphans_kept = None;
        } else if !self.keep_orphans() {
            if self.orphans_kept.take().is_some() {
                self.keys.mark_orphans();
            }
        } else if self.wishes_hidden() && self.orphans_kept != Some(true) {
            self.notices.push_back(Notice::OrphansKept(count));
            self.orphans_kept = Some(true);
        } else if self.orphans_kept.is_none() {
            self.orphans_kept = Some(false);
        }
    }

    fn commit(&mut self, now: Instant) {
        let (releasing, keep_orphans, desired) =
            (self.releasing(), self.keep_orphans(), &self.desired);
        let of =
            |key: &Key| -> Option<Value> { desired.winner(key).filter(|_| !releasing).cloned() };
        let wishes = Wishes {
            of: &of,
            keep_orphans,
        };
        while let Some(commit) = self.keys.next_commit(&wishes, now) {
            self.commands.push_back(Command::Commit(commit));
        }
        while let Some(notice) = self.keys.next_notice() {
            let notice = self.with_askers(notice);
            self.notices.push_back(notice);
        }
    }

    fn with_askers(&self, mut notice: Notice) -> Notice {
        if let Notice::Registered {
            key, value, askers, ..
        } = &mut notice
        {
            let candidates = self.desired.candidates(key);
            let origins = candidates.and_then(|candidates| candidates.get(value));
            askers.extend(
                origins
                    .into_iter()
                    .flatten()
                    .map(|origin| self.asker(origin)),
            );
        }
        notice
    }

    /// Once for each change of what is asked for, and not once for each event.
    fn report_conflict(&mut self, key: &Key) {
        let candidates = self.desired.candidates(key);
        match candidates.filter(|candidates| candidates.len() > 1) {
            Some(candidates) if self.conflicts.get(key) != Some(candidates) => {
                let sides = candidates.iter().map(|(value, origins)| {
                    (
                        value.clone(),
                        origins.iter().map(|origin| self.asker(origin)).collect(),
                    )
                });
                self.notices.push_back(Notice::Conflict {
                    key: key.clone(),
                    candidates: sides.collect(),
                });
                self.conflicts.insert(key.clone(), candidates.clone());
            }
            Some(_) => {}
            None => {
                if self.conflicts.remove(key).is_some() {
                    let value = self.desired.winner(key).cloned();
                    self.notices.push_back(Notice::ConflictEnded {
                        key: key.clone(),
                        value,
                    });
                }
            }
        }
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
}
