//! A host is cut off from all of etcd, and from one member of it.

use crate::cluster::MEMBERS;
use crate::crashes::{expect_handed_over, expect_return, hold_all};
use crate::program::{DEADLINE, wait_for};
use crate::world::{SHORT, World};
use std::time::Instant;

const WAITING: [&str; 2] = ["WARN", "waiting for etcd"];

/// Cut off for longer than its lease lives, then back.
pub(crate) fn from_all_members(world: &mut World) {
    world.begin(
        "a host cut off from etcd for longer than the TTL",
        SHORT,
        "keep",
    );
    hold_all(world);
    // This process may have waited in the case before.
    let waited = world.hosts[0].program().lines(&WAITING).len();
    let history = world.act("cut off", |world| {
        world.network.unplug(&world.hosts[0].place);
        world.hosts[0].counts = false;
    });
    expect_handed_over(world, &history);
    world.hosts[0]
        .program()
        .wait_for_lines(waited + 1, &WAITING);
    let history = world.act("back", |world| {
        world.network.plug(&world.hosts[0].place);
        world.hosts[0].counts = true;
    });
    expect_return(world, &history);
}

/// The program goes to another member before its lease ends: nothing changes in etcd.
pub(crate) fn from_one_member(world: &mut World) {
    let cut = begin_with_one_member(world);
    let before = world.revisions();
    let identity = world.recorder.state().lease_of("a");
    let history = world.act("cut off", |world| {
        world
            .network
            .cut(&world.hosts[0].place, world.cluster.place(cut));
        wait_for(
            "a connection to another member",
            || {
                members_of(world, 0)
                    .iter()
                    .any(|member| *member != cut)
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
        world
            .network
            .mend(&world.hosts[0].place, world.cluster.place(cut));
    });
    world.expect_writes(0, &history);
    world.expect_rest();
}

/// The first host holds all, and is connected to this member alone. A process that moved to another, for an answer came late, may have
/// connections to several: another one is started until it has not.
fn begin_with_one_member(world: &mut World) -> usize {
    let deadline = Instant::now() + DEADLINE;
    loop {
        world.begin("a host cut off from its member of etcd", SHORT, "keep");
        world.hosts[0].ask_to_end();
        world.hosts[0].wait_for_end();
        world.start_host(0);
        hold_all(world);
        let members = members_of(world, 0);
        if let [member] = members[..] {
            return member;
        }
        world.expect(
            Instant::now() < deadline,
            &format!("it is connected to one member, not to {members:?}"),
        );
    }
}

/// The members that a host is connected to.
fn members_of(world: &World, host: usize) -> Vec<usize> {
    let connected = world.hosts[host].connections();
    let is = |member: &usize| connected.contains(&world.cluster.place(*member).address);
    (0..MEMBERS).filter(is).collect()
}
