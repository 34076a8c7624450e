//! The broken protocols, each in a world in which the real one keeps all promises.

use super::check::Property::{self, *};
use super::etcd::Fence;
use super::scenario::{Protocol, REAL, Reading, Scenario, Watching, full, total};
use super::state::Budget;
use super::variants::*;

/// A broken protocol in a world in which the real one keeps all promises, and those that it breaks there: these at least, or none.
type Broken = (&'static str, Scenario, Protocol, &'static [Property]);

fn breaks(broken: &[Broken]) {
    let mut wrong = Vec::new();
    for (name, scenario, protocol, expected) in broken {
        let found = scenario.explore(protocol, expected);
        let steps = |way: &String| way.lines().filter(|line| line.contains(" | ")).count() - 1;
        let promises: Vec<_> = found
            .broken
            .iter()
            .map(|(property, way)| (*property, steps(way)))
            .collect();
        println!(
            "{name:<48} {:<24} {:>7} states, breaks {promises:?}",
            scenario.name, found.states
        );
        let caught = expected
            .iter()
            .all(|property| found.broken.contains_key(property));
        if !caught || (expected.is_empty() && !found.broken.is_empty()) {
            wrong.push(format!(
                "{name}: breaks {promises:?} instead of {expected:?}"
            ));
            wrong.extend(found.broken.into_values());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const WISHES: Scenario = Scenario::two(
    "wish 2",
    0,
    Budget {
        wish: 2,
        ..total(2)
    },
);
const WISH: Budget = Budget {
    wish: 1,
    ..total(1)
};
const THREE: Scenario = Scenario::three("3 from nothing, wish 1", 0, WISH).unsettled();
const DEATH: Scenario = Scenario::two(
    "crash 1, beacon lost 1",
    0,
    Budget {
        crash: 1,
        lose_beacon: 1,
        ..total(2)
    },
)
.timely();
const LEAVE: Scenario = Scenario::two(
    "leave 1, wish 1",
    0,
    Budget {
        leave: 1,
        wish: 1,
        ..total(2)
    },
)
.timely();
const HANDS: Scenario = Scenario::two(
    "wish 1, hand 1",
    0,
    Budget {
        edit: 1,
        edit_claim: 1,
        wish: 1,
        ..total(2)
    },
);
const DEAD_WAITER: Scenario = Scenario::three(
    "3, wish 1, crash 1",
    0,
    Budget {
        wish: 1,
        crash: 1,
        ..total(2)
    },
)
.timely();
const TWICE_UNKNOWN: Scenario = Scenario::two(
    "wish 2, answers lost 2",
    0,
    Budget {
        wish: 2,
        unknown: 2,
        ..total(4)
    },
);
const UNKNOWN: Scenario = Scenario::two(
    "wish 2, answer lost 1",
    0,
    Budget {
        wish: 2,
        unknown: 1,
        ..total(3)
    },
);

/// Faults in the decision.
#[test]
fn broken_decisions_are_caught() {
    let deciding = |decide| Protocol { decide, ..REAL };
    breaks(&[
        (
            "last writer wins (V0)",
            WISHES,
            deciding(last_writer_wins),
            &[NoGap, Kept, Rest],
        ),
        (
            "equal values are taken over",
            Scenario::two("wish 1", 0, WISH),
            deciding(ties_go_to_the_smaller_lease),
            &[Rest],
        ),
        (
            "deletes what is claimed (V1)",
            WISHES,
            deciding(deletes_what_is_claimed),
            &[NoGap],
        ),
        (
            "deletes instead of handing over",
            WISHES,
            deciding(deletes_instead_of_handing_over),
            &[NoGap],
        ),
        (
            "takes over without a claim for the loser (V3)",
            WISHES,
            deciding(takes_over_without_a_claim_for_the_loser),
            &[NoGap, Kept],
        ),
        (
            "claims beside a node that changed (V4)",
            WISHES,
            deciding(claims_beside_a_node_that_changed),
            &[NoGap, Winner, Claims],
        ),
        (
            "hands over for a claim that changed (V5)",
            HANDS,
            deciding(hands_over_for_a_claim_that_changed),
            &[NoGap, Kept, Asked],
        ),
        (
            "hands over a node that changed",
            THREE,
            deciding(hands_over_a_node_that_changed),
            &[Kept],
        ),
        (
            "takes over a node that changed (V6)",
            WISHES,
            deciding(takes_over_a_node_that_changed),
            &[NoGap, Kept],
        ),
        (
            "drops its claim beside a node that changed",
            WISHES,
            deciding(drops_its_claim_beside_a_node_that_changed),
            &[Claims],
        ),
        (
            "keeps its claim beside its node (V8)",
            WISHES,
            deciding(keeps_its_claim_beside_its_node),
            &[Winner, NothingUnwanted, Claims],
        ),
        (
            "forgets its claim (V9)",
            WISHES,
            deciding(forgets_its_claim),
            &[Claims],
        ),
        (
            "leaves the winner's claim",
            HANDS,
            deciding(leaves_the_winners_claim),
            &[Winner],
        ),
        (
            "writes no claim for itself",
            WISHES,
            deciding(writes_no_claim_for_itself),
            &[Claims],
        ),
        (
            "never takes over",
            WISHES,
            deciding(never_takes_over),
            &[Winner],
        ),
        (
            "overwrites strangers",
            HANDS.beside_a_stranger(),
            deciding(overwrites_strangers),
            &[Strangers],
        ),
        (
            "repairs nothing",
            HANDS,
            deciding(repairs_nothing),
            &[Repair],
        ),
    ]);
}

/// Faults in who counts as alive.
#[test]
fn broken_suspicion_is_caught() {
    let deciding = |decide| Protocol { decide, ..REAL };
    breaks(&[
        (
            "believes that all live (V12)",
            DEATH,
            deciding(believes_that_all_live),
            &[NoGap, Winner],
        ),
        (
            "takes death for granted (V11)",
            DEATH,
            deciding(takes_death_for_granted),
            &[Rest],
        ),
        (
            "takes life and death for granted (V11)",
            DEATH,
            deciding(takes_life_and_death_for_granted),
            &[Rest],
        ),
        (
            "who seems dead goes on writing",
            DEATH,
            Protocol {
                fence: Fence::Identity,
                minds_its_beacon: false,
                ..REAL
            },
            &[Rest],
        ),
        (
            "the own beacon is not compared",
            DEATH,
            Protocol {
                fence: Fence::Identity,
                ..REAL
            },
            &[Rest],
        ),
        (
            "an answer counts more than newer news",
            DEATH,
            Protocol {
                news_counts: false,
                ..REAL
            },
            &[NoGap, Winner],
        ),
    ]);
}

/// Faults in sessions, requests and watches.
#[test]
fn broken_sessions_are_caught() {
    breaks(&[
        (
            "the identity is not compared (V7, V10)",
            UNKNOWN,
            Protocol {
                fence: Fence::Beacon,
                ..REAL
            },
            &[NoGap, Fenced],
        ),
        (
            "what is seen does not wait for the answer",
            HANDS.slow_answers().every_event(),
            Protocol {
                events_wait: false,
                ..REAL
            },
            &[Winner],
        ),
        (
            "the claims of a refusal are not read",
            WISHES,
            Protocol {
                reading: Reading::Before,
                ..REAL
            },
            &[Rest],
        ),
        (
            "no answer means that nothing happened",
            TWICE_UNKNOWN,
            Protocol {
                doubts: false,
                ..REAL
            },
            &[NoGap],
        ),
        (
            "a key that is written is not watched",
            HANDS.unsettled(),
            Protocol {
                watching: Watching::Never,
                ..REAL
            },
            &[Repair],
        ),
        (
            "a key is watched from when its answer arrives",
            HANDS.unsettled().slow_answers(),
            Protocol {
                watching: Watching::WhenItArrives,
                ..REAL
            },
            &[Repair],
        ),
        (
            "what waits counts as released",
            LEAVE,
            Protocol {
                waits_for_all: false,
                ..REAL
            },
            &[Released],
        ),
        (
            "the same, and revokes a lease with nodes",
            LEAVE,
            Protocol {
                waits_for_all: false,
                revokes_with_care: false,
                ..REAL
            },
            &[NoGap],
        ),
    ]);
}

/// What the protocol compares although no promise needs it, within these bounds: a request fails earlier, and is made again
/// from what is there. Events that are told later mend the rest.
#[test]
fn some_guards_only_save_work() {
    let slow = WISHES.slow_answers();
    let deciding = |decide| Protocol { decide, ..REAL };
    breaks(&[
        (
            "writes what is claimed",
            slow,
            deciding(writes_what_is_claimed),
            &[],
        ),
        (
            "relies on its own claim",
            slow,
            deciding(relies_on_its_own_claim),
            &[],
        ),
        (
            "revokes a lease with nodes",
            LEAVE,
            Protocol {
                revokes_with_care: false,
                ..REAL
            },
            &[],
        ),
        (
            "the claims of a refusal are read later (V13)",
            slow,
            Protocol {
                reading: Reading::Later,
                ..REAL
            },
            &[],
        ),
    ]);
    if full() {
        let trusting = deciding(takes_life_for_granted);
        breaks(&[("takes life for granted", DEAD_WAITER, trusting, &[])]);
    }
}

/// Otherwise a broken protocol might not be to blame. The other worlds are among those that are explored anyway.
#[test]
fn the_real_protocol_keeps_all_promises_in_their_worlds() {
    super::holds(&[UNKNOWN]);
    if full() {
        super::holds(&[THREE, DEAD_WAITER, TWICE_UNKNOWN]);
    }
}
