//! The program from end to end: real containers in, nodes in etcd out.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "../support/dockerd.rs"]
mod dockerd;
#[path = "../../benches/support/documents.rs"]
#[allow(dead_code, reason = "the benches use more of it")]
mod documents;
#[path = "../../benches/support/engine.rs"]
#[allow(dead_code, reason = "the benches use more of it")]
mod engine;
#[path = "../support/etcd.rs"]
mod etcd;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/world.rs"]
mod world;

/// Makes a test of each named case, which takes a world, for each of these kinds of etcd.
macro_rules! on {
    ($($kind:ident as $module:ident: $($case:ident)*;)*) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                if let Some(world) = crate::world::World::new(crate::world::EtcdKind::$kind) {
                    super::$case(world);
                }
            })*
        })*
    };
}

mod brake;
mod configurations;
mod containers;
mod drain;
mod dynamic;
mod embedded;
mod ends;
mod explained;
mod memory;
mod plan;
mod podman;
mod policies;
mod rest;
mod ruby;
mod shared_network;
mod strangers;
mod values;

/// Two containers, `a` and `b`, are registered.
fn started(world: &mut world::World) {
    world.policy("p", &by_name("1"));
    world.run("a", &[]);
    world.run("b", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/a", "1"), ("/t/b", "1")]);
}

/// A policy that gives each container of the world a node `/t/NAME` with the value of this expression.
fn by_name(value: &str) -> String {
    by_container(&format!("{{\"/t/\" + name: {value}}}"))
}

/// A policy that gives each container of the world, known as `name`, these nodes.
fn by_container(nodes: &str) -> String {
    format!(
        r#"
def docker_container(container, config):
    name = container.name.removeprefix("WORLD-")
    if container.label("world") == "WORLD":
        return {nodes}
"#
    )
}
