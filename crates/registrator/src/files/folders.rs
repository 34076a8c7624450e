//! Which folders the kernel reports changes of.

use super::policies::parent_of;
use super::seen::{FolderId, Seen};
use super::snapshot::Snapshot;
use super::{Problem, Sources};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The kernel's reports about folders.
pub(super) struct Folders {
    watcher: Option<RecommendedWatcher>,
    /// The folders that are watched. Two watches of one folder would be one for the kernel, and end together.
    armed: BTreeMap<FolderId, PathBuf>,
    filter: Arc<Mutex<ReportFilter>>,
    broken: Option<String>,
}

/// Lets reports through that are worth a look. Shared with the thread that takes them.
#[derive(Debug, Default)]
struct ReportFilter {
    interest: Interest,
    /// A watch may have ended, or looks at a folder that is not ours any more.
    stale: bool,
}

/// Which reports are worth a look at the files. All paths are absolute.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interest {
    /// Everything in these folders.
    inside: BTreeSet<PathBuf>,
    /// These alone, whatever else is in their folders.
    exact: BTreeSet<PathBuf>,
}

/// What came of watching folders.
#[derive(Debug)]
pub(super) struct Armed {
    /// Some were not watched before: what changed in them since they were looked at was not reported.
    pub(super) new: bool,
    /// What cannot be watched.
    pub(super) problems: Vec<Problem>,
}

impl Folders {
    /// Calls `changed` whenever something may have changed. It is called often, and from a thread of its own.
    pub(super) fn new(changed: impl Fn() + Send + 'static) -> Folders {
        let filter = Arc::new(Mutex::new(ReportFilter::default()));
        let reported = Arc::clone(&filter);
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if locked(&reported).take_in(&event) {
                changed();
            }
        });
        let (watcher, broken) = match made {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(advice(&error))),
        };
        Folders {
            watcher,
            armed: BTreeMap::new(),
            filter,
            broken,
        }
    }

    /// Watches nothing, ever.
    pub(super) fn none() -> Folders {
        Folders {
            watcher: None,
            armed: BTreeMap::new(),
            filter: Arc::default(),
            broken: None,
        }
    }

    /// Has all folders watched anew next time, should a watch have ended without a report.
    pub(super) fn renew(&self) {
        locked(&self.filter).stale = true;
    }

    /// Watches the folders that were looked into, and the entries of the sources' own folders: such a folder may be made
    /// later, deleted, or be a link that is changed.
    pub(super) fn arm(&mut self, sources: &Sources, snapshot: &Snapshot) -> Armed {
        let mut armed = Armed {
            new: false,
            problems: Vec::new(),
        };
        if let Some(message) = &self.broken {
            armed.problems.push(Problem {
                path: sources.policies.clone().into(),
                message: message.clone(),
            });
        }
        if let Some(watcher) = &mut self.watcher {
            let (wanted, interest) = wanted(snapshot);
            let stale = locked(&self.filter).look_for(interest);
            let is_over = |id: &FolderId, path: &mut PathBuf| stale || wanted.get(id) != Some(path);
            for (_, folder) in self.armed.extract_if(.., is_over) {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(&folder);
            }
            for (id, folder) in wanted {
                if let Entry::Vacant(place) = self.armed.entry(id) {
                    match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                        Ok(()) => {
                            place.insert(folder);
                            armed.new = true;
                        }
                        Err(error) => armed.problems.extend(unwatched(folder, &error)),
                    }
                }
            }
        }
        armed
    }
}

fn locked(filter: &Mutex<ReportFilter>) -> MutexGuard<'_, ReportFilter> {
    filter.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReportFilter {
    /// Returns whether the watches before are to be renewed.
    fn look_for(&mut self, interest: Interest) -> bool {
        self.interest = interest;
        std::mem::take(&mut self.stale)
    }

    /// Whether the report is worth a look at the files.
    fn take_in(&mut self, event: &notify::Result<Event>) -> bool {
        match event {
            Ok(event) => {
                self.stale |= self.interest.is_of_folder(event);
                self.interest.wants(event)
            }
            Err(_) => {
                self.stale = true;
                true
            }
        }
    }
}

