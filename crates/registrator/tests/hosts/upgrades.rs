//! Objects beside hosts of the version before, which has the same keys as nodes by themselves and knows nothing of markers. Whoever was first
//! and whatever the values are, writing comes to an end and other keys are left alone. When the last such host lets go, the object is
//! written whole, in one transaction.

use crate::history::{History, State};
use crate::mixed::{equip, replace, this};
use crate::objects::{A, B, Fields, SharedObject, below};
use crate::program::DEADLINE;
use crate::sharing::restart;
use crate::world::{LONG, SHORT, World};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Larger than [`B`].
const C: Fields = &[("rule", "c"), ("service", "x"), ("tls", "true")];
/// A key that hosts share besides, and keys of one host each.
const SHARED: &str = "/beside/shared";
const BLOCKED: &str = " is not registered: ";
/// The first of the words of the only warning that the former version may give: two values of one key.
const CONFLICT: &str = "different values for ";

/// Keys and their revisions.
type Revisions = BTreeMap<String, i64>;

/// The object yields to nodes that are there. When they go it is written.
pub(crate) fn nodes_first(world: &mut World, former: &Path) {
    let title = "nodes that are there before an object";
    let others = begin(world, title, (LONG, "release"), former, &[0]);
    let object = SharedObject::new("/objects/nodes-first", "smallest");
    object.run(world, 0, "one", B);
    wait_for(world, &object, "nodes", (0, B), &[(0, B)]);
    let before = revisions_of(world, &object, B);
    object.run(world, 1, "one", B);
    let servers = [(0, B), (1, B)];
    wait_for(world, &object, "an object like them", (0, B), &servers);
    object.run(world, 2, "one", A);
    // The servers of an object are not for nodes that say something else.
    wait_for(world, &object, "a smaller one", (0, B), &[(0, B)]);
    (1..3).for_each(|host| expect_blocked_once(world, host));
    world.expect_rest();
    (1..3).for_each(|host| expect_blocked_once(world, host));
    let after = revisions_of(world, &object, B);
    world.expect(after == before, "the nodes stay as they are");
    expect_no_warnings(world, 0, &[]);

    let mark = world.recorder.catch_up();
    world.hosts[0].ask_to_end();
    world.hosts[0].counts = false;
    world.hosts[0].wait_for_end();
    wait_for(world, &object, "they go", (2, A), &[(2, A)]);
    expect_written_whole(world, &object, mark, 2, A);
    world.expect_rest();
    end(world, &object, &others, &[1, 2]);
}

/// Nodes that do not differ from an object, or are larger, claim its keys and wait. They have them when the object is gone, or its host dies.
pub(crate) fn an_object_first(world: &mut World, former: &Path) {
    let title = "nodes that come to an object";
    let others = begin(world, title, (SHORT, "keep"), former, &[0]);
    let object = SharedObject::new("/objects/object-first", "none");
    let ours = [(1, B), (2, B)];
    let before = both_have(world, &object);
    for nodes in [C, B] {
        object.run(world, 0, "one", nodes);
        wait_for_claims(world, &object, nodes);
        world.expect_rest();
        let after = revisions_of(world, &object, B);
        world.expect(after == before, "the object stays as it is");
        if nodes == C {
            world.hosts[0].rm("one");
            wait_for(world, &object, "larger nodes go", (1, B), &ours);
        }
    }
    let mark = world.recorder.catch_up();
    (1..3).for_each(|host| world.hosts[host].rm("one"));
    wait_for(world, &object, "the object goes", (0, B), &[(0, B)]);
    expect_absences(world, &object, mark, 1);
    expect_no_warnings(world, 0, &[CONFLICT]);
    world.hosts[0].rm("one");

    both_have(world, &object);
    object.run(world, 0, "one", B);
    wait_for_claims(world, &object, B);
    let mark = world.recorder.catch_up();
    world.hosts[1].kill();
    world.hosts[1].counts = false;
    // Whoever comes first has all of it.
    let left = [(0, B), (2, B)];
    let holder = world.wait("the end of its lease", |state| {
        let mut holders = [0, 2].into_iter();
        holders.find(|host| fits(world, state, &object, (*host, B), &left))
    });
    world.print(&format!("host {holder} has what the dead one had"));
    expect_absences(world, &object, mark, 1);
    world.expect_rest();
    world.start_host(1);
    let all = [(0, B), (1, B), (2, B)];
    wait_for(world, &object, "it is back", (holder, B), &all);
    world.hosts[0].rm("one");
    wait_for(world, &object, "the nodes go", (2, B), &ours);
    end(world, &object, &others, &[2]);
}

