//! One host: a simulated engine, files, and the program between them.

use crate::documents::Container;
use crate::engine::Engine;
use crate::random::Random;
use crate::registrator::{Log, Registrator};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

/// How long nodes outlive their process.
const TTL: &str = "10s";
/// How long the brake holds nodes back.
const HOLD: &str = "20s";
/// How many containers run when nothing else is asked for, and the most that differ from that.
const RUNNING: usize = 100;
const MORE_OR_LESS: usize = 20;

/// One node for a container alone, and one that others want too.
const POLICY: &str = r#"
config(etcd_path = "/conf/:service", attrs = {"name": attr(str), "tag": attr(int)})

def docker_container(container, config):
    ip = container.network_ip("bridge")
    if not ip or not GIVES:
        return None
    nodes = {"/soak/HOST/%s/%s" % (config.name, container.name): {"host": ip, "tag": config.tag, "text": TEXT}}
    number = int(container.name.split("-")[1])
    if number % 5 == 0:
        nodes["/soak/shared/%s/%d" % (config.name, number % 7)] = {"host": ip}
    return nodes
"#;

/// The host.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    pub(crate) engine: Engine,
    pub(crate) log: Arc<Log>,
    folder: tempfile::TempDir,
    /// What the policy writes into each node, and whether it gives any.
    text: usize,
    /// Instances by files: the tags by name.
    pub(crate) files: BTreeMap<&'static str, usize>,
    registrator: Option<Registrator>,
    etcd: String,
    on_exit: &'static str,
}

/// What is there when everything is as it was at the beginning.
const FILES: [&str; 3] = ["a", "b", "c"];

impl Host {
    /// Starts all of it. The engine's first container has this number.
    pub(crate) fn start(
        name: &'static str,
        first: usize,
        etcd: &str,
        on_exit: &'static str,
    ) -> Host {
        let running = first..first + RUNNING;
        let mut host = Host {
            name,
            engine: Engine::start_with(name, running, String::new()),
            log: Arc::default(),
            folder: tempfile::tempdir().expect("a folder"),
            text: 0,
            files: BTreeMap::new(),
            registrator: None,
            etcd: etcd.to_owned(),
            on_exit,
        };
        host.copy_shipped();
        host.reset();
        host.launch();
        host
    }

