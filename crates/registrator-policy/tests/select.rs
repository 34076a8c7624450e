//! The selection that the shipped policies share, `etc/policies/lib/select.star`: containers as a real engine describes them,
//! some changed in one place, and what is selected of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Folder, checked, config, lines, plain_error, settings};
use registrator_core::observe::container::Container;
use registrator_policy::lint;
use serde_json::{Value as Json, json};

/// Shows all that the helper file says of a container.
const POLICY: &str = r#"
load("lib/select.star", "SELECTION", "addresses_of", "endpoints_of", "network_of", "selected")

config(attrs = SELECTION | {"port": attr(int, default = 80), "protocol": attr(str, default = "tcp")})

def docker_container(container: Container, config):
    if not selected(container, config):
        return None
    network = network_of(container, config) if config.address == "container" else None
    ends = endpoints_of(container, config, config.port, config.protocol)
    return {
        "/network": network.name if network else "none",
        "/addresses": " ".join(addresses_of(container, config)),
        "/endpoints": " ".join([host_port(ip, port) for ip, port in ends]),
    }
"#;

const SELECT: &str = include_str!("../../../etc/policies/lib/select.star");

fn folder() -> Folder {
    Folder::with(&[("p.star", POLICY), ("lib/select.star", SELECT)])
}

/// A container as a real engine described it, with members set anew.
fn container(name: &str, changes: &[(&[&str], Json)]) -> Container {
    let text = std::fs::read_to_string(format!("tests/inspect/{name}.json")).unwrap();
    let mut inspected: Json = serde_json::from_str(&text).unwrap();
    for (path, value) in changes {
        let mut place = &mut inspected;
        for step in *path {
            place = &mut place[*step];
        }
        *place = value.clone();
    }
    Container::from_inspect(inspected).unwrap()
}

fn outcome(env: &[(&str, &str)], given: &Json, container: &Container) -> String {
    let folder = folder();
    let mut policy = folder.load("p.star", &settings(env)).unwrap();
    let given = match checked(policy.as_mut(), &given.to_string()) {
        Ok(given) => given,
        Err(fault) => return format!("error: {fault}"),
    };
    match policy.evaluate(given.as_ref(), container) {
        Ok(done) if done.nodes.is_empty() => "not selected".into(),
        Ok(done) => {
            let values = lines(&done);
            let value = |line: &str| line.split_once(" = ").unwrap().1.to_owned();
            let values: Vec<String> = values.lines().map(value).collect();
            format!("{} @ {} -> {}", values[0], values[2], values[1])
        }
        Err(error) => message(&folder.plain(&plain_error(&error))),
    }
}

/// The message of an error, without the place.
fn message(error: &str) -> String {
    let line = error.lines().next().unwrap();
    let place = line.match_indices(": ").nth(1).unwrap().0;
    format!("{}: {}", "error", &line[place + 2..])
}

/// `expected` is `addresses @ network -> endpoints of port 80`, `not selected`, or `error: ` and its text.
#[track_caller]
fn check(given: Json, container: &Container, expected: &str) {
    assert_eq!(outcome(&[], &given, container), expected, "{given}");
}

fn labelled(name: &str, label: &str, value: &str) -> Container {
    container(name, &[(&["Config", "Labels"], json!({ label: value }))])
}

#[test]
fn has_no_findings() {
    assert_eq!(lint(&folder().path("p.star"), &settings(&[])), []);
    let alone = format!("{SELECT}\ndef docker_container(container):\n    return None\n");
    let alone = Folder::with(&[("select.star", &alone)]);
    assert_eq!(lint(&alone.path("select.star"), &settings(&[])), []);
}

