//! The whole daemon without the world: events in, commands and notices out.
//!
//! Read [`Event`] and [`Command`], and you know all that the registrator can react to and do.

mod plan;
mod step;

use crate::evaluate::evaluation::{EvalError, Evaluation};
use crate::evaluate::evaluations::Evaluations;
use crate::evaluate::fence::Fence;
use crate::evaluate::origin::Origin;
use crate::evaluate::scheduler::Ticket;
use crate::merge::desired::Desired;
use crate::merge::gathering::Gathering;
use crate::node::{Key, Value};
use crate::observe::config::RawConfig;
use crate::observe::container::{Container, ContainerId};
use crate::observe::containers::Containers;
use crate::observe::etcd_path::EtcdPath;
use crate::observe::instance::{Instance, Instances, Problem};
use crate::observe::spec::{PolicyName, PolicySpec};
use crate::observe::watch;
use crate::own::keys::Keys;
use crate::own::session::{Commit, SessionEvent};
use crate::tell::notice::{Askers, Notice};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Everything that the registrator reacts to.
#[derive(Debug, Clone)]
pub enum Event {
    /// The policies that are loaded now, and why others are not. One that fails but ran before is in `loaded` as it was.
    Policies {
        /// All loaded policies.
        loaded: Vec<PolicySpec>,
        /// Those whose present files cannot be loaded.
        failed: Vec<Problem>,
    },
    /// A configuration file.
    ConfigFile(watch::SourceEvent<RawConfig>),
    /// A configuration in etcd.
    ConfigNode(PolicyName, watch::SourceEvent<RawConfig>),
    /// A container.
    Container(watch::SourceEvent<Container>),
    /// The files that cannot be read now, all of them. Nodes may be missing because of it.
    UnreadFiles(BTreeSet<String>),
    /// A container cannot be inspected, and nodes may be missing because of it; or no longer.
    UnreadContainer {
        /// Which.
        id: ContainerId,
        /// Whether it cannot.
        unread: bool,
    },
    /// An evaluation ended.
    Evaluated {
        /// Which one.
        ticket: Ticket,
        /// Its result.
        result: Result<Evaluation, EvalError>,
    },
    /// Something from etcd.
    Session(SessionEvent),
    /// The time that [`Reconciler::next_timeout`] named has come.
    Timeout,
    /// The process shall end.
    Shutdown(OnExit),
}

/// What happens to the nodes when the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// They stay until the lease expires; a process that starts before adopts them.
    Keep,
    /// They are removed.
    Release,
}

/// Everything that the registrator does.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Run a policy.
    Evaluate {
        /// Names the evaluation in [`Event::Evaluated`].
        ticket: Ticket,
        /// The policy and its configuration.
        instance: Instance,
        /// What it looks at.
        container: Container,
    },
    /// Follow a policy's configurations in etcd, or stop following them.
    FollowConfigs {
        /// The policy.
        policy: PolicyName,
        /// Where they are; `None` stops.
        path: Option<EtcdPath>,
    },
    /// Report changes below these roots, besides those reported already. Comes before the first commit that touches them.
    WatchRoots(BTreeSet<String>),
    /// Write.
    Commit(Commit),
    /// End the session: keep the nodes, or give up what is left of it after everything was removed.
    Stop(OnExit),
}

/// How the reconciler is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What may be written.
    pub fence: Fence,
    /// How long the nodes of a container wait for its other evaluations, so that they travel together.
    pub gather: Duration,
    /// How long a release at the end may take.
    pub release: Duration,
    /// The most instances that run. Who writes configurations must not be able to fill etcd.
    pub max_instances: usize,
    /// The most keys that are asked for, for the same reason.
    pub max_nodes: usize,
}

impl Settings {
    /// The usual times, with this fence, and no other limits.
    pub fn with_fence(fence: Fence) -> Settings {
        Settings {
            fence,
            gather: Duration::from_millis(20),
            release: Duration::from_secs(5),
            max_instances: usize::MAX,
            max_nodes: usize::MAX,
        }
    }
}

