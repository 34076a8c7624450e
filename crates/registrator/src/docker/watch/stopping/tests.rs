//! Signals, grace times and inspects in every order.

use super::*;
use serde_json::{Value as Json, json};

const HUP: u8 = 1;
const QUIT: u8 = 3;
const TERM: u8 = signal::TERM;

/// A running container whose process was started then.
fn started(at: &str, config: Json) -> Container {
    let state = json!({"Running": true, "Status": "running", "StartedAt": at});
    Container::from_inspect(json!({"Id": "a", "State": state, "Config": config})).unwrap()
}

fn running(config: Json) -> Container {
    started("1", config)
}

fn with_state(state: Json) -> Container {
    Container::from_inspect(json!({"Id": "a", "State": state, "Config": {}})).unwrap()
}

fn json_of(container: &Container) -> Json {
    serde_json::from_str(&container.text()).unwrap()
}

fn status(container: &Container) -> String {
    let json = json_of(container);
    json["State"]["Status"].as_str().unwrap().to_owned()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn only_the_stop_signal_counts() {
    let check = |config: Json, signal, expected: &str| {
        let (mut stopping, now) = (Stopping::default(), Instant::now());
        let container = running(config.clone());
        let is_stop = stopping.signalled(&container, signal, now);
        assert_eq!(is_stop, expected == "stopping", "{config} {signal}");
        assert_eq!(
            status(&stopping.shown(container, now)),
            expected,
            "{config} {signal}"
        );
    };
    check(json!({}), TERM, "stopping");
    check(json!({"StopSignal": ""}), TERM, "stopping");
    check(json!({"StopSignal": "nonsense"}), TERM, "stopping");
    check(json!({}), HUP, "running");
    check(json!({"StopSignal": "SIGQUIT"}), QUIT, "stopping");
    check(json!({"StopSignal": "QUIT"}), QUIT, "stopping");
    check(json!({"StopSignal": "3"}), QUIT, "stopping");
    check(json!({"StopSignal": "SIGQUIT"}), TERM, "running");
    check(json!({"StopSignal": "SIGRTMIN+3"}), 37, "stopping");
    check(json!({}), signal::KILL, "running");
    check(json!({"StopSignal": "SIGKILL"}), signal::KILL, "running");
}

#[test]
fn the_rest_of_the_document_stays() {
    let (mut stopping, now) = (Stopping::default(), Instant::now());
    let container = running(json!({"Labels": {"a": "b"}}));
    stopping.signalled(&container, TERM, now);
    let shown = stopping.shown(container.clone(), now);
    assert!(shown.running());
    let mut expected = json_of(&container);
    expected["State"]["Status"] = json!("stopping");
    assert_eq!(json_of(&shown), expected);
}

#[test]
fn a_grace_time_ends() {
    let check = |config: Json, ends: Option<u64>| {
        let (mut stopping, now) = (Stopping::default(), Instant::now());
        let container = running(config.clone());
        stopping.signalled(&container, TERM, now);
        assert_eq!(
            stopping.next_end(),
            ends.map(|end| now + seconds(end)),
            "{config}"
        );
        let end = now + seconds(ends.unwrap_or(1_000_000));
        let before = end - Duration::from_millis(1);
        assert_eq!(stopping.take_survivors(before), [], "{config}");
        assert_eq!(
            status(&stopping.shown(container.clone(), before)),
            "stopping"
        );
        let expected: Vec<_> = ends.iter().map(|_| container.id().clone()).collect();
        assert_eq!(stopping.take_survivors(end), expected, "{config}");
        let expected = if ends.is_some() {
            "running"
        } else {
            "stopping"
        };
        assert_eq!(status(&stopping.shown(container, end)), expected);
    };
    check(json!({}), Some(11));
    check(json!({"StopTimeout": null}), Some(11));
    check(json!({"StopTimeout": 0}), Some(1));
    check(json!({"StopTimeout": 60}), Some(61));
    check(json!({"StopTimeout": -1}), None);
    check(json!({"StopTimeout": i64::MAX}), None);
}

#[test]
fn an_inspect_after_the_grace_time_shows_the_truth_before_the_timer() {
    let (mut stopping, now) = (Stopping::default(), Instant::now());
    let container = running(json!({}));
    stopping.signalled(&container, TERM, now);
    let shown = stopping.shown(container, now + seconds(11));
    assert_eq!(status(&shown), "running");
    assert_eq!(stopping.next_end(), None);
}

#[test]
fn a_second_signal_prolongs_the_grace_time() {
    let (mut stopping, now) = (Stopping::default(), Instant::now());
    let container = running(json!({}));
    stopping.signalled(&container, TERM, now);
    stopping.signalled(&container, TERM, now + seconds(5));
    assert_eq!(stopping.next_end(), Some(now + seconds(16)));
}

#[test]
fn what_must_end_does_not_return() {
    let kill = |stopping: &mut Stopping, container: &Container, now| {
        assert!(!stopping.signalled(container, signal::KILL, now));
    };
    let die = |stopping: &mut Stopping, container: &Container, _| stopping.ends(container.id());
    for end in [&kill as &dyn Fn(&mut Stopping, &Container, Instant), &die] {
        let (mut stopping, now) = (Stopping::default(), Instant::now());
        let container = running(json!({}));
        stopping.signalled(&container, TERM, now);
        end(&mut stopping, &container, now);
        stopping.signalled(&container, TERM, now + seconds(1));
        assert_eq!(
            (
                stopping.next_end(),
                stopping.take_survivors(now + seconds(99))
            ),
            (None, vec![])
        );
        // The answer of an inspect from before.
        assert_eq!(
            status(&stopping.shown(container, now + seconds(99))),
            "stopping"
        );
        let exited = with_state(json!({"Running": false, "Status": "exited", "StartedAt": "1"}));
        assert_eq!(status(&stopping.shown(exited, now)), "exited");
        assert_eq!(
            status(&stopping.shown(running(json!({})), now)),
            "running",
            "forgotten"
        );
    }
}

#[test]
fn the_next_process_is_not_stopping() {
    let (mut stopping, now) = (Stopping::default(), Instant::now());
    stopping.signalled(&running(json!({})), TERM, now);
    let next = started("2", json!({}));
    assert_eq!(
        status(&stopping.shown(next, now)),
        "running",
        "though its start was not told"
    );
    stopping.signalled(&running(json!({})), TERM, now);
    stopping.forget(&ContainerId::new("a"));
    assert_eq!(status(&stopping.shown(running(json!({})), now)), "running");
}

#[test]
fn what_does_not_run_is_not_stopping() {
    for (state, expected) in [
        (
            json!({"Running": true, "Restarting": true, "Status": "restarting"}),
            "restarting",
        ),
        (json!({"Running": false, "Status": "exited"}), "exited"),
    ] {
        let (mut stopping, now) = (Stopping::default(), Instant::now());
        assert!(!stopping.signalled(&with_state(state.clone()), TERM, now));
        let running = json!({"Running": true, "Status": "paused"});
        assert!(
            stopping.signalled(&with_state(running), TERM, now),
            "paused ones can be stopped"
        );
        assert_eq!(status(&stopping.shown(with_state(state), now)), expected);
    }
}

#[test]
fn an_unknown_container_is_decided_when_it_is_known() {
    let id = ContainerId::new("a");
    let check = |signal, end: &dyn Fn(&mut Stopping), expected: &str| {
        let (mut stopping, now) = (Stopping::default(), Instant::now());
        stopping.signalled_unknown(&id, signal, now);
        end(&mut stopping);
        let shown = stopping.shown(running(json!({})), now + seconds(10));
        assert_eq!(status(&shown), expected);
        let ends = (expected == "stopping").then(|| now + seconds(11));
        assert_eq!(stopping.next_end(), ends, "from the signal on");
    };
    check(TERM, &|_| {}, "stopping");
    check(HUP, &|_| {}, "running");
    check(signal::KILL, &|_| {}, "running");
    check(TERM, &|stopping| stopping.ends(&id), "running");
    check(TERM, &|stopping| stopping.forget(&id), "running");
    check(TERM, &|stopping| stopping.retain(|_| false), "running");
    check(TERM, &|stopping| stopping.retain(|_| true), "stopping");
}
