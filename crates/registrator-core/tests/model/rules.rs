//! The protocol as it is, and protocols that are broken on purpose.

use super::etcd::Fence;
use registrator_core::node::{Key, Value};
use registrator_core::own::{Guard, Held, KeyTxn, LeaseId, Op, View, Who, decide};
use std::collections::BTreeMap;

/// A change of what was decided.
pub type Fault = fn(&Who, Option<&Value>, &View, Option<KeyTxn>) -> Option<KeyTxn>;

/// How processes behave in a scenario.
#[derive(Clone)]
pub struct Rules {
    pub fault: Option<Fault>,
    pub fence: Fence,
    /// Everybody always seems alive.
    pub trusting: bool,
    /// The claims of a refusal are not read together with the node: they are what they were before.
    pub torn_reading: bool,
    /// Leases end only when all that can be done before was done.
    pub timely: bool,
    /// Values that may be wished: 1 to this.
    pub values: u8,
}

impl Rules {
    /// The protocol itself.
    pub fn sound() -> Rules {
        Rules {
            fault: None,
            fence: Fence {
                identity: true,
                beacon: true,
            },
            trusting: false,
            torn_reading: false,
            timely: false,
            values: 2,
        }
    }

    /// The protocol with a fault in every decision.
    pub fn with(fault: Fault) -> Rules {
        Rules {
            fault: Some(fault),
            ..Rules::sound()
        }
    }

    pub fn timely(self) -> Rules {
        Rules {
            timely: true,
            ..self
        }
    }

    /// A process notices the end of its session by whatever it compares.
    pub fn noticed(&self) -> Fence {
        self.fence
    }

    pub fn decide(
        &self,
        who: &Who,
        wish: Option<&Value>,
        view: &View,
        managed: bool,
    ) -> Option<KeyTxn> {
        let mut who = who.clone();
        if self.trusting {
            who.beacons.extend(who.registrators.keys());
        }
        let key = Key::parse("/k").unwrap();
        let txn = decide(&who, &key, wish, view, managed);
        match self.fault {
            Some(fault) => fault(&who, wish, view, txn),
            None => txn,
        }
    }

    /// The claims that a process takes from a refusal.
    pub fn claims_of_a_refusal(&self, known: &View, read: &View) -> BTreeMap<LeaseId, Held> {
        match self.torn_reading {
            true => known.claims.clone(),
            false => read.claims.clone(),
        }
    }
}

fn without_guards(
    txn: Option<KeyTxn>,
    dropped: impl Fn(&KeyTxn, &Guard) -> bool,
) -> Option<KeyTxn> {
    let mut txn = txn?;
    let whole = txn.clone();
    txn.guards.retain(|guard| !dropped(&whole, guard));
    Some(txn)
}

fn without_ops(txn: Option<KeyTxn>, dropped: impl Fn(&Op) -> bool) -> Option<KeyTxn> {
    let mut txn = txn?;
    txn.ops.retain(|op| !dropped(op));
    (!txn.ops.is_empty()).then_some(txn)
}

fn puts(txn: &KeyTxn, me: LeaseId) -> bool {
    txn.ops
        .iter()
        .any(|op| matches!(op, Op::Put(_, lease) if *lease == me))
}

/// Whoever wishes a key writes it, whatever is there.
pub fn last_writer_wins(
    who: &Who,
    wish: Option<&Value>,
    view: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    let Some(wish) = wish else { return txn };
    let there = view.node.as_ref();
    let mine = there.is_some_and(|held| held.lease == Some(who.me) && held.value == *wish);
    (!mine).then(|| KeyTxn {
        key: Key::parse("/k").unwrap(),
        guards: Vec::new(),
        ops: vec![Op::Put(wish.clone(), who.me)],
    })
}

pub fn deletes_without_looking_for_claims(
    _: &Who,
    _: Option<&Value>,
    _: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    without_guards(txn, |txn, guard| {
        *guard == Guard::NoClaims && txn.ops.contains(&Op::Delete)
    })
}

pub fn takes_over_without_a_claim_for_the_loser(
    who: &Who,
    _: Option<&Value>,
    _: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    let me = who.me;
    without_ops(
        txn,
        |op| matches!(op, Op::PutClaim(_, lease) if *lease != me),
    )
}

pub fn claims_without_comparing_the_node(
    _: &Who,
    _: Option<&Value>,
    _: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    without_guards(txn, |txn, guard| {
        let only_claims = txn.ops.iter().all(|op| matches!(op, Op::PutClaim(..)));
        only_claims
            && matches!(
                guard,
                Guard::Unchanged(_) | Guard::HeldBy(_) | Guard::Absent
            )
    })
}

pub fn takes_over_without_comparing_the_node(
    who: &Who,
    _: Option<&Value>,
    _: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    let me = who.me;
    without_guards(txn, |txn, guard| {
        puts(txn, me) && matches!(guard, Guard::Unchanged(_) | Guard::Absent)
    })
}

pub fn hands_over_without_comparing_the_claim(
    who: &Who,
    _: Option<&Value>,
    _: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    let me = who.me;
    without_guards(
        txn,
        |_, guard| matches!(guard, Guard::ClaimUnchanged(lease, _) if *lease != me),
    )
}

pub fn keeps_its_claim_beside_the_node(
    who: &Who,
    _: Option<&Value>,
    view: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    let me = who.me;
    let has = view.holder() == Some(me) || txn.as_ref().is_some_and(|txn| puts(txn, me));
    without_ops(txn, |op| has && *op == Op::DeleteClaim(me))
}

pub fn forgets_its_claim_on_what_it_does_not_hold(
    who: &Who,
    wish: Option<&Value>,
    view: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    txn.filter(|_| wish.is_some() || view.holder() == Some(who.me))
}

pub fn believes_its_own_suspicion(
    _: &Who,
    _: Option<&Value>,
    _: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    without_guards(txn, |_, guard| matches!(guard, Guard::Out(_)))
}

pub fn never_hands_over(
    who: &Who,
    wish: Option<&Value>,
    view: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    let mine = view.holder() == Some(who.me);
    match (wish, mine) {
        (None, true) => Some(KeyTxn {
            guards: vec![Guard::HeldBy(who.me)],
            ops: vec![Op::Delete],
            key: Key::parse("/k").unwrap(),
        }),
        _ => txn,
    }
}

pub fn overwrites_what_it_never_had(
    who: &Who,
    wish: Option<&Value>,
    view: &View,
    _: Option<KeyTxn>,
) -> Option<KeyTxn> {
    decide(who, &Key::parse("/k").unwrap(), wish, view, true)
}

pub fn takes_equal_values_over(
    who: &Who,
    wish: Option<&Value>,
    view: &View,
    txn: Option<KeyTxn>,
) -> Option<KeyTxn> {
    let Some(held) = &view.node else { return txn };
    match wish {
        // Whoever wishes the same takes the node from its holder.
        Some(wish) if held.value == *wish && held.lease != Some(who.me) => Some(KeyTxn {
            key: Key::parse("/k").unwrap(),
            guards: vec![Guard::Unchanged(held.mod_revision)],
            ops: vec![
                Op::Put(wish.clone(), who.me),
                Op::PutClaim(held.value.clone(), held.lease?),
                Op::DeleteClaim(who.me),
            ],
        }),
        _ => txn,
    }
}
