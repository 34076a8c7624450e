//! Objects that only other hosts ask for, and containers that ask for a node of an object alone.

use super::hosts::{Hosts, attention, labelled, random};
use expect_test::expect;
use serde_json::json;

/// This host has nothing to do with it.
#[test]
fn of_others() {
    let hosts = Hosts::start(&[&[random('1', "one")], &[]]);
    let name = ["explain", "/lb/web/hosts"];
    hosts.second().wait_until_it_says(&name, "host-a");
    let other = hosts.second().says(&["explain", "/lb/web"]);
    assert_eq!(hosts.second().says(&["explain", "/lb/web/"]), other);
    hosts.second().explains(
        "/lb/web",
        expect![[r#"
        object /lb/web
        not asked for: no container on this host asks for it

          registered  2 nodes  by host host-a, revision N
                      /lb/web/balance = random
                      /lb/web/hosts = web.test
    "#]],
    );
    hosts.second().explains(
        "/lb/web/hosts",
        expect![[r#"
        key /lb/web/hosts
        not asked for: no container on this host asks for it

          registered  web.test  by host host-a, revision N
    "#]],
    );
    hosts.second().explains(
        "/lb/none",
        expect![[r#"
        key /lb/none
        not asked for: no container on this host asks for it

          there       nothing
    "#]],
    );
    hosts.second().explains(
        "/lb/none/",
        expect![[r#"
        object /lb/none
        not asked for: no container on this host asks for it

          there       nothing
    "#]],
    );

    let alone = |name| hosts.says_alone(&["explain", name], "host-c", &[]);
    assert_eq!(alone("/lb/web"), alone("/lb/web/"));
    expect![[r#"
        No registrator was asked: this is what one would do now.

        object /lb/web
        not asked for: no container on this host asks for it

          registered  2 nodes  by host host-a, revision N
                      /lb/web/balance = random
                      /lb/web/hosts = web.test
    "#]]
    .assert_eq(&alone("/lb/web"));

    let other = labelled('2', "two", json!({"balance": "even"}));
    let hosts = Hosts::start(&[&[random('1', "one")], &[other], &[]]);
    hosts.first().wait_until_it_says(&["status"], "1 disputed");
    hosts.all[2].explains("/lb/web", expect![[r#"
        object /lb/web
        not asked for: no container on this host asks for it

        different definitions of object /lb/web, none counts until they agree: /lb/web/balance is even by host host-b; random by host host-a
          wished      1 node, with /lb/web/balance = even  by host host-b
          wished      2 nodes, with /lb/web/balance = random  by host host-a
    "#]]);
}

/// A container asks for one of its nodes alone.
#[test]
fn beside_a_node() {
    let alone = labelled('2', "two", json!({"alone": "two.test"}));
    let same = labelled('3', "three", json!({"alone": "web.test"}));
    let hosts = Hosts::start(&[&[random('1', "one"), alone.clone(), same]]);
    hosts
        .first()
        .wait_until_it_says(&["explain", "one"], "all of its 2 nodes");
    hosts.first().explains("two", expect![[r#"
        container two (2f1c2a9b7d3e): running, bridge 172.17.0.2
        its node is not in etcd as it is asked for

        lb: 1 node
          outvoted    /lb/web/hosts = two.test
                      object /lb/web has this node too

        recently
          TIME  different values for /lb/web/hosts, the smaller one is registered: two.test for two (lb); web.test for three (lb)
          TIME  /lb/web/hosts = two.test for two (lb) is not registered by itself: object /lb/web has this node too
    "#]]);
    hosts.first().explains("three", expect![[r#"
        container three (3f1c2a9b7d3e): running, bridge 172.17.0.3
        its node is in etcd

        lb: 1 node
          registered  /lb/web/hosts = web.test
                      since TIME (AGE), by this host, revision N

        recently
          TIME  different values for /lb/web/hosts, the smaller one is registered: two.test for two (lb); web.test for three (lb)
          TIME  /lb/web/hosts = two.test for two (lb) is not registered by itself: object /lb/web has this node too
    "#]]);
    hosts.first().explains("/lb/web/hosts", expect![[r#"
        key /lb/web/hosts
        outvoted: it depends on an object

        object /lb/web has this node too
          registered  web.test  by this host since TIME (AGE), revision N
          waits       two.test  for two (lb) on this host
          wished      web.test  for three (lb) on this host

        recently
          TIME  different values for /lb/web/hosts, the smaller one is registered: two.test for two (lb); web.test for three (lb)
          TIME  /lb/web/hosts = two.test for two (lb) is not registered by itself: object /lb/web has this node too
    "#]]);
    let status = hosts.first().says(&["status"]);
    assert!(!status.contains("pending"), "{status}");
    expect![[r#"
        conflict  different values for /lb/web/hosts, the smaller one is registered: two.test for two (lb); web.test for three (lb)
          outvoted  /lb/web/hosts is a node of object /lb/web too
    "#]].assert_eq(&attention(hosts.first()));
    hosts.expect_plan(
        "host-a",
        &[random('1', "one"), alone],
        expect![[r#"
            = object /lb/web 2 nodes  for one (lb)
            = /lb/web/servers/one 172.17.0.1  for one (lb)
            warning: /lb/web/hosts = two.test for two (lb) is not registered by itself: object /lb/web has this node too
            0 to create, 0 to change, 0 to delete, 2 to keep; 0 conflicts, 0 errors
        "#]],
    );
}
