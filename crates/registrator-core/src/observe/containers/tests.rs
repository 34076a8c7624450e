//! Borrowers and their lenders, coming and going in every order.

use super::*;
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

fn stopped(container: &Container) -> Container {
    let mut json = Json::clone(container.json());
    json["State"]["Running"] = false.into();
    Container::from_inspect(json).unwrap()
}

fn id(text: &str) -> ContainerId {
    ContainerId::new(text)
}

fn addresses(containers: &Containers, of: &str) -> String {
    let container = containers.get(&id(of)).unwrap();
    let networks = container
        .json()
        .pointer("/NetworkSettings/Networks")
        .unwrap();
    let networks = networks.as_object().unwrap().iter();
    let shown = networks
        .map(|(name, network)| format!("{name} {}", network["IPAddress"].as_str().unwrap()));
    shown.collect::<Vec<_>>().join(", ")
}

/// Takes in a container; who changed.
fn apply(containers: &mut Containers, container: Container) -> String {
    shown(containers.handle(Event::Apply(container)))
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
        shown(containers.handle(Event::Delete(id("a1")))),
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
    assert_eq!(shown(containers.handle(Event::Delete(id("b1")))), "-b1");
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
fn borrowers_of_borrowers_and_circles_have_nothing() {
    let mut containers = Containers::default();
    apply(&mut containers, lender("a1", "web", "10.0.0.2"));
    apply(&mut containers, borrower("b1", "a1"));
    apply(&mut containers, borrower("c1", "b1"));
    apply(&mut containers, borrower("d1", "d2"));
    apply(&mut containers, borrower("d2", "d1"));
    for id in ["c1", "d1", "d2"] {
        assert_eq!(addresses(&containers, id), "", "{id}");
    }
}

#[test]
fn a_new_list_takes_lenders_away_at_its_end() {
    let mut containers = Containers::default();
    apply(&mut containers, lender("a1", "web", "10.0.0.2"));
    apply(&mut containers, borrower("b1", "a1"));
    assert_eq!(shown(containers.handle(Event::Init)), "");
    assert_eq!(
        shown(containers.handle(Event::InitApply(borrower("b1", "a1")))),
        ""
    );
    assert_eq!(addresses(&containers, "b1"), "front 10.0.0.2");
    assert_eq!(shown(containers.handle(Event::InitDone)), "b1 -a1");
    assert_eq!(
        (
            containers.len(),
            containers.complete(),
            containers.is_empty()
        ),
        (1, true, false)
    );
}
