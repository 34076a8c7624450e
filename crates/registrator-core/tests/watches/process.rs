//! What a process does: `Keys` of `registrator-core` and the session of `registrator` in miniature.

use super::decision::{Decider, Question};
use super::etcd::Fence;
use super::scenario::Protocol;
use super::state::{
    Answer, Compare, Event, Identity, KEYS, LEASES, Life, META, NODES, Process, Progress, Request,
    State, Tracked, Txn, bit,
};

/// How processes behave, and what is remembered of the decisions of all.
pub struct Rules {
    pub decider: Decider,
    pub protocol: Protocol,
}

/// What becomes of a process that looks at its identity.
enum Claim {
    Take(Identity),
    Wait,
    Superseded,
}

impl State {
    fn claim(&self, number: usize) -> Claim {
        let process = &self.processes[number];
        let identity = self.identities[usize::from(process.identity)];
        let own = number as u8;
        let with = |lease| {
            Claim::Take(Identity {
                lease,
                owner: own,
                ..Identity::default()
            })
        };
        if identity.lease == 0 || identity.owner == own {
            return with(if self.is_alive(process.lease) {
                process.lease
            } else {
                0
            });
        }
        if process.ever_held {
            return Claim::Superseded;
        }
        let predecessor = self.processes[usize::from(identity.owner)].life;
        match process.forced || identity.released || predecessor == Life::Ended {
            true => with(identity.lease),
            false => Claim::Wait,
        }
    }

    /// Whether a process without a session can do something about it.
    pub fn can_claim(&self, number: usize) -> bool {
        let process = &self.processes[number];
        process.life == Life::Alive
            && !process.session
            && !matches!(self.claim(number), Claim::Wait)
    }

    /// Claims the identity and begins a session with a complete reading.
    pub fn begin_session(&mut self, number: usize) {
        let mut identity = match self.claim(number) {
            Claim::Take(identity) => identity,
            Claim::Wait => return,
            Claim::Superseded => return self.end(number),
        };
        if identity.lease == 0 {
            identity.lease = self.grant();
        }
        let lease = identity.lease;
        let fence = self.claim_identity(self.processes[number].identity, identity);
        let (slots, beacons) = (self.slots, self.lit);
        let identities = self.identities.map(|identity| identity.lease);
        let process = &mut self.processes[number];
        (process.session, process.ever_held, process.forced) = (true, true, false);
        (process.lease, process.fence) = (lease, fence);
        (process.identities, process.beacons) = (identities, beacons);
        process.behind = [0, 0];
        for (at, key) in process.keys.iter_mut().enumerate() {
            let attached = slots[at].has_stake(lease)
                || slots[at].claims.iter().any(|claim| claim.lease == lease);
            key.tracked |= process.wishes[at] != 0 || attached;
            key.dirty = key.tracked;
            if attached {
                key.view = slots[at];
            }
        }
    }

    /// The session is over: nothing is known of what is under way, nor of what is seen.
    pub fn suspend(&mut self, number: usize) {
        let process = &mut self.processes[number];
        process.session = false;
        (process.fence, process.behind) = (0, [0, 0]);
        (process.identities, process.beacons) = ([0; 3], 0);
        process.beacons_at = [0; LEASES];
        for key in &mut process.keys {
            *key = Tracked {
                tracked: key.tracked,
                managed: key.managed,
                ..Tracked::default()
            };
        }
        abandon(&mut process.requests);
    }

    /// The process is no more.
    pub fn end(&mut self, number: usize) {
        self.suspend(number);
        self.processes[number].life = Life::Ended;
    }

    /// A session sees the oldest event of a stream that it has not seen, and sees it once more if it is not to be `consumed`.
    pub fn deliver(&mut self, number: usize, stream: usize, consumed: bool, rules: &Rules) {
        let event = self.unseen(&self.processes[number], stream)[0];
        let process = &mut self.processes[number];
        process.behind[stream] -= u8::from(consumed);
        match event {
            Event::Identity { identity, .. } if identity == process.identity => {
                self.suspend(number);
            }
            Event::Beacon { lease, .. } if lease == process.lease => self.suspend(number),
            _ => process.see(event, rules),
        }
    }

