//! Facts worth a log line or a counter. Everything that people are told comes from here or from a snapshot.

mod of_key;

pub use crate::evaluate::evaluation::Level;

use crate::evaluate::evaluation::{EvalError, LogLine};
use crate::host::HostId;
use crate::merge::brake::MaxDelete;
use crate::merge::departures::Cause;
use crate::merge::names::Overlap;
use crate::node::{Key, Value};
use crate::observe::config::ConfigSource;
use crate::observe::container::ContainerId;
use crate::observe::containers::Remark;
use crate::observe::instance::{InstanceId, Problem};
use crate::tell::printable::one_line;
use crate::tell::walltime::span;
use of_key::OfKey;
use std::fmt;
use std::time::Duration;

/// Who asks for a node, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    /// The instance.
    pub instance: InstanceId,
    /// The container's id.
    pub container: ContainerId,
    /// The container's name.
    pub name: String,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", one_line(&self.name), self.instance)
    }
}

/// Those who ask for a node: the first of them, and how many there are, since a thousand containers may ask for the same one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Askers {
    first: Vec<Asker>,
    count: usize,
}

impl Askers {
    /// How many are named.
    const NAMED: usize = 5;

    /// All of `askers`, of whom there are `count`. Only the first few are asked for.
    pub fn new(askers: impl Iterator<Item = Asker>, count: usize) -> Askers {
        Askers {
            first: askers.take(Askers::NAMED).collect(),
            count,
        }
    }

    /// The end of a sentence about what they ask for. The wish may end while it is being fulfilled.
    fn clause(&self) -> String {
        if self.count == 0 {
            ", which no container asks for any more".to_owned()
        } else {
            format!(" for {self}")
        }
    }
}

impl fmt::Display for Askers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.first.iter().map(Asker::to_string).collect();
        f.write_str(&names.join(", "))?;
        match self.count.saturating_sub(names.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Nodes that stay, because too many would go at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub held: usize,
    /// What may go at once.
    pub limit: MaxDelete,
    /// Why they would go.
    pub causes: Vec<(Cause, usize)>,
    /// No policy runs at all: then none goes, however few they are.
    pub nothing_runs: bool,
    /// How long they stay if nobody does anything.
    pub for_at_most: Option<Duration>,
}

impl HeldBack {
    /// Why they stay.
    pub fn reason(&self) -> String {
        let causes = self.causes.iter();
        let causes: Vec<String> = causes
            .map(|(cause, count)| format!("{cause} ({count})"))
            .collect();
        let too_many = if self.nothing_runs {
            "and no policy runs".to_owned()
        } else {
            format!(
                "more than --max-delete {} lets go within a minute",
                self.limit
            )
        };
        format!(
            "{} of {} nodes would be deleted, {too_many}: {}",
            self.count,
            self.held,
            causes.join(", ")
        )
    }
}

/// How the brake let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrakeEnd {
    /// The nodes are asked for again, their containers have ended, others hold them, or few enough are left.
    Mended,
    /// Somebody asked for it.
    Released,
    /// Its time is over.
    Over,
}

/// What somebody who is no registrator made of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It is gone.
    Deleted,
    /// It has this value.
    Changed(Value),
    /// It has the same value, and no lease.
    Detached,
    /// It has the same value, under this lease.
    Attached(String),
}

impl Damage {
    /// What was done to `key`.
    fn done_to(&self, key: &Key) -> String {
        match self {
            Damage::Deleted => format!("deleted {key}"),
            Damage::Changed(value) => format!("changed {key} to {value}"),
            Damage::Detached => format!("put {key} without a lease, with the same value"),
            Damage::Attached(lease) => {
                format!("put {key} under lease {lease}, with the same value")
            }
        }
    }
}

/// Who has a node of an object that is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldHolder {
    /// The registrator of this host.
    Host(HostId),
    /// Another object of this host.
    Object(Key),
}

