//! The whole daemon without the world: events in, commands and notices out.
//!
//! Read [`Event`] and [`Command`], and you know all that the registrator can react to and do.

mod departing;
mod explain;
mod plan;
mod proving;
mod snapshot;
mod standing;
mod step;
mod times;

pub use explain::{Asked, Unfound, fill_in};
pub use proving::verdict;
pub use standing::EtcdSight;

use crate::evaluate::evaluation::{EvalError, Evaluation};
use crate::evaluate::evaluations::Evaluations;
use crate::evaluate::fence::Fence;
use crate::evaluate::origin::Origin;
use crate::evaluate::scheduler::Ticket;
use crate::merge::brake::{Brake, BrakeSettings};
use crate::merge::departures::Departures;
use crate::merge::desired::Desired;
use crate::merge::gathering::Gathering;
use crate::merge::names::Names;
use crate::node::Key;
use crate::observe::config::RawConfig;
use crate::observe::container::{Container, ContainerId};
use crate::observe::containers::{Containers, Remark};
use crate::observe::etcd_path::EtcdPath;
use crate::observe::instance::{Instance, Instances, Problem, Proof};
use crate::observe::spec::{PolicyName, PolicySpec};
use crate::observe::watch;
use crate::own::keys::Keys;
use crate::own::session::{Commit, Forgotten, SessionEvent, Wanted};
use crate::tell::notice::{BrakeEnd, Notice};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use times::Times;

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
    /// Docker is there, and lists its containers next. Another engine than before knows nothing of the containers before.
    Engine(Option<String>),
    /// A container.
    Container(watch::SourceEvent<Container>),
    /// A container was started or listed, and will be inspected: an [`Event::Container`] follows.
    ComingContainer(ContainerId),
    /// Docker cannot inspect a container that it told nobody the end of: it seems gone.
    VanishedContainer(ContainerId),
    /// The files that cannot be read now, all of them. Nodes may be missing because of it.
    UnreadFiles(BTreeSet<String>),
    /// A container cannot be inspected, and nodes may be missing because of it; or no longer.
    UnreadContainer {
        /// Which.
        id: ContainerId,
        /// Whether it cannot.
        unread: bool,
    },
    /// An evaluation or a check ended.
    Evaluated {
        /// Which one.
        ticket: Ticket,
        /// Its result; of a check without nodes.
        result: Result<Evaluation, EvalError>,
    },
    /// Something from etcd.
    Session(SessionEvent),
    /// The time that [`Reconciler::next_timeout`] named has come.
    Timeout,
    /// The nodes that are held back shall be deleted.
    ReleaseBrake,
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
    /// Have a policy look at a configuration before it counts.
    Check {
        /// Names the check in [`Event::Evaluated`].
        ticket: Ticket,
        /// The policy and the configuration.
        instance: Instance,
    },
    /// Follow a policy's configurations in etcd, or stop following them.
    FollowConfigs {
        /// The policy.
        policy: PolicyName,
        /// Where they are; `None` stops.
        path: Option<EtcdPath>,
    },
    /// Report no more changes of keys that are of no interest any more. Commits that come later begin to watch their keys anew.
    Forget(Forgotten),
    /// Read these keys, and report what is there and what becomes of it.
    Want(Wanted),
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
    /// What keeps one mistake from deleting everything.
    pub brake: BrakeSettings,
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
            brake: BrakeSettings::default(),
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
    /// What policies are looking at, besides containers.
    proofs: BTreeMap<Ticket, Proof>,
    desired: Desired,
    gathering: Gathering,
    departures: Departures,
    keys: Keys,
    brake: Brake,
    times: Times,
    /// All sources were read and evaluated once: before this nothing is written, because not everything that is wished is known.
    started: bool,
    synced: bool,
    unread_files: BTreeSet<String>,
    unread_containers: BTreeSet<ContainerId>,
    /// What people were told of containers.
    remarks: BTreeMap<ContainerId, BTreeSet<Remark>>,
    /// The conflicts between containers that people were told of, as they were told.
    conflicts: BTreeMap<Key, Notice>,
    /// The names for CoreDNS, and which of them answer for others.
    names: Names,
    /// The engine that answers, if it says who it is.
    engine: Option<String>,
    /// The one whose complete list was the last; `None` before the first.
    listed_engine: Option<Option<String>>,
    /// The orphans of this session were given to the departures.
    orphans_depart: bool,
    /// People were told that the orphans stay.
    orphans_told: bool,
    /// Something changed for the nodes that are held back.
    recount: bool,
    /// How many nodes people were told that are held back.
    held_back: usize,
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
            proofs: BTreeMap::new(),
            desired: Desired::default(),
            gathering: Gathering::default(),
            departures: Departures::default(),
            keys: Keys::default(),
            brake: Brake::default(),
            times: Times::default(),
            started: false,
            synced: false,
            unread_files: BTreeSet::new(),
            unread_containers: BTreeSet::new(),
            remarks: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            names: Names::default(),
            engine: None,
            listed_engine: None,
            orphans_depart: false,
            orphans_told: false,
            recount: false,
            held_back: 0,
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
            Event::Engine(engine) => self.engine = engine,
            Event::Container(event) => self.on_container(event, now),
            Event::ComingContainer(id) => self.departures.start(&id, now),
            Event::VanishedContainer(id) => self.on_vanished(id, now),
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
            Event::ReleaseBrake => self.release_brake(BrakeEnd::Released),
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
            .chain([gathered, ending, self.next_departure()])
            .flatten()
            .min()
    }

    /// Whether everything was read and evaluated once, so that [`Reconciler::desired`] is complete.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Whether etcd holds all that is wished, as far as is known.
    pub fn settled(&self) -> bool {
        self.started && self.is_calm() && self.departures.is_empty() && self.keys.settled()
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
