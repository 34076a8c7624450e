//! Requests to etcd that are under way.

use crate::own::{Held, KeyTxn, LeaseId, Revision};
use std::collections::BTreeMap;

/// Commits under way at once; more bring no speed.
const MAX_FLIGHTS: usize = 4;

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flight {
    /// Its transactions, each with what the node was before.
    pub(super) txns: Vec<(KeyTxn, Option<Held>)>,
    /// When the watch told of a beacon since it was sent: the answer may be older than that, and nothing would tell it again.
    pub(super) beacons: BTreeMap<LeaseId, Revision>,
}

impl Flight {
    /// Whether the answer of this revision is news of a beacon.
    pub(super) fn knows_better(&self, lease: LeaseId, revision: Revision) -> bool {
        self.beacons
            .get(&lease)
            .is_none_or(|told| revision >= *told)
    }
}

/// All requests under way, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flights {
    pub(super) under_way: BTreeMap<u64, Flight>,
    pub(super) last_id: u64,
}

impl Flights {
    pub(super) fn are_over(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Whether another one has to wait.
    pub(super) fn are_enough(&self) -> bool {
        self.under_way.len() >= MAX_FLIGHTS
    }

    /// Sends one off; gives its number.
    pub(super) fn depart(&mut self, txns: Vec<(KeyTxn, Option<Held>)>) -> u64 {
        self.last_id += 1;
        let flight = Flight {
            txns,
            ..Flight::default()
        };
        self.under_way.insert(self.last_id, flight);
        self.last_id
    }

    /// One was answered.
    pub(super) fn arrive(&mut self, id: u64) -> Option<Flight> {
        self.under_way.remove(&id)
    }

    /// The watch told of a beacon.
    pub(super) fn note_beacon(&mut self, lease: LeaseId, revision: Revision) {
        for flight in self.under_way.values_mut() {
            flight.beacons.insert(lease, revision);
        }
    }

    /// Nobody waits for the answers any more.
    pub(super) fn give_up(&mut self) {
        self.under_way.clear();
    }
}
