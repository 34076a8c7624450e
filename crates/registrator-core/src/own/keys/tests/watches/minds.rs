//! The real `Keys`, asked in the explored worlds' terms.
//!
//! `Keys` is a function of what it knows and of what it is told. So each mind that a process can have is kept once, without its
//! revisions, and each question is asked once: its revisions are renumbered before it is, because only their order counts.

use super::convert::{held, key, key_number, lease, leases, seen, txn, value, view};
use super::inside::{Facts, Place, end_wait, facts, now, put_in, simplify, take_out};
use super::scenario::{Protocol, Reading};
use super::state::{Answer, Compare, Event, HELD_BACK, KEYS, Mind, Part, Slot, Txn, asks};
use crate::node::{Key, Value};
use crate::own::Who;
use crate::own::keys::{Keys, Wishes};
use crate::own::session::{KeyResult, Outcome, Rejection, Seen, Session};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// What a process is told, or does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// A session begins. Registrators and beacons are sets of leases.
    Establish {
        lease: u8,
        registrators: u8,
        beacons: u8,
        views: Vec<(u8, Slot)>,
        wishes: [u8; KEYS],
    },
    Suspend,
    See(Event, [u8; KEYS]),
    Registrator(u8, bool),
    /// What was read again, and when.
    Read(Vec<(u8, Slot)>, u8),
    /// The same, of what was wanted.
    Look(Vec<(u8, Slot)>, u8),
    /// The wishes for the first so many keys, or some of them, have changed.
    Mark(usize),
    MarkAll,
    /// Sends what is to be sent next.
    Send([u8; KEYS]),
    Hear(u8, Answer, [u8; KEYS]),
    Rejected(u8, [u8; KEYS]),
    /// The answer to a request will not come, and the process takes it for one that never happened.
    Undoubting(u8, [u8; KEYS]),
    /// The wait of a key is over.
    Wake(u8),
}

/// What comes of it.
#[derive(Debug, Clone)]
pub struct Reply {
    pub mind: Mind,
    /// The numbers that the flights had before, in their order. They are 1, 2, 3 … now.
    pub flights: Vec<u8>,
    /// What is sent.
    pub sent: Option<Vec<(u8, Txn)>>,
}

struct Known {
    keys: Keys,
    facts: Facts,
    places: Rc<[Place]>,
}

/// All minds that were met, and what they were asked.
pub struct Minds {
    protocol: Protocol,
    counts_tries: bool,
    known: Vec<Known>,
    by_text: HashMap<String, u32>,
    replies: HashMap<(Mind, Input), Reply>,
}

impl Minds {
    pub fn new(protocol: Protocol, counts_tries: bool) -> Minds {
        let mut minds = Minds {
            protocol,
            counts_tries,
            known: Vec::new(),
            by_text: HashMap::new(),
            replies: HashMap::new(),
        };
        minds.number(Keys::default(), Vec::new());
        minds
    }

    pub fn facts(&self, mind: &Mind) -> Facts {
        self.known[mind.number as usize].facts
    }

    /// Where the revisions of a mind stand.
    pub fn places(&self, mind: &Mind) -> Rc<[Place]> {
        self.known[mind.number as usize].places.clone()
    }

    pub fn len(&self) -> (usize, usize) {
        (self.known.len(), self.replies.len())
    }

    pub fn ask(&mut self, mind: &Mind, input: Input) -> Reply {
        let mut question = (mind.clone(), input);
        let mut used = 0_u128;
        let (mind, input) = &mut question;
        each_rev(mind, input, &mut |rev| used |= 1 << *rev);
        used &= !1;
        let rank = |rev: u8| (used & ((1 << rev) - 1)).count_ones() as u8 + u8::from(rev > 0);
        each_rev(mind, input, &mut |rev| *rev = rank(*rev));
        let mut reply = match self.replies.get(&question) {
            Some(reply) => reply.clone(),
            None => {
                let reply = self.run(&question.0, &question.1);
                self.replies.insert(question, reply.clone());
                reply
            }
        };
        let revs: Vec<u8> = (0..128)
            .filter(|rev| *rev == 0 || used >> rev & 1 == 1)
            .collect();
        let mut restore = |rev: &mut u8| *rev = revs[usize::from(*rev)];
        reply.mind.revs.iter_mut().for_each(&mut restore);
        for (_, txn) in reply.sent.iter_mut().flatten() {
            txn.each_rev(&mut restore);
        }
        reply
    }

