//! The least that any client does: hears of an event, inspects, and puts one key.

use crate::docker::Connection;
use crate::engine::Engine;
use crate::process;
use etcd_api::kv_client::KvClient;
use etcd_api::lease_client::LeaseClient;
use etcd_api::{DeleteRangeRequest, LeaseGrantRequest, PutRequest};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// Below it are its keys.
pub(crate) const NODES: &str = "/floor/";

/// The bare client. It ends with its etcd, or with the bench.
pub(crate) struct Floor {
    /// Its thread, as Linux shows it.
    thread: PathBuf,
}

impl Floor {
    /// Begins to listen to an engine.
    pub(crate) fn start(engine: &Engine, etcd: String) -> Floor {
        let (ready, is_ready) = channel();
        let socket = engine.socket();
        std::thread::spawn(move || run(&socket, etcd, &ready));
        let thread = is_ready.recv().expect("it listens");
        Floor { thread }
    }

    /// The CPU time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        process::cpu_of_thread(self.thread.clone())
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
struct Inspect {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "NetworkSettings")]
    settings: Settings,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "IPAddress")]
    address: String,
}

fn run(socket: &Path, etcd: String, ready: &Sender<PathBuf>) {
    let mut keys = HashMap::new();
    let mut inspects = Connection::open(socket);
    let etcd = Keys::connect(etcd);
    let events = Connection::open(socket).lines("/events");
    let thread = std::fs::read_link("/proc/thread-self").expect("Linux tells it");
    _ = ready.send(Path::new("/proc").join(thread));
    for line in events.filter(|line| line.starts_with('{')) {
        let event: Event = serde_json::from_str(&line).expect("an event");
        let id = event.actor.id;
        let done = match (event.kind.as_str(), event.action.as_str()) {
            ("container", "start") => {
                let document = inspects.get(&format!("/containers/{id}/json"));
                let inspect: Inspect = serde_json::from_slice(&document).expect("a document");
                let name = inspect.name.trim_start_matches('/');
                let key = format!("{NODES}{name}/{}", id.get(..12).unwrap_or(&id));
                keys.insert(id, key.clone());
                etcd.put(key, &inspect.settings.address)
            }
            ("container", "die") => etcd.delete(keys.remove(&id).unwrap_or_default()),
            _ => continue,
        };
        if done.is_err() {
            return;
        }
    }
}

/// Its side of etcd: one connection and one lease.
struct Keys {
    runtime: Runtime,
    client: KvClient<Channel>,
    lease: i64,
}

impl Keys {
    fn connect(url: String) -> Keys {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        let (client, lease) = runtime.block_on(async {
            let channel = Channel::from_shared(url).expect("an address");
            let channel = channel.connect().await.expect("etcd answers");
            let request = LeaseGrantRequest {
                ttl: 600,
                ..LeaseGrantRequest::default()
            };
            let mut leases = LeaseClient::new(channel.clone());
            let granted = leases.lease_grant(request).await.expect("a lease");
            (KvClient::new(channel), granted.into_inner().id)
        });
        Keys {
            runtime,
            client,
            lease,
        }
    }

    fn put(&self, key: String, address: &str) -> Result<(), tonic::Status> {
        let request = PutRequest {
            key: key.into(),
            value: format!(r#"{{"host":"{address}","ttl":30}}"#).into(),
            lease: self.lease,
            ..PutRequest::default()
        };
        let mut client = self.client.clone();
        self.runtime.block_on(client.put(request)).map(|_| ())
    }

    fn delete(&self, key: String) -> Result<(), tonic::Status> {
        let request = DeleteRangeRequest {
            key: key.into(),
            ..DeleteRangeRequest::default()
        };
        let mut client = self.client.clone();
        self.runtime
            .block_on(client.delete_range(request))
            .map(|_| ())
    }
}
