//! The lines between the registrator and the host script: JSON objects, one per line.

use crate::settings::Settings;
use registrator_core::observe::config::Config;
use registrator_core::observe::container::Container;
use serde_json::{Value as Json, json};
use std::path::Path;

/// The host script, which runs in the interpreter before the policy.
const HOST: &str = concat!(
    include_str!("host/start.rb"),
    include_str!("host/model.rb"),
    include_str!("host/container.rb"),
    include_str!("host/policy.rb"),
    include_str!("host/nodes.rb"),
    include_str!("host/object.rb"),
    include_str!("host/faults.rb"),
    include_str!("host/log.rb"),
    include_str!("host/main.rb"),
);

/// The host script and the policy, to be sent once.
pub(super) fn hello(path: &Path, name: &str, text: &[u8], settings: &Settings) -> Vec<u8> {
    let header = json!({
        "name": name,
        "path": path.display().to_string(),
        "bytes": text.len(),
        "seconds": settings.limits.time.as_secs_f64(),
        "memory": settings.limits.process_bytes,
        "parent": std::process::id(),
    });
    let mut bytes = format!("{}\n{HOST}{header}\n", HOST.len()).into_bytes();
    bytes.extend_from_slice(text);
    bytes
}

/// A request to evaluate, or only to look at a configuration. All that it is about is sent each time, because an evaluation
/// may change what is nested in it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) id: u64,
    /// Look at the configuration, evaluate nothing.
    pub(super) only_check: bool,
    pub(super) config: Option<&'a Config>,
    pub(super) container: &'a Container,
}

impl Request<'_> {
    /// The documents are written without copying them. Line breaks are between their members only, where they say nothing.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = format!("{{\"id\":{},\"check\":{}", self.id, self.only_check);
        if let Some(config) = self.config {
            line += &format!(
                ",\"config\":{{\"members\":{},\"defaulted\":{}}}",
                config.text(),
                Json::from(config.defaulted())
            );
        }
        let document = self.container.text().replace(['\n', '\r'], " ");
        line += &format!(",\"json\":{document}}}\n");
        line.into_bytes()
    }
}

/// What a policy says of itself.
#[derive(Debug)]
pub(super) struct Hello {
    /// The version of Ruby.
    pub(super) ruby: String,
    /// The files in its folder that it loaded.
    pub(super) files: Vec<String>,
    /// The configuration that it declares, or null.
    pub(super) schema: Json,
    /// Whether it has code that looks at configurations.
    pub(super) validates: bool,
}

/// An exception in the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// `raised`, `type`, `time`, `memory`, `depth`, `exit`, `processes`, `threads`.
    pub(super) kind: String,
    /// The exception's class.
    pub(super) class: String,
    /// Its message.
    pub(super) message: String,
    /// Where it happened, the innermost first: path, line, method.
    pub(super) places: Vec<Place>,
    /// The interpreter is not what it was.
    pub(super) spoilt: bool,
}

/// A line of a policy or of a file that it loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) method: String,
}

/// One answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: u64,
    pub(super) result: Result<Json, Fault>,
}

impl Reply {
    /// Reads a line; `None` if it is no answer.
    pub(super) fn parse(line: &[u8]) -> Option<Reply> {
        let mut answer: Json = serde_json::from_slice(line).ok()?;
        let id = answer.get("id")?.as_u64()?;
        let result = match answer.get("error") {
            Some(error) => Err(fault(error)?),
            None => Ok(answer.take()),
        };
        Some(Reply { id, result })
    }
}

impl Hello {
    /// Reads what an answer to a hello says.
    pub(super) fn parse(mut answer: Json) -> Option<Hello> {
        let files = answer.get("files")?.as_array()?;
        let files = files.iter().filter_map(Json::as_str).map(str::to_owned);
        Some(Hello {
            ruby: answer.get("ruby")?.as_str()?.to_owned(),
            files: files.collect(),
            validates: answer.get("validates")?.as_bool()?,
            schema: answer.get_mut("schema")?.take(),
        })
    }
}

/// An object of an answer. The keys go on from its name.
#[derive(Debug)]
pub(super) struct SentObject<'a> {
    pub(super) name: &'a str,
    pub(super) conflict: &'a str,
    pub(super) nodes: Vec<(&'a str, &'a str)>,
    pub(super) members: Vec<(&'a str, &'a str)>,
    pub(super) uses: Vec<&'a str>,
}

/// The objects of an answer.
pub(super) fn objects(answer: &Json) -> Option<Vec<SentObject<'_>>> {
    let objects = answer.get("objects")?.as_array()?.iter();
    let object = |object| {
        let uses = Json::get(object, "uses")?.as_array()?.iter();
        Some(SentObject {
            name: object.get("name")?.as_str()?,
            conflict: object.get("conflict")?.as_str()?,
            nodes: pairs(object, "nodes")?,
            members: pairs(object, "members")?,
            uses: uses.map(Json::as_str).collect::<Option<_>>()?,
        })
    };
    objects.map(object).collect()
}

/// The pairs of keys and values of an answer or object.
pub(super) fn pairs<'a>(answer: &'a Json, member: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let pairs = answer.get(member)?.as_array()?;
    let pair = |pair: &'a Json| match pair.as_array()?.as_slice() {
        [key, value] => Some((key.as_str()?, value.as_str()?)),
        _ => None,
    };
    pairs.iter().map(pair).collect()
}

fn fault(error: &Json) -> Option<Fault> {
    let text = |name: &str| Some(error.get(name)?.as_str()?.to_owned());
    let places = error.get("places")?.as_array()?;
    let place = |place: &Json| {
        Some(Place {
            path: place.get(0)?.as_str()?.to_owned(),
            line: usize::try_from(place.get(1)?.as_u64()?).ok()?,
            method: place.get(2)?.as_str()?.to_owned(),
        })
    };
    Some(Fault {
        kind: text("kind")?,
        class: text("class")?,
        message: text("message")?,
        places: places.iter().filter_map(place).collect(),
        spoilt: error.get("spoilt").and_then(Json::as_bool) == Some(true),
    })
}
