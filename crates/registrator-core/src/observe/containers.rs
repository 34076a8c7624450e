//! The containers of the host as policies see them.
//!
//! That is what inspect says, but for those in the network of another (`--network container:X`): inspect shows no networks and
//! ports for them, so they have those of the other, as long as that runs.

use crate::observe::container::{Container, ContainerId};
use crate::observe::watch::{Delta, Event, Store};
use std::collections::BTreeMap;

/// All containers that are known.
#[derive(Debug, Default)]
pub struct Containers {
    inspected: Store<Container>,
    /// Those that are in the network of another.
    borrowers: BTreeMap<ContainerId, Borrower>,
}

/// A container in the network of another, the lender.
#[derive(Debug)]
struct Borrower {
    /// What it was made of.
    inspected: Container,
    lender: Option<Container>,
    /// What policies see.
    seen: Container,
}

impl Containers {
    /// Takes in an event and tells whom it changed: also those in the network of the container that changed.
    pub fn handle(&mut self, event: Event<Container>) -> Delta<ContainerId> {
        let mut delta = self.inspected.handle(event);
        for id in &delta.deleted {
            self.borrowers.remove(id);
        }
        for id in &delta.applied {
            self.note_borrower(id);
        }
        for id in self.refresh_borrowers() {
            if !delta.applied.contains(&id) {
                delta.applied.push(id);
            }
        }
        delta
    }

    /// The container with this id, as policies see it.
    pub fn get(&self, id: &ContainerId) -> Option<&Container> {
        let borrower = self.borrowers.get(id).map(|borrower| &borrower.seen);
        borrower.or_else(|| self.inspected.get(id))
    }

    /// All containers in the order of their ids, as policies see them.
    pub fn iter(&self) -> impl Iterator<Item = (&ContainerId, &Container)> {
        self.inspected.iter().map(|(id, inspected)| {
            (
                id,
                self.borrowers
                    .get(id)
                    .map_or(inspected, |borrower| &borrower.seen),
            )
        })
    }

    /// Whether a complete list was seen at least once.
    pub fn complete(&self) -> bool {
        self.inspected.complete()
    }

    /// How many containers there are.
    pub fn len(&self) -> usize {
        self.inspected.len()
    }

    /// Whether there is no container.
    pub fn is_empty(&self) -> bool {
        self.inspected.is_empty()
    }

    fn note_borrower(&mut self, id: &ContainerId) {
        let inspected = self.inspected.get(id);
        match inspected.filter(|container| container.network_of().is_some()) {
            None => _ = self.borrowers.remove(id),
            Some(inspected) => {
                self.borrowers
                    .entry(id.clone())
                    .or_insert_with(|| Borrower {
                        inspected: inspected.clone(),
                        lender: None,
                        seen: inspected.clone(),
                    });
            }
        }
    }

    /// Looks at every borrower's lender again; tells which borrowers are seen otherwise than before.
    fn refresh_borrowers(&mut self) -> Vec<ContainerId> {
        let mut changed = Vec::new();
        for (id, borrower) in &mut self.borrowers {
            let Some(inspected) = self.inspected.get(id) else {
                continue;
            };
            let lender = lender_of(inspected, &self.inspected).cloned();
            if borrower.inspected == *inspected && borrower.lender == lender {
                continue;
            }
            let seen = match &lender {
                Some(lender) => inspected.in_network_of(lender),
                None => inspected.clone(),
            };
            if borrower.seen != seen {
                changed.push(id.clone());
            }
            *borrower = Borrower {
                inspected: inspected.clone(),
                lender,
                seen,
            };
        }
        changed
    }
}

/// The container in whose network `borrower` is. After an unclean end of the engine one that does not run keeps its addresses, so it
/// does not count. Engines store its full id; a name and the beginning of an id count as with `docker inspect`.
fn lender_of<'a>(borrower: &Container, containers: &'a Store<Container>) -> Option<&'a Container> {
    let named = borrower.network_of()?;
    let by_name = || {
        let mut all = containers.iter().map(|(_, container)| container);
        all.find(|container| container.name() == named)
    };
    let by_beginning = || {
        let all = containers.iter().map(|(_, container)| container);
        let mut found = all.filter(|container| container.id().as_str().starts_with(named));
        found.next().filter(|_| found.next().is_none())
    };
    let lender = containers
        .get(&ContainerId::new(named))
        .or_else(by_name)
        .or_else(by_beginning)?;
    (lender.running() && lender.id() != borrower.id()).then_some(lender)
}

#[cfg(test)]
mod tests;
