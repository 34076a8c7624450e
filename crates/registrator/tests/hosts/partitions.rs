//! A host is cut off from all of etcd, and from one member of it.

use crate::cluster::MEMBERS;
use crate::crashes::{expect_handed_over, expect_return, hold_all};
use crate::program::wait_for;
use crate::world::{SHORT, World};

/// Cut off for longer than its lease lives, then back.
pub(crate) fn from_all_members(world: &mut World) {
    world.begin(
        "a host cut off from etcd for longer than the TTL",
        SHORT,
        "keep",
    );
    hold_all(world);
    let history = world.act("cut off", |world| {
        world.network.unplug(&world.hosts[0].place);
        world.hosts[0].counts = false;
    });
    expect_handed_over(world, &history);
    world.hosts[0]
        .program()
        .wait_for_line(&["WARN", "waiting for etcd"]);
    let history = world.act("back", |world| {
        world.network.plug(&world.hosts[0].place);
        world.hosts[0].counts = true;
    });
    expect_return(world, &history);
}

/// The program goes to another member before its lease ends: nothing changes in etcd.
pub(crate) fn from_one_member(world: &mut World) {
    world.begin("a host cut off from its member of etcd", SHORT, "keep");
    // A process that moved to another member before may have connections to several.
    world.hosts[0].ask_to_end();
    world.hosts[0].wait_for_end();
    world.start_host(0);
    hold_all(world);
    let before = world.revisions();
    let identity = world.recorder.state().lease_of("a");
    let cut = members_of(world, 0);
    world.expect(
        cut.len() == 1,
        &format!("it is connected to one member, not to {cut:?}"),
    );
    let history = world.act("cut off", |world| {
        for member in &cut {
            world
                .network
                .cut(&world.hosts[0].place, world.cluster.place(*member));
        }
        wait_for(
            "a connection to another member",
            || {
                members_of(world, 0)
                    .iter()
                    .any(|member| !cut.contains(member))
                    .then_some(())
            },
            || world.hosts[0].log(),
        );
        // Longer than the TTL, in which the lease would end if it were not renewed.
        world.recorder.wait(SHORT + SHORT / 4, |state| {
            state.lease_of("a").is_none().then_some(())
        });
    });
    world.expect_writes(0, &history);
    world.expect(world.revisions() == before, "no node has another revision");
    world.expect(
        world.recorder.state().lease_of("a") == identity,
        "the lease lives on",
    );
    world.act("a new container while it is cut off", |world| {
        world.hosts[0].run("new", &[("/own/new", "1")])
    });
    let history = world.act("back", |world| {
        for member in &cut {
            world
                .network
                .mend(&world.hosts[0].place, world.cluster.place(*member));
        }
    });
    world.expect_writes(0, &history);
    world.expect_rest();
}

/// The members that a host is connected to.
fn members_of(world: &World, host: usize) -> Vec<usize> {
    let connected = world.hosts[host].connections();
    let is = |member: &usize| connected.contains(&world.cluster.place(*member).address);
    (0..MEMBERS).filter(is).collect()
}
