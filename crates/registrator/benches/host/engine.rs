//! What happens at the Docker daemon, and what it is told to do; without `docker`, which takes longer than what is measured.

use crate::docker::Connection;
use crate::stage::PATIENCE;
use serde_json::Value;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

/// A connection to the daemon at `host`.
pub(crate) fn connect(host: &str) -> Connection {
    Connection::open(Path::new(host.trim_start_matches("unix://")))
}

/// Asks the daemon at `host` to do something.
pub(crate) fn post(host: &str, path: &str) {
    connect(host).post(path);
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
    let lines = connect(host).lines(&format!("/events?filters={filter}"));
    std::thread::spawn(move || {
        for event in lines.filter_map(|line| happening(&line)) {
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
