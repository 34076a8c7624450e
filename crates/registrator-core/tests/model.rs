//! The ownership protocol, checked exhaustively: every order of everything that can happen, within bounds, with the decision
//! that ships. And protocols that are broken on purpose, each of which must be caught.
//!
//! What is abstracted: of the events of etcd a process is told the newest alone, whenever it likes, for nodes, claims and
//! registrators apart (what it is told later it might as well have been told at that moment and not have acted upon); time
//! is an order only; a process is the miniature of `Keys` and of the session, without batches, back-off and waits.
//!
//! `MODEL=full cargo test --release -p registrator-core --test model -- --nocapture` has larger bounds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::enum_glob_use,
    clippy::too_many_lines,
    unreachable_pub,
    missing_docs,
    reason = "test code"
)]

mod model {
    pub mod etcd;
    pub mod explore;
    pub mod rules;
    pub mod steps;
    pub mod world;
}

use model::etcd::Fence;
use model::explore::{Property, Seen, explore};
use model::rules::{self, Rules};
use model::world::World;

/// By host, by key.
type Wishes = &'static [&'static [Option<u8>]];
type Budget = &'static [(&'static str, u8)];

const TWO: Wishes = &[&[Some(1)], &[Some(2)]];
const EQUAL: Wishes = &[&[Some(1)], &[Some(1)]];
const THREE: Wishes = &[&[Some(1)], &[Some(2)], &[Some(1)]];
const TWO_KEYS: Wishes = &[&[Some(1), Some(2)], &[Some(2), None]];

/// Whether the larger bounds are wanted.
fn full() -> bool {
    std::env::var("MODEL").is_ok_and(|bounds| bounds == "full")
}

/// Explores with the protocol as it is, and prints what was seen. `floor` worlds at least: fewer would mean that the scenario
/// does not do what it says.
fn holds(what: &str, floor: usize, wishes: Wishes, rules: &Rules, budget: Budget) {
    let begun = std::time::Instant::now();
    match explore(World::new(wishes, budget), rules) {
        Ok(Seen { worlds, longest }) => {
            let (sent, written) = longest;
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{what:<60} {worlds:>9} worlds, longest tail {sent} sent, {written} writing, {seconds:.1} s"
            );
            assert!(worlds >= floor, "{what}: only {worlds} worlds");
        }
        Err(fault) => panic!("{what}: {:?} does not hold\n{}", fault.property, fault.way),
    }
}

/// Explores with a broken protocol. The first property that it breaks, in few steps, must be this one.
fn breaks(
    what: &str,
    property: Property,
    wishes: Wishes,
    rules: &Rules,
    budget: Budget,
) -> Result<(), String> {
    match explore(World::new(wishes, budget), rules) {
        Ok(seen) => Err(format!(
            "{what}: nothing is wrong in {} worlds",
            seen.worlds
        )),
        Err(fault) => {
            let steps = fault.way.lines().count() / 2;
            println!("{what:<60} breaks {:?} in {steps} steps", fault.property);
            match fault.property == property {
                true => Ok(()),
                false => Err(format!(
                    "{what}: {:?} instead of {property:?}\n{}",
                    fault.property, fault.way
                )),
            }
        }
    }
}