#[test]
fn exposure() {
    let seen = "172.17.0.2 @ bridge -> 172.17.0.2:80";
    let enable = "io.kontena.registrator.enable";
    let [all, opt_in] = ["all", "labelled"].map(|expose| json!({ "expose": expose }));
    check(all.clone(), &container("web", &[]), seen);
    check(opt_in.clone(), &container("web", &[]), "not selected");
    for yes in ["1", "t", "T", "true", "TRUE", "True"] {
        check(opt_in.clone(), &labelled("web", enable, yes), seen);
        check(all.clone(), &labelled("web", enable, yes), seen);
    }
    for no in ["0", "f", "F", "false", "FALSE", "False"] {
        check(opt_in.clone(), &labelled("web", enable, no), "not selected");
        check(all.clone(), &labelled("web", enable, no), "not selected");
    }
    let other = json!({ "enable_label": "dns.enable", "expose": "labelled" });
    check(other, &labelled("web", "dns.enable", "true"), seen);
    // The label's usual name keeps a container out whatever another label says.
    let both = |usual: &str, own: &str| {
        let labels = json!({ enable: usual, "dns.enable": own });
        container("web", &[(&["Config", "Labels"], labels)])
    };
    for expose in ["all", "labelled"] {
        let other = json!({ "enable_label": "dns.enable", "expose": expose });
        check(other.clone(), &both("false", "true"), "not selected");
        check(other.clone(), &both("F", "true"), "not selected");
        check(other.clone(), &both("true", "true"), seen);
        check(other, &both("true", "false"), "not selected");
    }
    for bad in ["yes", "", "tRUE"] {
        let told = format!("error: label {enable} must be \"true\" or \"false\", not {bad:?}");
        check(all.clone(), &labelled("web", enable, bad), &told);
    }
    let told =
        "error: web.json:1: member \"expose\" must be one of \"all\", \"labelled\", not \"some\"";
    check(json!({ "expose": "some" }), &container("web", &[]), told);
}

#[test]
fn state_and_health() {
    let seen = "172.17.0.2 @ bridge -> 172.17.0.2:80";
    let healthy = json!({ "health": "healthy" });
    check(healthy.clone(), &container("web", &[]), seen);
    for (health, selected) in [("healthy", true), ("starting", false), ("unhealthy", false)] {
        let changed = container(
            "web",
            &[(&["State", "Health"], json!({ "Status": health }))],
        );
        check(json!({}), &changed, seen);
        check(
            healthy.clone(),
            &changed,
            if selected { seen } else { "not selected" },
        );
    }
    let stopping = container("web", &[(&["State", "Status"], json!("stopping"))]);
    check(json!({}), &stopping, "not selected");
    for ended in ["created", "exited"] {
        check(json!({}), &container(ended, &[]), "not selected");
    }
    // In a crash loop the engine says that it runs.
    let restarting =
        json!({ "Status": "restarting", "Running": true, "Restarting": true, "Pid": 0 });
    for name in ["web", "hostnet", "two-nets"] {
        let restarting = container(name, &[(&["State"], restarting.clone())]);
        check(json!({}), &restarting, "not selected");
    }
    let paused = container(
        "web",
        &[
            (&["State", "Status"], json!("paused")),
            (&["State", "Paused"], json!(true)),
        ],
    );
    check(json!({}), &paused, seen);
    check(json!({ "paused": true }), &paused, seen);
    check(json!({ "paused": false }), &paused, "not selected");
    check(json!({ "paused": false }), &container("web", &[]), seen);
    let told =
        "error: web.json:1: member \"health\" must be one of \"ignore\", \"healthy\", not \"good\"";
    check(json!({ "health": "good" }), &container("web", &[]), told);
}

