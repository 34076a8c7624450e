//! Private Docker daemons for tests: real ones, several at once, that may be stopped, killed and frozen.
//!
//! Needed: Linux, root, cgroups (v1 or v2), `dockerd` and `docker` (20.10 or newer), `containerd` with its runc shim, `ip`
//! (iproute2), `unshare`, `nsenter` and `flock` (util-linux), `bash`, `tar`, and a static busybox as in Debian's `busybox-static`. No network and no registry: the image `busybox` is
//! made of the busybox of the machine.
//!
//! Each daemon has all of its own: data, state, socket, a cgroup, a containerd (so that killing dockerd leaves containers running,
//! as on a machine where systemd runs both), and namespaces for its interfaces, mounts and processes, so that neither the
//! machine's own engine nor anything else of the machine is touched. So its containers are reached from within its network
//! alone: [`Dockerd::enter_network`]. Everything goes away when the value is dropped, in a panic too, and all but the folder and
//! the cgroup when the process is killed: these the next one removes.

// Each test crate that includes this file uses a part of it.
#![allow(dead_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "folder.rs"]
mod folder;
#[path = "namespaces.rs"]
mod namespaces;
#[path = "podman.rs"]
mod podman;

use folder::Folder;
use namespaces::Namespaces;
use podman::Podman;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// How long a daemon may take to start or stop.
const DEADLINE: Duration = Duration::from_secs(60);
/// Where Debian has daemons, which the PATH of a plain user leaves out.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// A daemon, running or not.
pub(crate) struct Dockerd {
    containerd: Option<Child>,
    process: Option<Child>,
    /// Taken when it is dropped, before its cgroup is removed.
    namespaces: Option<Namespaces>,
    root: Folder,
    /// Its subnets have it, so that no two containers of this process have one address.
    number: u8,
    /// Let containers live on without their daemon: `--live-restore`.
    live_restore: bool,
    /// Let published ports of the host lead to their containers: `--userland-proxy`.
    serve_published: bool,
    /// The engine is this, instead of Docker.
    podman: Option<Podman>,
}

impl Dockerd {
    /// A running daemon with the image `busybox`; `None`, after a loud line, where that is impossible.
    pub(crate) fn start() -> Option<Self> {
        Some(Self::absent()?.started())
    }

    /// As [`Dockerd::start`], with containers that outlive their daemon and are found again by the next.
    pub(crate) fn with_live_restore() -> Option<Self> {
        let mut dockerd = Self::absent()?;
        dockerd.live_restore = true;
        Some(dockerd.started())
    }

    /// As [`Dockerd::start`], with published ports that can be reached. They are only reserved otherwise.
    pub(crate) fn with_published_ports() -> Option<Self> {
        let mut dockerd = Self::absent()?;
        dockerd.serve_published = true;
        Some(dockerd.started())
    }

    /// Podman in Docker's place: what `docker` says to it, it does. Containers that are not made by [`Dockerd::run`] need the option
    /// `--cgroup-parent`.
    pub(crate) fn podman() -> Option<Self> {
        let mut dockerd = Self::prepared(&podman::PROGRAMS)?;
        dockerd.podman = Some(Podman::with_settings_in(dockerd.root.path()));
        let mut prepare = dockerd.command_inside("sh");
        let status = prepare.args(["-c", podman::PREPARE]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "no folder for podman"
        );
        Some(dockerd.started())
    }

    fn started(mut self) -> Self {
        self.launch();
        self.import_busybox();
        self
    }

    /// A daemon that was never started; `None`, after a loud line, where starting it would be impossible.
    pub(crate) fn absent() -> Option<Self> {
        let mut dockerd = Self::prepared(&[])?;
        dockerd.launch_containerd();
        Some(dockerd)
    }

