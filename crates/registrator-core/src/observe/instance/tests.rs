//! Tests of [`super::Instances`].

mod incremental;
mod proofs;

use super::*;
use crate::observe::allowed::Allowed;
use crate::observe::spec::{Attribute, Type};

fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).unwrap()
}

fn spec(text: &str, fingerprint: u64, attribute: Option<Type>) -> PolicySpec {
    let schema = attribute.map(|kind| Schema {
        attributes: vec![Attribute {
            name: "x".into(),
            kind,
            allowed: Allowed::default(),
            default: Some("d".into()),
            doc: None,
        }],
        etcd_path: Some(EtcdPath::parse("/s/:service").unwrap()),
        ignores_unknown: false,
    });
    PolicySpec {
        name: name(text),
        fingerprint,
        schema,
        validates: false,
    }
}

fn file(policy: &str, config: Option<&str>, text: &str) -> RawConfig {
    let path = format!("{policy}/{}.json", config.unwrap_or("-"));
    RawConfig {
        policy: name(policy),
        name: config.map(str::to_owned),
        source: ConfigSource::File(path),
        bytes: text.into(),
    }
}

fn node(policy: &str, config: &str, text: &str) -> RawConfig {
    RawConfig {
        source: ConfigSource::Etcd(format!("/s/{config}")),
        ..file(policy, Some(config), text)
    }
}

fn list<const N: usize>(instances: &mut Instances, raws: [RawConfig; N]) -> InstanceDelta {
    let mut problems = Vec::new();
    let mut deltas: Vec<InstanceDelta> = vec![instances.handle_file(SourceEvent::Init)];
    deltas.extend(
        raws.into_iter()
            .map(|raw| instances.handle_file(SourceEvent::InitApply(raw))),
    );
    deltas.push(instances.handle_file(SourceEvent::InitDone));
    let mut sum = InstanceDelta::default();
    for delta in deltas {
        sum.started.extend(delta.started);
        sum.reloaded.extend(delta.reloaded);
        sum.stopped.extend(delta.stopped);
        problems.extend(delta.problems);
    }
    InstanceDelta { problems, ..sum }
}

fn shown(delta: &InstanceDelta) -> String {
    let sign = |id| {
        if delta.reloaded.contains(id) {
            "~"
        } else {
            "+"
        }
    };
    let started = delta.started.iter().map(|id| format!("{}{id}", sign(id)));
    let stopped = delta.stopped.iter().map(|id| format!("-{id}"));
    let words: Vec<String> = started.chain(stopped).collect();
    let problems = delta.problems.iter().map(|problem| format!("\n{problem}"));
    words.join(" ") + &problems.collect::<String>()
}

#[test]
fn a_policy_without_configuration_runs_once() {
    let mut instances = Instances::default();
    assert_eq!(
        shown(&instances.set_policies(vec![spec("a", 1, None)], vec![])),
        "+a"
    );
    assert_eq!(
        shown(&instances.set_policies(vec![spec("a", 1, None)], vec![])),
        ""
    );
    assert_eq!(
        shown(&instances.set_policies(vec![spec("a", 2, None)], vec![])),
        "~a"
    );
    assert_eq!(shown(&instances.set_policies(vec![], vec![])), "-a");
}

#[test]
fn members_that_a_policy_need_not_know_are_told_and_passed_over() {
    let mut lenient = spec("a", 1, Some(Type::Str));
    lenient.schema.as_mut().unwrap().ignores_unknown = true;
    let mut instances = Instances::default();
    instances.set_policies(vec![lenient], vec![]);
    let text = "{\"x\": \"y\",\n \"z\": 1}";
    assert_eq!(
        shown(&list(&mut instances, [file("a", Some("one"), text)])),
        "+a:one\nconfiguration of policy a: a/one.json:2: unknown member \"z\": the policy knows x; the member is ignored"
    );
    assert!(!instances.hides_nodes());
    assert_eq!(
        shown(&list(
            &mut instances,
            [file("a", Some("one"), "{\"x\": 1, \"z\": 1}")]
        )),
        "\nconfiguration of policy a is refused, it runs on as it was: a/one.json:1: member \"x\" must be of type str, not 1"
    );
    assert_eq!(
        shown(&list(
            &mut instances,
            [file("a", Some("one"), "{\"x\": \"y\"}")]
        )),
        ""
    );
    assert_eq!(instances.problems().count(), 0);
}