#[test]
fn networks() {
    let label = "io.kontena.registrator.network";
    let two = container("two-nets", &[]);
    check(
        json!({}),
        &two,
        "error: the container is in the networks back, front, and nothing says which one counts: set the label io.kontena.registrator.network to one of them, or \"network\" in the configuration",
    );
    let front = "172.19.0.2 @ front -> 172.19.0.2:80";
    check(json!({ "network": "front" }), &two, front);
    check(json!({}), &labelled("two-nets", label, "front"), front);
    // What the container says of itself is more exact than what is said of all.
    check(
        json!({ "network": "back" }),
        &labelled("two-nets", label, "front"),
        front,
    );
    check(json!({ "network": "other" }), &two, " @ none -> ");
    check(
        json!({}),
        &labelled("two-nets", label, "other"),
        " @ none -> ",
    );
    check(json!({}), &container("none", &[]), " @ none -> ");
    // The owner of its network has ended, or was started again since.
    check(json!({}), &container("sidecar", &[]), "not selected");
    let with_network = [(
        &["NetworkSettings", "Networks"][..],
        json!({ "front": { "IPAddress": "172.19.0.9" } }),
    )];
    check(
        json!({}),
        &container("sidecar", &with_network),
        "172.19.0.9 @ front -> 172.19.0.9:80",
    );
}

/// What is explained of a container that cannot be reached; the policy asks for its endpoints and for its addresses.
fn said(given: Json, container: &Container) -> Vec<String> {
    let mut policy = folder().load("p.star", &settings(&[])).unwrap();
    let given = config(policy.as_ref(), &given.to_string());
    let done = policy.evaluate(given.as_ref(), container).unwrap();
    done.reasons
}

#[test]
fn why_a_container_cannot_be_reached_is_explained() {
    let one = |given: Json, container: &Container| said(given, container).swap_remove(0);
    let two = container("two-nets", &[]);
    assert!(said(json!({ "network": "front" }), &two).is_empty());
    assert_eq!(
        said(json!({ "network": "other" }), &two),
        [
            "the container cannot be reached: it has no address of the family \"any\" in the network other, and is in the networks: back, front"
        ]
    );
    assert_eq!(
        one(json!({ "family": "ipv6" }), &container("web", &[])),
        "the container cannot be reached: it has no address of the family \"ipv6\" in its network, and is in the networks: bridge"
    );
    assert_eq!(
        one(
            json!({ "address": "host", "host_ip": "192.0.2.1" }),
            &container("web", &[])
        ),
        "the container cannot be reached: port 80/tcp is not published on the host at an address that others can use, of the family \"any\""
    );
    assert_eq!(
        one(json!({}), &container("hostnet", &[])),
        "the container cannot be reached: the host's address is not known, or not of the family \"any\": see host_ip, host_ipv6 and --host-ip"
    );
}

#[test]
fn families() {
    let dual = container("dual", &[]);
    let v4 = "172.21.0.10 @ dual -> 172.21.0.10:80";
    let v6 = "fd00:21::a @ dual -> [fd00:21::a]:80";
    check(json!({}), &dual, v4);
    check(json!({ "family": "ipv4" }), &dual, v4);
    check(json!({ "family": "ipv6" }), &dual, v6);
    check(
        json!({ "family": "both" }),
        &dual,
        "172.21.0.10 fd00:21::a @ dual -> 172.21.0.10:80 [fd00:21::a]:80",
    );
    let address = ["NetworkSettings", "Networks", "dual", "IPAddress"];
    let only_v6 = container("dual", &[(&address, json!(""))]);
    check(json!({}), &only_v6, v6);
    check(json!({ "family": "ipv4" }), &only_v6, " @ dual -> ");
    let told = "error: web.json:1: member \"family\" must be one of \"any\", \"ipv4\", \"ipv6\", \"both\", not \"inet\"";
    check(json!({ "family": "inet" }), &dual, told);
}

fn bound(bindings: Json) -> Container {
    container(
        "web-published",
        &[(&["NetworkSettings", "Ports"], json!({ "80/tcp": bindings }))],
    )
}

