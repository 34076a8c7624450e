//! Docker's event stream: concatenated JSON objects in a body that does not end, and which of them matter.

use std::fmt::Write as _;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use registrator_core::observe::container::ContainerId;
use registrator_core::observe::document::{Document, Part};
use serde::de::{Error as _, IgnoredAny};
use serde_json::Value as Json;

use super::error::Error;
use super::id::parse_id;
use super::signal;

/// The longest event that is read whole, in bytes. An event carries the container's labels and little else; of a longer one its beginning
/// is read, which says what happened to which container.
const MAX_EVENT: usize = 1 << 20;

/// An event as most are, in bytes. A longer one is not looked at before it is complete: with each piece of it that would take longer.
const SHORT_EVENT: usize = 1 << 10;

/// The events that can change what an inspect says. The daemon sends no others: health probes alone make three `exec_*` events
/// each. It compares by prefix, so `health_status` stands for `health_status: healthy`. `died` and `remove` are podman's words.
/// `kill` changes no inspect either, but tells that a container is asked to stop.
const ACTIONS: [&str; 18] = [
    "create",
    "start",
    "restart",
    "kill",
    "die",
    "died",
    "stop",
    "oom",
    "pause",
    "unpause",
    "rename",
    "update",
    "health_status",
    "destroy",
    "remove",
    "connect",
    "disconnect",
    "init",
];

/// What an event says about a container. Never what the container is: that says inspect alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It may have changed.
    Changed(ContainerId),
    /// Its health is now this; podman repeats it with every probe.
    Health(ContainerId, String),
    /// This signal was sent to it; `docker stop` sends its stop signal first.
    Signalled(ContainerId, u8),
    /// Its process has ended, at this time in nanoseconds since 1970, as far as the engine tells.
    Ended(ContainerId, Option<u64>),
    /// A new process was started in it.
    Started(ContainerId),
    /// It is gone for good: ids are never used again.
    Gone(ContainerId),
}

/// An open event stream.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    splitter: Splitter,
}

impl EventStream {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            splitter: Splitter::default(),
        }
    }

    /// The path and query of the request.
    pub(super) fn path() -> String {
        let filters = serde_json::json!({"type": ["container", "network"], "event": ACTIONS});
        format!("/events?filters={}", percent_encoded(&filters.to_string()))
    }

    /// The next hint; waits as long as it takes. It can be cancelled without losing anything.
    ///
    /// # Errors
    /// Any error, the clean end included, means that events may be lost from now on: list again.
    pub async fn next(&mut self) -> Result<Hint, Error> {
        loop {
            while let Some(event) = self.splitter.pop()? {
                if let Some(hint) = hint(&event) {
                    return Ok(hint);
                }
            }
            match self.body.frame().await {
                None => return Err(Error::EventsEnded),
                Some(Err(source)) => return Err(Error::broke_off("events", source)),
                Some(Ok(frame)) => self
                    .splitter
                    .push(frame.data_ref().map_or(&[], |data| data)),
            }
        }
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                encoded.push(char::from(byte))
            }
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
        encoded
    })
}

/// Cuts bytes into JSON objects, however they are chunked.
#[derive(Debug)]
struct Splitter {
    /// The most bytes that are kept of an event.
    longest: usize,
    bytes: Vec<u8>,
    /// How many of the bytes were already given out.
    done: usize,
    /// How many were looked at.
    scanned: usize,
    nesting: Nesting,
    /// What an event that is too long says at its beginning. Its bytes are thrown away.
    too_long: Option<Document>,
}

