//! Hosts that share one object.

use super::super::docker::container;
use super::super::etcd::ports::free_port;
use super::super::host::{Host, scrubbed};
use super::super::program::registrator;
use expect_test::Expect;
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use tempfile::TempDir;

/// One balancer of all containers, with its settings. Each is a server of it, unless it says otherwise. One may ask for a setting alone.
const POLICY: &str = r#"prefixes = ["/lb/"]

def docker_container(container):
    if container.label("alone"):
        return {"/lb/web/hosts": container.label("alone")}
    settings = {name: container.label(name) for name in ["balance", "hosts", "port"]}
    server = {} if container.label("idle") else {"servers/" + container.name: container.network_ip("bridge")}
    return object("/lb/web", settings, members = server, conflict = container.label("conflict", "none"))
"#;

/// A folder with the policy, and without configurations.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["policies", "services"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("policies/lb.star"), POLICY).unwrap();
    folder
}

pub(crate) fn labelled(digit: char, name: &str, labels: Json) -> Json {
    container(digit, name, &json!({"Config": {"Labels": labels}}))
}

/// A container that balances requests for a host at random.
pub(crate) fn random(digit: char, name: &str) -> Json {
    labelled(
        digit,
        name,
        json!({"balance": "random", "hosts": "web.test"}),
    )
}

/// Hosts with the policy, on one etcd, each with these containers.
pub(crate) struct Hosts {
    folder: TempDir,
    pub(crate) all: Vec<Host>,
}

impl Hosts {
    pub(crate) fn start(containers: &[&[Json]]) -> Hosts {
        let (folder, etcd) = (folder(), free_port());
        let mut hosts = Hosts {
            folder,
            all: Vec::new(),
        };
        for (name, containers) in ["host-a", "host-b", "host-c"].into_iter().zip(containers) {
            let host = hosts.host(etcd, name, containers.to_vec()).in_sync();
            hosts.all.push(host);
        }
        hosts
    }

    fn host(&self, etcd: SocketAddr, name: &str, containers: Vec<Json>) -> Host {
        let policies = format!("--policies={}/policies", self.folder.path().display());
        let place = match self.all.is_empty() {
            true => vec![
                format!("--embedded-listen={etcd}"),
                "--embedded-access=write".to_owned(),
            ],
            false => vec![format!("--etcd-endpoint=http://{etcd}")],
        };
        Host::start_at(
            etcd,
            name,
            containers,
            "",
            &[vec![policies], place].concat(),
        )
    }

    pub(crate) fn first(&self) -> &Host {
        &self.all[0]
    }

    pub(crate) fn second(&self) -> &Host {
        &self.all[1]
    }

    /// What a host of this name would do, if it had these containers.
    pub(crate) fn expect_plan(&self, host: &str, containers: &[Json], expected: Expect) {
        expected.assert_eq(&self.says_alone(&["plan"], host, containers));
    }

    /// What is said without a registrator that runs.
    pub(crate) fn says_alone(&self, command: &[&str], host: &str, containers: &[Json]) -> String {
        let folder = self.folder.path();
        std::fs::write(
            folder.join("containers.json"),
            json!(containers).to_string(),
        )
        .unwrap();
        let mut program = registrator(folder);
        program.args(command).args([
            "--containers=containers.json",
            "--policies=policies",
            "--services=services",
        ]);
        program.arg(format!("--host-id={host}"));
        program.arg(format!("--etcd-endpoint=http://{}", self.first().etcd));
        let output = program.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        assert!(output.status.success(), "{out}{err}");
        scrubbed(&out)
    }
}

/// What it says that somebody should look at.
pub(crate) fn attention(host: &Host) -> String {
    let status = host.says(&["status"]);
    let (_, attention) = status.split_once("\nattention\n").unwrap();
    attention.trim_start().to_owned()
}

/// That what it says somebody should look at leads to the object.
pub(crate) fn leads_to_the_object(host: &Host) {
    let said = host.ask(&["status", "--json"]);
    let said: Json = serde_json::from_slice(&said.stdout).unwrap();
    let about = &said["attention"]["first"][0]["about"];
    assert_eq!(
        about,
        &json!({"kind": "key", "name": "/lb/web"}),
        "{said:#}"
    );
    let explained = host.says(&["explain", "/lb/web"]);
    assert!(explained.starts_with("object /lb/web\n"), "{explained}");
}
