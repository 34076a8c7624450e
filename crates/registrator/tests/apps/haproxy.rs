//! HAProxy with a configuration made of the keys of the policy services, by the template in docs/applications/services.md.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::etcd::Kind;
use crate::http;
use crate::process::{Process, find, free_port};
use crate::world::{World, eventually};

const PAGE: &str = include_str!("../../../../docs/applications/services.md");
/// Where the template listens.
const LISTENS: &str = "127.0.0.1:8000";

const CONFIGURATIONS: &[(&str, &str)] = &[
    (
        "services/inside.json",
        r#"{"address": "container", "host_name": "node1"}"#,
    ),
    (
        "services/published.json",
        r#"{"prefix": "/published", "host_ip": "192.0.2.10", "host_name": "node1"}"#,
    ),
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
    let Some(programs) = Programs::find() else {
        return;
    };
    let Some(world) = World::configured(kind, CONFIGURATIONS) else {
        return;
    };
    serve(&world, "web-1", &["--stop-signal=KILL", "--publish=80"]);
    serve(&world, "web-2", &["--expose=80"]);
    let both = ["web-1", "web-2"].map(|name| server(&world, name));
    expect(&world, &programs, "/services/", &both);
    let port = world.inspect(
        "web-1",
        r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#,
    );
    let published = [(
        "/published/web/node1:web-1:80".to_owned(),
        format!("192.0.2.10:{port}"),
    )];
    expect(&world, &programs, "/published/", &published);

    let haproxy = Haproxy::start(&programs, &both);
    assert_eq!(haproxy.answers(), ["web-1", "web-1", "web-2", "web-2"]);
    drop(haproxy);

    world.docker.docker(&["stop", "web-1"]);
    let one = [server(&world, "web-2")];
    expect(&world, &programs, "/services/", &one);
    expect(&world, &programs, "/published/", &[]);
    let haproxy = Haproxy::start(&programs, &one);
    assert_eq!(haproxy.configuration().matches("\n    server ").count(), 1);
    assert_eq!(haproxy.answers(), ["web-2"; 4]);
    a_container_that_is_asked_to_stop_gets_no_more_requests(&world, &programs);
}

/// Its key goes while it still answers what it was asked before.
fn a_container_that_is_asked_to_stop_gets_no_more_requests(world: &World, programs: &Programs) {
    // The first process of a container ignores a signal that it does not handle.
    let slow = ["--expose=80", "--stop-signal=TERM", "--stop-timeout=60"];
    serve(world, "web-3", &slow);
    let both = ["web-2", "web-3"].map(|name| server(world, name));
    expect(world, programs, "/services/", &both);
    let address = both[1].1.parse().unwrap();
    let ready = || http::get(address, "web", "/");
    let answer = Ok((200, "web-3".to_owned()));
    _ = eventually("web-3 answers", &[], ready, |found| *found == answer);
    world.docker.docker(&["kill", "--signal=TERM", "web-3"]);
    expect(world, programs, "/services/", &both[..1]);
    assert_eq!(ready(), answer);
    assert_eq!(world.inspect("web-3", "{{.State.Running}}"), "true");
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

/// Waits for exactly these keys.
#[track_caller]
fn expect(world: &World, programs: &Programs, prefix: &str, nodes: &[(String, String)]) {
    let read = || programs.nodes(world, prefix);
    let what = format!("{nodes:?} below {prefix}");
    eventually(&what, &[&world.registrator], read, |found| found == nodes);
}

struct Programs {
    haproxy: PathBuf,
    etcdctl: PathBuf,
}

impl Programs {
    fn find() -> Option<Programs> {
        Some(Programs {
            haproxy: find("haproxy", "HAPROXY_BIN", "install haproxy")?,
            etcdctl: find("etcdctl", "ETCDCTL_BIN", "install etcd-client")?,
        })
    }

    /// Keys and values below a prefix; none where etcd does not answer yet.
    fn nodes(&self, world: &World, prefix: &str) -> Vec<(String, String)> {
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

/// A running HAProxy, with a configuration made of these keys.
struct Haproxy {
    _process: Process,
    address: SocketAddr,
    folder: TempDir,
}

impl Haproxy {
    fn start(programs: &Programs, nodes: &[(String, String)]) -> Haproxy {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("haproxy.cfg");
        let template = template().replace(LISTENS, &address.to_string());
        std::fs::write(&file, render(&template, nodes)).unwrap();
        check(&programs.haproxy, &file);
        let mut command = Command::new(&programs.haproxy);
        command.arg("-db").arg("-f").arg(&file);
        let mut process = Process::start("haproxy", &mut command);
        process
            .until_ready(|| http::get(address, "web", "/").is_ok_and(|(status, _)| status == 200));
        Haproxy {
            _process: process,
            address,
            folder,
        }
    }

    fn configuration(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("haproxy.cfg")).unwrap()
    }

    /// Who answered four requests, sorted.
    fn answers(&self) -> Vec<String> {
        let ask = |_| http::get(self.address, "web", "/").unwrap();
        let mut answers: Vec<_> = (0..4).map(ask).collect();
        answers.sort_unstable();
        assert!(
            answers.iter().all(|(status, _)| *status == 200),
            "{answers:?}"
        );
        answers.into_iter().map(|(_, body)| body).collect()
    }
}

/// As confd does with its `check_cmd`, before it lets a new configuration in.
#[track_caller]
fn check(haproxy: &Path, file: &Path) {
    let output = Command::new(haproxy)
        .arg("-c")
        .arg("-f")
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

/// The one that the documentation shows.
fn template() -> &'static str {
    let begin = PAGE.find("```haproxy\n").expect("a template") + "```haproxy\n".len();
    let length = PAGE[begin..].find("```").expect("its end");
    &PAGE[begin..begin + length]
}

/// As much of confd's template language as the page uses: one loop over the keys right below a key.
fn render(template: &str, nodes: &[(String, String)]) -> String {
    let (head, rest) = template.split_once("{{range gets \"").expect("a loop");
    let (pattern, rest) = rest.split_once("\"}}").expect("its keys");
    let (body, tail) = rest.split_once("{{end}}").expect("its end");
    let parent = pattern.strip_suffix('*').expect("a wildcard at the end");
    let ids = nodes
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(parent)?, value)))
        .filter(|(id, _)| !id.contains('/'));
    let servers: String = ids
        .map(|(id, value)| {
            body.replace("{{base .Key}}", id)
                .replace("{{.Value}}", value)
        })
        .collect();
    let text = [head, &servers, tail].concat();
    assert!(!text.contains("{{"), "not rendered: {text}");
    text
}
