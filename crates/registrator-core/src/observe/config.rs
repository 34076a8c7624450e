//! Configurations of policies: as they are found, and as they are after the check against the policy's schema.

use crate::observe::allowed::shown;
use crate::observe::json_lines;
use crate::observe::spec::{Attribute, PolicyName, Schema};
use crate::observe::watch::Keyed;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where a configuration was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigSource {
    /// A file, by its path as people may read it.
    File(String),
    /// A key in etcd.
    Etcd(String),
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigSource::File(path) => f.write_str(path),
            ConfigSource::Etcd(key) => write!(f, "etcd {key}"),
        }
    }
}

/// A configuration as it was found, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawConfig {
    /// The policy that it is for.
    pub policy: PolicyName,
    /// Its name among the policy's configurations; `None` for `:policy.json`, and for a key in etcd that does not match the policy's
    /// path and [resembles](crate::observe::etcd_path::EtcdPath::resembles) it.
    pub name: Option<String>,
    /// Where it was found.
    pub source: ConfigSource,
    /// The bytes found there, which should be a JSON object.
    pub bytes: Vec<u8>,
}

/// The longest name of a configuration, in bytes.
const MAX_NAME: usize = 255;

impl RawConfig {
    /// Why this is no configuration, whatever it holds.
    pub fn name_fault(&self) -> Option<String> {
        let Some(name) = &self.name else {
            let is_key = matches!(self.source, ConfigSource::Etcd(_));
            return is_key.then(|| "its key does not fit".to_owned());
        };
        let wrong = if name.chars().any(is_unfit) {
            "has a character that cannot be seen"
        } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            "is not one: it must not be empty, \".\" or \"..\""
        } else if name.len() > MAX_NAME {
            "is too long"
        } else {
            return None;
        };
        let start: String = name.chars().take(60).collect();
        Some(format!("its name {start:?} {wrong}"))
    }
}

/// Control characters, and those that change how the text around them is shown.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl Keyed for RawConfig {
    type Id = (PolicyName, ConfigSource);

    fn id(&self) -> Self::Id {
        (self.policy.clone(), self.source.clone())
    }
}

/// A configuration that fits its policy's schema. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Config {
    members: Arc<Map<String, Json>>,
    text: Arc<str>,
    defaulted: Arc<[String]>,
}

/// Equal text, equal configuration, if the same members were given: a policy may convert those alone.
impl PartialEq for Config {
    fn eq(&self, other: &Config) -> bool {
        self.text == other.text && self.defaulted == other.defaulted
    }
}

impl Eq for Config {}

impl Config {
    /// All readable attributes: the schema's, in its order, with defaults filled in, then the placeholders of `etcd_path`,
    /// which are strings or null.
    pub fn members(&self) -> &Map<String, Json> {
        &self.members
    }

