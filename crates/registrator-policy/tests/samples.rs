//! The configurations in `etc/services`: each policy has one, and a container that does not ask for nodes only has its names
//! in DNS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{changed, inspect, shipped, shipped_each};
use registrator_core::observe::container::Container;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the program is told of its host.
const HOST: &[(&str, &str)] = &[
    ("KONTENA_REGISTRATOR_HOST_NAME", "node1"),
    ("KONTENA_REGISTRATOR_HOST_IP", "192.0.2.10"),
];

/// Those whose samples are for all containers.
const FOR_ALL: &[&str] = &["skydns", "skydns-srv"];

/// The configurations by policy.
fn samples() -> BTreeMap<String, Json> {
    let files = entries("../../etc/services").into_iter().flat_map(entries);
    let sample = |path: PathBuf| {
        let folder = path.parent().unwrap().file_name().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        (
            folder.to_str().unwrap().to_owned(),
            serde_json::from_str(&text).unwrap(),
        )
    };
    files.map(sample).collect()
}

fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Every container that the tests know.
fn containers() -> Vec<Container> {
    let files = entries("tests/inspect");
    let names = files.iter().map(|file| file.file_stem().unwrap());
    names.map(|name| inspect(name.to_str().unwrap())).collect()
}

#[test]
fn each_policy_has_one() {
    let files = entries("../../etc/policies").into_iter();
    let policies = files.filter(|path| path.extension().is_some_and(|ending| ending == "star"));
    let names = policies.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(samples().into_keys().collect::<Vec<_>>(), names);
}

/// Nor is there an error, wherever the container runs and whatever the program knows of its host.
#[test]
fn who_does_not_ask_has_no_nodes() {
    let containers = containers();
    assert!(containers.len() > 10);
    for (policy, given) in samples() {
        for env in [&[], HOST] {
            let found = shipped_each(&policy, env, &given, &containers);
            if FOR_ALL.contains(&policy.as_str()) {
                assert!(!found.concat().contains("error"), "{policy}: {found:?}");
            } else {
                assert_eq!(found.concat(), "", "{policy}");
            }
        }
    }
}

#[test]
fn who_asks_has_nodes() {
    let id = "83f4cf8c952c";
    check(
        "services",
        &[("io.kontena.services.enable", "true")],
        &[
            "/services/web-53/node1:web-published:53:udp = 192.0.2.10:5353",
            "/services/web-80/node1:web-published:80 = 192.0.2.10:8080",
        ],
    );
    // A domain of its own, so that names of containers and names of services do not mix.
    check(
        "skydns2",
        &[("io.kontena.skydns2.enable", "true")],
        &[
            r#"/skydns/local/skydns/services/web-53/node1:web-published:53:udp = {"host":"192.0.2.10","port":5353,"ttl":30}"#,
            r#"/skydns/local/skydns/services/web-80/node1:web-published:80 = {"host":"192.0.2.10","port":8080,"ttl":30}"#,
        ],
    );
    let port = ("io.kontena.vulcand.port", "80");
    check(
        "vulcand",
        &[("io.kontena.vulcand.enable", "true"), port],
        &[
            "object /vulcand/backends/web-published, in conflict smallest",
            r#"  backend = {"Type":"http"}"#,
            &format!(r#"  member servers/{id} = {{"URL":"http://172.17.0.4:80"}}"#),
        ],
    );
    check(
        "kontena-lb",
        &[("io.kontena.load_balancer.name", "lb")],
        &["/kontena/haproxy/lb/services/web-published/upstreams/web-published = 172.17.0.4:80"],
    );
    let noop = "traefik/http/middlewares/registrator-noop/headers/customrequestheaders/X-Registrator = noop";
    let port = ("traefik.http.services.web.loadbalancer.server.port", "80");
    check(
        "traefik",
        &[("traefik.enable", "true"), port],
        &[
            noop,
            "object traefik/http/routers/web-published, in conflict none",
            "  rule = Host(`web-published`)",
            "  service = web",
            "  uses traefik/http/services/web",
            "object traefik/http/services/web, in conflict none",
            "  loadbalancer/passhostheader = true",
            &format!("  member loadbalancer/servers/node1-{id}/url = http://172.17.0.4:80"),
        ],
    );
}

/// What the container of a published port has with these labels.
#[track_caller]
fn check(policy: &str, labels: &[(&str, &str)], expected: &[&str]) {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    let container = changed(
        "web-published",
        &[json!({ "Config": { "Labels": labels } })],
    );
    let found = shipped(policy, HOST, &samples()[policy], &container);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{policy}");
}
