//! A network of the tests' own: places with an address each around one switch, every one of them a network namespace.
//!
//! Needed: Linux, root, `ip` (iproute2) and `nsenter` (util-linux). A network has a number N, reserved by creating the link `rghN`,
//! which the kernel does for one only. Its namespaces are called `rghN-...`, its subnet is `10.215.N.0/24`, and the link leads
//! from the namespace that the tests run in to the switch. No rule of a firewall is made, and none applies: the switch has a
//! namespace of its own. Everything goes away when the value is dropped, in a panic too. A link whose alias names a process
//! that is no more was left behind by a killed run: `scripts/leftovers.sh`, which the first engine of a run calls, removes it with
//! its namespaces and the processes in them.

use crate::program::wait_for;
use std::fs;
use std::mem::ManuallyDrop;
use std::process::{Command, Stdio};

/// Where Debian has `ip`, which the PATH of a plain user leaves out.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";
/// Locked by the run that looks for a number, and by `scripts/leftovers.sh`: one file for the machine, wherever a run has its
/// temporary files.
const LOCK: &str = "/tmp/registrator-tests-of-hosts.lock";
/// Nobody has this hardware address: what is sent to it is lost.
const NOBODY: &str = "02:00:00:00:00:01";
/// The hosts of a subnet from which places have theirs; the first is the tests' own.
const FIRST_PLACE: u8 = 10;

/// A switch and what is plugged into it.
pub(crate) struct Network {
    number: u8,
    places: u8,
}

/// A namespace with an address.
#[derive(Clone)]
pub(crate) struct Place {
    namespace: String,
    port: String,
    /// Its IPv4 address.
    pub(crate) address: String,
}

impl Network {
    /// A network with nothing in it; `None`, after a loud line, where there can be none.
    pub(crate) fn build() -> Option<Network> {
        if let Some(reason) = obstacle() {
            let skipped = format!("SKIPPED: tests of several hosts because {reason}");
            let required = std::env::var("REGISTRATOR_REQUIRE_ALL").is_ok_and(|one| one == "1");
            assert!(!required, "{skipped}");
            eprintln!("{skipped}");
            return None;
        }
        let network = Network::reserve();
        let switch = network.switch();
        let (link, peer) = (network.link(), network.peer());
        must(&["netns", "add", &switch]);
        must(&["-n", &switch, "link", "add", "switch", "type", "bridge"]);
        must(&["-n", &switch, "link", "set", "switch", "up"]);
        must(&["link", "set", &peer, "netns", &switch]);
        must(&[
            "-n", &switch, "link", "set", &peer, "master", "switch", "up",
        ]);
        let address = format!("10.215.{}.1/24", network.number);
        must(&["address", "add", &address, "dev", &link]);
        must(&["link", "set", &link, "up"]);
        Some(network)
    }

    /// Not while something abandoned is removed that has the same number.
    fn reserve() -> Network {
        let lock = fs::File::create(LOCK);
        let lock = lock.expect("a lock file");
        lock.lock().expect("a lock");
        for number in 0..=u8::MAX {
            // Dropping one would remove the network of another run.
            let network = ManuallyDrop::new(Network { number, places: 0 });
            let (link, peer) = (network.link(), network.peer());
            if ip(&["link", "add", &link, "type", "veth", "peer", "name", &peer]) {
                let alias = owner(std::process::id()).expect("this process");
                must(&["link", "set", &link, "alias", &alias]);
                return ManuallyDrop::into_inner(network);
            }
        }
        panic!("no network could be made: is the kernel's veth module there?");
    }

    /// Adds a place of this name.
    pub(crate) fn add(&mut self, name: &str) -> Place {
        let (namespace, switch) = (format!("{}-{name}", self.link()), self.switch());
        let address = format!("10.215.{}.{}", self.number, FIRST_PLACE + self.places);
        let (port, inside) = (format!("to-{name}"), namespace.as_str());
        self.places += 1;
        must(&["netns", "add", inside]);
        must(&["-n", inside, "link", "set", "lo", "up"]);
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", inside];
        must(&[&["link", "add", &port, "netns", &switch], &peer[..]].concat());
        must(&[
            "-n", &switch, "link", "set", &port, "master", "switch", "up",
        ]);
        let with_mask = format!("{address}/24");
        must(&["-n", inside, "address", "add", &with_mask, "dev", "eth0"]);
        must(&["-n", inside, "link", "set", "eth0", "up"]);
        Place {
            namespace,
            port,
            address,
        }
    }

