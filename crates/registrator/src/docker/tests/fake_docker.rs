//! A Docker daemon that does what a test says: ping, info, list, inspect and events over a Unix socket or any stream.
//!
//! Threads and blocking IO, so that it does not depend on the runtime of what it tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

/// How long a test waits for what has to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What to answer instead of the truth.
pub(crate) enum Reply {
    /// A status and a body.
    Status(u16, String),
    /// The head promises more than comes before the connection is cut.
    Cut(String),
    /// Nothing, for ever.
    Hang,
}

type Script = Box<dyn FnMut(&mut World, &str) -> Option<Reply> + Send>;

/// What the daemon knows. Change it through [`FakeDocker::world`].
pub(crate) struct World {
    /// The `Api-Version` of `/_ping`; no header if empty.
    pub(crate) api_version: String,
    /// Inspect documents by id.
    pub(crate) containers: BTreeMap<String, Json>,
    /// Paths of all requests, in order.
    pub(crate) requests: Vec<String>,
    /// Inspects that wait here until it is false.
    pub(crate) hold_inspects: bool,
    /// Inspects under way.
    pub(crate) inspecting: usize,
    /// Inspects whose document was chosen.
    pub(crate) inspected: usize,
    /// The most inspects that were ever under way at once.
    pub(crate) most_inspecting: usize,
    subscribers: Vec<Sender<String>>,
    script: Option<Script>,
    connections: Vec<UnixStream>,
}

/// The running daemon.
pub(crate) struct FakeDocker {
    folder: tempfile::TempDir,
    state: Arc<State>,
    alive: Arc<AtomicBool>,
}

/// What the threads share.
pub(crate) struct State {
    world: Mutex<World>,
    changed: Condvar,
}

/// The id of the container with this number, 64 digits as Docker's are.
pub(crate) fn id(number: usize) -> String {
    format!("{number:012x}{}", "0".repeat(52))
}

/// An inspect document with what the watch looks at.
pub(crate) fn inspect(number: usize, name: &str) -> Json {
    json!({"Id": id(number), "Name": format!("/{name}"), "ExecIDs": null,
           "State": {"Running": true, "Status": "running"},
           "Config": {"Labels": {}, "Env": null},
           "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "10.0.0.2"}}}})
}

/// A container's event as Docker 20.10 sends it, but for `status`, `id` and `from`, which newer ones do not send.
pub(crate) fn event(number: usize, action: &str) -> String {
    let actor = json!({"ID": id(number), "Attributes": {"image": "busybox"}});
    format!(
        "{}\n",
        json!({"Type": "container", "Action": action, "Actor": actor, "time": 1, "timeNano": 1})
    )
}

/// The event of a signal that was sent to a container.
pub(crate) fn kill(number: usize, signal: u8) -> String {
    let attributes = json!({"image": "busybox", "signal": signal.to_string()});
    let actor = json!({"ID": id(number), "Attributes": attributes});
    let event = json!({"Type": "container", "Action": "kill", "Actor": actor, "time": 1});
    format!("{event}\n")
}

impl State {
    /// A daemon without containers that speaks API 1.41.
    pub(crate) fn new() -> Arc<Self> {
        let world = World {
            api_version: "1.41".to_owned(),
            containers: BTreeMap::new(),
            requests: Vec::new(),
            hold_inspects: false,
            inspecting: 0,
            inspected: 0,
            most_inspecting: 0,
            subscribers: Vec::new(),
            script: None,
            connections: Vec::new(),
        };
        Arc::new(Self {
            world: Mutex::new(world),
            changed: Condvar::new(),
        })
    }
}

impl World {
    /// Sends text down all event streams.
    pub(crate) fn send(&mut self, text: &str) {
        self.subscribers
            .retain(|subscriber| subscriber.send(text.to_owned()).is_ok());
    }

    /// How many requests began with this, whatever the API version.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let unversioned = |path: &str| match path.strip_prefix("/v1.") {
            Some(rest) => rest
                .trim_start_matches(|char: char| char.is_ascii_digit())
                .to_owned(),
            None => path.to_owned(),
        };
        self.requests
            .iter()
            .filter(|path| unversioned(path).starts_with(prefix))
            .count()
    }

    /// How many inspects were asked for.
    pub(crate) fn inspects(&self) -> usize {
        self.count("/containers/") - self.count("/containers/json")
    }

    /// Whether an inspect of this container was asked for.
    pub(crate) fn asks_for(&self, number: usize) -> bool {
        self.count(&format!("/containers/{}/json", id(number))) > 0
    }
}

