//! All that can happen next: what the processes, the network and etcd do by themselves, and what the environment does to them.

use super::canonical::canonicalise;
use super::etcd::Fence;
use super::process::Rules;
use super::state::{
    Budget, Cell, HELD_BACK, Identity, KEYS, LEASES, Life, Process, Progress, Request, STREAMS,
    State, Wrong, asks,
};

/// Something that happens. Processes, keys, streams, requests and values are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    BeginSession(usize),
    See(usize, usize),
    Send(usize),
    /// The wait of a key is over.
    Wake(usize, usize),
    Execute(usize, usize),
    /// A request that nobody waits for is lost.
    Lose(usize, usize),
    Receive(usize, usize),
    /// What a process wants to know is read.
    Look(usize),
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
    SeeTwice(usize, usize),
    LoseWatches(usize),
    LoseLease(usize),
    LoseBeacon(usize),
    /// The lease, or the beacon, of a process that is no more.
    EndLease(u8),
    EndBeacon(u8),
    Edit(usize, Cell),
    EditClaim(usize, u8, u8),
    EditIdentity(u8),
    Reject(usize, usize),
    ReadAgain(usize),
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
    /// etcd performs no request while a process is so many events behind. A protocol that gets there does not rest while news lag.
    pub backlog: u8,
    /// Tries are counted, so that a process which is refused too often waits.
    pub counts_tries: bool,
    /// What others have may be taken.
    pub disowned: bool,
    /// Deletions may be held back.
    pub holds_back: bool,
    /// Fields are touched by others, so that there may be a mixture for a moment.
    pub mixes: bool,
}

/// What followed from a step.
pub struct Next {
    pub step: Step,
    pub state: State,
    pub effect: Effect,
}

/// What a step did, for the count of what follows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Effect {
    /// A request was sent.
    pub sent: bool,
    /// etcd was written.
    pub written: bool,
}

/// What follows from a state: first by itself, then by the environment.
pub fn successors(state: &State, bounds: &Bounds, rules: &Rules) -> (Vec<Next>, Vec<Next>) {
    let mut inner = Vec::new();
    for number in 0..state.processes.len() {
        inner_steps(state, number, bounds, rules, &mut inner);
    }
    let mut outer = Vec::new();
    let quiet = inner.is_empty() && !is_jammed(state, bounds);
    dead_leases(state, bounds, quiet, &mut outer);
    if state.budget.total > 0 {
        hands(state, bounds, &mut outer);
        for number in 0..state.processes.len() {
            misfortunes(state, number, rules, &mut outer);
            intentions(state, number, bounds, rules, &mut outer);
        }
    }
    let follow = |step: Step| {
        let mut next = state.clone();
        let effect = take(&mut next, step, bounds, rules);
        finish(&mut next, bounds, rules);
        Next {
            step,
            state: next,
            effect,
        }
    };
    let inner = inner.into_iter().map(follow).collect();
    (inner, outer.into_iter().map(follow).collect())
}

/// What is done at once after each step.
pub fn finish(state: &mut State, bounds: &Bounds, rules: &Rules) {
    state.settle(rules);
    if bounds.skip_known {
        state.skip_known(rules);
    }
    for number in 0..state.processes.len() {
        let tracked = rules.facts(state, number).tracked;
        let process = &mut state.processes[number];
        // What is of no interest any more is no longer watched.
        for (watched, tracked) in process.watched.iter_mut().zip(tracked) {
            *watched &= tracked;
        }
        let (lease, wishes) = (process.lease, process.wishes);
        let identity = state.identities[usize::from(process.identity)];
        let counts = process.life == Life::Alive
            && identity.lease == lease
            && usize::from(identity.owner) == number;
        for (key, wish) in wishes.into_iter().enumerate() {
            let own_work = |request: &Request| {
                request.touches(key)
                    && request.fence == identity.rev
                    && request.progress == Progress::Sent
            };
            let process = &state.processes[number];
            let present = process.session
                && !process.requests.iter().any(own_work)
                && state.slots[key].has_stake(lease);
            let staked = &mut state.processes[number].staked[key];
            *staked = counts && asks(wish) && (*staked || present);
        }
    }
    canonicalise(state, rules.protocol.fence != Fence::Beacon, rules);
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
    let lazy = bounds.skip_known;
    let streams = (0..STREAMS).filter(|stream| state.can_see(number, *stream, lazy, rules));
    steps.extend(streams.map(|stream| Step::See(number, stream)));
    let jammed = is_jammed(state, bounds);
    // What is left in the queue after all that needs nothing was decided.
    if rules.facts(state, number).queued {
        steps.push(Step::Send(number));
    }
    let awake = (0..bounds.keys).filter(|key| state.may_wake(number, *key, rules));
    steps.extend(awake.map(|key| Step::Wake(number, key)));
    for (at, request) in process.requests.iter().enumerate() {
        match request.progress {
            Progress::Sent if !jammed => steps.push(Step::Execute(number, at)),
            Progress::Sent => {}
            Progress::Abandoned => {
                steps.extend([Step::Execute(number, at), Step::Lose(number, at)]);
            }
            Progress::Answered(_) => steps.push(Step::Receive(number, at)),
        }
    }
    if process.session && rules.facts(state, number).wanted.contains(&true) {
        steps.push(Step::Look(number));
    }
    if state.can_give_up(number, rules) {
        steps.push(Step::GiveUp(number));
    }
    if process.life == Life::Revoking {
        steps.push(Step::Revoke(number));
    }
}