    /// Whether a process can be told of the next event of a stream, and, if it is `lazy`, whether that cannot as well be later: all that it
    /// would hear is of keys whose answers it waits for.
    pub fn can_see(&self, number: usize, stream: usize, lazy: bool) -> bool {
        let process = &self.processes[number];
        let unseen = self.unseen(process, stream);
        let waits = |event: &Event| match event {
            Event::Node { key, .. } | Event::Claim { key, .. } => {
                process.keys[usize::from(*key)].flying
            }
            Event::Identity { .. } | Event::Beacon { .. } => false,
        };
        match lazy {
            true => !unseen.iter().all(waits),
            false => !unseen.is_empty(),
        }
    }

    /// Tells all processes what they ignore.
    pub fn skip_known(&mut self) {
        for number in 0..self.processes.len() {
            for stream in [NODES, META] {
                while let Some(event) = self
                    .unseen(&self.processes[number], stream)
                    .first()
                    .copied()
                    && self.processes[number].ignores(event)
                {
                    self.processes[number].behind[stream] -= 1;
                }
            }
        }
    }

    /// The next transaction for a key that is to be decided, if there is one and it need not wait.
    pub fn next_txn(&self, number: usize, key: usize, rules: &Rules) -> Option<Txn> {
        let process = &self.processes[number];
        let tracked = &process.keys[key];
        if !process.session || !tracked.dirty || tracked.flying || self.is_puzzled(process, key) {
            return None;
        }
        process.decide(key, rules)
    }

    /// A node that it manages is under a lease that it does not know: it gives the news of a registrator some time.
    fn is_puzzled(&self, process: &Process, key: usize) -> bool {
        let (tracked, holder) = (&process.keys[key], process.keys[key].view.node.lease);
        let told_soon =
            |event: &Event| matches!(event, Event::Identity { lease, .. } if *lease == holder);
        tracked.managed
            && process.wishes[key] != 0
            && holder != 0
            && holder != process.lease
            && !process.identities.contains(&holder)
            && self.unseen(process, META).iter().any(told_soon)
    }

    /// Finishes all decisions that there is nothing to be done.
    pub fn settle(&mut self, rules: &Rules) {
        for number in 0..self.processes.len() {
            for key in 0..KEYS {
                let process = &mut self.processes[number];
                let tracked = &process.keys[key];
                if !process.session || !tracked.dirty || tracked.flying {
                    continue;
                }
                let managed = process.wishes[key] != 0 && tracked.view.concerns(process.lease);
                process.keys[key].managed |= managed;
                let process = &self.processes[number];
                if self.is_puzzled(process, key) || process.decide(key, rules).is_some() {
                    continue;
                }
                let process = &mut self.processes[number];
                process.keys[key].dirty = false;
                if process.wishes[key] == 0 {
                    process.keys[key] = Tracked::default();
                }
            }
        }
    }

    /// Sends a transaction.
    pub fn send(&mut self, number: usize, key: usize, txn: Txn) {
        let process = &mut self.processes[number];
        (process.keys[key].flying, process.keys[key].dirty) = (true, false);
        process.requests.push(Request {
            key: key as u8,
            txn,
            lease: process.lease,
            fence: process.fence,
            progress: Progress::Sent,
        });
    }

