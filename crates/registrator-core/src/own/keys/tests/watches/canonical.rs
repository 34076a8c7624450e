//! Makes one state of all that behave alike.

use super::inside::Place;
use super::process::Rules;
use super::state::{
    Answer, Compare, Event, Life, Part, Process, Progress, Request, STREAMS, State,
};

/// Forgets what can make no difference any more, and renumbers the revisions.
pub fn canonicalise(state: &mut State, fenced: bool, rules: &Rules) {
    for at in 0..state.processes.len() {
        let mut process = std::mem::take(&mut state.processes[at]);
        forget_requests(state, &mut process, fenced);
        if process.life == Life::Ended {
            process = Process {
                identity: process.identity,
                life: Life::Ended,
                requests: process.requests,
                ..Process::default()
            };
        }
        forget_revisions(state, &mut process, rules);
        process.requests.sort();
        state.processes[at] = process;
    }
    for stream in 0..STREAMS {
        let unseen = state
            .processes
            .iter()
            .map(|process| process.behind[stream])
            .max();
        let seen = state.streams[stream].len() - usize::from(unseen.unwrap_or(0));
        state.streams[stream].drain(..seen);
    }
    renumber(state);
}

/// A request whose fence is past fails whenever it comes, and nobody waits for it.
fn forget_requests(state: &State, process: &mut Process, fenced: bool) {
    let identity = state.identities[usize::from(process.identity)];
    process.requests.retain(|request| {
        let adrift = request.progress == Progress::Abandoned;
        !adrift || !fenced || identity.rev == request.fence
    });
}

fn forget_revisions(state: &State, process: &mut Process, rules: &Rules) {
    let places = rules.minds.borrow().places(&process.mind);
    let coming: Vec<Coming> = coming(state, process, &places);
    for (at, place) in places.iter().enumerate() {
        let rev = process.mind.revs[at];
        let matters = match *place {
            // A claim that goes is compared with it as well.
            Place::NodeAt(key) => [true, false]
                .into_iter()
                .any(|node| is_older(&coming, key, node, |event| event <= rev)),
            Place::ClaimsAt(key) => is_older(&coming, key, false, |event| event < rev),
            Place::Node(key) => rev == state.slots[usize::from(key)].node.rev,
            Place::Claim(key, lease) => {
                // The own one is compared with events of the node.
                rev == state.slots[usize::from(key)].claim(lease).rev
                    || is_older(&coming, key, false, |event| event < rev)
                    || (lease == process.lease
                        && is_older(&coming, key, true, |event| event <= rev))
            }
            Place::Beacon(flight, lease) => hides(process, flight, lease, rev),
            Place::Lost(_) | Place::Waits(..) | Place::Told => true,
        };
        if !matters {
            process.mind.revs[at] = 0;
        }
    }
    for request in &mut process.requests {
        for (key, txn) in &mut request.txns {
            let slot = &state.slots[usize::from(*key)];
            for compare in &mut txn.compares {
                match compare {
                    Compare::Unchanged(rev) if *rev != slot.node.rev => *rev = 0,
                    Compare::ClaimUnchanged(lease, rev) if *rev != slot.claim(*lease).rev => {
                        *rev = 0;
                    }
                    Compare::FieldUnchanged(field, rev)
                        if *rev != state.slots[usize::from(*field)].node.rev =>
                    {
                        *rev = 0;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// An event of a key that a process will yet take in: which key, whether it is of the node, and its revision.
type Coming = (u8, bool, u8);

fn is_older(coming: &[Coming], key: u8, node: bool, older: impl Fn(u8) -> bool) -> bool {
    let of = |event: &&Coming| (event.0, event.1) == (key, node);
    coming.iter().filter(of).any(|event| older(event.2))
}

fn coming(state: &State, process: &Process, places: &[Place]) -> Vec<Coming> {
    let unseen = (0..STREAMS).flat_map(|stream| state.unseen(process, stream));
    let unseen = unseen.filter_map(|event| match event {
        Event::Node { key, rev, .. } => Some((*key, true, *rev)),
        Event::Claim { key, rev, .. } => Some((*key, false, *rev)),
        Event::Identity { .. } | Event::Beacon { .. } => None,
    });
    let waiting = places.iter().zip(&process.mind.revs);
    let waiting = waiting.filter_map(|(place, rev)| match place {
        Place::Waits(key, node) => Some((*key, *node, *rev)),
        _ => None,
    });
    unseen.chain(waiting).collect()
}

/// Whether an answer is on its way that is older than what was told of a beacon.
fn hides(process: &Process, flight: u8, lease: u8, told: u8) -> bool {
    let older = |request: &Request| match &request.progress {
        Progress::Answered(Answer::Done(parts, rev)) => {
            let asked = |part: &Part| match part {
                Part::Refused { asked, .. } => asked & super::state::bit(lease) != 0,
                Part::Applied => false,
            };
            request.flight == flight + 1 && *rev < told && parts.iter().any(asked)
        }
        _ => false,
    };
    process.requests.iter().any(older)
}

fn renumber(state: &mut State) {
    let mut used = [false; 256];
    each_revision(state, &mut |rev| used[usize::from(*rev)] = true);
    let mut ranks = [0; 256];
    let mut next = 1;
    for (rank, used) in ranks.iter_mut().zip(used).skip(1) {
        if used {
            *rank = next;
            next += 1;
        }
    }
    each_revision(state, &mut |rev| *rev = ranks[usize::from(*rev)]);
}

fn each_revision(state: &mut State, visit: &mut dyn FnMut(&mut u8)) {
    visit(&mut state.rev);
    for slot in &mut state.slots {
        slot.each_rev(visit);
    }
    for identity in &mut state.identities {
        visit(&mut identity.rev);
    }
    for event in state.streams.iter_mut().flatten() {
        event.each_rev(visit);
    }
    for process in &mut state.processes {
        visit(&mut process.fence);
        process.mind.revs.iter_mut().for_each(&mut *visit);
        for request in &mut process.requests {
            visit(&mut request.fence);
            for (_, txn) in &mut request.txns {
                txn.each_rev(visit);
            }
            if let Progress::Answered(answer) = &mut request.progress {
                answer.each_rev(visit);
            }
        }
    }
}
