//! The ownership protocol, model-checked: every order of everything that can happen, within bounds, with the `Keys` that ships. And
//! protocols that are broken on purpose: each must break its promise.
//!
//! Events come one by one, in four streams without order between them (nodes, claims, identities, beacons), those of a key only as long as
//! it is watched, and an answer may come after newer events. So a wake-up that is missing shows, and whatever believes an old message.
//!
//! What is abstracted away:
//! - Time is an order. Waits (back-off, steps of bystanders, settling) end whenever they like, each for itself; only the wait for news of
//!   an unknown registrator ends after them. `timely` says that a dead process's lease ends after the takeover of its nodes, and is what
//!   beacons are for. A repair is never long ago.
//! - Claiming the identity and the complete reading are one step, at the revision of the fence.
//! - Revisions are their order: they are renumbered after each step, and one that can decide nothing any more is forgotten.
//! - `settled` worlds begin when the first wishes are fulfilled. Events that `Keys` would ignore are skipped unless the scenario
//!   says otherwise, and what is seen of a key during its transaction is told after the answer if nothing else comes behind.
//! - etcd performs a request once at most: a connection delivers nothing twice, and what is sent after a lost answer has another fence.
//! - Requests have room for all keys, and what people are told is left out.
//!
//! `MODEL=full cargo test --release -p registrator-core --lib watches -- --nocapture` has larger bounds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    unreachable_pub,
    missing_docs,
    reason = "test code"
)]

mod broken;
mod canonical;
mod check;
mod convert;
pub mod decided;
mod etcd;
mod explore;
mod inside;
mod minds;
mod objects;
mod of_objects;
mod process;
mod scenario;
mod show;
mod state;
mod step;
mod variants;

use explore::Found;
use scenario::{REAL, Scenario, full, total};
use state::Budget;

const NONE: Budget = Budget::NONE;

/// Everything that is promised holds in each of these worlds.
fn holds(scenarios: &[Scenario]) {
    for scenario in scenarios {
        let begun = std::time::Instant::now();
        let Found {
            states,
            minds: (minds, questions),
            tail: (written, sent),
            broken,
        } = scenario.explore(&REAL, &[]);
        let (name, seconds) = (scenario.name, begun.elapsed().as_secs_f64());
        println!(
            "{name:<58} {states:>9} states, {minds:>6} minds asked {questions:>7} questions, tail {written} written of {sent} sent, {seconds:.1} s"
        );
        for (property, way) in &broken {
            println!("{property:?} does not hold:\n{way}");
        }
        assert!(broken.is_empty(), "{name}: broken: {:?}", broken.keys());
        assert!(states >= scenario.at_least, "{name}: only {states} states");
    }
}

fn two(name: &'static str, at_least: usize, budget: Budget) -> Scenario {
    Scenario::two(name, at_least, budget)
}

fn three(name: &'static str, at_least: usize, budget: Budget) -> Scenario {
    Scenario::three(name, at_least, budget)
}

fn wish(wish: u8) -> Budget {
    Budget {
        wish,
        ..total(wish)
    }
}

#[test]
fn wishes_change() {
    holds(&[
        two("2 from nothing, wish 1", 2_000, wish(1)).unsettled(),
        two("2, wish 3", 60_000, wish(3)),
        two("2, wish 2, answers slow", 6_000, wish(2)).slow_answers(),
        two("2, wish 2, tries counted", 6_000, wish(2)).counting_tries(),
        two("2 beside a stranger, wish 2", 100, wish(2)).beside_a_stranger(),
        two("2, wish 2, deletions held back", 4_000, wish(2)).holding_back(),
        two("2, 2 keys, one value, wish 2, held back", 5_000, wish(2))
            .two_keys()
            .one_value()
            .holding_back(),
        three("3 from nothing", 10_000, NONE).unsettled(),
        three("3, wish 1", 7_000, wish(1)),
        two("2, 2 keys from nothing", 5_000, NONE)
            .two_keys()
            .unsettled(),
        two("2, 2 keys, one value, wish 2", 5_000, wish(2))
            .two_keys()
            .one_value(),
    ]);
    if full() {
        holds(&[
            two("2, wish 4", 400_000, wish(4)),
            two("2, 3 values, wish 3", 200_000, wish(3)).three_values(),
            two("2, wish 2, every event", 50_000, wish(2)).every_event(),
            two("2 from nothing, wish 2", 20_000, wish(2)).unsettled(),
            two("2, wish 3, tries counted", 60_000, wish(3)).counting_tries(),
            three("3, wish 2", 200_000, wish(2)),
            two("2, 2 keys, wish 2", 200_000, wish(2)).two_keys(),
        ]);
    }
}

