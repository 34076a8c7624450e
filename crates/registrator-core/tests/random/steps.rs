//! What happens in a schedule.

use crate::HOSTS;
use crate::reference::answer;
use crate::world::{self, Lag, World};
use etcd_mem::store::{Delete, KeyRange, Put};
use proptest::prelude::*;
use registrator_core::observe::watch;
use registrator_core::reconciler::{Event, OnExit};
use serde_json::{Value as Json, json};
use std::ops::Range;
use std::time::Duration;

/// What a container asks for: key and value numbers.
pub(crate) type Asked = Vec<(u8, u8)>;

#[derive(Debug, Clone)]
pub(crate) enum Step {
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
pub(crate) fn asked(keys: Range<u8>) -> impl Strategy<Value = Asked> {
    prop::collection::vec((keys, 8u8..12), 0..5)
}

/// What containers ask for in the end.
pub(crate) fn last() -> impl Strategy<Value = Vec<(usize, u8, Asked)>> {
    prop::collection::vec((0usize..3, 0u8..3, asked(ALONE)), 0..7)
}

/// Keys and objects.
pub(crate) const ALONE: Range<u8> = 0..6;
/// And nodes by themselves in the places of those of objects.
pub(crate) const BESIDE: Range<u8> = 0..8;
/// An object that has one of these nodes, too. Only one host asks for it: from another host's it could not be told apart.
pub(crate) const ABOVE: u8 = 8;

pub(crate) fn lag() -> impl Strategy<Value = Lag> {
    prop_oneof![Just(Lag::Nothing), Just(Lag::Nodes), Just(Lag::Others)]
}

pub(crate) fn step(keys: Range<u8>) -> impl Strategy<Value = Step> {
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

pub(crate) fn apply(world: &mut World, host: &str, container: u8, answer: Json) {
    let container = world::container(&format!("c{container}"), true, answer);
    world.handle(host, Event::Container(watch::SourceEvent::Apply(container)));
}

/// Whether there is a process on the host.
pub(crate) fn lives(world: &World, host: &str) -> bool {
    let host = world.hosts.get(host);
    host.is_some_and(|host| host.stopped.is_none())
}

pub(crate) fn perform(world: &mut World, step: &Step) {
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

pub(crate) fn perform_on(world: &mut World, host: &str, step: &Step) {
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

pub(crate) fn delete(world: &mut World, keys: KeyRange) {
    world.by_hand(|store| {
        store.delete(&Delete::new(keys)).unwrap();
    });
}

/// What happens on hosts that work, but for those that die.
pub(crate) fn step_of_the_mortal() -> impl Strategy<Value = Step> {
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
pub(crate) const VISITOR: u8 = 3;

/// What happens on hosts that work, but for what is told late.
pub(crate) fn step_beside() -> impl Strategy<Value = Step> {
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