/// Whether etcd performs nothing because somebody is too far behind.
pub fn is_jammed(state: &State, bounds: &Bounds) -> bool {
    let sent = |request: &Request| request.progress == Progress::Sent;
    let mut requests = state.processes.iter().flat_map(|process| &process.requests);
    let mut behind = state.processes.iter().flat_map(|process| process.behind);
    requests.any(sent) && behind.any(|behind| behind >= bounds.backlog)
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
    let keys = match super::objects::are_there() {
        true => 1..KEYS,
        false => 0..bounds.keys,
    };
    for key in keys {
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
        if key == 0 && state.budget.edit_identity > 0 {
            let identities = (0..).zip(&state.identities);
            let there = identities.filter(|(_, identity)| identity.lease != 0);
            steps.extend(there.map(|(number, _)| Step::EditIdentity(number)));
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
fn misfortunes(state: &State, number: usize, rules: &Rules, steps: &mut Vec<Step>) {
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
    for stream in 0..STREAMS {
        let told = process.behind[stream] > 0 && budget.replay > 0;
        add(told, Step::SeeTwice(number, stream));
    }
    for (at, request) in process.requests.iter().enumerate() {
        let waits = matches!(request.progress, Progress::Sent | Progress::Answered(_));
        add(waits && budget.unknown > 0, Step::NeverAnswered(number, at));
        let sent = request.progress == Progress::Sent;
        add(sent && budget.reject > 0, Step::Reject(number, at));
    }
    let flies = rules.facts(state, number).flying.contains(&true);
    add(
        process.session && !flies && budget.read > 0,
        Step::ReadAgain(number),
    );
}

/// What people ask of a process.
fn intentions(state: &State, number: usize, bounds: &Bounds, rules: &Rules, steps: &mut Vec<Step>) {
    let (process, budget) = (&state.processes[number], &state.budget);
    match process.life {
        Life::Alive if !process.leaving => {
            if budget.wish > 0 {
                for key in 0..bounds.keys {
                    let wishes = (0..=bounds.values).filter(|wish| *wish != process.wishes[key]);
                    let held = bounds.holds_back && asks(process.wishes[key]);
                    let wishes = wishes.chain(held.then_some(HELD_BACK));
                    steps.extend(wishes.map(|wish| Step::Wish(number, key, wish)));
                }
            }
            if process.session && budget.leave > 0 {
                steps.push(Step::Leave(number));
            }
            let idle = !rules.facts(state, number).flying.contains(&true);
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
    (0..=values).flat_map(move |first| (0..=second).map(move |second| [first, second, 0]))
}

/// Takes a step.
fn take(state: &mut State, step: Step, bounds: &Bounds, rules: &Rules) -> Effect {
    let mut effect = Effect::default();
    if let Some(left) = cost(&mut state.budget, step) {
        *left -= 1;
        state.budget.total -= 1;
    }
    state.wrong = Wrong::default();
    match step {
        Step::BeginSession(number) => state.begin_session(number, rules),
        Step::See(number, stream) => state.deliver(number, stream, true, rules),
        Step::SeeTwice(number, stream) => state.deliver(number, stream, false, rules),
        Step::Send(number) => effect.sent = state.send(number, rules),
        Step::Wake(number, key) => effect.sent = state.wake(number, key, rules),
        Step::Execute(number, at) => {
            effect.written = state.execute(number, at, rules);
            let requests = &state.processes[number].requests;
            let answered = |request: &Request| matches!(request.progress, Progress::Answered(_));
            if !bounds.slow_answers
                && let Some(at) = requests.iter().position(answered)
            {
                state.receive(number, at, rules);
            }
        }
        Step::Lose(number, at) => {
            state.processes[number].requests.remove(at);
        }
        Step::Receive(number, at) => state.receive(number, at, rules),
        Step::NeverAnswered(number, at) => state.give_up_waiting(number, at, rules),
        Step::Look(number) => state.look(number, rules),
        Step::GiveUp(number) => state.give_up(number, rules),
        Step::Revoke(number) => {
            let lease = state.processes[number].lease;
            let attached = state.slots.iter().any(|slot| slot.has_node(lease));
            if state.is_alive(lease) && !(attached && rules.protocol.revokes_with_care) {
                state.end_lease(lease);
            }
            state.end(number);
        }
        Step::Crash(number) => state.end(number),
        Step::LoseWatches(number) => state.suspend(number, rules),
        Step::LoseBeacon(number) => state.put_out(state.processes[number].lease),
        Step::EndBeacon(lease) => state.put_out(lease),
        Step::LoseLease(number) => {
            let lease = state.processes[number].lease;
            excuse(state, lease);
            state.end_lease(lease);
        }
        Step::EndLease(lease) => {
            // Nobody is to blame who was dead as well.
            let missed = |process: &Process| process.staked.contains(&true);
            if !bounds.timely || !state.processes.iter().any(missed) {
                excuse(state, lease);
            }
            state.end_lease(lease);
        }
        Step::Wish(..) | Step::Start(..) | Step::Keep(_) | Step::Leave(_) => {
            ask(state, step, bounds, rules);
        }
        Step::Edit(key, cell) => edit(state, key, cell),
        Step::EditClaim(key, lease, value) => {
            unstake(state, key, lease);
            state.edit_claim(key as u8, lease, value);
        }
        Step::EditIdentity(identity) => {
            // Until it is back its nodes are a stranger's.
            let lease = state.identities[usize::from(identity)].lease;
            for key in 0..KEYS {
                unstake(state, key, lease);
            }
            state.edit_identity(identity);
        }
        Step::Reject(number, at) => state.reject(number, at, rules),
        Step::ReadAgain(number) => state.read_again(number, rules),
    }
    if bounds.disowned {
        state.wrong.robs = false;
        for process in &mut state.processes {
            for (staked, slot) in process.staked.iter_mut().zip(&state.slots) {
                *staked &= process.lease != 0 && slot.has_stake(process.lease);
            }
        }
    }
    effect
}

fn ask(state: &mut State, step: Step, bounds: &Bounds, rules: &Rules) {
    match step {
        Step::Wish(number, key, wish) => {
            let mut wishes = state.processes[number].wishes;
            wishes[key] = wish;
            state.set_wishes(number, wishes, bounds.keys, rules);
        }
        Step::Leave(number) => state.leave(number, rules),
        Step::Keep(number) => {
            let (identity, own) = (state.processes[number].identity, number as u8);
            let found = state.identities[usize::from(identity)];
            if found.lease != 0 && found.owner == own {
                let released = Identity {
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
        Step::SeeTwice(..) => &mut budget.replay,
        Step::LoseWatches(_) => &mut budget.lose_watch,
        Step::LoseLease(_) => &mut budget.lose_lease,
        Step::LoseBeacon(_) => &mut budget.lose_beacon,
        Step::Edit(..) => &mut budget.edit,
        Step::EditClaim(..) => &mut budget.edit_claim,
        Step::EditIdentity(_) => &mut budget.edit_identity,
        Step::Reject(..) => &mut budget.reject,
        Step::ReadAgain(_) => &mut budget.read,
        Step::BeginSession(_)
        | Step::See(..)
        | Step::Send(_)
        | Step::Wake(..)
        | Step::Execute(..)
        | Step::Lose(..)
        | Step::Receive(..)
        | Step::Look(_)
        | Step::GiveUp(_)
        | Step::Revoke(_)
        | Step::EndLease(_)
        | Step::EndBeacon(_) => return None,
    })
}
