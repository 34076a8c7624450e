//! How the registrator is, in a page of text or JSON.

use crate::peers::Peers;
use registrator_core::tell::printable::one_line;
use registrator_core::tell::snapshot::{Attention, Counts};
use registrator_core::tell::state::KeyState;
use registrator_core::tell::walltime::{WallTime, span};
use serde_json::{Map, Value as Json, json};
use std::time::{Duration, Instant};

/// How many things that need attention are listed.
pub const LISTED: usize = 20;

/// How long it may be out of sync before it is not ready.
const OUT_OF_SYNC: Duration = Duration::from_secs(10);

/// All that a status is made of.
#[derive(Debug, Clone)]
pub struct Status {
    /// Numbers.
    pub counts: Counts,
    /// Both sides.
    pub peers: Peers,
    /// What somebody should look at: the first of it, and how much there is.
    pub attention: (Vec<Attention>, usize),
    /// Since when it is in sync, or is not.
    pub sync_since: Instant,
    /// When it was asked.
    pub at: Instant,
    /// The same, on the clock.
    pub now: WallTime,
}

/// One condition of being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name.
    pub name: &'static str,
    /// Why it does not hold.
    pub missing: Option<String>,
}

impl Status {
    /// What must hold for this host to be ready, and what does not.
    pub fn conditions(&self) -> Vec<Condition> {
        let (counts, peers) = (&self.counts, &self.peers);
        let condition = |name, holds: bool, why: String| Condition {
            name,
            missing: (!holds).then_some(why),
        };
        let sync = self.at.saturating_duration_since(self.sync_since);
        vec![
            condition(
                "started",
                counts.started,
                "not everything was read and evaluated once yet".into(),
            ),
            condition(
                "docker",
                peers.docker.connected,
                peers.docker_line(self.at, self.now),
            ),
            condition(
                "etcd",
                peers.etcd.connected,
                peers.etcd_line(self.at, self.now, 0),
            ),
            condition(
                "sync",
                counts.in_sync || sync <= OUT_OF_SYNC,
                format!("out of sync for {}: {}", span(sync), self.state()),
            ),
            condition(
                "identity",
                peers.identity.is_none(),
                peers.identity.clone().unwrap_or_default(),
            ),
        ]
    }

    /// How it is, in a few words.
    pub fn state(&self) -> String {
        let counts = &self.counts;
        let pending = counts.nodes.get(&KeyState::Pending).copied();
        let pending = pending.unwrap_or_default();
        if counts.ending {
            "ending".into()
        } else if let Some(identity) = &self.peers.identity {
            format!("waiting: {identity}")
        } else if !self.peers.docker.connected {
            "waiting for Docker".into()
        } else if !self.peers.etcd.connected {
            format!("waiting for etcd, {pending} nodes to write")
        } else if counts.brake.is_some() {
            "brake engaged".into()
        } else if !counts.started {
            "starting: reading and evaluating everything once".into()
        } else if counts.in_sync {
            "in sync".into()
        } else {
            format!("catching up, {pending} nodes to write")
        }
    }

    /// The line below the first one.
    fn summary(&self) -> String {
        let since = self.at.saturating_duration_since(self.sync_since);
        let since = self.now.before(since).clock();
        let there: usize = self.counts.nodes.values().sum();
        let nodes = counted(there, "node");
        let containers = counted(self.counts.running, "running container");
        format!("{}: {nodes} for {containers}, since {since}", self.state())
    }

    /// As people read it.
    pub fn text(&self) -> String {
        let (peers, counts) = (&self.peers, &self.counts);
        let host = peers.host.as_deref().unwrap_or("not known yet");
        let up = span(self.at.saturating_duration_since(peers.started));
        let others = counts.alive.saturating_sub(1) + counts.suspect;
        let mut text = format!(
            "kontena-registrator {}, host {} ({}), up {up}\n{}\n\nDocker    {}\netcd      {}\nnodes     {}\npolicies  {}\nbrake     {}\n",
            env!("CARGO_PKG_VERSION"),
            one_line(host),
            one_line(&peers.machine),
            self.summary(),
            peers.docker_line(self.at, self.now),
            peers.etcd_line(self.at, self.now, others),
            self.nodes(),
            self.policies(),
            match &counts.brake {
                Some(brake) => brake.text(self.now),
                None => "off".to_owned(),
            },
        );
        let (listed, count) = &self.attention;
        if *count > 0 {
            text += "\nattention\n";
        }
        for attention in listed {
            let first = attention.text.lines().next().unwrap_or_default();
            text += &format!("  {:<9} {}\n", attention.kind, one_line(first));
        }
        if *count > listed.len() {
            text += &format!("  and {} more\n", count - listed.len());
        }
        text
    }

    fn nodes(&self) -> String {
        let there = self.counts.nodes.iter().filter(|(_, count)| **count > 0);
        let there: Vec<String> = there
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        if there.is_empty() {
            "none".into()
        } else {
            there.join(", ")
        }
    }

    fn policies(&self) -> String {
        let policies = self.counts.instances.iter().enumerate();
        let policies: Vec<String> = policies
            .map(|(at, (policy, count))| match (count, at) {
                (0, _) => format!("{policy} (waits for a configuration)"),
                (1, 0) => format!("{policy} (1 instance)"),
                (some, 0) => format!("{policy} ({some} instances)"),
                (some, _) => format!("{policy} ({some})"),
            })
            .collect();
        if policies.is_empty() {
            "none".into()
        } else {
            policies.join(", ")
        }
    }

    /// As programs read it.
    pub fn to_json(&self, seq: u64) -> Json {
        let (counts, peers) = (&self.counts, &self.peers);
        let (docker, mut etcd) = peers.to_json(self.at, self.now);
        etcd["registrators"] = json!({"alive": counts.alive, "suspect": counts.suspect});
        let numbers = |map: Vec<(String, usize)>| -> Map<String, Json> {
            map.into_iter()
                .map(|(name, count)| (name, count.into()))
                .collect()
        };
        let nodes = counts.nodes.iter();
        let nodes = nodes.map(|(state, count)| (state.name().to_owned(), *count));
        let problems = counts.problems.iter();
        let problems = problems.map(|(kind, count)| ((*kind).to_owned(), *count));
        let since = self.at.saturating_duration_since(self.sync_since);
        let conditions = self.conditions();
        let conditions = conditions.iter();
        json!({
            "schema": 1,
            "seq": seq,
            "version": env!("CARGO_PKG_VERSION"),
            "host": peers.host,
            "machine": peers.machine,
            "started": peers.started_at.stamp(),
            "state": self.state(),
            "text": self.summary(),
            "in_sync": counts.in_sync,
            "since": self.now.before(since).stamp(),
            "ready": self.conditions().iter().all(|it| it.missing.is_none()),
            "conditions": conditions.map(|it| json!({"name": it.name, "missing": it.missing})).collect::<Vec<_>>(),
            "docker": docker,
            "etcd": etcd,
            "nodes": numbers(nodes.collect()),
            "containers": {"running": counts.running, "stopped": counts.stopped},
            "conflicts": {"host": counts.conflicts_on_host, "cluster": counts.conflicts_in_cluster},
            "instances": numbers(counts.instances.clone().into_iter().collect()),
            "failing": numbers(counts.failing.clone().into_iter().collect()),
            "problems": numbers(problems.collect()),
            "brake": counts.brake.as_ref().map(|brake| brake.to_json(self.now)),
            "attention": {
                "first": self.attention.0.iter().map(Attention::to_json).collect::<Vec<_>>(),
                "count": self.attention.1,
            },
        })
    }
}

fn counted(count: usize, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}
