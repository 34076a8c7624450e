//! Why a container, a key or an instance has what it has in etcd, or has not: an answer made of the present state alone.

mod find;
mod instance;

pub use find::{Asked, Unfound};

use super::standing::is_disputed;
use super::{EtcdSight, Reconciler};
use crate::evaluate::evaluations::AboutEvaluation;
use crate::evaluate::origin::Origin;
use crate::merge::desired::Candidates;
use crate::node::{Definition, Key, Nodes, Object, Value};
use crate::observe::container::{Container, ContainerId};
use crate::observe::document::{Document, Part};
use crate::observe::instance::{InstanceId, Problem};
use crate::own::{Held, View, Who};
use crate::tell::explanation::{
    About, AboutContainer, AboutKey, AboutOrigin, AskedValue, Explanation, InEtcd, LastOutcome,
    sides,
};
use crate::tell::notice::Notice;
use crate::tell::objects::{definitions, named};
use crate::tell::state::KeyState;
use std::collections::BTreeMap;
use std::time::Instant;

/// How many of those who ask for a value are named.
const NAMED: usize = 5;

/// What an answer is made with.
#[derive(Clone, Copy)]
struct Now<'a> {
    sight: EtcdSight<'a>,
    now: Instant,
}

impl Reconciler {
    /// Explains what was asked about.
    ///
    /// # Errors
    /// There is no such thing, or there are several.
    pub fn explain(
        &self,
        asked: &Asked,
        sight: EtcdSight<'_>,
        now: Instant,
    ) -> Result<Explanation, Unfound> {
        let at = Now { sight, now };
        let about = match self.find(asked, sight)? {
            find::Meant::Container(id) => self.about_container(&id, at).map(About::Container),
            find::Meant::Key(key) => Some(About::Key(Box::new(self.about_key(&key, at)))),
            find::Meant::Instance(name) => {
                Some(About::Instance(Box::new(self.about_instance(&name, at))))
            }
        };
        Ok(Explanation {
            about: about.ok_or(Unfound::Nothing(Vec::new()))?,
            circumstances: self.circumstances(),
            recent: Vec::new(),
            evaluated_now: matches!(sight, EtcdSight::Read { .. }),
        })
    }

    /// All that is known of a key.
    pub(super) fn about_followed(&self, key: &Key, now: Instant) -> AboutKey {
        let sight = EtcdSight::Followed;
        self.about_key(key, Now { sight, now })
    }

    /// What is true of all keys now.
    fn circumstances(&self) -> Vec<String> {
        let mut all = Vec::new();
        if !self.started {
            all.push("Not everything was read and evaluated once yet, and nothing is written before that.".to_owned());
        }
        all
    }

    fn about_container(&self, id: &ContainerId, at: Now<'_>) -> Option<Box<AboutContainer>> {
        let container = self.containers.get(id)?;
        let instances = if container.running() {
            let all = self.instances.iter();
            all.map(|it| self.about_origin(origin(&it.id, id), at))
                .collect()
        } else {
            Vec::new()
        };
        let asked = instances
            .iter()
            .any(|it: &AboutOrigin| !it.nodes.is_empty());
        let problems = self.instances.problems();
        let problems = problems.filter(|problem| !problem.is_idle() || !asked);
        let problems = problems.filter(|_| container.running());
        let document = container.document();
        Some(Box::new(AboutContainer {
            connected: self.is_connected(at),
            started: self.started,
            unread: self.unread_containers.contains(id),
            remarks: self
                .containers
                .remarks(id)
                .iter()
                .map(ToString::to_string)
                .collect(),
            problems: problems.map(Problem::to_string).collect(),
            unwished: self
                .departures
                .of_container(id)
                .map(|key| self.about_key(key, at))
                .collect(),
            kept: if self.keep_orphans() {
                self.keys.orphans().len()
            } else {
                0
            },
            instances,
            ..facts(container, &document)
        }))
    }

    fn is_connected(&self, at: Now<'_>) -> bool {
        match at.sight {
            EtcdSight::Followed => self.keys.connected(),
            EtcdSight::Read { .. } => true,
        }
    }

