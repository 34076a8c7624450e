//! The rarer reasons: what etcd refuses, what the process before left, what the brake keeps, who is about to stop, and what does not run.

use super::docker::container;
use super::etcd::{Etcd, Variant, Version};
use super::host::{Host, SKYDNS};
use super::program::block_on;
use expect_test::expect;
use serde_json::{Value as Json, json};

const BY_HOSTNAME: &str = r#"{"layout": "hostname"}"#;

fn named(name: &str) -> Json {
    json!({"Config": {"Hostname": name}})
}

/// A host on a real etcd, which outlives it.
fn on_etcd(etcd: &Etcd, containers: Vec<Json>, config: &str) -> Host {
    let address = etcd.address().parse().unwrap();
    let endpoint = [format!("--etcd-endpoint={}", etcd.url())];
    Host::start_at(address, "host-a", containers, config, &endpoint)
}

fn etcd(arguments: &[&str]) -> Etcd {
    let variant = Variant {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..Variant::default()
    };
    let program = Version::V3_4.program().unwrap();
    block_on(Etcd::start_variant(&program, variant))
}

#[test]
fn shared_with_another_host() {
    let web = || container('1', "web", &named("web"));
    let one = Host::start(vec![web()], BY_HOSTNAME).in_sync();
    let two = one.another(vec![web()], BY_HOSTNAME).in_sync();
    two.explains(
        "web",
        expect![[r#"
        container web (1f1c2a9b7d3e): running, bridge 172.17.0.1
        its node is in etcd

        skydns:bridge: 1 node
          shared      /skydns/local/skydns/web = {"host":"172.17.0.1"}
                      since TIME (AGE), by host host-a, revision N

        recently
          TIME  host host-a holds /skydns/local/skydns/web with the same value
    "#]],
    );
    two.explains("/skydns/local/skydns/web", expect![[r#"
        key /skydns/local/skydns/web
        shared: another registrator holds it, with the value that is asked for here too

          registered  {"host":"172.17.0.1"}  by host host-a since TIME (AGE), revision N
          wished      {"host":"172.17.0.1"}  for web (skydns:bridge) on this host, and by host host-a

        recently
          TIME  host host-a holds /skydns/local/skydns/web with the same value
    "#]]);
}

/// A container's value is larger than another's on the same host.
#[test]
fn outvoted_on_its_own_host() {
    let api = |digit| container(digit, "api", &named("api"));
    let host = Host::start(vec![api('1'), api('2')], BY_HOSTNAME).in_sync();
    host.explains("2f1c2a9b7d3e", expect![[r#"
        container api (2f1c2a9b7d3e): running, bridge 172.17.0.2
        its node is not in etcd as it is asked for

        skydns:bridge: 1 node
          outvoted    /skydns/local/skydns/api = {"host":"172.17.0.2"}
                      {"host":"172.17.0.1"} is there, by this host since TIME (AGE), revision N: of different values the smallest is registered everywhere
                      {"host":"172.17.0.1"} is asked for under the same key on this host, and of different values the smallest is registered
                      To have both, give them different keys: the layout "instances" puts the container's id into the key.

        recently
          TIME  different values for /skydns/local/skydns/api, the smaller one is registered: {"host":"172.17.0.1"} for api (skydns:bridge); {"host":"172.17.0.2"} for api (skydns:bridge)
          TIME  registered /skydns/local/skydns/api = {"host":"172.17.0.1"} for api (skydns:bridge)
    "#]]);
    host.explains("/skydns/local/skydns/api", expect![[r#"
        key /skydns/local/skydns/api
        registered: this host holds it, as it is asked for

          registered  {"host":"172.17.0.1"}  by this host since TIME (AGE), revision N
          wished      {"host":"172.17.0.1"}  for api (skydns:bridge) on this host
          waits       {"host":"172.17.0.2"}  for api (skydns:bridge) on this host

        recently
          TIME  different values for /skydns/local/skydns/api, the smaller one is registered: {"host":"172.17.0.1"} for api (skydns:bridge); {"host":"172.17.0.2"} for api (skydns:bridge)
          TIME  registered /skydns/local/skydns/api = {"host":"172.17.0.1"} for api (skydns:bridge)
    "#]]);
}

/// etcd takes no request that is so long.
#[test]
fn rejected() {
    let etcd = etcd(&["--max-request-bytes", "4096"]);
    let text = "x".repeat(5000);
    let web = container('1', "web", &json!({"Config": {"Labels": {"text": text}}}));
    let config = r#"{"layout": "instances", "text_label": "text"}"#;
    let host = on_etcd(&etcd, vec![web], config);
    host.wait_until_it_says(&["status"], "1 rejected");
    // Its other node is written by itself then.
    host.wait_until_it_says(&["explain", "web"], "1 of its 2 nodes is in etcd");
    let said = |about: &str| {
        let said = host.says(&["explain", about]).replace(&text, "xxx");
        let said = said.replace(&etcd.address(), "ADDRESS");
        // Of two answers that come together, either may be told first.
        said.split("\nrecently\n").next().unwrap().to_owned()
    };
    expect![[r#"
        container web (1f1c2a9b7d3e): running, bridge 172.17.0.1
        1 of its 2 nodes is in etcd

        skydns:bridge: 2 nodes
          registered  /skydns/local/skydns/web/1f1c2a9b7d3e = {"host":"172.17.0.1","ttl":30}
                      since TIME (AGE), by this host, revision N
          rejected    /skydns/local/skydns/web/1f1c2a9b7d3e-txt = {"text":"xxx","ttl":30}
                      etcd refuses /skydns/local/skydns/web/1f1c2a9b7d3e-txt: etcd at http://ADDRESS refused: request is too large
                      It is tried again by itself. Give the registrator's user in etcd the right to write it, raise etcd's limit, or have the policy write something else.
    "#]].assert_eq(&said("web"));
    expect![[r#"
        key /skydns/local/skydns/web/1f1c2a9b7d3e-txt
        rejected: etcd refuses it

        etcd refuses /skydns/local/skydns/web/1f1c2a9b7d3e-txt: etcd at http://ADDRESS refused: request is too large
          there       nothing
          wished      {"text":"xxx","ttl":30}  for web (skydns:bridge) on this host
        It is tried again by itself. Give the registrator's user in etcd the right to write it, raise etcd's limit, or have the policy write something else.
    "#]].assert_eq(&said("/skydns/local/skydns/web/1f1c2a9b7d3e-txt"));
}

/// The configuration has a fault since the process before this one wrote its node.
#[test]
fn kept() {
    let etcd = etcd(&[]);
    let web = container('1', "web", &json!({}));
    let mut host = on_etcd(&etcd, vec![web], SKYDNS).in_sync();
    host.program.kill();
    host.configure(Some(r#"{"layout": "instance"}"#));
    host.restart();
    host.wait_until_it_says(&["status"], "1 kept");
    host.explains("/skydns/local/skydns/web/1f1c2a9b7d3e", expect![[r#"
        key /skydns/local/skydns/web/1f1c2a9b7d3e
        kept: the process before left it, and a fault may hide that somebody asks for it

        a wish for it may be hidden: configuration of policy skydns is refused, it does not run: services/skydns/bridge.json:1: member "layout" must be one of "instances", "hostname", not "instance"
          registered  {"host":"172.17.0.1","ttl":30}  by this host, revision N
        Mend what fails, and it goes by itself, unless somebody asks for it again.
    "#]]);
    host.explains("web", expect![[r#"
        container web (1f1c2a9b7d3e): running, bridge 172.17.0.1
        no policy asks for a node; the one that the process before this one left, and that a fault keeps, may be its

        configuration of policy skydns is refused, it does not run: services/skydns/bridge.json:1: member "layout" must be one of "instances", "hostname", not "instance"
    "#]]);
    host.explains("skydns", expect![[r#"
        instance skydns
        it does not run

        configuration of policy skydns is refused, it does not run: services/skydns/bridge.json:1: member "layout" must be one of "instances", "hostname", not "instance"
    "#]]);
}

/// The configuration of many containers is gone, and nobody said that they are.
#[test]
fn held_back() {
    let containers = "0123456789ab".chars().enumerate();
    let containers =
        containers.map(|(at, digit)| container(digit, &format!("web-{at}"), &json!({})));
    let host = Host::start(containers.collect(), SKYDNS).in_sync();
    host.configure(None);
    host.wait_until_it_says(&["status"], "12 held back");
    host.explains("/skydns/local/skydns/web-1/1f1c2a9b7d3e", expect![[r#"
        key /skydns/local/skydns/web-1/1f1c2a9b7d3e
        held back: nobody asks for it any more, and too many would go at once, so the brake keeps it

        why nobody asks for it: instance skydns:bridge is gone
          registered  {"host":"172.17.0.1","ttl":30}  by this host since TIME (AGE), revision N
        Wanted? kontena-registrator brake release. Not wanted? Mend what took its wish away; nothing was lost.

        recently
          TIME  registered /skydns/local/skydns/web-1/1f1c2a9b7d3e = {"host":"172.17.0.1","ttl":30} for web-1 (skydns:bridge)
    "#]]);
    host.explains("web-1", expect![[r#"
        container web-1 (1f1c2a9b7d3e): running, bridge 172.17.0.1
        no policy asks for a node any more, but not all of it is gone from etcd

        asked for no more: 1 node
          held back   /skydns/local/skydns/web-1/1f1c2a9b7d3e = {"host":"172.17.0.1","ttl":30}
                      why nobody asks for it: instance skydns:bridge is gone
                      Wanted? kontena-registrator brake release. Not wanted? Mend what took its wish away; nothing was lost.
        policy skydns waits for a configuration: write skydns.json or skydns/NAME.json in the services folder, or put one at /kontena/registrator/services/skydns/:service in etcd; {} takes all defaults

        recently
          TIME  registered /skydns/local/skydns/web-1/1f1c2a9b7d3e = {"host":"172.17.0.1","ttl":30} for web-1 (skydns:bridge)
    "#]]);
    host.explains("skydns", expect![[r#"
        instance skydns
        it does not run

        policy skydns waits for a configuration: write skydns.json or skydns/NAME.json in the services folder, or put one at /kontena/registrator/services/skydns/:service in etcd; {} takes all defaults
    "#]]);
    let brake: Json = serde_json::from_slice(&host.ask(&["brake", "--json"]).stdout).unwrap();
    assert_eq!(brake["brake"]["nodes"], 12, "{brake}");
    let said = host.says(&["brake"]);
    for words in [
        "12 nodes are held back",
        "skydns:bridge is gone (12)",
        "/skydns/local/skydns/web-1/1f1c2a9b7d3e",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let ready = host.ask(&["status", "--ready"]);
    assert_eq!(
        ready.status.code(),
        Some(0),
        "an engaged brake makes nothing unready"
    );
    host.says(&["brake", "release"]);
    host.wait_until_it_says(
        &["explain", "/skydns/local/skydns/web-1/1f1c2a9b7d3e"],
        "there       nothing",
    );
    host.wait_until_it_says(&["status"], "brake     off");
    host.program
        .wait_for_line(&["the user with the id 0 asked to let go of the 12 nodes"]);
}

#[test]
fn not_running_or_about_to_end() {
    let state = |status: &str| {
        json!({"State": {"Running": status != "exited", "Restarting": status == "restarting",
        "Paused": status == "paused", "Status": status, "FinishedAt": "2020-01-01T00:00:00Z"}})
    };
    let leaving = container('1', "leaving", &json!({}));
    let lost = container('2', "lost", &json!({}));
    let containers = vec![
        leaving.clone(),
        lost.clone(),
        container('3', "old", &state("exited")),
        container('4', "again", &state("restarting")),
        container('5', "frozen", &state("paused")),
    ];
    let host = Host::start(containers, SKYDNS).in_sync();
    host.docker.tell(&leaving, "kill", &json!({"signal": "15"}));
    host.wait_until_it_says(&["explain", "leaving"], "no node");
    host.explains(
        "leaving",
        expect![[r#"
        container leaving (1f1c2a9b7d3e): stopping, bridge 172.17.0.1
        nothing of it is in etcd: no policy asks for a node

        skydns:bridge: no node
          it was asked to stop
    "#]],
    );
    host.docker.break_inspect(&lost);
    host.wait_until_it_says(&["explain", "lost"], "cannot inspect");
    host.explains("lost", expect![[r#"
        container lost (2f1c2a9b7d3e): running, bridge 172.17.0.2
        its node is in etcd
        Docker cannot inspect it now, so this is what was known of it before

        skydns:bridge: 1 node
          registered  /skydns/local/skydns/lost/2f1c2a9b7d3e = {"host":"172.17.0.2","ttl":30}
                      since TIME (AGE), by this host, revision N

        recently
          TIME  registered /skydns/local/skydns/lost/2f1c2a9b7d3e = {"host":"172.17.0.2","ttl":30} for lost (skydns:bridge)
    "#]]);
    let old = host.says(&["explain", "old"]);
    assert!(
        old.contains("exited") && old.contains("ago: only running containers are evaluated"),
        "{old}"
    );
    host.explains(
        "again",
        expect![[r#"
        container again (4f1c2a9b7d3e): restarting, bridge 172.17.0.4
        restarting: only running containers are evaluated
    "#]],
    );
    host.explains("frozen", expect![[r#"
        container frozen (5f1c2a9b7d3e): paused, bridge 172.17.0.5
        its node is in etcd

        skydns:bridge: 1 node
          registered  /skydns/local/skydns/frozen/5f1c2a9b7d3e = {"host":"172.17.0.5","ttl":30}
                      since TIME (AGE), by this host, revision N

        recently
          TIME  registered /skydns/local/skydns/frozen/5f1c2a9b7d3e = {"host":"172.17.0.5","ttl":30} for frozen (skydns:bridge)
    "#]]);
}

#[test]
fn instances_that_do_not_run() {
    let host = Host::start(
        vec![container('1', "web", &json!({}))],
        r#"{"layout": "instance"}"#,
    );
    host.wait_until_it_says(&["explain", "skydns"], "refused");
    host.explains("skydns", expect![[r#"
        instance skydns
        it does not run

        configuration of policy skydns is refused, it does not run: services/skydns/bridge.json:1: member "layout" must be one of "instances", "hostname", not "instance"
    "#]]);
    host.explains("skydns:bridge", expect![[r#"
        instance skydns:bridge
        it does not run

        configuration of policy skydns is refused, it does not run: services/skydns/bridge.json:1: member "layout" must be one of "instances", "hostname", not "instance"
    "#]]);
    host.wait_until_it_says(&["explain", "web"], "nothing of it is in etcd");
    host.explains("web", expect![[r#"
        container web (1f1c2a9b7d3e): running, bridge 172.17.0.1
        nothing of it is in etcd: no policy asks for a node

        configuration of policy skydns is refused, it does not run: services/skydns/bridge.json:1: member "layout" must be one of "instances", "hostname", not "instance"
    "#]]);
    host.configure(None);
    host.wait_until_it_says(&["explain", "skydns"], "waits for a configuration");
    host.explains("skydns", expect![[r#"
        instance skydns
        it does not run

        policy skydns waits for a configuration: write skydns.json or skydns/NAME.json in the services folder, or put one at /kontena/registrator/services/skydns/:service in etcd; {} takes all defaults
    "#]]);
    host.explains("web", expect![[r#"
        container web (1f1c2a9b7d3e): running, bridge 172.17.0.1
        nothing of it is in etcd: no policy asks for a node

        policy skydns waits for a configuration: write skydns.json or skydns/NAME.json in the services folder, or put one at /kontena/registrator/services/skydns/:service in etcd; {} takes all defaults
    "#]]);
    host.wait_until_it_says(&["status"], "skydns (waits for a configuration)");
}
