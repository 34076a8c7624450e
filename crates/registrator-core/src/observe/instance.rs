//! Instances: a policy together with one of its configurations. They come and go with policies, files and etcd keys.

mod configs;
mod problem;
mod proofs;

pub use configs::Verdict;
pub use problem::Problem;
pub use proofs::Proof;

use crate::observe::config::{Config, ConfigSource, RawConfig};
use crate::observe::etcd_path::EtcdPath;
use crate::observe::spec::{PolicyName, PolicySpec, Schema};
use crate::observe::watch::{Delta, SourceEvent, Store};
use configs::{ConfigId, Configs};
use problem::{Problems, Subject};
use proofs::Proofs;
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
///
/// A change costs what it concerns: a configuration its own check, a policy its own configurations.
#[derive(Debug, Default)]
pub struct Instances {
    policies: BTreeMap<PolicyName, PolicySpec>,
    /// The policies were told at least once.
    policies_known: bool,
    /// The names of policies that cannot be loaded.
    failed: BTreeSet<String>,
    files: Store<RawConfig>,
    etcd: BTreeMap<PolicyName, Store<RawConfig>>,
    /// Policies whose configurations in etcd were not yet listed.
    unlisted: BTreeSet<PolicyName>,
    /// Configurations that changed, or whose schema did, and that are not yet checked.
    changed: BTreeSet<ConfigId>,
    configs: Configs,
    /// What its policy has to look at before it counts.
    proofs: Proofs,
    running: BTreeMap<InstanceId, Instance>,
    /// How many may run; `None` is any number.
    most: Option<usize>,
    /// Those that there was no room for.
    refused: BTreeSet<InstanceId>,
    problems: Problems,
}

/// What a change may concern, to be derived again.
#[derive(Debug, Default)]
struct Concerned {
    /// Policies that may have got a configuration, or lost their last one.
    policies: BTreeSet<PolicyName>,
    instances: BTreeSet<InstanceId>,
    /// Configurations with which something else may be wrong now.
    configs: BTreeSet<ConfigId>,
}

impl Instances {
    /// No instances yet, and never more than `most`.
    pub fn at_most(most: usize) -> Instances {
        Instances {
            most: Some(most),
            ..Instances::default()
        }
    }

    /// Replaces all policies. One that cannot be loaded but ran before must be among `policies` as it was.
    pub fn set_policies(
        &mut self,
        policies: Vec<PolicySpec>,
        failed: Vec<Problem>,
    ) -> InstanceDelta {
        let policies = policies.into_iter().map(|spec| (spec.name.clone(), spec));
        let before = std::mem::replace(&mut self.policies, policies.collect());
        let failed_names = failed.iter().filter_map(policy_name).collect();
        let failed_before = std::mem::replace(&mut self.failed, failed_names);
        let mut changed = differing(&before, &self.policies);
        let fates = failed_before.symmetric_difference(&self.failed);
        changed.extend(fates.filter_map(|name| PolicyName::parse(name).ok()));
        if !self.policies_known {
            changed.extend(self.configs.policies());
        }
        self.policies_known = true;
        self.follow_etcd();
        let mut concerned = Concerned::default();
        for policy in changed {
            let validates = |specs: &BTreeMap<PolicyName, PolicySpec>| {
                specs.get(&policy).is_some_and(|spec| spec.validates)
            };
            let same = schema(&before, &policy) == schema(&self.policies, &policy);
            if !same || validates(&before) || validates(&self.policies) {
                self.changed.extend(self.configs.of(&policy));
            }
            concerned.policy(policy, &self.configs);
        }
        let mut delta = self.derive(concerned);
        let loading = self.problems.set(Subject::Loading, failed);
        delta.problems.splice(0..0, loading);
        delta
    }

    /// Takes in an event of the configuration files.
    pub fn handle_file(&mut self, event: SourceEvent<RawConfig>) -> InstanceDelta {
        let settled = ends_change(&event);
        let complete = self.files.complete();
        let delta = self.files.handle(event);
        let mut concerned = Concerned::default();
        if self.files.complete() && !complete {
            concerned.policies.extend(self.policies.keys().cloned());
        }
        self.note(delta, settled, concerned)
    }

