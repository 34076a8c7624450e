//! What a running registrator explains of containers of a real engine, beside a second one on the same etcd.

use crate::by_name;
use crate::program::{Program, registrator, wait_for};
use crate::world::World;

on! {
    V3_4 as etcd_3_4:
        another_host_has_a_smaller_value;
}

fn socket(world: &World, host: &str) -> String {
    let path = world.folder().join(format!("{host}.sock"));
    format!("--admin-socket={}", path.display())
}

fn arguments(world: &World, host: &str) -> Vec<String> {
    let id = format!("--host-id={}-{host}", world.container("host"));
    vec![id, socket(world, host), "--on-exit=release".to_owned()]
}

/// Waits until it explains this so.
#[track_caller]
fn wait_until_explained(world: &World, host: &str, about: &str, words: &[&str]) {
    let said = || {
        let mut command = registrator(world.folder());
        let output = command
            .args(["explain", about, &socket(world, host)])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let found = || {
        let text = said();
        words.iter().all(|word| text.contains(word)).then_some(())
    };
    wait_for(&format!("{words:?} of {about}"), found, said);
}

fn another_host_has_a_smaller_value(mut world: World) {
    world.policy("p", &by_name("1"));
    world.run("web", &[]);
    world.arguments = arguments(&world, "a");
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "1")]);
    world.write("policies-b/p.star", &by_name("2"));
    let mut args = vec!["run".to_owned()];
    args.extend(world.flags());
    args.retain(|flag| !flag.starts_with("--policies="));
    let policies = world.folder().join("policies-b");
    args.push(format!("--policies={}", policies.display()));
    args.extend(arguments(&world, "b"));
    let second = Program::start(world.folder(), &args, &[]);
    let waits = [
        "outvoted: of different values the smallest is registered everywhere",
        "registered  1  by host ",
        "waits       2  for ",
    ];
    wait_until_explained(&world, "b", "/t/web", &waits);
    wait_until_explained(
        &world,
        "b",
        &world.container("web"),
        &["outvoted    /t/web = 2"],
    );
    wait_until_explained(
        &world,
        "a",
        "/t/web",
        &["registered: this host holds it", "waits       2  by host "],
    );
    assert_eq!(world.program_mut().terminate(), Some(0));
    wait_until_explained(&world, "b", "/t/web", &["registered: this host holds it"]);
    world.wait_for_nodes("/t/", &[("/t/web", "2")]);
    drop(second);
}