/// Between this host and which other one a node would pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// It would be handed over to this one.
    To(HostId),
    /// It would be taken over from this one.
    From(HostId),
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Passage::To(host) => write!(f, "handed over to host {host}"),
            Passage::From(host) => write!(f, "taken over from host {host}"),
        }
    }
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An instance is new, or has another policy or configuration.
    InstanceStarted {
        /// Which.
        instance: InstanceId,
        /// It ran before.
        reloaded: bool,
    },
    /// An instance is gone, and its nodes with it.
    InstanceStopped(InstanceId),
    /// A policy or a configuration does not work.
    Problem(Problem),
    /// An evaluation failed. The container's last good nodes stay.
    EvaluationFailed {
        /// For whom.
        asker: Asker,
        /// Why.
        error: EvalError,
    },
    /// Of the last good nodes of an evaluation that failed, some go.
    NotSo {
        /// Whose.
        asker: Asker,
        /// How many.
        count: usize,
        /// What they name, and the container has no longer.
        lost: String,
    },
    /// Something is to be said of a container that runs.
    Remarked {
        /// Its name.
        container: String,
        /// What.
        remark: Remark,
    },
    /// An evaluation that failed before succeeded.
    EvaluationRecovered(Asker),
    /// A policy printed something.
    Printed {
        /// For whom.
        asker: Asker,
        /// One line.
        line: LogLine,
    },
    /// A policy printed something about a configuration that it looked at.
    Remark {
        /// Where the configuration is.
        used: ConfigSource,
        /// One line.
        line: LogLine,
    },
    /// Different values are asked for under one key; the first of them is registered.
    Conflict {
        /// The key.
        key: Key,
        /// The values from the smallest on, with those who ask for them.
        candidates: Vec<(Value, Askers)>,
    },
    /// CoreDNS answers a container's name with another container's addresses too.
    AnswersForOthers {
        /// The name, and what is below it.
        overlap: Overlap,
        /// Who asks for the name.
        of: Askers,
        /// Who asks for what is below it.
        below: Askers,
    },
    /// Everybody agrees again, or nobody asks any more.
    ConflictEnded {
        /// The key.
        key: Key,
        /// The value.
        value: Option<Value>,
    },
    /// All sources were read, everything was evaluated, and etcd holds all of it.
    Synced {
        /// How many nodes are registered.
        nodes: usize,
        /// How many containers run.
        containers: usize,
    },
    /// A node was written.
    Registered {
        /// Its key.
        key: Key,
        /// Its value.
        value: Value,
        /// What was there before.
        old: Option<Value>,
        /// Who asks for it.
        askers: Askers,
        /// How long it took from the event that changed the wish to etcd's answer, if the wish changed while there was a session.
        took: Option<Duration>,
    },
    /// A node was deleted.
    Removed(Key),
    /// A node that was wished by others too passed to them.
    HandedOver {
        /// Its key.
        key: Key,
        /// Its value under the new holder.
        value: Value,
        /// The new holder.
        to: HostId,
    },
    /// Another registrator holds the node, with the value that is asked for here too.
    Shared {
        /// The key.
        key: Key,
        /// Its value.
        value: Value,
        /// The holder.
        holder: HostId,
    },
    /// Different values are asked for under one key on several hosts, this one among them.
    HostConflict {
        /// The key.
        key: Key,
        /// The value that is registered, and who holds it.
        registered: (Value, HostId),
        /// The other values, from the smallest on, and who waits with them.
        waiting: Vec<(Value, HostId)>,
    },
    /// The hosts that still ask for a key agree again.
    HostConflictEnded {
        /// The key.
        key: Key,
        /// Its value.
        value: Value,
    },
    /// Somebody deleted or overwrote a node of ours; it was written again.
    Repaired {
        /// Its key.
        key: Key,
        /// What was found in its place.
        damage: Damage,
    },
    /// A key that is asked for holds something that no registrator wrote. It is left alone.
    Foreign {
        /// The key.
        key: Key,
        /// What it holds.
        value: Value,
        /// What is asked for.
        wish: Value,
    },
    /// Somebody else has a node of an object, so none of its nodes is written.
    ObjectBlocked {
        /// The object.
        key: Key,
        /// The node.
        field: Key,
        /// What it holds.
        value: Value,
        /// Whose it is; `None` if no registrator wrote it.
        by: Option<FieldHolder>,
    },
    /// A node that is asked for by itself, with another value than an object that has this node too.
    NodeOfObject {
        /// Its key.
        key: Key,
        /// Its value.
        value: Value,
        /// Who asks for it.
        askers: Askers,
        /// The object.
        object: Key,
    },
    /// Of an object of which none counts there are objects here that refer to it.
    Missed {
        /// The object.
        key: Key,
        /// The names of the others.
        by: Vec<Key>,
    },
    /// etcd refuses to write a key.
    Rejected {
        /// The key.
        key: Key,
        /// etcd's reason.
        message: String,
    },
    /// etcd refuses to let a node pass from one registrator to another: one of them lacks a right. The node stays where it is.
    PassageForbidden {
        /// Its key.
        key: Key,
        /// The other host.
        passage: Passage,
        /// etcd's reason.
        message: String,
    },
    /// Nodes of the process before this one are kept although nothing asks for them, because not everything works.
    OrphansKept(usize),
    /// Too many nodes would go at once, though nothing proves that their containers have ended: they stay for now.
    HeldBack(HeldBack),
    /// Nodes are no longer held back.
    BrakeEnded {
        /// Why.
        end: BrakeEnd,
        /// How many of them go.
        deleted: usize,
    },
}

