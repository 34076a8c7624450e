//! What must hold.

use super::state::{KEYS, Life, Process, State};

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
    /// At rest an identity has one process.
    OneProcess,
    /// A node that no registrator ever had is never touched.
    Strangers,
    /// I5: without the environment nothing goes on for ever.
    Rest,
}

/// The first promise that is broken in this very state.
pub fn always(state: &State) -> Option<Property> {
    let missed = |key: usize| {
        let staked = state.processes.iter().any(|process| process.staked[key]);
        staked && !state.slots[key].node.exists() && !state.excused[key]
    };
    let gap = (0..KEYS).any(missed).then_some(Property::NoGap);
    gap.or(state.trespassed.then_some(Property::Strangers))
}

/// The promises that are broken in a state in which nothing happens any more by itself.
pub fn at_rest(state: &State) -> Vec<Property> {
    let mut broken = Vec::new();
    for key in 0..KEYS {
        broken.extend(key_at_rest(state, key));
    }
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

fn key_at_rest(state: &State, key: usize) -> Option<Property> {
    let slot = &state.slots[key];
    let holder = if slot.node.exists() {
        slot.node.lease
    } else {
        0
    };
    let foreign = slot.node.exists() && !state.is_registrator(holder);
    let mut wishers = living(state).filter(|process| process.wishes[key] != 0);
    if foreign && wishers.any(|process| process.keys[key].managed) {
        return Some(Property::Repair);
    }
    if !foreign && let Some(broken) = contest_at_rest(state, key, holder) {
        return Some(broken);
    }
    for process in living(state) {
        let claim = slot.claim(process.lease);
        let waits = process.wishes[key] != 0 && holder != process.lease && !foreign;
        let right = match waits {
            true => claim.value == process.wishes[key] && claim.lease == process.lease,
            // What a hand left in the place of a claim is removed when somebody writes the key.
            false => !claim.exists() || claim.lease != process.lease,
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
    let Some(smallest) = smallest.filter(|wish| *wish != 0).min() else {
        let held = living(state).any(|process| process.lease == holder);
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