/// Where in an object a byte is.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Nesting {
    fn take(&mut self, byte: u8) {
        if self.in_text {
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

impl Default for Splitter {
    fn default() -> Self {
        Self::with_events_of(MAX_EVENT)
    }
}

impl Splitter {
    /// Reads events that are no longer than this whole.
    fn with_events_of(longest: usize) -> Self {
        Self {
            longest,
            bytes: Vec::new(),
            done: 0,
            scanned: 0,
            nesting: Nesting::default(),
            too_long: None,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.forget(self.done);
        self.bytes.extend_from_slice(bytes);
    }

    fn pop(&mut self) -> Result<Option<Document>, Error> {
        while let Some(byte) = self.bytes.get(self.scanned).copied() {
            self.scanned += 1;
            let was_outside = self.nesting.depth == 0;
            self.nesting.take(byte);
            if self.nesting.depth > 0 {
                continue;
            }
            if !was_outside {
                return self.event().map(Some);
            }
            if byte.is_ascii_whitespace() {
                self.done = self.scanned;
            } else {
                return self.event().map(Some);
            }
        }
        self.may_be_an_event()?;
        if self.too_long.is_none() && self.scanned - self.done > self.longest {
            self.too_long = Some(self.beginning()?);
        }
        if self.too_long.is_some() {
            self.forget(self.scanned);
        }
        Ok(None)
    }

    /// Nonsense is noticed before it ends, as far as it is short. To the parser half a number is nonsense, and not an early end, so
    /// what may make it half is left out.
    fn may_be_an_event(&self) -> Result<(), Error> {
        let bytes = self.bytes.get(self.done..).unwrap_or_default();
        let goes_on = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let end = bytes.iter().rposition(|byte| !goes_on(byte));
        let bytes = bytes.get(..=end.unwrap_or(0)).unwrap_or_default();
        if self.too_long.is_some() || bytes.is_empty() || bytes.len() > SHORT_EVENT {
            return Ok(());
        }
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            Err(error) if !error.is_eof() => Err(Error::not_as_documented("events", error)),
            _ => Ok(()),
        }
    }

    /// What was scanned last is an event, or nonsense.
    fn event(&mut self) -> Result<Document, Error> {
        let bytes = self.bytes.get(self.done..self.scanned);
        self.done = self.scanned;
        if let Some(event) = self.too_long.take() {
            return Ok(event);
        }
        read(bytes.unwrap_or_default()).map_err(|source| Error::not_as_documented("events", source))
    }

    /// An event that is too long, without its attributes: they make it so long, and stand at its end.
    fn beginning(&self) -> Result<Document, Error> {
        const ATTRIBUTES: &[u8] = b"\"Attributes\":";
        let too_long = || Error::too_long("events", self.longest);
        let bytes = self.bytes.get(self.done..).unwrap_or_default();
        let mut windows = bytes.windows(ATTRIBUTES.len());
        let end = windows.position(|window| window == ATTRIBUTES);
        let beginning = end.and_then(|end| bytes.get(..end)).ok_or_else(too_long)?;
        let whole = [beginning, ATTRIBUTES, b"{}}}"].concat();
        read(&whole).map_err(|_| too_long())
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
        self.scanned -= count;
        self.done = 0;
    }
}

/// An event has the container's labels, of which none is needed: they are not taken out of the text.
fn read(bytes: &[u8]) -> Result<Document, serde_json::Error> {
    let text = String::from_utf8(bytes.to_vec()).ok();
    text.and_then(Document::parse).ok_or_else(|| {
        // Where a text is no JSON, and why, shows when all of it is read.
        let error = serde_json::from_slice::<Json>(bytes).err();
        error.unwrap_or_else(|| serde_json::Error::custom("this program cannot read it"))
    })
}

/// What an event means to us; `None` for what changes no container.
///
/// Only `Type`, `Action` and `Actor` are read: API 1.52 dropped `status`, `id` and `from`.
fn hint(event: &Document) -> Option<Hint> {
    let text = |path: &[&str]| event.at(path).and_then(Part::as_str);
    let attribute = |name: &str| text(&["Actor", "Attributes", name]);
    let id = || text(&["Actor", "ID"]);
    let action = text(&["Action"])?;
    match text(&["Type"])? {
        "container" => {
            let time = || event.at(&["timeNano"]).and_then(Part::as_u64);
            container_hint(parse_id(id()?)?, action, time, attribute)
        }
        // For Podman the container itself is the actor.
        "network" if matches!(action, "connect" | "disconnect") => Some(Hint::Changed(parse_id(
            attribute("container").or_else(id)?,
        )?)),
        _ => None,
    }
}

fn container_hint<'a>(
    id: ContainerId,
    action: &str,
    time: impl FnOnce() -> Option<u64>,
    attribute: impl Fn(&str) -> Option<&'a str>,
) -> Option<Hint> {
    let (action, detail) = action.split_once(": ").unwrap_or((action, ""));
    match action {
        "health_status" => {
            let status = if detail.is_empty() {
                attribute("health_status").unwrap_or_default()
            } else {
                detail
            };
            Some(Hint::Health(id, status.to_owned()))
        }
        "kill" => Some(Hint::Signalled(id, signal::number(attribute("signal")?)?)),
        "die" | "died" => Some(Hint::Ended(id, time())),
        "start" | "restart" => Some(Hint::Started(id)),
        "destroy" | "remove" => Some(Hint::Gone(id)),
        _ => ACTIONS.contains(&action).then_some(Hint::Changed(id)),
    }
}

#[cfg(test)]
mod tests;
