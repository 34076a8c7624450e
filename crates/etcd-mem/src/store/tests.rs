//! Tests of the store as a whole: against a naive model, and for what no conversation with a server shows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Snapshot = BTreeMap<Vec<u8>, Vec<u8>>;

fn all() -> KeyRange {
    KeyRange::all()
}

fn snapshot(store: &Store, revision: Revision) -> Result<Snapshot, StoreError> {
    let request = Range {
        revision,
        ..Range::new(all())
    };
    Ok(store
        .range(&request)?
        .kvs
        .into_iter()
        .map(|kv| (kv.key, kv.value))
        .collect())
}

fn replay(store: &Store, watch: &mut Watch, state: &mut Snapshot) -> Result<(), StoreError> {
    while let Some(batch) = store.poll(watch)? {
        assert!(batch.events.is_sorted_by_key(|event| event.kv.mod_revision));
        for event in batch.events {
            assert_eq!(
                event.prev_kv.map(|prev| prev.value),
                state.get(&event.kv.key).cloned(),
                "the previous value"
            );
            match event.kind {
                EventKind::Put => state.insert(event.kv.key, event.kv.value),
                EventKind::Delete => state.remove(&event.kv.key),
            };
        }
        assert_eq!(watch.told(), batch.revision);
    }
    Ok(())
}

/// A change, or the passing of time.
#[derive(Clone, Debug)]
enum Change {
    Put(u8, u8, i64),
    Delete(u8, u8),
    Txn(Vec<(u8, u8)>),
    Grant(i64),
    KeepAlive(i64),
    Pass(u64),
    Compact(i64),
}

fn change() -> impl Strategy<Value = Change> {
    let (key, lease) = (0..6_u8, 1..4_i64);
    prop_oneof![
        6 => (key.clone(), any::<u8>(), prop_oneof![Just(0), lease.clone()]).prop_map(|(k, v, l)| Change::Put(k, v, l)),
        3 => (key.clone(), key.clone()).prop_map(|(from, to)| Change::Delete(from, to)),
        2 => proptest::collection::vec((key, any::<u8>()), 0..4).prop_map(Change::Txn),
        3 => lease.clone().prop_map(Change::Grant),
        1 => lease.prop_map(Change::KeepAlive),
        2 => (0..4_u64).prop_map(Change::Pass),
        1 => (0..12_i64).prop_map(Change::Compact),
    ]
}

/// The store under change, and the model: every state there was.
struct Run {
    store: Store,
    now: Duration,
    states: BTreeMap<Revision, Snapshot>,
}

impl Run {
    fn new(limit: HistoryLimit) -> Self {
        let store = Store::new(1, 7, limit);
        Self {
            store,
            now: Duration::ZERO,
            states: BTreeMap::from([(1, Snapshot::new())]),
        }
    }

    fn apply(&mut self, change: &Change) {
        let mut next = self.states.values().last().cloned().unwrap_or_default();
        match change {
            Change::Put(key, value, lease) => {
                let put = Put {
                    lease: *lease,
                    ..Put::new([*key + 1], [*value])
                };
                if self.store.put(&put).is_ok() {
                    next.insert(vec![*key + 1], vec![*value]);
                }
            }
            Change::Delete(from, to) => {
                let keys = KeyRange::new(vec![*from + 1], vec![*to + 1]);
                next.retain(|key, _| !keys.contains(key));
                self.store.delete(&Delete::new(keys)).expect("deleted");
            }
            Change::Txn(puts) => {
                let success = puts
                    .iter()
                    .map(|(key, value)| Op::Put(Put::new([*key + 1], [*value])))
                    .collect();
                if self
                    .store
                    .txn(&Txn {
                        success,
                        ..Txn::default()
                    })
                    .is_ok()
                {
                    next.extend(
                        puts.iter()
                            .map(|(key, value)| (vec![*key + 1], vec![*value])),
                    );
                }
            }
            Change::Grant(lease) => drop(self.store.grant(self.now, *lease, 5)),
            Change::KeepAlive(lease) => drop(self.store.keep_alive(self.now, *lease)),
            Change::Pass(seconds) => return self.pass(Duration::from_secs(*seconds)),
            Change::Compact(age) => drop(self.store.compact(self.store.revision() - age)),
        }
        self.states.insert(self.store.revision(), next);
    }

