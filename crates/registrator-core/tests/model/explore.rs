//! Visits every world that can be reached, nearest first, and judges each.
//!
//! Own code rather than a model checker's: the shortest way to a fault is what a person wants to read, cycles must be found
//! for certain, and both need the whole graph.

use super::etcd::Etcd;
use super::rules::Rules;
use super::steps::{Step, after, steps};
use super::world::World;
use registrator_core::node::Value;
use registrator_core::own::{Held, LeaseId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// A key is not absent while somebody waits for it.
    NoGap,
    /// What a process asks for stays in etcd, as node or as claim, until it takes that back itself or its lease ends. Not so if
    /// somebody deletes its identity: then its nodes are a stranger's.
    Kept,
    /// Nobody is given a key that it does not ask for.
    Asked,
    /// At rest each key has the smallest wished value under the lease of one who wishes it, or is absent if nobody does.
    Truth,
    /// At rest the claims on a key are those of all others who wish it, with their values.
    Claims,
    /// What no registrator wrote is not touched by one that never had the key.
    Strangers,
    /// A request of a session that is over changes nothing.
    Fence,
    /// At rest each identity has one process.
    OneProcess,
    /// Without disturbances everything comes to an end.
    Rest,
}

/// A fault, and the shortest way to it.
#[derive(Debug)]
pub struct Fault {
    pub property: Property,
    pub way: String,
}

/// What a search without faults has seen.
#[derive(Debug)]
pub struct Seen {
    pub worlds: usize,
    /// The most transactions that follow the last disturbance, and the most of them that write.
    pub longest: (u32, u32),
}

struct Node {
    parent: Option<(u32, Step)>,
    /// Where moves lead to, and whether they send and write.
    moves: Vec<(u32, u8)>,
}

/// Visits all worlds.
pub fn explore(start: World, rules: &Rules) -> Result<Seen, Fault> {
    let mut known: HashMap<(u64, u64), u32> = HashMap::new();
    let mut nodes: Vec<Node> = Vec::new();
    let mut queue = VecDeque::new();
    let add = |world: &World, parent, known: &mut HashMap<_, _>, nodes: &mut Vec<Node>| {
        let next = nodes.len() as u32;
        let at = *known.entry(print_of(world)).or_insert(next);
        if at == next {
            nodes.push(Node {
                parent,
                moves: Vec::new(),
            });
        }
        (at, at == next)
    };
    let mut start = start;
    start.renumber();
    add(&start, None, &mut known, &mut nodes);
    queue.push_back((0, start.clone()));
    while let Some((at, world)) = queue.pop_front() {
        let possible = steps(&world, rules);
        if !possible.iter().any(|step| !step.disturbs())
            && let Some(property) = wrong_at_rest(&world)
        {
            return Err(fault(property, &start, &nodes, at, None, rules));
        }
        for step in possible {
            let next = after(&world, &step, rules);
            if let Some(property) = wrong_step(&world, &step, &next) {
                return Err(fault(property, &start, &nodes, at, Some(step), rules));
            }
            let effect = effect(&world, &step, &next);
            let moves = !step.disturbs();
            let parent = Some((at, step));
            let (to, new) = add(&next, parent, &mut known, &mut nodes);
            if moves {
                nodes[at as usize].moves.push((to, effect));
            }
            if new {
                queue.push_back((to, next));
            }
        }
    }
    match longest(&nodes) {
        Ok(longest) => Ok(Seen {
            worlds: nodes.len(),
            longest,
        }),
        Err(at) => Err(fault(Property::Rest, &start, &nodes, at, None, rules)),
    }
}

/// 128 bits stand for a world: the chance that two of some millions have the same is 1 to 10^25.
fn print_of(world: &World) -> (u64, u64) {
    let mut hashers = [DefaultHasher::new(), DefaultHasher::new()];
    0u8.hash(&mut hashers[1]);
    let [first, second] = hashers.map(|mut hasher| {
        world.hash(&mut hasher);
        hasher.finish()
    });
    (first, second)
}

/// 0 for nothing, 1 for a transaction, 3 for one that writes.
fn effect(before: &World, step: &Step, after: &World) -> u8 {
    let writes = before
        .etcd
        .keys
        .iter()
        .zip(&after.etcd.keys)
        .any(|(a, b)| content(a) != content(b));
    match step {
        Step::Perform(..) => 1 + 2 * u8::from(writes),
        _ => 0,
    }
}

fn content(view: &registrator_core::own::View) -> Vec<(Option<LeaseId>, &Value, Option<LeaseId>)> {
    let node = view.node.iter().map(|held| (None, &held.value, held.lease));
    let claims = view.claims.iter();
    let claims = claims.map(|(lease, held)| (Some(*lease), &held.value, held.lease));
    node.chain(claims).collect()
}

