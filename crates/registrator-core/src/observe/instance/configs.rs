//! The configurations that were found: each as it last fitted its policy, what is wrong with it, and which one counts for an instance.

use super::{InstanceId, Problem};
use crate::observe::config::{self, Config, ConfigError, ConfigSource, RawConfig};
use crate::observe::spec::{PolicyName, PolicySpec, Schema};
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
    /// The policy, by its fingerprint, that found nothing wrong with that.
    approved_by: Option<u64>,
    /// As it is, if it fits the schema and the policy has not looked at it yet.
    unproven: Option<Config>,
    /// What is wrong with it as it is.
    faults: Vec<ConfigError>,
    /// Why the policy could not look at it.
    unchecked: Option<String>,
    /// Why it makes no instance, whatever it holds.
    stray: Option<String>,
    /// The members that its policy passes over.
    ignored: Vec<ConfigError>,
}

impl Configs {
    /// Takes in a configuration and checks it, if there is a schema. Returns the instances that it named before and names now.
    pub(super) fn put(&mut self, raw: &RawConfig, spec: Option<&PolicySpec>) -> Vec<InstanceId> {
        let instance = InstanceId {
            policy: raw.policy.clone(),
            config: raw.name.as_deref().map(Into::into),
        };
        let mut named = vec![instance.clone()];
        let mut found = Found {
            instance,
            good: None,
            approved_by: None,
            unproven: None,
            faults: Vec::new(),
            unchecked: None,
            stray: raw.name_fault(),
            ignored: Vec::new(),
        };
        if let Some(before) = self.take(&raw.id()) {
            named.push(before.instance);
            found.good = before.good;
            found.approved_by = before.approved_by;
            found.unchecked = before.unchecked;
        }
        if found.stray.is_some() {
            found.good = None;
            self.found.insert(raw.id(), found);
            return named;
        }
        if let Some((spec, schema)) = spec.and_then(|spec| Some((spec, spec.schema.as_ref()?))) {
            found.check(spec, schema, raw);
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
        let found = self.get(policy, source)?;
        Some(&found.instance).filter(|_| found.stray.is_none())
    }

    /// Why what was found there makes no instance.
    pub(super) fn stray(&self, policy: &PolicyName, source: &ConfigSource) -> Option<&str> {
        self.get(policy, source)?.stray.as_deref()
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

    /// What fits the schema, if the policy has not looked at it yet.
    pub(super) fn unproven(&self, (policy, source): &ConfigId) -> Option<&Config> {
        self.get(policy, source)?.unproven.as_ref()
    }

    /// Takes in what the policy says of a configuration that fits the schema.
    pub(super) fn prove(&mut self, id: &ConfigId, fingerprint: u64, verdict: Verdict) {
        let Some(found) = self.found.get_mut(id) else {
            return;
        };
        let Some(config) = found.unproven.take() else {
            return;
        };
        found.unchecked = None;
        match verdict {
            Verdict::Refused(message) => {
                found.faults = vec![ConfigError {
                    source_name: id.1.to_string(),
                    line: None,
                    member: None,
                    message,
                }];
                return;
            }
            Verdict::Unchecked(message) => found.unchecked = Some(message),
            Verdict::Right => {}
        }
        found.good = Some(config);
        found.approved_by = Some(fingerprint);
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
        problems.extend(found.unchecked.iter().map(|message| Problem::Unchecked {
            policy: policy.clone(),
            used: source.clone(),
            message: message.clone(),
        }));
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
    fn check(&mut self, spec: &PolicySpec, schema: &Schema, raw: &RawConfig) {
        if looks_elsewhere(schema, raw) {
            // What is where it looks now is not listed yet, so the last good configuration stays.
            return;
        }
        let checked = config::check(schema, raw);
        if checked.is_ok() {
            self.ignored = config::ignored(schema, raw);
        }
        match checked {
            Err(faults) => self.faults = faults,
            Ok(config) if spec.validates && !self.is_approved(spec, &config) => {
                self.unproven = Some(config);
            }
            Ok(config) => {
                self.unchecked = self.unchecked.take().filter(|_| spec.validates);
                self.good = Some(config);
                self.approved_by = Some(spec.fingerprint);
            }
        }
    }

    /// Whether the policy as it is has looked at this configuration already.
    fn is_approved(&self, spec: &PolicySpec, config: &Config) -> bool {
        self.approved_by == Some(spec.fingerprint) && self.good.as_ref() == Some(config)
    }
}

/// What a policy says of a configuration that fits its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong with it.
    Right,
    /// What is wrong.
    Refused(String),
    /// Why the policy could not look at it. It counts, since whatever is wrong with the policy now may be over soon.
    Unchecked(String),
}

/// Whether the configuration is in etcd where its policy no longer looks.
fn looks_elsewhere(schema: &Schema, raw: &RawConfig) -> bool {
    match (&raw.source, &schema.etcd_path) {
        (ConfigSource::File(_), _) => false,
        (ConfigSource::Etcd(key), Some(path)) => path.matches(key).is_none(),
        (ConfigSource::Etcd(_), None) => true,
    }
}