    fn about_origin(&self, origin: Origin, at: Now<'_>) -> AboutOrigin {
        let about = self.evaluations.about(&origin);
        let nodes = about.and_then(|about| about.nodes);
        AboutOrigin {
            instance: origin.instance.to_string(),
            outcome: outcome(about, at.now),
            reasons: about
                .map(|about| about.reasons.to_vec())
                .unwrap_or_default(),
            nodes: nodes
                .into_iter()
                .flat_map(|nodes| self.about_nodes(nodes, at))
                .collect(),
        }
    }

    fn about_nodes(&self, nodes: &Nodes, at: Now<'_>) -> Vec<AboutKey> {
        let single = nodes
            .iter()
            .map(|(key, values)| self.about_asked(key, values.iter().next(), at));
        let of_objects = nodes.objects().flat_map(|object| {
            let itself = self.about_asked(object.marker(), Some(object.text()), at);
            let members = object.members().iter();
            let members = members.map(|member| self.about_member(object, member, at));
            std::iter::once(itself).chain(members)
        });
        single.chain(of_objects).collect()
    }

    /// A key that a container asks for with this value, which another of this host's containers may outdo.
    fn about_asked(&self, key: &Key, value: Option<&Value>, at: Now<'_>) -> AboutKey {
        let mut about = self.about_key(key, at);
        let Some(value) = value.filter(|value| about.value.as_ref() != Some(*value)) else {
            return about;
        };
        let standing = self.standing(key, at.sight);
        if let Some((object, who)) = standing.object.as_ref().zip(standing.who) {
            let state = self.wished_beside(who, key, value, standing.view, object, at.sight);
            let about = AboutKey {
                value: Some(value.clone()),
                state: Some(state),
                member_of: None,
                why: None,
                ..about
            };
            return self.beside(about, object, at);
        }
        let winner = about.value.replace(value.clone());
        let is_object = key.object().is_some();
        if about.unwished || (is_object && winner == Some(Definition::disputed())) {
            return about;
        }
        about.why = Some(if is_object {
            definitions(key, &sides(&about.candidates))
        } else {
            let winner = winner.as_ref().map_or("another value", Value::as_str);
            format!(
                "{winner} is asked for under the same key on this host, and of different values the smallest is registered"
            )
        });
        about.state = Some(KeyState::Outvoted);
        about
    }

    /// A node that is asked for by itself, and that an object has too, which is decided.
    fn beside(&self, about: AboutKey, object: &Key, at: Now<'_>) -> AboutKey {
        let held = about.held.as_ref().map(|held| &held.value);
        let is_seen = held.is_some() && held == about.value.as_ref();
        let is_fulfilled = about.state.is_none_or(KeyState::is_fulfilled);
        // Of an object of another registrator not every node is watched: then it is known by that.
        if is_fulfilled && is_seen {
            return about;
        }
        let of_object = self.standing(object, at.sight).state;
        let of_object = of_object.filter(|state| !state.is_fulfilled());
        let which = of_object.map_or(String::new(), |state| format!(", which is {state},"));
        AboutKey {
            member_of: Some(object.clone()),
            why: Some(format!("{}{which} has this node too", named(object))),
            ..about
        }
    }

    /// A member of an object that a container asks for. It is asked for under its key only while this definition of the object stands.
    fn about_member(&self, object: &Object, (key, value): (&Key, &Value), at: Now<'_>) -> AboutKey {
        let (marker, text) = (object.marker(), object.text());
        if self.desired.text_of(marker) == Some(text) {
            return self.about_asked(key, Some(value), at);
        }
        let about = AboutKey {
            value: Some(value.clone()),
            ..self.about_key(key, at)
        };
        self.with_its_object(about, marker, text, at)
    }

