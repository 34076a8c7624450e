//! A simulated Docker Engine on a Unix socket: ping, version, info, list, inspect and events.
//!
//! A thread for each connection, and answers that are ready before they are asked for, so that it is not what is measured.

use crate::documents::{self, Container, Templates};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The engine, until it is dropped.
pub(crate) struct Engine {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    ended: Arc<AtomicBool>,
}

struct Shared {
    templates: Templates,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    containers: Vec<Container>,
    /// The answers to inspects, by the id.
    inspects: HashMap<String, Arc<[u8]>>,
    /// Who hears of events.
    listeners: Vec<UnixStream>,
}

impl Engine {
    /// Starts one with so many containers that run.
    pub(crate) fn start(running: usize) -> Engine {
        let shared = Arc::new(Shared {
            templates: Templates::new(),
            state: Mutex::default(),
        });
        for number in 0..running {
            shared.set(container(number, true));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket");
        let ended = Arc::new(AtomicBool::new(false));
        let (theirs, end) = (Arc::clone(&shared), Arc::clone(&ended));
        std::thread::spawn(move || accept(&listener, &theirs, &end));
        Engine {
            folder,
            shared,
            ended,
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The same, as the program wants it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A container as it is now.
    pub(crate) fn container(&self, number: usize) -> Container {
        self.shared.state().containers[number].clone()
    }

    /// Makes so many more containers, which do not run yet, and tells of them.
    pub(crate) fn create(&self, count: usize) {
        let first = self.shared.state().containers.len();
        for number in first..first + count {
            let container = container(number, false);
            let created = documents::event(&container, "create");
            self.shared.set(container);
            self.shared.tell(&[created]);
        }
    }

    /// Starts a container, and tells of it as a real engine does: when.
    pub(crate) fn start_container(&self, number: usize) -> SystemTime {
        let container = Container {
            running: true,
            ..self.container(number)
        };
        let connected = documents::network_event(&container, "connect");
        let started = documents::event(&container, "start");
        self.shared.set(container);
        self.shared.tell(&[connected, started])
    }

    /// A container's process ends: when.
    pub(crate) fn end_container(&self, number: usize) -> SystemTime {
        let container = Container {
            running: false,
            ..self.container(number)
        };
        let died = documents::event(&container, "die");
        let disconnected = documents::network_event(&container, "disconnect");
        self.shared.set(container);
        self.shared.tell(&[died, disconnected])
    }

    /// A container gets another name: when.
    pub(crate) fn rename(&self, number: usize, name: &str) -> SystemTime {
        let container = Container {
            name: name.to_owned(),
            ..self.container(number)
        };
        let renamed = documents::event(&container, "rename");
        self.shared.set(container);
        self.shared.tell(&[renamed])
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // The thread that accepts connections looks then.
        _ = UnixStream::connect(self.socket());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the container is so.
    fn set(&self, container: Container) {
        let answer = answer("", &self.templates.inspect(&container));
        let mut state = self.state();
        state.inspects.insert(container.id(), answer.into());
        if let Some(known) = state.containers.get_mut(container.number) {
            *known = container;
        } else {
            state.containers.push(container);
        }
    }

    /// Sends events to everybody who listens: when.
    fn tell(&self, events: &[String]) -> SystemTime {
        let chunks: Vec<String> = events.iter().map(|event| chunk(event)).collect();
        let mut state = self.state();
        let at = SystemTime::now();
        for chunk in chunks {
            let hears = |listener: &mut UnixStream| listener.write_all(chunk.as_bytes()).is_ok();
            state.listeners.retain_mut(hears);
        }
        at
    }

    fn list(&self) -> Vec<u8> {
        let containers = self.state().containers.clone();
        let summaries = containers.iter();
        let summaries = summaries.map(|container| self.templates.summary(container));
        let summaries: Vec<String> = summaries.collect();
        answer("", &format!("[{}]", summaries.join(",")))
    }
}

fn container(number: usize, running: bool) -> Container {
    Container {
        number,
        name: format!("web-{number}"),
        running,
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn answer(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>, ended: &AtomicBool) {
    for connection in listener.incoming() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(connection), shared) = (connection, Arc::clone(shared)) else {
            return;
        };
        std::thread::spawn(move || serve(connection, &shared));
    }
}

/// Answers requests until the client goes away.
fn serve(connection: UnixStream, shared: &Shared) {
    let mut connection = BufReader::new(connection);
    while let Some(path) = read_request(&mut connection) {
        let stream = connection.get_mut();
        let written = match answer_to(&path, shared) {
            Some(answer) => stream.write_all(&answer),
            None => listen(stream, shared),
        };
        if written.is_err() {
            return;
        }
    }
}

fn read_request(connection: &mut impl BufRead) -> Option<String> {
    let (mut first, mut line) = (String::new(), String::new());
    connection.read_line(&mut first).ok()?;
    while connection.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1)?;
    let call = path.strip_prefix("/v1.").and_then(|rest| rest.find('/'));
    let start = call.map_or(0, |at| at + "/v1.".len());
    path.get(start..).map(str::to_owned)
}

/// `None` for the events, which have no end.
fn answer_to(path: &str, shared: &Shared) -> Option<Arc<[u8]>> {
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let body = match path {
        "/_ping" => "OK",
        "/version" => r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#,
        "/info" => r#"{"ID":"FLEET","Name":"fleet","ServerVersion":"20.10.24"}"#,
        "/containers/json" => return Some(shared.list().into()),
        "/events" => return None,
        _ => {
            let id = path.strip_prefix("/containers/");
            let id = id.and_then(|rest| rest.strip_suffix("/json"));
            let known = id.and_then(|id| shared.state().inspects.get(id).cloned());
            return Some(known.unwrap_or_else(|| not_found().into()));
        }
    };
    Some(answer("", body).into())
}

fn not_found() -> Vec<u8> {
    let body = r#"{"message":"No such container: this one"}"#;
    let length = body.len();
    format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// The events that follow are written by whoever makes them. What a client asks to be left out is not left out.
fn listen(stream: &mut UnixStream, shared: &Shared) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut state = shared.state();
    stream.write_all(head.as_bytes())?;
    state.listeners.push(stream.try_clone()?);
    Ok(())
}
