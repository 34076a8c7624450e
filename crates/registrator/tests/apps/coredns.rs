//! CoreDNS with its etcd plugin and no cache, on nodes of the shipped policies.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::dns::{Answer, Resolver, Type, reverse_v4, reverse_v6};
use crate::etcd::Kind;
use crate::ports::free_port;
use crate::process::{Process, find};
use crate::world::{LEASE_TTL, World, eventually};

mod records;

mod with_the_embedded_etcd {
    use crate::etcd::Kind::Embedded;

    #[test]
    fn containers_have_names() {
        super::containers_have_names(Embedded);
    }

    #[test]
    fn configurations_count() {
        super::configurations_count(Embedded);
    }
}

mod with_etcd_mem {
    use crate::etcd::Kind::Memory;

    #[test]
    fn names_end_with_the_lease() {
        super::names_end_with_the_lease(Memory);
    }
}

mod with_installed_etcd {
    use crate::etcd::Kind::Installed;

    #[test]
    fn containers_have_names() {
        super::containers_have_names(Installed);
    }

    #[test]
    fn configurations_count() {
        super::configurations_count(Installed);
    }

    #[test]
    fn names_end_with_the_lease() {
        super::names_end_with_the_lease(Installed);
    }
}

fn containers_have_names(kind: Kind) {
    let Some((world, dns)) = Dns::start("skydns.local", || World::shipped(kind)) else {
        return;
    };
    world.docker.run("web", &[]);
    let ip = world.ip("web");
    let found = dns.expect(
        &world,
        Type::A,
        "web.skydns.local",
        &[&format!("web.skydns.local. 30 A {ip}")],
    );
    assert_eq!(found.code, "NOERROR");
    let none = dns.ask(Type::Aaaa, "web.skydns.local").unwrap();
    assert_eq!((none.code.as_str(), none.records.len()), ("NOERROR", 0));

    // DNS knows no capitals.
    world.docker.run("Big_Web.1", &[]);
    let ip = world.ip("Big_Web.1");
    for name in ["big_web-1.skydns.local", "BIG_Web-1.skydns.local"] {
        dns.expect(&world, Type::A, name, &[&format!("{name}. 30 A {ip}")]);
    }

    let opted_out = "--label=io.kontena.registrator.enable=false";
    world.docker.run("hidden", &[opted_out]);
    // The first process of a container ignores a signal that it does not handle, so this one lives on.
    let slow = ["--stop-signal=TERM", "--stop-timeout=20"];
    world.docker.run("slow", &slow);
    let ip = world.ip("slow");
    let back = format!("slow.skydns.local. 30 A {ip}");
    dns.expect(&world, Type::A, "slow.skydns.local", &[&back]);
    world.docker.docker(&["kill", "--signal=TERM", "slow"]);
    dns.expect_nothing(&world, Type::A, "slow.skydns.local");

    a_service_has_its_port(&world, &dns);

    world.docker.docker(&["rename", "web", "app"]);
    let ip = world.ip("app");
    dns.expect(
        &world,
        Type::A,
        "app.skydns.local",
        &[&format!("app.skydns.local. 30 A {ip}")],
    );
    dns.expect_nothing(&world, Type::A, "web.skydns.local");
    world.docker.docker(&["stop", "app"]);
    dns.expect_nothing(&world, Type::A, "app.skydns.local");
    world.docker.docker(&["start", "app"]);
    let ip = world.ip("app");
    dns.expect(
        &world,
        Type::A,
        "app.skydns.local",
        &[&format!("app.skydns.local. 30 A {ip}")],
    );
    dns.expect_nothing(&world, Type::A, "nobody.skydns.local");
    // Its grace time is over, and nobody asked it to stop again.
    dns.expect(&world, Type::A, "slow.skydns.local", &[&back]);
    // It was started before those that were found.
    dns.expect_nothing(&world, Type::A, "hidden.skydns.local");
}

