//! Each shipped policy says why, wherever it gives nothing: whatever the container, whatever the configuration.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{SHIPPED, changed, config, settings};
use registrator_policy::load;
use serde_json::{Value as Json, json};
use std::path::Path;

const CONTAINERS: [&str; 10] = [
    "created",
    "dual",
    "exited",
    "hostnet",
    "none",
    "paused",
    "shop-api-1",
    "sidecar",
    "web",
    "web-published",
];

fn changes() -> Vec<Json> {
    let label = |name: &str, value: &str| json!({"Config": {"Labels": {name: value}}});
    vec![
        json!({}),
        label("io.kontena.registrator.enable", "false"),
        label("io.kontena.registrator.enable", "true"),
        label("traefik.enable", "false"),
        label("traefik.http.routers.r.rule", "Host(`r`)"),
        label("io.kontena.load_balancer.name", "lb"),
        label("com.docker.compose.oneoff", "True"),
        json!({"State": {"Status": "stopping"}}),
        json!({"State": {"Health": {"Status": "starting"}}}),
        json!({"Config": {"ExposedPorts": null}, "NetworkSettings": {"Ports": {}}}),
        json!({"Config": {"Env": ["SERVICE_IGNORE=1"]}}),
        json!({"Config": {"Hostname": ""}}),
    ]
}

fn configurations(policy: &str) -> Vec<Json> {
    let more = match policy {
        "skydns" => vec![json!({"layout": "hostname"}), json!({"names": ["label"]})],
        "skydns-srv" => vec![json!({"ports": [9]})],
        "services" | "skydns2" => vec![json!({"explicit": true})],
        "traefik" => vec![
            json!({"lasting": false}),
            json!({"constraints": "Label(`a`, `b`)", "lasting": false}),
        ],
        _ => Vec::new(),
    };
    let common = [
        json!({}),
        json!({"expose": "all"}),
        json!({"expose": "labelled"}),
        json!({"health": "healthy", "paused": false}),
        json!({"family": "ipv6"}),
        json!({"address": "host"}),
        json!({"network": "elsewhere"}),
    ];
    let both = common
        .into_iter()
        .filter(|it| policy != "traefik" || it != &json!({}));
    both.chain(more).collect()
}

#[test]
fn no_shipped_policy_gives_nothing_without_a_reason() {
    let settings = settings(&[
        ("KONTENA_REGISTRATOR_HOST_IP", "192.0.2.1"),
        ("KONTENA_REGISTRATOR_HOST_NAME", "node1"),
    ]);
    let changes = changes();
    let (mut tried, mut empty) = (0, 0);
    for name in SHIPPED {
        let file = format!("../../etc/policies/{name}.star");
        let mut policy = load(Path::new(&file), &settings).unwrap();
        for given in configurations(name) {
            let configured = config(policy.as_ref(), &given.to_string());
            for (inspected, change) in CONTAINERS
                .iter()
                .flat_map(|it| changes.iter().map(move |change| (it, change)))
            {
                let container = changed(inspected, std::slice::from_ref(change));
                // One that fails has its error as the reason.
                let Ok(done) = policy.evaluate(configured.as_ref(), &container) else {
                    continue;
                };
                tried += 1;
                empty += usize::from(done.nodes.is_empty());
                assert!(
                    !done.nodes.is_empty() || !done.reasons.is_empty(),
                    "{name} {given}: {inspected} {change}"
                );
            }
        }
    }
    assert!(empty > 500 && tried > empty, "{empty} of {tried}");
}
