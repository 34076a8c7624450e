//! The brake on mass deletion, and containers that take the place of others.

use crate::by_container;
use crate::world::World;

on! {
    V3_4 as etcd_3_4:
        a_mistake_in_a_policy_deletes_nothing
        containers_that_end_take_their_nodes
        configurations_that_are_away_delete_nothing
        a_restart_with_nothing_to_do_deletes_nothing
        a_container_in_the_place_of_another_leaves_no_gap;
}

/// Each container has this many nodes.
const MANY: usize = 12;

fn many() -> String {
    by_container("{\"/t/%s/%d\" % (name, at): 1 for at in range(12)}")
}

fn wait_for(world: &World, count: usize) {
    world.wait_until(&format!("{count} nodes"), |world| {
        world.nodes("/t/").len() == count
    });
}

fn a_mistake_in_a_policy_deletes_nothing(mut world: World) {
    world.policy("many", &many());
    world.run("web", &[]);
    world.start();
    wait_for(&world, MANY);
    world.policy("many", &by_container("{}"));
    let warning = world.program().wait_for_line(&["WARN", "12 of 12 nodes"]);
    for part in ["many gives them no more", "--max-delete 50%", "SIGUSR1"] {
        assert!(warning.contains(part), "{part} in {warning}");
    }
    world.policy("many", &many());
    world
        .program()
        .wait_for_line(&["no longer held back", "the cause is mended"]);
    assert_eq!(world.nodes("/t/").len(), MANY);
    world.policy("many", &by_container("{}"));
    world
        .program()
        .wait_for_lines(2, &["WARN", "12 of 12 nodes"]);
    assert_eq!(world.nodes("/t/").len(), MANY);
    world.program().signal("USR1");
    wait_for(&world, 0);
    world
        .program()
        .wait_for_line(&["no longer held back", "as asked for; 12 of them go"]);
}

fn containers_that_end_take_their_nodes(mut world: World) {
    world.policy("many", &many());
    world.arguments = vec!["--max-delete=20%".to_owned()];
    for name in ["one", "two", "three"] {
        world.run(name, &[]);
    }
    world.start();
    wait_for(&world, 3 * MANY);
    world.rm("one");
    wait_for(&world, 2 * MANY);
    let stop = |name| {
        let container = world.container(name);
        world.docker().docker(&["stop", "--time=0", &container]);
    };
    stop("two");
    wait_for(&world, MANY);
    // What is held back goes as soon as its container ends.
    world.policy("many", &by_container("{}"));
    world
        .program()
        .wait_for_line(&["WARN", "nodes would be deleted"]);
    assert_eq!(world.nodes("/t/").len(), MANY);
    stop("three");
    wait_for(&world, 0);
}

fn configurations_that_are_away_delete_nothing(mut world: World) {
    world.policy(
        "needy",
        &format!(
            "config(attrs = {{}})\n{}",
            by_container("{\"/t/\" + name: 1}")
        ),
    );
    world.config("needy.json", "{}");
    world.run("web", &[]);
    world.start();
    wait_for(&world, 1);
    world.remove("services/needy.json");
    world
        .program()
        .wait_for_line(&["WARN", "1 of 1 nodes", "no policy runs"]);
    assert_eq!(world.nodes("/t/").len(), 1);
    let before = world.node("/t/web");
    world.config("needy.json", "{}");
    world.program().wait_for_line(&["no longer held back"]);
    assert_eq!(world.node("/t/web"), before, "it was not touched");
}

fn a_restart_with_nothing_to_do_deletes_nothing(mut world: World) {
    world.policy("many", &many());
    world.run("web", &[]);
    world.start();
    wait_for(&world, MANY);
    world.program_mut().terminate();
    world.policy("many", &by_container("{}"));
    let plan = world.command("plan", &[]);
    let plan = String::from_utf8(plan.stdout).unwrap();
    for part in ["12 of 12 nodes", "run would hold them back", "0 to delete"] {
        assert!(plan.contains(part), "{part} in {plan}");
    }
    world.arguments = vec!["--max-delete-hold=2s".to_owned()];
    world.start();
    world
        .program()
        .wait_for_line(&["WARN", "12 of 12 nodes", "the process before this one"]);
    wait_for(&world, 0);
    world
        .program()
        .wait_for_line(&["no longer held back", "--max-delete-hold is over"]);
}

/// Both are told of at once, and the policy takes its time for the new one.
fn a_container_in_the_place_of_another_leaves_no_gap(mut world: World) {
    world.policy(
        "service",
        &by_container(
            "{\"/t/service\": \"up\", \"/t/slow\": len([x * y for x in range(50) for y in range(50)]) if container.label(\"slow\") else None}",
        ),
    );
    let old = world.run("old", &[]);
    world.start();
    wait_for(&world, 1);
    let before = world.node("/t/service");
    world.program().signal("STOP");
    world.run("new", &["--label=slow=1"]);
    world.docker().docker(&["kill", &old]);
    world.program().signal("CONT");
    world.wait_until("the slow one was looked at", |world| {
        world.node("/t/slow").is_some()
    });
    world.docker().docker(&["rm", &old]);
    assert_eq!(world.node("/t/service"), before, "it was never away");
}