fn a_service_has_its_port(world: &World, dns: &Dns) {
    world.docker.run("api", &["--expose", "8080"]);
    let (ip, id) = (world.ip("api"), world.short_id("api"));
    let name = "api.svc.skydns.local";
    let target = format!("{id}-8080.{name}.");
    let found = dns.expect(
        world,
        Type::Srv,
        name,
        &[&format!("{name}. 30 SRV 10 100 8080 {target}")],
    );
    assert_eq!(found.additional, [format!("{target} 30 A {ip}")]);
    dns.expect(world, Type::A, &target, &[&format!("{target} 30 A {ip}")]);

    // Another instance, which shares the weight.
    let label = "io.kontena.skydns.service=api";
    world
        .docker
        .run("other", &["--expose", "8080", "--label", label]);
    let targets = [id, world.short_id("other")].map(|id| format!("{id}-8080.{name}."));
    let mut records = targets
        .each_ref()
        .map(|target| format!("{name}. 30 SRV 10 50 8080 {target}"));
    records.sort_unstable();
    let found = dns.expect(
        world,
        Type::Srv,
        name,
        &records.each_ref().map(String::as_str),
    );
    let ips = ["api", "other"].map(|container| world.ip(container));
    let mut additional: Vec<_> = targets
        .iter()
        .zip(ips)
        .map(|(target, ip)| format!("{target} 30 A {ip}"))
        .collect();
    additional.sort_unstable();
    assert_eq!(found.additional, additional);

    // One value that CoreDNS could not read would make this SERVFAIL.
    let all = dns.ask(Type::Srv, "skydns.local").unwrap();
    assert_eq!(all.code, "NOERROR", "{all:?}");
    let records = all.records.join("\n");
    for part in ["web.skydns.local.", "api.skydns.local.", &target] {
        assert!(records.contains(part), "{part} is not in {all:?}");
    }
}

fn configurations_count(kind: Kind) {
    let configurations = [
        (
            "skydns/one.json",
            r#"{"domain": "one.test", "ttl": 17, "ptr": true}"#,
        ),
        (
            "skydns/six.json",
            r#"{"domain": "six.test", "ttl": 17, "ptr": true, "network": "six"}"#,
        ),
        (
            "skydns/old.json",
            r#"{"domain": "old.test", "layout": "hostname"}"#,
        ),
        (
            "skydns/front.json",
            r#"{"domain": "front.test", "ttl": 17, "network": "front", "names": ["name", "alias"]}"#,
        ),
        (
            "skydns/oldfront.json",
            r#"{"domain": "oldfront.test", "network": "front", "layout": "hostname"}"#,
        ),
        (
            "skydns-srv/two.json",
            r#"{"domain": "two.test", "ttl": 17, "host_ip": "192.0.2.10"}"#,
        ),
    ];
    let zones = "one.test six.test old.test front.test oldfront.test two.test 10.0.0.0/8 fd00::/8";
    let Some((world, dns)) = Dns::start(zones, || World::configured(kind, &configurations)) else {
        return;
    };
    world
        .docker
        .run("web", &["--hostname", "first", "--publish", "80"]);
    let ip = world.ip("web");
    dns.expect(
        &world,
        Type::A,
        "web.one.test",
        &[&format!("web.one.test. 17 A {ip}")],
    );
    let name = reverse_v4(&ip);
    dns.expect(
        &world,
        Type::Ptr,
        &name,
        &[&format!("{name}. 17 PTR web.one.test.")],
    );
    // The value has no ttl: CoreDNS takes what the lease has left, and at least 30 s.
    dns.expect(
        &world,
        Type::A,
        "first.old.test",
        &[&format!("first.old.test. 30 A {ip}")],
    );
    containers_share_names(&world, &dns);
    a_published_port_is_the_host_s(&world, &dns);
    ipv6_has_names_both_ways(&world, &dns);
}

fn containers_share_names(world: &World, dns: &Dns) {
    world.docker.network("front");
    let options = [
        "--network",
        "front",
        "--network-alias",
        "shop",
        "--hostname",
        "shop",
    ];
    world.docker.run("s1", &options);
    world.docker.run("s2", &options);
    let of = |name| world.inspect(name, "{{.NetworkSettings.Networks.front.IPAddress}}");
    let mut ips = [of("s1"), of("s2")];
    ips.sort_unstable();
    let records = ips
        .each_ref()
        .map(|ip| format!("shop.front.test. 17 A {ip}"));
    let records = records.each_ref().map(String::as_str);
    dns.expect(world, Type::A, "shop.front.test", &records);
    // The old layout has room for one: the smaller value, as for every key.
    let smaller = format!("shop.oldfront.test. 30 A {}", ips[0]);
    dns.expect(world, Type::A, "shop.oldfront.test", &[&smaller]);
}

fn a_published_port_is_the_host_s(world: &World, dns: &Dns) {
    let id = world.short_id("web");
    let port = world.inspect(
        "web",
        r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#,
    );
    let target = format!("{id}-80.web.two.test.");
    let found = dns.expect(
        world,
        Type::Srv,
        "web.two.test",
        &[&format!("web.two.test. 17 SRV 10 100 {port} {target}")],
    );
    assert_eq!(found.additional, [format!("{target} 17 A 192.0.2.10")]);
}

