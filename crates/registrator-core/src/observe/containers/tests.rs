//! Borrowers and their lenders, coming and going in every order.

use super::*;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn container(id: &str, name: &str, mode: &str, networks: Json) -> Container {
    let json = json!({
        "Id": id,
        "Name": format!("/{name}"),
        "State": {"Running": true},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": networks, "Ports": {}},
    });
    Container::from_inspect(json).unwrap()
}

/// In a network of its own.
fn lender(id: &str, name: &str, address: &str) -> Container {
    container(id, name, "front", json!({"front": {"IPAddress": address}}))
}

fn borrower(id: &str, named: &str) -> Container {
    container(id, id, &format!("container:{named}"), json!({}))
}

fn json_of(container: &Container) -> Json {
    serde_json::from_str(&container.text()).unwrap()
}

/// Started at this second.
fn started(container: &Container, second: u8) -> Container {
    let mut json = json_of(container);
    json["State"]["StartedAt"] = format!("2026-11-27T10:00:{second:02}Z").into();
    Container::from_inspect(json).unwrap()
}

fn stopped(container: &Container) -> Container {
    let mut json = json_of(container);
    json["State"]["Running"] = false.into();
    Container::from_inspect(json).unwrap()
}

fn id(text: &str) -> ContainerId {
    ContainerId::new(text)
}

fn addresses(containers: &Containers, of: &str) -> String {
    let json = json_of(containers.get(&id(of)).unwrap());
    let networks = &json["NetworkSettings"]["Networks"];
    let networks = networks.as_object().unwrap().iter();
    let shown = networks
        .map(|(name, network)| format!("{name} {}", network["IPAddress"].as_str().unwrap()));
    shown.collect::<Vec<_>>().join(", ")
}

/// Takes in a container; who changed.
fn apply(containers: &mut Containers, container: Container) -> String {
    shown(containers.handle(SourceEvent::Apply(container)))
}

