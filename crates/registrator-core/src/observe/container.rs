//! A container: the immutable result of one `docker inspect`.

use crate::observe::document::{Document, Part};
use crate::observe::moment::Moment;
use crate::observe::packed::Packable;
use crate::observe::places::{LostPlaces, Places};
use crate::observe::ports;
use serde_json::Value as Json;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// The engine's id of a container, 64 hexadecimal digits on a real engine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The first bytes of the text, which tell ids of real engines apart: what is compared most often is not looked up elsewhere in memory.
    beginning: u64,
    text: Arc<str>,
}

impl ContainerId {
    /// The id with this text.
    pub fn new(text: &str) -> ContainerId {
        let mut beginning = [0; 8];
        for (to, from) in beginning.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        ContainerId {
            beginning: u64::from_be_bytes(beginning),
            text: text.into(),
        }
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first 12 characters, as `docker ps` shows them.
    pub fn short(&self) -> &str {
        self.text.get(..12).unwrap_or(&self.text)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// One container as the engine described it. Cheap to clone.
///
/// Two are equal if nothing but noise tells their documents apart.
#[derive(Clone)]
pub struct Container(Arc<Inspected>);

/// The document, and what the program itself needs of it.
#[derive(Clone)]
struct Inspected {
    id: ContainerId,
    name: Arc<str>,
    running: bool,
    stopping: bool,
    /// It was seen to end after it was inspected.
    ended: bool,
    started: Option<Moment>,
    network_of: Option<Box<str>>,
    has_host_network: bool,
    passed_over: Box<[String]>,
    document: Packable,
    digest: Digest,
}

/// Of a document without its noise. One of the next documents of this container has the same by chance once in 2^128.
type Digest = [u64; 2];

/// Members that change without the container changing: every health probe writes a log entry and counts failures, and is an
/// exec that comes and goes.
const NOISE: [&[&str]; 3] = [
    &["State", "Health", "Log"],
    &["State", "Health", "FailingStreak"],
    &["ExecIDs"],
];

/// Why a document is not the inspect document of a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a container's inspect document: {0}")]
pub struct ContainerError(&'static str);

impl Container {
    /// Makes a container of an inspect document, as `GET /containers/{id}/json` gives it.
    ///
    /// The addresses that `NetworkSettings` itself had until API 1.52 are filled in from the network `bridge`: policies read them.
    ///
    /// # Errors
    /// The text is not JSON, not an object or has no `Id`.
    pub fn from_text(text: String) -> Result<Container, ContainerError> {
        let container = Container::unpacked(text)?;
        container.pack();
        Ok(container)
    }

    /// The same, for somebody who asks for the document soon and sees to it that it is [packed](Container::pack) then: until that it takes
    /// ten times the memory.
    ///
    /// # Errors
    /// The same.
    pub fn unpacked(text: String) -> Result<Container, ContainerError> {
        let document = Document::parse(text).ok_or(ContainerError("it is not JSON"))?;
        match with_addresses(&document).and_then(Document::parse) {
            Some(filled_in) => Container::of(filled_in),
            None => Container::of(document),
        }
    }

    /// Packs the document for those who ask for it seldom.
    pub fn pack(&self) {
        self.0.document.pack();
    }

    /// Makes a container of an inspect document that was read already, out of the list that `docker inspect` prints.
    ///
    /// # Errors
    /// It is not an object or has no `Id`.
    pub fn from_inspect(json: Json) -> Result<Container, ContainerError> {
        Container::from_text(json.to_string())
    }

    fn of(document: Document) -> Result<Container, ContainerError> {
        if !document.root().is_object() {
            return Err(ContainerError("it is not an object"));
        }
        let text = |path: &[&str]| document.at(path).and_then(Part::as_str);
        let id = text(&["Id"]).filter(|id| !id.is_empty());
        let id = ContainerId::new(id.ok_or(ContainerError("it has no Id"))?);
        let name = text(&["Name"]).and_then(|name| name.rsplit('/').next());
        let name = name.filter(|name| !name.is_empty());
        let state = |name| document.at(&["State", name]).and_then(Part::as_bool);
        // The engine says that one runs which waits for its next start after a crash.
        let running = state("Running") == Some(true) && state("Restarting") != Some(true);
        let mode = text(&["HostConfig", "NetworkMode"]);
        let network_of = mode.and_then(|mode| mode.strip_prefix("container:"));
        Ok(Container(Arc::new(Inspected {
            name: name.unwrap_or(id.short()).into(),
            id,
            running,
            stopping: text(&STATUS) == Some("stopping"),
            ended: false,
            started: text(&["State", "StartedAt"]).and_then(Moment::parse),
            has_host_network: mode == Some("host"),
            passed_over: ports::passed_over(&document).into(),
            network_of: network_of.filter(|other| !other.is_empty()).map(Box::from),
            digest: digest(&document),
            document: Packable::new(document),
        })))
    }

    /// The engine's id.
    pub fn id(&self) -> &ContainerId {
        &self.0.id
    }

    /// The name without the leading `/`; the last component of a linked name; the short id if it has none.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether its process runs: `State.Running` without `State.Restarting`, which is a wait for the next start. A paused container
    /// runs. The one gate for registration: after an unclean end of the engine an exited container keeps its address.
    pub fn running(&self) -> bool {
        self.0.running
    }

    /// Whether its process was asked to stop, see [`Container::asked_to_stop`].
    pub fn stopping(&self) -> bool {
        self.0.stopping
    }

    /// Whether it was started later than `other`. What engines do not tell counts as no.
    pub fn started_after(&self, other: &Container) -> bool {
        matches!((self.0.started, other.0.started), (Some(own), Some(other)) if own > other)
    }

    /// Whether its process was started after a moment, in nanoseconds since 1970. What engines do not tell counts as no.
    pub fn started_after_time(&self, nanoseconds: u64) -> bool {
        let time = Moment::of_unix_nanoseconds(nanoseconds);
        matches!((self.0.started, time), (Some(started), Some(time)) if started > time)
    }

    /// Whether it has the host's network, which no restart replaces.
    pub fn has_host_network(&self) -> bool {
        self.0.has_host_network
    }

    /// Where it could be reached `before`, and can be reached no longer. Both documents are read for that.
    pub fn lost_since(&self, before: &Container) -> LostPlaces {
        let now = Places::of(&self.document());
        Places::of(&before.document()).lost(&now)
    }

    /// What its document has among its ports that is none, for people.
    pub fn passed_over(&self) -> &[String] {
        &self.0.passed_over
    }

    /// The container in whose network this one is, by id or name: `--network container:X`. It has none of its own then.
    pub fn network_of(&self) -> Option<&str> {
        self.0.network_of.as_deref()
    }

    /// The inspect document, byte for byte but for what is filled in.
    pub fn text(&self) -> String {
        self.0.document.text()
    }

    /// The inspect document. After it was packed it is read anew each time, which takes about as long as a simple policy.
    pub fn document(&self) -> Arc<Document> {
        self.0.document.document()
    }

    /// Whether both are of one inspect, so that even the noise is the same.
    pub fn is(&self, other: &Container) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same container with the `State.Status` `stopping`. Docker has no such status; who follows its events knows.
    pub fn asked_to_stop(&self) -> Container {
        let document = self.document();
        let changed = document.at(&STATUS).map(|it| it.replaced_by(STOPPING));
        self.with(changed.and_then(Document::parse))
    }

    /// The same container after the end of its process. Its document is that of before: nobody evaluates a container that does not run.
    pub fn ended(&self) -> Container {
        Container(Arc::new(Inspected {
            running: false,
            ended: true,
            ..Inspected::clone(&self.0)
        }))
    }

    /// Whether it was seen to end after it was inspected, see [`Container::ended`].
    pub fn has_ended(&self) -> bool {
        self.0.ended
    }

    /// `State.Status` in its `document`, unless it has ended since.
    pub fn status<'a>(&self, document: &'a Document) -> Option<&'a str> {
        if self.has_ended() {
            return Some("exited");
        }
        document.at(&STATUS).and_then(Part::as_str)
    }

    /// The same container with the networks and the ports of `other`, where it has none of its own. The names there stay with `other`.
    pub fn in_network_of(&self, other: &Container) -> Container {
        let theirs = without_names(&other.document());
        let mut document = self.document();
        for name in SHARED_MEMBERS {
            let theirs = theirs.at(&[SETTINGS, name]);
            let changed = theirs
                .filter(|theirs| !theirs.is_nothing())
                .and_then(|theirs| with_setting(&document, name, theirs.text()));
            if let Some(changed) = changed.and_then(Document::parse) {
                document = Arc::new(changed);
            }
        }
        self.with(Some(Arc::unwrap_or_clone(document)))
    }

    /// The same container with this document, if there is one.
    fn with(&self, document: Option<Document>) -> Container {
        let changed = document.and_then(|document| Container::of(document).ok());
        let Some(changed) = changed else {
            return self.clone();
        };
        changed.pack();
        if self.0.ended {
            changed.ended()
        } else {
            changed
        }
    }
}

impl PartialEq for Container {
    fn eq(&self, other: &Container) -> bool {
        self.0.digest == other.0.digest && self.0.ended == other.0.ended
    }
}

/// Two hashes of what is between the noise.
fn digest(document: &Document) -> Digest {
    let noise = NOISE.iter().filter_map(|path| document.at(path));
    let mut noise: Vec<_> = noise.map(Part::range).collect();
    noise.sort_by_key(|range| range.start);
    let mut hashers = [0, 1].map(|seed| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seed);
        hasher
    });
    let mut from = 0;
    let end = document.text().len();
    for Range { start, end } in noise.into_iter().chain(std::iter::once(end..end)) {
        let text = document.text().get(from..start).unwrap_or_default();
        for hasher in &mut hashers {
            hasher.write(text.as_bytes());
        }
        from = end;
    }
    hashers.map(|hasher| hasher.finish())
}

