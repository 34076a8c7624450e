//! Podman in the place of Docker, as it is known to differ.

use crate::by_container;
use crate::dockerd::Dockerd;
use crate::program::Program;
use crate::world::{EtcdKind, World};

/// A world around Podman; `None`, after a loud line, if something is missing.
fn world() -> Option<World> {
    let world = World::around(Dockerd::podman()?, EtcdKind::V3_4)?;
    let networks = "{\"/t/\" + name: \",\".join(sorted(container.networks))}";
    world.policy("p", &by_container(networks));
    Some(world)
}

#[test]
fn containers_of_podman_are_registered() {
    let Some(mut world) = world() else { return };
    world.copy_shipped();
    let id = world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "podman")]);
    // The shipped configuration says "bridge", which is what Docker calls its default network.
    let web = world.container("web");
    let ip = "{{.NetworkSettings.Networks.podman.IPAddress}}";
    let ip = world.docker().docker(&["inspect", "--format", ip, &web]);
    let node = format!("{{\"host\":\"{ip}\",\"ttl\":30}}");
    let key = format!("/skydns/local/skydns/{web}/{}", &id[..12]);
    world.wait_for_nodes("/skydns/local/skydns/", &[(&key, &node)]);

    let docker = |args: &[&str]| world.docker().docker(args);
    docker(&["network", "create", "front"]);
    docker(&["network", "connect", "front", &web]);
    world.wait_for_nodes("/t/", &[("/t/web", "front,podman")]);
    docker(&["network", "disconnect", "front", &web]);
    world.wait_for_nodes("/t/", &[("/t/web", "podman")]);
    docker(&["stop", &web]);
    world.wait_for_nodes("/t/", &[]);
    docker(&["start", &web]);
    world.wait_for_nodes("/t/", &[("/t/web", "podman")]);
    world.rm("web");
    world.wait_for_nodes("/t/", &[]);
    let log = world.program().log();
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
}

/// Podman makes up another ID for each answer. A host is the same host all the same: to its next process, to a second one, and when the
/// engine is back.
#[test]
fn a_host_with_podman_stays_the_same() {
    let Some(mut world) = world() else { return };
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "podman")]);
    let before = world.node("/t/web").unwrap();

    world.docker_mut().terminate();
    world.program().wait_for_line(&["lost Docker"]);
    world.docker_mut().launch();
    world.run("late", &[]);
    world.wait_for_nodes("/t/", &[("/t/late", "podman"), ("/t/web", "podman")]);
    let log = world.program().log();
    assert!(!log.contains("another engine"), "{log}");

    let args = [vec!["run".to_owned()], world.flags()].concat();
    let folder = tempfile::tempdir().unwrap();
    let mut second = Program::start(folder.path(), &args, &[]);
    assert_eq!(second.exit_code(), Some(1), "{}", second.log());
    assert!(second.log().contains("--host-id"), "{}", second.log());

    world.program_mut().terminate();
    world.start();
    world.program().wait_for_line(&["INFO", "took over lease"]);
    world.wait_for_nodes("/t/", &[("/t/late", "podman"), ("/t/web", "podman")]);
    assert_eq!(world.node("/t/web"), Some(before), "it was not touched");
}
