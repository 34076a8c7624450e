//! All that can happen next: what the processes, the network and etcd do by themselves, and what the environment does to them.

use super::canonical::canonicalise;
use super::etcd::Fence;
use super::process::Rules;
use super::state::{
    Budget, Cell, KEYS, LEASES, Life, META, NODES, Process, Progress, Request, State,
};

/// Something that happens. Processes, keys, streams, requests and values are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    BeginSession(usize),
    See(usize, usize),
    Send(usize, usize),
    Execute(usize, usize),
    /// A request that nobody waits for is lost.
    Lose(usize, usize),
    Receive(usize, usize),
    GiveUp(usize),
    Revoke(usize),
    // From here on it is the environment.
    Wish(usize, usize, u8),
    Crash(usize),
    /// A second process of an identity starts, with these wishes; perhaps while the first lives.
    Start(usize, [u8; KEYS], bool),
    /// The process finishes, keeps its nodes and ends.
    Keep(usize),
    Leave(usize),
    NeverAnswered(usize, usize),
    ExecuteTwice(usize, usize),
    SeeTwice(usize, usize),
    LoseWatches(usize),
    LoseLease(usize),
    LoseBeacon(usize),
    /// The lease, or the beacon, of a process that is no more.
    EndLease(u8),
    EndBeacon(u8),
    Edit(usize, Cell),
    EditClaim(usize, u8, u8),
}

/// The bounds of the environment.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Keys in use.
    pub keys: usize,
    /// Values 1 to this are wished.
    pub values: u8,
    /// A dead process's lease ends only when its beacon is out and everybody has done what that calls for.
    pub timely: bool,
    /// An answer may come later than what is seen of events after it. If not, it comes as soon as etcd has performed the request: that
    /// makes a difference for beacons and identities only, for all else that is seen waits for the answer.
    pub slow_answers: bool,
    /// What a process will ignore is told at once.
    pub skip_known: bool,
    /// etcd performs no request while a process is so many events behind: a protocol that never rests would have no end of states.
    pub backlog: u8,
}

/// What followed from a step.
pub struct Next {
    pub step: Step,
    pub state: State,
    /// Whether etcd was written.
    pub written: bool,
}

/// What follows from a state: first by itself, then by the environment.
pub fn successors(state: &State, bounds: &Bounds, rules: &Rules) -> (Vec<Next>, Vec<Next>) {
    let mut inner = Vec::new();
    for number in 0..state.processes.len() {
        inner_steps(state, number, bounds, rules, &mut inner);
    }
    let mut outer = Vec::new();
    dead_leases(state, bounds, inner.is_empty(), &mut outer);
    if state.budget.total > 0 {
        hands(state, bounds, &mut outer);
        for number in 0..state.processes.len() {
            misfortunes(state, number, &mut outer);
            intentions(state, number, bounds, &mut outer);
        }
    }
    let follow = |step: Step| {
        let mut next = state.clone();
        let written = take(&mut next, step, bounds, rules);
        finish(&mut next, bounds, rules);
        Next {
            step,
            state: next,
            written,
        }
    };
    let inner = inner.into_iter().map(follow).collect();
    (inner, outer.into_iter().map(follow).collect())
}

/// What is done at once after each step.
pub fn finish(state: &mut State, bounds: &Bounds, rules: &Rules) {
    state.settle(rules);
    if bounds.skip_known {
        state.skip_known();
    }
    for number in 0..state.processes.len() {
        let process = &state.processes[number];
        let (lease, wishes) = (process.lease, process.wishes);
        let identity = state.identities[usize::from(process.identity)];
        let counts = process.life == Life::Alive
            && identity.lease == lease
            && usize::from(identity.owner) == number;
        for (key, wish) in wishes.into_iter().enumerate() {
            let own_work = |request: &Request| {
                usize::from(request.key) == key
                    && request.fence == identity.rev
                    && matches!(request.progress, Progress::Sent | Progress::Repeated)
            };
            let process = &state.processes[number];
            let present = process.session
                && !process.requests.iter().any(own_work)
                && state.slots[key].has_stake(lease);
            let staked = &mut state.processes[number].staked[key];
            *staked = counts && wish != 0 && (*staked || present);
        }
    }
    canonicalise(state, rules.protocol.fence != Fence::Beacon);
}

