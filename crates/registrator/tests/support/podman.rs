//! Podman as an engine for tests: Debian's, with all that it writes in the namespaces and the folder of the test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What podman needs beside what Docker's tests need.
pub(crate) const PROGRAMS: [&str; 3] = ["podman", "conmon", "iptables"];

/// Its images and containers are not the machine's. To be run once, where it will live.
pub(crate) const PREPARE: &str =
    "mkdir -p /var/lib/containers && mount -t tmpfs tmpfs /var/lib/containers";

/// Podman's settings, in files of a folder.
pub(crate) struct Podman {
    settings: [(&'static str, PathBuf); 2],
}

impl Podman {
    /// Writes the settings.
    pub(crate) fn with_settings_in(folder: &Path) -> Self {
        let networks = folder.join("networks");
        // Without systemd, and on a machine with both versions of cgroups, where crun does not run.
        let containers = format!(
            "[containers]\nlog_driver = \"k8s-file\"\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n[network]\nnetwork_config_dir = {networks:?}\n"
        );
        let storage = "[storage]\ndriver = \"vfs\"\ngraphroot = \"/var/lib/containers/storage\"\nrunroot = \"/run/containers/storage\"\n";
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a settings file");
            path
        };
        Self {
            settings: [
                ("CONTAINERS_CONF", file("containers.conf", &containers)),
                ("CONTAINERS_STORAGE_CONF", file("storage.conf", storage)),
            ],
        }
    }

    /// Makes a command for `podman` that of the service.
    pub(crate) fn serve(&self, command: &mut Command, host: &str) {
        let variables = self.settings.iter();
        command.envs(variables.map(|(name, path)| (OsStr::new(name), path.as_os_str())));
        command.args(["system", "service", "--time=0", host]);
    }
}
