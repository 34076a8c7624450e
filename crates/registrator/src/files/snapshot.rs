//! One look at everything that the folders hold, without reading files.

use super::configs::{self, ConfigListing};
use super::policies::{self, Place, Policy};
use super::seen::Seen;
use super::{FilesError, Problem, Sources};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is where the sources are, as one walk found it.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) policies: Result<Policies, FilesError>,
    /// `None` if their folder does not exist.
    pub(super) configs: Result<Option<ConfigListing>, FilesError>,
    /// All folders that were looked into.
    pub(super) folders: Vec<Seen>,
    /// The folders of the policies and of the configurations, which need not be there.
    pub(super) roots: [PathBuf; 2],
    /// Where the walk did not look.
    pub(super) problems: Vec<Problem>,
}

/// The policies, and what they may load.
#[derive(Debug)]
pub(super) struct Policies {
    pub(super) policies: Vec<Policy>,
    /// Any file below the policies' folder may be loaded by any policy.
    pub(super) helpers: Vec<Seen>,
}

impl Snapshot {
    pub(super) fn take(sources: &Sources) -> Snapshot {
        let place = Place::of(&sources.policies);
        let root = policies::root(&sources.policies, &place);
        let mut tree = policies::tree(&root);
        let policies = policies::policies(&sources.policies, place, &mut tree);
        let mut folders = tree.folders;
        let mut configs = configs::list(&sources.services);
        if let Ok(Some(listing)) = &mut configs {
            folders.append(&mut listing.folders);
        }
        let truncated = tree.truncated.then(|| Problem {
            path: root.clone(),
            message: "has too many or too deep folders below it: helper files in some of them are not watched".into(),
        });
        Snapshot {
            policies: policies.map(|policies| Policies::new(policies, tree.files)),
            configs,
            folders,
            roots: [root, sources.services.clone()],
            problems: Vec::from_iter(truncated),
        }
    }
}

impl Policies {
    fn new(policies: Vec<Policy>, mut helpers: Vec<Seen>) -> Policies {
        let paths: BTreeSet<&Path> = policies
            .iter()
            .map(|policy| policy.seen.path.as_path())
            .collect();
        helpers.retain(|file| !paths.contains(file.path.as_path()));
        Policies { policies, helpers }
    }
}