    /// Nothing reaches the place, and nothing comes from it; nobody is told.
    pub(crate) fn unplug(&self, place: &Place) {
        must(&["-n", &self.switch(), "link", "set", &place.port, "down"]);
    }

    /// Ends [`Network::unplug`].
    pub(crate) fn plug(&self, place: &Place) {
        must(&["-n", &self.switch(), "link", "set", &place.port, "up"]);
    }

    /// Loses whatever these two send to each other, in silence.
    pub(crate) fn cut(&self, one: &Place, other: &Place) {
        for (from, to) in [(one, other), (other, one)] {
            let neighbour = ["neigh", "replace", &to.address, "lladdr", NOBODY];
            let link = ["dev", "eth0", "nud", "permanent"];
            must(&[&["-n", &from.namespace], &neighbour[..], &link].concat());
        }
    }

    /// Ends [`Network::cut`].
    pub(crate) fn mend(&self, one: &Place, other: &Place) {
        for (from, to) in [(one, other), (other, one)] {
            must(&[
                "-n",
                &from.namespace,
                "neigh",
                "del",
                &to.address,
                "dev",
                "eth0",
            ]);
        }
    }

    fn link(&self) -> String {
        format!("rgh{}", self.number)
    }

    fn peer(&self) -> String {
        format!("rgh{}p", self.number)
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.link())
    }

    /// The link goes last: it is what says that the rest may be there.
    fn remove(&self) {
        let prefix = format!("{}-", self.link());
        let namespaces = fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let names = namespaces.map(|entry| entry.file_name().to_string_lossy().into_owned());
        for namespace in names.filter(|name| name.starts_with(&prefix)) {
            let inside = output(&["netns", "pids", &namespace]);
            for pid in inside.split_whitespace() {
                quietly(Command::new("kill").args(["-KILL", pid]));
            }
            ip(&["netns", "delete", &namespace]);
        }
        ip(&["link", "delete", &self.link()]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Place {
    /// A command that becomes this program in this place, with nothing of the environment of the test.
    pub(crate) fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("nsenter");
        let namespace = format!("--net=/run/netns/{}", self.namespace);
        command.env_clear().arg(namespace).arg("--").arg(program);
        command.stdin(Stdio::null());
        command
    }
}

/// Tells a process from all others of this boot.
fn owner(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let began = stat.rsplit(')').next()?.split_whitespace().nth(19)?;
    Some(format!("pid {pid} began {began} in {}", table()?))
}

/// The table of processes that this one sees, as in `pid:[4026531836]`.
fn table() -> Option<String> {
    let table = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(table.to_string_lossy().into_owned())
}

/// Why there can be no network here.
fn obstacle() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.contains("\nUid:\t0\t0\t") {
        return Some("they need root".to_owned());
    }
    let missing = [("ip", "-V"), ("nsenter", "--version")]
        .into_iter()
        .find(|(program, version)| !quietly(Command::new(program).arg(version)));
    missing.map(|(program, _)| format!("there is no {program}"))
}

#[track_caller]
fn must(args: &[&str]) {
    // A device that another network's removal still holds is free in a moment.
    let done = || ip(args).then_some(());
    wait_for(&format!("ip {}", args.join(" ")), done, || {
        "see `ip link`, `ip netns`".to_owned()
    });
}

fn ip(args: &[&str]) -> bool {
    quietly(Command::new("ip").args(args))
}

fn output(args: &[&str]) -> String {
    let mut command = Command::new("ip");
    let output = with_path(&mut command).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn quietly(command: &mut Command) -> bool {
    let command = with_path(command).stdin(Stdio::null());
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn with_path(command: &mut Command) -> &mut Command {
    let path = format!("{}:{SBIN}", std::env::var("PATH").unwrap_or_default());
    command.env("PATH", path)
}