impl FakeDocker {
    /// Starts one with these containers, named by number.
    pub(crate) fn start(containers: usize) -> Self {
        let fake = Self::absent();
        fake.world().containers = (1..=containers)
            .map(|n| (id(n), inspect(n, &format!("c{n}"))))
            .collect();
        fake.listen();
        fake
    }

    /// One that does not listen yet.
    pub(crate) fn absent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            state: State::new(),
            alive: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The world, locked.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.state
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `script` for each request before it is answered.
    pub(crate) fn script(
        &self,
        script: impl FnMut(&mut World, &str) -> Option<Reply> + Send + 'static,
    ) {
        self.world().script = Some(Box::new(script));
    }

    /// Begins to listen.
    pub(crate) fn listen(&self) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        self.alive.store(true, Ordering::SeqCst);
        let (state, alive) = (Arc::clone(&self.state), Arc::clone(&self.alive));
        std::thread::spawn(move || accept(&listener, &state, &alive));
    }

    /// Goes away as a killed daemon does: all connections break, the socket file stays unless `tidy`.
    pub(crate) fn kill(&self, tidy: bool) {
        self.alive.store(false, Ordering::SeqCst);
        drop(UnixStream::connect(self.socket()));
        let mut world = self.world();
        world.subscribers.clear();
        world
            .connections
            .drain(..)
            .for_each(|connection| _ = connection.shutdown(Shutdown::Both));
        if tidy {
            std::fs::remove_file(self.socket()).unwrap();
        }
    }

    /// How many connections were ever made.
    pub(crate) fn connections(&self) -> usize {
        self.world().connections.len()
    }

    /// Ends all event streams, and nothing else.
    pub(crate) fn end_streams(&self) {
        self.world().subscribers.clear();
    }

    /// Sends text down all event streams.
    pub(crate) fn send(&self, text: &str) {
        self.change(|world| world.send(text));
    }

    /// Changes the world, and wakes what waits for it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world());
        self.state.changed.notify_all();
    }

    /// Waits until the world is so.
    pub(crate) fn until(&self, what: &str, is: impl Fn(&World) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut world = self.world();
        while !is(&world) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain until {what}; requests: {:#?}",
                world.requests
            );
            world = self
                .state
                .changed
                .wait_timeout(world, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        if self.alive.load(Ordering::SeqCst) {
            self.kill(false);
        }
        self.state.changed.notify_all();
    }
}

fn accept(listener: &UnixListener, state: &Arc<State>, alive: &AtomicBool) {
    for connection in listener.incoming() {
        if !alive.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(connection), state) = (connection, Arc::clone(state)) else {
            return;
        };
        state
            .world
            .lock()
            .unwrap()
            .connections
            .extend(connection.try_clone());
        std::thread::spawn(move || {
            serve(&connection, &state);
            // Closing alone would not end it: there is a clone for `kill`.
            _ = connection.shutdown(Shutdown::Both);
        });
    }
}

