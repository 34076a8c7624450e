//! The stages of an origin, one after the other and out of order.

use super::*;
use crate::node::Value;
use crate::observe::instance::InstanceId;
use crate::observe::spec::PolicyName;

fn origin(config: &str, container: &str) -> Origin {
    Origin {
        instance: InstanceId {
            policy: PolicyName::parse("p").unwrap(),
            config: Some(config.into()),
        },
        container: ContainerId::new(container),
    }
}

fn nodes(key: &str) -> Nodes {
    let (key, value) = (Key::parse(key).unwrap(), Value::parse("v").unwrap());
    [(key, value)].into_iter().collect()
}

fn error(kind: EvalErrorKind) -> EvalError {
    EvalError {
        kind,
        message: "no".into(),
        at: None,
    }
}

fn request(evaluations: &mut Evaluations, origin: &Origin) {
    evaluations.request(origin.clone(), Urgency::Change);
}

fn start(evaluations: &mut Evaluations, origin: &Origin) -> Ticket {
    request(evaluations, origin);
    let (ticket, started) = evaluations.take_next().unwrap();
    assert_eq!(started, *origin);
    ticket
}

#[test]
fn equal_requests_coalesce() {
    let (mut evaluations, a) = (Evaluations::default(), origin("x", "a"));
    request(&mut evaluations, &a);
    let ticket = start(&mut evaluations, &a);
    assert_eq!(evaluations.take_next(), None);
    assert_eq!(evaluations.finish(ticket), Some(a.clone()));
    assert_eq!(evaluations.take_done(), [(a.container, BTreeSet::new())]);
    assert!(evaluations.idle());
}

#[test]
fn a_request_during_an_evaluation_makes_it_stale_and_runs_after_it() {
    let (mut evaluations, a) = (Evaluations::default(), origin("x", "a"));
    let first = start(&mut evaluations, &a);
    request(&mut evaluations, &a);
    assert_eq!(evaluations.take_next(), None, "one at a time");
    assert_eq!(evaluations.finish(first), None);
    assert!(evaluations.take_done().is_empty() && !evaluations.idle());
    let (second, _) = evaluations.take_next().unwrap();
    assert_eq!(evaluations.finish(second), Some(a));
}

#[test]
fn what_is_forgotten_is_stale_and_stops_nobody() {
    let (mut evaluations, a) = (Evaluations::default(), origin("x", "a"));
    let first = start(&mut evaluations, &a);
    assert_eq!(evaluations.forget(&a), Nodes::default());
    evaluations.take_done();
    assert!(evaluations.idle());
    let second = start(&mut evaluations, &a);
    assert_eq!(evaluations.finish(first), None);
    assert_eq!(evaluations.finish(second), Some(a.clone()));
    evaluations.succeed(&a, nodes("/k"), None);
    assert_eq!(evaluations.forget(&a), nodes("/k"));
    assert_eq!(evaluations.finish(Ticket(99)), None);
}

#[test]
fn a_change_passes_a_reload_that_waits() {
    let mut evaluations = Evaluations::default();
    for container in ["a", "b"] {
        evaluations.request(origin("x", container), Urgency::Reload);
    }
    request(&mut evaluations, &origin("x", "b"));
    assert_eq!(evaluations.take_next().unwrap().1, origin("x", "b"));
    assert_eq!(evaluations.take_next().unwrap().1, origin("x", "a"));
    assert_eq!(evaluations.take_next(), None);
}

#[test]
fn an_origin_leaves_when_its_container_has_been_looked_at() {
    let (mut evaluations, old, new) = (
        Evaluations::default(),
        origin("old", "a"),
        origin("new", "a"),
    );
    let ticket = start(&mut evaluations, &old);
    evaluations.finish(ticket);
    evaluations.succeed(&old, nodes("/k"), None);
    evaluations.take_done();
    evaluations.leave(&old);
    let ticket = start(&mut evaluations, &new);
    assert!(evaluations.take_done().is_empty());
    assert_eq!(
        evaluations.batches(),
        [BTreeSet::from([Key::parse("/k").unwrap()])]
    );
    evaluations.finish(ticket);
    let leaving = BTreeSet::from([old.clone()]);
    assert_eq!(evaluations.take_done(), [(old.container.clone(), leaving)]);
    assert_eq!(evaluations.forget(&old), nodes("/k"));
    assert!(evaluations.batches().is_empty());
}

