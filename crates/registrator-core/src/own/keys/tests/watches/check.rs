//! What must hold.

use super::objects;
use super::process::Rules;
use super::state::{HELD_BACK, KEYS, Life, Process, Slot, State, asks, bit};

/// A promise of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// I1: a key that a live registrator wishes, with its wish in etcd, is never absent.
    NoGap,
    /// I2: at rest a wished key has the smallest wish of the living, under the lease of one who wishes that.
    Winner,
    /// I3: at rest there is no node that nobody wishes.
    NothingUnwanted,
    /// I4: at rest the claims of the living are their wishes for keys that others hold.
    Claims,
    /// At rest a node that is foreign stays only where nobody managed it.
    Repair,
    /// At rest nothing is left of a process that released everything.
    Released,
    /// At rest an identity has one process.
    OneProcess,
    /// A node that no registrator ever had is never touched.
    Strangers,
    /// What a registrator asks for stays in etcd, as node or as claim, until it takes that back itself or its lease ends.
    Kept,
    /// Nobody is given a key that it does not ask for.
    Asked,
    /// At no revision there is a mixture of definitions, or a part of one.
    Whole,
    /// No transaction takes the fields of an object away that counts before and after.
    Stands,
    /// A request of a session that is over changes nothing.
    Fenced,
    /// I5: without the environment nothing goes on for ever, nor as long as news lag.
    Rest,
}

/// The promises that are broken in this very state, or by the step that led to it.
pub fn always(state: &State, mixes: bool) -> Vec<Property> {
    let missed = |key: usize| {
        let staked = state.processes.iter().any(|process| process.staked[key]);
        staked && !state.slots[key].node.exists() && !state.excused[key]
    };
    let all = [
        ((0..KEYS).any(missed), Property::NoGap),
        (state.wrong.trespasses, Property::Strangers),
        (state.wrong.robs, Property::Kept),
        (state.wrong.imposes, Property::Asked),
        (state.wrong.stale, Property::Fenced),
        (state.wrong.fells && !mixes, Property::Stands),
        (!mixes && objects::is_mixed(state), Property::Whole),
    ];
    let broken = all.into_iter().filter(|(broken, _)| *broken);
    broken.map(|(_, property)| property).collect()
}

/// The promises that are broken in a state in which nothing happens any more by itself.
pub fn at_rest(state: &State, rules: &Rules) -> Vec<Property> {
    let mut broken = Vec::new();
    let keys = if objects::are_there() { 1 } else { KEYS };
    for key in 0..keys {
        broken.extend(key_at_rest(state, key, rules));
    }
    let right = objects::is_right_at_rest(state, living(state), rules);
    broken.extend((!right).then_some(Property::Repair));
    let remains = |slot: &Slot| slot.node.exists() && state.left & bit(slot.node.lease) != 0;
    broken.extend(
        state
            .slots
            .iter()
            .any(remains)
            .then_some(Property::Released),
    );
    let of = |process: &Process| (process.identity, process.session);
    let twice = state.processes.iter().enumerate().any(|(at, process)| {
        let others = &state.processes[at + 1..];
        process.session && others.iter().any(|other| of(other) == of(process))
    });
    broken.extend(twice.then_some(Property::OneProcess));
    broken
}

fn living(state: &State) -> impl Iterator<Item = &Process> {
    let lives = |process: &&Process| process.life == Life::Alive && process.session;
    state.processes.iter().filter(lives)
}

/// Whether a process had the node while it wished it, as it remembers.
fn manages(process: &Process, key: usize, rules: &Rules) -> bool {
    rules.minds.borrow().facts(&process.mind).managed[key]
}

fn key_at_rest(state: &State, key: usize, rules: &Rules) -> Option<Property> {
    let slot = &state.slots[key];
    let holder = if slot.node.exists() {
        slot.node.lease
    } else {
        0
    };
    let foreign = slot.node.exists() && !state.is_registrator(holder);
    let mut wishers = living(state).filter(|process| asks(process.wishes[key]));
    if foreign && wishers.any(|process| manages(process, key, rules)) {
        return Some(Property::Repair);
    }
    if !foreign && let Some(broken) = contest_at_rest(state, key, holder) {
        return Some(broken);
    }
    for process in living(state) {
        let claim = slot.claim(process.lease);
        let waits = asks(process.wishes[key]) && holder != process.lease && !foreign;
        let right = if waits {
            claim.value == process.wishes[key] && claim.lease == process.lease
        } else {
            // What a hand left in the place of a claim is removed when somebody writes the key.
            !claim.exists() || claim.lease != process.lease
        };
        if !right {
            return Some(Property::Claims);
        }
    }
    None
}

fn contest_at_rest(state: &State, key: usize, holder: u8) -> Option<Property> {
    let node = state.slots[key].node;
    let smallest = living(state).map(|process| process.wishes[key]);
    let Some(smallest) = smallest.filter(|wish| asks(*wish)).min() else {
        let mut holders = living(state).filter(|process| process.lease == holder);
        let held = holders.any(|process| process.wishes[key] != HELD_BACK);
        return (node.exists() && held).then_some(Property::NothingUnwanted);
    };
    // A claim of one who died a moment ago counts as long as its beacon is lit.
    let lit_claims = (1..=state.granted).filter(|lease| state.is_lit(*lease));
    let claims = lit_claims.filter(|lease| state.is_registrator(*lease));
    let claims = claims.map(|lease| (lease, state.slots[key].claim(lease)));
    let claimed = claims.filter(|(lease, claim)| claim.exists() && claim.lease == *lease);
    let smallest_claim = claimed.map(|(_, claim)| claim.value).min();
    let right = match living(state).find(|process| process.lease == holder) {
        Some(process) => node.value == process.wishes[key] && node.value == smallest,
        None => node.exists() && state.is_lit(holder) && node.value <= smallest,
    };
    let right = right && smallest_claim.is_none_or(|claim| node.value <= claim);
    (!right).then_some(Property::Winner)
}
