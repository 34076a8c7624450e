//! The session: this process's lease and identity in etcd, its writes, and what it sees there.
//!
//! One task owns it all. It claims the identity, reads what the process has in etcd, and then serves: it performs
//! commits, keeps the lease alive and reports changes. Whatever goes wrong ends in the same way: the session is
//! suspended, the identity is claimed again, which makes every request still under way fail, and all is read anew.
//! `docs/protocol.md` has the rules and the reasons.

mod claim;
mod commit;
mod interests;
mod keeper;
mod key_reading;
mod leave;
mod liveness;
mod serve;
mod sights;
mod unwritten;
mod watching;

use super::BACKOFF;
use super::client::EtcdClient;
use super::error::Error;
use super::identity::{Holder, new_process};
use super::layout::Layout;
use super::overview::{self, Overview};
use super::renewals::Renewals;
use super::settings::{OnConflict, Settings, SettingsError};
use crate::attempts::Attempts;
use claim::{Claim, Held, Memory};
use keeper::{Keeper, beacon_interval, renewal_interval};
use registrator_core::evaluate::fence::Fence;
use registrator_core::own::session::{Commit, Forgotten, Outcome, SessionEvent, Wanted};
use registrator_core::own::{LeaseId, Revision};
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use unwritten::{Failure, Reaction, Unwritten};

/// What the program asks of the session.
#[derive(Debug, Clone)]
pub enum SessionRequest {
    /// Perform these transactions. Answered by [`SessionEvent::Committed`], always.
    Commit(Commit),
    /// Report no more changes of these keys. All others are reported whose state was told, as are registrators.
    Forget(Forgotten),
    /// Read keys, tell of them, and watch them.
    Want(Wanted),
    /// End and keep the nodes: finish what was asked for before, leave the lease to a successor.
    Keep,
    /// End, after everything was released: finish what was asked for before, give up the identity, revoke the lease.
    Release,
}

/// What the session reports. Facts come when they change, not each time they are found true.
#[derive(Debug)]
pub enum SessionUpdate {
    /// For the core.
    Session(SessionEvent),
    /// etcd cannot be reached, or refuses. Comes once for each outage, and again if a refusal takes the place of silence, or when it is
    /// known what is to be done.
    Unreachable { error: Error },
    /// Nothing could be written for so long, for this reason, though etcd answers. Comes each minute.
    Unwritten { since: Duration, error: Error },
    /// The same, for too long: the leases are no longer renewed, so that nodes do not stay that cannot be changed.
    Stale { since: Duration, error: Error },
    /// The outage is over.
    Reachable {
        /// The endpoint that answers.
        endpoint: String,
    },
    LeaseGranted {
        lease: LeaseId,
        /// Its TTL as etcd granted it.
        ttl: Duration,
    },
    /// The lease of a predecessor was taken over with all its nodes. It keeps its TTL, whatever the settings say: nodes
    /// cannot change their lease without being written again.
    LeaseAdopted {
        lease: LeaseId,
        ttl: Duration,
        predecessor: Option<Holder>,
    },
    /// The lease has ended, and its nodes with it; a new one follows.
    LeaseLost { lease: LeaseId },
    /// A process holds this identity that lives, or did so a moment ago. The session waits until it is known.
    IdentityInUse {
        /// The holder; `None` if its entry cannot be read.
        holder: Option<Holder>,
    },
    /// A live process holds this identity, and this one was told not to wait for that. The session has ended.
    Refused {
        /// The holder; `None` if its entry cannot be read.
        holder: Option<Holder>,
    },
    /// Another process took the identity over. The session has ended.
    Superseded {
        /// The new holder; `None` if its entry cannot be read.
        by: Option<Holder>,
    },
    /// A key under our lease that no registrator can have written. It is left alone.
    Stray { key: String },
    /// The changes below a root, or of some keys there, cannot be watched.
    WatchRefused { root: String, error: Error },
}

