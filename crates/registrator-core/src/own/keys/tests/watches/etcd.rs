//! What etcd does: one transaction after the other, with exact comparisons; leases; events in the order of their revisions.

use super::state::{
    Answer, Cell, Change, Compare, Event, Identity, KEYS, LEASES, Part, Request, State, Txn, bit,
};

/// Which comparison goes around each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// The identity is unchanged and the own beacon is lit.
    Whole,
    /// The identity is unchanged.
    Identity,
    /// The own beacon is lit.
    Beacon,
}

impl Txn {
    /// The leases that it writes under.
    fn leases(&self) -> impl Iterator<Item = u8> {
        self.changes.iter().filter_map(|change| match change {
            Change::Put(_, lease) | Change::PutClaim(_, lease) | Change::PutField(_, _, lease) => {
                Some(*lease)
            }
            Change::Delete | Change::DeleteClaim(_) | Change::DeleteField(_) => None,
        })
    }

    /// The leases whose beacons it compares.
    fn named(&self) -> u8 {
        let named = self.compares.iter().map(|compare| match compare {
            Compare::Lit(lease) | Compare::Out(lease) => bit(*lease),
            _ => 0,
        });
        named.fold(0, |bits, one| bits | one)
    }
}

impl State {
    fn tick(&mut self) -> u8 {
        self.rev += 1;
        self.rev
    }

    fn emit(&mut self, event: Event) {
        let stream = event.stream();
        self.streams[stream].push(event);
        for process in self.processes.iter_mut().filter(|process| process.session) {
            process.behind[stream] += 1;
        }
    }

    fn put_node(&mut self, key: u8, cell: Cell) {
        self.slots[usize::from(key)].node = cell;
        self.excused[usize::from(key)] &= !cell.exists();
        let rev = self.rev;
        self.emit(Event::Node { key, cell, rev });
    }

    fn put_claim(&mut self, key: u8, lease: u8, cell: Cell) {
        let claim = self.slots[usize::from(key)].claim_mut(lease);
        if !claim.exists() && !cell.exists() {
            return;
        }
        *claim = cell;
        let rev = self.rev;
        let event = Event::Claim {
            key,
            lease,
            cell,
            rev,
        };
        self.emit(event);
    }

    fn holds(&self, key: u8, compare: Compare) -> bool {
        let slot = &self.slots[usize::from(key)];
        match compare {
            Compare::Absent => !slot.node.exists(),
            // A key that does not exist has the lease 0.
            Compare::HeldBy(lease) => slot.node.exists() && slot.node.lease == lease,
            Compare::Unchanged(rev) => slot.node.exists() && slot.node.rev == rev,
            Compare::NoClaims => !slot.is_claimed(),
            Compare::ClaimUnchanged(lease, rev) => {
                slot.claim(lease).exists() && slot.claim(lease).rev == rev
            }
            Compare::ClaimsAre(after, before, value) => {
                let within = (1..=LEASES as u8)
                    .filter(|lease| *lease > after && (before == 0 || *lease < before));
                let mut claims = within.map(|lease| slot.claim(lease));
                if value == 0 {
                    !claims.any(Cell::exists)
                } else {
                    // Of no claim there is no value.
                    let there: Vec<Cell> = claims.filter(|claim| claim.exists()).collect();
                    !there.is_empty() && there.iter().all(|claim| claim.value == value)
                }
            }
            Compare::FieldAbsent(field) => !self.slots[usize::from(field)].node.exists(),
            Compare::FieldHeldBy(field, lease) => self.slots[usize::from(field)].has_node(lease),
            Compare::FieldUnchanged(field, rev) => {
                let node = self.slots[usize::from(field)].node;
                node.exists() && node.rev == rev
            }
            Compare::Lit(lease) => self.is_lit(lease),
            Compare::Out(lease) => !self.is_lit(lease),
        }
    }

