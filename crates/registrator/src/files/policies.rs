//! Which files are policies, and which files those may load.

use super::FilesError;
use super::seen::{Seen, entries};
use registrator_policy::is_policy_file;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

/// A file with a policy in it, not yet read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyFile {
    /// The file's base name without its ending, as the policy will be called.
    pub name: String,
    pub path: PathBuf,
}

/// How far below the policies' folder helper files are looked for.
const MAX_DEPTH: usize = 8;

/// How many folders are looked into, should somebody point at the root of a disk.
const MAX_FOLDERS: usize = 256;

/// Lists the policies that `pattern` means, sorted by path: every policy file in a folder (not below it, and no hidden
/// ones), those that match a pattern such as `etc/policies/*.star`, or one file.
///
/// # Errors
/// There is nothing, it cannot be read, or two files would have one name.
pub fn scan_policies(pattern: &str) -> Result<Vec<PolicyFile>, FilesError> {
    let place = Place::of(pattern);
    let mut tree = tree(&root(pattern, &place));
    let policies = policies(pattern, place, &mut tree)?;
    Ok(policies.iter().map(Policy::file).collect())
}

/// A policy, and its file as it is seen.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) seen: Seen,
}

impl Policy {
    pub(super) fn file(&self) -> PolicyFile {
        PolicyFile {
            name: self.name.clone(),
            path: self.seen.path.clone(),
        }
    }
}

/// What the files below a folder are.
#[derive(Debug)]
pub(super) struct Tree {
    /// The folder and those below it.
    pub(super) folders: Vec<Seen>,
    /// Every file that is a policy by its name, and may be a helper of one, sorted by path.
    pub(super) files: Vec<Seen>,
    /// There are more folders than are looked into.
    pub(super) truncated: bool,
    /// Why the folder itself cannot be read. Folders below it that cannot are left out.
    error: Option<io::Error>,
}

/// What a pattern stands for at the moment.
pub(super) enum Place {
    Folder(PathBuf),
    File(PathBuf),
    /// A pattern, with the folder before its first wildcard.
    Pattern(PathBuf),
}

impl Place {
    pub(super) fn of(pattern: &str) -> Result<Place, FilesError> {
        let path = PathBuf::from(pattern);
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Ok(Place::Folder(path)),
            Ok(_) => Ok(Place::File(path)),
            Err(_) if is_pattern(pattern) => Ok(Place::Pattern(base_of(&path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FilesError::NoPolicies(path))
            }
            Err(source) => Err(FilesError::Read { path, source }),
        }
    }
}

/// The folder with all the files that the policies may consist of.
pub(super) fn root(pattern: &str, place: &Result<Place, FilesError>) -> PathBuf {
    match place {
        Ok(Place::Folder(folder) | Place::Pattern(folder)) => folder.clone(),
        Ok(Place::File(file)) => parent_of(file),
        Err(_) => pattern.into(),
    }
}

/// The folder that `path` is in.
pub(super) fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => ".".into(),
        Some(parent) => parent.into(),
        None => path.into(),
    }
}

/// Looks at everything below `root`.
pub(super) fn tree(root: &Path) -> Tree {
    let mut tree = Tree {
        folders: Vec::new(),
        files: Vec::new(),
        truncated: false,
        error: None,
    };
    let mut known = BTreeSet::new();
    let mut open = vec![(Seen::at(root.into()), 0)];
    while let Some((folder, depth)) = open.pop() {
        if folder.folder.is_none_or(|id| !known.insert(id)) {
            continue;
        }
        if tree.folders.len() == MAX_FOLDERS || depth > MAX_DEPTH {
            tree.truncated = true;
            continue;
        }
        match entries(&folder.path) {
            Ok(entries) => {
                let (folders, files): (Vec<Seen>, Vec<Seen>) =
                    entries.into_iter().partition(Seen::is_dir);
                open.extend(folders.into_iter().map(|folder| (folder, depth + 1)));
                let files = files.into_iter();
                tree.files
                    .extend(files.filter(|file| is_policy_file(&file.path)));
            }
            Err(error) if depth == 0 => tree.error = Some(error),
            Err(_) => {}
        }
        tree.folders.push(folder);
    }
    tree.files.sort_by(|one, other| one.path.cmp(&other.path));
    tree
}

/// The policies at a place, sorted by path. `tree` is what is below its [`root`].
///
/// # Errors
/// As for [`scan_policies`].
pub(super) fn policies(
    pattern: &str,
    place: Result<Place, FilesError>,
    tree: &mut Tree,
) -> Result<Vec<Policy>, FilesError> {
    let mut files = match place? {
        Place::Folder(folder) => in_folder(folder, tree)?,
        Place::File(file) if is_policy_file(&file) => vec![Seen::at(file)],
        Place::File(file) => return Err(FilesError::NotAPolicy(file)),
        Place::Pattern(base) => matching(pattern, base)?,
    };
    files.sort_by(|one, other| one.path.cmp(&other.path));
    named(files)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What comes before the first component with a wildcard.
fn base_of(pattern: &Path) -> PathBuf {
    let plain = |part: &Component<'_>| !is_pattern(&part.as_os_str().to_string_lossy());
    let base: PathBuf = pattern.components().take_while(plain).collect();
    if base.as_os_str().is_empty() {
        ".".into()
    } else {
        base
    }
}

fn in_folder(folder: PathBuf, tree: &mut Tree) -> Result<Vec<Seen>, FilesError> {
    if let Some(source) = tree.error.take() {
        return Err(FilesError::Read {
            path: folder,
            source,
        });
    }
    let directly = |file: &&Seen| file.path.parent() == Some(&folder);
    Ok(tree.files.iter().filter(directly).cloned().collect())
}

fn matching(pattern: &str, base: PathBuf) -> Result<Vec<Seen>, FilesError> {
    if !base.exists() {
        return Err(FilesError::NoPolicies(base));
    }
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob::glob_with(pattern, options).map_err(|source| FilesError::Pattern {
        pattern: pattern.into(),
        source,
    })?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| FilesError::Read {
            path: error.path().into(),
            source: error.into(),
        })?;
        if is_policy_file(&path) {
            files.push(Seen::at(path));
        }
    }
    files.retain(|file| !file.is_dir());
    Ok(files)
}

