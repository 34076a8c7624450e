//! What happens to containers, and what becomes of their nodes.

use crate::program::World;

/// Names and addresses of the world's containers.
const POLICY: &str = r#"
def docker_container(container, config):
    if container.label("world") != "WORLD":
        return None
    return {"/kontena/WORLD/" + container.name.removeprefix("WORLD-"): container.state.status}
"#;

on! {
    V3_4 as etcd_3_4: nodes_follow_starts_and_stops;
    V3_5 as etcd_3_5: nodes_follow_starts_and_stops;
    V3_6 as etcd_3_6: nodes_follow_starts_and_stops;
    Embedded as embedded: nodes_follow_starts_and_stops;
    Given as given: nodes_follow_starts_and_stops;
}

fn nodes_follow_starts_and_stops(mut world: World) {
    world.policy("state", POLICY);
    world.run("before", &[]);
    world.start();
    let prefix = format!("/kontena/{}/", world.name);
    let key = |name: &str| format!("{prefix}{name}");
    let (before, after) = (key("before"), key("after"));
    world.wait_for_nodes(&prefix, &[(&before, "running")]);
    world.run("after", &[]);
    world.wait_for_nodes(&prefix, &[(&before, "running"), (&after, "running")]);
    world.docker().docker(&["stop", &world.container("before")]);
    world.wait_for_nodes(&prefix, &[(&after, "running")]);
    world
        .docker()
        .docker(&["start", &world.container("before")]);
    world.wait_for_nodes(&prefix, &[(&before, "running"), (&after, "running")]);
    world.rm("before");
    world.rm("after");
    world.wait_for_nodes(&prefix, &[]);
}
