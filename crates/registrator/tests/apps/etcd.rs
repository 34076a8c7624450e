//! The etcd between the registrator and those who read: the program's own, etcd-mem by itself, or the installed one.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;

use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::ports::free_port;
use crate::process::{Process, find};

/// What serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// The program's own, which ends with it.
    Embedded,
    /// etcd-mem in this process, which outlives the program.
    Memory,
    /// `etcd` in the path.
    Installed,
}

/// A running etcd; ends when dropped.
pub(crate) struct Etcd {
    address: SocketAddr,
    server: Server,
}

// The values are kept for their ends.
#[allow(dead_code)]
enum Server {
    Program,
    Memory(Memory),
    Installed(Process, TempDir),
}

impl Etcd {
    /// An empty one; `None`, after a loud line, where there is none.
    pub(crate) fn start(kind: Kind) -> Option<Etcd> {
        match kind {
            Kind::Embedded => Some(Etcd {
                address: free_port(),
                server: Server::Program,
            }),
            Kind::Memory => Some(Etcd::memory(([127, 0, 0, 1], 0).into())),
            Kind::Installed => Etcd::installed(),
        }
    }

    /// etcd-mem, there.
    pub(crate) fn memory(address: SocketAddr) -> Etcd {
        let (address, server) = Memory::start(address);
        Etcd {
            address,
            server: Server::Memory(server),
        }
    }

    fn installed() -> Option<Etcd> {
        let program = find("etcd", "ETCD_BIN", "install etcd-server")?;
        let [address, peer] = [free_port(), free_port()];
        let data = tempfile::tempdir().unwrap();
        let [url, peer] = [address, peer].map(|address| format!("http://{address}"));
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(data.path());
        command
            .args(["--name", "test", "--listen-client-urls", &url])
            .args(["--advertise-client-urls", &url, "--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")]);
        let mut process = Process::start("etcd", &mut command);
        process.until_ready(|| TcpStream::connect(address).is_ok());
        Some(Etcd {
            address,
            server: Server::Installed(process, data),
        })
    }

    /// What the registrator is told.
    pub(crate) fn flag(&self) -> String {
        match self.server {
            Server::Program => format!("--embedded-listen={}", self.address),
            Server::Memory(_) | Server::Installed(..) => {
                format!("--etcd-endpoint=http://{}", self.address)
            }
        }
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

struct Memory {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Memory {
    fn start(address: SocketAddr) -> (SocketAddr, Memory) {
        let listener = std::net::TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(listener, stopped));
        let memory = Memory {
            stop: Some(stop),
            thread: Some(thread),
        };
        (address, memory)
    }
}

fn serve(listener: std::net::TcpListener, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let shutdown = async {
            // A dropped sender means the same.
            let _ = stopped.await;
        };
        etcd_mem::server::serve(listener, shutdown).await.unwrap();
    });
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of its own was printed.
            let _ = thread.join();
        }
    }
}
