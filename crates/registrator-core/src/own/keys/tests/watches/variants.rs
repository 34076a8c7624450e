//! Decisions that are wrong on purpose: each lacks one thing that the real one has.

use crate::node::{Key, Value};
use crate::own::{Guard, KeyTxn, LeaseId, Op, View, Who, decide};

type Wish<'a> = Option<&'a Value>;

/// The real decision without the guards that `lost` names.
fn unguarded(txn: Option<KeyTxn>, lost: impl Fn(&KeyTxn, &Guard) -> bool) -> Option<KeyTxn> {
    let mut txn = txn?;
    let whole = txn.clone();
    txn.guards.retain(|guard| !lost(&whole, guard));
    Some(txn)
}

/// The real decision without the operations that `lost` names.
fn without(txn: Option<KeyTxn>, lost: impl Fn(&Op) -> bool) -> Option<KeyTxn> {
    let mut txn = txn?;
    txn.ops.retain(|op| !lost(op));
    Some(txn).filter(|txn| !txn.ops.is_empty())
}

fn is_of_node(guard: &Guard) -> bool {
    matches!(
        guard,
        Guard::Absent | Guard::HeldBy(_) | Guard::Unchanged(_)
    )
}

fn puts_for(txn: &KeyTxn, of: impl Fn(LeaseId) -> bool) -> bool {
    txn.ops
        .iter()
        .any(|op| matches!(op, Op::Put(_, lease) if of(*lease)))
}

pub fn last_writer_wins(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let Some(wish) = wish else {
        return decide(who, key, wish, view, managed);
    };
    let node = view.node.as_ref();
    let there = node.is_some_and(|held| held.value == *wish && held.lease == Some(who.me));
    (!there).then(|| KeyTxn {
        key: key.clone(),
        guards: Vec::new(),
        ops: vec![Op::Put(wish.clone(), who.me)],
    })
}

pub fn ties_go_to_the_smaller_lease(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    let (Some(wish), Some(held)) = (wish, &view.node) else {
        return txn;
    };
    let holder = held
        .lease
        .filter(|lease| *lease != who.me && who.knows(*lease));
    match holder {
        Some(holder) if held.value == *wish => Some(KeyTxn {
            key: key.clone(),
            guards: vec![Guard::Unchanged(held.mod_revision)],
            ops: vec![
                Op::Put(wish.clone(), who.me),
                Op::PutClaim(wish.clone(), holder),
                Op::DeleteClaim(who.me),
            ],
        }),
        _ => txn,
    }
}

pub fn deletes_what_is_claimed(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |txn, guard| {
        *guard == Guard::NoClaims && txn.ops.contains(&Op::Delete)
    })
}

pub fn writes_what_is_claimed(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |txn, guard| {
        *guard == Guard::NoClaims && !txn.ops.contains(&Op::Delete)
    })
}

pub fn deletes_instead_of_handing_over(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let mut txn = decide(who, key, wish, view, managed)?;
    if wish.is_none() && view.holder() == Some(who.me) {
        txn.ops = vec![Op::Delete];
    }
    Some(txn)
}

pub fn takes_over_without_a_claim_for_the_loser(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    without(
        txn,
        |op| matches!(op, Op::PutClaim(_, lease) if *lease != who.me),
    )
}

pub fn takes_over_a_node_that_changed(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |txn, guard| {
        puts_for(txn, |lease| lease == who.me) && is_of_node(guard)
    })
}

pub fn claims_beside_a_node_that_changed(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |txn, guard| {
        txn.ops.iter().all(|op| matches!(op, Op::PutClaim(..))) && is_of_node(guard)
    })
}

pub fn drops_its_claim_beside_a_node_that_changed(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |txn, guard| {
        txn.ops.iter().all(|op| matches!(op, Op::DeleteClaim(_))) && is_of_node(guard)
    })
}

pub fn hands_over_a_node_that_changed(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |txn, guard| {
        puts_for(txn, |lease| lease != who.me) && is_of_node(guard)
    })
}

pub fn hands_over_for_a_claim_that_changed(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(
        txn,
        |_, guard| matches!(guard, Guard::ClaimUnchanged(lease, _) if *lease != who.me),
    )
}

pub fn relies_on_its_own_claim(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(
        txn,
        |_, guard| matches!(guard, Guard::ClaimUnchanged(lease, _) if *lease == who.me),
    )
}

pub fn leaves_the_winners_claim(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    without(
        txn,
        |op| matches!(op, Op::DeleteClaim(lease) if *lease != who.me),
    )
}

pub fn keeps_its_claim_beside_its_node(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    let holds = view.holder() == Some(who.me)
        || txn
            .as_ref()
            .is_some_and(|txn| puts_for(txn, |lease| lease == who.me));
    without(txn, |op| holds && *op == Op::DeleteClaim(who.me))
}

pub fn forgets_its_claim(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    txn.filter(|_| wish.is_some() || view.holder() == Some(who.me))
}

pub fn writes_no_claim_for_itself(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    without(
        txn,
        |op| matches!(op, Op::PutClaim(_, lease) if *lease == who.me),
    )
}

pub fn never_takes_over(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    let others = view
        .holder()
        .is_some_and(|lease| lease != who.me && who.knows(lease));
    txn.filter(|txn| !(others && puts_for(txn, |lease| lease == who.me)))
}

pub fn believes_that_all_live(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let mut trusting = who.clone();
    trusting.beacons.extend(who.registrators.keys());
    decide(&trusting, key, wish, view, managed)
}

pub fn takes_death_for_granted(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |_, guard| matches!(guard, Guard::Out(_)))
}

pub fn takes_life_for_granted(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |_, guard| matches!(guard, Guard::Lit(_)))
}

pub fn takes_life_and_death_for_granted(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let txn = decide(who, key, wish, view, managed);
    unguarded(txn, |_, guard| {
        matches!(guard, Guard::Lit(_) | Guard::Out(_))
    })
}

pub fn overwrites_strangers(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    _: bool,
) -> Option<KeyTxn> {
    decide(who, key, wish, view, true)
}

pub fn repairs_nothing(
    who: &Who,
    key: &Key,
    wish: Wish<'_>,
    view: &View,
    _: bool,
) -> Option<KeyTxn> {
    decide(who, key, wish, view, false)
}