    fn is_fenced_out(&self, fence: Fence, identity: u8, request: &Request) -> bool {
        let unchanged = self.identities[usize::from(identity)].rev == request.fence;
        let lit = self.is_lit(request.lease);
        match fence {
            Fence::Whole => !(unchanged && lit),
            Fence::Identity => !unchanged,
            Fence::Beacon => !lit,
        }
    }

    /// Performs a request of a process with `identity`, which had these nodes before if they are `managed`.
    pub fn perform(
        &mut self,
        fence: Fence,
        identity: u8,
        request: &Request,
        managed: [bool; KEYS],
    ) -> Answer {
        if self.is_fenced_out(fence, identity, request) {
            return Answer::Over;
        }
        let allowed: Vec<bool> = request
            .txns
            .iter()
            .map(|(key, txn)| {
                txn.compares
                    .iter()
                    .all(|compare| self.holds(*key, *compare))
            })
            .collect();
        let needed = request.txns.iter().zip(&allowed);
        let needed = needed.filter(|(_, allowed)| **allowed);
        let mut needed = needed.flat_map(|((_, txn), _)| txn.leases());
        // One lease that is gone fails the request; the writer then reads what is there.
        if !needed.all(|lease| self.is_alive(lease)) {
            if !self.is_alive(request.lease) {
                return Answer::Over;
            }
            let txns = request.txns.iter();
            let parts = txns.map(|(key, txn)| self.refusal(*key, txn, 0));
            return Answer::Done(parts.collect(), self.rev);
        }
        if allowed.contains(&true) {
            self.tick();
        }
        let mut parts = Vec::new();
        for ((key, txn), allowed) in request.txns.iter().zip(allowed) {
            if allowed {
                self.apply(*key, txn, request.lease, managed);
                parts.push(Part::Applied);
            } else {
                parts.push(self.refusal(*key, txn, txn.named()));
            }
        }
        Answer::Done(parts, self.rev)
    }

    fn apply(&mut self, key: u8, txn: &Txn, me: u8, managed: [bool; KEYS]) {
        let object = super::objects::Standing::of(self);
        let strange = |field: u8| {
            let node = self.slots[usize::from(field)].node;
            node.exists() && node.lease == 0 && !managed[usize::from(field)]
        };
        let writes = |change: &Change| match change {
            Change::PutField(field, ..) | Change::DeleteField(field) => strange(*field),
            _ => false,
        };
        self.wrong.trespasses |= txn.changes.iter().any(writes);
        let managed = managed[usize::from(key)];
        let before = self.slots[usize::from(key)];
        let touches = |change: &Change| matches!(change, Change::Put(..) | Change::Delete);
        let strangers = before.node.exists() && before.node.lease == 0;
        self.wrong.trespasses |= !managed && strangers && txn.changes.iter().any(touches);
        let rev = self.rev;
        for change in txn.changes.clone() {
            let cell = |value, lease| Cell { value, lease, rev };
            match change {
                Change::Put(value, lease) => self.put_node(key, cell(value, lease)),
                Change::Delete => self.put_node(key, Cell::default()),
                Change::PutClaim(value, lease) => self.put_claim(key, lease, cell(value, lease)),
                Change::DeleteClaim(lease) => self.put_claim(key, lease, Cell::default()),
                Change::PutField(field, value, lease) => self.put_node(field, cell(value, lease)),
                Change::DeleteField(field) => {
                    if self.slots[usize::from(field)].node.exists() {
                        self.put_node(field, Cell::default());
                    }
                }
            }
        }
        self.wrong.fells |= object.falls_to(super::objects::Standing::of(self));
        let after = self.slots[usize::from(key)];
        for lease in (1..=LEASES as u8).filter(|lease| *lease != me) {
            let (had, has) = (before.has_stake(lease), after.has_stake(lease));
            self.wrong.robs |= self.is_registrator(lease) && had && !has;
            let given = after.has_node(lease) && !before.has_node(lease);
            self.wrong.imposes |= given && !had;
        }
    }

