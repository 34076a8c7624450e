//! A container: the immutable result of one `docker inspect`.

use serde_json::Value as Json;
use std::fmt;
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
#[derive(Clone, PartialEq)]
pub struct Container {
    id: ContainerId,
    name: Arc<str>,
    running: bool,
    json: Arc<Json>,
}

/// Why a document is not the inspect document of a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a container's inspect document: {0}")]
pub struct ContainerError(&'static str);

impl Container {
    /// Makes a container of an inspect document, as `GET /containers/{id}/json` and `docker inspect` give it.
    ///
    /// The addresses that `NetworkSettings` itself had until API 1.52 are filled in from the network `bridge`: policies read them.
    ///
    /// # Errors
    /// The document is not an object or has no `Id`.
    pub fn from_inspect(mut json: Json) -> Result<Container, ContainerError> {
        fill_in_addresses(&mut json);
        let object = json
            .as_object()
            .ok_or(ContainerError("it is not an object"))?;
        let id = object
            .get("Id")
            .and_then(Json::as_str)
            .filter(|id| !id.is_empty());
        let id = ContainerId::new(id.ok_or(ContainerError("it has no Id"))?);
        let full_name = object.get("Name").and_then(Json::as_str).unwrap_or("");
        let name = full_name
            .rsplit('/')
            .next()
            .filter(|name| !name.is_empty())
            .unwrap_or(id.short())
            .into();
        let running = json
            .pointer("/State/Running")
            .and_then(Json::as_bool)
            .unwrap_or(false);
        Ok(Container {
            id,
            name,
            running,
            json: Arc::new(json),
        })
    }

    /// The engine's id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The name without the leading `/`; the last component of a linked name; the short id if it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its process runs (`State.Running`; a paused container runs). The one gate for registration: after an unclean
    /// end of the engine an exited container keeps its address.
    pub fn running(&self) -> bool {
        self.running
    }

    /// Whether it was asked to stop and still runs: `State.Status` is `stopping`.
    pub fn stopping(&self) -> bool {
        self.json.pointer(STATUS) == Some(&Json::from(STOPPING))
    }

    /// The same container with the `State.Status` `stopping`. Docker has no such status; who follows its events knows.
    pub fn asked_to_stop(&self) -> Container {
        let mut json = Json::clone(&self.json);
        if let Some(status) = json.pointer_mut(STATUS) {
            *status = STOPPING.into();
        }
        Container {
            json: Arc::new(json),
            ..self.clone()
        }
    }

    /// The container in whose network this one is, by id or name: `--network container:X`. It has none of its own then.
    pub fn network_of(&self) -> Option<&str> {
        let mode = self.json.pointer("/HostConfig/NetworkMode")?.as_str()?;
        mode.strip_prefix("container:")
            .filter(|other| !other.is_empty())
    }

    /// The same container with the networks and the ports of `other`, where it has none of its own.
    pub fn in_network_of(&self, other: &Container) -> Container {
        let mut json = Json::clone(&self.json);
        for name in SHARED_MEMBERS {
            let theirs = other.json.pointer("/NetworkSettings");
            let theirs = theirs.and_then(|settings| settings.get(name));
            if let Some(theirs) = theirs.filter(|theirs| !is_empty(theirs)) {
                fill_in(&mut json, name, theirs);
            }
        }
        Container {
            json: Arc::new(json),
            ..self.clone()
        }
    }

    /// The whole inspect document.
    pub fn json(&self) -> &Arc<Json> {
        &self.json
    }
}

const STATUS: &str = "/State/Status";
const STOPPING: &str = "stopping";

/// What containers in one network have in common, in `NetworkSettings`.
const SHARED_MEMBERS: [&str; 2] = ["Networks", "Ports"];

/// Sets a member of `NetworkSettings` that says nothing.
fn fill_in(json: &mut Json, name: &str, value: &Json) {
    let Some(object) = json.as_object_mut() else {
        return;
    };
    let settings = object
        .entry("NetworkSettings")
        .or_insert_with(|| Json::Object(serde_json::Map::new()));
    if let Some(settings) = settings.as_object_mut()
        && settings.get(name).is_none_or(is_empty)
    {
        settings.insert(name.into(), value.clone());
    }
}

fn is_empty(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::Object(members) => members.is_empty(),
        _ => false,
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

fn fill_in_addresses(json: &mut Json) {
    let Some(bridge) = json.pointer("/NetworkSettings/Networks/bridge").cloned() else {
        return;
    };
    let settings = json
        .get_mut("NetworkSettings")
        .and_then(Json::as_object_mut);
    let Some(settings) = settings else { return };
    for name in BRIDGE_MEMBERS {
        if let (None, Some(value)) = (settings.get(name), bridge.get(name)) {
            settings.insert(name.into(), value.clone());
        }
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.name, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
            let found = container.json().pointer("/NetworkSettings/IPAddress");
            assert_eq!(found.unwrap_or(&Json::Null), &expected);
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
        assert!(!container.stopping() && stopping.stopping() && stopping.running());
        assert_eq!(**stopping.json(), document("stopping"));
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
        assert_eq!(
            bare.in_network_of(&theirs).json()["NetworkSettings"],
            expected
        );
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
    }
}
