//! Keeps docs/policies.md true: its policies load without findings, and what it names exists: fields, numbers, attributes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Folder, SHIPPED, config, inspect, lines, settings};
use registrator_policy::{Limits, Settings, lint, load};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::Path;

fn text() -> String {
    std::fs::read_to_string("../../docs/policies.md").unwrap()
}

fn folder(policy: &str) -> Folder {
    let select = include_str!("../../../etc/policies/lib/select.star");
    Folder::with(&[("p.star", policy), ("lib/select.star", select)])
}

fn policies(text: &str) -> Vec<&str> {
    let blocks = text.split("```python\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_policies_load_and_have_no_findings() {
    let text = text();
    let policies = policies(&text);
    assert_eq!(policies.len(), 9);
    for policy in policies {
        let folder = folder(policy);
        assert_eq!(lint(&folder.path("p.star"), &settings(&[])), [], "{policy}");
    }
}

#[test]
fn the_policies_give_the_nodes_that_are_told() {
    let text = text();
    let outcomes = policies(&text).into_iter().map(|policy| {
        let folder = folder(policy);
        let mut policy = folder.load("p.star", &Settings::default()).unwrap();
        let schema = policy.spec().schema.as_ref();
        let network = schema.is_some_and(|schema| {
            schema
                .attributes
                .iter()
                .any(|one| one.name == "network" && one.default.is_none())
        });
        let given = if network {
            r#"{"network": "bridge", "ttl": 30}"#
        } else {
            "{}"
        };
        let given = config(policy.as_ref(), given);
        lines(&policy.evaluate(given.as_ref(), &inspect("web")).unwrap())
    });
    let expected = [
        "/addresses/web = 172.17.0.2\n",
        "/demo/web/image = demo/web:1.2\n/demo/web/record = {\"host\":\"172.17.0.2\",\"port\":80}\n",
        "object /lb/web, in conflict smallest\n  hosts = web.test\n  member servers/113ad94dfc20 = 172.17.0.2:80\n",
        "/demo/web/web = demo.local\n",
        "/demo/web.demo.local = 30\n",
        "/skydns/local/web = x\n",
        "/skydns/local/skydns/web = x\n",
        "/web/113ad94dfc20 = [\"172.17.0.2:80\"]\n",
        "/demo/web = 172.17.0.2\n",
    ];
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
}

/// Each member of the shipped policies' configurations is told of, with its default where a table has one.
#[test]
fn the_shipped_policies_have_their_attributes_documented() {
    let text = text();
    let traefik = std::fs::read_to_string("../../docs/applications/traefik.md").unwrap();
    let own = |name: &str| match name {
        "traefik" => traefik.clone(),
        "skydns2" => section(&text, "### services\n") + &section(&text, "### skydns2\n"),
        name => section(&text, &format!("### {name}\n")),
    };
    let selection = section(&text, "## Selection\n");
    for name in SHIPPED {
        let path = format!("../../etc/policies/{name}.star");
        let policy = load(Path::new(&path), &settings(&[])).unwrap();
        let own = own(name);
        for attribute in &policy.spec().schema.as_ref().unwrap().attributes {
            let named = format!("`{}`", attribute.name);
            let told = own.contains(&named) || selection.contains(&named);
            assert!(told, "{name}: {named} is not documented");
            let row = own
                .lines()
                .find(|line| line.starts_with(&format!("| {named} | ")));
            let Some(row) = row else { continue };
            // The last of the literals counts: the environment variables before it are not set here.
            let cell = row.split(" | ").nth(1).unwrap();
            let whole = cell
                .strip_prefix("``")
                .and_then(|rest| rest.strip_suffix("``"));
            let literals = cell.split('`').skip(1).step_by(2);
            let last = whole.or_else(|| literals.last()).unwrap();
            let default = match attribute.default.as_ref().unwrap() {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            let right = default == last || (cell.contains('$') && default.ends_with(last));
            assert!(right, "{name}: {row}, but {default}");
        }
    }
}

/// What is between this heading and the next of its level, or of a higher one.
fn section(text: &str, heading: &str) -> String {
    let (_, after) = text.split_once(heading).expect(heading);
    let level = heading.split(' ').next().unwrap();
    let end = ["\n## ".to_owned(), format!("\n{level} ")];
    let ends = end.iter().filter_map(|mark| after.find(mark.as_str()));
    after[..ends.min().unwrap_or(after.len())].to_owned()
}

/// A policy with all fields in the tables has no type error, and an invented one has.
#[test]
fn all_fields_exist() {
    let text = text();
    let roots = [
        "container",
        "network",
        "port",
        "binding",
        "state",
        "compose",
    ];
    let tables = text.lines().filter(|line| line.starts_with("| `"));
    let quoted = tables.flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_field = |text: &&str| {
        roots.iter().any(|root| {
            text.strip_prefix(root)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let fields: BTreeSet<&str> = quoted.filter(is_field).collect();
    assert!(fields.len() > 45, "{}", fields.len());
    let check = |fields: &[&str]| {
        let policy = format!(
            "def show(container: Container, network: Network, port: Port, binding: Binding, state: State, compose: Compose):\n    return [\n        {}\n    ]\ndef docker_container(container):\n    return None\n",
            fields.join(",\n        ")
        );
        let folder = Folder::with(&[("p.star", &policy)]);
        lint(&folder.path("p.star"), &settings(&[]))
    };
    let fields: Vec<&str> = fields.into_iter().collect();
    assert_eq!(check(&fields), []);
    assert_eq!(check(&["container.invented"]).len(), 1);
}

#[test]
fn all_functions_exist() {
    let text = text();
    let section = text
        .split("## Functions")
        .nth(1)
        .unwrap()
        .split("## ")
        .next()
        .unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let calls: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert!(calls.len() >= 10, "{calls:?}");
    for call in calls {
        let result = common::evaluate(&format!(
            "def docker_container(container):\n    x = \"1.2.3.4\"\n    y = {call}\n    return None\n"
        ));
        assert!(
            result.is_ok() || call.starts_with("fail("),
            "{call}: {result:?}"
        );
    }
    for line in [
        "`web-1`",
        "`local/skydns`",
        "`2.0.17.172.in-addr.arpa`",
        "`[fd00::3]:80`",
        "`web-1-x`",
    ] {
        assert!(section.contains(line));
    }
}

#[test]
fn the_limits_are_those_of_the_program() {
    let text = text();
    let limits = Limits::default();
    for (row, value) in [
        (
            "| function calls and turns of loops | 1,000,000 |",
            limits.ticks == 1_000_000,
        ),
        (
            "| memory for values | 8 MiB; 4 MiB while loading |",
            limits.heap_bytes == 8 << 20,
        ),
        ("| nested calls | 100 |", limits.call_depth == 100),
        (
            "| time | 1 s; 20 s while loading |",
            limits.time.as_secs() == 1,
        ),
        (
            "| dicts, lists, objects, keys and `None`s returned | 30,000 |",
            limits.answer_items == 30_000,
        ),
        (
            "| lines and bytes printed | 100, 16 KiB; what is more is dropped |",
            limits.log_lines == 100 && limits.log_bytes == 16 << 10,
        ),
    ] {
        assert!(value && text.contains(row), "{row}");
    }
}
