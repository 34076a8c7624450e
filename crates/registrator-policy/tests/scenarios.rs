//! What the shipped policies make of each way to run a container.
//!
//! `tests/scenarios/<case>.txt` has the nodes for all scenarios, one case for each policy and kind of configuration.
//! `UPDATE=1 cargo test --test scenarios` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{changed, shipped_each};
use registrator_core::observe::container::Container;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

const HOST: &[(&str, &str)] = &[
    ("KONTENA_REGISTRATOR_HOST_NAME", "node1"),
    ("KONTENA_REGISTRATOR_HOST_IP", "192.0.2.10"),
    ("KONTENA_REGISTRATOR_HOST_IPV6", "2001:db8::10"),
];

/// A policy, a configuration, and labels that all containers have.
struct Case {
    name: &'static str,
    policy: &'static str,
    given: Json,
    labels: Json,
}

fn case(name: &'static str, policy: &'static str, given: Json) -> Case {
    let labels = json!({});
    Case {
        name,
        policy,
        given,
        labels,
    }
}

fn cases() -> Vec<Case> {
    let own = || json!({ "address": "container", "family": "both" });
    let at_host = || json!({ "address": "host", "family": "both" });
    let enable = "io.kontena.registrator.enable";
    let vulcand = |name, given| Case {
        labels: json!({ enable: "true", "io.kontena.vulcand.port": "80", "io.kontena.vulcand.route": "Host(\"web.test\")" }),
        ..case(name, "vulcand", given)
    };
    vec![
        case("services", "services", json!({})),
        case("services-container", "services", own()),
        case("skydns2", "skydns2", json!({})),
        case(
            "skydns2-container",
            "skydns2",
            json!({ "address": "container", "ttl": 30 }),
        ),
        case("skydns", "skydns", json!({ "network": null, "ptr": true })),
        case("skydns-host", "skydns", at_host()),
        case(
            "skydns-hostname",
            "skydns",
            json!({ "network": null, "layout": "hostname" }),
        ),
        case("skydns-srv", "skydns-srv", json!({ "network": null })),
        case("skydns-srv-host", "skydns-srv", at_host()),
        case(
            "traefik",
            "traefik",
            json!({ "family": "both", "lasting": false }),
        ),
        Case {
            labels: json!({ "traefik.http.services.web.loadbalancer.server.port": "80" }),
            ..case(
                "traefik-host",
                "traefik",
                json!({ "address": "host", "family": "both", "lasting": false }),
            )
        },
        vulcand("vulcand", json!({})),
        vulcand("vulcand-host", json!({ "address": "host" })),
        Case {
            labels: json!({ "io.kontena.load_balancer.name": "lb" }),
            ..case("kontena-lb", "kontena-lb", json!({}))
        },
    ]
}

/// Ways to run a container: the name, and a container of a real engine with what is different.
fn scenarios(labels: &Json) -> Vec<(&'static str, Container)> {
    let network = |name: &str, of: Json| json!({ "NetworkSettings": { "Networks": { name: of } } });
    let label = |name: &str, text: &str| json!({ "Config": { "Labels": { name: text } } });
    let no_ipv4 = network("dual", json!({ "IPAddress": "" }));
    let moved = network("bridge", json!({ "IPAddress": "172.17.0.9" }));
    // The registrator shows it with the networks and the ports of the other container.
    let bound = |port: &str| json!([{ "HostIp": "0.0.0.0", "HostPort": port }]);
    let mut sidecar = network("bridge", json!({ "IPAddress": "172.17.0.2" }));
    sidecar["NetworkSettings"]["Ports"] =
        json!({ "80/tcp": bound("8080"), "9000/tcp": bound("9001") });
    sidecar["Config"] = json!({ "ExposedPorts": { "9000/tcp": {} } });
    let front = label("io.kontena.registrator.network", "front");
    let refused = label("io.kontena.registrator.enable", "false");
    let stopping = json!({ "State": { "Status": "stopping" } });
    let unhealthy = json!({ "State": { "Health": { "Status": "unhealthy" } } });
    let same = || json!({});
    let all = [
        ("bridge", "web", same()),
        ("published", "web-published", same()),
        ("several networks", "two-nets", same()),
        (
            "several networks, and a label that chooses one",
            "two-nets",
            front,
        ),
        ("dual stack", "dual", same()),
        ("IPv6 only", "dual", no_ipv4),
        ("Docker Compose", "shop-api-1", same()),
        ("the host's network", "hostnet", same()),
        ("the network of another container", "sidecar", sidecar),
        ("no network", "none", same()),
        ("no ports", "noenv", same()),
        ("created", "created", same()),
        ("exited", "exited", same()),
        ("paused", "paused", same()),
        ("restarted", "web", moved),
        ("asked to stop", "web", stopping.clone()),
        ("published, asked to stop", "web-published", stopping),
        ("unhealthy", "web", unhealthy),
        ("labelled not to count", "web", refused),
    ];
    let common = json!({ "Config": { "Labels": labels } });
    let scenario = |(name, original, change): (_, _, Json)| {
        (name, changed(original, &[common.clone(), change]))
    };
    all.into_iter().map(scenario).collect()
}

