//! Decisions that are wrong on purpose: each lacks one thing that the real one has.

use super::decided::{Asked, really};
use crate::own::{Guard, KeyTxn, LeaseId, Op};

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

pub fn last_writer_wins(asked: &Asked<'_>) -> Option<KeyTxn> {
    let Some(wish) = asked.wish else {
        return really(asked);
    };
    let node = asked.view.node.as_ref();
    let there = node.is_some_and(|held| held.value == *wish && held.lease == Some(asked.who.me));
    (!there).then(|| KeyTxn {
        key: asked.key.clone(),
        guards: Vec::new(),
        ops: vec![Op::Put(wish.clone(), asked.who.me)],
    })
}

pub fn ties_go_to_the_smaller_lease(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    let (Some(wish), Some(held)) = (asked.wish, &asked.view.node) else {
        return txn;
    };
    let holder = held
        .lease
        .filter(|lease| *lease != asked.who.me && asked.who.knows(*lease));
    match holder {
        Some(holder) if held.value == *wish => Some(KeyTxn {
            key: asked.key.clone(),
            guards: vec![Guard::Unchanged(held.mod_revision)],
            ops: vec![
                Op::Put(wish.clone(), asked.who.me),
                Op::PutClaim(wish.clone(), holder),
                Op::DeleteClaim(asked.who.me),
            ],
        }),
        _ => txn,
    }
}

pub fn deletes_what_is_claimed(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |txn, guard| {
        *guard == Guard::NoClaims && txn.ops.contains(&Op::Delete)
    })
}

pub fn writes_what_is_claimed(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |txn, guard| {
        *guard == Guard::NoClaims && !txn.ops.contains(&Op::Delete)
    })
}

pub fn deletes_instead_of_handing_over(asked: &Asked<'_>) -> Option<KeyTxn> {
    let mut txn = really(asked)?;
    if asked.wish.is_none() && asked.view.holder() == Some(asked.who.me) {
        txn.ops = vec![Op::Delete];
    }
    Some(txn)
}

pub fn takes_over_without_a_claim_for_the_loser(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    without(
        txn,
        |op| matches!(op, Op::PutClaim(_, lease) if *lease != asked.who.me),
    )
}

pub fn takes_over_a_node_that_changed(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |txn, guard| {
        puts_for(txn, |lease| lease == asked.who.me) && is_of_node(guard)
    })
}

pub fn claims_beside_a_node_that_changed(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |txn, guard| {
        txn.ops.iter().all(|op| matches!(op, Op::PutClaim(..))) && is_of_node(guard)
    })
}

pub fn drops_its_claim_beside_a_node_that_changed(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |txn, guard| {
        txn.ops.iter().all(|op| matches!(op, Op::DeleteClaim(_))) && is_of_node(guard)
    })
}

pub fn hands_over_a_node_that_changed(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |txn, guard| {
        puts_for(txn, |lease| lease != asked.who.me) && is_of_node(guard)
    })
}

pub fn hands_over_for_a_claim_that_changed(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(
        txn,
        |_, guard| matches!(guard, Guard::ClaimUnchanged(lease, _) if *lease != asked.who.me),
    )
}

pub fn relies_on_its_own_claim(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(
        txn,
        |_, guard| matches!(guard, Guard::ClaimUnchanged(lease, _) if *lease == asked.who.me),
    )
}

pub fn leaves_the_winners_claim(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    without(
        txn,
        |op| matches!(op, Op::DeleteClaim(lease) if *lease != asked.who.me),
    )
}

pub fn keeps_its_claim_beside_its_node(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    let holds = asked.view.holder() == Some(asked.who.me)
        || txn
            .as_ref()
            .is_some_and(|txn| puts_for(txn, |lease| lease == asked.who.me));
    without(txn, |op| holds && *op == Op::DeleteClaim(asked.who.me))
}

pub fn forgets_its_claim(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    txn.filter(|_| asked.wish.is_some() || asked.view.holder() == Some(asked.who.me))
}

pub fn writes_no_claim_for_itself(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    without(
        txn,
        |op| matches!(op, Op::PutClaim(_, lease) if *lease == asked.who.me),
    )
}

pub fn never_takes_over(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    let others = asked
        .view
        .holder()
        .is_some_and(|lease| lease != asked.who.me && asked.who.knows(lease));
    txn.filter(|txn| !(others && puts_for(txn, |lease| lease == asked.who.me)))
}

pub fn believes_that_all_live(asked: &Asked<'_>) -> Option<KeyTxn> {
    let mut trusting = asked.who.clone();
    trusting.beacons.extend(asked.who.registrators.keys());
    really(&Asked {
        who: &trusting,
        ..*asked
    })
}

pub fn takes_death_for_granted(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |_, guard| matches!(guard, Guard::Out(_)))
}

pub fn takes_life_for_granted(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |_, guard| matches!(guard, Guard::Lit(_)))
}

pub fn takes_life_and_death_for_granted(asked: &Asked<'_>) -> Option<KeyTxn> {
    let txn = really(asked);
    unguarded(txn, |_, guard| {
        matches!(guard, Guard::Lit(_) | Guard::Out(_))
    })
}

pub fn overwrites_strangers(asked: &Asked<'_>) -> Option<KeyTxn> {
    really(&Asked {
        managed: true,
        ..*asked
    })
}

pub fn repairs_nothing(asked: &Asked<'_>) -> Option<KeyTxn> {
    really(&Asked {
        managed: false,
        ..*asked
    })
}
