//! A host: a real Docker Engine with containers, and the program in a place of its own.

use crate::dockerd::Dockerd;
use crate::network::Place;
use crate::program::Program;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How many hosts there are.
pub(crate) const HOSTS: usize = 3;
/// What a container asks for stands in its label.
const POLICY: &str = r#"
def docker_container(container, config):
    if container.label("world") == "WORLD" and container.label("wishes"):
        return json.decode(container.label("wishes"))
"#;

/// Keys and values.
pub(crate) type Wishes = BTreeMap<String, String>;

/// A Docker Engine for each host.
pub(crate) type Engines = Arc<Vec<Dockerd>>;

/// The engines that all clusters share which are tested at the same time; `None`, after a loud line, where there can be none.
pub(crate) fn engines() -> Option<Engines> {
    static SHARED: Mutex<Weak<Vec<Dockerd>>> = Mutex::new(Weak::new());
    // A test that panicked leaves the engines as good as before.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engines) = shared.upgrade() {
        return Some(engines);
    }
    let starting = || {
        (0..HOSTS)
            .map(|_| std::thread::spawn(Dockerd::start))
            .collect()
    };
    let starting: Vec<std::thread::JoinHandle<Option<Dockerd>>> = starting();
    let started = starting
        .into_iter()
        .map(|thread| thread.join().expect("an engine starts"));
    let engines = Arc::new(started.collect::<Option<Vec<_>>>()?);
    *shared = Arc::downgrade(&engines);
    Some(engines)
}

/// A host of one world.
pub(crate) struct Host {
    /// Its host id.
    pub(crate) name: String,
    /// Where the program lives.
    pub(crate) place: Place,
    /// The program that it runs.
    pub(crate) installed: PathBuf,
    /// Whether its wishes count: the program lives, or its lease does.
    pub(crate) counts: bool,
    world: String,
    number: usize,
    engines: Engines,
    folder: PathBuf,
    /// What each container asks for.
    containers: BTreeMap<String, Wishes>,
    program: Option<Program>,
    /// What `program` is.
    running: PathBuf,
    /// Logs of processes that have ended.
    past: String,
}

impl Host {
    /// Host `number` of a world, with files below `folder`.
    pub(crate) fn new(
        world: &str,
        number: usize,
        place: Place,
        engines: &Engines,
        folder: &Path,
    ) -> Host {
        let name = char::from(b"abc"[number]).to_string();
        let folder = folder.join(&name);
        for kind in ["policies", "services"] {
            fs::create_dir_all(folder.join(kind)).expect("a folder");
        }
        let policy = POLICY.replace("WORLD", world);
        fs::write(folder.join("policies/test.star"), policy).expect("a policy");
        Host {
            name,
            place,
            installed: env!("CARGO_BIN_EXE_kontena-registrator").into(),
            counts: false,
            world: world.to_owned(),
            number,
            engines: engines.clone(),
            folder,
            containers: BTreeMap::new(),
            program: None,
            running: PathBuf::new(),
            past: String::new(),
        }
    }

    /// Gives it another policy, in which `WORLD` stands for this world's name.
    pub(crate) fn add_policy(&self, file: &str, text: &str) {
        let path = self.folder.join("policies").join(file);
        fs::write(path, text.replace("WORLD", &self.world)).expect("a policy");
    }

    fn docker(&self) -> &Dockerd {
        &self.engines[self.number]
    }

    /// Starts the program. Its first endpoint is another one than that of the other hosts.
    pub(crate) fn spawn(&mut self, urls: &[String], ttl: Duration, on_exit: &str) {
        let mut urls = urls.to_vec();
        urls.rotate_left(self.number);
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut command = self.place.command(&self.installed);
        command.env("HOME", &self.folder).arg("run");
        command.env("KONTENA_REGISTRATOR_ADMIN_SOCKET", "off");
        command.args([
            format!("--docker-host={}", self.docker().host()),
            format!("--policies={}", path("policies")),
            format!("--services={}", path("services")),
            format!("--etcd-endpoint={}", urls.join(",")),
            format!("--host-id={}", self.name),
            format!("--lease-ttl={}s", ttl.as_secs()),
            format!("--on-exit={on_exit}"),
        ]);
        self.program = Some(Program::spawn(&self.folder, command));
        self.running.clone_from(&self.installed);
        self.counts = true;
    }

    /// Whether the program lives, and is the one that it is to run.
    pub(crate) fn runs_what_is_installed(&self) -> bool {
        self.counts && self.running == self.installed
    }

    /// Waits until the program that was started has said that it is in sync.
    #[track_caller]
    pub(crate) fn wait_for_sync(&self) {
        self.program().wait_for_line(&["in sync: "]);
    }

    /// The program that runs.
    #[track_caller]
    pub(crate) fn program(&self) -> &Program {
        self.program.as_ref().expect("it runs")
    }

    /// Asks the program to end; it does so while others do something.
    #[track_caller]
    pub(crate) fn ask_to_end(&self) {
        self.program().signal("TERM");
    }

