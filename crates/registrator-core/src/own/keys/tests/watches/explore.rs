//! Visits every state, and finds what is broken on the shortest way, or what goes on for ever.
//!
//! Our own search and not a library's: liveness is a question about cycles, which stateright's `eventually` does not answer,
//! and breadth first the counterexamples are the shortest.

use super::check::{Property, always, at_rest};
use super::process::Rules;
use super::state::State;
use super::step::{Bounds, Step, is_jammed, successors};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// What was found.
#[derive(Debug)]
pub struct Found {
    pub states: usize,
    /// The minds that the processes had, and how many questions they were asked.
    pub minds: (usize, usize),
    /// The most that happens after the environment's last step: transactions that wrote, and all that were sent.
    pub tail: (u32, u32),
    /// The shortest way to each broken promise, as text.
    pub broken: BTreeMap<Property, String>,
}

/// A fingerprint is spread already.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

/// The steps that happen by themselves, from each state; the states in the order of their numbers.
#[derive(Default)]
struct Graph {
    starts: Vec<usize>,
    edges: Vec<Edge>,
}

#[derive(Clone, Copy)]
struct Edge {
    to: u32,
    written: bool,
    sent: bool,
}

impl Graph {
    fn edges(&self, from: usize) -> &[Edge] {
        &self.edges[self.starts[from]..self.starts[from + 1]]
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

struct Search<'a> {
    enough: &'a [Property],
    bounds: &'a Bounds,
    rules: &'a Rules,
    known: HashMap<u64, u32, BuildHasherDefault<Spread>>,
    parents: Vec<u32>,
    initial: Vec<State>,
    waiting: VecDeque<State>,
}

const NO_PARENT: u32 = u32::MAX;

/// The tail of what never rests, or was not visited to its end.
const NO_END: (u32, u32) = (u32::MAX, u32::MAX);

/// Visits all that can come of `initial`; no more than shows that all of `enough` is broken, if that names anything.
pub fn explore(initial: Vec<State>, bounds: &Bounds, rules: &Rules, enough: &[Property]) -> Found {
    let mut search = Search {
        enough,
        bounds,
        rules,
        known: HashMap::default(),
        parents: Vec::new(),
        initial: initial.clone(),
        waiting: VecDeque::new(),
    };
    for state in initial {
        search.meet(state, NO_PARENT);
    }
    let (graph, first) = search.visit_all();
    let mut broken = BTreeMap::new();
    for (property, state) in first {
        broken.insert(property, shown(&search.way_to(state)));
    }
    let tail = if search.waiting.is_empty() {
        longest_tail(&graph).unwrap_or_else(|rest| {
            let cycle = || shown_cycle(&search, &graph, &rest);
            broken.entry(Property::Rest).or_insert_with(cycle);
            NO_END
        })
    } else {
        NO_END
    };
    Found {
        states: graph.len(),
        minds: rules.minds.borrow().len(),
        tail,
        broken,
    }
}

/// The states in which nothing happens any more, if the environment does nothing to `initial`.
pub fn rest(initial: Vec<State>, bounds: &Bounds, rules: &Rules) -> Vec<State> {
    let (mut known, mut waiting, mut rest) = (HashSet::new(), initial, Vec::new());
    while let Some(state) = waiting.pop() {
        if !known.insert(fingerprint(&state)) {
            continue;
        }
        let (inner, _) = successors(&state, bounds, rules);
        if inner.is_empty() {
            rest.push(state);
        } else {
            waiting.extend(inner.into_iter().map(|next| next.state));
        }
    }
    rest
}

impl Search<'_> {
    /// The number of a state, which waits for its visit if it is new.
    fn meet(&mut self, state: State, parent: u32) -> u32 {
        let next = self.parents.len() as u32;
        let number = *self.known.entry(fingerprint(&state)).or_insert(next);
        if number == next {
            self.parents.push(parent);
            self.waiting.push_back(state);
        }
        number
    }

    fn visit_all(&mut self) -> (Graph, BTreeMap<Property, u32>) {
        let (mut graph, mut broken) = (Graph::default(), BTreeMap::new());
        let mut number = 0;
        while let Some(state) = self.waiting.pop_front() {
            let (inner, outer) = successors(&state, self.bounds, self.rules);
            let mut wrong = always(&state, self.bounds.mixes);
            if is_jammed(&state, self.bounds) {
                wrong.push(Property::Rest);
            } else if inner.is_empty() {
                wrong.extend(at_rest(&state, self.rules));
            }
            for property in wrong {
                broken.entry(property).or_insert(number);
            }
            let shown = |property| broken.contains_key(property);
            let done = !self.enough.is_empty() && self.enough.iter().all(shown);
            graph.starts.push(graph.edges.len());
            for next in inner {
                let to = self.meet(next.state, number);
                graph.edges.push(Edge {
                    to,
                    written: next.effect.written,
                    sent: next.effect.sent,
                });
            }
            for next in outer {
                self.meet(next.state, number);
            }
            number += 1;
            if done {
                break;
            }
        }
        graph.starts.push(graph.edges.len());
        (graph, broken)
    }

