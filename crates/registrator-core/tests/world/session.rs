//! Sessions in the simulated etcd: identity, lease, beacon, and the complete reading.

use super::{BEACON_TTL, TTL, World, etcd};
use etcd_mem::store::{Delete, KeyRange, Op, Put, Range, Txn, WatchRequest};
use registrator_core::host::HostId;
use registrator_core::node::Key;
use registrator_core::own::session::{Seen, Session, SessionEvent};
use registrator_core::own::{LeaseId, View, Who};
use registrator_core::reconciler::Event;
use std::collections::BTreeMap;

impl World {
    /// Begins a session: adopts the lease that the identity names, or takes a new one, lights the beacon, and reads everything
    /// that is under the lease.
    pub(super) fn connect(&mut self, name: &str) {
        if !self.reaches(name) {
            return;
        }
        let identity = self.host(name).identity();
        let found = self
            .store
            .range(&Range::new(KeyRange::key(identity.as_str())))
            .unwrap()
            .kvs;
        let lease = match found.first() {
            Some(kv) => kv.lease,
            None => self.store.grant(self.now, 0, TTL).unwrap().id,
        };
        // So that the beacon never outlives the lease.
        let _ = self.store.keep_alive(self.now, lease);
        let beacon = self.store.grant(self.now, 0, BEACON_TTL).unwrap().id;
        let put = |key: String, lease| {
            Op::Put(Put {
                lease,
                ..Put::new(key, "x")
            })
        };
        let claim = Txn {
            success: vec![
                put(etcd::beacon(LeaseId(lease)), beacon),
                put(identity, lease),
            ],
            ..Txn::default()
        };
        let fence = self.store.txn(&claim).unwrap().revision;
        let session = self.session(name, LeaseId(lease));
        let watch = self
            .store
            .watch(WatchRequest {
                keys: KeyRange::all(),
                start: fence + 1,
                ..WatchRequest::default()
            })
            .unwrap();
        let host = self.host(name);
        host.broken = false;
        (host.answers, host.lagged) = (Vec::new(), Vec::new());
        (host.lease, host.beacon) = (Some(LeaseId(lease)), Some(beacon));
        (host.fence, host.watch) = (fence, Some(watch));
        host.watched.clear();
        host.watch_from(fence, session.views.keys().cloned());
        host.known = session.who.registrators.clone();
        self.handle(name, Event::Session(SessionEvent::Established(session)));
    }

    fn session(&mut self, name: &str, lease: LeaseId) -> Session {
        let views = self.attached(lease);
        let who = Who {
            me: lease,
            registrators: self.registrators(),
            beacons: etcd::beacons(&self.store),
        };
        let host = self.host(name);
        host.sessions += 1;
        Session {
            number: host.sessions,
            who,
            views,
        }
    }

    /// Reads everything that is under the host's lease, or is watched, again.
    pub fn read_again(&mut self, name: &str) {
        let Some(lease) = self.host(name).lease else {
            return;
        };
        let (mut views, revision) = (self.attached(lease), self.store.revision());
        self.host(name).watch_from(revision, views.keys().cloned());
        for key in self.hosts[name].watched.keys() {
            let read = || etcd::read(&self.store, key);
            views.entry(key.clone()).or_insert_with(read);
        }
        let seen = Seen::Read { views, revision };
        self.handle(name, Event::Session(SessionEvent::Seen(seen)));
    }

    fn attached(&mut self, lease: LeaseId) -> BTreeMap<Key, View> {
        let state = self.store.time_to_live(self.now, lease.0);
        let keys = state.map(|state| state.keys).unwrap_or_default();
        let names = keys
            .iter()
            .map(|key| String::from_utf8(key.clone()).unwrap());
        let own = names.filter(|name| !name.starts_with(etcd::NODES));
        let own = own.map(|name| {
            etcd::parse_claim(&name)
                .map_or_else(|| etcd::parse_node(&name).unwrap(), |(key, _)| key)
        });
        own.map(|key| (key.clone(), etcd::read(&self.store, &key)))
            .collect()
    }

    fn registrators(&self) -> BTreeMap<LeaseId, HostId> {
        let identities = self
            .store
            .range(&Range::new(KeyRange::prefix(etcd::NODES)))
            .unwrap()
            .kvs;
        let named = identities.iter().map(|kv| {
            let key = String::from_utf8(kv.key.clone()).unwrap();
            let name = key.strip_prefix(etcd::NODES).unwrap();
            (LeaseId(kv.lease), name.into())
        });
        named.collect()
    }

    /// Which registrators came or went since the host was last told.
    pub(super) fn comings_and_goings(&mut self, name: &str) -> Vec<Seen> {
        let now = self.registrators();
        let known = std::mem::replace(&mut self.host(name).known, now.clone());
        let gone = known.keys().filter(|lease| !now.contains_key(lease));
        let gone = gone.map(|lease| (*lease, None));
        let new = now
            .iter()
            .filter(|(lease, _)| !known.contains_key(lease))
            .map(|(lease, name)| (*lease, Some(name.clone())));
        gone.chain(new)
            .map(|(lease, name)| Seen::Registrator { lease, name })
            .collect()
    }

    /// Gives up the identity, and then the leases, unless a node was handed over at the last moment.
    pub(super) fn leave(&mut self, name: &str, leases: [Option<i64>; 2]) {
        let identity = self.host(name).identity();
        let [nodes, _] = leases;
        let keys = [identity].into_iter();
        let keys = keys.chain(nodes.map(|lease| etcd::beacon(LeaseId(lease))));
        let gone = keys.map(|key| Op::Delete(Delete::new(KeyRange::key(key))));
        let give_up = Txn {
            success: gone.collect(),
            ..Txn::default()
        };
        self.store.txn(&give_up).unwrap();
        let attached = |lease: i64| self.attached(LeaseId(lease));
        let handed = nodes.map(attached).into_iter().flatten();
        let handed = handed.filter(|(_, view)| view.holder().map(|lease| lease.0) == nodes);
        let [nodes, beacon] = leases;
        let nodes = nodes.filter(|_| handed.count() == 0);
        for lease in [nodes, beacon].into_iter().flatten() {
            let _ = self.store.revoke(lease);
        }
    }
}
