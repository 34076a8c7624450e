//! The worlds that are explored, with the real protocol and with broken ones.

use super::check::Property;
use super::convert::{World, enter};
use super::decided::{Decide, Dress, really};
use super::etcd::Fence;
use super::explore::{Found, explore, rest};
use super::minds::Minds;
use super::process::Rules;
use super::state::{Budget, Cell, KEYS, Life, Process, STREAMS, State};
use super::step::{Bounds, finish, wishes};
use std::cell::RefCell;

/// A world with its bounds.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// The identities of the processes: each identity's first lives from the beginning, a second can be started.
    pub processes: &'static [u8],
    pub bounds: Bounds,
    pub budget: Budget,
    /// A node is there that no registrator wrote.
    pub foreign: bool,
    /// What the keys are.
    pub world: World,
    /// It begins when the first wishes are fulfilled.
    pub settled: bool,
    /// Fewer states than these would mean that the scenario does not reach what it is for.
    pub at_least: usize,
}

/// A protocol: how processes behave, as they ought to, or in a way that is known to be wrong.
#[derive(Clone, Copy)]
pub struct Protocol {
    pub decide: Decide,
    /// What becomes of the decisions of objects.
    pub dress: Dress,
    pub fence: Fence,
    /// What is seen of a key during its transaction waits for the answer.
    pub events_wait: bool,
    /// A request without an answer ends the session. If not, it is taken for one that never happened.
    pub doubts: bool,
    /// What a refusal tells of the claims.
    pub reading: Reading,
    /// What was seen of a beacon after a transaction was performed counts more than what its answer says.
    pub news_counts: bool,
    /// The lease is not revoked if a node is attached to it.
    pub revokes_with_care: bool,
    /// A session ends when the own beacon is out.
    pub minds_its_beacon: bool,
    /// Keys that wait count as not released yet.
    pub waits_for_all: bool,
    /// From where on a key is watched that nothing was known of.
    pub watching: Watching,
}

/// From where on a key is watched that was written for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watching {
    /// From the revision of the answer.
    FromTheAnswer,
    /// From the moment at which the answer arrives.
    WhenItArrives,
    /// It is not.
    Never,
}

/// When the claims of a refusal are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Together with the node.
    AtOnce,
    /// When the answer arrives.
    Later,
    /// Not at all: they are taken to be what they were.
    Before,
}

/// What ships.
pub const REAL: Protocol = Protocol {
    decide: really,
    dress: crate::own::dress,
    fence: Fence::Whole,
    events_wait: true,
    doubts: true,
    reading: Reading::AtOnce,
    news_counts: true,
    revokes_with_care: true,
    minds_its_beacon: true,
    waits_for_all: true,
    watching: Watching::FromTheAnswer,
};

/// Whether the larger bounds are wanted.
pub fn full() -> bool {
    std::env::var("MODEL").is_ok_and(|bounds| bounds == "full")
}

/// What the environment may do in all.
pub const fn total(total: u8) -> Budget {
    Budget {
        total,
        ..Budget::NONE
    }
}

impl Scenario {
    /// Explores it all, or enough to show that these promises are broken.
    pub fn explore(&self, protocol: &Protocol, enough: &[Property]) -> Found {
        enter(self.world);
        let rules = Rules {
            minds: RefCell::new(Minds::new(*protocol, self.bounds.counts_tries)),
            protocol: *protocol,
        };
        let initial = self.initial(&rules);
        let initial = if self.settled {
            rest(initial, &self.bounds, &rules)
        } else {
            initial
        };
        let budgeted = initial.into_iter().map(|state| State {
            budget: self.budget,
            ..state
        });
        explore(budgeted.collect(), &self.bounds, &rules, enough)
    }

    /// Every combination of first wishes.
    fn initial(&self, rules: &Rules) -> Vec<State> {
        let mut all = vec![self.empty(rules)];
        for number in 0..self.processes.len() {
            let with = |state: State| {
                let wishes: Vec<_> = match state.processes[number].life {
                    Life::Alive => wishes(&self.bounds).collect(),
                    _ => vec![[0; KEYS]],
                };
                wishes.into_iter().map(move |wishes| {
                    let mut state = state.clone();
                    if wishes != [0; KEYS] {
                        state.set_wishes(number, wishes, self.bounds.keys, rules);
                    }
                    state
                })
            };
            all = all.into_iter().flat_map(with).collect();
        }
        for state in &mut all {
            finish(state, &self.bounds, rules);
        }
        all
    }

