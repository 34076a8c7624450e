//! What it costs that somebody looks: a page that is open, as `app.js` asks, and a Prometheus.

use crate::event;
use crate::process::{Program, cpu_of_threads, wakings};
use crate::stage::Stage;
use crate::table::head;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const OTHERS: usize = 50;
const REST: Duration = Duration::from_secs(60);
/// As the page: it asks anew for what it shows four times a second at most.
const REFRESH: Duration = Duration::from_millis(250);
/// The default of Prometheus is a minute.
const SCRAPE: Duration = Duration::from_secs(5);

/// Asks until it is dropped.
struct Visitors(Arc<AtomicBool>);

impl Visitors {
    fn come(address: SocketAddr) -> Visitors {
        let gone = Arc::new(AtomicBool::new(false));
        for visit in [page, prometheus] {
            let gone = Arc::clone(&gone);
            std::thread::spawn(move || visit(address, &gone));
        }
        Visitors(gone)
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One request; the stream of its answer.
fn ask(address: SocketAddr, path: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    Some(stream)
}

fn read(address: SocketAddr, path: &str) {
    let mut text = Vec::new();
    if let Some(mut stream) = ask(address, path) {
        _ = stream.read_to_end(&mut text);
    }
}

fn page(address: SocketAddr, gone: &AtomicBool) {
    let Some(events) = ask(address, "/api/v1/events?after=0") else {
        return;
    };
    for line in BufReader::new(events).lines().map_while(Result::ok) {
        if gone.load(Ordering::Relaxed) {
            return;
        }
        if line.starts_with("data:") {
            std::thread::sleep(REFRESH);
            read(address, "/api/v1/status");
            read(address, "/api/v1/nodes?after=&limit=100");
        }
    }
}

fn prometheus(address: SocketAddr, gone: &AtomicBool) {
    while !gone.load(Ordering::Relaxed) {
        read(address, "/metrics");
        std::thread::sleep(SCRAPE);
    }
}

/// Starts of one container and a minute of rest: without the admin side, with it, and with visitors.
pub(crate) fn compared(stage: &mut Stage) {
    head("event -> node in etcd, while somebody looks");
    stage.fill(OTHERS);
    let id = stage.docker.run("one", &[]);
    for (what, listens, visited) in [
        ("nobody can", false, false),
        ("nobody does", true, false),
        ("a page and Prometheus", true, true),
    ] {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let address = address.expect("a port");
        let listen = format!("--admin-listen={address}");
        let program = match listens {
            true => stage.launch_and(&[&listen]),
            false => stage.launch(),
        };
        stage.wait_for_nodes(OTHERS + 1, &program);
        let visitors = visited.then(|| Visitors::come(address));
        event::starts(stage, what);
        rest(&program);
        drop(visitors);
        program.end();
    }
    stage.docker.docker(&["rm", "-f", &id]);
}

fn rest(program: &Program) {
    std::thread::sleep(Duration::from_secs(5));
    let id = program.id();
    let (cpu, before) = (cpu_of_threads(id), wakings(id));
    std::thread::sleep(REST);
    println!(
        "  at rest for {} s: CPU {:.3} s, {} wakings; resident memory {}",
        REST.as_secs(),
        (cpu_of_threads(id) - cpu).as_secs_f64(),
        wakings(id) - before,
        program.status("VmRSS")
    );
}