fn shown(delta: Delta<ContainerId>) -> String {
    let deleted = delta.deleted.iter().map(|id| format!("-{id}"));
    let applied = delta.applied.iter().map(ContainerId::to_string);
    applied.chain(deleted).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_borrower_has_its_lender_s_networks_whoever_comes_first() {
    for first in [true, false] {
        let mut containers = Containers::default();
        if first {
            assert_eq!(
                apply(&mut containers, lender("a1", "web", "10.0.0.2")),
                "a1"
            );
            assert_eq!(apply(&mut containers, borrower("b1", "a1")), "b1");
        } else {
            assert_eq!(apply(&mut containers, borrower("b1", "a1")), "b1");
            assert_eq!(addresses(&containers, "b1"), "");
            assert_eq!(
                apply(&mut containers, lender("a1", "web", "10.0.0.2")),
                "a1 b1"
            );
        }
        assert_eq!(addresses(&containers, "b1"), "front 10.0.0.2");
        assert_eq!(addresses(&containers, "a1"), "front 10.0.0.2");
        let seen: Vec<_> = containers
            .iter()
            .map(|(_, container)| container.clone())
            .collect();
        assert_eq!(&seen[1], containers.get(&id("b1")).unwrap());
    }
}

#[test]
fn what_happens_to_the_lender_happens_to_its_borrowers() {
    let mut containers = Containers::default();
    let web = lender("a1", "web", "10.0.0.2");
    apply(&mut containers, web.clone());
    apply(&mut containers, borrower("b1", "a1"));
    apply(&mut containers, borrower("b2", "a1"));
    assert_eq!(
        apply(&mut containers, lender("a1", "web", "10.0.0.3")),
        "a1 b1 b2"
    );
    assert_eq!(addresses(&containers, "b2"), "front 10.0.0.3");
    assert_eq!(
        apply(&mut containers, lender("a1", "renamed", "10.0.0.3")),
        "a1",
        "no network changed"
    );
    assert_eq!(apply(&mut containers, stopped(&web)), "a1 b1 b2");
    assert_eq!(
        addresses(&containers, "b1"),
        "",
        "though inspect shows an address of the lender"
    );
    assert_eq!(apply(&mut containers, web), "a1 b1 b2");
    assert_eq!(
        shown(containers.handle(SourceEvent::Delete(id("a1")))),
        "b1 b2 -a1"
    );
    assert_eq!(addresses(&containers, "b1"), "");
}

#[test]
fn what_happens_to_the_borrower() {
    let mut containers = Containers::default();
    apply(&mut containers, lender("a1", "web", "10.0.0.2"));
    apply(&mut containers, borrower("b1", "a1"));
    assert_eq!(apply(&mut containers, borrower("b1", "a1")), "", "equal");
    let renamed = container("b1", "renamed", "container:a1", json!({}));
    assert_eq!(apply(&mut containers, renamed), "b1");
    assert_eq!(containers.get(&id("b1")).unwrap().name(), "renamed");
    assert_eq!(addresses(&containers, "b1"), "front 10.0.0.2");
    assert_eq!(
        apply(&mut containers, lender("b1", "own", "10.0.0.9")),
        "b1"
    );
    assert_eq!(addresses(&containers, "b1"), "front 10.0.0.9");
    apply(&mut containers, borrower("b1", "a1"));
    assert_eq!(
        shown(containers.handle(SourceEvent::Delete(id("b1")))),
        "-b1"
    );
    assert_eq!(containers.get(&id("b1")), None);
    assert_eq!(
        apply(&mut containers, lender("a1", "web", "10.0.0.3")),
        "a1"
    );
}

#[test]
fn lenders_have_ids_names_and_beginnings_of_ids() {
    let check = |named: &str, expected: &str| {
        let mut containers = Containers::default();
        apply(&mut containers, lender("abc1", "abc2", "10.0.0.1"));
        apply(&mut containers, lender("abc2", "web", "10.0.0.2"));
        apply(&mut containers, borrower("b1", named));
        assert_eq!(addresses(&containers, "b1"), expected, "{named}");
    };
    check("abc1", "front 10.0.0.1");
    check("abc2", "front 10.0.0.2");
    check("web", "front 10.0.0.2");
    check("abc", "");
    check("missing", "");
    check("b1", "");
    check("b", "");
}

#[test]
fn circles_have_nothing() {
    let mut containers = Containers::default();
    apply(&mut containers, borrower("d1", "d2"));
    apply(&mut containers, borrower("d2", "d1"));
    apply(&mut containers, borrower("e1", "e1"));
    apply(&mut containers, borrower("f1", "d1"));
    for id in ["d1", "d2", "e1", "f1"] {
        assert_eq!(addresses(&containers, id), "", "{id}");
    }
}

/// Which of them is left by whom; `b1` is in the network of `a1`, `c1` in that of `b1`.
#[track_caller]
fn check_left(changes: &[Container], expected: &str) {
    let mut containers = Containers::default();
    apply(
        &mut containers,
        started(&lender("a1", "web", "10.0.0.2"), 1),
    );
    apply(&mut containers, started(&borrower("b1", "a1"), 2));
    apply(&mut containers, started(&borrower("c1", "b1"), 3));
    for id in ["b1", "c1"] {
        assert_eq!(addresses(&containers, id), "front 10.0.0.2", "{id}");
    }
    for change in changes {
        apply(&mut containers, change.clone());
    }
    let mut found = Vec::new();
    for name in ["b1", "c1"] {
        let address = addresses(&containers, name);
        match containers.left_by(&id(name)) {
            Some(owner) => {
                assert_eq!(address, "", "{name}");
                found.push(format!("{name} by {owner}"));
            }
            None if address.is_empty() => found.push(format!("{name} has nothing")),
            None => {}
        }
    }
    assert_eq!(found.join(", "), expected);
}

/// As seen on a real engine.
#[test]
fn whoever_joined_a_network_before_its_owner_was_started_again_has_nothing() {
    let (web, b1, c1) = (
        lender("a1", "web", "10.0.0.2"),
        borrower("b1", "a1"),
        borrower("c1", "b1"),
    );
    let web_again = started(&web, 5);
    check_left(&[web_again.clone()], "b1 by web, c1 by web");
    // The one in between joins the new network, the other is still in the former one.
    check_left(&[web_again.clone(), started(&b1, 6)], "c1 by web");
    check_left(&[web_again.clone(), started(&b1, 6), started(&c1, 7)], "");
    // Started again without the one in between, it is in the former network too.
    check_left(&[web_again, started(&c1, 7)], "b1 by web, c1 by web");
    // The network is there though the one in between ended, or was started again.
    check_left(&[started(&b1, 5)], "");
    check_left(&[stopped(&started(&b1, 2))], "");
    check_left(&[stopped(&web)], "b1 has nothing, c1 has nothing");
    // Nothing is known of times.
    check_left(&[web.clone()], "");
    check_left(&[started(&web, 1), b1, c1], "");
    let host = container(
        "a1",
        "web",
        "host",
        json!({"front": {"IPAddress": "10.0.0.2"}}),
    );
    check_left(&[started(&host, 5)], "");
}

#[test]
fn a_waiting_restart_is_no_network() {
    let mut json = json_of(&started(&lender("a1", "web", "10.0.0.2"), 1));
    json["State"]["Restarting"] = true.into();
    let looping = Container::from_inspect(json).unwrap();
    check_left(&[looping], "b1 has nothing, c1 has nothing");
}

#[test]
fn whom_a_chain_concerns() {
    let mut containers = Containers::default();
    let web = lender("a1", "web", "10.0.0.2");
    apply(&mut containers, borrower("c1", "b1"));
    apply(&mut containers, borrower("b1", "a1"));
    assert_eq!(apply(&mut containers, web.clone()), "a1 b1 c1");
    assert_eq!(apply(&mut containers, started(&web, 1)), "a1");
    assert_eq!(
        apply(&mut containers, started(&borrower("b1", "a1"), 0)),
        "b1 c1"
    );
}

#[test]
fn a_new_list_takes_lenders_away_at_its_end() {
    let mut containers = Containers::default();
    apply(&mut containers, lender("a1", "web", "10.0.0.2"));
    apply(&mut containers, borrower("b1", "a1"));
    assert_eq!(shown(containers.handle(SourceEvent::Init)), "");
    assert_eq!(
        shown(containers.handle(SourceEvent::InitApply(borrower("b1", "a1")))),
        ""
    );
    assert_eq!(addresses(&containers, "b1"), "front 10.0.0.2");
    assert_eq!(shown(containers.handle(SourceEvent::InitDone)), "b1 -a1");
    assert_eq!(
        (
            containers.len(),
            containers.complete(),
            containers.is_empty()
        ),
        (1, true, false)
    );
}

/// A container as policies see it, and who left it.
type AsSeen = (Container, Option<String>);

/// The containers, worked out from nothing but what inspect said.
fn seen_of(inspected: &BTreeMap<ContainerId, Container>) -> BTreeMap<ContainerId, AsSeen> {
    let seen = |container: &Container| match naive_owner(container, inspected, 9) {
        Some((owner, true)) if owner.running() => (container.in_network_of(owner), None),
        Some((owner, false)) if owner.running() => {
            (container.clone(), Some(owner.name().to_owned()))
        }
        Some(_) | None => (container.clone(), None),
    };
    let all = inspected.iter();
    all.map(|(id, container)| (id.clone(), seen(container)))
        .collect()
}

fn naive_lender<'a>(
    borrower: &Container,
    all: &'a BTreeMap<ContainerId, Container>,
) -> Option<&'a Container> {
    let called = borrower.network_of()?;
    let with_name = || all.values().find(|container| container.name() == called);
    let beginning: Vec<_> = all
        .values()
        .filter(|container| container.id().as_str().starts_with(called))
        .collect();
    let only = if let [only] = *beginning {
        Some(only)
    } else {
        None
    };
    all.get(&id(called)).or_else(with_name).or(only)
}

