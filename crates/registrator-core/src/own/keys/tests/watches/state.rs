//! A state of the whole world, small and comparable: etcd, what travels, and the processes.
//!
//! Revisions are renumbered in order after each step, so that states which differ only in how often etcd was written are one. A
//! revision that can decide nothing any more is 0.

/// Leases that a world can have in all; they are numbered from 1, and 0 is none.
pub const LEASES: usize = 5;
/// Keys that a world can have.
pub const KEYS: usize = 3;
/// The streams of events, without order between them: of nodes, claims, identities, beacons.
pub const STREAMS: usize = 4;
/// The stream of the nodes.
pub const NODES: usize = 0;
/// The stream of the claims.
pub const CLAIMS: usize = 1;
/// The stream of the identities.
pub const IDENTITIES: usize = 2;
/// The stream of the beacons.
pub const BEACONS: usize = 3;

/// A wish for nothing, while the node that was wished is not to be deleted yet.
pub const HELD_BACK: u8 = 200;

/// Whether a wish, which is a value or 0, is for anything.
pub fn asks(wish: u8) -> bool {
    wish != 0 && wish != HELD_BACK
}

/// What etcd holds for one name, or nothing: then the value is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    pub value: u8,
    pub lease: u8,
    pub rev: u8,
}

impl Cell {
    pub fn exists(self) -> bool {
        self.value != 0
    }
}

/// A key and the claims on it: the `View` of `registrator-core`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub node: Cell,
    /// By lease, the first at 0.
    pub claims: [Cell; LEASES],
}

impl Slot {
    pub fn claim(&self, lease: u8) -> Cell {
        self.claims[usize::from(lease) - 1]
    }

    pub fn claim_mut(&mut self, lease: u8) -> &mut Cell {
        &mut self.claims[usize::from(lease) - 1]
    }

    pub fn is_claimed(&self) -> bool {
        self.claims.iter().any(|claim| claim.exists())
    }

    pub fn has_node(&self, lease: u8) -> bool {
        self.node.exists() && self.node.lease == lease
    }

    /// Whether anything is attached to `lease`.
    pub fn has_any_stake(&self, lease: u8) -> bool {
        self.has_node(lease) || self.claims.iter().any(|claim| claim.lease == lease)
    }

    /// Whether `lease` has the node, or a claim that is its own.
    pub fn has_stake(&self, lease: u8) -> bool {
        let claim = self.claim(lease);
        self.has_node(lease) || (claim.exists() && claim.lease == lease)
    }
}

/// `Guard` of `registrator-core`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compare {
    Absent,
    HeldBy(u8),
    Unchanged(u8),
    NoClaims,
    ClaimUnchanged(u8, u8),
    /// After and before these leases, 0 for none; the value, 0 for no claim.
    ClaimsAre(u8, u8, u8),
    FieldAbsent(u8),
    FieldHeldBy(u8, u8),
    FieldUnchanged(u8, u8),
    Lit(u8),
    Out(u8),
}

/// `Op` of `registrator-core`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    Put(u8, u8),
    Delete,
    PutClaim(u8, u8),
    DeleteClaim(u8),
    PutField(u8, u8, u8),
    DeleteField(u8),
}

/// `KeyTxn` of `registrator-core`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub changes: Vec<Change>,
}

impl Txn {
    /// The fields that it compares or writes.
    pub fn fields(&self) -> std::collections::BTreeSet<u8> {
        let compared = self.compares.iter().filter_map(|compare| match compare {
            Compare::FieldAbsent(key)
            | Compare::FieldHeldBy(key, _)
            | Compare::FieldUnchanged(key, _) => Some(*key),
            _ => None,
        });
        let written = self.changes.iter().filter_map(|change| match change {
            Change::PutField(key, ..) | Change::DeleteField(key) => Some(*key),
            _ => None,
        });
        compared.chain(written).collect()
    }
}

/// What a watch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    Node {
        key: u8,
        cell: Cell,
        rev: u8,
    },
    Claim {
        key: u8,
        lease: u8,
        cell: Cell,
        rev: u8,
    },
    Identity {
        identity: u8,
        lease: u8,
        rev: u8,
    },
    Beacon {
        lease: u8,
        lit: bool,
        rev: u8,
    },
}

impl Event {
    /// The stream in which it comes.
    pub fn stream(self) -> usize {
        match self {
            Event::Node { .. } => NODES,
            Event::Claim { .. } => CLAIMS,
            Event::Identity { .. } => IDENTITIES,
            Event::Beacon { .. } => BEACONS,
        }
    }

    /// The key that it is about, if it is about one.
    pub fn key(self) -> Option<usize> {
        match self {
            Event::Node { key, .. } | Event::Claim { key, .. } => Some(usize::from(key)),
            Event::Identity { .. } | Event::Beacon { .. } => None,
        }
    }
}

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// On its way to etcd.
    Sent,
    /// The same, but nobody waits for the answer.
    Abandoned,
    /// The answer is on its way.
    Answered(Answer),
}

/// `Outcome` of `registrator-core`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// What came of each transaction, and when.
    Done(Vec<Part>, u8),
    /// The fence did not hold, or the own lease is gone: the session is over.
    Over,
}

/// `KeyResult` of `registrator-core`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Applied,
    /// What is there, the beacons that were compared, and those of them that are lit.
    Refused {
        slot: Slot,
        fields: Vec<(u8, Cell)>,
        asked: u8,
        lit: u8,
    },
}

