//! What passes between the core and etcd: the session, what is seen there, what is to be written, and what came of it.
//!
//! A *session* is the time in which this process holds its lease and its identity and sees every change of the keys that it
//! cares about. It begins with a complete reading, so nothing has to be remembered across its end.
//!
//! etcd's side watches a key from what it told of it on, be that a reading or the answer to a commit, until it hears that the key is
//! [forgotten](Forgotten). So the core need not say what to watch: nothing is decided of a key before it was told of.

use crate::host::HostId;
use crate::node::Key;
use crate::own::{Held, KeyTxn, LeaseId, Revision, View, Who};
use std::collections::{BTreeMap, BTreeSet};

/// The beginning of a session: everything that this process has in etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Grows with each session of the process. Answers that name an older one are void.
    pub number: u64,
    /// This process, under whose lease all nodes are written, and the registrators that share keys with it.
    pub who: Who,
    /// Every key attached to the lease, as a node or as a claim, with what etcd holds for it.
    pub views: BTreeMap<Key, View>,
}

/// What etcd's side reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// A session began. It replaces the one before.
    Established(Session),
    /// The session is interrupted: nothing may be written until the next [`SessionEvent::Established`].
    Suspended,
    /// Something changed in etcd.
    Seen(Seen),
    /// A [`Commit`] was answered.
    Committed {
        /// Which one.
        id: u64,
        /// What came of it.
        outcome: Outcome,
    },
}

/// One change in etcd, by anybody, this process included. Changes of one node, and of the claims on one key, come in the order of their
/// revisions; one may come twice. There is no order between nodes, claims, registrators, beacons and the answers to commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A node.
    Node {
        /// Its key.
        key: Key,
        /// What it is now; `None` if it is gone.
        node: Option<Held>,
        /// When.
        revision: Revision,
    },
    /// A claim.
    Claim {
        /// The key that is claimed.
        key: Key,
        /// The lease in the claim's name.
        lease: LeaseId,
        /// What it is now; `None` if it is gone.
        claim: Option<Held>,
        /// When.
        revision: Revision,
    },
    /// Some keys were read again, in case an event was lost or because it was.
    Read {
        /// What etcd holds for each of these keys.
        views: BTreeMap<Key, View>,
        /// When.
        revision: Revision,
    },
    /// A registrator came or went.
    Registrator {
        /// Its lease.
        lease: LeaseId,
        /// Its name; `None` if it is gone.
        name: Option<HostId>,
    },
    /// The beacon of a lease was lit, or went out.
    Beacon {
        /// The lease.
        lease: LeaseId,
        /// Whether it is lit.
        lit: bool,
        /// When.
        revision: Revision,
    },
}

impl Seen {
    /// The key that it is about, if it is about one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Seen::Node { key, .. } | Seen::Claim { key, .. } => Some(key),
            Seen::Read { .. } | Seen::Registrator { .. } | Seen::Beacon { .. } => None,
        }
    }
}

/// Changes that travel in one request. Each of its transactions succeeds or fails on its own, and all of them in one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Names it in [`SessionEvent::Committed`].
    pub id: u64,
    /// The session for which it was decided.
    pub session: u64,
    /// At most [`MAX_TXNS`], which write different keys.
    pub txns: Vec<KeyTxn>,
}

/// Keys that are of no interest any more. No change of them is reported until they are told of again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// The session in which they were forgotten.
    pub session: u64,
    /// The keys.
    pub keys: BTreeSet<Key>,
}

/// Keys that this process does not know though it ought to: they are read, told of in a [`Seen::Read`], and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The session in which they are wanted.
    pub session: u64,
    /// The keys.
    pub keys: BTreeSet<Key>,
}

/// The most transactions in one [`Commit`]. etcd refuses more than 128 operations a request, and the fence and the nesting cost some.
pub const MAX_TXNS: usize = 100;

/// What came of a [`Commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// etcd answered.
    Done {
        /// The revision of all the changes.
        revision: Revision,
        /// One for each transaction, in order.
        results: Vec<KeyResult>,
    },
    /// etcd refused the request as a whole, and would again. Nothing changed.
    Rejected(Rejection),
    /// Nothing is known, or the session is over: the next session's complete reading tells.
    Void,
}

/// Why etcd refused a [`Commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, for people.
    pub message: String,
    /// Whether it was for want of a right.
    pub forbidden: bool,
}

/// What came of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyResult {
    /// Its guards held, and all its operations happened.
    Applied,
    /// A guard failed, and nothing happened.
    Refused {
        /// What etcd holds instead.
        view: View,
        /// What it holds for each of the [`fields`](KeyTxn::fields).
        fields: BTreeMap<Key, Option<Held>>,
        /// Whether the beacons that the guards name are lit.
        beacons: BTreeMap<LeaseId, bool>,
    },
}
