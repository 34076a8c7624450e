//! What containers ask for, and what etcd must hold for it, as naively as can be.

use crate::HOSTS;
use crate::steps::{ABOVE, Asked};
use registrator_core::node::{Key, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The objects, by the numbers of their keys: of one the smallest definition counts, of the other none until all agree.
pub(crate) const OBJECTS: [(u8, &str, &str); 2] = [(4, "/o/s", "smallest"), (5, "/o/n", "none")];

/// Keys that the nodes of objects have, too.
pub(crate) const FIELDS: [(u8, &str); 2] = [(6, "/o/s/x"), (7, "/o/n/x")];

/// The nodes of the definition with this number. Members go with it.
pub(crate) fn definition(conflict: &str, number: u8) -> Json {
    let value = number.to_string();
    let nodes = match number % 2 {
        0 => json!({"x": value, "y": value}),
        _ => json!({"x": value}),
    };
    json!({"conflict": conflict, "nodes": nodes, "members": {format!("m/{number}"): value}})
}

/// The node that tells the definition of a member from all others.
pub(crate) fn owner(member: &Key) -> Option<(Key, Value)> {
    let (object, number) = member.as_str().split_once("/m/")?;
    let node = Key::parse(&format!("{object}/x")).unwrap();
    Some((node, Value::parse(number).unwrap()))
}

pub(crate) fn answer(asked: &Asked) -> Json {
    // One container that asks twice for a key asks for the last value: a dict has one value for a key.
    let mut nodes = Map::new();
    let mut objects = Map::new();
    for (key, value) in asked {
        let field = FIELDS.iter().find(|(at, _)| at == key);
        let field = field.map(|(_, field)| (*field).to_owned());
        if let Some(key) = field.or_else(|| (*key < 4).then(|| format!("/k{key}"))) {
            nodes.insert(key, value.to_string().into());
        }
    }
    for (key, number) in asked {
        if let Some((_, name, conflict)) = OBJECTS.iter().find(|(at, ..)| at == key) {
            objects.insert((*name).to_owned(), definition(conflict, *number));
        }
        if *key == ABOVE {
            let value = number.to_string();
            let nodes = json!({"s/x": value, "z": value});
            objects.insert(
                "/o".to_owned(),
                json!({"conflict": "smallest", "nodes": nodes, "members": {}}),
            );
        }
    }
    json!({"nodes": nodes, "objects": objects})
}

/// For each key the values that the hosts wish, by host: the smallest of what the host's containers ask for.
pub(crate) fn expected(
    last: &[(usize, u8, Asked)],
) -> BTreeMap<String, BTreeMap<&'static str, String>> {
    let mut containers: BTreeMap<(usize, u8), Json> = BTreeMap::new();
    for (host, container, asked) in last {
        containers.insert((*host, *container), answer(asked));
    }
    let mut wishes: BTreeMap<String, BTreeMap<&'static str, String>> = BTreeMap::new();
    for ((host, _), answer) in &containers {
        for (key, value) in answer["nodes"].as_object().unwrap() {
            let value = value.as_str().unwrap().to_owned();
            let wish = wishes
                .entry(key.clone())
                .or_default()
                .entry(HOSTS[*host])
                .or_insert_with(|| value.clone());
            *wish = value.min(wish.clone());
        }
    }
    wishes
}

/// What the containers say of an object, by host: the numbers of their definitions.
pub(crate) type Defined = BTreeMap<usize, BTreeSet<u8>>;

pub(crate) fn defined(last: &[(usize, u8, Asked)], object: u8) -> Defined {
    let mut containers: BTreeMap<(usize, u8), Option<u8>> = BTreeMap::new();
    for (host, container, asked) in last {
        let last = asked.iter().rev().find(|(key, _)| *key == object);
        containers.insert((*host, *container), last.map(|(_, number)| *number));
    }
    let mut by_host = Defined::new();
    for ((host, _), number) in containers {
        by_host.entry(host).or_default().extend(number);
    }
    by_host.retain(|_, numbers| !numbers.is_empty());
    by_host
}

/// The definition that counts, as its number. Its text is compared, in which the number is the first thing that differs.
pub(crate) fn counts(defined: &Defined, conflict: &str) -> Option<u8> {
    let all: BTreeSet<u8> = defined.values().flatten().copied().collect();
    match conflict {
        "none" if all.len() > 1 => None,
        _ => all.into_iter().min_by_key(u8::to_string),
    }
}

/// Adds the members of the definitions that count to what is wished, and checks the fields, which it takes out of the lines.
pub(crate) fn check_objects(
    lines: Vec<String>,
    last: &[(usize, u8, Asked)],
    wishes: &mut BTreeMap<String, BTreeMap<&'static str, String>>,
) -> Vec<String> {
    let mut rest = lines;
    for (key, name, conflict) in OBJECTS {
        let defined = defined(last, key);
        let number = counts(&defined, conflict);
        let mut expected = BTreeMap::new();
        if let Some(number) = number {
            let definition = definition(conflict, number);
            for (field, value) in definition["nodes"].as_object().unwrap() {
                expected.insert(
                    format!("{name}/{field}"),
                    value.as_str().unwrap().to_owned(),
                );
            }
            let hosts = defined.iter().filter(|(_, all)| all.contains(&number));
            let hosts = hosts.map(|(host, _)| (HOSTS[*host], number.to_string()));
            wishes.insert(format!("{name}/m/{number}"), hosts.collect());
        }
        let is_field = |line: &String| {
            ["x ", "y "]
                .iter()
                .any(|field| line.starts_with(&format!("{name}/{field}")))
        };
        let (fields, others): (Vec<String>, Vec<String>) = rest.into_iter().partition(is_field);
        rest = others;
        let found = fields.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].to_owned(), words[1].to_owned())
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{defined:?}");
        let owners: BTreeSet<&str> = fields
            .iter()
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        assert!(
            owners.len() < 2 && fields.iter().all(|line| !line.contains("claimed")),
            "{fields:?}"
        );
    }
    rest
}

/// Checks a line of [`World::keys`] for each wished key: the smallest value, held by one who wishes it, claimed by all others.
pub(crate) fn check_keys(
    lines: &[String],
    wishes: &BTreeMap<String, BTreeMap<&'static str, String>>,
) {
    assert_eq!(lines.len(), wishes.len(), "{lines:?} for {wishes:?}");
    for (line, (key, by_host)) in lines.iter().zip(wishes) {
        let words: Vec<&str> = line.split(' ').collect();
        let owner = words[2].strip_prefix("owner=").unwrap();
        assert_eq!(
            (words[0], Some(words[1])),
            (key.as_str(), by_host.values().min().map(String::as_str)),
            "{line}"
        );
        assert_eq!(
            by_host.get(owner).map(String::as_str),
            Some(words[1]),
            "{line} for {by_host:?}"
        );
        let mut claims: Vec<String> = words[3..]
            .iter()
            .map(|word| word.replace("claimed-by=", ""))
            .collect();
        claims.sort();
        let others = by_host
            .iter()
            .filter(|(host, _)| **host != owner)
            .map(|(host, value)| format!("{host}:{value}"));
        assert_eq!(claims, others.collect::<Vec<_>>(), "{line} for {by_host:?}");
    }
}
