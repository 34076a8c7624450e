//! What `make test` notices of what it has done to the machine: `scripts/guest.sh`, on a machine with an engine of its own.

#![allow(clippy::expect_used)]

use crate::dockerd::Dockerd;
use std::process::{Command, Output};

const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/guest.sh");
/// By the command itself: a process that it leaves, and a cgroup as engines of the tests have them.
const INSIDE: &str = r#"
setsid sleep 1000000 &
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ ! -e "$hierarchy/cgroup.procs" ] || mkdir -p "$hierarchy/$REGISTRATOR_TEST_RUN/mine"
done
echo ready >"$1/ready"
read -r _ <"$1/go"
"#;
/// Meanwhile on the machine.
const OUTSIDE: &str = r#"
set -eu
trap 'echo go >"$1/go"' EXIT
read -r _ <"$1/ready"
ip link add mine type bridge
ip link delete docker0
ip address add 10.99.99.1/24 dev lo
ip route add blackhole 10.98.0.0/16
ip rule add from 10.97.0.1 table 97
echo 0 >/proc/sys/net/ipv4/ip_forward
iptables -N MINE
mount -t tmpfs mine /mnt
ip netns add mine
docker rm --force old
docker create --name mine busybox true
docker tag busybox mine
docker network create mine
docker volume create mine
"#;

#[test]
fn whatever_is_left_or_taken_is_named() {
    let Some(machine) = Dockerd::start() else {
        return;
    };
    machine.run("old", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().display().to_string();
    let fifos = ["ready", "go"].map(|name| format!("{folder}/{name}"));
    let made = Command::new("mkfifo").args(fifos).status();
    assert!(made.is_ok_and(|status| status.success()));
    let quiet = guest(&machine, &["true"]);
    assert!(quiet.status.success(), "{quiet:?}");
    assert_eq!(text(&quiet), "");

    let harmed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut harm = machine.command_inside("sh");
            harm.args(["-c", OUTSIDE, "sh", &folder]);
            let harm = harm.env("DOCKER_HOST", machine.host()).output();
            let harm = harm.expect("sh runs");
            assert!(harm.status.success(), "{harm:?}");
        });
        guest(&machine, &["sh", "-c", INSIDE, "sh", &folder])
    });
    let told = text(&harmed);
    assert!(!harmed.status.success(), "{told}");
    for difference in [
        "sleep 1000000",
        "left cgroup /sys/fs/cgroup/",
        "left interface mine",
        "took interface docker0",
        "left address lo 10.99.99.1/24",
        "left route blackhole 10.98.0.0/16",
        "left rule ",
        "took forwarding of IPv4 1",
        "left firewall :MINE ",
        "left mount /mnt",
        "left network namespace mine",
        "took container ",
        "left container ",
        "left image ",
        "left network mine",
        "left volume mine",
    ] {
        assert!(told.contains(difference), "not {difference:?}, but {told}");
    }
}

fn guest(machine: &Dockerd, command: &[&str]) -> Output {
    let mut guest = machine.command_inside(GUEST);
    let guest = guest.env("DOCKER_HOST", machine.host()).args(command);
    guest.output().expect("the script runs")
}

fn text(output: &Output) -> String {
    let parts = [&output.stdout, &output.stderr];
    parts.map(|part| String::from_utf8_lossy(part)).concat()
}
