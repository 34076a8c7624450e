//! Objects in the explored worlds: nothing is ever mixed, and nothing that counts is taken away. And what must be caught.

use super::check::Property::{self, *};
use super::convert::World;
use super::decided::Dress;
use super::scenario::{Protocol, REAL, Scenario, full, total};
use super::state::Budget;
use super::{NONE, holds, wish};
use crate::own::{self, FieldGuard, Guard, KeyTxn, Op, Sides};

/// In worlds of this kind.
fn hold(world: World, scenarios: &[Scenario]) {
    println!("{world:?}");
    let of = scenarios.iter().map(|scenario| scenario.of(world));
    holds(&of.collect::<Vec<_>>());
}

fn two(name: &'static str, budget: Budget) -> Scenario {
    Scenario::two(name, 100, budget)
}

const KINDS: [World; 3] = [World::Smallest, World::Strict, World::Disputed];

#[test]
fn definitions_change() {
    for world in KINDS {
        hold(
            world,
            &[
                two("2 from nothing, wish 1", wish(1)).unsettled(),
                two("2, wish 2", wish(2)),
                two("2, wish 1, answers slow", wish(1)).slow_answers(),
            ],
        );
    }
    let three = Scenario::three("3 from nothing", 80_000, NONE).unsettled();
    hold(World::Strict, &[three]);
    if full() {
        for world in KINDS {
            hold(
                world,
                &[
                    two("2, wish 2, answers slow", wish(2)).slow_answers(),
                    two("2, wish 3", wish(3)),
                    Scenario::three("3, wish 1", 500, wish(1)),
                ],
            );
        }
        for world in [World::Smallest, World::Disputed] {
            hold(world, &[three]);
        }
        let three = two("2, 3 values, wish 2", wish(2)).three_values();
        hold(World::Strict, &[three]);
        hold(World::Disputed, &[three]);
        hold(World::Smallest, &[three]);
    }
}

#[test]
fn holders_die_and_leave() {
    let one = |crash, leave, start, wish| Budget {
        crash,
        leave,
        start,
        wish,
        ..total(crash + leave + start + wish)
    };
    for world in KINDS {
        hold(
            world,
            &[
                two("2, wish 1, crash 1", one(1, 0, 0, 1)),
                two("2, crash 1, in time", one(1, 0, 0, 0)).timely(),
                two("2, wish 1, leave 1, in time", one(0, 1, 0, 1)).timely(),
            ],
        );
    }
    let again = two("2, crash 1, start 1", one(1, 0, 1, 0)).with_successor();
    hold(World::Strict, &[again]);
    if full() {
        hold(World::Smallest, &[again]);
        hold(World::Disputed, &[again]);
        for world in KINDS {
            hold(
                world,
                &[
                    two("2, wish 1, crash 1, in time", one(1, 0, 0, 1)).timely(),
                    two("2, wish 1, crash 1, start 1", one(1, 0, 1, 1)).with_successor(),
                    Scenario::three("3, crash 1, in time", 500, one(1, 0, 0, 0)).timely(),
                    Scenario::three("3, leave 1", 500, one(0, 1, 0, 0)),
                ],
            );
        }
    }
}

#[test]
fn answers_are_lost_and_fields_are_touched() {
    let lost = Budget {
        unknown: 1,
        wish: 1,
        ..total(2)
    };
    let watches = Budget {
        lose_watch: 1,
        wish: 1,
        ..total(2)
    };
    let lease = Budget {
        lose_lease: 1,
        ..total(1)
    };
    let hand = Budget {
        edit: 1,
        wish: 1,
        ..total(2)
    };
    for world in KINDS {
        hold(
            world,
            &[
                two("2, wish 1, answer lost 1", lost),
                two("2, wish 1, watches lost 1", watches),
                two("2, wish 1, hand 1", hand),
                two("2 beside a stranger, wish 1, hand 1", hand).beside_a_stranger(),
            ],
        );
    }
    if full() {
        for world in KINDS {
            hold(world, &[two("2, lease lost 1", lease)]);
        }
    }
}

