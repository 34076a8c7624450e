//! What makes two `Keys` that behave alike equal: revisions are taken out, times are put in order, and what is told to people is forgotten.

use super::convert::{key, key_number, lease, lease_number, rev};
use super::state::{KEYS, LEASES};
use crate::node::Key;
use crate::own::keys::Keys;
use crate::own::keys::patience::Patience;
use crate::own::keys::sight::Lost;
use crate::own::keys::tracked::Tracked;
use crate::own::session::Seen;
use crate::own::{FieldGuard, Guard, Held, LeaseId, Revision};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Where a revision stands in `Keys`. Keys and flights are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    NodeAt(u8),
    ClaimsAt(u8),
    Lost(u8),
    Node(u8),
    Claim(u8, u8),
    /// The revision of an event that waits for an answer: of a node, or else of a claim.
    Waits(u8, bool),
    /// That of the node or claim that it tells of.
    Told,
    /// When a beacon was told of during a flight.
    Beacon(u8, u8),
}

/// The present. It stands still: waits end when a step says so.
pub fn now() -> Instant {
    static NOW: OnceLock<Instant> = OnceLock::new();
    *NOW.get_or_init(Instant::now)
}

const SETTLING: Duration = Duration::from_secs(1);
const BYSTANDER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(3);

/// The tries that are counted: after these each one waits.
const TRIES: u32 = 3;

fn lies_ahead(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at > now())
}

/// Visits all revisions, always in the same order.
fn each_revision(keys: &mut Keys, visit: &mut dyn FnMut(Place, &mut Revision)) {
    for number in 0..KEYS as u8 {
        keys.ledger
            .change(key(number), |tracked| of_key(number, tracked, visit));
    }
    for (flight, under_way) in (0..).zip(keys.flights.under_way.values_mut()) {
        for claimant in 1..=LEASES as u8 {
            let beacon = under_way.beacons.entry(lease(claimant)).or_default();
            visit(Place::Beacon(flight, claimant), beacon);
        }
        under_way.beacons.retain(|_, told| *told != 0);
    }
}

fn of_key(number: u8, tracked: &mut Tracked, visit: &mut dyn FnMut(Place, &mut Revision)) {
    let sight = &mut tracked.sight;
    visit(Place::NodeAt(number), &mut sight.node_at);
    visit(Place::ClaimsAt(number), &mut sight.claims_at);
    if let Some(Lost::Claim(at) | Lost::Node(at)) = &mut sight.lost {
        visit(Place::Lost(number), at);
    }
    if let Some(held) = &mut sight.view.node {
        visit(Place::Node(number), &mut held.mod_revision);
    }
    for (lease, claim) in &mut sight.view.claims {
        let place = Place::Claim(number, lease_number(*lease));
        visit(place, &mut claim.mod_revision);
    }
    let waiting = tracked
        .flying
        .iter_mut()
        .flat_map(|flying| &mut flying.seen);
    for seen in waiting {
        let (node, held, revision) = match seen {
            Seen::Node { node, revision, .. } => (true, node, revision),
            Seen::Claim {
                claim, revision, ..
            } => (false, claim, revision),
            Seen::Read { .. } | Seen::Registrator { .. } | Seen::Beacon { .. } => continue,
        };
        visit(Place::Waits(number, node), revision);
        if let Some(Held { mod_revision, .. }) = held {
            visit(Place::Told, mod_revision);
        }
    }
}

/// Puts revisions where [`take_out`] took them from.
pub fn put_in(keys: &mut Keys, revs: &[u8]) {
    let mut revs = revs.iter();
    each_revision(keys, &mut |_, revision| {
        *revision = (*revs.next().unwrap()).into();
    });
}

/// Takes all revisions out, and tells where they were.
pub fn take_out(keys: &mut Keys) -> (Vec<Place>, Vec<u8>) {
    let (mut places, mut revs) = (Vec::new(), Vec::new());
    each_revision(keys, &mut |place, revision| {
        places.push(place);
        revs.push(rev(std::mem::take(revision)));
    });
    (places, revs)
}

