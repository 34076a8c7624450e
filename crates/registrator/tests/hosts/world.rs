//! A cluster, three hosts and a record of all that happens: what a test does, what should follow, and what did.

use crate::cluster::Cluster;
use crate::etcd::Version;
use crate::history::{History, State};
use crate::host::{Engines, HOSTS, Host, at_once, engines};
use crate::network::Network;
use crate::program::DEADLINE;
use crate::recorder::Recorder;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A TTL whose end is waited for. The beacon has half of it, and is renewed each second: a process that gets no time for two
/// seconds, on a busy machine, must not seem dead.
pub(crate) const SHORT: Duration = Duration::from_secs(8);
/// A TTL that no test outlives: what survives, survives by itself.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// How long nothing is seen to be written where nothing may be written.
const REST: Duration = Duration::from_secs(3);
/// The last lines of a log that a failed expectation shows.
const LINES: usize = 80;

/// Everything. Parts end before what they use.
pub(crate) struct World {
    /// Names the version of etcd.
    pub(crate) name: String,
    pub(crate) recorder: Recorder,
    pub(crate) hosts: Vec<Host>,
    pub(crate) cluster: Cluster,
    pub(crate) network: Network,
    /// What is tested at present.
    title: String,
    began: Instant,
    /// What happened after this is shown if an expectation fails.
    mark: i64,
    ttl: Duration,
    on_exit: &'static str,
    _folder: TempDir,
    _engines: Engines,
}

impl World {
    /// A cluster of this version, and hosts on which nothing runs; `None`, after a loud line, where something is missing.
    pub(crate) fn start(name: &str, version: Version) -> Option<World> {
        let engines = engines()?;
        let mut network = Network::build()?;
        let cluster = Cluster::start(version, &mut network)?;
        let folder = tempfile::tempdir().expect("a folder");
        let mut host = |number: usize| {
            let place = network.add(&format!("host{number}"));
            Host::new(name, number, place, &engines, folder.path())
        };
        let hosts = (0..HOSTS).map(&mut host).collect();
        Some(World {
            recorder: Recorder::start(cluster.urls()),
            hosts,
            cluster,
            network,
            title: String::new(),
            began: Instant::now(),
            mark: 1,
            ttl: LONG,
            on_exit: "keep",
            name: name.to_owned(),
            _folder: folder,
            _engines: engines,
        })
    }

    /// Begins a case: all containers go, all programs end in order and begin with these settings.
    #[track_caller]
    pub(crate) fn begin(&mut self, title: &str, ttl: Duration, on_exit: &'static str) {
        title.clone_into(&mut self.title);
        at_once(&mut self.hosts, Host::clear);
        self.settle("an empty etcd");
        if (self.ttl, self.on_exit) != (ttl, on_exit)
            || !self.hosts.iter().all(Host::runs_what_is_installed)
        {
            self.restart_all(ttl, on_exit);
        }
        self.mark = self.recorder.catch_up();
    }

    /// A lease keeps its TTL: a process that is to have another one must not find it.
    #[track_caller]
    fn restart_all(&mut self, ttl: Duration, on_exit: &'static str) {
        let state = self.recorder.state();
        for host in self.hosts.iter_mut().filter(|host| host.counts) {
            host.ask_to_end();
            host.wait_for_end();
            host.counts = false;
            if self.on_exit == "keep" {
                let leases = state.leases_of(&host.name).into_iter();
                leases.for_each(|lease| self.cluster.revoke(lease));
            }
        }
        for host in &self.hosts {
            let ended = |state: &State| state.lease_of(&host.name).is_none().then_some(());
            self.wait("the end of all leases", ended);
        }
        (self.ttl, self.on_exit) = (ttl, on_exit);
        (0..HOSTS).for_each(|host| self.start_host(host));
    }

    /// Starts the program of a host, and waits until it is in sync.
    #[track_caller]
    pub(crate) fn start_host(&mut self, host: usize) {
        self.spawn_host(host);
        self.hosts[host].wait_for_sync();
    }

    /// Starts the program of a host.
    pub(crate) fn spawn_host(&mut self, host: usize) {
        let urls = self.cluster.urls();
        self.hosts[host].spawn(&urls, self.ttl, self.on_exit);
    }

    /// Does something, waits until everything is as it should be, and tells what that took.
    #[track_caller]
    pub(crate) fn act(&mut self, what: &str, action: impl FnOnce(&mut World)) -> History {
        self.mark = self.recorder.catch_up();
        let began = Instant::now();
        action(self);
        self.settle(what);
        let history = self.recorder.since(self.mark);
        self.tell(what, began, &history);
        let gaps = self.recorder.gaps_since(self.mark);
        self.expect(
            gaps.is_empty(),
            &format!("no key vanishes while somebody claims it, but {gaps:?}"),
        );
        history
    }

    /// Waits until etcd is what the naive reference says.
    #[track_caller]
    pub(crate) fn settle(&mut self, what: &str) {
        let right = |state: &State| self.fault(state).is_none().then_some(());
        if self.recorder.wait(DEADLINE, right).is_none() {
            let fault = self.fault(&self.recorder.state()).unwrap_or_default();
            self.fail(&format!("after {what}: {fault}"));
        }
        self.hosts.iter_mut().for_each(Host::must_run);
    }