/// How a session ended.
#[derive(Debug, Clone)]
pub enum SessionEnd {
    /// The nodes are left to a successor.
    Kept,
    /// The lease is gone.
    Released,
    /// Another process has the identity now.
    Superseded,
    /// Another process had the identity all the time.
    Refused,
    /// Nobody asks or listens any more; the lease ends by itself.
    Abandoned,
    /// etcd could not be told in time; the lease ends by itself.
    Unfinished(Error),
}

/// Why to stop serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Keep,
    Release,
    Abandon,
    Superseded,
    Refused,
}

/// Holds a session until it is asked to end. Must run within a Tokio runtime; `requests` may be closed to abandon it.
///
/// # Errors
/// The settings do not [check](Settings::check). Nothing else ends it but a request or another process with the same identity.
pub async fn hold_session(
    client: EtcdClient,
    settings: &Settings,
    requests: UnboundedReceiver<SessionRequest>,
    updates: UnboundedSender<SessionUpdate>,
) -> Result<SessionEnd, SettingsError> {
    settings.check()?;
    let context = Context {
        client,
        layout: Layout::new(&settings.meta_prefix, &settings.host_id)?,
        fence: Fence {
            allowed: settings.allow_prefixes.clone(),
            reserved: settings.meta_prefix.clone(),
        },
        lease_ttl: settings.lease_ttl,
        on_conflict: settings.on_conflict,
        read_again_every: settings.read_again_every,
        stale_after: settings.stale_after,
        renewals: settings.renewals.clone(),
        holder: Holder {
            lease: LeaseId(0),
            process: new_process(),
            released: false,
            host: settings.host.clone(),
            pid: std::process::id(),
            version: settings.version.clone(),
        },
    };
    let mut task = Task {
        context: Arc::new(context),
        inbox: Inbox { requests },
        reporter: Reporter {
            updates,
            outage: None,
        },
        memory: Memory::default(),
        keepers: None,
        reported_in_use: None,
        unwritten: Unwritten::default(),
        number: 0,
        attempts: Attempts::new(BACKOFF),
        disturbances: Attempts::new(BACKOFF),
    };
    let stop = loop {
        if let Err(stop) = task.cycle().await {
            break stop;
        }
    };
    Ok(task.end(stop).await)
}

/// What never changes.
#[derive(Debug)]
struct Context {
    client: EtcdClient,
    layout: Layout,
    /// A second net behind the one of the core.
    fence: Fence,
    lease_ttl: Duration,
    on_conflict: OnConflict,
    read_again_every: Duration,
    stale_after: Option<Duration>,
    renewals: Renewals,
    /// This process, without its lease.
    holder: Holder,
}

struct Task {
    context: Arc<Context>,
    inbox: Inbox,
    reporter: Reporter,
    memory: Memory,
    keepers: Option<Keepers>,
    /// The process that was last reported to use the identity.
    reported_in_use: Option<Option<String>>,
    unwritten: Unwritten,
    /// Of the session; grows.
    number: u64,
    /// To begin a session.
    attempts: Attempts,
    /// To have one that lasts.
    disturbances: Attempts,
}

/// What keeps the two leases alive.
struct Keepers {
    nodes: Keeper,
    beacon: Keeper,
}

impl Task {
    /// One session from its claim to its interruption.
    async fn cycle(&mut self) -> Result<(), Stop> {
        let held = self.claim().await?;
        let reading = read(&self.context, held.lease, held.fence);
        match self.inbox.beside(&self.reporter, reading).await? {
            Ok((beginning, strays)) => {
                for key in strays {
                    self.reporter.send(SessionUpdate::Stray { key });
                }
                self.serve(&held, beginning).await
            }
            Err(Error::LeaseNotFound { .. }) => self.lease_lost().await,
            Err(error) => self.wait(error).await,
        }
    }

