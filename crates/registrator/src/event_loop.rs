//! Where the world is attached: takes what the adapters report, one thing at a time, to the reconciler, and has them do what it says.
//!
//! This is the only place that reads the clock for the core.

mod answers;
mod inputs;

pub use inputs::{Input, Inputs, News, Results, Signal, Signals, Work};

use crate::admin::{Feed, Meters};
use crate::catalog::Catalog;
use crate::error_chain::error_chain;
use crate::evaluators::Evaluators;
use crate::files::{self, FileWatch, PolicyChanges};
use crate::peers::Peers;
use crate::supervisor::Supervisor;
use crate::{docker, etcd, report};
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::PolicyName;
use registrator_core::observe::watch::SourceEvent;
use registrator_core::own::session::SessionEvent;
use registrator_core::reconciler::{Command, Event, OnExit, Reconciler};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{error, info, warn};

/// How long the session may take to end in order.
const FAREWELL: Duration = Duration::from_millis(3500);

/// How the loop ended.
#[derive(Debug)]
pub enum End {
    /// As asked for.
    Stopped,
    /// By a second signal, at once.
    Aborted,
    /// The nodes should have been released, and etcd could not be told.
    Unreleased,
    /// Another process has this one's identity.
    Superseded,
    /// Another process had this one's identity all the time.
    Refused,
    /// The settings for etcd cannot be used.
    Etcd(etcd::SettingsError),
    /// The session broke down, which is a fault of this program.
    Failed(tokio::task::JoinError),
}

/// Everything that commands need.
pub struct Attached {
    /// All decisions.
    pub reconciler: Reconciler,
    /// The policies' threads.
    pub evaluators: Evaluators,
    /// The policies that are loaded.
    pub catalog: Catalog,
    /// Where changed policy files are loaded.
    pub loader: UnboundedSender<PolicyChanges>,
    /// Where files are followed.
    pub files: FileWatch,
    /// Where configurations in etcd are read.
    pub etcd: etcd::EtcdClient,
    /// Where what they are is sent.
    pub configs: UnboundedSender<etcd::ConfigUpdate>,
    /// The policies whose configurations in etcd are followed, with one task each. A set that is dropped ends its tasks.
    pub followed: BTreeMap<PolicyName, JoinSet<()>>,
    /// What to do with the nodes at the end.
    pub on_exit: OnExit,
    /// How Docker and etcd are.
    pub peers: Peers,
    /// What was told lately.
    pub feed: Feed,
    /// What is counted.
    pub meters: Meters,
    /// Who wants to hear that this process is alive.
    pub supervisor: Supervisor,
    /// Whether it is in sync, and since when it is so.
    pub sync: (bool, Instant),
}

/// The session with etcd, which begins when it is known who this process is.
pub struct SessionTask {
    /// What it is asked.
    pub requests: UnboundedSender<etcd::SessionRequest>,
    pub task: JoinHandle<Result<etcd::SessionEnd, etcd::SettingsError>>,
}

/// Runs until a signal, or until another process takes the identity over.
pub async fn run(mut attached: Attached, mut inputs: Inputs, mut session: SessionTask) -> End {
    let mut stopping = None;
    loop {
        attached.say();
        let timeout = stopping.or_else(|| attached.timeout());
        let input = tokio::select! {
            biased;
            end = &mut session.task => {
                // What it said at last, its reason to end among it, is not lost.
                while let Some(update) = inputs.work.next_of_session() {
                    attached.feed.tell(report::etcd(&update));
                }
                return session_ended(end, attached.on_exit);
            }
            input = inputs.next(timeout) => input,
        };
        match input {
            Input::Signal(Signal::Terminate) if stopping.is_some() || attached.ending() => {
                return End::Aborted;
            }
            Input::Timeout if stopping.is_some() => {
                return untold("it did not answer in time", attached.on_exit);
            }
            input => attached.take_in(input),
        }
        if attached.perform(&session) {
            stopping = Some(Instant::now() + FAREWELL);
        }
    }
}

