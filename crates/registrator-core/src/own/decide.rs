//! The decision for one key: wish and view in, at most one guarded transaction out.

use super::{Guard, KeyTxn, LeaseId, Op, View, Who};
use crate::merge::conflict;
use crate::node::{Key, Value};

/// A value that somebody wishes, and the lease under which it would be written.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    value: &'a Value,
    lease: LeaseId,
}

/// Who shall have the key, and who would have it but seems dead.
struct Contest<'a> {
    winner: Option<Candidate<'a>>,
    passed_over: Vec<LeaseId>,
}

/// The next transaction for `key`, if any.
///
/// `managed` tells that this process had the key while it wished it: only then may it replace a node that no registrator wrote.
///
/// Candidates are the node (if a registrator holds it), the claims, and the own wish in the place of whatever is the own. Whoever
/// seems dead comes last. Then the smallest value wins; of equal ones the present holder, so that nothing bounces. Everybody who
/// sees the same comes to the same end, whoever acts first; a decision from a stale view fails at its guards and is made again.
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
    let (ops, mut liveness) = if not_ours {
        (without_claim(who.me, view), Vec::new())
    } else {
        settle(who, wish, view, owner)
    };
    if ops.is_empty() {
        return None;
    }
    let mut guards = guards(who.me, view, &ops, managed);
    guards.append(&mut liveness);
    Some(KeyTxn {
        key: key.clone(),
        guards,
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

/// What is to be done, and on whose life or death that rests.
fn settle(
    who: &Who,
    wish: Option<&Value>,
    view: &View,
    owner: Option<LeaseId>,
) -> (Vec<Op>, Vec<Guard>) {
    let (mut ops, mut liveness) = (Vec::new(), Vec::new());
    let Contest {
        winner,
        passed_over,
    } = contest(who, wish, view, owner);
    match &winner {
        Some(winner) => {
            ops.extend(hand_to(winner, who.me, view, owner));
            if !ops.is_empty() {
                liveness = guards_of_life(who, winner.lease, passed_over);
            }
        }
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
    (ops, liveness)
}

fn contest<'a>(
    who: &Who,
    wish: Option<&'a Value>,
    view: &'a View,
    owner: Option<LeaseId>,
) -> Contest<'a> {
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
    let own = wish.map(|value| Candidate {
        value,
        lease: who.me,
    });
    let (suspects, trusted): (Vec<_>, Vec<_>) = others
        .chain(own)
        .partition(|candidate| who.suspects(candidate.lease));
    match best(&trusted, owner) {
        None => Contest {
            winner: best(&suspects, owner),
            passed_over: Vec::new(),
        },
        Some(winner) => {
            let better = suspects.into_iter().filter(|suspect| {
                best(&[winner, *suspect], owner).is_some_and(|best| best.lease == suspect.lease)
            });
            Contest {
                winner: Some(winner),
                passed_over: better.map(|suspect| suspect.lease).collect(),
            }
        }
    }
}

fn best<'a>(candidates: &[Candidate<'a>], owner: Option<LeaseId>) -> Option<Candidate<'a>> {
    let value = conflict::resolve(candidates.iter().map(|candidate| candidate.value))?;
    let equal = candidates
        .iter()
        .filter(|candidate| candidate.value == value);
    equal
        .min_by_key(|candidate| (Some(candidate.lease) != owner, candidate.lease))
        .copied()
}

/// Life and death are facts in etcd when the node passes to somebody, not this process's opinion: two that suspect each other
/// from stale views would take the node from each other without end.
fn guards_of_life(who: &Who, winner: LeaseId, passed_over: Vec<LeaseId>) -> Vec<Guard> {
    let lit = (winner != who.me && !who.suspects(winner)).then_some(Guard::Lit(winner));
    lit.into_iter()
        .chain(passed_over.into_iter().map(Guard::Out))
        .collect()
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

/// Without claims the lease alone guards what is the own, so that a lagging view of it costs no second try. What this process found and
/// never wished may be a field of an object that it has not heard of yet: it goes just as it was found, or not at all.
fn guards(me: LeaseId, view: &View, ops: &[Op], managed: bool) -> Vec<Guard> {
    let mut guards = vec![match &view.node {
        None => Guard::Absent,
        Some(held) if held.lease == Some(me) && view.claims.is_empty() && managed => {
            Guard::HeldBy(me)
        }
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
        Op::DeleteClaim(_)
        | Op::PutClaim(..)
        | Op::Put(..)
        | Op::Delete
        | Op::PutField(..)
        | Op::DeleteField(_) => None,
    }));
    guards
}

#[cfg(test)]
pub(super) mod tests;
