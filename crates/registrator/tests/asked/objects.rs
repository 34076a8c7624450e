//! What people read of objects, which are several nodes and one thing.

mod hosts;
mod others;

use expect_test::expect;
use hosts::{Hosts, attention, labelled, leads_to_the_object, random};
use serde_json::{Value as Json, json};

#[test]
fn agreed_on() {
    let hosts = Hosts::start(&[
        &[random('1', "one"), random('2', "two")],
        &[random('3', "three")],
    ]);
    hosts
        .second()
        .wait_until_it_says(&["explain", "three"], "all of its 2 nodes");
    let first = ["explain", "/lb/web/hosts"];
    hosts.first().wait_until_it_says(&first, "by host host-b");
    hosts.first().explains(
        "/lb/web/hosts",
        expect![[r#"
        object /lb/web
        registered: this host holds it, as it is asked for

          registered  2 nodes  by this host since TIME (AGE), revision N
                      /lb/web/balance = random
                      /lb/web/hosts = web.test
          wished      2 nodes  for one (lb), two (lb) on this host, and by host host-b

        recently
          TIME  registered object /lb/web = 2 nodes for one (lb), two (lb)
    "#]],
    );
    let of_a_node = hosts.first().says(&["explain", "/lb/web/hosts"]);
    for name in ["/lb/web", "/lb/web/"] {
        assert_eq!(hosts.first().says(&["explain", name]), of_a_node, "{name}");
        let key = format!("--key={name}");
        assert_eq!(hosts.first().says(&["explain", &key]), of_a_node, "{key}");
    }
    hosts.first().explains(
        "/lb/web/servers/one",
        expect![[r#"
        key /lb/web/servers/one
        registered: this host holds it, as it is asked for

          registered  172.17.0.1  by this host since TIME (AGE), revision N
          wished      172.17.0.1  for one (lb) on this host

        recently
          TIME  registered /lb/web/servers/one = 172.17.0.1 for one (lb)
    "#]],
    );
    hosts.first().explains(
        "one",
        expect![[r#"
            container one (1f1c2a9b7d3e): running, bridge 172.17.0.1
            all of its 2 nodes are in etcd

            lb: 2 nodes
              registered  object /lb/web = 2 nodes
                          since TIME (AGE), by this host, revision N, also for two
              registered  /lb/web/servers/one = 172.17.0.1
                          since TIME (AGE), by this host, revision N

            recently
              TIME  registered object /lb/web = 2 nodes for one (lb), two (lb)
              TIME  registered /lb/web/servers/one = 172.17.0.1 for one (lb)
        "#]],
    );
    hosts.second().explains(
        "/lb/web/hosts",
        expect![[r#"
        object /lb/web
        shared: another registrator holds it, as it is asked for here too

          registered  2 nodes  by host host-a since TIME (AGE), revision N
                      /lb/web/balance = random
                      /lb/web/hosts = web.test
          wished      2 nodes  for three (lb) on this host, and by host host-a

        recently
          TIME  host host-a holds object /lb/web with the same value
    "#]],
    );
    hosts.second().explains(
        "three",
        expect![[r#"
            container three (3f1c2a9b7d3e): running, bridge 172.17.0.3
            all of its 2 nodes are in etcd

            lb: 2 nodes
              shared      object /lb/web = 2 nodes
                          since TIME (AGE), by host host-a, revision N
              registered  /lb/web/servers/three = 172.17.0.3
                          since TIME (AGE), by this host, revision N

            recently
              TIME  host host-a holds object /lb/web with the same value
              TIME  registered /lb/web/servers/three = 172.17.0.3 for three (lb)
        "#]],
    );
    let other = labelled(
        '1',
        "one",
        json!({"balance": "random", "hosts": "web.test", "port": "80"}),
    );
    hosts.expect_plan(
        "host-a",
        &[random('1', "one"), random('2', "two")],
        expect![[r#"
            = object /lb/web 2 nodes  for one (lb), two (lb)
            = /lb/web/servers/one 172.17.0.1  for one (lb)
            = /lb/web/servers/two 172.17.0.2  for two (lb)
            0 to create, 0 to change, 0 to delete, 3 to keep; 0 conflicts, 0 errors
        "#]],
    );
    hosts.expect_plan(
        "host-a",
        &[other.clone(), random('2', "two")],
        expect![[r#"
            ? object /lb/web none, since its definitions differ  for one (lb), two (lb)
            - /lb/web/servers/one 172.17.0.1
            - /lb/web/servers/two 172.17.0.2
            conflict: different definitions of object /lb/web, none counts until they agree: /lb/web/port is nothing for two (lb), host host-b; 80 for one (lb)
            0 to create, 0 to change, 2 to delete, 0 to keep, 1 not registered until all agree on them; 1 conflicts, 0 errors
        "#]],
    );
}

#[test]
fn changed() {
    let hosts = Hosts::start(&[&[random('1', "one")]]);
    let host = hosts.first();
    host.wait_until_it_says(&["explain", "one"], "all of its 2 nodes");
    let settings = json!({"balance": "random", "hosts": "web.test", "port": "80"});
    let other = labelled('1', "one", settings);
    hosts.expect_plan("host-a", std::slice::from_ref(&other), expect![[r#"
        ~ object /lb/web 3 nodes, with /lb/web/port = 80 (was 2 nodes, without /lb/web/port)  for one (lb)
        = /lb/web/servers/one 172.17.0.1  for one (lb)
        0 to create, 1 to change, 0 to delete, 1 to keep; 0 conflicts, 0 errors
    "#]]);
    host.docker.set(&other, "update");
    host.wait_until_it_says(&["explain", "/lb/web/port"], "registered  3 nodes");
    host.explains("/lb/web/port", expect![[r#"
        object /lb/web
        registered: this host holds it, as it is asked for

          registered  3 nodes  by this host since TIME (AGE), revision N
                      /lb/web/balance = random
                      /lb/web/hosts = web.test
                      /lb/web/port = 80
          wished      3 nodes  for one (lb) on this host

        recently
          TIME  registered object /lb/web = 2 nodes for one (lb)
          TIME  changed object /lb/web = 3 nodes, with /lb/web/port = 80 (was 2 nodes, without /lb/web/port) for one (lb), AGE after the event
    "#]]);
}

/// Somebody asks for it in another way, and that must not be.
#[test]
fn disputed() {
    let other = labelled(
        '2',
        "two",
        json!({"balance": "random", "hosts": "two.test", "port": "80", "idle": "yes"}),
    );
    let hosts = Hosts::start(&[&[random('1', "one"), other.clone()]]);
    hosts.first().wait_until_it_says(&["status"], "1 disputed");
    expect![[r#"
          disputed  different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test for two (lb) on this host; web.test for one (lb) on this host
    "#]].assert_eq(&attention(hosts.first()));
    hosts.first().explains("/lb/web/hosts", expect![[r#"
        object /lb/web
        disputed: there are different definitions, and none counts until they agree

          wished      3 nodes, with /lb/web/hosts = two.test  for two (lb) on this host
          wished      2 nodes, with /lb/web/hosts = web.test  for one (lb) on this host
        Make their definitions the same, or give one of them another name.

        recently
          TIME  different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test for two (lb); web.test for one (lb)
    "#]]);
    hosts.first().explains(
        "/lb/web/servers/one",
        expect![[r#"
            key /lb/web/servers/one
            disputed: it depends on an object

            a member of object /lb/web, which is disputed
              there       nothing
              wished      172.17.0.1  for one (lb) on this host
        "#]],
    );
    hosts.first().explains("one", expect![[r#"
        container one (1f1c2a9b7d3e): running, bridge 172.17.0.1
        none of its 2 nodes is in etcd as it is asked for

        lb: 2 nodes
          disputed    object /lb/web = 2 nodes
                      /lb/web/hosts is two.test for two (lb) on this host; web.test for one (lb) on this host
                      Make their definitions the same, or give one of them another name.
          disputed    /lb/web/servers/one = 172.17.0.1
                      a member of object /lb/web, which is disputed

        recently
          TIME  different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test for two (lb); web.test for one (lb)
    "#]]);
    hosts.expect_plan(
        "host-a",
        &[random('1', "one")],
        expect![[r#"
            ~ object /lb/web 2 nodes (was none, since its definitions differ)  for one (lb)
            + /lb/web/servers/one 172.17.0.1  for one (lb)
            1 to create, 1 to change, 0 to delete, 0 to keep; 0 conflicts, 0 errors
        "#]],
    );
    hosts.expect_plan("host-b", &[random('1', "one")], expect![[r#"
        ? object /lb/web 2 nodes  for one (lb)
        conflict: different definitions of object /lb/web, none counts until they agree: several for host host-a; one for one (lb)
        0 to create, 0 to change, 0 to delete, 0 to keep, 1 not registered until all agree on them; 1 conflicts, 0 errors
    "#]]);

    let hosts = Hosts::start(&[&[random('1', "one")], &[other]]);
    for host in &hosts.all {
        host.wait_until_it_says(&["status"], "1 disputed");
    }
    expect![[r#"
          disputed  different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test by host host-b; web.test for one (lb) on this host
    "#]].assert_eq(&attention(hosts.first()));
    for host in &hosts.all {
        host.wait_until_it_says(&["explain", "/lb/web"], "different definitions");
    }
    hosts.first().explains("/lb/web/hosts", expect![[r#"
        object /lb/web
        disputed: there are different definitions, and none counts until they agree

          wished      3 nodes, with /lb/web/hosts = two.test  by host host-b
          wished      2 nodes, with /lb/web/hosts = web.test  for one (lb) on this host
        Make their definitions the same, or give one of them another name.

        recently
          TIME  registered object /lb/web = 2 nodes for one (lb)
          TIME  different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test of host host-b; web.test of host host-a
    "#]]);
    let member = ["explain", "/lb/web/servers/one"];
    hosts.first().wait_until_it_says(&member, "removed");
    hosts.first().explains(
        "/lb/web/servers/one",
        expect![[r#"
            key /lb/web/servers/one
            disputed: it depends on an object

            a member of object /lb/web, which is disputed
              there       nothing
              wished      172.17.0.1  for one (lb) on this host

            recently
              TIME  registered /lb/web/servers/one = 172.17.0.1 for one (lb)
              TIME  removed /lb/web/servers/one
        "#]],
    );
    hosts.second().explains("/lb/web/port", expect![[r#"
        object /lb/web
        disputed: there are different definitions, and none counts until they agree

          wished      3 nodes, with /lb/web/hosts = two.test  for two (lb) on this host
          wished      2 nodes, with /lb/web/hosts = web.test  by host host-a
        Make their definitions the same, or give one of them another name.

        recently
          TIME  different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test of host host-b; web.test of host host-a
    "#]]);
    hosts.second().explains("two", expect![[r#"
        container two (2f1c2a9b7d3e): running, bridge 172.17.0.2
        its node is not in etcd as it is asked for

        lb: 1 node
          disputed    object /lb/web = 3 nodes
                      /lb/web/hosts is two.test for two (lb) on this host; web.test by host host-a
                      Make their definitions the same, or give one of them another name.

        recently
          TIME  different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test of host host-b; web.test of host host-a
    "#]]);
    hosts.expect_plan("host-a", &[random('1', "one")], expect![[r#"
        ? object /lb/web 2 nodes  for one (lb)
        conflict: different definitions of object /lb/web, none counts until they agree: /lb/web/hosts is two.test for host host-b; web.test for one (lb)
        0 to create, 0 to change, 0 to delete, 0 to keep, 1 not registered until all agree on them; 1 conflicts, 0 errors
    "#]]);
}

/// The smallest definition counts.
#[test]
fn outvoted() {
    let random = || {
        labelled(
            '1',
            "one",
            json!({"balance": "random", "conflict": "smallest"}),
        )
    };
    let even = labelled(
        '2',
        "two",
        json!({"balance": "even", "conflict": "smallest"}),
    );
    let later = labelled(
        '3',
        "three",
        json!({"balance": "turns", "conflict": "smallest", "idle": "yes"}),
    );
    let hosts = Hosts::start(&[&[random(), even.clone()], &[later]]);
    hosts.second().wait_until_it_says(&["status"], "1 outvoted");
    expect![[r#"
          outvoted  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even by host host-a; turns for three (lb) on this host
    "#]].assert_eq(&attention(hosts.second()));
    leads_to_the_object(hosts.second());
    let first = ["explain", "/lb/web/balance"];
    hosts
        .first()
        .wait_until_it_says(&first, "turns of host host-b");
    hosts.first().explains("/lb/web/balance", expect![[r#"
        object /lb/web
        registered: this host holds it, as it is asked for

          registered  1 node  by this host since TIME (AGE), revision N
                      /lb/web/balance = even
          wished      1 node, with /lb/web/balance = even  for two (lb) on this host
          waits       1 node, with /lb/web/balance = random  for one (lb) on this host
          waits       1 node, with /lb/web/balance = turns  by host host-b

        recently
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even for two (lb); random for one (lb)
          TIME  registered object /lb/web = 1 node for two (lb)
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even of host host-a; turns of host host-b
    "#]]);
    hosts.first().explains(
        "/lb/web/servers/one",
        expect![[r#"
            key /lb/web/servers/one
            outvoted: it depends on an object

            a member of object /lb/web, of which another definition counts
              there       nothing
              wished      172.17.0.1  for one (lb) on this host
        "#]],
    );
    hosts.first().explains("one", expect![[r#"
        container one (1f1c2a9b7d3e): running, bridge 172.17.0.1
        none of its 2 nodes is in etcd as it is asked for

        lb: 2 nodes
          outvoted    object /lb/web = 1 node
                      another definition is there, by this host since TIME (AGE), revision N: of different definitions the smallest is registered everywhere
                      /lb/web/balance is even for two (lb) on this host; random for one (lb) on this host; turns by host host-b
                      Make their definitions the same, or give one of them another name.
          outvoted    /lb/web/servers/one = 172.17.0.1
                      a member of object /lb/web, of which another definition counts

        recently
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even for two (lb); random for one (lb)
          TIME  registered object /lb/web = 1 node for two (lb)
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even of host host-a; turns of host host-b
    "#]]);
    let said = hosts.first().ask(&["explain", "one", "--json"]);
    let said: Json = serde_json::from_slice(&said.stdout).unwrap();
    let nodes = &said["instances"][0]["nodes"];
    assert_eq!(
        nodes[0]["why"],
        "different definitions of object /lb/web, the smallest counts: /lb/web/balance is even for two (lb) on this host; random for one (lb) on this host; turns by host host-b"
    );
    assert_eq!(nodes[1]["member_of"], "/lb/web");
    hosts.first().explains("two", expect![[r#"
        container two (2f1c2a9b7d3e): running, bridge 172.17.0.2
        all of its 2 nodes are in etcd

        lb: 2 nodes
          registered  object /lb/web = 1 node
                      since TIME (AGE), by this host, revision N
          registered  /lb/web/servers/two = 172.17.0.2
                      since TIME (AGE), by this host, revision N

        recently
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even for two (lb); random for one (lb)
          TIME  registered object /lb/web = 1 node for two (lb)
          TIME  registered /lb/web/servers/two = 172.17.0.2 for two (lb)
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even of host host-a; turns of host host-b
    "#]]);
    hosts.second().explains("/lb/web/balance", expect![[r#"
        object /lb/web
        outvoted: of different definitions the smallest is registered everywhere, so this host waits

          registered  1 node  by host host-a since TIME (AGE), revision N
                      /lb/web/balance = even
          waits       1 node, with /lb/web/balance = turns  for three (lb) on this host
        Make their definitions the same, or give one of them another name.

        recently
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even of host host-a; turns of host host-b
    "#]]);
    hosts.second().explains("three", expect![[r#"
        container three (3f1c2a9b7d3e): running, bridge 172.17.0.3
        its node is not in etcd as it is asked for

        lb: 1 node
          outvoted    object /lb/web = 1 node
                      another definition is there, by host host-a since TIME (AGE), revision N: of different definitions the smallest is registered everywhere
                      /lb/web/balance is even by host host-a; turns for three (lb) on this host
                      Make their definitions the same, or give one of them another name.

        recently
          TIME  different definitions of object /lb/web, the smallest counts: /lb/web/balance is even of host host-a; turns of host host-b
    "#]]);
    hosts.expect_plan("host-a", &[random(), even], expect![[r#"
        = object /lb/web 1 node  for two (lb)
        = /lb/web/servers/two 172.17.0.2  for two (lb)
        conflict: different definitions of object /lb/web, the smallest counts: /lb/web/balance is even for two (lb); random for one (lb); turns for host host-b
        0 to create, 0 to change, 0 to delete, 2 to keep; 1 conflicts, 0 errors
    "#]]);
    hosts.expect_plan("host-a", &[random()], expect![[r#"
        ~ object /lb/web 1 node, with /lb/web/balance = random (was 1 node, with /lb/web/balance = even)  for one (lb)
        + /lb/web/servers/one 172.17.0.1  for one (lb)
        - /lb/web/servers/two 172.17.0.2
        conflict: different definitions of object /lb/web, the smallest counts: /lb/web/balance is random for one (lb); turns for host host-b
        1 to create, 1 to change, 1 to delete, 0 to keep; 1 conflicts, 0 errors
    "#]]);
}

/// A node that no registrator wrote is in its way.
#[test]
fn blocked() {
    let hosts = Hosts::start(&[&[]]);
    let host = hosts.first();
    host.etcdctl(&["put", "/lb/web/hosts", "strange.test"]);
    let one = labelled(
        '1',
        "one",
        json!({"balance": "random", "hosts": "web.test", "idle": "yes"}),
    );
    host.docker.set(&one, "start");
    host.wait_until_it_says(&["status"], "1 blocked");
    leads_to_the_object(host);
    host.explains("/lb/web/balance", expect![[r#"
        object /lb/web
        blocked: one of its nodes is somebody else's, so none of them is written

        object /lb/web is not registered: /lb/web/hosts holds strange.test, which no registrator wrote. None of its nodes is written until that is gone
          wished      2 nodes  for one (lb) on this host
        Delete that node, or have its host ask for it no more, and the object is registered at once.

        recently
          TIME  object /lb/web is not registered: /lb/web/hosts holds strange.test, which no registrator wrote. None of its nodes is written until that is gone
    "#]]);
    host.explains("one", expect![[r#"
        container one (1f1c2a9b7d3e): running, bridge 172.17.0.1
        its node is not in etcd as it is asked for

        lb: 1 node
          blocked     object /lb/web = 2 nodes
                      object /lb/web is not registered: /lb/web/hosts holds strange.test, which no registrator wrote. None of its nodes is written until that is gone
                      Delete that node, or have its host ask for it no more, and the object is registered at once.

        recently
          TIME  object /lb/web is not registered: /lb/web/hosts holds strange.test, which no registrator wrote. None of its nodes is written until that is gone
    "#]]);
    host.etcdctl(&["del", "/lb/web/hosts"]);
    host.wait_until_it_says(&["explain", "one"], "its node is in etcd");
}

/// As programs read it: by its name, with its nodes.
#[test]
fn as_json() {
    let other = labelled('2', "two", json!({"balance": "even", "idle": "yes"}));
    let hosts = Hosts::start(&[&[random('1', "one")], &[other]]);
    hosts.first().wait_until_it_says(&["status"], "1 disputed");
    let said = hosts.first().ask(&["explain", "/lb/web/balance", "--json"]);
    let said: Json = serde_json::from_slice(&said.stdout).unwrap();
    let (even, random) = (
        json!({"/lb/web/balance": "even"}),
        json!({"/lb/web/balance": "random", "/lb/web/hosts": "web.test"}),
    );
    assert_eq!(said["subject"], json!({"kind": "key", "key": "/lb/web"}));
    let key = &said["key"];
    assert_eq!(
        (&key["key"], &key["state"]),
        (&json!("/lb/web"), &json!("disputed"))
    );
    assert_eq!(key["object"], random, "{said:#}");
    let candidates = key["candidates"].as_array().unwrap().iter();
    let candidates: Vec<&Json> = candidates.map(|it| &it["object"]).collect();
    assert_eq!(candidates, [&even, &random]);
}
