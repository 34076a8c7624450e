//! The objects of the explored worlds: the first key is the marker of one, the others are its fields.

use super::convert::{World, fields_of, world};
use super::process::Rules;
use super::state::{Cell, KEYS, Process, State};

/// Whether there are objects in this world.
pub fn are_there() -> bool {
    world() != World::Plain
}

/// How the object is, at one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its definition counts, as marker and claims say.
    counts: bool,
    /// It has a field.
    any: bool,
    /// It has all of the definition, under the lease of the marker, and no other.
    whole: bool,
}

impl Standing {
    pub fn of(state: &State) -> Standing {
        let slot = &state.slots[0];
        let (node, definition) = (slot.node, fields_of(slot.node.value));
        let agree = slot
            .claims
            .iter()
            .all(|claim| !claim.exists() || claim.value == node.value);
        let strict = world() != World::Smallest;
        let found = |key: usize| state.slots[key].node;
        let expected = |key: usize| {
            let field = definition.iter().find(|(at, _)| usize::from(*at) == key);
            field.map_or(Cell::default(), |(_, value)| Cell {
                value: *value,
                lease: node.lease,
                rev: 0,
            })
        };
        let same = |one: Cell, other: Cell| (one.value, one.lease) == (other.value, other.lease);
        Standing {
            counts: node.exists() && !definition.is_empty() && (agree || !strict),
            any: (1..KEYS).any(|key| found(key).exists()),
            whole: (1..KEYS).all(|key| same(found(key), expected(key))),
        }
    }

    /// A part of a definition, or several, or one that does not count.
    fn is_mixed(self) -> bool {
        self.any && !(self.counts && self.whole)
    }

    /// Whether a transaction that leads to `after` takes its fields away though it counts before and after. One that ends a dispute
    /// unknowingly leaves it to the holder to bring them back.
    pub fn falls_to(self, after: Standing) -> bool {
        are_there() && self.counts && self.any && after.counts && !after.any
    }
}

/// Whether there is a mixture, which no revision may show.
pub fn is_mixed(state: &State) -> bool {
    are_there() && Standing::of(state).is_mixed()
}

/// Whether the object is right in a state in which nothing happens any more by itself: its fields are there if it counts, and nobody
/// else has one. `living` are the processes.
pub fn is_right_at_rest<'a>(
    state: &State,
    living: impl Iterator<Item = &'a Process>,
    rules: &Rules,
) -> bool {
    if !are_there() {
        return true;
    }
    let standing = Standing::of(state);
    let holder = state.slots[0].node.lease;
    let mut living = living.filter(|process| process.lease == holder);
    let manages = living
        .next()
        .map(|process| rules.minds.borrow().facts(&process.mind).managed);
    let strange = |key: usize| {
        let node = state.slots[key].node;
        let managed = manages.is_some_and(|managed| managed[key]);
        node.exists() && node.lease == 0 && !managed
    };
    let blocks = |field: &(u8, u8)| strange(usize::from(field.0));
    let blocked = fields_of(state.slots[0].node.value).iter().any(blocks);
    // Whoever puts something where nothing of the object is to be has it.
    let free = |key: usize| state.slots[key].node.lease == 0;
    let nothing = (1..KEYS).all(free);
    if standing.counts && !blocked {
        let definition = fields_of(state.slots[0].node.value);
        (1..KEYS).all(|key| {
            let node = state.slots[key].node;
            match definition.iter().find(|(at, _)| usize::from(*at) == key) {
                Some((_, value)) => node.value == *value && node.lease == holder,
                None => free(key),
            }
        })
    } else {
        nothing
    }
}
