//! The plan lists what the reconciler would write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "test code"
)]

mod world;

use expect_test::{Expect, expect};
use registrator_core::node::{Key, Value};
use registrator_core::observe::watch;
use registrator_core::own::{Held, LeaseId, View, Who};
use registrator_core::reconciler::Event;
use registrator_core::tell::plan::Plan;
use serde_json::json;
use std::collections::BTreeMap;
use world::World;

/// A host on which these containers run, with nothing known of etcd.
fn world_of(containers: &[(&str, serde_json::Value)]) -> World {
    let mut world = World::new();
    world.start("a", false);
    world.handle("a", Event::Container(watch::SourceEvent::Init));
    for (name, answer) in containers {
        let container = world::container(name, true, answer.clone());
        world.handle(
            "a",
            Event::Container(watch::SourceEvent::InitApply(container)),
        );
    }
    world.handle("a", Event::Container(watch::SourceEvent::InitDone));
    world.reach(false);
    world.settle();
    world
}

/// Keys, values and leases. A key that ends with a slash is an object's marker.
fn views_of(etcd: &[(&str, &str, i64)]) -> BTreeMap<Key, View> {
    let key = |text: &str| match text.strip_suffix('/') {
        Some(name) => Key::parse(name).unwrap().marker(),
        None => Key::parse(text).unwrap(),
    };
    let view = |value: &str, lease: i64| View {
        node: Some(Held {
            value: Value::parse(value).unwrap(),
            lease: Some(LeaseId(lease)).filter(|lease| lease.0 != 0),
            mod_revision: 7,
        }),
        claims: BTreeMap::new(),
    };
    let views = etcd.iter();
    views
        .map(|(name, value, lease)| (key(name), view(value, *lease)))
        .collect()
}

/// This host, `a`, and `b`.
fn both() -> Who {
    Who {
        me: LeaseId(1),
        registrators: [(LeaseId(1), "a".into()), (LeaseId(2), "b".into())].into(),
        beacons: [LeaseId(2)].into(),
    }
}

fn planned(etcd: &[(&str, &str, i64)]) -> Plan {
    let mut world = world_of(&[
        (
            "web",
            json!({"nodes": {"/new": "1", "/same": "1", "/other": "2", "/by-hand": "1", "/theirs": "9"}}),
        ),
        ("db", json!({"nodes": {"/other": "1"}})),
        ("bad", json!({"error": "boom"})),
    ]);
    world.host("a").reconciler.plan(&both(), &views_of(etcd))
}

fn check(etcd: &[(&str, &str, i64)], expected: Expect) {
    expected.assert_eq(&planned(etcd).to_string());
}

