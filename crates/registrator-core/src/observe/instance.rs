//! Instances: a policy together with one of its configurations. They come and go with policies, files and etcd keys.

use crate::observe::config::{self, Config, ConfigError, ConfigSource, RawConfig};
use crate::observe::spec::{PolicyName, PolicySpec, Schema};
use crate::observe::watch::{Event, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Names an instance: `skydns:kontena-local`, or `skydns` if its configuration has no name or it has none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The policy.
    pub policy: PolicyName,
    /// The configuration's name.
    pub config: Option<Arc<str>>,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.config {
            Some(config) => write!(f, "{}:{config}", self.policy),
            None => write!(f, "{}", self.policy),
        }
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A policy that runs with a configuration. Two equal instances give equal nodes for equal containers.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// [`PolicySpec::fingerprint`] of the policy.
    pub fingerprint: u64,
    /// The configuration; `None` if the policy declares none.
    pub config: Option<Config>,
}

/// Why something that should run does not run as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A policy cannot be loaded.
    #[error("policy {name} cannot be loaded, {}: {message}", fate(*.kept))]
    Policy {
        /// Its name, or its path if it has none.
        name: String,
        /// The loader's message.
        message: String,
        /// Whether it keeps running as it was.
        kept: bool,
    },
    /// A configuration does not fit.
    #[error("configuration of policy {policy} is refused, {}: {fault}", fate(*.kept))]
    Config {
        /// The policy.
        policy: PolicyName,
        /// What is wrong.
        fault: ConfigError,
        /// Whether the instance keeps its last good configuration.
        kept: bool,
    },
    /// Two sources name one instance.
    #[error("{refused} is not used: {used} configures {instance} already")]
    Twice {
        /// The instance.
        instance: InstanceId,
        /// The source that counts.
        used: ConfigSource,
        /// The other one.
        refused: ConfigSource,
    },
    /// A configuration for a policy that takes none.
    #[error("{0} is not used: policy {1} declares no configuration")]
    NoSchema(ConfigSource, PolicyName),
    /// A configuration for a policy that does not exist.
    #[error("{0} is not used: there is no policy {1}")]
    NoPolicy(ConfigSource, PolicyName),
    /// A policy that needs a configuration has none: it may be meant so, for a folder of policies serves many hosts.
    #[error("policy {policy} waits for a configuration: {}", where_to_put(.policy, .etcd_path.as_deref()))]
    NoConfig {
        /// The policy.
        policy: PolicyName,
        /// Where one could be in etcd.
        etcd_path: Option<String>,
    },
}

fn fate(kept: bool) -> &'static str {
    if kept {
        "it runs on as it was"
    } else {
        "it does not run"
    }
}

fn where_to_put(policy: &PolicyName, etcd_path: Option<&str>) -> String {
    let etcd = etcd_path
        .map(|path| format!(", or put one at {path} in etcd"))
        .unwrap_or_default();
    format!(
        "write {policy}.json or {policy}/NAME.json in the services folder{etcd}; {{}} takes all defaults"
    )
}

impl Problem {
    /// Whether nothing is wrong, and a policy only has nothing to do.
    pub fn is_idle(&self) -> bool {
        matches!(self, Problem::NoConfig { .. })
    }

    /// Those of `problems` that are [idle](Problem::is_idle), in words.
    pub fn idle(problems: &[Problem]) -> Vec<String> {
        let idle = problems.iter().filter(|problem| problem.is_idle());
        idle.map(Problem::to_string).collect()
    }

    /// Whether nodes may be missing because of it: nothing of a predecessor may then be removed as unexplained.
    pub fn hides_nodes(&self) -> bool {
        match self {
            Problem::Policy { kept, .. } | Problem::Config { kept, .. } => !kept,
            Problem::Twice { .. }
            | Problem::NoSchema(..)
            | Problem::NoPolicy(..)
            | Problem::NoConfig { .. } => false,
        }
    }
}

/// What a change of policies or configurations did to the instances.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InstanceDelta {
    /// Instances that are new, or whose policy or configuration changed.
    pub started: Vec<InstanceId>,
    /// Of these, the ones that ran before.
    pub reloaded: BTreeSet<InstanceId>,
    /// Instances that are gone.
    pub stopped: Vec<InstanceId>,
    /// Problems that were not there before.
    pub problems: Vec<Problem>,
}

