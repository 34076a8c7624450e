//! Traefik with its etcd provider, on nodes of a policy of the test.
//!
//! Unlike CoreDNS, which reads for each question, Traefik lists once and then watches.

use std::net::SocketAddr;
use std::process::Command;

use crate::etcd::{Etcd, Kind};
use crate::http;
use crate::process::{Process, find, free_port};
use crate::world::{World, eventually};

/// A route for each container with an address, under the container's own host name.
const POLICY: &str = r#"
prefixes = ["traefik/http"]

def docker_container(container: Container):
    ip = container.network_ip("bridge")
    if not ip:
        return None
    name = dns_label(container.name)
    return {
        "traefik/http/routers/" + name + "/rule": "Host(`" + name + ".test`)",
        "traefik/http/routers/" + name + "/service": name,
        "traefik/http/services/" + name + "/loadbalancer/servers/" + container.short_id + "/url": "http://" + host_port(ip, 80),
    }
"#;

#[test]
fn containers_have_routes_with_etcd_mem() {
    containers_have_routes(Kind::Memory);
}

#[test]
fn containers_have_routes_with_installed_etcd() {
    containers_have_routes(Kind::Installed);
}

fn containers_have_routes(kind: Kind) {
    let Some((mut world, traefik)) = Traefik::start(kind) else {
        return;
    };
    serve(&world, "web");
    traefik.expect(&world, "web", 200, "here is web");
    serve(&world, "api");
    traefik.expect(&world, "api", 200, "here is api");
    world.docker.docker(&["stop", "web"]);
    traefik.expect(&world, "web", 404, "404 page not found");
    traefik.expect(&world, "api", 200, "here is api");

    // Nobody deletes them now: their lease ends.
    world.registrator.kill();
    traefik.expect(&world, "api", 404, "404 page not found");
    traefik.expect_no_errors();
}

/// An etcd-mem that is started anew has forgotten all, also that somebody watched it.
#[test]
fn routes_come_back_when_etcd_mem_does() {
    let Some((mut world, traefik)) = Traefik::start(Kind::Memory) else {
        return;
    };
    serve(&world, "web");
    traefik.expect(&world, "web", 200, "here is web");
    let address = world.etcd.address();
    world.etcd = {
        drop(world.etcd);
        Etcd::memory(address)
    };
    serve(&world, "api");
    traefik.expect(&world, "api", 200, "here is api");
    world.docker.docker(&["stop", "web"]);
    traefik.expect(&world, "web", 404, "404 page not found");
}

/// Runs a container that says its name to all who ask.
fn serve(world: &World, name: &str) {
    let say = format!("echo here is {name} >/tmp/index.html; exec httpd -f -p 80 -h /tmp");
    let run = ["run", "--detach", "--stop-signal=KILL", "--name", name];
    let command = ["busybox", "sh", "-c", &say];
    world.docker.docker(&[run.as_slice(), &command].concat());
}

/// A running Traefik.
struct Traefik {
    process: Process,
    address: SocketAddr,
}

impl Traefik {
    fn start(kind: Kind) -> Option<(World, Traefik)> {
        let program = find("traefik", "TRAEFIK_BIN", "scripts/fetch-traefik.sh gets it")?;
        let world = World::with_policy(kind, POLICY)?;
        let [address, api] = [free_port(), free_port()];
        let mut command = Command::new(program);
        command
            .args([
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
            ])
            .arg(format!("--entrypoints.web.address={address}"))
            .arg(format!("--entrypoints.traefik.address={api}"))
            .args([
                "--api.insecure=true",
                "--log.level=INFO",
                "--log.nocolor=true",
            ])
            .arg(format!(
                "--providers.etcd.endpoints={}",
                world.etcd.address()
            ))
            .arg("--providers.providersthrottleduration=100ms");
        let mut process = Process::start("traefik", &mut command);
        process.until_ready(|| {
            http::get(api, "api", "/api/version").is_ok_and(|(status, _)| status == 200)
        });
        Some((world, Traefik { process, address }))
    }

    /// Waits for this answer to a request for the container's host name.
    #[track_caller]
    fn expect(&self, world: &World, container: &str, status: u16, body: &str) {
        let host = format!("{container}.test");
        let expected = Ok((status, body.to_owned()));
        let ask = || http::get(self.address, &host, "/");
        let what = format!("{status} of {host}");
        _ = eventually(&what, &[&self.process, &world.registrator], ask, |answer| {
            *answer == expected
        });
    }

    /// All nodes of a container come in one transaction: no route is seen without its service, nor half a service.
    #[track_caller]
    fn expect_no_errors(&self) {
        let log = self.process.log();
        // That is how Traefik says that there is no container yet.
        let empty = "key not found in store";
        let errors = log
            .lines()
            .filter(|line| line.contains(" ERR ") && !line.contains(empty));
        assert_eq!(errors.count(), 0, "{log}");
    }
}
