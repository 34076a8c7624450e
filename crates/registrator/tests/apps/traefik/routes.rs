//! Requests, connections and datagrams find the containers, and find none that is gone.

use std::collections::BTreeSet;
use std::path::Path;

use super::{DEFAULTS, Traefik};
use crate::dockerd::Dockerd;
use crate::etcd::{Etcd, Kind};
use crate::process::find;
use crate::world::{World, eventually};

#[test]
fn containers_have_routes_with_embedded_etcd() {
    containers_have_routes(Kind::Embedded);
}

#[test]
fn containers_have_routes_with_installed_etcd() {
    containers_have_routes(Kind::Installed);
}

fn containers_have_routes(kind: Kind) {
    // Keys that only begin like those of Traefik, and are there for the container without a route, keep Traefik from seeing
    // that none of its own are left.
    let other = r#"{"root": "traefik-2", "enable_label": "second", "lasting": false}"#;
    let configurations = [DEFAULTS[0], ("traefik/second.json", other)];
    let Some((mut world, traefik)) = Traefik::with_world(kind, &configurations) else {
        return;
    };
    serve(&world.docker, "idle", "idle", &["traefik.enable=false"]);
    // Its label has no place in Traefik's configuration. As a node it would stop all that come after it.
    let wrong = ["traefik.http.routers.wrong.rulez=Host(`wrong.test`)"];
    serve(&world.docker, "wrong", "wrong", &wrong);
    let shop = [
        "traefik.http.routers.shop.rule=Host(`shop.test`)",
        "traefik.http.services.shop.loadbalancer.server.port=80",
    ];
    serve(&world.docker, "one", "one", &shop);
    traefik.expect(&world, "shop.test", 200, "here is one");
    serve(&world.docker, "two", "two", &shop);
    expect_answers(&traefik, &world, &["here is one", "here is two"]);
    serve(
        &world.docker,
        "api",
        "api",
        &["traefik.http.middlewares.cut.stripprefix.prefixes=/x"],
    );
    traefik.expect(&world, "api", 200, "here is api");

    world.docker.docker(&["stop", "one"]);
    expect_answers(&traefik, &world, &["here is two"]);
    world.docker.docker(&["stop", "two"]);
    traefik.expect(&world, "shop.test", 404, "404 page not found");
    traefik.expect(&world, "api", 200, "here is api");
    // The last route goes too, though Traefik ignores an empty configuration.
    world.docker.docker(&["stop", "api"]);
    traefik.expect(&world, "api", 404, "404 page not found");
    traefik.expect_no_errors();
    let log = world.registrator.log();
    assert!(log.contains("traefik.http.routers.wrong.rulez"), "{log}");

    serve(&world.docker, "late", "late", &[]);
    traefik.expect(&world, "late", 200, "here is late");
    if matches!(kind, Kind::Installed) {
        // Nobody deletes them now: their lease ends.
        world.registrator.kill();
        traefik.expect(&world, "late", 404, "404 page not found");
        traefik.expect_no_errors();
    }
}

/// An etcd-mem that is started anew has forgotten all, also that somebody watched it.
#[test]
fn routes_come_back_when_etcd_mem_does() {
    let Some((mut world, traefik)) = Traefik::with_world(Kind::Memory, DEFAULTS) else {
        return;
    };
    serve(&world.docker, "web", "web", &[]);
    traefik.expect(&world, "web", 200, "here is web");
    let address = world.etcd.address();
    world.etcd = {
        drop(world.etcd);
        Etcd::memory(address)
    };
    serve(&world.docker, "api", "api", &[]);
    traefik.expect(&world, "api", 200, "here is api");
    world.docker.docker(&["stop", "web"]);
    traefik.expect(&world, "web", 404, "404 page not found");
}

/// Both write the same router and service, with servers of their own. Neither takes them from the other.
#[test]
fn two_hosts_have_a_route_together() {
    let Some((mut world, traefik)) = Traefik::with_world(Kind::Installed, DEFAULTS) else {
        return;
    };
    let Some(other) = world.neighbour(DEFAULTS) else {
        return;
    };
    let shop = ["traefik.http.routers.shop.rule=Host(`shop.test`)"];
    serve(&world.docker, "shop", "one", &shop);
    serve(&other.docker, "shop", "two", &shop);
    expect_answers(&traefik, &world, &["here is one", "here is two"]);
    other.docker.docker(&["stop", "shop"]);
    expect_answers(&traefik, &world, &["here is one"]);
    other.docker.docker(&["start", "shop"]);
    expect_answers(&traefik, &world, &["here is one", "here is two"]);

    world.registrator.kill();
    expect_answers(&traefik, &world, &["here is two"]);
    traefik.expect_no_errors();
    other.docker.docker(&["stop", "shop"]);
    traefik.expect(&world, "shop.test", 404, "404 page not found");
    let log = other.registrator.log();
    assert!(!log.contains("different values"), "{log}");
}

