//! What would be written now: the reconciler's own decisions, listed instead of done.

use super::Reconciler;
use super::standing::{EtcdSight, Standing, is_disputed};
use crate::evaluate::origin::Origin;
use crate::merge::departures::Cause;
use crate::node::{Definition, Key, Value};
use crate::observe::instance::Problem;
use crate::own::{self, Op, View, Who};
use crate::tell::notice::{Asker, Notice};
use crate::tell::plan::{
    Action, Plan, PlannedCandidate, PlannedConflict, PlannedError, PlannedNode, PlannedReason,
};
use crate::tell::state::KeyState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Reconciler {
    /// The plan once everything is evaluated, as `who`, for what etcd holds. `views` has an entry for each key that exists and is
    /// asked for or held by `who`.
    pub fn plan(&self, who: &Who, views: &BTreeMap<Key, View>) -> Plan {
        let asked = self.desired().iter().map(|(key, _)| key);
        let keys: BTreeSet<&Key> = views.keys().chain(asked).collect();
        let sight = EtcdSight::Read { who, views };
        let definitions = self.definitions(sight, &keys);
        let parts = self.parts(&definitions, views);
        let nodes = keys.into_iter().filter(|key| !parts.contains(*key));
        let nodes = nodes.filter_map(|key| node(self, key, sight));
        let mut nodes: Vec<PlannedNode> = nodes.collect();
        let held = views.values().filter(|view| view.holder() == Some(who.me));
        let held_back = hold_back(self, &mut nodes, held.count());
        Plan {
            nodes,
            held_back,
            conflicts: conflicts(self, who, views),
            errors: errors(self),
            reasons: reasons(self),
            idle: Problem::idle(self.problems()),
            printed: Vec::new(),
            warnings: self.left_out(&definitions),
        }
    }
}

impl Reconciler {
    /// The definitions of objects once everything is written.
    fn definitions(
        &self,
        sight: EtcdSight<'_>,
        keys: &BTreeSet<&Key>,
    ) -> Vec<(Key, Arc<Definition>)> {
        let markers = keys.iter().filter(|key| key.object().is_some());
        let all = markers.filter_map(|marker| {
            let node = self.standing(marker, sight).after().node?;
            Some(((*marker).clone(), Definition::parse(marker, &node.value)?))
        });
        all.collect()
    }

    /// The fields of objects, which are decided with these.
    fn parts(
        &self,
        definitions: &[(Key, Arc<Definition>)],
        views: &BTreeMap<Key, View>,
    ) -> BTreeSet<Key> {
        let there = views.iter().filter_map(|(key, view)| {
            let definition = Definition::parse(key, &view.node.as_ref()?.value)?;
            Some(definition.fields.keys().cloned().collect::<Vec<_>>())
        });
        let wished = views
            .keys()
            .filter(|key| self.desired.object_of(key).is_some());
        let left = there.flatten().chain(wished.cloned());
        let left = left.filter(|key| self.desired.winner(key).is_none());
        let fields = definitions.iter().flat_map(|(_, it)| it.fields.keys());
        left.chain(fields.cloned()).collect()
    }

    /// What is to be said of nodes that are asked for by themselves, and that such definitions have with other values alone.
    fn left_out(&self, definitions: &[(Key, Arc<Definition>)]) -> Vec<String> {
        let mut differ: BTreeMap<&Key, (&Key, bool)> = BTreeMap::new();
        let fields = definitions.iter();
        let fields = fields.flat_map(|(marker, it)| it.fields.iter().map(move |it| (marker, it)));
        for (marker, (key, value)) in fields {
            let (_, differs) = differ.entry(key).or_insert((marker, true));
            *differs &= self.desired.winner(key) != Some(value);
        }
        let differ = differ.into_iter().filter(|(_, (_, differs))| *differs);
        let notices = differ.filter_map(|(key, (object, _))| {
            let value = self.desired.winner(key)?;
            let origins = self.desired.candidates(key)?.get(value)?;
            Some(Notice::NodeOfObject {
                key: key.clone(),
                value: value.clone(),
                askers: self.askers(origins),
                object: object.clone(),
            })
        });
        notices.map(|notice| notice.to_string()).collect()
    }

