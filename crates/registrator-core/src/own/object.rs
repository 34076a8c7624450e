//! What a decision about an object's marker entails for its nodes, its *fields*.
//!
//! A marker is owned as any key is. Whatever changes it, or what is agreed on it, changes the fields in the same transaction: so at each
//! revision the fields are those of one definition, all of them, or none. They are there while the object *stands*: its marker is
//! there, all agree if they must, and nobody else has one of them.
//!
//! By that the state of the fields follows from marker and claims, and a process need not have seen them. What it believes of each is
//! compared in the transaction, so a stale view changes nothing.

use super::{FieldGuard, Guard, Held, KeyTxn, LeaseId, Op, View, Who};
use crate::node::{Definition, Key, OnConflict, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownField {
    /// What it is, if that was told.
    pub seen: Option<Option<Held>>,
    /// This process had it while it wished the object: it may replace what no registrator wrote.
    pub managed: bool,
    /// The other object of this process that has it.
    pub taken: Option<Key>,
}

/// A definition, and the lease under which its fields are.
struct Side {
    definition: Arc<Definition>,
    text: Value,
    lease: LeaseId,
    /// The leases whose claims do not agree, if all must.
    against: BTreeSet<LeaseId>,
}

impl Side {
    /// What there is, if a registrator wrote it.
    fn of(who: &Who, marker: &Key, view: &View) -> Option<Side> {
        Side::decided(marker, view).filter(|side| who.knows(side.lease))
    }

    /// What there is, or what a decision leads to, whoever's it is.
    fn decided(marker: &Key, view: &View) -> Option<Side> {
        let node = view.node.as_ref()?;
        let lease = node.lease?;
        let definition = Definition::parse(marker, &node.value)?;
        let strict = definition.on_conflict == OnConflict::None;
        let differs = |claim: &Held| strict && claim.value != node.value;
        let claims = view.claims.iter();
        let against = claims.filter(|(_, claim)| differs(claim));
        Some(Side {
            against: against.map(|(lease, _)| *lease).collect(),
            text: node.value.clone(),
            definition,
            lease,
        })
    }

    /// The fields that are to be there.
    fn fields(&self) -> Option<&BTreeMap<Key, Value>> {
        let stands = self.against.is_empty() && !self.definition.fields.is_empty();
        stands.then_some(&self.definition.fields)
    }

    /// The text of the definition, if the object stands.
    fn standing(&self) -> Option<Value> {
        self.fields().map(|_| self.text.clone())
    }
}

/// The definition that counts for everybody, as far as is seen: its text, if the object stands.
pub fn stands(who: &Who, marker: &Key, view: &View) -> Option<Value> {
    Side::of(who, marker, view)?.standing()
}

/// The same once a transaction for the marker has happened.
pub fn stands_after(view: &View, txn: &KeyTxn) -> Option<Value> {
    Side::decided(&txn.key, &view.after(&txn.ops))?.standing()
}

/// Changes nothing, and has the guards of what happens only while an object stands as it is seen to.
pub fn while_stands(who: &Who, marker: &Key, view: &View) -> Option<KeyTxn> {
    let side = Side::of(who, marker, view)?;
    side.fields()?;
    let mut txn = as_seen(marker, view);
    let guards = agreement(&side, view, &txn);
    txn.guards.extend(guards);
    Some(txn)
}

/// A field before and after a transaction.
struct Change<'a> {
    key: &'a Key,
    part: KnownField,
    /// The leases of those who may have it: the holders of the marker whose definitions have this field.
    owners: [Option<LeaseId>; 2],
    /// Under which lease it is now, if the marker says so.
    before: Option<LeaseId>,
    /// The same, with the value, after the transaction.
    after: Option<(&'a Value, LeaseId)>,
}

/// Who has a field.
enum Holder {
    Nobody,
    /// One who may write it or take it away: it is compared with this.
    Ours(FieldGuard),
    /// Somebody else, who keeps it.
    Others(Held),
}

impl Change<'_> {
    /// Who has the field, as far as is seen; else as the marker says.
    fn holder(&self, who: &Who) -> Holder {
        let held = match (&self.part.seen, self.before) {
            (Some(Some(held)), _) => held,
            (Some(None), _) | (None, None) => return Holder::Nobody,
            (None, Some(lease)) => return Holder::Ours(FieldGuard::HeldBy(lease)),
        };
        let is_for_me = self.after.is_some_and(|(_, lease)| lease == who.me);
        let is_known = held.lease.is_some_and(|lease| who.knows(lease));
        match held.lease {
            _ if self.part.taken.is_some() => Holder::Others(held.clone()),
            Some(lease) if self.owners.contains(&Some(lease)) => {
                Holder::Ours(FieldGuard::HeldBy(lease))
            }
            _ if self.part.managed && is_for_me && !is_known => {
                Holder::Ours(FieldGuard::Unchanged(held.mod_revision))
            }
            _ => Holder::Others(held.clone()),
        }
    }

    /// Whether it was seen to be what it is to be.
    fn is_right(&self) -> bool {
        match (&self.part.seen, self.after) {
            (Some(Some(held)), Some((value, lease))) => {
                held.value == *value && held.lease == Some(lease)
            }
            (seen, after) => matches!(seen, Some(None)) && after.is_none(),
        }
    }
}

