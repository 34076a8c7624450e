//! What goes wrong, and what becomes right again: each fault begins at one tick and ends at a later one.

use crate::random::Random;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// Ticks of a second.
pub(crate) const TICKS: usize = 5;
/// Seconds between faults that change what is asked for, and between those that break something.
const CHANGE_EVERY: usize = 2;
const BREAK_EVERY: usize = 6;
/// Names of configurations that come and go in files and in etcd. Some are in both.
const IN_FILES: [&str; 5] = ["a", "b", "c", "d", "f"];
const IN_ETCD: [&str; 5] = ["c", "d", "e", "g", "h"];

/// What happens at once, and is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    FileWritten,
    FileRemoved,
    KeyWritten,
    KeyRemoved,
    Policy,
    Reload,
    StreamCut,
    HungUp,
    NodeDeleted,
    Usr1,
    Compaction,
}

const CHANGES: [Change; 11] = [
    Change::FileWritten,
    Change::FileRemoved,
    Change::KeyWritten,
    Change::KeyRemoved,
    Change::Policy,
    Change::Reload,
    Change::StreamCut,
    Change::HungUp,
    Change::NodeDeleted,
    Change::Usr1,
    Change::Compaction,
];

/// What goes on for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    EngineDown,
    OtherEngine,
    EtcdDown,
    PeerCrashed,
    PeerEnded,
    LogUnread,
    NothingMounted,
    PolicyGivesNothing,
    PolicyBroken,
    ConfigurationBroken,
}

const FAULTS: [Fault; 10] = [
    Fault::EngineDown,
    Fault::OtherEngine,
    Fault::EtcdDown,
    Fault::PeerCrashed,
    Fault::PeerEnded,
    Fault::LogUnread,
    Fault::NothingMounted,
    Fault::PolicyGivesNothing,
    Fault::PolicyBroken,
    Fault::ConfigurationBroken,
];

impl Fault {
    /// What two of them may not be at the same time: they have an end in common.
    fn concerns(self) -> usize {
        match self {
            Fault::EngineDown | Fault::OtherEngine => 0,
            Fault::EtcdDown => 1,
            Fault::PeerCrashed | Fault::PeerEnded => 2,
            Fault::LogUnread => 3,
            Fault::NothingMounted | Fault::ConfigurationBroken => 4,
            Fault::PolicyGivesNothing | Fault::PolicyBroken => 5,
        }
    }

    /// How long it lasts, in seconds.
    fn seconds(self, random: &mut Random) -> usize {
        match self {
            Fault::EngineDown | Fault::EtcdDown | Fault::OtherEngine => 1 + random.below(4),
            // Sometimes before its lease ends, sometimes after it.
            Fault::PeerCrashed => 1 + random.below(15),
            Fault::PeerEnded => 1 + random.below(3),
            Fault::LogUnread => 10,
            // Longer than the brake takes to decide.
            Fault::NothingMounted | Fault::PolicyGivesNothing => 7,
            Fault::PolicyBroken | Fault::ConfigurationBroken => 3,
        }
    }
}

/// The faults of a soak, in an order of chance in which each comes as often as the others.
pub(crate) struct Faults {
    changes: Deck<Change>,
    faults: Deck<Fault>,
    /// What ends at which tick.
    ends: BTreeMap<usize, Vec<Fault>>,
    under_way: BTreeSet<usize>,
    /// How many there were.
    pub(crate) count: usize,
}

impl Faults {
    /// None yet.
    pub(crate) fn new() -> Faults {
        Faults {
            changes: Deck::of(&CHANGES),
            faults: Deck::of(&FAULTS),
            ends: BTreeMap::new(),
            under_way: BTreeSet::new(),
            count: 0,
        }
    }

    /// What happens at this tick.
    pub(crate) fn tick(&mut self, tick: usize, world: &mut World, random: &mut Random) {
        for fault in self.ends.remove(&tick).unwrap_or_default() {
            self.end(fault, world);
        }
        if tick.is_multiple_of(CHANGE_EVERY * TICKS) {
            let change = self.changes.next(random);
            self.count += 1;
            self.change(change, world, random);
        }
        if tick.is_multiple_of(BREAK_EVERY * TICKS) {
            let fault = self.faults.next(random);
            let ends = tick + fault.seconds(random) * TICKS;
            if self.under_way.insert(fault.concerns()) {
                self.count += 1;
                begin(fault, world);
                self.ends.entry(ends).or_default().push(fault);
            }
        }
    }