    /// Takes the members of objects for asked for that would stand once everything is written, for a plan as `who` for what etcd holds.
    pub fn foresee(&mut self, who: &Who, views: &BTreeMap<Key, View>) {
        let markers: Vec<Key> = self
            .desired
            .iter()
            .map(|(key, _)| key)
            .filter(|key| key.object().is_some())
            .cloned()
            .collect();
        for marker in markers {
            let sight = EtcdSight::Read { who, views };
            let standing = self.standing(&marker, sight);
            let view = standing.after();
            let is_blocked = standing.in_the_way.is_some_and(|it| !it.is_same);
            let stands = own::stands(who, &marker, &view).filter(|_| !is_blocked);
            self.desired.stand(&marker, stands.into());
        }
    }
}

/// What `run` would do with what the process before it left. A process that runs knows better which containers have ended.
fn hold_back(reconciler: &Reconciler, nodes: &mut [PlannedNode], held: usize) -> Option<String> {
    let is_deleted = |node: &&mut PlannedNode| node.action == Action::Delete;
    let count = nodes.iter_mut().filter(is_deleted).count();
    let held_back = reconciler.too_many([(Cause::LeftBefore, count)].into(), 0, held)?;
    for node in nodes.iter_mut().filter(is_deleted) {
        node.action = Action::Keep;
    }
    Some(held_back.reason())
}

fn node(reconciler: &Reconciler, key: &Key, sight: EtcdSight<'_>) -> Option<PlannedNode> {
    let standing = reconciler.standing(key, sight);
    let wish = standing.wish;
    let held = standing.view.and_then(|view| view.node.as_ref());
    let held = held.map(|held| &held.value);
    let (action, written) = action(key, &standing);
    let value = match action {
        Action::Create | Action::Change => written?,
        Action::Blocked => wish?,
        // What another holds concerns this host only if it is asked for here.
        Action::Wait => wish.and(held)?,
        Action::Disputed => wish?,
        Action::Delete | Action::Keep => held.or(wish)?,
    };
    let candidates = reconciler.desired().candidates(key).into_iter().flatten();
    // What a host that does not agree with itself wishes nobody asks for.
    let disputed =
        key.object().is_some() && wish.is_some_and(|wish| *wish == Definition::disputed());
    let origins = candidates
        .filter(|(candidate, _)| disputed || Some(*candidate) == wish)
        .flat_map(|(_, origins)| origins);
    Some(PlannedNode {
        key: key.clone(),
        value: value.clone(),
        old: held.filter(|held| *held != value).cloned(),
        in_the_way: standing
            .in_the_way
            .as_ref()
            .map(|it| (it.field.clone(), it.held.value.clone())),
        action,
        askers: askers(reconciler, origins),
    })
}

/// The action, and the value that is written: another registrator's if the node passes to it.
fn action<'a>(key: &Key, standing: &'a Standing<'_>) -> (Action, Option<&'a Value>) {
    let is_there = standing.view.is_some_and(|view| view.node.is_some());
    let me = standing.who.map(|who| who.me);
    if standing.state == Some(KeyState::Disputed) || will_be_disputed(key, standing) {
        return (Action::Disputed, None);
    }
    if standing.in_the_way.is_some() {
        return (Action::Blocked, None);
    }
    let written = standing.ops.iter().find_map(|op| match op {
        Op::Put(value, lease) if Some(*lease) == me && !is_there => {
            Some((Action::Create, Some(value)))
        }
        Op::Put(value, _) => Some((Action::Change, Some(value))),
        Op::Delete => Some((Action::Delete, None)),
        Op::PutClaim(..) | Op::DeleteClaim(_) | Op::PutField(..) | Op::DeleteField(_) => None,
    });
    let of_state = match standing.state {
        Some(KeyState::Registered | KeyState::Kept | KeyState::HeldBack) => Action::Keep,
        Some(KeyState::Shared | KeyState::Outvoted) | None => Action::Wait,
        Some(KeyState::Disputed) => Action::Disputed,
        Some(KeyState::Blocked) => Action::Blocked,
        // Nothing but claims stands in the way, or what is left of them.
        Some(KeyState::Pending | KeyState::Rejected) => match standing.holder() {
            holder if holder == me => Action::Keep,
            Some(_) => Action::Wait,
            None => Action::Blocked,
        },
    };
    written.unwrap_or((of_state, None))
}

