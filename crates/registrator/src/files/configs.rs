//! Which files are configurations.

use super::contents;
use super::policies::entries;
use super::{FilesError, Problem, is_hidden};
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::spec::PolicyName;
use std::io;
use std::path::{Path, PathBuf};

/// The configurations in a folder.
#[derive(Debug, Default)]
pub struct ConfigScan {
    /// Those that could be read, sorted by path.
    pub configs: Vec<RawConfig>,
    /// Files and folders that could not, or whose names name no policy. What is known of them, or of files in them, still
    /// holds: they are not gone.
    pub problems: Vec<Problem>,
    /// The folder does not exist, which means that there are no configurations.
    pub missing: bool,
}

/// Reads `:policy.json` and `:policy/*.json` in `services`. Hidden files and files with other endings are none.
///
/// # Errors
/// The folder itself cannot be read.
pub fn scan_configs(services: &Path) -> Result<ConfigScan, FilesError> {
    let mut scan = ConfigScan::default();
    let Some(listing) = list(services)? else {
        scan.missing = true;
        return Ok(scan);
    };
    scan.problems = listing.problems;
    for file in listing.files {
        match file.read() {
            Ok(Some(config)) => scan.configs.push(config),
            Ok(None) => {}
            Err(problem) => scan.problems.push(problem),
        }
    }
    Ok(scan)
}

/// What is in the folder, unread.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sorted by path.
    pub(super) files: Vec<ConfigFile>,
    /// The folder, and those in it.
    pub(super) folders: Vec<PathBuf>,
    problems: Vec<Problem>,
}

/// A configuration that is not yet read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    policy: String,
    name: Option<String>,
}

/// Lists the folder; `None` if it does not exist.
pub(super) fn list(services: &Path) -> Result<Option<Listing>, FilesError> {
    let top = match entries(services) {
        Ok(top) => top,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(FilesError::Read {
                path: services.into(),
                source,
            });
        }
    };
    let mut listing = Listing::default();
    listing.folders.push(services.into());
    for path in top.into_iter().filter(|path| !is_hidden(path)) {
        match path.is_dir() {
            true => listing.add_folder(path),
            false => listing.add_file(path, None),
        }
    }
    listing.files.sort();
    listing.problems.sort();
    Ok(Some(listing))
}

impl Listing {
    fn add_folder(&mut self, folder: PathBuf) {
        let policy = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match entries(&folder) {
            Ok(files) => {
                let shown = files
                    .into_iter()
                    .filter(|path| !is_hidden(path) && !path.is_dir());
                shown.for_each(|path| self.add_file(path, Some(&policy)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => self.problems.push(unreadable(&folder, &error)),
        }
        self.folders.push(folder);
    }

    fn add_file(&mut self, path: PathBuf, folder: Option<&str>) {
        if path.extension().is_none_or(|ending| ending != "json") {
            return;
        }
        let Some(stem) = path
            .file_stem()
            .and_then(std::ffi::OsStr::to_str)
            .map(str::to_owned)
        else {
            self.problems.push(Problem {
                path,
                message: "the file's name is not UTF-8: rename it".into(),
            });
            return;
        };
        let (policy, name) = match folder {
            Some(policy) => (policy.to_owned(), Some(stem)),
            None => (stem, None),
        };
        self.files.push(ConfigFile { path, policy, name });
    }
}

impl ConfigFile {
    /// `None` if it is gone by now.
    fn read(self) -> Result<Option<RawConfig>, Problem> {
        let policy = PolicyName::parse(&self.policy).map_err(|error| Problem {
            path: self.path.clone(),
            message: error.to_string(),
        })?;
        match contents::read(&self.path) {
            Ok(bytes) => Ok(Some(RawConfig {
                policy,
                name: self.name,
                source: ConfigSource::File(self.path.display().to_string()),
                bytes,
            })),
            // A link to nothing is still there, and nobody meant it to be.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path.is_symlink() => {
                Ok(None)
            }
            Err(error) => Err(unreadable(&self.path, &error)),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        path: path.into(),
        message: format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::fs;

    fn check(folder: &Path, expected: &Expect) {
        let scan = scan_configs(folder).unwrap();
        let root = format!("{}/", folder.display());
        let mut shown = String::new();
        for config in &scan.configs {
            let bytes = String::from_utf8_lossy(&config.bytes);
            let source = config.source.to_string().replace(&root, "");
            shown.push_str(&format!(
                "{}:{:?} {source} {bytes}\n",
                config.policy, config.name
            ));
        }
        for problem in &scan.problems {
            let path = problem.path.strip_prefix(folder).unwrap().display();
            shown.push_str(&format!("! {path}: {}\n", problem.message));
        }
        expected.assert_eq(&shown);
    }

    #[test]
    fn files_name_policy_and_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for dir in ["skydns/deeper.json", "other", ".git", "empty"] {
            fs::create_dir_all(path.join(dir)).unwrap();
        }
        for name in [
            "skydns.json",
            "skydns/b.json",
            "skydns/a.json",
            "skydns/a.json~",
            "skydns/.a.json",
            "skydns/deeper.json/c.json",
            "other/x.y.json",
            ".git/g.json",
            "README.md",
        ] {
            fs::write(path.join(name), "{}").unwrap();
        }
        check(
            path,
            &expect![[r#"
            other:Some("x.y") other/x.y.json {}
            skydns:Some("a") skydns/a.json {}
            skydns:Some("b") skydns/b.json {}
            skydns:None skydns.json {}
        "#]],
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("p")).unwrap();
        fs::create_dir_all(path.join("a b")).unwrap();
        fs::write(path.join("p/good.json"), "{}").unwrap();
        fs::write(path.join("a b/x.json"), "{}").unwrap();
        fs::write(path.join("p/big.json"), vec![b' '; (1 << 20) + 1]).unwrap();
        std::os::unix::fs::symlink("nowhere", path.join("p/link.json")).unwrap();
        std::os::unix::net::UnixListener::bind(path.join("p/socket.json")).unwrap();
        check(
            path,
            &expect![[r#"
            p:Some("good") p/good.json {}
            ! a b/x.json: "a b" cannot name a policy: use letters, digits, '-', '_' and '.' in the file's base name, beginning with a letter, a digit or '_'
            ! p/big.json: cannot be read: it is larger than 1 MiB
            ! p/link.json: cannot be read: No such file or directory (os error 2)
            ! p/socket.json: cannot be read: it is not a regular file
        "#]],
        );
    }

    #[test]
    fn a_missing_folder_holds_no_configurations() {
        let folder = tempfile::tempdir().unwrap();
        let scan = scan_configs(&folder.path().join("none")).unwrap();
        assert!(scan.missing && scan.configs.is_empty());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(
            scan_configs(&file)
                .unwrap_err()
                .to_string()
                .starts_with("cannot read ")
        );
    }
}