    /// The lease seems to have ended. It is not forgotten before the next claim: a new leader of etcd may not know a lease yet
    /// when it is asked, but what it answers to a write is certain.
    async fn lease_lost(&mut self) -> Result<(), Stop> {
        self.keepers = None;
        self.pause(Duration::from_millis(20)).await
    }

    /// Claims the identity, however long it takes.
    async fn claim(&mut self) -> Result<Held, Stop> {
        loop {
            if let Some(error) = self.still_refused().await? {
                self.wait(error).await?;
                continue;
            }
            let attempt = claim::attempt(&self.context, &mut self.memory);
            match self.inbox.beside(&self.reporter, attempt).await? {
                Ok(Claim::Held(held)) => {
                    self.keep_alive(&held);
                    self.report_claim(&held);
                    return Ok(held);
                }
                Ok(Claim::Again) => self.pause(Duration::from_millis(20)).await?,
                Ok(Claim::LeaseLost(lease)) => {
                    self.keepers = None;
                    self.reporter.send(SessionUpdate::LeaseLost { lease });
                }
                Ok(Claim::InUse {
                    holder,
                    certain: true,
                }) if self.context.on_conflict == OnConflict::Refuse => {
                    self.reporter.send(SessionUpdate::Refused { holder });
                    return Err(Stop::Refused);
                }
                Ok(Claim::InUse { holder, .. }) => {
                    self.report_in_use(holder);
                    self.pause(Duration::from_secs(1)).await?;
                }
                Ok(Claim::Superseded(by)) => {
                    self.reporter.send(SessionUpdate::Superseded { by });
                    return Err(Stop::Superseded);
                }
                Err(error) => self.wait(error).await?,
            }
        }
    }

    /// A claim renews the leases. After they were given up there is none before everything can be read again.
    async fn still_refused(&mut self) -> Result<Option<Error>, Stop> {
        let Some((lease, ..)) = &self.memory.lease else {
            return Ok(None);
        };
        if !self.unwritten.has_given_up() {
            return Ok(None);
        }
        let reading = read(&self.context, *lease, 0);
        let read = self.inbox.beside(&self.reporter, reading).await?;
        Ok(match read {
            Ok(_) | Err(Error::LeaseNotFound { .. }) => None,
            Err(error) => Some(error),
        })
    }

    /// Each session has its keepers, which begin with a renewal and know nothing of failures before.
    fn keep_alive(&mut self, held: &Held) {
        let start = |lease, ttl, interval, renewals| {
            Keeper::start(self.context.client.clone(), lease, ttl, interval, renewals)
        };
        let (beacon, beacon_ttl) = held.beacon;
        self.keepers = Some(Keepers {
            nodes: start(
                held.lease,
                held.ttl,
                renewal_interval(held.ttl),
                Some(self.context.renewals.clone()),
            ),
            beacon: start(
                beacon,
                beacon_ttl,
                beacon_interval(held.ttl, beacon_ttl),
                None,
            ),
        });
    }

    fn report_claim(&mut self, held: &Held) {
        let (lease, ttl) = (held.lease, held.ttl);
        match &held.how {
            claim::How::Granted => self
                .reporter
                .send(SessionUpdate::LeaseGranted { lease, ttl }),
            claim::How::Adopted(predecessor) => self.reporter.send(SessionUpdate::LeaseAdopted {
                lease,
                ttl,
                predecessor: predecessor.clone(),
            }),
            claim::How::Held => {}
        }
    }

    fn report_in_use(&mut self, holder: Option<Holder>) {
        self.reporter.reachable(&self.context.client);
        self.attempts.succeeded();
        let process = holder.as_ref().map(|holder| holder.process.clone());
        if self.reported_in_use.as_ref() != Some(&process) {
            self.reported_in_use = Some(process);
            self.reporter.send(SessionUpdate::IdentityInUse { holder });
        }
    }

    /// After a failure: tells of it once, and waits a while.
    async fn wait(&mut self, error: Error) -> Result<(), Stop> {
        self.note_failure(error);
        let pause = self.attempts.failed();
        self.pause(pause).await
    }