/// The end of the process.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Releasing { until: Instant },
    Stopped,
}

/// The daemon's whole state and all its decisions.
#[derive(Debug)]
pub struct Reconciler {
    settings: Settings,
    instances: Instances,
    containers: Containers,
    evaluations: Evaluations,
    desired: Desired,
    gathering: Gathering,
    keys: Keys,
    /// All sources were read and evaluated once: before this nothing is written, because not everything that is wished is known.
    started: bool,
    synced: bool,
    unread_files: BTreeSet<String>,
    unread_containers: BTreeSet<ContainerId>,
    /// The conflicts between containers that people were told of, as they were told.
    conflicts: BTreeMap<Key, Vec<(Value, Askers)>>,
    /// Orphans stay for now; with `true` people were told.
    orphans_kept: Option<bool>,
    roots: BTreeSet<String>,
    followed: BTreeMap<PolicyName, EtcdPath>,
    ending: Option<Ending>,
    commands: VecDeque<Command>,
    notices: VecDeque<Notice>,
}

impl Reconciler {
    /// A reconciler that knows nothing yet.
    pub fn new(settings: Settings) -> Reconciler {
        Reconciler {
            instances: Instances::at_most(settings.max_instances),
            settings,
            containers: Containers::default(),
            evaluations: Evaluations::default(),
            desired: Desired::default(),
            gathering: Gathering::default(),
            keys: Keys::default(),
            started: false,
            synced: false,
            unread_files: BTreeSet::new(),
            unread_containers: BTreeSet::new(),
            conflicts: BTreeMap::new(),
            orphans_kept: None,
            roots: BTreeSet::new(),
            followed: BTreeMap::new(),
            ending: None,
            commands: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// Takes in an event. `now` never goes back.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Policies { loaded, failed } => self.on_policies(loaded, failed),
            Event::ConfigFile(event) => {
                let delta = self.instances.handle_file(event);
                self.on_instances(delta);
            }
            Event::ConfigNode(policy, event) => {
                let delta = self.instances.handle_etcd(&policy, event);
                self.on_instances(delta);
            }
            Event::Container(event) => self.on_container(event),
            Event::UnreadFiles(unread) => self.unread_files = unread,
            Event::UnreadContainer { id, unread: true } => {
                self.unread_containers.insert(id);
            }
            Event::UnreadContainer { id, unread: false } => {
                self.unread_containers.remove(&id);
            }
            Event::Evaluated { ticket, result } => self.on_evaluated(ticket, result, now),
            Event::Session(event) => self.on_session(event, now),
            // What is due is found after any event.
            Event::Timeout => {}
            Event::Shutdown(on_exit) => self.on_shutdown(on_exit, now),
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The next fact for people.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// When [`Event::Timeout`] is due, if nothing comes before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let gathered = self
            .gathering
            .waits_since()
            .filter(|_| self.started)
            .map(|since| since + self.settings.gather);
        let ending = match &self.ending {
            Some(Ending::Releasing { until }) => Some(*until),
            Some(Ending::Stopped) | None => None,
        };
        let retries = [self.evaluations.next_retry(), self.keys.next_retry()];
        retries
            .into_iter()
            .chain([gathered, ending])
            .flatten()
            .min()
    }

    /// Whether everything was read and evaluated once, so that [`Reconciler::desired`] is complete.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Whether etcd holds all that is wished, as far as is known.
    pub fn settled(&self) -> bool {
        self.started && self.gathering.is_empty() && self.evaluations.idle() && self.keys.settled()
    }

    /// Whether the end was asked for.
    pub fn ending(&self) -> bool {
        self.ending.is_some()
    }

    /// What is wished.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// The containers that are known.
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    /// The evaluations that failed last time.
    pub fn failures(&self) -> impl Iterator<Item = (&Origin, &EvalError)> {
        self.evaluations.failures()
    }

    /// Policies and configurations that do not work.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.instances.problems()
    }
}
