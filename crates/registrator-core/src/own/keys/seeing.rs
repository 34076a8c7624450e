//! What events of etcd change, and which keys they ask a decision of.

use super::Keys;
use crate::host::HostId;
use crate::node::{Key, Value};
use crate::own::session::Seen;
use crate::own::{Held, LeaseId, Revision, View};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

impl Keys {
    /// Takes in something seen in etcd. A change that is older than what is known changes nothing, nor does one of a key that is not
    /// tracked: it is of no interest, or the answer to its first transaction tells of it.
    ///
    /// What is seen of a key while a transaction for it is under way may be newer than the answer, which would then hide it: it
    /// waits for the answer.
    pub(crate) fn see(&mut self, seen: Seen, wish: impl Fn(&Key) -> Option<Value>, now: Instant) {
        let Some(seen) = self.unless_flying(seen) else {
            return;
        };
        match seen {
            Seen::Registrator { lease, name } => self.see_registrator(lease, name),
            Seen::Beacon {
                lease,
                lit,
                revision,
            } => {
                self.flights.note_beacon(lease, revision);
                self.see_beacon(lease, lit);
            }
            Seen::Read { views, revision } => self.see_reading(views, revision),
            Seen::Node {
                key,
                node,
                revision,
            } => {
                let wish = if self.ledger.is_part(&key) {
                    self.wish_of_part(&key, wish)
                } else {
                    wish(&key)
                };
                self.see_node(key, node, revision, wish.as_ref(), now);
            }
            Seen::Claim {
                key,
                lease,
                claim,
                revision,
            } => {
                self.see_claim(key, (lease, claim), revision, now);
            }
        }
    }

    /// What is seen, unless it has to wait for an answer.
    fn unless_flying(&mut self, seen: Seen) -> Option<Seen> {
        let Some(key) = seen.key().cloned() else {
            return Some(seen);
        };
        let mut seen = Some(seen);
        self.ledger.change(&key, |tracked| {
            if let Some(flying) = &mut tracked.flying {
                flying.seen.extend(seen.take());
            }
        });
        seen
    }

    fn see_node(
        &mut self,
        key: Key,
        node: Option<Held>,
        revision: Revision,
        wish: Option<&Value>,
        now: Instant,
    ) {
        let Some((_, who)) = self.session.clone() else {
            return;
        };
        let news = self.ledger.change(&key, |tracked| {
            tracked.see_node(&who, node, revision, wish, now)
        });
        if news == Some(true) {
            self.mark_owner(&key);
        }
    }

    fn see_claim(
        &mut self,
        key: Key,
        (lease, claim): (LeaseId, Option<Held>),
        revision: Revision,
        now: Instant,
    ) {
        let Some((_, who)) = self.session.clone() else {
            return;
        };
        let news = self.ledger.change(&key, |tracked| {
            tracked.see_claim(&who, lease, claim, revision, now)
        });
        if news == Some(true) {
            self.mark_owner(&key);
        }
    }

    /// What the reading and the mirror do not agree on is decided again. One with a transaction under way is told of by its answer.
    fn see_reading(&mut self, views: BTreeMap<Key, View>, revision: Revision) {
        let Some((_, who)) = self.session.clone() else {
            return;
        };
        let own = views.iter().filter(|(_, view)| view.concerns(who.me));
        let own: Vec<Key> = own.map(|(key, _)| key.clone()).collect();
        for key in &own {
            self.ledger.track(key);
        }
        let mut changed = Vec::new();
        for (key, view) in views {
            let news = self.ledger.change(&key, |tracked| {
                tracked.flying.is_none() && tracked.sight.correct(view, revision)
            });
            if news == Some(true) {
                changed.push(key);
            }
        }
        // A field that is found before its object was heard of is no node that nobody wishes.
        for marker in own.iter().filter(|key| key.object().is_some()) {
            self.add_parts(marker, None);
        }
        for key in changed {
            self.mark_owner(&key);
        }
    }

    fn see_registrator(&mut self, lease: LeaseId, name: Option<HostId>) {
        let Some((_, who)) = &mut self.session else {
            return;
        };
        if lease == who.me {
            return;
        }
        let known = who.registrators.get(&lease);
        let changed = known.is_some() != name.is_some();
        if known != name.as_ref() {
            let registrators = &mut Arc::make_mut(who).registrators;
            match name {
                Some(name) => registrators.insert(lease, name),
                None => registrators.remove(&lease),
            };
        }
        if changed {
            self.mark_concerned(lease);
        }
    }

    /// Takes in what a beacon is now.
    pub(super) fn see_beacon(&mut self, lease: LeaseId, lit: bool) {
        let Some((_, who)) = &mut self.session else {
            return;
        };
        if who.beacons.contains(&lease) == lit {
            return;
        }
        let beacons = &mut Arc::make_mut(who).beacons;
        if lit {
            beacons.insert(lease);
        } else {
            beacons.remove(&lease);
        }
        self.mark_concerned(lease);
    }

    /// Asks for a decision of the keys that a registrator holds or claims.
    fn mark_concerned(&mut self, lease: LeaseId) {
        let theirs: Vec<Key> = self.ledger.concerning(lease).cloned().collect();
        for key in theirs {
            self.mark_owner(&key);
        }
    }
}
