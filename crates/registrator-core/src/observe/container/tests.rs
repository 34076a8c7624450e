//! What is read of inspect documents, and what is filled in.

use super::*;
use serde_json::json;

fn json_of(container: &Container) -> Json {
    serde_json::from_str(&container.text()).unwrap()
}

#[track_caller]
fn check_equal(a: &Json, b: &Json, expected: bool) {
    let of = |json: &Json| {
        let mut json = json.clone();
        json["Id"] = "a".into();
        Container::from_inspect(json).unwrap()
    };
    assert_eq!(of(a) == of(b), expected, "{a} {b}");
}

#[test]
fn ids_are_in_the_order_of_their_texts() {
    let texts = [
        "",
        "\0",
        "0",
        "0\0",
        "01234567",
        "01234567\0",
        "012345678",
        "01234568",
        "1",
        "é",
    ];
    let ids: Vec<ContainerId> = texts.iter().map(|text| ContainerId::new(text)).collect();
    assert!(ids.is_sorted() && texts.is_sorted());
    for (one, text) in ids.iter().zip(texts) {
        let equal: Vec<&str> = ids
            .iter()
            .filter(|id| *id == one)
            .map(ContainerId::as_str)
            .collect();
        assert_eq!(equal, [text]);
    }
}

#[test]
fn noise_and_news() {
    let document = |health, streak, execs: Json, ip| {
        json!({"ExecIDs": execs, "NetworkSettings": {"IPAddress": ip},
               "State": {"Running": true, "Health": {"Status": health, "FailingStreak": streak, "Log": [streak]}}})
    };
    let base = document("healthy", 0, json!(null), "10.0.0.2");
    check_equal(&base, &base, true);
    let noise = document("healthy", 1, json!(["e"]), "10.0.0.2");
    check_equal(&base, &noise, true);
    let news = document("unhealthy", 0, json!(null), "10.0.0.2");
    check_equal(&base, &news, false);
    let news = document("healthy", 0, json!(null), "10.0.0.3");
    check_equal(&base, &news, false);
}

#[test]
fn the_noisy_names_matter_elsewhere() {
    check_equal(&json!({"Log": 1}), &json!({"Log": 2}), false);
    let log = |value| json!({"State": {"Log": value}});
    check_equal(&log(1), &log(2), false);
    let execs = |value| json!({"Config": {"ExecIDs": value}});
    check_equal(&execs(1), &execs(2), false);
}

#[test]
fn members_that_come_and_go_matter() {
    let log = json!({"State": {"Health": {"Log": []}}});
    check_equal(&json!({"State": {}}), &log, false);
    check_equal(&json!({"a": 1}), &json!({"b": 1}), false);
    check_equal(&json!({"a": [1]}), &json!({"a": {"a": 1}}), false);
}

#[test]
fn the_document_stays_as_it_was_written() {
    let text = "{\"Id\":\"1\", \"b\" :1.50,\"a\":\"\\u003c\" }\n";
    let container = Container::from_text(text.to_owned()).unwrap();
    assert_eq!(container.text(), text);
    assert_eq!(container.document().text(), text);
}

#[test]
fn reads_id_name_and_state() {
    let json = json!({"Id": "0123456789abcdef", "Name": "/web", "State": {"Running": true}});
    let web = Container::from_inspect(json).unwrap();
    assert_eq!(
        (web.id().short(), web.name(), web.running()),
        ("0123456789ab", "web", true)
    );
}

#[test]
fn addresses_that_newer_engines_leave_out_are_filled_in() {
    let check = |settings: Json, expected: Json| {
        let json = json!({"Id": "1", "NetworkSettings": settings});
        let container = Container::from_inspect(json).unwrap();
        let found = json_of(&container)["NetworkSettings"]["IPAddress"].take();
        assert_eq!(found, expected);
    };
    let bridge = json!({"bridge": {"IPAddress": "172.17.0.2"}});
    check(json!({"Networks": bridge}), json!("172.17.0.2"));
    check(json!({"Networks": bridge, "IPAddress": ""}), json!(""));
    check(
        json!({"Networks": {"front": {"IPAddress": "172.19.0.2"}}}),
        Json::Null,
    );
    check(json!({"Networks": null}), Json::Null);
    check(Json::Null, Json::Null);
}

