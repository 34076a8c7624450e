//! A world for the reconciler: any number of hosts, one etcd, and time that moves only when a test says so.
//!
//! Containers carry in their document what the only policy answers: `nodes`, an object of keys and values, or `error`. The value
//! `@ip` is the container's address.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "test code, shared by several test programs"
)]

pub mod etcd;
mod policy;
pub mod reasons;
pub mod record;
mod session;

use etcd_mem::store::{KeyRange, Range, Store, Watch};
use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind};
use registrator_core::evaluate::fence::Fence;
use registrator_core::host::HostId;
use registrator_core::node::Key;
use registrator_core::observe::container::{Container, ContainerId};
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::{PolicyName, PolicySpec, Schema};
use registrator_core::observe::watch;
use registrator_core::own::session::{Outcome, Seen, SessionEvent};
use registrator_core::own::{KeyTxn, LeaseId};
use registrator_core::reconciler::{Command, Event, OnExit, Reconciler, Settings};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The time to live of the leases of nodes, in seconds.
pub const TTL: i64 = 30;

/// Waits that are no longer than this are over before a test looks.
const MOMENT: Duration = Duration::from_millis(100);

/// That of the leases of beacons.
pub const BEACON_TTL: i64 = 15;

pub struct Host {
    pub name: String,
    pub reconciler: Reconciler,
    pub notices: Vec<String>,
    pub lease: Option<LeaseId>,
    beacon: Option<i64>,
    pub stopped: Option<OnExit>,
    fence: i64,
    sessions: u64,
    watch: Option<Watch>,
    /// The keys whose changes it is told of, those after this revision.
    watched: BTreeMap<Key, i64>,
    known: BTreeMap<LeaseId, HostId>,
    /// Evaluations are answered only while this is off.
    pub slow: bool,
    /// Evaluations run out of time.
    pub overloaded: bool,
    /// The next commit is performed, but its answer is lost.
    pub deaf: bool,
    /// Commits are performed, but their answers stay under way while this is on.
    pub late: bool,
    /// What is told later than the rest.
    pub lag: Lag,
    /// What is told of nodes and claims gets lost.
    pub forgetful: bool,
    /// Nothing happens on it, as after SIGSTOP.
    pub frozen: bool,
    /// It does not reach etcd.
    cut: bool,
    answers: Vec<(u64, Outcome)>,
    lagged: Vec<Seen>,
    /// The session is over, and a new one is due.
    broken: bool,
    waiting: Vec<(registrator_core::evaluate::scheduler::Ticket, Container)>,
}

/// etcd has a stream for claims and registrators, and others for nodes: each may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    Nothing,
    Nodes,
    Others,
}

pub struct World {
    pub store: Store,
    pub hosts: BTreeMap<String, Host>,
    pub reachable: bool,
    pub commits: usize,
    pub others: record::Others,
    epoch: Instant,
    now: Duration,
}

/// A container whose document holds what the policy answers.
pub fn container(name: &str, running: bool, answer: Json) -> Container {
    let mut json = json!({"Id": container_id(name).as_str(), "Name": format!("/{name}")});
    for (member, value) in answer.as_object().unwrap() {
        json[member] = value.clone();
    }
    json["State"]["Running"] = running.into();
    Container::from_inspect(json).unwrap()
}

pub fn container_id(name: &str) -> ContainerId {
    ContainerId::new(&format!("{name:0<12}"))
}

pub fn spec(name: &str, fingerprint: u64) -> PolicySpec {
    PolicySpec {
        name: PolicyName::parse(name).unwrap(),
        fingerprint,
        schema: None,
        validates: false,
    }
}

/// A policy whose configurations are in etcd.
pub fn configured(name: &str) -> PolicySpec {
    let etcd_path = Some(EtcdPath::parse("/configs/:service").unwrap());
    PolicySpec {
        schema: Some(Schema {
            attributes: Vec::new(),
            etcd_path,
            ignores_unknown: false,
        }),
        ..spec(name, 1)
    }
}

impl Host {
    fn new(name: &str) -> Host {
        let fence = Fence {
            allowed: Vec::new(),
            reserved: "/registrator/".into(),
        };
        Host {
            name: name.into(),
            reconciler: Reconciler::new(Settings::with_fence(fence)),
            notices: Vec::new(),
            lease: None,
            beacon: None,
            stopped: None,
            fence: 0,
            sessions: 0,
            watch: None,
            watched: BTreeMap::new(),
            known: BTreeMap::new(),
            slow: false,
            overloaded: false,
            deaf: false,
            late: false,
            lag: Lag::Nothing,
            forgetful: false,
            frozen: false,
            cut: false,
            answers: Vec::new(),
            lagged: Vec::new(),
            broken: false,
            waiting: Vec::new(),
        }
    }

