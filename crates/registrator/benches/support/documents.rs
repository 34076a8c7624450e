//! The documents of the simulated engine: as long as those of a real one, for containers as people run them.

use serde_json::{Value, json};
use std::time::SystemTime;

/// As a real engine gave it, but without variables and labels.
const INSPECT: &str = include_str!("../../../registrator-policy/tests/inspect/web-published.json");
const ID: &str = "83f4cf8c952c82479f2783c722c876fc9573adb286eabde3ad381700a367685e";
const NETWORK: &str = "9e412472570d0783ed729eb0c289b42f211022f4c67cc86e4a670231288fbc5d";
/// How many variables and labels a container has.
const MEMBERS: usize = 25;

/// What differs between containers.
#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) running: bool,
    /// The first part of its address: another one when it joins its network anew.
    pub(crate) net: u8,
}

impl Container {
    /// One as it is first.
    pub(crate) fn new(number: usize, running: bool) -> Container {
        Container {
            number,
            name: format!("web-{number}"),
            running,
            net: 10,
        }
    }

    /// 64 hexadecimal digits, of which the first twelve are unique too.
    pub(crate) fn id(&self) -> String {
        // The multiplier is odd, so different numbers stay different.
        let mixed = (self.number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{mixed:016x}").repeat(4)
    }

    /// Its address, while it runs.
    pub(crate) fn address(&self) -> String {
        let [.., high, middle, low] = self.number.to_be_bytes();
        if self.running {
            format!("{}.{high}.{middle}.{low}", self.net)
        } else {
            String::new()
        }
    }

    fn status(&self) -> &str {
        if self.running { "running" } else { "exited" }
    }
}

/// The texts in which the containers are filled in.
pub(crate) struct Templates {
    inspect: String,
    summary: String,
}

impl Templates {
    pub(crate) fn new() -> Templates {
        Templates::labelled(&[])
    }

    /// With more labels.
    pub(crate) fn labelled(more: &[(&str, &str)]) -> Templates {
        let mut inspect: Value = serde_json::from_str(INSPECT).expect("a document");
        inspect["Name"] = "/@name@".into();
        inspect["State"]["Status"] = "@status@".into();
        inspect["State"]["Running"] = "@running@".into();
        inspect["Config"]["Env"] = (0..MEMBERS).map(variable).collect();
        inspect["Config"]["Labels"] = labels();
        for (name, value) in more {
            inspect["Config"]["Labels"][*name] = (*value).into();
        }
        inspect["NetworkSettings"]["IPAddress"] = "@address@".into();
        inspect["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] = "@address@".into();
        let ports =
            json!([{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]);
        let summary = json!({
            "Id": ID, "Names": ["/@name@"], "Image": "demo/web:1.2", "ImageID": inspect["Image"], "Command": "sleep 1000000",
            "Created": 1_700_000_000, "Ports": ports, "Labels": labels(), "State": "@status@", "Status": "Up 2 hours",
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {"Networks": inspect["NetworkSettings"]["Networks"]}, "Mounts": [],
        });
        Templates {
            inspect: inspect.to_string(),
            summary: summary.to_string(),
        }
    }

    /// The answer to an inspect.
    pub(crate) fn inspect(&self, container: &Container) -> String {
        fill_in(&self.inspect, container)
    }

    /// The container's part of the list.
    pub(crate) fn summary(&self, container: &Container) -> String {
        fill_in(&self.summary, container)
    }
}

/// How long the answer to an inspect is, in bytes.
pub(crate) fn length() -> usize {
    Templates::new().inspect(&Container::new(0, true)).len()
}

fn fill_in(template: &str, container: &Container) -> String {
    template
        .replace(ID, &container.id())
        .replace("@name@", &container.name)
        .replace("@address@", &container.address())
        .replace("@status@", container.status())
        .replace("\"@running@\"", &container.running.to_string())
}

fn variable(number: usize) -> Value {
    format!("SHOP_SETTING_{number}=some value of usual length {number}").into()
}

fn labels() -> Value {
    let labels = (0..MEMBERS).map(|number| {
        let name = format!("com.example.shop.label-{number}");
        (name, Value::from(format!("what label {number} says")))
    });
    labels.collect()
}

/// What an engine tells of a container, in one line.
pub(crate) fn event(container: &Container, action: &str) -> String {
    let mut attributes = labels();
    attributes["image"] = "demo/web:1.2".into();
    attributes["name"] = container.name.as_str().into();
    let actor = json!({"ID": container.id(), "Attributes": attributes});
    line(json!({
        "status": action, "id": container.id(), "from": "demo/web:1.2",
        "Type": "container", "Action": action, "Actor": actor,
        "scope": "local", "time": now() / 1_000_000_000, "timeNano": now(),
    }))
}

/// What an engine tells of the network that a container joins or leaves.
pub(crate) fn network_event(container: &Container, action: &str) -> String {
    let attributes = json!({"container": container.id(), "name": "bridge", "type": "bridge"});
    let actor = json!({"ID": NETWORK, "Attributes": attributes});
    line(json!({
        "Type": "network", "Action": action, "Actor": actor,
        "scope": "local", "time": now() / 1_000_000_000, "timeNano": now(),
    }))
}

/// In nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

fn line(event: Value) -> String {
    format!("{event}\n")
}
