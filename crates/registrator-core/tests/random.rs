//! Random schedules: whatever happens and in whatever order, once the world is quiet etcd holds exactly what a naive reference
//! says, and nothing is written any more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod world;

use etcd_mem::store::{Delete, KeyRange, Put};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use registrator_core::node::{Key, Value};
use registrator_core::observe::watch;
use registrator_core::reconciler::{Event, OnExit};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;
use world::record::{self, Exempt};
use world::{Lag, World};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// What a container asks for: key and value numbers.
type Asked = Vec<(u8, u8)>;

#[derive(Debug, Clone)]
enum Step {
    Apply {
        host: usize,
        container: u8,
        asked: Asked,
    },
    Fail {
        host: usize,
        container: u8,
    },
    Remove {
        host: usize,
        container: u8,
    },
    Reload {
        host: usize,
        version: u64,
    },
    /// It dies, and another process starts at once.
    Crash {
        host: usize,
    },
    /// It dies, and nobody starts it again for a while.
    Vanish {
        host: usize,
    },
    Leave {
        host: usize,
        on_exit: OnExit,
    },
    /// Starts one that vanished or left.
    Start {
        host: usize,
    },
    /// Events get lost until everything is read again.
    Forget {
        host: usize,
        forgetful: bool,
    },
    Freeze {
        host: usize,
        frozen: bool,
    },
    Cut {
        host: usize,
        cut: bool,
    },
    LoseLease {
        host: usize,
    },
    LoseAnswer {
        host: usize,
    },
    Slow {
        host: usize,
        slow: bool,
    },
    Late {
        host: usize,
        late: bool,
    },
    Lag {
        host: usize,
        lag: Lag,
    },
    Reach(bool),
    HandPut {
        key: u8,
    },
    HandDelete {
        key: u8,
    },
    /// All claims on a key, all beacons.
    HandDeleteClaims {
        key: u8,
    },
    HandDeleteBeacons,
    /// Some things happen on one host.
    Run {
        host: usize,
        steps: u8,
    },
    Settle,
    Pass {
        seconds: u8,
    },
}

/// Of keys with these numbers.
fn asked(keys: Range<u8>) -> impl Strategy<Value = Asked> {
    prop::collection::vec((keys, 8u8..12), 0..5)
}

/// What containers ask for in the end.
fn last() -> impl Strategy<Value = Vec<(usize, u8, Asked)>> {
    prop::collection::vec((0usize..3, 0u8..3, asked(ALONE)), 0..7)
}

/// Keys and objects.
const ALONE: Range<u8> = 0..6;
/// And nodes by themselves in the places of those of objects.
const BESIDE: Range<u8> = 0..8;
/// An object that has one of these nodes, too. Only one host asks for it: from another host's it could not be told apart.
const ABOVE: u8 = 8;

/// The objects, by the numbers of their keys: of one the smallest definition counts, of the other none until all agree.
const OBJECTS: [(u8, &str, &str); 2] = [(4, "/o/s", "smallest"), (5, "/o/n", "none")];

/// Keys that the nodes of objects have, too.
const FIELDS: [(u8, &str); 2] = [(6, "/o/s/x"), (7, "/o/n/x")];

/// The nodes of the definition with this number. Members go with it.
fn definition(conflict: &str, number: u8) -> Json {
    let value = number.to_string();
    let nodes = match number % 2 {
        0 => json!({"x": value, "y": value}),
        _ => json!({"x": value}),
    };
    json!({"conflict": conflict, "nodes": nodes, "members": {format!("m/{number}"): value}})
}

/// The node that tells the definition of a member from all others.
fn owner(member: &Key) -> Option<(Key, Value)> {
    let (object, number) = member.as_str().split_once("/m/")?;
    let node = Key::parse(&format!("{object}/x")).unwrap();
    Some((node, Value::parse(number).unwrap()))
}

fn lag() -> impl Strategy<Value = Lag> {
    prop_oneof![Just(Lag::Nothing), Just(Lag::Nodes), Just(Lag::Others)]
}