    /// The policy `skydns` with its configuration, as they are shipped.
    fn copy_shipped(&self) {
        let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc");
        for folder in ["policies/lib", "services/skydns", "services/soak"] {
            std::fs::create_dir_all(self.path(folder)).expect("a folder");
        }
        for file in [
            "policies/lib/select.star",
            "policies/lib/skydns.star",
            "policies/skydns.star",
            "services/skydns/bridge.json",
        ] {
            std::fs::copy(etc.join(file), self.path(file)).expect("a file that is shipped");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the program, if it does not run.
    pub(crate) fn launch(&mut self) {
        if self.registrator.is_some() {
            return;
        }
        let (docker, folders) = (
            self.engine.host(),
            ["policies", "services"].map(|name| self.path(name)),
        );
        let registrator = Registrator::start(
            &[
                &"--docker-host",
                &docker,
                &"--etcd-endpoint",
                &self.etcd,
                &"--policies",
                &folders[0],
                &"--services",
                &folders[1],
                &"--host-id",
                &self.name,
                &"--lease-ttl",
                &TTL,
                &"--max-delete-hold",
                &HOLD,
                &"--on-exit",
                &self.on_exit,
                &"--on-conflict=wait",
            ],
            &self.log,
        );
        self.registrator = Some(registrator);
    }

    /// The process.
    pub(crate) fn registrator(&self) -> &Registrator {
        self.registrator.as_ref().expect("it runs")
    }

    /// Whether there is to be a process.
    pub(crate) fn is_launched(&self) -> bool {
        self.registrator.is_some()
    }

    /// How the process ended that should run.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.registrator.as_mut()?.ended()
    }

    /// Ends the process as a crash does.
    pub(crate) fn crash(&mut self) {
        self.registrator = None;
    }

    /// Ends the process in order.
    pub(crate) fn terminate(&mut self) -> Option<ExitStatus> {
        Some(self.registrator.take()?.terminate())
    }

    /// The policy gives other values.
    pub(crate) fn change_policy(&mut self) {
        self.text += 1;
        self.write_policy("True");
    }

    /// The policy gives nothing.
    pub(crate) fn empty_policy(&self) {
        self.write_policy("False");
    }

    /// The policy is none.
    pub(crate) fn break_policy(&self) {
        let policy = "def docker_container(container, config:\n";
        std::fs::write(self.path("policies/soak.star"), policy).expect("a policy");
    }

    /// The policy is as it should be.
    pub(crate) fn mend_policy(&self) {
        self.write_policy("True");
    }

    fn write_policy(&self, gives: &str) {
        let text = POLICY
            .replace("HOST", self.name)
            .replace("TEXT", &self.text.to_string())
            .replace("GIVES", gives);
        std::fs::write(self.path("policies/soak.star"), text).expect("a policy");
    }

    /// Writes a configuration.
    pub(crate) fn configure(&mut self, name: &'static str, tag: usize) {
        self.files.insert(name, tag);
        std::fs::write(self.file(name), configuration(name, tag)).expect("a configuration");
    }

    /// Writes what is no configuration in the place of one, whose instance goes on.
    pub(crate) fn break_configuration(&self, name: &str) {
        std::fs::write(self.file(name), "{\"name\": 1,").expect("a configuration");
    }

    /// Removes a configuration.
    pub(crate) fn remove_configuration(&mut self, name: &str) {
        self.files.remove(name);
        _ = std::fs::remove_file(self.file(name));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path(&format!("services/soak/{name}.json"))
    }

    /// The folder of the configurations is another, empty one, or is itself again.
    pub(crate) fn mount(&self, empty: bool) {
        let [services, aside] = ["services", "aside"].map(|name| self.path(name));
        if empty {
            std::fs::rename(&services, &aside).expect("a folder");
            std::fs::create_dir(&services).expect("a folder");
        } else {
            std::fs::remove_dir(&services).expect("an empty folder");
            std::fs::rename(&aside, &services).expect("a folder");
        }
    }

    /// Files and the number of containers are as at the beginning.
    pub(crate) fn reset(&mut self) {
        self.mend_policy();
        for name in FILES {
            self.configure(name, 0);
        }
        let surplus: Vec<_> = self.files.keys().copied().collect();
        for name in surplus.into_iter().filter(|name| !FILES.contains(name)) {
            self.remove_configuration(name);
        }
        let running = self.running();
        for container in running.iter().skip(RUNNING) {
            self.engine.end_container(container.number);
        }
        for _ in running.len()..RUNNING {
            let number = self.engine.create(1);
            self.engine.start_container(number);
        }
        for container in self.engine.containers() {
            if !container.running {
                self.engine.remove(container.number);
            }
        }
    }

    /// The containers that run.
    pub(crate) fn running(&self) -> Vec<Container> {
        let mut containers = self.engine.containers();
        containers.retain(|container| container.running);
        containers
    }

    /// One thing happens to one container.
    pub(crate) fn churn(&self, random: &mut Random) {
        let running = self.running();
        let container = &running[random.below(running.len())];
        let number = container.number;
        match random.below(100) {
            _ if running.len() > RUNNING + MORE_OR_LESS => self.end_and_remove(number),
            _ if running.len() < RUNNING - MORE_OR_LESS => self.start_new(),
            0..40 => self.start_new(),
            40..75 => self.end_and_remove(number),
            // It stays, as one that may be started again.
            75..78 => _ = self.engine.end_container(number),
            78..88 => {
                self.engine.end_container(number);
                self.engine.start_container(number);
            }
            88..91 => {
                // The number in the name is the container's.
                let name = format!("web-{number}-{}", random.below(1000));
                self.engine.rename(number, &name);
            }
            91..97 => {
                let net = random.below(200) + 11;
                self.engine.reconnect(number, net as u8);
            }
            _ => self.clear_away(),
        }
    }

    fn start_new(&self) {
        let number = self.engine.create(1);
        self.engine.start_container(number);
    }

    fn end_and_remove(&self, number: usize) {
        self.engine.end_container(number);
        self.engine.remove(number);
    }

    /// Of those that do not run, one starts again, the others are removed.
    fn clear_away(&self) {
        let containers = self.engine.containers();
        let mut ended = containers.iter().filter(|container| !container.running);
        if let Some(first) = ended.next() {
            self.engine.start_container(first.number);
        }
        for container in ended {
            self.engine.remove(container.number);
        }
    }

    /// What this host asks for: key and value, a key as often as it is wanted. `dynamic` are the configurations in etcd.
    pub(crate) fn wishes(&self, dynamic: &BTreeMap<&'static str, usize>) -> Vec<(String, String)> {
        let mut instances = dynamic.clone();
        // A file comes before etcd.
        instances.extend(&self.files);
        let mut wishes = Vec::new();
        for container in self.running() {
            let (name, ip) = (&container.name, container.address());
            let id = container.id();
            wishes.push((
                format!("/skydns/local/skydns/{name}/{}", &id[..12]),
                format!(r#"{{"host":"{ip}","ttl":30}}"#),
            ));
            for (instance, tag) in &instances {
                let text = self.text;
                wishes.push((
                    format!("/soak/{}/{instance}/{name}", self.name),
                    format!(r#"{{"host":"{ip}","tag":{tag},"text":{text}}}"#),
                ));
                if container.number % 5 == 0 {
                    let shared = container.number % 7;
                    wishes.push((
                        format!("/soak/shared/{instance}/{shared}"),
                        format!(r#"{{"host":"{ip}"}}"#),
                    ));
                }
            }
        }
        wishes
    }
}

/// A configuration of the policy, as JSON.
pub(crate) fn configuration(name: &str, tag: usize) -> String {
    format!(r#"{{"name": "{name}", "tag": {tag}}}"#)
}
