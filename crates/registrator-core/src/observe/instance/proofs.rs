//! Which configurations wait for their policy to look at them.

use super::Instance;
use super::configs::ConfigId;
use crate::observe::config::ConfigSource;
use std::collections::{BTreeMap, BTreeSet};

/// One look of a policy at a configuration that fits its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    pub(super) config: ConfigId,
    pub(super) number: u64,
    /// The policy with that configuration, as an instance that does not run yet.
    pub instance: Instance,
}

impl Proof {
    /// Where the configuration is.
    pub fn source(&self) -> &ConfigSource {
        &self.config.1
    }
}

/// All that wait, each by the number of the look that counts: what a policy says of an older state is of no interest.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    waiting: BTreeMap<ConfigId, u64>,
    unasked: BTreeSet<ConfigId>,
    last: u64,
}

impl Proofs {
    /// A configuration is new to its policy.
    pub(super) fn want(&mut self, config: ConfigId) {
        self.last += 1;
        self.unasked.insert(config.clone());
        self.waiting.insert(config, self.last);
    }

    /// Nobody has to look at a configuration any more.
    pub(super) fn forget(&mut self, config: &ConfigId) {
        self.unasked.remove(config);
        self.waiting.remove(config);
    }

    /// Takes the next one that nobody was asked about.
    pub(super) fn take(&mut self) -> Option<(ConfigId, u64)> {
        let config = self.unasked.pop_first()?;
        let number = *self.waiting.get(&config)?;
        Some((config, number))
    }

    /// Takes in the end of a look. Tells whether it is of the configuration as it is.
    pub(super) fn finish(&mut self, config: &ConfigId, number: u64) -> bool {
        let counts = self.waiting.get(config) == Some(&number);
        if counts {
            self.waiting.remove(config);
        }
        counts
    }

    pub(super) fn waits(&self, config: &ConfigId) -> bool {
        self.waiting.contains_key(config)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
