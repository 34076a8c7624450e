//! What would be written, as people and programs read it. `reconciler::plan` derives it.

use crate::host::HostId;
use crate::node::{Key, Value};
use crate::tell::notice::Asker;
use crate::tell::objects::{changed, definitions, name, named, shown, with_object};
use crate::tell::printable::{indented, one_line};
use serde_json::{Value as Json, json};
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
    /// It is an object of which none of its definitions counts.
    Disputed,
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
            Action::Disputed => "disputed",
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
            Action::Disputed => '?',
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
    /// The field of an object that somebody else has, and its value.
    pub in_the_way: Option<(Key, Value)>,
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
    pub hosts: Vec<HostId>,
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

/// Why a policy gives nothing to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedReason {
    /// The policy and the container.
    pub asker: Asker,
    /// What the policy says.
    pub reason: String,
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
    /// Why containers that run have no node at all.
    pub reasons: Vec<PlannedReason>,
    /// What policies printed or logged, with the container, and what else is to be said of containers.
    pub printed: Vec<String>,
    /// What somebody should look at, though all of it works.
    pub warnings: Vec<String>,
    /// Why nodes that nobody asks for would stay for now, if too many would go at once.
    pub held_back: Option<String>,
}

impl Plan {
    /// Whether anything would be written.
    pub fn pending(&self) -> bool {
        self.nodes.iter().any(|node| node.action.writes())
    }

    /// The plan as JSON: `nodes`, `conflicts`, `errors`, `reasons`, `idle`, `printed`, `warnings`, `held_back`. A node that stands for an
    /// object has the nodes of this in its `object`.
    pub fn to_json(&self) -> Json {
        json!({
            "nodes": self.nodes.iter().map(|node| with_object(&node.key, Some(&node.value), json!({
                "key": name(&node.key),
                "value": node.value.as_str(),
                "action": node.action.name(),
                "origins": origins(&node.askers),
            }))).collect::<Vec<_>>(),
            "conflicts": self.conflicts.iter().map(|conflict| json!({
                "key": name(&conflict.key),
                "candidates": conflict.candidates.iter().map(|candidate| with_object(&conflict.key, Some(&candidate.value), json!({
                    "value": candidate.value.as_str(),
                    "origins": origins(&candidate.askers),
                    "hosts": candidate.hosts.iter().map(|host| &**host).collect::<Vec<_>>(),
                }))).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "errors": self.errors.iter().map(|error| json!({
                "instance": error.instance,
                "container": error.container,
                "kind": error.kind,
                "message": error.message,
                "at": error.at,
            })).collect::<Vec<_>>(),
            "reasons": self.reasons.iter().map(|it| json!({
                "instance": it.asker.instance.to_string(),
                "container": it.asker.name,
                "reason": it.reason,
            })).collect::<Vec<_>>(),
            "idle": self.idle,
            "printed": self.printed,
            "warnings": self.warnings,
            "held_back": self.held_back,
        })
    }
}

fn origins(askers: &[Asker]) -> Vec<Json> {
    askers
        .iter()
        .map(|asker| json!({"instance": asker.instance.to_string(), "container": asker.name}))
        .collect()
}

/// One line for each node: a sign, the key, the value, and who asks for it. Then the conflicts, the errors, what is idle, what was
/// printed, the warnings, and what is held back.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(f, "{}", one_line(&node.to_string()))?;
        }
        for conflict in &self.conflicts {
            if conflict.key.object().is_some() {
                writeln!(f, "conflict: {}", one_line(&conflict.of_object()))?;
                continue;
            }
            writeln!(
                f,
                "conflict for {}, the first value is registered:",
                one_line(conflict.key.as_str())
            )?;
            for candidate in &conflict.candidates {
                writeln!(f, "    {}", one_line(&candidate.to_string()))?;
            }
        }
        for error in &self.errors {
            writeln!(f, "{}", indented(&error.to_string()))?;
        }
        for it in &self.reasons {
            let line = format!("nothing for {}: {}", it.asker, it.reason);
            writeln!(f, "{}", one_line(&line))?;
        }
        for line in self.idle.iter().chain(&self.printed) {
            writeln!(f, "{}", indented(line))?;
        }
        for line in &self.warnings {
            writeln!(f, "warning: {line}")?;
        }
        if let Some(reason) = &self.held_back {
            writeln!(f, "{reason}. run would hold them back")?;
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
            (
                count(Action::Disputed),
                "not registered until all agree on them",
            ),
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
        write!(f, "{} {} ", self.action.sign(), named(&self.key))?;
        match (&self.old, self.action) {
            (_, Action::Blocked) => {
                f.write_str(&shown(&self.key, &self.value))?;
                match (&self.in_the_way, &self.old) {
                    (Some((field, value)), _) => {
                        write!(f, " ({field} holds somebody else's {value})")?
                    }
                    (None, Some(old)) => {
                        write!(f, " (there is {old}, which no registrator wrote)")?
                    }
                    (None, None) => {}
                }
            }
            // What is there is what somebody else wants, and does not count either.
            (Some(old), action) if action != Action::Disputed => {
                let [now, before] = changed(&self.key, &self.value, old);
                write!(f, "{now} (was {before})")?
            }
            _ => f.write_str(&shown(&self.key, &self.value))?,
        }
        f.write_str(&listed(&self.askers))
    }
}

impl PlannedConflict {
    fn of_object(&self) -> String {
        let sides = self.candidates.iter();
        let sides = sides.map(|it| (it.value.clone(), format!("for {}", it.whose())));
        definitions(&self.key, &sides.collect::<Vec<_>>())
    }
}

impl PlannedCandidate {
    fn whose(&self) -> String {
        let hosts = self.hosts.iter().map(|host| format!("host {host}"));
        let askers = self.askers.iter().map(Asker::to_string);
        askers.chain(hosts).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for PlannedCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  for {}", self.value, self.whose())
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
