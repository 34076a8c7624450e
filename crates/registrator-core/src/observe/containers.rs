//! The containers of the host as policies see them.
//!
//! That is what inspect says, but for those in the network of another (`--network container:X`): inspect shows no networks and
//! ports for them, so they have those of the other, as long as that runs.

use crate::observe::container::{Container, ContainerId};
use crate::observe::watch::{Delta, SourceEvent, Store};
use std::collections::{BTreeMap, BTreeSet};

/// All containers that are known.
#[derive(Debug, Default)]
pub struct Containers {
    inspected: Store<Container>,
    /// Those that are in the network of another, as policies see them.
    borrowers: BTreeMap<ContainerId, Container>,
    /// The borrowers by what they call their lender: finds those that a change of a container concerns.
    wanted: BTreeMap<Box<str>, BTreeSet<ContainerId>>,
    /// All containers by name: finds the lender that a borrower calls so.
    names: BTreeSet<(Box<str>, ContainerId)>,
}

impl Containers {
    /// Takes in an event and tells whom it changed: also those in the network of the container that changed.
    pub fn handle(&mut self, event: SourceEvent<Container>) -> Delta<ContainerId> {
        let id = match &event {
            SourceEvent::InitApply(container) | SourceEvent::Apply(container) => {
                Some(container.id().clone())
            }
            SourceEvent::Delete(id) => Some(id.clone()),
            SourceEvent::Init | SourceEvent::InitDone => None,
        };
        let before = id.as_ref().and_then(|id| self.inspected.get(id)).cloned();
        let mut delta = self.inspected.handle(event);
        let concerned = match id {
            _ if delta == Delta::default() => BTreeSet::new(),
            Some(id) => self.change(&id, before.as_ref()),
            None => self.forget_deleted(),
        };
        for id in concerned {
            // The one that the event is about is told of already.
            if self.refresh(&id) && delta.applied.first() != Some(&id) {
                delta.applied.push(id);
            }
        }
        delta
    }

    /// The container with this id, as policies see it.
    pub fn get(&self, id: &ContainerId) -> Option<&Container> {
        self.borrowers.get(id).or_else(|| self.inspected.get(id))
    }

    /// All containers in the order of their ids, as policies see them.
    pub fn iter(&self) -> impl Iterator<Item = (&ContainerId, &Container)> {
        let inspected = self.inspected.iter();
        inspected.map(|(id, inspected)| (id, self.borrowers.get(id).unwrap_or(inspected)))
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

    /// Brings the indexes up to date with a container that was different `before`; the borrowers that may be seen otherwise now.
    fn change(&mut self, id: &ContainerId, before: Option<&Container>) -> BTreeSet<ContainerId> {
        let mut concerned = BTreeSet::new();
        if let Some(before) = before {
            concerned.extend(self.borrowers_of(id, before.name()).cloned());
            self.names.remove(&(before.name().into(), id.clone()));
            self.forget_borrower(before);
        }
        if let Some(now) = self.inspected.get(id) {
            concerned.extend(self.borrowers_of(id, now.name()).cloned());
            self.names.insert((now.name().into(), id.clone()));
            if let Some(lender) = now.network_of() {
                let borrowers = self.wanted.entry(lender.into()).or_default();
                borrowers.insert(id.clone());
                concerned.insert(id.clone());
            }
        }
        concerned
    }

    fn forget_borrower(&mut self, container: &Container) {
        self.borrowers.remove(container.id());
        if let Some(lender) = container.network_of()
            && let Some(borrowers) = self.wanted.get_mut(lender)
        {
            borrowers.remove(container.id());
            if borrowers.is_empty() {
                self.wanted.remove(lender);
            }
        }
    }

    /// A list is complete, and may have taken containers away; the borrowers that may have lost their lender.
    fn forget_deleted(&mut self) -> BTreeSet<ContainerId> {
        let is_gone = |id: &ContainerId| self.inspected.get(id).is_none();
        let gone = self.names.extract_if(.., |(_, id)| is_gone(id));
        let gone: Vec<_> = gone.collect();
        self.borrowers.retain(|id, _| !is_gone(id));
        self.wanted.retain(|_, borrowers| {
            borrowers.retain(|id| !is_gone(id));
            !borrowers.is_empty()
        });
        let concerned = gone.iter();
        let concerned = concerned.flat_map(|(name, id)| self.borrowers_of(id, name));
        concerned.cloned().collect()
    }

    /// Those that may mean the container with this id and name by what they call their lender.
    fn borrowers_of<'a>(
        &'a self,
        id: &'a ContainerId,
        name: &'a str,
    ) -> impl Iterator<Item = &'a ContainerId> {
        let id = id.as_str();
        let ends = if self.wanted.is_empty() { 0 } else { id.len() };
        let beginnings = (1..=ends).filter_map(|end| id.get(..end));
        let called = beginnings.chain([name]);
        called
            .filter_map(|called| self.wanted.get(called))
            .flatten()
    }

    /// Looks at a borrower's lender again; whether it is seen otherwise than before.
    fn refresh(&mut self, id: &ContainerId) -> bool {
        let Some(inspected) = self.inspected.get(id) else {
            return false;
        };
        let seen = match self.lender_of(inspected) {
            Some(lender) => inspected.in_network_of(lender),
            None => inspected.clone(),
        };
        let before = self.borrowers.insert(id.clone(), seen.clone());
        before.as_ref() != Some(&seen)
    }

    /// The container in whose network `borrower` is. After an unclean end of the engine one that does not run keeps its addresses,
    /// so it does not count. Engines store its full id; a name and the beginning of an id count as with `docker inspect`.
    fn lender_of(&self, borrower: &Container) -> Option<&Container> {
        let called = borrower.network_of()?;
        let lender = self
            .inspected
            .get(&ContainerId::new(called))
            .or_else(|| self.with_name(called))
            .or_else(|| self.only_beginning_with(called))?;
        (lender.running() && lender.id() != borrower.id()).then_some(lender)
    }

    fn with_name(&self, name: &str) -> Option<&Container> {
        let mut from = self.names.range((name.into(), ContainerId::new(""))..);
        let (found, id) = from.next()?;
        let id = (**found == *name).then_some(id)?;
        self.inspected.get(id)
    }

    fn only_beginning_with(&self, beginning: &str) -> Option<&Container> {
        let first = ContainerId::new(beginning);
        let from = self.inspected.iter_from(&first);
        let mut found = from
            .map(|(_, container)| container)
            .take_while(|container| container.id().as_str().starts_with(beginning));
        found.next().filter(|_| found.next().is_none())
    }
}

#[cfg(test)]
mod tests;