fn inner_steps(
    state: &State,
    number: usize,
    bounds: &Bounds,
    rules: &Rules,
    steps: &mut Vec<Step>,
) {
    let process = &state.processes[number];
    if state.can_claim(number) {
        steps.push(Step::BeginSession(number));
    }
    let streams = [NODES, META].into_iter();
    let streams = streams.filter(|stream| state.can_see(number, *stream, bounds.skip_known));
    steps.extend(streams.map(|stream| Step::See(number, stream)));
    let behind = state.processes.iter().flat_map(|process| process.behind);
    let jammed = behind.max().is_some_and(|behind| behind >= bounds.backlog);
    let keys = (0..bounds.keys).filter(|key| state.next_txn(number, *key, rules).is_some());
    steps.extend(keys.map(|key| Step::Send(number, key)));
    for (at, request) in process.requests.iter().enumerate() {
        match request.progress {
            Progress::Sent if !jammed => steps.push(Step::Execute(number, at)),
            Progress::Sent => {}
            Progress::Abandoned | Progress::Repeated => {
                steps.extend([Step::Execute(number, at), Step::Lose(number, at)]);
            }
            Progress::Answered(_) => steps.push(Step::Receive(number, at)),
        }
    }
    if state.can_give_up(number) {
        steps.push(Step::GiveUp(number));
    }
    if process.life == Life::Revoking {
        steps.push(Step::Revoke(number));
    }
}

fn dead_leases(state: &State, bounds: &Bounds, quiet: bool, steps: &mut Vec<Step>) {
    for lease in 1..=state.granted {
        let used = |process: &Process| {
            process.lease == lease && matches!(process.life, Life::Alive | Life::Revoking)
        };
        if state.processes.iter().any(used) {
            continue;
        }
        if state.is_lit(lease) {
            steps.push(Step::EndBeacon(lease));
        }
        if state.is_alive(lease) && (!bounds.timely || (quiet && !state.is_lit(lease))) {
            steps.push(Step::EndLease(lease));
        }
    }
}

fn hands(state: &State, bounds: &Bounds, steps: &mut Vec<Step>) {
    for key in 0..bounds.keys {
        let slot = &state.slots[key];
        if state.budget.edit > 0 {
            let cell = |value, lease| Cell {
                value,
                lease,
                rev: 0,
            };
            let values = (1..=bounds.values).map(|value| cell(value, 0));
            steps.extend(values.map(|cell| Step::Edit(key, cell)));
            if slot.node.exists() {
                steps.push(Step::Edit(key, Cell::default()));
            }
            if slot.node.lease != 0 {
                let others = (1..=bounds.values).filter(|value| *value != slot.node.value);
                let others = others.map(|value| cell(value, slot.node.lease));
                steps.extend(others.map(|cell| Step::Edit(key, cell)));
            }
        }
        if state.budget.edit_claim > 0 {
            let claims = (1..=LEASES as u8).filter(|lease| slot.claim(*lease).exists());
            steps.extend(
                claims.flat_map(|lease| [0, 1].map(|value| Step::EditClaim(key, lease, value))),
            );
        }
    }
}

/// What befalls a process.
fn misfortunes(state: &State, number: usize, steps: &mut Vec<Step>) {
    let (process, budget) = (&state.processes[number], &state.budget);
    let mut add = |allowed: bool, step: Step| {
        if allowed {
            steps.push(step);
        }
    };
    let alive = process.life == Life::Alive;
    add(alive && budget.crash > 0, Step::Crash(number));
    let leased = alive && process.lease != 0;
    let room = usize::from(state.granted) < LEASES;
    let lose_lease = leased && room && state.is_alive(process.lease) && budget.lose_lease > 0;
    add(lose_lease, Step::LoseLease(number));
    let lit = leased && state.is_lit(process.lease);
    add(lit && budget.lose_beacon > 0, Step::LoseBeacon(number));
    add(
        process.session && budget.lose_watch > 0,
        Step::LoseWatches(number),
    );
    for stream in [NODES, META] {
        let told = process.behind[stream] > 0 && budget.replay > 0;
        add(told, Step::SeeTwice(number, stream));
    }
    for (at, request) in process.requests.iter().enumerate() {
        let waits = matches!(request.progress, Progress::Sent | Progress::Answered(_));
        add(waits && budget.unknown > 0, Step::NeverAnswered(number, at));
        let sent = request.progress == Progress::Sent;
        add(sent && budget.repeat > 0, Step::ExecuteTwice(number, at));
    }
}

