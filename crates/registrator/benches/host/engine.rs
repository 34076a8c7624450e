//! Docker's API, spoken without `docker`, which takes longer than what is measured.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use crate::stage::PATIENCE;

/// Asks the daemon at `host` to do something.
pub(crate) fn post(host: &str, path: &str) {
    let mut stream = request(host, "POST", path);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("Docker answers");
    assert!(answer.starts_with("HTTP/1.1 204"), "{path}: {answer}");
}

fn request(host: &str, method: &str, path: &str) -> UnixStream {
    let socket = host.strip_prefix("unix://").expect("a socket");
    let mut stream = UnixStream::connect(socket).expect("Docker listens");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("Docker listens");
    stream
}

/// What happened to a container, and when, by Docker's own clock.
#[derive(Debug)]
pub(crate) struct Happening {
    pub(crate) action: String,
    pub(crate) name: String,
    pub(crate) at: SystemTime,
}

/// The events of containers from now on.
pub(crate) fn events(host: &str) -> Receiver<Happening> {
    let (sender, events) = channel();
    let filter = "%7B%22type%22%3A%7B%22container%22%3Atrue%7D%7D";
    let mut lines =
        BufReader::new(request(host, "GET", &format!("/events?filters={filter}"))).lines();
    // The head comes when the daemon listens.
    assert!(
        lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| line.contains("200")))
    );
    std::thread::spawn(move || {
        let events = lines
            .map_while(Result::ok)
            .filter_map(|line| happening(&line));
        for event in events {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    events
}

fn happening(line: &str) -> Option<Happening> {
    let event: Value = serde_json::from_str(line).ok()?;
    Some(Happening {
        action: event.get("Action")?.as_str()?.to_owned(),
        name: event
            .pointer("/Actor/Attributes/name")?
            .as_str()?
            .to_owned(),
        at: SystemTime::UNIX_EPOCH + Duration::from_nanos(event.get("timeNano")?.as_u64()?),
    })
}

/// Waits for this to happen; when it did.
pub(crate) fn wait_for(events: &Receiver<Happening>, action: &str, name: &str) -> SystemTime {
    loop {
        let event = events.recv_timeout(PATIENCE).expect("an event");
        if event.action == action && event.name == name {
            return event.at;
        }
    }
}
