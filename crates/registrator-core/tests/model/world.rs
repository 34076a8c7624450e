//! The whole world as one value: etcd, the processes of all hosts with what they believe, and the requests on their way.

use super::etcd::{Etcd, Request};
use registrator_core::host::HostId;
use registrator_core::node::Value;
use registrator_core::own::{Guard, KeyTxn, LeaseId, View, Who};
use std::collections::{BTreeMap, BTreeSet};

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub etcd: Etcd,
    pub hosts: Vec<Host>,
    /// Requests whose senders do not wait for an answer any more: they happen later, or never.
    pub strays: Vec<Request>,
    /// How many disturbances of each kind are still to come.
    pub budget: BTreeMap<&'static str, u8>,
}

/// One host: its containers' wishes, and the processes that have its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    pub wishes: Vec<Option<Value>>,
    pub processes: Vec<Process>,
    pub instances: u8,
    pub leases: u8,
}

/// One registrator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    pub instance: u8,
    pub ever_held: bool,
    /// It was asked to release everything and end.
    pub leaving: bool,
    /// The lease that it keeps alive.
    pub lease: Option<LeaseId>,
    pub session: Option<Session>,
    pub keys: Vec<Tracked>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    pub fence: i64,
    pub who: Who,
    /// Registrators or beacons changed, and the process was not told yet.
    pub behind: bool,
}

/// What a process believes of one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tracked {
    pub view: View,
    pub managed: bool,
    pub flight: Option<KeyTxn>,
    /// The node changed, and the process was not told yet.
    pub behind_node: bool,
    pub behind_claims: bool,
}

