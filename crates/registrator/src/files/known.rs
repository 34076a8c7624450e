//! What was reported before, and how the files differ from it.

mod configs;
mod policies;

use super::snapshot::Snapshot;
use super::{FileUpdate, FilesError, Problem, Sources};
use crate::error_chain::error_chain;
use configs::KnownConfigs;
use policies::KnownPolicies;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What was reported before.
#[derive(Debug, Default)]
pub(super) struct KnownFiles {
    policies: KnownPolicies,
    configs: KnownConfigs,
    problems: BTreeSet<Problem>,
    unread: BTreeSet<PathBuf>,
}

/// How policies or configurations differ from what was reported, and what keeps us from knowing.
#[derive(Debug, Default)]
struct Differences {
    updates: Vec<FileUpdate>,
    problems: Vec<Problem>,
}

impl KnownFiles {
    /// Reads what seems to have changed, and tells what differs. `problems` are those found on the way here.
    pub(super) fn compare(
        &mut self,
        sources: &Sources,
        snapshot: Snapshot,
        problems: Vec<Problem>,
    ) -> Vec<FileUpdate> {
        let policies = match snapshot.policies {
            Ok(found) => self.policies.compare(found),
            Err(error) => Differences::from(&error),
        };
        let configs = match snapshot.configs {
            Ok(listing) => self.configs.compare(&sources.services, listing),
            Err(error) => Differences::from(&error),
        };
        let found = policies.problems.into_iter().chain(configs.problems);
        let problems: BTreeSet<Problem> = found.chain(snapshot.problems).chain(problems).collect();
        let new = problems.difference(&self.problems).cloned();
        let new: Vec<FileUpdate> = new.map(FileUpdate::Problem).collect();
        self.problems = problems;
        let differences = [policies.updates, configs.updates, new].concat();
        self.framed(differences)
    }

    /// What cannot be read is told before what was read could be taken for everything.
    fn framed(&mut self, differences: Vec<FileUpdate>) -> Vec<FileUpdate> {
        let paths = self.problems.iter().map(|problem| problem.path.clone());
        let unread: BTreeSet<PathBuf> = paths.collect();
        let meanwhile: BTreeSet<PathBuf> = self.unread.union(&unread).cloned().collect();
        let mut updates = Vec::new();
        if meanwhile != self.unread {
            updates.push(FileUpdate::Unread(meanwhile.clone()));
        }
        updates.extend(differences);
        if unread != meanwhile {
            updates.push(FileUpdate::Unread(unread.clone()));
        }
        self.unread = unread;
        updates
    }

    /// Has everything read again, and problems that last reported again.
    pub(super) fn reload(&mut self) {
        self.problems.clear();
        self.policies.distrust();
        self.configs.distrust();
    }
}

impl From<&FilesError> for Differences {
    fn from(error: &FilesError) -> Differences {
        Differences {
            updates: Vec::new(),
            problems: vec![Problem {
                path: error.path(),
                message: format!(
                    "{}; what was loaded before keeps running",
                    error_chain(error)
                ),
            }],
        }
    }
}
