//! What waits for what, and for how long.

use super::*;

fn keys(names: &[&str]) -> BTreeSet<Key> {
    names.iter().map(|name| Key::parse(name).unwrap()).collect()
}

fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

fn id(name: &str) -> ContainerId {
    ContainerId::new(name)
}

fn given_no_more() -> Cause {
    Cause::GivenNoMore(InstanceId {
        policy: crate::observe::spec::PolicyName::parse("p").unwrap(),
        config: None,
    })
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_proven_waits_for_what_has_come() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.come(&id("new"), now);
    departures.go(keys(&["/a"]), Some(&id("old")), Cause::Ended, now);
    departures.come(&id("later"), now);
    assert!(departures.holds(&key("/a")));
    assert_eq!(departures.next_timeout(true), Some(now + SECOND));
    for container in ["new", "later"] {
        assert_eq!(departures.take_ended(now), None);
        departures.looked_at(&id(container));
    }
    assert_eq!(departures.take_ended(now), Some(keys(&["/a"])));
    assert!(!departures.holds(&key("/a")) && departures.is_empty());
}

#[test]
fn an_evaluation_of_what_was_before_does_not_count() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.start(&id("new"), now);
    departures.go(keys(&["/a"]), Some(&id("old")), Cause::Ended, now);
    departures.looked_at(&id("new"));
    assert_eq!(departures.take_ended(now), None);
    departures.inspected(&id("new"));
    departures.looked_at(&id("new"));
    assert_eq!(departures.take_ended(now), Some(keys(&["/a"])));
}

#[test]
fn who_keeps_others_waiting_does_so_once() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.come(&id("slow"), now);
    let later = now + SECOND / 2;
    departures.come(&id("slow"), later);
    departures.go(keys(&["/a"]), Some(&id("old")), Cause::Ended, later);
    assert_eq!(departures.next_timeout(true), Some(now + SECOND));
    assert_eq!(departures.take_ended(later), None);
    assert_eq!(departures.take_ended(now + SECOND), Some(keys(&["/a"])));
}

#[test]
fn anything_may_be_in_a_list_under_way() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.go(keys(&["/a"]), Some(&id("old")), Cause::Ended, now);
    departures.come(&id("listed"), now);
    departures.list(|_| false);
    assert_eq!(departures.take_ended(now), None);
    departures.listed();
    assert_eq!(departures.take_ended(now), Some(keys(&["/a"])));
}

#[test]
fn nothing_waits_longer_than_a_second() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.go(keys(&["/a"]), Some(&id("old")), Cause::Ended, now);
    departures.come(&id("new"), now + SECOND / 2);
    assert_eq!(departures.next_timeout(true), Some(now + SECOND));
    assert_eq!(departures.take_ended(now + SECOND / 2), None);
    assert_eq!(departures.take_ended(now + SECOND), Some(keys(&["/a"])));
}

#[test]
fn what_is_asked_for_again_stays() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.come(&id("new"), now);
    departures.go(keys(&["/a", "/b"]), Some(&id("old")), Cause::Ended, now);
    assert!(!departures.stay(&key("/a")), "it was not held back");
    departures.looked_at(&id("new"));
    assert_eq!(departures.take_ended(now), Some(keys(&["/b"])));
}

#[test]
fn what_is_not_proven_is_decided_together_and_in_calm() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    assert!(!departures.is_decidable(true, now));
    for (container, name) in [("x", "/a"), ("y", "/b")] {
        departures.go(keys(&[name]), Some(&id(container)), given_no_more(), now);
        assert!(!departures.is_decidable(false, now));
    }
    assert!(departures.is_decidable(true, now));
    assert!(departures.is_decidable(false, now + 5 * SECOND));
    assert_eq!(departures.take_ended(now + 5 * SECOND), None);
    let causes = departures.unproven(|key| key.as_str() != "/b");
    assert_eq!(causes, [(given_no_more(), 1)].into());
    departures.hold_back(1);
    assert!(departures.holds_any() && departures.is_empty());
    assert_eq!(departures.next_timeout(true), None);
    assert!(departures.stay(&key("/b")), "it was held back");
    assert_eq!(departures.take_unproven(), [keys(&["/a"])]);
    assert!(!departures.holds_any());
}

#[test]
fn a_wish_may_come_back_while_nodes_are_held_back() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.go(keys(&["/a"]), Some(&id("x")), given_no_more(), now);
    departures.hold_back(1);
    departures.go(keys(&["/b"]), Some(&id("y")), given_no_more(), now);
    assert!(!departures.is_decidable(false, now + 60 * SECOND));
    assert_eq!(departures.next_timeout(false), None);
    assert!(departures.is_decidable(true, now));
    assert_eq!(departures.take_held_back(), [keys(&["/a"])]);
    assert!(departures.holds(&key("/b")));
}

#[test]
fn the_end_of_a_container_proves_what_it_held_back() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    departures.go(keys(&["/a"]), Some(&id("x")), given_no_more(), now);
    departures.hold_back(1);
    departures.go(keys(&["/b"]), Some(&id("x")), given_no_more(), now);
    departures.go(keys(&["/c"]), Some(&id("y")), given_no_more(), now);
    departures.end(&id("x"));
    assert_eq!(departures.take_ended(now), Some(keys(&["/a"])));
    assert_eq!(departures.take_ended(now), Some(keys(&["/b"])));
    assert_eq!(departures.take_ended(now), None);
    departures.clear();
    assert!(!departures.holds(&key("/c")));
}

/// A thousand containers, each with three nodes that are held back, end one after the other.
#[test]
fn the_end_of_a_container_does_not_count_the_nodes_of_all() {
    let (mut departures, now) = (Departures::default(), Instant::now());
    let (containers, of_each) = (1000, 3);
    for number in 0..containers {
        let names: Vec<String> = (0..of_each).map(|it| format!("/{number}/{it}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        departures.go(
            keys(&names),
            Some(&id(&number.to_string())),
            given_no_more(),
            now,
        );
    }
    let all = containers * of_each;
    departures.hold_back(all);
    let looked_at = std::cell::Cell::new(0);
    for number in 0..containers {
        departures.end(&id(&number.to_string()));
        let left = all - (number + 1) * of_each;
        assert_eq!(departures.perhaps_held_back(), left);
        if departures.is_worth_counting() {
            let causes = departures.unproven(|_| {
                looked_at.set(looked_at.get() + 1);
                true
            });
            assert_eq!(causes.values().sum::<usize>(), left);
            departures.hold_back(left);
        }
    }
    assert!(looked_at.get() <= WORTH * all, "{}", looked_at.get());
    assert!(departures.is_worth_counting(), "nothing is held back");
}
