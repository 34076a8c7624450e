//! Which files are configurations.

use super::contents::{self, Content, Reading};
use super::seen::{Seen, entries};
use super::{FilesError, Problem, unreadable};
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::spec::PolicyName;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

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
    for file in &listing.files {
        match file.reread(None) {
            Ok(reading) => {
                let bytes = reading.and_then(|reading| reading.new);
                scan.configs.extend(bytes.map(|bytes| file.raw(bytes)));
            }
            Err(problem) => scan.problems.push(problem),
        }
    }
    scan.problems.sort();
    Ok(scan)
}

/// What is in the folder, unread.
#[derive(Debug, Default)]
pub(super) struct ConfigListing {
    /// Sorted by path.
    pub(super) files: Vec<ConfigFile>,
    /// The folder, and those in it.
    pub(super) folders: Vec<Seen>,
    /// Folders that cannot be read, and files whose names name no configuration.
    pub(super) problems: Vec<Problem>,
}

/// A configuration that is not yet read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) seen: Seen,
    policy: PolicyName,
    name: Option<String>,
}

/// Lists the folder; `None` if it does not exist.
pub(super) fn list(services: &Path) -> Result<Option<ConfigListing>, FilesError> {
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
    let mut listing = ConfigListing::default();
    listing.folders.push(Seen::at(services.into()));
    for seen in top {
        if seen.is_dir() {
            listing.add_folder(seen);
        } else {
            listing.add_file(seen, None);
        }
    }
    listing
        .files
        .sort_by(|one, other| one.seen.path.cmp(&other.seen.path));
    listing.problems.sort();
    Ok(Some(listing))
}

impl ConfigListing {
    fn add_folder(&mut self, folder: Seen) {
        let name = folder.path.file_name().unwrap_or_default();
        let policy = name.to_string_lossy().into_owned();
        match entries(&folder.path) {
            Ok(entries) => {
                for file in entries.into_iter().filter(|seen| !seen.is_dir()) {
                    self.add_file(file, Some(&policy));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => self.problems.push(unreadable(&folder.path, &error)),
        }
        self.folders.push(folder);
    }

    fn add_file(&mut self, seen: Seen, folder: Option<&str>) {
        if seen.path.extension().is_none_or(|ending| ending != "json") {
            return;
        }
        let stem = seen.path.file_stem().and_then(OsStr::to_str);
        let Some(stem) = stem.map(str::to_owned) else {
            self.problems.push(Problem {
                path: seen.path,
                message: "the file's name is not UTF-8: rename it".into(),
            });
            return;
        };
        match PolicyName::parse(folder.unwrap_or(&stem)) {
            Ok(policy) => self.files.push(ConfigFile {
                seen,
                policy,
                name: folder.map(|_| stem),
            }),
            Err(error) => self.problems.push(Problem {
                path: seen.path,
                message: error.to_string(),
            }),
        }
    }
}

impl ConfigFile {
    /// Reads the file, unless it looks as it did when `known` was read. `None` if it is gone by now.
    pub(super) fn reread(&self, known: Option<Content>) -> Result<Option<Reading>, Problem> {
        match contents::reread(&self.seen, known) {
            Ok(reading) => Ok(Some(reading)),
            // A link to nothing is still there, and nobody meant it to be.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && !self.seen.path.is_symlink() =>
            {
                Ok(None)
            }
            Err(error) => Err(unreadable(&self.seen.path, &error)),
        }
    }

    /// The configuration with these contents.
    pub(super) fn raw(&self, bytes: Vec<u8>) -> RawConfig {
        RawConfig {
            policy: self.policy.clone(),
            name: self.name.clone(),
            source: ConfigSource::File(self.seen.path.display().to_string()),
            bytes,
        }
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