const STATUS: [&str; 2] = ["State", "Status"];
/// The status of a container that was asked to stop and still runs, as JSON.
const STOPPING: &str = "\"stopping\"";

/// Where a container's own networks and ports are.
const SETTINGS: &str = "NetworkSettings";

/// What containers in one network have in common, in `NetworkSettings`.
const SHARED_MEMBERS: [&str; 2] = ["Networks", "Ports"];

/// What a network calls the container that owns its place there.
const NAMES: [&str; 2] = ["Aliases", "DNSNames"];

/// The document with null for the names that the container has in its networks.
fn without_names(document: &Document) -> Document {
    let networks = document.at(&[SETTINGS, "Networks"]);
    let networks = networks.into_iter().flat_map(Part::members);
    let names = networks.flat_map(|(_, network)| NAMES.map(|name| network.member(name)));
    let mut places: Vec<_> = names.flatten().map(Part::range).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.start));
    let mut text = document.text().to_owned();
    for place in places {
        text.replace_range(place, "null");
    }
    // Null is JSON in every place.
    Document::parse(text).unwrap_or_default()
}

/// The document with a member of `NetworkSettings`, unless that says something already.
fn with_setting(document: &Document, name: &str, json: &str) -> Option<String> {
    let Some(settings) = document.at(&[SETTINGS]) else {
        let settings = format!("\"{SETTINGS}\":{{\"{name}\":{json}}}");
        return Some(document.root().with_members(&settings));
    };
    match settings.member(name) {
        Some(own) => own.is_nothing().then(|| own.replaced_by(json)),
        None if settings.is_object() => Some(settings.with_members(&format!("\"{name}\":{json}"))),
        None => None,
    }
}

/// What `NetworkSettings` repeats of the network `bridge`.
const BRIDGE_MEMBERS: [&str; 8] = [
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "MacAddress",
];

/// The document with the missing ones of [`BRIDGE_MEMBERS`]; `None` if none is missing.
fn with_addresses(document: &Document) -> Option<String> {
    let settings = document.at(&[SETTINGS])?;
    let bridge = settings.member("Networks")?.member("bridge")?;
    let missing = BRIDGE_MEMBERS
        .iter()
        .filter(|name| settings.member(name).is_none())
        .filter_map(|name| Some(format!("\"{name}\":{}", bridge.member(name)?.text())));
    let missing: Vec<String> = missing.collect();
    (!missing.is_empty()).then(|| settings.with_members(&missing.join(",")))
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.name(), self.id())
    }
}

#[cfg(test)]
mod tests;
