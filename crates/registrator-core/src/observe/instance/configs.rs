//! The configurations that were found: each as it last fitted its policy, what is wrong with it, and which one counts for an instance.

use super::{InstanceId, Problem};
use crate::observe::config::{self, Config, ConfigError, ConfigSource, RawConfig};
use crate::observe::spec::{PolicyName, Schema};
use crate::observe::watch::Keyed;
use std::collections::{BTreeMap, BTreeSet};

pub(super) type ConfigId = <RawConfig as Keyed>::Id;

/// All configurations that were found.
#[derive(Debug, Default)]
pub(super) struct Configs {
    found: BTreeMap<ConfigId, Found>,
    /// The sources that name an instance. The first that ever fitted counts, and files come first: a host's own file counts
    /// before a configuration that all hosts share.
    naming: BTreeMap<InstanceId, BTreeSet<ConfigSource>>,
}

/// A configuration that was found.
#[derive(Debug)]
struct Found {
    instance: InstanceId,
    /// As it was when it last fitted.
    good: Option<Config>,
    /// What is wrong with it as it is.
    faults: Vec<ConfigError>,
    /// The members that its policy passes over.
    ignored: Vec<ConfigError>,
}

impl Configs {
    /// Takes in a configuration and checks it, if there is a schema. Returns the instances that it named before and names now.
    pub(super) fn put(&mut self, raw: &RawConfig, schema: Option<&Schema>) -> Vec<InstanceId> {
        let instance = InstanceId {
            policy: raw.policy.clone(),
            config: raw.name.as_deref().map(Into::into),
        };
        let mut named = vec![instance.clone()];
        let mut found = Found {
            instance,
            good: None,
            faults: Vec::new(),
            ignored: Vec::new(),
        };
        if let Some(before) = self.take(&raw.id()) {
            named.push(before.instance);
            found.good = before.good;
        }
        if let Some(schema) = schema {
            found.check(schema, raw);
        }
        let naming = self.naming.entry(found.instance.clone()).or_default();
        naming.insert(raw.source.clone());
        self.found.insert(raw.id(), found);
        named
    }

    /// Forgets a configuration. Returns the instance that it named.
    pub(super) fn remove(&mut self, id: &ConfigId) -> Option<InstanceId> {
        self.take(id).map(|found| found.instance)
    }

    fn take(&mut self, id: &ConfigId) -> Option<Found> {
        let found = self.found.remove(id)?;
        if let Some(naming) = self.naming.get_mut(&found.instance) {
            naming.remove(&id.1);
            if naming.is_empty() {
                self.naming.remove(&found.instance);
            }
        }
        Some(found)
    }

    pub(super) fn contains(&self, policy: &PolicyName, source: &ConfigSource) -> bool {
        self.get(policy, source).is_some()
    }

    /// The instance that a configuration names.
    pub(super) fn instance(&self, (policy, source): &ConfigId) -> Option<&InstanceId> {
        Some(&self.get(policy, source)?.instance)
    }

    /// The policies that there are configurations for.
    pub(super) fn policies(&self) -> BTreeSet<PolicyName> {
        self.found
            .keys()
            .map(|(policy, _)| policy.clone())
            .collect()
    }

    /// The configurations of a policy.
    pub(super) fn of(&self, policy: &PolicyName) -> impl Iterator<Item = ConfigId> {
        // No source sorts before this one.
        let first = (policy.clone(), ConfigSource::File(String::new()));
        let from = self.found.range(first..);
        let ids = from.map(|(id, _)| id.clone());
        ids.take_while(move |(other, _)| other == policy)
    }

    /// The configurations that name an instance.
    pub(super) fn naming(&self, instance: &InstanceId) -> impl Iterator<Item = ConfigId> {
        let sources = self.naming.get(instance).into_iter().flatten();
        sources.map(|source| (instance.policy.clone(), source.clone()))
    }

    /// The configuration that counts for an instance.
    pub(super) fn used(&self, instance: &InstanceId) -> Option<(&ConfigSource, &Config)> {
        self.naming.get(instance)?.iter().find_map(|source| {
            let found = self.get(&instance.policy, source)?;
            Some((source, found.good.as_ref()?))
        })
    }

    /// What is wrong with a configuration, and whether it is used.
    pub(super) fn problems(&self, policy: &PolicyName, source: &ConfigSource) -> Vec<Problem> {
        let Some(found) = self.get(policy, source) else {
            return Vec::new();
        };
        let kept = found.good.is_some();
        let faults = found.faults.iter().map(|fault| Problem::Config {
            policy: policy.clone(),
            fault: fault.clone(),
            kept,
        });
        let ignored = found.ignored.iter().map(|fault| Problem::Ignored {
            policy: policy.clone(),
            fault: fault.clone(),
        });
        let mut problems: Vec<Problem> = faults.chain(ignored).collect();
        let used = self.used(&found.instance).filter(|_| kept);
        if let Some((used, _)) = used.filter(|(used, _)| *used != source) {
            problems.push(Problem::Twice {
                instance: found.instance.clone(),
                used: used.clone(),
                refused: source.clone(),
            });
        }
        problems
    }

    fn get(&self, policy: &PolicyName, source: &ConfigSource) -> Option<&Found> {
        self.found.get(&(policy.clone(), source.clone()))
    }
}

impl Found {
    fn check(&mut self, schema: &Schema, raw: &RawConfig) {
        if looks_elsewhere(schema, raw) {
            // What is where it looks now is not listed yet, so the last good configuration stays.
            return;
        }
        match config::check(schema, raw) {
            Ok(config) => {
                self.good = Some(config);
                self.ignored = config::ignored(schema, raw);
            }
            Err(faults) => self.faults = faults,
        }
    }
}

/// Whether the configuration is in etcd where its policy no longer looks.
fn looks_elsewhere(schema: &Schema, raw: &RawConfig) -> bool {
    match (&raw.source, &schema.etcd_path) {
        (ConfigSource::File(_), _) => false,
        (ConfigSource::Etcd(key), Some(path)) => path.matches(key).is_none(),
        (ConfigSource::Etcd(_), None) => true,
    }
}
