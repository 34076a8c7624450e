//! What can happen next. *Moves* are the system's own: they are not counted, and must come to an end. *Disturbances* are
//! what is done to it, each of them as often as the scenario says.

use super::etcd::{Answer, Request};
use super::rules::Rules;
use super::world::{Session, Tracked, World, value, who};
use registrator_core::own::{Held, KeyTxn, LeaseId, View};

/// A process: its host and its place there.
pub type At = (usize, usize);

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// The process claims its identity, and reads everything that is under its lease.
    Claim(At),
    /// The process notices that its session is over.
    Notice(At),
    /// The process finds that another one has its identity, and ends.
    Superseded(At),
    TellNode(At, usize),
    TellClaims(At, usize),
    TellWho(At),
    /// The process decides on a key, and sends what it decided.
    Send(At, usize, KeyTxn),
    /// The process has nothing to do for a key that it does not wish, and forgets it.
    Forget(At, usize),
    /// etcd performs what was sent, and the process hears of it.
    Perform(At, usize),
    /// All is released: the process gives up identity and leases.
    Leave(At),
    /// The beacon of a dead process goes out.
    BeaconEnds(LeaseId),
    /// The lease of a dead process ends.
    LeaseEnds(LeaseId),
    /// etcd performs a request that nobody waits for.
    Late(usize),
    Wish(usize, usize, Option<u8>),
    Crash(At),
    Start(usize),
    AskToLeave(At),
    /// An answer never comes, and the request may not have been performed yet.
    Silence(At),
    /// The watch is lost: the session begins anew.
    LoseWatch(At),
    LoseLease(At),
    LoseBeacon(At),
    /// A second process takes the identity over from one that lives, for it looks dead.
    AdoptAlive(At),
    HandDelete(usize),
    HandPut(usize),
    /// The value is changed, and the lease stays.
    HandTamper(usize),
    HandDeleteClaim(usize, LeaseId),
    HandDeleteIdentity(usize),
}

impl Step {
    /// Whether it is done to the system, and not by it.
    pub fn disturbs(&self) -> bool {
        use Step::*;
        !matches!(
            self,
            Claim(_)
                | Notice(_)
                | Superseded(_)
                | TellNode(..)
                | TellClaims(..)
                | TellWho(_)
                | Send(..)
                | Forget(..)
                | Perform(..)
                | Leave(_)
                | BeaconEnds(_)
                | LeaseEnds(_)
        )
    }
}

/// All that can happen in `world`.
pub fn steps(world: &World, rules: &Rules) -> Vec<Step> {
    let mut moves = Vec::new();
    for (host, place, _) in world.processes() {
        moves_of(world, rules, (host, place), &mut moves);
    }
    endings(world, rules, &mut moves);
    disturbances(world, rules, &mut moves);
    moves
}

fn moves_of(world: &World, rules: &Rules, at: At, moves: &mut Vec<Step>) {
    let process = &world.hosts[at.0].processes[at.1];
    let identity = world.etcd.identities[at.0].as_ref();
    let Some(session) = &process.session else {
        let other = identity.filter(|identity| identity.instance != process.instance);
        match other {
            Some(_) if process.ever_held => moves.push(Step::Superseded(at)),
            // Another process that lives has it.
            Some(identity) if world.kept_alive(identity.lease) => {}
            _ => moves.push(Step::Claim(at)),
        }
        return;
    };
    let intact = world
        .etcd
        .admits(at.0, session.who.me, session.fence, rules.noticed());
    if !intact || !world.etcd.leases.contains(&session.who.me) {
        moves.push(Step::Notice(at));
    }
    if session.behind {
        moves.push(Step::TellWho(at));
    }
    let mut idle = true;
    for (key, tracked) in process.keys.iter().enumerate() {
        if tracked.flight.is_some() {
            idle = false;
            moves.push(Step::Perform(at, key));
            continue;
        }
        if tracked.behind_node {
            moves.push(Step::TellNode(at, key));
        }
        if tracked.behind_claims {
            moves.push(Step::TellClaims(at, key));
        }
        match decision(world, rules, at, key) {
            Some(txn) => {
                idle = false;
                moves.push(Step::Send(at, key, txn));
            }
            None if world.wish(at.0, at.1, key).is_none() => {
                let known = tracked.view != View::default() || tracked.managed;
                moves.extend(known.then_some(Step::Forget(at, key)));
            }
            None => {}
        }
    }
    let told = process
        .keys
        .iter()
        .all(|key| !key.behind_node && !key.behind_claims);
    if process.leaving && idle && told && intact {
        moves.push(Step::Leave(at));
    }
}

