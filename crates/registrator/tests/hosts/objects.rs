//! Objects: copied stacks that define one thing differently, on one host and on several. What is below an object at any revision of etcd is
//! one host's definition as a whole, or nothing.

use crate::host::Host;
use crate::world::{LONG, SHORT, World};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// What a container defines stands in its label.
pub(crate) const POLICY: &str = r#"
def docker_container(container, config):
    text = container.label("object")
    if text and container.label("world") == "WORLD":
        return object(**json.decode(text))
"#;

/// Two definitions: they differ in a value, and each has a field that the other has not.
pub(crate) const A: Fields = &[("rule", "a"), ("service", "x"), ("tls", "true")];
pub(crate) const B: Fields = &[("rule", "b"), ("service", "x"), ("weight", "7")];

pub(crate) type Fields = &'static [(&'static str, &'static str)];

/// What is below an object: keys without its name, and values.
pub(crate) type Below = BTreeMap<String, String>;

/// Gives the hosts the policy. Before their programs begin.
pub(crate) fn install(world: &World) {
    for host in &world.hosts {
        host.add_policy("objects.star", POLICY);
    }
}

/// The smallest definition counts, on every host, and there is always one.
pub(crate) fn the_smallest_counts(world: &mut World) {
    world.begin("objects of which the smallest counts", LONG, "release");
    let object = SharedObject::new("/objects/smallest", "smallest");
    object.run(world, 0, "one", B);
    object.wait(world, "the only definition", B, &["0-one"]);
    object.run(world, 1, "one", B);
    object.wait(world, "two that agree", B, &["0-one", "1-one"]);
    object.run(world, 2, "one", A);
    object.wait(world, "a smaller one", A, &["2-one"]);
    object.run(world, 2, "two", B);
    object.run(world, 1, "two", A);
    object.wait(world, "a host that says both", A, &["1-two", "2-one"]);
    world.hosts[1].rm("two");
    world.hosts[2].rm("one");
    object.wait(
        world,
        "the smaller one goes",
        B,
        &["0-one", "1-one", "2-two"],
    );
    world.hosts[0].ask_to_end();
    world.hosts[0].counts = false;
    world.hosts[0].wait_for_end();
    object.wait(world, "a host leaves", B, &["1-one", "2-two"]);
    object.expect_whole(world);
    object.expect_always_there(world);
    world.start_host(0);
    object.wait(world, "it is back", B, &["0-one", "1-one", "2-two"]);
    object.end(world);
}

/// None counts while two differ.
pub(crate) fn none_counts(world: &mut World) {
    world.begin("objects of which none counts", SHORT, "keep");
    let object = SharedObject::new("/objects/none", "none");
    object.run(world, 0, "one", A);
    object.run(world, 1, "one", A);
    object.wait(world, "two that agree", A, &["0-one", "1-one"]);
    object.run(world, 2, "one", B);
    object.wait(world, "a third differs", &[], &[]);
    world.hosts[2].rm("one");
    object.wait(world, "it goes", A, &["0-one", "1-one"]);
    object.run(world, 1, "two", B);
    object.wait(world, "a host says both", &[], &[]);
    world.hosts[1].rm("one");
    world.hosts[0].rm("one");
    object.wait(world, "the other definition is left", B, &["1-two"]);

    object.run(world, 0, "one", A);
    object.wait(world, "two differ", &[], &[]);
    world.hosts[1].kill();
    world.hosts[1].counts = false;
    object.wait(world, "one of them dies", A, &["0-one"]);
    world.start_host(1);
    object.wait(world, "it is back", &[], &[]);
    object.expect_whole(world);
    object.end(world);
}

/// An object of a test.
pub(crate) struct SharedObject {
    pub(crate) name: &'static str,
    conflict: &'static str,
}

impl SharedObject {
    pub(crate) fn new(name: &'static str, conflict: &'static str) -> SharedObject {
        SharedObject { name, conflict }
    }