    /// The members as compact JSON. Equal configurations have equal texts.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The attributes that were not given and have their defaults, in the order of the schema.
    pub fn defaulted(&self) -> &[String] {
        &self.defaulted
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}{}: {message}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ConfigError {
    /// File or key, for people.
    pub source_name: String,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The member, if one is to blame.
    pub member: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

/// Checks a configuration against a schema.
///
/// # Errors
/// Every fault found, in the order of the document: bad JSON, not an object, unknown or repeated members, wrong types and values, then missing members.
pub fn check(schema: &Schema, raw: &RawConfig) -> Result<Config, Vec<ConfigError>> {
    let fault = |line, member: Option<&str>, message| ConfigError {
        source_name: raw.source.to_string(),
        line,
        member: member.map(str::to_owned),
        message,
    };
    let given = parse(&raw.bytes).map_err(|(line, message)| vec![fault(line, None, message)])?;
    let lines = json_lines::member_lines(&String::from_utf8_lossy(&raw.bytes));
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in &lines {
        *times.entry(name).or_default() += 1;
    }
    let mut faults = Vec::new();
    for (name, line) in &lines {
        if let Some(message) = member_fault(schema, &given, name) {
            faults.push(fault(Some(*line), Some(name), message));
        } else if times.get(name.as_str()).is_some_and(|times| *times > 1) {
            faults.push(fault(
                Some(*line),
                Some(name),
                format!("member {name:?} is there more than once"),
            ));
        }
    }
    for attribute in &schema.attributes {
        if attribute.default.is_none() && !given.contains_key(&attribute.name) {
            let message = format!(
                "member {:?} is missing: it must be of type {}",
                attribute.name, attribute.kind
            );
            faults.push(fault(None, Some(&attribute.name), message));
        }
    }
    if faults.is_empty() {
        Ok(complete(schema, raw, given))
    } else {
        Err(faults)
    }
}

/// The members that a schema which [ignores unknown ones](Schema::ignores_unknown) passes over, each in the words of a warning.
pub fn ignored(schema: &Schema, raw: &RawConfig) -> Vec<ConfigError> {
    if !schema.ignores_unknown {
        return Vec::new();
    }
    let lines = json_lines::member_lines(&String::from_utf8_lossy(&raw.bytes));
    let unknown = lines
        .into_iter()
        .filter(|(name, _)| attribute(schema, name).is_none());
    let warning = |(name, line): (String, usize)| ConfigError {
        source_name: raw.source.to_string(),
        line: Some(line),
        message: unknown_member(&schema.attributes, &name),
        member: Some(name),
    };
    unknown.map(warning).collect()
}

/// Checks that a policy whose members all have defaults or are given in code can run with `members` alone; for tests and tools.
pub fn from_members(members: Map<String, Json>) -> Config {
    let text = Json::Object(members.clone()).to_string().into();
    Config {
        members: Arc::new(members),
        text,
        defaulted: Arc::new([]),
    }
}

fn parse(bytes: &[u8]) -> Result<Map<String, Json>, (Option<usize>, String)> {
    match serde_json::from_slice(bytes) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(other) => Err((
            Some(1),
            format!(
                "a configuration must be a JSON object, as in {{\"name\": value}}, not {}",
                kind_of(&other)
            ),
        )),
        Err(error) => Err((Some(error.line().max(1)), format!("bad JSON: {error}"))),
    }
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

fn member_fault(schema: &Schema, given: &Map<String, Json>, name: &str) -> Option<String> {
    let value = given.get(name)?;
    let Some(attribute) = attribute(schema, name) else {
        return (!schema.ignores_unknown).then(|| unknown_member(&schema.attributes, name));
    };
    if attribute.kind.matches(value) {
        let fault = attribute.allowed.fault(value)?;
        return Some(format!("member {name:?} {fault}"));
    }
    Some(format!(
        "member {name:?} must be of type {}, not {}",
        attribute.kind,
        shown(value)
    ))
}

fn attribute<'a>(schema: &'a Schema, name: &str) -> Option<&'a Attribute> {
    schema
        .attributes
        .iter()
        .find(|attribute| attribute.name == name)
}

fn unknown_member(attributes: &[Attribute], name: &str) -> String {
    let known: Vec<&str> = attributes
        .iter()
        .map(|attribute| attribute.name.as_str())
        .collect();
    if known.is_empty() {
        return format!("unknown member {name:?}: the policy's configuration has no members");
    }
    format!(
        "unknown member {name:?}: the policy knows {}",
        known.join(", ")
    )
}

fn complete(schema: &Schema, raw: &RawConfig, mut given: Map<String, Json>) -> Config {
    let (mut members, mut defaulted) = (Map::new(), Vec::new());
    for attribute in &schema.attributes {
        let value = given.remove(&attribute.name);
        if value.is_none() {
            defaulted.push(attribute.name.clone());
        }
        let value = value.or_else(|| attribute.default.clone());
        members.insert(attribute.name.clone(), value.unwrap_or(Json::Null));
    }
    for (name, value) in placeholders(schema, raw) {
        members.insert(name, value.map_or(Json::Null, Json::String));
    }
    Config {
        defaulted: defaulted.into(),
        ..from_members(members)
    }
}