    /// A request reaches etcd, and perhaps will once more.
    pub fn execute(&mut self, number: usize, at: usize, again: bool, fence: Fence) -> bool {
        let process = &mut self.processes[number];
        let request = match again {
            true => process.requests[at].clone(),
            false => process.requests.remove(at),
        };
        let managed = process.keys[usize::from(request.key)].managed;
        let identity = process.identity;
        let fence_now = self.identities[usize::from(identity)].rev;
        // One that ended meanwhile is given the benefit of the doubt.
        let managed = request.progress != Progress::Sent || managed;
        let answer = self.perform(fence, identity, &request, managed);
        let written = matches!(answer, Answer::Applied(_));
        let process = &mut self.processes[number];
        // What it does itself, and knows to be under way, breaks no promise to it.
        let expected = match request.progress {
            Progress::Abandoned => !process.session,
            Progress::Sent | Progress::Repeated | Progress::Answered(_) => true,
        };
        if written && expected && request.fence == fence_now {
            process.staked[usize::from(request.key)] = false;
        }
        if again {
            process.requests[at].progress = Progress::Repeated;
        }
        if request.progress == Progress::Sent {
            let progress = Progress::Answered(answer);
            process.requests.push(Request {
                progress,
                ..request
            });
        }
        written
    }

    /// An answer arrives.
    pub fn receive(&mut self, number: usize, at: usize, rules: &Rules) {
        let slots = self.slots;
        let process = &mut self.processes[number];
        let request = process.requests.remove(at);
        let Progress::Answered(answer) = request.progress else {
            return;
        };
        let key = &mut process.keys[usize::from(request.key)];
        (key.flying, key.dirty) = (false, true);
        let later = std::mem::take(&mut key.later);
        match answer {
            Answer::Applied(rev) => {
                key.view = rules.decider.apply(key.view, &request.txn.changes, rev);
                key.node_at = rev;
                if request.txn.compares.contains(&Compare::NoClaims) {
                    key.claims_at = rev;
                }
            }
            Answer::Refused {
                slot,
                asked,
                lit,
                rev,
            } => {
                key.view = slot;
                if !rules.protocol.reads_at_once {
                    key.view.claims = slots[usize::from(request.key)].claims;
                }
                (key.node_at, key.claims_at) = (rev, rev);
                for lease in (1..=LEASES as u8).filter(|lease| asked & bit(*lease) != 0) {
                    process.see_beacon(lease, lit & bit(lease) != 0, rev, rules);
                }
            }
            Answer::Over => return self.suspend(number),
        }
        for event in later {
            process.see(event, rules);
        }
    }

    /// The answer to a request never comes.
    pub fn give_up_waiting(&mut self, number: usize, at: usize, rules: &Rules) {
        if rules.protocol.doubts {
            return self.suspend(number);
        }
        let process = &mut self.processes[number];
        let key = usize::from(process.requests[at].key);
        abandon_one(&mut process.requests, at);
        let tracked = &mut process.keys[key];
        (tracked.flying, tracked.dirty) = (false, true);
        for event in std::mem::take(&mut tracked.later) {
            process.see(event, rules);
        }
    }

    /// Whether a process that leaves has released everything.
    pub fn can_give_up(&self, number: usize) -> bool {
        let process = &self.processes[number];
        let idle = |key: &Tracked| !key.dirty && !key.flying;
        process.session && process.leaving && process.keys.iter().all(idle)
    }

    /// Gives up the identity, unless somebody else has it; the lease is revoked later.
    pub fn give_up(&mut self, number: usize) {
        let (identity, own) = (self.processes[number].identity, number as u8);
        let found = self.identities[usize::from(identity)];
        if found.lease != 0 && found.owner != own {
            return self.end(number);
        }
        if found.lease != 0 {
            self.give_up_identity(identity);
        }
        self.suspend(number);
        self.processes[number].life = Life::Revoking;
    }
}

fn abandon(requests: &mut Vec<Request>) {
    for at in (0..requests.len()).rev() {
        abandon_one(requests, at);
    }
}

fn abandon_one(requests: &mut Vec<Request>, at: usize) {
    match requests[at].progress {
        Progress::Sent => requests[at].progress = Progress::Abandoned,
        Progress::Abandoned | Progress::Repeated => {}
        Progress::Answered(_) => drop(requests.remove(at)),
    }
}