/// What the process would do for a key. It does nothing about a node under a lease of which it may still be told.
fn decision(world: &World, rules: &Rules, (host, place): At, key: usize) -> Option<KeyTxn> {
    let process = &world.hosts[host].processes[place];
    let (session, tracked) = (process.session.as_ref()?, &process.keys[key]);
    let wish = world.wish(host, place, key);
    let stranger = tracked
        .view
        .holder()
        .filter(|lease| !session.who.knows(*lease));
    if wish.is_some() && stranger.is_some() && session.behind {
        return None;
    }
    let managed = tracked.managed || (wish.is_some() && tracked.view.concerns(session.who.me));
    rules.decide(&session.who, wish, &tracked.view, managed)
}

/// The leases and beacons of the dead.
fn endings(world: &World, rules: &Rules, moves: &mut Vec<Step>) {
    let dead = |lease: &&LeaseId| !world.kept_alive(**lease);
    let beacons = world.etcd.lit.iter().filter(dead);
    let quiet = !moves.iter().any(|step| !step.disturbs());
    moves.extend(beacons.map(|lease| Step::BeaconEnds(*lease)));
    for lease in world.etcd.leases.iter().filter(dead) {
        // In time: whoever can take over has done so when the lease ends.
        if !rules.timely || (quiet && !world.etcd.lit.contains(lease)) {
            moves.push(Step::LeaseEnds(*lease));
        }
    }
}

fn disturbances(world: &World, rules: &Rules, steps: &mut Vec<Step>) {
    steps.extend((0..world.strays.len()).map(Step::Late));
    let left = |kind: &str| world.budget.get(kind).is_some_and(|left| *left > 0);
    for (host, at) in world.hosts.iter().enumerate() {
        for (key, wish) in at.wishes.iter().enumerate().filter(|_| left("wish")) {
            let values = (1..=rules.values).map(Some).chain([None]);
            let others = values.filter(|other| other.map(value) != *wish);
            steps.extend(others.map(|other| Step::Wish(host, key, other)));
        }
        if left("start") && at.processes.len() < 1 + usize::from(left("adopt alive")) {
            steps.push(Step::Start(host));
        }
        if left("identity") && world.etcd.identities[host].is_some() {
            steps.push(Step::HandDeleteIdentity(host));
        }
    }
    for (host, place, process) in world.processes() {
        let at = (host, place);
        steps.extend(left("crash").then_some(Step::Crash(at)));
        steps.extend((left("leave") && !process.leaving).then_some(Step::AskToLeave(at)));
        let Some(session) = &process.session else {
            let identity = world.etcd.identities[host].as_ref();
            let alive = identity.is_some_and(|identity| {
                identity.instance != process.instance && world.kept_alive(identity.lease)
            });
            let may = alive && !process.ever_held && left("adopt alive");
            steps.extend(may.then_some(Step::AdoptAlive(at)));
            continue;
        };
        steps.extend(left("watch").then_some(Step::LoseWatch(at)));
        let lives = world.etcd.leases.contains(&session.who.me);
        steps.extend((left("lease") && lives).then_some(Step::LoseLease(at)));
        let lit = world.etcd.lit.contains(&session.who.me);
        steps.extend((left("beacon") && lit).then_some(Step::LoseBeacon(at)));
        let flies = process.keys.iter().any(|tracked| tracked.flight.is_some());
        steps.extend((left("silence") && flies).then_some(Step::Silence(at)));
    }
    by_hand(world, &left, steps);
}

fn by_hand(world: &World, left: &dyn Fn(&str) -> bool, steps: &mut Vec<Step>) {
    if !left("hand") {
        return;
    }
    for (key, view) in world.etcd.keys.iter().enumerate() {
        if view.node.is_some() {
            steps.push(Step::HandDelete(key));
        }
        if view.holder().is_some() {
            steps.push(Step::HandTamper(key));
        }
        if view.holder().is_some() || view.node.is_none() {
            steps.push(Step::HandPut(key));
        }
        steps.extend(
            view.claims
                .keys()
                .map(|lease| Step::HandDeleteClaim(key, *lease)),
        );
    }
}

