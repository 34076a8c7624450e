//! A Docker Engine on a Unix socket that has just the containers that it is told: ping, version, info, list, inspect and events.

use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What it has, and who listens.
#[derive(Default)]
struct State {
    id: String,
    containers: BTreeMap<String, Json>,
    /// Those that it cannot inspect.
    unreadable: BTreeSet<String>,
    listeners: Vec<UnixStream>,
    connections: Vec<UnixStream>,
    is_away: bool,
}

/// The engine. Its thread ends with the test.
pub(crate) struct Docker {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Docker {
    /// One with these containers, at a socket in `folder`.
    pub(crate) fn start(folder: &std::path::Path, id: &str, containers: Vec<Json>) -> Docker {
        let path = folder.join(format!("{id}.sock"));
        let listener = UnixListener::bind(&path).unwrap();
        let containers = containers.into_iter();
        let by_id = containers.map(|it| (it["Id"].as_str().unwrap().to_owned(), it));
        let state = Arc::new(Mutex::new(State {
            id: id.to_owned(),
            containers: by_id.collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state) = (stream.unwrap(), Arc::clone(&shared));
                if state.lock().unwrap().takes(&stream) {
                    std::thread::spawn(move || serve(&stream, &state));
                }
            }
        });
        Docker { path, state }
    }

    /// How the registrator reaches it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// A container is there now, or is different.
    pub(crate) fn set(&self, container: &Json, action: &str) {
        let id = container["Id"].as_str().unwrap();
        let mut state = self.state.lock().unwrap();
        state.containers.insert(id.to_owned(), container.clone());
        state.tell(id, action, &json!({}));
    }

    /// Something happened to a container.
    pub(crate) fn tell(&self, container: &Json, action: &str, attributes: &Json) {
        let id = container["Id"].as_str().unwrap();
        self.state.lock().unwrap().tell(id, action, attributes);
    }

    /// A container is there that the engine cannot inspect from now on.
    pub(crate) fn break_inspect(&self, container: &Json) {
        let id = container["Id"].as_str().unwrap().to_owned();
        self.state.lock().unwrap().unreadable.insert(id);
        self.tell(container, "rename", &json!({}));
    }

    /// It ends all connections and takes none, or takes them again.
    pub(crate) fn be_away(&self, is_away: bool) {
        let mut state = self.state.lock().unwrap();
        state.is_away = is_away;
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        state.listeners.clear();
    }
}

impl State {
    /// Whether this connection is taken.
    fn takes(&mut self, stream: &UnixStream) -> bool {
        if !self.is_away {
            self.connections.push(stream.try_clone().unwrap());
        }
        !self.is_away
    }

    fn tell(&mut self, id: &str, action: &str, attributes: &Json) {
        let event = json!({
            "Type": "container", "Action": action, "status": action, "id": id,
            "Actor": {"ID": id, "Attributes": attributes}, "time": 1, "timeNano": 1,
        });
        let line = format!("{event}\n");
        self.listeners
            .retain_mut(|listener| write!(listener, "{:x}\r\n{line}\r\n", line.len()).is_ok());
    }
}

fn serve(stream: &UnixStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(first)) = lines.next() {
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|it| !it.is_empty()))
        {}
        let path = first.split(' ').nth(1).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        // Without the version of the API.
        let rest = path.strip_prefix("/v").and_then(|it| it.split_once('/'));
        let path = rest.map_or(path.to_owned(), |(_, rest)| format!("/{rest}"));
        if answer(stream, state, &path).is_err() {
            return;
        }
    }
}

fn answer(mut stream: &UnixStream, state: &Mutex<State>, path: &str) -> std::io::Result<()> {
    let mut state = state.lock().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let found = match parts.as_slice() {
        ["", "_ping"] => Some(json!("OK")),
        ["", "version"] => {
            Some(json!({"Version": "20.10.0", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}))
        }
        ["", "info"] => Some(json!({"ID": state.id, "Name": "vm-1"})),
        ["", "events"] => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            state.listeners.push(stream.try_clone()?);
            return Ok(());
        }
        ["", "containers", "json"] => {
            let all = state.containers.iter();
            Some(
                all.map(|(id, it)| json!({"Id": id, "Names": [it["Name"]]}))
                    .collect(),
            )
        }
        ["", "containers", id, "json"] if !state.unreadable.contains(*id) => {
            state.containers.get(*id).cloned()
        }
        ["", "containers", id, "json"] if state.containers.contains_key(*id) => {
            return respond(
                stream,
                "500 Internal Server Error",
                &json!({"message": "its files are gone"}),
            );
        }
        _ => None,
    };
    match found {
        Some(found) => respond(stream, "200 OK", &found),
        None => respond(
            stream,
            "404 Not Found",
            &json!({"message": "no such thing"}),
        ),
    }
}

fn respond(mut stream: &UnixStream, status: &str, body: &Json) -> std::io::Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A container as `docker inspect` shows it, whose id begins with this digit.
pub(crate) fn container(digit: char, name: &str, change: &Json) -> Json {
    let id = format!("{digit}f1c2a9b7d3e{}", "0".repeat(52));
    let ip = format!("172.17.0.{}", digit.to_digit(16).unwrap());
    let mut document = json!({
        "Id": id,
        "Name": format!("/{name}"),
        "State": {"Running": true, "Status": "running", "StartedAt": "2026-11-26T08:12:10Z"},
        "Config": {"Hostname": id[..12], "Labels": {}, "Env": [], "Image": "nginx"},
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": ip}}, "Ports": {}},
    });
    merge(&mut document, change);
    document
}

fn merge(into: &mut Json, change: &Json) {
    match (into, change) {
        (Json::Object(into), Json::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name.clone()).or_insert(Json::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
