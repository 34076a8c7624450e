//! Traefik, which routes by what the policy `traefik` writes.
//!
//! Unlike CoreDNS, which reads for each question, Traefik lists once and then watches.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use crate::dockerd::Dockerd;
use crate::etcd::{Etcd, Kind};
use crate::http;
use crate::ports::free_port;
use crate::process::{Process, find};
use crate::world::{World, eventually};

mod addresses;
mod copied;
mod datagrams;
mod differential;
mod doors;
mod routes;
mod streams;
mod transports;

/// The policy's defaults.
const DEFAULTS: &[(&str, &str)] = &[("traefik/test.json", "{}")];

/// A running Traefik with an entry point for each of the protocols.
struct Traefik {
    process: Process,
    web: SocketAddr,
    tcp: SocketAddr,
    udp: SocketAddr,
    api: SocketAddr,
}

impl Traefik {
    /// One that reads the world's etcd; `None`, after a loud line, where there is none.
    fn on_etcd(etcd: &Etcd) -> Option<Traefik> {
        Traefik::start(&[format!("--providers.etcd.endpoints={}", etcd.address())])
    }

    /// The world, and a Traefik on its etcd. The policy has these configurations.
    fn with_world(kind: Kind, configurations: &[(&str, &str)]) -> Option<(World, Traefik)> {
        find("traefik", "TRAEFIK_BIN", "scripts/fetch-traefik.sh gets it")?;
        let docker = Dockerd::with_published_ports()?;
        let world = World::on(docker, kind, configurations)?;
        let traefik = Traefik::on_etcd(&world.etcd)?;
        Some((world, traefik))
    }

    fn start(providers: &[String]) -> Option<Traefik> {
        let program = find("traefik", "TRAEFIK_BIN", "scripts/fetch-traefik.sh gets it")?;
        let [web, tcp, udp, api] = [free_port(), free_port(), free_port(), free_port()];
        let mut command = Command::new(program);
        command
            .args([
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
            ])
            .arg(format!("--entrypoints.web.address={web}"))
            .arg(format!("--entrypoints.db.address={tcp}"))
            .arg(format!("--entrypoints.dns.address={udp}/udp"))
            .arg(format!("--entrypoints.traefik.address={api}"))
            .args([
                "--api.insecure=true",
                "--log.level=INFO",
                "--log.nocolor=true",
            ])
            .args(providers)
            .arg("--providers.providersthrottleduration=100ms");
        let mut process = Process::start("traefik", &mut command);
        process.until_ready(|| {
            http::get(api, "api", "/api/version").is_ok_and(|(status, _)| status == 200)
        });
        Some(Traefik {
            process,
            web,
            tcp,
            udp,
            api,
        })
    }

    /// Waits for this answer to a request for a host name.
    #[track_caller]
    fn expect(&self, world: &World, host: &str, status: u16, body: &str) {
        let expected = Ok((status, body.to_owned()));
        let ask = || http::get(self.web, host, "/");
        let what = format!("{status} of {host}");
        let logs = [&self.process, &world.registrator];
        _ = eventually(&what, &logs, ask, |answer| *answer == expected);
    }

    /// Waits until six requests for a host name have these answers, and no other.
    #[track_caller]
    fn expect_answers(&self, world: &World, host: &str, expected: &[&str]) {
        let logs = [&self.process, &world.registrator];
        let ask = || (0..6).map(|_| http::get(self.web, host, "/").map(|(_, body)| body));
        let expected: BTreeSet<_> = expected.iter().map(|body| Ok(body.to_string())).collect();
        let ask = || ask().collect::<BTreeSet<_>>();
        _ = eventually(host, &logs, ask, |answers| *answers == expected);
    }

    /// What comes through the entry point for TCP; empty if there is no route.
    fn tcp(&self) -> String {
        let mut text = String::new();
        let read = TcpStream::connect(self.tcp).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.read_to_string(&mut text)
        });
        // A connection that is reset is one that nobody serves.
        read.map_or_else(|_| String::new(), |_| text.trim().to_owned())
    }

    /// The answer to a datagram; empty if there is none in a second.
    fn udp(&self) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        socket.send_to(b"who?", self.udp).unwrap();
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer).unwrap_or_default();
        String::from_utf8_lossy(&answer[..length]).trim().to_owned()
    }

    /// All objects by kind and name, without what tells the providers apart.
    fn objects(&self) -> BTreeMap<String, Json> {
        let kinds = [
            "http/routers",
            "http/services",
            "http/middlewares",
            "tcp/routers",
        ];
        let kinds = kinds.iter().chain(&[
            "tcp/services",
            "tcp/middlewares",
            "udp/routers",
            "udp/services",
        ]);
        kinds.flat_map(|kind| self.objects_of(kind)).collect()
    }

    fn objects_of(&self, kind: &str) -> Vec<(String, Json)> {
        let path = format!("/api/{kind}?per_page=1000");
        let Ok((200, text)) = http::get(self.api, "api", &path) else {
            return Vec::new();
        };
        let objects: Vec<Json> = serde_json::from_str(&unchunked(&text)).unwrap();
        let provided = objects
            .iter()
            .filter(|object| object["provider"] != "internal");
        let named = |object: Json| {
            (
                format!("{kind} {}", object["name"].as_str().unwrap()),
                object,
            )
        };
        provided.map(plain).map(named).collect()
    }

    /// All objects of a container come in one transaction: no route is seen without its service, nor half a service. Its servers come in the
    /// next; a UDP service is nothing without them.
    #[track_caller]
    fn expect_no_errors(&self) {
        let log = self.process.log();
        // That is how Traefik says that there is no container yet.
        let empty = "key not found in store";
        // A request of the test that came between a container's end and its route's, or before its process listened.
        let unserved = [
            "Error while dialing backend",
            "Error while handling UDP stream",
            "the UDP service \\\"dns@etcd\\\" does not exist",
        ];
        let known = |line: &str| {
            [empty]
                .iter()
                .chain(&unserved)
                .any(|part| line.contains(part))
        };
        let errors = log.lines().filter(|line| line.contains(" ERR "));
        let errors = errors.filter(|line| !known(line));
        assert_eq!(errors.count(), 0, "{log}");
    }
}

/// Runs a container that says this word to all who ask.
fn serve(docker: &Dockerd, name: &str, word: &str, labels: &[&str], options: &[&str]) {
    let say = format!("echo here is {word} >/tmp/index.html; exec httpd -f -p 80 -h /tmp");
    let options = [&["--expose=80"], options].concat();
    run(docker, name, labels, &options, &["sh", "-c", &say]);
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

/// The body of an answer in chunks, or as it is.
fn unchunked(text: &str) -> String {
    let mut rest = text;
    let mut whole = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length, 16) else {
            break;
        };
        whole.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
    }
    if whole.is_empty() {
        text.to_owned()
    } else {
        whole
    }
}

/// An object without the provider's name, its servers in order.
fn plain(object: &Json) -> Json {
    let text = object.to_string();
    let text = text.replace("@docker", "").replace("@etcd", "");
    let mut object: Json = serde_json::from_str(&text).unwrap();
    object.as_object_mut().unwrap().remove("provider");
    if let Some(servers) = object.pointer_mut("/loadBalancer/servers") {
        servers.as_array_mut().unwrap().sort_by_key(Json::to_string);
    }
    // Made of the service's name and its provider's, if no label sets it.
    if let Some(name) = object.pointer_mut("/loadBalancer/sticky/cookie/name") {
        let made = name.as_str().is_some_and(|name| name.starts_with('_'));
        *name = if made { Json::Null } else { name.clone() };
    }
    object
}
