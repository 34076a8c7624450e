//! How Docker and etcd are, as their adapters told last: what an operator is told about both sides.

use crate::error_chain::error_chain;
use crate::{docker, etcd};
use registrator_core::own::session::SessionEvent;
use registrator_core::tell::printable::one_line;
use registrator_core::tell::walltime::{WallTime, span};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant, SystemTime};

/// What time it is.
pub fn wall_time() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_millis();
    WallTime(u64::try_from(since).unwrap_or_default())
}

/// One side.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Whether it is there.
    pub connected: bool,
    /// Since when it is so.
    pub since: Option<Instant>,
    /// Why it is not there.
    pub error: Option<String>,
    /// How often it was lost.
    pub disconnects: u64,
}

impl Side {
    fn came(&mut self, now: Instant) {
        if !self.connected {
            self.since = Some(now);
        }
        self.connected = true;
        self.error = None;
    }

    fn went(&mut self, error: Option<String>, now: Instant) {
        if self.connected || self.since.is_none() {
            self.since = Some(now);
        }
        self.disconnects += u64::from(self.connected);
        self.connected = false;
        if error.is_some() {
            self.error = error;
        }
    }

    fn age(&self, now: Instant) -> Duration {
        self.since
            .map(|since| now.saturating_duration_since(since))
            .unwrap_or_default()
    }
}

/// The lease of this process.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Its id.
    pub id: String,
    /// How long it lives without a renewal.
    pub ttl: Duration,
}

/// Both sides, and who this process is between them.
#[derive(Debug, Clone)]
pub struct Peers {
    /// When the process started.
    pub started: Instant,
    /// The same on the clock, as it was then: the same each time that it is told.
    pub started_at: WallTime,
    /// Its identity, as soon as it is known.
    pub host: Option<String>,
    /// The machine's name.
    pub machine: String,
    /// Docker.
    pub docker: Side,
    /// The API version in use.
    pub api: Option<String>,
    /// etcd: whether there is a session.
    pub etcd: Side,
    /// The endpoint that answered last.
    pub endpoint: Option<String>,
    /// The lease.
    pub lease: Option<Lease>,
    /// How many leases ended.
    pub leases_lost: u64,
    /// When it was renewed last.
    pub renewals: etcd::Renewals,
    /// How long requests to etcd take.
    pub requests: etcd::Requests,
    /// Why this process may not write: another one has its identity.
    pub identity: Option<String>,
    /// Policies whose configurations in etcd cannot be read, and roots that cannot be watched.
    pub unwatched: std::collections::BTreeSet<String>,
}

impl Peers {
    /// Nothing is known yet.
    pub fn new(
        renewals: etcd::Renewals,
        requests: etcd::Requests,
        host: Option<String>,
        machine: String,
        endpoint: String,
    ) -> Peers {
        let started = Instant::now();
        let waiting = Side {
            since: Some(started),
            ..Side::default()
        };
        Peers {
            started,
            started_at: wall_time(),
            host,
            machine,
            docker: waiting.clone(),
            api: None,
            etcd: waiting,
            endpoint: Some(endpoint),
            lease: None,
            leases_lost: 0,
            renewals,
            requests,
            identity: None,
            unwatched: std::collections::BTreeSet::new(),
        }
    }

    /// Takes in what changed on Docker's side.
    pub fn docker(&mut self, update: &docker::DockerUpdate, now: Instant) {
        match update {
            docker::DockerUpdate::Connected {
                api_version,
                engine,
                ..
            } => {
                self.docker.came(now);
                self.api = Some(api_version.to_string());
                if self.host.is_none() {
                    self.host.clone_from(engine);
                }
            }
            docker::DockerUpdate::Waiting { error } | docker::DockerUpdate::Lost { error } => {
                self.docker.went(Some(error_chain(error)), now);
            }
            _ => {}
        }
    }

    /// Takes in what changed on etcd's side.
    pub fn etcd(&mut self, update: &etcd::SessionUpdate, now: Instant) {
        use etcd::SessionUpdate;
        match update {
            SessionUpdate::Session(SessionEvent::Established(_)) => {
                self.etcd.came(now);
                self.identity = None;
            }
            SessionUpdate::Session(SessionEvent::Suspended) => self.etcd.went(None, now),
            SessionUpdate::Session(_) => {}
            SessionUpdate::Unreachable { error }
            | SessionUpdate::Unwritten { error, .. }
            | SessionUpdate::Stale { error, .. } => {
                self.etcd.error = Some(error_chain(error));
            }
            SessionUpdate::Reachable { endpoint } => self.endpoint = Some(endpoint.clone()),
            SessionUpdate::LeaseGranted { lease, ttl }
            | SessionUpdate::LeaseAdopted { lease, ttl, .. } => {
                self.lease = Some(Lease {
                    id: lease.to_string(),
                    ttl: *ttl,
                });
            }
            SessionUpdate::LeaseLost { .. } => {
                self.lease = None;
                self.leases_lost += 1;
            }
            SessionUpdate::IdentityInUse { holder }
            | SessionUpdate::Refused { holder }
            | SessionUpdate::Superseded { by: holder } => {
                let holder = holder.as_ref();
                let holder = holder.map_or("an unknown process".to_owned(), ToString::to_string);
                self.identity = Some(format!("this host id is in use by {holder}"));
            }
            SessionUpdate::Stray { .. } => {}
            SessionUpdate::WatchRefused { root, .. } => {
                self.unwatched.insert(root.clone());
            }
        }
    }

