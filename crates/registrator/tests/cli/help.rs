//! What the program says of itself.

use crate::{Folder, contains};

#[test]
fn version() {
    let (stdout, stderr) = Folder::new().run(0, &["--version"]);
    assert_eq!(
        stdout,
        format!("kontena-registrator {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(stderr, "");
}

#[test]
fn help_tells_options_variables_and_defaults() {
    let folder = Folder::new();
    let files = [
        "--policies",
        "KONTENA_REGISTRATOR_POLICIES",
        "[default: etc/policies/]",
        "LOG_LEVEL",
    ];
    let etcd = [
        "--etcd-endpoint",
        "ETCD_ENDPOINT",
        "--lease-ttl",
        "[default: 30s]",
        "DOCKER_HOST",
    ];
    for command in ["run", "plan", "check"] {
        let (stdout, _) = folder.run(0, &[command, "--help"]);
        contains(&stdout, &files);
        if command != "check" {
            contains(&stdout, &etcd);
        }
    }
    let (stdout, _) = folder.run(0, &["--help"]);
    contains(
        &stdout,
        &["run", "plan", "check", "--on-exit", "Exit codes"],
    );
    contains(&stdout, &etcd);
}