    /// Waits for a state of etcd.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, is: impl FnMut(&State) -> Option<T>) -> T {
        match self.recorder.wait(DEADLINE, is) {
            Some(found) => found,
            None => self.fail(&format!("waited in vain for {what}")),
        }
    }

    /// The first difference between etcd and what the hosts that count wish: under each key the smallest value, held by one
    /// of those who wish it, and a claim of everybody else.
    pub(crate) fn fault(&self, state: &State) -> Option<String> {
        let nodes = state.nodes();
        let mut wishes: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
        for host in self.hosts.iter().filter(|host| host.counts) {
            let Some(lease) = state.lease_of(&host.name) else {
                return Some(format!("{} has no identity", host.name));
            };
            for (key, value) in host.wishes() {
                wishes.entry(key).or_default().push((value, lease));
            }
        }
        let mut claims = BTreeSet::new();
        for (key, wishes) in &mut wishes {
            wishes.sort();
            let Some(node) = nodes.get(key.as_str()) else {
                return Some(format!("{key} is absent, wished are {wishes:?}"));
            };
            if wishes[0].0 != node.value || !wishes.contains(&(node.value.clone(), node.lease)) {
                return Some(format!("{key} is {node:?}, wished are {wishes:?}"));
            }
            let others = wishes.iter().filter(|(_, lease)| *lease != node.lease);
            claims.extend(others.map(|(value, lease)| (key.clone(), *lease, value.clone())));
        }
        let surplus = nodes.keys().find(|key| !wishes.contains_key(**key));
        if let Some(key) = surplus {
            return Some(format!("nobody wishes {key}"));
        }
        let present = state.claims().into_iter();
        let present: BTreeSet<_> = present
            .map(|(key, lease, entry)| (key, lease, entry.value.clone()))
            .collect();
        let differing = claims.symmetric_difference(&present).next();
        differing.map(|claim| format!("claim missing or superfluous: {claim:?}"))
    }

    /// Who holds a key.
    #[track_caller]
    pub(crate) fn holder(&self, key: &str) -> usize {
        let state = self.recorder.state();
        let lease = state.nodes().get(key).map(|node| node.lease);
        let holder = self
            .hosts
            .iter()
            .position(|host| lease.is_some() && state.lease_of(&host.name) == lease);
        holder.unwrap_or_else(|| self.fail(&format!("nobody holds {key}: {state:?}")))
    }

    /// The revision of each node.
    pub(crate) fn revisions(&self) -> BTreeMap<String, i64> {
        self.recorder.catch_up();
        let state = self.recorder.state();
        let nodes = state.nodes().into_iter();
        nodes
            .map(|(key, node)| (key.to_owned(), node.revision))
            .collect()
    }

    /// Nothing at all is written for a while: nobody fights. When etcd is as it should be, a loser may still write its claim once
    /// more, which it has not heard of.
    #[track_caller]
    pub(crate) fn expect_rest(&self) {
        let began = self.recorder.catch_up();
        loop {
            let written = self.recorder.observe(REST).writes();
            let trailing = self.recorder.since(began);
            let (echoes, all) = (trailing.of_claims().writes(), trailing.writes());
            let calm = echoes == all && all < HOSTS;
            self.expect(
                calm,
                &format!("at rest nothing is written, but\n{trailing}"),
            );
            if written == 0 {
                self.print(&format!(
                    "{all} late claims, then at rest for {REST:?} | 0 writes"
                ));
                return;
            }
        }
    }

    /// The key was there all the time.
    #[track_caller]
    pub(crate) fn expect_never_absent(&self, key: &str, history: &History) {
        let absences: Vec<_> = history
            .absences(key)
            .into_iter()
            .filter(|absence| absence.key == key)
            .collect();
        self.expect(
            absences.is_empty(),
            &format!("{key} is never absent, but {absences:?}"),
        );
    }

    /// Nodes and claims were changed by so many transactions.
    #[track_caller]
    pub(crate) fn expect_writes(&self, count: usize, history: &History) {
        let writes = history.of_nodes_and_claims().writes();
        self.expect(writes == count, &format!("{count} writes, not {writes}"));
    }

    /// Fails, with what happened and what the programs say, if this does not hold.
    #[track_caller]
    pub(crate) fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let history = self.recorder.since(self.mark);
        let logs = self.hosts.iter().map(|host| {
            let log = host.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.len().saturating_sub(LINES);
            format!("host {}:\n{}\n", host.name, lines[last..].join("\n"))
        });
        let logs: String = logs.collect();
        let (name, title) = (&self.name, &self.title);
        panic!("etcd {name}, {title}: expected: {what}\nwhat happened:\n{history}\n{logs}");
    }

    fn tell(&self, what: &str, began: Instant, history: &History) {
        let changes = history.of_nodes_and_claims();
        let (mut gone, mut absent) = (0, Vec::new());
        for absence in history
            .absences("/")
            .iter()
            .filter(|absence| !absence.key.starts_with("/registrator/"))
        {
            match absence.time {
                None => gone += 1,
                Some(time) => absent.push(format!("{} for {time:.1?}", absence.key)),
            }
        }
        let absent = match absent.len() {
            0 => "nothing".to_owned(),
            1..=3 => absent.join(", "),
            many => format!("{many} times a key"),
        };
        let times = changes.0.first().zip(changes.0.last());
        let took = times.map_or("no time".to_owned(), |(first, last)| {
            let (whole, own) = (last.at - began, last.at - first.at);
            format!("{whole:.1?} from the act, {own:.1?} from the first write, to the last")
        });
        let writes = changes.writes();
        self.print(&format!(
            "{what} | {writes} writes | absent for a time: {absent} | removed: {gone} | {took}"
        ));
    }

    /// A line that the log can be searched for.
    pub(crate) fn print(&self, facts: &str) {
        let at = self.began.elapsed().as_secs();
        println!(
            "MEASURED {at:>3} s etcd {} | {}: {facts}",
            self.name, self.title
        );
    }
}