/// What is known for [`dress`].
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// Who takes part.
    pub who: &'a Who,
    /// The object's marker.
    pub marker: &'a Key,
    /// What is wished for it.
    pub wish: Option<&'a Value>,
    /// What is seen of it.
    pub view: &'a View,
    /// What is known of a field.
    pub part: &'a dyn Fn(&Key) -> KnownField,
}

/// The transaction that was decided for a marker, with all that it entails for the object's fields. If none was, one that mends these.
///
/// If somebody else has one of the fields that would be written, none of them is.
pub fn dress(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    match txn {
        Some(txn) => Some(complete(known, txn)),
        None => mend(known),
    }
}

/// What keeps the object of this process from being written.
#[derive(Debug)]
pub struct Obstacle {
    /// A field.
    pub field: Key,
    /// What somebody else has there.
    pub held: Held,
    /// The other object of this process that has it.
    pub other: Option<Key>,
    /// Whether all fields are there all the same, with the values of the definition.
    pub is_same: bool,
}

/// What keeps the object of this process from being written, if something does.
pub fn in_the_way(known: &Sides<'_>) -> Option<Obstacle> {
    let side = Side::of(known.who, known.marker, known.view)?;
    obstacle(known, Some(&side), &side)
}

/// The same for what a decision for the marker would do.
pub fn would_be_in_the_way(known: &Sides<'_>, ops: &[Op]) -> Option<Obstacle> {
    let before = Side::of(known.who, known.marker, known.view);
    let after = Side::decided(known.marker, &known.view.after(ops))?;
    obstacle(known, before.as_ref(), &after)
}

fn obstacle(known: &Sides<'_>, before: Option<&Side>, after: &Side) -> Option<Obstacle> {
    if after.lease != known.who.me {
        return None;
    }
    let changes = changes(known, before, Some(after));
    let as_defined = |change: &Change<'_>| {
        let seen = change.part.seen.iter().flatten().next();
        change.after.map(|(value, _)| value) == seen.map(|held| &held.value)
    };
    let obstacle = |change: &Change<'_>| {
        change.after?;
        match change.holder(known.who) {
            Holder::Others(held) => Some(Obstacle {
                field: change.key.clone(),
                held,
                other: change.part.taken.clone(),
                is_same: changes.iter().all(as_defined),
            }),
            Holder::Nobody | Holder::Ours(_) => None,
        }
    };
    changes.iter().find_map(obstacle)
}

fn complete(known: &Sides<'_>, mut txn: KeyTxn) -> KeyTxn {
    let view = known.view.after(&txn.ops);
    let is_moved = txn.ops.iter().any(is_of_node);
    // What is taken away may be of a registrator of which nothing was told so far.
    let side = |view: &View| match is_moved {
        true => Side::decided(known.marker, view),
        false => Side::of(known.who, known.marker, view),
    };
    let (before, after) = (side(known.view), side(&view));
    let against = |side: &Option<Side>| side.as_ref().map(|side| side.against.clone());
    if !is_moved && against(&before) == against(&after) {
        return txn;
    }
    let changes = changes(known, before.as_ref(), after.as_ref());
    exactly(&mut txn, known.view);
    if let Some(after) = &after {
        let guards = agreement(after, known.view, &txn);
        txn.guards.extend(guards);
    }
    write(known.who, changes, false, &mut txn);
    txn
}