fn guards(txn: Option<KeyTxn>, keep: impl Fn(&Guard) -> bool) -> Option<KeyTxn> {
    let mut txn = txn?;
    txn.guards.retain(keep);
    Some(txn)
}

fn ops(txn: Option<KeyTxn>, keep: impl Fn(&Op) -> bool) -> Option<KeyTxn> {
    let mut txn = txn?;
    txn.ops.retain(keep);
    Some(txn).filter(|txn| !txn.ops.is_empty())
}

/// Compares no field.
fn fields_are_believed(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    guards(own::dress(known, txn), |guard| {
        !matches!(guard, Guard::Field(..))
    })
}

/// Compares no field that it believes to be absent.
fn absence_is_believed(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    guards(own::dress(known, txn), |guard| {
        !matches!(guard, Guard::Field(_, FieldGuard::Absent))
    })
}

/// Leaves fields of the definition before.
fn old_fields_stay(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    ops(own::dress(known, txn), |op| {
        !matches!(op, Op::DeleteField(_))
    })
}

/// Writes the marker alone, and the fields when it sees that they are missing.
fn fields_come_later(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    match txn {
        Some(txn) => Some(txn),
        None => own::dress(known, None),
    }
}

/// Believes what it saw of claims.
fn agreement_is_believed(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    guards(own::dress(known, txn), |guard| {
        !matches!(guard, Guard::ClaimsAre(..))
    })
}

/// Claims without a look at the fields.
fn dissent_leaves_the_fields(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    let is_moved = |txn: &KeyTxn| {
        let of_node = |op: &Op| matches!(op, Op::Put(..) | Op::Delete);
        txn.ops.iter().any(of_node)
    };
    match txn {
        Some(txn) if !is_moved(&txn) => Some(txn),
        txn => own::dress(known, txn),
    }
}

/// Believes that the marker is as it was when it is still its own.
fn marker_is_believed(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    guards(own::dress(known, txn), |guard| {
        !matches!(guard, Guard::Absent | Guard::Unchanged(_))
    })
}

/// Mends nothing.
fn damage_stays(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    txn.and_then(|txn| own::dress(known, Some(txn)))
}

const WISHES: Scenario = Scenario::two(
    "wish 2",
    0,
    Budget {
        wish: 2,
        ..total(2)
    },
);

const HAND: Scenario = Scenario::two(
    "wish 1, hand 1",
    0,
    Budget {
        edit: 1,
        wish: 1,
        ..total(2)
    },
);

#[test]
fn broken_objects_are_caught() {
    type Broken = (&'static str, World, Scenario, Dress, &'static [Property]);
    let all: &[Broken] = &[
        (
            "compares no field",
            World::Smallest,
            WISHES,
            fields_are_believed,
            &[Whole],
        ),
        (
            "believes that a field is absent",
            World::Strict,
            WISHES,
            absence_is_believed,
            &[Whole],
        ),
        (
            "leaves fields of the definition before",
            World::Smallest,
            WISHES,
            old_fields_stay,
            &[Whole],
        ),
        (
            "writes fields after the marker",
            World::Smallest,
            WISHES,
            fields_come_later,
            &[Whole],
        ),
        (
            "believes that all agree",
            World::Strict,
            WISHES,
            agreement_is_believed,
            &[Whole],
        ),
        (
            "does not agree, and leaves the fields",
            World::Strict,
            WISHES,
            dissent_leaves_the_fields,
            &[Whole],
        ),
        (
            "does not compare the marker",
            World::Smallest,
            WISHES,
            marker_is_believed,
            &[Whole],
        ),
        (
            "mends no field",
            World::Smallest,
            HAND,
            damage_stays,
            &[Repair],
        ),
    ];
    let mut wrong = Vec::new();
    for (name, world, scenario, dress, expected) in all {
        let protocol = Protocol {
            dress: *dress,
            ..REAL
        };
        let found = scenario.of(*world).explore(&protocol, expected);
        println!(
            "{name:<48} {:>7} states, breaks {:?}",
            found.states,
            found.broken.keys()
        );
        let caught = expected.iter().all(|one| found.broken.contains_key(one));
        wrong.extend((!caught).then_some(*name));
    }
    assert!(wrong.is_empty(), "not caught: {wrong:?}");
}