    fn run(&mut self, mind: &Mind, input: &Input) -> Reply {
        let mut keys = self.known[mind.number as usize].keys.clone();
        put_in(&mut keys, &mind.revs);
        let sent = super::decided::deciding(self.protocol.decide, self.protocol.dress, || {
            tell(&mut keys, input, &self.protocol)
        });
        let flights = simplify(&mut keys, self.counts_tries);
        let (places, revs) = take_out(&mut keys);
        Reply {
            mind: Mind {
                number: self.number(keys, places),
                revs,
            },
            flights,
            sent,
        }
    }

    fn number(&mut self, keys: Keys, places: Vec<Place>) -> u32 {
        let next = self.known.len() as u32;
        let number = *self.by_text.entry(format!("{keys:?}")).or_insert(next);
        if number == next {
            let facts = facts(&keys);
            self.known.push(Known {
                keys,
                facts,
                places: places.into(),
            });
        }
        number
    }
}

fn each_rev(mind: &mut Mind, input: &mut Input, visit: &mut dyn FnMut(&mut u8)) {
    mind.revs.iter_mut().for_each(&mut *visit);
    match input {
        Input::Establish { views, .. } => {
            views.iter_mut().for_each(|(_, slot)| slot.each_rev(visit));
        }
        Input::Read(views, rev) | Input::Look(views, rev) => {
            visit(rev);
            views.iter_mut().for_each(|(_, slot)| slot.each_rev(visit));
        }
        Input::See(event, _) => event.each_rev(visit),
        Input::Hear(_, answer, _) => answer.each_rev(visit),
        Input::Suspend
        | Input::Registrator(..)
        | Input::Mark(_)
        | Input::MarkAll
        | Input::Send(_)
        | Input::Rejected(..)
        | Input::Undoubting(..)
        | Input::Wake(_) => {}
    }
}

fn wish(wishes: &[u8; KEYS], key: &Key) -> Option<Value> {
    let number = key_number(key);
    let wish = wishes[usize::from(number)];
    asks(wish).then(|| value(number, wish))
}

/// What a protocol does with `Keys`, which is what ships unless the protocol is broken on purpose.
fn tell(keys: &mut Keys, input: &Input, protocol: &Protocol) -> Option<Vec<(u8, Txn)>> {
    match input {
        Input::Establish { wishes, .. } => {
            let wished = (0..KEYS as u8).filter(|number| asks(wishes[usize::from(*number)]));
            let wished = [wished.map(|number| key(number).clone()).collect()];
            keys.establish(session(input), wished.into());
        }
        Input::Suspend => keys.suspend(),
        Input::See(event, wishes) => see(keys, *event, wishes, protocol),
        Input::Registrator(lease, known) => {
            let seen = Seen::Registrator {
                lease: self::lease(*lease),
                name: known.then(|| "".into()),
            };
            keys.see(seen, |_| None, now());
        }
        Input::Read(views, revision) | Input::Look(views, revision) => {
            if matches!(input, Input::Look(..)) {
                keys.wanted.clear();
            }
            let seen = Seen::Read {
                views: views_of(views),
                revision: (*revision).into(),
            };
            keys.see(seen, |_| None, now());
        }
        Input::Mark(number) => {
            let changed = (0..*number as u8).map(|number| key(number).clone());
            keys.mark(changed.collect());
        }
        Input::MarkAll => keys.mark_all(),
        Input::Send(wishes) => {
            let wishes = Wishes {
                of: &|key: &Key| wish(wishes, key),
                stays: &|key| {
                    let number = key_number(key);
                    wishes[usize::from(number)] == HELD_BACK
                },
                members: &|_, _| BTreeMap::new(),
                object_of: &|_| None,
                keep_orphans: false,
            };
            let commit = keys.next_commit(&wishes, now())?;
            return Some(commit.txns.iter().map(txn).collect());
        }
        Input::Hear(flight, answer, wishes) => {
            let mut outcome = outcome(keys, *flight, answer);
            if protocol.reading == Reading::Before {
                keep_claims(keys, *flight, &mut outcome);
            }
            let asked = |key: &Key| wish(wishes, key);
            keys.committed((*flight).into(), outcome, asked, now());
        }
        Input::Rejected(flight, wishes) => {
            let asked = |key: &Key| wish(wishes, key);
            let outcome = Outcome::Rejected(Rejection {
                message: String::new(),
                forbidden: false,
            });
            keys.committed((*flight).into(), outcome, asked, now());
        }
        Input::Undoubting(flight, wishes) => {
            let flying = keys.flights.under_way[&(*flight).into()].txns.clone();
            let nothing = Outcome::Done {
                revision: 0,
                results: Vec::new(),
            };
            let asked = |key: &Key| wish(wishes, key);
            keys.committed((*flight).into(), nothing, asked, now());
            keys.mark(flying.into_iter().map(|(txn, _)| txn.key).collect());
        }
        Input::Wake(number) => end_wait(keys, *number),
    }
    None
}