#[test]
fn connections_and_datagrams_have_routes() {
    let Some(perl) = find(
        "perl",
        "PERL_BIN",
        "install perl-base; busybox serves no UDP",
    ) else {
        return;
    };
    let Some((world, traefik)) = Traefik::with_world(Kind::Installed, DEFAULTS) else {
        return;
    };
    serve_tcp(&world.docker);
    serve_udp(&world.docker, &perl);
    let logs = [&traefik.process, &world.registrator];
    let tcp = || traefik.tcp();
    eventually("a connection", &logs, tcp, |text| text == "here is db");
    let udp = || traefik.udp();
    eventually("a datagram", &logs, udp, |text| text == "here is dns");

    world.docker.docker(&["stop", "db", "dns"]);
    eventually("no connection", &logs, tcp, String::is_empty);
    eventually("no datagram", &logs, udp, String::is_empty);
    traefik.expect_no_errors();
}

fn serve_tcp(docker: &Dockerd) {
    let labels = [
        "traefik.tcp.routers.db.rule=HostSNI(`*`)",
        "traefik.tcp.routers.db.entrypoints=db",
        "traefik.tcp.services.db.loadbalancer.server.port=9000",
    ];
    let command = ["nc", "-ll", "-p", "9000", "-e", "echo", "here is db"];
    run(docker, "db", &labels, &[], &command);
}

/// With the machine's Perl and its libraries in the container.
fn serve_udp(docker: &Dockerd, perl: &Path) {
    let labels = [
        "traefik.udp.routers.dns.entrypoints=dns",
        "traefik.udp.services.dns.loadbalancer.server.port=9001",
    ];
    let folders = ["/usr", "/lib", "/lib64"].into_iter();
    let folders = folders.filter(|folder| Path::new(folder).is_dir());
    let volumes: Vec<String> = folders
        .map(|folder| format!("--volume={folder}:{folder}:ro"))
        .collect();
    let volumes: Vec<&str> = volumes.iter().map(String::as_str).collect();
    let program = "socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(9001, INADDR_ANY)) or die; \
        while ($from = recv(S, $text, 1500, 0)) { send(S, 'here is dns', 0, $from) }";
    let command = [perl.to_str().unwrap(), "-MSocket", "-e", program];
    run(docker, "dns", &labels, &volumes, &command);
}

#[test]
fn published_ports_have_routes() {
    // The host's own address in the daemon's network: a request from the host finds the port there.
    let configuration = r#"{"address": "host", "host_ip": "127.0.0.1"}"#;
    let Some((world, traefik)) =
        Traefik::with_world(Kind::Memory, &[("traefik/test.json", configuration)])
    else {
        return;
    };
    serve(
        &world.docker,
        "web",
        "web",
        &["traefik.http.services.web.loadbalancer.server.port=80"],
    );
    let logs = [&traefik.process, &world.registrator];
    let objects = || traefik.objects();
    eventually("only the object that lasts", &logs, objects, |objects| {
        objects.keys().eq(["http/middlewares registrator-noop"])
    });
    run(
        &world.docker,
        "out",
        &[],
        &["--publish=80"],
        &["httpd", "-f", "-p", "80"],
    );
    let port = world.docker.docker(&["port", "out", "80"]);
    let port = port.lines().next().unwrap().rsplit(':').next().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    eventually("the published port", &logs, objects, |objects| {
        let server = objects
            .get("http/services out")
            .map(|service| &service["loadBalancer"]["servers"][0]["url"]);
        server.is_some_and(|server| *server == url.as_str())
    });
}

/// Waits until these answer, and no other.
#[track_caller]
fn expect_answers(traefik: &Traefik, world: &World, expected: &[&str]) {
    let logs = [&traefik.process, &world.registrator];
    let ask =
        || (0..6).map(|_| crate::http::get(traefik.web, "shop.test", "/").map(|(_, body)| body));
    let expected: BTreeSet<_> = expected.iter().map(|body| Ok(body.to_string())).collect();
    eventually(
        "answers",
        &logs,
        || ask().collect::<BTreeSet<_>>(),
        |answers| *answers == expected,
    );
}

/// Runs a container that says this word to all who ask.
fn serve(docker: &Dockerd, name: &str, word: &str, labels: &[&str]) {
    let say = format!("echo here is {word} >/tmp/index.html; exec httpd -f -p 80 -h /tmp");
    run(docker, name, labels, &["--expose=80"], &["sh", "-c", &say]);
}

fn run(docker: &Dockerd, name: &str, labels: &[&str], options: &[&str], command: &[&str]) {
    let labels: Vec<String> = labels
        .iter()
        .map(|label| format!("--label={label}"))
        .collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let fixed = ["run", "--detach", "--stop-signal=KILL", "--name", name];
    docker.docker(&[&fixed, options, &labels, &["busybox"], command].concat());
}