#[test]
fn a_linked_name_is_its_last_component_and_a_missing_one_the_id() {
    for (name, expected) in [("/a/b", "b"), ("", "0123456789ab"), ("/", "0123456789ab")] {
        let json = json!({"Id": "0123456789abcdef", "Name": name});
        assert_eq!(Container::from_inspect(json).unwrap().name(), expected);
    }
}

#[test]
fn one_that_was_asked_to_stop_differs_in_its_status_alone() {
    let document = |status| json!({"Id": "1", "State": {"Running": true, "Status": status}});
    let container = Container::from_inspect(document("running")).unwrap();
    let stopping = container.asked_to_stop();
    assert!(stopping.running());
    assert_eq!(json_of(&stopping), document("stopping"));
    let stateless = Container::from_inspect(json!({"Id": "1"})).unwrap();
    assert_eq!(stateless.asked_to_stop(), stateless);
}

#[test]
fn one_that_has_ended_does_not_run_and_is_another() {
    let document = |networks: Json| json!({"Id": "1", "State": {"Running": true, "Status": "running"}, "NetworkSettings": {"Networks": networks}});
    let container = Container::from_inspect(document(json!({}))).unwrap();
    let owner = Container::from_inspect(document(json!({"back": {"IPAddress": "10.0.0.2"}})));
    let ended = container.ended();
    assert_eq!(container.status(&container.document()), Some("running"));
    // What is filled in must not bring it back.
    for ended in [&ended, &ended.in_network_of(&owner.unwrap())] {
        assert!(container.running() && !ended.running());
        assert_eq!(ended.status(&ended.document()), Some("exited"));
        assert_ne!(*ended, container);
    }
    assert_eq!(ended, ended.ended());
    assert_eq!(ended.text(), container.text());
}

#[test]
fn whether_it_was_started_after_a_time() {
    let started = |at: &str| {
        let json = json!({"Id": "1", "State": {"StartedAt": at}});
        Container::from_inspect(json).unwrap()
    };
    let after = |at: &str, nanoseconds| started(at).started_after_time(nanoseconds);
    // `date -u -d @1795852801`
    let at = 1_795_852_801_500_000_000;
    assert!(after("2026-11-28T08:00:01.5Z", at - 1));
    assert!(!after("2026-11-28T08:00:01.5Z", at));
    assert!(after("2026-11-28T10:00:01.500000001+02:00", at));
    assert!(!after("1970-01-01T00:00:00Z", 0));
    for unknown in ["", "soon", "0001-01-01T00:00:00Z"] {
        assert!(!after(unknown, 0), "{unknown}");
    }
    assert!(!after("2026-11-28T08:00:01.5Z", u64::MAX));
}

#[test]
fn networks_and_ports_are_filled_in_where_they_are_empty() {
    let of = |settings: Json| {
        let json = json!({"Id": "1", "NetworkSettings": settings, "Config": {"Labels": {}}});
        Container::from_inspect(json).unwrap()
    };
    let theirs = of(
        json!({"Networks": {"front": {"IPAddress": "10.0.0.2"}}, "Ports": {"80/tcp": null}, "SandboxID": "s"}),
    );
    let check = |own: Json, expected: Json| {
        assert_eq!(of(own).in_network_of(&theirs), of(expected));
    };
    let (networks, ports) = (
        json!({"front": {"IPAddress": "10.0.0.2"}}),
        json!({"80/tcp": null}),
    );
    let filled = json!({"Networks": networks, "Ports": ports, "SandboxID": ""});
    check(
        json!({"Networks": {}, "Ports": {}, "SandboxID": ""}),
        filled,
    );
    let filled = json!({"Networks": networks, "Ports": ports});
    check(json!({"Networks": null, "Ports": null}), filled.clone());
    check(json!({}), filled);
    let own = json!({"Networks": {"back": {}}, "Ports": {"1/udp": null}});
    check(own.clone(), own);
    let nothing = of(json!({"Networks": {}, "Ports": null}));
    assert_eq!(
        of(json!({"Networks": {}})).in_network_of(&nothing),
        of(json!({"Networks": {}}))
    );
    let strange = Container::from_inspect(json!({"Id": "1", "NetworkSettings": 1})).unwrap();
    assert_eq!(strange.in_network_of(&theirs), strange);
    let bare = Container::from_inspect(json!({"Id": "1"})).unwrap();
    let expected = json!({"Networks": networks, "Ports": ports});
    let filled = json_of(&bare.in_network_of(&theirs));
    assert_eq!(filled["NetworkSettings"], expected);
}

