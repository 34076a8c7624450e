//! What happened in etcd, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// The registrators' own keys.
const META: &str = "/registrator/";
const CLAIMS: &str = "/registrator/claims/";
const BEACONS: &str = "/registrator/beacons/";
const IDENTITIES: &str = "/registrator/nodes/";

/// One change of one key.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// When it was heard of.
    pub(crate) at: Instant,
    pub(crate) revision: i64,
    pub(crate) key: String,
    /// `None` for a deletion.
    pub(crate) value: Option<String>,
    pub(crate) lease: i64,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: String,
    pub(crate) lease: i64,
    pub(crate) revision: i64,
}

/// What etcd holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State(pub(crate) BTreeMap<String, Entry>);

/// Changes in the order of their revisions.
#[derive(Clone, Debug)]
pub(crate) struct History(pub(crate) Vec<Change>);

/// A time in which a key was not there: from the revision of its deletion to that of its next value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) key: String,
    pub(crate) from: i64,
    /// `None` if it is still absent.
    pub(crate) to: Option<i64>,
    pub(crate) time: Option<Duration>,
}

impl State {
    pub(crate) fn apply(&mut self, change: &Change) {
        match &change.value {
            None => self.0.remove(&change.key),
            Some(value) => self.0.insert(
                change.key.clone(),
                Entry {
                    value: value.clone(),
                    lease: change.lease,
                    revision: change.revision,
                },
            ),
        };
    }

    /// The nodes of policies.
    pub(crate) fn nodes(&self) -> BTreeMap<&str, &Entry> {
        let all = self.0.iter().filter(|(key, _)| !key.starts_with(META));
        all.map(|(key, entry)| (key.as_str(), entry)).collect()
    }

    /// The claims: key, lease as its name has it, and entry.
    pub(crate) fn claims(&self) -> Vec<(String, i64, &Entry)> {
        let all = self.0.iter().filter_map(|(name, entry)| {
            let (key, lease) = name.strip_prefix(CLAIMS)?.split_once('/')?;
            let lease = u64::from_str_radix(lease, 16).ok()?.cast_signed();
            Some((key.replace("%2F", "/"), lease, entry))
        });
        all.collect()
    }

    /// The lease of a registrator.
    pub(crate) fn lease_of(&self, host_id: &str) -> Option<i64> {
        let identity = self.0.get(&format!("{IDENTITIES}{host_id}"))?;
        Some(identity.lease)
    }

    /// Both leases of a registrator: that of its nodes and that of its beacon.
    pub(crate) fn leases_of(&self, host_id: &str) -> Vec<i64> {
        let lease = self.lease_of(host_id);
        let beacon = lease.and_then(|lease| self.0.get(&format!("{BEACONS}{lease:016x}")));
        let leases = lease.into_iter().chain(beacon.map(|beacon| beacon.lease));
        leases.collect()
    }
}

impl History {
    /// Where keys that begin so were absent.
    pub(crate) fn absences(&self, prefix: &str) -> Vec<Absence> {
        let mut absences: Vec<(Absence, Instant)> = Vec::new();
        for change in self
            .0
            .iter()
            .filter(|change| change.key.starts_with(prefix))
        {
            let mut open = absences.iter_mut();
            let open = open.find(|(absence, _)| absence.key == change.key && absence.to.is_none());
            match (open, &change.value) {
                (Some((absence, began)), Some(_)) => {
                    absence.to = Some(change.revision);
                    absence.time = Some(change.at.duration_since(*began));
                }
                (None, None) => {
                    let absence = Absence {
                        key: change.key.clone(),
                        from: change.revision,
                        to: None,
                        time: None,
                    };
                    absences.push((absence, change.at));
                }
                (None, Some(_)) | (Some(_), None) => {}
            }
        }
        absences.into_iter().map(|(absence, _)| absence).collect()
    }

    /// The changes of nodes and claims: what sharing costs.
    pub(crate) fn of_nodes_and_claims(&self) -> History {
        let is = |key: &str| !key.starts_with(META) || key.starts_with(CLAIMS);
        self.only(|change| is(&change.key))
    }

    /// The changes of claims.
    pub(crate) fn of_claims(&self) -> History {
        self.only(|change| change.key.starts_with(CLAIMS))
    }

    fn only(&self, is: impl Fn(&Change) -> bool) -> History {
        History(self.0.iter().filter(|change| is(change)).cloned().collect())
    }

    /// How many transactions changed something.
    pub(crate) fn writes(&self) -> usize {
        let revisions: BTreeSet<i64> = self.0.iter().map(|change| change.revision).collect();
        revisions.len()
    }

    /// The values that a key had, one after the other, with their leases.
    pub(crate) fn values(&self, key: &str) -> Vec<(Option<&str>, i64)> {
        let changes = self.0.iter().filter(|change| change.key == key);
        changes
            .map(|change| (change.value.as_deref(), change.lease))
            .collect()
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.first().map(|change| change.at);
        for change in &self.0 {
            let after = first
                .map(|first| change.at.duration_since(first))
                .unwrap_or_default();
            let value = change.value.as_deref().unwrap_or("(deleted)");
            let (revision, key, lease) = (change.revision, &change.key, change.lease);
            writeln!(
                f,
                "  {revision:>6} +{after:>9.3?} {key} {value} @{lease:016x}"
            )?;
        }
        Ok(())
    }
}