#[test]
fn against_nothing() {
    check(
        &[],
        expect![[r#"
        + /by-hand 1  for web (p)
        + /new 1  for web (p)
        + /other 1  for db (p)
        + /same 1  for web (p)
        + /theirs 9  for web (p)
        conflict for /other, the first value is registered:
            1  for db (p)
            2  for web (p)
        error in p for container bad: p.star:1:1: boom
        5 to create, 0 to change, 0 to delete, 0 to keep; 1 conflicts, 1 errors
    "#]],
    );
}

#[test]
fn against_etcd() {
    check(
        &[
            ("/same", "1", 1),
            ("/other", "0", 1),
            ("/by-hand", "x", 0),
            ("/theirs", "3", 2),
            ("/stale", "1", 1),
        ],
        expect![[r#"
            ! /by-hand 1 (there is x, which no registrator wrote)  for web (p)
            + /new 1  for web (p)
            ~ /other 1 (was 0)  for db (p)
            = /same 1  for web (p)
            = /stale 1
            < /theirs 3  for web (p)
            conflict for /other, the first value is registered:
                1  for db (p)
                2  for web (p)
            conflict for /theirs, the first value is registered:
                3  for host b
                9  for web (p)
            error in p for container bad: p.star:1:1: boom
            1 to create, 1 to change, 0 to delete, 2 to keep, 1 held by other registrators, 1 blocked by keys that no registrator wrote; 2 conflicts, 1 errors
        "#]],
    );
}

#[test]
fn shared_with_another_registrator() {
    let mut world = World::new();
    world.start("a", true);
    let answer = json!({"nodes": {"/lost": "7"}});
    let web = world::container("web", true, answer);
    world.handle("a", Event::Container(watch::SourceEvent::Apply(web)));
    world.reach(false);
    world.settle();
    let held = |value: &str, lease: i64| Held {
        value: Value::parse(value).unwrap(),
        lease: Some(LeaseId(lease)),
        mod_revision: 7,
    };
    let view = |node: Held, claims: &[(&str, i64)]| View {
        node: Some(node),
        claims: claims
            .iter()
            .map(|(value, lease)| (LeaseId(*lease), held(value, *lease)))
            .collect(),
    };
    let views = [
        ("/gone", view(held("1", 1), &[])),
        ("/left", view(held("5", 1), &[("6", 2)])),
        ("/lost", view(held("7", 1), &[("3", 2)])),
        ("/waited-for", view(held("1", 2), &[("2", 1)])),
    ];
    let views = views.map(|(key, view)| (Key::parse(key).unwrap(), view));
    let plan = world.host("a").reconciler.plan(&both(), &views.into());
    expect![[r#"
        - /gone 1
        ~ /left 6 (was 5)
        ~ /lost 3 (was 7)  for web (p)
        conflict for /lost, the first value is registered:
            3  for host b
            7  for web (p)
        0 to create, 2 to change, 1 to delete, 0 to keep; 1 conflicts, 0 errors
    "#]]
    .assert_eq(&plan.to_string());
}

#[test]
fn as_json() {
    let plan = planned(&[("/same", "1", 1)]);
    assert!(plan.pending());
    expect![[r#"
        {
          "nodes": [
            {
              "key": "/by-hand",
              "value": "1",
              "action": "create",
              "origins": [
                {
                  "instance": "p",
                  "container": "web"
                }
              ]
            },
            {
              "key": "/new",
              "value": "1",
              "action": "create",
              "origins": [
                {
                  "instance": "p",
                  "container": "web"
                }
              ]
            },
            {
              "key": "/other",
              "value": "1",
              "action": "create",
              "origins": [
                {
                  "instance": "p",
                  "container": "db"
                }
              ]
            },
            {
              "key": "/same",
              "value": "1",
              "action": "keep",
              "origins": [
                {
                  "instance": "p",
                  "container": "web"
                }
              ]
            },
            {
              "key": "/theirs",
              "value": "9",
              "action": "create",
              "origins": [
                {
                  "instance": "p",
                  "container": "web"
                }
              ]
            }
          ],
          "conflicts": [
            {
              "key": "/other",
              "candidates": [
                {
                  "value": "1",
                  "origins": [
                    {
                      "instance": "p",
                      "container": "db"
                    }
                  ],
                  "hosts": []
                },
                {
                  "value": "2",
                  "origins": [
                    {
                      "instance": "p",
                      "container": "web"
                    }
                  ],
                  "hosts": []
                }
              ]
            }
          ],
          "errors": [
            {
              "instance": "p",
              "container": "bad",
              "kind": "raised",
              "message": "boom",
              "at": "p.star:1:1"
            }
          ],
          "reasons": [],
          "idle": [],
          "printed": [],
          "warnings": [],
          "held_back": null
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&plan.to_json()).unwrap());
}

/// What would become of an object that a container asks for, with a member.
fn planned_object(etcd: &[(&str, &str, i64)]) -> String {
    let object = json!({"conflict": "none", "nodes": {"a": "1", "b": "2"}, "members": {"m": "3"}});
    let mut world = world_of(&[("web", json!({"objects": {"/r/web": object}}))]);
    let (who, views) = (both(), views_of(etcd));
    let reconciler = &mut world.host("a").reconciler;
    reconciler.foresee(&who, &views);
    reconciler.plan(&who, &views).to_string()
}

#[test]
fn objects_are_planned_with_what_is_in_their_way() {
    let same = r#"{"conflict":"none","nodes":{"a":"1","b":"2"}}"#;
    let other = r#"{"conflict":"none","nodes":{"a":"1","b":"9"}}"#;
    let cases: [&[(&str, &str, i64)]; 8] = [
        &[],
        &[("/r/web/a", "1", 1), ("/r/web/b", "2", 1)],
        &[("/r/web/a", "9", 0)],
        &[("/r/web/a", "1", 2), ("/r/web/b", "2", 2)],
        &[
            ("/r/web/", same, 2),
            ("/r/web/a", "1", 2),
            ("/r/web/b", "2", 2),
        ],
        &[
            ("/r/web/", other, 2),
            ("/r/web/a", "1", 2),
            ("/r/web/b", "9", 2),
        ],
        &[
            ("/r/web/", other, 1),
            ("/r/web/a", "1", 1),
            ("/r/web/b", "9", 1),
        ],
        &[
            ("/r/web/", same, 1),
            ("/r/web/a", "1", 1),
            ("/r/web/b", "x", 0),
        ],
    ];
    let plans = cases.map(|etcd| format!("{etcd:?}\n{}", planned_object(etcd)));
    expect![[r#"
        []
        + object /r/web 2 nodes  for web (p)
        + /r/web/m 3  for web (p)
        2 to create, 0 to change, 0 to delete, 0 to keep; 0 conflicts, 0 errors

        [("/r/web/a", "1", 1), ("/r/web/b", "2", 1)]
        + object /r/web 2 nodes  for web (p)
        + /r/web/m 3  for web (p)
        2 to create, 0 to change, 0 to delete, 0 to keep; 0 conflicts, 0 errors

        [("/r/web/a", "9", 0)]
        ! object /r/web 2 nodes (/r/web/a holds somebody else's 9)  for web (p)
        0 to create, 0 to change, 0 to delete, 0 to keep, 1 blocked by keys that no registrator wrote; 0 conflicts, 0 errors

        [("/r/web/a", "1", 2), ("/r/web/b", "2", 2)]
        ! object /r/web 2 nodes (/r/web/a holds somebody else's 1)  for web (p)
        + /r/web/m 3  for web (p)
        1 to create, 0 to change, 0 to delete, 0 to keep, 1 blocked by keys that no registrator wrote; 0 conflicts, 0 errors

        [("/r/web/", "{\"conflict\":\"none\",\"nodes\":{\"a\":\"1\",\"b\":\"2\"}}", 2), ("/r/web/a", "1", 2), ("/r/web/b", "2", 2)]
        < object /r/web 2 nodes  for web (p)
        + /r/web/m 3  for web (p)
        1 to create, 0 to change, 0 to delete, 0 to keep, 1 held by other registrators; 0 conflicts, 0 errors

        [("/r/web/", "{\"conflict\":\"none\",\"nodes\":{\"a\":\"1\",\"b\":\"9\"}}", 2), ("/r/web/a", "1", 2), ("/r/web/b", "9", 2)]
        ? object /r/web 2 nodes  for web (p)
        conflict: different definitions of object /r/web, none counts until they agree: /r/web/b is 9 for host b; 2 for web (p)
        0 to create, 0 to change, 0 to delete, 0 to keep, 1 not registered until all agree on them; 1 conflicts, 0 errors

        [("/r/web/", "{\"conflict\":\"none\",\"nodes\":{\"a\":\"1\",\"b\":\"9\"}}", 1), ("/r/web/a", "1", 1), ("/r/web/b", "9", 1)]
        ~ object /r/web 2 nodes, with /r/web/b = 2 (was 2 nodes, with /r/web/b = 9)  for web (p)
        + /r/web/m 3  for web (p)
        1 to create, 1 to change, 0 to delete, 0 to keep; 0 conflicts, 0 errors

        [("/r/web/", "{\"conflict\":\"none\",\"nodes\":{\"a\":\"1\",\"b\":\"2\"}}", 1), ("/r/web/a", "1", 1), ("/r/web/b", "x", 0)]
        ! object /r/web 2 nodes (/r/web/b holds somebody else's x)  for web (p)
        0 to create, 0 to change, 0 to delete, 0 to keep, 1 blocked by keys that no registrator wrote; 0 conflicts, 0 errors
    "#]].assert_eq(&plans.join("\n"));
}

#[test]
fn a_node_of_an_object_that_is_asked_for_by_itself_is_left_out() {
    let object = json!({"conflict": "none", "nodes": {"a": "2"}});
    let plan = |alone: &str| {
        let mut world = world_of(&[
            ("web", json!({"objects": {"/r/web": object}})),
            ("one", json!({"nodes": {"/r/web/a": alone}})),
        ]);
        let (who, views) = (both(), BTreeMap::new());
        let reconciler = &mut world.host("a").reconciler;
        reconciler.foresee(&who, &views);
        reconciler.plan(&who, &views).to_string()
    };
    let plans = ["1", "2", "3"].map(plan).concat();
    expect![[r#"
        + object /r/web 1 node  for web (p)
        warning: /r/web/a = 1 for one (p) is not registered by itself: object /r/web has this node too
        1 to create, 0 to change, 0 to delete, 0 to keep; 0 conflicts, 0 errors
        + object /r/web 1 node  for web (p)
        1 to create, 0 to change, 0 to delete, 0 to keep; 0 conflicts, 0 errors
        + object /r/web 1 node  for web (p)
        warning: /r/web/a = 3 for one (p) is not registered by itself: object /r/web has this node too
        1 to create, 0 to change, 0 to delete, 0 to keep; 0 conflicts, 0 errors
    "#]]
    .assert_eq(&plans);
}

#[test]
fn a_node_of_an_object_that_goes_is_planned_by_itself() {
    let mut world = world_of(&[("one", json!({"nodes": {"/r/web/a": "1"}}))]);
    let object = r#"{"conflict":"none","nodes":{"a":"2","b":"2"}}"#;
    let views = [("/r/web/", object), ("/r/web/a", "2"), ("/r/web/b", "2")];
    let views = views_of(&views.map(|(key, value)| (key, value, 1)));
    let plan = world.host("a").reconciler.plan(&both(), &views);
    expect![[r#"
        - object /r/web 2 nodes
        ~ /r/web/a 1 (was 2)  for one (p)
        0 to create, 1 to change, 1 to delete, 0 to keep; 0 conflicts, 0 errors
    "#]]
    .assert_eq(&plan.to_string());
}