    /// Tells of a failure, and gives the leases up if nothing could be written for too long.
    fn note_failure(&mut self, error: Error) {
        let keepers = self.keepers.as_ref();
        let failure = Failure {
            refused: error.is_refusal(),
            renewed: keepers.is_some_and(|keepers| keepers.nodes.is_renewed()),
        };
        let stale_after = self.context.stale_after;
        match self.unwritten.failed(failure, stale_after, Instant::now()) {
            Reaction::Nothing => self.reporter.unreachable(error),
            Reaction::Tell(since) => self
                .reporter
                .send(SessionUpdate::Unwritten { since, error }),
            Reaction::GiveUp(since) => self.reporter.send(SessionUpdate::Stale { since, error }),
        }
        if self.unwritten.has_given_up() {
            self.keepers = None;
        }
    }

    async fn pause(&mut self, time: Duration) -> Result<(), Stop> {
        let sleep = tokio::time::sleep(time);
        self.inbox.beside(&self.reporter, sleep).await
    }
}

/// The complete reading with which a session begins, and the strays under its lease.
///
/// It is read at the revision of the fence, and the watches begin right behind that, so nothing falls between. 0 is now.
async fn read(
    context: &Context,
    lease: LeaseId,
    revision: Revision,
) -> Result<(Overview, Vec<String>), Error> {
    let (client, layout) = (&context.client, &context.layout);
    let attached = overview::attached(client, layout, lease).await?;
    let overview = overview::read(client, layout, &attached.keys, revision).await?;
    Ok((overview, attached.strays))
}

/// The requests.
struct Inbox {
    requests: UnboundedReceiver<SessionRequest>,
}

impl Inbox {
    /// Does `work`, which is no session: commits are void meanwhile.
    async fn beside<T>(
        &mut self,
        reporter: &Reporter,
        work: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(SessionRequest::Commit(commit)) => reporter.committed(commit.id, Outcome::Void),
                    // Of a session that is over.
                    Some(SessionRequest::Forget(_) | SessionRequest::Want(_)) => {}
                    Some(SessionRequest::Keep) => return Err(Stop::Keep),
                    Some(SessionRequest::Release) => return Err(Stop::Release),
                    None => return Err(Stop::Abandon),
                },
                () = reporter.updates.closed() => return Err(Stop::Abandon),
                done = &mut work => return Ok(done),
            }
        }
    }
}

/// How many pieces of advice are given in one outage.
const ADVICE_PER_OUTAGE: usize = 5;

/// A time without etcd, and what was told of it.
#[derive(Debug, Default)]
struct Outage {
    /// Whether etcd answers.
    answers: Option<bool>,
    advised: BTreeSet<String>,
}

/// The way out, and what was told already.
struct Reporter {
    updates: UnboundedSender<SessionUpdate>,
    outage: Option<Outage>,
}

impl Reporter {
    /// That nobody listens is noticed where the task waits.
    fn send(&self, update: SessionUpdate) {
        let _ = self.updates.send(update);
    }

    fn session(&self, event: SessionEvent) {
        self.send(SessionUpdate::Session(event));
    }

    fn committed(&self, id: u64, outcome: Outcome) {
        self.session(SessionEvent::Committed { id, outcome });
    }

    fn unreachable(&mut self, error: Error) {
        let answers = !error.blames_endpoint();
        let outage = self.outage.get_or_insert_default();
        let is_new = outage.answers.replace(answers) != Some(answers);
        let advice = error.advice().cloned();
        let is_advised = outage.advised.len() < ADVICE_PER_OUTAGE
            && advice.is_some_and(|advice| outage.advised.insert(advice));
        if is_new || is_advised {
            self.send(SessionUpdate::Unreachable { error });
        }
    }

    fn reachable(&mut self, client: &EtcdClient) {
        if self.outage.take().is_some() {
            let endpoint = client.endpoint();
            self.send(SessionUpdate::Reachable { endpoint });
        }
    }
}
