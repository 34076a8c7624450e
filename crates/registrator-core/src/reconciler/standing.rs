//! How a key stands. Plans, explanations, counts and metrics all ask here, so none of them says something else than the others.

use super::Reconciler;
use crate::node::{Definition, Key, Value};
use crate::own::keys::AboutTracked;
use crate::own::{self, KnownField, LeaseId, Obstacle, Op, Sides, View, Who};
use crate::tell::notice::Notice;
use crate::tell::state::KeyState;
use std::collections::BTreeMap;

/// What is known of etcd.
#[derive(Debug, Clone, Copy)]
pub enum EtcdSight<'a> {
    /// What the session tells.
    Followed,
    /// What was read once: an entry for each key that exists and is asked for, or is held by this process.
    Read {
        /// Who takes part.
        who: &'a Who,
        /// What etcd holds.
        views: &'a BTreeMap<Key, View>,
    },
}

/// How a key stands, and what follows from it.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    /// `None` if it is no concern of this host.
    pub(super) state: Option<KeyState>,
    /// The value that is asked for here.
    pub(super) wish: Option<&'a Value>,
    /// What etcd holds.
    pub(super) view: Option<&'a View>,
    /// Who takes part, if there is a session.
    pub(super) who: Option<&'a Who>,
    /// What is written next, as far as that is clear.
    pub(super) ops: Vec<Op>,
    /// What people were told that is in the way.
    pub(super) obstacle: Option<&'a Notice>,
    /// The object that has this node too: that is decided, and what is asked for by itself is left out.
    pub(super) object: Option<Key>,
    /// The field that would be in the way of an object, if nobody follows etcd.
    pub(super) in_the_way: Option<Obstacle>,
}

impl Standing<'_> {
    /// The lease that holds the node.
    pub(super) fn holder(&self) -> Option<LeaseId> {
        self.view?.holder()
    }

    /// What etcd holds once that is written.
    pub(super) fn after(&self) -> View {
        self.view.cloned().unwrap_or_default().after(&self.ops)
    }

    fn is_rejected(&self) -> bool {
        let refusal = self.obstacle.is_some_and(|told| {
            matches!(
                told,
                Notice::Rejected { .. } | Notice::PassageForbidden { .. }
            )
        });
        refusal && !self.ops.is_empty()
    }
}

impl Reconciler {
    /// How a key stands.
    pub(super) fn standing<'a>(&'a self, key: &Key, sight: EtcdSight<'a>) -> Standing<'a> {
        let known = match sight {
            EtcdSight::Followed => self.keys.about(key),
            EtcdSight::Read { .. } => None,
        };
        self.standing_of(key, known, sight)
    }

    /// The same, of a key that was looked up already.
    pub(super) fn standing_of<'a>(
        &'a self,
        key: &Key,
        known: Option<AboutTracked<'a>>,
        sight: EtcdSight<'a>,
    ) -> Standing<'a> {
        let wish = self.desired.winner(key).filter(|_| !self.releasing());
        let (who, view) = match sight {
            EtcdSight::Followed => (self.keys.who(), known.map(|known| known.view)),
            EtcdSight::Read { who, views } => (Some(who), views.get(key)),
        };
        let mut standing = Standing {
            state: None,
            wish,
            view,
            who,
            ops: Vec::new(),
            obstacle: known.and_then(|known| known.obstacle),
            object: match sight {
                EtcdSight::Followed => known.and_then(|known| known.object).cloned(),
                EtcdSight::Read { .. } => self.desired.in_object(key).cloned(),
            }
            .filter(|_| wish.is_some() && who.is_some()),
            in_the_way: None,
        };
        standing.state = match (who, wish) {
            (None, Some(_)) => Some(KeyState::Pending),
            (None, None) => self.is_held_back(key).then_some(KeyState::HeldBack),
            (Some(who), None) => self.unwished(who, key, known, &mut standing),
            (Some(who), Some(wish)) => Some(match &standing.object {
                Some(object) => self.wished_beside(who, key, wish, view, object, sight),
                None => wished(who, key, wish, known, &mut standing),
            }),
        };
        if let EtcdSight::Read { who, views } = sight
            && let Some(obstacle) = would_block(who, key, &standing, views)
        {
            standing.state = Some(KeyState::Blocked);
            standing.in_the_way = Some(obstacle);
        }
        standing
    }

    /// A node that is asked for by itself, and that an object has too. With the value of that it goes with it; else it is left out.
    pub(super) fn wished_beside(
        &self,
        who: &Who,
        key: &Key,
        wish: &Value,
        view: Option<&View>,
        object: &Key,
        sight: EtcdSight<'_>,
    ) -> KeyState {
        let held = view.and_then(|view| view.node.as_ref());
        let held = held.filter(|held| held.value == *wish);
        match held.and_then(|held| held.lease) {
            Some(lease) if lease == who.me => return KeyState::Registered,
            Some(lease) if who.knows(lease) => return KeyState::Shared,
            _ => {}
        }
        let gives = |text: &Value| Definition::field(object, text, key).as_ref() == Some(wish);
        let standing = self.standing(object, sight);
        let held = standing.view.and_then(|view| view.node.as_ref());
        let is_there = held.is_some_and(|held| gives(&held.value));
        match standing.state {
            // Of what another registrator holds not every node is watched.
            Some(KeyState::Shared | KeyState::Outvoted) if is_there => KeyState::Shared,
            _ if !is_there && !standing.wish.is_some_and(gives) => KeyState::Outvoted,
            Some(state) if !state.is_fulfilled() => state,
            _ => KeyState::Pending,
        }
    }

    fn is_held_back(&self, key: &Key) -> bool {
        matches!(self.departures.about(key), Some((_, true)))
    }

    /// A key that nobody here asks for is of concern as long as this process holds it.
    fn unwished(
        &self,
        who: &Who,
        key: &Key,
        known: Option<AboutTracked<'_>>,
        standing: &mut Standing<'_>,
    ) -> Option<KeyState> {
        let view = standing.view?;
        let is_hidden = match known {
            Some(known) => known.is_orphan && self.keep_orphans(),
            None => self.wishes_hidden(),
        };
        if view.holder() != Some(who.me) {
            return None;
        }
        if is_hidden {
            return Some(KeyState::Kept);
        }
        if self.is_held_back(key) {
            return Some(KeyState::HeldBack);
        }
        standing.ops = own::decide(who, key, None, view, false)
            .map(|txn| txn.ops)
            .unwrap_or_default();
        Some(KeyState::Pending)
    }
}