/// The world after `step`, and what was written of nodes and claims.
pub fn after(world: &World, step: &Step, rules: &Rules) -> World {
    let mut next = world.clone();
    take(&mut next, step, rules);
    next.renumber();
    next
}

fn take(world: &mut World, step: &Step, rules: &Rules) {
    match step {
        Step::Claim(at) | Step::AdoptAlive(at) => {
            if matches!(step, Step::AdoptAlive(_)) {
                world.spend("adopt alive");
            }
            claim(world, *at);
        }
        Step::Notice(at) => world.abandon(at.0, at.1),
        Step::LoseWatch(at) => {
            world.spend("watch");
            world.abandon(at.0, at.1);
        }
        Step::Crash(at) | Step::Superseded(at) => {
            if matches!(step, Step::Crash(_)) {
                world.spend("crash");
            }
            world.abandon(at.0, at.1);
            world.hosts[at.0].processes.remove(at.1);
        }
        Step::TellNode((host, place), key) => {
            let node = world.etcd.keys[*key].node.clone();
            let tracked = &mut world.hosts[*host].processes[*place].keys[*key];
            tracked.view.node = node;
            tracked.behind_node = false;
        }
        Step::TellClaims((host, place), key) => {
            let claims = world.etcd.keys[*key].claims.clone();
            let tracked = &mut world.hosts[*host].processes[*place].keys[*key];
            tracked.view.claims = claims;
            tracked.behind_claims = false;
        }
        Step::TellWho((host, place)) => {
            if let Some(session) = &mut world.hosts[*host].processes[*place].session {
                session.who = who(&world.etcd, session.who.me);
                session.behind = false;
            }
        }
        Step::Send((host, place), key, txn) => {
            let wished = world.wish(*host, *place, *key).is_some();
            let process = &mut world.hosts[*host].processes[*place];
            let me = process.session.as_ref().map(|session| session.who.me);
            let tracked = &mut process.keys[*key];
            tracked.managed |= wished && me.is_some_and(|me| tracked.view.concerns(me));
            tracked.flight = Some(txn.clone());
        }
        Step::Forget((host, place), key) => {
            let tracked = &mut world.hosts[*host].processes[*place].keys[*key];
            (tracked.view, tracked.managed) = (View::default(), false);
        }
        Step::Perform(at, key) => perform(world, *at, *key, rules),
        Step::Late(stray) => {
            let request = world.strays.remove(*stray);
            let _ = world.changing(|etcd| etcd.perform(&request, rules.fence));
        }
        Step::Leave((host, place)) => leave(world, *host, *place),
        Step::BeaconEnds(lease) => {
            let _ = world.changing(|etcd| etcd.lit.remove(lease));
        }
        Step::LeaseEnds(lease) => world.changing(|etcd| etcd.end_lease(*lease, !rules.timely)),
        _ => disturb(world, step),
    }
}

fn disturb(world: &mut World, step: &Step) {
    match step {
        Step::Wish(host, key, wish) => {
            world.spend("wish");
            world.hosts[*host].wishes[*key] = wish.map(value);
        }
        Step::Start(host) => {
            world.spend("start");
            world.hosts[*host].start();
        }
        Step::AskToLeave((host, place)) => {
            world.spend("leave");
            world.hosts[*host].processes[*place].leaving = true;
        }
        Step::Silence(at) => {
            world.spend("silence");
            world.abandon(at.0, at.1);
        }
        Step::LoseLease((host, place)) => {
            world.spend("lease");
            if let Some(lease) = world.hosts[*host].processes[*place].lease {
                world.changing(|etcd| etcd.end_lease(lease, true));
            }
        }
        Step::LoseBeacon((host, place)) => {
            world.spend("beacon");
            if let Some(lease) = world.hosts[*host].processes[*place].lease {
                let _ = world.changing(|etcd| etcd.lit.remove(&lease));
            }
        }
        Step::HandDelete(key) => by_a_hand(world, |etcd| etcd.by_hand(*key, None)),
        Step::HandPut(key) => {
            let held = Held {
                value: value(7),
                lease: None,
                mod_revision: 0,
            };
            by_a_hand(world, |etcd| etcd.by_hand(*key, Some(held)));
        }
        Step::HandTamper(key) => by_a_hand(world, |etcd| {
            let held = etcd.keys[*key].node.clone();
            let held = held.map(|held| Held {
                value: value(7),
                ..held
            });
            etcd.by_hand(*key, held);
        }),
        Step::HandDeleteClaim(key, lease) => by_a_hand(world, |etcd| {
            etcd.revision += 1;
            etcd.keys[*key].claims.remove(lease);
        }),
        Step::HandDeleteIdentity(host) => {
            world.spend("identity");
            world.changing(|etcd| {
                etcd.revision += 1;
                etcd.identities[*host] = None;
            });
        }
        _ => {}
    }
}

