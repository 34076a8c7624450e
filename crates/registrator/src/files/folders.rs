//! Which folders the kernel reports changes of.

use super::configs;
use super::policies::{parent_of, root, tree};
use super::{Problem, Sources};
use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The kernel's reports about folders.
pub(super) struct Folders {
    watcher: Option<RecommendedWatcher>,
    armed: BTreeSet<PathBuf>,
    interest: Arc<Mutex<Interest>>,
    broken: Option<String>,
}

/// Which reports are worth a look at the files. All paths are absolute.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interest {
    /// Everything in these folders.
    inside: BTreeSet<PathBuf>,
    /// These alone, whatever else is in their folders.
    exact: BTreeSet<PathBuf>,
}

impl Folders {
    /// Calls `changed` whenever something may have changed. It is called often, and from a thread of its own.
    pub(super) fn new(changed: impl Fn() + Send + 'static) -> Folders {
        let interest = Arc::new(Mutex::new(Interest::default()));
        let shared = Arc::clone(&interest);
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let interest = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if event.map_or(true, |event| interest.wants(&event)) {
                changed();
            }
        });
        let (watcher, broken) = match made {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(advice(&error))),
        };
        Folders {
            watcher,
            armed: BTreeSet::new(),
            interest,
            broken,
        }
    }

    /// Watches nothing, ever.
    pub(super) fn none() -> Folders {
        Folders {
            watcher: None,
            armed: BTreeSet::new(),
            interest: Arc::default(),
            broken: None,
        }
    }

    /// Watches the folders that the files are in now, each anew: a watch ends silently when its folder is deleted, and
    /// another folder of the same name may have the same number.
    pub(super) fn arm(&mut self, sources: &Sources) -> Vec<Problem> {
        let (interest, truncated) = interest(sources);
        let mut problems = Vec::from_iter(truncated);
        if let Some(message) = &self.broken {
            problems.push(Problem {
                path: sources.policies.clone().into(),
                message: message.clone(),
            });
        }
        let Some(watcher) = &mut self.watcher else {
            return problems;
        };
        for folder in std::mem::take(&mut self.armed) {
            // It may be gone, and its watch with it.
            let _ = watcher.unwatch(&folder);
        }
        let wanted = interest.folders();
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        for folder in wanted {
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.armed.insert(folder);
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => problems.push(Problem {
                    message: advice(&error),
                    path: folder,
                }),
            }
        }
        problems
    }
}

impl Interest {
    fn wants(&self, event: &Event) -> bool {
        let is_change = match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        };
        let concerns = |path: &PathBuf| {
            self.exact.contains(path)
                || self.inside.contains(path)
                || path
                    .parent()
                    .is_some_and(|parent| self.inside.contains(parent))
        };
        // Without a path it says that reports were lost.
        is_change && (event.paths.is_empty() || event.paths.iter().any(concerns))
    }

    fn folders(&self) -> BTreeSet<PathBuf> {
        let parents = self.exact.iter().map(|path| parent_of(path));
        let folders = parents.chain(self.inside.iter().cloned());
        folders.filter(|folder| folder.is_dir()).collect()
    }
}

/// The folders' own entries matter too: a folder may be made later, deleted, or be a link that is changed.
fn interest(sources: &Sources) -> (Interest, Option<Problem>) {
    let root = root(&sources.policies);
    let tree = tree(&root);
    let configs = configs::list(&sources.services)
        .ok()
        .flatten()
        .unwrap_or_default();
    let inside = tree.folders.iter().chain(&configs.folders);
    let exact = [&root, &sources.services];
    let interest = Interest {
        inside: inside.map(|path| absolute(path)).collect(),
        exact: exact.into_iter().map(|path| absolute(path)).collect(),
    };
    let truncated = tree.truncated.then(|| Problem {
        path: root,
        message: "has too many or too deep folders below it: helper files in some of them are not watched".into(),
    });
    (interest, truncated)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn advice(error: &notify::Error) -> String {
    let cause = match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the limit of inotify watches is reached: raise fs.inotify.max_user_watches".into()
        }
        ErrorKind::Io(error) => error.to_string(),
        other => format!("{other:?}"),
    };
    format!(
        "changes are noticed only every now and then, because the folder cannot be watched: {cause}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{
        CreateKind, DataChange, Flag, MetadataKind, ModifyKind, RemoveKind, RenameMode,
    };

    fn wants(kind: EventKind, paths: &[&str]) -> bool {
        let interest = Interest {
            inside: BTreeSet::from(["/etc/policies".into()]),
            exact: BTreeSet::from(["/etc/policies".into(), "/etc/services".into()]),
        };
        let event = paths
            .iter()
            .fold(Event::new(kind), |event, path| event.add_path(path.into()));
        interest.wants(&event)
    }

    #[test]
    fn looking_at_files_is_no_change() {
        let check = |kind, expected| {
            assert_eq!(wants(kind, &["/etc/policies/a.star"]), expected, "{kind:?}");
        };
        check(EventKind::Access(AccessKind::Open(AccessMode::Any)), false);
        check(EventKind::Access(AccessKind::Read), false);
        check(
            EventKind::Access(AccessKind::Close(AccessMode::Read)),
            false,
        );
        check(
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            true,
        );
        check(EventKind::Create(CreateKind::File), true);
        check(EventKind::Remove(RemoveKind::File), true);
        check(EventKind::Modify(ModifyKind::Data(DataChange::Any)), true);
        check(
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
            true,
        );
        check(EventKind::Modify(ModifyKind::Name(RenameMode::To)), true);
        check(EventKind::Other, true);
    }

    #[test]
    fn only_what_is_ours_matters() {
        let check = |path, expected| {
            assert_eq!(
                wants(EventKind::Create(CreateKind::Any), &[path]),
                expected,
                "{path}"
            );
        };
        check("/etc/policies/..data", true);
        check("/etc/policies", true);
        check("/etc/services", true);
        check("/etc/passwd", false);
        check("/etc", false);
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(Interest::default().wants(&lost));
    }
}