/// A node of smaller value takes its key from an object, which yields, and has it back from who goes or dies.
pub(crate) fn smaller_nodes(world: &mut World, former: &Path) {
    let title = "smaller nodes that come to an object";
    let others = begin(world, title, (SHORT, "keep"), former, &[0]);
    let object = SharedObject::new("/objects/smaller-nodes", "none");
    let ours = [(1, B), (2, B)];
    // Who waits for the object does not know that it is blocked.
    let all = [(0, A), (2, B)];
    both_have(world, &object);
    object.run(world, 0, "one", A);
    wait_for(world, &object, "a smaller node", (0, A), &all);
    expect_blocked_once(world, 1);
    world.expect_rest();
    expect_blocked_once(world, 1);
    let mark = world.recorder.catch_up();
    world.hosts[0].kill();
    world.hosts[0].counts = false;
    wait_for(world, &object, "its host dies", (1, B), &ours);
    expect_written_whole(world, &object, mark, 1, B);
    world.start_host(0);
    wait_for(world, &object, "it is back", (0, A), &all);
    world.hosts[0].rm("one");
    wait_for(world, &object, "its container goes", (1, B), &ours);
    world.expect_rest();

    object.run(world, 0, "one", A);
    wait_for(world, &object, "a smaller one again", (0, A), &all);
    (1..3).for_each(|host| world.hosts[host].rm("one"));
    wait_for(world, &object, "the object goes", (0, A), &[(0, A)]);
    expect_no_warnings(world, 0, &[CONFLICT]);
    end(world, &object, &others, &[1, 2]);
}

/// All hosts get this version. If the holder of the nodes is the first, no node is ever absent; if it is not the first it takes its nodes
/// away when it gets it, and who has the marker writes the object when it has seen that. In no case is a node absent twice.
pub(crate) fn one_after_the_other(world: &mut World, former: &Path) {
    for order in [[0, 1, 2], [1, 2, 0]] {
        let title = format!("upgrades of hosts {order:?}");
        let others = begin(world, &title, (LONG, "keep"), former, &[0, 1, 2]);
        let object = SharedObject::new("/objects/upgraded", "none");
        let all = [(0, B), (1, B), (2, B)];
        for host in 0..3 {
            object.run(world, host, "one", B);
            let servers = &all[..=host];
            wait_for(world, &object, "nodes", (0, B), servers);
        }
        for host in order {
            let mark = world.recorder.catch_up();
            replace(world, host, this());
            let is_last = host == order[2];
            let holder = if is_last { order[0] } else { 0 };
            wait_for(world, &object, "an upgrade", (holder, B), &all);
            let never = order[0] == 0 || !is_last;
            expect_absences(world, &object, mark, if never { 0 } else { 1 });
        }
        expect_marker(world, &object, true);
        let mark = world.recorder.catch_up();
        restart(world, &[0, 1, 2]);
        world.expect_rest();
        let history = world.recorder.since(mark);
        world.expect_writes(0, &history);
        end(world, &object, &others, &[0, 1, 2]);
    }
}

/// Back to the former version: a host that releases takes its objects away, and nothing of them is left.
pub(crate) fn back_and_release(world: &mut World, former: &Path) {
    let title = "back to the former version, released";
    let others = begin(world, title, (LONG, "release"), former, &[]);
    let object = SharedObject::new("/objects/released", "smallest");
    both_have(world, &object);
    for host in [2, 1] {
        replace(world, host, former);
    }
    let servers = [(1, B), (2, B)];
    wait_for(world, &object, "both are back", (2, B), &servers);
    expect_marker(world, &object, false);
    world.expect_rest();
    expect_no_warnings(world, 1, &[]);
    expect_no_warnings(world, 2, &[]);
    end(world, &object, &others, &[0]);
}

