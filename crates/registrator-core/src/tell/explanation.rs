//! Why a container, a key or an instance has what it has in etcd, or has not. `reconciler::explain` finds it.

mod json;
mod text;

pub(crate) use text::sides;

use crate::evaluate::evaluation::EvalError;
use crate::host::HostId;
use crate::node::{Key, Value};
use crate::tell::notice::Asker;
use crate::tell::state::KeyState;
use crate::tell::walltime::WallTime;
use serde_json::Value as Json;
use std::time::Duration;

/// Where each state is explained to people.
const HELP: &str =
    "https://github.com/kontena/kontena-registrator/blob/main/docs/why-is-my-key-not-there.md#";

/// All that is known of what was asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What was asked about.
    pub about: About,
    /// What stands in the way of everything: a side that is away, a start that is not complete.
    pub circumstances: Vec<String>,
    /// What was told of it lately, the newest last.
    pub recent: Vec<Recent>,
    /// It was evaluated now, for no registrator runs that could be asked.
    pub evaluated_now: bool,
}

/// What was asked about.
#[derive(Debug, Clone, PartialEq)]
pub enum About {
    /// A container.
    Container(Box<AboutContainer>),
    /// A key.
    Key(Box<AboutKey>),
    /// An instance, or a policy without any.
    Instance(Box<AboutInstance>),
}

/// A container, and what each instance makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutContainer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is evaluated.
    pub running: bool,
    /// The engine's word for its state.
    pub status: String,
    /// What its health check says, if it has one.
    pub health: Option<String>,
    /// How it is attached to networks.
    pub network_mode: Option<String>,
    /// Its networks with its addresses there.
    pub networks: Vec<(String, Vec<String>)>,
    /// When it ended, as the engine writes it.
    pub finished_at: Option<String>,
    /// The engine cannot inspect it.
    pub unread: bool,
    /// What else is to be said of it.
    pub remarks: Vec<String>,
    /// Whether there is a session with etcd.
    pub connected: bool,
    /// Everything was read and evaluated once.
    pub started: bool,
    /// What instances make of it.
    pub instances: Vec<AboutOrigin>,
    /// Nodes of it that are there though nobody asks for them any more.
    pub unwished: Vec<AboutKey>,
    /// How many nodes of the process before this one are kept. Whose they are is not known.
    pub kept: usize,
    /// Policies and configurations that do not run.
    pub problems: Vec<String>,
}

/// What one instance makes of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutOrigin {
    /// The instance.
    pub instance: String,
    /// How its last evaluation went.
    pub outcome: LastOutcome,
    /// Why it gives nothing, or nothing else.
    pub reasons: Vec<String>,
    /// The nodes that it asks for.
    pub nodes: Vec<AboutKey>,
}

/// How an evaluation went.
#[derive(Debug, Clone, PartialEq)]
pub enum LastOutcome {
    /// Well.
    Done,
    /// It waits or runs.
    Evaluating,
    /// Not at all.
    Failed {
        /// Why.
        error: EvalError,
        /// Since when.
        since: Duration,
        /// How often in a row.
        times: u32,
        /// In how long it is tried again without any change.
        retry_in: Option<Duration>,
    },
}

/// A key.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutKey {
    /// The key.
    pub key: Key,
    /// The marker of the object because of which it stands as it does: it is a member of that and waits for it, or a node of it.
    pub member_of: Option<Key>,
    /// `None` if nobody on this host asks for it.
    pub state: Option<KeyState>,
    /// What is asked for here; or else what this host holds.
    pub value: Option<Value>,
    /// For how long it has been so, if that is known.
    pub since: Option<Duration>,
    /// What etcd holds, as far as it is known.
    pub held: Option<InEtcd>,
    /// The values that are asked for, here and elsewhere.
    pub candidates: Vec<AskedValue>,
    /// Why it is so, where the state alone does not say.
    pub why: Option<String>,
    /// It is to be deleted, since nobody asks for it any more.
    pub unwished: bool,
    /// Whether there is a session with etcd.
    pub connected: bool,
}

/// What etcd holds under a key.
#[derive(Debug, Clone, PartialEq)]
pub struct InEtcd {
    /// The value.
    pub value: Value,
    /// The registrator that holds it; `None` if none does.
    pub host: Option<HostId>,
    /// It is this one.
    pub me: bool,
    /// The lease.
    pub lease: Option<String>,
    /// The revision of its last change.
    pub revision: i64,
}