fn session_ended(
    end: Result<Result<etcd::SessionEnd, etcd::SettingsError>, tokio::task::JoinError>,
    on_exit: OnExit,
) -> End {
    match end {
        Ok(Ok(etcd::SessionEnd::Superseded)) => End::Superseded,
        Ok(Ok(etcd::SessionEnd::Refused)) => End::Refused,
        Ok(Ok(etcd::SessionEnd::Kept)) => {
            info!(
                "the nodes stay until their lease expires, or until a new process takes them over"
            );
            End::Stopped
        }
        Ok(Ok(etcd::SessionEnd::Released)) => {
            info!("all nodes are removed");
            End::Stopped
        }
        Ok(Ok(etcd::SessionEnd::Unfinished(error))) => untold(&error_chain(&error), on_exit),
        Ok(Ok(etcd::SessionEnd::Abandoned)) => End::Stopped,
        Err(error) => End::Failed(error),
        Ok(Err(error)) => End::Etcd(error),
    }
}

/// etcd does not know of the end. A lease that was to be kept needs no more than that; a release has failed.
fn untold(reason: &str, on_exit: OnExit) -> End {
    match on_exit {
        OnExit::Keep => {
            warn!("etcd could not be told, the lease ends by itself: {reason}");
            End::Stopped
        }
        OnExit::Release => {
            error!("the nodes could not be released, they end with their lease: {reason}");
            End::Unreleased
        }
    }
}

impl Attached {
    fn ending(&self) -> bool {
        self.reconciler.ending()
    }

    /// When something is due, if nothing comes before.
    fn timeout(&self) -> Option<Instant> {
        let timeouts = [self.reconciler.next_timeout(), self.supervisor.due()];
        timeouts.into_iter().flatten().min()
    }

    /// Tells whoever watches over this process that the loop goes round.
    fn say(&mut self) {
        if self.supervisor.listens() {
            let (now, settled) = (Instant::now(), self.reconciler.settled());
            self.supervisor.turn(now, settled, &self.state());
        }
    }

    fn take_in(&mut self, input: Input) {
        let now = Instant::now();
        let event = match input {
            Input::Signal(Signal::Terminate) => {
                info!(
                    "ending, nodes are {}",
                    if self.on_exit == OnExit::Keep {
                        "kept"
                    } else {
                        "released"
                    }
                );
                self.supervisor.stops();
                Event::Shutdown(self.on_exit)
            }
            Input::Signal(Signal::Reload) => {
                self.files.reload();
                self.supervisor.reloads();
                return;
            }
            Input::Signal(Signal::ReleaseBrake) => {
                info!("asked to let go of the nodes that are held back");
                Event::ReleaseBrake
            }
            Input::Evaluated(evaluated) => {
                let (ticket, result) = (evaluated.ticket, evaluated.result);
                self.meters.answered(ticket, &result, now);
                Event::Evaluated { ticket, result }
            }
            Input::Etcd(update) => match self.etcd_event(update, now) {
                Some(event) => Event::Session(event),
                None => return,
            },
            Input::Docker(docker::DockerUpdate::Container(event)) => {
                let is_inspect = matches!(event, SourceEvent::Apply(_) | SourceEvent::InitApply(_));
                self.meters.inspects += u64::from(is_inspect);
                Event::Container(event)
            }
            Input::Docker(update) => {
                self.feed.tell(report::docker(&update));
                self.peers.docker(&update, now);
                match container_event(update) {
                    Some(event) => event,
                    None => return,
                }
            }
            Input::Files(update) => match self.file_event(update) {
                Some(event) => event,
                None => return,
            },
            Input::Policies(loaded) => self.catalog.update(loaded, &mut self.evaluators),
            Input::Config(etcd::ConfigUpdate::Event(policy, event)) => {
                Event::ConfigNode(policy, event)
            }
            Input::Config(update) => {
                self.feed.tell(report::configs(&update));
                self.peers.configs(&update);
                return;
            }
            Input::Asked(question) => match self.answer(question, now) {
                Some(event) => event,
                None => return,
            },
            Input::Timeout => Event::Timeout,
        };
        self.reconciler.handle(event, now);
        let in_sync = self.reconciler.settled();
        if self.sync.0 != in_sync {
            self.sync = (in_sync, now);
            self.meters.last_in_sync = Some(now);
        }
    }

