//! Tests of [`super`].

use super::*;
use proptest::prelude::*;

fn tally(way: Manner, keys: usize, own: u32, foreign: u32) -> Tally {
    Tally {
        way,
        keys,
        few: FEW,
        own,
        foreign,
    }
}

#[test]
fn a_way_is_chosen_by_keys_and_by_what_was_heard() {
    use Manner::{Singly, Whole};
    let table = [
        (Singly, 1, 0, 0, Singly, "few keys"),
        (Singly, 128, 0, 0, Singly, "still few"),
        (Singly, 129, 0, 0, Whole, "many keys"),
        (Whole, 129, 0, 0, Whole, ""),
        (Whole, 64, 0, 0, Whole, "between the limits it stays"),
        (Whole, 63, 0, 0, Singly, "few again"),
        (Whole, 10_000, 0, 512, Whole, "a few changes of others"),
        (Whole, 10_000, 0, 513, Singly, "only others change anything"),
        (Whole, 10_000, 600, 600, Whole, "half of it is of interest"),
        (Whole, 10_000, 600, 601, Singly, "most is not"),
        (Whole, 10_000, 4_000, 96, Whole, "a host alone"),
    ];
    for (way, keys, own, foreign, expected, why) in table {
        let found = choose(tally(way, keys, own, foreign));
        assert_eq!(
            found, expected,
            "{keys} keys, {own} and {foreign} heard: {why}"
        );
    }
}

#[test]
fn a_way_that_was_in_vain_is_tried_again_with_twice_as_many_keys() {
    let mut interests = Interests::default();
    let keys = |range: std::ops::Range<usize>| range.map(|n| key(&format!("/a/{n}")));
    assert_eq!(interests.add(keys(0..200)).begin, [root("/a/")]);
    let changes = (0..=PATIENCE).map(|_| interests.heard(&key("/a/of-another")));
    let changes = changes.last().unwrap();
    assert_eq!(changes.end, [root("/a/")]);
    assert_eq!(changes.begin_anew.len(), 200);
    let changes = interests.add(keys(200..400));
    assert_eq!((changes.begin.len(), changes.begin_anew.len()), (200, 0));
    let changes = interests.add(keys(400..401));
    assert_eq!(changes.begin_anew, [root("/a/")]);
    assert_eq!(
        changes.end.len(),
        400,
        "the new one was never watched by itself"
    );
}

#[test]
fn a_root_that_is_forbidden_is_watched_key_by_key() {
    let mut interests = Interests::default();
    let keys = || (0..200).map(|n| key(&format!("/a/{n}")));
    interests.add(keys());
    let changes = interests.forbid("/a/");
    assert_eq!(
        (changes.end.len(), changes.begin_anew.len()),
        (1, 200),
        "{changes:?}"
    );
    let more = interests.add((200..5000).map(|n| key(&format!("/a/{n}"))));
    assert_eq!((more.end.len(), more.begin.len()), (0, 4800));
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn root(text: &str) -> Subject {
    Subject::Root(text.into())
}

/// Keys are added, removed or heard of.
fn act() -> impl Strategy<Value = (u8, u8, std::ops::Range<usize>)> {
    (0_u8..3, 0_u8..2, (0_usize..300, 0_usize..300))
        .prop_map(|(what, of, (from, number))| (what, of, from..from + number))
}

proptest! {
    /// Whatever happens, each key of interest is watched in one way, and nothing is watched without need.
    #[test]
    fn each_key_of_interest_is_watched_once(acts in proptest::collection::vec(act(), 0..20)) {
        let mut interests = Interests::default();
        let mut watched: BTreeSet<Subject> = BTreeSet::new();
        let mut expected: BTreeSet<Key> = BTreeSet::new();
        for (what, of, range) in acts {
            let keys: Vec<Key> = range.map(|n| key(&format!("/{of}/{n}"))).collect();
            let changes = match what {
                0 => {
                    expected.extend(keys.iter().cloned());
                    vec![interests.add(keys)]
                }
                1 => {
                    expected.retain(|key| !keys.contains(key));
                    vec![interests.remove(keys)]
                }
                _ => keys.iter().map(|key| interests.heard(key)).collect(),
            };
            for Changes { end, begin, begin_anew } in changes {
                for subject in end {
                    prop_assert!(watched.remove(&subject), "{subject:?} was not watched");
                }
                for subject in begin.into_iter().chain(begin_anew) {
                    prop_assert!(watched.insert(subject.clone()), "{subject:?} is watched already");
                }
            }
            let covered: Vec<&Key> = watched.iter().flat_map(|subject| interests.of(subject)).collect();
            let covered_once: BTreeSet<Key> = covered.iter().copied().cloned().collect();
            prop_assert_eq!(covered.len(), covered_once.len());
            prop_assert_eq!(&covered_once, &expected);
            prop_assert_eq!(interests.all().cloned().collect::<BTreeSet<_>>(), covered_once);
        }
    }
}