fn ipv6_has_names_both_ways(world: &World, dns: &Dns) {
    world.create_network_with_ipv6();
    world.docker.docker(&["network", "connect", "six", "web"]);
    let of = |field: &str| {
        world.inspect(
            "web",
            &format!("{{{{.NetworkSettings.Networks.six.{field}}}}}"),
        )
    };
    let (v4, v6) = (of("IPAddress"), of("GlobalIPv6Address"));
    let name = "web.six.test";
    dns.expect(world, Type::A, name, &[&format!("{name}. 17 A {v4}")]);
    dns.expect(world, Type::Aaaa, name, &[&format!("{name}. 17 AAAA {v6}")]);
    for reverse in [reverse_v4(&v4), reverse_v6(&v6)] {
        dns.expect(
            world,
            Type::Ptr,
            &reverse,
            &[&format!("{reverse}. 17 PTR {name}.")],
        );
    }
    world
        .docker
        .docker(&["network", "disconnect", "six", "web"]);
    dns.expect_nothing(world, Type::Aaaa, name);
    dns.expect_nothing(world, Type::Ptr, &reverse_v6(&v6));
}

fn names_end_with_the_lease(kind: Kind) {
    let Some((mut world, dns)) = Dns::start("skydns.local", || World::shipped(kind)) else {
        return;
    };
    world.docker.run("web", &[]);
    let ip = world.ip("web");
    let expected = format!("web.skydns.local. 30 A {ip}");
    dns.expect(&world, Type::A, "web.skydns.local", &[&expected]);
    world.registrator.kill();
    let killed = Instant::now();
    // Still there: nobody took it away.
    let kept = dns.ask(Type::A, "web.skydns.local").unwrap();
    assert_eq!(kept.records, [expected]);
    dns.expect_nothing(&world, Type::A, "web.skydns.local");
    // The last keep-alive was before the kill; the rest is for etcd, which looks for ended leases now and then, and for a busy machine. The
    // record itself would live for 30 s.
    let gone = killed.elapsed();
    assert!(gone < 2 * LEASE_TTL, "gone only after {gone:?}");
}

/// A running CoreDNS.
struct Dns {
    process: Process,
    resolver: Resolver,
    _folder: TempDir,
}

impl Dns {
    /// One that owns these zones; `None`, after a loud line, where something is missing.
    fn start(zones: &str, world: impl FnOnce() -> Option<World>) -> Option<(World, Dns)> {
        let program = find(
            "coredns",
            "COREDNS_BIN",
            "scripts/fetch-coredns.sh builds it",
        )?;
        let world = world()?;
        let (folder, address) = (tempfile::tempdir().unwrap(), free_port());
        let resolver = Resolver::new(address)?;
        let corefile = folder.path().join("Corefile");
        std::fs::write(
            &corefile,
            configuration(zones, address, world.etcd.address()),
        )
        .unwrap();
        let mut command = Command::new(program);
        command.arg("-conf").arg(corefile);
        let mut process = Process::start("coredns", &mut command);
        let zone = zones.split(' ').next().unwrap();
        let soa = || resolver.ask(Type::Soa, zone);
        process.until_ready(|| soa().is_ok_and(|soa| soa.code == "NOERROR"));
        let dns = Dns {
            process,
            resolver,
            _folder: folder,
        };
        Some((world, dns))
    }

    fn ask(&self, kind: Type, name: &str) -> Result<Answer, String> {
        self.resolver.ask(kind, name)
    }

    /// Waits for exactly these records.
    #[track_caller]
    fn expect(&self, world: &World, kind: Type, name: &str, records: &[&str]) -> Answer {
        let what = format!("{kind:?} {name} = {records:?}");
        let right = |answer: &Result<Answer, String>| {
            answer
                .as_ref()
                .is_ok_and(|answer| answer.records == records)
        };
        let ask = || self.ask(kind, name);
        eventually(&what, &[&self.process, &world.registrator], ask, right).unwrap()
    }

    /// Waits until the name is unknown.
    #[track_caller]
    fn expect_nothing(&self, world: &World, kind: Type, name: &str) {
        let what = format!("{kind:?} {name} is no name");
        let right = |answer: &Result<Answer, String>| {
            answer
                .as_ref()
                .is_ok_and(|answer| answer.code == "NXDOMAIN")
        };
        let ask = || self.ask(kind, name);
        _ = eventually(&what, &[&self.process, &world.registrator], ask, right);
    }
}

fn configuration(zones: &str, address: SocketAddr, etcd: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let blocks: Vec<_> = zones
        .split(' ')
        .map(|zone| format!("{zone}:{port}"))
        .collect();
    let blocks = blocks.join(" ");
    format!(
        "{blocks} {{\n    bind {ip}\n    etcd {zones} {{\n        endpoint http://{etcd}\n    }}\n    errors\n    log\n}}\n"
    )
}
