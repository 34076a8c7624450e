//! The rules of gliderlabs/registrator, in the policies services and skydns2: what its documentation shows, and what is different.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{changed, shipped};
use registrator_core::observe::container::Container;
use serde_json::{Map, Value as Json, json};

const HOST: &[(&str, &str)] = &[
    ("KONTENA_REGISTRATOR_HOST_NAME", "node1"),
    ("KONTENA_REGISTRATOR_HOST_IP", "192.0.2.10"),
];

/// A container with published ports, as `80/tcp` = `8000`, of an image, with environment and labels.
fn container(name: &str, image: &str, ports: Json, env: &[&str], labels: Json) -> Container {
    let ends = |port: &Json| match port {
        Json::String(port) => json!([
            { "HostIp": "0.0.0.0", "HostPort": port },
            { "HostIp": "::", "HostPort": port }
        ]),
        other => other.clone(),
    };
    let ports = ports.as_object().unwrap().iter();
    let bound: Map<String, Json> = ports.map(|(port, end)| (port.clone(), ends(end))).collect();
    let change = json!({
        "Name": format!("/{name}"),
        "Config": { "Image": image, "Env": env, "Labels": labels, "ExposedPorts": null },
        "NetworkSettings": { "Ports": bound },
    });
    let none = json!({ "NetworkSettings": { "Ports": null } });
    changed("web", &[none, change])
}