    /// Takes in an event of a policy's configurations in etcd.
    pub fn handle_etcd(
        &mut self,
        policy: &PolicyName,
        event: SourceEvent<RawConfig>,
    ) -> InstanceDelta {
        let settled = ends_change(&event);
        let mut concerned = Concerned::default();
        let mut delta = Delta::default();
        if let Some(store) = self.etcd.get_mut(policy) {
            delta = store.handle(event);
            if store.complete() && self.unlisted.remove(policy) {
                concerned.policies.insert(policy.clone());
            }
        }
        self.note(delta, settled, concerned)
    }

    /// The next configuration that a policy has to look at. Each is answered with [`Instances::prove`].
    pub fn next_proof(&mut self) -> Option<Proof> {
        loop {
            let (config, number) = self.proofs.take()?;
            let spec = self.policies.get(&config.0);
            let unproven = self.configs.unproven(&config);
            let instance = self.configs.instance(&config);
            if let (Some(spec), Some(unproven), Some(id)) = (spec, unproven, instance) {
                let instance = Instance {
                    id: id.clone(),
                    fingerprint: spec.fingerprint,
                    config: Some(unproven.clone()),
                };
                return Some(Proof {
                    config,
                    number,
                    instance,
                });
            }
        }
    }

    /// Takes in what a policy says of a configuration.
    pub fn prove(&mut self, proof: Proof, verdict: Verdict) -> InstanceDelta {
        let (config, fingerprint) = (proof.config, proof.instance.fingerprint);
        if !self.proofs.finish(&config, proof.number) {
            return InstanceDelta::default();
        }
        self.configs.prove(&config, fingerprint, verdict);
        self.derive(Concerned {
            policies: BTreeSet::from([config.0.clone()]),
            instances: BTreeSet::from([proof.instance.id]),
            configs: BTreeSet::from([config]),
        })
    }

    /// The policies whose configurations may be in etcd, with the path.
    pub fn etcd_paths(&self) -> impl Iterator<Item = (&PolicyName, &EtcdPath)> {
        self.policies
            .values()
            .filter_map(|spec| Some((&spec.name, spec.schema.as_ref()?.etcd_path.as_ref()?)))
    }

    /// Whether the policies are known, all sources of configurations were listed once, and the policies have looked at all of them.
    pub fn complete(&self) -> bool {
        let listed = self.policies_known && self.files.complete() && self.unlisted.is_empty();
        listed && self.proofs.is_empty()
    }

