//! The decision for one key: wish and view in, at most one guarded transaction out.

use super::{Guard, KeyTxn, LeaseId, Op, View};
use crate::conflict;
use crate::node::{Key, Value};
use std::collections::BTreeSet;

/// Who decides, and whose keys may be shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The lease of this process.
    pub me: LeaseId,
    /// The leases of the other registrators.
    pub others: BTreeSet<LeaseId>,
}

impl Who {
    /// Whether this lease is a registrator's.
    pub fn knows(&self, lease: LeaseId) -> bool {
        lease == self.me || self.others.contains(&lease)
    }
}

/// A value that somebody wishes, and the lease under which it would be written.
struct Candidate<'a> {
    value: &'a Value,
    lease: LeaseId,
}

/// The next transaction for `key`, if any.
///
/// `managed` tells that this process had the key while it wished it: only then may it replace a node that no registrator wrote.
///
/// Candidates are the node (if a registrator holds it), the claims, and the own wish in the place of whatever is the own. The
/// smallest value wins; of equal ones the present holder, so that nothing bounces. Everybody who sees the same comes to
/// the same end, whoever acts first; a decision from a stale view fails at its guards and is made again.
pub fn decide(
    who: &Who,
    key: &Key,
    wish: Option<&Value>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let owner = view.holder().filter(|lease| who.knows(*lease));
    let foreign = view.node.is_some() && owner.is_none();
    let not_ours =
        (foreign && !(managed && wish.is_some())) || (wish.is_none() && owner != Some(who.me));
    let ops = match not_ours {
        true => without_claim(who.me, view),
        false => settle(who, wish, view, owner),
    };
    if ops.is_empty() {
        return None;
    }
    Some(KeyTxn {
        key: key.clone(),
        guards: guards(who.me, view, &ops),
        ops,
    })
}

fn without_claim(me: LeaseId, view: &View) -> Vec<Op> {
    view.claims
        .get(&me)
        .map(|_| Op::DeleteClaim(me))
        .into_iter()
        .collect()
}

fn settle(who: &Who, wish: Option<&Value>, view: &View, owner: Option<LeaseId>) -> Vec<Op> {
    let mut ops = Vec::new();
    let winner = winner(who, wish, view, owner);
    match &winner {
        Some(winner) => ops.extend(hand_to(winner, who.me, view, owner)),
        // The guard of a deletion is that there is no claim, so an own one goes first and the node with the next transaction.
        None if view.claims.is_empty() => ops.push(Op::Delete),
        None => ops.extend(view.claims.keys().map(|lease| Op::DeleteClaim(*lease))),
    }
    match (wish, winner) {
        (Some(wish), Some(winner)) if winner.lease != who.me => {
            let claim = view.claims.get(&who.me);
            if claim.is_none_or(|claim| claim.value != *wish || claim.lease != Some(who.me)) {
                ops.push(Op::PutClaim(wish.clone(), who.me));
            }
        }
        (_, Some(_)) => ops.extend(without_claim(who.me, view)),
        (_, None) => {}
    }
    ops
}

fn winner<'a>(
    who: &Who,
    wish: Option<&'a Value>,
    view: &'a View,
    owner: Option<LeaseId>,
) -> Option<Candidate<'a>> {
    let claims = view
        .claims
        .iter()
        .filter(|(lease, claim)| claim.lease == Some(**lease));
    let claims = claims.map(|(lease, claim)| Candidate {
        value: &claim.value,
        lease: *lease,
    });
    let node = view
        .node
        .as_ref()
        .zip(owner)
        .map(|(held, lease)| Candidate {
            value: &held.value,
            lease,
        });
    let others = claims
        .chain(node)
        .filter(|candidate| candidate.lease != who.me);
    let candidates: Vec<_> = others
        .chain(wish.map(|value| Candidate {
            value,
            lease: who.me,
        }))
        .collect();
    let value = conflict::resolve(candidates.iter().map(|candidate| candidate.value))?;
    let equal = candidates
        .into_iter()
        .filter(|candidate| candidate.value == value);
    equal.min_by_key(|candidate| (Some(candidate.lease) != owner, candidate.lease))
}

/// Puts the node where it belongs: consumes the winner's claim, and leaves one for a holder that loses the node.
fn hand_to(winner: &Candidate<'_>, me: LeaseId, view: &View, owner: Option<LeaseId>) -> Vec<Op> {
    let held = view.node.as_ref();
    if held.is_some_and(|held| held.value == *winner.value && held.lease == Some(winner.lease)) {
        return Vec::new();
    }
    let mut ops = vec![Op::Put(winner.value.clone(), winner.lease)];
    if winner.lease != me && view.claims.contains_key(&winner.lease) {
        ops.push(Op::DeleteClaim(winner.lease));
    }
    if let (Some(held), Some(owner)) = (
        held,
        owner.filter(|owner| *owner != me && *owner != winner.lease),
    ) {
        ops.push(Op::PutClaim(held.value.clone(), owner));
    }
    ops
}

/// Without claims the lease alone guards what is the own, so that a lagging view of it costs no second try.
fn guards(me: LeaseId, view: &View, ops: &[Op]) -> Vec<Guard> {
    let mut guards = vec![match &view.node {
        None => Guard::Absent,
        Some(held) if held.lease == Some(me) && view.claims.is_empty() => Guard::HeldBy(me),
        Some(held) => Guard::Unchanged(held.mod_revision),
    }];
    if view.claims.is_empty() && ops.iter().any(|op| matches!(op, Op::Put(..) | Op::Delete)) {
        guards.push(Guard::NoClaims);
    }
    // An own claim that is left as it is must be there: the node may be news of a hand-over that consumed it.
    let own_claim = view.claims.get(&me).filter(|_| {
        let of_me =
            |op: &Op| matches!(op, Op::PutClaim(_, lease) | Op::DeleteClaim(lease) if *lease == me);
        !ops.iter().any(of_me)
    });
    guards.extend(own_claim.map(|claim| Guard::ClaimUnchanged(me, claim.mod_revision)));
    guards.extend(ops.iter().filter_map(|op| match op {
        Op::DeleteClaim(lease) if *lease != me => Some(Guard::ClaimUnchanged(
            *lease,
            view.claims.get(lease)?.mod_revision,
        )),
        Op::DeleteClaim(_) | Op::PutClaim(..) | Op::Put(..) | Op::Delete => None,
    }));
    guards
}

#[cfg(test)]
mod tests;