/// The owner of the network, and whether it is the one that the borrower joined.
fn naive_owner<'a>(
    borrower: &Container,
    all: &'a BTreeMap<ContainerId, Container>,
    most: u8,
) -> Option<(&'a Container, bool)> {
    let lender = naive_lender(borrower, all)?;
    if lender.network_of().is_none() {
        return Some((lender, !lender.started_after(borrower)));
    }
    let (owner, is_own) = naive_owner(lender, all, most.checked_sub(1)?)?;
    if lender.started_after(borrower) {
        return Some((owner, !owner.started_after(borrower)));
    }
    Some((owner, is_own))
}

/// Containers that are easily taken for each other.
fn any_container() -> impl Strategy<Value = Container> {
    let id = prop::sample::select(vec!["a", "ab", "abc", "b", "bc"]);
    let name = prop::sample::select(vec!["a", "ab", "b", "web"]);
    let lender = prop::sample::select(vec!["", "", "a", "ab", "abc", "b", "bc", "web"]);
    (id, name, lender, 0..3_u8, any::<bool>(), 0..4_u8).prop_map(
        |(id, name, lender, address, running, second)| {
            let (mode, networks) = match lender {
                "" => (
                    "front".to_owned(),
                    json!({"front": {"IPAddress": address.to_string()}}),
                ),
                lender => (format!("container:{lender}"), json!({})),
            };
            let found = started(&container(id, name, &mode, networks), second);
            if running { found } else { stopped(&found) }
        },
    )
}