#[test]
fn processes_die() {
    let crash = |crash, wish| Budget {
        crash,
        wish,
        ..total(crash + wish)
    };
    let restart = |crash, wish| Budget {
        crash,
        start: crash,
        wish,
        ..total(2 * crash + wish)
    };
    holds(&[
        two("2, wish 1, crash 1", 3_000, crash(1, 1)).slow_answers(),
        two("2, wish 2, crash 1, in time", 30_000, crash(1, 2)).timely(),
        two("2 from nothing, crash 1, in time", 1_000, crash(1, 0))
            .unsettled()
            .timely(),
        two("2, crash 1, start 1", 2_000, restart(1, 0)).with_successor(),
        two("2, crash 1, start 1, in time", 2_000, restart(1, 0))
            .with_successor()
            .timely(),
        three("3, crash 1, in time", 4_000, crash(1, 0)).timely(),
    ]);
    if full() {
        let keep = Budget {
            keep: 1,
            start: 1,
            wish: 1,
            ..total(3)
        };
        holds(&[
            two("2, wish 1, crash 1, start 1", 50_000, restart(1, 1))
                .with_successor()
                .slow_answers(),
            two(
                "2, wish 1, crash 1, start 1, in time",
                50_000,
                restart(1, 1),
            )
            .with_successor()
            .timely(),
            two("2, crash 2, start 2, in time", 50_000, restart(2, 0))
                .with_successors()
                .timely(),
            two("2, wish 1, keep 1, start 1, in time", 70_000, keep)
                .with_successor()
                .timely(),
            three("3, wish 1, crash 1", 200_000, crash(1, 1)),
            three("3, wish 1, crash 1, in time", 200_000, crash(1, 1)).timely(),
            three("3, crash 2, in time", 5_000, crash(2, 0)).timely(),
            three("3, crash 1, start 1, in time", 50_000, restart(1, 0))
                .with_successor()
                .timely(),
            two("2, 2 keys, crash 1, in time", 3_000, crash(1, 0))
                .two_keys()
                .timely(),
            two("2, 2 keys, crash 1, start 1, in time", 3_000, restart(1, 0))
                .two_keys()
                .with_successor()
                .timely(),
        ]);
    }
}

#[test]
fn sessions_end() {
    let beacon = |crash, wish| Budget {
        lose_beacon: 1,
        crash,
        wish,
        ..total(1 + crash + wish)
    };
    let lease = |crash, wish| Budget {
        lose_lease: 1,
        crash,
        wish,
        ..total(1 + crash + wish)
    };
    let unknown = Budget {
        unknown: 2,
        wish: 2,
        ..total(4)
    };
    let watch = |lose_watch, crash| Budget {
        lose_watch,
        crash,
        wish: 1,
        ..total(1 + lose_watch + crash)
    };
    holds(&[
        two("2, beacon lost 1, crash 1, in time", 3_000, beacon(1, 0)).timely(),
        two("2, lease lost 1, crash 1, in time", 40_000, lease(1, 0)).timely(),
        two("2, wish 2, answers lost 2", 50_000, unknown),
        two("2, wish 1, watches lost 2", 8_000, watch(2, 0)).slow_answers(),
    ]);
    if full() {
        holds(&[
            two(
                "2, wish 1, beacon lost 1, crash 1, in time",
                50_000,
                beacon(1, 1),
            )
            .timely(),
            two("2, wish 1, lease lost 1", 500_000, lease(0, 1)).slow_answers(),
            two("2, wish 1, watches lost 2, crash 1", 8_000, watch(2, 1)),
            three("3, wish 1, beacon lost 1", 100_000, beacon(0, 1)),
        ]);
    }
}