    /// Takes in whether configurations in etcd can be read.
    pub fn configs(&mut self, update: &etcd::ConfigUpdate) {
        match update {
            etcd::ConfigUpdate::Event(..) => {}
            etcd::ConfigUpdate::Interrupted(policy, _) => {
                self.unwatched.insert(policy.to_string());
            }
            etcd::ConfigUpdate::Restored(policy) => {
                self.unwatched.remove(policy.as_str());
            }
        }
    }

    /// How long ago the lease was renewed.
    pub fn renewed(&self, now: Instant) -> Option<Duration> {
        self.lease.as_ref()?;
        let at = self.renewals.last()?;
        Some(now.saturating_duration_since(at))
    }

    /// What keeps nodes from being written, in sentences.
    pub fn circumstances(&self, now: Instant) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(identity) = &self.identity {
            all.push(format!("Waiting: {identity}."));
        } else if !self.etcd.connected {
            all.push(self.etcd_away(now));
        }
        if !self.docker.connected {
            all.push(format!(
                "Docker has been away for {}{}. What was known of its containers stays.",
                span(self.docker.age(now)),
                because(self.docker.error.as_deref())
            ));
        }
        all
    }

    fn etcd_away(&self, now: Instant) -> String {
        let mut text = format!(
            "etcd has been away for {}{}.",
            span(self.etcd.age(now)),
            because(self.etcd.error.as_deref())
        );
        if let Some((lease, age)) = self.lease.as_ref().zip(self.renewed(now)) {
            let fate = if age > lease.ttl {
                "so the nodes in etcd have ended"
            } else {
                "so the nodes in etcd are still there"
            };
            text += &format!(
                " The lease ({} s) was renewed {} ago, {fate}.",
                lease.ttl.as_secs(),
                span(age)
            );
        }
        text
    }

    /// Docker, in a line.
    pub fn docker_line(&self, now: Instant, wall: WallTime) -> String {
        let since = wall.before(self.docker.age(now)).clock();
        if self.docker.connected {
            let api = self.api.as_deref().unwrap_or("unknown");
            format!("connected, API {api}, since {since}")
        } else {
            let why = because(self.docker.error.as_deref());
            format!("away since {since}{why}")
        }
    }

    /// etcd, in a line.
    pub fn etcd_line(&self, now: Instant, wall: WallTime, others: usize) -> String {
        let since = wall.before(self.etcd.age(now)).clock();
        let lease = self.lease.as_ref().map(|lease| {
            let renewed = self.renewed(now);
            let renewed = renewed.map(|age| format!(", renewed {} ago", span(age)));
            format!(
                "; lease {} of {} s{}",
                lease.id,
                lease.ttl.as_secs(),
                renewed.unwrap_or_default()
            )
        });
        let lease = lease.unwrap_or_default();
        if self.etcd.connected {
            let endpoint = self.endpoint.as_deref().unwrap_or("an unknown endpoint");
            let registrators = if others == 1 {
                "registrator"
            } else {
                "registrators"
            };
            format!("connected to {endpoint} since {since}{lease}; {others} other {registrators}")
        } else {
            let why = because(self.identity.as_deref().or(self.etcd.error.as_deref()));
            format!("away since {since}{why}{lease}")
        }
    }

    /// Both, as programs read them.
    pub fn to_json(&self, now: Instant, wall: WallTime) -> (Json, Json) {
        let side = |side: &Side| {
            json!({
                "connected": side.connected,
                "since": wall.before(side.age(now)).stamp(),
                "error": side.error,
                "disconnects": side.disconnects,
            })
        };
        let (mut docker, mut etcd) = (side(&self.docker), side(&self.etcd));
        docker["api"] = self.api.clone().into();
        etcd["endpoint"] = self.endpoint.clone().into();
        etcd["identity"] = self.identity.clone().into();
        let renewed = self.renewed(now);
        etcd["lease"] = self.lease.as_ref().map_or(Json::Null, |lease| {
            json!({
                "id": lease.id,
                "ttl_seconds": lease.ttl.as_secs(),
                "renewed": renewed.map(|age| wall.before(age).stamp()),
            })
        });
        (docker, etcd)
    }
}

fn because(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!(": {}", one_line(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_replaced_at_once_is_shown_as_it_is_now() {
        let now = Instant::now();
        let mut peers = Peers::new(
            etcd::Renewals::default(),
            etcd::Requests::default(),
            None,
            String::new(),
            String::new(),
        );
        for (version, after_cut) in [("1.41", false), ("1.52", true)] {
            let update = docker::DockerUpdate::Connected {
                api_version: version.parse().unwrap(),
                engine: None,
                after_cut,
            };
            peers.docker(&update, now);
        }
        let line = peers.docker_line(now, WallTime(0));
        assert!(line.starts_with("connected, API 1.52, since"), "{line}");
    }
}
