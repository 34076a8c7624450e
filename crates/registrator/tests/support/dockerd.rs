//! Private Docker daemons for tests: real ones, several at once, that may be stopped, killed and frozen.
//!
//! Needed: Linux, root, cgroups (v1 or v2), `dockerd` and `docker` (20.10 or newer), `containerd` with its runc shim, `ip`
//! (iproute2), `tar`, and a static busybox as in Debian's `busybox-static`. No network and no registry: the image `busybox` is
//! made of the busybox of the machine.
//!
//! Each daemon has all of its own: data, state, socket, a containerd (so that killing dockerd leaves containers running, as on
//! a machine where systemd runs both), a bridge `rgtN` with the subnet `10.213.N.0/24`, networks out of `10.214.N.0/24`, a
//! cgroup `rgtN`. The number N is reserved by creating the bridge, which the kernel does for one only. No iptables rules are
//! made, so containers reach the host and each other but not the world. Everything goes away when the value is dropped, in a
//! panic too; what a killed test run left behind is a bridge whose alias names a dead process: the next run takes it over.

// Each test crate that includes this file uses a part of it.
#![allow(dead_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to start or stop.
const DEADLINE: Duration = Duration::from_secs(60);
/// Where Debian has daemons, which the PATH of a plain user leaves out.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// A daemon, running or not.
pub(crate) struct Dockerd {
    root: tempfile::TempDir,
    bridge: Bridge,
    containerd: Option<Child>,
    process: Option<Child>,
    /// Let containers live on without their daemon: `--live-restore`.
    live_restore: bool,
    /// Let published ports of the host lead to their containers: `--userland-proxy`.
    serve_published: bool,
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

    fn started(mut self) -> Self {
        self.launch();
        self.import_busybox();
        self
    }

    /// A daemon that was never started; `None`, after a loud line, where starting it would be impossible.
    pub(crate) fn absent() -> Option<Self> {
        if let Some(reason) = obstacle() {
            let skipped = format!("SKIPPED: a test with a real Docker daemon because {reason}");
            assert!(
                std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_none_or(|value| value != "1"),
                "{skipped}"
            );
            eprintln!("{skipped}");
            return None;
        }
        let root = tempfile::Builder::new()
            .prefix("rgt")
            .tempdir()
            .expect("a temporary folder");
        let mut dockerd = Self {
            root,
            bridge: Bridge::reserve(),
            containerd: None,
            process: None,
            live_restore: false,
            serve_published: false,
        };
        dockerd.launch_containerd();
        Some(dockerd)
    }

    /// The `DOCKER_HOST` of this daemon.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Starts the daemon's process and waits until it answers.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let name = &self.bridge.name;
        let mut command = self.command("dockerd");
        let flag = |name: &str, path: &str| format!("--{name}={}", self.path(path).display());
        command
            .args([
                flag("data-root", "data"),
                flag("exec-root", "exec"),
                flag("pidfile", "docker.pid"),
            ])
            .arg(flag("containerd", "containerd.sock"))
            .args([
                format!("--host={}", self.host()),
                format!("--bridge={name}"),
                format!("--cgroup-parent=/{name}"),
            ])
            .arg(format!(
                "--default-address-pool=base=10.214.{}.0/24,size=28",
                self.bridge.number
            ))
            .arg("--exec-opt=native.cgroupdriver=cgroupfs")
            .arg(format!("--userland-proxy={}", self.serve_published))
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--ip-masq=false",
                "--shutdown-timeout=2",
            ])
            .args(self.live_restore.then_some("--live-restore"));
        self.process = Some(self.spawn(command, "dockerd.log"));
        self.wait_for("an answer of dockerd", "dockerd.log", |dockerd| {
            dockerd
                .docker_output(&["version", "--format", "{{.Server.APIVersion}}"])
                .status
                .success()
        });
    }

    /// Makes the image that [`Dockerd::start`] makes, in a daemon that began as [`Dockerd::absent`].
    pub(crate) fn add_image(&self) {
        self.import_busybox();
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
        self.process
            .iter()
            .for_each(|process| signal(process.id(), "STOP"));
    }

    /// Ends [`Dockerd::freeze`].
    pub(crate) fn thaw(&self) {
        self.process
            .iter()
            .for_each(|process| signal(process.id(), "CONT"));
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
        self.docker(&[&fixed, options, &["busybox", "sleep", "1000000"]].concat())
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
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", format!("{path}:{SBIN}"))
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
        let [root, state, socket, config] = [
            "containerd",
            "containerd-state",
            "containerd.sock",
            "containerd.toml",
        ]
        .map(|name| self.path(name));
        fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n")
            .expect("a configuration file");
        let mut command = self.command("containerd");
        command
            .arg("--config")
            .arg(config)
            .arg("--root")
            .arg(root)
            .arg("--state")
            .arg(state);
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

    /// Containers and networks, while there is a daemon that can remove them properly.
    fn empty(&self) {
        let list =
            |args: &[&str]| String::from_utf8_lossy(&self.docker_output(args).stdout).into_owned();
        for (list, remove) in [
            (list(&["ps", "-aq"]), ["rm", "-f"].as_slice()),
            (
                list(&["network", "ls", "-q", "--filter", "type=custom"]),
                ["network", "rm"].as_slice(),
            ),
        ] {
            let ids: Vec<_> = list.split_whitespace().collect();
            if !ids.is_empty() {
                self.docker_output(&[remove, &ids].concat());
            }
        }
    }

    /// Shims and containers that outlived their daemon. The folder's name in their command lines says that they are ours.
    fn end_orphans(&self) {
        let root = self.root.path().to_string_lossy().into_owned();
        let shims: Vec<u32> = processes()
            .filter(|pid| command_line(*pid).contains(&root))
            .collect();
        let children: Vec<u32> = processes()
            .filter(|pid| parent(*pid).is_some_and(|pid| shims.contains(&pid)))
            .collect();
        children
            .into_iter()
            .chain(shims)
            .for_each(|pid| signal(pid, "KILL"));
    }

    fn unmount_all(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let mut ours: Vec<_> = points
            .filter(|point| Path::new(point).starts_with(self.root.path()))
            .collect();
        ours.sort_unstable_by_key(|point| std::cmp::Reverse(point.len()));
        for point in ours {
            quietly(Command::new("umount").args(["-l", point]));
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.thaw();
            self.empty();
        }
        self.terminate();
        end(self.containerd.take(), "TERM");
        self.end_orphans();
        self.unmount_all();
        remove_cgroups(&self.bridge.name);
    }
}

