//! Mutated inspect documents and configurations.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use fuzz::Target;
use registrator_core::evaluate::fence::Fence;
use registrator_core::observe::allowed::Allowed;
use registrator_core::observe::config::{self, Config, ConfigError, ConfigSource, RawConfig};
use registrator_core::observe::container::Container;
use registrator_core::observe::document::{Document, Part};
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::{Attribute, PolicyName, PolicySpec, Schema, Type};
use registrator_core::observe::watch::SourceEvent;
use registrator_core::reconciler::{Command, Event, Reconciler, Settings};
use serde_json::{Map, Value as Json, json};
use std::time::Instant;

#[test]
fn fuzz_documents() {
    let target = Target {
        corpus: "corpus/documents",
        words: &[
            b"\"Id\"",
            b"\"Name\"",
            b"State",
            b"Running",
            b"Status",
            b"Health",
            b"Log",
            b"FailingStreak",
            b"ExecIDs",
            b"NetworkSettings",
            b"Networks",
            b"Ports",
            b"bridge",
            b"IPAddress",
            b"HostConfig",
            b"NetworkMode",
            b"container:1",
            b"\\ud800",
            b"\\u0000",
            b"{}",
            b"null",
            b",",
            b":",
        ],
        inputs: 2_000,
    };
    let owner =
        json!({"Id": "9", "NetworkSettings": {"Networks": {"x": {}}, "Ports": {"1/tcp": null}}});
    let owner = Container::from_inspect(owner).unwrap();
    target.run(|input| {
        // The adapter takes what is no text for an empty one.
        let text = String::from_utf8(input.to_vec()).unwrap_or_default();
        let tree: Option<Json> = serde_json::from_str(&text).ok();
        let document = Document::parse(text.clone());
        assert_eq!(
            document.as_ref().map(|document| tree_of(document.root())),
            tree,
            "both read the same"
        );
        match Container::from_text(text) {
            Ok(container) => check_container(&container, &owner),
            Err(error) => error.to_string(),
        }
    });
}

fn tree_of(part: Part<'_>) -> Json {
    if part.is_object() {
        let members = part
            .members()
            .map(|(name, member)| (name.to_owned(), tree_of(member)));
        return Json::Object(members.collect());
    }
    if part.text().starts_with('[') {
        return Json::Array(part.items().map(tree_of).collect());
    }
    match part.as_str() {
        Some(text) => Json::from(text),
        None => serde_json::from_str(part.text()).unwrap(),
    }
}

/// What follows in the store of containers.
fn check_container(container: &Container, owner: &Container) -> String {
    let text = container.text();
    let again = Container::from_text(text.clone()).unwrap();
    assert_eq!((&again, again.text()), (container, text), "it is read back");
    let stopping = container.asked_to_stop();
    assert_eq!(stopping.asked_to_stop().text(), stopping.text());
    let sharing = container.in_network_of(owner);
    for changed in [&stopping, &sharing] {
        assert!(
            serde_json::from_str::<Json>(&changed.text())
                .unwrap()
                .is_object()
        );
        assert_eq!(
            (changed.id(), changed.name(), changed.running()),
            (container.id(), container.name(), container.running())
        );
    }
    format!(
        "{} {} {} {} {}",
        container.running(),
        stopping.stopping(),
        container.network_of().is_some(),
        sharing == *container,
        container.name() == container.id().short(),
    )
}

#[test]
fn fuzz_configurations() {
    let target = Target {
        corpus: "corpus/configurations",
        words: &[
            b"network",
            b"domain",
            b"ttl",
            b"names",
            b"limits",
            b"any",
            b"on",
            b":service",
            b"/:",
            b"/",
            b"{",
            b"}",
            b",",
            b"\"",
            b"null",
            b"[]",
            b"\n",
            b"\\\"",
            b"\\u006eetwork",
        ],
        inputs: 6_000,
    };
    target.run(|input| {
        let mut lines = input.splitn(3, |byte| *byte == b'\n');
        let mut line = || lines.next().unwrap_or_default();
        let (path, key, bytes) = (line(), line(), line());
        let path = EtcdPath::parse(&String::from_utf8_lossy(path));
        let source = match String::from_utf8(key.to_vec()) {
            Ok(key) if key != "-" => ConfigSource::Etcd(key),
            _ => ConfigSource::File("web.json".into()),
        };
        match path {
            Ok(path) => check_configuration(path, source, bytes),
            Err(error) => error.to_string(),
        }
    });
}

