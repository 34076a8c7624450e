//! Policies that answer, wait, fail, panic and hang.

use super::*;
use registrator_core::node::{Key, Value};
use registrator_core::observe::spec::PolicySpec;
use registrator_policy::{Canceller, Limits, Settings};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

type Answer = Result<Evaluation, EvalError>;

/// A policy made of a closure, deaf to cancelling.
struct Fake {
    spec: PolicySpec,
    answer: Box<dyn FnMut(&Container) -> Answer + Send>,
}

impl Policy for Fake {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn evaluate(&mut self, _: Option<&Config>, container: &Container) -> Answer {
        (self.answer)(container)
    }

    fn check(&mut self, config: &Config) -> Answer {
        (self.answer)(&container()).map(|_| nodes(config.text()))
    }

    fn canceller(&self) -> Canceller {
        Canceller::default()
    }
}

fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).unwrap()
}

fn fake(text: &str, answer: impl FnMut(&Container) -> Answer + Send + 'static) -> Box<dyn Policy> {
    let spec = PolicySpec {
        name: name(text),
        fingerprint: 0,
        schema: None,
        validates: false,
    };
    Box::new(Fake {
        spec,
        answer: Box::new(answer),
    })
}

/// Answers with a node that says `value`.
fn saying(text: &str, value: &'static str) -> Box<dyn Policy> {
    fake(text, move |_| Ok(nodes(value)))
}

/// Begins, tells so, and answers when it is told to.
fn waiting(text: &str) -> (Box<dyn Policy>, Receiver<()>, Sender<()>) {
    let (begun, begins) = channel();
    let (go, wait) = channel();
    let policy = fake(text, move |_| {
        begun.send(()).unwrap();
        let _ = wait.recv();
        Ok(nodes("late"))
    });
    (policy, begins, go)
}

fn nodes(value: &str) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let (key, value) = (Key::parse("/a").unwrap(), Value::parse(value).unwrap());
    evaluation.nodes.insert(key, value);
    evaluation
}

fn container() -> Container {
    Container::from_inspect(serde_json::json!({"Id": "0123456789abcdef", "Name": "/web"})).unwrap()
}

struct World {
    evaluators: Evaluators,
    results: UnboundedReceiver<Evaluated>,
}

impl World {
    /// Nothing in it is ever too slow, but by intention.
    fn new() -> World {
        World::with(Deadlines::new(Duration::from_secs(600)))
    }

    fn impatient() -> World {
        World::with(Deadlines {
            timeout: Duration::from_millis(20),
            grace: Duration::from_millis(20),
        })
    }

    fn with(deadlines: Deadlines) -> World {
        let (sender, results) = unbounded_channel();
        World {
            evaluators: Evaluators::new(deadlines, sender),
            results,
        }
    }

    fn ask(&mut self, ticket: u64, policy: &str) {
        self.evaluators
            .evaluate(Ticket(ticket), &name(policy), None, container());
    }

    /// The next answer as `ticket value` or `ticket kind message`.
    async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(20), self.results.recv());
        let answer = next.await.expect("no answer came").unwrap();
        let shown = match answer.result {
            Ok(evaluation) => {
                let values = evaluation.nodes.iter().flat_map(|(_, values)| values);
                values.map(Value::to_string).collect()
            }
            Err(error) => format!("{} {error}", error.kind),
        };
        format!("{} {shown}", answer.ticket.0)
    }
}

#[tokio::test]
async fn each_ticket_is_answered_in_order() {
    let mut world = World::new();
    world.evaluators.replace(saying("a", "x"));
    for ticket in 0..100 {
        world.ask(ticket, "a");
    }
    for ticket in 0..100 {
        assert_eq!(world.next().await, format!("{ticket} x"));
    }
    world.ask(100, "b");
    assert_eq!(world.next().await, "100 host policy b is not loaded");
}

