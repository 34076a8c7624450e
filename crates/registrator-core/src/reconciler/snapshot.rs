//! Numbers, lists, and what somebody should look at, counted when somebody asks.

use super::{EtcdSight, Reconciler};
use crate::evaluate::origin::Origin;
use crate::node::{Key, Nodes};
use crate::observe::container::Container;
use crate::observe::instance::Problem;
use crate::own::LeaseId;
use crate::own::keys::AboutTracked;
use crate::tell::explanation::sides;
use crate::tell::objects::{definitions, name, named};
use crate::tell::snapshot::{
    Attention, BrakeState, ContainerLine, Counts, NodeFilter, NodePage, PROBLEM_KINDS,
};
use crate::tell::state::KeyState;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Reconciler {
    /// All numbers.
    pub fn counts(&self, now: Instant) -> Counts {
        let running = self.containers.iter().filter(|(_, it)| it.running());
        let running = running.count();
        let mut counts = Counts {
            started: self.started,
            in_sync: self.settled() && !self.releasing(),
            ending: self.ending(),
            connected: self.keys.connected(),
            nodes: KeyState::ALL.map(|state| (state, 0)).into(),
            running,
            stopped: self.containers.len() - running,
            conflicts_on_host: self.conflicts.len(),
            brake: self.brake_state(now),
            ..Counts::default()
        };
        self.count_keys(&mut counts);
        self.count_registrators(&mut counts);
        self.count_policies(&mut counts);
        counts
    }

    fn count_keys(&self, counts: &mut Counts) {
        for (key, known) in self.all_keys() {
            let standing = self.standing_of(key, known, EtcdSight::Followed);
            if let Some(state) = standing.state {
                *counts.nodes.entry(state).or_default() += 1;
            }
            let (Some(who), Some(view)) = (standing.who, standing.view) else {
                continue;
            };
            let held = view.node.as_ref().map(|held| &held.value);
            let mut others = view.asked_by_others(who);
            let differ = others.any(|(value, _)| Some(value) != standing.wish.or(held));
            counts.conflicts_in_cluster += usize::from(differ && standing.state.is_some());
        }
    }

    /// All keys that are asked for here, or of interest in etcd, in their order, with what is known of the latter.
    fn all_keys(&self) -> impl Iterator<Item = (&Key, Option<AboutTracked<'_>>)> {
        let mut wished = self.desired.iter().map(|(key, _)| key).peekable();
        let mut tracked = self.keys.tracked().peekable();
        std::iter::from_fn(move || {
            let is_tracked = match (wished.peek(), tracked.peek()) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(wish), Some((key, _))) => key <= wish,
            };
            if !is_tracked {
                // A field of an object may be asked for by itself too.
                return wished.next().map(|key| (key, self.keys.about(key)));
            }
            let (key, known) = tracked.next()?;
            wished.next_if(|wish| *wish == key);
            Some((key, Some(known)))
        })
    }

    fn count_registrators(&self, counts: &mut Counts) {
        let Some(who) = self.keys.who() else {
            return;
        };
        let others = who.registrators.keys().filter(|lease| **lease != who.me);
        let (suspect, alive): (Vec<LeaseId>, Vec<LeaseId>) =
            others.copied().partition(|lease| who.suspects(*lease));
        counts.alive = alive.len() + 1;
        counts.suspect = suspect.len();
    }

    fn count_policies(&self, counts: &mut Counts) {
        for policy in self.instances.policies() {
            counts.instances.entry(policy.to_string()).or_default();
            counts.failing.entry(policy.to_string()).or_default();
        }
        for instance in self.instances.iter() {
            let policy = instance.id.policy.to_string();
            *counts.instances.entry(policy).or_default() += 1;
        }
        for (origin, _) in self.failures() {
            let policy = origin.instance.policy.to_string();
            *counts.failing.entry(policy).or_default() += 1;
        }
        counts.problems = PROBLEM_KINDS.map(|kind| (kind, 0)).into();
        for problem in self.problems().filter(|problem| !problem.is_idle()) {
            let kind = match problem {
                Problem::Policy { .. } => "policy",
                _ => "config",
            };
            *counts.problems.entry(kind).or_default() += 1;
        }
        counts.problems.insert("file", self.unread_files.len());
        let unread = self.unread_containers.len();
        counts.problems.insert("container", unread);
    }

    /// What the brake holds back; `None` if it is not engaged.
    pub fn brake_state(&self, now: Instant) -> Option<BrakeState> {
        let since = self.brake.engaged()?;
        let mut causes: BTreeMap<String, usize> = BTreeMap::new();
        for (_, cause) in self.departures.held_back() {
            *causes.entry(cause.to_string()).or_default() += 1;
        }
        Some(BrakeState {
            nodes: causes.values().sum(),
            causes: causes.into_iter().collect(),
            since: now.saturating_duration_since(since),
            ends_in: self
                .brake_ends_at()
                .map(|at| at.saturating_duration_since(now)),
        })
    }

    /// The first keys that the brake holds back.
    pub fn held_back_keys(&self, limit: usize) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.departures.held_back().map(|(key, _)| key).collect();
        keys.sort();
        keys.truncate(limit);
        keys
    }

    /// The nodes behind `after` that fit, `limit` of them at most.
    pub fn node_page(
        &self,
        filter: &NodeFilter,
        after: &str,
        limit: usize,
        now: Instant,
    ) -> NodePage {
        let keys = self.all_keys();
        let keys = keys.skip_while(|(key, _)| key.as_str() <= after);
        let keys = keys.filter(|(key, _)| key.as_str().starts_with(&filter.prefix));
        let mut found = keys.filter_map(|(key, known)| {
            let state = self.standing_of(key, known, EtcdSight::Followed).state?;
            let fits = filter.state.is_none_or(|wanted| wanted == state);
            (fits && self.has_text(key, &filter.text)).then_some(key)
        });
        let nodes: Vec<&Key> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        NodePage {
            nodes: nodes
                .into_iter()
                .map(|key| self.about_followed(key, now))
                .collect(),
            more,
        }
    }

    fn has_text(&self, key: &Key, text: &str) -> bool {
        if text.is_empty() || key.as_str().contains(text) {
            return true;
        }
        let mut candidates = self.desired.candidates(key).into_iter().flatten();
        candidates.any(|(value, origins)| {
            let named = |origin: &Origin| {
                let container = self.containers.get(&origin.container);
                container.is_some_and(|it| it.name().contains(text))
            };
            value.as_str().contains(text) || origins.iter().any(named)
        })
    }

    /// The containers behind the one called `after` whose names have this in them, `limit` of them at most; and whether there are
    /// more. They are in the order of their names.
    pub fn container_page(
        &self,
        text: &str,
        after: &str,
        limit: usize,
    ) -> (Vec<ContainerLine>, bool) {
        let all = self.containers.iter().map(|(_, container)| container);
        let fit = all.filter(|it| it.name().contains(text) || it.id().as_str().starts_with(text));
        let mut found: Vec<&Container> = fit.filter(|it| it.name() > after).collect();
        found.sort_by_key(|it| (it.name(), it.id()));
        let more = found.len() > limit;
        let lines = found.into_iter().take(limit);
        (lines.map(|it| self.container_line(it)).collect(), more)
    }

    fn container_line(&self, container: &Container) -> ContainerLine {
        let (mut keys, mut failing) = (BTreeSet::new(), false);
        for instance in self.instances.iter() {
            let origin = Origin {
                instance: instance.id.clone(),
                container: container.id().clone(),
            };
            if let Some(about) = self.evaluations.about(&origin) {
                failing |= about.failure.is_some();
                keys.extend(about.nodes.into_iter().flat_map(Nodes::keys));
            }
        }
        let states = keys.iter();
        let states = states.filter_map(|key| self.standing(key, EtcdSight::Followed).state);
        ContainerLine {
            id: container.id().as_str().to_owned(),
            name: container.name().to_owned(),
            running: container.running(),
            nodes: keys.len(),
            worst: states.max_by_key(|state| (state.needs_attention(), !state.is_fulfilled())),
            failing,
        }
    }

    /// What somebody should look at, `limit` of it at most, and how much there is, when there are these `counts`.
    pub fn attention(&self, counts: &Counts, limit: usize) -> (Vec<Attention>, usize) {
        let problems = self.problems().filter(|problem| !problem.is_idle());
        let problems = problems.map(|problem| Attention {
            kind: "problem",
            about: problem.policy().map(|policy| ("instance", policy.into())),
            text: problem.to_string(),
        });
        let failures = self.failures().map(|(origin, error)| {
            let asker = self.asker(origin);
            Attention {
                kind: "failing",
                text: format!("{} for {}: {error}", asker.instance, asker.name),
                about: Some(("container", asker.container.to_string())),
            }
        });
        let conflicts = self.conflicts.iter();
        let conflicts = conflicts.filter(|(key, _)| !self.tells_definitions(key));
        let conflicts = conflicts.map(|(key, told)| Attention {
            kind: "conflict",
            about: Some(("key", name(key).into())),
            text: told.to_string(),
        });
        let mut states = counts.nodes.iter();
        let any = states.any(|(state, count)| *count > 0 && state.needs_attention());
        let keys = any.then(|| self.all_keys()).into_iter().flatten();
        let keys = keys.filter_map(|(key, known)| self.key_attention(key, known));
        let mut all = problems.chain(failures).chain(conflicts).chain(keys);
        let first: Vec<Attention> = all.by_ref().take(limit).collect();
        let count = first.len() + all.count();
        (first, count)
    }

    fn key_attention(&self, key: &Key, known: Option<AboutTracked<'_>>) -> Option<Attention> {
        let standing = self.standing_of(key, known, EtcdSight::Followed);
        let state = standing.state.filter(|state| state.needs_attention())?;
        let held = standing.view.and_then(|view| view.node.as_ref());
        let held = held.map(|held| held.value.as_str()).unwrap_or_default();
        let is_object = key.object().is_some();
        if let Some(object) = &standing.object {
            let text = format!("{key} is a node of {} too", named(object));
            return Some(of_key(key, state, text));
        }
        let what = match state {
            KeyState::Blocked if is_object => {
                return standing
                    .obstacle
                    .map(|told| of_key(key, state, told.to_string()));
            }
            KeyState::Blocked => format!("holds {held}, which no registrator wrote"),
            KeyState::Outvoted if !is_object => {
                format!("holds the smaller value {held} of another host")
            }
            KeyState::Disputed | KeyState::Outvoted => {
                let here = self.desired.candidates(key);
                let asked = self.asked_values(here, standing.view, standing.who);
                return Some(of_key(key, state, definitions(key, &sides(&asked))));
            }
            KeyState::Rejected => "is refused by etcd".to_owned(),
            KeyState::Kept => {
                "was left by the process before, and a wish for it may be hidden".into()
            }
            KeyState::HeldBack => {
                "is asked for by nobody any more, and held back by the brake".into()
            }
            KeyState::Registered | KeyState::Pending | KeyState::Shared => return None,
        };
        Some(of_key(key, state, format!("{} {what}", named(key))))
    }

    /// Whether an object is in a state that tells of its definitions, those of other hosts too.
    fn tells_definitions(&self, key: &Key) -> bool {
        let state = self.standing(key, EtcdSight::Followed).state;
        let tells = matches!(state, Some(KeyState::Disputed | KeyState::Outvoted));
        tells && key.object().is_some()
    }
}

fn of_key(key: &Key, state: KeyState, text: String) -> Attention {
    Attention {
        kind: state.name(),
        about: Some(("key", name(key).into())),
        text,
    }
}
