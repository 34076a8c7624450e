//! A container: the immutable result of one `docker inspect`.

use crate::observe::document::{Document, Part};
use crate::observe::packed::Packed;
use serde_json::Value as Json;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// The engine's id of a container, 64 hexadecimal digits on a real engine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// The id with this text.
    pub fn new(text: &str) -> ContainerId {
        ContainerId(text.into())
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 characters, as `docker ps` shows them.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
struct Inspected {
    id: ContainerId,
    name: Arc<str>,
    running: bool,
    stopping: bool,
    network_of: Option<Box<str>>,
    document: Packed,
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
        let document = Document::parse(text).ok_or(ContainerError("it is not JSON"))?;
        match with_addresses(&document).and_then(Document::parse) {
            Some(filled_in) => Container::of(&filled_in),
            None => Container::of(&document),
        }
    }

    /// Makes a container of an inspect document that was read already, out of the list that `docker inspect` prints.
    ///
    /// # Errors
    /// It is not an object or has no `Id`.
    pub fn from_inspect(json: Json) -> Result<Container, ContainerError> {
        Container::from_text(json.to_string())
    }

    fn of(document: &Document) -> Result<Container, ContainerError> {
        if !document.root().is_object() {
            return Err(ContainerError("it is not an object"));
        }
        let text = |path: &[&str]| document.at(path).and_then(Part::as_str);
        let id = text(&["Id"]).filter(|id| !id.is_empty());
        let id = ContainerId::new(id.ok_or(ContainerError("it has no Id"))?);
        let name = text(&["Name"]).and_then(|name| name.rsplit('/').next());
        let name = name.filter(|name| !name.is_empty());
        let running = document.at(&["State", "Running"]).and_then(Part::as_bool);
        let mode = text(&["HostConfig", "NetworkMode"]);
        let network_of = mode.and_then(|mode| mode.strip_prefix("container:"));
        Ok(Container(Arc::new(Inspected {
            name: name.unwrap_or(id.short()).into(),
            id,
            running: running.unwrap_or(false),
            stopping: text(&STATUS) == Some("stopping"),
            network_of: network_of.filter(|other| !other.is_empty()).map(Box::from),
            document: Packed::new(document.text()),
            digest: digest(document),
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

    /// Whether its process runs (`State.Running`; a paused container runs). The one gate for registration: after an unclean
    /// end of the engine an exited container keeps its address.
    pub fn running(&self) -> bool {
        self.0.running
    }

    /// Whether its process was asked to stop, see [`Container::asked_to_stop`].
    pub fn stopping(&self) -> bool {
        self.0.stopping
    }

    /// The container in whose network this one is, by id or name: `--network container:X`. It has none of its own then.
    pub fn network_of(&self) -> Option<&str> {
        self.0.network_of.as_deref()
    }

    /// The inspect document, byte for byte but for what is filled in.
    pub fn text(&self) -> String {
        self.0.document.text()
    }

    /// The inspect document. It is read anew each time, which takes about as long as a simple policy.
    pub fn document(&self) -> Document {
        // It was read before.
        Document::parse(self.text()).unwrap_or_default()
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

    /// The same container with the networks and the ports of `other`, where it has none of its own.
    pub fn in_network_of(&self, other: &Container) -> Container {
        let theirs = other.document();
        let mut document = self.document();
        for name in SHARED_MEMBERS {
            let theirs = theirs.at(&[SETTINGS, name]);
            let changed = theirs
                .filter(|theirs| !theirs.is_nothing())
                .and_then(|theirs| with_setting(&document, name, theirs.text()));
            if let Some(changed) = changed.and_then(Document::parse) {
                document = changed;
            }
        }
        self.with(Some(document))
    }

    /// The same container with this document, if there is one.
    fn with(&self, document: Option<Document>) -> Container {
        let changed = document.and_then(|document| Container::of(&document).ok());
        changed.unwrap_or_else(|| self.clone())
    }
}

impl PartialEq for Container {
    fn eq(&self, other: &Container) -> bool {
        self.0.digest == other.0.digest
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
mod tests {
    use super::*;
    use serde_json::json;

    fn json_of(container: &Container) -> Json {
        serde_json::from_str(&container.text()).unwrap()
    }

    #[track_caller]
    fn check_equal(a: &Json, b: &Json, expected: bool) {
        let of = |json: &Json| {
            let mut json = json.clone();
            json["Id"] = "a".into();
            Container::from_inspect(json).unwrap()
        };
        assert_eq!(of(a) == of(b), expected, "{a} {b}");
    }

    #[test]
    fn noise_and_news() {
        let document = |health, streak, execs: Json, ip| {
            json!({"ExecIDs": execs, "NetworkSettings": {"IPAddress": ip},
                   "State": {"Running": true, "Health": {"Status": health, "FailingStreak": streak, "Log": [streak]}}})
        };
        let base = document("healthy", 0, json!(null), "10.0.0.2");
        check_equal(&base, &base, true);
        let noise = document("healthy", 1, json!(["e"]), "10.0.0.2");
        check_equal(&base, &noise, true);
        let news = document("unhealthy", 0, json!(null), "10.0.0.2");
        check_equal(&base, &news, false);
        let news = document("healthy", 0, json!(null), "10.0.0.3");
        check_equal(&base, &news, false);
    }

    #[test]
    fn the_noisy_names_matter_elsewhere() {
        check_equal(&json!({"Log": 1}), &json!({"Log": 2}), false);
        let log = |value| json!({"State": {"Log": value}});
        check_equal(&log(1), &log(2), false);
        let execs = |value| json!({"Config": {"ExecIDs": value}});
        check_equal(&execs(1), &execs(2), false);
    }

    #[test]
    fn members_that_come_and_go_matter() {
        let log = json!({"State": {"Health": {"Log": []}}});
        check_equal(&json!({"State": {}}), &log, false);
        check_equal(&json!({"a": 1}), &json!({"b": 1}), false);
        check_equal(&json!({"a": [1]}), &json!({"a": {"a": 1}}), false);
    }

    #[test]
    fn the_document_stays_as_it_was_written() {
        let text = "{\"Id\":\"1\", \"b\" :1.50,\"a\":\"\\u003c\" }\n";
        let container = Container::from_text(text.to_owned()).unwrap();
        assert_eq!(container.text(), text);
        assert_eq!(container.document().text(), text);
    }

    #[test]
    fn reads_id_name_and_state() {
        let json = json!({"Id": "0123456789abcdef", "Name": "/web", "State": {"Running": true}});
        let web = Container::from_inspect(json).unwrap();
        assert_eq!(
            (web.id().short(), web.name(), web.running()),
            ("0123456789ab", "web", true)
        );
    }

    #[test]
    fn addresses_that_newer_engines_leave_out_are_filled_in() {
        let check = |settings: Json, expected: Json| {
            let json = json!({"Id": "1", "NetworkSettings": settings});
            let container = Container::from_inspect(json).unwrap();
            let found = json_of(&container)["NetworkSettings"]["IPAddress"].take();
            assert_eq!(found, expected);
        };
        let bridge = json!({"bridge": {"IPAddress": "172.17.0.2"}});
        check(json!({"Networks": bridge}), json!("172.17.0.2"));
        check(json!({"Networks": bridge, "IPAddress": ""}), json!(""));
        check(
            json!({"Networks": {"front": {"IPAddress": "172.19.0.2"}}}),
            Json::Null,
        );
        check(json!({"Networks": null}), Json::Null);
        check(Json::Null, Json::Null);
    }

    #[test]
    fn a_linked_name_is_its_last_component_and_a_missing_one_the_id() {
        for (name, expected) in [("/a/b", "b"), ("", "0123456789ab"), ("/", "0123456789ab")] {
            let json = json!({"Id": "0123456789abcdef", "Name": name});
            assert_eq!(Container::from_inspect(json).unwrap().name(), expected);
        }
    }

    #[test]
    fn one_that_was_asked_to_stop_differs_in_its_status_alone() {
        let document = |status| json!({"Id": "1", "State": {"Running": true, "Status": status}});
        let container = Container::from_inspect(document("running")).unwrap();
        let stopping = container.asked_to_stop();
        assert!(stopping.running());
        assert_eq!(json_of(&stopping), document("stopping"));
        let stateless = Container::from_inspect(json!({"Id": "1"})).unwrap();
        assert_eq!(stateless.asked_to_stop(), stateless);
    }

    #[test]
    fn networks_and_ports_are_filled_in_where_they_are_empty() {
        let of = |settings: Json| {
            let json = json!({"Id": "1", "NetworkSettings": settings, "Config": {"Labels": {}}});
            Container::from_inspect(json).unwrap()
        };
        let theirs = of(
            json!({"Networks": {"front": {"IPAddress": "10.0.0.2"}}, "Ports": {"80/tcp": null}, "SandboxID": "s"}),
        );
        let check = |own: Json, expected: Json| {
            assert_eq!(of(own).in_network_of(&theirs), of(expected));
        };
        let (networks, ports) = (
            json!({"front": {"IPAddress": "10.0.0.2"}}),
            json!({"80/tcp": null}),
        );
        let filled = json!({"Networks": networks, "Ports": ports, "SandboxID": ""});
        check(
            json!({"Networks": {}, "Ports": {}, "SandboxID": ""}),
            filled,
        );
        let filled = json!({"Networks": networks, "Ports": ports});
        check(json!({"Networks": null, "Ports": null}), filled.clone());
        check(json!({}), filled);
        let own = json!({"Networks": {"back": {}}, "Ports": {"1/udp": null}});
        check(own.clone(), own);
        let nothing = of(json!({"Networks": {}, "Ports": null}));
        assert_eq!(
            of(json!({"Networks": {}})).in_network_of(&nothing),
            of(json!({"Networks": {}}))
        );
        let strange = Container::from_inspect(json!({"Id": "1", "NetworkSettings": 1})).unwrap();
        assert_eq!(strange.in_network_of(&theirs), strange);
        let bare = Container::from_inspect(json!({"Id": "1"})).unwrap();
        let expected = json!({"Networks": networks, "Ports": ports});
        let filled = json_of(&bare.in_network_of(&theirs));
        assert_eq!(filled["NetworkSettings"], expected);
    }

    #[test]
    fn whose_network_it_is_in() {
        for (mode, expected) in [
            (json!("container:4f1c"), Some("4f1c")),
            (json!("container:"), None),
            (json!("bridge"), None),
            (json!(1), None),
        ] {
            let json = json!({"Id": "1", "HostConfig": {"NetworkMode": mode}});
            assert_eq!(
                Container::from_inspect(json).unwrap().network_of(),
                expected
            );
        }
        let bare = Container::from_inspect(json!({"Id": "1"})).unwrap();
        assert_eq!(bare.network_of(), None);
    }

    #[test]
    fn refuses_what_is_not_an_inspect_document() {
        let error = |json| Container::from_inspect(json).unwrap_err().to_string();
        assert_eq!(
            error(json!([])),
            "not a container's inspect document: it is not an object"
        );
        assert_eq!(
            error(json!({"Id": ""})),
            "not a container's inspect document: it has no Id"
        );
        let broken = Container::from_text("{".to_owned()).unwrap_err();
        assert_eq!(
            broken.to_string(),
            "not a container's inspect document: it is not JSON"
        );
    }
}
