//! What would be written now: the reconciler's own decisions, listed instead of done.

use crate::desired::Origin;
use crate::instance::Problem;
use crate::node::{Key, Value};
use crate::notice::Asker;
use crate::ownership::{self, NodeName, Op, View, Who};
use crate::reconciler::Reconciler;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is not there and will be written.
    Create,
    /// It is there with another value or holder, and will be written.
    Change,
    /// Nobody asks for it any more.
    Delete,
    /// It is as it should be.
    Keep,
    /// Another registrator holds it and keeps it.
    Wait,
    /// Something that no registrator wrote is in its place.
    Blocked,
}

impl Action {
    /// Whether it writes to etcd.
    pub fn writes(self) -> bool {
        matches!(self, Action::Create | Action::Change | Action::Delete)
    }

    fn name(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Change => "change",
            Action::Delete => "delete",
            Action::Keep => "keep",
            Action::Wait => "wait",
            Action::Blocked => "blocked",
        }
    }

    fn sign(self) -> char {
        match self {
            Action::Create => '+',
            Action::Change => '~',
            Action::Delete => '-',
            Action::Keep => '=',
            Action::Wait => '<',
            Action::Blocked => '!',
        }
    }
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNode {
    /// The key.
    pub key: Key,
    /// The value after the action; of a deletion the one before.
    pub value: Value,
    /// What etcd holds, if it differs.
    pub old: Option<Value>,
    /// What happens.
    pub action: Action,
    /// Who asks for the value.
    pub askers: Vec<Asker>,
}

/// A key for which different values are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedConflict {
    /// The key.
    pub key: Key,
    /// The values, the one that is registered first.
    pub candidates: Vec<PlannedCandidate>,
}

/// One of several values for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCandidate {
    /// The value.
    pub value: Value,
    /// Who asks for it on this host.
    pub askers: Vec<Asker>,
    /// The other hosts that ask for it.
    pub nodes: Vec<NodeName>,
}

/// Something that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedError {
    /// The instance, or the policy if it concerns all of its instances.
    pub instance: Option<String>,
    /// The container's name.
    pub container: Option<String>,
    /// `policy`, `config`, or the kind of a failed evaluation.
    pub kind: String,
    /// What is wrong.
    pub message: String,
    /// Where, as `file:line` or `file:line:column`.
    pub at: Option<String>,
}

/// What would be written, and what stands in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// All nodes that this host asks for or has, in the order of their keys.
    pub nodes: Vec<PlannedNode>,
    /// Keys with different values.
    pub conflicts: Vec<PlannedConflict>,
    /// What does not work.
    pub errors: Vec<PlannedError>,
    /// Why policies have nothing to do.
    pub idle: Vec<String>,
    /// What policies printed or logged, with the container.
    pub printed: Vec<String>,
}

impl Plan {
    /// The plan of a reconciler that has everything evaluated, as `who`, for what etcd holds. `views` has an entry for each key that
    /// exists and is asked for or held by `who`.
    pub fn new(reconciler: &Reconciler, who: &Who, views: &BTreeMap<Key, View>) -> Plan {
        let asked = reconciler.desired().iter().map(|(key, _)| key);
        let keys: BTreeSet<&Key> = views.keys().chain(asked).collect();
        Plan {
            nodes: keys
                .into_iter()
                .filter_map(|key| node(reconciler, who, key, views.get(key)))
                .collect(),
            conflicts: conflicts(reconciler, who, views),
            errors: errors(reconciler),
            idle: Problem::idle(reconciler.problems()),
            printed: Vec::new(),
        }
    }

    /// Whether anything would be written.
    pub fn pending(&self) -> bool {
        self.nodes.iter().any(|node| node.action.writes())
    }