/// Answers requests until the connection ends.
pub(crate) fn serve(connection: impl Read + Write, state: &State) {
    let mut connection = BufReader::new(connection);
    while let Some(path) = read_request(&mut connection) {
        let scripted = {
            let mut world = state.world.lock().unwrap_or_else(PoisonError::into_inner);
            world.requests.push(path.clone());
            let mut script = world.script.take();
            let reply = script.as_mut().and_then(|script| script(&mut world, &path));
            world.script = world.script.take().or(script);
            reply
        };
        state.changed.notify_all();
        let result = match scripted {
            Some(Reply::Hang) => return hang(&mut connection),
            Some(Reply::Cut(body)) => return cut(connection.get_mut(), &body),
            Some(Reply::Status(status, body)) => answer(connection.get_mut(), status, "", &body),
            None => truth(connection.get_mut(), state, &path),
        };
        if result.is_err() {
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
    first
        .strip_prefix("GET ")?
        .split(' ')
        .next()
        .map(str::to_owned)
}

/// The client gives up some time.
fn hang(connection: &mut impl Read) {
    _ = connection.read(&mut [0]);
}

fn cut(connection: &mut impl Write, body: &str) {
    _ = write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len() + 100
    );
    _ = connection.flush();
}

fn answer(
    connection: &mut impl Write,
    status: u16,
    headers: &str,
    body: &str,
) -> std::io::Result<()> {
    write!(
        connection,
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    connection.flush()
}

fn truth(connection: &mut impl Write, state: &State, path: &str) -> std::io::Result<()> {
    if path == "/_ping" {
        let version = state
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .api_version
            .clone();
        let header = if version.is_empty() {
            String::new()
        } else {
            format!("Api-Version: {version}\r\n")
        };
        return answer(connection, 200, &header, "OK");
    }
    let call = path
        .strip_prefix("/v1.")
        .and_then(|rest| rest.split_once('/'))
        .map_or("", |(_, call)| call);
    match call {
        "containers/json?all=1" => {
            let ids = state
                .world
                .lock()
                .unwrap()
                .containers
                .keys()
                .map(|id| json!({"Id": id}))
                .collect::<Vec<_>>();
            answer(connection, 200, "", &json!(ids).to_string())
        }
        "info" => answer(
            connection,
            200,
            "",
            r#"{"ID":"ENGINE","Name":"host","ServerVersion":"20.10.24"}"#,
        ),
        _ if call.starts_with("events?") => events(connection, state),
        _ => match call
            .strip_prefix("containers/")
            .and_then(|rest| rest.strip_suffix("/json"))
        {
            Some(id) => one(connection, state, id),
            None => answer(connection, 404, "", r#"{"message":"page not found"}"#),
        },
    }
}

fn one(connection: &mut impl Write, state: &State, id: &str) -> std::io::Result<()> {
    let mut world = state.world.lock().unwrap_or_else(PoisonError::into_inner);
    world.inspecting += 1;
    world.most_inspecting = world.most_inspecting.max(world.inspecting);
    state.changed.notify_all();
    world = state
        .changed
        .wait_timeout_while(world, DEADLINE, |world| world.hold_inspects)
        .unwrap_or_else(PoisonError::into_inner)
        .0;
    world.inspecting -= 1;
    world.inspected += 1;
    let document = world.containers.get(id).map(Json::to_string);
    drop(world);
    state.changed.notify_all();
    match document {
        Some(document) => answer(connection, 200, "", &document),
        None => answer(
            connection,
            404,
            "",
            &json!({"message": format!("No such container: {id}")}).to_string(),
        ),
    }
}

fn events(connection: &mut impl Write, state: &State) -> std::io::Result<()> {
    let (subscriber, chunks) = mpsc::channel();
    state
        .world
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .subscribers
        .push(subscriber);
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    connection.flush()?;
    state.changed.notify_all();
    for chunk in chunks {
        write!(connection, "{:x}\r\n{chunk}\r\n", chunk.len())?;
        connection.flush()?;
    }
    // As a real daemon does: the end comes without the last chunk, so it is an error to the client.
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

/// Endpoint settings for a socket.
pub(crate) fn host(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}