    fn empty(&self, rules: &Rules) -> State {
        let processes = self.processes.iter().map(|identity| Process {
            identity: *identity,
            ..Process::default()
        });
        let mut state = State {
            processes: processes.collect(),
            ..State::default()
        };
        if self.foreign {
            let (value, lease) = (2, 0);
            let key = usize::from(self.world != World::Plain);
            state.edit(
                key as u8,
                Cell {
                    value,
                    lease,
                    rev: 0,
                },
            );
        }
        for (number, identity) in self.processes.iter().enumerate() {
            if !self.processes[..number].contains(identity) {
                state.processes[number].life = Life::Alive;
                state.begin_session(number, rules);
            }
        }
        // All have heard of all.
        for number in 0..state.processes.len() {
            for stream in 0..STREAMS {
                while state.processes[number].behind[stream] > 0 {
                    state.deliver(number, stream, true, rules);
                }
            }
        }
        state
    }
}

const fn begin() -> Scenario {
    Scenario {
        name: "",
        processes: &[0, 1],
        bounds: Bounds {
            keys: 1,
            values: 2,
            timely: false,
            slow_answers: false,
            skip_known: true,
            backlog: 12,
            counts_tries: false,
            holds_back: false,
            disowned: false,
            mixes: false,
        },
        budget: Budget::NONE,
        foreign: false,
        world: World::Plain,
        settled: true,
        at_least: 0,
    }
}

impl Scenario {
    /// Two registrators with one key, at rest, with every combination of first wishes.
    pub const fn two(name: &'static str, at_least: usize, budget: Budget) -> Scenario {
        Scenario {
            name,
            budget,
            at_least,
            ..begin()
        }
    }

    /// The same with three.
    pub const fn three(name: &'static str, at_least: usize, budget: Budget) -> Scenario {
        Scenario {
            processes: &[0, 1, 2],
            ..Scenario::two(name, at_least, budget)
        }
    }

    /// The first registrator's identity has a second process, which may be started.
    pub const fn with_successor(mut self) -> Scenario {
        self.processes = match self.processes.len() {
            2 => &[0, 1, 0],
            _ => &[0, 1, 2, 0],
        };
        self
    }

    /// Every registrator's identity has a second process.
    pub const fn with_successors(mut self) -> Scenario {
        self.processes = &[0, 1, 0, 1];
        self
    }

    /// The key is an object of this kind.
    pub const fn of(mut self, world: World) -> Scenario {
        self.world = world;
        self.bounds.mixes = self.budget.edit > 0 || self.foreign;
        self
    }

    /// All begin at the same time, with nothing in etcd.
    pub const fn unsettled(mut self) -> Scenario {
        self.settled = false;
        self
    }

    /// Leases of the dead end only after what their beacons called for was done, and no gap is excused then.
    pub const fn timely(mut self) -> Scenario {
        self.bounds.timely = true;
        self.slow_answers()
    }

    /// Answers may come after newer events.
    pub const fn slow_answers(mut self) -> Scenario {
        self.bounds.slow_answers = true;
        self
    }

    /// Of what is wished no more, some deletions are held back for a while.
    pub const fn holding_back(mut self) -> Scenario {
        self.bounds.holds_back = true;
        self
    }

    pub const fn two_keys(mut self) -> Scenario {
        self.bounds.keys = 2;
        self
    }

    /// All wish the same, or nothing.
    pub const fn one_value(mut self) -> Scenario {
        self.bounds.values = 1;
        self
    }

    pub const fn three_values(mut self) -> Scenario {
        self.bounds.values = 3;
        self
    }

    pub const fn beside_a_stranger(mut self) -> Scenario {
        self.foreign = true;
        self
    }

    /// Identities are deleted: what such a process has is a stranger's for a while, and others may take it.
    pub const fn disowned(mut self) -> Scenario {
        self.bounds.disowned = true;
        self
    }

    /// Who is refused too often waits.
    pub const fn counting_tries(mut self) -> Scenario {
        self.bounds.counts_tries = true;
        self
    }

    /// Events are told singly, even those that are ignored.
    pub const fn every_event(mut self) -> Scenario {
        self.bounds.skip_known = false;
        self
    }
}
