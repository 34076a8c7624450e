//! How many there are of what, which nodes there are, and what somebody should look at. `reconciler::snapshot` finds it.

use crate::tell::explanation::AboutKey;
use crate::tell::state::KeyState;
use crate::tell::walltime::WallTime;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything was read and evaluated once.
    pub started: bool,
    /// Everything was read and evaluated, and etcd holds it as far as is known.
    pub in_sync: bool,
    /// The end was asked for.
    pub ending: bool,
    /// There is a session with etcd.
    pub connected: bool,
    /// Keys that this host asks for or has, by how they stand; all states are there.
    pub nodes: BTreeMap<KeyState, usize>,
    /// Containers that run.
    pub running: usize,
    /// Containers that do not.
    pub stopped: usize,
    /// Keys for which containers of this host ask for different values.
    pub conflicts_on_host: usize,
    /// Keys for which other hosts ask for other values.
    pub conflicts_in_cluster: usize,
    /// Registrators that seem alive, this one among them.
    pub alive: usize,
    /// Registrators that seem dead.
    pub suspect: usize,
    /// How many instances of each policy run; those of policies that wait for a configuration are none.
    pub instances: BTreeMap<String, usize>,
    /// What cannot be loaded, read or inspected, by kind.
    pub problems: BTreeMap<&'static str, usize>,
    /// Pairs of instance and container whose last evaluation failed, by policy.
    pub failing: BTreeMap<String, usize>,
    /// What the brake holds back, if it is engaged.
    pub brake: Option<BrakeState>,
}

/// The kinds of [`Counts::problems`].
pub const PROBLEM_KINDS: [&str; 4] = ["policy", "config", "file", "container"];

/// What the brake holds back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrakeState {
    /// How many nodes.
    pub nodes: usize,
    /// Why nobody asks for them, and for how many of them that is so.
    pub causes: Vec<(String, usize)>,
    /// For how long.
    pub since: Duration,
    /// In how long they go, if nobody does anything and there is a limit.
    pub ends_in: Option<Duration>,
}

impl BrakeState {
    /// What it holds back, in a sentence.
    pub fn text(&self, now: WallTime) -> String {
        let causes = self.causes.iter();
        let causes: Vec<String> = causes
            .map(|(cause, count)| format!("{cause} ({count})"))
            .collect();
        let end = match self.ends_in {
            Some(wait) => {
                let end = WallTime(now.0 + u64::try_from(wait.as_millis()).unwrap_or_default());
                format!("else they go at {}", end.clock())
            }
            None => "they stay until then".to_owned(),
        };
        format!(
            "engaged since {}: {} nodes are held back: {}. Wanted? kontena-registrator brake release. Not wanted? Mend it, and nothing was lost; {end}",
            now.since(self.since),
            self.nodes,
            causes.join(", ")
        )
    }

    /// As programs read it.
    pub fn to_json(&self, now: WallTime) -> Json {
        let causes = self.causes.iter();
        let causes = causes.map(|(cause, count)| json!({"cause": cause, "nodes": count}));
        json!({
            "nodes": self.nodes,
            "causes": causes.collect::<Vec<_>>(),
            "since": now.before(self.since).stamp(),
            "ends_in_seconds": self.ends_in.as_ref().map(Duration::as_secs),
            "text": self.text(now),
        })
    }
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// One word.
    pub kind: &'static str,
    /// What it is about: `key`, `container` or `instance`, and which.
    pub about: Option<(&'static str, String)>,
    /// A sentence.
    pub text: String,
}

impl Attention {
    /// As programs read it.
    pub fn to_json(&self) -> Json {
        let about = self.about.as_ref();
        json!({
            "kind": self.kind,
            "about": about.map(|(kind, which)| json!({"kind": kind, "name": which})),
            "text": self.text,
        })
    }
}

/// Which nodes somebody wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFilter {
    /// Only those that stand so.
    pub state: Option<KeyState>,
    /// Only those whose keys begin so.
    pub prefix: String,
    /// Only those that have this in key or value, or in the name of a container that asks for them.
    pub text: String,
}

/// Some of the nodes, in the order of their keys.
#[derive(Debug, Clone, PartialEq)]
pub struct NodePage {
    /// The nodes.
    pub nodes: Vec<AboutKey>,
    /// There are more behind the last one.
    pub more: bool,
}

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerLine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is evaluated.
    pub running: bool,
    /// How many nodes it asks for.
    pub nodes: usize,
    /// The state of one of them that most needs somebody to look at it.
    pub worst: Option<KeyState>,
    /// Some evaluation fails for it.
    pub failing: bool,
}

impl ContainerLine {
    /// As programs read it.
    pub fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "name": self.name,
            "running": self.running,
            "nodes": self.nodes,
            "worst": self.worst.map(KeyState::name),
            "failing": self.failing,
        })
    }
}