/// `Commit` of `registrator-core`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// What it does with which keys.
    pub txns: Vec<(u8, Txn)>,
    /// The fence: the lease whose beacon must be lit, and the revision of the identity.
    pub lease: u8,
    pub fence: u8,
    /// Its number for the process that waits for the answer.
    pub flight: u8,
    pub progress: Progress,
}

impl Request {
    pub fn touches(&self, key: usize) -> bool {
        self.txns.iter().any(|(of, _)| usize::from(*of) == key)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Life {
    /// It can be started.
    #[default]
    Unborn,
    Alive,
    /// It gave up its identity and is about to revoke its lease.
    Revoking,
    Ended,
}

/// What a process has in mind: the `Keys` of `registrator-core`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Mind {
    /// Which one, but for its revisions. 0 is the one that knows nothing.
    pub number: u32,
    /// Its revisions, in the order of their places.
    pub revs: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Process {
    pub identity: u8,
    pub life: Life,
    /// Whether it has a session: its fence is the newest that it knows, and its watches are open.
    pub session: bool,
    /// It takes its predecessor for dead, whatever that does.
    pub forced: bool,
    /// It had its identity.
    pub ever_held: bool,
    /// It ends when its keys are released.
    pub leaving: bool,
    pub lease: u8,
    pub fence: u8,
    /// The leases of the identities, as it was told.
    pub identities: [u8; 3],
    /// How many events of each stream it has not seen.
    pub behind: [u8; STREAMS],
    /// The keys whose events it is told of.
    pub watched: [bool; KEYS],
    pub wishes: [u8; KEYS],
    /// Its wish has been in etcd ever since, but for what hands did: for the invariants only.
    pub staked: [bool; KEYS],
    /// Its `Keys`.
    pub mind: Mind,
    pub requests: Vec<Request>,
}

/// An identity key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// 0: there is none.
    pub lease: u8,
    /// The process that wrote it.
    pub owner: u8,
    pub released: bool,
    pub rev: u8,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub rev: u8,
    pub slots: [Slot; KEYS],
    pub identities: [Identity; 3],
    /// A bit for each lease.
    pub alive: u8,
    pub lit: u8,
    pub granted: u8,
    /// The leases of processes that have released everything, as they believe.
    pub left: u8,
    /// What was not seen by all: newest last.
    pub streams: [Vec<Event>; STREAMS],
    pub processes: Vec<Process>,
    /// An absence of the key breaks no promise now.
    pub excused: [bool; KEYS],
    /// What the last request did that none may do.
    pub wrong: Wrong,
    /// What the environment may still do: in all, and of each kind.
    pub budget: Budget,
}

/// What is wrong about a request that etcd has performed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Wrong {
    /// It wrote over what no registrator ever had.
    pub trespasses: bool,
    /// It took away what another registrator asks for, node and claim.
    pub robs: bool,
    /// It gave a key to a registrator that does not ask for it.
    pub imposes: bool,
    /// It was one of a session that is over.
    pub stale: bool,
    /// It took away the fields of an object that counts before and after.
    pub fells: bool,
}

/// How often the environment may do something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub total: u8,
    pub wish: u8,
    pub crash: u8,
    /// A second process of an identity starts, after the first.
    pub start: u8,
    /// It starts although the first lives.
    pub double: u8,
    pub lose_lease: u8,
    pub lose_beacon: u8,
    /// The watches are lost, and with them the session.
    pub lose_watch: u8,
    /// The answer to a request never comes.
    pub unknown: u8,
    /// An event is told twice.
    pub replay: u8,
    pub leave: u8,
    pub keep: u8,
    /// A node is deleted, overwritten, or changed under its lease by hand.
    pub edit: u8,
    /// A claim is deleted or overwritten by hand.
    pub edit_claim: u8,
    /// An identity is deleted by hand.
    pub edit_identity: u8,
    /// etcd refuses a request as a whole.
    pub reject: u8,
    /// Everything under a process's lease is read again.
    pub read: u8,
}

impl Budget {
    pub const NONE: Budget = Budget {
        total: 0,
        wish: 0,
        crash: 0,
        start: 0,
        double: 0,
        lose_lease: 0,
        lose_beacon: 0,
        lose_watch: 0,
        unknown: 0,
        replay: 0,
        leave: 0,
        keep: 0,
        edit: 0,
        edit_claim: 0,
        edit_identity: 0,
        reject: 0,
        read: 0,
    };
}

/// The bit of a lease in a set of leases.
pub fn bit(lease: u8) -> u8 {
    match lease {
        0 => 0,
        lease => 1 << (lease - 1),
    }
}

impl State {
    pub fn is_alive(&self, lease: u8) -> bool {
        self.alive & bit(lease) != 0
    }

    pub fn is_lit(&self, lease: u8) -> bool {
        self.lit & bit(lease) != 0
    }

    /// What `process` has not seen of `stream`, oldest first.
    pub fn unseen(&self, process: &Process, stream: usize) -> &[Event] {
        let events = &self.streams[stream];
        &events[events.len() - usize::from(process.behind[stream])..]
    }

    /// Whether an identity names `lease`.
    pub fn is_registrator(&self, lease: u8) -> bool {
        lease != 0
            && self
                .identities
                .iter()
                .any(|identity| identity.lease == lease)
    }
}
