//! Namespaces in which a private Docker daemon lives: its interfaces, mounts and processes are none of the machine's.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Keeps the namespaces until its standard input ends.
const KEEPER: &str = include_str!("../../../../scripts/namespaces.sh");

/// A network, a table of mounts and a table of processes. With this value, and with the process that has it, however that
/// ends, everything inside is killed and goes away.
pub(crate) struct Namespaces {
    keeper: Child,
    id: u32,
}

impl Namespaces {
    /// New ones: with the loopback, the machine's files, and no process but one. `path` is where programs are found.
    pub(crate) fn make(path: &str) -> Self {
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--propagation=slave"])
            .args(["--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", KEEPER]);
        command
            .env_clear()
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut keeper = command.spawn().expect("unshare runs");
        let mut line = String::new();
        let mut lines = BufReader::new(keeper.stdout.take().expect("a pipe"));
        lines.read_line(&mut line).expect("the keeper speaks");
        let Ok(id) = line.trim().parse() else {
            let output = keeper.wait_with_output().expect("the keeper ends");
            panic!("no namespaces: {}", String::from_utf8_lossy(&output.stderr));
        };
        Self { keeper, id }
    }

    /// A command that runs this program inside, as the child of what is started.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = format!("--target={}", self.id);
        command.args([&target, "--net", "--mount", "--pid", "--", program]);
        command
    }

    /// A command that becomes this program in the network, outside of the rest.
    pub(crate) fn command_in_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = format!("--target={}", self.id);
        command.args([&target, "--net", "--", program]);
        command
    }

    /// The process inside that stands for all of it.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Takes the calling thread into the network, with the processes and threads that it will start.
    pub(crate) fn enter_network(&self) {
        let network = PathBuf::from(format!("/proc/{}/ns/net", self.id));
        let network = fs::File::open(network).expect("the keeper lives");
        nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).expect("root may enter");
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.keeper.stdin.take();
        // It ends when everything inside has ended.
        _ = self.keeper.wait();
    }
}