    /// Runs a container that defines it so, and has a server.
    pub(crate) fn run(&self, world: &mut World, host: usize, container: &str, definition: Fields) {
        let member = format!("servers/{host}-{container}");
        let text = json!({
            "name": self.name,
            "nodes": Json::from_iter(definition.iter().copied()),
            "members": { member: definition[0].1 },
            "conflict": self.conflict,
        });
        world.hosts[host].run_labelled(container, &[("object", &text.to_string())]);
    }

    /// Waits until this definition is in etcd, with these servers.
    #[track_caller]
    pub(crate) fn wait(&self, world: &World, what: &str, definition: Fields, servers: &[&str]) {
        let prefix = format!("{}/", self.name);
        let mut expected = below(definition);
        let value = definition.first().map_or("", |(_, value)| value);
        expected.extend(
            servers
                .iter()
                .map(|server| (format!("servers/{server}"), value.to_owned())),
        );
        let found = world.recorder.wait(crate::program::DEADLINE, |state| {
            let nodes = state.nodes().into_iter();
            let nodes = nodes.filter_map(|(key, node)| {
                Some((key.strip_prefix(&prefix)?.to_owned(), node.value.clone()))
            });
            (nodes.collect::<Below>() == expected).then_some(())
        });
        let history = self.history(world);
        let last = history.last();
        world.expect(
            found.is_some(),
            &format!("after {what}: {expected:?}, not {last:?}"),
        );
        world.print(&format!("{what} | {} revisions so far", history.len()));
    }

    /// All there ever was below it, by the revisions that changed it.
    pub(crate) fn history(&self, world: &World) -> Vec<(i64, Below)> {
        let prefix = format!("{}/", self.name);
        let (mut now, mut all) = (Below::new(), Vec::<(i64, Below)>::new());
        for change in world.recorder.since(0).0 {
            let Some(key) = change.key.strip_prefix(&prefix) else {
                continue;
            };
            match change.value {
                Some(value) => now.insert(key.to_owned(), value),
                None => now.remove(key),
            };
            if all.last().is_some_and(|(at, _)| *at == change.revision) {
                all.pop();
            }
            all.push((change.revision, now.clone()));
        }
        all
    }

    /// At no revision there is a mixture of the definitions, and no server is written beside another's. A host takes its own servers away as
    /// soon as it has heard that its definition does not count.
    #[track_caller]
    fn expect_whole(&self, world: &World) {
        let mut before = Below::new();
        for (revision, state) in self.history(world) {
            let is_server = |(key, _): &(&String, &String)| key.starts_with("servers/");
            let fields = state.iter().filter(|node| !is_server(node));
            let fields: Below = fields
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let whole = [&[], A, B].iter().any(|it| below(it) == fields);
            world.expect(whole, &format!("revision {revision}: {fields:?} is whole"));
            let servers = state.iter().filter(is_server);
            let mut written = servers.filter(|(key, value)| before.get(*key) != Some(*value));
            let rule = fields.get("rule");
            let fits = written.all(|(_, value)| rule.is_none_or(|rule| rule == value));
            let told =
                format!("revision {revision}: servers fit what they are written to, not {state:?}");
            world.expect(fits, &told);
            before = state;
        }
    }

    /// Since its first definition there was one at each revision.
    #[track_caller]
    fn expect_always_there(&self, world: &World) {
        for (revision, state) in self.history(world) {
            let there = state.contains_key("rule");
            world.expect(there, &format!("revision {revision} has a definition"));
        }
    }

    /// All containers go, and with them all that was written for the object.
    #[track_caller]
    pub(crate) fn end(&self, world: &mut World) {
        crate::host::at_once(&mut world.hosts, Host::clear);
        world.settle("the end of the object");
        let left = |state: &crate::history::State| {
            let mut markers = state.0.keys();
            (!markers.any(|key| key.starts_with("/registrator/objects/"))).then_some(())
        };
        world.wait("the end of its marker", left);
    }
}

/// What there is if this definition is.
pub(crate) fn below(definition: Fields) -> Below {
    let all = definition.iter();
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
