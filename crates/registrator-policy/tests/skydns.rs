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
    // In full, with the domain; with a dot at the end it can be nothing else.
    for full in [
        "www.skydns.local",
        "WWW.SkyDNS.local.",
        "www,www.skydns.local",
    ] {
        names(full, &[&www]);
    }
    names("www.other.test.,www.shop.skydns.local.", &[&shop]);
    let other = format!("/skydns/local/skydns/test/other/www/113ad94dfc20 = {value}");
    names("www.other.test", &[&other]);
    let myskydns = format!("/skydns/local/skydns/local/myskydns/113ad94dfc20 = {value}");
    names("myskydns.local", &[&myskydns]);
    let told = "error: label io.kontena.skydns.names must have names such as \"www\" or \"www.shop\", not \"skydns.local\"";
    names("skydns.local", &[told]);
    for wrong in ["www shop", "www;shop", "a|b", "www\tshop"] {
        let told = format!(
            "error: label io.kontena.skydns.names must have names with commas between them, such as \"www,www.shop\", not {wrong:?}"
        );
        names(wrong, &[&told]);
    }
    check(
        "skydns",
        json!({ "names": ["label"] }),
        "web",
        json!({}),
        &[],
    );
}

/// What a name of a label becomes is told, unless only its case changes.
#[test]
fn changed_names_are_told() {
    let printed = |policy: &str, given: Json, labels: Json| {
        let path = format!("../../etc/policies/{policy}.star");
        let mut policy =
            registrator_policy::load(std::path::Path::new(&path), &common::settings(&[])).unwrap();
        let config = common::config(policy.as_ref(), &given.to_string());
        let container = changed("web", &[json!({ "Config": { "Labels": labels } })]);
        let log = policy.evaluate(config.as_ref(), &container).unwrap().log;
        log.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let names = |text: &str| {
        printed(
            "skydns",
            json!({ "names": ["label"] }),
            json!({ "io.kontena.skydns.names": text }),
        )
    };
    assert_eq!(names("WWW.skydns.local"), Vec::<String>::new());
    assert_eq!(
        names("w@w"),
        ["label io.kontena.skydns.names: \"w@w\" becomes w-w.skydns.local, as DNS wants it"]
    );
    assert_eq!(
        names("www.a.test."),
        [
            "label io.kontena.skydns.names: \"www.a.test.\" is not in the domain skydns.local, and so none of this configuration's names"
        ]
    );
    let service = |text: &str| {
        printed(
            "skydns-srv",
            json!({}),
            json!({ "io.kontena.skydns.service": text }),
        )
    };
    assert_eq!(service("API.svc.skydns.local"), Vec::<String>::new());
    assert_eq!(
        service("a.b"),
        ["label io.kontena.skydns.service: \"a.b\" becomes a-b.svc.skydns.local, as DNS wants it"]
    );
}

#[test]
fn a_service_of_a_label_may_be_given_in_full() {
    let at = r#"/skydns/local/skydns/svc/api/113ad94dfc20-80 = {"host":"172.17.0.2","port":80,"ttl":30}"#;
    for text in [
        "api",
        "API",
        "api.svc.skydns.local",
        "api.svc.skydns.local.",
    ] {
        check(
            "skydns-srv",
            json!({}),
            "web",
            json!({ "io.kontena.skydns.service": text }),
            &[at],
        );
    }
    for text in ["svc.skydns.local", "api.other.test."] {
        let told = format!(
            "error: label io.kontena.skydns.service must name a service in the domain svc.skydns.local, not {text:?}"
        );
        check(
            "skydns-srv",
            json!({}),
            "web",
            json!({ "io.kontena.skydns.service": text }),
            &[&told],
        );
    }
}

/// What a policy makes of a task of Swarm's with these labels and networks.
fn of_task(policy: &str, given: Json, labels: &Json, networks: &Json) -> String {
    let change = json!({
        "Name": "/shop_web.1.to13ep3d3vhxa7tv9ztm0axpi",
        "Config": { "Labels": labels },
        "NetworkSettings": { "Networks": networks },
    });
    let none = json!({ "NetworkSettings": { "Networks": null } });
    shipped(policy, &[], &given, &changed("web", &[none, change]))
}

/// A task of a service with a published port is in the network of the routing mesh too.
fn task() -> (Json, Json) {
    let labels = json!({
        "com.docker.swarm.service.name": "shop_web",
        "com.docker.swarm.task.name": "shop_web.1.to13ep3d3vhxa7tv9ztm0axpi",
        "com.docker.stack.namespace": "shop",
    });
    let networks = json!({ "ingress": { "IPAddress": "10.0.0.4" }, "shop_default": { "IPAddress": "10.0.1.3" } });
    (labels, networks)
}

const TASK_AT: &str = r#"{"host":"10.0.1.3","port":80,"ttl":30}"#;

#[test]
fn names_of_swarm() {
    let (labels, networks) = task();
    let value = r#"{"host":"10.0.1.3","ttl":30}"#;
    let both = json!({ "network": null, "names": ["service", "compose"] });
    assert_eq!(
        of_task("skydns", both.clone(), &labels, &networks),
        format!(
            "/skydns/local/skydns/shop/web/113ad94dfc20 = {value}\n/skydns/local/skydns/shop_web/113ad94dfc20 = {value}\n"
        )
    );
    let of_all = format!("/skydns/local/skydns/svc/shop_web/113ad94dfc20-80 = {TASK_AT}\n");
    let alone = json!({ "network": null });
    assert_eq!(of_task("skydns-srv", alone, &labels, &networks), of_all);
    let project = json!({ "network": null, "project": true });
    assert_eq!(
        of_task("skydns-srv", project.clone(), &labels, &networks),
        format!("/skydns/local/skydns/svc/shop/web/113ad94dfc20-80 = {TASK_AT}\n")
    );
    // A service that is in no stack.
    let stackless = json!({ "com.docker.swarm.service.name": "shop_web" });
    assert_eq!(
        of_task("skydns", both, &stackless, &networks),
        format!("/skydns/local/skydns/shop_web/113ad94dfc20 = {value}\n")
    );
    assert_eq!(
        of_task("skydns-srv", project, &stackless, &networks),
        of_all
    );
}

#[test]
fn the_network_of_swarms_mesh_is_none() {
    let (labels, networks) = task();
    // Whoever names it gets it; it alone is no network at all.
    let mesh = r#"/skydns/local/skydns/svc/shop_web/113ad94dfc20-80 = {"host":"10.0.0.4","port":80,"ttl":30}"#;
    let named = json!({ "network": "ingress" });
    assert_eq!(
        of_task("skydns-srv", named, &labels, &networks).trim(),
        mesh
    );
    let only = json!({ "ingress": { "IPAddress": "10.0.0.4" } });
    let any = json!({ "network": null });
    assert_eq!(of_task("skydns-srv", any.clone(), &labels, &only), "");
    // Elsewhere it is a network like any other.
    let told = of_task("skydns-srv", any, &json!({}), &networks);
    assert!(
        told.starts_with(
            "error: the container is in the networks ingress, shop_default, and nothing says"
        ),
        "{told}"
    );
}

/// One of `docker compose run` has all labels of its service.
#[test]
fn a_oneoff_container_has_its_own_name_alone() {
    let labels = json!({ "com.docker.compose.oneoff": "True" });
    check(
        "skydns",
        json!({ "network": null }),
        "shop-api-1",
        labels.clone(),
        &[],
    );
    let all = json!({ "network": null, "names": ["name", "service", "compose"], "oneoff": true });
    let own = r#"/skydns/local/skydns/shop-api-1/c52fd043d96c = {"host":"172.19.0.3","ttl":30}"#;
    check("skydns", all, "shop-api-1", labels.clone(), &[own]);
    let own = r#"/skydns/local/skydns/svc/shop-api-1/c52fd043d96c-80 = {"host":"172.19.0.3","port":80,"ttl":30}"#;
    let given = json!({ "network": null, "project": true, "oneoff": true });
    check("skydns-srv", given, "shop-api-1", labels, &[own]);
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
    // CoreDNS takes a backslash for the begin of an escape.
    check(
        "skydns",
        json!({ "text_label": "about" }),
        "web",
        json!({ "about": "a\\b" }),
        &[
            address,
            r#"/skydns/local/skydns/web/113ad94dfc20-txt = {"text":"a\\\\b","ttl":30}"#,
        ],
    );
    let too_many = "\\".repeat(128);
    check(
        "skydns",
        json!({ "text_label": "about" }),
        "web",
        json!({ "about": too_many }),
        &[address],
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