    /// The plan as JSON: `nodes`, `conflicts`, `errors`, `idle`, `printed`.
    pub fn to_json(&self) -> Json {
        json!({
            "nodes": self.nodes.iter().map(|node| json!({
                "key": node.key.as_str(),
                "value": node.value.as_str(),
                "action": node.action.name(),
                "origins": origins(&node.askers),
            })).collect::<Vec<_>>(),
            "conflicts": self.conflicts.iter().map(|conflict| json!({
                "key": conflict.key.as_str(),
                "candidates": conflict.candidates.iter().map(|candidate| json!({
                    "value": candidate.value.as_str(),
                    "origins": origins(&candidate.askers),
                    "nodes": candidate.nodes.iter().map(|node| &**node).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "errors": self.errors.iter().map(|error| json!({
                "instance": error.instance,
                "container": error.container,
                "kind": error.kind,
                "message": error.message,
                "at": error.at,
            })).collect::<Vec<_>>(),
            "idle": self.idle,
            "printed": self.printed,
        })
    }
}

fn origins(askers: &[Asker]) -> Vec<Json> {
    askers
        .iter()
        .map(|asker| json!({"instance": asker.instance.to_string(), "container": asker.name}))
        .collect()
}

fn node(reconciler: &Reconciler, who: &Who, key: &Key, view: Option<&View>) -> Option<PlannedNode> {
    let nothing = View::default();
    let view = view.unwrap_or(&nothing);
    let wish = reconciler.desired().winner(key);
    let held = view.node.as_ref().map(|held| &held.value);
    let (action, written) = action(reconciler, who, key, wish, view);
    let value = match action {
        Action::Create | Action::Change => written.as_ref()?,
        Action::Blocked => wish?,
        // What another holds concerns this host only if it is asked for here.
        Action::Wait => wish.and(held)?,
        Action::Delete | Action::Keep => held.or(wish)?,
    };
    let candidates = reconciler.desired().candidates(key).into_iter().flatten();
    let origins = candidates
        .filter(|(candidate, _)| Some(*candidate) == wish)
        .flat_map(|(_, origins)| origins);
    Some(PlannedNode {
        key: key.clone(),
        value: value.clone(),
        old: held.filter(|held| *held != value).cloned(),
        action,
        askers: askers(reconciler, origins),
    })
}

/// The action, and the value that is written: another registrator's if the node passes to it.
fn action(
    reconciler: &Reconciler,
    who: &Who,
    key: &Key,
    wish: Option<&Value>,
    view: &View,
) -> (Action, Option<Value>) {
    let mine = view.concerns(who.me);
    if wish.is_none() && reconciler.wishes_hidden() {
        return (Action::Keep, None);
    }
    let txn = ownership::decide(who, key, wish, view, mine && wish.is_some());
    let ops = txn.map(|txn| txn.ops).unwrap_or_default();
    let written = ops.iter().find_map(|op| match op {
        Op::Put(value, lease) if *lease == who.me && view.node.is_none() => {
            Some((Action::Create, Some(value.clone())))
        }
        Op::Put(value, _) => Some((Action::Change, Some(value.clone()))),
        Op::Delete => Some((Action::Delete, None)),
        Op::PutClaim(..) | Op::DeleteClaim(_) => None,
    });
    written.unwrap_or_else(|| {
        let action = match view.holder() {
            Some(lease) if lease == who.me => Action::Keep,
            Some(lease) if who.knows(lease) => Action::Wait,
            _ => Action::Blocked,
        };
        (action, None)
    })
}

fn askers<'a>(
    reconciler: &Reconciler,
    origins: impl IntoIterator<Item = &'a Origin>,
) -> Vec<Asker> {
    origins
        .into_iter()
        .map(|origin| reconciler.asker(origin))
        .collect()
}

/// Every key that this host asks for and for which there are several values, here or on other hosts.
fn conflicts(
    reconciler: &Reconciler,
    who: &Who,
    views: &BTreeMap<Key, View>,
) -> Vec<PlannedConflict> {
    let mut conflicts = Vec::new();
    for (key, asked) in reconciler.desired().iter() {
        let candidate = |value: &Value, askers| PlannedCandidate {
            value: value.clone(),
            askers,
            nodes: Vec::new(),
        };
        let mut candidates: BTreeMap<&Value, PlannedCandidate> = asked
            .iter()
            .map(|(value, origins)| (value, candidate(value, askers(reconciler, origins))))
            .collect();
        let view = views.get(key);
        for (value, lease) in view.into_iter().flat_map(|view| view.asked_by_others(who)) {
            let entry = candidates.entry(value);
            let candidate = entry.or_insert_with(|| candidate(value, Vec::new()));
            candidate.nodes.push(who.name(lease));
        }
        if candidates.len() < 2 {
            continue;
        }
        let registered = view.and_then(|view| registered(reconciler, who, key, view));
        let mut candidates: Vec<_> = candidates.into_values().collect();
        candidates.sort_by_key(|candidate| Some(&candidate.value) != registered.as_ref());
        conflicts.push(PlannedConflict {
            key: key.clone(),
            candidates,
        });
    }
    conflicts
}

/// The value of a key after all that is planned.
fn registered(reconciler: &Reconciler, who: &Who, key: &Key, view: &View) -> Option<Value> {
    let (_, written) = action(reconciler, who, key, reconciler.desired().winner(key), view);
    written.or_else(|| Some(view.node.as_ref()?.value.clone()))
}

fn errors(reconciler: &Reconciler) -> Vec<PlannedError> {
    let problems = reconciler.problems().iter().filter_map(problem);
    let failures = reconciler
        .failures()
        .iter()
        .map(|(origin, error)| PlannedError {
            instance: Some(origin.instance.to_string()),
            container: Some(reconciler.asker(origin).name),
            kind: error.kind.to_string(),
            message: error.message.clone(),
            at: error.at.clone(),
        });
    problems.chain(failures).collect()
}

/// `None` if nothing is wrong.
fn problem(problem: &Problem) -> Option<PlannedError> {
    let (instance, kind, at) = match problem {
        Problem::Policy { name, .. } => (name.clone(), "policy", None),
        Problem::Config { policy, fault, .. } => {
            let line = fault
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            (
                policy.to_string(),
                "config",
                Some(format!("{}{line}", fault.source_name)),
            )
        }
        Problem::Twice {
            instance, refused, ..
        } => (instance.to_string(), "config", Some(refused.to_string())),
        Problem::NoSchema(source, policy) | Problem::NoPolicy(source, policy) => {
            (policy.to_string(), "config", Some(source.to_string()))
        }
        Problem::NoConfig { .. } => return None,
    };
    Some(PlannedError {
        instance: Some(instance),
        container: None,
        kind: kind.into(),
        message: problem.to_string(),
        at,
    })
}

/// One line for each node: a sign, the key, the value, and who asks for it. Then the conflicts, the errors, what is idle, and what was
/// printed.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(f, "{node}")?;
        }
        for conflict in &self.conflicts {
            writeln!(
                f,
                "conflict for {}, the first value is registered:",
                conflict.key
            )?;
            for candidate in &conflict.candidates {
                writeln!(f, "    {candidate}")?;
            }
        }
        for error in &self.errors {
            writeln!(f, "{error}")?;
        }
        for line in self.idle.iter().chain(&self.printed) {
            writeln!(f, "{line}")?;
        }
        let count = |action| {
            self.nodes
                .iter()
                .filter(|node| node.action == action)
                .count()
        };
        write!(
            f,
            "{} to create, {} to change, {} to delete, {} to keep",
            count(Action::Create),
            count(Action::Change),
            count(Action::Delete),
            count(Action::Keep)
        )?;
        let other = [
            (count(Action::Wait), "held by other registrators"),
            (
                count(Action::Blocked),
                "blocked by keys that no registrator wrote",
            ),
        ];
        for (number, text) in other.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, ", {number} {text}")?;
        }
        writeln!(
            f,
            "; {} conflicts, {} errors",
            self.conflicts.len(),
            self.errors.len()
        )
    }
}