/// All policies and configurations, and the instances that they make.
#[derive(Debug, Default)]
pub struct Instances {
    policies: BTreeMap<PolicyName, PolicySpec>,
    /// The policies were told at least once.
    policies_known: bool,
    load_problems: Vec<Problem>,
    files: Store<RawConfig>,
    etcd: BTreeMap<PolicyName, Store<RawConfig>>,
    running: BTreeMap<InstanceId, Instance>,
    /// The last configuration from each source that fitted.
    good: BTreeMap<(PolicyName, ConfigSource), Config>,
    problems: Vec<Problem>,
}

impl Instances {
    /// Replaces all policies. One that cannot be loaded but ran before must be among `policies` as it was.
    pub fn set_policies(
        &mut self,
        policies: Vec<PolicySpec>,
        failed: Vec<Problem>,
    ) -> InstanceDelta {
        self.policies = policies
            .into_iter()
            .map(|spec| (spec.name.clone(), spec))
            .collect();
        self.load_problems = failed;
        self.policies_known = true;
        let paths: BTreeSet<PolicyName> = self.etcd_paths().map(|(name, _)| name.clone()).collect();
        self.etcd.retain(|name, _| paths.contains(name));
        for name in paths {
            self.etcd.entry(name).or_default();
        }
        self.derive()
    }

    /// Takes in an event of the configuration files.
    pub fn handle_file(&mut self, event: Event<RawConfig>) -> InstanceDelta {
        let settled = ends_change(&event);
        self.files.handle(event);
        if settled {
            self.derive()
        } else {
            InstanceDelta::default()
        }
    }

    /// Takes in an event of a policy's configurations in etcd.
    pub fn handle_etcd(&mut self, policy: &PolicyName, event: Event<RawConfig>) -> InstanceDelta {
        let settled = ends_change(&event);
        if let Some(store) = self.etcd.get_mut(policy) {
            store.handle(event);
        }
        if settled {
            self.derive()
        } else {
            InstanceDelta::default()
        }
    }

    /// The policies whose configurations may be in etcd, with the path.
    pub fn etcd_paths(
        &self,
    ) -> impl Iterator<Item = (&PolicyName, &crate::observe::etcd_path::EtcdPath)> {
        self.policies
            .values()
            .filter_map(|spec| Some((&spec.name, spec.schema.as_ref()?.etcd_path.as_ref()?)))
    }

    /// Whether the policies are known and all sources of configurations were listed once.
    pub fn complete(&self) -> bool {
        self.policies_known && self.files.complete() && self.etcd.values().all(Store::complete)
    }

    /// The instance with this id, if it runs.
    pub fn get(&self, id: &InstanceId) -> Option<&Instance> {
        self.running.get(id)
    }

    /// All instances that run.
    pub fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.running.values()
    }

    /// What is wrong now.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn derive(&mut self) -> InstanceDelta {
        let mut problems = self.load_problems.clone();
        let mut wanted = BTreeMap::new();
        for spec in self.policies.values() {
            let raws = self.raw_configs(spec);
            if raws.is_empty() && self.configs_complete(&spec.name) {
                problems.extend(no_config(spec));
            }
            let found = instances_of(spec, &raws, &mut self.good, &mut problems);
            wanted.extend(
                found
                    .into_iter()
                    .map(|instance| (instance.id.clone(), instance)),
            );
        }
        let known: BTreeSet<_> = self
            .files
            .iter()
            .map(|(id, _)| id.clone())
            .chain(self.etcd_ids())
            .collect();
        self.good.retain(|id, _| known.contains(id));
        problems.extend(self.unused_files());
        self.replace(wanted, problems)
    }

    /// Files first: a host's own file counts before a configuration that all hosts share.
    fn raw_configs(&self, spec: &PolicySpec) -> Vec<RawConfig> {
        let etcd = self.etcd.get(&spec.name).into_iter().flat_map(Store::iter);
        let files = self
            .files
            .iter()
            .filter(|((policy, _), _)| *policy == spec.name);
        files.chain(etcd).map(|(_, raw)| raw.clone()).collect()
    }

    /// Whether all configurations of a policy were listed once.
    fn configs_complete(&self, policy: &PolicyName) -> bool {
        self.files.complete() && self.etcd.get(policy).is_none_or(Store::complete)
    }

    fn etcd_ids(&self) -> impl Iterator<Item = (PolicyName, ConfigSource)> {
        self.etcd
            .values()
            .flat_map(Store::iter)
            .map(|(id, _)| id.clone())
    }

    /// A policy that cannot be loaded now may come back, and one may not be read yet: then its files are not a problem of their own.
    fn unused_files(&self) -> Vec<Problem> {
        if !self.policies_known {
            return Vec::new();
        }
        let failed = |policy: &PolicyName| {
            self.load_problems.iter().any(|problem| matches!(problem, Problem::Policy { name, .. } if name == policy.as_str()))
        };
        let unused = self
            .files
            .iter()
            .filter(|((policy, _), _)| !self.policies.contains_key(policy) && !failed(policy));
        unused
            .map(|((policy, source), _)| Problem::NoPolicy(source.clone(), policy.clone()))
            .collect()
    }

    fn replace(
        &mut self,
        wanted: BTreeMap<InstanceId, Instance>,
        problems: Vec<Problem>,
    ) -> InstanceDelta {
        let changed = wanted
            .iter()
            .filter(|(id, instance)| self.running.get(*id) != Some(*instance));
        let started: Vec<InstanceId> = changed.map(|(id, _)| id.clone()).collect();
        let delta = InstanceDelta {
            reloaded: started
                .iter()
                .filter(|id| self.running.contains_key(*id))
                .cloned()
                .collect(),
            stopped: self
                .running
                .keys()
                .filter(|id| !wanted.contains_key(*id))
                .cloned()
                .collect(),
            problems: problems
                .iter()
                .filter(|problem| !self.problems.contains(problem))
                .cloned()
                .collect(),
            started,
        };
        self.running = wanted;
        self.problems = problems;
        delta
    }
}

