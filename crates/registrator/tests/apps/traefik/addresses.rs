//! Containers that are reached where they are published, and over IPv6.

use super::{Traefik, serve};
use crate::world::{World, eventually};

/// Both addresses are the host's own: a request from the host finds the port there.
pub(super) const PUBLISHED: (&str, &str) = (
    "traefik/published.json",
    r#"{"expose": "labelled", "enable_label": "published", "lasting": false,
        "address": "host", "family": "both", "host_ip": "127.0.0.1", "host_ipv6": "::1"}"#,
);

pub(super) const IPV6: (&str, &str) = (
    "traefik/six.json",
    r#"{"expose": "labelled", "enable_label": "six", "lasting": false, "network": "six", "family": "ipv6"}"#,
);

pub(super) fn reachable_where_configured(world: &World, traefik: &Traefik) {
    world.create_network_with_ipv6();
    published_ports(world, traefik);
    addresses_of_ipv6(world, traefik);
    a_network_is_not_guessed(world);
    world.docker.docker(&["stop", "out", "v6"]);
    for host in ["out", "v6"] {
        traefik.expect(world, host, 404, "404 page not found");
    }
}

fn published_ports(world: &World, traefik: &Traefik) {
    let labels = ["traefik.enable=false", "published=true"];
    // Nobody reaches this one at the host.
    serve(&world.docker, "in", "in", &labels, &[]);
    serve(&world.docker, "out", "out", &labels, &["--publish=80"]);
    let ports = world.docker.docker(&["port", "out", "80"]);
    let port = |at: &str| {
        let line = ports.lines().find(|line| line.starts_with(at)).unwrap();
        line.rsplit(':').next().unwrap().to_owned()
    };
    let urls = [
        format!("http://127.0.0.1:{}", port("0.0.0.0:")),
        format!("http://[::1]:{}", port("[::]:")),
    ];
    expect_servers(world, traefik, "out", &urls);
    traefik.expect_answers(world, "out", &["here is out"]);
    traefik.expect(world, "in", 404, "404 page not found");
}

fn addresses_of_ipv6(world: &World, traefik: &Traefik) {
    let labels = ["traefik.enable=false", "six=true"];
    serve(&world.docker, "v6", "v6", &labels, &["--network=six"]);
    let ip = world.inspect("v6", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}");
    expect_servers(world, traefik, "v6", &[format!("http://[{ip}]:80")]);
    traefik.expect_answers(world, "v6", &["here is v6"]);
}

/// Waits until the service has exactly these servers, in this order.
#[track_caller]
fn expect_servers(world: &World, traefik: &Traefik, service: &str, urls: &[String]) {
    let logs = [&traefik.process, &world.registrator];
    let name = format!("http/services {service}");
    let servers = || {
        let objects = traefik.objects();
        let servers = objects.get(&name)?["loadBalancer"]["servers"].as_array()?;
        let urls = servers.iter().filter_map(|server| server["url"].as_str());
        Some(urls.map(str::to_owned).collect::<Vec<_>>())
    };
    let right = |found: &Option<Vec<String>>| found.as_deref() == Some(urls);
    _ = eventually(&name, &logs, servers, right);
}

/// A container in two networks, with nothing that says which one counts.
fn a_network_is_not_guessed(world: &World) {
    let docker = &world.docker;
    docker.docker(&[
        "create",
        "--name=torn",
        "--network=six",
        "--expose=80",
        "busybox",
        "sleep",
        "1000000",
    ]);
    docker.docker(&["network", "connect", "bridge", "torn"]);
    docker.docker(&["start", "torn"]);
}

/// What the log says of it: which container, what is unclear, and what to do.
#[track_caller]
pub(super) fn expect_complaint(log: &str) {
    let complaints = log
        .lines()
        .filter(|line| line.contains("for container torn (traefik:test)"));
    let complaints: Vec<_> = complaints.collect();
    assert!(!complaints.is_empty(), "{log}");
    for part in ["networks bridge, six", "traefik.docker.network"] {
        assert!(complaints[0].contains(part), "{complaints:?}");
    }
}