    /// The policies that are loaded.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyName> {
        self.policies.keys()
    }

    /// The instance with this id, if it runs.
    pub fn get(&self, id: &InstanceId) -> Option<&Instance> {
        self.running.get(id)
    }

    /// All instances that run.
    pub fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.running.values()
    }

    /// Whether no policy runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// What is wrong now.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Whether nodes may be missing because of a [problem](Problem::hides_nodes).
    pub fn hides_nodes(&self) -> bool {
        self.problems.hides_nodes()
    }

    /// Keeps what is known of the policies that still look into etcd.
    fn follow_etcd(&mut self) {
        let paths: BTreeSet<PolicyName> = self.etcd_paths().map(|(name, _)| name.clone()).collect();
        self.etcd.retain(|name, _| paths.contains(name));
        for name in paths {
            self.etcd.entry(name).or_default();
        }
        let unlisted = self.etcd.iter().filter(|(_, store)| !store.complete());
        self.unlisted = unlisted.map(|(name, _)| name.clone()).collect();
    }

    /// Notes what changed in a source, and derives what follows unless a list is under way.
    fn note(
        &mut self,
        delta: Delta<ConfigId>,
        settled: bool,
        concerned: Concerned,
    ) -> InstanceDelta {
        self.changed.extend(delta.applied);
        self.changed.extend(delta.deleted);
        if settled {
            self.derive(concerned)
        } else {
            InstanceDelta::default()
        }
    }

    /// Brings up to date whatever a change concerns.
    fn derive(&mut self, mut concerned: Concerned) -> InstanceDelta {
        self.check_changed(&mut concerned);
        let mut delta = InstanceDelta::default();
        for id in &concerned.instances {
            self.run(id, &mut delta);
        }
        while !self.is_full()
            && let Some(id) = self.refused.pop_first()
        {
            self.run(&id, &mut delta);
            concerned.policies.insert(id.policy.clone());
            concerned.instances.insert(id);
        }
        for id in &concerned.instances {
            concerned.configs.extend(self.configs.naming(id));
        }
        let mut problems = BTreeMap::new();
        for policy in concerned.policies {
            let found = Vec::from_iter(self.policy_problem(&policy));
            problems.insert(Subject::Policy(policy, None), found);
        }
        for (policy, source) in concerned.configs {
            let found = Vec::from_iter(self.no_policy(&policy, &source));
            problems.insert(Subject::NoPolicy(policy.clone(), source.clone()), found);
            let found = self.config_problems(&policy, &source);
            problems.insert(Subject::Policy(policy, Some(source)), found);
        }
        for (subject, found) in problems {
            delta.problems.extend(self.problems.set(subject, found));
        }
        delta
    }

    fn check_changed(&mut self, concerned: &mut Concerned) {
        for id in std::mem::take(&mut self.changed) {
            let (policy, source) = &id;
            let raw = match source {
                ConfigSource::File(_) => self.files.get(&id),
                ConfigSource::Etcd(_) => self.etcd.get(policy).and_then(|store| store.get(&id)),
            };
            let instances = match raw {
                Some(raw) => self.configs.put(raw, self.policies.get(policy)),
                None => Vec::from_iter(self.configs.remove(&id)),
            };
            if self.configs.unproven(&id).is_some() {
                self.proofs.want(id.clone());
            } else {
                self.proofs.forget(&id);
            }
            concerned.instances.extend(instances);
            concerned.policies.insert(policy.clone());
            concerned.configs.insert(id);
        }
    }

    /// Starts, reloads or stops an instance, whichever is due. It stays as it is while its policy looks at a configuration for it.
    fn run(&mut self, id: &InstanceId, delta: &mut InstanceDelta) {
        let mut configs = self.configs.naming(id);
        if configs.any(|config| self.proofs.waits(&config)) {
            return;
        }
        let wanted = self.wanted(id);
        let running = self.running.get(id);
        self.refused.remove(id);
        if running == wanted.as_ref() {
            return;
        }
        if wanted.is_some() && running.is_none() && self.is_full() {
            self.refused.insert(id.clone());
        } else if let Some(instance) = wanted {
            delta.started.push(id.clone());
            if self.running.insert(id.clone(), instance).is_some() {
                delta.reloaded.insert(id.clone());
            }
        } else {
            self.running.remove(id);
            delta.stopped.push(id.clone());
        }
    }

    fn is_full(&self) -> bool {
        self.most.is_some_and(|most| self.running.len() >= most)
    }

    /// Says of an instance that there was no room for it, if so.
    fn too_many(&self, instance: &InstanceId) -> Option<Problem> {
        self.refused.contains(instance).then(|| Problem::TooMany {
            instance: instance.clone(),
            most: self.most.unwrap_or_default(),
        })
    }

    fn wanted(&self, id: &InstanceId) -> Option<Instance> {
        let spec = self.policies.get(&id.policy)?;
        let config = match (&spec.schema, &id.config) {
            (Some(_), _) => Some(self.configs.used(id)?.1.clone()),
            (None, None) => None,
            // Without a schema there is one instance, and it has no name.
            (None, Some(_)) => return None,
        };
        Some(Instance {
            id: id.clone(),
            fingerprint: spec.fingerprint,
            config,
        })
    }

    fn policy_problem(&self, policy: &PolicyName) -> Option<Problem> {
        let Some(schema) = schema(&self.policies, policy) else {
            return self.too_many(&InstanceId {
                policy: policy.clone(),
                config: None,
            });
        };
        let listed = self.files.complete() && !self.unlisted.contains(policy);
        let mut configs = self.configs.of(policy);
        if !listed || configs.any(|config| self.configs.instance(&config).is_some()) {
            return None;
        }
        Some(Problem::NoConfig {
            policy: policy.clone(),
            etcd_path: schema.etcd_path.as_ref().map(ToString::to_string),
        })
    }

    /// A policy that cannot be loaded may come back, and it may not have been read yet. Its files are then no problem of their own.
    fn no_policy(&self, policy: &PolicyName, source: &ConfigSource) -> Option<Problem> {
        let expected = !self.policies_known
            || self.policies.contains_key(policy)
            || self.failed.contains(policy.as_str());
        if expected || !self.configs.contains(policy, source) {
            return None;
        }
        Some(Problem::NoPolicy(source.clone(), policy.clone()))
    }

    /// What lies below the path of one policy may be a configuration of another one.
    fn stray(
        &self,
        policy: &PolicyName,
        schema: &Schema,
        source: &ConfigSource,
        reason: &str,
    ) -> Option<Problem> {
        let mut reason = reason.to_owned();
        if let (ConfigSource::Etcd(key), Some(path)) = (source, &schema.etcd_path) {
            if self
                .etcd_paths()
                .any(|(_, path)| path.matches(key).is_some())
                && path.matches(key).is_none()
            {
                return None;
            }
            reason +=
                &format!(". Configurations are at {path}, one part of the key for each :name");
        }
        Some(Problem::Stray {
            policy: policy.clone(),
            found: source.clone(),
            reason,
        })
    }

    fn config_problems(&self, policy: &PolicyName, source: &ConfigSource) -> Vec<Problem> {
        let Some(spec) = self.policies.get(policy) else {
            return Vec::new();
        };
        if let (Some(schema), Some(reason)) = (&spec.schema, self.configs.stray(policy, source)) {
            return Vec::from_iter(self.stray(policy, schema, source, reason));
        }
        if spec.schema.is_some() {
            let mut problems = self.configs.problems(policy, source);
            let id = (policy.clone(), source.clone());
            let instance = self.configs.instance(&id);
            problems.extend(instance.and_then(|instance| self.too_many(instance)));
            problems
        } else if self.configs.contains(policy, source) {
            vec![Problem::NoSchema(source.clone(), policy.clone())]
        } else {
            Vec::new()
        }
    }
}

