//! No more nodes are asked for than the settings permit.

#![allow(clippy::unwrap_used, reason = "test code")]

use registrator_core::evaluate::evaluation::Evaluation;
use registrator_core::evaluate::fence::Fence;
use registrator_core::node::{Key, Nodes, Value};
use registrator_core::observe::container::Container;
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use registrator_core::observe::watch::SourceEvent;
use registrator_core::reconciler::{Command, Event, Reconciler, Settings};
use serde_json::json;
use std::time::Instant;

/// A reconciler with one policy, which answers with the keys that are told.
struct World {
    reconciler: Reconciler,
    now: Instant,
}

impl World {
    fn with_at_most(max_nodes: usize) -> World {
        let fence = Fence {
            allowed: Vec::new(),
            reserved: "/registrator/".into(),
        };
        let settings = Settings {
            max_nodes,
            ..Settings::with_fence(fence)
        };
        let mut world = World {
            reconciler: Reconciler::new(settings),
            now: Instant::now(),
        };
        let policy = PolicySpec {
            name: PolicyName::parse("p").unwrap(),
            fingerprint: 1,
            schema: None,
            validates: false,
        };
        world.handle(Event::Policies {
            loaded: vec![policy],
            failed: Vec::new(),
        });
        world
    }

    fn handle(&mut self, event: Event) {
        self.reconciler.handle(event, self.now);
    }

    /// Starts or changes a container, for which the policy answers with `keys`. Gives what it says of that.
    fn evaluate(&mut self, container: &str, keys: &[&str]) -> String {
        let document = json!({
            "Id": format!("{container:0<12}"),
            "Name": format!("/{container}"),
            "State": {"Running": true},
            "Keys": keys,
        });
        let container = Container::from_inspect(document).unwrap();
        self.handle(Event::Container(SourceEvent::Apply(container)));
        let value = Value::parse("v").unwrap();
        let nodes: Nodes = keys
            .iter()
            .map(|key| (Key::parse(key).unwrap(), value.clone()))
            .collect();
        let mut tickets = Vec::new();
        while let Some(command) = self.reconciler.next_command() {
            if let Command::Evaluate { ticket, .. } = command {
                tickets.push(ticket);
            }
        }
        for ticket in tickets {
            let result = Ok(Evaluation {
                nodes: nodes.clone(),
                ..Evaluation::default()
            });
            self.handle(Event::Evaluated { ticket, result });
        }
        let keys = self
            .reconciler
            .desired()
            .iter()
            .map(|(key, _)| key.as_str());
        let mut shown = keys.collect::<Vec<_>>().join(" ");
        for (origin, error) in self.reconciler.failures() {
            shown += &format!("\n{} {}: {error}", origin.instance, origin.container);
        }
        shown
    }
}

#[test]
fn a_container_that_asks_for_too_much_costs_itself_only() {
    let mut world = World::with_at_most(3);
    assert_eq!(world.evaluate("one", &["/a", "/b"]), "/a /b");
    let refused = "\np two000000000: with the 2 nodes for this container there would be 4 in all, and --max-nodes permits 3; the container keeps the nodes it had";
    assert_eq!(
        world.evaluate("two", &["/c", "/d"]),
        "/a /b".to_owned() + refused
    );
    assert_eq!(world.evaluate("two", &["/b", "/c"]), "/a /b /c");
    assert_eq!(
        world.evaluate("one", &["/b", "/e"]),
        "/b /c /e",
        "a key for a key"
    );
    assert_eq!(world.evaluate("two", &["/e"]), "/b /e");
    assert_eq!(world.evaluate("two", &["/f"]), "/b /e /f");
}