impl World {
    /// Hosts with a process each that has no session yet, in an empty etcd.
    pub fn new(wishes: &[&[Option<u8>]], budget: &[(&'static str, u8)]) -> World {
        let keys = wishes.first().map_or(0, |wishes| wishes.len());
        let hosts = wishes.iter().map(|wishes| {
            let mut host = Host {
                wishes: wishes.iter().map(|wish| wish.map(value)).collect(),
                processes: Vec::new(),
                instances: 0,
                leases: 0,
            };
            host.start();
            host
        });
        World {
            etcd: Etcd {
                keys: vec![View::default(); keys],
                identities: vec![None; wishes.len()],
                ..Etcd::default()
            },
            hosts: hosts.collect(),
            strays: Vec::new(),
            budget: budget.iter().copied().collect(),
        }
    }

    /// Makes everybody aware that something may be news, after `change` happened to etcd.
    pub fn changing<T>(&mut self, change: impl FnOnce(&mut Etcd) -> T) -> T {
        let before = self.etcd.clone();
        let result = change(&mut self.etcd);
        let after = &self.etcd;
        let who = before.registrators() != after.registrators() || before.lit != after.lit;
        for host in &mut self.hosts {
            for process in &mut host.processes {
                let Some(session) = &mut process.session else {
                    continue;
                };
                session.behind |= who;
                for (key, tracked) in process.keys.iter_mut().enumerate() {
                    let (before, after) = (&before.keys[key], &after.keys[key]);
                    // What does not concern a process it does not remember.
                    let concerned = host.wishes[key].is_some()
                        || tracked.flight.is_some()
                        || tracked.view != View::default()
                        || after.concerns(session.who.me);
                    tracked.behind_node |= concerned && before.node != after.node;
                    tracked.behind_claims |= concerned && before.claims != after.claims;
                }
            }
        }
        result
    }

    /// Gives the revisions that are still referred to the numbers 1, 2, 3 …: only their order and equality mean anything.
    pub fn renumber(&mut self) {
        let mut used = BTreeSet::new();
        self.each_revision(&mut |revision| {
            used.insert(*revision);
        });
        let numbers: BTreeMap<i64, i64> = used.into_iter().zip(1..).collect();
        self.each_revision(&mut |revision| *revision = numbers[revision]);
        self.etcd.revision = numbers.len() as i64;
    }

    fn each_revision(&mut self, act: &mut impl FnMut(&mut i64)) {
        let in_view = |view: &mut View, act: &mut dyn FnMut(&mut i64)| {
            view.node
                .iter_mut()
                .for_each(|held| act(&mut held.mod_revision));
            let claims = view.claims.values_mut();
            claims.for_each(|claim| act(&mut claim.mod_revision));
        };
        let in_txn = |txn: &mut KeyTxn, act: &mut dyn FnMut(&mut i64)| {
            for guard in &mut txn.guards {
                match guard {
                    Guard::Unchanged(revision) | Guard::ClaimUnchanged(_, revision) => {
                        act(revision)
                    }
                    Guard::Absent
                    | Guard::HeldBy(_)
                    | Guard::NoClaims
                    | Guard::Lit(_)
                    | Guard::Out(_) => {}
                }
            }
        };
        self.etcd
            .keys
            .iter_mut()
            .for_each(|view| in_view(view, act));
        for identity in self.etcd.identities.iter_mut().flatten() {
            act(&mut identity.revision);
        }
        for process in self.hosts.iter_mut().flat_map(|host| &mut host.processes) {
            for tracked in &mut process.keys {
                in_view(&mut tracked.view, act);
                tracked.flight.iter_mut().for_each(|txn| in_txn(txn, act));
            }
            if let Some(session) = &mut process.session {
                act(&mut session.fence);
            }
        }
        for request in &mut self.strays {
            act(&mut request.fence);
            in_txn(&mut request.txn, act);
        }
    }

    /// The processes, by host and place.
    pub fn processes(&self) -> impl Iterator<Item = (usize, usize, &Process)> {
        let hosts = self.hosts.iter().enumerate();
        hosts.flat_map(|(host, at)| {
            let processes = at.processes.iter().enumerate();
            processes.map(move |(place, process)| (host, place, process))
        })
    }

    /// Whether some process keeps the lease alive.
    pub fn kept_alive(&self, lease: LeaseId) -> bool {
        self.processes()
            .any(|(_, _, process)| process.lease == Some(lease))
    }

    /// What a process wishes for a key.
    pub fn wish(&self, host: usize, place: usize, key: usize) -> Option<&Value> {
        let at = &self.hosts[host];
        let leaving = at.processes[place].leaving;
        at.wishes[key].as_ref().filter(|_| !leaving)
    }

    /// The requests of a process that ends or loses its session are on their own.
    pub fn abandon(&mut self, host: usize, place: usize) {
        let process = &mut self.hosts[host].processes[place];
        let Some(session) = process.session.take() else {
            return;
        };
        for (key, tracked) in process.keys.iter_mut().enumerate() {
            if let Some(txn) = tracked.flight.take() {
                self.strays.push(Request {
                    host,
                    me: session.who.me,
                    fence: session.fence,
                    key,
                    txn,
                });
            }
        }
    }

    /// Spends one disturbance of a kind; tells whether there was one left.
    pub fn spend(&mut self, kind: &'static str) -> bool {
        match self.budget.get_mut(kind) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Host {
    /// A new process, which has no session yet.
    pub fn start(&mut self) {
        self.instances += 1;
        self.processes.push(Process {
            instance: self.instances,
            ever_held: false,
            leaving: false,
            lease: None,
            session: None,
            keys: vec![Tracked::default(); self.wishes.len()],
        });
    }
}

/// The who of a reading of etcd.
pub fn who(etcd: &Etcd, me: LeaseId) -> Who {
    let registrators = etcd.registrators();
    let nameless = |lease: LeaseId| (lease, HostId::from(""));
    Who {
        me,
        registrators: registrators.into_iter().map(nameless).collect(),
        beacons: etcd.lit.clone(),
    }
}

/// The value with this number.
pub fn value(number: u8) -> Value {
    Value::parse(&number.to_string()).unwrap()
}