/// Back to the former version, which adopts the lease with a marker: it says so, and leaves that alone. Nodes stay, until their container goes;
/// then another host, which waits for the object, has it when that lease ends.
pub(crate) fn back_and_keep(world: &mut World, former: &Path) {
    let title = "back to the former version, kept";
    let others = begin(world, title, (SHORT, "keep"), former, &[]);
    let object = SharedObject::new("/objects/kept", "smallest");
    let before = both_have(world, &object);
    replace(world, 1, former);
    let stray = ["WARN", "/registrator/objects/", "left alone"];
    world.hosts[1].program().wait_for_line(&stray);
    world.expect_rest();
    let after = revisions_of(world, &object, B);
    world.expect(after == before, "the nodes stay as they are");
    expect_marker(world, &object, true);

    world.hosts[1].rm("one");
    world.wait("the end of its nodes", |state| {
        let left: Vec<_> = nodes_below(state, &object).into_keys().collect();
        (left == ["servers/2-one"]).then_some(())
    });
    world.expect_rest();
    let mark = world.recorder.catch_up();
    world.hosts[1].ask_to_end();
    world.hosts[1].counts = false;
    world.hosts[1].wait_for_end();
    wait_for(world, &object, "its lease ends", (2, B), &[(2, B)]);
    expect_written_whole(world, &object, mark, 2, B);
    end(world, &object, &others, &[0, 2]);
}

/// Hosts 1 and 2 have an object, which the first of them holds: the revisions of its nodes.
#[track_caller]
fn both_have(world: &mut World, object: &SharedObject) -> Revisions {
    object.run(world, 1, "one", B);
    wait_for(world, object, "an object", (1, B), &[(1, B)]);
    object.run(world, 2, "one", B);
    let servers = [(1, B), (2, B)];
    wait_for(world, object, "two that agree", (1, B), &servers);
    revisions_of(world, object, B)
}

