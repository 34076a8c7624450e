//! A private etcd for a bench, on free ports of the loopback, with its data in a folder of its own; and what it is asked.

use etcd_api::kv_client::KvClient;
use etcd_api::{KeyValue, PutRequest, RangeRequest};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// How long it may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running etcd. Ends when it is dropped.
pub(crate) struct Etcd {
    child: Child,
    url: String,
    runtime: Runtime,
    client: KvClient<Channel>,
    // The folder goes last.
    _folder: tempfile::TempDir,
}

impl Etcd {
    /// Starts the one that `ETCD` names, or that is in the path. `None`, after a loud line, where there is none.
    pub(crate) fn start() -> Option<Etcd> {
        let Some(program) = program() else {
            eprintln!(
                "SKIPPED: the measurement because there is no etcd in the path, and ETCD names none"
            );
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let [url, peer] = free_addresses();
        let child = spawn(&program, folder.path(), &url, &peer);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        let channel = Channel::from_shared(url.clone()).expect("an address");
        let client = runtime.block_on(async { KvClient::new(channel.connect_lazy()) });
        let etcd = Etcd {
            child,
            url,
            runtime,
            client,
            _folder: folder,
        };
        etcd.wait_until_it_answers();
        Some(etcd)
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.range("ready".into(), Vec::new(), true).is_err() {
            assert!(Instant::now() < deadline, "etcd answers");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What there is below a prefix.
    pub(crate) fn below(&self, prefix: &str) -> Vec<KeyValue> {
        self.answer(prefix, false).0
    }

    /// How many keys there are below a prefix.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        usize::try_from(self.answer(prefix, true).1).unwrap_or_default()
    }

    fn answer(&self, prefix: &str, count_only: bool) -> (Vec<KeyValue>, i64) {
        // The prefixes end with a slash, after which the digit zero comes.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let answer = self.range(prefix.into(), end.into(), count_only);
        answer.expect("etcd answers")
    }

    fn range(
        &self,
        key: Vec<u8>,
        range_end: Vec<u8>,
        count_only: bool,
    ) -> Result<(Vec<KeyValue>, i64), tonic::Status> {
        let request = RangeRequest {
            key,
            range_end,
            count_only,
            ..RangeRequest::default()
        };
        let mut client = self.client.clone().max_decoding_message_size(1 << 28);
        let answer = self.runtime.block_on(client.range(request))?.into_inner();
        Ok((answer.kvs, answer.count))
    }

    /// One key.
    pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
        let answer = self.range(key.into(), Vec::new(), false);
        answer.expect("etcd answers").0.pop()
    }

    /// Writes a key.
    pub(crate) fn put(&self, key: &str, value: &str) {
        let request = PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        };
        let mut client = self.client.clone();
        let answer = self.runtime.block_on(client.put(request));
        answer.expect("etcd takes a key");
    }

    /// Its revision now.
    pub(crate) fn revision(&self) -> i64 {
        let request = RangeRequest {
            key: "revision".into(),
            ..RangeRequest::default()
        };
        let mut client = self.client.clone();
        let answer = self.runtime.block_on(client.range(request));
        let header = answer.expect("etcd answers").into_inner().header;
        header.map_or(0, |header| header.revision)
    }

    /// Its own counters, as it shows them.
    pub(crate) fn metrics(&self) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("etcd listens");
        let head = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("etcd listens");
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).expect("etcd answers");
        metrics
    }

    /// The messages that it was sent, by method.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        self.metrics().lines().filter_map(counted).collect()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn counted(line: &str) -> Option<(String, u64)> {
    let labels = line.strip_prefix("grpc_server_msg_received_total{")?;
    let (labels, count) = labels.split_once("} ")?;
    let method = labels.split("grpc_method=\"").nth(1)?.split('"').next()?;
    Some((method.to_owned(), count.trim().parse().ok()?))
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ETCD") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("etcd"));
    programs.find(|file| file.is_file())
}

fn free_addresses() -> [String; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| format!("http://{}", listener.local_addr().expect("a port")))
}

fn spawn(program: &Path, folder: &Path, url: &str, peer: &str) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("a log file");
    Command::new(program)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--name", "bench", "--listen-client-urls", url])
        .args(["--advertise-client-urls", url, "--listen-peer-urls", peer])
        .args(["--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster", &format!("bench={peer}")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .spawn()
        .expect("etcd starts")
}