/// `None` if a placeholder has the name of an attribute, which no policy can declare.
fn schema(etcd_path: EtcdPath) -> Option<Schema> {
    let attribute = |(name, kind, default): (&str, Type, Option<Json>)| Attribute {
        name: name.into(),
        kind,
        allowed: Allowed::default(),
        default,
        doc: None,
    };
    let attributes = [
        ("domain", Type::Str, Some(json!("skydns.local"))),
        ("network", Type::Str, None),
        (
            "ttl",
            Type::Union(vec![Type::Int, Type::None]),
            Some(Json::Null),
        ),
        ("names", Type::List(Box::new(Type::Str)), Some(json!([]))),
        ("limits", Type::Dict(Box::new(Type::Float)), Some(json!({}))),
        ("on", Type::Bool, Some(json!(false))),
        ("any", Type::Any, Some(Json::Null)),
    ];
    let attributes: Vec<Attribute> = attributes.map(attribute).into();
    let is_free = |name: &str| attributes.iter().all(|attribute| attribute.name != name);
    let is_sound = etcd_path.placeholders().all(is_free);
    is_sound.then_some(Schema {
        attributes,
        etcd_path: Some(etcd_path),
        ignores_unknown: false,
    })
}

fn check_configuration(path: EtcdPath, source: ConfigSource, bytes: &[u8]) -> String {
    let name = match &source {
        ConfigSource::Etcd(key) => {
            let name = path.config_name(key);
            assert!(name.is_none() || key.starts_with(&path.prefix()), "{key:?}");
            let values = path.matches(key).unwrap_or_default();
            assert!(
                values
                    .values()
                    .all(|value| !value.is_empty() && !value.contains('/'))
            );
            let Some(name) = name else {
                return "no configuration's key".into();
            };
            Some(name)
        }
        ConfigSource::File(_) => Some("web".into()),
    };
    let Some(schema) = schema(path) else {
        return "a name twice".into();
    };
    let raw = RawConfig {
        policy: PolicyName::parse("p").unwrap(),
        name,
        source,
        bytes: bytes.to_vec(),
    };
    let found = config::check(&schema, &raw);
    check_reconciler(&schema, &raw, found.is_ok() && raw.name_fault().is_none());
    match found {
        Ok(config) => check_good(&schema, raw, &config),
        Err(faults) => check_faults(&faults, bytes),
    }
}

fn check_good(schema: &Schema, raw: RawConfig, config: &Config) -> String {
    let names = config.members().keys().take(schema.attributes.len());
    assert!(names.eq(schema.attributes.iter().map(|attribute| &attribute.name)));
    let members: Map<String, Json> = serde_json::from_str(config.text()).unwrap();
    assert_eq!(&members, config.members());
    let given = members.into_iter().take(schema.attributes.len());
    let given = given.filter(|(name, _)| !config.defaulted().contains(name));
    let bytes = Json::Object(given.collect()).to_string().into_bytes();
    let again = config::check(schema, &RawConfig { bytes, ..raw });
    assert_eq!(again.as_ref(), Ok(config), "it is read back");
    format!("{:?}", config.defaulted().len())
}

fn check_faults(faults: &[ConfigError], bytes: &[u8]) -> String {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(!faults.is_empty());
    let within = |fault: &ConfigError| fault.line.is_none_or(|line| (1..=lines).contains(&line));
    assert!(faults.iter().all(within), "{faults:?} in {lines} lines");
    faults
        .iter()
        .map(|fault| fault.to_string() + "\n")
        .collect()
}

/// The configuration runs or is a problem, and takes nothing along.
fn check_reconciler(schema: &Schema, raw: &RawConfig, is_good: bool) {
    let fence = Fence {
        allowed: Vec::new(),
        reserved: "/registrator/".into(),
    };
    let mut reconciler = Reconciler::new(Settings::with_fence(fence));
    let policy = PolicySpec {
        name: raw.policy.clone(),
        fingerprint: 1,
        validates: false,
        schema: Some(schema.clone()),
    };
    let config = match raw.source {
        ConfigSource::File(_) => Event::ConfigFile(SourceEvent::Apply(raw.clone())),
        ConfigSource::Etcd(_) => {
            Event::ConfigNode(raw.policy.clone(), SourceEvent::Apply(raw.clone()))
        }
    };
    let container = json!({"Id": "123456789012", "State": {"Running": true}});
    let events = [
        Event::Policies {
            loaded: vec![policy],
            failed: Vec::new(),
        },
        config,
        Event::Container(SourceEvent::Apply(
            Container::from_inspect(container).unwrap(),
        )),
    ];
    let now = Instant::now();
    for event in events {
        reconciler.handle(event, now);
    }
    let commands: Vec<Command> = std::iter::from_fn(|| reconciler.next_command()).collect();
    let evaluations = commands
        .iter()
        .filter(|it| matches!(it, Command::Evaluate { .. }));
    let problems: Vec<String> = reconciler.problems().map(|it| format!("{it:?}")).collect();
    assert_eq!(evaluations.count(), usize::from(is_good), "{problems:?}");
    assert_eq!(problems.is_empty(), is_good, "{problems:?}");
}