#[test]
fn each_configuration_makes_an_instance() {
    let mut instances = Instances::default();
    list(
        &mut instances,
        [
            file("a", None, "{}"),
            file("a", Some("one"), "{}"),
            file("a", Some("two"), "{}"),
        ],
    );
    assert_eq!(
        shown(&instances.set_policies(vec![spec("a", 1, Some(Type::Str))], vec![])),
        "+a +a:one +a:two"
    );
    assert_eq!(
        shown(&list(
            &mut instances,
            [file("a", Some("one"), "{\"x\": \"y\"}")]
        )),
        "~a:one -a -a:two"
    );
}

#[test]
fn a_policy_that_needs_a_configuration_says_so() {
    let mut instances = Instances::default();
    let delta = instances.set_policies(vec![spec("a", 1, Some(Type::Str))], vec![]);
    assert_eq!(shown(&delta), "", "nothing was read yet");
    assert_eq!(shown(&list(&mut instances, [])), "", "nor from etcd");
    instances.handle_etcd(&name("a"), SourceEvent::Init);
    let delta = instances.handle_etcd(&name("a"), SourceEvent::InitDone);
    assert!(
        shown(&delta).contains("policy a waits for a configuration: write a.json"),
        "{delta:?}"
    );
    let delta = list(&mut instances, [file("a", Some("one"), "{}")]);
    assert_eq!(shown(&delta), "+a:one");
}

#[test]
fn a_bad_configuration_keeps_the_last_good_one() {
    let mut instances = Instances::default();
    instances.set_policies(vec![spec("a", 1, Some(Type::Str))], vec![]);
    list(
        &mut instances,
        [file("a", Some("one"), "{}"), file("a", Some("two"), "{")],
    );
    assert_eq!(instances.iter().count(), 1, "the other instances run");
    assert!(instances.hides_nodes());
    let delta = list(
        &mut instances,
        [
            file("a", Some("one"), "{\"x\": 1}"),
            file("a", Some("two"), "{}"),
        ],
    );
    let expected = "+a:two\nconfiguration of policy a is refused, it runs on as it was: a/one.json:1: member \"x\" must be of type str, not 1";
    assert_eq!(shown(&delta), expected);
    assert!(!instances.hides_nodes());
    assert_eq!(
        shown(&list(&mut instances, [])).lines().next(),
        Some("-a:one -a:two")
    );
}

#[test]
fn a_file_counts_before_etcd() {
    let mut instances = Instances::default();
    instances.set_policies(vec![spec("a", 1, Some(Type::Str))], vec![]);
    assert!(!instances.complete());
    list(&mut instances, [file("a", Some("one"), "{}")]);
    assert!(!instances.complete(), "etcd is not listed yet");
    for event in [
        SourceEvent::Init,
        SourceEvent::InitApply(node("a", "two", "{}")),
        SourceEvent::InitDone,
    ] {
        instances.handle_etcd(&name("a"), event);
    }
    assert!(instances.complete());
    let delta = instances.handle_etcd(
        &name("a"),
        SourceEvent::Apply(node("a", "one", "{\"x\": \"etcd\"}")),
    );
    assert_eq!(
        shown(&delta).trim_start(),
        "etcd /s/one is not used: a/one.json configures a:one already"
    );
    let delta = list(&mut instances, []);
    assert_eq!(shown(&delta), "~a:one", "the one in etcd takes its place");
}

#[test]
fn unused_files_are_named() {
    let mut instances = Instances::default();
    let failed = Problem::Policy {
        name: "broken".into(),
        message: "syntax".into(),
        kept: false,
    };
    instances.set_policies(vec![spec("a", 1, None)], vec![failed]);
    let delta = list(
        &mut instances,
        [
            file("a", None, "{}"),
            file("b", None, "{}"),
            file("broken", None, "{}"),
        ],
    );
    let expected = "a/-.json is not used: policy a declares no configuration\nb/-.json is not used: there is no policy b";
    assert_eq!(shown(&delta).trim_start(), expected);
}

