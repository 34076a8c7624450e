//! A simulated Docker Engine on a Unix socket: ping, version, info, list, inspect and events.
//!
//! A thread for each connection, and answers that are ready before they are asked for, so that it is not what is measured.

use crate::documents::{self, Container, Templates};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// The engine, until it is dropped.
pub(crate) struct Engine {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    listening: Option<Listening>,
}

/// What is there only while the engine runs.
struct Listening {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Shared {
    templates: Templates,
    /// Stands at the beginning of each inspect document.
    padding: String,
    state: Mutex<State>,
}

struct State {
    /// Its own id.
    id: String,
    containers: BTreeMap<usize, Container>,
    /// The number of the next container.
    next: usize,
    /// The answers to inspects without the padding, by the id.
    inspects: HashMap<String, Arc<str>>,
    /// Who hears of events, with the number of the connection.
    listeners: Vec<(usize, UnixStream)>,
    /// All connections, by number.
    connections: HashMap<usize, UnixStream>,
    accepted: usize,
    /// How many inspects were asked for.
    asked: usize,
}

impl Engine {
    /// Starts one with so many containers that run.
    pub(crate) fn start(running: usize) -> Engine {
        Engine::start_with("FLEET", 0..running, String::new())
    }

    /// Starts one with this id and these containers, which run. `padding` is what all inspect documents begin with: members, each with
    /// a comma after it.
    pub(crate) fn start_with(id: &str, running: std::ops::Range<usize>, padding: String) -> Engine {
        Engine::start_templates(id, running, padding, Templates::new())
    }

    /// The same, whose containers are like these.
    pub(crate) fn start_templates(
        id: &str,
        running: std::ops::Range<usize>,
        padding: String,
        templates: Templates,
    ) -> Engine {
        let state = State {
            id: id.to_owned(),
            containers: BTreeMap::new(),
            next: running.start,
            inspects: HashMap::new(),
            listeners: Vec::new(),
            connections: HashMap::new(),
            accepted: 0,
            asked: 0,
        };
        let shared = Arc::new(Shared {
            templates,
            padding,
            state: Mutex::new(state),
        });
        for number in running {
            shared.set(Container::new(number, true));
        }
        let mut engine = Engine {
            folder: tempfile::tempdir().expect("a folder"),
            shared,
            listening: None,
        };
        engine.listen();
        engine
    }

    /// Listens, if it does not yet.
    pub(crate) fn listen(&mut self) {
        if self.listening.is_some() {
            return;
        }
        let listener = UnixListener::bind(self.socket()).expect("a socket");
        let ended = Arc::new(AtomicBool::new(false));
        let (theirs, end) = (Arc::clone(&self.shared), Arc::clone(&ended));
        let thread = std::thread::spawn(move || accept(&listener, &theirs, &end));
        self.listening = Some(Listening { ended, thread });
    }

    /// Ends as a daemon does that is killed. Its containers stay as they are.
    pub(crate) fn kill(&mut self) {
        let Some(listening) = self.listening.take() else {
            return;
        };
        listening.ended.store(true, Ordering::SeqCst);
        // The thread that accepts connections looks then.
        _ = UnixStream::connect(self.socket());
        _ = listening.thread.join();
        _ = std::fs::remove_file(self.socket());
        self.hang_up();
    }

