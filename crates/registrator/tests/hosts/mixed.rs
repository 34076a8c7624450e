//! Hosts with different versions of the program.

use crate::host::{HOSTS, Host};
use crate::objects;
use crate::sharing::{expect_untouched, restart, shared_and_own};
use crate::world::{LONG, World};
use std::path::{Path, PathBuf};

/// Names the program of the version before: `scripts/fetch-former.sh` builds it.
const VARIABLE: &str = "REGISTRATOR_FORMER_BIN";

/// The former version has no objects: what is one here has the same keys there, each by itself.
const NODES: &str = r#"
def docker_container(container, config):
    text = container.label("object")
    if text and container.label("world") == "WORLD":
        object = json.decode(text)
        nodes = object["nodes"].items() + object["members"].items()
        return {object["name"] + "/" + key: value for key, value in nodes}
"#;

/// The program of the version before. `None`, after a loud line, where there is none.
pub(crate) fn former() -> Option<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(path) if !path.is_empty() => Some(path.into()),
        // The script has said why.
        Some(_) => {
            eprintln!("SKIPPED: mixed versions, because {VARIABLE} is empty");
            None
        }
        None => {
            crate::etcd::skip("mixed versions", &format!("{VARIABLE} is not set"));
            None
        }
    }
}

/// Gives these hosts the other program, and all others this one, from their next start on, which comes now.
#[track_caller]
pub(crate) fn install(world: &mut World, other: &Path, on: &[usize]) {
    for (number, host) in world.hosts.iter_mut().enumerate() {
        let program = if on.contains(&number) { other } else { this() };
        program.clone_into(&mut host.installed);
    }
    for number in 0..HOSTS {
        if world.hosts[number].counts {
            restart(world, &[number]);
        }
    }
}

/// The program under test.
pub(crate) fn this() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kontena-registrator"))
}

/// Gives a host a program, from its next start on, and the policy with objects that fits it.
pub(crate) fn equip(host: &mut Host, program: &Path) {
    let is_this = program == this();
    program.clone_into(&mut host.installed);
    host.add_policy(
        "objects.star",
        if is_this { objects::POLICY } else { NODES },
    );
}

/// Ends the program of a host in order, and starts another.
#[track_caller]
pub(crate) fn replace(world: &mut World, host: usize, program: &Path) {
    world.hosts[host].ask_to_end();
    world.hosts[host].wait_for_end();
    equip(&mut world.hosts[host], program);
    world.start_host(host);
}

/// All hosts have the former version, and get this one by one, and the former one back: no node is written again.
pub(crate) fn rolling_upgrade(world: &mut World, former: &Path) {
    install(world, former, &[0, 1, 2]);
    world.begin("a rolling upgrade", LONG, "keep");
    let before = shared_and_own(world);
    let history = world.act("all are upgraded, one after the other", |world| {
        for upgraded in [&[1, 2][..], &[2], &[]] {
            install(world, former, upgraded);
        }
    });
    expect_untouched(world, &history, &before);
    let history = world.act("all get the former one back", |world| {
        install(world, former, &[0, 1, 2]);
    });
    expect_untouched(world, &history, &before);
}