fn named(files: Vec<Seen>) -> Result<Vec<Policy>, FilesError> {
    let mut known: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut policies = Vec::new();
    for seen in files {
        let stem = seen.path.file_stem().unwrap_or_default();
        let name = stem.to_string_lossy().into_owned();
        match known.get(&name) {
            // A folder that is linked in twice holds each policy once.
            Some(first) if same_file(first, &seen.path) => continue,
            Some(first) => {
                return Err(FilesError::SameName {
                    name,
                    first: first.clone(),
                    second: seen.path,
                });
            }
            None => known.insert(name.clone(), seen.path.clone()),
        };
        policies.push(Policy { name, seen });
    }
    Ok(policies)
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A folder with policies, a helper, a hidden file and something else.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("p/lib/deep")).unwrap();
        fs::create_dir_all(path.join("p/dir.star")).unwrap();
        for name in [
            "b.star",
            "a.rb",
            ".h.star",
            "README.md",
            "lib/l.star",
            "lib/deep/d.star",
        ] {
            fs::write(path.join("p").join(name), name).unwrap();
        }
        folder
    }

    fn scan(folder: &Path, pattern: &str) -> Result<String, String> {
        let pattern = folder.join(pattern);
        let found = scan_policies(pattern.to_str().unwrap());
        let found =
            found.map_err(|error| error.to_string().replace(folder.to_str().unwrap(), "T"))?;
        let names: Vec<String> = found
            .iter()
            .map(|file| {
                format!(
                    "{}={}",
                    file.name,
                    file.path.strip_prefix(folder).unwrap().display()
                )
            })
            .collect();
        Ok(names.join(" "))
    }

    #[test]
    fn a_folder_a_pattern_or_a_file_name_policies() {
        let folder = folder();
        let check = |pattern, expected: &str| {
            assert_eq!(
                scan(folder.path(), pattern).as_deref(),
                Ok(expected),
                "{pattern}"
            );
        };
        check("p", "a=p/a.rb b=p/b.star");
        check("p/", "a=p/a.rb b=p/b.star");
        check("p/*.star", "b=p/b.star");
        check("p/*", "a=p/a.rb b=p/b.star");
        check("?/[b-c].star", "b=p/b.star");
        check("p/lib/**/*.star", "d=p/lib/deep/d.star l=p/lib/l.star");
        check("p/b.star", "b=p/b.star");
        check("p/*.py", "");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = folder();
        let check = |pattern, expected: &str| {
            let error = scan(folder.path(), pattern).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "none",
            "T/none does not exist: put policies (*.star, *.rb) there, or name another place with --policies",
        );
        check("none/*.star", "T/none does not exist");
        check("p/README.md", "T/p/README.md is not a policy");
        check("p/a**.star", "is not a valid pattern");
    }

    #[test]
    fn two_files_cannot_be_one_policy() {
        let folder = folder();
        fs::write(folder.path().join("p/a.star"), "").unwrap();
        let error = scan(folder.path(), "p").unwrap_err();
        assert_eq!(
            error,
            "T/p/a.rb and T/p/a.star would both be policy a: rename one of them"
        );
    }

    #[test]
    fn a_folder_linked_in_twice_holds_each_policy_once() {
        let folder = folder();
        symlink("lib", folder.path().join("p/link")).unwrap();
        let found = scan(folder.path(), "p/li*/*.star");
        assert_eq!(found.as_deref(), Ok("l=p/lib/l.star"));
    }

    #[test]
    fn helpers_are_found_below_and_loops_end() {
        let folder = folder();
        symlink(folder.path().join("p"), folder.path().join("p/lib/loop")).unwrap();
        let tree = tree(&folder.path().join("p"));
        let shown: Vec<String> = tree
            .files
            .iter()
            .map(|file| {
                let path = file.path.strip_prefix(folder.path());
                path.unwrap().display().to_string()
            })
            .collect();
        assert_eq!(
            shown,
            ["p/a.rb", "p/b.star", "p/lib/deep/d.star", "p/lib/l.star"]
        );
        assert_eq!(tree.folders.len(), 4);
        assert!(!tree.truncated);
    }

    #[test]
    fn the_root_is_the_folder_that_holds_the_files() {
        let folder = folder();
        let check = |pattern, expected| {
            let pattern = folder.path().join(pattern);
            let pattern = pattern.to_str().unwrap();
            let found = root(pattern, &Place::of(pattern));
            assert_eq!(found, folder.path().join(expected), "{pattern}");
        };
        check("p", "p");
        check("p/b.star", "p");
        check("p/*.star", "p");
        check("*/b.star", "");
        check("none", "none");
        assert_eq!(root("*.star", &Place::of("*.star")), Path::new("."));
    }
}