/// What people ask of a process.
fn intentions(state: &State, number: usize, bounds: &Bounds, steps: &mut Vec<Step>) {
    let (process, budget) = (&state.processes[number], &state.budget);
    match process.life {
        Life::Alive if !process.leaving => {
            if budget.wish > 0 {
                for key in 0..bounds.keys {
                    let wishes = (0..=bounds.values).filter(|wish| *wish != process.wishes[key]);
                    steps.extend(wishes.map(|wish| Step::Wish(number, key, wish)));
                }
            }
            if process.session && budget.leave > 0 {
                steps.push(Step::Leave(number));
            }
            let idle = process.keys.iter().all(|key| !key.flying);
            if process.session && idle && budget.keep > 0 {
                steps.push(Step::Keep(number));
            }
        }
        Life::Unborn => {
            let first = |other: &&Process| other.identity == process.identity;
            let first = state.processes.iter().find(first);
            let lives = first.is_some_and(|first| first.life != Life::Ended);
            let allowed = if lives { budget.double } else { budget.start };
            if allowed > 0 {
                let wishes = wishes(bounds);
                steps.extend(wishes.map(|wishes| Step::Start(number, wishes, lives)));
            }
        }
        Life::Alive | Life::Revoking | Life::Ended => {}
    }
}

/// Everything that one process can wish.
pub fn wishes(bounds: &Bounds) -> impl Iterator<Item = [u8; KEYS]> + use<> {
    let (values, keys) = (bounds.values, bounds.keys);
    let second = if keys > 1 { values } else { 0 };
    (0..=values).flat_map(move |first| (0..=second).map(move |second| [first, second]))
}

/// Takes a step, and tells whether a process wrote a key.
fn take(state: &mut State, step: Step, bounds: &Bounds, rules: &Rules) -> bool {
    if let Some(left) = cost(&mut state.budget, step) {
        *left -= 1;
        state.budget.total -= 1;
    }
    match step {
        Step::BeginSession(number) => state.begin_session(number),
        Step::See(number, stream) => state.deliver(number, stream, true, rules),
        Step::SeeTwice(number, stream) => state.deliver(number, stream, false, rules),
        Step::Send(number, key) => {
            if let Some(txn) = state.next_txn(number, key, rules) {
                state.send(number, key, txn);
            }
        }
        Step::Execute(number, at) => {
            let written = state.execute(number, at, false, rules.protocol.fence);
            let requests = &state.processes[number].requests;
            let answered = |request: &Request| matches!(request.progress, Progress::Answered(_));
            if !bounds.slow_answers
                && let Some(at) = requests.iter().position(answered)
            {
                state.receive(number, at, rules);
            }
            return written;
        }
        Step::ExecuteTwice(number, at) => {
            return state.execute(number, at, true, rules.protocol.fence);
        }
        Step::Lose(number, at) => drop(state.processes[number].requests.remove(at)),
        Step::Receive(number, at) => state.receive(number, at, rules),
        Step::NeverAnswered(number, at) => state.give_up_waiting(number, at, rules),
        Step::GiveUp(number) => state.give_up(number),
        Step::Revoke(number) => {
            let lease = state.processes[number].lease;
            let attached = state.slots.iter().any(|slot| slot.has_node(lease));
            if state.is_alive(lease) && !(attached && rules.protocol.revokes_with_care) {
                state.end_lease(lease);
            }
            state.end(number);
        }
        Step::Crash(number) => state.end(number),
        Step::LoseWatches(number) => state.suspend(number),
        Step::LoseBeacon(number) => state.put_out(state.processes[number].lease),
        Step::EndBeacon(lease) => state.put_out(lease),
        Step::LoseLease(number) => {
            let lease = state.processes[number].lease;
            excuse(state, lease);
            state.end_lease(lease);
        }
        Step::EndLease(lease) => {
            if !bounds.timely {
                excuse(state, lease);
            }
            state.end_lease(lease);
        }
        Step::Wish(..) | Step::Start(..) | Step::Keep(_) | Step::Leave(_) => ask(state, step),
        Step::Edit(key, cell) => edit(state, key, cell),
        Step::EditClaim(key, lease, value) => {
            unstake(state, key, lease);
            state.edit_claim(key as u8, lease, value);
        }
    }
    false
}

