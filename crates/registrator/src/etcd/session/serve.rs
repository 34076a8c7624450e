//! A session under way: commits are performed, changes reported, until something interrupts it.

use super::claim::Held;
use super::commit::{Performed, perform};
use super::keeper::Health;
use super::sights::{Intruded, Sights};
use super::{Context, Keepers, SessionRequest, SessionUpdate, Stop, Task};
use crate::etcd::BACKOFF;
use crate::etcd::error::Error;
use crate::etcd::overview::{self, Overview};
use crate::etcd::reading::KeyRange;
use crate::etcd::views;
use crate::etcd::watch::{Position, RangeFollower, Report};
use etcd_api::Event;
use registrator_core::node::Key;
use registrator_core::own::session::{Commit, Outcome, Seen, Session, SessionEvent};
use registrator_core::own::{LeaseId, Revision, View};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinError, JoinSet};
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

/// Everything under the lease, read again.
type Again = Result<(BTreeMap<Key, View>, Revision), Error>;

/// Something that happened.
enum Incident {
    Request(Option<SessionRequest>),
    Performed(Result<(u64, Performed), JoinError>),
    Report(String, Report),
    Health(Health),
    BeaconHealth(Health),
    ReadAgain(Result<Again, JoinError>),
    Unheard,
}

struct Serving {
    held: Held,
    number: u64,
    sights: Sights,
    waiting: VecDeque<Commit>,
    in_flight: JoinSet<(u64, Performed)>,
    /// The ids of `in_flight`.
    unanswered: BTreeSet<u64>,
    followers: Followers,
    /// The one reading that waits for its time, or is under way.
    again: JoinSet<Again>,
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
        self.reporter.session(SessionEvent::Established(Session {
            number: self.number,
            who: beginning.who(held.lease),
            views: beginning.views,
        }));
        let mut followers = Followers::new(&self.context, held);
        followers.set_roots(&self.inbox.roots);
        let mut again = JoinSet::new();
        let pause = self.context.read_again_every;
        again.spawn(read_again(self.context.clone(), held.lease, pause));
        Serving {
            held: held.clone(),
            number: self.number,
            sights: Sights {
                lease: held.lease,
                fence: held.fence,
                identities: beginning.identities,
            },
            waiting: VecDeque::new(),
            in_flight: JoinSet::new(),
            unanswered: BTreeSet::new(),
            followers,
            again,
            stopping: None,
        }
    }

    /// Dropping `serving` cancels its requests; they may have happened.
    fn suspend(&mut self, serving: Serving) {
        self.reporter.session(SessionEvent::Suspended);
        let waiting = serving.waiting.iter().map(|commit| commit.id);
        for id in serving.unanswered.iter().copied().chain(waiting) {
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
            Some(read) = self.again.join_next() => Incident::ReadAgain(read),
            (root, report) = self.followers.report() => Incident::Report(root, report),
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
            Incident::Report(root, report) => self.observe(task, root, report)?,
            Incident::Health(health) => note(task, health)?,
            Incident::BeaconHealth(Health::Lost) => {
                task.memory.beacon = None;
                return Err(Interruption::Disturbed);
            }
            // Whatever it suffers from is told of the nodes' lease as well.
            Incident::BeaconHealth(_) => {}
            Incident::ReadAgain(read) => self.take_reading(task, read),
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
            Some(SessionRequest::WatchRoots(roots)) => {
                self.followers.set_roots(&roots);
                task.inbox.roots = roots;
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
            self.unanswered.insert(commit.id);
            self.in_flight.spawn(async move {
                let performed = perform(&context, lease, fence, &commit).await;
                (commit.id, performed)
            });
        }
    }

    fn answer(&mut self, task: &Task, id: u64, performed: Performed) -> Result<(), Interruption> {
        match performed {
            Performed::Outcome(outcome) => {
                self.unanswered.remove(&id);
                task.reporter.committed(id, outcome);
                Ok(())
            }
            Performed::Fenced => Err(Interruption::Disturbed),
            Performed::LeaseLost => Err(Interruption::LeaseLost),
            Performed::Failed(error) => Err(Interruption::Failed(error)),
        }
    }

    /// A reading that fails tells nothing new: whatever is wrong with etcd shows elsewhere, and the next one comes.
    fn take_reading(&mut self, task: &Task, read: Result<Again, JoinError>) {
        if let Ok(Ok((views, revision))) = read {
            let seen = Seen::Attached { views, revision };
            task.reporter.session(SessionEvent::Seen(seen));
        }
        self.read_again_after(task, task.context.read_again_every);
    }

    /// Instead of the reading that waits or is under way.
    fn read_again_after(&mut self, task: &Task, pause: Duration) {
        self.again = JoinSet::new();
        self.again
            .spawn(read_again(task.context.clone(), self.held.lease, pause));
    }

    fn observe(
        &mut self,
        task: &mut Task,
        root: String,
        report: Report,
    ) -> Result<(), Interruption> {
        match report {
            Report::Events(events) => {
                for event in events {
                    self.see(task, event)?;
                }
            }
            // That etcd cannot be reached is for the keeper to tell; that it refuses only this, nobody else will.
            Report::Trouble(error) if !error.blames_endpoint() => {
                if self.followers.refused.insert(root.clone()) {
                    task.reporter
                        .send(SessionUpdate::WatchRefused { root, error });
                }
            }
            Report::Trouble(_) => {}
            Report::Restored => {
                self.followers.refused.remove(&root);
                self.read_again_after(task, Duration::ZERO);
            }
            Report::Lost if self.followers.tasks.contains_key(&root) => {
                return Err(Interruption::Disturbed);
            }
            Report::Lost => {}
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

/// Reads the keys under the lease again after a pause, as they are then.
async fn read_again(context: Arc<Context>, lease: LeaseId, pause: Duration) -> Again {
    tokio::time::sleep(pause).await;
    let (client, layout) = (&context.client, &context.layout);
    // The revision first: what is attached later than that is told by an event.
    let revision = client.range_prefix(&layout.identity()).await?.revision;
    let keys = overview::attached(client, layout, lease).await?.keys;
    Ok((
        views::read(client, layout, &keys, revision).await?,
        revision,
    ))
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

/// The watches of a session, one task each.
struct Followers {
    context: Arc<Context>,
    position: Position,
    tasks: BTreeMap<String, AbortHandle>,
    running: JoinSet<()>,
    /// Roots whose refusal was told.
    refused: BTreeSet<String>,
    sender: UnboundedSender<(String, Report)>,
    reports: UnboundedReceiver<(String, Report)>,
}

impl Followers {
    /// Follows the registrators' own keys from the session's reading on.
    fn new(context: &Arc<Context>, held: &Held) -> Followers {
        let (sender, reports) = unbounded_channel();
        let mut followers = Followers {
            context: context.clone(),
            position: Position {
                cluster: held.cluster,
                revision: held.fence,
            },
            tasks: BTreeMap::new(),
            running: JoinSet::new(),
            refused: BTreeSet::new(),
            sender,
            reports,
        };
        followers.start(context.layout.meta().to_owned());
        followers
    }

    /// Follows `roots`, each from the session's reading on however late it comes, and no others.
    fn set_roots(&mut self, roots: &BTreeSet<String>) {
        let meta = self.context.layout.meta().to_owned();
        self.tasks.retain(|root, task| {
            let wanted = *root == meta || roots.contains(root);
            if !wanted {
                task.abort();
            }
            wanted
        });
        for root in roots {
            if !root.is_empty() && !self.tasks.contains_key(root) {
                self.start(root.clone());
            }
        }
    }

    fn start(&mut self, root: String) {
        let range = KeyRange::root(&root);
        let mut follower = RangeFollower::new(self.context.client.clone(), range, self.position);
        let sender = self.sender.clone();
        let name = root.clone();
        let task = self.running.spawn(async move {
            loop {
                let report = follower.next().await;
                let last = matches!(report, Report::Lost);
                if sender.send((name.clone(), report)).is_err() || last {
                    return;
                }
            }
        });
        self.tasks.insert(root, task);
    }

    async fn report(&mut self) -> (String, Report) {
        match self.reports.recv().await {
            Some(report) => report,
            // Never: `sender` lives as long as this.
            None => std::future::pending().await,
        }
    }
}