/// Forgets what makes no difference. Gives the numbers that the flights had; they have 1, 2, 3 … then.
pub fn simplify(keys: &mut Keys, counts_tries: bool) -> Vec<u8> {
    keys.notices.clear();
    keys.ledger.changed_objects.clear();
    if keys.session.is_none() {
        // The next session begins with all of that.
        keys.ledger.begin(LeaseId(0));
        keys.alarms.clear();
        keys.queue.clear();
        keys.wanted.clear();
        keys.apart.clear();
    }
    let ring = ringing(keys);
    keys.alarms.clear();
    for number in 0..KEYS as u8 {
        let name = key(number);
        let simple = |tracked: &mut Tracked| {
            tracked.story = Default::default();
            // It only makes words.
            tracked.drift.before = None;
            tracked.drift.last_repair = tracked.drift.last_repair.map(|_| now());
            if let Some(flying) = &mut tracked.flying {
                flying.batches.sort();
                flying.batches.dedup();
            }
            let patience = &mut tracked.patience;
            order(patience);
            patience.tries = if counts_tries {
                patience.tries.min(TRIES)
            } else {
                0
            };
            let decided = patience.until(now()).or(patience.bystander);
            decided.unwrap_or(now())
        };
        if let Some(at) = keys.ledger.change(name, simple)
            && ring.contains(name)
        {
            keys.alarms.set(name, at);
        }
    }
    let queue = keys.queue.make_contiguous();
    queue.sort();
    let mut queue = queue.to_vec();
    queue.dedup();
    keys.queue = queue.into();
    keys.apart.make_contiguous().sort();
    let mut apart: Vec<Key> = keys.apart.drain(..).collect();
    apart.dedup();
    keys.apart = apart.into();
    keys.ledger.changed_objects.clear();
    number_flights(keys)
}

fn order(patience: &mut Patience) {
    let ahead = |at: Option<Instant>, wait| lies_ahead(at).then(|| now() + wait);
    patience.paused = ahead(patience.paused, PAUSE);
    patience.settling = ahead(patience.settling, SETTLING);
    if let Some(at) = &mut patience.bystander {
        *at = if *at > now() {
            now() + BYSTANDER
        } else {
            now()
        };
    }
}

fn number_flights(keys: &mut Keys) -> Vec<u8> {
    let under_way = std::mem::take(&mut keys.flights.under_way);
    let mut numbers = Vec::new();
    for (at, (number, mut flight)) in (1..).zip(under_way) {
        for (txn, before) in &mut flight.txns {
            // What else was compared has served.
            txn.guards
                .retain(|guard| matches!(guard, Guard::NoClaims | Guard::Field(..)));
            for guard in &mut txn.guards {
                if let Guard::Field(_, guard @ FieldGuard::Unchanged(_)) = guard {
                    *guard = FieldGuard::HeldBy(LeaseId(0));
                }
            }
            if let Some(before) = before {
                before.mod_revision = 0;
            }
        }
        numbers.push(number as u8);
        keys.flights.under_way.insert(at, flight);
    }
    keys.flights.last_id = numbers.len() as u64;
    numbers
}

fn ringing(keys: &Keys) -> Vec<Key> {
    let mut alarms = keys.alarms.clone();
    let far = now() + Duration::from_secs(3600);
    std::iter::from_fn(|| alarms.take_due(far)).collect()
}

/// The wait that a key's alarm is for is over.
pub fn end_wait(keys: &mut Keys, number: u8) {
    let name = key(number);
    keys.ledger.change(name, |tracked| {
        let patience = &mut tracked.patience;
        if patience.until(now()).is_none() {
            patience.bystander = patience.bystander.map(|_| now());
        }
        patience.hurry();
    });
    let parts: Vec<Key> = keys.ledger.parts_of(name).cloned().collect();
    for part in parts {
        keys.ledger
            .change(&part, |tracked| tracked.patience.hurry());
    }
    keys.alarms.set(name, now());
    keys.retry_due(now());
}

/// What a world must know of `Keys`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// Something is to be decided.
    pub queued: bool,
    pub settled: bool,
    pub released: bool,
    pub managed: [bool; KEYS],
    pub flying: [bool; KEYS],
    /// It is of interest.
    pub tracked: [bool; KEYS],
    /// A decision is put off.
    pub waits: [bool; KEYS],
    /// Who holds the node, as far as is known.
    pub holder: [u8; KEYS],
    /// Something is to be read.
    pub wanted: [bool; KEYS],
    /// Beacons that are lit, as far as is known.
    pub lit: u8,
}

pub fn facts(keys: &Keys) -> Facts {
    let mut facts = Facts {
        queued: keys.session.is_some() && !(keys.queue.is_empty() && keys.apart.is_empty()),
        settled: keys.settled(),
        released: keys.released(),
        ..Facts::default()
    };
    for (key, tracked) in keys.ledger.iter() {
        let number = usize::from(key_number(key));
        facts.tracked[number] = true;
        facts.managed[number] = tracked.managed;
        facts.flying[number] = tracked.flying.is_some();
        let holder = tracked.sight.view.holder();
        facts.holder[number] = holder.map_or(0, lease_number);
    }
    for key in &keys.wanted {
        facts.wanted[usize::from(key_number(key))] = true;
    }
    for key in ringing(keys) {
        facts.waits[usize::from(key_number(&key))] = true;
    }
    let who = keys.session.iter().map(|(_, who)| who);
    let lit = who.flat_map(|who| &who.beacons);
    facts.lit = lit.fold(0, |bits, lease| {
        bits | super::state::bit(lease_number(*lease))
    });
    facts
}