    /// Waits until the program has ended in order.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) {
        let mut program = self.program.take().expect("it runs");
        let code = program.exit_code();
        self.past += &program.log();
        assert_eq!(code, Some(0), "{}", self.past);
    }

    /// Ends the program at once.
    pub(crate) fn kill(&mut self) {
        let mut program = self.program.take().expect("it runs");
        program.kill();
        self.past += &program.log();
    }

    /// Fails if the program has ended by itself.
    #[track_caller]
    pub(crate) fn must_run(&mut self) {
        let runs = self.program.as_mut().is_none_or(Program::runs);
        assert!(runs, "host {} has ended:\n{}", self.name, self.log());
    }

    /// All that its processes have logged.
    pub(crate) fn log(&self) -> String {
        let present = self.program.as_ref().map(Program::log);
        self.past.clone() + &present.unwrap_or_default()
    }

    /// Runs a container that asks for these.
    #[track_caller]
    pub(crate) fn run(&mut self, container: &str, wishes: &[(&str, &str)]) {
        let owned = wishes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.run_with(container, owned.collect());
    }

    /// Runs a container that asks for these.
    #[track_caller]
    pub(crate) fn run_with(&mut self, container: &str, wishes: Wishes) {
        let text = serde_json::json!(wishes).to_string();
        self.run_labelled(container, &[("wishes", &text)]);
        self.containers.insert(container.to_owned(), wishes);
    }

    /// Runs a container with these labels, of which the naive reference knows nothing.
    #[track_caller]
    pub(crate) fn run_labelled(&mut self, container: &str, labels: &[(&str, &str)]) {
        let world = ("world", self.world.as_str());
        let labels = labels.iter().chain([&world]);
        let labels: Vec<String> = labels
            .map(|(name, value)| format!("--label={name}={value}"))
            .collect();
        let labels = labels.iter().map(String::as_str);
        let options: Vec<&str> = ["--network=none"].into_iter().chain(labels).collect();
        self.docker().run(&self.full_name(container), &options);
        self.containers.insert(container.to_owned(), Wishes::new());
    }

    /// Removes a container.
    #[track_caller]
    pub(crate) fn rm(&mut self, container: &str) {
        self.docker()
            .docker(&["rm", "-f", &self.full_name(container)]);
        self.containers.remove(container);
    }

    /// Removes all containers of this world.
    #[track_caller]
    pub(crate) fn clear(&mut self) {
        let names: Vec<_> = self
            .containers
            .keys()
            .map(|name| self.full_name(name))
            .collect();
        if !names.is_empty() {
            let names = names.iter().map(String::as_str);
            let arguments: Vec<_> = ["rm", "-f"].into_iter().chain(names).collect();
            self.docker().docker(&arguments);
        }
        self.containers.clear();
    }

    fn full_name(&self, container: &str) -> String {
        format!("{}-{container}", self.world)
    }

    /// The names of its containers.
    pub(crate) fn containers(&self) -> BTreeSet<String> {
        self.containers.keys().cloned().collect()
    }

    /// What it should wish, by the rule for several containers of one host.
    pub(crate) fn wishes(&self) -> Wishes {
        let mut least = Wishes::new();
        for (key, value) in self.containers.values().flatten() {
            let entry = least.entry(key.clone()).or_insert_with(|| value.clone());
            if *value < *entry {
                entry.clone_from(value);
            }
        }
        least
    }

    /// The addresses of etcd that the program is connected to, by the kernel's word.
    pub(crate) fn connections(&self) -> BTreeSet<String> {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.program().id()));
        let table = table.unwrap_or_default();
        let lines = table.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip(2);
            let (remote, state) = (words.next()?, words.next()?);
            let (address, port) = remote.split_once(':')?;
            let bytes = u32::from_str_radix(address, 16).ok()?.to_le_bytes();
            let established = state == "01" && u16::from_str_radix(port, 16) == Ok(2379);
            established.then(|| bytes.map(|byte| byte.to_string()).join("."))
        });
        lines.collect()
    }

    /// Makes the program stand still.
    pub(crate) fn freeze(&self) {
        self.program().signal("STOP");
    }

    /// Ends [`Host::freeze`].
    pub(crate) fn thaw(&self) {
        self.program().signal("CONT");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(program) = self.program.take() {
            drop(program);
        }
        let label = format!("label=world={}", self.world);
        let all = self.docker().docker(&["ps", "-aq", "--filter", &label]);
        let ids: Vec<_> = all.split_whitespace().collect();
        if !ids.is_empty() {
            self.docker().docker(&[&["rm", "-f"], &ids[..]].concat());
        }
    }
}

/// Does this for all hosts at once.
pub(crate) fn at_once(hosts: &mut [Host], does: impl Fn(&mut Host) + Sync) {
    std::thread::scope(|scope| {
        for host in hosts {
            scope.spawn(|| does(host));
        }
    });
}
