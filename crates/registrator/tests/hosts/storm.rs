//! Many shared keys whose wishes change on all hosts at once, while a process is killed and etcd changes its leader.

use crate::host::{HOSTS, Host, Wishes};
use crate::world::{SHORT, World};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Replays a storm as far as the changes of a host go; when they meet those of the others is chance.
const SEED: &str = "REGISTRATOR_HOSTS_SEED";
const KEYS: u64 = 48;
/// Containers of each host that come and go.
const CONTAINERS: u64 = 3;
const LASTS: Duration = Duration::from_secs(6);

/// Ends as the naive reference says, and no key that a host wishes all the time is ever absent.
pub(crate) fn many_keys_under_load(world: &mut World) {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| u64::from(now.subsec_nanos()))
    });
    world.begin("a storm", SHORT, "keep");
    world.print(&format!("{SEED}={seed}"));
    // Each host wishes a quarter of the keys all the time, with a value that is often not the smallest.
    for host in 0..HOSTS {
        let pinned = (0..KEYS).filter(|key| key % 4 == host as u64);
        let wishes: Wishes = pinned.map(|key| (name(key), "5".to_owned())).collect();
        world.hosts[host].run_with("pinned", wishes);
    }
    world.settle("what is always wished");
    let pinned: BTreeSet<String> = world.revisions().into_keys().collect();
    let changes = AtomicUsize::new(0);
    let history = world.act(&format!("{LASTS:?}"), |world| blow(world, seed, &changes));
    world.print(&format!(
        "{changes:?} changes of what a host wishes for a key"
    ));
    for key in &pinned {
        world.expect_never_absent(key, &history);
    }
    world.expect_rest();
}

fn name(key: u64) -> String {
    format!("/storm/{key:02}")
}

fn blow(world: &mut World, seed: u64, changes: &AtomicUsize) {
    let until = Instant::now() + LASTS;
    let urls = world.cluster.urls();
    let World { hosts, cluster, .. } = &mut *world;
    let [first, others @ ..] = hosts.as_mut_slice() else {
        return;
    };
    std::thread::scope(|scope| {
        for host in others {
            scope.spawn(move || change(host, Chance::of(seed, &host.name), until, changes));
        }
        let third = |number| until - LASTS + LASTS * number / 3;
        change(first, Chance::of(seed, "before"), third(1), changes);
        first.kill();
        cluster.move_leader();
        first.spawn(&urls, SHORT, "keep");
        change(first, Chance::of(seed, "after"), third(3), changes);
    });
    world.hosts[0].wait_for_sync();
}

/// Replaces containers until the time is up.
fn change(host: &mut Host, mut chance: Chance, until: Instant, changes: &AtomicUsize) {
    while Instant::now() < until {
        let container = format!("c{}", chance.below(CONTAINERS));
        let before = host.wishes();
        if host.containers().contains(&container) {
            host.rm(&container);
        } else {
            let keys = (0..KEYS)
                .filter(|_| chance.below(4) == 0)
                .collect::<Vec<_>>();
            let value = |key: u64| (name(key), (1 + chance.below(9)).to_string());
            host.run_with(&container, keys.into_iter().map(value).collect());
        }
        let after = host.wishes();
        let both: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changed = both
            .into_iter()
            .filter(|key| before.get(*key) != after.get(*key));
        changes.fetch_add(changed.count(), Ordering::Relaxed);
    }
}

/// Numbers that follow from a seed: SplitMix64 (Steele, Lea and Flood 2014).
struct Chance(u64);

impl Chance {
    fn of(seed: u64, salt: &str) -> Chance {
        let salted = salt.bytes().fold(seed, |state, byte| {
            state.wrapping_mul(31).wrapping_add(byte.into())
        });
        Chance(salted)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