#[test]
fn scenarios_have_their_nodes() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let path = PathBuf::from(format!("tests/scenarios/{}.txt", case.name));
        let found = outcomes(&case);
        if update {
            std::fs::write(&path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            wrong.push(format!(
                "--- {}, expected\n{expected}--- found\n{found}",
                case.name
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nRun with UPDATE=1 to accept.",
        wrong.join("\n")
    );
}

/// CoreDNS does not see a node that has others below it, and answers nothing above a value that it cannot read.
#[test]
fn coredns_can_read_all_that_is_below_skydns() {
    let names = json!(["name", "hostname", "alias", "service", "compose", "label"]);
    let all = json!({ "network": null, "ptr": true, "names": names });
    let cases = [
        case("names", "skydns", all),
        case(
            "host",
            "skydns",
            json!({ "address": "host", "family": "both" }),
        ),
        case(
            "services",
            "skydns-srv",
            json!({ "network": null, "project": true }),
        ),
        case(
            "skydns2",
            "skydns2",
            json!({ "address": "container", "family": "both" }),
        ),
    ];
    let text: String = cases.iter().map(outcomes).collect();
    let nodes = || text.lines().filter_map(|line| line.split_once(" = "));
    let keys: BTreeSet<&str> = nodes().map(|(key, _)| key).collect();
    assert!(keys.len() > 20, "{keys:?}");
    for key in &keys {
        let hidden = keys
            .iter()
            .find(|other| other.starts_with(&format!("{key}/")));
        assert_eq!(hidden, None, "hides {key}");
        assert_eq!(*key, key.to_lowercase());
        assert!(!key.contains('.'), "{key}");
    }
    nodes().for_each(|(key, value)| check_record(key, value));
}

fn check_record(key: &str, value: &str) {
    let record: Json = serde_json::from_str(value).unwrap();
    let record = record.as_object().unwrap();
    let host = record["host"].as_str().unwrap();
    let is_reverse = key.starts_with("/skydns/arpa/");
    assert_eq!(
        host.parse::<std::net::IpAddr>().is_err(),
        is_reverse,
        "{key} = {value}"
    );
    for (name, value) in record {
        let good = name == "host" || (["port", "ttl"].contains(&name.as_str()) && value.is_u64());
        assert!(good, "{key}: {name} is {value}");
    }
}

/// All scenarios with their nodes, or the message of the error.
fn outcomes(case: &Case) -> String {
    let scenarios = scenarios(&case.labels);
    let containers = scenarios.iter().map(|(_, container)| container);
    let found = shipped_each(case.policy, HOST, &case.given, containers);
    let shown = |((name, _), found): (&(&str, Container), String)| {
        let found = if found.is_empty() {
            "nothing\n"
        } else {
            &found
        };
        format!("# {name}\n{found}\n")
    };
    scenarios.iter().zip(found).map(shown).collect()
}