impl Notice {
    /// The container that it is about, if it is about one: by its id or its name.
    pub fn container(&self) -> Option<&str> {
        match self {
            Notice::EvaluationFailed { asker, .. }
            | Notice::NotSo { asker, .. }
            | Notice::Printed { asker, .. }
            | Notice::EvaluationRecovered(asker) => Some(asker.container.as_str()),
            Notice::Remarked { container, .. } => Some(container),
            _ => None,
        }
    }

    /// How loud it is.
    pub fn level(&self) -> Level {
        match self {
            Notice::Printed { line, .. } | Notice::Remark { line, .. } => line.level,
            Notice::InstanceStarted { .. }
            | Notice::InstanceStopped(_)
            | Notice::EvaluationRecovered(_)
            | Notice::ConflictEnded { .. }
            | Notice::HostConflictEnded { .. }
            | Notice::Synced { .. }
            | Notice::BrakeEnded { .. }
            | Notice::Remarked {
                remark: Remark::PassedOver(_),
                ..
            }
            | Notice::Registered { .. }
            | Notice::Removed(_)
            | Notice::HandedOver { .. }
            | Notice::Shared { .. } => Level::Info,
            Notice::Conflict { .. }
            | Notice::AnswersForOthers { .. }
            | Notice::HostConflict { .. }
            | Notice::Repaired { .. }
            | Notice::Foreign { .. }
            | Notice::ObjectBlocked { .. }
            | Notice::NodeOfObject { .. }
            | Notice::Missed { .. }
            | Notice::NotSo { .. }
            | Notice::Remarked { .. }
            | Notice::OrphansKept(_)
            | Notice::HeldBack(_) => Level::Warn,
            Notice::Problem(Problem::Policy { .. } | Problem::Config { .. }) => Level::Error,
            Notice::Problem(problem) if problem.is_idle() => Level::Info,
            Notice::Problem(_) => Level::Warn,
            Notice::EvaluationFailed { .. }
            | Notice::Rejected { .. }
            | Notice::PassageForbidden { .. } => Level::Error,
        }
    }