/// Begins a case with the former version on these hosts. Each host has a key of its own, and all share one: their revisions.
#[track_caller]
fn begin(
    world: &mut World,
    title: &str,
    (ttl, on_exit): (Duration, &'static str),
    former: &Path,
    on: &[usize],
) -> Revisions {
    for (number, host) in world.hosts.iter_mut().enumerate() {
        let is_former = on.contains(&number);
        equip(host, if is_former { former } else { this() });
    }
    world.begin(title, ttl, on_exit);
    // The last host stays in most cases.
    for host in [2, 1, 0] {
        let own = own_key(host);
        world.hosts[host].run("beside", &[(&own, "1"), (SHARED, "1")]);
        world.settle("keys beside the object");
    }
    world.revisions()
}

fn own_key(host: usize) -> String {
    format!("/beside/{host}")
}

/// Ends a case. The keys of these hosts were not touched since it began.
#[track_caller]
fn end(world: &mut World, object: &SharedObject, others: &Revisions, hosts: &[usize]) {
    let now = world.revisions();
    let keys = hosts.iter().map(|host| own_key(*host));
    let shared = hosts.contains(&2).then(|| SHARED.to_owned());
    for key in keys.chain(shared) {
        let same = now.get(&key) == others.get(&key);
        world.expect(same, &format!("{key} is not touched"));
    }
    object.end(world);
}

/// Waits until below an object there is this definition, held by this host, and the servers of these hosts.
#[track_caller]
fn wait_for(
    world: &World,
    object: &SharedObject,
    what: &str,
    (holder, fields): (usize, Fields),
    servers: &[(usize, Fields)],
) {
    let right = |state: &State| fits(world, state, object, (holder, fields), servers).then_some(());
    let found = world.recorder.wait(DEADLINE, right);
    world.expect(
        found.is_some(),
        &format!("after {what}: {fields:?} of host {holder}, with servers {servers:?}"),
    );
}

fn fits(
    world: &World,
    state: &State,
    object: &SharedObject,
    (holder, fields): (usize, Fields),
    servers: &[(usize, Fields)],
) -> bool {
    let lease = |host: usize| state.lease_of(&world.hosts[host].name).unwrap_or_default();
    let fields = below(fields).into_iter();
    let mut expected: BTreeMap<_, _> = fields
        .map(|(key, value)| (key, (value, lease(holder))))
        .collect();
    for (host, definition) in servers {
        let server = format!("servers/{host}-one");
        let value = definition[0].1.to_owned();
        expected.insert(server, (value, lease(*host)));
    }
    nodes_below(state, object) == expected
}

/// Waits until host 0 claims those of its nodes that are an object's [`B`], and has the others.
#[track_caller]
fn wait_for_claims(world: &World, object: &SharedObject, nodes: Fields) {
    let of_object = |name: &str| B.iter().any(|(field, _)| *field == name);
    let claimed = nodes.iter().filter(|(name, _)| of_object(name)).count();
    // And its server.
    let written = nodes.len() - claimed + 1;
    let prefix = format!("{}/", object.name);
    world.wait("claims of nodes", |state| {
        let lease = state.lease_of(&world.hosts[0].name);
        let claims = state.claims().into_iter();
        let claims = claims.filter(|(key, by, _)| key.starts_with(&prefix) && Some(*by) == lease);
        let own = nodes_below(state, object).into_values();
        let own = own.filter(|(_, by)| Some(*by) == lease);
        (claims.count() == claimed && own.count() == written).then_some(())
    });
}

/// The nodes below an object's name: values and leases.
fn nodes_below(state: &State, object: &SharedObject) -> BTreeMap<String, (String, i64)> {
    let prefix = format!("{}/", object.name);
    let nodes = state.nodes().into_iter();
    let below = nodes.filter_map(|(key, node)| {
        let key = key.strip_prefix(&prefix)?.to_owned();
        Some((key, (node.value.clone(), node.lease)))
    });
    below.collect()
}

/// The revisions of the nodes of a definition.
fn revisions_of(world: &World, object: &SharedObject, definition: Fields) -> Revisions {
    let mut revisions = world.revisions();
    let keys = definition.iter();
    let keys: Vec<_> = keys
        .map(|(key, _)| format!("{}/{key}", object.name))
        .collect();
    revisions.retain(|key, _| keys.contains(key));
    revisions
}

/// After a revision, a host had all nodes of its definition at each revision, or none.
#[track_caller]
fn expect_written_whole(
    world: &World,
    object: &SharedObject,
    mark: i64,
    host: usize,
    definition: Fields,
) {
    let lease = world.recorder.state().lease_of(&world.hosts[host].name);
    let History(changes) = world.recorder.since(0);
    let mut state = State::default();
    for (number, change) in changes.iter().enumerate() {
        state.apply(change);
        let next = changes.get(number + 1);
        if change.revision <= mark || next.is_some_and(|next| next.revision == change.revision) {
            continue;
        }
        let has = nodes_below(&state, object).into_iter();
        let has: BTreeMap<_, _> = has
            .filter(|(key, (_, by))| !key.starts_with("servers/") && Some(*by) == lease)
            .map(|(key, (value, _))| (key, value))
            .collect();
        let whole = has.is_empty() || has == below(definition);
        let at = change.revision;
        world.expect(whole, &format!("at revision {at} all or nothing: {has:?}"));
    }
}

/// No field was absent more often than this after a revision.
#[track_caller]
fn expect_absences(world: &World, object: &SharedObject, mark: i64, most: usize) {
    let history = world.recorder.since(mark);
    for (field, _) in B {
        let key = format!("{}/{field}", object.name);
        let absences = history.absences(&key);
        let told = format!("{key} is absent {most} times at most, but {absences:?}");
        world.expect(absences.len() <= most, &told);
        if let Some(time) = absences.first().and_then(|absence| absence.time) {
            world.print(&format!("{key} was absent for {time:.1?}"));
        }
    }
}

/// Whether the object has its marker.
#[track_caller]
fn expect_marker(world: &World, object: &SharedObject, there: bool) {
    let marker = format!("/registrator/objects/{}", object.name.replace('/', "%2F"));
    let state = world.recorder.state();
    let is_there = state.0.contains_key(&marker);
    let told = format!("{marker} is there: {there}");
    world.expect(is_there == there, &told);
}

#[track_caller]
fn expect_blocked_once(world: &World, host: usize) {
    let program = world.hosts[host].program();
    program.wait_for_line(&["WARN", BLOCKED]);
    let lines = program.lines(&["WARN", BLOCKED]);
    world.expect(lines.len() == 1, &format!("one line, not {lines:?}"));
}

/// The former version has warned of nothing but this.
#[track_caller]
fn expect_no_warnings(world: &World, host: usize, but: &[&str]) {
    // It does not know this variable of the tests, and a busy machine may be slow to renew its lease.
    let known = [
        "KONTENA_REGISTRATOR_ADMIN_SOCKET",
        "waiting for etcd, nothing is forgotten",
    ];
    let mut lines = world.hosts[host].program().lines(&["WARN"]);
    lines.extend(world.hosts[host].program().lines(&["ERROR"]));
    lines.retain(|line| !known.iter().chain(but).any(|words| line.contains(words)));
    world.expect(lines.is_empty(), &format!("no warnings, but {lines:?}"));
}