fn wrong_step(before: &World, step: &Step, after: &World) -> Option<Property> {
    if let Step::Late(stray) = step {
        let request = &before.strays[*stray];
        let current = before.etcd.identities[request.host].as_ref();
        let over = current.is_none_or(|identity| identity.revision != request.fence);
        let changed = before
            .etcd
            .keys
            .iter()
            .zip(&after.etcd.keys)
            .any(|(a, b)| content(a) != content(b));
        if over && changed {
            return Some(Property::Fence);
        }
    }
    if let Step::Perform((host, place), key) = step {
        let process = &before.hosts[*host].processes[*place];
        let (old, new) = (&before.etcd.keys[*key].node, &after.etcd.keys[*key].node);
        let strange = old.as_ref().is_some_and(is_strange);
        if strange && !process.keys[*key].managed && content_of(old) != content_of(new) {
            return Some(Property::Strangers);
        }
        let me = process.session.as_ref().map(|session| session.who.me);
        let (old, new) = (&before.etcd.keys[*key], &after.etcd.keys[*key]);
        let lost = |lease: &&LeaseId| old.concerns(**lease) && !new.concerns(**lease);
        let registrators = before.etcd.registrators();
        let mut losers = registrators.iter().filter(lost);
        let disowned = before.budget.contains_key("identity");
        if !disowned && losers.any(|lease| Some(*lease) != me) {
            return Some(Property::Kept);
        }
        let given = new.holder().filter(|holder| Some(*holder) != old.holder());
        if given.is_some_and(|holder| Some(holder) != me && !old.concerns(holder)) {
            return Some(Property::Asked);
        }
    }
    let registrators = after.etcd.registrators();
    let absent = after.etcd.keys.iter().enumerate().any(|(key, view)| {
        let waits = view.claims.keys().any(|lease| registrators.contains(lease));
        view.node.is_none() && waits && !after.etcd.excused.contains(&key)
    });
    absent.then_some(Property::NoGap)
}

/// In the model only a hand writes without a lease.
fn is_strange(held: &Held) -> bool {
    held.lease.is_none()
}

fn content_of(node: &Option<Held>) -> Option<(&Value, Option<LeaseId>)> {
    node.as_ref().map(|held| (&held.value, held.lease))
}

/// What is wrong with a world in which nothing moves any more.
fn wrong_at_rest(world: &World) -> Option<Property> {
    for host in &world.hosts {
        let in_session = host
            .processes
            .iter()
            .filter(|process| process.session.is_some());
        if in_session.count() > 1 {
            return Some(Property::OneProcess);
        }
    }
    for (key, view) in world.etcd.keys.iter().enumerate() {
        let wishes = world.processes().filter_map(|(host, place, process)| {
            let session = process.session.as_ref()?;
            Some((session.who.me, world.wish(host, place, key)?.clone()))
        });
        let wishes: BTreeMap<LeaseId, Value> = wishes.collect();
        let claims = view.claims.iter();
        let claims: BTreeMap<LeaseId, Value> = claims
            .map(|(lease, held)| (*lease, held.value.clone()))
            .collect();
        if view.node.as_ref().is_some_and(is_strange) {
            if !claims.is_empty() {
                return Some(Property::Claims);
            }
            continue;
        }
        let held = view.node.as_ref();
        let held = held.and_then(|held| Some((held.lease?, held.value.clone())));
        let right = match &held {
            None => wishes.is_empty(),
            Some((lease, value)) => {
                wishes.get(lease) == Some(value) && wishes.values().min() == Some(value)
            }
        };
        if !right {
            return Some(Property::Truth);
        }
        let mut others = wishes;
        others.retain(|lease, _| held.as_ref().is_none_or(|(holder, _)| holder != lease));
        if claims != others {
            return Some(Property::Claims);
        }
    }
    None
}

/// The longest ways of moves alone; the place of a cycle if there is one.
fn longest(nodes: &[Node]) -> Result<(u32, u32), u32> {
    const FRESH: u32 = u32::MAX;
    const OPEN: u32 = u32::MAX - 1;
    let mut sent = vec![FRESH; nodes.len()];
    let mut written = vec![0; nodes.len()];
    for root in 0..nodes.len() {
        let mut stack = vec![(root, 0)];
        while let Some((at, branch)) = stack.pop() {
            if branch == 0 {
                if sent[at] != FRESH {
                    continue;
                }
                sent[at] = OPEN;
            }
            match nodes[at].moves.get(branch) {
                Some((to, _)) => {
                    stack.push((at, branch + 1));
                    match sent[*to as usize] {
                        OPEN => return Err(*to),
                        FRESH => stack.push((*to as usize, 0)),
                        _ => {}
                    }
                }
                None => {
                    let ways = nodes[at].moves.iter().map(|(to, effect)| {
                        let to = *to as usize;
                        (
                            sent[to] + u32::from(effect & 1),
                            written[to] + u32::from(effect >> 1),
                        )
                    });
                    let (most_sent, most_written) =
                        ways.fold((0, 0), |(a, b), (c, d)| (a.max(c), b.max(d)));
                    (sent[at], written[at]) = (most_sent, most_written);
                }
            }
        }
    }
    let longest = |all: &[u32]| all.iter().copied().max().unwrap_or(0);
    Ok((longest(&sent), longest(&written)))
}

/// Retells the way to a place, with what etcd holds after each step.
fn fault(
    property: Property,
    start: &World,
    nodes: &[Node],
    at: u32,
    last: Option<Step>,
    rules: &Rules,
) -> Fault {
    let mut way: Vec<Step> = last.into_iter().collect();
    let mut place = at;
    while let Some((parent, step)) = &nodes[place as usize].parent {
        way.push(step.clone());
        place = *parent;
    }
    way.reverse();
    let mut text = String::new();
    let mut world = start.clone();
    for step in way {
        world = after(&world, &step, rules);
        let _ = writeln!(text, "{step:?}\n    etcd: {}", shown(&world.etcd));
    }
    Fault {
        property,
        way: text,
    }
}

fn shown(etcd: &Etcd) -> String {
    let keys = etcd.keys.iter().map(|view| {
        let node = view.node.as_ref();
        let node = node.map_or("-".to_owned(), |held| {
            format!("{}@{:?}", held.value, held.lease)
        });
        let claims = view.claims.iter();
        let claims: Vec<String> = claims
            .map(|(lease, held)| format!("{lease:?}={}", held.value))
            .collect();
        format!("{node} [{}]", claims.join(" "))
    });
    format!("{} lit {:?}", keys.collect::<Vec<_>>().join(", "), etcd.lit)
}
