//! The ownership protocol with its watches as they are, model-checked: every order of everything that can happen, within bounds, with the
//! `decide` and the `View::apply` that ship. And protocols that are broken on purpose: each must break its promise, and no other.
//!
//! `model.rs` asks the same of a world in which a process is told the newest of everything whenever it looks, and reaches further.
//! Here events come one by one, in two streams without order between them (nodes; claims, identities and beacons), an answer may
//! come after newer events, and a key is decided only when `Keys` would decide it: so a wake-up that is missing shows, and whatever
//! believes an old message.
//!
//! What is abstracted away:
//! - Time is an order. Waits (back-off, steps of bystanders, settling) end whenever they like; only the wait for news of an unknown
//!   registrator ends after them. `timely` says that a dead process's lease ends after the takeover of its nodes, and is what
//!   beacons are for.
//! - A request has one transaction. Claiming the identity and the complete reading are one step, at the revision of the fence.
//! - Revisions are their order: they are renumbered after each step, and one that can decide nothing any more is forgotten.
//! - `settled` worlds begin when the first wishes are fulfilled. Events that `Keys` would ignore are skipped unless the scenario
//!   says otherwise, and what is seen of a key during its transaction is told after the answer if nothing else comes behind.
//! - The periodic reading of everything under the lease, batches and notices are left out.
//!
//! `MODEL=full cargo test --release -p registrator-core --test watches -- --nocapture` has larger bounds.

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

mod watches {
    pub mod broken;
    pub mod canonical;
    pub mod check;
    pub mod decision;
    pub mod etcd;
    pub mod explore;
    pub mod process;
    pub mod scenario;
    pub mod show;
    pub mod state;
    pub mod step;
    pub mod variants;
}

use watches::explore::Found;
use watches::scenario::{REAL, Scenario, full, total};
use watches::state::Budget;

const NONE: Budget = Budget::NONE;

/// Everything that is promised holds in each of these worlds.
fn holds(scenarios: &[Scenario]) {
    for scenario in scenarios {
        let begun = std::time::Instant::now();
        let Found {
            states,
            tail: (written, sent),
            broken,
        } = scenario.explore(&REAL);
        let (name, seconds) = (scenario.name, begun.elapsed().as_secs_f64());
        println!(
            "{name:<64} {states:>9} states, tail {written} written of {sent} sent, {seconds:.1} s"
        );
        for (property, way) in &broken {
            println!("{property:?} does not hold:\n{way}");
        }
        assert!(broken.is_empty(), "{name}: broken: {:?}", broken.keys());
        assert!(states >= scenario.at_least, "{name}: only {states} states");
    }
}

