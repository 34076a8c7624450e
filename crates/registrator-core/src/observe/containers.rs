//! The containers of the host as policies see them.
//!
//! That is what inspect says, but for those in the network of another (`--network container:X`): inspect shows no networks and
//! ports for them, so they have those of the other, as long as that runs. The other may itself be in the network of a third one. One that
//! is started again gets a new network, and whoever joined the former one has nothing any more.

use crate::observe::container::{Container, ContainerId};
use crate::observe::watch::{Delta, SourceEvent, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// All containers that are known.
#[derive(Debug, Default)]
pub struct Containers {
    inspected: Store<Container>,
    /// Those that are in the network of another.
    borrowers: BTreeMap<ContainerId, Borrower>,
    /// The borrowers by what they call their lender: finds those that a change of a container concerns.
    wanted: BTreeMap<Box<str>, BTreeSet<ContainerId>>,
    /// All containers by name: finds the lender that a borrower calls so.
    names: BTreeSet<(Box<str>, ContainerId)>,
}

/// A container in the network of another.
#[derive(Debug, Clone, PartialEq)]
struct Borrower {
    /// As policies see it.
    seen: Container,
    /// The owner of the network, if that was started again since this one joined it.
    left_by: Option<Box<str>>,
}

/// What people should know of a container that runs, besides what policies make of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// The container in whose network it is was started again since it joined that network.
    LeftBy(Box<str>),
    /// The inspect document has something among the ports that is none.
    PassedOver(String),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::LeftBy(owner) => write!(
                f,
                "it is in the network of {owner}, which was started again since: nothing reaches it until it is started again too"
            ),
            Remark::PassedOver(ports) => {
                write!(f, "no ports, and passed over: {ports}")
            }
        }
    }
}

/// How much of what is passed over is named.
const NAMED: usize = 5;

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
        for id in self.with_their_borrowers(concerned) {
            // The one that the event is about is told of already.
            if self.refresh(&id) && delta.applied.first() != Some(&id) {
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

    /// What is to be said of a container.
    pub fn remarks(&self, id: &ContainerId) -> BTreeSet<Remark> {
        let left_by = self.left_by(id).map(|owner| Remark::LeftBy(owner.into()));
        let passed_over = self.inspected.get(id).map(Container::passed_over);
        let passed_over = passed_over.filter(|odd| !odd.is_empty()).map(|odd| {
            let named = odd.get(..NAMED).unwrap_or(odd).join(", ");
            let more = match odd.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Remark::PassedOver(named + &more)
        });
        left_by.into_iter().chain(passed_over).collect()
    }

    /// The name of the container in whose network this one is, if that was started again since.
    fn left_by(&self, id: &ContainerId) -> Option<&str> {
        self.borrowers.get(id)?.left_by.as_deref()
    }

    /// All containers in the order of their ids, as policies see them.
    pub fn iter(&self) -> impl Iterator<Item = (&ContainerId, &Container)> {
        let inspected = self.inspected.iter();
        inspected.map(|(id, inspected)| (id, self.get(id).unwrap_or(inspected)))
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

    /// These, and all whose networks come through theirs.
    fn with_their_borrowers(&self, mut found: BTreeSet<ContainerId>) -> BTreeSet<ContainerId> {
        let mut new: Vec<ContainerId> = found.iter().cloned().collect();
        while let Some(id) = new.pop() {
            let Some(container) = self.inspected.get(&id) else {
                continue;
            };
            for borrower in self.borrowers_of(&id, container.name()) {
                if found.insert(borrower.clone()) {
                    new.push(borrower.clone());
                }
            }
        }
        found
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

    /// Looks for a borrower's network again; whether it is seen otherwise than before.
    fn refresh(&mut self, id: &ContainerId) -> bool {
        let Some(inspected) = self.inspected.get(id) else {
            return false;
        };
        let mut borrower = Borrower {
            seen: inspected.clone(),
            left_by: None,
        };
        match self.owner_of(inspected) {
            Some((owner, true)) => borrower.seen = inspected.in_network_of(owner),
            Some((owner, false)) => borrower.left_by = Some(owner.name().into()),
            None => {}
        }
        let before = self.borrowers.insert(id.clone(), borrower.clone());
        before != Some(borrower)
    }

    /// The container that owns the network in which `borrower` is, and whether it is the network that it owns now. After an unclean
    /// end of the engine one that does not run keeps its addresses, so it does not count.
    fn owner_of<'a>(&'a self, borrower: &'a Container) -> Option<(&'a Container, bool)> {
        let (mut path, mut lender) = (vec![borrower], self.lender_of(borrower)?);
        while lender.network_of().is_some() {
            if path.iter().any(|passed| passed.id() == lender.id()) {
                return None;
            }
            path.push(lender);
            lender = self.lender_of(lender)?;
        }
        // Each has the network that the next one had when it joined. What was started since has joined anew, for itself alone.
        let steps = path.windows(2);
        let steps =
            steps.take_while(|pair| matches!(pair, [own, next] if !next.started_after(own)));
        let joined = path.get(steps.count())?;
        let is_own = lender.has_host_network() || !lender.started_after(joined);
        lender.running().then_some((lender, is_own))
    }

    /// What a borrower names. Engines store the full id; a name and the beginning of an id count as with `docker inspect`.
    fn lender_of(&self, borrower: &Container) -> Option<&Container> {
        let called = borrower.network_of()?;
        let lender = self.inspected.get(&ContainerId::new(called));
        lender
            .or_else(|| self.with_name(called))
            .or_else(|| self.only_beginning_with(called))
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