    /// Ends leases one by one, as they are told by `next_deadline`.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        while let Some(deadline) = self
            .store
            .next_deadline()
            .filter(|deadline| *deadline <= self.now)
        {
            let ids: Vec<LeaseId> = self.store.leases();
            let keys: Vec<_> = ids
                .iter()
                .map(|id| (*id, self.store.time_to_live(deadline, *id)))
                .collect();
            for id in self.store.expire(deadline) {
                let state = keys
                    .iter()
                    .find(|(known, _)| *known == id)
                    .and_then(|(_, state)| state.clone());
                let state = state.expect("a known lease");
                assert_eq!(state.remaining, Duration::ZERO);
                let mut next = self.states.values().last().cloned().unwrap_or_default();
                state
                    .keys
                    .iter()
                    .for_each(|key| assert!(next.remove(key).is_some(), "{key:?} hung on {id}"));
                let revision = self.states.keys().last().copied().unwrap_or(1)
                    + i64::from(!state.keys.is_empty());
                self.states.insert(revision, next);
            }
        }
    }

    fn check(&self) {
        let oldest = self.store.compact_revision();
        assert_eq!(self.states.keys().last(), Some(&self.store.revision()));
        for (revision, state) in &self.states {
            if *revision < oldest {
                assert_eq!(
                    snapshot(&self.store, *revision),
                    Err(StoreError::Compacted { oldest })
                );
                continue;
            }
            assert_eq!(
                snapshot(&self.store, *revision).as_ref(),
                Ok(state),
                "at revision {revision}"
            );
            let request = WatchRequest {
                keys: all(),
                start: revision + 1,
                prev_kv: true,
                ..WatchRequest::default()
            };
            let mut watch = self
                .store
                .watch(request)
                .expect("a readable revision can be watched from");
            let mut replayed = state.clone();
            replay(&self.store, &mut watch, &mut replayed).expect("a new watch is not late");
            assert_eq!(
                Some(&replayed),
                self.states.values().last(),
                "events after revision {revision}"
            );
        }
        self.check_leases();
        self.check_used();
    }

    /// What counts for the quota is what the keys and leases of now take, however they came about.
    fn check_used(&self) {
        let kvs = self.store.range(&Range::new(all())).expect("a range").kvs;
        let keys = kvs.iter().map(|kv| 200 + 2 * kv.key.len() + kv.value.len());
        let leases = 200 * self.store.leases().len();
        assert_eq!(self.store.used(), keys.sum::<usize>() + leases);
    }

    /// A key names its lease exactly if the lease has the key.
    fn check_leases(&self) {
        let kvs = self.store.range(&Range::new(all())).expect("a range").kvs;
        for id in self.store.leases() {
            let keys = self
                .store
                .time_to_live(self.now, id)
                .expect("a listed lease")
                .keys;
            let named: Vec<_> = kvs
                .iter()
                .filter(|kv| kv.lease == id)
                .map(|kv| kv.key.clone())
                .collect();
            assert_eq!(keys, named, "lease {id}");
        }
        assert!(
            kvs.iter()
                .all(|kv| kv.lease == 0 || self.store.leases().contains(&kv.lease)),
            "{kvs:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every state that is not forgotten can be read, and watching from it leads to the present.
    #[test]
    fn equals_a_list_of_all_states(changes in proptest::collection::vec(change(), 0..60), revisions in 1..30_usize) {
        let mut run = Run::new(HistoryLimit { revisions, bytes: usize::MAX });
        for change in &changes {
            run.apply(change);
        }
        run.check();
    }

    /// A watch that is polled at any times hears what happened, or learns that it is too late.
    #[test]
    fn running_watches_miss_nothing(changes in proptest::collection::vec((change(), any::<bool>()), 0..60), revisions in 1..10_usize) {
        let mut run = Run::new(HistoryLimit { revisions, bytes: usize::MAX });
        let request = WatchRequest { keys: all(), prev_kv: true, ..WatchRequest::default() };
        let mut watch = run.store.watch(request).expect("a watch");
        let mut heard = Snapshot::new();
        for (change, poll) in &changes {
            run.apply(change);
            if *poll {
                let behind = run.store.revision() - watch.told();
                match replay(&run.store, &mut watch, &mut heard) {
                    Ok(()) => prop_assert_eq!(Some(&heard), run.states.values().last()),
                    Err(error) => {
                        prop_assert!(matches!(error, StoreError::Compacted { .. }), "{}", error);
                        prop_assert!(behind > i64::try_from(revisions).expect("small"), "only {behind} behind");
                        return Ok(());
                    }
                }
            }
        }
    }
}

#[test]
fn memory_is_bounded() {
    let mut store = Store::new(
        1,
        0,
        HistoryLimit {
            revisions: 100,
            bytes: 64 << 10,
        },
    );
    let mut sizes = Vec::new();
    for round in 0..20_000_u32 {
        // Two keys that live, and many that come and go.
        store
            .put(&Put::new("a", round.to_string()))
            .expect("written");
        store
            .put(&Put::new(format!("gone/{round}"), vec![0; 100]))
            .expect("written");
        store
            .delete(&Delete::new(KeyRange::prefix("gone/")))
            .expect("deleted");
        sizes.push(store.size());
    }
    assert!(
        sizes.iter().all(|size| *size < 64 << 10),
        "{:?}",
        sizes.iter().max()
    );
    let request = Range {
        revision: store.compact_revision(),
        ..Range::new(all())
    };
    assert!(store.range(&request).is_ok());
    // The bytes bound as well: each of these is more than a third of what is allowed.
    for _ in 0..10 {
        store
            .put(&Put::new("big", vec![0; 25 << 10]))
            .expect("written");
    }
    assert!(store.revision() - store.compact_revision() <= 2);
    assert_eq!(
        store
            .range(&Range::new(KeyRange::key("big")))
            .expect("a range")
            .count,
        1
    );
}

#[test]
fn a_full_store_takes_what_does_not_make_it_bigger() {
    let put = |key: &str, bytes| Put::new(key, vec![0; bytes]);
    let mut store = Store::default().with_quota(10_000);
    let lease = store.grant(Duration::ZERO, 7, 60).expect("room").id;
    store.put(&put("a", 4_000)).expect("room");
    store
        .put(&Put {
            lease,
            ..put("b", 4_000)
        })
        .expect("room");
    let before = (store.revision(), store.used());

    assert_eq!(store.put(&put("c", 2_000)), Err(StoreError::NoSpace));
    assert_eq!(store.put(&put("a", 6_000)), Err(StoreError::NoSpace));
    let nested = Txn {
        success: vec![Op::Put(put("c", 2_000))],
        ..Txn::default()
    };
    let outer = |inner: &Txn| Txn {
        success: vec![Op::Txn(inner.clone())],
        ..Txn::default()
    };
    assert_eq!(store.txn(&outer(&nested)), Err(StoreError::NoSpace));
    let together = ["c", "d"].map(|key| Op::Put(put(key, 500)));
    let together = Txn {
        success: together.into(),
        ..Txn::default()
    };
    assert_eq!(
        store.txn(&together),
        Err(StoreError::NoSpace),
        "though each has room"
    );
    let mut leases = 0;
    while store.grant(Duration::ZERO, 0, 60).is_ok() {
        leases += 1;
        assert!(leases < 50, "leases count");
    }
    for id in store.leases() {
        if id != lease {
            store.revoke(id).expect("revoked");
        }
    }
    assert_eq!(
        (store.revision(), store.used()),
        before,
        "what was refused left nothing"
    );

    store.put(&put("a", 4_000)).expect("not bigger");
    store.put(&put("a", 3_000)).expect("smaller");
    let kept = Put {
        ignore_value: true,
        lease,
        ..Put::new("a", "")
    };
    store.put(&kept).expect("the same value");
    store.keep_alive(Duration::ZERO, lease).expect("renewed");
    let other_branch = Txn {
        failure: vec![Op::Put(put("c", 5_000))],
        ..Txn::default()
    };
    store.txn(&other_branch).expect("it is not what runs");
    store.compact(store.revision()).expect("compacted");
    store
        .delete(&Delete::new(KeyRange::key("a")))
        .expect("deleted");
    store.put(&put("c", 3_000)).expect("there is room again");
    store.revoke(lease).expect("revoked");
    store
        .put(&put("d", 4_000))
        .expect("a lease's keys are free when it ends");
}

#[test]
fn a_successor_is_ahead_of_its_predecessor() {
    let mut first = Store::new(1_000, 1, HistoryLimit::default());
    first.put(&Put::new("a", "1")).expect("written");
    let told = first.revision();
    let second = Store::new(2_000, 2, HistoryLimit::default());
    let resume = WatchRequest {
        keys: all(),
        start: told + 1,
        ..WatchRequest::default()
    };
    let refused = second.watch(resume).expect_err("another store's revision");
    assert!(matches!(refused, StoreError::Compacted { .. }), "{refused}");
    let last = WatchRequest {
        keys: all(),
        start: 1_999,
        ..WatchRequest::default()
    };
    assert_eq!(
        second.watch(last).err(),
        Some(StoreError::Compacted { oldest: 2_000 })
    );
    let present = WatchRequest {
        keys: all(),
        start: second.revision() + 1,
        ..WatchRequest::default()
    };
    assert_eq!(second.watch(present).expect("a watch").told(), 2_000);
}

#[test]
fn leases_end_on_time() {
    let mut store = Store::default();
    let second = Duration::from_secs(1);
    let short = store.grant(second, 0, 1).expect("granted");
    let long = store.grant(second, 0, 10).expect("granted");
    assert_eq!((short.ttl, long.ttl), (MIN_TTL, 10));
    assert!(short.id > 0 && long.id > 0 && short.id != long.id);
    assert_eq!(store.next_deadline(), Some(second * 3));
    assert!(
        store
            .expire(second * 3 - Duration::from_nanos(1))
            .is_empty()
    );
    assert_eq!(store.keep_alive(second * 2, short.id), Ok(2));
    assert!(store.expire(second * 3).is_empty());
    assert_eq!(store.leases(), [short.id, long.id]);
    assert_eq!(store.expire(second * 4), [short.id]);
    assert_eq!(
        store.keep_alive(second * 4, short.id),
        Err(StoreError::LeaseNotFound)
    );
    assert_eq!(
        store
            .time_to_live(second * 4, long.id)
            .map(|state| state.remaining),
        Some(second * 7)
    );
    assert_eq!(store.expire(second * 1_000), [long.id]);
    assert_eq!(store.next_deadline(), None);
    assert_eq!(store.revision(), 1);
}

#[test]
fn seeds_give_different_lease_ids() {
    let ids = |seed| {
        let mut store = Store::new(1, seed, HistoryLimit::default());
        [(); 3].map(|()| store.grant(Duration::ZERO, 0, 10).expect("granted").id)
    };
    assert_eq!(ids(1), ids(1));
    assert!(ids(1).iter().all(|id| !ids(2).contains(id)));
}

#[test]
fn prefixes() {
    fn check(prefix: &[u8], inside: &[&[u8]], outside: &[&[u8]]) {
        let range = KeyRange::prefix(prefix);
        inside
            .iter()
            .for_each(|key| assert!(range.contains(key), "{prefix:?} {key:?}"));
        outside
            .iter()
            .for_each(|key| assert!(!range.contains(key), "{prefix:?} {key:?}"));
    }
    check(
        b"a/",
        &[b"a/", b"a/b", b"a/\xff\xff"],
        &[b"a", b"a0", b"b", b"a."],
    );
    check(b"a\xff", &[b"a\xff", b"a\xff\xff"], &[b"a", b"b"]);
    check(b"\xff", &[b"\xff", b"\xff\xff"], &[b"\xfe"]);
    check(b"", &[b"\0", b"a", b"\xff"], &[]);
}

#[test]
fn big_histories_come_in_batches_of_whole_revisions() {
    let mut store = Store::default();
    let puts = |round: u8| {
        (0..3_u8)
            .map(|key| Op::Put(Put::new([key + 1], vec![round; 200 << 10])))
            .collect()
    };
    for round in 0..5 {
        store
            .txn(&Txn {
                success: puts(round),
                ..Txn::default()
            })
            .expect("written");
    }
    let mut watch = store
        .watch(WatchRequest {
            keys: all(),
            start: 1,
            ..WatchRequest::default()
        })
        .expect("a watch");
    let mut batches = Vec::new();
    while let Some(batch) = store.poll(&mut watch).expect("not late") {
        batches.push((batch.revision, batch.events.len()));
    }
    assert_eq!(batches, [(3, 6), (5, 6), (6, 3)]);
}
