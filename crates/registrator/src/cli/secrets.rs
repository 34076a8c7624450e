//! Files with secrets that everybody on this host may read.

use super::connect;
use crate::aside;
use crate::docker::DockerEndpoint;
use crate::settings::{Environment, HostSettings};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tracing::warn;

/// Says in one warning which they are. What cannot be looked at is none: whoever reads it says why.
pub(super) fn warn_of_exposed(settings: &HostSettings, environment: &Environment) {
    let files = secrets(settings, environment);
    let exposed = aside::wait_for(move || exposed(files)).unwrap_or_default();
    if let Some(text) = warning(&exposed) {
        warn!("{text}");
    }
}

fn secrets(settings: &HostSettings, environment: &Environment) -> Vec<PathBuf> {
    let docker_key = match connect::docker_endpoint(&settings.docker, environment) {
        Ok(DockerEndpoint::Tls { cert_path, .. }) => Some(cert_path.join("key.pem")),
        _ => None,
    };
    let etcd = &settings.etcd;
    let files = [
        etcd.etcd_password_file.clone(),
        etcd.etcd_key_file.clone(),
        docker_key,
    ];
    files.into_iter().flatten().collect()
}

/// Those that others than their owner and group can open.
fn exposed(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.retain(|file| is_exposed(file).unwrap_or(false));
    files
}

fn is_exposed(file: &Path) -> std::io::Result<bool> {
    let file = file.canonicalize()?;
    for folder in file.ancestors().skip(1) {
        if mode(folder)? & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(mode(&file)? & 0o004 != 0)
}

fn mode(path: &Path) -> std::io::Result<u32> {
    Ok(path.metadata()?.permissions().mode())
}

fn warning(exposed: &[PathBuf]) -> Option<String> {
    let names = exposed.iter().map(|path| path.display().to_string());
    let names: Vec<String> = names.collect();
    let text = "everybody on this host may read what is secret: take the right away with chmod o-r";
    (!names.is_empty()).then(|| format!("{text} {}", names.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn what_everybody_may_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        fs::write(&file, "secret").unwrap();
        // Not below a private folder for temporary files.
        let mut above = folder.path().ancestors().skip(1);
        let is_reachable = above.all(|folder| mode(folder).unwrap() & 0o001 != 0);
        let check = |folder_mode, file_mode, expected: bool| {
            fs::set_permissions(folder.path(), Permissions::from_mode(folder_mode)).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(file_mode)).unwrap();
            let found = exposed(vec![file.clone(), folder.path().join("missing")]);
            let expected = (expected && is_reachable).then(|| file.clone());
            let expected = Vec::from_iter(expected);
            assert_eq!(found, expected, "{folder_mode:o} {file_mode:o}");
        };
        check(0o755, 0o644, true);
        check(0o755, 0o640, false);
        check(0o755, 0o600, false);
        check(0o700, 0o644, false);
    }

    #[test]
    fn there_is_one_warning_for_all() {
        assert_eq!(warning(&[]), None);
        let text = warning(&["a".into(), "b".into()]).unwrap();
        assert!(text.ends_with("with chmod o-r a b"), "{text}");
    }
}