/// Whoever leaves takes everything along that is its own, and hands over what others want.
#[test]
fn processes_leave() {
    let leave = |leave, wish| Budget {
        leave,
        wish,
        ..total(leave + wish)
    };
    let again = |wish| Budget {
        leave: 1,
        start: 1,
        wish,
        ..total(2 + wish)
    };
    holds(&[
        two("2, wish 1, leave 1, in time", 10_000, leave(1, 1)).timely(),
        two("2, leave 2", 1_000, leave(2, 0)),
        two("2, 2 keys, one value, leave 2", 1_000, leave(2, 0))
            .two_keys()
            .one_value(),
        two("2, leave 1, start 1, in time", 1_000, again(0))
            .with_successor()
            .timely(),
    ]);
    if full() {
        let crash = Budget {
            leave: 2,
            wish: 1,
            crash: 1,
            ..total(3)
        };
        holds(&[
            two("2, wish 1, leave 2, crash 1, in time", 40_000, crash).timely(),
            two("2, wish 1, leave 1, start 1, in time", 80_000, again(1))
                .with_successor()
                .timely(),
            two("2, 2 keys, leave 2", 50_000, leave(2, 0)).two_keys(),
            three("3, leave 3", 10_000, leave(3, 0)),
            three("3, wish 1, leave 1", 100_000, leave(1, 1)),
        ]);
    }
}

#[test]
fn two_processes_of_one_name() {
    let double = |wish, unknown| Budget {
        double: 1,
        wish,
        unknown,
        ..total(1 + wish + unknown)
    };
    holds(&[two(
        "2, wish 1, a second process takes over from a live one",
        30_000,
        double(1, 0),
    )
    .with_successor()]);
    if full() {
        holds(&[two("2, the same, wish 1, answer lost 1", 100_000, double(1, 1)).with_successor()]);
    }
}

#[test]
fn others_interfere() {
    let hands = Budget {
        edit: 1,
        edit_claim: 1,
        wish: 1,
        ..total(2)
    };
    let twice = Budget {
        replay: 2,
        wish: 2,
        ..total(3)
    };
    let identity = Budget {
        edit_identity: 1,
        wish: 1,
        ..total(2)
    };
    let rejected = Budget {
        reject: 1,
        wish: 1,
        ..total(2)
    };
    let read = Budget {
        read: 1,
        wish: 2,
        ..total(3)
    };
    holds(&[
        two("2, wish 1, hand 1", 50_000, hands),
        two("2 beside a stranger, wish 1, hand 1", 3_000, hands).beside_a_stranger(),
        two("2, wish 2, events twice", 5_000, twice),
        two("2, wish 1, identity deleted 1", 10_000, identity).disowned(),
        two("2, wish 1, rejected 1", 1_000, rejected),
        two("2, wish 2, read again 1", 10_000, read),
    ]);
    if full() {
        let twice = Budget {
            edit: 2,
            edit_claim: 2,
            ..total(2)
        };
        let hand = |crash, lose_lease, unknown, wish| Budget {
            edit: 1,
            edit_claim: 1,
            crash,
            lose_lease,
            unknown,
            wish,
            ..total(1 + crash + lose_lease + unknown + wish)
        };
        let beacon = Budget {
            lose_beacon: 1,
            ..Budget {
                total: 3,
                ..hand(1, 0, 0, 0)
            }
        };
        holds(&[
            two("2, hand 2", 50_000, twice).slow_answers(),
            two(
                "2, 2 keys from nothing, rejected 1",
                50_000,
                Budget {
                    wish: 0,
                    ..rejected
                },
            )
            .two_keys()
            .unsettled(),
            two("2, crash 1, hand 1, in time", 40_000, hand(1, 0, 0, 0)).timely(),
            two("2, lease lost 1, hand 1", 500_000, hand(0, 1, 0, 0)),
            two(
                "2, wish 1, hand 1, answer lost 1",
                500_000,
                hand(0, 0, 1, 1),
            ),
            two("2, crash 1, hand 1, beacon lost 1", 100_000, beacon),
        ]);
    }
}
