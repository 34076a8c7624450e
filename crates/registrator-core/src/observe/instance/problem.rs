//! What is wrong with policies and configurations, and the list of all that is wrong now.

use super::InstanceId;
use crate::observe::config::{ConfigError, ConfigSource};
use crate::observe::spec::PolicyName;
use std::collections::BTreeMap;

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
    /// A configuration that its policy could not look at.
    #[error("{used} is used though policy {policy} could not look at it: {message}")]
    Unchecked {
        /// The policy.
        policy: PolicyName,
        /// Where it is.
        used: ConfigSource,
        /// Why not.
        message: String,
    },
    /// Something that looks like a configuration and is none.
    #[error("{found} is no configuration of policy {policy}: {reason}")]
    Stray {
        /// The policy.
        policy: PolicyName,
        /// Where it is.
        found: ConfigSource,
        /// Why not.
        reason: String,
    },
    /// A member of a configuration that its policy does not know, and need not know.
    #[error("configuration of policy {policy}: {fault}; the member is ignored")]
    Ignored {
        /// The policy.
        policy: PolicyName,
        /// Which member, and where.
        fault: ConfigError,
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
    /// There is no room for an instance.
    #[error(
        "instance {instance} does not run: {most} instances run already, as many as --max-instances permits"
    )]
    TooMany {
        /// The instance.
        instance: InstanceId,
        /// How many may run.
        most: usize,
    },
    /// A configuration for a policy that takes none.
    #[error("{0} is not used: policy {1} declares no configuration")]
    NoSchema(ConfigSource, PolicyName),
    /// A configuration for a policy that does not exist.
    #[error("{0} is not used: there is no policy {1}")]
    NoPolicy(ConfigSource, PolicyName),
    /// A policy that needs a configuration has none. This may be intended: one folder of policies can serve many hosts.
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
    /// The policy that it is about.
    pub fn policy(&self) -> Option<&str> {
        match self {
            Problem::Policy { name, .. } => Some(name),
            Problem::Config { policy, .. }
            | Problem::Unchecked { policy, .. }
            | Problem::Stray { policy, .. }
            | Problem::Ignored { policy, .. }
            | Problem::NoSchema(_, policy)
            | Problem::NoPolicy(_, policy)
            | Problem::NoConfig { policy, .. } => Some(policy.as_str()),
            Problem::Twice { instance, .. } | Problem::TooMany { instance, .. } => {
                Some(instance.policy.as_str())
            }
        }
    }

    /// Whether nothing is wrong: a policy just has nothing to do.
    pub fn is_idle(&self) -> bool {
        matches!(self, Problem::NoConfig { .. })
    }

    /// Those of `problems` that are [idle](Problem::is_idle), in words.
    pub fn idle<'a>(problems: impl Iterator<Item = &'a Problem>) -> Vec<String> {
        let idle = problems.filter(|problem| problem.is_idle());
        idle.map(Problem::to_string).collect()
    }

    /// Whether nodes may be missing because of it: nothing of a predecessor may then be removed as unexplained.
    pub fn hides_nodes(&self) -> bool {
        match self {
            Problem::Policy { kept, .. } | Problem::Config { kept, .. } => !kept,
            Problem::TooMany { .. } => true,
            Problem::Ignored { .. }
            | Problem::Unchecked { .. }
            | Problem::Stray { .. }
            | Problem::Twice { .. }
            | Problem::NoSchema(..)
            | Problem::NoPolicy(..)
            | Problem::NoConfig { .. } => false,
        }
    }
}

/// What a problem is about, in the order in which people are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The loading of policies.
    Loading,
    /// A policy, or one of its configurations.
    Policy(PolicyName, Option<ConfigSource>),
    /// A configuration whose policy does not exist.
    NoPolicy(PolicyName, ConfigSource),
}

/// All that is wrong now.
#[derive(Debug, Default)]
pub(super) struct Problems {
    of: BTreeMap<Subject, Vec<Problem>>,
    /// How many of them hide nodes.
    hiding: usize,
}

impl Problems {
    /// Replaces what is wrong with a subject. Returns what was not wrong with it before.
    pub(super) fn set(&mut self, subject: Subject, problems: Vec<Problem>) -> Vec<Problem> {
        let before = if problems.is_empty() {
            self.of.remove(&subject)
        } else {
            self.of.insert(subject, problems.clone())
        };
        let before = before.unwrap_or_default();
        self.hiding += hiding(&problems);
        self.hiding -= hiding(&before);
        let new = problems.into_iter();
        new.filter(|problem| !before.contains(problem)).collect()
    }

    /// All problems, sorted by their subjects.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.of.values().flatten()
    }

    /// Whether one of them [hides nodes](Problem::hides_nodes).
    pub(super) fn hides_nodes(&self) -> bool {
        self.hiding > 0
    }
}

fn hiding(problems: &[Problem]) -> usize {
    problems
        .iter()
        .filter(|problem| problem.hides_nodes())
        .count()
}
