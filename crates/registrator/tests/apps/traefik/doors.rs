//! Traefik's entry points for TCP and UDP, and who answers there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};

use super::Traefik;
use super::copied::Copies;
use crate::etcd::Etcd;
use crate::ports::free_port;
use crate::process::{PATIENCE, Process};
use crate::world::eventually;

/// How long an answer is waited for where nobody is to answer, or all are asked again.
const MOMENT: Duration = Duration::from_secs(1);

/// A Traefik with entry points besides those that each has: `left`, or `left/udp` for UDP.
pub(super) struct Doors {
    pub(super) traefik: Traefik,
    at: BTreeMap<&'static str, SocketAddr>,
}

impl Doors {
    /// One that reads this etcd.
    pub(super) fn on_etcd(etcd: &Etcd, doors: &[&'static str]) -> Option<Doors> {
        Doors::open(
            format!("--providers.etcd.endpoints={}", etcd.address()),
            doors,
        )
    }

    pub(super) fn open(provider: String, doors: &[&'static str]) -> Option<Doors> {
        let at: BTreeMap<_, _> = doors.iter().map(|door| (*door, free_port())).collect();
        let points = at.iter().map(|(door, address)| {
            let name = door.trim_end_matches("/udp");
            let protocol = &door[name.len()..];
            format!("--entrypoints.{name}.address={address}{protocol}")
        });
        let traefik = Traefik::start(&points.chain([provider]).collect::<Vec<_>>())?;
        Some(Doors { traefik, at })
    }

    /// Waits until these containers answer there, and no other; nobody, if there are none.
    #[track_caller]
    pub(super) fn expect(&self, logs: &[&Process], door: &str, answers: &[&str]) {
        let ask = || self.asked(door, MOMENT);
        _ = eventually(door, logs, ask, |found| *found == who(answers));
    }

    /// Nobody else answers now than is to, at any of them.
    #[track_caller]
    pub(super) fn expect_all(&self, copies: &[Copies]) {
        for (door, answers) in copies.iter().flat_map(|copies| copies.answers) {
            let patience = if answers.is_empty() { MOMENT } else { PATIENCE };
            assert_eq!(self.asked(door, patience), who(answers), "{door}");
        }
    }

    /// Who answers there within this time, of several times: at an entry point, or else at `db` to a connection with TLS to a host of this name.
    fn asked(&self, door: &str, patience: Duration) -> BTreeSet<String> {
        match self.at.get(door) {
            Some(address) if door.ends_with("/udp") => datagrams(*address, patience),
            Some(address) => connections(*address, b"who?\n\n", patience),
            None => connections(self.traefik.tcp, &hello(door), patience),
        }
    }
}

fn who(containers: &[&str]) -> BTreeSet<String> {
    let nobody = containers.is_empty().then_some("nobody");
    let all = containers.iter().copied().chain(nobody);
    all.map(str::to_owned).collect()
}

/// The beginning of a connection with TLS to a host of this name. No container answers it with TLS.
fn hello(host: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(RootCertStore::empty());
    let config = Arc::new(config.with_no_client_auth());
    let name = host.to_owned().try_into().unwrap();
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(config, name).unwrap();
    client.write_tls(&mut hello).unwrap();
    hello
}

fn connections(address: SocketAddr, hello: &[u8], patience: Duration) -> BTreeSet<String> {
    let connection = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut answer = [0; 100];
        // A connection that is reset is one that nobody serves.
        let read = stream
            .write_all(hello)
            .and_then(|()| stream.read(&mut answer));
        name(&answer[..read.unwrap_or_default()])
    };
    (0..8).map(connection).collect()
}

fn datagrams(address: SocketAddr, patience: Duration) -> BTreeSet<String> {
    let sockets: Vec<UdpSocket> = (0..8)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for socket in &sockets {
        socket.send_to(b"who?", address).unwrap();
    }
    let deadline = Instant::now() + patience;
    let answer = |socket: &UdpSocket| {
        let rest = deadline.saturating_duration_since(Instant::now());
        let rest = rest.max(Duration::from_millis(1));
        socket.set_read_timeout(Some(rest)).unwrap();
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer).unwrap_or_default();
        name(&answer[..length])
    };
    sockets.iter().map(answer).collect()
}

/// Whose answer it is. One of Traefik itself is nobody's.
fn name(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let name = text.trim().strip_prefix("here is ");
    name.unwrap_or("nobody").to_owned()
}
