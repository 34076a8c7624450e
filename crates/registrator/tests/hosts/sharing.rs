//! Keys that several hosts want: with one value, and with different ones.

use crate::history::History;
use crate::host::HOSTS;
use crate::program::wait_for;
use crate::world::{LONG, World};
use std::collections::BTreeMap;

const KEY: &str = "/shared/key";

/// The holder of a key that all hosts want with one value goes away in several ways.
pub(crate) fn equal_values(world: &mut World) {
    world.begin("one value from three hosts", LONG, "release");
    let history = world.act("the first registers", |world| {
        world.hosts[0].run("one", &[(KEY, "1")])
    });
    world.expect_writes(1, &history);
    for host in [1, 2] {
        let history = world.act("another wants the same", |world| {
            world.hosts[host].run("one", &[(KEY, "1")])
        });
        world.expect_writes(1, &history);
        world.expect(
            history.values(KEY).is_empty(),
            "a claim leaves the key alone",
        );
    }
    let holder = world.holder(KEY);
    world.expect(holder == 0, "the first holds it");

    let history = world.act("the container of the holder goes", |world| {
        world.hosts[holder].rm("one")
    });
    world.expect_never_absent(KEY, &history);
    world.expect_writes(1, &history);

    let holder = world.holder(KEY);
    let history = world.act("the holder ends and releases", |world| {
        leave(world, &[holder])
    });
    world.expect_never_absent(KEY, &history);
    world.expect_writes(1, &history);

    let last = world.holder(KEY);
    world.expect(![0, holder].contains(&last), "the third holds it");
    let history = world.act("the last one goes", |world| world.hosts[last].rm("one"));
    world.expect(
        history.values(KEY) == [(None, 0)],
        "it goes at once, by one deletion",
    );
    world.expect_writes(1, &history);
}

/// Two of three leave at the same time, the holder among them.
pub(crate) fn two_leave_at_once(world: &mut World) {
    world.begin("two of three leave at once", LONG, "release");
    for how in ["containers", "processes"] {
        all_want(world, ["1", "1", "1"]);
        let holder = world.holder(KEY);
        let leaving = [holder, (holder + 1) % HOSTS];
        let history = world.act(&format!("{how} of two go"), |world| match how {
            "containers" => remove_at_once(world, &leaving),
            _ => leave(world, &leaving),
        });
        world.expect_never_absent(KEY, &history);
        // Each gives up what it has: a claim, or the key, which may be handed to the other before that one leaves too.
        let writes = history.of_nodes_and_claims().writes();
        world.expect(
            (2..=3).contains(&writes),
            &format!("2 or 3 writes, not {writes}"),
        );
        let last = world.holder(KEY);
        let history = world.act("the last one goes", |world| world.hosts[last].rm("one"));
        world.expect(
            history.values(KEY) == [(None, 0)],
            "it goes at once, by one deletion",
        );
        for host in leaving {
            if !world.hosts[host].counts {
                world.start_host(host);
                world.hosts[host].clear();
            }
        }
        world.settle("the end of the round");
    }
}

/// Processes end and keep their nodes, alone and all together, and others take over.
pub(crate) fn restarts(world: &mut World) {
    world.begin("restarts that keep", LONG, "keep");
    let before = shared_and_own(world);
    let holder = world.holder(KEY);
    let history = world.act("the holder is restarted", |world| restart(world, &[holder]));
    expect_untouched(world, &history, &before);
    let history = world.act("all are restarted, one after the other", |world| {
        (0..HOSTS).for_each(|host| restart(world, &[host]));
    });
    expect_untouched(world, &history, &before);
    let history = world.act("all are restarted at once", |world| {
        restart(world, &[0, 1, 2])
    });
    expect_untouched(world, &history, &before);
}

pub(crate) fn expect_untouched(world: &World, history: &History, before: &BTreeMap<String, i64>) {
    world.expect_writes(0, history);
    world.expect(world.revisions() == *before, "no node has another revision");
}

/// Ends these, all at once, and starts each when it has ended.
pub(crate) fn restart(world: &mut World, hosts: &[usize]) {
    hosts
        .iter()
        .for_each(|host| world.hosts[*host].ask_to_end());
    for host in hosts {
        world.hosts[*host].wait_for_end();
        world.spawn_host(*host);
    }
    for host in hosts {
        world.hosts[*host].wait_for_sync();
        world.hosts[*host]
            .program()
            .wait_for_line(&["took over lease"]);
    }
}

