//! What people are told of one key, each thing once.

use crate::node::{Key, Value};
use crate::own::session::Rejection;
use crate::own::{Held, KeyTxn, LeaseId, Obstacle, Op, View, Who, stands};
use crate::tell::notice::{Askers, FieldHolder, Notice, Passage};

/// What was told last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Story {
    /// What is in the way.
    reported: Option<Notice>,
    /// The conflict with other hosts.
    conflict: Option<Notice>,
}

impl Story {
    /// `notice` if it differs from what was reported last.
    pub(super) fn report(&mut self, notice: Notice) -> Option<Notice> {
        if self.reported.as_ref() == Some(&notice) {
            return None;
        }
        self.reported = Some(notice.clone());
        Some(notice)
    }

    /// What is in the way.
    pub(super) fn obstacle(&self) -> Option<&Notice> {
        self.reported.as_ref()
    }

    /// Nothing is in the way any more.
    pub(super) fn went_on(&mut self) {
        self.reported = None;
    }

    /// No object has a node that is asked for by itself, or has it with the same value.
    pub(super) fn stands_alone(&mut self) {
        let of_object = |notice: &mut Notice| matches!(notice, Notice::NodeOfObject { .. });
        self.reported.take_if(of_object);
    }

    /// No node of an object is in the way any more: somebody gave back the only one that was missing, or has the object now. It is news
    /// that an object of this process is there.
    pub(super) fn unblocked(&mut self, who: &Who, key: &Key, view: &View) -> Option<Notice> {
        self.stands_alone();
        let is_block = |notice: &mut Notice| matches!(notice, Notice::ObjectBlocked { .. });
        self.reported.take_if(is_block)?;
        let value = stands(who, key, view).filter(|_| view.holder() == Some(who.me))?;
        Some(registered_again(key, value))
    }

    /// How the wish stands to what is there when nothing is to be done, as far as that is news.
    pub(super) fn standing(
        &mut self,
        who: &Who,
        key: &Key,
        wish: &Value,
        view: &View,
    ) -> Vec<Notice> {
        let Some(held) = &view.node else {
            return Vec::new();
        };
        let Some(holder) = held.lease.filter(|lease| who.knows(*lease)) else {
            let foreign = Notice::Foreign {
                key: key.clone(),
                value: held.value.clone(),
                wish: wish.clone(),
            };
            return self.report(foreign).into_iter().collect();
        };
        let mut news: Vec<Notice> = self
            .conflict(who, key, &held.value, holder, view)
            .into_iter()
            .collect();
        if holder != who.me && held.value == *wish {
            news.extend(self.report(Notice::Shared {
                key: key.clone(),
                value: held.value.clone(),
                holder: who.name(holder),
            }));
        }
        news
    }

    /// The conflict with other hosts, or its end, if that is news.
    fn conflict(
        &mut self,
        who: &Who,
        key: &Key,
        value: &Value,
        holder: LeaseId,
        view: &View,
    ) -> Option<Notice> {
        let others = view.claims.iter().filter(|(lease, claim)| {
            claim.value != *value && claim.lease == Some(**lease) && who.knows(**lease)
        });
        let mut waiting: Vec<_> = others
            .map(|(lease, claim)| {
                let name = if who.suspects(*lease) {
                    format!("{}, which seems dead", who.name(*lease)).into()
                } else {
                    who.name(*lease)
                };
                (claim.value.clone(), name)
            })
            .collect();
        waiting.sort();
        let (key, value) = (key.clone(), value.clone());
        if waiting.is_empty() {
            self.conflict.take()?;
            return Some(Notice::HostConflictEnded { key, value });
        }
        let conflict = Notice::HostConflict {
            key,
            registered: (value, who.name(holder)),
            waiting,
        };
        if self.conflict.as_ref() == Some(&conflict) {
            return None;
        }
        self.conflict = Some(conflict.clone());
        Some(conflict)
    }
}

/// What a transaction of this process did, if it is worth a word. `before` is the node that it found.
pub(super) fn of_txn(who: &Who, txn: &KeyTxn, before: Option<&Held>) -> Option<Notice> {
    let key = txn.key.clone();
    // Without its fields an object is not there, before or after: why not is told otherwise.
    let shows = |op: &Op| match op {
        Op::PutField(..) => true,
        Op::DeleteField(_) => txn.ops.contains(&Op::Delete),
        _ => false,
    };
    if key.object().is_some() && !txn.ops.iter().any(shows) {
        return None;
    }
    let held_before = before.and_then(|held| held.lease);
    txn.ops.iter().find_map(|op| match op {
        Op::Put(value, lease) if *lease == who.me => Some(Notice::Registered {
            key: key.clone(),
            value: value.clone(),
            old: before.map(|held| held.value.clone()),
            askers: Askers::default(),
            took: None,
        }),
        Op::Put(value, lease) if held_before == Some(who.me) => Some(Notice::HandedOver {
            key: key.clone(),
            value: value.clone(),
            to: who.name(*lease),
        }),
        Op::Delete => Some(Notice::Removed(key.clone())),
        Op::Put(..)
        | Op::PutClaim(..)
        | Op::DeleteClaim(_)
        | Op::PutField(..)
        | Op::DeleteField(_) => None,
    })
}