#[test]
fn names_stay_with_the_owner_of_the_network() {
    let of = |network: Json| {
        let json = json!({"Id": "1", "NetworkSettings": {"Networks": {"back": network, "front": network}}});
        Container::from_inspect(json).unwrap()
    };
    let check = |network: Json, expected: Json| {
        let bare = Container::from_inspect(json!({"Id": "1"})).unwrap();
        let found =
            json_of(&bare.in_network_of(&of(network)))["NetworkSettings"]["Networks"].take();
        assert_eq!(found, json!({"back": expected, "front": expected}));
    };
    check(
        json!({"Aliases": ["db", "1"], "IPAddress": "10.0.0.2", "DNSNames": ["x"], "Links": null}),
        json!({"Aliases": null, "IPAddress": "10.0.0.2", "DNSNames": null, "Links": null}),
    );
    check(json!({"Aliases": null}), json!({"Aliases": null}));
    check(
        json!({"IPAddress": "10.0.0.2"}),
        json!({"IPAddress": "10.0.0.2"}),
    );
}

#[test]
fn who_waits_for_the_next_start_does_not_run() {
    let running = |state: Json| {
        let json = json!({"Id": "1", "State": state});
        Container::from_inspect(json).unwrap().running()
    };
    assert!(running(
        json!({"Running": true, "Restarting": false, "Pid": 7})
    ));
    assert!(running(json!({"Running": true, "Paused": true})));
    assert!(running(json!({"Running": true, "Restarting": null})));
    assert!(!running(
        json!({"Running": true, "Restarting": true, "Pid": 0})
    ));
    assert!(!running(json!({"Running": false, "Restarting": true})));
    assert!(!running(json!({"Restarting": false})));
}

#[test]
fn who_was_started_later() {
    let of = |time: &str| {
        let json = json!({"Id": "1", "State": {"StartedAt": time}});
        Container::from_inspect(json).unwrap()
    };
    let [never, first, second] = [
        "0001-01-01T00:00:00Z",
        "2026-11-26T11:45:01.7Z",
        "2026-11-26T12:45:04.8+01:00",
    ]
    .map(of);
    assert!(second.started_after(&first));
    for (one, other) in [
        (&first, &second),
        (&first, &first),
        (&never, &first),
        (&first, &never),
    ] {
        assert!(!one.started_after(other));
    }
}

#[test]
fn whose_network_it_is_in() {
    for (mode, expected) in [
        (json!("container:4f1c"), Some("4f1c")),
        (json!("container:"), None),
        (json!("bridge"), None),
        (json!(1), None),
    ] {
        let json = json!({"Id": "1", "HostConfig": {"NetworkMode": mode}});
        assert_eq!(
            Container::from_inspect(json).unwrap().network_of(),
            expected
        );
    }
    let bare = Container::from_inspect(json!({"Id": "1"})).unwrap();
    assert_eq!(bare.network_of(), None);
}

#[test]
fn refuses_what_is_not_an_inspect_document() {
    let error = |json| Container::from_inspect(json).unwrap_err().to_string();
    assert_eq!(
        error(json!([])),
        "not a container's inspect document: it is not an object"
    );
    assert_eq!(
        error(json!({"Id": ""})),
        "not a container's inspect document: it has no Id"
    );
    let broken = Container::from_text("{".to_owned()).unwrap_err();
    assert_eq!(
        broken.to_string(),
        "not a container's inspect document: it is not JSON"
    );
}