/// Three hosts want three values: the smallest is on top, whatever happens, and that costs one transaction for each change.
pub(crate) fn different_values(world: &mut World) {
    world.begin("different values", LONG, "keep");
    let history = world.act("one host wants 3", |world| {
        world.hosts[0].run("one", &[(KEY, "3")])
    });
    world.expect_writes(1, &history);
    let history = world.act("a smaller value appears", |world| {
        world.hosts[1].run("one", &[(KEY, "2")])
    });
    world.expect_never_absent(KEY, &history);
    expect_take_over(world, &history);
    expect_warnings(world, [1, 1, 0], "2 of host b", "3 of host a");
    let history = world.act("the smallest value appears", |world| {
        world.hosts[2].run("one", &[(KEY, "1")])
    });
    world.expect_never_absent(KEY, &history);
    expect_take_over(world, &history);
    let before = world.revisions();
    let history = world.act("a larger value appears on the same host", |world| {
        world.hosts[0].run("two", &[(KEY, "4")]);
    });
    world.expect_writes(0, &history);
    world.expect_rest();
    world.expect(world.revisions() == before, "nothing bounces");
    expect_warnings(world, [2, 2, 1], "1 of host c", "2 of host b; 3 of host a");

    let history = world.act("the smallest goes", |world| world.hosts[2].rm("one"));
    world.expect_never_absent(KEY, &history);
    world.expect_writes(1, &history);
    world.expect(world.holder(KEY) == 1, "the next smallest is on top");
    expect_warnings(world, [3, 3, 1], "2 of host b", "3 of host a");
    let history = world.act("the next goes", |world| world.hosts[1].rm("one"));
    world.expect_never_absent(KEY, &history);
    world.expect_writes(1, &history);
    let history = world.act("the largest goes, the host has a larger one", |world| {
        world.hosts[0].rm("one")
    });
    world.expect_never_absent(KEY, &history);
    world.expect(history.values(KEY).len() == 1, "one change");
    let history = world.act("the last goes", |world| world.hosts[0].rm("two"));
    world.expect(
        history.values(KEY) == [(None, 0)],
        "it goes at once, by one deletion",
    );
}

/// One transaction changes the node and gives the loser a claim. If the loser hears of its node first, it writes that claim once
/// more.
fn expect_take_over(world: &World, history: &History) {
    let writes = history.of_nodes_and_claims().writes();
    world.expect(
        (1..=2).contains(&writes),
        &format!("1 or 2 writes, not {writes}"),
    );
    world.expect(history.values(KEY).len() == 1, "one change of the node");
}

/// Each host has warned of so many changes: those that are named here with these words the last time. A node and the claim of its
/// loser may be heard of one after the other, so that a warning may come twice, first without that claim.
fn expect_warnings(world: &World, counts: [usize; HOSTS], registered: &str, waiting: &str) {
    let conflict = format!("different values for {KEY} on several hosts: ");
    let now = format!("{conflict}{registered} is registered, waiting: {waiting}");
    for (host, count) in world.hosts.iter().zip(counts) {
        let concerned = now.contains(&format!("of node {}", host.name));
        let said = || host.program().lines(&["WARN", &conflict]);
        let right = || {
            let said = said();
            let of = |line: &String| line.split(" is registered").next().map(after_time);
            let mut changes: Vec<_> = said.iter().map(of).collect();
            changes.dedup();
            let last_is_now = said.last().is_none_or(|line| line.ends_with(&now));
            let as_often = changes.len() == count && said.len() <= 2 * count;
            (as_often && (last_is_now || !concerned)).then_some(())
        };
        let what = format!("{} to warn of {count} changes, at last: {now}", host.name);
        wait_for(&what, right, || said().join("\n"));
    }
}

fn after_time(line: &str) -> String {
    line.split_once(' ')
        .map_or(line, |(_, rest)| rest)
        .to_owned()
}

/// Runs a container on each host, the first before the others.
pub(crate) fn all_want(world: &mut World, values: [&str; HOSTS]) {
    for (host, value) in values.into_iter().enumerate() {
        world.hosts[host].run("one", &[(KEY, value)]);
        world.settle("one more wants it");
    }
}

/// All hosts hold one key together, and each holds one of its own: the revisions of these nodes.
pub(crate) fn shared_and_own(world: &mut World) -> BTreeMap<String, i64> {
    all_want(world, ["1", "1", "1"]);
    (0..HOSTS).for_each(|host| {
        let own = format!("/own/{host}");
        world.hosts[host].run("own", &[(&own, "1")]);
    });
    world.settle("three hosts with a node of their own");
    world.revisions()
}

fn leave(world: &mut World, hosts: &[usize]) {
    for host in hosts {
        world.hosts[*host].ask_to_end();
        world.hosts[*host].counts = false;
    }
    hosts
        .iter()
        .for_each(|host| world.hosts[*host].wait_for_end());
}

fn remove_at_once(world: &mut World, hosts: &[usize]) {
    std::thread::scope(|scope| {
        for (number, host) in world.hosts.iter_mut().enumerate() {
            if hosts.contains(&number) {
                scope.spawn(|| host.rm("one"));
            }
        }
    });
}