#[test]
fn wishes_change() {
    let wish = |wish| Budget {
        wish,
        ..total(wish)
    };
    let two = Scenario::two;
    holds(&[
        two("2 from nothing, wish 1", 2_000, wish(1)).unsettled(),
        two("2, wish 3", 60_000, wish(3)),
        two("2, wish 2, answers slow", 6_000, wish(2)).slow_answers(),
        two("2 beside a stranger, wish 2", 100, wish(2)).beside_a_stranger(),
        Scenario::three("3 from nothing", 10_000, NONE).unsettled(),
        Scenario::three("3, wish 1", 7_000, wish(1)),
        two("2, 2 keys from nothing", 30_000, NONE)
            .two_keys()
            .unsettled(),
    ]);
    if full() {
        holds(&[
            two("2, wish 4", 400_000, wish(4)),
            two("2, 3 values, wish 3", 200_000, wish(3)).three_values(),
            two("2, wish 2, every event", 50_000, wish(2)).every_event(),
            two("2 from nothing, wish 2", 20_000, wish(2)).unsettled(),
            Scenario::three("3, wish 2", 200_000, wish(2)),
            two("2, 2 keys, wish 2", 400_000, wish(2)).two_keys(),
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
    let restart = |wish| Budget {
        crash: 1,
        start: 1,
        wish,
        ..total(2 + wish)
    };
    let two = Scenario::two;
    holds(&[
        two("2, wish 1, crash 1", 3_000, crash(1, 1)).slow_answers(),
        two("2, wish 2, crash 1, in time", 40_000, crash(1, 2)).timely(),
        two("2 from nothing, crash 1, in time", 1_000, crash(1, 0))
            .unsettled()
            .timely(),
        two("2, crash 1, start 1, in time", 2_000, restart(0))
            .with_successor()
            .timely(),
        Scenario::three("3, crash 1, in time", 4_000, crash(1, 0)).timely(),
    ]);
    if full() {
        let keep = Budget {
            keep: 1,
            start: 1,
            wish: 1,
            ..total(3)
        };
        holds(&[
            two("2, wish 1, crash 1, start 1", 50_000, restart(1))
                .with_successor()
                .slow_answers(),
            two("2, wish 1, crash 1, start 1, in time", 50_000, restart(1))
                .with_successor()
                .timely(),
            two("2, wish 1, keep 1, start 1, in time", 70_000, keep)
                .with_successor()
                .timely(),
            Scenario::three("3, wish 1, crash 1, in time", 200_000, crash(1, 1)).timely(),
            Scenario::three("3, crash 2, in time", 5_000, crash(2, 0)).timely(),
            Scenario::three("3, crash 1, start 1, in time", 50_000, restart(0))
                .with_successor()
                .timely(),
            two("2, 2 keys, crash 1, in time", 5_000, crash(1, 0))
                .two_keys()
                .timely(),
        ]);
    }
}

#[test]
fn sessions_end() {
    let two = Scenario::two;
    let beacon = Budget {
        lose_beacon: 1,
        crash: 1,
        ..total(2)
    };
    let lease = Budget {
        lose_lease: 1,
        crash: 1,
        ..total(2)
    };
    let unknown = Budget {
        unknown: 2,
        wish: 2,
        ..total(4)
    };
    let watch = Budget {
        lose_watch: 2,
        wish: 1,
        ..total(3)
    };
    let leave = Budget {
        leave: 1,
        wish: 1,
        ..total(2)
    };
    let double = Budget {
        double: 1,
        wish: 1,
        ..total(2)
    };
    holds(&[
        two("2, beacon lost 1, crash 1, in time", 3_000, beacon).timely(),
        two("2, lease lost 1, crash 1, in time", 40_000, lease).timely(),
        two("2, wish 2, answers lost 2", 50_000, unknown),
        two("2, wish 1, watches lost 2", 8_000, watch).slow_answers(),
        two("2, wish 1, leave 1, in time", 10_000, leave).timely(),
        two(
            "2, wish 1, a second process takes over from a live one",
            30_000,
            double,
        )
        .with_successor(),
    ]);
    if full() {
        let beacon = Budget {
            wish: 1,
            ..Budget { total: 3, ..beacon }
        };
        let lease = Budget {
            lose_lease: 1,
            wish: 1,
            ..total(2)
        };
        let leave = Budget {
            leave: 2,
            wish: 1,
            crash: 1,
            ..total(3)
        };
        let again = Budget {
            leave: 1,
            start: 1,
            wish: 1,
            ..total(3)
        };
        let double = Budget {
            double: 1,
            wish: 1,
            unknown: 1,
            ..total(3)
        };
        holds(&[
            two("2, wish 1, beacon lost 1, crash 1, in time", 50_000, beacon).timely(),
            two("2, wish 1, lease lost 1", 500_000, lease).slow_answers(),
            two("2, wish 1, leave 2, crash 1, in time", 40_000, leave).timely(),
            two("2, wish 1, leave 1, start 1, in time", 80_000, again)
                .with_successor()
                .timely(),
            two("2, wish 1, double 1, answer lost 1", 100_000, double).with_successor(),
        ]);
    }
}

#[test]
fn others_interfere() {
    let two = Scenario::two;
    let hands = Budget {
        edit: 1,
        edit_claim: 1,
        wish: 1,
        ..total(2)
    };
    let twice = Budget {
        replay: 2,
        repeat: 1,
        wish: 2,
        ..total(3)
    };
    holds(&[
        two("2, wish 1, hand 1", 50_000, hands),
        two("2 beside a stranger, wish 1, hand 1", 3_000, hands).beside_a_stranger(),
        two("2, wish 2, events and requests twice", 10_000, twice),
    ]);
    if full() {
        let hands = Budget {
            edit: 2,
            edit_claim: 2,
            ..total(2)
        };
        let crash = Budget {
            edit: 1,
            edit_claim: 1,
            crash: 1,
            ..total(2)
        };
        let lease = Budget {
            edit: 1,
            edit_claim: 1,
            lose_lease: 1,
            ..total(2)
        };
        let unknown = Budget {
            edit: 1,
            edit_claim: 1,
            unknown: 1,
            wish: 1,
            ..total(3)
        };
        holds(&[
            two("2, hand 2", 50_000, hands).slow_answers(),
            two("2, crash 1, hand 1, in time", 40_000, crash).timely(),
            two("2, lease lost 1, hand 1", 500_000, lease),
            two("2, wish 1, hand 1, answer lost 1", 500_000, unknown),
        ]);
    }
}