fn by_a_hand(world: &mut World, act: impl FnOnce(&mut super::etcd::Etcd)) {
    world.spend("hand");
    world.changing(act);
}

/// S1 to S4: whatever lease there is to go on with, or a new one; and the complete reading.
fn claim(world: &mut World, (host, place): At) {
    let found = world.etcd.identities[host]
        .as_ref()
        .map(|identity| identity.lease);
    let at = &mut world.hosts[host];
    let own = at.processes[place].lease;
    let lease = found
        .or(own)
        .filter(|lease| world.etcd.leases.contains(lease));
    let lease = lease.unwrap_or_else(|| {
        at.leases += 1;
        LeaseId(i64::from(at.leases) + 10 * (host as i64 + 1))
    });
    let process = &mut at.processes[place];
    process.lease = Some(lease);
    process.ever_held = true;
    let instance = process.instance;
    let fence = world.changing(|etcd| {
        // The beacon of a lease that is gone burns down by itself, and is of no matter to anybody.
        own.filter(|own| *own != lease)
            .map(|own| etcd.lit.remove(&own));
        etcd.leases.insert(lease);
        etcd.claim(host, lease, instance)
    });
    let who = who(&world.etcd, lease);
    let process = &mut world.hosts[host].processes[place];
    for (tracked, view) in process.keys.iter_mut().zip(&world.etcd.keys) {
        *tracked = Tracked {
            managed: tracked.managed,
            view: match view.concerns(lease) {
                true => view.clone(),
                false => View::default(),
            },
            ..Tracked::default()
        };
    }
    process.session = Some(Session {
        fence,
        who,
        behind: false,
    });
}

fn perform(world: &mut World, (host, place): At, key: usize, rules: &Rules) {
    let process = &mut world.hosts[host].processes[place];
    let (Some(session), Some(txn)) = (&process.session, process.keys[key].flight.take()) else {
        return;
    };
    let request = Request {
        host,
        me: session.who.me,
        fence: session.fence,
        key,
        txn,
    };
    let before = process.keys[key].clone();
    let answer = world.changing(|etcd| etcd.perform(&request, rules.fence));
    let Some(session) = world.hosts[host].processes[place].session.as_mut() else {
        return;
    };
    match answer {
        Answer::Void => world.abandon(host, place),
        Answer::Applied => {
            let revision = world.etcd.revision;
            let tracked = &mut world.hosts[host].processes[place].keys[key];
            tracked.view.apply(&request.txn.ops, revision);
            // Its guards held, so nothing but this was news of the node; of the claims there may be other news.
            let node = &world.etcd.keys[key].node;
            tracked.behind_node = tracked.view.node != *node;
            let claims = &world.etcd.keys[key].claims;
            tracked.behind_claims = before.behind_claims || tracked.view.claims != *claims;
        }
        Answer::Refused { view, beacons } => {
            for (lease, lit) in beacons {
                match lit {
                    true => session.who.beacons.insert(lease),
                    false => session.who.beacons.remove(&lease),
                };
            }
            let tracked = &mut world.hosts[host].processes[place].keys[key];
            let claims = rules.claims_of_a_refusal(&tracked.view, &view);
            tracked.view = View { claims, ..view };
            (tracked.behind_node, tracked.behind_claims) = (false, false);
        }
    }
}

/// T3: identity and beacon go if the fence holds, and then the leases with whatever is still attached to them.
fn leave(world: &mut World, host: usize, place: usize) {
    let Some(lease) = world.hosts[host].processes[place].lease else {
        return;
    };
    world.abandon(host, place);
    world.hosts[host].processes.remove(place);
    world.changing(|etcd| {
        etcd.lit.remove(&lease);
        etcd.end_lease(lease, false);
    });
}
