//! Which files are policies, and which files those may load.

use super::{FilesError, is_hidden};
use registrator_policy::is_policy_file;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// A file with a policy in it, not yet read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyFile {
    /// The file's base name without its ending, as the policy will be called.
    pub name: String,
    /// Where it is.
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
    let mut paths = match Place::of(pattern)? {
        Place::Folder(folder) => in_folder(&folder)?,
        Place::File(file) => one_file(file)?,
        Place::Pattern(base) => matching(pattern, base)?,
    };
    paths.sort();
    named(paths)
}

/// What the files below a folder are.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The folder and those below it.
    pub(super) folders: Vec<PathBuf>,
    /// Every file that is a policy by its name, and may be a helper of one, sorted.
    pub(super) files: Vec<PathBuf>,
    /// There are more folders than are looked into.
    pub(super) truncated: bool,
}

/// The folder with all the files that the policies may consist of.
pub(super) fn root(pattern: &str) -> PathBuf {
    let path = Path::new(pattern);
    if is_pattern(pattern) && !path.exists() {
        return base_of(path);
    }
    match path.is_file() {
        true => parent_of(path),
        false => path.into(),
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

/// Looks at everything below `root`. What cannot be read is left out.
pub(super) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::default();
    let mut seen = BTreeSet::new();
    let mut open = vec![(root.to_path_buf(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let Ok(meta) = std::fs::metadata(&folder) else {
            continue;
        };
        if !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        if tree.folders.len() == MAX_FOLDERS || depth > MAX_DEPTH {
            tree.truncated = true;
            continue;
        }
        for entry in entries(&folder).unwrap_or_default() {
            match entry.is_dir() {
                true if !is_hidden(&entry) => open.push((entry, depth + 1)),
                false if is_policy_file(&entry) => tree.files.push(entry),
                _ => {}
            }
        }
        tree.folders.push(folder);
    }
    tree.files.sort();
    tree
}

/// The paths in a folder, in no order.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// What a pattern stands for at the moment.
enum Place {
    Folder(PathBuf),
    File(PathBuf),
    /// A pattern, with the folder before its first wildcard.
    Pattern(PathBuf),
}

impl Place {
    fn of(pattern: &str) -> Result<Place, FilesError> {
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

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What comes before the first component with a wildcard.
fn base_of(pattern: &Path) -> PathBuf {
    let plain = |part: &Component<'_>| !is_pattern(&part.as_os_str().to_string_lossy());
    let base: PathBuf = pattern.components().take_while(plain).collect();
    match base.as_os_str().is_empty() {
        true => ".".into(),
        false => base,
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let entries = entries(folder).map_err(|source| FilesError::Read {
        path: folder.into(),
        source,
    })?;
    let is_policy = |path: &PathBuf| is_policy_file(path) && !path.is_dir();
    Ok(entries.into_iter().filter(is_policy).collect())
}

fn one_file(file: PathBuf) -> Result<Vec<PathBuf>, FilesError> {
    match is_policy_file(&file) {
        true => Ok(vec![file]),
        false => Err(FilesError::NotAPolicy(file)),
    }
}

fn matching(pattern: &str, base: PathBuf) -> Result<Vec<PathBuf>, FilesError> {
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
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| FilesError::Read {
            path: error.path().into(),
            source: error.into(),
        })?;
        if is_policy_file(&path) && !path.is_dir() {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn named(paths: Vec<PathBuf>) -> Result<Vec<PolicyFile>, FilesError> {
    let mut known: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut files = Vec::new();
    for path in paths {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match known.get(&name) {
            // A folder that is linked in twice holds each policy once.
            Some(first) if same_file(first, &path) => continue,
            Some(first) => {
                return Err(FilesError::SameName {
                    name,
                    first: first.clone(),
                    second: path,
                });
            }
            None => known.insert(name.clone(), path.clone()),
        };
        files.push(PolicyFile { name, path });
    }
    Ok(files)
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
            .map(|path| {
                path.strip_prefix(folder.path())
                    .unwrap()
                    .display()
                    .to_string()
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
            let found = root(folder.path().join(pattern).to_str().unwrap());
            assert_eq!(found, folder.path().join(expected), "{pattern}");
        };
        check("p", "p");
        check("p/b.star", "p");
        check("p/*.star", "p");
        check("*/b.star", "");
        check("none", "none");
        assert_eq!(root("*.star"), Path::new("."));
    }
}