/// In etcd the key says what the placeholders stand for. A file's name stands for the only placeholder; of several, none is known.
fn placeholders(schema: &Schema, raw: &RawConfig) -> BTreeMap<String, Option<String>> {
    let Some(path) = &schema.etcd_path else {
        return BTreeMap::new();
    };
    let found = match &raw.source {
        ConfigSource::Etcd(key) => path.matches(key).unwrap_or_default(),
        ConfigSource::File(_) => BTreeMap::new(),
    };
    let names: Vec<&str> = path.placeholders().collect();
    let file_name = raw.name.clone().filter(|_| names.len() == 1);
    names
        .iter()
        .map(|name| {
            (
                name.to_string(),
                found.get(*name).cloned().or_else(|| file_name.clone()),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::allowed::Allowed;
    use crate::observe::etcd_path::EtcdPath;
    use crate::observe::spec::Type;
    use expect_test::{Expect, expect};

    fn schema() -> Schema {
        let attribute = |name: &str, kind, default| Attribute {
            name: name.into(),
            kind,
            allowed: Allowed {
                max: (name == "ttl").then(|| 300.into()),
                ..Allowed::default()
            },
            default,
            doc: None,
        };
        Schema {
            attributes: vec![
                attribute("domain", Type::Str, Some("skydns.local".into())),
                attribute("network", Type::Str, None),
                attribute(
                    "ttl",
                    Type::Union(vec![Type::Int, Type::None]),
                    Some(Json::Null),
                ),
            ],
            etcd_path: Some(EtcdPath::parse("/services/skydns/:service").unwrap()),
            ignores_unknown: false,
        }
    }

    fn check_text(source: ConfigSource, text: &str, expected: Expect) {
        let raw = RawConfig {
            policy: PolicyName::parse("skydns").unwrap(),
            name: Some("web".into()),
            source,
            bytes: text.into(),
        };
        let found = match check(&schema(), &raw) {
            Ok(config) => config.text().to_owned(),
            Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
        };
        expected.assert_eq(&found);
    }

    fn file() -> ConfigSource {
        ConfigSource::File("skydns/web.json".into())
    }

    #[test]
    fn fills_in_defaults_and_placeholders() {
        let expected =
            expect![[r#"{"domain":"skydns.local","network":"bridge","ttl":30,"service":"web"}"#]];
        check_text(file(), r#"{"ttl": 30, "network": "bridge"}"#, expected);
        let expected =
            expect![[r#"{"domain":"skydns.local","network":"b","ttl":null,"service":"x"}"#]];
        check_text(
            ConfigSource::Etcd("/services/skydns/x".into()),
            r#"{"network": "b"}"#,
            expected,
        );
    }

    #[test]
    fn names_file_line_and_member_of_each_fault() {
        let text = "{\n  \"netwrok\": \"bridge\",\n  \"ttl\": \"30\",\n  \"domain\": 1\n}";
        check_text(
            file(),
            text,
            expect![[r#"
            skydns/web.json:2: unknown member "netwrok": the policy knows domain, network, ttl
            skydns/web.json:3: member "ttl" must be of type int | None, not "30"
            skydns/web.json:4: member "domain" must be of type str, not 1
            skydns/web.json: member "network" is missing: it must be of type str
        "#]],
        );
    }

    #[test]
    fn names_what_is_out_of_bounds() {
        check_text(
            file(),
            "{\"network\": \"b\",\n\"ttl\": 301}",
            expect![[r#"
            skydns/web.json:2: member "ttl" must be at most 300, not 301
        "#]],
        );
    }

    #[test]
    fn names_of_configurations() {
        let check = |name: &str, expected: &str| {
            let raw = RawConfig {
                policy: PolicyName::parse("p").unwrap(),
                name: Some(name.into()),
                source: ConfigSource::Etcd("/x".into()),
                bytes: Vec::new(),
            };
            assert_eq!(raw.name_fault().unwrap_or_default(), expected, "{name:?}");
        };
        for right in ["web", "a.b", "g/web", "Größe 1", "...", &"x".repeat(255)] {
            check(right, "");
        }
        for wrong in ["..", ".", "g/..", "", "g//a"] {
            let told =
                format!("its name {wrong:?} is not one: it must not be empty, \".\" or \"..\"");
            check(wrong, &told);
        }
        check(
            "a\nb",
            r#"its name "a\nb" has a character that cannot be seen"#,
        );
        check(
            "a\u{1b}[2J",
            r#"its name "a\u{1b}[2J" has a character that cannot be seen"#,
        );
        check(
            "a\u{202e}b",
            r#"its name "a\u{202e}b" has a character that cannot be seen"#,
        );
        check(
            &"x".repeat(256),
            &format!("its name \"{}\" is too long", "x".repeat(60)),
        );
    }

    #[test]
    fn names_the_line_of_bad_json() {
        check_text(
            file(),
            "{\n\"network\": \n}",
            expect![[r#"
            skydns/web.json:3: bad JSON: expected value at line 3 column 1
        "#]],
        );
        check_text(
            file(),
            "",
            expect![[r#"
            skydns/web.json:1: bad JSON: EOF while parsing a value at line 1 column 0
        "#]],
        );
        check_text(
            file(),
            "[]",
            expect![[r#"
            skydns/web.json:1: a configuration must be a JSON object, as in {"name": value}, not an array
        "#]],
        );
    }

    #[test]
    fn refuses_a_repeated_member() {
        check_text(
            file(),
            "{\"network\": \"a\",\n\"network\": \"b\"}",
            expect![[r#"
            skydns/web.json:1: member "network" is there more than once
            skydns/web.json:2: member "network" is there more than once
        "#]],
        );
    }
}