impl Process {
    fn decide(&self, key: usize, rules: &Rules) -> Option<Txn> {
        let registrators = self.identities.iter().map(|lease| bit(*lease));
        rules.decider.decide(&Question {
            me: self.lease,
            registrators: registrators.fold(bit(self.lease), |bits, one| bits | one),
            beacons: self.beacons,
            wish: self.wishes[key],
            view: self.keys[key].view,
            managed: self.keys[key].managed,
        })
    }

    /// `Keys::see`.
    fn see(&mut self, event: Event, rules: &Rules) {
        match event {
            Event::Node { key, .. } | Event::Claim { key, .. }
                if self.keys[usize::from(key)].flying && rules.protocol.events_wait =>
            {
                self.keys[usize::from(key)].later.push(event);
            }
            Event::Node { key, cell, rev } => {
                let (wish, lease) = (self.wishes[usize::from(key)], self.lease);
                let own = cell.exists() && cell.lease == lease;
                let key = &mut self.keys[usize::from(key)];
                key.tracked |= wish != 0 || own;
                if key.tracked && rev > key.node_at {
                    (key.node_at, key.view.node) = (rev, cell);
                    key.dirty |= !(own && cell.value == wish) || key.view.is_claimed();
                }
            }
            Event::Claim {
                key,
                lease,
                cell,
                rev,
            } => {
                let wished = self.wishes[usize::from(key)] != 0;
                let own = cell.exists() && lease == self.lease;
                let key = &mut self.keys[usize::from(key)];
                key.tracked |= wished || own;
                let known = key.view.claim_mut(lease);
                let news = rev >= key.claims_at && !(known.exists() && rev < known.rev);
                if key.tracked && news {
                    *known = cell;
                    key.dirty = true;
                }
            }
            Event::Identity {
                identity, lease, ..
            } => {
                let known = &mut self.identities[usize::from(identity)];
                let before = std::mem::replace(known, lease);
                if before != lease {
                    self.mark_concerned(before);
                    self.mark_concerned(lease);
                }
            }
            Event::Beacon { lease, lit, rev } => self.see_beacon(lease, lit, rev, rules),
        }
    }

    /// `Keys::see_beacon`.
    fn see_beacon(&mut self, lease: u8, lit: bool, rev: u8, rules: &Rules) {
        let at = &mut self.beacons_at[usize::from(lease) - 1];
        if rules.protocol.news_counts && rev < *at {
            return;
        }
        *at = rev;
        if (self.beacons & bit(lease) != 0) != lit {
            self.beacons ^= bit(lease);
            self.mark_concerned(lease);
        }
    }

    /// Whether `see` would do nothing.
    fn ignores(&self, event: Event) -> bool {
        match event {
            Event::Node { key, cell, rev } => {
                let known = &self.keys[usize::from(key)];
                let concerns = self.wishes[usize::from(key)] != 0
                    || (cell.exists() && cell.lease == self.lease);
                !known.flying
                    && if known.tracked {
                        rev <= known.node_at
                    } else {
                        !concerns
                    }
            }
            Event::Claim {
                key,
                lease,
                cell,
                rev,
            } => {
                let known = &self.keys[usize::from(key)];
                let concerns =
                    self.wishes[usize::from(key)] != 0 || (cell.exists() && lease == self.lease);
                !known.flying
                    && if known.tracked {
                        rev < known.claims_at
                    } else {
                        !concerns
                    }
            }
            Event::Identity {
                identity, lease, ..
            } => identity != self.identity && self.identities[usize::from(identity)] == lease,
            Event::Beacon { lease, lit, .. } => {
                let answered =
                    |request: &Request| matches!(request.progress, Progress::Answered(_));
                lease != self.lease
                    && (self.beacons & bit(lease) != 0) == lit
                    && !self.requests.iter().any(answered)
            }
        }
    }

    fn mark_concerned(&mut self, lease: u8) {
        if lease == 0 || lease == self.lease {
            return;
        }
        for key in &mut self.keys {
            key.dirty |= key.tracked && key.view.concerns(lease);
        }
    }
}