/// The second answer tells that the first evaluation is over and done with.
#[tokio::test]
async fn what_was_evaluated_is_packed() {
    let mut world = World::new();
    world.evaluators.replace(saying("a", "x"));
    let text = r#"{"Id":"0123456789abcdef"}"#.to_owned();
    let container = Container::unpacked(text).unwrap();
    let read = container.document();
    assert!(Arc::ptr_eq(&read, &container.document()));
    for ticket in [Ticket(1), Ticket(2)] {
        let (policy, container) = (name("a"), container.clone());
        world.evaluators.evaluate(ticket, &policy, None, container);
        world.next().await;
    }
    assert!(!Arc::ptr_eq(&read, &container.document()));
}

#[tokio::test]
async fn a_slow_policy_delays_only_itself() {
    let mut world = World::new();
    let (slow, begins, go) = waiting("slow");
    world.evaluators.replace(slow);
    world.evaluators.replace(saying("fast", "x"));
    world.ask(1, "slow");
    begins.recv().unwrap();
    world.ask(2, "slow");
    world.ask(3, "fast");
    assert_eq!(world.next().await, "3 x");
    go.send(()).unwrap();
    assert_eq!(world.next().await, "1 late");
    go.send(()).unwrap();
    assert_eq!(world.next().await, "2 late");
}

#[tokio::test]
async fn a_replaced_policy_leaves_its_work_to_the_new_one() {
    let mut world = World::new();
    let (old, begins, go) = waiting("a");
    world.evaluators.replace(old);
    world.ask(1, "a");
    begins.recv().unwrap();
    world.ask(2, "a");
    world.evaluators.replace(saying("a", "new"));
    assert_eq!(world.next().await, "2 new");
    go.send(()).unwrap();
    assert_eq!(world.next().await, "1 late");
}

#[tokio::test]
async fn a_removed_policy_answers_what_it_has_begun() {
    let mut world = World::new();
    let (policy, begins, go) = waiting("a");
    world.evaluators.replace(policy);
    world.ask(1, "a");
    begins.recv().unwrap();
    world.ask(2, "a");
    world.evaluators.remove(&name("a"));
    assert_eq!(world.next().await, "2 host policy a was removed");
    go.send(()).unwrap();
    assert_eq!(world.next().await, "1 late");
    world.ask(3, "a");
    assert_eq!(world.next().await, "3 host policy a is not loaded");
    let ended = begins.recv();
    assert!(ended.is_err(), "the thread drops its policy when it ends");
}

#[tokio::test]
async fn a_failure_or_a_panic_is_one_evaluations_error() {
    let mut world = World::new();
    let mut count = 0;
    world.evaluators.replace(fake("a", move |_| {
        count += 1;
        match count {
            1 => Err(host_error("broken".into())),
            2 => panic!("this panic is part of a test"),
            _ => Ok(nodes("x")),
        }
    }));
    (1..=3).for_each(|ticket| world.ask(ticket, "a"));
    assert_eq!(world.next().await, "1 host broken");
    assert_eq!(
        world.next().await,
        "2 host policy a panicked, see standard error"
    );
    assert_eq!(world.next().await, "3 x");
}

#[tokio::test]
async fn a_policy_that_hangs_is_given_up_until_it_comes_back() {
    let mut world = World::impatient();
    let (policy, begins, go) = waiting("a");
    world.evaluators.replace(policy);
    world.ask(1, "a");
    begins.recv().unwrap();
    world.ask(2, "a");
    let message = "host policy a has not answered for 40ms and cannot be cancelled: it is not asked again until it answers or its file changes";
    assert_eq!(world.next().await, format!("1 {message}"));
    assert_eq!(world.next().await, format!("2 {message}"));
    world.ask(3, "a");
    assert_eq!(world.next().await, format!("3 {message}"));
    // From now on it answers at once.
    drop(go);
    let end = std::time::Instant::now() + Duration::from_secs(20);
    for ticket in 4.. {
        world.ask(ticket, "a");
        let answer = world.next().await;
        assert!(
            answer.starts_with(&format!("{ticket} ")),
            "ticket 1 is answered once: {answer}"
        );
        if answer == format!("{ticket} late") {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "it did not come back: {answer}"
        );
    }
}

