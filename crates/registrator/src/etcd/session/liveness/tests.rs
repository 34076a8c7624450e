//! When a holder counts as dead, and that no outage and no election makes a dead one alive.

use super::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[test]
fn a_lease_is_stale_when_it_missed_its_renewal() {
    fn check(ttl: u64, stale_from: u64) {
        let [ttl, limit] = [ttl, stale_from].map(Duration::from_secs);
        assert!(is_stale(limit, ttl), "TTL {ttl:?}, {limit:?} left");
        let more = limit + Duration::from_secs(1);
        assert!(!is_stale(more, ttl), "TTL {ttl:?}, {more:?} left");
    }
    check(30, 25);
    check(60, 52);
    check(10, 7);
    check(5, 2);
    check(3, 0);
    check(2, 0);
}

/// A second, a process, a term, what is left of 30 s.
type Answer = (u64, &'static str, u64, u64);

fn verdict(answers: impl IntoIterator<Item = Answer>) -> Verdict {
    let begin = Instant::now();
    let mut liveness = Liveness::default();
    let mut last = Verdict::Unsure;
    for (second, process, term, remaining) in answers {
        let sighting = Sighting {
            process: Some(process.to_owned()),
            term,
            ttl: Duration::from_secs(30),
            remaining: Duration::from_secs(remaining),
        };
        last = liveness.answered(sighting, begin + Duration::from_secs(second));
    }
    last
}

#[test]
fn an_unbroken_row_of_answers_is_needed() {
    let row = |seconds: std::ops::RangeInclusive<u64>| seconds.map(|at| (at, "a", 1, 29));
    assert_eq!(verdict(row(0..=11)), Verdict::Unsure);
    assert_eq!(verdict(row(0..=12)), Verdict::Alive);
    let with_gap = |gap: u64| row(0..=6).chain(row(6 + gap..=13));
    assert_eq!(verdict(with_gap(3)), Verdict::Alive);
    assert_eq!(verdict(with_gap(4)), Verdict::Unsure);
    let elected = row(0..=6).chain((7..=13).map(|at| (at, "a", 2, 29)));
    assert_eq!(verdict(elected), Verdict::Unsure);
    let other = row(0..=6).chain((7..=13).map(|at| (at, "b", 1, 29)));
    assert_eq!(verdict(other), Verdict::Unsure);
    let prolonged = row(0..=6).chain([(7, "a", 1, 31)]).chain(row(8..=13));
    assert_eq!(verdict(prolonged), Verdict::Unsure);
    assert_eq!(
        verdict(row(0..=12).chain([(13, "a", 1, 25)])),
        Verdict::Stale
    );
}

/// What happens to etcd.
#[derive(Debug, Clone)]
enum Fault {
    /// It serves for so long.
    Calm(u64),
    /// It cannot be reached for so long.
    Away(u64),
    /// It ends, and starts again after so long.
    Restart(u64),
    /// Nothing moves in it for so long, its leases neither.
    Standstill(u64),
    /// It has a new leader, which gives each lease so much more than its TTL.
    Election(u64),
}

/// Times are in milliseconds.
fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        // Shorter than a dead holder's lease needs to look stale, mostly: what comes then does not matter.
        6 => (2_000_u64..5_000).prop_map(Fault::Calm),
        1 => (0_u64..8_000).prop_map(Fault::Calm),
        1 => (0_u64..20_000).prop_map(Fault::Away),
        1 => (0_u64..20_000).prop_map(Fault::Restart),
        1 => (0_u64..20_000).prop_map(Fault::Standstill),
        // A second where nothing else is configured; more where very many leases would end at once.
        4 => (0_u64..2_000).prop_map(Fault::Election),
        1 => (2_000_u64..9_000).prop_map(Fault::Election),
    ];
    proptest::collection::vec(fault, 1..12)
}

const STEP: u64 = 100;

/// etcd, a process that holds the identity, and one that would like to.
struct World {
    ttl: u64,
    /// Whether the holder lives.
    lives: bool,
    now: u64,
    term: u64,
    /// Of the holder's lease.
    left: u64,
    asked_at: u64,
    begin: Instant,
}

impl World {
    /// The holder has just renewed its lease, and may have died after it.
    fn new(ttl: u64, lives: bool) -> World {
        World {
            ttl: ttl * 1000,
            lives,
            now: 0,
            term: 1,
            left: ttl * 1000,
            asked_at: 0,
            begin: Instant::now(),
        }
    }

