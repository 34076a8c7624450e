//! A private etcd for a test: on free ports of the loopback, with its data in a directory of its own.
//!
//! `etcd` in the path is 3.4, as Debian has it; `ETCD_3_5_BIN` and `ETCD_3_6_BIN` name others. What is missing is
//! skipped with a line that says so, or fails if `REGISTRATOR_REQUIRE_ALL` is 1.

// Each test file uses a part of this.
#![allow(dead_code, unreachable_pub, missing_docs)]
// Clippy knows only functions marked as tests for tests; what is here is called by them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "etcd_client.rs"]
mod client;
#[path = "ports.rs"]
pub(crate) mod ports;

#[allow(unused_imports, reason = "not everybody names the type")]
pub use client::{Client, Listing};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A version of etcd and where it comes from.
#[derive(Clone, Copy, Debug)]
pub enum Version {
    V3_4,
    V3_5,
    V3_6,
}

impl Version {
    /// Its program, or why there is none.
    pub fn program(self) -> Result<PathBuf, String> {
        let variable = match self {
            Version::V3_4 => return in_path("etcd").ok_or("there is no etcd in the path".into()),
            Version::V3_5 => "ETCD_3_5_BIN",
            Version::V3_6 => "ETCD_3_6_BIN",
        };
        std::env::var_os(variable)
            .map(PathBuf::from)
            .ok_or(format!("{variable} does not name an etcd"))
    }
}

/// A program of this name in the path.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Runs `case` with one version of etcd in a runtime of one thread, as the program has it.
pub fn run<C>(version: Version, name: &str, case: impl FnOnce(PathBuf) -> C)
where
    C: Future<Output = ()>,
{
    match version.program() {
        Ok(program) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(case(program)),
        Err(reason) => skip(&format!("{name} with etcd {version:?}"), &reason),
    }
}

