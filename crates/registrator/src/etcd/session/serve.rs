//! A session under way: commits are performed, changes reported, until something interrupts it.

use super::claim::Held;
use super::commit::{Performed, perform};
use super::keeper::Health;
use super::key_reading::{KeyReading, read_keys};
use super::sights::{Intruded, Sights};
use super::watching::{Report, Watching};
use super::{Context, Keepers, SessionRequest, SessionUpdate, Stop, Task};
use crate::attempts::Attempts;
use crate::etcd::BACKOFF;
use crate::etcd::error::Error;
use crate::etcd::overview::{self, Overview};
use etcd_api::Event;
use registrator_core::node::Key;
use registrator_core::own::session::{
    Commit, Forgotten, Outcome, Seen, Session, SessionEvent, Wanted,
};
use registrator_core::own::{KeyTxn, LeaseId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// Commits under way at once. More do not make etcd faster.
const IN_FLIGHT: usize = 4;

/// Why a session does not go on.
#[derive(Debug)]
enum Interruption {
    /// It was asked to end.
    Stop(Stop),
    /// The lease has ended.
    LeaseLost,
    /// The identity key was changed, the beacon went out, or changes were missed.
    Disturbed,
    /// Nothing is known of a request.
    Failed(Error),
}

/// Everything under the lease, and all that is watched, read again.
type Again = Result<KeyReading, Error>;

/// Something that happened.
enum Incident {
    Request(Option<SessionRequest>),
    Performed(Result<(u64, Performed), JoinError>),
    Report(Report),
    Health(Health),
    BeaconHealth(Health),
    ReadAgain,
    Again(Result<Again, JoinError>),
    Wanted(KeyReading),
    Unheard,
}

struct Serving {
    held: Held,
    number: u64,
    sights: Sights,
    waiting: VecDeque<Commit>,
    in_flight: JoinSet<(u64, Performed)>,
    /// The ids of `in_flight`, and the keys that they are about.
    unanswered: BTreeMap<u64, Vec<Key>>,
    watching: Watching,
    /// Readings of what the core wants to know.
    wanted: JoinSet<KeyReading>,
    /// The one reading of all that is under way, or else the wait for the next.
    again: JoinSet<Again>,
    read_again_at: Instant,
    /// Set when the session is to end as soon as all commits are answered.
    stopping: Option<Stop>,
}

impl Task {
    /// Serves until an interruption, and tidies up after it.
    pub(super) async fn serve(&mut self, held: &Held, beginning: Overview) -> Result<(), Stop> {
        let began = Instant::now();
        self.number += 1;
        let mut serving = self.establish(held, beginning);
        let interruption = loop {
            let incident = serving.incident(self).await;
            if let Err(interruption) = serving.handle(self, incident) {
                break interruption;
            }
        };
        if began.elapsed() > BACKOFF.longest {
            self.disturbances.succeeded();
        }
        let stopping = serving.stopping;
        self.suspend(serving);
        match (interruption, stopping) {
            (Interruption::Stop(stop), _) | (_, Some(stop)) => Err(stop),
            (interruption, None) => self.recover(interruption).await,
        }
    }

    async fn recover(&mut self, interruption: Interruption) -> Result<(), Stop> {
        match interruption {
            Interruption::Stop(stop) => Err(stop),
            Interruption::Failed(error) => {
                self.note_failure(error);
                let pause = self.disturbances.failed();
                self.pause(pause).await
            }
            Interruption::LeaseLost => self.lease_lost().await,
            Interruption::Disturbed => {
                let pause = self.disturbances.failed();
                self.pause(pause).await
            }
        }
    }

    fn establish(&mut self, held: &Held, beginning: Overview) -> Serving {
        self.attempts.succeeded();
        self.unwritten.written();
        self.reporter.reachable(&self.context.client);
        let keys = beginning.views.keys().cloned();
        let watching = Watching::new(&self.context, held.cluster, held.fence, keys);
        self.reporter.session(SessionEvent::Established(Session {
            number: self.number,
            who: beginning.who(held.lease),
            views: beginning.views,
        }));
        Serving {
            held: held.clone(),
            number: self.number,
            sights: Sights {
                lease: held.lease,
                fence: held.fence,
                identities: beginning.identities,
                beacons: BTreeMap::new(),
            },
            waiting: VecDeque::new(),
            in_flight: JoinSet::new(),
            unanswered: BTreeMap::new(),
            watching,
            wanted: JoinSet::new(),
            again: JoinSet::new(),
            read_again_at: Instant::now() + self.context.read_again_every,
            stopping: None,
        }
    }

    /// Dropping `serving` cancels its requests; they may have happened.
    fn suspend(&mut self, serving: Serving) {
        self.reporter.session(SessionEvent::Suspended);
        let waiting = serving.waiting.iter().map(|commit| commit.id);
        for id in serving.unanswered.keys().copied().chain(waiting) {
            self.reporter.committed(id, Outcome::Void);
        }
    }
}

impl Serving {
    async fn incident(&mut self, task: &mut Task) -> Incident {
        let Task {
            inbox,
            keepers,
            reporter,
            ..
        } = task;
        tokio::select! {
            incident = changed(keepers) => incident,
            Some(done) = self.in_flight.join_next() => Incident::Performed(done),
            Some(read) = self.again.join_next() => Incident::Again(read),
            Some(Ok(read)) = self.wanted.join_next() => Incident::Wanted(read),
            () = tokio::time::sleep_until(self.read_again_at), if self.again.is_empty() => Incident::ReadAgain,
            report = self.watching.report() => Incident::Report(report),
            request = inbox.requests.recv(), if self.stopping.is_none() => Incident::Request(request),
            () = reporter.updates.closed() => Incident::Unheard,
        }
    }

    fn handle(&mut self, task: &mut Task, incident: Incident) -> Result<(), Interruption> {
        match incident {
            Incident::Request(request) => self.take(task, request),
            Incident::Performed(Ok((id, performed))) => self.answer(task, id, performed)?,
            // A task of ours neither panics nor is aborted; were it so, nothing is known of its commit.
            Incident::Performed(Err(_)) => return Err(Interruption::Disturbed),
            Incident::Report(report) => self.observe(task, report)?,
            Incident::Health(health) => note(task, health)?,
            Incident::BeaconHealth(Health::Lost) => {
                task.memory.beacon = None;
                return Err(Interruption::Disturbed);
            }
            // Whatever it suffers from is told of the nodes' lease as well.
            Incident::BeaconHealth(_) => {}
            Incident::ReadAgain => self.read_again(task),
            Incident::Again(read) => self.take_reading(task, read),
            Incident::Wanted(reading) => self.tell(task, reading),
            Incident::Unheard => return Err(Interruption::Stop(Stop::Abandon)),
        }
        self.send_waiting(task);
        match self.stopping {
            Some(stop) if self.in_flight.is_empty() => Err(Interruption::Stop(stop)),
            _ => Ok(()),
        }
    }

    fn take(&mut self, task: &mut Task, request: Option<SessionRequest>) {
        match request {
            Some(SessionRequest::Commit(commit)) if commit.session == self.number => {
                self.waiting.push_back(commit);
            }
            Some(SessionRequest::Commit(commit)) => {
                task.reporter.committed(commit.id, Outcome::Void)
            }
            Some(SessionRequest::Forget(Forgotten { session, keys })) => {
                if session == self.number {
                    self.watching.forget(keys);
                }
            }
            Some(SessionRequest::Want(Wanted { session, keys })) => {
                if session == self.number {
                    self.watching.want(keys.iter().cloned());
                    let context = task.context.clone();
                    self.wanted.spawn(read_wanted(context, keys));
                }
            }
            Some(SessionRequest::Keep) => self.stopping = Some(Stop::Keep),
            Some(SessionRequest::Release) => self.stopping = Some(Stop::Release),
            None => self.stopping = Some(Stop::Abandon),
        }
    }

    fn send_waiting(&mut self, task: &Task) {
        while self.in_flight.len() < IN_FLIGHT {
            let Some(commit) = self.waiting.pop_front() else {
                return;
            };
            let context = task.context.clone();
            let (lease, fence) = (self.held.lease, self.held.fence);
            let keys = commit.txns.iter().flat_map(KeyTxn::keys).cloned();
            self.unanswered.insert(commit.id, keys.collect());
            self.in_flight.spawn(async move {
                let performed = perform(&context, lease, fence, &commit).await;
                (commit.id, performed)
            });
        }
    }

    fn answer(&mut self, task: &Task, id: u64, performed: Performed) -> Result<(), Interruption> {
        match performed {
            Performed::Outcome(outcome) => {
                let keys = self.unanswered.remove(&id).unwrap_or_default();
                if let Outcome::Done { revision, .. } = outcome {
                    self.watching.tell_of(keys.into_iter(), revision);
                }
                task.reporter.committed(id, outcome);
                Ok(())
            }
            Performed::Fenced => Err(Interruption::Disturbed),
            Performed::LeaseLost => Err(Interruption::LeaseLost),
            Performed::Failed(error) => Err(Interruption::Failed(error)),
        }
    }

    /// Reads all again, in case etcd lost an event.
    fn read_again(&mut self, task: &Task) {
        let (context, watched) = (task.context.clone(), self.watching.keys());
        self.again
            .spawn(read_again(context, self.held.lease, watched));
    }

    /// A reading that fails tells nothing new: whatever is wrong with etcd shows elsewhere, and the next one comes.
    fn take_reading(&mut self, task: &Task, read: Result<Again, JoinError>) {
        self.read_again_at = Instant::now() + task.context.read_again_every;
        if let Ok(Ok(reading)) = read {
            self.tell(task, reading);
        }
    }

    fn tell(&mut self, task: &Task, reading: KeyReading) {
        let KeyReading {
            views, revision, ..
        } = reading;
        let me = self.held.lease;
        let ours = views.iter().filter(|(_, view)| view.concerns(me));
        let ours: Vec<Key> = ours.map(|(key, _)| key.clone()).collect();
        self.watching.tell_of(ours.into_iter(), revision);
        let seen = Seen::Read { views, revision };
        task.reporter.session(SessionEvent::Seen(seen));
    }

    fn observe(&mut self, task: &mut Task, report: Report) -> Result<(), Interruption> {
        match report {
            Report::Events(events) => {
                for event in events {
                    self.see(task, event)?;
                }
            }
            Report::Read(reading) => self.tell(task, reading),
            Report::Refused(root, error) => task
                .reporter
                .send(SessionUpdate::WatchRefused { root, error }),
            Report::Lost => return Err(Interruption::Disturbed),
        }
        Ok(())
    }

    fn see(&mut self, task: &Task, event: Event) -> Result<(), Interruption> {
        let seen = self.sights.of(&task.context.layout, event);
        for seen in seen.map_err(|Intruded| Interruption::Disturbed)? {
            task.reporter.session(SessionEvent::Seen(seen));
        }
        Ok(())
    }
}

/// Reads keys, however long it takes: while the session lasts somebody waits for them.
async fn read_wanted(context: Arc<Context>, keys: BTreeSet<Key>) -> KeyReading {
    let mut attempts = Attempts::new(BACKOFF);
    loop {
        match read_keys(&context, &keys).await {
            Ok(reading) => return reading,
            Err(_) => tokio::time::sleep(attempts.failed()).await,
        }
    }
}

/// Reads what is under the lease, and what is watched, as it is now.
async fn read_again(context: Arc<Context>, lease: LeaseId, mut keys: BTreeSet<Key>) -> Again {
    let attached = overview::attached(&context.client, &context.layout, lease).await?;
    keys.extend(attached.keys);
    read_keys(&context, &keys).await
}

async fn changed(keepers: &mut Option<Keepers>) -> Incident {
    match keepers {
        Some(Keepers { nodes, beacon }) => tokio::select! {
            health = nodes.changed() => Incident::Health(health),
            health = beacon.changed() => Incident::BeaconHealth(health),
        },
        None => std::future::pending().await,
    }
}

/// A lease that cannot be renewed for a while interrupts nothing: etcd may be back in time.
fn note(task: &mut Task, health: Health) -> Result<(), Interruption> {
    match health {
        Health::Unknown => Ok(()),
        Health::Alive => {
            task.reporter.reachable(&task.context.client);
            Ok(())
        }
        Health::Failing {
            error,
            overdue: true,
            ..
        } => Err(Interruption::Failed(error)),
        Health::Failing { error, .. } => {
            task.reporter.unreachable(error);
            Ok(())
        }
        Health::Lost => Err(Interruption::LeaseLost),
    }
}