    /// A member of an object whose definition does not stand, and which goes with that one.
    fn with_its_object(
        &self,
        about: AboutKey,
        marker: &Key,
        text: &Value,
        at: Now<'_>,
    ) -> AboutKey {
        let object = self.about_asked(marker, Some(text), at);
        let state = object.state.map(|state| match state {
            // What follows from that it is there was not decided yet.
            KeyState::Registered | KeyState::Shared => KeyState::Pending,
            other => other,
        });
        let which = match state {
            Some(KeyState::Outvoted) => "of which another definition counts".to_owned(),
            Some(state) => format!("which is {state}"),
            None => "for which nobody asks any more".to_owned(),
        };
        AboutKey {
            state,
            why: Some(format!("a member of {}, {which}", named(marker))),
            member_of: Some(marker.clone()),
            unwished: false,
            ..about
        }
    }

    fn about_key(&self, key: &Key, at: Now<'_>) -> AboutKey {
        let standing = self.standing(key, at.sight);
        let view = standing.view;
        let who = standing.who;
        let node = view.and_then(|view| view.node.as_ref());
        // Without a session nothing is known of what is there now.
        let held = who.zip(node).map(|(who, node)| in_etcd(node, who));
        let value = standing.wish.cloned();
        let value = value.or_else(|| {
            let mine = held.as_ref().filter(|held| held.me);
            mine.map(|held| held.value.clone())
        });
        let about = AboutKey {
            key: key.clone(),
            member_of: None,
            state: standing.state,
            since: self.times.age(key, at.now).filter(|_| who.is_some()),
            candidates: self.asked_values(self.desired.candidates(key), view, who),
            why: self.why(key, standing.state, standing.obstacle),
            unwished: standing.wish.is_none(),
            connected: self.is_connected(at),
            value,
            held,
        };
        if let Some(object) = &standing.object {
            return self.beside(about, object, at);
        }
        let waiting = about.state.is_none();
        let waiting = waiting.then(|| self.desired.waiting_member(key)).flatten();
        let Some((marker, text, candidates)) = waiting else {
            return about;
        };
        let about = AboutKey {
            value: candidates.keys().next().cloned(),
            candidates: self.asked_values(Some(&candidates), view, who),
            ..about
        };
        self.with_its_object(about, &marker, text, at)
    }

    /// What the state alone does not say.
    fn why(&self, key: &Key, state: Option<KeyState>, obstacle: Option<&Notice>) -> Option<String> {
        match (state?, obstacle) {
            (KeyState::Rejected, Some(obstacle))
            | (KeyState::Blocked, Some(obstacle @ Notice::ObjectBlocked { .. })) => {
                Some(obstacle.to_string())
            }
            (KeyState::Kept, _) => Some(format!(
                "a wish for it may be hidden: {}",
                self.what_hides_wishes()
            )),
            (KeyState::HeldBack, _) => {
                let (cause, _) = self.departures.about(key)?;
                Some(format!("why nobody asks for it: {cause}"))
            }
            _ => None,
        }
    }

    /// What keeps it from being known what all containers ask for.
    fn what_hides_wishes(&self) -> String {
        if let Some(file) = self.unread_files.iter().next() {
            return format!("{file} cannot be read");
        }
        if let Some(id) = self.unread_containers.iter().next() {
            return format!("Docker cannot inspect container {}", id.short());
        }
        let mut problems = self.instances.problems();
        if let Some(problem) = problems.find(|problem| problem.hides_nodes()) {
            return problem.to_string();
        }
        match self.evaluations.hidden() {
            Some((origin, error)) => format!("{} fails: {error}", self.asker(origin)),
            None => "not everything was read and evaluated yet".to_owned(),
        }
    }