#[derive(Debug, Clone)]
enum Happens {
    Apply(Container),
    Delete(Container),
    List(Vec<Container>),
}

fn any_event() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => any_container().prop_map(Happens::Apply),
        3 => any_container().prop_map(Happens::Delete),
        1 => prop::collection::vec(any_container(), 0..4).prop_map(Happens::List),
    ]
}

proptest! {
    /// Nobody is seen otherwise than without indexes, and who is told of are those that changed.
    #[test]
    fn any_order(events in prop::collection::vec(any_event(), 1..40)) {
        let mut containers = Containers::default();
        let mut inspected = BTreeMap::new();
        for event in events {
            let before = (inspected.clone(), seen_of(&inspected));
            let events = match event {
                Happens::Apply(container) => {
                    inspected.insert(container.id().clone(), container.clone());
                    vec![SourceEvent::Apply(container)]
                }
                Happens::Delete(container) => {
                    inspected.remove(container.id());
                    vec![SourceEvent::Delete(container.id().clone())]
                }
                Happens::List(list) => {
                    inspected = list.iter().map(|container| (container.id().clone(), container.clone())).collect();
                    let items = list.into_iter().map(SourceEvent::InitApply);
                    [SourceEvent::Init].into_iter().chain(items).chain([SourceEvent::InitDone]).collect()
                }
            };
            let is_one = events.len() == 1;
            let mut delta = Delta::default();
            for event in events {
                delta = containers.handle(event);
            }
            let after = seen_of(&inspected);
            let left_by = |id| containers.left_by(id).map(str::to_owned);
            let found: BTreeMap<_, _> = containers.iter().map(|(id, container)| (id.clone(), (container.clone(), left_by(id)))).collect();
            prop_assert_eq!(&found, &after);
            if is_one {
                let differs = |id: &&ContainerId| before.1.get(id) != after.get(id) || before.0.get(id) != inspected.get(id);
                let expected: BTreeSet<_> = after.keys().filter(differs).cloned().collect();
                prop_assert_eq!(delta.applied.iter().cloned().collect::<BTreeSet<_>>(), expected);
                let gone: Vec<_> = before.0.keys().filter(|id| !inspected.contains_key(*id)).cloned().collect();
                prop_assert_eq!(delta.deleted, gone);
            }
        }
    }
}