impl Concerned {
    /// All of a policy.
    fn policy(&mut self, policy: PolicyName, configs: &Configs) {
        for id in configs.of(&policy) {
            self.instances.extend(configs.instance(&id).cloned());
            self.configs.insert(id);
        }
        self.instances.insert(InstanceId {
            policy: policy.clone(),
            config: None,
        });
        self.policies.insert(policy);
    }
}

/// A list counts when it is complete, so a thousand configurations are derived once.
fn ends_change(event: &SourceEvent<RawConfig>) -> bool {
    !matches!(event, SourceEvent::Init | SourceEvent::InitApply(_))
}

fn policy_name(problem: &Problem) -> Option<String> {
    match problem {
        Problem::Policy { name, .. } => Some(name.clone()),
        _ => None,
    }
}

fn schema<'a>(
    policies: &'a BTreeMap<PolicyName, PolicySpec>,
    policy: &PolicyName,
) -> Option<&'a Schema> {
    policies.get(policy)?.schema.as_ref()
}

/// The policies that are not the same before and now.
fn differing(
    before: &BTreeMap<PolicyName, PolicySpec>,
    now: &BTreeMap<PolicyName, PolicySpec>,
) -> BTreeSet<PolicyName> {
    let names = before.keys().chain(now.keys());
    let changed = names.filter(|name| before.get(*name) != now.get(*name));
    changed.cloned().collect()
}

#[cfg(test)]
mod tests;
