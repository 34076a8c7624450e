//! What a process does: the real `Keys`, and the session of `registrator` in miniature.

use super::inside::Facts;
use super::minds::{Input, Minds, Reply};
use super::scenario::{Protocol, Reading, Watching};
use super::state::{
    Answer, Event, IDENTITIES, Identity, KEYS, Life, Mind, Part, Progress, Request, STREAMS, State,
    Txn, asks, bit,
};
use std::cell::RefCell;

/// How processes behave, and what is remembered of the minds of all.
pub struct Rules {
    pub minds: RefCell<Minds>,
    pub protocol: Protocol,
}

impl Rules {
    pub fn facts(&self, state: &State, number: usize) -> Facts {
        self.minds.borrow().facts(&state.processes[number].mind)
    }
}

/// What becomes of a process that looks at its identity.
enum Look {
    Take(Identity),
    Wait,
    Superseded,
}

impl State {
    fn claim(&self, number: usize) -> Look {
        let process = &self.processes[number];
        let identity = self.identities[usize::from(process.identity)];
        let own = number as u8;
        let with = |lease| {
            Look::Take(Identity {
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
            return Look::Superseded;
        }
        let predecessor = self.processes[usize::from(identity.owner)].life;
        if process.forced || identity.released || predecessor == Life::Ended {
            with(identity.lease)
        } else {
            Look::Wait
        }
    }

    /// Whether a process without a session can do something about it.
    pub fn can_claim(&self, number: usize) -> bool {
        let process = &self.processes[number];
        process.life == Life::Alive && !process.session && !matches!(self.claim(number), Look::Wait)
    }

    /// What follows for the `Keys` of a process, whose requests get the new numbers of their flights.
    fn ask(&mut self, number: usize, input: Input, rules: &Rules) -> Option<Vec<(u8, Txn)>> {
        let process = &mut self.processes[number];
        let Reply {
            mind,
            flights,
            sent,
        } = rules.minds.borrow_mut().ask(&process.mind, input);
        process.mind = mind;
        for request in &mut process.requests {
            let place = flights.iter().position(|flight| *flight == request.flight);
            request.flight = place.map_or(0, |place| place as u8 + 1);
        }
        sent
    }

    /// Claims the identity and begins a session with a complete reading.
    pub fn begin_session(&mut self, number: usize, rules: &Rules) {
        let mut identity = match self.claim(number) {
            Look::Take(identity) => identity,
            Look::Wait => return,
            Look::Superseded => return self.end(number),
        };
        if identity.lease == 0 {
            identity.lease = self.grant();
        }
        let lease = identity.lease;
        let fence = self.claim_identity(self.processes[number].identity, identity);
        let (beacons, identities) = (self.lit, self.identities.map(|identity| identity.lease));
        let views = self.attached(lease);
        let process = &mut self.processes[number];
        (process.session, process.ever_held, process.forced) = (true, true, false);
        (process.lease, process.fence) = (lease, fence);
        process.identities = identities;
        process.behind = [0; STREAMS];
        process.watched = [false; KEYS];
        for (key, _) in &views {
            process.watched[usize::from(*key)] = true;
        }
        let input = Input::Establish {
            lease,
            registrators: identities.iter().fold(0, |bits, lease| bits | bit(*lease)),
            beacons,
            views,
            wishes: process.wishes,
        };
        self.ask(number, input, rules);
    }

    /// What is attached to a lease, with all that there is of these keys.
    fn attached(&self, lease: u8) -> Vec<(u8, super::state::Slot)> {
        let slots = (0..).zip(self.slots);
        let attached = slots.filter(|(_, slot)| slot.has_any_stake(lease));
        attached.collect()
    }

    /// The session is over: nothing is known of what is under way, nor of what is seen.
    pub fn suspend(&mut self, number: usize, rules: &Rules) {
        let process = &mut self.processes[number];
        process.session = false;
        (process.fence, process.behind) = (0, [0; STREAMS]);
        process.watched = [false; KEYS];
        process.identities = [0; 3];
        abandon(&mut process.requests);
        self.ask(number, Input::Suspend, rules);
    }

    /// The process is no more.
    pub fn end(&mut self, number: usize) {
        let process = &mut self.processes[number];
        abandon(&mut process.requests);
        process.session = false;
        process.behind = [0; STREAMS];
        process.watched = [false; KEYS];
        process.mind = Mind::default();
        process.life = Life::Ended;
    }

    /// A session sees the oldest event of a stream that it has not seen, and sees it once more if it is not to be `consumed`.
    pub fn deliver(&mut self, number: usize, stream: usize, consumed: bool, rules: &Rules) {
        let event = self.unseen(&self.processes[number], stream)[0];
        let process = &mut self.processes[number];
        process.behind[stream] -= u8::from(consumed);
        match event {
            Event::Identity { identity, .. } if identity == process.identity => {
                self.suspend(number, rules);
            }
            Event::Beacon { lease, .. } if lease == process.lease => {
                if rules.protocol.minds_its_beacon {
                    self.suspend(number, rules);
                }
            }
            Event::Identity {
                identity, lease, ..
            } => {
                let known = &mut process.identities[usize::from(identity)];
                let before = std::mem::replace(known, lease);
                if before != lease {
                    self.tell_of(number, before, false, rules);
                    self.tell_of(number, lease, true, rules);
                }
            }
            event if event.key().is_some_and(|key| !process.watched[key]) => {}
            event => {
                let input = Input::See(event, process.wishes_for(event));
                self.ask(number, input, rules);
            }
        }
    }

    fn tell_of(&mut self, number: usize, lease: u8, known: bool, rules: &Rules) {
        if lease != 0 {
            self.ask(number, Input::Registrator(lease, known), rules);
        }
    }

    /// Whether a process can be told of the next event of a stream, and, if it is `lazy`, whether that cannot as well be later: all that it
    /// would hear is of keys whose answers it waits for.
    pub fn can_see(&self, number: usize, stream: usize, lazy: bool, rules: &Rules) -> bool {
        let unseen = self.unseen(&self.processes[number], stream);
        let flying = rules.facts(self, number).flying;
        let waits = |event: &Event| match event {
            Event::Node { key, .. } | Event::Claim { key, .. } => flying[usize::from(*key)],
            Event::Identity { .. } | Event::Beacon { .. } => false,
        };
        if lazy {
            !unseen.iter().all(waits)
        } else {
            !unseen.is_empty()
        }
    }

    /// Tells all processes what they ignore.
    pub fn skip_known(&mut self, rules: &Rules) {
        for number in 0..self.processes.len() {
            for stream in 0..STREAMS {
                while let Some(event) = self
                    .unseen(&self.processes[number], stream)
                    .first()
                    .copied()
                    && self.processes[number].ignores(event, rules)
                {
                    self.processes[number].behind[stream] -= 1;
                }
            }
        }
    }

    /// Whether a wait may be over. It may not if a node that the process manages is under a lease that it does not know, but will be told
    /// of: it gives the news of a registrator some time.
    pub fn may_wake(&self, number: usize, key: usize, rules: &Rules) -> bool {
        let process = &self.processes[number];
        let facts = rules.facts(self, number);
        let holder = facts.holder[key];
        let told_soon =
            |event: &Event| matches!(event, Event::Identity { lease, .. } if *lease == holder);
        let puzzled = facts.managed[key]
            && asks(process.wishes[key])
            && holder != 0
            && holder != process.lease
            && !process.identities.contains(&holder)
            && self.unseen(process, IDENTITIES).iter().any(told_soon);
        facts.waits[key] && !puzzled
    }

    /// The wait of a key is over, and what that calls for is sent.
    pub fn wake(&mut self, number: usize, key: usize, rules: &Rules) -> bool {
        self.ask(number, Input::Wake(key as u8), rules);
        self.send(number, rules)
    }

    /// Finishes all decisions that there is nothing to be done.
    pub fn settle(&mut self, rules: &Rules) {
        for number in 0..self.processes.len() {
            let process = &self.processes[number];
            if rules.facts(self, number).queued {
                let input = Input::Send(process.wishes);
                let reply = rules.minds.borrow_mut().ask(&process.mind, input);
                if reply.sent.is_none() {
                    self.processes[number].mind = reply.mind;
                }
            }
        }
    }

    /// Sends the next request, if there is one.
    pub fn send(&mut self, number: usize, rules: &Rules) -> bool {
        let wishes = self.processes[number].wishes;
        let sent = self.ask(number, Input::Send(wishes), rules);
        let process = &mut self.processes[number];
        let Some(txns) = sent else {
            return false;
        };
        let flying = |request: &&Request| request.flight != 0;
        let flight = process.requests.iter().filter(flying).count() as u8 + 1;
        process.requests.push(Request {
            txns,
            lease: process.lease,
            fence: process.fence,
            flight,
            progress: Progress::Sent,
        });
        true
    }

    /// A request reaches etcd.
    pub fn execute(&mut self, number: usize, at: usize, rules: &Rules) -> bool {
        let managed = rules.facts(self, number).managed;
        let process = &mut self.processes[number];
        let request = process.requests.remove(at);
        let identity = process.identity;
        let fence_now = self.identities[usize::from(identity)].rev;
        // One that ended meanwhile is given the benefit of the doubt.
        let managed = managed.map(|managed| request.progress != Progress::Sent || managed);
        let answer = self.perform(rules.protocol.fence, identity, &request, managed);
        let process = &mut self.processes[number];
        // What it does itself, and knows to be under way, breaks no promise to it.
        let expected = match request.progress {
            Progress::Abandoned => !process.session,
            Progress::Sent | Progress::Answered(_) => true,
        };
        let parts = match &answer {
            Answer::Done(parts, _) => parts.as_slice(),
            Answer::Over => &[],
        };
        let mut written = false;
        for ((key, _), part) in request.txns.iter().zip(parts) {
            if *part != Part::Applied {
                continue;
            }
            written = true;
            if expected && request.fence == fence_now {
                process.staked[usize::from(*key)] = false;
            }
        }
        self.wrong.stale |= written && request.fence != fence_now;
        if request.progress == Progress::Sent {
            if rules.protocol.watching == Watching::FromTheAnswer {
                process.watch(&request.txns);
            }
            // Its comparisons have served.
            let txns = request.txns.into_iter();
            let txns = txns.map(|(key, _)| (key, Txn::default()));
            process.requests.push(Request {
                txns: txns.collect(),
                lease: 0,
                fence: 0,
                flight: request.flight,
                progress: Progress::Answered(answer),
            });
        }
        written
    }

    /// An answer arrives.
    pub fn receive(&mut self, number: usize, at: usize, rules: &Rules) {
        let slots = self.slots;
        let process = &mut self.processes[number];
        let request = process.requests.remove(at);
        let Progress::Answered(mut answer) = request.progress else {
            return;
        };
        let Answer::Done(parts, _) = &mut answer else {
            return self.suspend(number, rules);
        };
        if rules.protocol.watching == Watching::WhenItArrives {
            process.watch(&request.txns);
        }
        for ((key, _), part) in request.txns.iter().zip(parts) {
            if let Part::Refused { slot, .. } = part
                && rules.protocol.reading == Reading::Later
            {
                slot.claims = slots[usize::from(*key)].claims;
            }
        }
        let input = Input::Hear(request.flight, answer, process.wishes);
        self.ask(number, input, rules);
    }

    /// etcd refuses a request as a whole.
    pub fn reject(&mut self, number: usize, at: usize, rules: &Rules) {
        let process = &mut self.processes[number];
        let request = process.requests.remove(at);
        let input = Input::Rejected(request.flight, process.wishes);
        self.ask(number, input, rules);
    }

    /// The answer to a request never comes.
    pub fn give_up_waiting(&mut self, number: usize, at: usize, rules: &Rules) {
        if rules.protocol.doubts {
            return self.suspend(number, rules);
        }
        let process = &mut self.processes[number];
        let flight = process.requests[at].flight;
        abandon_one(&mut process.requests, at);
        let input = Input::Undoubting(flight, process.wishes);
        self.ask(number, input, rules);
    }

    /// Reads again what is attached to the lease of a process, and what it watches.
    pub fn read_again(&mut self, number: usize, rules: &Rules) {
        let process = &mut self.processes[number];
        let mut views = Vec::new();
        for (key, slot) in (0..).zip(self.slots) {
            process.watched[usize::from(key)] |= slot.has_any_stake(process.lease);
            if process.watched[usize::from(key)] {
                views.push((key, slot));
            }
        }
        self.ask(number, Input::Read(views, self.rev), rules);
    }

    /// Reads what a process wants to know, and watches it.
    pub fn look(&mut self, number: usize, rules: &Rules) {
        let wanted = rules.facts(self, number).wanted;
        let process = &mut self.processes[number];
        let mut views = Vec::new();
        for (key, slot) in (0..).zip(self.slots) {
            if wanted[usize::from(key)] {
                process.watched[usize::from(key)] = true;
                views.push((key, slot));
            }
        }
        self.ask(number, Input::Look(views, self.rev), rules);
    }

    /// Whether a process that leaves has released everything.
    pub fn can_give_up(&self, number: usize, rules: &Rules) -> bool {
        let process = &self.processes[number];
        let facts = rules.facts(self, number);
        let released = if rules.protocol.waits_for_all {
            facts.released
        } else {
            facts.settled
        };
        process.session && process.leaving && released
    }

    /// Gives up the identity, unless somebody else has it; the lease is revoked later.
    pub fn give_up(&mut self, number: usize, rules: &Rules) {
        let (identity, own) = (self.processes[number].identity, number as u8);
        let found = self.identities[usize::from(identity)];
        if found.lease != 0 && found.owner != own {
            return self.end(number);
        }
        if found.lease != 0 {
            self.give_up_identity(identity);
        }
        self.left |= bit(self.processes[number].lease);
        self.suspend(number, rules);
        self.processes[number].life = Life::Revoking;
    }

    /// The wishes of a process change. Its keys, so many, are those of one container.
    pub fn set_wishes(&mut self, number: usize, wishes: [u8; KEYS], keys: usize, rules: &Rules) {
        self.processes[number].wishes = wishes;
        self.ask(number, Input::Mark(keys), rules);
    }

    /// A process begins to release everything.
    pub fn leave(&mut self, number: usize, rules: &Rules) {
        let process = &mut self.processes[number];
        (process.wishes, process.leaving) = ([0; KEYS], true);
        self.ask(number, Input::MarkAll, rules);
    }
}

fn abandon(requests: &mut Vec<Request>) {
    for at in (0..requests.len()).rev() {
        abandon_one(requests, at);
    }
}

fn abandon_one(requests: &mut Vec<Request>, at: usize) {
    match requests[at].progress {
        Progress::Sent => {
            requests[at].progress = Progress::Abandoned;
            requests[at].flight = 0;
        }
        Progress::Abandoned => {}
        Progress::Answered(_) => {
            requests.remove(at);
        }
    }
}

impl super::state::Process {
    /// Begins to watch the keys of a request.
    fn watch(&mut self, txns: &[(u8, Txn)]) {
        for (key, txn) in txns {
            self.watched[usize::from(*key)] = true;
            for field in txn.fields() {
                self.watched[usize::from(field)] = true;
            }
        }
    }

    /// Its wishes, as far as they matter for an event.
    fn wishes_for(&self, event: Event) -> [u8; KEYS] {
        let mut wishes = [0; KEYS];
        if let Event::Node { key, .. } | Event::Claim { key, .. } = event {
            wishes[usize::from(key)] = self.wishes[usize::from(key)];
            // A field is judged by its object.
            if super::objects::are_there() {
                wishes[0] = self.wishes[0];
            }
        }
        wishes
    }

    /// Whether being told of an event would change nothing.
    fn ignores(&self, event: Event, rules: &Rules) -> bool {
        let answered = |request: &Request| matches!(request.progress, Progress::Answered(_));
        if event.key().is_some_and(|key| !self.watched[key]) {
            return true;
        }
        match event {
            Event::Identity {
                identity, lease, ..
            } => identity != self.identity && self.identities[usize::from(identity)] == lease,
            Event::Beacon { lease, lit, .. } => {
                let known = rules.minds.borrow().facts(&self.mind).lit & bit(lease) != 0;
                lease != self.lease && known == lit && !self.requests.iter().any(answered)
            }
            Event::Node { .. } | Event::Claim { .. } => {
                let input = Input::See(event, self.wishes_for(event));
                rules.minds.borrow_mut().ask(&self.mind, input).mind == self.mind
            }
        }
    }
}