/// Why there can be no daemon here.
fn obstacle() -> Option<String> {
    let path = format!("{}:{SBIN}", std::env::var("PATH").unwrap_or_default());
    let found =
        |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let programs = [
        "dockerd",
        "docker",
        "containerd",
        "runc",
        "ip",
        "tar",
        "busybox",
    ];
    let root = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.contains("\nUid:\t0\t0\t"));
    match programs.into_iter().find(|program| !found(program)) {
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

/// A network bridge, and with it a number that no other daemon has.
struct Bridge {
    name: String,
    number: u8,
}

impl Bridge {
    fn reserve() -> Self {
        let start = std::process::id();
        for offset in 0..=u32::from(u8::MAX) {
            let number = u8::try_from((start + offset) % 256).unwrap_or(0);
            let bridge = Self {
                name: format!("rgt{number}"),
                number,
            };
            bridge.remove_if_abandoned();
            if ip(&["link", "add", "name", &bridge.name, "type", "bridge"]) {
                bridge.configure();
                return bridge;
            }
            // Dropping it would remove the bridge of another daemon.
            std::mem::forget(bridge);
        }
        panic!("no bridge could be made: is the kernel's bridge module there?");
    }

    fn configure(&self) {
        let address = format!("10.213.{}.1/24", self.number);
        ip(&[
            "link",
            "set",
            &self.name,
            "alias",
            &format!("pid {}", std::process::id()),
        ]);
        assert!(
            ip(&["address", "add", &address, "dev", &self.name]),
            "no address for {}",
            self.name
        );
        assert!(
            ip(&["link", "set", &self.name, "up"]),
            "{} does not come up",
            self.name
        );
    }

    fn remove_if_abandoned(&self) {
        let alias =
            fs::read_to_string(format!("/sys/class/net/{}/ifalias", self.name)).unwrap_or_default();
        let pid = alias.trim().strip_prefix("pid ");
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            ip(&["link", "delete", &self.name]);
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let pool = format!("10.214.{}.", self.number);
        let links = Command::new("ip")
            .args(["-o", "-4", "address"])
            .output()
            .map(|output| output.stdout);
        for line in String::from_utf8_lossy(&links.unwrap_or_default()).lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [_, link, "inet", address, ..] = words.as_slice()
                && address.starts_with(&pool)
            {
                ip(&["link", "delete", link]);
            }
        }
        ip(&["link", "delete", &self.name]);
    }
}

fn ip(args: &[&str]) -> bool {
    quietly(Command::new("ip").args(args))
}

fn quietly(command: &mut Command) -> bool {
    let path = format!("{}:{SBIN}", std::env::var("PATH").unwrap_or_default());
    let command = command
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn signal(pid: u32, name: &str) {
    quietly(Command::new("kill").args(["-s", name, &pid.to_string()]));
}

/// Ends a child, by force if it does not end in time.
fn end(child: Option<Child>, name: &str) {
    let Some(mut child) = child else { return };
    signal(child.id(), name);
    let deadline = Instant::now() + DEADLINE / 3;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
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

/// Empty cgroups stay behind where a shim was killed.
fn remove_cgroups(name: &str) {
    let hierarchies = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for cgroup in hierarchies
        .chain([PathBuf::from("/sys/fs/cgroup")])
        .map(|hierarchy| hierarchy.join(name))
    {
        for child in fs::read_dir(&cgroup).into_iter().flatten().flatten() {
            _ = fs::remove_dir(child.path());
        }
        _ = fs::remove_dir(cgroup);
    }
}