    /// Ends all that goes on.
    pub(crate) fn end_all(&mut self, world: &mut World) {
        for fault in std::mem::take(&mut self.ends).into_values().flatten() {
            self.end(fault, world);
        }
    }

    fn change(&self, change: Change, world: &mut World, random: &mut Random) {
        let host = random.below(2);
        // While the folder is away, nobody writes there.
        let files = !self.under_way.contains(&Fault::NothingMounted.concerns());
        let policy = !self.under_way.contains(&Fault::PolicyBroken.concerns());
        match change {
            Change::FileWritten if files => {
                world.hosts[host].configure(random.pick(&IN_FILES), random.below(100));
            }
            Change::FileRemoved if files => {
                world.hosts[host].remove_configuration(random.pick(&IN_FILES));
            }
            Change::KeyWritten => world.configure(random.pick(&IN_ETCD), random.below(100)),
            Change::KeyRemoved => world.remove_configuration(random.pick(&IN_ETCD)),
            Change::Policy if policy => world.hosts[host].change_policy(),
            Change::Reload => world.hosts[0].registrator().signal("HUP"),
            Change::StreamCut => world.hosts[host].engine.cut(),
            Change::HungUp => world.hosts[host].engine.hang_up(),
            Change::NodeDeleted if world.etcd_runs => {
                if let Some(key) = world.own_node(0) {
                    world.etcd.delete(&key);
                }
            }
            Change::Usr1 => world.hosts[0].registrator().signal("USR1"),
            Change::Compaction if world.etcd_runs => world.etcd.compact(),
            _ => {}
        }
    }

    fn end(&mut self, fault: Fault, world: &mut World) {
        self.under_way.remove(&fault.concerns());
        let [main, peer] = &mut world.hosts;
        match fault {
            Fault::EngineDown => main.engine.listen(),
            Fault::OtherEngine => {
                main.engine.kill();
                main.engine.call(main.name);
                main.engine.listen();
            }
            Fault::EtcdDown => {
                world.etcd.restart();
                world.etcd_runs = true;
            }
            Fault::PeerCrashed | Fault::PeerEnded => peer.launch(),
            Fault::LogUnread => main.log.leave_unread(false),
            Fault::NothingMounted => main.mount(false),
            Fault::PolicyGivesNothing | Fault::PolicyBroken => main.mend_policy(),
            Fault::ConfigurationBroken => {
                let tag = main.files.get("a").copied();
                main.configure("a", tag.unwrap_or_default());
            }
        }
    }
}

fn begin(fault: Fault, world: &mut World) {
    let [main, peer] = &mut world.hosts;
    match fault {
        Fault::EngineDown => main.engine.kill(),
        Fault::OtherEngine => {
            main.engine.kill();
            main.engine.call("another");
            main.engine.listen();
        }
        Fault::EtcdDown => {
            world.etcd.kill();
            world.etcd_runs = false;
        }
        Fault::PeerCrashed => peer.crash(),
        Fault::PeerEnded => _ = peer.terminate(),
        Fault::LogUnread => main.log.leave_unread(true),
        Fault::NothingMounted => main.mount(true),
        Fault::PolicyGivesNothing => main.empty_policy(),
        Fault::PolicyBroken => main.break_policy(),
        Fault::ConfigurationBroken => main.break_configuration("a"),
    }
}

/// Cards of which each comes once before any comes again.
struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    fn of(all: &[T]) -> Deck<T> {
        Deck {
            all: all.to_vec(),
            left: Vec::new(),
        }
    }

    fn next(&mut self, random: &mut Random) -> T {
        if self.left.is_empty() {
            self.left = self.all.clone();
            random.shuffle(&mut self.left);
        }
        self.left.pop().expect("a card")
    }
}
