//! A way to an etcd that can be cut.

use super::server::{Etcd, ports};
use crate::etcd::endpoint::EtcdEndpoint;

/// A second way to an etcd, which can be cut.
pub struct Relay {
    address: std::net::SocketAddr,
    target: String,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Relay {
    /// Begins to pass connections on to `etcd`.
    pub async fn start(etcd: &Etcd) -> Relay {
        let mut relay = Relay {
            address: ports::free_port(),
            target: etcd.address(),
            task: None,
        };
        relay.resume().await;
        relay
    }

    /// Where clients find it.
    pub fn endpoint(&self) -> EtcdEndpoint {
        EtcdEndpoint::parse(&self.address.to_string()).unwrap()
    }

    /// Breaks all connections and takes no new ones.
    pub fn stop(&mut self) {
        self.task.take().unwrap().abort();
    }

    /// Takes connections again, at the same address.
    pub async fn resume(&mut self) {
        let listener = tokio::net::TcpListener::bind(self.address).await.unwrap();
        self.task = Some(tokio::spawn(pass_on(listener, self.target.clone())));
    }
}

async fn pass_on(listener: tokio::net::TcpListener, target: String) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = tokio::net::TcpStream::connect(&target).await.unwrap();
        connections.spawn(async move {
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