    /// The steps that lead to a state, each with what follows.
    fn way_to(&self, number: u32) -> Vec<(Option<Step>, State)> {
        let mut numbers = vec![number];
        while let Some(parent) = numbers.last().map(|last| self.parents[*last as usize])
            && parent != NO_PARENT
        {
            numbers.push(parent);
        }
        let first = numbers.pop().unwrap();
        let mut way = vec![(None, self.initial_numbered(first))];
        while let Some(number) = numbers.pop() {
            let (step, state) = self.step_to(&way.last().unwrap().1, number);
            way.push((Some(step), state));
        }
        way
    }

    fn initial_numbered(&self, number: u32) -> State {
        let mut initial = self.initial.iter();
        let numbered = |state: &&State| self.known[&fingerprint(state)] == number;
        initial.find(numbered).unwrap().clone()
    }

    fn step_to(&self, from: &State, number: u32) -> (Step, State) {
        let (inner, outer) = successors(from, self.bounds, self.rules);
        let mut all = inner.into_iter().chain(outer);
        let next = all.find(|next| self.known[&fingerprint(&next.state)] == number);
        let next = next.unwrap();
        (next.step, next.state)
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// The most transactions, written and sent, on any way through the graph; the states that are on a cycle, or lead from one, if there is one.
fn longest_tail(graph: &Graph) -> Result<(u32, u32), Vec<bool>> {
    let mut missing = vec![0_u32; graph.len()];
    graph
        .edges
        .iter()
        .for_each(|edge| missing[edge.to as usize] += 1);
    let mut longest = vec![(0, 0); graph.len()];
    let mut ready: Vec<usize> = (0..graph.len()).filter(|at| missing[*at] == 0).collect();
    let (mut done, mut tail) = (0, (0, 0));
    while let Some(from) = ready.pop() {
        done += 1;
        let (written, sent): (u32, u32) = longest[from];
        tail = (tail.0.max(written), tail.1.max(sent));
        for edge in graph.edges(from) {
            let to = edge.to as usize;
            longest[to].0 = longest[to].0.max(written + u32::from(edge.written));
            longest[to].1 = longest[to].1.max(sent + u32::from(edge.sent));
            missing[to] -= 1;
            if missing[to] == 0 {
                ready.push(to);
            }
        }
    }
    if done == graph.len() {
        Ok(tail)
    } else {
        Err(missing.iter().map(|missing| *missing > 0).collect())
    }
}

/// A way that comes back to where it was, and how it begins.
fn shown_cycle(search: &Search<'_>, graph: &Graph, rest: &[bool]) -> String {
    let cycle = shortest_cycle(graph, rest);
    let mut text = shown(&search.way_to(cycle[0] as u32));
    text.push_str("  and from here on for ever:\n");
    let mut state = search.way_to(cycle[0] as u32).pop().unwrap().1;
    for number in cycle.iter().skip(1).chain(&cycle[..1]) {
        let (step, next) = search.step_to(&state, *number as u32);
        text.push_str(&line(Some(step), &next));
        state = next;
    }
    text
}

/// One through the first state that is on a cycle.
fn shortest_cycle(graph: &Graph, rest: &[bool]) -> Vec<usize> {
    for start in (0..graph.len()).filter(|at| rest[*at]) {
        let mut parents = HashMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(from) = waiting.pop_front() {
            for to in graph.edges(from).iter().map(|edge| edge.to as usize) {
                if to == start {
                    let mut cycle = vec![from];
                    while let Some(parent) = parents.get(&cycle[cycle.len() - 1]) {
                        cycle.push(*parent);
                    }
                    cycle.reverse();
                    return cycle;
                }
                if rest[to] && to != start && !parents.contains_key(&to) {
                    parents.insert(to, from);
                    waiting.push_back(to);
                }
            }
        }
    }
    Vec::new()
}

fn shown(way: &[(Option<Step>, State)]) -> String {
    way.iter().map(|(step, state)| line(*step, state)).collect()
}

fn line(step: Option<Step>, state: &State) -> String {
    super::show::line(step, state)
}