/// Says that a test is skipped, or fails if none may be.
pub fn skip(what: &str, reason: &str) {
    let message = format!("SKIPPED: {what} because {reason}");
    let required = std::env::var("REGISTRATOR_REQUIRE_ALL").is_ok_and(|one| one == "1");
    assert!(!required, "{message}");
    // Past the harness, which would swallow it.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// What a server is to be like.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// With TLS, and with the demand for a client certificate.
    pub tls: Option<Certificates>,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl Variant {
    /// Its cluster keeps its id when it loses its data, as one does that is set up by a script.
    pub fn with_a_lasting_id() -> Variant {
        Variant {
            arguments: ["--initial-cluster-token", "lasting"]
                .map(String::from)
                .into(),
            ..Variant::default()
        }
    }
}

/// PEM files for TLS in both directions.
#[derive(Clone, Debug)]
pub struct Certificates {
    pub ca: PathBuf,
    pub other_ca: PathBuf,
    pub server: (PathBuf, PathBuf),
    pub client: (PathBuf, PathBuf),
}

impl Certificates {
    /// Makes two authorities, and from the first one a certificate for 127.0.0.1 and one for a client.
    pub fn make(folder: &Path) -> Certificates {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (ca, key) = authority("Test");
        write("ca.key", key.serialize_pem());
        let nothing = PathBuf::new();
        let made = Certificates {
            ca: write("ca.pem", ca),
            other_ca: write("other.pem", authority("Other").0),
            server: (nothing.clone(), nothing.clone()),
            client: (nothing.clone(), nothing),
        };
        Certificates {
            server: made.issue("server", "127.0.0.1", |_| {}),
            client: made.issue("client", "client.test", |_| {}),
            ..made
        }
    }

    /// Makes a certificate and its key, for this host, from the first authority.
    pub fn issue(
        &self,
        name: &str,
        host: &str,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let issuer = std::fs::read_to_string(self.ca.with_extension("key")).unwrap();
        let issuer = rcgen::KeyPair::from_pem(&issuer).unwrap();
        let issuer = rcgen::Issuer::new(authority_params("Test"), issuer);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let cert = params.signed_by(&key, &issuer).unwrap().pem();
        let write = |kind: &str, text: String| {
            let path = self.ca.with_file_name(format!("{name}.{kind}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        (write("pem", cert), write("key", key.serialize_pem()))
    }

    /// For [`Certificates::issue`]: a certificate that has expired.
    pub fn expired(params: &mut rcgen::CertificateParams) {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }

    /// For [`Certificates::issue`]: a certificate that is not valid yet.
    pub fn too_new(params: &mut rcgen::CertificateParams) {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
        params.not_after = rcgen::date_time_ymd(3000, 1, 1);
    }
}

fn authority(name: &str) -> (String, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = authority_params(name).self_signed(&key).unwrap();
    (cert.pem(), key)
}

fn authority_params(name: &str) -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params
}

/// A running, stopped or killed etcd. Ends with the test.
#[derive(Debug)]
pub struct Etcd {
    program: PathBuf,
    variant: Variant,
    ports: [u16; 2],
    folder: TempDir,
    child: Option<Child>,
}

impl Etcd {
    /// Starts one and waits until it answers.
    pub async fn start(program: &Path) -> Etcd {
        Etcd::start_variant(program, Variant::default()).await
    }

    /// Starts one of this kind and waits until it answers.
    pub async fn start_variant(program: &Path, variant: Variant) -> Etcd {
        let mut etcd = Etcd::prepare(program, variant);
        etcd.restart().await;
        etcd
    }

    /// One that does not run yet, but has its address.
    pub fn prepare(program: &Path, variant: Variant) -> Etcd {
        Etcd {
            program: program.to_owned(),
            variant,
            ports: free_ports(),
            folder: tempfile::tempdir().unwrap(),
            child: None,
        }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        let scheme = if self.variant.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address())
    }

    /// The same without a scheme.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// A plain client of it. Must be called within a Tokio runtime.
    pub fn client(&self) -> Client {
        Client::of(self)
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What kind of server it is.
    pub fn variant(&self) -> &Variant {
        &self.variant
    }

    /// The test's own clients take their key from this file from now on.
    pub fn use_client_key(&mut self, key: PathBuf) {
        if let Some(tls) = &mut self.variant.tls {
            tls.client.1 = key;
        }
    }

    /// Starts it, with the data that it had, and waits until it answers.
    pub async fn restart(&mut self) {
        self.spawn();
        self.until_ready().await;
    }

    /// Starts it with the data that it had.
    pub fn spawn(&mut self) {
        let [client, peer] = self.ports;
        let (url, peer) = (self.url(), format!("http://127.0.0.1:{peer}"));
        assert!(client > 0 && self.child.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = Command::new(&self.program);
        command
            .arg("--data-dir")
            .arg(self.data())
            .args(["--name", "test", "--listen-client-urls", &url])
            .args(["--advertise-client-urls", &url, "--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .args(["--initial-cluster-token", &format!("{:?}", Instant::now())])
            .args(&self.variant.arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null());
        if let Some(tls) = &self.variant.tls {
            command
                .args(["--client-cert-auth", "--trusted-ca-file"])
                .arg(&tls.ca);
            command.arg("--cert-file").arg(&tls.server.0);
            command.arg("--key-file").arg(&tls.server.1);
        }
        self.child = Some(command.spawn().unwrap());
    }

    async fn until_ready(&self) {
        let client = self.client();
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = client.get("ready").await {
            // A server that wants a login is ready.
            if error.message().contains("user name") {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "etcd does not answer: {error:?}\n{}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        self.child.take().unwrap().wait().unwrap();
    }

    /// Makes it stand still, with its connections open.
    pub fn freeze(&self) {
        self.signal("-STOP");
        // The signal reaches the threads one after the other.
        let deadline = Instant::now() + PATIENCE;
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "etcd does not stop");
            std::thread::yield_now();
        }
    }

    fn stands_still(&self) -> bool {
        let id = self.child.as_ref().unwrap().id();
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Removes its data; it must not run.
    pub fn wipe(&mut self) {
        assert!(self.child.is_none(), "it runs");
        std::fs::remove_dir_all(self.data()).unwrap();
    }

    /// Remembers the data that it has; it must not run.
    pub fn save(&mut self) {
        assert!(self.child.is_none(), "it runs");
        copy_folder(&self.data(), &self.folder.path().join("saved"));
    }

    /// Puts what [`Etcd::save`] remembered in the place of its data; it must not run.
    pub fn restore(&mut self) {
        self.wipe();
        copy_folder(&self.folder.path().join("saved"), &self.data());
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it tells of itself for Prometheus.
    pub async fn metrics(&self) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.address())
            .await
            .unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Runs `etcdctl` as `user` ("name:password", or empty) and expects success. What it printed.
    pub fn etcdctl(&self, user: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("etcdctl");
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url()]);
        if !user.is_empty() {
            command.args(["--user", user]);
        }
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes the user `root` with the password `secret`, and the demand for a login.
    pub fn enable_auth(&self) {
        self.etcdctl("", &["user", "add", "root:secret"]);
        self.etcdctl("", &["user", "grant-role", "root", "root"]);
        self.etcdctl("", &["auth", "enable"]);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success(), "cp {from:?} {to:?}");
}

fn free_ports() -> [u16; 2] {
    [(); 2].map(|()| ports::free_port().port())
}