#[test]
fn an_origin_whose_instance_is_back_does_not_leave() {
    let (mut evaluations, a) = (Evaluations::default(), origin("x", "a"));
    let first = start(&mut evaluations, &a);
    evaluations.leave(&a);
    let second = start(&mut evaluations, &a);
    assert_eq!(evaluations.finish(first), None);
    assert_eq!(evaluations.finish(second), Some(a.clone()));
    assert_eq!(evaluations.take_done(), [(a.container, BTreeSet::new())]);
}

#[test]
fn failures_are_news_once_and_may_be_tried_again() {
    let (mut evaluations, a, now) = (Evaluations::default(), origin("x", "a"), Instant::now());
    let limit = || error(EvalErrorKind::Limit);
    assert!(evaluations.fail(&a, limit(), now));
    assert!(evaluations.hide_nodes());
    assert_eq!(evaluations.next_retry(), Some(now + RETRIES.first));
    evaluations.retry_due(now);
    assert_eq!(evaluations.take_next(), None, "not yet");
    evaluations.retry_due(now + RETRIES.first);
    let (ticket, _) = evaluations.take_next().unwrap();
    assert_eq!(evaluations.next_retry(), None, "it is being tried");
    evaluations.finish(ticket);
    assert!(!evaluations.fail(&a, limit(), now));
    assert_eq!(evaluations.next_retry(), Some(now + 2 * RETRIES.first));
    assert!(evaluations.fail(&a, error(EvalErrorKind::Raised), now));
    assert_eq!(evaluations.next_retry(), None, "it would only fail again");
    assert_eq!(evaluations.failures().count(), 1);
    assert_eq!(evaluations.asked(&a), None);
    assert!(
        evaluations.succeed(&a, nodes("/k"), None),
        "it failed before"
    );
    assert_eq!(evaluations.asked(&a), Some(&nodes("/k")));
    assert!(!evaluations.hide_nodes() && evaluations.failures().next().is_none());
    assert!(evaluations.fail(&a, limit(), now));
    assert!(!evaluations.hide_nodes(), "its last good nodes are known");
    evaluations.forget(&a);
    assert_eq!(evaluations.next_retry(), None);
}

#[test]
fn waits_grow_up_to_a_limit() {
    let (mut evaluations, a, now) = (Evaluations::default(), origin("x", "a"), Instant::now());
    for _ in 0..100 {
        evaluations.fail(&a, error(EvalErrorKind::Host), now);
    }
    assert_eq!(evaluations.next_retry(), Some(now + RETRIES.longest));
}

#[test]
fn what_an_evaluation_goes_on_saying_is_told_once() {
    let (mut evaluations, a) = (Evaluations::default(), origin("x", "a"));
    let line = |level, text: &str| LogLine {
        level,
        text: text.into(),
    };
    let all = [
        line(Level::Debug, "printed"),
        line(Level::Info, "no route"),
        line(Level::Warn, "odd port"),
    ];
    assert_eq!(evaluations.news(&a, all.to_vec()), all);
    assert_eq!(evaluations.news(&a, all.to_vec()), all[..1]);
    let other = line(Level::Info, "no route at all");
    let changed = vec![other.clone(), all[2].clone()];
    assert_eq!(evaluations.news(&a, changed), [other]);
    assert_eq!(evaluations.news(&a, vec![]), []);
    assert_eq!(evaluations.news(&a, all.to_vec()), all);
    let b = origin("x", "b");
    assert_eq!(evaluations.news(&b, all.to_vec()), all);
}