fn is_of_node(op: &Op) -> bool {
    matches!(op, Op::Put(..) | Op::Delete)
}

/// Who holds the marker sees to the fields, and to claims that no registrator wrote; whoever else has one of the fields, and wishes the
/// object, takes it away.
fn mend(known: &Sides<'_>) -> Option<KeyTxn> {
    let (me, wish) = (known.who.me, known.wish?);
    let side = Side::of(known.who, known.marker, known.view)?;
    let mut txn = as_seen(known.marker, known.view);
    if side.lease == me {
        // Until they are gone they count as claims that do not agree.
        let strays = side.against.iter().filter_map(|lease| {
            let claim = known.view.claims.get(lease)?;
            (claim.lease != Some(*lease)).then_some((*lease, claim.mod_revision))
        });
        for (lease, revision) in strays {
            txn.guards.push(Guard::ClaimUnchanged(lease, revision));
            txn.ops.push(Op::DeleteClaim(lease));
        }
        if !txn.ops.is_empty() {
            return Some(txn);
        }
        let mut changes = changes(known, Some(&side), Some(&side));
        // All or nothing: what is not known yet was asked for.
        if changes.iter().any(|change| change.part.seen.is_none()) {
            return None;
        }
        let blocked = block(known.who, &mut changes);
        txn.guards.extend(agreement(&side, known.view, &txn));
        txn.guards.extend(blocked);
        write(known.who, changes, true, &mut txn);
    } else {
        let own = Definition::parse(known.marker, wish);
        let own = own.iter().flat_map(|own| own.fields.keys());
        let keys: BTreeSet<&Key> = own.chain(side.definition.fields.keys()).collect();
        for key in keys {
            let part = (known.part)(key);
            let is_mine = |held: Held| held.lease == Some(me) && part.taken.is_none();
            if part.seen.flatten().is_some_and(is_mine) {
                let guard = Guard::Field(key.clone(), FieldGuard::HeldBy(me));
                txn.guards.push(guard);
                txn.ops.push(Op::DeleteField(key.clone()));
            }
        }
    }
    (!txn.ops.is_empty()).then_some(txn)
}

fn changes<'a>(
    known: &Sides<'_>,
    before: Option<&'a Side>,
    after: Option<&'a Side>,
) -> Vec<Change<'a>> {
    let sides = [before, after];
    let all = sides.into_iter().flatten();
    let keys: BTreeSet<&Key> = all.flat_map(|side| side.definition.fields.keys()).collect();
    let change = |key: &'a Key| {
        let has = |side: &&Side| side.definition.fields.contains_key(key);
        let stands = |side: &&Side| side.fields().is_some_and(|fields| fields.contains_key(key));
        Change {
            key,
            part: (known.part)(key),
            owners: sides.map(|side| Some(side.filter(has)?.lease)),
            before: before.filter(stands).map(|side| side.lease),
            after: after.and_then(|side| Some((side.fields()?.get(key)?, side.lease))),
        }
    };
    keys.into_iter().map(change).collect()
}