#[tokio::test]
async fn a_policy_that_hangs_can_be_replaced() {
    let mut world = World::impatient();
    let (policy, _begins, _go) = waiting("a");
    world.evaluators.replace(policy);
    world.ask(1, "a");
    assert!(
        world
            .next()
            .await
            .starts_with("1 host policy a has not answered")
    );
    world.evaluators.replace(saying("a", "new"));
    world.ask(2, "a");
    assert_eq!(world.next().await, "2 new");
}

/// A policy file with this text.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.star");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Limits that leave stopping to others, but not for ever.
fn wide() -> Settings {
    let limits = Limits {
        ticks: u64::MAX >> 1,
        time: Duration::from_secs(10),
        ..Limits::default()
    };
    Settings {
        limits,
        ..Settings::default()
    }
}

const LOOPS_FOR_ONE: &str = "
def docker_container(container):
    for i in range(2000000000 if container.name == 'loop' else 1):
        pass
    return {'/a': 'x'}
";

#[tokio::test]
async fn an_endless_loop_is_cancelled_and_the_policy_goes_on() {
    let (_folder, path) = file(LOOPS_FOR_ONE);
    let mut world = World::with(Deadlines {
        timeout: Duration::from_secs(1),
        grace: Duration::from_secs(600),
    });
    let policy = load(path, wide(), LOAD_TIMEOUT).await.unwrap();
    world.evaluators.replace(policy);
    let endless = serde_json::json!({"Id": "f".repeat(64), "Name": "/loop"});
    let endless = Container::from_inspect(endless).unwrap();
    world
        .evaluators
        .evaluate(Ticket(1), &name("p"), None, endless);
    world.ask(2, "p");
    let answer = world.next().await;
    let message = "the policy took longer than 1s for container loop: make it do less, or raise --evaluation-timeout";
    assert!(
        answer.starts_with("1 limit ") && answer.contains(message),
        "{answer}"
    );
    assert_eq!(world.next().await, "2 x");
}

#[tokio::test]
async fn loading_fails_with_a_place_or_in_time() {
    let (_folder, path) = file("def docker_container(container):\n    return nope\n");
    let error = load(path, Settings::default(), LOAD_TIMEOUT)
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("p.star:2:"), "{error}");
    let (_folder, path) = file("def f():\n    for i in range(2000000000):\n        pass\nf()\n");
    let error = load(path, wide(), Duration::from_millis(50))
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("loading takes longer than 50ms"),
        "{error}"
    );
}

#[tokio::test]
async fn threads_end_with_their_owner() {
    let mut world = World::new();
    let (sender, alive) = channel::<()>();
    world.evaluators.replace(fake("a", move |_| {
        let _ = &sender;
        Ok(nodes("x"))
    }));
    world.ask(1, "a");
    assert_eq!(world.next().await, "1 x");
    drop(world);
    assert!(
        alive
            .recv_timeout(Duration::from_secs(20))
            .is_err_and(|error| { error == std::sync::mpsc::RecvTimeoutError::Disconnected })
    );
}

/// Policies look at configurations on their own threads, within the times of evaluations.
#[tokio::test]
async fn configurations_are_looked_at_in_turn() {
    let mut world = World::new();
    let (policy, begins, go) = waiting("a");
    world.evaluators.replace(policy);
    world.ask(1, "a");
    let config = registrator_core::observe::config::from_members(serde_json::Map::new());
    world
        .evaluators
        .check(Ticket(2), &name("a"), Some(config.clone()));
    begins.recv().unwrap();
    go.send(()).unwrap();
    assert_eq!(world.next().await, "1 late");
    go.send(()).unwrap();
    assert_eq!(world.next().await, "2 {}");
    world
        .evaluators
        .check(Ticket(3), &name("b"), Some(config.clone()));
    assert_eq!(world.next().await, "3 host policy b is not loaded");
    let mut world = World::impatient();
    let (policy, _begins, _go) = waiting("a");
    world.evaluators.replace(policy);
    world.evaluators.check(Ticket(4), &name("a"), Some(config));
    let answer = world.next().await;
    assert!(
        answer.starts_with("4 host policy a has not answered"),
        "{answer}"
    );
}
