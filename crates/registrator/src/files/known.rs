//! What was reported before, and how the files differ from it.

use super::configs::{self, scan_configs};
use super::contents;
use super::policies::{PolicyFile, root, scan_policies, tree};
use super::{FilesError, PolicyChanges, Problem, Sources, Update};
use crate::error_chain::error_chain;
use registrator_core::observe::config::RawConfig;
use registrator_core::observe::watch::{Event, Keyed};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type ConfigId = <RawConfig as Keyed>::Id;

/// What was reported before.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whether a complete list of policies was reported.
    policies_listed: bool,
    /// Whether a complete list of configurations was reported.
    configs_listed: bool,
    /// By name: the file, and the hash of its contents.
    policies: BTreeMap<String, (PathBuf, u64)>,
    /// The hash of all files that policies may load.
    helpers: u64,
    configs: BTreeMap<ConfigId, RawConfig>,
    problems: BTreeSet<Problem>,
    unread: BTreeSet<PathBuf>,
}

impl Known {
    /// Reads everything, and tells what differs. `problems` are those found on the way here.
    pub(super) fn rescan(&mut self, sources: &Sources, problems: Vec<Problem>) -> Vec<Update> {
        let mut problems: BTreeSet<Problem> = problems.into_iter().collect();
        let mut updates = Vec::new();
        match scan_policies(&sources.policies) {
            Ok(files) => updates.extend(self.compare_policies(sources, files, &mut problems)),
            Err(error) => {
                problems.insert(problem(&error));
            }
        }
        match scan_configs(&sources.services) {
            Ok(scan) if scan.missing && !self.configs.is_empty() => {
                problems.insert(gone(&sources.services));
            }
            Ok(scan) => {
                updates.extend(self.compare_configs(scan.configs, &scan.problems));
                problems.extend(scan.problems);
            }
            Err(error) => {
                problems.insert(problem(&error));
            }
        }
        updates.extend(
            problems
                .difference(&self.problems)
                .cloned()
                .map(Update::Problem),
        );
        self.frame(&mut updates, &problems);
        self.problems = problems;
        updates
    }

    /// What cannot be read is told before what was read could be taken for everything.
    fn frame(&mut self, updates: &mut Vec<Update>, problems: &BTreeSet<Problem>) {
        let unread: BTreeSet<PathBuf> = problems
            .iter()
            .map(|problem| problem.path.clone())
            .collect();
        let meanwhile: BTreeSet<PathBuf> = self.unread.union(&unread).cloned().collect();
        if meanwhile != self.unread {
            updates.insert(0, Update::Unread(meanwhile.clone()));
        }
        if unread != meanwhile {
            updates.push(Update::Unread(unread.clone()));
        }
        self.unread = unread;
    }

    /// Problems that last are reported again.
    pub(super) fn forget_problems(&mut self) {
        self.problems.clear();
    }

    fn compare_policies(
        &mut self,
        sources: &Sources,
        files: Vec<PolicyFile>,
        problems: &mut BTreeSet<Problem>,
    ) -> Option<Update> {
        let helpers = helpers(sources, &files);
        let reload_all = std::mem::replace(&mut self.helpers, helpers) != helpers;
        let mut before = std::mem::take(&mut self.policies);
        let mut changes = PolicyChanges::default();
        for file in files {
            let known = before.remove(&file.name);
            let hash = match contents::read(&file.path) {
                Ok(bytes) => contents::hash(&bytes),
                Err(error) => {
                    problems.insert(Problem {
                        path: file.path.clone(),
                        message: format!("cannot be read: {error}"),
                    });
                    self.policies.extend(known.map(|known| (file.name, known)));
                    continue;
                }
            };
            let now = (file.path.clone(), hash);
            if reload_all || known.as_ref() != Some(&now) {
                changes.changed.push(file.clone());
            }
            self.policies.insert(file.name, now);
        }
        let gone = before.into_iter();
        changes.gone = gone
            .map(|(name, (path, _))| PolicyFile { name, path })
            .collect();
        let first = !std::mem::replace(&mut self.policies_listed, true);
        (first || changes != PolicyChanges::default()).then_some(Update::Policies(changes))
    }

    fn compare_configs(&mut self, configs: Vec<RawConfig>, problems: &[Problem]) -> Vec<Update> {
        let first = !std::mem::replace(&mut self.configs_listed, true);
        let mut before = std::mem::take(&mut self.configs);
        let mut events = Vec::new();
        for config in configs {
            let known = before.remove(&config.id());
            if known.as_ref() != Some(&config) {
                events.push(match first {
                    true => Event::InitApply(config.clone()),
                    false => Event::Apply(config.clone()),
                });
            }
            self.configs.insert(config.id(), config);
        }
        let (unknown, gone) = before
            .into_iter()
            .partition(|(_, config)| is_hit(config, problems));
        self.configs.extend::<BTreeMap<_, _>>(unknown);
        let gone: BTreeMap<ConfigId, RawConfig> = gone;
        events.extend(gone.into_keys().map(Event::Delete));
        if first {
            events.insert(0, Event::Init);
            events.push(Event::InitDone);
        }
        events.into_iter().map(Update::Configs).collect()
    }
}

/// Changes when any file seems to, judging without reading. Cheap enough to ask for every now and then.
pub(super) fn fingerprint(sources: &Sources) -> u64 {
    let mut paths = vec![PathBuf::from(&sources.policies), sources.services.clone()];
    let policies = tree(&root(&sources.policies));
    paths.extend(policies.folders);
    paths.extend(policies.files);
    if let Ok(Some(listing)) = configs::list(&sources.services) {
        paths.extend(listing.files.into_iter().map(|file| file.path));
        paths.extend(listing.folders);
    }
    let stats: BTreeMap<PathBuf, u64> = paths
        .into_iter()
        .map(|path| {
            let stat = contents::stat(&path);
            (path, stat)
        })
        .collect();
    contents::hash(&stats)
}

/// Any file below the policies' folder may be loaded by any policy, so a change of one that is no policy concerns all.
fn helpers(sources: &Sources, policies: &[PolicyFile]) -> u64 {
    let known: BTreeSet<&Path> = policies.iter().map(|file| file.path.as_path()).collect();
    let read = |path: PathBuf| {
        let bytes = contents::read(&path).map_err(|error| error.kind());
        (path, bytes.ok())
    };
    let files = tree(&root(&sources.policies)).files.into_iter();
    let helpers = files.filter(|path| !known.contains(path.as_path()));
    contents::hash(&helpers.map(read).collect::<Vec<_>>())
}

/// Whether a problem with its file, or with the folder of it, keeps us from knowing that it is gone.
fn is_hit(config: &RawConfig, problems: &[Problem]) -> bool {
    let path = PathBuf::from(config.source.to_string());
    problems
        .iter()
        .any(|problem| path.starts_with(&problem.path))
}

fn problem(error: &FilesError) -> Problem {
    Problem {
        path: error.path(),
        message: format!(
            "{}; what was loaded before keeps running",
            error_chain(error)
        ),
    }
}

fn gone(services: &Path) -> Problem {
    Problem {
        path: services.into(),
        message:
            "the folder of the configurations is gone; those that were read before keep running"
                .into(),
    }
}