    /// The values that are asked for, here and by other hosts.
    pub(super) fn asked_values(
        &self,
        here: Option<&Candidates>,
        view: Option<&View>,
        who: Option<&Who>,
    ) -> Vec<AskedValue> {
        let mut all: BTreeMap<&Value, AskedValue> = BTreeMap::new();
        let entry = |value: &Value| AskedValue {
            value: value.clone(),
            askers: Vec::new(),
            more: 0,
            hosts: Vec::new(),
        };
        for (value, origins) in here.into_iter().flatten() {
            let askers = origins.iter().take(NAMED);
            let asked = all.entry(value).or_insert_with(|| entry(value));
            asked.askers = askers.map(|origin| self.asker(origin)).collect();
            asked.more = origins.len().saturating_sub(NAMED);
        }
        if let Some((view, who)) = view.zip(who) {
            for (value, lease) in view.asked_by_others(who) {
                let asked = all.entry(value).or_insert_with(|| entry(value));
                asked.hosts.push(who.name(lease));
            }
        }
        all.into_values().collect()
    }
}

/// What etcd holds under a key of which nothing was known, for the registrators that take part.
pub fn fill_in(about: &mut AboutKey, who: &Who, view: &View) {
    about.held = view.node.as_ref().map(|node| in_etcd(node, who));
    let is_strict = |held: &Held| Definition::is_strict(&about.key, &held.value);
    let is_disputed =
        view.node.as_ref().is_some_and(is_strict) && is_disputed(who, &about.key, view);
    for (value, lease) in view.asked_by_others(who) {
        let is_told = view.holder() == Some(lease) && !is_disputed;
        if !is_told {
            about.candidates.push(AskedValue {
                value: value.clone(),
                askers: Vec::new(),
                more: 0,
                hosts: vec![who.name(lease)],
            });
        }
    }
    if is_disputed {
        about.why = Some(definitions(&about.key, &sides(&about.candidates)));
    }
}

fn in_etcd(node: &Held, who: &Who) -> InEtcd {
    let host = node.lease.filter(|lease| who.knows(*lease));
    InEtcd {
        value: node.value.clone(),
        host: host.map(|lease| who.name(lease)),
        me: node.lease == Some(who.me),
        lease: node.lease.map(|lease| lease.to_string()),
        revision: node.mod_revision,
    }
}

fn origin(instance: &InstanceId, container: &ContainerId) -> Origin {
    Origin {
        instance: instance.clone(),
        container: container.clone(),
    }
}

fn outcome(about: Option<AboutEvaluation<'_>>, now: Instant) -> LastOutcome {
    match about {
        None => LastOutcome::Evaluating,
        Some(AboutEvaluation {
            failure: Some((error, since, times, retry_at)),
            ..
        }) => LastOutcome::Failed {
            error: error.clone(),
            since: now.saturating_duration_since(since),
            times,
            retry_in: retry_at.map(|at| at.saturating_duration_since(now)),
        },
        Some(about) if about.pending => LastOutcome::Evaluating,
        Some(_) => LastOutcome::Done,
    }
}

/// What the engine says of a container.
fn facts(container: &Container, document: &Document) -> AboutContainer {
    let text = |path: &[&str]| {
        let text = document.at(path).and_then(Part::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let health = text(&["State", "Health", "Status"]).filter(|health| health != "none");
    let networks = document.at(&["NetworkSettings", "Networks"]);
    let networks = networks.into_iter().flat_map(Part::members);
    let ips = |network: Part<'_>| {
        let ips = ["IPAddress", "GlobalIPv6Address"].map(|name| network.member(name)?.as_str());
        let ips = ips.into_iter().flatten().filter(|ip| !ip.is_empty());
        ips.map(str::to_owned).collect()
    };
    AboutContainer {
        id: container.id().as_str().to_owned(),
        name: container.name().to_owned(),
        running: container.running(),
        status: container
            .status(document)
            .filter(|status| !status.is_empty())
            .unwrap_or("of unknown state")
            .to_owned(),
        health,
        network_mode: text(&["HostConfig", "NetworkMode"]),
        networks: networks
            .map(|(name, network)| (name.to_owned(), ips(network)))
            .collect(),
        // Of one that was not inspected since it ended this is the end before.
        finished_at: text(&["State", "FinishedAt"]).filter(|_| !container.has_ended()),
        unread: false,
        remarks: Vec::new(),
        connected: false,
        started: false,
        instances: Vec::new(),
        unwished: Vec::new(),
        kept: 0,
        problems: Vec::new(),
    }
}