fn wished(
    who: &Who,
    key: &Key,
    wish: &Value,
    known: Option<AboutTracked<'_>>,
    standing: &mut Standing<'_>,
) -> KeyState {
    let nothing = View::default();
    let view = standing.view.unwrap_or(&nothing);
    let held = view.node.as_ref();
    let holder = view.holder();
    if is_disputed(who, key, view) {
        let managed = known.map_or(view.concerns(who.me), |known| known.managed);
        standing.ops = own::decide(who, key, Some(wish), view, managed)
            .map(|txn| txn.ops)
            .unwrap_or_default();
        return match is_disputed(who, key, &view.after(&standing.ops)) {
            true => KeyState::Disputed,
            false => KeyState::Pending,
        };
    }
    if matches!(standing.obstacle, Some(Notice::ObjectBlocked { .. })) {
        return KeyState::Blocked;
    }
    let is_as_wished = held.is_some_and(|held| held.value == *wish);
    if holder == Some(who.me) && is_as_wished && view.claims.is_empty() {
        return KeyState::Registered;
    }
    let managed = known.map_or(view.concerns(who.me), |known| known.managed);
    standing.ops = own::decide(who, key, Some(wish), view, managed)
        .map(|txn| txn.ops)
        .unwrap_or_default();
    if standing.is_rejected() {
        return KeyState::Rejected;
    }
    // Nothing has to be heard of others to know it.
    if *wish == Definition::disputed() && is_disputed(who, key, &view.after(&standing.ops)) {
        return KeyState::Disputed;
    }
    let is_ours =
        |op: &Op| matches!(op, Op::Put(_, lease) if *lease == who.me || holder == Some(who.me));
    match holder {
        _ if held.is_none() || standing.ops.iter().any(is_ours) => KeyState::Pending,
        Some(lease) if lease == who.me => KeyState::Registered,
        Some(lease) if who.knows(lease) && is_as_wished => KeyState::Shared,
        Some(lease) if who.knows(lease) => KeyState::Outvoted,
        _ => KeyState::Blocked,
    }
}

/// What would keep an object from being written as it is decided to be.
fn would_block(
    who: &Who,
    key: &Key,
    standing: &Standing<'_>,
    views: &BTreeMap<Key, View>,
) -> Option<Obstacle> {
    let nothing = View::default();
    let part = |field: &Key| KnownField {
        seen: Some(views.get(field).and_then(|view| view.node.clone())),
        ..KnownField::default()
    };
    let known = Sides {
        who,
        marker: key,
        wish: standing.wish,
        view: standing.view.unwrap_or(&nothing),
        part: &part,
    };
    key.object()?;
    own::would_be_in_the_way(&known, &standing.ops)
}

/// Whether it is an object of which none of its definitions counts.
pub(super) fn is_disputed(who: &Who, key: &Key, view: &View) -> bool {
    let is_held = view.holder().is_some_and(|lease| who.knows(lease));
    key.object().is_some() && is_held && own::stands(who, key, view).is_none()
}
