//! Which configurations were reported, and which of their files differ now.

use super::Differences;
use crate::files::configs::{ConfigFile, ConfigListing};
use crate::files::contents::{Content, Reading};
use crate::files::{FileUpdate, Problem};
use registrator_core::observe::config::RawConfig;
use registrator_core::observe::watch::{Keyed, SourceEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The configurations that were reported.
#[derive(Debug, Default)]
pub(super) struct KnownConfigs {
    /// Whether a complete list was reported.
    listed: bool,
    files: BTreeMap<PathBuf, KnownConfig>,
}

#[derive(Debug)]
struct KnownConfig {
    id: <RawConfig as Keyed>::Id,
    content: Content,
}

impl KnownConfigs {
    /// `listing` is `None` if the folder does not exist. A configuration that cannot be read stays as it was reported.
    pub(super) fn compare(&mut self, folder: &Path, listing: Option<ConfigListing>) -> Differences {
        if listing.is_none() && !self.files.is_empty() {
            return Differences {
                updates: Vec::new(),
                problems: vec![gone(folder)],
            };
        }
        let listing = listing.unwrap_or_default();
        let mut problems = listing.problems;
        let mut present = BTreeSet::new();
        let mut events = Vec::new();
        for file in &listing.files {
            let path = file.seen.path.as_path();
            let known = self.files.get(path).map(|known| known.content);
            match file.reread(known) {
                Ok(Some(reading)) => {
                    present.insert(path);
                    events.extend(self.take_in(file, reading));
                }
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        events.extend(self.forget_gone(&present, &problems));
        if !self.listed {
            events.insert(0, SourceEvent::Init);
            events.push(SourceEvent::InitDone);
            self.listed = true;
        }
        Differences {
            updates: events.into_iter().map(FileUpdate::Configs).collect(),
            problems,
        }
    }

    pub(super) fn distrust(&mut self) {
        for known in self.files.values_mut() {
            known.content.distrust();
        }
    }

    /// What to report of a file that was looked at.
    fn take_in(&mut self, file: &ConfigFile, reading: Reading) -> Option<SourceEvent<RawConfig>> {
        let content = reading.content;
        if let Some(known) = self.files.get_mut(&file.seen.path) {
            known.content = content;
        }
        let config = file.raw(reading.new?);
        let id = config.id();
        self.files
            .insert(file.seen.path.clone(), KnownConfig { id, content });
        Some(if self.listed {
            SourceEvent::Apply(config)
        } else {
            SourceEvent::InitApply(config)
        })
    }

    /// A problem with its file, or with the folder of it, keeps us from knowing that a configuration is gone.
    fn forget_gone(
        &mut self,
        present: &BTreeSet<&Path>,
        problems: &[Problem],
    ) -> Vec<SourceEvent<RawConfig>> {
        let hit: BTreeSet<&Path> = problems
            .iter()
            .map(|problem| problem.path.as_path())
            .collect();
        let is_gone = |path: &PathBuf, _: &mut KnownConfig| {
            !present.contains(path.as_path()) && !path.ancestors().any(|path| hit.contains(path))
        };
        let gone = self.files.extract_if(.., is_gone);
        gone.map(|(_, known)| SourceEvent::Delete(known.id))
            .collect()
    }
}

fn gone(folder: &Path) -> Problem {
    Problem {
        path: folder.into(),
        message:
            "the folder of the configurations is gone; those that were read before keep running"
                .into(),
    }
}