    /// Begins to watch these keys, if it does not do so yet.
    fn watch_from(&mut self, revision: i64, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.watched.entry(key).or_insert(revision);
        }
    }

    fn identity(&self) -> String {
        format!("{}{}", etcd::NODES, self.name)
    }
}

impl World {
    pub fn new() -> World {
        World {
            store: Store::default(),
            hosts: BTreeMap::new(),
            reachable: true,
            commits: 0,
            others: record::Others::default(),
            epoch: Instant::now(),
            now: Duration::ZERO,
        }
    }

    pub fn now(&self) -> Instant {
        self.epoch + self.now
    }

    /// Starts a registrator that knows its policy, has read all files and runs no container yet; `ready` tells it that Docker was listed.
    pub fn start(&mut self, name: &str, ready: bool) {
        let mut host = Host::new(name);
        let now = self.now();
        host.reconciler.handle(
            Event::Policies {
                loaded: vec![spec("p", 1)],
                failed: Vec::new(),
            },
            now,
        );
        host.reconciler
            .handle(Event::ConfigFile(watch::SourceEvent::Init), now);
        host.reconciler
            .handle(Event::ConfigFile(watch::SourceEvent::InitDone), now);
        self.hosts.insert(name.into(), host);
        if ready {
            self.handle(name, Event::Container(watch::SourceEvent::Init));
            self.handle(name, Event::Container(watch::SourceEvent::InitDone));
        }
        self.connect(name);
    }

    pub fn handle(&mut self, name: &str, event: Event) {
        let now = self.now();
        self.host(name).reconciler.handle(event, now);
    }

