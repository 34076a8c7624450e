//! A hundred hosts on one etcd: what they cost it, and themselves, while nothing changes.

use crate::engine::Engine;
use crate::etcd::Etcd;
use crate::process::{Program, cpu_of_threads};
use crate::rest::Asked;
use std::path::Path;
use std::time::{Duration, Instant};

const HOSTS: usize = 100;
/// Of each host.
const CONTAINERS: usize = 10;
/// Below it are the nodes of all hosts, and each host has a folder of its own in it.
const NODES: &str = "/fleet/";
const WHILE: Duration = Duration::from_secs(60);
/// What the start leaves to be done is no rest.
const BEFORE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(180);

/// Watches a minute of rest. `None` where there is no etcd.
pub(crate) fn at_rest() -> Option<()> {
    let etcd = Etcd::start()?;
    let engine = Engine::start(CONTAINERS);
    let folder = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    let programs: Vec<Program> = (0..HOSTS)
        .map(|host| launch(host, false, folder.path(), &engine, &etcd))
        .collect();
    let all = HOSTS * CONTAINERS;
    while etcd.count(NODES) < all {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} of {all} nodes came: {}",
            etcd.count(NODES),
            programs[0].log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    println!(
        "\n{HOSTS} processes of {CONTAINERS} containers on one etcd: all {all} nodes after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    std::thread::sleep(BEFORE);
    let used = || -> Duration {
        let programs = programs.iter();
        programs.map(|program| cpu_of_threads(program.id())).sum()
    };
    let (before, asked) = (used(), Asked::start(&etcd));
    std::thread::sleep(WHILE);
    println!(
        "at rest, {} s: CPU of all processes {:.2} s; {}",
        WHILE.as_secs(),
        (used() - before).as_secs_f64(),
        asked.end()
    );
    Some(())
}

/// Each has folders of its own, as each host has: a process hears of everybody who opens a folder that it watches. Hosts that `share` wish
/// the same keys, with the same values.
pub(crate) fn launch(
    host: usize,
    share: bool,
    folder: &Path,
    engine: &Engine,
    etcd: &Etcd,
) -> Program {
    let folder = folder.join(format!("host-{host}"));
    let [policies, services] = ["policies", "services"].map(|name| folder.join(name));
    for folder in [&policies, &services] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let policy = policies.join("fleet.star");
    std::fs::write(&policy, policy_of(if share { 0 } else { host })).expect("a policy");
    let name = format!("host-{host}");
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 6] = [
        &"--policies",
        &policy,
        &"--services",
        &services,
        &"--host-id",
        &name,
    ];
    Program::launch(&engine.host(), &etcd.url(), &arguments)
}

fn policy_of(host: usize) -> String {
    format!(
        r#"
def docker_container(container, config):
    return {{"{NODES}host-{host}/" + container.name: {{"host": "10.0.0.{host}", "container": container.name}}}}
"#
    )
}