    fn etcd_event(&mut self, update: etcd::SessionUpdate, now: Instant) -> Option<SessionEvent> {
        self.feed.tell(report::etcd(&update));
        self.peers.etcd(&update, now);
        if let etcd::SessionUpdate::Session(SessionEvent::Committed { id, outcome }) = &update {
            self.meters.committed(*id, outcome, now);
        }
        match update {
            etcd::SessionUpdate::Session(event) => Some(event),
            _ => None,
        }
    }

    fn file_event(&mut self, update: files::FileUpdate) -> Option<Event> {
        match update {
            files::FileUpdate::Configs(event) => return Some(Event::ConfigFile(event)),
            files::FileUpdate::Policies(changes) => {
                // The loader ends with the loop only.
                let _ = self.loader.send(changes);
            }
            files::FileUpdate::Problem(problem) => {
                self.feed.tell(report::file_problem(&problem));
            }
            files::FileUpdate::Unread(paths) => {
                let shown = paths.iter().map(|path| path.display().to_string());
                return Some(Event::UnreadFiles(shown.collect()));
            }
            files::FileUpdate::ReloadRequested => {
                info!("reading policies and configurations again")
            }
        }
        None
    }

    /// Does what the reconciler says. Tells whether the end was asked for.
    fn perform(&mut self, session: &SessionTask) -> bool {
        let mut stop = false;
        let ask = |request| {
            // A session that has ended answers at the top of the loop.
            let _ = session.requests.send(request);
        };
        while let Some(command) = self.reconciler.next_command() {
            match command {
                Command::Evaluate {
                    ticket,
                    instance,
                    container,
                } => {
                    self.meters
                        .asked(ticket, &instance.id.policy, Instant::now());
                    self.evaluators.evaluate(
                        ticket,
                        &instance.id.policy,
                        instance.config,
                        container,
                    );
                }
                Command::Check { ticket, instance } => {
                    self.evaluators
                        .check(ticket, &instance.id.policy, instance.config);
                }
                Command::FollowConfigs { policy, path } => self.follow_configs(policy, path),
                Command::Forget(forgotten) => ask(etcd::SessionRequest::Forget(forgotten)),
                Command::Want(wanted) => ask(etcd::SessionRequest::Want(wanted)),
                Command::Commit(commit) => {
                    self.meters.sent(commit.id, Instant::now());
                    ask(etcd::SessionRequest::Commit(commit));
                }
                Command::Stop(on_exit) => {
                    stop = true;
                    ask(match on_exit {
                        OnExit::Keep => etcd::SessionRequest::Keep,
                        OnExit::Release => etcd::SessionRequest::Release,
                    });
                }
            }
        }
        while let Some(notice) = self.reconciler.next_notice() {
            report::notice(&notice);
            self.feed.notice(&notice);
            self.meters.told(&notice);
        }
        stop
    }

    fn follow_configs(&mut self, policy: PolicyName, path: Option<EtcdPath>) {
        let Some(path) = path else {
            self.followed.remove(&policy);
            return;
        };
        let (client, to) = (self.etcd.clone(), self.configs.clone());
        let mut task = JoinSet::new();
        task.spawn(etcd::follow_configs(client, policy.clone(), path, to));
        self.followed.insert(policy, task);
    }
}

/// What the core is told of containers besides the containers.
fn container_event(update: docker::DockerUpdate) -> Option<Event> {
    match update {
        docker::DockerUpdate::Connected { engine, .. } => Some(Event::Engine(engine)),
        docker::DockerUpdate::Coming(id) => Some(Event::ComingContainer(id)),
        docker::DockerUpdate::Vanished(id) => Some(Event::VanishedContainer(id)),
        docker::DockerUpdate::InspectFailed { id, .. } => {
            Some(Event::UnreadContainer { id, unread: true })
        }
        docker::DockerUpdate::InspectRecovered { id } => {
            Some(Event::UnreadContainer { id, unread: false })
        }
        docker::DockerUpdate::Cut { .. }
        | docker::DockerUpdate::Waiting { .. }
        | docker::DockerUpdate::Lost { .. }
        | docker::DockerUpdate::Container(_) => None,
    }
}
