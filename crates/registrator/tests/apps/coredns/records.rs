//! Each kind of record that the policies for CoreDNS write, wildcards, and what the domain itself answers.

use std::net::{IpAddr, SocketAddr};

use super::Dns;
use crate::dns::Type;
use crate::etcd::Kind;
use crate::http;
use crate::world::{World, eventually};

const CONFIGURATIONS: &[(&str, &str)] = &[
    (
        "skydns/all.json",
        r#"{"domain": "all.test", "ttl": 17, "names": ["name", "compose", "label"], "text_label": "about"}"#,
    ),
    (
        "skydns/host.json",
        r#"{"domain": "host.test", "ttl": 17, "address": "host"}"#,
    ),
    ("skydns/own.json", r#"{"domain": "own.test", "ttl": 17}"#),
    ("skydns/zero.json", r#"{"domain": "zero.test", "ttl": 0}"#),
    (
        "skydns/most.json",
        r#"{"domain": "most.test", "ttl": 4294967295}"#,
    ),
    (
        "skydns-srv/six.json",
        r#"{"domain": "six.test", "ttl": 17, "network": "six", "project": true}"#,
    ),
    (
        "skydns2/two.json",
        r#"{"domain": "two.test", "address": "container"}"#,
    ),
];

const ZONES: &str = "all.test host.test own.test six.test two.test zero.test most.test";

#[test]
fn all_kinds_with_the_embedded_etcd() {
    all_kinds(Kind::Embedded);
}

#[test]
fn all_kinds_with_installed_etcd() {
    all_kinds(Kind::Installed);
}

fn all_kinds(kind: Kind) {
    let Some((world, dns)) = Dns::start(ZONES, || World::configured(kind, CONFIGURATIONS)) else {
        return;
    };
    names_and_texts(&world, &dns);
    host_addresses(&world, &dns);
    services_with_ipv6(&world, &dns);
    services_of_skydns2(&world, &dns);
    for zone in ZONES.split(' ') {
        // One value that CoreDNS could not read would make these SERVFAIL.
        for kind in [Type::Srv, Type::A, Type::Txt] {
            assert_eq!(
                dns.ask(kind, zone).unwrap().code,
                "NOERROR",
                "{kind:?} {zone}"
            );
        }
    }
    world.docker.docker(&["stop", "web", "api"]);
    for name in ["web.all.test", "api.shop.all.test", "www.all.test"] {
        dns.expect_nothing(&world, Type::A, name);
        dns.expect_nothing(&world, Type::Txt, name);
    }
    dns.expect_nothing(&world, Type::Srv, "api.shop.six.test");
    dns.expect_nothing(&world, Type::Srv, "redis.two.test");
}

fn names_and_texts(world: &World, dns: &Dns) {
    let labels = [
        "--label=about=the \"front\" C:\\x\\065",
        "--label=io.kontena.skydns.names=WWW, blue.green.all.test",
        "--env=SERVICE_NAME=redis",
        "--env=SERVICE_ID=redis-1",
        "--expose=6379",
    ];
    world.docker.run("web", &labels);
    let ip = world.ip("web");
    for name in ["web.all.test", "www.all.test", "blue.green.all.test"] {
        // The text has a node of its own, which is no address.
        dns.expect(world, Type::A, name, &[&format!("{name}. 17 A {ip}")]);
        dns.expect(
            world,
            Type::Txt,
            name,
            &[&format!(r#"{name}. 17 TXT "the \"front\" C:\\x\\065""#)],
        );
    }
    // CoreDNS takes 0 for none, and none for longer than the lease has left, or 30 seconds.
    for name in ["web.zero.test", "web.most.test"] {
        dns.expect(world, Type::A, name, &[&format!("{name}. 30 A {ip}")]);
    }
    // What is above a name answers for it, the domain too; and an asterisk stands for any label.
    for name in [
        "green.all.test",
        "*.green.all.test",
        // So this can be nobody's name.
        "any.green.all.test",
        "blue.*.all.test",
        "all.test",
    ] {
        dns.expect(world, Type::A, name, &[&format!("{name}. 17 A {ip}")]);
    }
    dns.expect_nothing(world, Type::A, "*.red.all.test");
}

fn host_addresses(world: &World, dns: &Dns) {
    world.docker.run("front", &["--publish", "80"]);
    world.docker.run("node", &["--network", "host"]);
    for name in ["front.host.test", "node.host.test", "node.own.test"] {
        dns.expect(world, Type::A, name, &[&format!("{name}. 17 A 192.0.2.10")]);
    }
    let ip = world.ip("front");
    let own = format!("front.own.test. 17 A {ip}");
    dns.expect(world, Type::A, "front.own.test", &[&own]);
    // It has no port of the host.
    dns.expect_nothing(world, Type::A, "web.host.test");
}

fn services_with_ipv6(world: &World, dns: &Dns) {
    world.create_network_with_ipv6();
    let compose = [
        "--network=six",
        "--expose=80",
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=api",
    ];
    serve_page(world, &compose);
    let of = |field: &str| {
        let field = format!("{{{{.NetworkSettings.Networks.six.{field}}}}}");
        world.inspect("api", &field)
    };
    let (v4, v6, id) = (
        of("IPAddress"),
        of("GlobalIPv6Address"),
        world.short_id("api"),
    );
    let name = "api.shop.six.test";
    let targets = ["4", "6"].map(|family| format!("{id}-80-{family}.{name}."));
    let records = targets
        .each_ref()
        .map(|target| format!("{name}. 17 SRV 10 50 80 {target}"));
    let records = records.each_ref().map(String::as_str);
    let found = dns.expect(world, Type::Srv, name, &records);
    let [first, second] = targets;
    let additional = [
        format!("{first} 17 A {v4}"),
        format!("{second} 17 AAAA {v6}"),
    ];
    assert_eq!(found.additional, additional);
    dns.expect(world, Type::Aaaa, &second, &[&additional[1]]);
    the_answers_lead_to_the_page(dns, name);
    // The project is above its services.
    let all = dns.ask(Type::Srv, "shop.six.test").unwrap();
    assert_eq!(all.records.len(), 2, "{all:?}");
    // In another domain it is a name; here the container's network is not the configured one.
    dns.expect_nothing(world, Type::A, "api.all.test");
    world
        .docker
        .docker(&["network", "connect", "bridge", "api"]);
    let name = "api.shop.all.test";
    let ip = world.ip("api");
    dns.expect(world, Type::A, name, &[&format!("{name}. 17 A {ip}")]);
}

/// Runs the container `api`, with a page that says so.
fn serve_page(world: &World, options: &[&str]) {
    let say = "echo here is api >/tmp/index.html; exec httpd -f -p 80 -h /tmp";
    let run = ["run", "--detach", "--stop-signal=KILL", "--name=api"];
    let command = ["busybox", "sh", "-c", say];
    world.docker.docker(&[&run, options, &command].concat());
}

/// As a client does: from the service to names and ports, from a name to an address, and there.
#[track_caller]
fn the_answers_lead_to_the_page(dns: &Dns, service: &str) {
    let found = dns.ask(Type::Srv, service).unwrap();
    let mut families = Vec::new();
    for record in &found.records {
        let words: Vec<_> = record.split(' ').collect();
        let [.., port, target] = words.as_slice() else {
            panic!("{record}");
        };
        for kind in [Type::A, Type::Aaaa] {
            for address in dns.ask(kind, target).unwrap().records {
                let ip: IpAddr = address.rsplit(' ').next().unwrap().parse().unwrap();
                let address = SocketAddr::new(ip, port.parse().unwrap());
                let ask = || http::get(address, "api", "/");
                let page = Ok((200, "here is api".to_owned()));
                _ = eventually(&address.to_string(), &[], ask, |answer| *answer == page);
                families.push(ip.is_ipv6());
            }
        }
    }
    families.sort_unstable();
    assert_eq!(families, [false, true], "{found:?}");
}

fn services_of_skydns2(world: &World, dns: &Dns) {
    let ip = world.ip("web");
    let (name, target) = ("redis.two.test", "redis-1.redis.two.test.");
    // Without a ttl CoreDNS takes what the lease has left, and at least 30 s.
    let record = format!("{name}. 30 SRV 10 100 6379 {target}");
    let found = dns.expect(world, Type::Srv, name, &[&record]);
    assert_eq!(found.additional, [format!("{target} 30 A {ip}")]);
}