impl fmt::Display for PlannedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action.sign(), self.key, self.value)?;
        match (&self.old, self.action) {
            (Some(old), Action::Blocked) => {
                write!(f, " (there is {old}, which no registrator wrote)")?
            }
            (Some(old), _) => write!(f, " (was {old})")?,
            (None, _) => {}
        }
        f.write_str(&listed(&self.askers))
    }
}

impl fmt::Display for PlannedCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.nodes.iter().map(|node| format!("node {node}"));
        let askers = self.askers.iter().map(Asker::to_string);
        let all: Vec<String> = askers.chain(nodes).collect();
        write!(f, "{}  for {}", self.value, all.join(", "))
    }
}

impl fmt::Display for PlannedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let container = self
            .container
            .as_ref()
            .map(|name| format!(" for container {name}"))
            .unwrap_or_default();
        let at = self
            .at
            .as_ref()
            .filter(|at| !self.message.contains(at.as_str()))
            .map(|at| format!("{at}: "))
            .unwrap_or_default();
        write!(
            f,
            "error in {}{container}: {at}{}",
            self.instance.as_deref().unwrap_or("a source"),
            self.message
        )
    }
}

fn listed(askers: &[Asker]) -> String {
    let names: Vec<String> = askers.iter().map(Asker::to_string).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("  for {}", names.join(", "))
    }
}
