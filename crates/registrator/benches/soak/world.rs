//! Two hosts and an etcd, and what etcd should hold.

use crate::etcd::Etcd;
use crate::host::{Host, configuration};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Where the nodes of the policies are.
const NODES: [&str; 2] = ["/soak/", "/skydns/"];
/// How long etcd may hold something else after everything has become still: longer than the brake holds, and than leases last.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);

/// All of it. The program that is observed is that of the first host; the second one is the peer that fights for keys.
pub(crate) struct World {
    pub(crate) hosts: [Host; 2],
    pub(crate) etcd: Etcd,
    pub(crate) etcd_runs: bool,
    /// Configurations in etcd: the tags by name.
    pub(crate) dynamic: BTreeMap<&'static str, usize>,
}

/// Keys with their values.
type Content = BTreeMap<String, String>;

impl World {
    /// Starts everything. `None` where there is no etcd.
    pub(crate) fn start() -> Option<World> {
        let etcd = Etcd::start()?;
        let main = Host::start("main", 0, &etcd.url(), "release");
        let peer = Host::start("peer", 1_000_000, &etcd.url(), "release");
        let mut world = World {
            hosts: [main, peer],
            etcd,
            etcd_runs: true,
            dynamic: BTreeMap::new(),
        };
        world.reset_dynamic();
        Some(world)
    }

    /// Writes a configuration into etcd, if that runs.
    pub(crate) fn configure(&mut self, name: &'static str, tag: usize) {
        if self.etcd_runs {
            let key = format!("/conf/{name}");
            self.etcd.put(&key, &configuration(name, tag));
            self.dynamic.insert(name, tag);
        }
    }

    /// Removes a configuration from etcd, if that runs.
    pub(crate) fn remove_configuration(&mut self, name: &'static str) {
        if self.etcd_runs {
            self.etcd.delete(&format!("/conf/{name}"));
            self.dynamic.remove(name);
        }
    }

    fn reset_dynamic(&mut self) {
        let all: Vec<_> = self.dynamic.keys().copied().collect();
        for name in all {
            self.remove_configuration(name);
        }
        for name in ["d", "e"] {
            self.configure(name, 0);
        }
    }

    /// Configurations, policies and the number of containers are as at the beginning. Everything must run.
    pub(crate) fn reset(&mut self) {
        self.reset_dynamic();
        self.hosts.iter_mut().for_each(Host::reset);
    }

    /// What etcd should hold, and how many claims: of different values the smallest, and a claim of each other host that asks.
    fn expected(&self) -> (Content, usize) {
        let mut content = Content::new();
        let mut claims = 0;
        for host in self.hosts.iter().filter(|host| host.is_launched()) {
            let mut wanted_before: BTreeSet<String> = content.keys().cloned().collect();
            for (key, value) in host.wishes(&self.dynamic) {
                claims += usize::from(wanted_before.remove(&key));
                let smallest = content.entry(key).or_insert_with(|| value.clone());
                if value < *smallest {
                    *smallest = value;
                }
            }
        }
        (content, claims)
    }

    fn content(&self) -> Content {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let below = NODES.iter().flat_map(|prefix| self.etcd.below(prefix));
        below.map(|kv| (text(kv.key), text(kv.value))).collect()
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        NODES.iter().map(|prefix| self.etcd.count(prefix)).sum()
    }

    /// A node that this host alone asks for, if it asks for any.
    pub(crate) fn own_node(&self, host: usize) -> Option<String> {
        let host = &self.hosts[host];
        let own = format!("/soak/{}/", host.name);
        let mut wishes = host.wishes(&self.dynamic).into_iter();
        wishes.find_map(|(key, _)| key.starts_with(&own).then_some(key))
    }

    /// Waits until etcd holds exactly what it should: how long that took, or what the difference is.
    pub(crate) fn wait_for_truth(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        let (expected, claims) = self.expected();
        loop {
            let found = self.content();
            let found_claims = self.etcd.count("/registrator/claims/");
            if found == expected && found_claims == claims {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                let claims = format!("{found_claims} claims, expected {claims}");
                return Err(format!("{}{claims}", differences(&expected, &found)));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The first differences for people, each a line.
fn differences(expected: &Content, found: &Content) -> String {
    let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let different = keys.into_iter().filter_map(|key| {
        let (should, is) = (expected.get(key), found.get(key));
        (should != is).then(|| format!("{key}: {is:?}, expected {should:?}\n"))
    });
    different.take(20).collect()
}
