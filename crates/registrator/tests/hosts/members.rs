//! Members of etcd end, die and are cut off; every registrator lives on and loses nothing.

use crate::cluster::MEMBERS;
use crate::crashes::hold_all;
use crate::history::History;
use crate::host::HOSTS;
use crate::world::{LONG, SHORT, World};
use std::collections::BTreeMap;

/// All members are restarted in order, one after the other; then all registrators.
pub(crate) fn rolling_restart(world: &mut World) {
    world.begin("a rolling restart of etcd", LONG, "keep");
    hold_all(world);
    let before = world.revisions();
    let history = world.act("all members are restarted, one after the other", |world| {
        for member in 0..MEMBERS {
            world.cluster.stop(member);
            world.cluster.spawn(member);
            world.cluster.wait_for_health(member);
        }
    });
    expect_untouched(world, &history, &before);
    expect_all_to_work(world);
}

/// The leader is killed, cut off from everybody, and cut off from the other members alone.
pub(crate) fn leader_lost(world: &mut World) {
    world.begin("the leader of etcd is lost", SHORT, "keep");
    hold_all(world);
    let before = world.revisions();
    let leader = world.cluster.leader();
    let history = world.act("kill -9 of the leader", |world| {
        world.cluster.kill(leader);
        world.cluster.wait_for_other_leader(leader);
        expect_all_to_work(world);
        world.cluster.spawn(leader);
        world.cluster.wait_for_health(leader);
    });
    expect_untouched(world, &history, &before);
    let leader = world.cluster.leader();
    let history = world.act("the leader is cut off from everybody", |world| {
        world.network.unplug(world.cluster.place(leader));
        world.cluster.wait_for_other_leader(leader);
        expect_all_to_work(world);
        world.network.plug(world.cluster.place(leader));
        world.cluster.wait_for_health(leader);
    });
    expect_untouched(world, &history, &before);
    let leader = world.cluster.leader();
    let history = world.act(
        "the leader is cut off from the other members alone",
        |world| {
            let others = (0..MEMBERS).filter(|member| *member != leader);
            let places = |world: &World, other| {
                [leader, other].map(|member: usize| world.cluster.place(member).clone())
            };
            for [leader, other] in others.clone().map(|other| places(world, other)) {
                world.network.cut(&leader, &other);
            }
            world.cluster.wait_for_other_leader(leader);
            expect_all_to_work(world);
            // Whoever stays with a member that has no leader loses its lease.
            let lost = |state: &crate::history::State| {
                let alive = world
                    .hosts
                    .iter()
                    .all(|host| state.lease_of(&host.name).is_some());
                (!alive).then_some(())
            };
            world.recorder.wait(SHORT + SHORT / 4, lost);
            for [leader, other] in others.map(|other| places(world, other)) {
                world.network.mend(&leader, &other);
            }
            world.cluster.wait_for_health(leader);
        },
    );
    expect_untouched(world, &history, &before);
    world.expect_rest();
}

/// No node of before was written or removed.
fn expect_untouched(world: &World, history: &History, before: &BTreeMap<String, i64>) {
    let touched = before.keys().find(|key| !history.values(key).is_empty());
    world.expect(
        touched.is_none(),
        &format!("no node is touched, but {touched:?}"),
    );
    world.expect(world.revisions() == *before, "no node has another revision");
}

/// Each host registers and removes something.
fn expect_all_to_work(world: &mut World) {
    for host in 0..HOSTS {
        world.hosts[host].run(
            "works",
            &[(&format!("/works/{host}"), "1"), ("/works/all", "1")],
        );
    }
    world.settle("all registered something");
    (0..HOSTS).for_each(|host| world.hosts[host].rm("works"));
    world.settle("all removed something");
}