    /// What the one that asks is answered, in all its life.
    fn answers(mut self, faults: &[Fault]) -> Vec<(Sighting, Instant)> {
        let mut answers = Vec::new();
        for fault in faults {
            match *fault {
                Fault::Calm(time) => self.serve(time, &mut answers),
                Fault::Away(time) => self.pass(time, true),
                Fault::Restart(time) => {
                    self.pass(time, false);
                    self.elect(1_000);
                }
                Fault::Standstill(time) => self.pass(time, false),
                Fault::Election(more) => self.elect(more),
            }
        }
        answers
    }

    fn serve(&mut self, time: u64, answers: &mut Vec<(Sighting, Instant)>) {
        let interval = renewal_interval(Duration::from_millis(self.ttl)).as_millis();
        let interval = u64::try_from(interval).unwrap();
        for _ in 0..time / STEP {
            self.pass(STEP, true);
            if self.lives && self.left + interval <= self.ttl {
                self.left = self.ttl;
            }
            if self.now >= self.asked_at + 1_000 {
                self.asked_at = self.now;
                answers.push((
                    self.sighting(),
                    self.begin + Duration::from_millis(self.now),
                ));
            }
        }
    }

    fn pass(&mut self, time: u64, leases_run: bool) {
        self.now += time;
        if leases_run {
            self.left = self.left.saturating_sub(time);
        }
    }

    fn elect(&mut self, more: u64) {
        self.term += 1;
        self.left = self.ttl + more;
    }

    fn sighting(&self) -> Sighting {
        Sighting {
            process: Some("holder".to_owned()),
            term: self.term,
            ttl: Duration::from_millis(self.ttl),
            remaining: Duration::from_secs(self.left / 1000),
        }
    }
}

const TTLS: [u64; 3] = [5, 30, 60];

/// Whether these answers make the holder alive before they make it dead: then it is taken over, and nobody asks any more.
fn looks_alive(answers: Vec<(Sighting, Instant)>) -> bool {
    let mut liveness = Liveness::default();
    let verdicts = answers
        .into_iter()
        .map(|(sighting, at)| liveness.answered(sighting, at));
    let mut verdicts = verdicts.skip_while(|verdict| *verdict == Verdict::Unsure);
    verdicts.next() == Some(Verdict::Alive)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_a_dead_holder_alive(faults in faults(), ttl in proptest::sample::select(&TTLS)) {
        let answers = World::new(ttl, false).answers(&faults);
        prop_assert!(!looks_alive(answers));
    }

    #[test]
    fn a_living_holder_is_known_after_a_calm_time(faults in faults(), ttl in proptest::sample::select(&TTLS)) {
        let calm = time_to_be_certain(Duration::from_secs(ttl)) + Duration::from_secs(13);
        let calm = Fault::Calm(u64::try_from(calm.as_millis()).unwrap());
        let faults: Vec<_> = faults.into_iter().chain([calm]).collect();
        let mut liveness = Liveness::default();
        let answers = World::new(ttl, true).answers(&faults);
        let verdicts = answers.into_iter().map(|(sighting, at)| liveness.answered(sighting, at));
        prop_assert_eq!(verdicts.last(), Some(Verdict::Alive));
    }
}

/// Whether a dead holder looks alive in one of many schedules, if the answers are changed in this way.
fn is_deceived(change: impl Fn(Vec<(Sighting, Instant)>) -> Vec<(Sighting, Instant)>) -> bool {
    let mut runner = TestRunner::deterministic();
    (0..5000).any(|_| {
        let faults = faults().new_tree(&mut runner).unwrap().current();
        looks_alive(change(World::new(30, false).answers(&faults)))
    })
}

fn without_terms(mut answers: Vec<(Sighting, Instant)>) -> Vec<(Sighting, Instant)> {
    answers
        .iter_mut()
        .for_each(|(sighting, _)| sighting.term = 0);
    answers
}

fn without_gaps(answers: Vec<(Sighting, Instant)>) -> Vec<(Sighting, Instant)> {
    let mut filled: Vec<(Sighting, Instant)> = Vec::new();
    for (sighting, at) in answers {
        while let Some((last, before)) = filled.last().cloned()
            && before + LONGEST_GAP < at
        {
            filled.push((last, before + LONGEST_GAP));
        }
        filled.push((sighting, at));
    }
    filled
}

fn without_excess(mut answers: Vec<(Sighting, Instant)>) -> Vec<(Sighting, Instant)> {
    for (sighting, _) in &mut answers {
        sighting.remaining = sighting.remaining.min(sighting.ttl);
    }
    answers
}

#[test]
fn each_rule_is_needed() {
    assert!(!is_deceived(|answers| answers));
    assert!(is_deceived(without_terms), "terms");
    assert!(is_deceived(without_gaps), "gaps");
    assert!(is_deceived(without_excess), "more than the TTL");
    // As it once was: the time since the first answer, whatever came between.
    assert!(is_deceived(|answers| without_gaps(without_terms(answers))));
}