/// A value that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedValue {
    /// The value.
    pub value: Value,
    /// Who asks for it on this host: the first few.
    pub askers: Vec<Asker>,
    /// How many more there are.
    pub more: usize,
    /// The other hosts that ask for it.
    pub hosts: Vec<HostId>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutInstance {
    /// Its name, or its policy's.
    pub name: String,
    /// It runs.
    pub runs: bool,
    /// What is wrong with it, or what it waits for.
    pub problems: Vec<String>,
    /// How many containers run.
    pub containers: usize,
    /// How many of them it gives nodes to.
    pub served: usize,
    /// How many of its nodes stand how.
    pub states: Vec<(KeyState, usize)>,
    /// The containers for which it fails, with the error: the first ones, and how many there are.
    pub failing: (Vec<(String, String)>, usize),
    /// The containers to which it gives nothing, with the reason: the first ones, and how many there are.
    pub empty: (Vec<(String, String)>, usize),
    /// Other instances of the policy that was asked about.
    pub siblings: Vec<String>,
}

/// Something that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// Counts all that was told.
    pub seq: u64,
    /// When.
    pub at: WallTime,
    /// How loud it was.
    pub level: &'static str,
    /// What.
    pub text: String,
    /// The key that it was about.
    pub key: Option<String>,
}

impl Explanation {
    /// As people read it.
    pub fn text(&self, now: WallTime) -> String {
        text::of(self, now)
    }

    /// As programs read it.
    pub fn to_json(&self, now: WallTime) -> Json {
        json::of(self, now)
    }

    /// Whether all that is asked for is there.
    pub fn is_fulfilled(&self) -> bool {
        let is_there = |about: &AboutKey| about.state.is_some_and(KeyState::is_fulfilled);
        match &self.about {
            About::Key(key) => is_there(key),
            About::Container(container) => {
                let instances = &container.instances;
                let all = instances.iter().flat_map(|it| &it.nodes).all(is_there);
                let failed = |it: &AboutOrigin| !matches!(it.outcome, LastOutcome::Done);
                all && !instances.iter().any(failed)
            }
            About::Instance(instance) => {
                let mut states = instance.states.iter();
                instance.runs
                    && instance.failing.1 == 0
                    && states.all(|(state, _)| state.is_fulfilled())
            }
        }
    }

    /// The keys that it names.
    pub fn keys(&self) -> Vec<&Key> {
        match &self.about {
            About::Key(key) => vec![&key.key],
            About::Container(container) => {
                let nodes = container.instances.iter().flat_map(|it| &it.nodes);
                let nodes = nodes.chain(&container.unwished);
                nodes.map(|node| &node.key).collect()
            }
            About::Instance(_) => Vec::new(),
        }
    }
}

impl AboutContainer {
    /// One word for programs.
    pub(crate) fn verdict(&self) -> &'static str {
        let nodes = || self.instances.iter().flat_map(|it| &it.nodes);
        let failed = |it: &AboutOrigin| matches!(it.outcome, LastOutcome::Failed { .. });
        let there = nodes().filter(|node| node.state.is_some_and(KeyState::is_fulfilled));
        if !self.running {
            "not_running"
        } else if self.instances.iter().any(failed) {
            "failing"
        } else if self.is_waiting() {
            "waiting"
        } else if nodes().next().is_none() {
            "not_asked"
        } else if there.count() == nodes().count() {
            "registered"
        } else {
            "partly"
        }
    }

    fn is_waiting(&self) -> bool {
        let evaluating = |it: &AboutOrigin| it.outcome == LastOutcome::Evaluating;
        let asked = self.instances.iter().any(|it| !it.nodes.is_empty());
        !self.started || self.instances.iter().any(evaluating) || (asked && !self.connected)
    }

    /// The first 12 digits of its id.
    fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

impl AboutKey {
    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<String> {
        if self.member_of.is_some() {
            return None;
        }
        Some(match self.state? {
            KeyState::Registered | KeyState::Pending | KeyState::Shared => return None,
            KeyState::Disputed | KeyState::Outvoted if self.key.object().is_some() => {
                "Make their definitions the same, or give one of them another name.".to_owned()
            }
            KeyState::Disputed => return None,
            KeyState::Outvoted => "To have both, give them different keys: the layout \"instances\" puts the container's id into the key.".to_owned(),
            KeyState::Blocked if self.key.object().is_some() => {
                "Delete that node, or have its host ask for it no more, and the object is registered at once.".to_owned()
            }
            KeyState::Blocked => format!(
                "Delete it and the node is registered at once:\n  etcdctl del {}",
                self.key
            ),
            KeyState::Rejected => {
                "It is tried again by itself. Give the registrator's user in etcd the right to write it, raise etcd's limit, or have the policy write something else.".to_owned()
            }
            KeyState::Kept => {
                "Mend what fails, and it goes by itself, unless somebody asks for it again.".to_owned()
            }
            KeyState::HeldBack => "Wanted? kontena-registrator brake release. Not wanted? Mend what took its wish away; nothing was lost.".to_owned(),
        })
    }

    /// As programs read it.
    pub fn to_json(&self, now: WallTime) -> Json {
        json::of_key(self, now)
    }

    /// Where to read more.
    pub fn help(&self) -> String {
        let section = self.state.map_or("not-asked-for", KeyState::name);
        format!("{HELP}{}", section.replace(' ', "-"))
    }
}