/// That the fields of an object of this process are there again, if the transaction wrote these and left its marker as it was.
pub(super) fn of_fields(who: &Who, txn: &KeyTxn, marker: Option<&Held>) -> Option<Notice> {
    let writes = |op: &Op| matches!(op, Op::PutField(_, _, lease) if *lease == who.me);
    let moves = |op: &Op| matches!(op, Op::Put(..) | Op::Delete);
    let marker = marker.filter(|_| txn.ops.iter().any(writes) && !txn.ops.iter().any(moves))?;
    Some(registered_again(&txn.key, marker.value.clone()))
}

fn registered_again(key: &Key, value: Value) -> Notice {
    Notice::Registered {
        key: key.clone(),
        value,
        old: None,
        askers: Askers::default(),
        took: None,
    }
}

/// That somebody else has a field of an object.
pub(super) fn of_obstacle(who: &Who, marker: &Key, obstacle: Obstacle) -> Notice {
    let Obstacle {
        field, held, other, ..
    } = obstacle;
    let host = held.lease.filter(|lease| who.knows(*lease));
    let host = host.map(|lease| FieldHolder::Host(who.name(lease)));
    Notice::ObjectBlocked {
        key: marker.clone(),
        field,
        value: held.value,
        by: other.map(FieldHolder::Object).or(host),
    }
}

/// What people are told when etcd refuses `txn`.
pub(super) fn of_rejection(who: &Who, txn: &KeyTxn, rejection: &Rejection) -> Notice {
    let (key, message) = (txn.key.clone(), rejection.message.clone());
    match passage(who, txn).filter(|_| rejection.forbidden) {
        Some(passage) => Notice::PassageForbidden {
            key,
            passage,
            message,
        },
        None => Notice::Rejected { key, message },
    }
}

/// Between whom the node would pass, if it would.
fn passage(who: &Who, txn: &KeyTxn) -> Option<Passage> {
    let new_holder = txn.ops.iter().find_map(|op| match op {
        Op::Put(_, lease) => Some(*lease),
        _ => None,
    })?;
    let loser = txn.ops.iter().find_map(|op| match op {
        Op::PutClaim(_, lease) => Some(*lease),
        _ => None,
    });
    let host = |lease: LeaseId| Some(lease).filter(|lease| *lease != who.me);
    match (host(new_holder), loser.and_then(host)) {
        (Some(to), _) => Some(Passage::To(who.name(to))),
        (None, Some(from)) => Some(Passage::From(who.name(from))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: LeaseId = LeaseId(1);
    const OTHER: LeaseId = LeaseId(2);

    fn who() -> Who {
        Who {
            me: ME,
            registrators: [(OTHER, "b".into())].into(),
            beacons: [OTHER].into(),
        }
    }

    fn held(text: &str, lease: LeaseId) -> Held {
        Held {
            value: Value::parse(text).unwrap(),
            lease: Some(lease),
            mod_revision: 7,
        }
    }

    fn told(story: &mut Story, view: &View) -> usize {
        let (key, wish) = (Key::parse("/k").unwrap(), Value::parse("a").unwrap());
        story.standing(&who(), &key, &wish, view).len()
    }

    #[test]
    fn a_conflict_and_its_end_are_told_once() {
        let (mut story, mut view) = (Story::default(), View::default());
        view.node = Some(held("a", ME));
        assert_eq!(told(&mut story, &view), 0);
        view.claims.insert(OTHER, held("b", OTHER));
        assert_eq!(told(&mut story, &view), 1);
        assert_eq!(told(&mut story, &view), 0, "as before");
        view.claims.clear();
        assert_eq!(told(&mut story, &view), 1, "it ended");
        assert_eq!(told(&mut story, &view), 0);
    }

    #[test]
    fn what_is_in_the_way_is_told_again_after_something_happened() {
        let (mut story, mut view) = (Story::default(), View::default());
        view.node = Some(held("x", LeaseId(9)));
        assert_eq!(told(&mut story, &view), 1);
        assert_eq!(told(&mut story, &view), 0);
        story.went_on();
        assert_eq!(told(&mut story, &view), 1);
    }

    #[test]
    fn a_refusal_names_the_host_that_the_node_would_pass_to_or_come_from() {
        let put = |lease| Op::Put(Value::parse("a").unwrap(), lease);
        let claim = |lease| Op::PutClaim(Value::parse("b").unwrap(), lease);
        let check = |ops: &[Op], forbidden, expected: &str| {
            let txn = KeyTxn {
                key: Key::parse("/k").unwrap(),
                guards: Vec::new(),
                ops: ops.into(),
            };
            let message = "no".to_owned();
            let rejection = Rejection { message, forbidden };
            let notice = of_rejection(&who(), &txn, &rejection);
            assert_eq!(notice.to_string(), expected, "{ops:?}");
        };
        let roles = "no. Registrators that share keys need equal roles in etcd";
        let to = format!("/k cannot be handed over to host b: {roles}");
        check(&[put(OTHER), Op::DeleteClaim(OTHER)], true, &to);
        check(&[put(OTHER), claim(ME)], true, &to);
        let from = format!("/k cannot be taken over from host b: {roles}");
        check(&[put(ME), claim(OTHER)], true, &from);
        for (ops, forbidden) in [
            (&[put(ME)][..], true),
            (&[claim(ME)], true),
            (&[Op::Delete], true),
            (&[put(OTHER)], false),
        ] {
            check(ops, forbidden, "etcd refuses /k: no");
        }
    }
}