fn step(keys: Range<u8>) -> impl Strategy<Value = Step> {
    let host = 0usize..3;
    let container = 0u8..3;
    prop_oneof![
        8 => (host.clone(), container.clone(), asked(keys)).prop_map(|(host, container, asked)| Step::Apply { host, container, asked }),
        1 => (host.clone(), container.clone()).prop_map(|(host, container)| Step::Fail { host, container }),
        3 => (host.clone(), container).prop_map(|(host, container)| Step::Remove { host, container }),
        1 => (host.clone(), 1u64..4).prop_map(|(host, version)| Step::Reload { host, version }),
        1 => host.clone().prop_map(|host| Step::Crash { host }),
        1 => host.clone().prop_map(|host| Step::Vanish { host }),
        1 => (host.clone(), any::<bool>()).prop_map(|(host, keep)| {
            let on_exit = if keep { OnExit::Keep } else { OnExit::Release };
            Step::Leave { host, on_exit }
        }),
        3 => host.clone().prop_map(|host| Step::Start { host }),
        1 => (host.clone(), any::<bool>()).prop_map(|(host, frozen)| Step::Freeze { host, frozen }),
        1 => (host.clone(), any::<bool>())
            .prop_map(|(host, forgetful)| Step::Forget { host, forgetful }),
        1 => (host.clone(), any::<bool>()).prop_map(|(host, cut)| Step::Cut { host, cut }),
        1 => host.clone().prop_map(|host| Step::LoseLease { host }),
        1 => host.clone().prop_map(|host| Step::LoseAnswer { host }),
        1 => (host.clone(), any::<bool>()).prop_map(|(host, slow)| Step::Slow { host, slow }),
        2 => (host.clone(), any::<bool>()).prop_map(|(host, late)| Step::Late { host, late }),
        3 => (host.clone(), lag()).prop_map(|(host, lag)| Step::Lag { host, lag }),
        1 => any::<bool>().prop_map(Step::Reach),
        1 => (0u8..4).prop_map(|key| Step::HandPut { key }),
        1 => (0u8..4).prop_map(|key| Step::HandDelete { key }),
        1 => (0u8..4).prop_map(|key| Step::HandDeleteClaims { key }),
        1 => Just(Step::HandDeleteBeacons),
        12 => (host, 1u8..6).prop_map(|(host, steps)| Step::Run { host, steps }),
        2 => Just(Step::Settle),
        2 => (1u8..50).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn answer(asked: &Asked) -> Json {
    // One container that asks twice for a key asks for the last value: a dict has one value for a key.
    let mut nodes = Map::new();
    let mut objects = Map::new();
    for (key, value) in asked {
        let field = FIELDS.iter().find(|(at, _)| at == key);
        let field = field.map(|(_, field)| (*field).to_owned());
        if let Some(key) = field.or_else(|| (*key < 4).then(|| format!("/k{key}"))) {
            nodes.insert(key, value.to_string().into());
        }
    }
    for (key, number) in asked {
        if let Some((_, name, conflict)) = OBJECTS.iter().find(|(at, ..)| at == key) {
            objects.insert((*name).to_owned(), definition(conflict, *number));
        }
        if *key == ABOVE {
            let value = number.to_string();
            let nodes = json!({"s/x": value, "z": value});
            objects.insert(
                "/o".to_owned(),
                json!({"conflict": "smallest", "nodes": nodes, "members": {}}),
            );
        }
    }
    json!({"nodes": nodes, "objects": objects})
}

fn apply(world: &mut World, host: &str, container: u8, answer: Json) {
    let container = world::container(&format!("c{container}"), true, answer);
    world.handle(host, Event::Container(watch::SourceEvent::Apply(container)));
}

/// Whether there is a process on the host.
fn lives(world: &World, host: &str) -> bool {
    let host = world.hosts.get(host);
    host.is_some_and(|host| host.stopped.is_none())
}

fn perform(world: &mut World, step: &Step) {
    match step {
        Step::Start { host } if !lives(world, HOSTS[*host]) => world.start(HOSTS[*host], true),
        Step::Start { .. } => {}
        Step::Reach(reachable) => world.reach(*reachable),
        Step::HandPut { key } => world.by_hand(|store| {
            store.put(&Put::new(format!("/k{key}"), "hand")).unwrap();
        }),
        Step::HandDelete { key } => delete(world, KeyRange::key(format!("/k{key}"))),
        Step::HandDeleteClaims { key } => delete(
            world,
            KeyRange::prefix(format!("/registrator/claims/%2Fk{key}/")),
        ),
        Step::HandDeleteBeacons => delete(world, KeyRange::prefix("/registrator/beacons/")),
        Step::Settle => world.settle(),
        Step::Pass { seconds } => world.pass(Duration::from_secs((*seconds).into())),
        Step::Apply { host, .. }
        | Step::Fail { host, .. }
        | Step::Remove { host, .. }
        | Step::Reload { host, .. }
        | Step::Crash { host }
        | Step::Vanish { host }
        | Step::Leave { host, .. }
        | Step::Forget { host, .. }
        | Step::Freeze { host, .. }
        | Step::Cut { host, .. }
        | Step::LoseLease { host }
        | Step::LoseAnswer { host }
        | Step::Slow { host, .. }
        | Step::Late { host, .. }
        | Step::Lag { host, .. }
        | Step::Run { host, .. } => {
            let host = HOSTS[*host];
            if lives(world, host) {
                perform_on(world, host, step);
            }
        }
    }
}

fn perform_on(world: &mut World, host: &str, step: &Step) {
    match step {
        Step::Apply {
            container, asked, ..
        } => apply(world, host, *container, answer(asked)),
        Step::Fail { container, .. } => apply(world, host, *container, json!({"error": "boom"})),
        Step::Remove { container, .. } => world.delete(host, &format!("c{container}")),
        Step::Reload { version, .. } => {
            let name = if *version == 3 { "q" } else { "p" };
            let loaded = vec![world::spec(name, *version)];
            let failed = Vec::new();
            world.handle(host, Event::Policies { loaded, failed });
        }
        Step::Crash { .. } => {
            world.crash(host);
            world.start(host, true);
        }
        Step::Vanish { .. } => world.crash(host),
        Step::Leave { on_exit, .. } => world.handle(host, Event::Shutdown(*on_exit)),
        Step::Forget { forgetful, .. } => world.host(host).forgetful = *forgetful,
        Step::Freeze { frozen, .. } => world.freeze(host, *frozen),
        Step::Cut { cut, .. } => world.cut(host, *cut),
        // It may never have had one.
        Step::LoseLease { .. } if world.reachable && world.host(host).lease.is_some() => {
            world.revoke(host);
        }
        Step::LoseAnswer { .. } => world.host(host).deaf = true,
        Step::Slow { slow, .. } => world.host(host).slow = *slow,
        Step::Late { late, .. } => world.host(host).late = *late,
        Step::Lag { lag, .. } => world.host(host).lag = *lag,
        Step::Run { steps, .. } => (0..*steps).for_each(|_| {
            world.step(host);
        }),
        _ => {}
    }
}

fn delete(world: &mut World, keys: KeyRange) {
    world.by_hand(|store| {
        store.delete(&Delete::new(keys)).unwrap();
    });
}

/// Lets everything work again.
fn repair(world: &mut World) {
    for name in HOSTS {
        let host = world.host(name);
        (host.slow, host.deaf, host.late, host.forgetful) = (false, false, false, false);
        host.lag = Lag::Nothing;
        world.freeze(name, false);
        world.cut(name, false);
    }
    world.settle();
}

/// Lets everything work again, and gives each host exactly these containers.
fn calm(world: &mut World, last: &[(usize, u8, Asked)]) {
    for host in HOSTS {
        // A process that has not ended yet may still end.
        if lives(world, host) && world.host(host).reconciler.ending() {
            world.crash(host);
        }
        if !lives(world, host) {
            world.start(host, true);
        }
        for container in 0..3 {
            world.delete(host, &format!("c{container}"));
        }
    }
    repair(world);
    for (host, container, asked) in last {
        apply(world, HOSTS[*host], *container, answer(asked));
    }
    world.reach(true);
    world.settle();
    world.pass(Duration::from_secs(200));
    for key in 0..4 {
        let name = format!("/k{key}");
        if world
            .keys()
            .iter()
            .any(|line| line.starts_with(&name) && line.contains("owner=nobody"))
        {
            delete(world, KeyRange::key(name));
        }
    }
    world.settle();
    world.pass(Duration::from_secs(200));
}

/// What has no reason on a host that runs.
fn unexplained(world: &World) -> Vec<String> {
    let running = world.hosts.values().filter(|host| host.stopped.is_none());
    let missing = running.flat_map(|host| {
        let containers = (0..=VISITOR).map(|number| world::container_id(&format!("c{number}")));
        world::reasons::missing(&host.reconciler, containers, world.now())
    });
    missing.collect()
}

/// For each key the values that the hosts wish, by host: the smallest of what the host's containers ask for.
fn expected(last: &[(usize, u8, Asked)]) -> BTreeMap<String, BTreeMap<&'static str, String>> {
    let mut containers: BTreeMap<(usize, u8), Json> = BTreeMap::new();
    for (host, container, asked) in last {
        containers.insert((*host, *container), answer(asked));
    }
    let mut wishes: BTreeMap<String, BTreeMap<&'static str, String>> = BTreeMap::new();
    for ((host, _), answer) in &containers {
        for (key, value) in answer["nodes"].as_object().unwrap() {
            let value = value.as_str().unwrap().to_owned();
            let wish = wishes
                .entry(key.clone())
                .or_default()
                .entry(HOSTS[*host])
                .or_insert_with(|| value.clone());
            *wish = value.min(wish.clone());
        }
    }
    wishes
}

/// What the containers say of an object, by host: the numbers of their definitions.
type Defined = BTreeMap<usize, BTreeSet<u8>>;

fn defined(last: &[(usize, u8, Asked)], object: u8) -> Defined {
    let mut containers: BTreeMap<(usize, u8), Option<u8>> = BTreeMap::new();
    for (host, container, asked) in last {
        let last = asked.iter().rev().find(|(key, _)| *key == object);
        containers.insert((*host, *container), last.map(|(_, number)| *number));
    }
    let mut by_host = Defined::new();
    for ((host, _), number) in containers {
        by_host.entry(host).or_default().extend(number);
    }
    by_host.retain(|_, numbers| !numbers.is_empty());
    by_host
}

/// The definition that counts, as its number. Its text is compared, in which the number is the first thing that differs.
fn counts(defined: &Defined, conflict: &str) -> Option<u8> {
    let all: BTreeSet<u8> = defined.values().flatten().copied().collect();
    match conflict {
        "none" if all.len() > 1 => None,
        _ => all.into_iter().min_by_key(u8::to_string),
    }
}

/// Adds the members of the definitions that count to what is wished, and checks the fields, which it takes out of the lines.
fn check_objects(
    lines: Vec<String>,
    last: &[(usize, u8, Asked)],
    wishes: &mut BTreeMap<String, BTreeMap<&'static str, String>>,
) -> Vec<String> {
    let mut rest = lines;
    for (key, name, conflict) in OBJECTS {
        let defined = defined(last, key);
        let number = counts(&defined, conflict);
        let mut expected = BTreeMap::new();
        if let Some(number) = number {
            let definition = definition(conflict, number);
            for (field, value) in definition["nodes"].as_object().unwrap() {
                expected.insert(
                    format!("{name}/{field}"),
                    value.as_str().unwrap().to_owned(),
                );
            }
            let hosts = defined.iter().filter(|(_, all)| all.contains(&number));
            let hosts = hosts.map(|(host, _)| (HOSTS[*host], number.to_string()));
            wishes.insert(format!("{name}/m/{number}"), hosts.collect());
        }
        let is_field = |line: &String| {
            ["x ", "y "]
                .iter()
                .any(|field| line.starts_with(&format!("{name}/{field}")))
        };
        let (fields, others): (Vec<String>, Vec<String>) = rest.into_iter().partition(is_field);
        rest = others;
        let found = fields.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].to_owned(), words[1].to_owned())
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{defined:?}");
        let owners: BTreeSet<&str> = fields
            .iter()
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        assert!(
            owners.len() < 2 && fields.iter().all(|line| !line.contains("claimed")),
            "{fields:?}"
        );
    }
    rest
}