/// A list counts when it is complete, so a thousand configurations are derived once.
fn ends_change(event: &Event<RawConfig>) -> bool {
    !matches!(event, Event::Init | Event::InitApply(_))
}

type Good = BTreeMap<(PolicyName, ConfigSource), Config>;

fn instances_of(
    spec: &PolicySpec,
    raws: &[RawConfig],
    good: &mut Good,
    problems: &mut Vec<Problem>,
) -> Vec<Instance> {
    let Some(schema) = &spec.schema else {
        problems.extend(
            raws.iter()
                .map(|raw| Problem::NoSchema(raw.source.clone(), spec.name.clone())),
        );
        return vec![instance(spec, None, None)];
    };
    let mut found: Vec<(Instance, &ConfigSource)> = Vec::new();
    for raw in raws {
        let Some(config) = checked(schema, raw, good, problems) else {
            continue;
        };
        let new = instance(spec, raw.name.as_deref(), Some(config));
        match found.iter().find(|(other, _)| other.id == new.id) {
            Some((_, used)) => problems.push(Problem::Twice {
                instance: new.id,
                used: (*used).clone(),
                refused: raw.source.clone(),
            }),
            None => found.push((new, &raw.source)),
        }
    }
    found.into_iter().map(|(instance, _)| instance).collect()
}

fn no_config(spec: &PolicySpec) -> Option<Problem> {
    let schema = spec.schema.as_ref()?;
    Some(Problem::NoConfig {
        policy: spec.name.clone(),
        etcd_path: schema.etcd_path.as_ref().map(ToString::to_string),
    })
}

fn instance(spec: &PolicySpec, name: Option<&str>, config: Option<Config>) -> Instance {
    let id = InstanceId {
        policy: spec.name.clone(),
        config: name.map(Into::into),
    };
    Instance {
        id,
        fingerprint: spec.fingerprint,
        config,
    }
}

fn checked(
    schema: &Schema,
    raw: &RawConfig,
    good: &mut Good,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let id = (raw.policy.clone(), raw.source.clone());
    if let ConfigSource::Etcd(key) = &raw.source
        && schema
            .etcd_path
            .as_ref()
            .is_none_or(|path| path.matches(key).is_none())
    {
        // The policy looks elsewhere now, and what is there is not listed yet.
        return good.get(&id).cloned();
    }
    match config::check(schema, raw) {
        Ok(config) => {
            good.insert(id, config.clone());
            Some(config)
        }
        Err(faults) => {
            let last = good.get(&id).cloned();
            let kept = last.is_some();
            problems.extend(faults.into_iter().map(|fault| Problem::Config {
                policy: raw.policy.clone(),
                fault,
                kept,
            }));
            last
        }
    }
}

#[cfg(test)]
mod tests;
