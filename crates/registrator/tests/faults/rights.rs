//! Registrators that share keys and have different rights in etcd.

#![allow(clippy::expect_used)]

use crate::world::{Program, World, wait_for};
use std::time::Duration;

/// Each host has keys of its own, and shares two with the other: one with the same value, and one with another.
const POLICY: &str = r#"
HOST = env("KONTENA_REGISTRATOR_HOST_NAME")

def docker_container(container, config):
    if container.name.startswith(HOST):
        return {
            "/own-" + HOST + "/" + container.name: "1",
            "/shared/same": "v",
            "/shared/other": HOST,
        }
"#;

/// A key as etcd holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    value: String,
    lease: i64,
    created: i64,
}

struct Rights {
    world: World,
}

impl Rights {
    /// Users `aa` and `bb`, each with a role that lacks the other's own keys. Host `bb` is there first, then `aa` comes.
    fn start() -> Option<(Rights, Program, Program)> {
        let world = World::guarded()?;
        world.write("policies/test.star", POLICY);
        let rights = Rights { world };
        for host in ["aa", "bb"] {
            rights.etcdctl(&["role", "add", host]);
            for prefix in ["/registrator/", "/shared/", &format!("/own-{host}/")] {
                rights.grant(host, prefix);
            }
            rights.etcdctl(&["user", "add", &format!("{host}:secret")]);
            rights.etcdctl(&["user", "grant-role", host, host]);
        }
        rights.world.run(&["aa-1", "bb-1"]);
        let bb = rights.launch("bb");
        rights.wait_for("bb", "/shared/other", |found| found.value == "bb");
        rights.wait_for("bb", "/own-bb/bb-1", |_| true);
        let aa = rights.launch("aa");
        rights.wait_for("aa", "/own-aa/aa-1", |_| true);
        Some((rights, aa, bb))
    }

    fn launch(&self, host: &str) -> Program {
        let named = [
            "--host-id",
            host,
            "--host-name",
            host,
            "--etcd-username",
            host,
            "--etcd-password",
            "secret",
            "--on-exit",
            "release",
        ];
        self.world.launch_with(&named)
    }

    fn etcdctl(&self, arguments: &[&str]) -> String {
        self.world.etcd.etcdctl("root:secret", arguments)
    }

    fn grant(&self, role: &str, prefix: &str) {
        let right = ["role", "grant-permission", "--prefix", role, "readwrite"];
        self.etcdctl(&[&right[..], &[prefix]].concat());
    }

    /// One reading tells all of it: between two the key may go or come.
    fn find(&self, key: &str) -> Option<Found> {
        let fields = self.etcdctl(&["get", "-w", "fields", key]);
        let field = |name: &str| {
            let mut lines = fields.lines().filter_map(|line| line.split_once(" : "));
            lines.find_map(|(field, value)| (field == name).then_some(value))
        };
        let number = |name: &str| field(name).and_then(|text| text.parse().ok());
        Some(Found {
            value: field("\"Value\"")?.trim_matches('"').to_owned(),
            lease: number("\"Lease\"").expect("a lease"),
            created: number("\"CreateRevision\"").expect("a revision"),
        })
    }

    #[track_caller]
    fn wait_for(&self, what: &str, key: &str, right: impl Fn(&Found) -> bool) -> Found {
        wait_for(
            || self.find(key).filter(&right),
            || format!("{what}: {key} is {:?}", self.find(key)),
        )
    }
}

const WHY: &str =
    "refused: permission denied. Registrators that share keys need equal roles in etcd";

#[test]
fn a_node_that_may_not_change_hands_stays_and_people_are_told_once() {
    let Some((rights, aa, bb)) = Rights::start() else {
        return;
    };
    aa.wait_for_words("/shared/other cannot be taken over from host bb: ", 1);
    assert_eq!(aa.says(WHY), 1, "{}", aa.log());
    let other = rights.find("/shared/other").expect("it stays");
    assert_eq!(other.value, "bb");
    aa.wait_for_words("host bb holds /shared/same with the same value", 1);
    let same = rights.find("/shared/same").expect("a node");
    // What bb does not want any more it can delete, but not hand over.
    rights.world.docker.docker(&["rm", "-f", "bb-1"]);
    bb.wait_for_words("/shared/same cannot be handed over to host aa: ", 1);
    assert_eq!(bb.says(WHY), 1, "{}", bb.log());
    rights.wait_for("aa takes what is free", "/shared/other", |found| {
        found.value == "aa"
    });
    assert_eq!(rights.find("/own-bb/bb-1"), None);
    // Everything else goes on, while it is tried again and again.
    rights.world.run(&["aa-2", "aa-3"]);
    rights.wait_for("aa", "/own-aa/aa-2", |_| true);
    rights.wait_for("aa", "/own-aa/aa-3", |_| true);
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(rights.find("/shared/same"), Some(same.clone()));
    for program in [&aa, &bb] {
        assert_eq!(program.says(WHY), 1, "{}", program.log());
        assert_eq!(program.says("WARN"), 0, "{}", program.log());
    }
    // With equal roles it changes hands, without a gap.
    rights.grant("bb", "/own-aa/");
    let handed = rights.wait_for("equal roles", "/shared/same", |found| {
        found.lease != same.lease
    });
    assert_eq!(handed.created, same.created);
    bb.wait_for_words("handed /shared/same over to host aa", 1);
}

#[test]
fn who_leaves_for_good_leaves_the_node_to_the_other_though_it_may_not_hand_it_over() {
    let Some((rights, aa, bb)) = Rights::start() else {
        return;
    };
    aa.wait_for_words("host bb holds /shared/same with the same value", 1);
    let before = rights.find("/shared/same").expect("a node");
    let (status, log) = bb.terminate_with_log();
    let after = rights.wait_for("aa", "/shared/same", |found| found.lease != before.lease);
    assert_eq!((after.value.as_str(), after.created), ("v", before.created));
    assert!(status.success(), "{log}");
    let lines = log.lines().filter(|line| line.contains(WHY)).count();
    assert_eq!(lines, 1, "{log}");
    rights.wait_for("aa", "/shared/other", |found| found.value == "aa");
    assert_eq!(rights.find("/own-bb/bb-1"), None);
}

#[test]
fn who_dies_takes_along_what_the_other_may_not_take_over() {
    let Some((rights, aa, bb)) = Rights::start() else {
        return;
    };
    aa.wait_for_words("host bb holds /shared/same with the same value", 1);
    let before = rights.find("/shared/same").expect("a node");
    bb.kill();
    let after = rights.wait_for("aa", "/shared/same", |found| found.lease != before.lease);
    assert_eq!(after.value, "v");
    assert_ne!(after.created, before.created, "it was gone for a moment");
    let told = aa.says("/shared/same cannot be taken over from host bb: ");
    assert_eq!(told, 1, "{}", aa.log());
}
