//! Mutated policies, and what the shipped policies make of mutated inspect documents and labels.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use common::{Folder, SHIPPED, inspect, settings};
use fuzz::Target;
use registrator_core::evaluate::evaluation::{EvalErrorKind, Evaluation, MAX_REASONS};
use registrator_core::node::{Key, Object};
use registrator_core::observe::config::{self, Config, ConfigSource, RawConfig};
use registrator_core::observe::container::Container;
use registrator_policy::{Policy, STACK_BYTES, Settings, load};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A policy wants a deep stack.
fn deep(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let ended = thread.spawn_scoped(scope, test).unwrap().join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn shipped() -> Vec<Box<dyn Policy>> {
    let settings = settings(&[
        ("KONTENA_REGISTRATOR_HOST_IP", "10.0.0.1"),
        ("KONTENA_REGISTRATOR_HOST_NAME", "node1"),
    ]);
    let file = |name| format!("../../etc/policies/{name}.star");
    let load = |name| load(Path::new(&file(name)), &settings).unwrap();
    SHIPPED.map(load).into()
}

/// The configuration that the text is, or else the default one.
fn configured(policy: &dyn Policy, text: &[u8]) -> Option<Config> {
    let spec = policy.spec();
    let schema = spec.schema.as_ref()?;
    let check = |bytes: &[u8]| {
        let raw = RawConfig {
            policy: spec.name.clone(),
            name: Some("web".into()),
            source: ConfigSource::File("web.json".into()),
            bytes: bytes.into(),
        };
        config::check(schema, &raw).ok()
    };
    check(text).or_else(|| check(b"{}"))
}

/// What comes of an evaluation, which must not be a fault of ours, and is the same each time.
fn outcome(policy: &mut dyn Policy, config: Option<&Config>, container: &Container) -> String {
    let once = policy.evaluate(config, container);
    match once {
        Ok(Evaluation {
            nodes,
            log,
            reasons,
        }) => {
            assert!(reasons.len() <= MAX_REASONS);
            let again = policy.evaluate(config, container).map(|it| it.nodes);
            assert_eq!(again.as_ref(), Ok(&nodes), "it is the same each time");
            let objects = nodes.objects().map(Object::name);
            let roots: BTreeSet<&str> = nodes.keys().chain(objects).map(Key::root).collect();
            let log: String = log.into_iter().map(|line| line.text).collect();
            format!("{} {log}", Vec::from_iter(roots).concat())
        }
        Err(error) => {
            assert_ne!(error.kind, EvalErrorKind::Host, "{error}");
            error.message
        }
    }
}

/// No node of a shipped policy is outside of what its configuration names. Those of objects are below their names.
fn check_keys(policy: &mut dyn Policy, config: Option<&Config>, container: &Container) {
    let Ok(found) = policy.evaluate(config, container) else {
        return;
    };
    let given = |name: &str| config?.members().get(name)?.as_str();
    let root = given("root").or(given("prefix")).unwrap_or("/skydns");
    let objects = found.nodes.objects().map(Object::name);
    for key in found.nodes.keys().chain(objects) {
        let below = key.as_str().strip_prefix(root.trim_end_matches('/'));
        assert!(
            below.is_some_and(|rest| rest.starts_with('/')),
            "{key} is not below {root}"
        );
    }
}

#[test]
fn fuzz_inspects() {
    let target = Target {
        corpus: "corpus/inspects",
        words: &[
            b"Networks",
            b"bridge",
            b"IPAddress",
            b"GlobalIPv6Address",
            b"fe80::1%eth0",
            b"::",
            b"172.17.0.2",
            b"999.1.1.1",
            b"Ports",
            b"80/tcp",
            b"/tcp",
            b"99999/udp",
            b"-1/sctp",
            b"HostPort",
            b"HostIp",
            b"Env",
            b"=",
            b"Labels",
            b"Config",
            b"State",
            b"Health",
            b"starting",
            b"NetworkMode",
            b"host",
            b"container:x",
            b"Name",
            b"/",
            b"../a",
            b"ExposedPorts",
        ],
        inputs: 30,
    };
    deep(|| {
        let mut policies = shipped();
        target.run(|input| {
            let text = String::from_utf8(input.to_vec()).unwrap_or_default();
            let container = match Container::from_text(text) {
                Ok(container) => container,
                Err(error) => return error.to_string(),
            };
            let mut told = String::new();
            for policy in &mut policies {
                let config = configured(policy.as_ref(), b"{}");
                check_keys(policy.as_mut(), config.as_ref(), &container);
                told += &outcome(policy.as_mut(), config.as_ref(), &container);
            }
            told
        });
    });
}

/// An input names in its first line the policy, the container and a name for it; then there is a configuration, then a label in each
/// line.
#[test]
fn fuzz_labels() {
    let target = Target {
        corpus: "corpus/labels",
        words: LABEL_WORDS,
        inputs: 80,
    };
    let read = |name| fs::read(format!("tests/inspect/{name}.json")).unwrap();
    let containers = ["web-published", "two-nets", "dual", "hostnet", "none"].map(read);
    let containers = containers.map(|bytes| serde_json::from_slice::<Json>(&bytes).unwrap());
    deep(|| {
        let mut policies = shipped();
        target.run(|input| {
            let text = String::from_utf8_lossy(input);
            let mut lines = text.lines();
            let mut names = lines.next().unwrap_or_default().splitn(3, ' ');
            let policy = names.next().unwrap_or_default();
            let at = SHIPPED.iter().position(|name| *name == policy);
            let policy = policies.get_mut(at.unwrap_or(6)).unwrap().as_mut();
            let number: usize = names.next().and_then(|it| it.parse().ok()).unwrap_or(0);
            let mut document = containers.get(number % containers.len()).unwrap().clone();
            document["Name"] = names.next().unwrap_or("web").into();
            let config = configured(policy, lines.next().unwrap_or_default().as_bytes());
            let labels = lines.filter_map(|line| line.split_once('='));
            let labels = labels.map(|(name, value)| (name.to_owned(), Json::from(value)));
            document["Config"]["Labels"] = Json::Object(Map::from_iter(labels));
            let container = Container::from_inspect(document).unwrap();
            check_keys(policy, config.as_ref(), &container);
            outcome(policy, config.as_ref(), &container)
        });
    });
}

const LABEL_WORDS: &[&[u8]] = &[
    b"traefik.http.routers.",
    b"traefik.http.services.",
    b"traefik.http.middlewares.",
    b"traefik.tcp.",
    b"traefik.udp.",
    b".loadbalancer.server.port=",
    b".rule=Host(`a`)",
    b".tls=true",
    b".entrypoints=",
    b".domains[0].main",
    b"[0]",
    b"[18446744073709551616]",
    b"[-1]",
    b"traefik.enable=true\n",
    b"io.kontena.",
    b"SERVICE_80_NAME=",
    b"SERVICE_IGNORE=",
    b"com.docker.compose.service=",
    b"com.docker.compose.container-number=",
    b"=",
    b".",
    b"..",
    b"/",
    b",",
    b"*",
    b"`",
    b"%s",
    b"{}",
    b"true",
    b"false",
    b"80",
    b"99999",
    b"\"family\": \"both\"",
    b"\"root\": \"/registrator\"",
    b"\"domain\": \"a..b\"",
    b"\"network\": null",
    b"\"address\": \"host\"",
    b"skydns",
    b"skydns2",
    b"skydns-srv",
    b"services",
    b"vulcand",
    b"kontena-lb",
    b"traefik",
];

#[test]
fn fuzz_policies() {
    let target = Target {
        corpus: "corpus/policies",
        words: POLICY_WORDS,
        inputs: 120,
    };
    let folder = Folder::with(&[]);
    fs::create_dir(folder.path("lib")).unwrap();
    for helper in fs::read_dir("../../etc/policies/lib").unwrap() {
        let helper = helper.unwrap();
        let copy = folder.path("lib").join(helper.file_name());
        fs::copy(helper.path(), copy).unwrap();
    }
    let path = folder.path("p.star");
    let mut settings = Settings::default();
    settings.limits.ticks = 20_000;
    let web = inspect("web");
    deep(|| {
        target.run(|input| {
            fs::write(&path, input).unwrap();
            let mut policy = match load(&path, &settings) {
                Ok(policy) => policy,
                Err(error) => {
                    let text = folder.plain(&error.to_string());
                    assert!(!text.contains("interpreter failed"), "{text}");
                    return text;
                }
            };
            let config = configured(policy.as_ref(), b"{}");
            if let Some(config) = &config {
                drop(policy.check(config));
            }
            folder.plain(&outcome(policy.as_mut(), config.as_ref(), &web))
        });
    });
}

const POLICY_WORDS: &[&[u8]] = &[
    b"object(\"/o\", {\"a\": 1})",
    b"members = ",
    b"conflict = ",
    b"\"smallest\"",
    b"uses = ",
    b"def f(x, *args, y = 1, **kwargs) -> str:\n    ",
    b"lambda x: ",
    b"for x in range(9):\n        ",
    b" if x else ",
    b"[x for x in y if x]",
    b"load(\"lib/labels.star\", \"key_part\")\n",
    b"load(\"p.star\", \"f\")\n",
    b"config(etcd_path = \"/a/:b\", attrs = {\"a\": attr(int | None)})\n",
    b"attr(",
    b"env(\"A\")",
    b"prefixes = [\"/a/\"]\n",
    b"docker_container",
    b"container.label(\"a\")",
    b"container.networks",
    b"container.inspect",
    b".join(",
    b".replace(",
    b".format(",
    b".split(",
    b"getattr(",
    b"guarded_method",
    b"guarded_times(",
    b"struct(a = 1)",
    b"json.encode(",
    b"fail(",
    b"print(",
    b"return ",
    b"None",
    b"not ",
    b" in ",
    b" % ",
    b" * ",
    b" + ",
    b" << ",
    b" += ",
    b" *= ",
    b" %= ",
    b" <<= ",
    b"**",
    b"()",
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b",",
    b";",
    b"\\\n",
    b"\n",
    b"    ",
    b"\t",
    b"#",
    b"\"\"\"",
    b"'",
    b"f\"{x}\"",
    b"r\"\\",
    b"\\N",
    b"\\x",
    b"0x",
    b"1e",
];