#[test]
fn published_ports() {
    let at = |more: Json| {
        let mut given = json!({ "address": "host", "host_ip": "192.0.2.10" });
        let more = more.as_object().unwrap().clone();
        given.as_object_mut().unwrap().extend(more);
        given
    };
    let published = container("web-published", &[]);
    check(
        at(json!({})),
        &published,
        "192.0.2.10 @ none -> 192.0.2.10:8080",
    );
    check(
        at(json!({ "port": 53, "protocol": "udp" })),
        &published,
        "192.0.2.10 @ none -> 192.0.2.10:5353",
    );
    // Published on the loopback; published for UDP alone; not published.
    check(
        at(json!({ "port": 443 })),
        &published,
        "192.0.2.10 @ none -> ",
    );
    check(
        at(json!({ "port": 53 })),
        &published,
        "192.0.2.10 @ none -> ",
    );
    check(at(json!({})), &container("web", &[]), " @ none -> ");
    let both = at(json!({ "host_ipv6": "2001:db8::10", "family": "both" }));
    check(
        both,
        &published,
        "192.0.2.10 2001:db8::10 @ none -> 192.0.2.10:8080 [2001:db8::10]:8080",
    );
    let v6 = json!({ "address": "host", "host_ipv6": "2001:db8::10" });
    check(v6, &published, "2001:db8::10 @ none -> [2001:db8::10]:8080");

    let binding = |ip: &str, port: &str| json!({ "HostIp": ip, "HostPort": port });
    let own = bound(json!([binding("198.51.100.7", "8080")]));
    check(
        at(json!({})),
        &own,
        "198.51.100.7 @ none -> 198.51.100.7:8080",
    );
    check(
        json!({ "address": "host" }),
        &own,
        "198.51.100.7 @ none -> 198.51.100.7:8080",
    );
    let hidden = bound(json!([
        binding("127.0.0.5", "1"),
        binding("::1", "1"),
        binding("0.0.0.0", "2")
    ]));
    check(at(json!({})), &hidden, "192.0.2.10 @ none -> 192.0.2.10:2");
    let twice = bound(json!([binding("0.0.0.0", "1"), binding("0.0.0.0", "2")]));
    check(at(json!({})), &twice, "192.0.2.10 @ none -> 192.0.2.10:1");
    let v6_first = bound(json!([
        binding("2001:db8::7", "1"),
        binding("0.0.0.0", "2")
    ]));
    check(
        at(json!({})),
        &v6_first,
        "192.0.2.10 @ none -> 192.0.2.10:2",
    );
}

#[test]
fn host_addresses() {
    let unknown = "error: address is \"host\", and the host's address is not known: set host_ip or host_ipv6 in the configuration, or give the registrator --host-ip";
    let host = json!({ "address": "host" });
    check(host.clone(), &container("web-published", &[]), unknown);
    check(host.clone(), &container("hostnet", &[]), unknown);
    let env = [
        ("KONTENA_REGISTRATOR_HOST_IP", "192.0.2.10"),
        ("KONTENA_REGISTRATOR_HOST_IPV6", "2001:db8::10"),
    ];
    let found = outcome(&env, &host, &container("web-published", &[]));
    assert_eq!(found, "192.0.2.10 @ none -> 192.0.2.10:8080");
    let both = json!({ "family": "both" });
    let found = outcome(&env, &both, &container("hostnet", &[]));
    assert_eq!(
        found,
        "192.0.2.10 2001:db8::10 @ host -> 192.0.2.10:80 [2001:db8::10]:80"
    );
    check(json!({}), &container("hostnet", &[]), " @ host -> ");
    for (name, kind) in [("host_ip", "IPv4"), ("host_ipv6", "IPv6")] {
        let told = format!("error: {name} must be an {kind} address, not \"node1\"");
        check(
            json!({ "address": "host", name: "node1" }),
            &container("web-published", &[]),
            &told,
        );
    }
    let told = "error: web.json:1: member \"address\" must be one of \"container\", \"host\", not \"node\"";
    check(json!({ "address": "node" }), &container("web", &[]), told);
}
