//! The broken protocols, each in a world in which the real one keeps all promises.

use super::check::Property::{self, *};
use super::decision::Decide;
use super::etcd::Fence;
use super::scenario::{Protocol, REAL, Scenario, full, total};
use super::state::Budget;
use super::variants::*;

/// A broken protocol in a world in which the real one keeps all promises, and those that it breaks there.
type Broken = (&'static str, Scenario, Protocol, &'static [Property]);

const fn deciding(decide: Decide) -> Protocol {
    Protocol { decide, ..REAL }
}

fn breaks(broken: &[Broken]) {
    let mut wrong = Vec::new();
    for (name, scenario, protocol, expected) in broken {
        let sound = scenario.explore(&REAL).broken;
        assert!(
            sound.is_empty(),
            "{}: the real protocol breaks {:?}",
            scenario.name,
            sound.keys()
        );
        let found = scenario.explore(protocol);
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
        if !found.broken.keys().eq(*expected) {
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
)
.jammed();
const THREE: Scenario = Scenario::three(
    "3, wish 1",
    0,
    Budget {
        wish: 1,
        ..total(1)
    },
)
.jammed();
const DEATH: Scenario = Scenario::two(
    "crash 1, beacon lost 1",
    0,
    Budget {
        crash: 1,
        lose_beacon: 1,
        ..total(2)
    },
)
.timely()
.jammed();
const LEAVE: Scenario = Scenario::two(
    "leave 1, wish 1",
    0,
    Budget {
        leave: 1,
        wish: 1,
        ..total(2)
    },
)
.timely()
.jammed();
const HANDS: Scenario = Scenario::two(
    "wish 1, hand 1",
    0,
    Budget {
        edit: 1,
        edit_claim: 1,
        wish: 1,
        ..total(2)
    },
)
.jammed();
const UNKNOWN: Scenario = Scenario::two(
    "wish 2, answer lost 1",
    0,
    Budget {
        wish: 2,
        unknown: 1,
        ..total(3)
    },
)
.jammed();

/// Faults in the decision.
#[test]
fn broken_decisions_are_caught() {
    breaks(&[
        (
            "last writer wins (V0)",
            WISHES,
            deciding(last_writer_wins),
            &[NoGap, Rest],
        ),
        (
            "equal values are taken over",
            WISHES,
            deciding(ties_go_to_the_smaller_lease),
            &[Winner, NothingUnwanted, Claims, Rest],
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
            &[NoGap],
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
            &[NoGap],
        ),
        (
            "hands over a node that changed",
            THREE,
            deciding(hands_over_a_node_that_changed),
            &[Winner, Claims],
        ),
        (
            "takes over a node that changed (V6)",
            WISHES,
            deciding(takes_over_a_node_that_changed),
            &[NoGap],
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
    let dead_waiter = Scenario::three(
        "3, wish 1, crash 1",
        0,
        Budget {
            wish: 1,
            crash: 1,
            ..total(2)
        },
    );
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
            &[Winner, Claims],
        ),
        (
            "takes life and death for granted (V11)",
            DEATH,
            deciding(takes_life_and_death_for_granted),
            &[Winner, Claims],
        ),
        (
            "the own beacon is not compared",
            DEATH,
            Protocol {
                fence: Fence::Identity,
                ..REAL
            },
            &[NoGap, Winner],
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
    if full() {
        breaks(&[(
            "takes life for granted",
            dead_waiter.timely().jammed(),
            deciding(takes_life_for_granted),
            &[NoGap, Winner, Claims],
        )]);
    }
}

/// Faults in sessions, requests and watches.
#[test]
fn broken_sessions_are_caught() {
    let twice = Scenario::two(
        "wish 2, answers lost 2",
        0,
        Budget {
            wish: 2,
            unknown: 2,
            ..total(4)
        },
    )
    .jammed();
    breaks(&[
        (
            "the identity is not compared (V7, V10)",
            UNKNOWN,
            Protocol {
                fence: Fence::Beacon,
                ..REAL
            },
            &[NoGap],
        ),
        (
            "what is seen does not wait for the answer",
            DEATH,
            Protocol {
                events_wait: false,
                ..REAL
            },
            &[Claims],
        ),
        (
            "revokes a lease with nodes",
            LEAVE,
            Protocol {
                revokes_with_care: false,
                ..REAL
            },
            &[NoGap],
        ),
    ]);
    if full() {
        let undoubting = Protocol {
            doubts: false,
            ..REAL
        };
        breaks(&[(
            "no answer means that nothing happened",
            twice,
            undoubting,
            &[NoGap, Winner, Claims],
        )]);
    }
}

/// What the protocol compares although no promise needs it, within these bounds: a request fails earlier, and is made again
/// from what is there. Events that are told later mend the rest.
#[test]
fn some_guards_only_save_work() {
    let slow = WISHES.slow_answers();
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
            "node and claims are read apart (V13)",
            slow,
            Protocol {
                reads_at_once: false,
                ..REAL
            },
            &[],
        ),
    ]);
}