    /// The key that it is about, if it is about one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Notice::Conflict { key, .. }
            | Notice::ConflictEnded { key, .. }
            | Notice::Registered { key, .. }
            | Notice::Removed(key)
            | Notice::HandedOver { key, .. }
            | Notice::Shared { key, .. }
            | Notice::HostConflict { key, .. }
            | Notice::HostConflictEnded { key, .. }
            | Notice::Repaired { key, .. }
            | Notice::Foreign { key, .. }
            | Notice::ObjectBlocked { key, .. }
            | Notice::NodeOfObject { key, .. }
            | Notice::Missed { key, .. }
            | Notice::Rejected { key, .. }
            | Notice::PassageForbidden { key, .. } => Some(key),
            Notice::InstanceStarted { .. }
            | Notice::InstanceStopped(_)
            | Notice::Problem(_)
            | Notice::EvaluationFailed { .. }
            | Notice::NotSo { .. }
            | Notice::Remarked { .. }
            | Notice::EvaluationRecovered(_)
            | Notice::Printed { .. }
            | Notice::Remark { .. }
            | Notice::AnswersForOthers { .. }
            | Notice::Synced { .. }
            | Notice::OrphansKept(_)
            | Notice::HeldBack(_)
            | Notice::BrakeEnded { .. } => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key().is_some() {
            return f.write_str(&one_line(&OfKey(self).to_string()));
        }
        match self {
            Notice::InstanceStarted {
                instance,
                reloaded: false,
            } => write!(f, "instance {instance} runs"),
            Notice::InstanceStarted {
                instance,
                reloaded: true,
            } => write!(f, "instance {instance} reloaded"),
            Notice::InstanceStopped(instance) => write!(f, "instance {instance} is gone"),
            Notice::Problem(problem) => write!(f, "{problem}"),
            Notice::EvaluationFailed { asker, error } => {
                write!(
                    f,
                    "policy failed for container {asker}, its last good nodes stay: {error}"
                )
            }
            Notice::NotSo { asker, count, lost } => write!(
                f,
                "{count} of the last good nodes for container {asker} go, because it no longer has what they name: {lost}"
            ),
            Notice::Remarked { container, remark } => {
                f.write_str(&one_line(&format!("container {container}: {remark}")))
            }
            Notice::EvaluationRecovered(asker) => {
                write!(f, "policy succeeds again for container {asker}")
            }
            Notice::Printed { asker, line } => {
                let text = format!("message from the policy for container {asker}: {line}");
                f.write_str(&one_line(&text))
            }
            Notice::Remark { used, line } => write!(f, "{used}: {line}"),
            Notice::AnswersForOthers { overlap, of, below } => write!(
                f,
                "CoreDNS answers {} of {of} with what is below it too, such as {} of {below}: give one of them another name, or a domain of its own",
                overlap.name, overlap.below
            ),
            Notice::Synced { nodes, containers } => write!(
                f,
                "in sync: {nodes} nodes for {containers} running containers"
            ),
            Notice::OrphansKept(count) => write!(
                f,
                "{count} nodes of the process before this one stay although no container asks for them, \
                 until all policies, configurations and evaluations work"
            ),
            Notice::HeldBack(held_back) => write!(
                f,
                "{}. They stay for now. If this is meant, let them go: kontena-registrator brake release, or SIGUSR1. If not, mend it, and nothing is lost. {}",
                held_back.reason(),
                match held_back.for_at_most {
                    Some(wait) => format!("Otherwise they go in {}", span(wait)),
                    None => "They stay until then".to_owned(),
                }
            ),
            Notice::BrakeEnded { end, deleted } => {
                let why = match end {
                    BrakeEnd::Mended => "the cause is mended",
                    BrakeEnd::Released => "as asked for",
                    BrakeEnd::Over => "the time of --max-delete-hold is over",
                };
                write!(f, "nodes are no longer held back, {why}")?;
                match deleted {
                    0 => Ok(()),
                    deleted => write!(f, "; {deleted} of them go"),
                }
            }
            _ => Ok(()),
        }
    }
}