/// Whether none of an object's definitions counts once that is written.
fn will_be_disputed(key: &Key, standing: &Standing<'_>) -> bool {
    let who = standing.who.filter(|_| standing.wish.is_some());
    who.is_some_and(|who| is_disputed(who, key, &standing.after()))
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
            hosts: Vec::new(),
        };
        let mut candidates: BTreeMap<&Value, PlannedCandidate> = asked
            .iter()
            .map(|(value, origins)| (value, candidate(value, askers(reconciler, origins))))
            .collect();
        let view = views.get(key);
        for (value, lease) in view.into_iter().flat_map(|view| view.asked_by_others(who)) {
            let entry = candidates.entry(value);
            let candidate = entry.or_insert_with(|| candidate(value, Vec::new()));
            candidate.hosts.push(who.name(lease));
        }
        if candidates.len() < 2 {
            continue;
        }
        let registered = registered(reconciler, key, EtcdSight::Read { who, views });
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
fn registered(reconciler: &Reconciler, key: &Key, sight: EtcdSight<'_>) -> Option<Value> {
    let standing = reconciler.standing(key, sight);
    let (_, written) = action(key, &standing);
    let held = standing.view.and_then(|view| view.node.as_ref());
    written.or(held.map(|held| &held.value)).cloned()
}

fn errors(reconciler: &Reconciler) -> Vec<PlannedError> {
    let problems = reconciler.problems().filter_map(problem);
    let failures = reconciler.failures().map(|(origin, error)| PlannedError {
        instance: Some(origin.instance.to_string()),
        container: Some(reconciler.asker(origin).name),
        kind: error.kind.to_string(),
        message: error.message.clone(),
        at: error.at.clone(),
    });
    problems.chain(failures).collect()
}

/// Of containers that run and for which no policy asks for anything.
fn reasons(reconciler: &Reconciler) -> Vec<PlannedReason> {
    let mut reasons = Vec::new();
    let running = reconciler.containers.iter().filter(|(_, it)| it.running());
    for (container, _) in running {
        let origins = reconciler.instances.iter().map(|it| Origin {
            instance: it.id.clone(),
            container: container.clone(),
        });
        let origins: Vec<Origin> = origins.collect();
        let about = |origin| reconciler.evaluations.about(origin);
        let asks = |origin| {
            let nodes = about(origin).and_then(|about| about.nodes);
            nodes.is_some_and(|nodes| !nodes.is_empty())
        };
        if origins.iter().any(asks) {
            continue;
        }
        for origin in &origins {
            let said = about(origin).map_or(&[][..], |about| about.reasons);
            reasons.extend(said.iter().map(|reason| PlannedReason {
                asker: reconciler.asker(origin),
                reason: reason.clone(),
            }));
        }
    }
    reasons
}

/// `None` if nothing that would be registered depends on it.
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
        Problem::Unchecked { policy, used, .. } => {
            (policy.to_string(), "config", Some(used.to_string()))
        }
        Problem::Stray { policy, found, .. } => {
            (policy.to_string(), "config", Some(found.to_string()))
        }
        Problem::TooMany { instance, .. } => (instance.to_string(), "limit", None),
        Problem::NoSchema(source, policy) | Problem::NoPolicy(source, policy) => {
            (policy.to_string(), "config", Some(source.to_string()))
        }
        Problem::NoConfig { .. } | Problem::Ignored { .. } => return None,
    };
    Some(PlannedError {
        instance: Some(instance),
        container: None,
        kind: kind.into(),
        message: problem.to_string(),
        at,
    })
}
