//! What the tests of policies share: policies from texts, real inspect documents, configurations.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod ruby;

use registrator_core::evaluate::evaluation::{EvalError, Evaluation};
use registrator_core::node::{Key, Object, OnConflict};
use registrator_core::observe::config::{self, Config, ConfigError, ConfigSource, RawConfig};
use registrator_core::observe::container::Container;
use registrator_policy::{LoadError, Policy, Settings, load};
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The shipped policies in Starlark.
pub const SHIPPED: [&str; 7] = [
    "skydns",
    "skydns2",
    "skydns-srv",
    "services",
    "vulcand",
    "kontena-lb",
    "traefik",
];

/// A folder with policy files.
pub struct Folder(TempDir);

impl Folder {
    /// Writes files, given as path and text.
    pub fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(TempDir::new().unwrap());
        for (path, text) in files {
            let path = folder.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// The text without the folder's random name.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    pub fn load(&self, path: &str, settings: &Settings) -> Result<Box<dyn Policy>, LoadError> {
        load(&self.path(path), settings)
    }
}

/// Loads a policy of one file.
pub fn policy(text: &str) -> Result<Box<dyn Policy>, String> {
    policy_with(text, &Settings::default())
}

/// Loads a policy of one file with settings.
pub fn policy_with(text: &str, settings: &Settings) -> Result<Box<dyn Policy>, String> {
    let folder = Folder::with(&[("p.star", text)]);
    let loaded = folder.load("p.star", settings);
    loaded.map_err(|error| folder.plain(&error.to_string()))
}

/// Settings with an environment.
pub fn settings(env: &[(&str, &str)]) -> Settings {
    let env = env
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Settings {
        env: std::sync::Arc::new(env.collect()),
        ..Settings::default()
    }
}

/// A container as a real engine described it.
pub fn inspect(name: &str) -> Container {
    container_from(Path::new(&format!("tests/inspect/{name}.json")))
}

pub fn container_from(path: &Path) -> Container {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Container::from_inspect(serde_json::from_slice(&bytes).unwrap()).unwrap()
}

/// A container as a real engine described it, with each change merged into the document, as in RFC 7396.
pub fn changed(name: &str, changes: &[Json]) -> Container {
    let text = fs::read_to_string(format!("tests/inspect/{name}.json")).unwrap();
    let mut inspected: Json = serde_json::from_str(&text).unwrap();
    changes
        .iter()
        .for_each(|change| merge(&mut inspected, change));
    Container::from_inspect(inspected).unwrap()
}

fn merge(target: &mut Json, change: &Json) {
    let (Json::Object(members), Json::Object(changes)) = (&mut *target, change) else {
        *target = change.clone();
        return;
    };
    for (name, change) in changes {
        merge(members.entry(name.as_str()).or_insert(Json::Null), change);
    }
}

/// A configuration as a file of this name would give it.
pub fn config(policy: &dyn Policy, text: &str) -> Option<Config> {
    fitting(policy, text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A configuration that the policy has looked at, or what is wrong with it.
pub fn checked(policy: &mut dyn Policy, text: &str) -> Result<Option<Config>, String> {
    let config = fitting(policy, text)?;
    if let Some(config) = &config {
        policy.check(config).map_err(|error| error.to_string())?;
    }
    Ok(config)
}

/// A configuration that fits the schema, or what is wrong with it.
fn fitting(policy: &dyn Policy, text: &str) -> Result<Option<Config>, String> {
    let spec = policy.spec();
    let raw = RawConfig {
        policy: spec.name.clone(),
        name: Some("web".into()),
        source: ConfigSource::File("web.json".into()),
        bytes: text.into(),
    };
    let Some(schema) = &spec.schema else {
        return Ok(None);
    };
    let faults = |faults: Vec<ConfigError>| {
        let faults: Vec<String> = faults.iter().map(ConfigError::to_string).collect();
        faults.join("\n")
    };
    config::check(schema, &raw).map(Some).map_err(faults)
}

/// The error's text without the random folder.
pub fn plain_error(error: &EvalError) -> String {
    let text = error.to_string();
    let marker = "p.star";
    let words = text.split_inclusive([' ', '\n']);
    let plain = |word: &str| match word.find(marker) {
        Some(at) => word[at..].to_owned(),
        None => word.to_owned(),
    };
    format!("{}: {}", error.kind, words.map(plain).collect::<String>())
}

/// Evaluates a policy of one file for the container `web`, with a default configuration.
pub fn evaluate(text: &str) -> Result<Evaluation, String> {
    evaluate_for(text, &inspect("web"))
}

pub fn evaluate_for(text: &str, container: &Container) -> Result<Evaluation, String> {
    let mut policy = policy(text)?;
    let config = config(policy.as_ref(), "{}");
    let result = policy.evaluate(config.as_ref(), container);
    result.map_err(|error| plain_error(&error))
}

/// What a shipped policy makes of a container: nodes as lines of text, or `error: ` and its message.
pub fn shipped(name: &str, env: &[(&str, &str)], given: &Json, container: &Container) -> String {
    shipped_each(name, env, given, [container]).concat()
}

/// The same for several containers.
pub fn shipped_each<'a>(
    name: &str,
    env: &[(&str, &str)],
    given: &Json,
    containers: impl IntoIterator<Item = &'a Container>,
) -> Vec<String> {
    let file = format!("../../etc/policies/{name}.star");
    let mut policy = load(Path::new(&file), &settings(env)).unwrap();
    let given = match checked(policy.as_mut(), &given.to_string()) {
        Ok(given) => given,
        Err(fault) => return vec![format!("error: {fault}\n")],
    };
    let outcome = |container| match policy.evaluate(given.as_ref(), container) {
        Ok(done) => lines(&done),
        Err(error) => {
            let text = error.to_string();
            let message = text.lines().next().unwrap_or_default().split_once(": ");
            format!("error: {}\n", message.map_or("", |(_, message)| message))
        }
    };
    containers.into_iter().map(outcome).collect()
}

/// The nodes as lines of text. An object's nodes follow its name, without that in their keys.
pub fn lines(evaluation: &Evaluation) -> String {
    let nodes = evaluation.nodes.pairs();
    let nodes = nodes.map(|(key, value)| format!("{key} = {value}\n"));
    let objects = evaluation.nodes.objects().map(object_lines);
    nodes.chain(objects).collect()
}

fn object_lines(object: &Object) -> String {
    let name = object.name().as_str();
    let part = |key: &Key| key.as_str().strip_prefix(name).unwrap()[1..].to_owned();
    let fields = object.fields().iter();
    let fields = fields.map(|(key, value)| format!("  {} = {value}\n", part(key)));
    let members = object.members().iter();
    let members = members.map(|(key, value)| format!("  member {} = {value}\n", part(key)));
    let uses = object.uses().iter().map(|used| format!("  uses {used}\n"));
    let conflict = match object.on_conflict() {
        OnConflict::Smallest => "smallest",
        OnConflict::None => "none",
    };
    let head = format!("object {name}, in conflict {conflict}\n");
    [head]
        .into_iter()
        .chain(fields)
        .chain(members)
        .chain(uses)
        .collect()
}

/// Evaluates an expression that may use `c`, the container, and shows its value as a node's.
pub fn expression(text: &str, container: &Container) -> String {
    let policy = format!("def docker_container(c: Container):\n    return {{\"k\": [{text}]}}\n");
    match evaluate_for(&policy, container) {
        Ok(done) => lines(&done)
            .trim()
            .strip_prefix("k = ")
            .unwrap_or("nothing")
            .to_owned(),
        Err(error) => error,
    }
}
