//! Which policies were reported, and which of their files differ now.

use super::Differences;
use crate::files::contents::{self, Content};
use crate::files::seen::Seen;
use crate::files::snapshot::Policies;
use crate::files::{FileUpdate, PolicyChanges, PolicyFile, unreadable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The policies that were reported.
#[derive(Debug, Default)]
pub(super) struct KnownPolicies {
    /// Whether anything was reported yet: at first even an empty list is.
    reported: bool,
    /// By name: the file, and what was in it.
    files: BTreeMap<String, (PathBuf, Content)>,
    /// All files that policies may load; `None` for one that cannot be read.
    helpers: BTreeMap<PathBuf, Option<Content>>,
}

impl KnownPolicies {
    /// A policy that cannot be read stays as it was reported.
    pub(super) fn compare(&mut self, found: Policies) -> Differences {
        let mut differences = Differences::default();
        let mut changes = PolicyChanges {
            changed: Vec::new(),
            gone: self.forget_gone(&found),
        };
        let all_changed = self.compare_helpers(&found.helpers);
        for policy in found.policies {
            let known = self.files.get(&policy.name);
            match contents::reread(&policy.seen, known.map(|(_, content)| *content)) {
                Ok(reading) => {
                    let moved = known.is_none_or(|(path, _)| *path != policy.seen.path);
                    if all_changed || moved || reading.new.is_some() {
                        changes.changed.push(policy.file());
                    }
                    let now = (policy.seen.path, reading.content);
                    self.files.insert(policy.name, now);
                }
                Err(error) => differences
                    .problems
                    .push(unreadable(&policy.seen.path, &error)),
            }
        }
        if !self.reported || changes != PolicyChanges::default() {
            differences.updates.push(FileUpdate::Policies(changes));
        }
        self.reported = true;
        differences
    }

    pub(super) fn distrust(&mut self) {
        let files = self.files.values_mut().map(|(_, content)| content);
        let helpers = self.helpers.values_mut().flatten();
        files.chain(helpers).for_each(Content::distrust);
    }

    fn forget_gone(&mut self, found: &Policies) -> Vec<PolicyFile> {
        let names: BTreeSet<&str> = found
            .policies
            .iter()
            .map(|policy| policy.name.as_str())
            .collect();
        let gone = self
            .files
            .extract_if(.., |name, _| !names.contains(name.as_str()));
        gone.map(|(name, (path, _))| PolicyFile { name, path })
            .collect()
    }

    /// Whether any file that policies may load differs, which concerns all of them.
    fn compare_helpers(&mut self, helpers: &[Seen]) -> bool {
        let now: BTreeMap<PathBuf, Option<Content>> = helpers
            .iter()
            .map(|helper| {
                let known = self.helpers.get(&helper.path).copied().flatten();
                let reading = contents::reread(helper, known);
                let content = reading.ok().map(|reading| reading.content);
                (helper.path.clone(), content)
            })
            .collect();
        let changed = now != self.helpers;
        self.helpers = now;
        changed
    }
}