fn check(results: impl IntoIterator<Item = Result<(), String>>) {
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wishes_change() {
    let sound = Rules::sound();
    holds("2 hosts, wish 2", 5_000, TWO, &sound, &[("wish", 2)]);
    holds(
        "2 hosts, equal values, wish 2",
        5_000,
        EQUAL,
        &sound,
        &[("wish", 2)],
    );
    holds("3 hosts", 5_000, THREE, &sound, &[]);
    if full() {
        holds("2 hosts, wish 4", 50_000, TWO, &sound, &[("wish", 4)]);
        holds("3 hosts, wish 2", 500_000, THREE, &sound, &[("wish", 2)]);
    }
}

#[test]
fn processes_die() {
    let sound = Rules::sound();
    let timely = Rules::sound().timely();
    holds(
        "2 hosts, wish 1, crash 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("crash", 1)],
    );
    holds(
        "2 hosts, wish 1, crash 1, in time",
        1_000,
        TWO,
        &timely,
        &[("wish", 1), ("crash", 1)],
    );
    holds(
        "3 hosts, crash 1, in time",
        1_000,
        THREE,
        &timely,
        &[("crash", 1)],
    );
    holds(
        "2 hosts, crash 1, start 1, wish 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("crash", 1), ("start", 1)],
    );
    if full() {
        holds(
            "2 hosts, wish 2, crash 2, start 2",
            1_000,
            TWO,
            &sound,
            &[("wish", 2), ("crash", 2), ("start", 2)],
        );
        holds(
            "2 hosts, wish 2, crash 2, start 1, in time",
            1_000,
            TWO,
            &timely,
            &[("wish", 2), ("crash", 2), ("start", 1)],
        );
        holds(
            "3 hosts, wish 1, crash 1",
            1_000,
            THREE,
            &sound,
            &[("wish", 1), ("crash", 1)],
        );
        holds(
            "3 hosts, wish 1, crash 1, in time",
            1_000,
            THREE,
            &timely,
            &[("wish", 1), ("crash", 1)],
        );
    }
}

#[test]
fn sessions_end() {
    let sound = Rules::sound();
    holds(
        "2 hosts, wish 1, lease lost 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("lease", 1)],
    );
    holds(
        "2 hosts, wish 1, beacon lost 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("beacon", 1)],
    );
    holds(
        "2 hosts, wish 1, answer lost 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("silence", 1)],
    );
    holds(
        "2 hosts, wish 1, watch lost 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("watch", 1)],
    );
    holds(
        "2 hosts, wish 1, leave 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("leave", 1)],
    );
    holds("2 hosts, leave 2", 1_000, EQUAL, &sound, &[("leave", 2)]);
    if full() {
        holds(
            "2 hosts, wish 2, answer lost 2",
            1_000,
            TWO,
            &sound,
            &[("wish", 2), ("silence", 2)],
        );
        holds(
            "2 hosts, wish 1, crash 1, lease lost 1, beacon lost 1",
            1_000,
            TWO,
            &sound,
            &[("wish", 1), ("crash", 1), ("lease", 1), ("beacon", 1)],
        );
        holds(
            "2 hosts, wish 2, leave 2, start 1",
            1_000,
            TWO,
            &sound,
            &[("wish", 2), ("leave", 2), ("start", 1)],
        );
        holds(
            "2 hosts, wish 1, watch lost 2, crash 1",
            1_000,
            TWO,
            &sound,
            &[("wish", 1), ("watch", 2), ("crash", 1)],
        );
        holds(
            "3 hosts, wish 1, leave 1",
            1_000,
            THREE,
            &sound,
            &[("wish", 1), ("leave", 1)],
        );
        holds(
            "3 hosts, beacon lost 1, wish 1",
            1_000,
            THREE,
            &sound,
            &[("wish", 1), ("beacon", 1)],
        );
    }
}

#[test]
fn two_processes_of_one_name() {
    let sound = Rules::sound();
    holds(
        "2 hosts, a second process adopts the first one's lease",
        1_000,
        TWO,
        &sound,
        &[("start", 1), ("adopt alive", 1)],
    );
    if full() {
        holds(
            "2 hosts, the same, wish 1, answer lost 1",
            1_000,
            TWO,
            &sound,
            &[
                ("start", 1),
                ("adopt alive", 1),
                ("wish", 1),
                ("silence", 1),
            ],
        );
    }
}

#[test]
fn others_interfere() {
    let sound = Rules::sound();
    holds(
        "2 hosts, wish 1, hand 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("hand", 1)],
    );
    holds(
        "2 hosts, identity deleted 1, wish 1",
        1_000,
        TWO,
        &sound,
        &[("wish", 1), ("identity", 1)],
    );
    if full() {
        holds(
            "2 hosts, wish 1, hand 2",
            1_000,
            TWO,
            &sound,
            &[("wish", 1), ("hand", 2)],
        );
        holds(
            "2 hosts, crash 1, hand 1, beacon lost 1",
            1_000,
            TWO,
            &sound,
            &[("crash", 1), ("hand", 1), ("beacon", 1)],
        );
    }
}

#[test]
fn two_keys() {
    let sound = Rules::sound();
    holds(
        "2 hosts, 2 keys, wish 1",
        10_000,
        TWO_KEYS,
        &sound,
        &[("wish", 1)],
    );
    if full() {
        holds(
            "2 hosts, 2 keys, crash 1, start 1",
            10_000,
            TWO_KEYS,
            &sound,
            &[("crash", 1), ("start", 1)],
        );
    }
}

/// Faults in the decision, and what of the protocol each of them shows to be needed.
#[test]
fn broken_decisions_are_caught() {
    use rules::*;
    let faults: [(&str, Property, Wishes, Fault); 10] = [
        ("last writer wins", Property::Kept, TWO, last_writer_wins),
        (
            "equal values are taken over",
            Property::Rest,
            EQUAL,
            takes_equal_values_over,
        ),
        (
            "deletes without looking for claims",
            Property::NoGap,
            TWO,
            deletes_without_looking_for_claims,
        ),
        (
            "deletes instead of handing over",
            Property::NoGap,
            TWO,
            never_hands_over,
        ),
        (
            "takes over without a claim for the loser",
            Property::Kept,
            TWO,
            takes_over_without_a_claim_for_the_loser,
        ),
        (
            "claims without comparing the node",
            Property::NoGap,
            TWO,
            claims_without_comparing_the_node,
        ),
        (
            "takes over without comparing the node",
            Property::Kept,
            TWO,
            takes_over_without_comparing_the_node,
        ),
        (
            "hands over without comparing the claim",
            Property::Asked,
            TWO,
            hands_over_without_comparing_the_claim,
        ),
        (
            "keeps its claim beside the node",
            Property::Claims,
            TWO,
            keeps_its_claim_beside_the_node,
        ),
        (
            "forgets its claim on what it does not hold",
            Property::Claims,
            TWO,
            forgets_its_claim_on_what_it_does_not_hold,
        ),
    ];
    check(faults.map(|(what, property, wishes, fault)| {
        breaks(what, property, wishes, &Rules::with(fault), &[("wish", 2)])
    }));
    let strangers = Rules::with(overwrites_what_it_never_had);
    let reading = Rules {
        torn_reading: true,
        ..Rules::sound()
    };
    check([
        breaks(
            "overwrites what it never had",
            Property::Strangers,
            TWO,
            &strangers,
            &[("hand", 1)],
        ),
        breaks(
            "node and claims of a refusal are read apart",
            Property::Claims,
            TWO,
            &reading,
            &[("wish", 2)],
        ),
    ]);
}

/// Faults in who counts as alive, and in what is compared of the session.
#[test]
fn broken_sessions_are_caught() {
    let sound = Rules::sound();
    let trusting = Rules {
        trusting: true,
        ..sound.clone()
    };
    let believing = Rules::with(rules::believes_its_own_suspicion);
    let unlit = Rules {
        fence: Fence {
            identity: true,
            beacon: false,
        },
        ..sound.clone()
    };
    let unfenced = Rules {
        fence: Fence {
            identity: false,
            beacon: true,
        },
        ..sound
    };
    let beacon = &[("beacon", 1)];
    check([
        breaks(
            "nobody takes over from the dead",
            Property::NoGap,
            TWO,
            &trusting.timely(),
            &[("crash", 1)],
        ),
        breaks(
            "suspicion is believed, not compared",
            Property::Rest,
            TWO,
            &believing,
            beacon,
        ),
        breaks(
            "who seems dead goes on writing",
            Property::Rest,
            TWO,
            &unlit,
            beacon,
        ),
        breaks(
            "requests of old sessions are performed",
            Property::Fence,
            TWO,
            &unfenced,
            &[("wish", 2), ("silence", 1)],
        ),
    ]);
}
