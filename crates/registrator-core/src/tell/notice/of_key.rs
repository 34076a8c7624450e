//! The texts of what is told of a key, be it a node or an object.

use super::{Askers, FieldHolder, Notice};
use crate::node::{Key, Value};
use crate::tell::objects::{changed, definitions, named, shown};
use std::fmt;

fn conflict(key: &Key, candidates: &[(Value, Askers)]) -> String {
    let of = |(value, askers): &(Value, Askers)| (value.clone(), format!("for {askers}"));
    let sides: Vec<(Value, String)> = candidates.iter().map(of).collect();
    if key.object().is_some() {
        return definitions(key, &sides);
    }
    let sides = sides
        .iter()
        .map(|(value, whose)| format!("{value} {whose}"));
    let sides: Vec<String> = sides.collect();
    format!(
        "different values for {key}, the smaller one is registered: {}",
        sides.join("; ")
    )
}

/// What is told of a key.
pub(super) struct OfKey<'a>(pub(super) &'a Notice);

impl fmt::Display for OfKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Notice::Conflict { key, candidates } => f.write_str(&conflict(key, candidates)),
            Notice::ConflictEnded {
                key,
                value: Some(value),
            } => write!(
                f,
                "one value for {} again: {}",
                named(key),
                shown(key, value)
            ),
            Notice::ConflictEnded { key, value: None } => {
                write!(f, "nobody asks for {} any more", named(key))
            }
            Notice::Registered {
                key,
                value,
                old: None,
                askers,
                ..
            } => write!(
                f,
                "registered {} = {}{}",
                named(key),
                shown(key, value),
                askers.clause()
            ),
            Notice::Registered {
                key,
                value,
                old: Some(old),
                askers,
                ..
            } => {
                let [now, old] = changed(key, value, old);
                write!(
                    f,
                    "changed {} = {now} (was {old}){}",
                    named(key),
                    askers.clause()
                )
            }
            Notice::Removed(key) => write!(f, "removed {}", named(key)),
            _ => OfHosts(self.0).fmt(f),
        }
    }
}

/// What other hosts have to do with.
struct OfHosts<'a>(&'a Notice);

impl fmt::Display for OfHosts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Notice::HandedOver { key, value, to } => {
                let (key, value) = (named(key), shown(key, value));
                write!(f, "handed {key} over to host {to}, as {value}")
            }
            Notice::Shared { key, holder, .. } => {
                write!(f, "host {holder} holds {} with the same value", named(key))
            }
            Notice::HostConflict {
                key,
                registered: (value, holder),
                waiting,
            } => {
                if key.object().is_some() {
                    let first = (value.clone(), format!("of host {holder}"));
                    let others = waiting.iter();
                    let others =
                        others.map(|(value, host)| (value.clone(), format!("of host {host}")));
                    let all: Vec<_> = std::iter::once(first).chain(others).collect();
                    return f.write_str(&definitions(key, &all));
                }
                let others: Vec<String> = waiting
                    .iter()
                    .map(|(value, host)| format!("{value} of host {host}"))
                    .collect();
                write!(
                    f,
                    "different values for {key} on several hosts: {value} of host {holder} is registered, waiting: {}",
                    others.join("; ")
                )
            }
            Notice::HostConflictEnded { key, value } => {
                let (key, value) = (named(key), shown(key, value));
                write!(f, "one value for {key} on all hosts again: {value}")
            }
            _ => OfObstacle(self.0).fmt(f),
        }
    }
}

/// What was, or is, in the way.
struct OfObstacle<'a>(&'a Notice);

impl fmt::Display for OfObstacle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Notice::Repaired { key, damage } => {
                write!(f, "somebody {}: written again", damage.done_to(key))
            }
            Notice::NodeOfObject {
                key,
                value,
                askers,
                object,
            } => write!(
                f,
                "{key} = {value}{} is not registered by itself: {} has this node too",
                askers.clause(),
                named(object)
            ),
            Notice::Foreign { key, value, wish } if key.object().is_some() => write!(
                f,
                "{} is not registered: its own key in etcd holds {value}, which no registrator wrote. Delete that to have {} registered",
                named(key),
                shown(key, wish)
            ),
            Notice::Foreign { key, value, wish } => write!(
                f,
                "{key} is not registered: it holds {value}, which no registrator wrote. Delete it to have {wish} registered"
            ),
            Notice::ObjectBlocked {
                key,
                field,
                value,
                by,
            } => {
                let key = named(key);
                let whose = match by {
                    None => "no registrator wrote".to_owned(),
                    Some(FieldHolder::Host(host)) => {
                        format!("host {host} registered")
                    }
                    Some(FieldHolder::Object(other)) => format!("{} has", named(other)),
                };
                write!(
                    f,
                    "{key} is not registered: {field} holds {value}, which {whose}. None of its nodes is written until that is gone"
                )
            }
            Notice::Missed { key, by } => {
                let by: Vec<&str> = by.iter().map(Key::as_str).collect();
                write!(
                    f,
                    "{} is missing while its definitions differ, and these refer to it: {}",
                    named(key),
                    by.join(", ")
                )
            }
            Notice::Rejected { key, message } => {
                write!(f, "etcd refuses {}: {message}", named(key))
            }
            Notice::PassageForbidden {
                key,
                passage,
                message,
            } => write!(
                f,
                "{} cannot be {passage}: {message}. Registrators that share keys need equal roles in etcd",
                named(key)
            ),
            _ => Ok(()),
        }
    }
}
