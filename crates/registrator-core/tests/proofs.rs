//! Policies look at configurations before these count: what the whole reconciler does meanwhile and afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use registrator_core::evaluate::evaluation::{
    EvalError, EvalErrorKind, Evaluation, Level, LogLine,
};
use registrator_core::evaluate::fence::Fence;
use registrator_core::evaluate::scheduler::Ticket;
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::container::Container;
use registrator_core::observe::spec::{PolicyName, PolicySpec, Schema};
use registrator_core::observe::watch::SourceEvent;
use registrator_core::reconciler::{Command, Event, Reconciler, Settings};
use serde_json::json;
use std::time::Instant;

/// A reconciler with one policy that validates, its configuration, and three containers.
struct World {
    reconciler: Reconciler,
    now: Instant,
}

fn policy() -> PolicyName {
    PolicyName::parse("p").unwrap()
}

fn file() -> RawConfig {
    RawConfig {
        policy: policy(),
        name: None,
        source: ConfigSource::File("p.json".into()),
        bytes: b"{}".to_vec(),
    }
}

fn error(kind: EvalErrorKind) -> Result<Evaluation, EvalError> {
    Err(EvalError {
        kind,
        message: "no domain".into(),
        at: None,
    })
}

impl World {
    fn begin() -> World {
        let fence = Fence {
            allowed: Vec::new(),
            reserved: "/registrator/".into(),
        };
        let mut world = World {
            reconciler: Reconciler::new(Settings::with_fence(fence)),
            now: Instant::now(),
        };
        world.handle(Event::Policies {
            loaded: vec![PolicySpec {
                name: policy(),
                fingerprint: 1,
                schema: Some(Schema::default()),
                validates: true,
            }],
            failed: Vec::new(),
        });
        world.handle(Event::ConfigFile(SourceEvent::Init));
        world.handle(Event::ConfigFile(SourceEvent::InitApply(file())));
        world.handle(Event::ConfigFile(SourceEvent::InitDone));
        world.handle(Event::Container(SourceEvent::Init));
        for name in ["one", "two", "three"] {
            let document = json!({"Id": format!("{name:0<12}"), "Name": format!("/{name}"), "State": {"Running": true}});
            let container = Container::from_inspect(document).unwrap();
            world.handle(Event::Container(SourceEvent::InitApply(container)));
        }
        world.handle(Event::Container(SourceEvent::InitDone));
        world
    }

    fn handle(&mut self, event: Event) {
        self.reconciler.handle(event, self.now);
    }

    /// What is asked of the policy: the check, and for how many containers.
    fn asked(&mut self) -> (Option<Ticket>, usize) {
        let mut asked = (None, 0);
        while let Some(command) = self.reconciler.next_command() {
            match command {
                Command::Check { ticket, instance } => {
                    assert!(instance.config.is_some());
                    assert_eq!(asked.0.replace(ticket), None);
                }
                Command::Evaluate { .. } => asked.1 += 1,
                _ => {}
            }
        }
        asked
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Evaluation, EvalError>) -> Vec<String> {
        self.handle(Event::Evaluated { ticket, result });
        let notices = std::iter::from_fn(|| self.reconciler.next_notice());
        notices
            .map(|notice| format!("{:?} {notice}", notice.level()))
            .collect()
    }
}

#[test]
fn a_refused_configuration_is_one_message_and_asks_for_nothing() {
    let mut world = World::begin();
    let (ticket, evaluations) = world.asked();
    assert_eq!(evaluations, 0);
    assert!(!world.reconciler.started());
    assert_eq!(
        world.answer(ticket.unwrap(), error(EvalErrorKind::Raised)),
        [
            "Error configuration of policy p is refused, it does not run: p.json: the policy refuses it: no domain"
        ]
    );
    assert_eq!(world.asked(), (None, 0));
    assert!(world.reconciler.started());
}

#[test]
fn what_the_policy_says_of_a_good_one_is_a_warning() {
    let mut world = World::begin();
    let (ticket, _) = world.asked();
    let evaluation = Evaluation {
        log: vec![LogLine {
            level: Level::Debug,
            text: "odd".into(),
        }],
        ..Evaluation::default()
    };
    assert_eq!(
        world.answer(ticket.unwrap(), Ok(evaluation)),
        ["Warn p.json: odd", "Info instance p runs"]
    );
    assert_eq!(world.asked(), (None, 3));
    assert!(!world.reconciler.started());
}

#[test]
fn a_policy_without_time_refuses_nothing() {
    for kind in [EvalErrorKind::Limit, EvalErrorKind::Host] {
        let mut world = World::begin();
        let (ticket, _) = world.asked();
        assert_eq!(
            world.answer(ticket.unwrap(), error(kind)),
            [
                "Warn p.json is used though policy p could not look at it: no domain",
                "Info instance p runs"
            ]
        );
        assert_eq!(world.asked(), (None, 3));
    }
}

/// An answer that comes after a change is of no interest, and does not pass for one about a container.
#[test]
fn late_answers_are_passed_over() {
    let mut world = World::begin();
    let (old, _) = world.asked();
    let changed = RawConfig {
        bytes: b"{ }".to_vec(),
        ..file()
    };
    world.handle(Event::ConfigFile(SourceEvent::Apply(changed)));
    let (new, _) = world.asked();
    assert_ne!(old, new);
    assert_eq!(
        world.answer(old.unwrap(), error(EvalErrorKind::Raised)),
        Vec::<String>::new()
    );
    assert_eq!(
        world.answer(new.unwrap(), Ok(Evaluation::default())),
        ["Info instance p runs"]
    );
    assert_eq!(
        world.answer(new.unwrap(), error(EvalErrorKind::Raised)),
        Vec::<String>::new()
    );
}