/// If somebody else has a field that would be written, nothing is: what was found is compared then.
fn block(who: &Who, changes: &mut [Change<'_>]) -> Option<Guard> {
    let blocked = changes.iter().find_map(|change| {
        change.after?;
        match change.holder(who) {
            Holder::Others(held) => {
                let unchanged = FieldGuard::Unchanged(held.mod_revision);
                Some(Guard::Field(change.key.clone(), unchanged))
            }
            Holder::Nobody | Holder::Ours(_) => None,
        }
    })?;
    for change in changes {
        change.after = None;
    }
    Some(blocked)
}

/// Makes fields what they are to be, and compares what they are with what they are believed to be: all of them, or only those that are
/// `wrong`.
fn write(who: &Who, mut changes: Vec<Change<'_>>, wrong: bool, txn: &mut KeyTxn) {
    txn.guards.extend(block(who, &mut changes));
    for change in changes {
        let key = || change.key.clone();
        let (guard, exists) = match change.holder(who) {
            // Or it was somebody else's, and is this object's now.
            Holder::Others(held) => {
                let unchanged = FieldGuard::Unchanged(held.mod_revision);
                let guard = Guard::Field(key(), unchanged);
                if !txn.guards.contains(&guard) {
                    txn.guards.push(guard);
                }
                continue;
            }
            Holder::Nobody => (FieldGuard::Absent, false),
            Holder::Ours(guard) => (guard, true),
        };
        txn.guards.push(Guard::Field(key(), guard));
        match change.after {
            _ if wrong && change.is_right() => {}
            Some((value, lease)) => txn.ops.push(Op::PutField(key(), value.clone(), lease)),
            None if exists => txn.ops.push(Op::DeleteField(key())),
            None => {}
        }
    }
}

/// Changes nothing yet, and happens only if a key is as it was seen.
fn as_seen(key: &Key, view: &View) -> KeyTxn {
    let mut txn = KeyTxn {
        key: key.clone(),
        guards: Vec::new(),
        ops: Vec::new(),
    };
    exactly(&mut txn, view);
    txn
}

/// Takes the claim of `me` on a field away.
pub fn drop_claim(me: LeaseId, field: &Key, view: &View) -> KeyTxn {
    let mut txn = as_seen(field, view);
    txn.ops.push(Op::DeleteClaim(me));
    txn
}

/// The fields follow from the marker as it was seen, so it must be just that.
fn exactly(txn: &mut KeyTxn, view: &View) {
    let guard = match &view.node {
        None => Guard::Absent,
        Some(held) => Guard::Unchanged(held.mod_revision),
    };
    let is_of_marker = |guard: &Guard| {
        matches!(
            guard,
            Guard::Absent | Guard::HeldBy(_) | Guard::Unchanged(_)
        )
    };
    txn.guards.retain(|guard| !is_of_marker(guard));
    txn.guards.insert(0, guard);
}

/// That the claims, after `ops`, agree with a definition as they were seen to, or that one of them does not.
fn agreement(side: &Side, view: &View, txn: &KeyTxn) -> Vec<Guard> {
    if side.definition.on_conflict != OnConflict::None || txn.guards.contains(&Guard::NoClaims) {
        return Vec::new();
    }
    let changed: BTreeMap<u64, LeaseId> = txn
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::PutClaim(_, lease) | Op::DeleteClaim(lease) => {
                Some((lease.0.cast_unsigned(), *lease))
            }
            _ => None,
        })
        .collect();
    let is_changed = |lease: &LeaseId| changed.contains_key(&lease.0.cast_unsigned());
    if let Some(lease) = side.against.iter().next() {
        if side.against.iter().any(is_changed) {
            return Vec::new();
        }
        let claim = view.claims.get(lease);
        let witness = claim.map(|claim| Guard::ClaimUnchanged(*lease, claim.mod_revision));
        return witness.into_iter().collect();
    }
    // Names of claims come in the order of unsigned numbers.
    let others = view.claims.keys().filter(|lease| !is_changed(lease));
    let others: BTreeSet<u64> = others.map(|lease| lease.0.cast_unsigned()).collect();
    let starts = [None]
        .into_iter()
        .chain(changed.values().copied().map(Some));
    let ends = changed.values().copied().map(Some).chain([None]);
    let between = starts.zip(ends).map(|(start, end)| {
        let number = |lease: LeaseId| lease.0.cast_unsigned();
        let is_within = |at: &u64| {
            start.is_none_or(|start| *at > number(start)) && end.is_none_or(|end| *at < number(end))
        };
        let any = others.iter().any(is_within);
        Guard::ClaimsAre(start, end, any.then(|| side.text.clone()))
    });
    between.collect()
}

#[cfg(test)]
mod tests;
