//! What a running registrator answers: the real program on its embedded etcd and a scripted engine. `UPDATE_EXPECT=1` accepts.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::too_many_lines,
    clippy::unwrap_used
)]

mod alerts;
mod docker;
#[path = "../support/etcd.rs"]
mod etcd;
mod explained;
mod health;
mod host;
mod objects;
mod page;
#[path = "../support/program.rs"]
mod program;

use docker::container;
use expect_test::expect;
use host::{Host, SKYDNS, curl, scrubbed};
use program::registrator;
use serde_json::{Value as Json, json};

fn label(value: &str) -> Json {
    json!({"Config": {"Labels": {"io.kontena.registrator.enable": value}}})
}

#[test]
fn containers() {
    let host = Host::start(
        vec![
            container('4', "web", &json!({"State": {"Health": {"Status": "healthy"}}})),
            container(
                '5',
                "batch",
                &json!({"HostConfig": {"NetworkMode": "none"}, "NetworkSettings": {"Networks": {"bridge": {"IPAddress": ""}}}}),
            ),
            container('6', "hidden", &label("false")),
            container('7', "broken", &label("maybe")),
            container(
                '8',
                "old",
                &json!({"State": {"Running": false, "Status": "created"}}),
            ),
        ],
        SKYDNS,
    )
    .in_sync();
    host.explains("web", expect![[r#"
        container web (4f1c2a9b7d3e): running, healthy, bridge 172.17.0.4
        its node is in etcd

        skydns:bridge: 1 node
          registered  /skydns/local/skydns/web/4f1c2a9b7d3e = {"host":"172.17.0.4","ttl":30}
                      since TIME (AGE), by this host, revision N

        recently
          TIME  registered /skydns/local/skydns/web/4f1c2a9b7d3e = {"host":"172.17.0.4","ttl":30} for web (skydns:bridge)
    "#]]);
    host.explains("batch", expect![[r#"
        container batch (5f1c2a9b7d3e): running, network mode none
        nothing of it is in etcd: no policy asks for a node

        skydns:bridge: no node
          the container cannot be reached: it has no address of the family "both" in the network bridge, and is in the networks: bridge
    "#]]);
    host.explains(
        "hidden",
        expect![[r#"
        container hidden (6f1c2a9b7d3e): running, bridge 172.17.0.6
        nothing of it is in etcd: no policy asks for a node

        skydns:bridge: no node
          the label io.kontena.registrator.enable is "false"
    "#]],
    );
    host.explains("broken", expect![[r#"
        container broken (7f1c2a9b7d3e): running, bridge 172.17.0.7
        skydns:bridge fails for it; it never gave a node

        skydns:bridge: failed at TIME (AGE), kind raised; tried again when policy, configuration or container change
          etc/policies/lib/select.star:99:9: label io.kontena.registrator.enable must be "true" or "false", not "maybe"
             |
          99 |         fail("label", label, "must be \"true\" or \"false\", not", repr(text))
             |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

        recently
          TIME  policy failed for container broken (skydns:bridge), its last good nodes stay: etc/policies/lib/select.star:99:9: label io.kontena.registrator.enable must be "true" or "false", not "maybe"
    "#]]);
    host.explains(
        "old",
        expect![[r#"
        container old (8f1c2a9b7d3e): created, bridge 172.17.0.8
        created: only running containers are evaluated
    "#]],
    );
    host.explains("skydns:bridge", expect![[r#"
        instance skydns:bridge
        it runs: 1 node (1 registered) for 1 of 4 running containers

        fails for 1
          broken: etc/policies/lib/select.star:99:9: label io.kontena.registrator.enable must be "true" or "false", not "maybe"
        gives nothing to 2
          batch: the container cannot be reached: it has no address of the family "both" in the network bridge, and is in the networks: bridge
          hidden: the label io.kontena.registrator.enable is "false"
    "#]]);
    host.explains("/skydns/local/skydns/web/4f1c2a9b7d3e", expect![[r#"
        key /skydns/local/skydns/web/4f1c2a9b7d3e
        registered: this host holds it, as it is asked for

          registered  {"host":"172.17.0.4","ttl":30}  by this host since TIME (AGE), revision N
          wished      {"host":"172.17.0.4","ttl":30}  for web (skydns:bridge) on this host

        recently
          TIME  registered /skydns/local/skydns/web/4f1c2a9b7d3e = {"host":"172.17.0.4","ttl":30} for web (skydns:bridge)
    "#]]);
    host.explains(
        "/nobody/asked",
        expect![[r#"
        key /nobody/asked
        not asked for: no container on this host asks for it

          there       nothing
    "#]],
    );
    let unknown = host.ask(&["explain", "wbe"]);
    assert_eq!(unknown.status.code(), Some(1));
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert!(error.contains("Similar are: web"), "{error}");
    let status = host.says(&["status"]);
    for words in [
        "in sync: 1 node for 4 running containers",
        "nodes     1 registered",
        "policies  skydns (1 instance)",
        "brake     off",
        "failing   skydns:bridge for broken",
    ] {
        assert!(status.contains(words), "{words} in {status}");
    }
    assert_eq!(host.says(&["status", "--ready"]), "");
    let found: Json =
        serde_json::from_slice(&host.ask(&["explain", "web", "--json"]).stdout).unwrap();
    assert_eq!(
        (&found["schema"], &found["verdict"]),
        (&json!(1), &json!("registered"))
    );
    let missing = host.ask(&["explain", "broken", "--exit-code"]);
    assert_eq!(missing.status.code(), Some(3));
    let there = host.ask(&["explain", "web", "--exit-code"]);
    assert_eq!(there.status.code(), Some(0));
}

/// Keys in the way, and what becomes of them.
#[test]
fn a_strangers_key() {
    let host = Host::start(Vec::new(), r#"{"layout": "hostname"}"#).in_sync();
    host.etcdctl(&["put", "/skydns/local/skydns/db", r#"{"host":"192.0.2.9"}"#]);
    let db = container('3', "db", &json!({"Config": {"Hostname": "db"}}));
    host.docker.set(&db, "start");
    host.wait_until_it_says(&["status"], "1 blocked");
    host.explains("/skydns/local/skydns/db", expect![[r#"
        key /skydns/local/skydns/db
        blocked: etcd holds a value that no registrator wrote, so it is left alone

          there       {"host":"192.0.2.9"}  no lease, revision N
          wished      {"host":"172.17.0.3"}  for db (skydns:bridge) on this host
        Delete it and the node is registered at once:
          etcdctl del /skydns/local/skydns/db

        recently
          TIME  /skydns/local/skydns/db is not registered: it holds {"host":"192.0.2.9"}, which no registrator wrote. Delete it to have {"host":"172.17.0.3"} registered
    "#]]);
    host.explains("db", expect![[r#"
        container db (3f1c2a9b7d3e): running, bridge 172.17.0.3
        its node is not in etcd as it is asked for

        skydns:bridge: 1 node
          blocked     /skydns/local/skydns/db = {"host":"172.17.0.3"}
                      {"host":"192.0.2.9"} is there, which no registrator wrote: no lease, revision N
                      Delete it and the node is registered at once:
                        etcdctl del /skydns/local/skydns/db

        recently
          TIME  /skydns/local/skydns/db is not registered: it holds {"host":"192.0.2.9"}, which no registrator wrote. Delete it to have {"host":"172.17.0.3"} registered
    "#]]);
    host.etcdctl(&["del", "/skydns/local/skydns/db"]);
    host.wait_until_it_says(&["explain", "db"], "its node is in etcd");
}

/// Two hosts ask for different values.
#[test]
fn another_host_has_a_smaller_value() {
    let named = json!({"Config": {"Hostname": "api"}});
    let config = r#"{"layout": "hostname"}"#;
    let one = Host::start(vec![container('1', "api", &named)], config).in_sync();
    let two = one.another(vec![container('2', "api", &named)], config);
    two.wait_until_it_says(&["explain", "api"], "outvoted");
    two.explains("/skydns/local/skydns/api", expect![[r#"
        key /skydns/local/skydns/api
        outvoted: of different values the smallest is registered everywhere, so this host waits

          registered  {"host":"172.17.0.1"}  by host host-a since TIME (AGE), revision N
          waits       {"host":"172.17.0.2"}  for api (skydns:bridge) on this host
        To have both, give them different keys: the layout "instances" puts the container's id into the key.

        recently
          TIME  different values for /skydns/local/skydns/api on several hosts: {"host":"172.17.0.1"} of host host-a is registered, waiting: {"host":"172.17.0.2"} of host host-b
    "#]]);
    two.explains("api", expect![[r#"
        container api (2f1c2a9b7d3e): running, bridge 172.17.0.2
        its node is not in etcd as it is asked for

        skydns:bridge: 1 node
          outvoted    /skydns/local/skydns/api = {"host":"172.17.0.2"}
                      {"host":"172.17.0.1"} is there, by host host-a since TIME (AGE), revision N: of different values the smallest is registered everywhere
                      To have both, give them different keys: the layout "instances" puts the container's id into the key.

        recently
          TIME  different values for /skydns/local/skydns/api on several hosts: {"host":"172.17.0.1"} of host host-a is registered, waiting: {"host":"172.17.0.2"} of host host-b
    "#]]);
    one.wait_until_it_says(&["explain", "/skydns/local/skydns/api"], "different values");
    one.explains("/skydns/local/skydns/api", expect![[r#"
        key /skydns/local/skydns/api
        registered: this host holds it, as it is asked for

          registered  {"host":"172.17.0.1"}  by this host since TIME (AGE), revision N
          wished      {"host":"172.17.0.1"}  for api (skydns:bridge) on this host
          waits       {"host":"172.17.0.2"}  by host host-b

        recently
          TIME  registered /skydns/local/skydns/api = {"host":"172.17.0.1"} for api (skydns:bridge)
          TIME  different values for /skydns/local/skydns/api on several hosts: {"host":"172.17.0.1"} of host host-a is registered, waiting: {"host":"172.17.0.2"} of host host-b
    "#]]);
}

/// etcd is away from the beginning on.
#[test]
fn etcd_is_away() {
    let etcd = etcd::ports::free_port();
    let away = [format!("--etcd-endpoint=http://{etcd}")];
    let host = Host::start_at(
        etcd,
        "host-a",
        vec![container('4', "web", &json!({}))],
        SKYDNS,
        &away,
    );
    host.wait_until_it_says(&["explain", "web"], "etcd has been away");
    let ready = host.ask(&["status", "--ready"]);
    assert_eq!(ready.status.code(), Some(1));
    let why = String::from_utf8(ready.stdout).unwrap();
    assert!(why.contains("no etcd: away since"), "{why}");
    let page = host.page();
    assert_eq!(curl(&[&format!("{page}/livez")]).0, 200);
    let (status, text) = curl(&[&format!("{page}/readyz")]);
    assert_eq!(status, 503);
    assert!(text.contains("ok docker\nno etcd"), "{text}");
}

#[test]
fn over_http() {
    let host = Host::start(vec![container('4', "web", &json!({}))], SKYDNS).in_sync();
    let page = host.page();
    let at = |path: &str| format!("{page}{path}");
    for path in [
        "/",
        "/app.js",
        "/style.css",
        "/livez",
        "/metrics",
        "/api/v1/status",
        "/api/v1/nodes",
        "/api/v1/containers",
        "/api/v1/explain?container=web",
        "/api/v1/brake",
    ] {
        assert_eq!(curl(&[&at(path)]).0, 200, "{path}");
    }
    assert_eq!(curl(&[&at("/else")]).0, 404);
    assert_eq!(
        curl(&["-H", "Host: evil.example.org", &at("/api/v1/status")]).0,
        421
    );
    assert_eq!(
        curl(&["-H", "Host: prometheus.example.org", &at("/metrics")]).0,
        200
    );
    assert_eq!(curl(&["-X", "POST", &at("/api/v1/brake/release")]).0, 403);
    assert_eq!(curl(&["-X", "DELETE", &at("/api/v1/nodes")]).0, 405);
    let (_, metrics) = curl(&[&at("/metrics")]);
    for line in [
        "kontena_registrator_in_sync 1",
        "kontena_registrator_connected{peer=\"etcd\"} 1",
        "kontena_registrator_nodes{state=\"registered\"} 1",
        "kontena_registrator_node_changes_total{change=\"registered\"} 1",
        "kontena_registrator_evaluations_total{policy=\"skydns\",result=\"ok\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    for name in ["4f1c2a9b7d3e", "/skydns", "host-a"] {
        assert!(!metrics.contains(name), "{name} in {metrics}");
    }
}

#[test]
fn a_socket_in_use_is_another_process() {
    let host = Host::start(Vec::new(), SKYDNS).in_sync();
    let mut second = registrator(host.folder.path());
    second.args([
        "run",
        &format!("--docker-host={}", host.docker.host()),
        "--services=services",
        "--etcd-endpoint=http://127.0.0.1:1",
        &format!("--admin-socket={}", host.socket.display()),
    ]);
    let second = second.output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("another process answers there"), "{error}");
}

/// Nothing runs that could be asked, so it is evaluated now.
#[test]
fn without_a_running_one() {
    let folder = tempfile::tempdir().unwrap();
    let containers = json!([container('6', "hidden", &label("false"))]);
    std::fs::write(folder.path().join("c.json"), containers.to_string()).unwrap();
    std::fs::create_dir_all(folder.path().join("services/skydns")).unwrap();
    std::fs::write(folder.path().join("services/skydns/bridge.json"), SKYDNS).unwrap();
    let policies = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../etc/policies/skydns.star"
    );
    let mut command = registrator(folder.path());
    command.args([
        "explain",
        "hidden",
        "--no-etcd",
        "--containers=c.json",
        "--services=services",
    ]);
    command.arg(format!("--policies={policies}"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    expect![[r#"
        No registrator was asked: this is what one would do now.

        container hidden (6f1c2a9b7d3e): running, bridge 172.17.0.6
        nothing of it is in etcd: no policy asks for a node

        skydns:bridge: no node
          the label io.kontena.registrator.enable is "false"
    "#]]
    .assert_eq(&scrubbed(&text));
}