    /// A place for an engine that needs these programs, too.
    fn prepared(programs: &[&str]) -> Option<Self> {
        if let Some(reason) = obstacle(programs) {
            let skipped = format!("SKIPPED: a test with a real Docker daemon because {reason}");
            assert!(
                std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_none_or(|value| value != "1"),
                "{skipped}"
            );
            eprintln!("{skipped}");
            return None;
        }
        static NUMBER: AtomicU8 = AtomicU8::new(0);
        Some(Self {
            containerd: None,
            process: None,
            namespaces: Some(Namespaces::make(&path())),
            root: Folder::make(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            live_restore: false,
            serve_published: false,
            podman: None,
        })
    }

    /// The `DOCKER_HOST` of this daemon.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Starts the daemon's process and waits until it answers.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let command = match &self.podman {
            Some(podman) => {
                let mut command = self.command_inside("podman");
                podman.serve(&mut command, &self.host());
                command
            }
            None => self.dockerd_command(),
        };
        self.process = Some(self.spawn(command, "dockerd.log"));
        self.wait_for("an answer of dockerd", "dockerd.log", |dockerd| {
            dockerd
                .docker_output(&["version", "--format", "{{.Server.APIVersion}}"])
                .status
                .success()
        });
    }

    fn dockerd_command(&self) -> Command {
        let mut command = self.command_inside("dockerd");
        let flag = |name: &str, path: &str| format!("--{name}={}", self.path(path).display());
        command
            .args([flag("data-root", "data"), flag("pidfile", "docker.pid")])
            .arg(flag("containerd", "containerd.sock"))
            .args([
                format!("--host={}", self.host()),
                // Its sockets have long names, and no other daemon sees this folder.
                "--exec-root=/run/docker".to_owned(),
                format!("--bip=10.213.{}.1/24", self.number),
                format!(
                    "--default-address-pool=base=10.214.{}.0/24,size=28",
                    self.number
                ),
                format!("--cgroup-parent=/{}", self.cgroup()),
            ])
            .arg("--exec-opt=native.cgroupdriver=cgroupfs")
            .arg(format!("--userland-proxy={}", self.serve_published))
            // The runc that is built for the newest engine is without it.
            .args(newest().map(|_| "--seccomp-profile=unconfined"))
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--ip-masq=false",
                "--shutdown-timeout=2",
            ])
            .args(self.live_restore.then_some("--live-restore"));
        command
    }

    /// Makes the image that [`Dockerd::start`] makes, in a daemon that began as [`Dockerd::absent`].
    pub(crate) fn add_image(&self) {
        self.import_busybox();
    }

    /// Takes the calling thread, with the processes and threads that it will start, into the network in which the containers are
    /// reached.
    pub(crate) fn enter_network(&self) {
        self.namespaces().enter_network();
    }

    /// Lays a cable between the networks of two daemons: from each, the containers of both are reached.
    pub(crate) fn connect(&self, other: &Dockerd) {
        let ip = |at: &Dockerd, args: String| {
            let mut ip = at.prepare(at.namespaces().command_in_network("ip"));
            let status = ip.args(args.split(' ')).status();
            assert!(status.is_ok_and(|status| status.success()), "ip {args}");
        };
        let ends = [(self, other), (other, self)];
        let [link, peer] = ends.map(|(_, far)| format!("to-{}", far.number));
        let far = other.namespaces().id();
        ip(
            self,
            format!("link add {link} type veth peer name {peer} netns {far}"),
        );
        for (near, far) in ends {
            let (link, number) = (format!("to-{}", far.number), far.number);
            ip(near, format!("link set {link} up"));
            let route = format!("10.213.{number}.0/24 via 10.213.{number}.1 dev {link} onlink");
            ip(near, format!("route add {route}"));
        }
    }

    /// A command that runs this program where the daemon lives.
    pub(crate) fn command_inside(&self, program: &str) -> Command {
        self.prepare(self.namespaces().command(program))
    }

    fn namespaces(&self) -> &Namespaces {
        self.namespaces.as_ref().expect("until it is dropped")
    }

    /// Below this name are the cgroups of the containers. A whole run of tests has one for all of its daemons.
    fn cgroup(&self) -> String {
        let run = std::env::var("REGISTRATOR_TEST_RUN").ok();
        let parts = run.into_iter().chain([self.root.name()]);
        parts.collect::<Vec<_>>().join("/")
    }

    /// Asks the daemon's process to end (SIGTERM) and waits until it has.
    pub(crate) fn terminate(&mut self) {
        end(self.process.take(), "TERM");
    }

    /// Kills the daemon's process. The socket's file stays, the containers run on.
    pub(crate) fn kill(&mut self) {
        end(self.process.take(), "KILL");
    }

    /// Freezes the daemon's process (SIGSTOP): it accepts connections, and says nothing.
    pub(crate) fn freeze(&self) {
        self.process.iter().for_each(|child| signal(child, "STOP"));
    }

    /// Ends [`Dockerd::freeze`].
    pub(crate) fn thaw(&self) {
        self.process.iter().for_each(|child| signal(child, "CONT"));
    }

    /// Runs `docker` with these arguments against this daemon; what it prints, trimmed.
    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.docker_output(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(
            output.status.success(),
            "docker {}: {}",
            args.join(" "),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Runs a container that sleeps and stops at once when asked to; its id.
    #[track_caller]
    pub(crate) fn run(&self, name: &str, options: &[&str]) -> String {
        let fixed = ["run", "--detach", "--stop-signal=KILL", "--name", name];
        // Docker was told when it started.
        let parent = format!("--cgroup-parent=/{}", self.cgroup());
        let parent = self.podman.is_some().then_some(parent.as_str());
        let command = ["busybox", "sleep", "1000000"];
        self.docker(&[&fixed, parent.as_slice(), options, &command].concat())
    }

    /// Creates a bridge network.
    #[track_caller]
    pub(crate) fn network(&self, name: &str) {
        self.docker(&["network", "create", name]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        self.prepare(Command::new(program))
    }

    fn prepare(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("PATH", path())
            .env("DOCKER_CONFIG", self.path("client"));
        command
            .env("HOME", self.root.path())
            .env("TMPDIR", self.root.path())
            .stdin(Stdio::null());
        command
    }

    fn docker_output(&self, args: &[&str]) -> Output {
        let mut command = self.command("docker");
        command
            .arg("--host")
            .arg(self.host())
            .args(args)
            .output()
            .expect("docker runs")
    }

    fn spawn(&self, mut command: Command, log: &str) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(log))
            .expect("a log file");
        command
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        command.spawn().expect("the daemon starts")
    }

    fn wait_for(&mut self, what: &str, log: &str, mut is: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is(self) {
            let ended = [&mut self.process, &mut self.containerd]
                .into_iter()
                .flatten()
                .any(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            let log = || fs::read_to_string(self.path(log)).unwrap_or_default();
            assert!(
                !ended && Instant::now() < deadline,
                "waited in vain for {what}: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn launch_containerd(&mut self) {
        let [root, socket, config] =
            ["containerd", "containerd.sock", "containerd.toml"].map(|name| self.path(name));
        fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n")
            .expect("a configuration file");
        let mut command = self.command_inside("containerd");
        command
            .arg("--config")
            .arg(config)
            .arg("--root")
            .arg(root)
            .arg("--state=/run/containerd-state");
        command.arg("--address").arg(&socket);
        self.containerd = Some(self.spawn(command, "containerd.log"));
        self.wait_for("the socket of containerd", "containerd.log", |_| {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }

    /// Makes the image of the machine's own static busybox.
    fn import_busybox(&self) {
        let files = self.path("busybox");
        fs::create_dir_all(files.join("bin")).expect("a folder");
        fs::create_dir_all(files.join("tmp")).expect("a folder");
        fs::copy(busybox().expect("busybox"), files.join("bin/busybox")).expect("busybox copied");
        let applets = self
            .command("busybox")
            .arg("--list")
            .output()
            .expect("busybox runs")
            .stdout;
        for applet in String::from_utf8_lossy(&applets)
            .lines()
            .filter(|applet| *applet != "busybox")
        {
            std::os::unix::fs::symlink("busybox", files.join("bin").join(applet)).expect("a link");
        }
        let tar = self
            .command("tar")
            .arg("-C")
            .arg(&files)
            .args(["-c", "."])
            .output()
            .expect("tar runs");
        let mut import = self.command("docker");
        import
            .arg("--host")
            .arg(self.host())
            .args(["import", "-", "busybox"]);
        let mut import = import
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker runs");
        import
            .stdin
            .take()
            .expect("a pipe")
            .write_all(&tar.stdout)
            .expect("the image is read");
        assert!(
            import.wait().expect("docker ends").success(),
            "the image was not imported"
        );
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        thaw_cgroups(&self.cgroup());
        self.namespaces.take();
        for child in [&mut self.process, &mut self.containerd]
            .into_iter()
            .flatten()
        {
            _ = child.wait();
        }
        remove_cgroups(&self.cgroup());
    }
}

/// Why there can be no daemon here.
fn obstacle(more: &[&str]) -> Option<String> {
    let found =
        |program: &str| std::env::split_paths(&path()).any(|folder| folder.join(program).is_file());
    let programs = [
        "dockerd",
        "docker",
        "containerd",
        "runc",
        "ip",
        "unshare",
        "nsenter",
        "flock",
        "bash",
        "tar",
        "busybox",
    ];
    let root = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.contains("\nUid:\t0\t0\t"));
    let mut programs = programs.iter().chain(more);
    match programs.find(|program| !found(program)) {
        Some(program) => Some(format!("there is no {program}")),
        None if !root => Some("it needs root".to_owned()),
        None => None,
    }
}

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

fn path() -> String {
    let newest = newest().map(|folder| folder + ":").unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{newest}{path}:{SBIN}")
}

/// The folder with the newest dockerd and its runc, which `make test-engines` names.
fn newest() -> Option<String> {
    std::env::var("REGISTRATOR_TEST_DOCKERD").ok()
}

/// Sends a signal to the daemon that this child has started inside of the namespaces. When a daemon stands still, so does the
/// child that waits for it.
fn signal(child: &Child, name: &str) {
    let daemons = processes().filter(|pid| parent(*pid) == Some(child.id()));
    let daemons = daemons.map(|pid| pid.to_string());
    let mut command = Command::new("kill");
    command.args(["-s", name]).args(daemons);
    command.args((name == "CONT").then(|| child.id().to_string()));
    command.env("PATH", path()).stderr(Stdio::null());
    _ = command.status();
}

/// Ends a child, by force if it does not end in time.
fn end(child: Option<Child>, name: &str) {
    let Some(mut child) = child else { return };
    signal(&child, name);
    let deadline = Instant::now() + DEADLINE / 3;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            signal(&child, "KILL");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')')
        .next()?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// The directories of a cgroup, in the hierarchies of the first version or the only one of the second.
fn cgroups(name: &str) -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
    let hierarchies = all.flatten().map(|entry| entry.path());
    let hierarchies = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
    let directories = hierarchies.map(move |hierarchy| hierarchy.join(name));
    directories.filter(|cgroup| cgroup.is_dir())
}

fn below(cgroup: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

/// In the first version of cgroups, a frozen process does not even die.
fn thaw_cgroups(name: &str) {
    for container in cgroups(name).flat_map(|cgroup| below(&cgroup)) {
        let state = container.join("freezer.state");
        if state.exists() {
            _ = fs::write(state, "THAWED");
        }
    }
}

fn remove_cgroups(name: &str) {
    for cgroup in cgroups(name) {
        below(&cgroup).for_each(|container| _ = fs::remove_dir(container));
        _ = fs::remove_dir(cgroup);
    }
}