impl Interest {
    fn wants(&self, event: &Event) -> bool {
        let is_change = match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        };
        let concerns = |path: &PathBuf| {
            self.is_folder(path)
                || path
                    .parent()
                    .is_some_and(|parent| self.inside.contains(parent))
        };
        // Without a path it says that reports were lost.
        is_change && (event.paths.is_empty() || event.paths.iter().any(concerns))
    }

    /// Whether the report may mean that a path leads to another folder now, or to none: its watch may have ended with it,
    /// although the folder is there, and even if it has the same number as the one before.
    fn is_of_folder(&self, event: &Event) -> bool {
        let is_of_entry = matches!(
            event.kind,
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        let is_folder = |path: &PathBuf| self.is_folder(path);
        event.paths.is_empty() || is_of_entry && event.paths.iter().any(is_folder)
    }

    fn is_folder(&self, path: &PathBuf) -> bool {
        self.exact.contains(path) || self.inside.contains(path)
    }
}

/// The folders to watch, each by one of the paths to it, and what to look for in them.
fn wanted(snapshot: &Snapshot) -> (BTreeMap<FolderId, PathBuf>, Interest) {
    let mut wanted = BTreeMap::new();
    let mut interest = Interest::default();
    for seen in &snapshot.folders {
        if let Some(id) = seen.folder {
            let path = wanted.entry(id).or_insert_with(|| absolute(&seen.path));
            interest.inside.insert(path.clone());
        }
    }
    for root in &snapshot.roots {
        let root = absolute(root);
        let parent = Seen::at(parent_of(&root));
        if let (Some(id), Some(name)) = (parent.folder, root.file_name()) {
            let path = wanted.entry(id).or_insert(parent.path);
            interest.exact.insert(path.join(name));
        }
    }
    (wanted, interest)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// Why changes in a folder are not reported, unless it is gone by now.
fn unwatched(folder: PathBuf, error: &notify::Error) -> Option<Problem> {
    let is_gone = match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    };
    (!is_gone).then(|| Problem {
        message: advice(error),
        path: folder,
    })
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
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};

    fn filter() -> ReportFilter {
        ReportFilter {
            interest: Interest {
                inside: BTreeSet::from(["/etc/policies".into()]),
                exact: BTreeSet::from(["/etc/policies".into(), "/etc/services".into()]),
            },
            stale: false,
        }
    }

    fn event(kind: EventKind, path: &str) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path.into()))
    }

    fn wants(kind: EventKind, path: &str) -> bool {
        filter().take_in(&event(kind, path))
    }

    #[test]
    fn looking_at_files_is_no_change() {
        let check = |kind, expected| {
            assert_eq!(wants(kind, "/etc/policies/a.star"), expected, "{kind:?}");
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
                wants(EventKind::Create(CreateKind::Any), path),
                expected,
                "{path}"
            );
        };
        check("/etc/policies/..data", true);
        check("/etc/policies", true);
        check("/etc/services", true);
        check("/etc/passwd", false);
        check("/etc", false);
    }

    #[test]
    fn folders_are_watched_anew_when_theirs_may_be_gone() {
        let check = |event: &notify::Result<Event>, expected| {
            let mut filter = filter();
            assert!(filter.take_in(event), "{event:?}");
            assert_eq!(filter.stale, expected, "{event:?}");
        };
        let gone = EventKind::Remove(RemoveKind::Folder);
        let moved = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let touched = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        check(&event(gone, "/etc/policies"), true);
        check(&event(moved, "/etc/services"), true);
        check(&event(touched, "/etc/policies"), false);
        check(&event(moved, "/etc/policies/a.star"), false);
        check(
            &Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)),
            true,
        );
        check(&Err(notify::Error::generic("broken")), true);
    }

    #[test]
    fn folders_are_watched_by_difference() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("p/lib")).unwrap();
        let sources = Sources {
            policies: path("p").display().to_string(),
            services: path("s"),
        };
        let mut folders = Folders::new(|| {});
        let mut check = |is_new, names: &[&str]| {
            let armed = folders.arm(&sources, &Snapshot::take(&sources));
            assert_eq!((armed.new, armed.problems), (is_new, vec![]));
            let watched: BTreeSet<&PathBuf> = folders.armed.values().collect();
            let expected: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
            assert_eq!(watched, expected.iter().collect());
        };
        check(true, &["", "p", "p/lib"]);
        check(false, &["", "p", "p/lib"]);
        std::fs::create_dir_all(path("s/a")).unwrap();
        check(true, &["", "p", "p/lib", "s", "s/a"]);
        std::os::unix::fs::symlink("a", path("s/b")).unwrap();
        std::fs::rename(path("s/a"), path("s/c")).unwrap();
        check(true, &["", "p", "p/lib", "s", "s/c"]);
    }
}
