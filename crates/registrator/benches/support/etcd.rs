//! A private etcd for a bench, that of the tests without `async`; and what it is asked.

#[path = "../../tests/support/etcd.rs"]
mod server;

use etcd_api::KeyValue;
use server::{Client, Listing};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use tokio::runtime::Runtime;
use tonic::Status;

/// A running etcd. Ends when it is dropped.
pub(crate) struct Etcd {
    server: server::Etcd,
    client: Client,
    runtime: Runtime,
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
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        let (server, client) = runtime.block_on(async {
            let server = server::Etcd::start(&program).await;
            let client = server.client();
            (server, client)
        });
        Some(Etcd {
            server,
            client,
            runtime,
        })
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.server.id().expect("it runs")
    }

    /// Ends it at once, as a power failure would.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again with the data that it had, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.runtime.block_on(self.server.restart());
    }

    /// What there is below a prefix.
    pub(crate) fn below(&self, prefix: &str) -> Vec<KeyValue> {
        self.list(prefix).kvs
    }

    /// How many keys there are below a prefix.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let count = self.answer(self.client.count(prefix));
        usize::try_from(count).unwrap_or_default()
    }

    /// One key.
    pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
        self.answer(self.client.get(key))
    }

    /// Writes a key.
    pub(crate) fn put(&self, key: &str, value: &str) {
        self.answer(self.client.put(key, value));
    }

    /// Deletes a key.
    pub(crate) fn delete(&self, key: &str) {
        self.answer(self.client.delete(key));
    }

    /// Its revision now.
    pub(crate) fn revision(&self) -> i64 {
        self.list("revision").revision
    }

    /// Forgets all history.
    pub(crate) fn compact(&self) {
        self.answer(self.client.compact(self.revision()));
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> usize {
        self.answer(self.client.leases())
    }

    fn list(&self, prefix: &str) -> Listing {
        self.answer(self.client.range_prefix(prefix))
    }

    fn answer<T>(&self, call: impl Future<Output = Result<T, Status>>) -> T {
        self.runtime.block_on(call).expect("etcd answers")
    }

    /// One of its own counters, by the beginning of its line.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics();
        let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let value = lines.find_map(|rest| rest.trim().parse().ok());
        value.unwrap_or(f64::NAN)
    }

    fn metrics(&self) -> String {
        let address = self.server.address();
        let mut stream = TcpStream::connect(&address).expect("etcd listens");
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

fn counted(line: &str) -> Option<(String, u64)> {
    let labels = line.strip_prefix("grpc_server_msg_received_total{")?;
    let (labels, count) = labels.split_once("} ")?;
    let method = labels.split("grpc_method=\"").nth(1)?.split('"').next()?;
    Some((method.to_owned(), count.trim().parse().ok()?))
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("ETCD").map(PathBuf::from);
    named.or_else(|| server::in_path("etcd"))
}
