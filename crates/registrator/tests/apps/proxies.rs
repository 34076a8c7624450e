//! HAProxy and nginx on the keys of the policy services: confd makes their configurations, by the files that
//! docs/applications/services.md shows.

use std::path::PathBuf;
use std::process::Command;

use crate::confd::Confd;
use crate::etcd::Kind;
use crate::http;
use crate::process::{PATIENCE, find};
use crate::world::{World, eventually};

const CONFIGURATIONS: &[(&str, &str)] = &[
    ("services/inside.json", r#"{"address": "container"}"#),
    ("services/published.json", r#"{"prefix": "/published"}"#),
];

#[test]
fn servers_follow_their_containers_with_the_embedded_etcd() {
    servers_follow_their_containers(Kind::Embedded);
}

#[test]
fn servers_follow_their_containers_with_installed_etcd() {
    servers_follow_their_containers(Kind::Installed);
}

fn servers_follow_their_containers(kind: Kind) {
    let etcdctl = find("etcdctl", "ETCDCTL_BIN", "install etcd-client");
    let (Some(etcdctl), Some(programs)) = (etcdctl, Confd::programs()) else {
        return;
    };
    let Some(world) = World::configured(kind, CONFIGURATIONS) else {
        return;
    };
    let keys = Keys { etcdctl };
    serve(&world, "web-1", &["--stop-signal=KILL", "--publish=80"]);
    serve(&world, "web-2", &["--stop-signal=KILL", "--expose=80"]);
    let both = ["web-1", "web-2"].map(|name| server(&world, name));
    keys.expect(&world, "/services/", &both);
    let port = world.inspect(
        "web-1",
        r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#,
    );
    let published = [(
        "/published/web/node1:web-1:80".to_owned(),
        format!("192.0.2.10:{port}"),
    )];
    keys.expect(&world, "/published/", &published);

    let confd = Confd::start(programs, &world);
    expect_answers(&world, &confd, &["web-1", "web-2"]);
    world.docker.docker(&["stop", "web-1"]);
    keys.expect(&world, "/services/", &both[1..]);
    keys.expect(&world, "/published/", &[]);
    expect_answers(&world, &confd, &["web-2"]);
    a_container_that_is_asked_to_stop_gets_no_more_requests(&world, &confd);
    // No server is left, and both have an answer for that.
    world.docker.docker(&["kill", "web-2"]);
    for proxy in confd.proxies() {
        let ask = || http::get(proxy.address, "web", "/").map(|(status, _)| status);
        let logs = [confd.process(), &proxy.process];
        _ = eventually(proxy.name, &logs, ask, |status| *status == Ok(503));
    }
}

/// Its key goes while it still answers what it was asked before.
fn a_container_that_is_asked_to_stop_gets_no_more_requests(world: &World, confd: &Confd) {
    // The first process of a container ignores a signal that it does not handle.
    let slow = ["--expose=80", "--stop-signal=TERM", "--stop-timeout=60"];
    serve(world, "web-3", &slow);
    expect_answers(world, confd, &["web-2", "web-3"]);
    world.docker.docker(&["kill", "--signal=TERM", "web-3"]);
    expect_answers(world, confd, &["web-2"]);
    let address = format!("{}:80", world.ip("web-3")).parse().unwrap();
    let answer = http::get_within(PATIENCE, address, "web", "/");
    assert_eq!(answer, Ok((200, "web-3".to_owned())));
    assert_eq!(world.inspect("web-3", "{{.State.Running}}"), "true");
}

/// Waits until each of the proxies divides four requests among these containers.
#[track_caller]
fn expect_answers(world: &World, confd: &Confd, names: &[&str]) {
    let each = 4 / names.len();
    let expected: Vec<_> = names
        .iter()
        .flat_map(|name| vec![Ok((200, (*name).to_owned())); each])
        .collect();
    for proxy in confd.proxies() {
        let ask = || {
            let ask = |_| http::get(proxy.address, "web", "/");
            let mut answers: Vec<_> = (0..4).map(ask).collect();
            answers.sort_unstable();
            answers
        };
        let what = format!("{} asks {names:?}", proxy.name);
        let logs = [confd.process(), &proxy.process, &world.registrator];
        _ = eventually(&what, &logs, ask, |answers| *answers == expected);
    }
}

/// Key and value of a container of the service `web`.
fn server(world: &World, name: &str) -> (String, String) {
    let id = format!("node1:{name}:80");
    (
        format!("/services/web/{id}"),
        format!("{}:80", world.ip(name)),
    )
}

/// Runs a container of the service `web` that says its name to all who ask.
fn serve(world: &World, name: &str, options: &[&str]) {
    let say = format!("echo {name} >/tmp/index.html; exec httpd -f -p 80 -h /tmp");
    let run = ["run", "--detach", "--name", name];
    let service = ["--env", "SERVICE_NAME=web"];
    let command = ["busybox", "sh", "-c", &say];
    world
        .docker
        .docker(&[&run, options, &service, &command].concat());
}

/// The keys in etcd.
struct Keys {
    etcdctl: PathBuf,
}

impl Keys {
    /// Waits for exactly these.
    #[track_caller]
    fn expect(&self, world: &World, prefix: &str, nodes: &[(String, String)]) {
        let read = || self.below(world, prefix);
        let what = format!("{nodes:?} below {prefix}");
        eventually(&what, &[&world.registrator], read, |found| found == nodes);
    }

    /// Keys and values below a prefix; none where etcd does not answer yet.
    fn below(&self, world: &World, prefix: &str) -> Vec<(String, String)> {
        let mut command = Command::new(&self.etcdctl);
        command.env_clear().env("ETCDCTL_API", "3");
        command.arg(format!("--endpoints={}", world.etcd.address()));
        let output = command.args(["get", "--prefix", prefix]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let pairs = lines.chunks_exact(2);
        pairs
            .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
            .collect()
    }
}
