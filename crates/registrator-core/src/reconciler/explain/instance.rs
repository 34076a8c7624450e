//! What is to be said of an instance.

use super::super::Reconciler;
use super::Now;
use crate::evaluate::origin::Origin;
use crate::node::Key;
use crate::observe::container::Container;
use crate::observe::instance::{InstanceId, Problem};
use crate::tell::explanation::AboutInstance;
use crate::tell::state::KeyState;
use std::collections::{BTreeMap, BTreeSet};

/// How many containers are named.
const NAMED: usize = 20;

impl Reconciler {
    pub(super) fn about_instance(&self, name: &str, at: Now<'_>) -> AboutInstance {
        let policy = name.split(':').next().unwrap_or(name);
        let problems = self.instances.problems();
        let of_it = problems.filter(|problem| problem.policy() == Some(policy));
        let mut about = AboutInstance {
            name: name.to_owned(),
            runs: false,
            problems: of_it.map(Problem::to_string).collect(),
            containers: 0,
            served: 0,
            states: Vec::new(),
            failing: (Vec::new(), 0),
            empty: (Vec::new(), 0),
            siblings: Vec::new(),
        };
        let all = || self.instances.iter().map(|it| &it.id);
        match all().find(|id| id.to_string() == name) {
            Some(id) => self.add_containers(&mut about, id, at),
            None => {
                let siblings = all().filter(|id| id.policy.as_str() == policy);
                about.siblings = siblings.map(ToString::to_string).collect();
            }
        }
        about
    }

    fn add_containers(&self, about: &mut AboutInstance, id: &InstanceId, at: Now<'_>) {
        about.runs = true;
        let mut keys: BTreeSet<&Key> = BTreeSet::new();
        let running = self.containers.iter().filter(|(_, it)| it.running());
        for (container, found) in running {
            about.containers += 1;
            let origin = Origin {
                instance: id.clone(),
                container: container.clone(),
            };
            let Some(known) = self.evaluations.about(&origin) else {
                continue;
            };
            let nodes = known.nodes.filter(|nodes| !nodes.is_empty());
            about.served += usize::from(nodes.is_some());
            keys.extend(nodes.into_iter().flat_map(|nodes| nodes.keys()));
            if let Some((error, ..)) = known.failure {
                name(&mut about.failing, found, error.to_string());
            } else if nodes.is_none() && !known.pending {
                let no_reason = || "the policy gives no node and no reason".to_owned();
                let reason = known.reasons.first().cloned();
                name(&mut about.empty, found, reason.unwrap_or_else(no_reason));
            }
        }
        let mut states: BTreeMap<KeyState, usize> = BTreeMap::new();
        for key in keys {
            if let Some(state) = self.standing(key, at.sight).state {
                *states.entry(state).or_default() += 1;
            }
        }
        about.states = states.into_iter().collect();
    }
}

fn name((named, count): &mut (Vec<(String, String)>, usize), of: &Container, why: String) {
    *count += 1;
    if named.len() < NAMED {
        named.push((of.name().to_owned(), why));
    }
}
