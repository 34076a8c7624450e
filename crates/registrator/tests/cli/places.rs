//! The places of policies and configurations, as somebody gave them.

use super::{Folder, contains};

/// A mistyped place must not look like nothing to do. The default places may be missing, where that makes sense.
#[test]
fn a_place_that_somebody_gave_must_be_there() {
    let folder = Folder::new();
    for command in [&["run"][..], &["check"], &["plan", "--no-etcd"]] {
        for (option, wrong, text) in [
            (
                "--services",
                "nowhere",
                "--services (KONTENA_REGISTRATOR_SERVICES) nowhere does not exist",
            ),
            (
                "--services",
                "etc/policies/p.star",
                "etc/policies/p.star is no folder",
            ),
            ("--policies", "nowhere/", "nowhere/ does not exist"),
            ("--policies", "nowhere/*.star", "nowhere does not exist"),
        ] {
            let (_, log) = folder.run(1, &[command, &[option, wrong]].concat());
            contains(&log, &["FATAL", text]);
        }
        let given = [("KONTENA_REGISTRATOR_SERVICES", "nowhere")];
        let output = folder.output_with(command, &given);
        assert_eq!(output.status.code(), Some(1));
        contains(
            &String::from_utf8(output.stderr).unwrap(),
            &["nowhere does not exist"],
        );
    }
    std::fs::remove_dir_all(folder.path().join("etc/services")).unwrap();
    folder.run(0, &["check"]);
}