    fn refusal(&self, key: u8, txn: &Txn, asked: u8) -> Part {
        let fields = txn.fields().into_iter();
        Part::Refused {
            slot: self.slots[usize::from(key)],
            fields: fields
                .map(|field| (field, self.slots[usize::from(field)].node))
                .collect(),
            asked,
            lit: self.lit & asked,
        }
    }
    /// Ends a lease: all that is attached to it goes in one revision.
    pub fn end_lease(&mut self, lease: u8) {
        let rev = self.tick();
        self.alive &= !bit(lease);
        for key in 0..self.slots.len() {
            for claimant in 1..=LEASES as u8 {
                if self.slots[key].claim(claimant).lease == lease {
                    self.put_claim(key as u8, claimant, Cell::default());
                }
            }
            if self.slots[key].node.exists() && self.slots[key].node.lease == lease {
                self.put_node(key as u8, Cell::default());
            }
        }
        for identity in 0..self.identities.len() {
            if self.identities[identity].lease == lease {
                self.identities[identity] = Identity::default();
                let (identity, lease) = (identity as u8, 0);
                let event = Event::Identity {
                    identity,
                    lease,
                    rev,
                };
                self.emit(event);
            }
        }
    }

    /// A beacon goes out.
    pub fn put_out(&mut self, lease: u8) {
        let (rev, lit) = (self.tick(), false);
        self.lit &= !bit(lease);
        self.emit(Event::Beacon { lease, lit, rev });
    }

    /// Grants a lease.
    pub fn grant(&mut self) -> u8 {
        self.granted += 1;
        assert!(
            usize::from(self.granted) <= LEASES,
            "the model has too few leases"
        );
        self.alive |= bit(self.granted);
        self.granted
    }

    /// Writes an identity, and lights the beacon unless the process ends with this. Returns the revision.
    pub fn claim_identity(&mut self, number: u8, identity: Identity) -> u8 {
        let rev = self.tick();
        let lease = identity.lease;
        if !identity.released {
            self.lit |= bit(lease);
            let lit = true;
            self.emit(Event::Beacon { lease, lit, rev });
        }
        self.identities[usize::from(number)] = Identity { rev, ..identity };
        let identity = number;
        let event = Event::Identity {
            identity,
            lease,
            rev,
        };
        self.emit(event);
        rev
    }

    /// Somebody deletes an identity by hand.
    pub fn edit_identity(&mut self, number: u8) {
        let (rev, identity, lease) = (self.tick(), number, 0);
        self.identities[usize::from(number)] = Identity::default();
        let event = Event::Identity {
            identity,
            lease,
            rev,
        };
        self.emit(event);
    }

    /// Deletes an identity and its beacon.
    pub fn give_up_identity(&mut self, number: u8) {
        let (rev, identity) = (self.tick(), number);
        let lease = std::mem::take(&mut self.identities[usize::from(number)]).lease;
        self.lit &= !bit(lease);
        let lit = false;
        self.emit(Event::Beacon { lease, lit, rev });
        let lease = 0;
        let event = Event::Identity {
            identity,
            lease,
            rev,
        };
        self.emit(event);
    }

    /// Somebody writes a node by hand; a `cell` without value deletes it.
    pub fn edit(&mut self, key: u8, cell: Cell) {
        let rev = self.tick();
        let cell = if cell.exists() {
            Cell { rev, ..cell }
        } else {
            Cell::default()
        };
        self.put_node(key, cell);
    }

    /// Somebody writes a claim by hand, or deletes it.
    pub fn edit_claim(&mut self, key: u8, lease: u8, value: u8) {
        let rev = self.tick();
        let cell = match value {
            0 => Cell::default(),
            value => Cell {
                value,
                lease: 0,
                rev,
            },
        };
        self.put_claim(key, lease, cell);
    }
}
