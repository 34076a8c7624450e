//! A host whose registrator is asked: an engine, the real program, and what it says.

use super::docker::Docker;
use super::etcd::ports::free_port;
use super::program::{Program, registrator, wait_for};
use expect_test::Expect;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A host: an engine, and a registrator that is asked at a socket of its own.
pub(crate) struct Host {
    pub(crate) folder: TempDir,
    pub(crate) docker: Docker,
    pub(crate) program: Program,
    pub(crate) socket: PathBuf,
    pub(crate) etcd: SocketAddr,
    args: Vec<String>,
}

pub(crate) const SKYDNS: &str = r#"{"layout": "instances"}"#;

impl Host {
    /// One with an embedded etcd that others may write to.
    pub(crate) fn start(containers: Vec<Json>, config: &str) -> Host {
        let etcd = free_port();
        let of_its_own = [
            format!("--embedded-listen={etcd}"),
            "--embedded-access=write".to_owned(),
        ];
        Host::start_at(etcd, "host-a", containers, config, &of_its_own)
    }

    /// One with other policies.
    pub(crate) fn with_policies(folder: &Path, containers: Vec<Json>) -> Host {
        let policies = [format!("--policies={}", folder.display())];
        Host::start_at(free_port(), "host-a", containers, SKYDNS, &policies)
    }

    /// Another one, on the etcd of this one.
    pub(crate) fn another(&self, containers: Vec<Json>, config: &str) -> Host {
        let endpoint = [format!("--etcd-endpoint=http://{}", self.etcd)];
        Host::start_at(self.etcd, "host-b", containers, config, &endpoint)
    }

    /// One of this name, with a configuration of the policy `skydns`, if that is not empty.
    pub(crate) fn start_at(
        etcd: SocketAddr,
        name: &str,
        containers: Vec<Json>,
        config: &str,
        more: &[String],
    ) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let docker = Docker::start(folder.path(), name, containers);
        std::fs::create_dir(folder.path().join("services")).unwrap();
        if !config.is_empty() {
            configure(folder.path(), Some(config));
        }
        let socket = folder.path().join("admin.sock");
        let policies = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../etc/policies/skydns.star"
        );
        let mut args = vec![
            "run".to_owned(),
            format!("--docker-host={}", docker.host()),
            "--services=services".to_owned(),
            format!("--admin-socket={}", socket.display()),
            format!("--host-id={name}"),
            format!("--admin-listen={}", free_port()),
        ];
        if !more.iter().any(|it| it.starts_with("--policies=")) {
            args.push(format!("--policies={policies}"));
        }
        args.extend_from_slice(more);
        let program = Program::start(folder.path(), &args, &[]);
        Host {
            folder,
            docker,
            program,
            socket,
            etcd,
            args,
        }
    }

    /// Changes the configuration, or removes it.
    pub(crate) fn configure(&self, config: Option<&str>) {
        configure(self.folder.path(), config);
    }

    /// Starts the registrator again, which has ended.
    pub(crate) fn restart(&mut self) {
        self.program = Program::start(self.folder.path(), &self.args, &[]);
    }

    pub(crate) fn in_sync(self) -> Host {
        self.program.wait_for_line(&["in sync:"]);
        self
    }

    /// Runs a command that asks it.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        let mut command = registrator(self.folder.path());
        command.args(args);
        command.arg(format!("--admin-socket={}", self.socket.display()));
        command.output().unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        assert!(output.status.success(), "{args:?}: {out}{err}");
        scrubbed(&out)
    }

    #[track_caller]
    pub(crate) fn explains(&self, about: &str, expected: Expect) {
        expected.assert_eq(&self.says(&["explain", about]));
    }

    /// Waits until it says so.
    #[track_caller]
    pub(crate) fn wait_until_it_says(&self, args: &[&str], words: &str) {
        let said = || {
            let text = String::from_utf8(self.ask(args).stdout).unwrap();
            text.contains(words).then_some(())
        };
        wait_for(words, said, || {
            format!("{:?}\n{}", self.ask(args), self.program.log())
        });
    }

    pub(crate) fn etcdctl(&self, args: &[&str]) {
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.etcd))
            .args(args)
            .output()
            .expect("etcdctl is there");
        assert!(done.status.success(), "{done:?}");
    }

    /// The page's address.
    pub(crate) fn page(&self) -> String {
        let line = self.program.wait_for_line(&["the page is at"]);
        line.rsplit(' ')
            .next()
            .unwrap()
            .trim_end_matches('/')
            .to_owned()
    }
}

fn configure(folder: &Path, config: Option<&str>) {
    let services = folder.join("services/skydns");
    let file = services.join("bridge.json");
    std::fs::create_dir_all(&services).unwrap();
    match config {
        Some(config) => std::fs::write(file, config).unwrap(),
        None => std::fs::remove_file(file).unwrap(),
    }
}

/// The text without times, ages, revisions and leases, and with the policies' folder as people write it.
pub(crate) fn scrubbed(text: &str) -> String {
    let text = text.replace(concat!(env!("CARGO_MANIFEST_DIR"), "/../../"), "");
    let lines = text.lines().map(|line| {
        let mut words: Vec<String> = Vec::new();
        for word in line.split(' ') {
            let bare = word.trim_matches(|c: char| "(),;:".contains(c));
            let before = words.last().map(|it| it.trim_start_matches('(').to_owned());
            let before = before.unwrap_or_default();
            if ["ms", "s", "min", "h"].contains(&bare) && is_number(&before) {
                let last = words.pop().unwrap();
                words.push(last.replace(&before, "AGE") + &word.replace(bare, ""));
            } else if before == "revision" && is_number(bare) {
                words.push(word.replace(bare, "N"));
            } else {
                words.push(scrubbed_word(word, bare));
            }
        }
        words.join(" ") + "\n"
    });
    lines.collect()
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn scrubbed_word(word: &str, bare: &str) -> String {
    let is_clock = bare.len() == 8 && bare.split(':').count() == 3;
    let is_lease = bare.len() == 16 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    match bare {
        clock if is_clock => word.replace(clock, "TIME"),
        lease if is_lease => word.replace(lease, "LEASE"),
        _ => word.to_owned(),
    }
}

/// The status and the text of an answer.
pub(crate) fn curl(args: &[&str]) -> (u16, String) {
    let done = Command::new("curl")
        .args(["-s", "-w", "\n%{http_code}"])
        .args(args)
        .output()
        .expect("curl is there");
    let text = String::from_utf8(done.stdout).unwrap();
    let (text, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), text.to_owned())
}
