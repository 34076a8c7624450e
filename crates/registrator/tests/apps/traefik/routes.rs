//! Requests, connections and datagrams find the containers, and find none that is gone.

use std::time::Instant;

use super::addresses::{self, reachable_where_configured};
use super::transports::connections_and_datagrams_have_routes;
use super::{DEFAULTS, Traefik, serve};
use crate::etcd::{Etcd, Kind};
use crate::http;
use crate::process::PATIENCE;
use crate::world::World;

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
    let configurations = [
        DEFAULTS[0],
        ("traefik/second.json", other),
        addresses::PUBLISHED,
        addresses::IPV6,
    ];
    let Some((mut world, traefik)) = Traefik::with_world(kind, &configurations) else {
        return;
    };
    serve(
        &world.docker,
        "idle",
        "idle",
        &["traefik.enable=false"],
        &[],
    );
    // Its label has no place in Traefik's configuration. As a node it would stop all that come after it.
    let wrong = ["traefik.http.routers.wrong.rulez=Host(`wrong.test`)"];
    serve(&world.docker, "wrong", "wrong", &wrong, &[]);
    let shop = [
        "traefik.http.routers.shop.rule=Host(`shop.test`)",
        "traefik.http.services.shop.loadbalancer.server.port=80",
    ];
    serve(&world.docker, "one", "one", &shop, &[]);
    traefik.expect(&world, "shop.test", 200, "here is one");
    serve(&world.docker, "two", "two", &shop, &[]);
    traefik.expect_answers(&world, "shop.test", &["here is one", "here is two"]);
    serve(
        &world.docker,
        "api",
        "api",
        &["traefik.http.middlewares.cut.stripprefix.prefixes=/x"],
        &[],
    );
    traefik.expect(&world, "api", 200, "here is api");

    connections_and_datagrams_have_routes(&world, &traefik);
    reachable_where_configured(&world, &traefik);
    a_container_that_is_asked_to_stop_gets_no_requests(&world, &traefik, &shop);

    world.docker.docker(&["stop", "one"]);
    traefik.expect_answers(&world, "shop.test", &["here is two"]);
    world.docker.docker(&["stop", "two"]);
    traefik.expect(&world, "shop.test", 404, "404 page not found");
    traefik.expect(&world, "api", 200, "here is api");
    // The last route goes too, though Traefik ignores an empty configuration.
    world.docker.docker(&["stop", "api"]);
    traefik.expect(&world, "api", 404, "404 page not found");
    traefik.expect_no_errors();
    let log = world.registrator.log();
    assert!(log.contains("traefik.http.routers.wrong.rulez"), "{log}");
    addresses::expect_complaint(&log);

    serve(&world.docker, "late", "late", &[], &[]);
    traefik.expect(&world, "late", 200, "here is late");
    if matches!(kind, Kind::Installed) {
        // Nobody deletes them now: their lease ends.
        world.registrator.kill();
        traefik.expect(&world, "late", 404, "404 page not found");
        traefik.expect_no_errors();
    }
}

/// Its process goes on, and answers those who ask it itself. All other requests go elsewhere, and none fails.
#[track_caller]
fn a_container_that_is_asked_to_stop_gets_no_requests(
    world: &World,
    traefik: &Traefik,
    labels: &[&str],
) {
    // The first process of a container ignores a signal that it does not handle.
    let options = ["--stop-signal=TERM", "--stop-timeout=60"];
    serve(&world.docker, "slow", "slow", labels, &options);
    let all = ["here is one", "here is slow", "here is two"];
    traefik.expect_answers(world, "shop.test", &all);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| world.docker.docker(&["stop", "slow"]));
        let (mut others, deadline) = (0, Instant::now() + PATIENCE);
        while others < 12 && Instant::now() < deadline {
            let answer = http::get_within(PATIENCE, traefik.web, "shop.test", "/");
            let (status, body) = answer.unwrap();
            assert_eq!(status, 200, "{body}");
            others = if body == all[1] { 0 } else { others + 1 };
        }
        let address = format!("{}:80", world.ip("slow")).parse().unwrap();
        let own = http::get_within(PATIENCE, address, "shop.test", "/");
        world.docker.docker(&["kill", "slow"]);
        stop.join().unwrap();
        assert_eq!(own, Ok((200, all[1].to_owned())));
        assert_eq!(others, 12, "{}", world.registrator.log());
    });
    traefik.expect_answers(world, "shop.test", &["here is one", "here is two"]);
}

/// An etcd-mem that is started anew has forgotten all, also that somebody watched it.
#[test]
fn routes_come_back_when_etcd_mem_does() {
    let Some((mut world, traefik)) = Traefik::with_world(Kind::Memory, DEFAULTS) else {
        return;
    };
    serve(&world.docker, "web", "web", &[], &[]);
    traefik.expect(&world, "web", 200, "here is web");
    let address = world.etcd.address();
    world.etcd = {
        drop(world.etcd);
        Etcd::memory(address)
    };
    serve(&world.docker, "api", "api", &[], &[]);
    traefik.expect(&world, "api", 200, "here is api");
    world.docker.docker(&["stop", "web"]);
    traefik.expect(&world, "web", 404, "404 page not found");
    // Nobody deletes them now: their lease ends.
    world.registrator.kill();
    traefik.expect(&world, "api", 404, "404 page not found");
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
    serve(&world.docker, "shop", "one", &shop, &[]);
    serve(&other.docker, "shop", "two", &shop, &[]);
    traefik.expect_answers(&world, "shop.test", &["here is one", "here is two"]);
    other.docker.docker(&["stop", "shop"]);
    traefik.expect_answers(&world, "shop.test", &["here is one"]);
    other.docker.docker(&["start", "shop"]);
    traefik.expect_answers(&world, "shop.test", &["here is one", "here is two"]);

    world.registrator.kill();
    traefik.expect_answers(&world, "shop.test", &["here is two"]);
    traefik.expect_no_errors();
    other.docker.docker(&["stop", "shop"]);
    traefik.expect(&world, "shop.test", 404, "404 page not found");
    let log = other.registrator.log();
    assert!(!log.contains("different values"), "{log}");
}