    /// Breaks off all connections.
    pub(crate) fn hang_up(&self) {
        let mut state = self.shared.state();
        state.listeners.clear();
        for (_, connection) in state.connections.drain() {
            _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Breaks off the streams of events.
    pub(crate) fn cut(&self) {
        for (_, listener) in self.shared.state().listeners.drain(..) {
            _ = listener.shutdown(Shutdown::Both);
        }
    }

    /// Breaks off the connections that wait for the next question.
    pub(crate) fn cut_idle(&self) {
        let state = self.shared.state();
        let listens = |number: usize| state.listeners.iter().any(|(its, _)| *its == number);
        let idle = state.connections.iter();
        for (_, connection) in idle.filter(|(number, _)| !listens(**number)) {
            _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// From now on it says that this is its id.
    pub(crate) fn call(&self, id: &str) {
        self.shared.state().id = id.to_owned();
    }

    /// How many inspects it was asked for.
    pub(crate) fn inspects(&self) -> usize {
        self.shared.state().asked
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
        self.shared.state().containers[&number].clone()
    }

    /// All containers as they are now.
    pub(crate) fn containers(&self) -> Vec<Container> {
        self.shared.state().containers.values().cloned().collect()
    }

    /// Makes so many more containers, which do not run yet, and tells of them: the number of the first one.
    pub(crate) fn create(&self, count: usize) -> usize {
        let first = self.shared.state().next;
        for number in first..first + count {
            let container = Container::new(number, false);
            let created = documents::event(&container, "create");
            self.shared.set(container);
            self.shared.tell(&[created]);
        }
        first
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

    /// A container that does not run is removed.
    pub(crate) fn remove(&self, number: usize) -> SystemTime {
        let container = self.container(number);
        let removed = documents::event(&container, "destroy");
        let mut state = self.shared.state();
        state.inspects.remove(&container.id());
        state.containers.remove(&number);
        drop(state);
        self.shared.tell(&[removed])
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

    /// A container leaves its network and joins it again, with another address.
    pub(crate) fn reconnect(&self, number: usize, net: u8) -> SystemTime {
        let container = Container {
            net,
            ..self.container(number)
        };
        let events =
            ["disconnect", "connect"].map(|what| documents::network_event(&container, what));
        self.shared.set(container);
        self.shared.tell(&events)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the container is so.
    fn set(&self, container: Container) {
        let document = self.templates.inspect(&container);
        let mut state = self.state();
        state.inspects.insert(container.id(), document.into());
        state.next = state.next.max(container.number + 1);
        state.containers.insert(container.number, container);
    }

    /// Sends events to everybody who listens: when.
    fn tell(&self, events: &[String]) -> SystemTime {
        let chunks: Vec<String> = events.iter().map(|event| chunk(event)).collect();
        let mut state = self.state();
        let at = SystemTime::now();
        for chunk in chunks {
            let hears = |(_, listener): &mut (usize, UnixStream)| {
                listener.write_all(chunk.as_bytes()).is_ok()
            };
            state.listeners.retain_mut(hears);
        }
        at
    }

    fn list(&self) -> String {
        let containers = self.state().containers.clone();
        let summaries = containers.values();
        let summaries = summaries.map(|container| self.templates.summary(container));
        let summaries: Vec<String> = summaries.collect();
        format!("[{}]", summaries.join(","))
    }

    /// Writes the answer; the events have no end, and are written by whoever makes them. What a client asks to be left out is not left
    /// out.
    fn answer(&self, path: &str, number: usize, stream: &mut UnixStream) -> std::io::Result<()> {
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        let body: &str = match path {
            "/_ping" => "OK",
            "/version" => r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#,
            "/info" => {
                let id = self.state().id.clone();
                let info = format!(r#"{{"ID":"{id}","Name":"fleet","ServerVersion":"20.10.24"}}"#);
                return stream.write_all(&good(&info));
            }
            "/containers/json" => return stream.write_all(&good(&self.list())),
            "/events" => return self.listen(number, stream),
            _ => {
                let id = path.strip_prefix("/containers/");
                let id = id.and_then(|rest| rest.strip_suffix("/json"));
                let mut state = self.state();
                state.asked += 1;
                let known = id.and_then(|id| state.inspects.get(id).cloned());
                drop(state);
                let Some(document) = known else {
                    return stream.write_all(&not_found());
                };
                return write_padded(&self.padding, &document, stream);
            }
        };
        stream.write_all(&good(body))
    }

    fn listen(&self, number: usize, stream: &mut UnixStream) -> std::io::Result<()> {
        let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        let mut state = self.state();
        stream.write_all(head.as_bytes())?;
        state.listeners.push((number, stream.try_clone()?));
        Ok(())
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n";

fn good(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{HEAD}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// An answer with a document that has the padding after its first brace, in chunks as an engine writes what is long.
fn write_padded(padding: &str, document: &str, stream: &mut UnixStream) -> std::io::Result<()> {
    if padding.is_empty() {
        return stream.write_all(&good(document));
    }
    let (first, rest) = document.split_at(1);
    stream.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
    for part in [first, padding, rest, ""] {
        stream.write_all(chunk(part).as_bytes())?;
    }
    Ok(())
}

fn not_found() -> Vec<u8> {
    let body = r#"{"message":"No such container: this one"}"#;
    let length = body.len();
    format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>, ended: &AtomicBool) {
    for connection in listener.incoming() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else {
            return;
        };
        let Ok(second) = connection.try_clone() else {
            return;
        };
        let shared = Arc::clone(shared);
        let mut state = shared.state();
        state.accepted += 1;
        let number = state.accepted;
        state.connections.insert(number, second);
        drop(state);
        std::thread::spawn(move || {
            serve(connection, number, &shared);
            shared.state().connections.remove(&number);
        });
    }
}

/// Answers requests until the client goes away.
fn serve(connection: UnixStream, number: usize, shared: &Shared) {
    let mut connection = BufReader::new(connection);
    while let Some(path) = read_request(&mut connection) {
        let stream = connection.get_mut();
        if shared.answer(&path, number, stream).is_err() {
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
