//! The policies vulcand and kontena-lb: exactly these keys and values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{changed, shipped};
use registrator_core::observe::container::Container;
use serde_json::{Value as Json, json};

fn web(labels: Json, env: &[&str]) -> Container {
    let change = json!({ "Config": { "Labels": labels, "Env": env } });
    changed("web", &[change])
}

#[track_caller]
fn check(policy: &str, given: Json, container: &Container, expected: &[&str]) {
    let found = shipped(policy, &[], &given, container);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn vulcand_has_backends_and_frontends() {
    let labels = json!({
        "io.kontena.registrator.enable": "true",
        "io.kontena.vulcand.backend": "shop",
        "io.kontena.vulcand.route": "Host(\"shop.test\") && PathRegexp(\"/.*\")",
        "io.kontena.vulcand.port": "8080",
    });
    check(
        "vulcand",
        json!({}),
        &web(labels, &[]),
        &[
            r#"/vulcand/frontends/shop/frontend = {"Type":"http","BackendId":"shop","Route":"Host(\"shop.test\") && PathRegexp(\"/.*\")"}"#,
            "object /vulcand/backends/shop, in conflict smallest",
            r#"  backend = {"Type":"http"}"#,
            r#"  member servers/113ad94dfc20 = {"URL":"http://172.17.0.2:8080"}"#,
        ],
    );
    // Nobody said that it should be there.
    check("vulcand", json!({}), &web(json!({}), &[]), &[]);
    check(
        "vulcand",
        json!({ "expose": "all", "root": "/front" }),
        &web(json!({}), &[]),
        &[
            "object /front/backends/web, in conflict smallest",
            r#"  backend = {"Type":"http"}"#,
            r#"  member servers/113ad94dfc20 = {"URL":"http://172.17.0.2:80"}"#,
        ],
    );
}

#[test]
fn vulcand_says_what_is_wrong() {
    let all = json!({ "expose": "all" });
    for (label, text, told) in [
        (
            "port",
            "http",
            "label io.kontena.vulcand.port must be a port from 1 to 65535, not \"http\"",
        ),
        (
            "port",
            "0",
            "label io.kontena.vulcand.port must be a port from 1 to 65535, not \"0\"",
        ),
        (
            "port",
            "65536",
            "label io.kontena.vulcand.port must be a port from 1 to 65535, not \"65536\"",
        ),
        (
            "port",
            "80.0",
            "label io.kontena.vulcand.port must be a port from 1 to 65535, not \"80.0\"",
        ),
        (
            "backend",
            "a/b",
            "the backend \"a/b\" cannot be a part of a key: it has a slash",
        ),
    ] {
        let name = format!("io.kontena.vulcand.{label}");
        let container = web(json!({ name: text }), &[]);
        check(
            "vulcand",
            all.clone(),
            &container,
            &[&format!("error: {told}")],
        );
    }
    check(
        "vulcand",
        all,
        &changed("hostnet", &[]),
        &[
            "error: the container has 2 TCP ports: set the label io.kontena.vulcand.port to the one that serves",
        ],
    );
}

#[test]
fn kontena_has_http_services() {
    let labels = json!({
        "io.kontena.load_balancer.name": "infra/lb",
        "io.kontena.load_balancer.internal_port": "8080",
        "io.kontena.container.name": "shop.web-1",
        "io.kontena.container.overlay_cidr": "10.81.128.5/16",
        "io.kontena.stack.name": "shop",
        "io.kontena.service.name": "web",
        "io.kontena.health_check.uri": "/health",
        "io.kontena.health_check.port": "8081",
    });
    let env = [
        "KONTENA_LB_BALANCE=leastconn",
        "KONTENA_LB_VIRTUAL_HOSTS=shop.test,www.shop.test",
        "KONTENA_LB_VIRTUAL_PATH=/shop",
        "KONTENA_LB_KEEP_VIRTUAL_PATH=true",
        "KONTENA_LB_COOKIE=",
        "KONTENA_LB_CUSTOM_SETTINGS=timeout server 5m\noption forwardfor",
        "KONTENA_LB_EXTERNAL_PORT=9",
    ];
    check(
        "kontena-lb",
        json!({}),
        &web(labels, &env),
        &[
            "object /kontena/haproxy/infra/lb/services/shop-web, in conflict smallest",
            "  balance = leastconn",
            "  custom_settings = timeout server 5m",
            "option forwardfor",
            "  health_check_port = 8081",
            "  health_check_uri = /health",
            "  keep_virtual_path = true",
            "  virtual_hosts = shop.test,www.shop.test",
            "  virtual_path = /shop",
            "  member upstreams/shop.web-1 = 10.81.128.5:8080",
        ],
    );
}

#[test]
fn kontena_has_tcp_services() {
    let labels = json!({
        "io.kontena.load_balancer.name": "lb",
        "io.kontena.load_balancer.mode": "tcp",
        "io.kontena.load_balancer.internal_port": "5432",
        "io.kontena.stack.name": "null",
        "io.kontena.service.name": "db",
        "io.kontena.health_check.uri": "/",
    });
    let env = [
        "KONTENA_LB_EXTERNAL_PORT=5000",
        "KONTENA_LB_VIRTUAL_HOSTS=x",
    ];
    let expected = [
        "object /kontena/haproxy/lb/tcp-services/db, in conflict smallest",
        "  external_port = 5000",
        "  member upstreams/web = 172.17.0.2:5432",
    ];
    check("kontena-lb", json!({}), &web(labels, &env), &expected);
    // The environment says the mode too. Where nothing is set there is nothing to agree on.
    let labels = json!({ "io.kontena.load_balancer.name": "lb" });
    let env = ["KONTENA_LB_MODE=tcp"];
    let expected = ["/kontena/haproxy/lb/tcp-services/web/upstreams/web = 172.17.0.2:80"];
    check("kontena-lb", json!({}), &web(labels, &env), &expected);
}

#[test]
fn kontena_says_what_is_wrong() {
    let told = [
        (
            "io.kontena.load_balancer.mode",
            "udp",
            "the load balancer's mode must be \"http\" or \"tcp\", not \"udp\"",
        ),
        (
            "io.kontena.load_balancer.internal_port",
            "x",
            "label io.kontena.load_balancer.internal_port must be a port from 1 to 65535, not \"x\"",
        ),
        (
            "io.kontena.container.overlay_cidr",
            "x",
            "label io.kontena.container.overlay_cidr must be an address such as 10.81.1.2/16, not \"x\"",
        ),
        (
            "io.kontena.service.name",
            "a/b",
            "the service \"a/b\" cannot be a part of a key: it has a slash",
        ),
    ];
    for (label, text, told) in told {
        let labels = json!({ "io.kontena.load_balancer.name": "lb", label: text });
        check(
            "kontena-lb",
            json!({}),
            &web(labels, &[]),
            &[&format!("error: {told}")],
        );
    }
}