/// Checks a line of [`World::keys`] for each wished key: the smallest value, held by one who wishes it, claimed by all others.
fn check_keys(lines: &[String], wishes: &BTreeMap<String, BTreeMap<&'static str, String>>) {
    assert_eq!(lines.len(), wishes.len(), "{lines:?} for {wishes:?}");
    for (line, (key, by_host)) in lines.iter().zip(wishes) {
        let words: Vec<&str> = line.split(' ').collect();
        let owner = words[2].strip_prefix("owner=").unwrap();
        assert_eq!(
            (words[0], Some(words[1])),
            (key.as_str(), by_host.values().min().map(String::as_str)),
            "{line}"
        );
        assert_eq!(
            by_host.get(owner).map(String::as_str),
            Some(words[1]),
            "{line} for {by_host:?}"
        );
        let mut claims: Vec<String> = words[3..]
            .iter()
            .map(|word| word.replace("claimed-by=", ""))
            .collect();
        claims.sort();
        let others = by_host
            .iter()
            .filter(|(host, _)| **host != owner)
            .map(|(host, value)| format!("{host}:{value}"));
        assert_eq!(claims, others.collect::<Vec<_>>(), "{line} for {by_host:?}");
    }
}

/// The same schedules each time, so that a red run is red again. `SCHEDULES=20000 SEED=7` tries others.
fn config() -> ProptestConfig {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    ProptestConfig {
        cases: number("SCHEDULES").unwrap_or(300) as u32,
        rng_seed: RngSeed::Fixed(number("SEED").unwrap_or(1)),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What happens on hosts that work, but for those that die.
fn step_of_the_mortal() -> impl Strategy<Value = Step> {
    let host = 0usize..3;
    let container = 0u8..3;
    prop_oneof![
        8 => (host.clone(), container.clone(), asked(ALONE)).prop_map(|(host, container, asked)| Step::Apply { host, container, asked }),
        3 => (host.clone(), container).prop_map(|(host, container)| Step::Remove { host, container }),
        3 => host.clone().prop_map(|host| Step::Vanish { host }),
        1 => host.clone().prop_map(|host| Step::Leave { host, on_exit: OnExit::Keep }),
        1 => host.clone().prop_map(|host| Step::Leave { host, on_exit: OnExit::Release }),
        3 => host.clone().prop_map(|host| Step::Start { host }),
        1 => (host.clone(), any::<bool>()).prop_map(|(host, frozen)| Step::Freeze { host, frozen }),
        8 => (host, 1u8..6).prop_map(|(host, steps)| Step::Run { host, steps }),
        6 => (1u8..50).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The number of a container that comes and goes beside the last ones.
const VISITOR: u8 = 3;

/// What happens on hosts that work, but for what is told late.
fn step_beside() -> impl Strategy<Value = Step> {
    let host = 0usize..3;
    prop_oneof![
        3 => (host.clone(), asked(6..8)).prop_map(|(host, asked)| Step::Apply { host, container: VISITOR, asked }),
        2 => asked(6..9).prop_map(|asked| Step::Apply { host: 0, container: VISITOR, asked }),
        1 => host.clone().prop_map(|host| Step::Remove { host, container: VISITOR }),
        3 => (host.clone(), lag()).prop_map(|(host, lag)| Step::Lag { host, lag }),
        2 => (host.clone(), any::<bool>()).prop_map(|(host, late)| Step::Late { host, late }),
        4 => (host, 1u8..6).prop_map(|(host, steps)| Step::Run { host, steps }),
        2 => Just(Step::Settle),
        2 => (1u8..50).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whoever_dies_leaves_no_gap(steps in prop::collection::vec(step_of_the_mortal(), 1..60)) {
        let mut world = World::new();
        HOSTS.iter().for_each(|host| world.start(host, true));
        for step in &steps {
            perform(&mut world, step);
            // Whoever is back has the time to act before the next lease ends; whoever leaves has left.
            if matches!(
                step,
                Step::Start { .. } | Step::Freeze { .. } | Step::Leave { .. }
            ) {
                world.settle();
            }
        }
        let gaps = record::gaps(&world.store, &world.others, Exempt::ByHand);
        prop_assert_eq!(gaps, [], "no key vanishes while somebody waits for it who lives");
    }

    #[test]
    fn any_schedule_ends_in_the_truth(steps in prop::collection::vec(step(ALONE), 1..60), last in last()) {
        let world = run(&steps, &last)?;
        let mixtures = record::mixtures(&world.store, owner);
        prop_assert_eq!(mixtures, [], "no definitions are mixed, and none that counts is absent");
        let gaps = record::gaps(&world.store, &world.others, Exempt::WithLease);
        prop_assert_eq!(gaps, [], "no key vanishes while somebody waits for it");
    }

    /// As on hosts of which some know nothing of objects. When their nodes are gone, the objects are there.
    #[test]
    fn nodes_beside_objects_end_in_the_truth(
        steps in prop::collection::vec(step(BESIDE), 1..60),
        last in last(),
        beside in prop::collection::vec(step_beside(), 1..20),
    ) {
        let mut world = run(&steps, &last)?;
        for step in &beside {
            perform(&mut world, step);
            prop_assert_eq!(unexplained(&world), Vec::<String>::new(), "after {:?}", step);
        }
        HOSTS.iter().for_each(|host| world.delete(host, &format!("c{VISITOR}")));
        world.settle();
        repair(&mut world);
        check(&mut world, &last)?;
    }
}

/// Whatever happens, in the end there is what the last containers ask for, and nothing is written any more.
fn run(steps: &[Step], last: &[(usize, u8, Asked)]) -> Result<World, TestCaseError> {
    let mut world = World::new();
    HOSTS.iter().for_each(|host| world.start(host, true));
    for step in steps {
        perform(&mut world, step);
        prop_assert_eq!(
            unexplained(&world),
            Vec::<String>::new(),
            "after {:?}",
            step
        );
    }
    calm(&mut world, last);
    check(&mut world, last)?;
    Ok(world)
}

fn check(world: &mut World, last: &[(usize, u8, Asked)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(unexplained(world), Vec::<String>::new());
    for host in world.hosts.values() {
        let unsettled = world::reasons::unsettled(&host.reconciler, world.now());
        prop_assert_eq!(unsettled, Vec::<String>::new(), "of {}", host.name);
    }
    let mut wishes = expected(last);
    let lines = check_objects(world.keys(), last, &mut wishes);
    check_keys(&lines, &wishes);
    let revision = world.store.revision();
    world.pass(Duration::from_secs(100));
    prop_assert_eq!(
        world.store.revision(),
        revision,
        "nothing is written at rest"
    );
    Ok(())
}

/// Of a host that a claim told of, and nothing else yet.
#[test]
fn an_object_passes_to_a_host_that_is_not_known_yet() {
    let mut world = World::new();
    HOSTS.iter().for_each(|host| world.start(host, true));
    let apply = |host, container, asked: &[(u8, u8)]| Step::Apply {
        host,
        container,
        asked: asked.to_vec(),
    };
    for step in [
        apply(0, 1, &[(4, 8)]),
        Step::Run { host: 0, steps: 3 },
        apply(0, 0, &[]),
        apply(0, 1, &[]),
        apply(1, 0, &[(4, 8)]),
        Step::Run { host: 1, steps: 1 },
        Step::Settle,
    ] {
        perform(&mut world, &step);
    }
    assert_eq!(record::mixtures(&world.store, owner), []);
}
