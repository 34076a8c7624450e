//! Configurations that are wrong, and names that are in each other's way, with the shipped policies.

use super::{Folder, contains};
use serde_json::{Value as Json, json};
use std::path::Path;

/// A container of a Compose project in its network.
fn composed(digit: char, name: &str, service: &str, oneoff: &str) -> Json {
    json!({
        "Id": digit.to_string().repeat(64),
        "Name": format!("/{name}"),
        "State": {"Running": true, "Status": "running"},
        "Config": {
            "Image": "cloud",
            "ExposedPorts": {"80/tcp": {}},
            "Labels": {
                "com.docker.compose.project": "cloud",
                "com.docker.compose.service": service,
                "com.docker.compose.oneoff": oneoff,
            },
        },
        "NetworkSettings": {"Networks": {"cloud_default": {"IPAddress": format!("172.20.0.{digit}")}}},
    })
}

/// Runs a command with the shipped policies, and these configurations and containers.
fn shipped(code: i32, command: &[&str], configs: &[(&str, &str)], containers: &[Json]) -> String {
    let folder = Folder::new();
    std::fs::remove_dir_all(folder.path().join("etc/services")).unwrap();
    for (path, text) in configs {
        folder.write(&format!("etc/services/{path}"), text);
    }
    folder.write("containers.json", &json!(containers).to_string());
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/policies");
    let policies = format!("--policies={}", policies.display());
    folder.run(code, &[command, &[&policies]].concat()).0
}

const PLAN: [&str; 5] = [
    "plan",
    "--no-etcd",
    "--exit-code",
    "--host-name=node1",
    "--containers=containers.json",
];

#[test]
fn what_no_policy_accepts_is_found_by_check_and_told_once_by_plan() {
    let configs = [
        ("services/prefix.json", r#"{"prefix": "services//x/"}"#),
        ("skydns/domain.json", r#"{"domain": "Bad Domain"}"#),
        ("skydns/family.json", r#"{"family": "ipv5"}"#),
        ("skydns/ttl.json", r#"{"ttl": -1}"#),
        ("skydns-srv/ports.json", r#"{"ports": [0, 99999]}"#),
        ("skydns-srv/ttl.json", r#"{"ttl": 5000000000}"#),
    ];
    let containers = [
        composed('1', "a", "a", "False"),
        composed('2', "b", "b", "False"),
    ];
    let found = shipped(1, &["check"], &configs, &[]);
    for (path, _) in configs {
        contains(&found, &[path]);
    }
    contains(&found, &["0 instances from files: 6 errors, 0 warnings"]);
    let found = shipped(1, &PLAN, &configs, &containers);
    let errors = found.lines().filter(|line| line.starts_with("error in"));
    assert_eq!(errors.count(), configs.len(), "{found}");
    contains(&found, &["0 conflicts, 6 errors"]);
}

#[test]
fn a_project_that_is_called_as_its_container_is_a_warning() {
    let containers = [
        composed('1', "cloud", "cloud", "False"),
        composed('2', "cloud-db-1", "db", "False"),
    ];
    let both = [(
        "skydns/a.json",
        r#"{"network": null, "names": ["name", "compose"]}"#,
    )];
    let warning =
        "names has \"compose\" and others: CoreDNS answers a container that is called as a project";
    let found = shipped(0, &["check"], &both, &[]);
    contains(
        &found,
        &[
            "warning: ",
            warning,
            "skydns/a.json",
            "0 errors, 1 warnings",
        ],
    );
    let found = shipped(3, &PLAN, &both, &containers);
    contains(
        &found,
        &[
            warning,
            "warning: CoreDNS answers cloud.skydns.local of cloud (skydns:a) with what is below it too, such as /skydns/local/skydns/cloud/db/222222222222 of cloud-db-1 (skydns:a): give one of them another name",
        ],
    );
    let json = shipped(3, &[&PLAN[..], &["--json"]].concat(), &both, &containers);
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(json["warnings"].as_array().unwrap().len(), 2, "{json:#}");
    let apart = [
        ("skydns/a.json", r#"{"network": null}"#),
        (
            "skydns/b.json",
            r#"{"network": null, "domain": "compose.skydns.local", "names": ["compose"]}"#,
        ),
    ];
    let found = shipped(3, &PLAN, &apart, &containers);
    assert!(!found.contains("warning"), "{found}");
    contains(
        &found,
        &["/skydns/local/skydns/compose/cloud/db/222222222222"],
    );
}

/// `docker compose run` gives a container all labels of its service.
#[test]
fn a_oneoff_container_is_no_member_of_its_service() {
    let containers = [
        composed('1', "cloud-api-1", "api", "False"),
        composed('2', "cloud-api-run-1", "api", "True"),
    ];
    let all = [
        (
            "skydns/a.json",
            r#"{"network": null, "names": ["service", "compose"]}"#,
        ),
        ("skydns-srv/a.json", r#"{"network": null}"#),
        ("services/a.json", r#"{"address": "container"}"#),
        ("vulcand/a.json", r#"{"expose": "all"}"#),
        ("traefik/a.json", "{}"),
    ];
    let found = shipped(3, &PLAN, &all, &containers);
    contains(
        &found,
        &[
            "/skydns/local/skydns/api/111111111111 ",
            "/skydns/local/skydns/cloud/api/111111111111 ",
            "/skydns/local/skydns/svc/api/111111111111-80 ",
            "/services/cloud/node1:cloud-api-1:80 ",
            "/vulcand/backends/api/servers/111111111111 ",
        ],
    );
    assert!(
        !found.contains("222222222222") && !found.contains("172.20.0.2"),
        "{found}"
    );
    let wanted = [
        (
            "skydns/a.json",
            r#"{"network": null, "names": ["name", "service"], "oneoff": true}"#,
        ),
        ("skydns-srv/a.json", r#"{"network": null, "oneoff": true}"#),
    ];
    let found = shipped(3, &PLAN, &wanted, &containers[1..]);
    contains(
        &found,
        &[
            "/skydns/local/skydns/cloud-api-run-1/222222222222 ",
            "/skydns/local/skydns/svc/cloud-api-run-1/222222222222-80 ",
            "2 to create",
        ],
    );
}
