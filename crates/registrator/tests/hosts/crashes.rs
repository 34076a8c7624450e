//! A process dies, or stands still, and others want its keys.

use crate::sharing::all_want;
use crate::world::{LONG, SHORT, World};

const KEY: &str = "/shared/key";
const DIFFERENT: &str = "/shared/different";
const OWN: &str = "/own/key";

/// The first host holds all keys: one that all want, one that all want with other values, one that nobody else wants.
pub(crate) fn hold_all(world: &mut World) {
    all_want(world, ["1", "1", "1"]);
    for (host, value) in ["1", "2", "3"].into_iter().enumerate() {
        world.hosts[host].run("different", &[(DIFFERENT, value)]);
    }
    world.hosts[0].run("own", &[(OWN, "1")]);
    world.settle("the first holds all");
    world.expect(
        [KEY, DIFFERENT, OWN]
            .iter()
            .all(|key| world.holder(key) == 0),
        "the first holds all",
    );
}

/// Its successor adopts everything; what ended meanwhile goes at once.
pub(crate) fn killed_and_started_again(world: &mut World) {
    world.begin("kill -9 and a start at once", LONG, "keep");
    hold_all(world);
    world.hosts[0].run("ends", &[("/own/ends", "1"), ("/shared/ends", "1")]);
    world.hosts[1].run("stays", &[("/shared/ends", "1")]);
    world.settle("all is there");
    let mut before = world.revisions();
    let history = world.act("killed, a container removed, started", |world| {
        world.hosts[0].kill();
        world.hosts[0].rm("ends");
        world.start_host(0);
        world.hosts[0].program().wait_for_line(&["took over lease"]);
    });
    let mut after = world.revisions();
    before.remove("/own/ends");
    before.remove("/shared/ends");
    after.remove("/shared/ends");
    world.expect(after == before, "no other node has another revision");
    world.expect(
        history.values("/own/ends") == [(None, 0)],
        "what ended goes",
    );
    world.expect_never_absent("/shared/ends", &history);
    world.expect(
        world.holder("/shared/ends") == 1,
        "what ended is handed over",
    );
    // The removal, and the hand-over.
    let writes = history.of_nodes_and_claims().writes();
    world.expect(
        (1..=2).contains(&writes),
        &format!("1 or 2 writes, not {writes}"),
    );
    world.expect_rest();
}

/// What others want never disappears; what nobody else wants goes with the lease.
pub(crate) fn killed_for_good(world: &mut World) {
    world.begin("kill -9 of the holder", SHORT, "keep");
    hold_all(world);
    let history = world.act("killed", |world| {
        world.hosts[0].kill();
        world.hosts[0].counts = false;
    });
    expect_handed_over(world, &history);
    let history = world.act("started again", |world| world.start_host(0));
    world.expect_never_absent(KEY, &history);
    world.expect_never_absent(DIFFERENT, &history);
    world.expect(
        world.holder(DIFFERENT) == 0,
        "the smaller value is on top again",
    );
    world.expect(
        history.values(KEY).is_empty(),
        "the equal value stays where it is",
    );
    world.expect_rest();
}

/// A process that stands still for longer than its lease lives comes back to where it belongs.
pub(crate) fn frozen(world: &mut World) {
    world.begin("SIGSTOP for longer than the TTL", SHORT, "keep");
    hold_all(world);
    let history = world.act("stopped", |world| {
        world.hosts[0].freeze();
        world.hosts[0].counts = false;
    });
    expect_handed_over(world, &history);
    let history = world.act("continued", |world| {
        world.hosts[0].thaw();
        world.hosts[0].counts = true;
    });
    expect_return(world, &history);
}

/// The two others have the shared keys, which were never absent, and the rest is gone.
pub(crate) fn expect_handed_over(world: &World, history: &crate::history::History) {
    world.expect_never_absent(KEY, history);
    world.expect_never_absent(DIFFERENT, history);
    world.expect(world.holder(KEY) != 0, "another holds it");
    world.expect(
        world.holder(DIFFERENT) == 1,
        "the next smallest value is on top",
    );
    world.expect(
        history.values(OWN) == [(None, 0)],
        "what nobody else wants goes, once",
    );
    world.expect(
        history.values(KEY).len() == 1,
        "one change of the key that all want",
    );
}

/// The first is back: what it alone wants and where it is smaller is its own again, and nothing bounces.
pub(crate) fn expect_return(world: &World, history: &crate::history::History) {
    world.expect_never_absent(KEY, history);
    world.expect_never_absent(DIFFERENT, history);
    world.expect(
        world.holder(DIFFERENT) == 0,
        "the smaller value is on top again",
    );
    world.expect(
        history.values(DIFFERENT).len() == 1,
        "one change of the key with different values",
    );
    world.expect(
        history.values(KEY).is_empty(),
        "the equal value stays where it is",
    );
    world.expect(
        history.values(OWN).len() == 1,
        "what nobody else wants is there again",
    );
    world.expect_rest();
}
