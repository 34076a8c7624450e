//! Names and texts of the policies skydns and skydns-srv that need containers with labels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{changed, shipped};
use serde_json::{Value as Json, json};

#[track_caller]
fn check(policy: &str, given: Json, original: &str, labels: Json, expected: &[&str]) {
    let container = changed(original, &[json!({ "Config": { "Labels": labels } })]);
    let found = shipped(policy, &[], &given, &container);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn names_of_a_label() {
    let names = |text: &str, expected: &[&str]| {
        let given = json!({ "names": ["label"] });
        check(
            "skydns",
            given,
            "web",
            json!({ "io.kontena.skydns.names": text }),
            expected,
        );
    };
    let value = r#"{"host":"172.17.0.2","ttl":30}"#;
    let [www, shop] = ["www", "shop/www"]
        .map(|name| format!("/skydns/local/skydns/{name}/113ad94dfc20 = {value}"));
    names("", &[]);
    names("www", &[&www]);
    names("WWW , Www.Shop,", &[&shop, &www]);
    let told = "error: label io.kontena.skydns.names must have names such as \"www\" or \"www.shop\", not \"a..b\"";
    names("www, a..b", &[told]);
    check(
        "skydns",
        json!({ "names": ["label"] }),
        "web",
        json!({}),
        &[],
    );
}

#[test]
fn names_of_compose() {
    let given = json!({ "network": null, "names": ["compose", "service"], "ptr": true });
    check(
        "skydns",
        given,
        "shop-api-1",
        json!({}),
        &[
            r#"/skydns/arpa/in-addr/172/19/0/3 = {"host":"api.shop.skydns.local","ttl":30}"#,
            r#"/skydns/local/skydns/api/c52fd043d96c = {"host":"172.19.0.3","ttl":30}"#,
            r#"/skydns/local/skydns/shop/api/c52fd043d96c = {"host":"172.19.0.3","ttl":30}"#,
        ],
    );
    check(
        "skydns-srv",
        json!({ "network": null, "project": true }),
        "shop-api-1",
        json!({}),
        &[
            r#"/skydns/local/skydns/svc/shop/api/c52fd043d96c-80 = {"host":"172.19.0.3","port":80,"ttl":30}"#,
        ],
    );
}

/// Too long with the domain and the instance before it; or what CoreDNS takes for an asterisk.
#[test]
fn names_that_nobody_can_ask_for() {
    let label = |text: &str| json!({ "io.kontena.skydns.names": text });
    let names = json!({ "names": ["label"] });
    let long = vec!["x".repeat(63); 3].join(".");
    let told = |name: &str| {
        format!(
            "error: the name {name:?} has more than the 253 characters that DNS allows: give the container a shorter one"
        )
    };
    let at = format!("{long}.{}", "y".repeat(35));
    let name = |name: &str| format!("113ad94dfc20.{name}.skydns.local");
    let path = format!("{}/{}", "y".repeat(35), vec!["x".repeat(63); 3].join("/"));
    let longest = format!(
        "/skydns/local/skydns/{path}/113ad94dfc20 = {{\"host\":\"172.17.0.2\",\"ttl\":30}}"
    );
    assert_eq!(name(&at).len(), 253);
    check("skydns", names.clone(), "web", label(&at), &[&longest]);
    let too_long = format!("{at}y");
    let refused = told(&name(&too_long));
    check(
        "skydns",
        names.clone(),
        "web",
        label(&too_long),
        &[&refused],
    );

    let any = |name: &str| {
        format!(
            "error: CoreDNS takes \"any\" in a name for any label, so nobody can ask for {name:?}: give the container another name"
        )
    };
    let refused = any("113ad94dfc20.any.shop.skydns.local");
    check("skydns", names, "web", label("Any.Shop"), &[&refused]);
    let service = json!({ "io.kontena.skydns.service": "any" });
    let refused = any("113ad94dfc20-80.any.svc.skydns.local");
    check("skydns-srv", json!({}), "web", service, &[&refused]);
    let name = json!({ "SERVICE_NAME": "any", "SERVICE_ID": "a" });
    let refused = any("a.any.skydns.local");
    let given = json!({ "address": "container", "host_name": "node1" });
    check("skydns2", given, "web", name, &[&refused]);
}

#[test]
fn ports_of_a_label() {
    let check = |text: &str, expected: &[&str]| {
        let label = json!({ "io.kontena.skydns.ports": text, "io.kontena.skydns.service": "web" });
        check("skydns-srv", json!({}), "web-published", label, expected);
    };
    let id = "/skydns/local/skydns/svc/web/83f4cf8c952c";
    let value = |port: u16| format!(r#"{{"host":"172.17.0.4","port":{port},"ttl":30}}"#);
    let [http, dns] = [
        format!("{id}-80 = {}", value(80)),
        format!("{id}-53-udp = {}", value(53)),
    ];
    check("80", &[&http]);
    check(" 53,80, ", &[&dns, &http]);
    // The image need not declare what the label says.
    check("8080", &[&format!("{id}-8080 = {}", value(8080))]);
    let told = "error: label io.kontena.skydns.ports must be a port from 1 to 65535, not \"80;53\"";
    check("80;53", &[told]);
}

#[test]
fn texts() {
    let given = json!({ "text_label": "about" });
    let address = r#"/skydns/local/skydns/web/113ad94dfc20 = {"host":"172.17.0.2","ttl":30}"#;
    check("skydns", given.clone(), "web", json!({}), &[address]);
    check(
        "skydns",
        given.clone(),
        "web",
        json!({ "about": "" }),
        &[address],
    );
    check(
        "skydns",
        given,
        "web",
        json!({ "about": "a \"b\"" }),
        &[
            address,
            r#"/skydns/local/skydns/web/113ad94dfc20-txt = {"text":"a \"b\"","ttl":30}"#,
        ],
    );
}

#[test]
fn where_services_are() {
    let found = |env: &[(&str, &str)], given: Json| {
        shipped("skydns-srv", env, &given, &changed("web-published", &[]))
    };
    let host = [("KONTENA_REGISTRATOR_HOST_IP", "192.0.2.10")];
    // To know the host's address is not to want published ports.
    assert_eq!(
        found(&host, json!({ "ports": [80] })),
        "/skydns/local/skydns/svc/shop-front/83f4cf8c952c-80 = {\"host\":\"172.17.0.4\",\"port\":80,\"ttl\":30}\n"
    );
    let published = "/skydns/local/skydns/svc/shop-front/83f4cf8c952c-80 = {\"host\":\"192.0.2.10\",\"port\":8080,\"ttl\":30}\n";
    assert_eq!(
        found(&host, json!({ "ports": [80], "address": "host" })),
        published
    );
    assert_eq!(
        found(&[], json!({ "ports": [80], "host_ip": "192.0.2.10" })),
        published
    );
    let unknown = found(&[], json!({ "address": "host" }));
    assert!(
        unknown.starts_with("error: address is \"host\", and the host's address is not known"),
        "{unknown}"
    );
}

#[test]
fn the_old_layout_has_no_host_addresses() {
    check(
        "skydns",
        json!({ "layout": "hostname", "address": "host", "host_ip": "192.0.2.10" }),
        "web-published",
        json!({}),
        &[
            "error: the layout \"hostname\" has the containers' own addresses: address must be \"container\", not \"host\"",
        ],
    );
}