fn ask(state: &mut State, step: Step) {
    match step {
        Step::Wish(number, key, wish) => set_wish(&mut state.processes[number], key, wish),
        Step::Leave(number) => {
            for key in 0..KEYS {
                set_wish(&mut state.processes[number], key, 0);
            }
            state.processes[number].leaving = true;
        }
        Step::Keep(number) => {
            let (identity, own) = (state.processes[number].identity, number as u8);
            let found = state.identities[usize::from(identity)];
            if found.lease != 0 && found.owner == own {
                let released = super::state::Identity {
                    released: true,
                    ..found
                };
                state.claim_identity(identity, released);
            }
            state.end(number);
        }
        Step::Start(number, wishes, forced) => {
            let process = &mut state.processes[number];
            (process.life, process.forced, process.wishes) = (Life::Alive, forced, wishes);
        }
        _ => {}
    }
}

fn set_wish(process: &mut Process, key: usize, wish: u8) {
    process.wishes[key] = wish;
    let tracked = &mut process.keys[key];
    tracked.tracked |= wish != 0 && process.session;
    tracked.dirty |= tracked.tracked && process.session;
}

/// What a hand takes away is no longer in etcd, and no promise is broken until it is back.
fn edit(state: &mut State, key: usize, cell: Cell) {
    let node = state.slots[key].node;
    if cell.lease != node.lease || !cell.exists() {
        unstake(state, key, node.lease);
    }
    state.edit(key as u8, cell);
    state.excused[key] = !cell.exists();
}

fn unstake(state: &mut State, key: usize, lease: u8) {
    for process in &mut state.processes {
        process.staked[key] &= process.lease != lease;
    }
}

/// The node that a lease takes with it may be absent for a moment.
fn excuse(state: &mut State, lease: u8) {
    for key in 0..KEYS {
        let node = state.slots[key].node;
        state.excused[key] |= node.exists() && node.lease == lease;
        unstake(state, key, lease);
    }
}

/// What a step of the environment is paid from.
fn cost(budget: &mut Budget, step: Step) -> Option<&mut u8> {
    Some(match step {
        Step::Wish(..) => &mut budget.wish,
        Step::Crash(_) => &mut budget.crash,
        Step::Start(_, _, false) => &mut budget.start,
        Step::Start(_, _, true) => &mut budget.double,
        Step::Keep(_) => &mut budget.keep,
        Step::Leave(_) => &mut budget.leave,
        Step::NeverAnswered(..) => &mut budget.unknown,
        Step::ExecuteTwice(..) => &mut budget.repeat,
        Step::SeeTwice(..) => &mut budget.replay,
        Step::LoseWatches(_) => &mut budget.lose_watch,
        Step::LoseLease(_) => &mut budget.lose_lease,
        Step::LoseBeacon(_) => &mut budget.lose_beacon,
        Step::Edit(..) => &mut budget.edit,
        Step::EditClaim(..) => &mut budget.edit_claim,
        Step::BeginSession(_)
        | Step::See(..)
        | Step::Send(..)
        | Step::Execute(..)
        | Step::Lose(..)
        | Step::Receive(..)
        | Step::GiveUp(_)
        | Step::Revoke(_)
        | Step::EndLease(_)
        | Step::EndBeacon(_) => return None,
    })
}
