//! Makes one state of all that behave alike.

use super::state::{
    Answer, Compare, Event, KEYS, LEASES, Life, META, Process, Progress, State, Tracked,
};

/// Forgets what can make no difference any more, and renumbers the revisions.
pub fn canonicalise(state: &mut State, fenced: bool) {
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
        forget_revisions(state, &mut process);
        process.requests.sort();
        state.processes[at] = process;
    }
    for stream in 0..2 {
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
        let adrift = matches!(request.progress, Progress::Abandoned | Progress::Repeated);
        !adrift || !fenced || identity.rev == request.fence
    });
}

fn forget_revisions(state: &State, process: &mut Process) {
    for (number, slot) in state.slots.iter().enumerate() {
        let mut key = std::mem::take(&mut process.keys[number]);
        let unseen = unseen(state, process, &key, number);
        let older = |rev: u8| {
            unseen
                .iter()
                .any(|event| is_node(event) && event.rev() <= rev)
        };
        if !older(key.node_at) {
            key.node_at = 0;
        }
        let older = |rev: u8| {
            unseen
                .iter()
                .any(|event| !is_node(event) && event.rev() < rev)
        };
        if !older(key.claims_at) {
            key.claims_at = 0;
        }
        if key.view.node.rev != slot.node.rev {
            key.view.node.rev = 0;
        }
        for lease in 0..LEASES {
            let known = &mut key.view.claims[lease].rev;
            if *known != slot.claims[lease].rev && !older(*known) {
                *known = 0;
            }
        }
        process.keys[number] = key;
    }
    let answers = process
        .requests
        .iter()
        .filter_map(|request| match request.progress {
            Progress::Answered(Answer::Refused { rev, .. }) => Some(rev),
            _ => None,
        });
    let beacons = state.unseen(process, META).iter();
    let beacons = beacons.filter(|event| matches!(event, Event::Beacon { .. }));
    let oldest = answers.chain(beacons.map(Event::rev)).min();
    let past = |at: &&mut u8| oldest.is_none_or(|oldest| **at <= oldest);
    process
        .beacons_at
        .iter_mut()
        .filter(past)
        .for_each(|at| *at = 0);
    for request in &mut process.requests {
        let slot = &state.slots[usize::from(request.key)];
        if matches!(request.progress, Progress::Answered(_)) {
            // It has served.
            let no_claims = request.txn.compares.contains(&Compare::NoClaims);
            request.txn.compares = no_claims.then_some(Compare::NoClaims).into_iter().collect();
            request.fence = 0;
        }
        for compare in &mut request.txn.compares {
            match compare {
                Compare::Unchanged(rev) if *rev != slot.node.rev => *rev = 0,
                Compare::ClaimUnchanged(lease, rev) if *rev != slot.claim(*lease).rev => *rev = 0,
                _ => {}
            }
        }
    }
}

fn is_node(event: &Event) -> bool {
    matches!(event, Event::Node { .. })
}

/// What the process will yet be told of a key.
fn unseen(state: &State, process: &Process, key: &Tracked, number: usize) -> Vec<Event> {
    let streams = [0, 1]
        .into_iter()
        .flat_map(|stream| state.unseen(process, stream));
    let of_key = |event: &&Event| match event {
        Event::Node { key, .. } | Event::Claim { key, .. } => usize::from(*key) == number,
        Event::Identity { .. } | Event::Beacon { .. } => false,
    };
    key.later
        .iter()
        .chain(streams)
        .filter(of_key)
        .copied()
        .collect()
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

fn each_revision(state: &mut State, visit: &mut impl FnMut(&mut u8)) {
    visit(&mut state.rev);
    for slot in &mut state.slots {
        visit(&mut slot.node.rev);
        slot.claims
            .iter_mut()
            .for_each(|claim| visit(&mut claim.rev));
    }
    for identity in &mut state.identities {
        visit(&mut identity.rev);
    }
    for event in state.streams.iter_mut().flatten() {
        visit_event(event, visit);
    }
    for process in &mut state.processes {
        visit(&mut process.fence);
        process.beacons_at.iter_mut().for_each(&mut *visit);
        for key in &mut process.keys[..KEYS] {
            visit(&mut key.node_at);
            visit(&mut key.claims_at);
            visit(&mut key.view.node.rev);
            key.view
                .claims
                .iter_mut()
                .for_each(|claim| visit(&mut claim.rev));
            key.later
                .iter_mut()
                .for_each(|event| visit_event(event, visit));
        }
        for request in &mut process.requests {
            visit(&mut request.fence);
            for compare in &mut request.txn.compares {
                if let Compare::Unchanged(rev) | Compare::ClaimUnchanged(_, rev) = compare {
                    visit(rev);
                }
            }
            match &mut request.progress {
                Progress::Answered(Answer::Applied(rev)) => visit(rev),
                Progress::Answered(Answer::Refused { slot, rev, .. }) => {
                    visit(rev);
                    visit(&mut slot.node.rev);
                    slot.claims
                        .iter_mut()
                        .for_each(|claim| visit(&mut claim.rev));
                }
                Progress::Answered(Answer::Over)
                | Progress::Sent
                | Progress::Abandoned
                | Progress::Repeated => {}
            }
        }
    }
}

fn visit_event(event: &mut Event, visit: &mut impl FnMut(&mut u8)) {
    match event {
        Event::Node { cell, rev, .. } | Event::Claim { cell, rev, .. } => {
            visit(&mut cell.rev);
            visit(rev);
        }
        Event::Identity { rev, .. } | Event::Beacon { rev, .. } => visit(rev),
    }
}