    pub fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.get_mut(name).unwrap()
    }

    pub fn delete(&mut self, name: &str, container: &str) {
        let id = container_id(container);
        self.handle(name, Event::Container(watch::SourceEvent::Delete(id)));
    }

    /// Lets everything happen that happens at once, or within a moment. Panics if it does not come to an end.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let names: Vec<String> = self.hosts.keys().cloned().collect();
            let busy: Vec<bool> = names.iter().map(|name| self.step(name)).collect();
            if !busy.contains(&true) && !self.wait_a_moment() {
                return;
            }
        }
        panic!("the registrators do not come to rest");
    }

    /// Goes on to the next time for which a host waits, if that is near.
    fn wait_a_moment(&mut self) -> bool {
        let waiting = self.hosts.values();
        let waiting = waiting.filter(|host| !host.frozen && host.stopped.is_none());
        let next = waiting.filter_map(|host| host.reconciler.next_timeout());
        let Some(next) = next.min().filter(|at| *at <= self.now() + MOMENT) else {
            return false;
        };
        self.now = self.now.max(next.saturating_duration_since(self.epoch));
        self.tell_the_time();
        true
    }

    /// Wakes the hosts whose waits are over.
    fn tell_the_time(&mut self) {
        let (now, names) = (self.now(), self.hosts.keys().cloned().collect::<Vec<_>>());
        for name in names {
            let due = self.hosts[&name].reconciler.next_timeout();
            if due.is_some_and(|at| at <= now) && !self.hosts[&name].frozen {
                self.handle(&name, Event::Timeout);
            }
        }
    }

    /// One thing that happens on one host: commands first, then what etcd tells. Tells whether anything happened.
    pub fn step(&mut self, name: &str) -> bool {
        let reaches = self.reaches(name);
        let host = self.host(name);
        if host.frozen {
            return false;
        }
        while let Some(notice) = host.reconciler.next_notice() {
            host.notices
                .push(format!("{:?} {notice}", notice.level()).to_lowercase_level());
        }
        if let Some(command) = host.reconciler.next_command() {
            self.perform(name, command);
            return true;
        }
        if host.broken && host.stopped.is_none() && reaches {
            self.connect(name);
            return true;
        }
        let host = self.host(name);
        if !host.slow && !host.waiting.is_empty() {
            let (ticket, container) = host.waiting.remove(0);
            let result = match host.overloaded {
                true => Err(EvalError {
                    kind: EvalErrorKind::Limit,
                    message: "took too long".into(),
                    at: None,
                }),
                false => policy::evaluate(&container),
            };
            self.handle(name, Event::Evaluated { ticket, result });
            return true;
        }
        if self.tell(name) {
            return true;
        }
        let host = self.host(name);
        if !host.late && !host.answers.is_empty() {
            let (id, outcome) = host.answers.remove(0);
            self.answer(name, id, outcome);
            return true;
        }
        false
    }

    fn answer(&mut self, name: &str, id: u64, outcome: Outcome) {
        self.host(name).broken |= outcome == Outcome::Void;
        self.handle(
            name,
            Event::Session(SessionEvent::Committed { id, outcome }),
        );
    }

    fn perform(&mut self, name: &str, command: Command) {
        match command {
            Command::Evaluate {
                ticket, container, ..
            } => self.host(name).waiting.push((ticket, container)),
            // No policy of this world validates.
            Command::Check { .. } => {}
            Command::Commit(commit) => {
                let host = &self.hosts[name];
                let (identity, fence) = (host.identity(), host.fence);
                let in_session = self.reaches(name) && commit.session == host.sessions;
                let outcome = match host.lease.filter(|_| in_session) {
                    Some(me) => etcd::commit(&mut self.store, me, (&identity, fence), &commit.txns),
                    None => Outcome::Void,
                };
                let host = self.host(name);
                if let Outcome::Done { revision, .. } = outcome {
                    let keys = commit.txns.iter().flat_map(KeyTxn::keys).cloned();
                    host.watch_from(revision, keys);
                }
                let outcome = if std::mem::take(&mut host.deaf) {
                    Outcome::Void
                } else {
                    outcome
                };
                self.commits += 1;
                match self.host(name).late {
                    true => self.host(name).answers.push((commit.id, outcome)),
                    false => self.answer(name, commit.id, outcome),
                }
            }
            Command::Stop(on_exit) => {
                let host = self.host(name);
                host.stopped = Some(on_exit);
                let leases = [host.lease.map(|lease| lease.0), host.beacon];
                if on_exit == OnExit::Release {
                    // Whatever still stands under the lease vanishes with it: the process must have handed it over.
                    self.leave(name, leases);
                }
            }
            Command::Forget(forgotten) => {
                let host = self.host(name);
                if forgotten.session == host.sessions {
                    host.watched.retain(|key, _| !forgotten.keys.contains(key));
                }
            }
            Command::Want(wanted) => {
                if self.reaches(name) && wanted.session == self.hosts[name].sessions {
                    let revision = self.store.revision();
                    let read = |key: &Key| (key.clone(), etcd::read(&self.store, key));
                    let views = wanted.keys.iter().map(read).collect();
                    self.host(name).watch_from(revision, wanted.keys);
                    let seen = Seen::Read { views, revision };
                    self.handle(name, Event::Session(SessionEvent::Seen(seen)));
                }
            }
            Command::FollowConfigs { .. } => {}
        }
    }

    /// Delivers what the host's watch has for it.
    fn tell(&mut self, name: &str) -> bool {
        if !self.reaches(name) || self.hosts[name].stopped.is_some() {
            return false;
        }
        let mut events = self.comings_and_goings(name);
        let host = self.hosts.get_mut(name).unwrap();
        let Some(watch) = &mut host.watch else {
            return false;
        };
        while let Some(batch) = self.store.poll(watch).unwrap() {
            let seen = batch.events.iter().filter_map(etcd::seen);
            let concerns = |seen: &Seen| match seen {
                Seen::Node { key, revision, .. } | Seen::Claim { key, revision, .. } => {
                    let from = host.watched.get(key);
                    !host.forgetful && from.is_some_and(|from| from < revision)
                }
                Seen::Read { .. } | Seen::Registrator { .. } | Seen::Beacon { .. } => true,
            };
            events.extend(seen.filter(concerns));
        }
        let lag = host.lag;
        let told = |seen: &Seen| match seen {
            Seen::Node { .. } => lag != Lag::Nodes,
            _ => lag != Lag::Others,
        };
        host.lagged.append(&mut events);
        let (events, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut host.lagged).into_iter().partition(told);
        host.lagged = rest;
        let busy = !events.is_empty();
        for seen in events {
            self.handle(name, Event::Session(SessionEvent::Seen(seen)));
        }
        busy
    }

    /// Lets time pass. Live registrators keep their leases alive while etcd can be reached; the others' expire.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            // No two leases end in one step that do not end at one time.
            self.now = end.min(self.now + Duration::from_secs(1));
            let live = self.hosts.values().filter(|host| {
                host.stopped.is_none() && !host.frozen && !host.cut && self.reachable
            });
            let live: Vec<i64> = live
                .flat_map(|host| [host.lease.map(|lease| lease.0), host.beacon])
                .flatten()
                .collect();
            for lease in live {
                let _ = self.store.keep_alive(self.now, lease);
            }
            self.by_leases(|world| {
                world.store.expire(world.now);
            });
            self.tell_the_time();
            self.settle();
        }
    }

    /// Does something to leases, and remembers the revisions that came of it.
    fn by_leases(&mut self, act: impl FnOnce(&mut World)) {
        let before = self.store.revision();
        act(self);
        self.others
            .leases
            .extend(before + 1..=self.store.revision());
    }

    /// Does something in etcd that no registrator does.
    pub fn by_hand(&mut self, act: impl FnOnce(&mut Store)) {
        let before = self.store.revision();
        act(&mut self.store);
        self.others
            .by_hand
            .extend(before + 1..=self.store.revision());
    }

    fn reaches(&self, name: &str) -> bool {
        self.reachable && self.hosts.get(name).is_some_and(|host| !host.cut)
    }

    /// Cuts one host off from etcd, or brings it back: then it begins a new session.
    pub fn cut(&mut self, name: &str, cut: bool) {
        if std::mem::replace(&mut self.host(name).cut, cut) == cut {
            return;
        }
        match cut {
            true => self.handle(name, Event::Session(SessionEvent::Suspended)),
            false => self.connect(name),
        }
    }

    /// Stops a host in its tracks, or lets it go on: it finds out what it missed.
    pub fn freeze(&mut self, name: &str, frozen: bool) {
        let host = self.host(name);
        host.frozen = frozen;
        let leases = [host.lease.map(|lease| lease.0), host.beacon];
        let ended = |lease: i64| self.store.time_to_live(self.now, lease).is_none();
        if !frozen && leases.into_iter().flatten().any(ended) {
            self.handle(name, Event::Session(SessionEvent::Suspended));
            self.connect(name);
        }
    }

    /// Cuts all hosts off from etcd, or brings it back: then each begins a new session.
    pub fn reach(&mut self, reachable: bool) {
        self.reachable = reachable;
        for name in self.hosts.keys().cloned().collect::<Vec<_>>() {
            match reachable {
                true => self.connect(&name),
                false => self.handle(&name, Event::Session(SessionEvent::Suspended)),
            }
        }
    }

    /// The lease of a host is gone, as after `etcdctl lease revoke`.
    pub fn revoke(&mut self, name: &str) {
        let lease = self.host(name).lease.unwrap();
        self.by_leases(|world| {
            let _ = world.store.revoke(lease.0);
        });
        self.handle(name, Event::Session(SessionEvent::Suspended));
        self.connect(name);
    }

    /// A host dies without a word.
    pub fn crash(&mut self, name: &str) {
        self.hosts.remove(name);
    }

    /// `key value owner=host`, and `claimed-by=host` for each claim, line by line.
    pub fn keys(&self) -> Vec<String> {
        let names: BTreeMap<i64, &str> = self
            .hosts
            .values()
            .filter_map(|host| Some((host.lease?.0, host.name.as_str())))
            .collect();
        let name = |lease: i64| {
            if lease == 0 {
                "nobody"
            } else {
                names.get(&lease).copied().unwrap_or("gone")
            }
        };
        let all = self.store.range(&Range::new(KeyRange::all())).unwrap().kvs;
        let mut lines = Vec::new();
        for kv in &all {
            let key = String::from_utf8_lossy(&kv.key);
            if key.starts_with("/registrator/") {
                continue;
            }
            let claims = etcd::read(&self.store, &Key::parse(&key).unwrap()).claims;
            let mut claims: Vec<String> = claims
                .iter()
                .map(|(lease, claim)| format!(" claimed-by={}:{}", name(lease.0), claim.value))
                .collect();
            claims.sort();
            lines.push(format!(
                "{key} {} owner={}{}",
                String::from_utf8_lossy(&kv.value),
                name(kv.lease),
                claims.concat()
            ));
        }
        lines
    }
}

trait LowerLevel {
    fn to_lowercase_level(self) -> String;
}

impl LowerLevel for String {
    /// `Warn text` as `warn text`.
    fn to_lowercase_level(self) -> String {
        let (level, rest) = self.split_once(' ').unwrap();
        format!("{} {rest}", level.to_lowercase())
    }
}