fn session(input: &Input) -> Session {
    let Input::Establish {
        lease,
        registrators,
        beacons,
        views,
        ..
    } = input
    else {
        panic!("not the begin of a session: {input:?}");
    };
    let who = Who {
        me: self::lease(*lease),
        registrators: leases(*registrators)
            .map(|lease| (self::lease(lease), "".into()))
            .collect(),
        beacons: leases(*beacons).map(self::lease).collect(),
    };
    Session {
        number: 1,
        who,
        views: views_of(views),
    }
}

fn views_of(views: &[(u8, Slot)]) -> BTreeMap<Key, crate::own::View> {
    let views = views.iter();
    views
        .map(|(number, slot)| (key(*number).clone(), view(*number, slot)))
        .collect()
}

fn see(keys: &mut Keys, event: Event, wishes: &[u8; KEYS], protocol: &Protocol) {
    let seen = seen(event);
    let mut flying = None;
    if let Some(key) = seen.key()
        && !protocol.events_wait
    {
        flying = keys
            .ledger
            .change(key, |tracked| tracked.flying.take())
            .flatten();
    }
    let about = seen.key().cloned();
    keys.see(seen, |key| wish(wishes, key), now());
    if let Some(key) = about
        && flying.is_some()
    {
        keys.ledger.change(&key, |tracked| tracked.flying = flying);
    }
    if !protocol.news_counts {
        for flight in keys.flights.under_way.values_mut() {
            flight.beacons.clear();
        }
    }
}

/// Makes the claims of refusals those that are known.
fn keep_claims(keys: &Keys, flight: u8, outcome: &mut Outcome) {
    let Outcome::Done { results, .. } = outcome else {
        return;
    };
    let flying = &keys.flights.under_way[&flight.into()];
    for ((txn, _), result) in flying.txns.iter().zip(results) {
        if let KeyResult::Refused { view, .. } = result {
            let known = &keys.ledger.get(&txn.key).unwrap().sight.view;
            view.claims = known.claims.clone();
        }
    }
}

fn outcome(keys: &Keys, flight: u8, answer: &Answer) -> Outcome {
    let Answer::Done(parts, revision) = answer else {
        return Outcome::Void;
    };
    let flight = keys.flights.under_way.get(&flight.into());
    let txns = flight.map_or(&[][..], |flight| &flight.txns);
    let about = |at: usize| txns.get(at).map_or(0, |(txn, _)| key_number(&txn.key));
    let results = parts.iter().enumerate().map(|(at, part)| match part {
        Part::Applied => KeyResult::Applied,
        Part::Refused {
            slot,
            fields,
            asked,
            lit,
        } => KeyResult::Refused {
            view: view(about(at), slot),
            fields: fields
                .iter()
                .map(|(field, cell)| (key(*field).clone(), held(*field, *cell)))
                .collect(),
            beacons: leases(*asked)
                .map(|one| (lease(one), lit & super::state::bit(one) != 0))
                .collect(),
        },
    });
    Outcome::Done {
        revision: (*revision).into(),
        results: results.collect(),
    }
}

impl Slot {
    pub fn each_rev(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        visit(&mut self.node.rev);
        self.claims
            .iter_mut()
            .for_each(|claim| visit(&mut claim.rev));
    }
}

impl Event {
    pub fn each_rev(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        match self {
            Event::Node { cell, rev, .. } | Event::Claim { cell, rev, .. } => {
                visit(&mut cell.rev);
                visit(rev);
            }
            Event::Identity { rev, .. } | Event::Beacon { rev, .. } => visit(rev),
        }
    }
}

impl Answer {
    pub fn each_rev(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        let Answer::Done(parts, rev) = self else {
            return;
        };
        visit(rev);
        for part in parts {
            if let Part::Refused { slot, fields, .. } = part {
                slot.each_rev(visit);
                fields.iter_mut().for_each(|(_, cell)| visit(&mut cell.rev));
            }
        }
    }
}

impl Txn {
    pub fn each_rev(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        for compare in &mut self.compares {
            if let Compare::Unchanged(rev)
            | Compare::ClaimUnchanged(_, rev)
            | Compare::FieldUnchanged(_, rev) = compare
            {
                visit(rev);
            }
        }
    }
}