#[test]
fn what_only_looks_like_a_configuration_is_named_once() {
    let mut instances = Instances::default();
    list(&mut instances, []);
    let mut below = spec("b", 1, Some(Type::Str));
    let schema = below.schema.as_mut().unwrap();
    schema.etcd_path = Some(EtcdPath::parse("/s/b/:service").unwrap());
    instances.set_policies(vec![spec("a", 1, Some(Type::Str)), below], vec![]);
    instances.handle_etcd(&name("a"), SourceEvent::Init);
    let key = |key: &str, name: Option<&str>| RawConfig {
        name: name.map(str::to_owned),
        source: ConfigSource::Etcd(key.into()),
        ..file("a", None, "{}")
    };
    for raw in [
        key("/s", None),
        key("/s/", None),
        key("/s/x/y", None),
        key("/s/..", Some("..")),
        key("/s/a\nb", Some("a\nb")),
        // Another policy's.
        key("/s/b/one", None),
    ] {
        instances.handle_etcd(&name("a"), SourceEvent::InitApply(raw));
    }
    let delta = instances.handle_etcd(&name("a"), SourceEvent::InitDone);
    let found = shown(&delta);
    let lines: Vec<&str> = found.trim_start().lines().collect();
    let path = "Configurations are at /s/:service, one part of the key for each :name";
    let none =
        |key: &str, why: &str| format!("etcd {key} is no configuration of policy a: {why}. {path}");
    assert_eq!(
        lines,
        [
            "policy a waits for a configuration: write a.json or a/NAME.json in the services folder, or put one at /s/:service in etcd; {} takes all defaults",
            &none("/s", "its key does not fit"),
            &none("/s/", "its key does not fit"),
            &none("/s/..", "its name \"..\" is not one: it must not be empty, \".\" or \"..\""),
            &none("/s/a\nb", "its name \"a\\nb\" has a character that cannot be seen"),
            &none("/s/x/y", "its key does not fit"),
        ]
        .iter()
        .flat_map(|line| line.lines())
        .collect::<Vec<_>>()
    );
    assert_eq!(instances.iter().count(), 0);
    assert!(!instances.hides_nodes());
    let again = key("/s/x/y", None);
    let delta = instances.handle_etcd(
        &name("a"),
        SourceEvent::Apply(RawConfig {
            bytes: b"{ }".to_vec(),
            ..again
        }),
    );
    assert_eq!(shown(&delta), "");
    let delta = list(&mut instances, [file("a", Some(".."), "{}")]);
    assert_eq!(
        shown(&delta),
        "\na/...json is no configuration of policy a: its name \"..\" is not one: it must not be empty, \".\" or \"..\""
    );
}

#[test]
fn another_etcd_path_changes_nothing_until_it_is_listed() {
    let mut instances = Instances::default();
    list(&mut instances, []);
    instances.set_policies(vec![spec("a", 1, Some(Type::Str))], vec![]);
    let etcd = |instances: &mut Instances, raw| {
        instances.handle_etcd(&name("a"), SourceEvent::Init);
        instances.handle_etcd(&name("a"), SourceEvent::InitApply(raw));
        instances.handle_etcd(&name("a"), SourceEvent::InitDone)
    };
    etcd(&mut instances, node("a", "one", "{}"));
    let service = |instances: &Instances| {
        let config = instances.iter().next().unwrap().config.clone().unwrap();
        config.members().get("service").cloned()
    };
    assert_eq!(service(&instances), Some("one".into()));
    let mut moved = spec("a", 2, Some(Type::Str));
    let schema = moved.schema.as_mut().unwrap();
    schema.etcd_path = Some(EtcdPath::parse("/t/:zone/:service").unwrap());
    instances.set_policies(vec![moved], vec![]);
    assert_eq!(service(&instances), Some("one".into()));
}

#[test]
fn only_so_many_run_and_the_next_takes_a_place() {
    let mut instances = Instances::at_most(2);
    instances.set_policies(
        vec![spec("a", 1, Some(Type::Str)), spec("b", 1, None)],
        vec![],
    );
    let too_many = |id| {
        format!(
            "\ninstance {id} does not run: 2 instances run already, as many as --max-instances permits"
        )
    };
    let delta = list(
        &mut instances,
        [file("a", Some("one"), "{}"), file("a", Some("two"), "{}")],
    );
    assert_eq!(shown(&delta), "+a:one".to_owned() + &too_many("a:two"));
    assert!(instances.hides_nodes());
    let reloaded = [
        file("a", Some("one"), "{\"x\": \"y\"}"),
        file("a", Some("two"), "{\"x\": \"y\"}"),
    ];
    assert_eq!(shown(&list(&mut instances, reloaded)), "~a:one");
    let renamed = [file("a", Some("three"), "{}"), file("a", Some("two"), "{}")];
    let delta = list(&mut instances, renamed);
    assert_eq!(shown(&delta), "+a:three -a:one".to_owned());
    let delta = list(&mut instances, [file("a", Some("two"), "{}")]);
    assert_eq!(shown(&delta), "+a:two -a:three");
    assert_eq!(instances.problems().count(), 0);
    assert!(!instances.hides_nodes());
}
