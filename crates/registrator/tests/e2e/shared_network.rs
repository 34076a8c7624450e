//! Containers in the network of another, as sidecars are: Docker shows no networks and ports for them.

use crate::by_container;
use crate::world::{EtcdKind, World};

on! {
    V3_4 as etcd_3_4: a_sidecar_has_the_network_of_its_container;
}

/// Each container's addresses by network, and the host ports of its ports.
fn policy() -> String {
    let addresses = "[[n.name, n.ipv4] for n in container.networks.values()]";
    let ports = "[[p.port, p.host_port] for p in container.ports]";
    by_container(&format!(
        r#"{{"/t/" + name + "/addresses": {addresses}, "/t/" + name + "/ports": {ports}}}"#
    ))
}

fn a_sidecar_has_the_network_of_its_container(mut world: World) {
    world.policy("network", &policy());
    let network = |container: &str, pointer: &str| {
        let format = format!("--format={{{{json .NetworkSettings.{pointer}}}}}");
        world
            .docker()
            .docker(&["inspect", &format, &world.container(container)])
    };
    let web = world.run("web", &["--expose=80", "--publish=127.0.0.1::80"]);
    world.run("sidecar", &["--network", &format!("container:{web}")]);
    assert_eq!(
        (
            network("sidecar", "Networks").as_str(),
            network("sidecar", "Ports").as_str()
        ),
        ("{}", "{}"),
        "what this is about"
    );
    let address = network("web", "Networks.bridge.IPAddress");
    let port = network("web", "Ports");
    let port = port.split("HostPort\":\"").nth(1).unwrap();
    let port = port.split('"').next().unwrap().to_owned();
    world.start();
    let with_addresses = |world: &World, of: &[&str], addresses: &str| {
        let ports = format!("[[80,{port}]]");
        let mut nodes = Vec::new();
        for name in of {
            nodes.push((format!("/t/{name}/addresses"), addresses.to_owned()));
            nodes.push((format!("/t/{name}/ports"), ports.clone()));
        }
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        world.wait_for_nodes("/t/", &nodes);
    };
    let bridge = format!("[\"bridge\",{address}]");
    with_addresses(&world, &["web", "sidecar"], &format!("[{bridge}]"));

    world.docker().network(&world.name);
    let (name, container) = (world.name.clone(), world.container("web"));
    world
        .docker()
        .docker(&["network", "connect", &name, &container]);
    let back = world.docker().docker(&[
        "inspect",
        &format!("--format={{{{json (index .NetworkSettings.Networks \"{name}\").IPAddress}}}}"),
        &container,
    ]);
    let both = format!("[{bridge},[\"{name}\",{back}]]");
    with_addresses(&world, &["web", "sidecar"], &both);

    world.rm("web");
    world.wait_for_nodes(
        "/t/",
        &[("/t/sidecar/addresses", "[]"), ("/t/sidecar/ports", "[]")],
    );
    world.rm("sidecar");
    world.wait_for_nodes("/t/", &[]);
}

/// Chains, too: `tool` is in the network of `app`, which is in that of `web`.
/// On an engine of its own: every program that watches it warns of such containers.
#[test]
fn whoever_joined_before_a_restart_is_left() {
    let Some(mut world) = World::with_own_docker(EtcdKind::V3_4) else {
        return;
    };
    world.policy(
        "network",
        &by_container(
            r#"{"/t/" + name: [n.name for n in container.networks.values()]} if container.networks else None"#,
        ),
    );
    let container = |world: &World, name: &str| format!("container:{}", world.container(name));
    world.run("web", &[]);
    world.run("app", &["--network", &container(&world, "web")]);
    world.run("tool", &["--network", &container(&world, "app")]);
    world.start();
    let registered = |world: &World, names: &[&str]| {
        let mut keys: Vec<_> = names.iter().map(|name| format!("/t/{name}")).collect();
        keys.sort();
        let nodes: Vec<_> = keys
            .iter()
            .map(|key| (key.as_str(), "[\"bridge\"]"))
            .collect();
        world.wait_for_nodes("/t/", &nodes);
        for name in ["web", "app", "tool"] {
            let links = ["exec", &world.container(name), "ls", "/sys/class/net"];
            let links = world.docker().docker(&links);
            assert_eq!(
                links.contains("eth"),
                names.contains(&name),
                "{name}: {links}"
            );
        }
    };
    let restart = |world: &World, name: &str| {
        world
            .docker()
            .docker(&["restart", "--time=0", &world.container(name)]);
    };
    registered(&world, &["web", "app", "tool"]);
    // The one in between holds nothing of the network.
    restart(&world, "app");
    registered(&world, &["web", "app", "tool"]);
    restart(&world, "web");
    registered(&world, &["web"]);
    world.program().wait_for_line(&[
        "app: it is in the network of",
        "web, which was started again since",
    ]);
    restart(&world, "app");
    registered(&world, &["web", "app"]);
    restart(&world, "tool");
    registered(&world, &["web", "app", "tool"]);
    ["tool", "app", "web"]
        .iter()
        .for_each(|name| world.rm(name));
    world.wait_for_nodes("/t/", &[]);
}