#[track_caller]
fn check(given: Json, container: &Container, expected: &[&str]) {
    let found = shipped("services", HOST, &given, container);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[track_caller]
fn check_plain(container: &Container, expected: &[&str]) {
    check(json!({}), container, expected);
}

#[test]
fn names_and_ids() {
    let redis = |env: &[&str]| {
        let ports = json!({ "6379/tcp": "10000" });
        container("redis.0", "progrium/redis", ports, env, json!({}))
    };
    check_plain(
        &redis(&[]),
        &["/services/redis/node1:redis.0:6379 = 192.0.2.10:10000"],
    );
    check_plain(
        &redis(&["SERVICE_NAME=db"]),
        &["/services/db/node1:redis.0:6379 = 192.0.2.10:10000"],
    );
    check_plain(
        &redis(&["SERVICE_NAME=db", "SERVICE_ID=db-1"]),
        &["/services/db/db-1 = 192.0.2.10:10000"],
    );
    let inside = json!({ "address": "container" });
    check(
        inside,
        &redis(&[]),
        &["/services/redis/node1:redis.0:6379 = 172.17.0.2:6379"],
    );
    let dns = container("dns", "x/dns", json!({ "53/udp": "53" }), &[], json!({}));
    check_plain(&dns, &["/services/dns/node1:dns:53:udp = 192.0.2.10:53"]);
}

#[test]
fn several_ports() {
    let nginx = |env: &[&str]| {
        let ports = json!({ "443/tcp": "4443", "80/tcp": "8000" });
        container("nginx.0", "nginx", ports, env, json!({}))
    };
    check_plain(
        &nginx(&[]),
        &[
            "/services/nginx-443/node1:nginx.0:443 = 192.0.2.10:4443",
            "/services/nginx-80/node1:nginx.0:80 = 192.0.2.10:8000",
        ],
    );
    check_plain(
        &nginx(&[
            "SERVICE_443_NAME=https",
            "SERVICE_443_ID=https.12345",
            "SERVICE_NAME=front",
        ]),
        &[
            "/services/front-80/node1:nginx.0:80 = 192.0.2.10:8000",
            "/services/https/https.12345 = 192.0.2.10:4443",
        ],
    );
    // Of two ports one is ignored: the other is the only one.
    let one = ["/services/nginx/node1:nginx.0:80 = 192.0.2.10:8000"];
    check_plain(&nginx(&["SERVICE_443_IGNORE=true"]), &one);
    check_plain(
        &nginx(&["SERVICE_IGNORE=1", "SERVICE_80_IGNORE=false"]),
        &one,
    );
    // A port that is not published, or for the host itself, is no service either.
    let here = json!([{ "HostIp": "127.0.0.1", "HostPort": "9" }]);
    let ports = json!({ "80/tcp": "8000", "81/tcp": null, "82/tcp": here });
    check_plain(&container("nginx.0", "nginx", ports, &[], json!({})), &one);
}

#[test]
fn ignoring() {
    let with = |text: &str| {
        let text = format!("SERVICE_IGNORE={text}");
        container(
            "web",
            "nginx",
            json!({ "80/tcp": "8000" }),
            &[&text],
            json!({}),
        )
    };
    for text in ["1", "true", "yes", "please"] {
        check_plain(&with(text), &[]);
    }
    for text in ["", "0", "false", "False", "no"] {
        check_plain(
            &with(text),
            &["/services/nginx/node1:web:80 = 192.0.2.10:8000"],
        );
    }
}

#[test]
fn labels_win() {
    let env = ["SERVICE_NAME=env", "SERVICE_80_ID=one", "SERVICE_TAGS=a,b"];
    let labels = json!({ "SERVICE_NAME": "label", "SERVICE_ID": "all" });
    let web = container("web", "nginx", json!({ "80/tcp": "8000" }), &env, labels);
    // What is said of the port counts more, wherever it is said.
    check_plain(&web, &["/services/label/one = 192.0.2.10:8000"]);
}

#[test]
fn names_of_images() {
    let named = |image: &str| {
        let web = container("c1", image, json!({ "80/tcp": "8000" }), &[], json!({}));
        let found = shipped("services", HOST, &json!({}), &web);
        found.split('/').nth(2).unwrap().to_owned()
    };
    let digest = format!("redis@sha256:{}", "0".repeat(64));
    // That of the container in tests/inspect/web.json.
    let id = "cf0ebe2f8442049bd518da0252ac74c96aea9a7f385beb4e027584ec57b98d67";
    let whole = format!("sha256:{id}");
    for (image, name) in [
        ("localhost:5000/a/foo:1", "foo"),
        ("redis", "redis"),
        ("redis:7.2-alpine", "redis"),
        (&digest, "redis"),
        (&whole, "c1"),
        (&id[..12], "c1"),
    ] {
        assert_eq!(named(image), name, "{image}");
    }
}

#[test]
fn explicit_names() {
    let explicit = json!({ "explicit": true });
    let web = |env: &[&str]| {
        let ports = json!({ "443/tcp": "4443", "80/tcp": "8000" });
        container("web", "nginx", ports, env, json!({}))
    };
    check(explicit.clone(), &web(&[]), &[]);
    let one = ["/services/www/node1:web:80 = 192.0.2.10:8000"];
    check(explicit.clone(), &web(&["SERVICE_80_NAME=www"]), &one);
    // What is not registered need not be understood.
    let unknown = shipped("services", &[], &explicit, &web(&[]));
    assert_eq!(unknown, "");
}

#[test]
fn addresses() {
    // The container's own address goes with its own port, also in a network of the user's.
    let dual = |given: Json| shipped("services", HOST, &given, &changed("dual", &[]));
    let own = "/services/web/node1:dual:80 = 172.21.0.10:80\n";
    assert_eq!(dual(json!({ "address": "container" })), own);
    assert_eq!(dual(json!({})), "");
    let bound = |ends: Json| container("web", "nginx", json!({ "80/tcp": ends }), &[], json!({}));
    let end = |ip: &str| json!({ "HostIp": ip, "HostPort": "8000" });
    let all = ["/services/nginx/node1:web:80 = 192.0.2.10:8000"];
    check_plain(&bound(json!([end("::"), end("0.0.0.0")])), &all);
    check_plain(
        &bound(json!([end("2001:db8::1")])),
        &["/services/nginx/node1:web:80 = [2001:db8::1]:8000"],
    );
    check_plain(
        &bound(json!([end("198.51.100.7")])),
        &["/services/nginx/node1:web:80 = 198.51.100.7:8000"],
    );
    let label = json!({ "overlay": "10.81.1.2/16" });
    let overlay = container("web", "nginx", json!({ "80/tcp": "8000" }), &[], label);
    check(
        json!({ "ip_label": "overlay" }),
        &overlay,
        &["/services/nginx/node1:web:80 = 10.81.1.2:80"],
    );
    let broken = container(
        "web",
        "nginx",
        json!({ "80/tcp": "1" }),
        &[],
        json!({ "overlay": "x" }),
    );
    check(
        json!({ "ip_label": "overlay" }),
        &broken,
        &["error: label overlay must be an address such as 10.81.1.2/16, not \"x\""],
    );
}

#[test]
fn what_is_missing_or_wrong_is_told() {
    let web = |env: &[&str]| container("web", "nginx", json!({ "80/tcp": "8000" }), env, json!({}));
    let nameless = shipped(
        "services",
        &[],
        &json!({ "host_ip": "192.0.2.10" }),
        &web(&[]),
    );
    assert_eq!(
        nameless,
        "error: the host's name is not known: set host_name in the configuration, or KONTENA_REGISTRATOR_HOST_NAME for the registrator\n"
    );
    let with_id = web(&["SERVICE_ID=a"]);
    let nameless = shipped(
        "services",
        &[],
        &json!({ "host_ip": "192.0.2.10" }),
        &with_id,
    );
    assert_eq!(nameless, "/services/nginx/a = 192.0.2.10:8000\n");
    check_plain(
        &web(&["SERVICE_NAME=a/b"]),
        &["error: the service \"a/b\" cannot be a part of a key: it has a slash"],
    );
    check_plain(
        &web(&["SERVICE_ID=../b"]),
        &["error: the service's id \"../b\" cannot be a part of a key: it has a slash"],
    );
    let elsewhere = json!({ "prefix": "/cluster/services/", "host_name": "node2" });
    check(
        elsewhere,
        &web(&[]),
        &["/cluster/services/nginx/node2:web:80 = 192.0.2.10:8000"],
    );
}

#[test]
fn skydns2_is_for_dns() {
    let check = |name: &str, env: &[&str], given: Json, expected: &str| {
        let ports = json!({ "6379/tcp": "10000" });
        let redis = container(name, "redis", ports, env, json!({}));
        assert_eq!(
            shipped("skydns2", HOST, &given, &redis),
            format!("{expected}\n")
        );
    };
    let value = r#"{"host":"192.0.2.10","port":10000}"#;
    let at = |key: &str| format!("/skydns/local/skydns/{key} = {value}");
    check(
        "c1",
        &["SERVICE_ID=redis-1"],
        json!({}),
        &at("redis/redis-1"),
    );
    check("c1", &[], json!({}), &at("redis/node1:c1:6379"));
    check(
        "c1",
        &["SERVICE_NAME=My.App"],
        json!({}),
        &at("my-app/node1:c1:6379"),
    );
    // DNS can ask for none of these.
    let plain = at("redis/113ad94dfc20-6379");
    check("redis.0", &[], json!({}), &plain);
    check("Redis", &[], json!({}), &plain);
    check("c1", &["SERVICE_ID=a b"], json!({}), &plain);
    check(&"r".repeat(60), &[], json!({}), &plain);
    let given = json!({ "domain": "Example.org", "ttl": 10 });
    let timed = "/skydns/org/example/redis/node1:c1:6379 = {\"host\":\"192.0.2.10\",\"port\":10000,\"ttl\":10}";
    check("c1", &[], given, timed);
}
